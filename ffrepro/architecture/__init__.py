"""Architectures, which build nets from a few numbers.

Algorithms that learn in closed form need the connections of hidden layers. Algorithms that use autograd need blocks of
modules. An architecture builds connections, modules or both.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ffrepro.errors import UserError
from ffrepro.forward_forward.connections import Connections
from ffrepro.forward_forward.weights import Dense


class Place(NamedTuple):
    """The device and the precisions of connections: of matrix products, and of weights and velocities."""

    device: torch.device
    compute_dtype: torch.dtype
    param_dtype: torch.dtype

    def dense(self, weight: Tensor) -> Dense:
        """Fully connected weights (fan_in, width)."""
        return Dense(weight.to(self.device, self.param_dtype), self.compute_dtype)


@runtime_checkable
class LayerArchitecture(Protocol):
    """Hidden layers in the order of a bottom-up pass."""

    def connections(
        self, input_shape: tuple[int, ...], generator: torch.Generator, place: Place, top_down_units: int | None
    ) -> Sequence[Connections]:
        """Draw the connections of each hidden layer, for images (height, width), in color (height, width, 3).

        `generator` is on the CPU, so that a seed gives the same net on every device. With `top_down_units` every layer
        also sees the layer above as a second source, and the highest layer sees this many units. Raises UserError if
        the layers do not fit the image or each other.
        """


@runtime_checkable
class ModuleArchitecture(Protocol):
    """Blocks of modules, whose parameters learn through autograd."""

    def blocks(self, input_shape: tuple[int, ...], n_outputs: int, generator: torch.Generator) -> nn.Sequential:
        """A net in fp32 on the CPU, with an entry for each block. The last block gives the output (B, n_outputs).

        The first block gets flattened examples (B, n) of `input_shape`, with channels last. `generator`, on the CPU,
        draws the weights. Raises UserError if the net does not fit the input.
        """


def check_variance_scale(init_variance_scale: float) -> None:
    """Raise UserError unless `init_variance_scale` is positive and finite."""
    if not 0 < init_variance_scale < math.inf:
        raise UserError(f"architecture.init_variance_scale is {init_variance_scale}: expected more than 0.")

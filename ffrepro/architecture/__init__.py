"""Architectures, which build nets from a few numbers.

Algorithms that learn in closed form need the connections of hidden layers. Algorithms that use autograd need blocks of
modules. An architecture builds connections, modules or both.
"""

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from ffrepro.errors import UserError
from ffrepro.forward_forward.connections import Connections


@runtime_checkable
class LayerArchitecture(Protocol):
    """Hidden layers in the order of a bottom-up pass."""

    def connections(
        self,
        input_shape: tuple[int, ...],
        generator: torch.Generator,
        *,
        device: torch.device,
        compute_dtype: torch.dtype,
        param_dtype: torch.dtype,
        top_down_units: int | None = None,
    ) -> Sequence[Connections]:
        """Draw the connections of each hidden layer.

        Args:
            input_shape: (height, width) of an image, (height, width, 3) in color.
            generator: on the CPU, so that a seed gives the same net on every device.
            device: the device of the weights.
            compute_dtype: the precision of the matrix products.
            param_dtype: the precision of weights and velocities.
            top_down_units: if given, every layer also sees the layer above as a second source, and the highest layer
                sees this many units.

        Raises:
            UserError: the layers do not fit the image or each other.
        """
        ...


@runtime_checkable
class ModuleArchitecture(Protocol):
    """Blocks of modules, whose parameters learn through autograd."""

    def blocks(self, input_shape: tuple[int, ...], n_outputs: int, generator: torch.Generator) -> nn.Sequential:
        """A net in fp32 on the CPU, with an entry for each block. The last block gives the output (B, n_outputs).

        Args:
            input_shape: the shape of an example. The first block gets flattened examples (B, n), with channels last.
            n_outputs: the size of the output.
            generator: on the CPU; draws the weights.

        Raises:
            UserError: the net does not fit the input.
        """
        ...


def check_variance_scale(init_variance_scale: float) -> None:
    """Raise UserError unless `init_variance_scale` is positive and finite."""
    if not 0 < init_variance_scale < math.inf:
        raise UserError(f"architecture.init_variance_scale is {init_variance_scale}: expected more than 0.")

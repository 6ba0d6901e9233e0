"""Architectures: from a few numbers to the connections of each hidden layer."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

import torch

from ffrepro.errors import UserError
from ffrepro.forward_forward.connections import Connections


class Architecture(Protocol):
    """Hidden layers in the order of a bottom-up pass.

    Attributes:
        shares_weights: all places, which the shapes below begin with, have the same.
    """

    shares_weights: ClassVar[bool]

    def shapes(self, input_shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The shape of the matrices by which each layer is driven from below, over an image of `input_shape`.

        Raises:
            UserError: the layers do not fit the image or each other.
        """
        ...

    def build(
        self,
        input_shape: tuple[int, ...],
        generator: torch.Generator,
        *,
        device: torch.device,
        products: torch.dtype,
        state: torch.dtype,
        top: int | None = None,
    ) -> Sequence[Connections]:
        """New connections; drawn on the CPU, so that a seed gives one net on every device.

        Args:
            input_shape: (height, width) of the image below, in colour (height, width, 3).
            generator: of the CPU.
            device: where they are kept.
            products: precision of the matrix products.
            state: precision of what is kept.
            top: where it is given, every layer sees the one above it too, a second source after what is below, and
                the highest one so many units above it.

        Raises:
            UserError: the layers do not fit the image or each other.
        """
        ...


def check_gain(init_gain: float) -> None:
    """Raises UserError where `init_gain` is none of a variance."""
    if not 0 < init_gain < float("inf"):
        raise UserError(f"architecture.init_gain is {init_gain}: expected more than 0.")

"""Fully connected ReLU nets."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch

from ffrepro.architecture import check_gain
from ffrepro.errors import UserError
from ffrepro.forward_forward.connections import Connections
from ffrepro.forward_forward.weights import Dense


class Mlp:
    """Hidden layers of `widths` units. W ~ N(0, `init_gain` / fan_in), biases 0.

    The released code's `init_gain` is 1. Its fan_in is the number of units *below*. Where units see two sources, each
    matrix has its own: counted together, the ten units of a label would hardly be heard beside thousands below.
    """

    shares_weights: ClassVar[bool] = False

    def __init__(self, widths: Sequence[int], init_gain: float) -> None:
        if not widths or min(widths) < 1:
            raise UserError(
                f"architecture.widths is {list(widths)}: expected one positive width a hidden layer, as in [2000,2000]."
            )
        self.widths = list(widths)
        check_gain(init_gain)
        self.init_gain = init_gain

    def shapes(self, input_shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """See `Architecture.shapes`: (fan_in, width)."""
        return list(zip([math.prod(input_shape), *self.widths[:-1]], self.widths, strict=True))

    def build(
        self,
        input_shape: tuple[int, ...],
        generator: torch.Generator,
        *,
        device: torch.device,
        products: torch.dtype,
        state: torch.dtype,
        top: int | None = None,
    ) -> list[Connections]:
        """See `Architecture.build`."""
        above = [None] * len(self.widths) if top is None else [*self.widths[1:], top]
        built = []
        for (below, width), units_above in zip(self.shapes(input_shape), above, strict=True):
            sources = [below] if units_above is None else [below, units_above]
            weights = [
                torch.randn(n, width, generator=generator, dtype=torch.float32).mul_((self.init_gain / n) ** 0.5)
                for n in sources
            ]
            built.append(Connections(*(Dense(weight.to(device, state), products) for weight in weights)))
        return built

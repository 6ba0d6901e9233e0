"""Fully connected ReLU nets."""

import math
from collections.abc import Sequence

import torch

from ffrepro.connections import Dense
from ffrepro.errors import UserError


class Mlp:
    """Hidden layers of `widths` units. W ~ N(0, `init_gain` / fan_in), biases 0.

    The released code's `init_gain` is 1. Its fan_in is the number of units *below*.
    """

    def __init__(self, widths: Sequence[int], init_gain: float) -> None:
        if not widths or min(widths) < 1:
            raise UserError(
                f"architecture.widths is {list(widths)}: expected one positive width a hidden layer, as in [2000,2000]."
            )
        self.widths = list(widths)
        self.init_gain = init_gain

    def shapes(self, input_shape: tuple[int, int], top: int = 0) -> list[tuple[int, ...]]:
        """See `Architecture.shapes`, and `top` in `build`."""
        fan_ins = [math.prod(input_shape), *self.widths[:-1]]
        if top:
            fan_ins = [below + above for below, above in zip(fan_ins, [*self.widths[1:], top], strict=True)]
        return list(zip(fan_ins, self.widths, strict=True))

    def build(
        self,
        input_shape: tuple[int, int],
        generator: torch.Generator,
        *,
        device: torch.device,
        products: torch.dtype,
        state: torch.dtype,
        top: int = 0,
    ) -> list[Dense]:
        """See `Architecture.build`. With `top` units above the highest layer, every layer sees the one above it too.

        A layer's inputs are then all units below it, and after them all above.
        """
        layers = []
        for shape in self.shapes(input_shape, top):
            weight = torch.randn(shape, generator=generator, dtype=torch.float32)
            weight *= (self.init_gain / shape[0]) ** 0.5
            layers.append(Dense(weight.to(device, state), products))
        return layers

"""Fully connected ReLU nets."""

from collections.abc import Sequence

import torch

from ffrepro.errors import UserError
from ffrepro.layers import Dense


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

    def build(
        self,
        n_inputs: int,
        generator: torch.Generator,
        *,
        device: torch.device,
        products: torch.dtype,
        state: torch.dtype,
    ) -> list[Dense]:
        """New layers from `n_inputs` up; drawn on the CPU, so that a seed gives one net on every device."""
        fan_ins = [n_inputs, *self.widths[:-1]]
        layers = []
        for fan_in, width in zip(fan_ins, self.widths, strict=True):
            weight = torch.randn(fan_in, width, generator=generator, dtype=torch.float32)
            weight *= (self.init_gain / fan_in) ** 0.5
            layers.append(Dense(weight.to(device, state), products))
        return layers

"""Fully connected ReLU nets."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ffrepro.architecture import Place, check_variance_scale
from ffrepro.architecture.modules import draw_linear, linear
from ffrepro.errors import UserError
from ffrepro.forward_forward.connections import Connections


@dataclass(eq=False)
class Mlp:
    """Hidden layers of `widths` ReLU units. W ~ N(0, `init_variance_scale` / fan_in), biases 0.

    The scale in the released code is 1. Each source of a layer has its own fan-in. With a joint fan-in the ten units of
    a label would hardly count against thousands of units below. The output layer of `blocks` starts at 0.
    """

    widths: Sequence[int]
    init_variance_scale: float

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise UserError(
                f"architecture.widths is {list(self.widths)}: expected a positive width for each hidden layer, as in "
                "[2000,2000]."
            )
        check_variance_scale(self.init_variance_scale)

    def connections(
        self, input_shape: tuple[int, ...], generator: torch.Generator, place: Place, top_down_units: int | None
    ) -> list[Connections]:
        """See `LayerArchitecture.connections`."""
        below = [math.prod(input_shape), *self.widths[:-1]]
        above = [None] * len(self.widths) if top_down_units is None else [*self.widths[1:], top_down_units]
        layers = []
        for width, *sources in zip(self.widths, below, above, strict=True):
            weights = [
                draw_linear(fan_in, width, self.init_variance_scale, generator)
                for fan_in in sources
                if fan_in is not None
            ]
            layers.append(Connections(*map(place.dense, weights)))
        return layers

    def blocks(self, input_shape: tuple[int, ...], n_outputs: int, generator: torch.Generator) -> nn.Sequential:
        """See `ModuleArchitecture.blocks`."""
        below = [math.prod(input_shape), *self.widths[:-1]]
        hidden = [
            nn.Sequential(linear(draw_linear(fan_in, width, self.init_variance_scale, generator)), nn.ReLU())
            for fan_in, width in zip(below, self.widths, strict=True)
        ]
        return nn.Sequential(*hidden, linear(torch.zeros(self.widths[-1], n_outputs)))

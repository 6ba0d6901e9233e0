"""Nets whose units see a small square of what lies below, without sharing weights.

Source: The Forward-Forward Algorithm, section 3.2: three layers on grids of 4 × 4, 3 × 3 and 2 × 2 locations.
"""

from collections.abc import Sequence

import torch

from ffrepro.connections import LocalFields
from ffrepro.errors import UserError


class LocalReceptiveFields:
    """Hidden layers on square grids. W ~ N(0, `init_gain` / fan_in), biases 0.

    Args:
        layers: of each (grid, stride, field, channels): locations in a row, the steps between them, the side of what
            each sees, in pixels or in locations of the grid below, and the units at each location.
        init_gain: see `Mlp`.
    """

    def __init__(self, layers: Sequence[Sequence[int]], init_gain: float) -> None:
        for layer in layers:
            if len(layer) != 4 or min(layer) < 1:
                raise UserError(
                    f"architecture.layers has {list(layer)}: expected [grid,stride,field,channels], all positive."
                )
        if not layers:
            raise UserError("architecture.layers is empty: expected [grid,stride,field,channels] of each layer.")
        self.layers = [tuple(layer) for layer in layers]
        self.init_gain = init_gain

    def shapes(self, input_shape: tuple[int, int]) -> list[tuple[int, ...]]:
        """See `Architecture.shapes`: (locations, fan_in, channels)."""
        shapes: list[tuple[int, ...]] = []
        for (grid, stride, field, channels), below in zip(self.layers, self._maps(input_shape), strict=True):
            reached = (grid - 1) * stride + field
            if below[:2] != (reached, reached):
                raise UserError(
                    f"architecture.layers has [{grid},{stride},{field},{channels}], whose fields cover "
                    f"{reached} × {reached} of the {below[0]} × {below[1]} below it: expected all of it."
                )
            shapes.append((grid * grid, field * field * below[2], channels))
        return shapes

    def build(
        self,
        input_shape: tuple[int, int],
        generator: torch.Generator,
        *,
        device: torch.device,
        products: torch.dtype,
        state: torch.dtype,
    ) -> list[LocalFields]:
        """See `Architecture.build`."""
        built = []
        layers = zip(self.layers, self._maps(input_shape), self.shapes(input_shape), strict=True)
        for (_, stride, field, _), below, shape in layers:
            weight = torch.randn(shape, generator=generator, dtype=torch.float32)
            weight *= (self.init_gain / shape[1]) ** 0.5
            built.append(LocalFields(weight.to(device, state), below, field=field, stride=stride, products=products))
        return built

    def _maps(self, input_shape: tuple[int, int]) -> list[tuple[int, int, int]]:
        """What lies below each layer, (rows, columns, channels)."""
        return [(*input_shape, 1), *((grid, grid, channels) for grid, _, _, channels in self.layers[:-1])]

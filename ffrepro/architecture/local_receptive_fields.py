"""Nets whose units see a small square of what lies below, without sharing weights.

Source: The Forward-Forward Algorithm, section 3.2: three layers on grids of 4 × 4, 3 × 3 and 2 × 2 locations; and
section 4: two or three layers on grids of 32 × 32, whose fields are cut off at the edges.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch

from ffrepro.architecture import check_gain
from ffrepro.errors import UserError
from ffrepro.forward_forward.connections import Connections
from ffrepro.forward_forward.local_fields import LocalFields, inside, patches
from ffrepro.forward_forward.weights import Dense

# Units in a tile of several locations from which on products are fast.
_TILE_UNITS = 192
# Channels in a tile, at most: with more, locations by themselves are wide enough.
_TILE_CHANNELS = 64


class LocalReceptiveFields:
    """Hidden layers on square grids. W ~ N(0, `init_gain` / fan_in) of each source, as in `Mlp`; biases 0.

    Args:
        layers: of each (grid, stride, field, channels): locations in a row, the steps between them, the side of what
            each sees, in pixels or in locations of the grid below, and the units at each location.
        init_gain: see `Mlp`.
        padding: how far fields reach beyond the edges of what is below, where there is nothing to see; None: not.
    """

    shares_weights: ClassVar[bool] = False

    def __init__(self, layers: Sequence[Sequence[int]], init_gain: float, padding: int | None) -> None:
        for layer in layers:
            if len(layer) != 4 or min(layer) < 1:
                raise UserError(
                    f"architecture.layers has {list(layer)}: expected [grid,stride,field,channels], all positive."
                )
        if not layers:
            raise UserError("architecture.layers is empty: expected [grid,stride,field,channels] of each layer.")
        self.layers = [tuple(layer) for layer in layers]
        smallest = min(layer[2] for layer in layers)
        if padding is not None and not 0 <= padding < smallest:
            raise UserError(
                f"architecture.padding is {padding}: expected null, or 0 to less than the smallest field, {smallest}."
            )
        check_gain(init_gain)
        self.init_gain = init_gain
        self.padding = padding or 0

    def shapes(self, input_shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """See `Architecture.shapes`: (blocks computed as one, what each is given, units in each)."""
        shapes: list[tuple[int, ...]] = []
        for (grid, stride, field, channels), below in zip(self.layers, self._maps(input_shape), strict=True):
            reached = (grid - 1) * stride + field
            covered = (below[0] + 2 * self.padding, below[1] + 2 * self.padding)
            if covered != (reached, reached):
                raise UserError(
                    f"architecture.layers has [{grid},{stride},{field},{channels}], whose fields cover "
                    f"{reached} × {reached} of the {covered[0]} × {covered[1]} below it"
                    + (f" (with architecture.padding={self.padding} on every side)" if self.padding else "")
                    + ": expected all of it."
                )
            tile = _tile(below[0], field=field, stride=stride, padding=self.padding, channels=channels)
            if tile is None:
                shapes.append((grid**2, field**2 * below[2], channels))
            else:
                seen = _seen(below[0], tile, field=field, stride=stride, padding=self.padding)
                shapes.append((grid**2 // math.prod(tile), seen * below[2], math.prod(tile) * channels))
        return shapes

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
        """See `Architecture.build`.

        With `top`, each location sees a field of the map above, around its own place there; so all grids are alike.
        """
        self.shapes(input_shape)  # do they fit?
        maps = self._maps(input_shape)
        built = []
        for k, (grid, stride, field, channels) in enumerate(self.layers):
            seen = [(maps[k], stride, self.padding)]
            if top is not None and k + 1 < len(self.layers):
                seen.append((self._above(k), 1, field // 2))
            visible = [inside(source, field=field, stride=step, padding=edge) for source, step, edge in seen]
            last = top if top is not None and k + 1 == len(self.layers) else 0
            sources: list[Dense | LocalFields] = []
            for (source, step, edge), one in zip(seen, visible, strict=True):
                scale = (self.init_gain / one.sum(1).double()).sqrt().float().view(-1, 1, 1)
                weight = torch.randn(*one.shape, channels, generator=generator, dtype=torch.float32) * scale
                sources.append(
                    LocalFields(
                        weight.to(device, state),
                        source,
                        field=field,
                        stride=step,
                        padding=edge,
                        tile=_tile(source[0], field=field, stride=step, padding=edge, channels=channels),
                        products=products,
                    )
                )
            if last:
                label = torch.randn(last, grid * grid, channels, generator=generator, dtype=torch.float32)
                label *= (self.init_gain / last) ** 0.5
                sources.append(Dense(label.view(last, -1).to(device, state), products))
            built.append(Connections(*sources))
        return built

    def _maps(self, input_shape: tuple[int, ...]) -> list[tuple[int, int, int]]:
        """What lies below each layer, (rows, columns, channels)."""
        image = (input_shape[0], input_shape[1], math.prod(input_shape[2:]))
        return [image, *((grid, grid, channels) for grid, _, _, channels in self.layers[:-1])]

    def _above(self, k: int) -> tuple[int, int, int]:
        """The map above layer `k`."""
        grid, _, field, _ = self.layers[k]
        above = self.layers[k + 1]
        if above[0] != grid or field % 2 == 0:
            raise UserError(
                f"architecture.layers has {list(self.layers[k])} below {list(above)}, and this algorithm's layers see "
                "the map above them: expected grids of one size and fields of an odd side."
            )
        return above[0], above[0], above[3]


def _tile(side: int, *, field: int, stride: int, padding: int, channels: int) -> tuple[int, int] | None:
    """Which locations that see a square map are computed as one; None: each by itself.

    That is where fields hardly overlap, or a location has many units. Else the larger a tile, the more it is given that
    most of its units do not see; the smaller, the slower its products.
    """
    if stride > 1 or channels > _TILE_CHANNELS:
        return None
    grid = side + 2 * padding - field + 1
    sizes = [size for size in range(1, grid + 1) if grid % size == 0]

    def cost(tile: tuple[int, int]) -> tuple[float, int]:
        """What each unit is given, more where too few make a product slow; of tiles alike less for longer rows."""
        seen = _seen(side, tile, field=field, stride=stride, padding=padding)
        return seen * max(1.0, _TILE_UNITS / (math.prod(tile) * channels)), -tile[1]

    return min(((rows, columns) for rows in sizes for columns in sizes), key=cost)


def _seen(side: int, tile: tuple[int, int], *, field: int, stride: int, padding: int) -> int:
    """How many places of a square map a tile is given."""
    return math.prod(patches(side, size, field=field, stride=stride, padding=padding)[0] for size in tile)

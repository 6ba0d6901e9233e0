"""Nets whose units see a small square of the map below, without sharing weights.

Source: The Forward-Forward Algorithm, section 3.2 for three layers on grids of 4 × 4, 3 × 3 and 2 × 2 locations, and
section 4 for two or three layers on grids of 32 × 32, whose fields are cut off at the edges.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ffrepro.architecture import Place, check_variance_scale
from ffrepro.architecture.modules import LocallyConnected, linear
from ffrepro.errors import UserError
from ffrepro.forward_forward.connections import Connections
from ffrepro.forward_forward.local_fields import LocalFields
from ffrepro.forward_forward.local_geometry import LocalGeometry, patches
from ffrepro.forward_forward.weights import Dense

# Matrix products of blocks with fewer units are slow.
TILE_UNITS = 192
# With more channels than this, the blocks of single locations are wide enough.
TILE_CHANNELS = 64


@dataclass(eq=False)
class LocalReceptiveFields:
    """Hidden ReLU layers on square grids. W ~ N(0, `init_variance_scale` / fan_in) for each source; biases 0."""

    # (grid, stride, field, channels) of each layer: the locations in a row, the step between fields, the side of a
    # field (in pixels, or in locations of the grid below), and the units at each location.
    layers: Sequence[Sequence[int]]
    init_variance_scale: float  # see `Mlp`
    padding: int  # how far fields reach beyond the edges of the map below; nothing is seen there

    def __post_init__(self) -> None:
        for layer in self.layers:
            if len(layer) != 4 or min(layer) < 1:
                raise UserError(
                    f"architecture.layers has {list(layer)}: expected [grid,stride,field,channels], all positive."
                )
        if not self.layers:
            raise UserError("architecture.layers is empty: expected [grid,stride,field,channels] for each layer.")
        smallest = min(layer[2] for layer in self.layers)
        if not 0 <= self.padding < smallest:
            raise UserError(
                f"architecture.padding is {self.padding}: expected 0 to less than the smallest field, {smallest}."
            )
        check_variance_scale(self.init_variance_scale)

    def connections(
        self, input_shape: tuple[int, ...], generator: torch.Generator, place: Place, top_down_units: int | None
    ) -> list[Connections]:
        """See `LayerArchitecture.connections`.

        With `top_down_units`, each location also sees a field of the map above, around its own place. So all grids must
        have the same size. The units above the highest layer are fully connected.
        """
        layers = []
        for k, bottom_up in enumerate(self._bottom_up(input_shape)):
            highest = k + 1 == len(self.layers)
            geometries = [bottom_up]
            if top_down_units is not None and not highest:
                geometries.append(self._top_down(k))
            sources: list[Dense | LocalFields] = [
                LocalFields(
                    self._draw(geometry, generator).to(place.device, place.param_dtype), geometry, place.compute_dtype
                )
                for geometry in geometries
            ]
            if top_down_units is not None and highest:
                label = torch.randn(top_down_units, bottom_up.width, generator=generator, dtype=torch.float32)
                label *= (self.init_variance_scale / top_down_units) ** 0.5
                sources.append(place.dense(label))
            layers.append(Connections(*sources))
        return layers

    def blocks(self, input_shape: tuple[int, ...], n_outputs: int, generator: torch.Generator) -> nn.Sequential:
        """See `ModuleArchitecture.blocks`. The output layer is fully connected and starts at 0."""
        geometries = list(self._bottom_up(input_shape))
        hidden = [
            nn.Sequential(LocallyConnected(geometry, self._draw(geometry, generator)), nn.ReLU())
            for geometry in geometries
        ]
        return nn.Sequential(*hidden, linear(torch.zeros(geometries[-1].width, n_outputs)))

    def _draw(self, geometry: LocalGeometry, generator: torch.Generator) -> Tensor:
        """Draw weights by location. The fan-in of a location is the number of places that it sees within the map."""
        visible = geometry.visible(torch.device("cpu"))
        scale = (self.init_variance_scale / visible.sum(1).double()).sqrt().float().view(-1, 1, 1)
        return torch.randn(*visible.shape, geometry.channels, generator=generator, dtype=torch.float32) * scale

    def _bottom_up(self, input_shape: tuple[int, ...]) -> Iterator[LocalGeometry]:
        """The geometry of each layer on the map below."""
        below = (input_shape[0], input_shape[1], math.prod(input_shape[2:]))
        for grid, stride, field, channels in self.layers:
            reached = (grid - 1) * stride + field
            covered = (below[0] + 2 * self.padding, below[1] + 2 * self.padding)
            if covered != (reached, reached):
                raise UserError(
                    f"architecture.layers has [{grid},{stride},{field},{channels}], whose fields cover "
                    f"{reached} × {reached} of the {covered[0]} × {covered[1]} below it"
                    + (f" (with architecture.padding={self.padding} on every side)" if self.padding else "")
                    + ": expected all of it."
                )
            yield self._geometry(below, field=field, stride=stride, padding=self.padding, channels=channels)
            below = (grid, grid, channels)

    def _top_down(self, k: int) -> LocalGeometry:
        """The geometry of layer `k` on the map above."""
        grid, _, field, channels = self.layers[k]
        above = self.layers[k + 1]
        if above[0] != grid or field % 2 == 0:
            raise UserError(
                f"architecture.layers has {list(self.layers[k])} below {list(above)}, and this algorithm's layers see "
                "the map above them: expected grids of one size and fields of an odd side."
            )
        return self._geometry((grid, grid, above[3]), field=field, stride=1, padding=field // 2, channels=channels)

    @staticmethod
    def _geometry(
        source: tuple[int, int, int], *, field: int, stride: int, padding: int, channels: int
    ) -> LocalGeometry:
        tile = _tile(source[0], field=field, stride=stride, padding=padding, channels=channels)
        return LocalGeometry(source=source, field=field, stride=stride, padding=padding, channels=channels, tile=tile)


def _tile(side: int, *, field: int, stride: int, padding: int, channels: int) -> tuple[int, int] | None:
    """The rows and columns of locations in a block; None makes each location a block.

    Single locations are best if fields hardly overlap, or if a location has many units. Otherwise a larger tile has
    more inputs that most of its units do not see, and a smaller tile has slower matrix products.
    """
    if stride > 1 or channels > TILE_CHANNELS:
        return None
    grid = side + 2 * padding - field + 1
    sizes = [size for size in range(1, grid + 1) if grid % size == 0]

    def cost(tile: tuple[int, int]) -> tuple[float, int]:
        """The inputs of a block, times a penalty for few units. Ties go to the tile with longer rows."""
        n_inputs = math.prod(patches(side, size, field=field, stride=stride, padding=padding)[0] for size in tile)
        return n_inputs * max(1.0, TILE_UNITS / (math.prod(tile) * channels)), -tile[1]

    return min(((rows, columns) for rows in sizes for columns in sizes), key=cost)

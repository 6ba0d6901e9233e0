"""Square receptive fields on a grid of locations, and how their weighted sums are computed.

If few channels see large fields, the matrix products of single locations are too narrow to be fast. Then a tile of
locations is computed as one block. The block gets all places of the source that any of its units sees. A unit has
weights of 0, which stay 0, for the places outside its field.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True, kw_only=True)
class LocalGeometry:
    """A grid of locations, each with `channels` units that see the same square field of a map.

    Maps (height, width, channels) and the activities of the grid (rows, columns, channels) are flattened. Raises
    ValueError if the tile does not divide the grid.
    """

    source: tuple[int, int, int]  # the shape of the map, (height, width, channels)
    field: int  # the side of a field
    stride: int  # the step from a field to the next
    padding: int  # how far the first and last fields reach beyond the edges of the map; nothing is seen there
    channels: int  # the number of units at a location
    tile: tuple[int, int] | None  # the rows and columns of locations in a block; None makes each location a block

    def __post_init__(self) -> None:
        if self.tile is not None and (self.rows % self.tile[0] or self.columns % self.tile[1]):
            raise ValueError(f"tile is {self.tile}: expected divisors of {self.rows} and {self.columns}")

    @cached_property
    def rows(self) -> int:
        return (self.source[0] + 2 * self.padding - self.field) // self.stride + 1

    @cached_property
    def columns(self) -> int:
        return (self.source[1] + 2 * self.padding - self.field) // self.stride + 1

    @cached_property
    def fan_in(self) -> int:
        """The size of the source."""
        return math.prod(self.source)

    @cached_property
    def width(self) -> int:
        """The number of units."""
        return self.rows * self.columns * self.channels

    @cached_property
    def block(self) -> tuple[int, int]:
        """The rows and columns of locations in a block."""
        return self.tile or (1, 1)

    @cached_property
    def _patches(self) -> tuple[tuple[int, list[int]], tuple[int, list[int]]]:
        """For rows and for columns of the source: the number that a block gets, and the first for each tile."""
        if self.tile is None:
            return (self.field, []), (self.field, [])
        height, width = (
            patches(side, size, field=self.field, stride=self.stride, padding=self.padding)
            for side, size in zip(self.source[:2], self.tile, strict=True)
        )
        return height, width

    @cached_property
    def weight_shape(self) -> tuple[int, int, int]:
        """(number of blocks, inputs of a block, units of a block)."""
        n_locations = math.prod(self.block)
        n_blocks = self.rows * self.columns // n_locations
        (height, _), (width, _) = self._patches
        return n_blocks, height * width * self.source[2], n_locations * self.channels

    def windows(self, inputs: Tensor) -> Tensor | list[Tensor]:
        """The inputs of each block, (B, inputs of a block), given maps (B, fan_in)."""
        maps = inputs.view(-1, *self.source)
        if self.tile is None:
            edge = self.padding
            fields = pad(maps, (0, 0, edge, edge, edge, edge)) if edge else maps
            fields = fields.unfold(1, self.field, self.stride).unfold(2, self.field, self.stride)
            # (B, rows, columns, channels, y, x) -> (rows, columns, B, y, x, channels)
            n_blocks, n_inputs, _ = self.weight_shape
            return fields.permute(1, 2, 0, 4, 5, 3).reshape(n_blocks, len(maps), n_inputs)
        (height, tops), (width, lefts) = self._patches
        # After this copy of the columns the rows are contiguous, and each window is a view.
        columns = [maps[:, :, left : left + width].flatten(1) for left in lefts]
        row = width * self.source[2]
        return [column[:, top * row : (top + height) * row] for top in tops for column in columns]

    def products(self, inputs: Tensor, weight: Tensor) -> Tensor:
        """The weighted sums of each block, (blocks, B, units of a block), given maps (B, fan_in)."""
        windows = self.windows(inputs)
        return torch.bmm(windows if isinstance(windows, Tensor) else torch.stack(windows), weight)

    def flat(self, blocks: Tensor) -> Tensor:
        """Rearrange (blocks, B, units of a block) to (B, width)."""
        return self.by_rows(blocks).permute(2, 0, 3, 1, 4).reshape(blocks.shape[1], self.width)

    def by_tiles(self, activities: Tensor) -> Tensor:
        """View (B, width) as (tiles in a column, tiles in a row, B, rows of a tile, units in a row of a tile)."""
        (down, across), (rows, columns) = self._tiles, self.block
        return activities.view(len(activities), down, rows, across, columns * self.channels).permute(1, 3, 0, 2, 4)

    def by_rows(self, blocks: Tensor) -> Tensor:
        """View (blocks, B, units of a block) in the shape of `by_tiles`."""
        rows, columns = self.block
        return blocks.view(*self._tiles, blocks.shape[1], rows, columns * self.channels)

    @cached_property
    def _tiles(self) -> tuple[int, int]:
        return self.rows // self.block[0], self.columns // self.block[1]

    def as_blocks(self, fields: Tensor) -> tuple[Tensor, Tensor | None]:
        """Rearrange weights by location to weights by block.

        `fields` are (rows · columns, field² · channels of the source, channels). Weights beyond the edges are dropped.
        Returns the weights, of shape `weight_shape`, and a mask of the same shape: 1 if a weight exists, 0 if not. The
        mask is None if all weights exist.
        """
        if self.tile is None and not self.padding:
            return fields, None
        weight, kept = fields.new_zeros(self.weight_shape), fields.new_zeros(self.weight_shape)
        visible = self.visible(fields.device)
        places = self._places(fields.device)[visible]
        weight.view(-1)[places] = fields[visible]
        kept.view(-1)[places] = 1
        return weight, kept

    def by_location(self, weight: Tensor) -> Tensor:
        """The inverse of `as_blocks`. Weights beyond the edges are 0."""
        visible = self.visible(weight.device)
        fields = weight.new_zeros(*visible.shape, self.channels)
        fields[visible] = weight.flatten()[self._places(weight.device)[visible]]
        return fields

    def visible(self, device: torch.device) -> Tensor:
        """Whether each place of a field lies within the source, (rows · columns, field² · channels of the source)."""
        within = []
        for side in self.source[:2]:
            first = torch.arange((side + 2 * self.padding - self.field) // self.stride + 1) * self.stride - self.padding
            place = first[:, None] + torch.arange(self.field)
            within.append((place >= 0) & (place < side))
        rows, columns = within
        both = rows[:, None, :, None] & columns[None, :, None, :]  # (rows, columns, y, x)
        return both.flatten(2).flatten(0, 1).repeat_interleave(self.source[2], dim=1).to(device)

    def _places(self, device: torch.device) -> Tensor:
        """The index of each weight of `fields`, see `as_blocks`, in the flattened weights by block.

        The indices of places beyond the edges are arbitrary.
        """
        n_below, (block_rows, block_columns) = self.source[2], self.block
        location = torch.arange(self.rows * self.columns, device=device)
        row, column = location // self.columns, location % self.columns
        place = torch.arange(self.field**2 * n_below, device=device)
        y, x, below = place // n_below // self.field, place // n_below % self.field, place % n_below
        (_, tops), (patch_width, lefts) = self._patches
        if self.tile is not None:  # relative to the first row and column of the tile's patch
            top, left = torch.tensor(tops, device=device), torch.tensor(lefts, device=device)
            y = (row * self.stride - self.padding - top[row // block_rows])[:, None] + y
            x = (column * self.stride - self.padding - left[column // block_columns])[:, None] + x
        in_patch = (y * patch_width + x) * n_below + below
        in_block = row % block_rows * block_columns + column % block_columns
        unit = in_block[:, None] * self.channels + torch.arange(self.channels, device=device)
        block = row // block_rows * (self.columns // block_columns) + column // block_columns
        _, n_inputs, n_units = self.weight_shape
        return (block[:, None] * n_inputs + in_patch).unsqueeze(2) * n_units + unit.unsqueeze(1)

    def fields(self, weight: Tensor, n: int, input_shape: tuple[int, ...]) -> Tensor:
        """The weights of at most `n` units as images (n, field, field), in color (n, field, field, 3).

        They are the first units of each location or, if there are more than `n` locations, of a regular selection.

        `weight` has the weights by block. `input_shape` has three numbers in color.
        """
        side = int(n**0.5)
        weights = self.by_location(weight)
        if len(weights) > n:
            rows, columns = (
                [(2 * k + 1) * total // (2 * side) for k in range(side)] for total in (self.rows, self.columns)
            )
            weights = weights[[row * self.columns + column for row in rows for column in columns]]
        each = -(-n // len(weights))
        shown = weights[:, :, :each].transpose(1, 2).reshape(-1, weights.shape[1])[:n]
        return shown.view(-1, self.field, self.field, *input_shape[2:])


def patches(side: int, size: int, *, field: int, stride: int, padding: int) -> tuple[int, list[int]]:
    """The rows (or columns) of a source that each tile of `size` locations gets, all within the source.

    Returns their number, which is the largest number that any tile needs, and the first row for each tile.
    """
    n_locations = (side + 2 * padding - field) // stride + 1
    starts = range(-padding, n_locations * stride - padding, size * stride)
    reach = (size - 1) * stride + field
    patch = max(min(start + reach, side) - max(start, 0) for start in starts)
    return patch, [min(max(start, 0), side - patch) for start in starts]

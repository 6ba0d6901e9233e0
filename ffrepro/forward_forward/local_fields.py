"""Weights of units that see a square field of a map each, without sharing weights."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

from ffrepro.forward_forward.weights import Learning, add_product

# Numbers gathered from the source at a time on a CPU: some megabytes, which stay in its caches.
_GATHERED = 4_000_000


class LocalFields(Learning):
    """Each location of a grid has channels of its own, which see a square field of the source; none shares weights.

    The source is a map (height, width, channels), flattened; so is what is driven: (rows, columns, channels).

    Where few channels see large fields, the products of single locations are too narrow to be fast. So a `tile` of
    locations is computed as one: its units are given all places of the source that any of them sees, and weights of 0,
    which stay 0, for what they do not see.

    Args:
        fields: the weights, (rows · columns, field² · channels of the source, channels), in the order of the maps.
            Those of places beyond the edges count for nothing.
        source: the shape of the map that is seen.
        field: side of a field.
        stride: from one field to the next.
        padding: how far the first and the last fields reach beyond the edges, where there is nothing to see.
        tile: rows and columns of locations that are computed as one; None: each location by itself.
        products: see `Dense`.
    """

    def __init__(
        self,
        fields: Tensor,
        source: tuple[int, int, int],
        *,
        field: int,
        stride: int,
        padding: int,
        tile: tuple[int, int] | None,
        products: torch.dtype,
    ) -> None:
        self.source = source
        self.field = field
        self.stride = stride
        self.padding = padding
        self.tile = tile
        self.channels = fields.shape[2]
        self.rows, self.columns = ((side + 2 * padding - field) // stride + 1 for side in source[:2])
        if tile is not None and (self.rows % tile[0] or self.columns % tile[1]):
            raise ValueError(f"tile is {tile}: expected divisors of {self.rows} and {self.columns}")
        # On a GPU all at once.
        self._tile_by_tile = tile is not None and not fields.is_cuda
        # What is computed as one, and what that is given: rows and columns of locations, and of the source.
        self._block, self._patch = (1, 1), (field, field)
        # Of the source the first rows and columns that tiles are given.
        self._first: tuple[list[int], list[int]] = ([], [])
        if tile is not None:
            (height, tops), (width, lefts) = (
                patches(side, size, field=field, stride=stride, padding=padding)
                for side, size in zip(source[:2], tile, strict=True)
            )
            self._block, self._patch, self._first = tile, (height, width), (tops, lefts)
        # Of the shape of `weight`, 1 where there is a weight and 0 where there is none; None where all are.
        self.kept: Tensor | None = None
        if tile is not None or padding:
            weight, self.kept = fields.new_zeros(self._shape()), fields.new_zeros(self._shape())
            visible = self._visible(fields.device)
            places = self._places(fields.device)[visible]
            weight.view(-1)[places] = fields[visible]
            self.kept.view(-1)[places] = 1
            fields = weight
        super().__init__(fields, products)

    @property
    def fan_in(self) -> int:
        height, width, channels = self.source
        return height * width * channels

    @property
    def width(self) -> int:
        return self.rows * self.columns * self.channels

    def windows(self, source: Tensor) -> Tensor | list[Tensor]:
        """What each block sees of maps (B, height · width · channels): (B, seen) each."""
        if self.tile is None:
            maps, edge = source.view(-1, *self.source), self.padding
            fields = pad(maps, (0, 0, edge, edge, edge, edge)) if edge else maps
            fields = fields.unfold(1, self.field, self.stride).unfold(2, self.field, self.stride)
            # (B, rows, columns, channels, y, x) -> (rows, columns, B, y, x, channels)
            return fields.permute(1, 2, 0, 4, 5, 3).reshape(len(self.weight), len(maps), self.weight.shape[1])
        maps = source.view(-1, *self.source)
        (height, width), (tops, lefts) = self._patch, self._first
        # Columns, copied together, and of these rows, which then lie one after the other: nothing more is gathered.
        columns = [maps[:, :, left : left + width].flatten(1) for left in lefts]
        row = width * self.source[2]
        return [one[:, top * row : (top + height) * row] for top in tops for one in columns]

    def drive(self, source: Tensor, weight: Tensor, onto: Tensor) -> Tensor:
        """See `product`, with a `weight` of the same shape: for autograd."""
        driven = torch.bmm(_stacked(self.windows(source.to(weight.dtype))), weight)
        whole = self._by_rows(driven).permute(2, 0, 3, 1, 4)
        return whole.reshape(len(source), self.width).to(onto.dtype).add_(onto)

    def product(self, source: Tensor, onto: Tensor) -> Tensor:
        driven = onto.new_empty(len(source), self.width)
        at_once = self._at_once(len(source))
        for part, place in zip(torch.split(source, at_once), torch.split(driven, at_once), strict=True):
            blocks = torch.bmm(_stacked(self.windows(part.to(self.rounded.dtype))), self.rounded)
            self._of_tiles(place).copy_(self._by_rows(blocks))
        return driven.add_(onto)

    def _gradient_in_parts(self, source: Tensor, delta: Tensor, momentum: float, share: float) -> Iterator[slice]:
        if not self._tile_by_tile:
            asked = self._of_tiles(delta).flatten(0, 1).flatten(2)  # (blocks, R, units)
            at_once = self._at_once(len(source))
            for part, wanted in zip(torch.split(source, at_once), torch.split(asked, at_once, dim=1), strict=True):
                given = _stacked(self.windows(part)).transpose(1, 2)
                add_product(self.velocity, given, wanted, beta=momentum, alpha=share)
                momentum = 1.0  # the other parts' are added
            if self.kept is not None:
                self.velocity.mul_(self.kept)
            yield slice(None)
        else:
            asked_of_each = (asked for beside in self._of_tiles(delta) for asked in beside)
            for block, (seen, asked) in enumerate(zip(self.windows(source), asked_of_each, strict=True)):
                add_product(self.velocity[block], seen.t(), asked.flatten(1), beta=momentum, alpha=share)
                if self.kept is not None:
                    self.velocity[block].mul_(self.kept[block])
                yield slice(block, block + 1)

    def _at_once(self, rows: int) -> int:
        """How many of `rows` are worked on at a time."""
        n_blocks, seen, _ = self.weight.shape
        return rows if self.weight.is_cuda else max(1, min(rows, _GATHERED // (n_blocks * seen)))

    def by_location(self) -> Tensor:
        """The weights as they were given, (rows · columns, field² · channels of the source, channels).

        Those of places beyond the edges are 0.
        """
        visible = self._visible(self.weight.device)
        weights = self.weight.new_zeros(*visible.shape, self.channels)
        weights[visible] = self.weight.flatten()[self._places(self.weight.device)[visible]]
        return weights

    def _visible(self, device: torch.device) -> Tensor:
        """Whether a place that a location sees is not beyond the edges."""
        return inside(self.source, field=self.field, stride=self.stride, padding=self.padding).to(device)

    def _shape(self) -> tuple[int, int, int]:
        """Of `weight`: blocks, what each is given, units in each."""
        n_locations = math.prod(self._block)
        n_blocks = self.rows * self.columns // n_locations
        return n_blocks, math.prod(self._patch) * self.source[2], n_locations * self.channels

    def _tiles(self) -> tuple[int, int]:
        """Into how many blocks the rows and the columns of locations are cut."""
        return self.rows // self._block[0], self.columns // self._block[1]

    def _of_tiles(self, driven: Tensor) -> Tensor:
        """A view of maps (B, width) by tiles: (tiles above each other, beside each other, B, rows, units in a row)."""
        (down, across), (rows, columns) = self._tiles(), self._block
        return driven.view(len(driven), down, rows, across, columns * self.channels).permute(1, 3, 0, 2, 4)

    def _by_rows(self, blocks: Tensor) -> Tensor:
        """The same view of (blocks, B, units)."""
        rows, columns = self._block
        return blocks.view(*self._tiles(), blocks.shape[1], rows, columns * self.channels)

    def _places(self, device: torch.device) -> Tensor:
        """Where in the flat `weight` those of each location are, shaped as `by_location`.

        Those of places beyond the edges are nowhere, and have any number.
        """
        n_below, (block_rows, block_columns) = self.source[2], self._block
        location = torch.arange(self.rows * self.columns, device=device)
        row, column = location // self.columns, location % self.columns
        seen = torch.arange(self.field**2 * n_below, device=device)
        y, x, below = seen // n_below // self.field, seen // n_below % self.field, seen % n_below
        if self.tile is not None:  # counted from the first row and column that the tile is given
            top, left = (torch.tensor(first, device=device) for first in self._first)
            y = (row * self.stride - self.padding - top[row // block_rows])[:, None] + y
            x = (column * self.stride - self.padding - left[column // block_columns])[:, None] + x
        given = (y * self._patch[1] + x) * n_below + below
        in_block = row % block_rows * block_columns + column % block_columns
        unit = in_block[:, None] * self.channels + torch.arange(self.channels, device=device)
        number = row // block_rows * (self.columns // block_columns) + column // block_columns
        _, n_given, n_units = self._shape()
        return (number[:, None] * n_given + given).unsqueeze(2) * n_units + unit.unsqueeze(1)

    def fields(self, n: int, input_shape: tuple[int, ...]) -> Tensor:
        """As many of each location as there is room for, location after location; of many locations, some."""
        side = int(n**0.5)
        weights = self.by_location()
        if len(weights) > n:
            spread = [[(2 * k + 1) * of // (2 * side) for k in range(side)] for of in (self.rows, self.columns)]
            weights = weights[[row * self.columns + column for row in spread[0] for column in spread[1]]]
        each = -(-n // len(weights))
        shown = weights[:, :, :each].transpose(1, 2).reshape(-1, weights.shape[1])[:n]
        colours = input_shape[2:]
        return shown.view(-1, self.field, self.field, *colours)


def _stacked(parts: Tensor | list[Tensor]) -> Tensor:
    return parts if isinstance(parts, Tensor) else torch.stack(parts)


def inside(source: tuple[int, int, int], *, field: int, stride: int, padding: int) -> Tensor:
    """Which of the places that the locations of `LocalFields` see are not beyond the edges.

    Returns booleans (rows · columns, field² · channels of the source).
    """
    within = []
    for side in source[:2]:
        first = torch.arange((side + 2 * padding - field) // stride + 1) * stride - padding
        place = first[:, None] + torch.arange(field)
        within.append((place >= 0) & (place < side))
    rows, columns = within
    both = rows[:, None, :, None] & columns[None, :, None, :]  # (rows, columns, y, x)
    return both.flatten(2).flatten(0, 1).repeat_interleave(source[2], dim=1)


def patches(side: int, size: int, *, field: int, stride: int, padding: int) -> tuple[int, list[int]]:
    """Of a source's rows, or columns, as many as a tile of `size` locations sees at most, and each tile's first one.

    None of them lies beyond the edges.
    """
    n_locations = (side + 2 * padding - field) // stride + 1
    starts = range(-padding, n_locations * stride - padding, size * stride)
    reach = (size - 1) * stride + field
    patch = max(min(start + reach, side) - max(start, 0) for start in starts)
    return patch, [min(max(start, 0), side - patch) for start in starts]

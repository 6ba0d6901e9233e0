"""Weights of units that see a square field of a map each, without sharing weights."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from ffrepro.weights import Learning

# Numbers gathered from fields at a time on a CPU: some megabytes, which stay in its caches.
_GATHERED = 4_000_000


class LocalFields(Learning):
    """Each location of a grid has channels of its own, which see a square field of the source; none shares weights.

    The source is a map (height, width, channels), flattened; so is what is driven: (rows, columns, channels).

    Where few channels see large fields, the products of single locations are too narrow to be fast. So a square tile
    of `tile` · `tile` locations is computed as one: its units are given all that any of them sees, and weights of 0,
    which stay 0, for what they do not see.

    Args:
        fields: the weights, (rows · columns, field² · channels of the source, channels), in the order of the maps.
            Those of places beyond the edges count for nothing.
        source: the shape of the map that is seen.
        field: side of a field.
        stride: from one field to the next.
        padding: how far the first and the last fields reach beyond the edges, where there is nothing to see.
        tile: side of a tile, which divides rows and columns.
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
        tile: int,
        products: torch.dtype,
    ) -> None:
        self.source = source
        self.field = field
        self.stride = stride
        self.padding = padding
        self.tile = tile
        self.channels = fields.shape[2]
        self.rows, self.columns = ((side + 2 * padding - field) // stride + 1 for side in source[:2])
        if self.rows % tile or self.columns % tile:
            raise ValueError(f"tile is {tile}: expected a divisor of {self.rows} and {self.columns}")
        self._patch = field + (tile - 1) * stride  # side of what a tile is given
        # Of the shape of `weight`, 1 where there is a weight and 0 where there is none; None where all are.
        self.kept: Tensor | None = None
        if tile > 1 or padding:
            n_tiles = self.rows * self.columns // tile**2
            shape = (n_tiles, self._patch**2 * source[2], tile**2 * self.channels)
            visible = inside(source, field=field, stride=stride, padding=padding).to(fields.device)
            places = self._places(fields.device)[visible]
            weight, self.kept = fields.new_zeros(shape), fields.new_zeros(shape)
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

    def windows(self, source: Tensor) -> Tensor:
        """What each tile sees, (n_tiles, B, patch² · channels), of maps (B, height · width · channels)."""
        maps, reach = source.view(-1, *self.source), self.padding
        if reach:
            maps = pad(maps, (0, 0, reach, reach, reach, reach))
        step = self.tile * self.stride
        fields = maps.unfold(1, self._patch, step).unfold(2, self._patch, step)
        # (B, rows, columns, channels, y, x) -> (rows, columns, B, y, x, channels)
        return fields.permute(1, 2, 0, 4, 5, 3).reshape(len(self.weight), len(maps), self.weight.shape[1])

    def drive(self, source: Tensor, weight: Tensor, onto: Tensor) -> Tensor:
        """See `product`, with a `weight` of the same shape: for autograd."""
        rows, columns, tile = self.rows // self.tile, self.columns // self.tile, self.tile
        driven = torch.bmm(self.windows(source.to(weight.dtype)), weight)
        # (rows, columns, B, y, x, channels) -> (B, rows, y, columns, x, channels)
        driven = driven.view(rows, columns, len(source), tile, tile, self.channels).permute(2, 0, 3, 1, 4, 5)
        return driven.reshape(len(source), self.width).to(onto.dtype).add_(onto)

    def product(self, source: Tensor, onto: Tensor) -> Tensor:
        parts = torch.split(source, self._at_once(len(source)))
        ontos = [onto] * len(parts) if onto.dim() == 1 else torch.split(onto, len(parts[0]))
        driven = [self.drive(part, self.rounded, beside) for part, beside in zip(parts, ontos, strict=True)]
        return driven[0] if len(driven) == 1 else torch.cat(driven)

    def _add_gradient(self, source: Tensor, delta: Tensor, momentum: float, share: float) -> None:
        rows, columns, tile = self.rows // self.tile, self.columns // self.tile, self.tile
        tiled = delta.view(-1, rows, tile, columns, tile, self.channels).permute(1, 3, 0, 2, 4, 5)
        asked = tiled.reshape(len(self.weight), -1, self.weight.shape[2])
        if self.weight.is_cuda and self.rounded is not self.weight:
            dtype = self.rounded.dtype
            gradient = torch.bmm(self.windows(source.to(dtype)).transpose(1, 2), asked.to(dtype))
            self.velocity.mul_(momentum).add_(gradient, alpha=share)
        else:
            at_once = self._at_once(len(source))
            for part, beside in zip(torch.split(source, at_once), torch.split(asked, at_once, dim=1), strict=True):
                self.velocity.baddbmm_(self.windows(part).transpose(1, 2), beside, beta=momentum, alpha=share)
                momentum = 1.0  # the other parts' are added
        if self.kept is not None:
            self.velocity.mul_(self.kept)

    def _at_once(self, rows: int) -> int:
        """How many of `rows` are worked on at a time."""
        n_tiles, seen, _ = self.weight.shape
        return rows if self.weight.is_cuda else max(1, min(rows, _GATHERED // (n_tiles * seen)))

    def by_location(self) -> Tensor:
        """The weights as they were given, (rows · columns, field² · channels of the source, channels)."""
        return self.weight.flatten()[self._places(self.weight.device)]

    def _places(self, device: torch.device) -> Tensor:
        """Where in the flat `weight` those of each location are; shaped as `by_location`."""
        n_below, tile = self.source[2], self.tile
        location = torch.arange(self.rows * self.columns, device=device)
        row, column = location // self.columns, location % self.columns
        seen = torch.arange(self.field**2 * n_below, device=device)
        y, x, below = seen // n_below // self.field, seen // n_below % self.field, seen % n_below
        in_tile = (row % tile, column % tile)
        patch_y = in_tile[0][:, None] * self.stride + y
        patch_x = in_tile[1][:, None] * self.stride + x
        given = (patch_y * self._patch + patch_x) * n_below + below
        unit = (in_tile[0] * tile + in_tile[1])[:, None] * self.channels + torch.arange(self.channels, device=device)
        number = row // tile * (self.columns // tile) + column // tile
        n_given, n_units = self._patch**2 * n_below, tile**2 * self.channels
        return ((number[:, None] * n_given + given) * n_units)[:, :, None] + unit[:, None, :]

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

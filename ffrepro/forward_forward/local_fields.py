"""Weights of local receptive fields, which are not shared between locations."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ffrepro.forward_forward.local_geometry import LocalGeometry
from ffrepro.forward_forward.weights import TrainableWeights, add_product

# A CPU gathers at most this many numbers from the source at a time: a few megabytes, which fit into its caches.
NUMBERS_AT_ONCE = 4_000_000


class LocalFields(TrainableWeights):
    """The weights of a grid of locations, see `LocalGeometry`. For `compute_dtype` see `Dense`.

    `fields` are the weights by location, (rows · columns, field² · channels of the source, channels).
    """

    def __init__(self, fields: Tensor, geometry: LocalGeometry, compute_dtype: torch.dtype) -> None:
        self.geometry = geometry
        weight, self.kept = geometry.as_blocks(fields)
        # On a CPU it is faster if blocks learn in turn.
        self.block_by_block = geometry.tile is not None and not fields.is_cuda
        super().__init__(weight, compute_dtype)

    @property
    def fan_in(self) -> int:
        return self.geometry.fan_in

    @property
    def width(self) -> int:
        return self.geometry.width

    def product(self, inputs: Tensor, onto: Tensor) -> Tensor:
        sums = onto.new_empty(len(inputs), self.width)
        at_once = self._rows_at_once(len(inputs))
        for part, place in zip(torch.split(inputs, at_once), torch.split(sums, at_once), strict=True):
            blocks = self.geometry.products(part.to(self.rounded.dtype), self.rounded)
            self.geometry.by_tiles(place).copy_(self.geometry.by_rows(blocks))
        return sums.add_(onto)

    def _gradient_in_parts(
        self, inputs: Tensor, delta: Tensor, momentum: float, gradient_scale: float
    ) -> Iterator[slice]:
        by_tiles = self.geometry.by_tiles(delta)
        if not self.block_by_block:
            deltas = by_tiles.flatten(0, 1).flatten(2)  # (blocks, R, units)
            at_once = self._rows_at_once(len(inputs))
            for part, part_deltas in zip(
                torch.split(inputs, at_once), torch.split(deltas, at_once, dim=1), strict=True
            ):
                windows = self.geometry.windows(part)
                stacked = windows if isinstance(windows, Tensor) else torch.stack(windows)
                add_product(self.velocity, stacked.transpose(1, 2), part_deltas, beta=momentum, alpha=gradient_scale)
                momentum = 1.0  # the other parts add to the same velocity
            if self.kept is not None:
                self.velocity.mul_(self.kept)
            yield slice(None)
        else:
            deltas_by_block = (block_delta for tiles in by_tiles for block_delta in tiles)
            for block, (window, block_delta) in enumerate(
                zip(self.geometry.windows(inputs), deltas_by_block, strict=True)
            ):
                velocity = self.velocity[block]
                add_product(velocity, window.t(), block_delta.flatten(1), beta=momentum, alpha=gradient_scale)
                if self.kept is not None:
                    velocity.mul_(self.kept[block])
                yield slice(block, block + 1)

    def _rows_at_once(self, n_rows: int) -> int:
        """The number of rows, at most `n_rows`, to gather at a time."""
        n_blocks, n_inputs, _ = self.weight.shape
        return n_rows if self.weight.is_cuda else max(1, min(n_rows, NUMBERS_AT_ONCE // (n_blocks * n_inputs)))

    def fields(self, n: int, input_shape: tuple[int, ...]) -> Tensor:
        return self.geometry.fields(self.weight, n, input_shape)

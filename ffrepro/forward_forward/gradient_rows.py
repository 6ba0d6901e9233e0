"""Inputs and deltas whose product is a layer's weight gradient."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ffrepro.forward_forward.passes import Pass

# Matrices are padded with zeros to a multiple of this many rows: bf16 products are faster, and few shapes occur.
ROWS_STEP = 32


class GradientRows:
    """Collect the inputs and the deltas of each source of a layer, for G = inputsᵀ · deltas.

    If a source gives the same tensor in several passes, the tensor is kept once, with the sum of its deltas.
    """

    def __init__(self, *, positive: Sequence[Pass], negative: Sequence[Pass]) -> None:
        passes = [*positive, *negative]
        by_source = zip(*(data.inputs for data in passes), strict=True)
        self._repeats = [len(set(map(id, inputs))) < len(passes) for inputs in by_source]
        self._inputs: list[list[Tensor]] = [[] for _ in self._repeats]
        self._sums: list[dict[int, Tensor]] = [{} for _ in self._repeats]
        # A row per example, and one for peer normalization.
        like = passes[0].activities
        self._width = like.shape[1]
        self._deltas = like.new_empty(_padded(sum(len(data.activities) for data in passes) + 1), self._width)
        self._n_deltas = 0

    def next_rows(self, n: int) -> Tensor:
        """An uninitialized tensor (n, width) for the deltas of the next pass."""
        self._n_deltas += n
        return self._deltas[self._n_deltas - n : self._n_deltas]

    def add_pass(self, inputs: Sequence[Tensor], kept: Tensor | None, delta: Tensor) -> None:
        """Add a pass with `inputs` (B, fan_in) from each source, whose rows `kept` (None stands for all) have deltas.

        `delta` (len(kept), width) is the tensor that `next_rows` returned last.
        """
        for source, repeats, collected, sums in zip(inputs, self._repeats, self._inputs, self._sums, strict=True):
            if not repeats:
                collected.append(rows(source, kept))  # its deltas are in `self._deltas`
                continue
            if id(source) not in sums:
                sums[id(source)] = delta.new_zeros(len(source), self._width)
                collected.append(source)
            if kept is None:
                sums[id(source)] += delta
            else:
                sums[id(source)].index_add_(0, kept, delta)

    def inputs(self) -> list[Tensor]:
        """(R, fan_in) from each source."""
        return [_joined(collected) for collected in self._inputs]

    def deltas(self) -> list[Tensor]:
        """(R, width) for each source."""
        end = _padded(self._n_deltas)
        self._deltas[self._n_deltas : end] = 0
        return [
            _joined([*sums.values()]) if repeats else self._deltas[:end]
            for repeats, sums in zip(self._repeats, self._sums, strict=True)
        ]


def rows(tensor: Tensor, kept: Tensor | None) -> Tensor:
    """The rows `kept` of a tensor, or all rows if `kept` is None."""
    return tensor if kept is None else tensor.index_select(0, kept)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """The rows of all `parts`, padded with zeros."""
    n = sum(map(len, parts))
    return torch.cat([*parts, parts[0].new_zeros(_padded(n) - n, parts[0].shape[1])])


def _padded(n: int) -> int:
    return n + -n % ROWS_STEP

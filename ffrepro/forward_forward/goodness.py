"""Goodness functions: how much a layer's activities speak for positive data.

Source: The Forward-Forward Algorithm, section 2 (sum of squares and its negative) and section 8 (sums of
unsquared activities).

Each takes activities (..., width) to goodness (...). `threshold_scale(width)` is the goodness of a layer whose
units all have activity 1; the threshold is θ times that, so that one θ means the same in every function.
`half_gradient` is half of the derivative by the activities, each row of it times a factor: the released code drops the
factor 2 of the squares, and the learning rates of the presets are in its units.
"""

from typing import Protocol

import torch
from torch import Tensor
from torch.linalg import vector_norm


class Goodness(Protocol):
    """Activities (..., width) -> goodness (...)."""

    def __call__(self, activities: Tensor) -> Tensor: ...

    def half_gradient(self, activities: Tensor, factors: Tensor, out: Tensor) -> Tensor:
        """`factors` (B, 1) times half of d goodness / d activities, written to `out` (B, width), which is returned."""
        ...

    def threshold_scale(self, width: int) -> float:
        """The goodness of `width` units of activity 1."""
        ...


class SumOfSquares:
    """Σ y², the paper's first choice ("max ssq")."""

    def __call__(self, activities: Tensor) -> Tensor:
        return _squares(activities)

    def half_gradient(self, activities: Tensor, factors: Tensor, out: Tensor) -> Tensor:
        return torch.mul(activities, factors, out=out)

    def threshold_scale(self, width: int) -> float:
        return float(width)


class MinusSumOfSquares:
    """-Σ y²: positive data are those that the layer predicts away ("min ssq")."""

    def __call__(self, activities: Tensor) -> Tensor:
        return -_squares(activities)

    def half_gradient(self, activities: Tensor, factors: Tensor, out: Tensor) -> Tensor:
        return torch.mul(activities, -factors, out=out)

    def threshold_scale(self, width: int) -> float:
        return -float(width)


class MeanOfSquares:
    """Σ y² / width, as many other implementations have it."""

    def __call__(self, activities: Tensor) -> Tensor:
        return _squares(activities) / activities.shape[-1]

    def half_gradient(self, activities: Tensor, factors: Tensor, out: Tensor) -> Tensor:
        return torch.mul(activities, factors / activities.shape[-1], out=out)

    def threshold_scale(self, width: int) -> float:
        return 1.0


class SumOfActivities:
    """Σ |y|, unsquared."""

    def __call__(self, activities: Tensor) -> Tensor:
        return activities.abs().sum(-1)

    def half_gradient(self, activities: Tensor, factors: Tensor, out: Tensor) -> Tensor:
        return torch.mul(torch.sign(activities), 0.5 * factors, out=out)

    def threshold_scale(self, width: int) -> float:
        return float(width)


class MinusSumOfActivities:
    """-Σ |y|, which the paper reports to work well."""

    def __call__(self, activities: Tensor) -> Tensor:
        return -activities.abs().sum(-1)

    def half_gradient(self, activities: Tensor, factors: Tensor, out: Tensor) -> Tensor:
        return torch.mul(torch.sign(activities), -0.5 * factors, out=out)

    def threshold_scale(self, width: int) -> float:
        return -float(width)


def _squares(activities: Tensor) -> Tensor:
    """Σ y²: by the norm, which needs no copy of the activities."""
    length: Tensor = vector_norm(activities, dim=-1)
    return length.square()

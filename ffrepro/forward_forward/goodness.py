"""Goodness functions, which score the activities of a layer.

Source: The Forward-Forward Algorithm, section 2 (sum of squares and its negative) and section 8 (sums of unsquared
activities).

A goodness function maps activities (..., width) to goodness (...). `threshold_scale(width)` is the goodness of a layer
whose units all have activity 1. The threshold is θ times this number, so that θ means the same for every function.
`half_gradient` is half of the derivative with respect to the activities. The released code drops the factor 2 of the
squares, and the learning rates of the presets are in its units.
"""

from typing import Protocol

import torch
from torch import Tensor
from torch.linalg import vector_norm


class Goodness(Protocol):
    """A function from activities (..., width) to goodness (...)."""

    def __call__(self, activities: Tensor) -> Tensor: ...

    def half_gradient(self, activities: Tensor, factors: Tensor, out: Tensor) -> Tensor:
        """Write `factors` (B, 1) times half of d goodness / d activities to `out` (B, width), and return it."""

    def threshold_scale(self, width: int) -> float:
        """The goodness of `width` units with activity 1."""


class SumOfSquares:
    """Σ y², the paper's main choice ("max ssq")."""

    def __call__(self, activities: Tensor) -> Tensor:
        return _squares(activities)

    def half_gradient(self, activities: Tensor, factors: Tensor, out: Tensor) -> Tensor:
        return torch.mul(activities, factors, out=out)

    def threshold_scale(self, width: int) -> float:
        return float(width)


class MinusSumOfSquares:
    """-Σ y²: the layer is silent for positive data and active for negative data ("min ssq")."""

    def __call__(self, activities: Tensor) -> Tensor:
        return -_squares(activities)

    def half_gradient(self, activities: Tensor, factors: Tensor, out: Tensor) -> Tensor:
        return torch.mul(activities, -factors, out=out)

    def threshold_scale(self, width: int) -> float:
        return -float(width)


class MeanOfSquares:
    """Σ y² / width, as in many other implementations."""

    def __call__(self, activities: Tensor) -> Tensor:
        return _squares(activities) / activities.shape[-1]

    def half_gradient(self, activities: Tensor, factors: Tensor, out: Tensor) -> Tensor:
        return torch.mul(activities, factors / activities.shape[-1], out=out)

    def threshold_scale(self, width: int) -> float:
        return 1.0


class SumOfActivities:
    """Σ |y|."""

    def __call__(self, activities: Tensor) -> Tensor:
        return activities.abs().sum(-1)

    def half_gradient(self, activities: Tensor, factors: Tensor, out: Tensor) -> Tensor:
        return torch.mul(torch.sign(activities), 0.5 * factors, out=out)

    def threshold_scale(self, width: int) -> float:
        return float(width)


class MinusSumOfActivities:
    """-Σ |y|, which works well according to the paper."""

    def __call__(self, activities: Tensor) -> Tensor:
        return -activities.abs().sum(-1)

    def half_gradient(self, activities: Tensor, factors: Tensor, out: Tensor) -> Tensor:
        return torch.mul(torch.sign(activities), -0.5 * factors, out=out)

    def threshold_scale(self, width: int) -> float:
        return -float(width)


def _squares(activities: Tensor) -> Tensor:
    """Σ y². The norm avoids a copy of the activities."""
    length: Tensor = vector_norm(activities, dim=-1)
    return length.square()

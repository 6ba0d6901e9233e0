"""Goodness functions against numbers by hand and against autograd."""

from typing import Any

import pytest
import torch

from ffrepro.forward_forward import goodness

ACTIVITIES = [[1.0, 2.0, 0.0, 3.0], [0.5, 0.0, 0.0, 0.0]]
# The goodness of both rows, and the goodness of four units with activity 1.
BY_HAND: list[Any] = [
    (goodness.SumOfSquares(), [14.0, 0.25], 4.0),
    (goodness.MinusSumOfSquares(), [-14.0, -0.25], -4.0),
    (goodness.MeanOfSquares(), [3.5, 0.0625], 1.0),
    (goodness.SumOfActivities(), [6.0, 0.5], 4.0),
    (goodness.MinusSumOfActivities(), [-6.0, -0.5], -4.0),
]
each = pytest.mark.parametrize(("function", "expected", "of_ones"), BY_HAND, ids=lambda value: type(value).__name__)


def test_every_goodness_function_is_tested_here() -> None:
    public = {
        name for name, value in vars(goodness).items() if isinstance(value, type) and hasattr(value, "half_gradient")
    }
    assert public == {type(row[0]).__name__ for row in BY_HAND} | {"Goodness"}


@each
def test_goodness_by_hand(function: goodness.Goodness, expected: list[float], of_ones: float) -> None:
    torch.testing.assert_close(function(torch.tensor(ACTIVITIES)), torch.tensor(expected))


@each
def test_the_threshold_scale_is_the_goodness_of_ones(
    function: goodness.Goodness, expected: list[float], of_ones: float
) -> None:
    assert function.threshold_scale(4) == of_ones
    for width in (1, 7, 2000):
        assert function.threshold_scale(width) == pytest.approx(function(torch.ones(1, width)).item())


@each
def test_the_half_gradient_is_half_of_the_gradient_of_autograd(
    function: goodness.Goodness, expected: list[float], of_ones: float
) -> None:
    activities = torch.rand(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.1
    activities[0, 0] = 0.0  # an inactive unit has no gradient
    leaf = activities.clone().requires_grad_()
    function(leaf).sum().backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    factors = torch.tensor([[1.0], [0.0], [-0.3], [2.0], [0.5]], dtype=torch.float64)
    written = torch.full_like(activities, torch.nan)
    assert function.half_gradient(activities, factors, out=written) is written
    torch.testing.assert_close(written, factors * leaf.grad / 2)

"""Schedules against numbers by hand, and the minibatches of an epoch."""

import math
from typing import Any

import pytest
import torch

from ffrepro.errors import UserError
from ffrepro.schedule import HoldThenLinear, WarmUpThenCosine, batches

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("epochs", "epoch", "lr_factor"),
    [
        (100, 1, 1.0),
        (100, 50, 1.0),
        (100, 51, 0.99),
        (100, 52, 0.97),
        (100, 75, 0.51),
        (100, 99, 0.03),
        (100, 100, 0.01),
        (60, 30, 1.0),
        (60, 31, 59 / 60),
        (60, 60, 1 / 60),
        (5, 2, 1.0),
        (5, 3, 1.0),
        (5, 4, 0.6),
        (5, 5, 0.2),
        (1, 1, 1.0),
        (2, 2, 0.5),
    ],
)
def test_the_factor_is_constant_and_then_decays_linearly(epochs: int, epoch: int, lr_factor: float) -> None:
    schedule = HoldThenLinear(epochs, 0.0)
    assert schedule.lr_factor(epoch) == pytest.approx(lr_factor, rel=1e-12)
    assert schedule.lr_factor_at_step(epoch, 3, 7) == schedule.lr_factor(epoch)  # constant within an epoch


@pytest.mark.parametrize(("epochs", "lr_factors"), [(1, [0.5]), (2, [0.75, 0.25]), (3, [5 / 6, 0.5, 1 / 6])])
def test_an_epoch_has_the_factor_of_its_middle(epochs: int, lr_factors: list[float]) -> None:
    schedule = WarmUpThenCosine(epochs, 0.0)
    # Half a cosine is 1 - sin²(πx/2), here at x = (epoch - ½) / epochs.
    expected = [1 - math.sin(math.pi / 2 * (1 - lr_factor)) ** 2 for lr_factor in lr_factors]
    assert [schedule.lr_factor(epoch + 1) for epoch in range(epochs)] == pytest.approx(expected)
    assert schedule.lr_factor(epochs) > 0
    assert schedule.lr_factor_at_step(epochs, 7, 7) == pytest.approx(0.0, abs=1e-12)
    assert schedule.lr_factor_at_step(1, 1, 2) == schedule.lr_factor(1)  # the middle of the epoch


@pytest.mark.parametrize(
    ("epoch", "lr_factor"), [(1, 0.25), (3, 0.75), (4, 1.0), (20, 1.0), (21, 39 / 40), (40, 1 / 40)]
)
def test_a_warm_up_is_linear(epoch: int, lr_factor: float) -> None:
    assert HoldThenLinear(40, warm_up=0.1).lr_factor(epoch) == pytest.approx(lr_factor, rel=1e-12)
    assert HoldThenLinear(1, warm_up=0.1).lr_factor(1) == 1.0  # a single epoch has no warm-up


@pytest.mark.parametrize(
    ("epoch", "step", "lr_factor"), [(1, 5, 0.25), (1, 10, 0.5), (2, 10, 1.0), (6, 10, 0.5), (10, 10, 0.0)]
)
def test_a_cosine_begins_with_a_linear_warm_up_and_ends_at_0(epoch: int, step: int, lr_factor: float) -> None:
    assert WarmUpThenCosine(10, 0.2).lr_factor_at_step(epoch, step, 10) == pytest.approx(lr_factor, abs=1e-12)


@pytest.mark.parametrize(
    ("schedule", "warm_up"), [(HoldThenLinear, -0.1), (HoldThenLinear, 0.6), (WarmUpThenCosine, 1.0)]
)
def test_an_impossible_warm_up_is_refused(schedule: Any, warm_up: float) -> None:
    with pytest.raises(UserError, match=rf"^schedule\.warm_up is {warm_up}: expected a share of the epochs"):
        schedule(40, warm_up)


def test_batches_cover_each_example_once() -> None:
    order = batches(1000, 100, torch.Generator().manual_seed(0), CPU)
    assert [len(batch) for batch in order] == [100] * 10
    assert sorted(torch.cat(list(order)).tolist()) == list(range(1000))


def test_a_remainder_is_left_out() -> None:
    order = torch.cat(list(batches(105, 10, torch.Generator().manual_seed(0), CPU))).tolist()
    assert len(order) == 100
    assert len(set(order)) == 100
    assert max(order) >= 100  # the left-out examples are random


def test_without_a_generator_the_order_of_the_data_is_kept() -> None:
    assert torch.cat(list(batches(25, 10, None, CPU))).tolist() == list(range(20))


def test_a_generator_draws_a_new_order_for_each_epoch() -> None:
    generator = torch.Generator().manual_seed(3)
    first = torch.stack(list(batches(50, 5, generator, CPU)))
    second = torch.stack(list(batches(50, 5, generator, CPU)))
    again = torch.stack(list(batches(50, 5, torch.Generator().manual_seed(3), CPU)))
    assert not torch.equal(first, second)
    assert torch.equal(first, again)


@pytest.mark.parametrize("batch_size", [0, -1, 11])
def test_an_impossible_batch_size_is_refused(batch_size: int) -> None:
    with pytest.raises(UserError, match=f"batch_size is {batch_size}: expected 1 to 10"):
        batches(10, batch_size, None, CPU)

"""The released code's schedule, and minibatches that cover an epoch."""

import math

import pytest
import torch

from ffrepro.errors import UserError
from ffrepro.schedule import HoldThenLinear, WarmUpThenCosine, batches

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("epochs", "epoch", "gain"),
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
def test_the_gain_is_held_and_falls_in_a_line(epochs: int, epoch: int, gain: float) -> None:
    assert HoldThenLinear(epochs, None).gain_of(epoch) == pytest.approx(gain, rel=1e-12)
    assert HoldThenLinear(epochs, None).gain(epoch) == HoldThenLinear(epochs, None).gain_of(epoch)


@pytest.mark.parametrize(("epochs", "gains"), [(1, [0.5]), (2, [0.75, 0.25]), (3, [5 / 6, 0.5, 1 / 6])])
def test_of_a_curve_an_epoch_has_what_its_middle_has(epochs: int, gains: list[float]) -> None:
    schedule = WarmUpThenCosine(epochs, 0.0)
    # Half a cosine, written as the sine that it is around its middle: 1 - sin²(πx/2) at x = (epoch - ½) / epochs.
    expected = [1 - math.sin(math.pi / 2 * (1 - gain)) ** 2 for gain in gains]
    assert [schedule.gain_of(epoch + 1) for epoch in range(epochs)] == pytest.approx(expected)
    assert schedule.gain_of(epochs) > 0
    assert schedule.gain(epochs) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("epoch", "gain"), [(1, 0.25), (3, 0.75), (4, 1.0), (20, 1.0), (21, 39 / 40), (40, 1 / 40)])
def test_a_warm_up_rises_in_a_line_before(epoch: int, gain: float) -> None:
    assert HoldThenLinear(40, warm_up=0.1).gain(epoch) == pytest.approx(gain, rel=1e-12)
    assert HoldThenLinear(1, warm_up=0.1).gain(1) == 1.0  # a short preview has none


@pytest.mark.parametrize("warm_up", [0.0, -0.1, 0.6])
def test_an_impossible_warm_up_is_the_users_mistake(warm_up: float) -> None:
    with pytest.raises(UserError, match=r"schedule\.warm_up"):
        HoldThenLinear(40, warm_up)


def test_batches_cover_each_example_once() -> None:
    drawn = batches(1000, 100, torch.Generator().manual_seed(0), CPU)
    assert [len(batch) for batch in drawn] == [100] * 10
    assert sorted(torch.cat(list(drawn)).tolist()) == list(range(1000))


def test_a_remainder_is_left_out() -> None:
    drawn = torch.cat(list(batches(105, 10, torch.Generator().manual_seed(0), CPU))).tolist()
    assert len(drawn) == 100
    assert len(set(drawn)) == 100
    assert max(drawn) >= 100  # which examples are left out is drawn too


def test_without_a_generator_the_order_is_that_of_the_data() -> None:
    assert torch.cat(list(batches(25, 10, None, CPU))).tolist() == list(range(20))


def test_a_generator_draws_another_order_each_epoch_and_repeats_it_from_its_seed() -> None:
    generator = torch.Generator().manual_seed(3)
    first = torch.stack(list(batches(50, 5, generator, CPU)))
    second = torch.stack(list(batches(50, 5, generator, CPU)))
    again = torch.stack(list(batches(50, 5, torch.Generator().manual_seed(3), CPU)))
    assert not torch.equal(first, second)
    assert torch.equal(first, again)


@pytest.mark.parametrize("batch_size", [0, -1, 11])
def test_a_minibatch_that_cannot_be_filled_is_the_users_mistake(batch_size: int) -> None:
    with pytest.raises(UserError, match=f"batch_size is {batch_size}: expected 1 to 10"):
        batches(10, batch_size, None, CPU)

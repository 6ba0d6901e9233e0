"""Splits: held-out examples, and the subsets of a budget."""

import pytest
import torch

from ffrepro.dataset import Dataset, Split, hold_out
from ffrepro.errors import UserError


def numbered(n: int, first: int = 0) -> Split:
    numbers = torch.arange(first, first + n)
    return Split(numbers.float().unsqueeze(1), numbers)


def test_the_last_examples_are_held_out_of_training() -> None:
    train, validation = hold_out(numbered(100), 30)
    assert validation is not None
    assert train.targets.tolist() == list(range(70))
    assert validation.targets.tolist() == list(range(70, 100))
    assert set(train.inputs.flatten().tolist()).isdisjoint(validation.inputs.flatten().tolist())


def test_without_validation_all_examples_are_trained_on() -> None:
    train, validation = hold_out(numbered(100), 0)
    assert validation is None
    assert len(train) == 100


@pytest.mark.parametrize("validation", [-1, 100, 101])
def test_an_invalid_number_is_named(validation: int) -> None:
    with pytest.raises(UserError, match=f"dataset.validation is {validation}: expected 0 to 99"):
        hold_out(numbered(100), validation)


def test_the_first_examples_of_a_split() -> None:
    split = numbered(10)
    assert len(split[:None]) == 10
    assert split[:3].targets.tolist() == [0, 1, 2]
    assert split[:3].inputs.flatten().tolist() == [0.0, 1.0, 2.0]
    assert len(split[:99]) == 10


def test_a_budget_reduces_every_split() -> None:
    whole = Dataset("a", numbered(50), numbered(30, 50), numbered(20, 80), 10, (1, 1), "hash", stand_in=False)
    assert whole.sizes() == {"train": 50, "validation": 30, "test": 20}
    small = whole.reduced(10, 5)
    assert small.sizes() == {"train": 10, "validation": 5, "test": 5}
    assert small.validation is not None
    assert small.validation.targets.tolist() == [50, 51, 52, 53, 54]
    assert small.test.targets.tolist() == [80, 81, 82, 83, 84]
    assert (small.name, small.sha256, small.stand_in) == ("a", "hash", False)
    assert whole.reduced(None, None).sizes() == whole.sizes()
    assert Dataset("a", numbered(5), None, numbered(2), 10, (1, 1), "", stand_in=False).reduced(3, 1).sizes() == {
        "train": 3,
        "validation": 0,
        "test": 1,
    }

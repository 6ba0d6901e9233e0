"""The state of an algorithm is that of its parts and its generators."""

import copy

import pytest
import torch
from torch import nn

from ffrepro.runs.state import Resumable


class Noisy(Resumable):
    """A weight that takes a random walk."""

    def __init__(self, n_parts: int = 1) -> None:
        self.net = nn.Linear(1, 1)
        self.generator = torch.Generator().manual_seed(0)
        self.parts = [self.net, *(nn.Linear(1, 1) for _ in range(n_parts - 1))]
        self.generators = [self.generator]

    @torch.no_grad()
    def step(self) -> float:
        self.net.weight += torch.randn(1, generator=self.generator)
        return self.net.weight.item()


def test_it_continues_from_a_state_with_the_same_random_numbers() -> None:
    whole, resumed = Noisy(), Noisy()
    whole.step()
    state = copy.deepcopy(whole.state_dict())
    expected = [whole.step() for _ in range(3)]
    resumed.load_state_dict(state)
    assert [resumed.step() for _ in range(3)] == expected
    assert len(set(expected)) == 3


def test_tensors_are_changed_in_place() -> None:
    resumed = Noisy()
    address = resumed.net.weight.data_ptr()  # which a CUDA graph may hold
    resumed.load_state_dict(Noisy().state_dict())
    assert resumed.net.weight.data_ptr() == address


def test_a_state_with_other_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        Noisy().load_state_dict(Noisy(n_parts=2).state_dict())

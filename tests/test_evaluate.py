"""Errors in percent by hand numbers."""

import pytest
import torch

from ffrepro.evaluate import chunks, error_percent, errors_by_layer


def test_the_error_is_the_share_of_wrong_answers_in_percent() -> None:
    scores = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])
    assert error_percent(scores, torch.tensor([1, 0, 1, 1])) == 0.0
    assert error_percent(scores, torch.tensor([1, 0, 0, 1])) == 25.0
    assert error_percent(scores, torch.tensor([0, 1, 0, 0])) == 100.0


@pytest.mark.parametrize(("n", "size"), [(10, 3), (9, 3), (2, 5), (1, 1)])
def test_chunks_cover_everything_once(n: int, size: int) -> None:
    parts = [range(n)[part] for part in chunks(n, size)]
    assert [place for part in parts for place in part] == list(range(n))
    assert all(0 < len(part) <= size for part in parts)


def test_every_layer_and_every_prefix_of_layers_has_an_error() -> None:
    targets = torch.tensor([0, 0])
    # Layer 1 is right by 1 and 1, layer 2 wrong by 3 and 0.5, layer 3 right by 1 and wrong by 3.
    lead = torch.tensor([[1.0, 1.0], [-3.0, -0.5], [1.0, -3.0]])
    scores = torch.stack([lead, torch.zeros_like(lead)], dim=2)
    assert errors_by_layer("goodness", scores, targets, 1) == {
        "error_goodness_layer_1": 0.0,
        "error_goodness_layer_2": 100.0,
        "error_goodness_layers_1_to_2": 50.0,
        "error_goodness_layer_3": 50.0,
        "error_goodness_layers_1_to_3": 100.0,
    }


def test_layers_are_numbered_from_the_first_that_counts() -> None:
    scores = torch.zeros(3, 4, 10)
    assert set(errors_by_layer("softmax", scores, torch.zeros(4, dtype=torch.long), 2)) == {
        "error_softmax_layer_2",
        "error_softmax_layer_3",
        "error_softmax_layers_2_to_3",
        "error_softmax_layer_4",
    }

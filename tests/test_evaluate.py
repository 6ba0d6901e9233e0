"""Errors in percent by hand numbers, perplexities in closed form, and their interval by a loop over strings."""

import math

import numpy as np
import pytest
import torch

from ffrepro.dataset import Split
from ffrepro.evaluate import chunks, error_percent, errors_by_layer, interval, measured


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


# Predictions ---------------------------------------------------------------------------------------


def drawn(n: int = 60, n_classes: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and targets, some of which are the likeliest."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(n, n_classes, generator=generator)
    targets = torch.randint(n_classes, (n,), generator=generator)
    targets[::3] = logits[::3].argmax(1)
    return logits, targets


def surprises(logits: torch.Tensor, targets: torch.Tensor) -> np.ndarray:
    """-log of each target's probability."""
    likely = np.exp(logits.double().numpy())
    return -np.log(likely[np.arange(len(likely)), targets.numpy()] / likely.sum(1))


def test_classes_have_an_error_and_a_loss() -> None:
    logits, targets = drawn(n_classes=10)
    metrics = measured(logits, Split(torch.zeros(60, 1), targets))
    assert metrics == {
        "error": pytest.approx(100 * (logits.numpy().argmax(1) != targets.numpy()).mean()),
        "loss": pytest.approx(surprises(logits, targets).mean(), rel=1e-12),
    }


def test_text_has_a_perplexity_and_an_accuracy() -> None:
    logits, targets = drawn()
    losses = surprises(logits, targets)
    strings = torch.arange(60) // 7
    metrics = measured(logits, Split(torch.zeros(60, 1), targets, strings))
    low, high = bootstrapped(losses.tolist(), strings.tolist())
    assert metrics == {
        "perplexity": pytest.approx(math.exp(losses.mean()), abs=1e-8),
        "perplexity_low": pytest.approx(math.exp(low), abs=1e-8),
        "perplexity_high": pytest.approx(math.exp(high), abs=1e-8),
        "bits_per_character": pytest.approx(np.log2(np.exp(losses)).mean(), rel=1e-12),
        "accuracy": pytest.approx(100 * (logits.numpy().argmax(1) == targets.numpy()).mean()),
    }
    assert metrics["perplexity_low"] < metrics["perplexity"] - 0.5
    assert metrics["perplexity_high"] > metrics["perplexity"] + 0.5


@pytest.mark.parametrize("n_classes", [2, 30])
def test_alike_logits_have_the_number_of_classes_for_a_perplexity(n_classes: int) -> None:
    split = Split(torch.zeros(8, 1), torch.arange(8) % n_classes, torch.arange(8) // 2)
    metrics = measured(torch.full((8, n_classes), -3.0), split)
    assert [metrics[name] for name in ("perplexity", "perplexity_low", "perplexity_high")] == [n_classes] * 3
    assert metrics["bits_per_character"] == pytest.approx(math.log2(n_classes))


def test_logits_that_are_not_finite_have_no_perplexity() -> None:
    logits, targets = drawn()
    logits[3] = math.nan
    metrics = measured(logits, Split(torch.zeros(60, 1), targets, torch.arange(60) // 7))
    assert math.isnan(metrics["perplexity"])


def test_a_surprise_of_more_than_any_float_is_an_infinite_perplexity() -> None:
    logits = torch.tensor([[0.0, 1e4], [0.0, 0.0]])
    metrics = measured(logits, Split(torch.zeros(2, 1), torch.tensor([0, 0]), torch.tensor([0, 1])))
    assert metrics["perplexity"] == math.inf


# The interval --------------------------------------------------------------------------------------


def quantile(values: list[float], share: float) -> float:
    """Between the two values on either side of the place, in a line."""
    place, ordered = share * (len(values) - 1), sorted(values)
    below, above = ordered[int(place)], ordered[min(int(place) + 1, len(values) - 1)]
    return below + (place - int(place)) * (above - below)


def bootstrapped(losses: list[float], strings: list[int]) -> tuple[float, float]:
    """The interval by loops, with the same draws."""
    of_string: dict[int, list[float]] = {}
    for loss, string in zip(losses, strings, strict=True):
        of_string.setdefault(string, []).append(loss)
    parts = [of_string[string] for string in sorted(of_string)]
    means = []
    for row in np.random.default_rng(0).integers(len(parts), size=(2000, len(parts))):
        chosen = [loss for k in row for loss in parts[k]]
        means.append(sum(chosen) / len(chosen))
    return quantile(means, 0.025), quantile(means, 0.975)


@pytest.mark.parametrize(
    "sizes", [[5] * 8, [1, 9, 2, 8, 3, 7], [4], [1] * 40], ids=["alike", "unlike", "one string", "single characters"]
)
@pytest.mark.parametrize("numbers", ["in a row", "with gaps", "not in order"])
def test_the_interval_is_what_a_loop_over_strings_finds(sizes: list[int], numbers: str) -> None:
    names = {"in a row": range(100), "with gaps": range(3, 1000, 5), "not in order": range(100, 0, -1)}[numbers]
    strings = [names[k] for k, size in enumerate(sizes) for _ in range(size)]
    losses = np.random.default_rng(1).exponential(size=len(strings))
    found = interval(torch.from_numpy(losses), torch.tensor(strings))
    assert found == pytest.approx(bootstrapped(losses.tolist(), strings), rel=1e-10)
    assert found[0] <= losses.mean() <= found[1] or len(sizes) == 1
    assert found == interval(torch.from_numpy(losses), torch.tensor(strings))  # the same draws each time


def test_losses_that_are_all_alike_have_no_width() -> None:
    assert interval(torch.full((30,), 0.75, dtype=torch.double), torch.arange(30) // 4) == (0.75, 0.75)


def test_a_string_weighs_as_much_as_it_has_characters() -> None:
    # A hundred strings of one character with loss 0, a hundred of nine with loss 1: nine tenths, and not one half.
    strings = torch.cat([torch.arange(100), torch.arange(100, 200).repeat_interleave(9)])
    low, high = interval((strings >= 100).double(), strings)
    assert 0.85 < low < 0.9 < high < 0.95


def test_the_characters_of_a_string_are_not_taken_for_as_many_strings() -> None:
    # 25 strings of 40 characters with one loss each: the interval is that of 25 numbers.
    of_strings = np.random.default_rng(2).normal(size=25)
    low, high = interval(torch.from_numpy(of_strings).repeat_interleave(40), torch.arange(25).repeat_interleave(40))
    half = 1.96 * of_strings.std() / 5
    assert low == pytest.approx(of_strings.mean() - half, abs=0.25 * half)
    assert high == pytest.approx(of_strings.mean() + half, abs=0.25 * half)

"""Errors compared with numbers counted by hand, perplexities with NumPy, their interval with a loop over strings."""

import math

import numpy as np
import pytest
import torch

from ffrepro.dataset import Split
from ffrepro.evaluate import (
    ROWS,
    bootstrap_interval,
    chunks,
    error_percent,
    errors_by_layer,
    headline,
    measured,
    predicted,
)


def test_the_error_is_the_percentage_of_wrong_predictions() -> None:
    scores = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])
    assert error_percent(scores, torch.tensor([1, 0, 1, 1])) == 0.0
    assert error_percent(scores, torch.tensor([1, 0, 0, 1])) == 25.0
    assert error_percent(scores, torch.tensor([0, 1, 0, 0])) == 100.0


@pytest.mark.parametrize(("n", "size"), [(10, 3), (9, 3), (2, 5), (1, 1)])
def test_chunks_cover_each_index_once(n: int, size: int) -> None:
    parts = [range(n)[part] for part in chunks(n, size)]
    assert [index for part in parts for index in part] == list(range(n))
    assert all(0 < len(part) <= size for part in parts)


def test_each_layer_and_each_sequence_of_first_layers_has_an_error() -> None:
    targets = torch.tensor([0, 0])
    # The scores of class 0, the target, minus those of class 1: (n_layers, N).
    margins = torch.tensor([[1.0, 1.0], [-3.0, -0.5], [1.0, -3.0]])
    scores = torch.stack([margins, torch.zeros_like(margins)], dim=2)
    assert errors_by_layer("goodness", scores, targets, 1) == {
        "error_goodness_layer_1": 0.0,
        "error_goodness_layer_2": 100.0,
        "error_goodness_layers_1_to_2": 50.0,
        "error_goodness_layer_3": 50.0,
        "error_goodness_layers_1_to_3": 100.0,
    }


def test_layers_are_numbered_from_the_first_that_is_evaluated() -> None:
    scores = torch.zeros(3, 4, 10)
    assert set(errors_by_layer("softmax", scores, torch.zeros(4, dtype=torch.long), 2)) == {
        "error_softmax_layer_2",
        "error_softmax_layer_3",
        "error_softmax_layers_2_to_3",
        "error_softmax_layer_4",
    }


# Predictions ---------------------------------------------------------------------------------------


def draw(n: int = 60, n_classes: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    """Random logits and targets; the logits are right for at least a third of the targets."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(n, n_classes, generator=generator)
    targets = torch.randint(n_classes, (n,), generator=generator)
    targets[::3] = logits[::3].argmax(1)
    return logits, targets


def nll(logits: torch.Tensor, targets: torch.Tensor) -> np.ndarray:
    """The negative log-likelihood of each target, in NumPy."""
    odds = np.exp(logits.double().numpy())
    return -np.log(odds[np.arange(len(odds)), targets.numpy()] / odds.sum(1))


@pytest.mark.parametrize("n", [5, ROWS, 2 * ROWS + 7])
def test_predictions_are_computed_in_parts(n: int) -> None:
    inputs = torch.randn(n, 6, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(6, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    sizes = []

    def images(rows: torch.Tensor) -> torch.Tensor:
        sizes.append(len(rows))
        return (rows @ weight).view(-1, 2, 2).double()

    outputs = predicted(images, Split(inputs, torch.zeros(n)))
    torch.testing.assert_close(outputs, (inputs @ weight).detach().view(n, 2, 2).double(), rtol=0, atol=1e-5)
    assert not outputs.requires_grad
    assert sum(sizes) == n
    assert max(sizes) <= ROWS


def test_the_headline_is_one_of_the_measured_metrics() -> None:
    logits, targets = draw()
    for name, strings in (("error", None), ("perplexity", torch.arange(60) // 7)):
        split = Split(torch.zeros(60, 1), targets, strings)
        assert headline(logits, split) == {name: measured(logits, split)[name]}


def test_classes_have_an_error_and_a_loss() -> None:
    logits, targets = draw(n_classes=10)
    metrics = measured(logits, Split(torch.zeros(60, 1), targets))
    assert metrics == {
        "error": pytest.approx(100 * (logits.numpy().argmax(1) != targets.numpy()).mean()),
        "loss": pytest.approx(nll(logits, targets).mean(), rel=1e-12),
    }


def test_text_has_a_perplexity_and_an_accuracy() -> None:
    logits, targets = draw()
    losses = nll(logits, targets)
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
def test_the_perplexity_of_equal_logits_is_the_number_of_classes(n_classes: int) -> None:
    split = Split(torch.zeros(8, 1), torch.arange(8) % n_classes, torch.arange(8) // 2)
    metrics = measured(torch.full((8, n_classes), -3.0), split)
    assert [metrics[name] for name in ("perplexity", "perplexity_low", "perplexity_high")] == [n_classes] * 3
    assert metrics["bits_per_character"] == pytest.approx(math.log2(n_classes))


def test_a_logit_that_is_not_a_number_gives_no_perplexity() -> None:
    logits, targets = draw()
    logits[3] = math.nan
    metrics = measured(logits, Split(torch.zeros(60, 1), targets, torch.arange(60) // 7))
    assert math.isnan(metrics["perplexity"])


def test_a_perplexity_beyond_the_range_of_floats_is_infinite() -> None:
    logits = torch.tensor([[0.0, 1e4], [0.0, 0.0]])
    metrics = measured(logits, Split(torch.zeros(2, 1), torch.tensor([0, 0]), torch.tensor([0, 1])))
    assert metrics["perplexity"] == math.inf


# The interval --------------------------------------------------------------------------------------


def quantile(values: list[float], share: float) -> float:
    """The quantile by linear interpolation."""
    position, ordered = share * (len(values) - 1), sorted(values)
    below, above = ordered[int(position)], ordered[min(int(position) + 1, len(values) - 1)]
    return below + (position - int(position)) * (above - below)


def bootstrapped(losses: list[float], strings: list[int]) -> tuple[float, float]:
    """The interval by a loop over strings, with the same random numbers."""
    by_string: dict[int, list[float]] = {}
    for loss, string in zip(losses, strings, strict=True):
        by_string.setdefault(string, []).append(loss)
    parts = [by_string[string] for string in sorted(by_string)]
    means = []
    for row in np.random.default_rng(0).integers(len(parts), size=(2000, len(parts))):
        sample = [loss for k in row for loss in parts[k]]
        means.append(sum(sample) / len(sample))
    return quantile(means, 0.025), quantile(means, 0.975)


@pytest.mark.parametrize(
    "sizes", [[5] * 8, [1, 9, 2, 8, 3, 7], [4], [1] * 40], ids=["equal", "unequal", "one string", "single characters"]
)
@pytest.mark.parametrize("numbers", ["consecutive", "with gaps", "descending"])
def test_the_interval_is_that_of_a_loop_over_strings(sizes: list[int], numbers: str) -> None:
    names = {"consecutive": range(100), "with gaps": range(3, 1000, 5), "descending": range(100, 0, -1)}[numbers]
    strings = [names[k] for k, size in enumerate(sizes) for _ in range(size)]
    losses = np.random.default_rng(1).exponential(size=len(strings))
    bounds = bootstrap_interval(torch.from_numpy(losses), torch.tensor(strings))
    assert bounds == pytest.approx(bootstrapped(losses.tolist(), strings), rel=1e-10)
    assert bounds[0] <= losses.mean() <= bounds[1] or len(sizes) == 1
    assert bounds == bootstrap_interval(
        torch.from_numpy(losses), torch.tensor(strings)
    )  # the same random numbers each time


def test_the_interval_of_equal_losses_has_no_width() -> None:
    assert bootstrap_interval(torch.full((30,), 0.75, dtype=torch.double), torch.arange(30) // 4) == (0.75, 0.75)


def test_strings_are_weighted_by_their_length() -> None:
    # 100 strings of 1 character with loss 0, and 100 strings of 9 characters with loss 1: the mean is 0.9, not 0.5.
    strings = torch.cat([torch.arange(100), torch.arange(100, 200).repeat_interleave(9)])
    low, high = bootstrap_interval((strings >= 100).double(), strings)
    assert 0.85 < low < 0.9 < high < 0.95


def test_the_characters_of_a_string_are_not_independent() -> None:
    # All 40 characters of a string have the same loss: the interval is that of 25 numbers.
    string_losses = np.random.default_rng(2).normal(size=25)
    low, high = bootstrap_interval(
        torch.from_numpy(string_losses).repeat_interleave(40), torch.arange(25).repeat_interleave(40)
    )
    half = 1.96 * string_losses.std() / 5
    assert low == pytest.approx(string_losses.mean() - half, abs=0.25 * half)
    assert high == pytest.approx(string_losses.mean() + half, abs=0.25 * half)

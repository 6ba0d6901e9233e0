"""N-grams against counts by hand and against dictionaries."""

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ffrepro.algorithm.ngram import NGram
from ffrepro.architecture.mlp import Mlp
from ffrepro.dataset import Dataset, Split
from ffrepro.errors import UserError
from tests.algorithm.made import cpu_setting
from tests.conftest import make_dataset

LETTERS = "abcdefghijklmnopqrstuvwxyz ,;."
TEXT = [
    "the wolf and the lamb. the wolf, meeting a lamb; ",
    "the crow and the fox. a crow, having a bit of cheese, ",
    "an ass, and the fox; the lion and the ass. the end. ",
]
OTHERS = ["the fox and the lamb, the crow; ", "zzzz quick zebras, and the wolf. "]


def runs(strings: list[str], window: int) -> list[str]:
    return [string[start : start + window + 1] for string in strings for start in range(len(string) - window)]


def split_of(strings: list[str], window: int) -> Split:
    places = torch.tensor([[LETTERS.index(letter) for letter in run] for run in runs(strings, window)])
    numbers = [k for k, string in enumerate(strings) for _ in range(len(string) - window)]
    return Split(torch.eye(30)[places[:, :-1]].flatten(1), places[:, -1], torch.tensor(numbers))


def make(order: int, strings: list[str] = TEXT, window: int = 4, seed: int = 0, *, trained: bool = True) -> NGram:
    split = split_of(strings, window)
    dataset = Dataset("made", split, None, split, 30, (window, 30), "", stand_in=True, alphabet=LETTERS)
    algorithm = NGram(order=order)
    algorithm.begin(cpu_setting(dataset, Mlp((5,), 1.0), seed=seed))
    if trained:
        algorithm.train_epoch(1)
    return algorithm


class WittenBell:
    """Method C, interpolated, with a dictionary from each context to the counts of the next character."""

    def __init__(self, order: int, strings: list[str], window: int) -> None:
        self.order = order
        self.after: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for run in runs(strings, window):
            for length in range(order):
                self.after[run[window - length : window]][run[-1]] += 1

    def probability(self, context: str, letter: str) -> float:
        p = 1 / 30
        for length in range(self.order):
            counts = self.after.get(context[len(context) - length :], {})
            if counts:
                total, different = sum(counts.values()), len(counts)
                p = (counts.get(letter, 0) + different * p) / (total + different)
        return p


@pytest.mark.parametrize("order", [0, 1, 2, 3, 4, 5])
def test_probabilities_add_up_to_1(order: int) -> None:
    algorithm = make(order)
    for strings in (TEXT, OTHERS, ["qqqqqqqq"]):
        p = algorithm.probabilities(split_of(strings, 4).inputs)
        assert p.dtype == torch.float64
        assert p.shape == (len(runs(strings, 4)), 30)
        assert p.min() > 0
        torch.testing.assert_close(p.sum(1), torch.ones(len(p), dtype=torch.float64), rtol=0, atol=1e-12)


def test_of_equally_likely_characters_the_perplexity_is_30() -> None:
    algorithm = make(0)
    for split in (algorithm.train, split_of(OTHERS, 4)):
        metrics = algorithm.evaluate(split)
        assert metrics["perplexity"] == metrics["perplexity_low"] == metrics["perplexity_high"] == 30.0
        assert metrics["bits_per_character"] == pytest.approx(math.log2(30), rel=1e-12)
        assert algorithm.monitor(split) == {"perplexity": 30.0}
    assert algorithm.train_epoch(1) == {"loss": pytest.approx(math.log(30))}


def test_single_characters_by_hand() -> None:
    # After the first character: a twice, b three times, c once.
    algorithm = make(1, ["aabab", "cbc"], window=1)
    p = algorithm.probabilities(split_of(["xy", "ab"], 1).inputs)
    expected = np.full(30, 3 / 30 / 9)
    expected[:3] = [(2 + 3 / 30) / 9, (3 + 3 / 30) / 9, (1 + 3 / 30) / 9]
    np.testing.assert_allclose(p[0], expected, rtol=1e-12)
    np.testing.assert_allclose(p[1], expected, rtol=1e-12)  # the context does not matter


def test_pairs_by_hand() -> None:
    # After a: a once, b twice; after b: a once; after c: b once. Together a twice, b three times.
    algorithm = make(2, ["aabab", "cb"], window=1)
    single = np.full(30, 2 / 30 / 7)
    single[:2] = [(2 + 2 / 30) / 7, (3 + 2 / 30) / 7]
    after_a = 2 * single / 5
    after_a[:2] += [1 / 5, 2 / 5]
    after_b = single / 2
    after_b[0] += 1 / 2
    p = algorithm.probabilities(split_of(["ax", "bx", "dx"], 1).inputs)
    np.testing.assert_allclose(p[0], after_a, rtol=1e-12)
    np.testing.assert_allclose(p[1], after_b, rtol=1e-12)
    np.testing.assert_allclose(p[2], single, rtol=1e-12)  # d is an unknown context


@pytest.mark.parametrize(("order", "window"), [(1, 4), (2, 4), (3, 4), (5, 4), (2, 1), (3, 12), (13, 12)])
def test_all_orders_equal_counts_in_dictionaries(order: int, window: int) -> None:
    algorithm, reference = make(order, window=window), WittenBell(order, TEXT, window)
    for strings in (TEXT, OTHERS):
        split = split_of(strings, window)
        p = algorithm.probabilities(split.inputs)
        torch.testing.assert_close(algorithm.logits(split.inputs), p.log())
        chosen = []
        for row, run in enumerate(runs(strings, window)):
            expected = [reference.probability(run[:-1], letter) for letter in LETTERS]
            np.testing.assert_allclose(p[row], expected, rtol=1e-10)
            chosen.append(expected[LETTERS.index(run[-1])])
        metrics = algorithm.evaluate(split)
        assert metrics["perplexity"] == pytest.approx(math.exp(-np.log(chosen).mean()), abs=1e-9)
        assert algorithm.monitor(split) == {"perplexity": metrics["perplexity"]}


def test_the_loss_is_the_cross_entropy_of_the_training_text() -> None:
    algorithm, reference = make(3, trained=False), WittenBell(3, TEXT, 4)
    chosen = [reference.probability(run[:-1], run[-1]) for run in runs(TEXT, 4)]
    assert algorithm.train_epoch(1) == {"loss": pytest.approx(-np.log(chosen).mean(), rel=1e-9)}


def test_longer_contexts_predict_the_training_text_better() -> None:
    perplexities = [make(order).evaluate(split_of(TEXT, 4))["perplexity"] for order in range(6)]
    assert perplexities == sorted(perplexities, reverse=True)
    assert len(set(perplexities)) == 6


def test_nothing_is_random_and_counting_again_changes_nothing() -> None:
    first, other = make(3), make(3, seed=7)
    other.train_epoch(2)
    split = split_of(OTHERS, 4)
    assert torch.equal(first.probabilities(split.inputs), other.probabilities(split.inputs))
    assert first.evaluate(split) == other.evaluate(split)


def test_it_writes_text() -> None:
    pictures = make(3).pictures(split_of(OTHERS, 4))
    assert set(pictures) == {"text_temperature_1", "text_temperature_0.5"}
    for letters in pictures.values():
        assert letters.shape == (2, 154)
        assert [bytes(row[:4]).decode() for row in letters] == ["the ", "zzzz"]


def same(tensors: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(tensors, other, strict=True))


def test_counts_are_kept_in_the_state(tmp_path: Path) -> None:
    algorithm, other = make(4), make(4, ["quite another text."])
    torch.save(algorithm.state_dict(), tmp_path / "state.pt")
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    split = split_of(OTHERS, 4)
    assert torch.equal(other.probabilities(split.inputs), algorithm.probabilities(split.inputs))
    assert same(other.state_dict()["contexts"], algorithm.state_dict()["contexts"])
    assert same(other.state_dict()["counts"], algorithm.state_dict()["counts"])


def test_an_impossible_order_is_refused() -> None:
    with pytest.raises(UserError, match=r"algorithm\.order is -1: expected 0 or more"):
        NGram(order=-1)
    assert make(5).evaluate(split_of(TEXT, 4))["perplexity"] < 5
    with pytest.raises(UserError, match=r"algorithm\.order is 6: expected at most 5"):
        make(6)


def test_images_are_refused() -> None:
    with pytest.raises(UserError, match=r"dataset made is images, .*try dataset=aesop"):
        NGram(order=1).begin(cpu_setting(make_dataset(), Mlp((5,), 1.0)))

"""What a net writes: against a character at a time in Python, and against the probabilities it is drawn from."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from ffrepro.dataset import Split
from ffrepro.rollout import roll_out, samples, starts_of

LETTERS = "abcdefghijklmnopqrstuvwxyz ,;."
Predictor = Callable[[Tensor], Tensor]


def symbols(*texts: str) -> Tensor:
    return torch.tensor([[LETTERS.index(letter) for letter in text] for text in texts])


def texts(written: Tensor) -> list[str]:
    return ["".join(LETTERS[place] for place in row) for row in written.tolist()]


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def always(next_one: Callable[[list[int]], int]) -> Predictor:
    """Logits that are sure of what `next_one` says of a window's places in the alphabet."""

    def logits(windows: Tensor) -> Tensor:
        rows = windows.view(len(windows), -1, 30).argmax(2).tolist()
        found = torch.zeros(len(windows), 30)
        for number, row in enumerate(rows):
            found[number, next_one(row)] = 200.0
        return found

    return logits


def linear(window: int) -> Predictor:
    """A net of one random layer, in float64."""
    weight = 0.7 * torch.randn(30 * window, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return lambda windows: windows.double() @ weight


def constant(logits: np.ndarray) -> Predictor:
    return lambda windows: torch.from_numpy(logits).expand(len(windows), -1)


# What comes next follows from ----------------------------------------------------------------------


def test_a_text_goes_on_from_its_last_character() -> None:
    written = roll_out(always(lambda row: (row[-1] + 1) % 30), symbols("xab", "..x"), noise(2, 6))
    assert texts(written) == ["xabcdefgh", "..xyz ,;."]


def test_a_text_goes_on_from_the_first_character_of_the_window() -> None:
    written = roll_out(always(lambda row: row[0]), symbols("abcd", "wolf"), noise(2, 10))
    assert texts(written) == ["abcdabcdabcdab", "wolfwolfwolfwo"]


def test_a_text_goes_on_from_the_whole_window_and_nothing_before_it() -> None:
    def next_one(row: list[int]) -> int:
        assert len(row) == 4
        return sum((2 * place + 1) * symbol for place, symbol in enumerate(row)) % 30

    written = roll_out(always(next_one), symbols("wolf", "lamb"), noise(2, 50)).tolist()
    for start, row in zip(symbols("wolf", "lamb").tolist(), written, strict=True):
        expected = start
        for _ in range(50):
            expected = [*expected, next_one(expected[-4:])]
        assert row == expected
        assert len(set(row)) > 15  # the comparison is of something


def test_nothing_to_write_leaves_the_starts() -> None:
    starts = symbols("wolf", "lamb")
    written = roll_out(linear(4), starts, noise(2, 0))
    assert torch.equal(written, starts)
    assert torch.equal(starts, symbols("wolf", "lamb"))


def test_the_same_noise_writes_the_same_text() -> None:
    starts = symbols("wolf", "lamb")
    first, again, other = (roll_out(linear(4), starts, noise(2, 100, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_strings_are_written_alike_at_once_and_one_at_a_time() -> None:
    starts, draws = symbols("wolf", "lamb", "crow", "....", "crow"), noise(5, 200)
    at_once = roll_out(linear(4), starts, draws, 0.8)
    for k in range(5):
        alone = roll_out(linear(4), starts[k : k + 1], draws[k : k + 1], 0.8)
        assert torch.equal(alone[0], at_once[k])
    assert not torch.equal(at_once[2], at_once[4])  # each has noise of its own
    order = torch.tensor([3, 1, 4, 0, 2])
    assert torch.equal(roll_out(linear(4), starts[order], draws[order], 0.8), at_once[order])


def test_a_longer_text_begins_with_the_shorter_one() -> None:
    starts, draws = symbols("wolf"), noise(1, 60)
    assert torch.equal(roll_out(linear(4), starts, draws)[:, :34], roll_out(linear(4), starts, draws[:, :30]))


def test_a_text_is_written_as_by_hand() -> None:
    predict, starts, draws = linear(4), symbols("wolf", "lamb"), noise(2, 100, seed=3)
    written = roll_out(predict, starts, draws, 0.6).numpy()
    for row, start in enumerate(starts.tolist()):
        expected = list(start)
        for u in draws[row].tolist():
            window = torch.zeros(1, 4, 30)
            for place, symbol in enumerate(expected[-4:]):
                window[0, place, symbol] = 1
            scaled = np.exp(predict(window.view(1, 120))[0].numpy() / 0.6)
            edges = np.cumsum(scaled / scaled.sum())
            expected.append(next(k for k in range(30) if u < edges[k] or k == 29))
        assert written[row].tolist() == expected


# What it is drawn from -----------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_characters_are_as_frequent_as_the_softmax_says(temperature: float) -> None:
    logits = np.random.default_rng(0).normal(size=30) * 1.5
    n = 200_000
    written = roll_out(constant(logits), symbols("w").expand(1000, 1), noise(1000, n // 1000), temperature)
    found = np.bincount(written[:, 1:].flatten(), minlength=30) / n
    expected = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
    assert (np.abs(found - expected) <= 5 * np.sqrt(expected * (1 - expected) / n) + 1e-12).all()
    assert expected.max() > 2 * np.median(expected)  # they are not all alike


def test_a_character_depends_on_its_windows_probabilities() -> None:
    # After a vowel, mostly a consonant.
    def logits(windows: Tensor) -> Tensor:
        was_a = windows.view(len(windows), -1, 30)[:, -1, 0:1]
        even = torch.zeros(len(windows), 30)
        even[:, 2:] = -np.inf
        return torch.where((was_a > 0) & (torch.arange(30) == 1), torch.tensor(9.0).log(), even)

    written = roll_out(logits, symbols("a").expand(200, 1), noise(200, 100)).numpy()
    assert set(np.unique(written)) == {0, 1}
    after_a, after_b = (written[:, 1:][written[:, :-1] == k].mean() for k in (0, 1))
    assert after_a == pytest.approx(0.9, abs=0.02)
    assert after_b == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_a_low_temperature_the_likeliest_is_written(dtype: torch.dtype) -> None:
    predict = linear(4)
    starts = symbols("wolf", "lamb", "crow")
    written = roll_out(lambda windows: predict(windows).to(dtype), starts, noise(3, 80, dtype=dtype), 1e-6)
    for row in written.tolist():
        for place in range(80):
            window = torch.eye(30)[torch.tensor(row[place : place + 4])].view(1, 120)
            assert row[place + 4] == int(predict(window).argmax())


def test_noise_falls_into_the_place_of_a_character() -> None:
    # a: 0 to 1/2, b: never, c: 1/2 to 3/4, d: 3/4 to 1.
    logits = np.full(30, -np.inf)
    logits[[0, 2, 3]] = np.log([0.5, 0.25, 0.25])
    draws = torch.tensor([[0.0], [0.4999], [0.5], [0.7499], [0.7501], [0.9999]], dtype=torch.float64)
    written = roll_out(constant(logits), symbols("w").expand(6, 1), draws)
    assert texts(written) == ["wa", "wa", "wc", "wc", "wd", "wd"]


def test_noise_of_0_writes_nothing_impossible() -> None:
    logits = np.zeros(30)
    logits[:7] = -np.inf
    assert texts(roll_out(constant(logits), symbols("w"), torch.zeros(1, 2))) == ["whh"]


@pytest.mark.parametrize("value", [0.0, 1 - 2**-24, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_ends_of_the_noise_stay_in_the_alphabet(value: float, dtype: torch.dtype) -> None:
    # In float32 the probabilities of 30 characters often add up to less than 1 - 2⁻²⁴.
    logits = torch.randn(500, 30, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert (logits.softmax(-1).cumsum(1)[:, -1] < 1).any()
    draws = torch.full((500, 3), value, dtype=dtype)
    written = roll_out(lambda windows: logits, symbols("lamb").expand(500, 4), draws)
    assert written.min() >= 0
    assert written.max() <= 29
    assert (written[:, 4:] == (0 if value == 0 else 29)).all()


# Starts and samples --------------------------------------------------------------------------------


def made_split(*strings: str, window: int, numbers: list[int] | None = None) -> Split:
    """All windows of `strings`, which go by `numbers`."""
    found = [
        (number, string[start : start + window + 1])
        for number, string in zip(numbers or range(len(strings)), strings, strict=True)
        for start in range(len(string) - window)
    ]
    places = symbols(*(text for _, text in found))
    inputs = torch.eye(30)[places[:, :-1]].flatten(1)
    return Split(inputs, places[:, -1], torch.tensor([number for number, _ in found]))


def test_a_start_is_the_first_window_of_a_string() -> None:
    split = made_split("the wolf", "lamb", "a crow.", window=3)
    assert texts(starts_of(split, 30)) == ["the", "lam", "a c"]
    assert texts(starts_of(split.first(6), 30)) == ["the", "lam"]
    assert texts(starts_of(split.first(1), 30)) == ["the"]


def test_numbers_of_strings_may_leave_some_out() -> None:
    split = made_split("the wolf", "lamb", "a crow.", window=3, numbers=[2, 5, 6])
    assert texts(starts_of(split, 30)) == ["the", "lam", "a c"]


SPLIT = made_split(
    "the wolf and the lamb", "a crow, and", "so it was.", "; he said", "not a sample", "nor this", window=5
)


def test_samples_are_bytes_of_the_alphabet_and_begin_with_real_windows() -> None:
    pictures = samples(linear(5), SPLIT, 30)
    assert list(pictures) == ["text_temperature_1", "text_temperature_0.5"]
    for letters in pictures.values():
        assert letters.dtype == np.uint8
        assert letters.shape == (4, 155)
        written = [bytes(row).decode("ascii") for row in letters]
        assert all(set(text) <= set(LETTERS) for text in written)
        assert [text[:5] for text in written] == ["the w", "a cro", "so it", "; he "]
        assert len({text[5:] for text in written}) == 4


def test_there_are_no_more_samples_than_strings() -> None:
    for letters in samples(linear(5), made_split("the wolf", "a lamb", window=5), 30).values():
        assert letters.shape == (2, 155)


def test_samples_are_drawn_at_their_temperatures() -> None:
    logits = np.zeros(30)
    logits[4] = np.log(29)  # one half at temperature 1, and at a half 29 / 30
    for name, expected in (("text_temperature_1", 0.5), ("text_temperature_0.5", 29 / 30)):
        letters = samples(constant(logits), SPLIT, 30)[name][:, 5:]
        share = (letters == ord("e")).mean()
        assert share == pytest.approx(expected, abs=5 * np.sqrt(expected * (1 - expected) / letters.size))


def test_samples_repeat_and_leave_other_random_numbers_alone() -> None:
    before = torch.get_rng_state()
    first, again = (samples(linear(5), SPLIT, 30) for _ in range(2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), before)

"""Generated text, compared with a loop over characters in Python and with the predicted probabilities."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from ffrepro.dataset import Split
from ffrepro.rollout import first_windows, generate, samples

LETTERS = "abcdefghijklmnopqrstuvwxyz ,;."
Predictor = Callable[[Tensor], Tensor]


def indices(*texts: str) -> Tensor:
    return torch.tensor([[LETTERS.index(letter) for letter in text] for text in texts])


def texts(strings: Tensor) -> list[str]:
    return ["".join(LETTERS[index] for index in row) for row in strings.tolist()]


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def deterministic(next_index: Callable[[list[int]], int]) -> Predictor:
    """Logits that give probability 1 to the character that `next_index` returns for the indices of a window."""

    def logits(windows: Tensor) -> Tensor:
        rows = windows.view(len(windows), -1, 30).argmax(2).tolist()
        outputs = torch.zeros(len(windows), 30)
        for number, row in enumerate(rows):
            outputs[number, next_index(row)] = 200.0
        return outputs

    return logits


def linear(window: int) -> Predictor:
    """A network of one random layer, in float64."""
    weight = 0.7 * torch.randn(30 * window, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return lambda windows: windows.double() @ weight


def constant(logits: np.ndarray) -> Predictor:
    return lambda windows: torch.from_numpy(logits).expand(len(windows), -1)


# The next character --------------------------------------------------------------------------------


def test_text_continues_after_its_last_character() -> None:
    generated = generate(deterministic(lambda row: (row[-1] + 1) % 30), indices("xab", "..x"), noise(2, 6))
    assert texts(generated) == ["xabcdefgh", "..xyz ,;."]


def test_the_first_character_of_the_window_can_determine_the_next() -> None:
    generated = generate(deterministic(lambda row: row[0]), indices("abcd", "wolf"), noise(2, 10))
    assert texts(generated) == ["abcdabcdabcdab", "wolfwolfwolfwo"]


def test_the_next_character_depends_on_the_window_alone() -> None:
    def next_index(row: list[int]) -> int:
        assert len(row) == 4
        return sum((2 * position + 1) * index for position, index in enumerate(row)) % 30

    generated = generate(deterministic(next_index), indices("wolf", "lamb"), noise(2, 50)).tolist()
    for start, row in zip(indices("wolf", "lamb").tolist(), generated, strict=True):
        expected = start
        for _ in range(50):
            expected = [*expected, next_index(expected[-4:])]
        assert row == expected
        assert len(set(row)) > 15  # the text is not constant


def test_without_noise_only_the_starts_are_returned() -> None:
    starts = indices("wolf", "lamb")
    generated = generate(linear(4), starts, noise(2, 0))
    assert torch.equal(generated, starts)
    assert torch.equal(starts, indices("wolf", "lamb"))


def test_the_text_depends_on_the_noise() -> None:
    starts = indices("wolf", "lamb")
    first, again, other = (generate(linear(4), starts, noise(2, 100, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_string_does_not_depend_on_the_other_strings() -> None:
    starts, draws = indices("wolf", "lamb", "crow", "....", "crow"), noise(5, 200)
    at_once = generate(linear(4), starts, draws, 0.8)
    for k in range(5):
        alone = generate(linear(4), starts[k : k + 1], draws[k : k + 1], 0.8)
        assert torch.equal(alone[0], at_once[k])
    assert not torch.equal(at_once[2], at_once[4])  # the same start with other noise
    order = torch.tensor([3, 1, 4, 0, 2])
    assert torch.equal(generate(linear(4), starts[order], draws[order], 0.8), at_once[order])


def test_a_longer_text_begins_with_the_shorter_one() -> None:
    starts, draws = indices("wolf"), noise(1, 60)
    assert torch.equal(generate(linear(4), starts, draws)[:, :34], generate(linear(4), starts, draws[:, :30]))


def test_text_is_generated_as_by_a_loop_over_characters() -> None:
    predict, starts, draws = linear(4), indices("wolf", "lamb"), noise(2, 100, seed=3)
    generated = generate(predict, starts, draws, 0.6).numpy()
    for row, start in enumerate(starts.tolist()):
        expected = list(start)
        for u in draws[row].tolist():
            window = torch.zeros(1, 4, 30)
            for position, index in enumerate(expected[-4:]):
                window[0, position, index] = 1
            odds = np.exp(predict(window.view(1, 120))[0].numpy() / 0.6)
            cumulative = np.cumsum(odds / odds.sum())
            expected.append(next(k for k in range(30) if u < cumulative[k] or k == 29))
        assert generated[row].tolist() == expected


# Sampling ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_characters_have_the_frequencies_of_the_softmax(temperature: float) -> None:
    logits = np.random.default_rng(0).normal(size=30) * 1.5
    n = 200_000
    generated = generate(constant(logits), indices("w").expand(1000, 1), noise(1000, n // 1000), temperature)
    frequencies = np.bincount(generated[:, 1:].flatten(), minlength=30) / n
    expected = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
    assert (np.abs(frequencies - expected) <= 5 * np.sqrt(expected * (1 - expected) / n) + 1e-12).all()
    assert expected.max() > 2 * np.median(expected)  # they differ


def test_a_character_depends_on_its_window() -> None:
    # The text has only a and b. After a, b has probability 0.9; after b, both have 0.5.
    def logits(windows: Tensor) -> Tensor:
        was_a = windows.view(len(windows), -1, 30)[:, -1, 0:1]
        equal = torch.zeros(len(windows), 30)
        equal[:, 2:] = -np.inf
        return torch.where((was_a > 0) & (torch.arange(30) == 1), torch.tensor(9.0).log(), equal)

    generated = generate(logits, indices("a").expand(200, 1), noise(200, 100)).numpy()
    assert set(np.unique(generated)) == {0, 1}
    after_a, after_b = (generated[:, 1:][generated[:, :-1] == k].mean() for k in (0, 1))
    assert after_a == pytest.approx(0.9, abs=0.02)
    assert after_b == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_low_temperature_gives_the_most_probable_character(dtype: torch.dtype) -> None:
    predict = linear(4)
    starts = indices("wolf", "lamb", "crow")
    generated = generate(lambda windows: predict(windows).to(dtype), starts, noise(3, 80, dtype=dtype), 1e-6)
    for row in generated.tolist():
        for step in range(80):
            window = torch.eye(30)[torch.tensor(row[step : step + 4])].view(1, 120)
            assert row[step + 4] == int(predict(window).argmax())


def test_the_noise_selects_a_character_by_cumulative_probability() -> None:
    # Noise from 0 to 1/2 gives a, from 1/2 to 3/4 c, and from 3/4 to 1 d; b has probability 0.
    logits = np.full(30, -np.inf)
    logits[[0, 2, 3]] = np.log([0.5, 0.25, 0.25])
    draws = torch.tensor([[0.0], [0.4999], [0.5], [0.7499], [0.7501], [0.9999]], dtype=torch.float64)
    generated = generate(constant(logits), indices("w").expand(6, 1), draws)
    assert texts(generated) == ["wa", "wa", "wc", "wc", "wd", "wd"]


def test_noise_0_does_not_select_a_character_of_probability_0() -> None:
    logits = np.zeros(30)
    logits[:7] = -np.inf
    assert texts(generate(constant(logits), indices("w"), torch.zeros(1, 2))) == ["whh"]


@pytest.mark.parametrize("value", [0.0, 1 - 2**-24, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_noise_selects_the_first_or_the_last_character(value: float, dtype: torch.dtype) -> None:
    # In float32 the sum of 30 probabilities is often less than 1 - 2⁻²⁴.
    logits = torch.randn(500, 30, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert (logits.softmax(-1).cumsum(1)[:, -1] < 1).any()
    draws = torch.full((500, 3), value, dtype=dtype)
    generated = generate(lambda windows: logits, indices("lamb").expand(500, 4), draws)
    assert generated.min() >= 0
    assert generated.max() <= 29
    assert (generated[:, 4:] == (0 if value == 0 else 29)).all()


# Starts and samples --------------------------------------------------------------------------------


def split_of(*strings: str, window: int, numbers: list[int] | None = None) -> Split:
    """All windows of `strings`, numbered by `numbers`."""
    windows = [
        (number, string[start : start + window + 1])
        for number, string in zip(numbers or range(len(strings)), strings, strict=True)
        for start in range(len(string) - window)
    ]
    encoded = indices(*(text for _, text in windows))
    inputs = torch.eye(30)[encoded[:, :-1]].flatten(1)
    return Split(inputs, encoded[:, -1], torch.tensor([number for number, _ in windows]))


def test_each_string_has_a_first_window() -> None:
    split = split_of("the wolf", "lamb", "a crow.", window=3)
    assert texts(first_windows(split, 30)) == ["the", "lam", "a c"]
    assert texts(first_windows(split[:6], 30)) == ["the", "lam"]
    assert texts(first_windows(split[:1], 30)) == ["the"]


def test_numbers_of_strings_may_have_gaps() -> None:
    split = split_of("the wolf", "lamb", "a crow.", window=3, numbers=[2, 5, 6])
    assert texts(first_windows(split, 30)) == ["the", "lam", "a c"]


SPLIT = split_of(
    "the wolf and the lamb", "a crow, and", "so it was.", "; he said", "not a sample", "nor this", window=5
)


def test_samples_are_ascii_codes_and_begin_with_the_first_windows() -> None:
    pictures = samples(linear(5), SPLIT, 30)
    assert list(pictures) == ["text_temperature_1", "text_temperature_0.5"]
    for letters in pictures.values():
        assert letters.dtype == np.uint8
        assert letters.shape == (4, 155)
        generated = [bytes(row).decode("ascii") for row in letters]
        assert all(set(text) <= set(LETTERS) for text in generated)
        assert [text[:5] for text in generated] == ["the w", "a cro", "so it", "; he "]
        assert len({text[5:] for text in generated}) == 4


def test_there_is_at_most_a_sample_per_string() -> None:
    for letters in samples(linear(5), split_of("the wolf", "a lamb", window=5), 30).values():
        assert letters.shape == (2, 155)


def test_samples_have_their_temperatures() -> None:
    logits = np.zeros(30)
    logits[4] = np.log(29)  # probability 1/2 at temperature 1, and 29/30 at temperature 1/2
    for name, expected in (("text_temperature_1", 0.5), ("text_temperature_0.5", 29 / 30)):
        letters = samples(constant(logits), SPLIT, 30)[name][:, 5:]
        share = (letters == ord("e")).mean()
        assert share == pytest.approx(expected, abs=5 * np.sqrt(expected * (1 - expected) / letters.size))


def test_samples_repeat_and_do_not_use_the_global_generator() -> None:
    before = torch.get_rng_state()
    first, again = (samples(linear(5), SPLIT, 30) for _ in range(2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), before)

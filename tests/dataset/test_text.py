"""Text as windows, compared with strings split by hand; held-out windows do not occur in training."""

import re

import numpy as np
import pytest
import torch
from torch import Tensor

from ffrepro.dataset import Dataset, Split, data_roots
from ffrepro.dataset.aesop import Aesop, MadeUpText
from ffrepro.dataset.text import ALPHABET, TextSplitter, clean, decode, encode, one_hot_windows, windows
from ffrepro.errors import UserError

CPU = torch.device("cpu")
LETTERS = "abcdefghijklmnopqrstuvwxyz ,;."


def read(split: Split, window: int) -> list[str]:
    """Each window of `split` with its next character, read from the tensors."""
    assert split.inputs.shape == (len(split), window * 30)
    one_hot = split.inputs.numpy().reshape(-1, window, 30)
    assert set(np.unique(one_hot)) <= {0, 1}
    assert (one_hot.sum(2) == 1).all()
    rows = np.concatenate([one_hot.argmax(2), split.targets.numpy()[:, None]], axis=1)
    return ["".join(LETTERS[index] for index in row) for row in rows]


def numbers_of(split: Split) -> list[int]:
    """The number of each window's string."""
    assert split.strings is not None
    return split.strings.tolist()


def dataset_of(text: str, strings: int, validation_strings: int, length: int, window: int) -> Dataset:
    """The data set of a text from `here.txt`."""
    splitter = TextSplitter(strings, validation_strings, length, window)
    return splitter.dataset(text, name="a text", origin="here.txt", sha256="hash", stand_in=False, device=CPU)


def random_text(n: int) -> str:
    """Lower-case letters, without repeated windows."""
    return "".join("abcdefghijklmnopqrstuvwxyz"[k] for k in np.random.default_rng(0).integers(26, size=n))


# Characters ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The FOX; the Grapes.", "the fox; the grapes."),
        ("one\ntwo\r\nthree\n\n\nfour\tfive", "one two three four five"),
        ("a  b   c", "a b c"),
        ("\u00a0a\u00a0\u00a0b\u2003", "a b"),
        ("'Don't!' (said: \"he\")?", "dont said he"),
        ("in 1867 - or - so", "in or so"),
        ("here -\n- there", "here there"),
        ("café, naïve", "caf, nave"),
        ("  \n ends. \n", "ends."),
        ("? a ?", "a"),
        ("", ""),
        ("123\n456", ""),
    ],
)
def test_cleaned_text_is_in_the_alphabet(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_the_alphabet_is_the_drafts() -> None:
    assert ALPHABET == LETTERS
    assert len(set(ALPHABET)) == 30
    assert clean(ALPHABET) == ALPHABET


def test_windows_end_with_the_next_character() -> None:
    assert windows("abcdef", 3) == ["abcd", "bcde", "cdef"]
    assert windows("abcd", 3) == ["abcd"]
    assert windows("abc", 3) == []


def test_characters_are_encoded_as_indices_in_the_alphabet() -> None:
    indices = encode(["az ", ",;."])
    assert indices.dtype == torch.int64
    assert indices.tolist() == [[0, 25, 26], [27, 28, 29]]
    assert decode(torch.tensor([[0, 25, 26], [27, 28, 29]])) == ["az ", ",;."]


def test_decoding_inverts_encoding() -> None:
    texts = [LETTERS, LETTERS[::-1], "the wolf, and the lamb; again."]
    assert decode(encode(texts)) == texts


def test_inputs_are_one_hot() -> None:
    inputs = one_hot_windows(torch.tensor([[1, 0, 29], [2, 2, 26]]))
    assert inputs.dtype == torch.float32
    assert inputs.shape == (2, 90)
    assert inputs.nonzero().tolist() == [[0, 1], [0, 30], [0, 89], [1, 2], [1, 32], [1, 86]]
    assert inputs.sum() == 6


# Strings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("splitter", "text", "expected"),
    [
        ((2, 1, 3, 2), "abcdefghijkl", (["abc", "ghi"], ["def"], ["jkl"])),
        ((2, 1, 3, 2), "abcdefghijklmnopqrstuvwx", (["abc", "mno"], ["def"], ["ghi", "jkl", "pqr", "stu", "vwx"])),
        ((1, 2, 2, 1), "abcdefghijk", (["ab"], ["cd", "gh"], ["ef", "ij"])),
        ((3, 1, 2, 1), "abcdefghij", (["ab", "cd", "gh"], ["ef"], ["ij"])),
    ],
)
def test_strings_are_split_as_by_hand(
    splitter: tuple[int, int, int, int], text: str, expected: tuple[list[str], list[str], list[str]]
) -> None:
    assert TextSplitter(*splitter).split_strings(text, "") == expected


@pytest.mark.parametrize("n_characters", [1000, 1019, 4321])
@pytest.mark.parametrize(
    ("strings", "held_out"), [(4, 4), (16, 16), (6, 2), (30, 1), (2, 6), (1, 1), (1, 9), (5, 3), (48, 1)]
)
def test_strings_are_evenly_spread_and_do_not_overlap(strings: int, held_out: int, n_characters: int) -> None:
    # All characters differ, so that a character tells its position.
    text = "".join(chr(0x4E00 + position) for position in range(n_characters))
    splits = TextSplitter(strings, held_out, 20, 10).split_strings(text, "here.txt")
    total = n_characters // 20
    assert [len(split) for split in splits] == [strings, held_out, total - strings - held_out]
    for string in (string for split in splits for string in split):
        assert len(string) == 20
        assert string in text
    assert len({letter for split in splits for string in split for letter in string}) == 20 * total

    # Of n strings, string k starts at k/n of the text, rounded down to a whole string.
    train, validation, test = ([(ord(string[0]) - 0x4E00) // 20 for string in split] for split in splits)
    assert all(-1 < start - k * total / strings <= 0 for k, start in enumerate(train))
    rest = sorted(validation + test)
    assert all(-1 < rest.index(start) - k * len(rest) / held_out <= 0 for k, start in enumerate(validation))
    assert (train, validation, test) == (sorted(train), sorted(validation), sorted(test))


def test_splits_have_all_windows_of_their_strings() -> None:
    dataset = dataset_of(random_text(200), 3, 2, 20, 4)
    assert dataset.sizes() == {"train": 3 * 16, "validation": 2 * 16, "test": 5 * 16}


@pytest.mark.parametrize("window", [1, 12])
def test_a_window_has_1_to_12_characters(window: int) -> None:
    dataset = dataset_of(random_text(200), 2, 2, 13, window)
    assert len(dataset.train) == 2 * (13 - window)
    assert dataset.input_shape == (window, 30)


# Splits --------------------------------------------------------------------------------------------


def test_a_data_set_has_the_windows_found_by_hand() -> None:
    dataset = dataset_of("Abcd-EFGH\nijkl, m;op", 2, 1, 4, 2)  # abcd efgh | ijk | l, m | ;op
    assert dataset.validation is not None
    assert read(dataset.train, 2) == ["abc", "bcd", " ij", "ijk"]
    assert numbers_of(dataset.train) == [0, 0, 1, 1]
    assert read(dataset.validation, 2) == ["efg", "fgh"]
    assert read(dataset.test, 2) == ["l, ", ", m"]
    for split in (dataset.validation, dataset.test):
        assert numbers_of(split) == [0, 0]
    assert (dataset.name, dataset.sha256, dataset.stand_in) == ("a text", "hash", False)
    assert (dataset.n_classes, dataset.input_shape, dataset.alphabet) == (30, (2, 30), LETTERS)
    for split in (dataset.train, dataset.validation, dataset.test):
        assert (split.inputs.dtype, split.targets.dtype) == (torch.float32, torch.int64)


def test_windows_are_in_the_order_of_the_text() -> None:
    text = random_text(1000)
    dataset = dataset_of(text, 6, 4, 30, 10)
    assert dataset.validation is not None
    for split, n in ((dataset.train, 6), (dataset.validation, 4), (dataset.test, 23)):
        assert numbers_of(split) == [k for k in range(n) for _ in range(20)]
        texts = read(split, 10)
        for k in range(n):
            first, *_, last = texts[20 * k : 20 * k + 20]
            start = text.index(first)
            assert texts[20 * k : 20 * k + 20] == [text[start + i : start + i + 11] for i in range(20)]
            assert text.index(last) == start + 19


def test_training_windows_are_not_held_out() -> None:
    # Each held-out string has the training window `ab`, followed by the same or by another character.
    dataset = dataset_of("abcd" + "zabc" + "yabe", 1, 1, 4, 2)
    assert dataset.validation is not None
    assert read(dataset.train, 2) == ["abc", "bcd"]
    assert read(dataset.validation, 2) == ["zab"]
    assert read(dataset.test, 2) == ["yab"]


def test_strings_keep_their_numbers_when_another_is_left_out() -> None:
    dataset = dataset_of("abcd" + "abcd" + "ijkl" + "efgh" + "qrst" + "uvwx", 2, 2, 4, 2)
    assert dataset.validation is not None
    assert read(dataset.validation, 2) == ["qrs", "rst"]
    assert numbers_of(dataset.validation) == [1, 1]
    assert numbers_of(dataset.test) == [0, 0, 1, 1]


def assert_apart(dataset: Dataset, window: int, test_strings: int) -> None:
    """Assert that training has no held-out window, and that most held-out windows remain."""
    assert dataset.validation is not None
    train = {text[:-1] for text in read(dataset.train, window)}
    for split, strings in ((dataset.validation, 248), (dataset.test, test_strings)):
        assert train.isdisjoint(text[:-1] for text in read(split, window))
        assert len(split) > 0.5 * 90 * strings
        numbers = numbers_of(split)
        assert numbers == sorted(numbers)
        assert set(numbers) == set(range(strings))


def test_held_out_windows_of_the_made_up_text_are_not_trained_on() -> None:
    dataset = MadeUpText("made-up sentences", TextSplitter(248, 248, 100, 10)).load(CPU)
    assert len(dataset.train) == 22_320
    assert_apart(dataset, 10, 248)


def test_held_out_windows_of_aesop_are_not_trained_on() -> None:
    if not any((root / "aesop" / "aesop.txt").is_file() for root in data_roots()):
        pytest.skip("Aesop's Fables are not on this machine")
    source = Aesop(name="aesop", path=None, strings=248, validation_strings=248, length=100, window=10)
    assert_apart(source.load(CPU), 10, 1367)


def test_training_metrics_of_a_text_use_all_of_it() -> None:
    dataset = dataset_of(random_text(200), 3, 2, 20, 4)
    assert len(dataset.train_evaluated) == len(dataset.train)
    reduced = dataset.reduced(20, 10)
    assert reduced.sizes() == {"train": 20, "validation": 10, "test": 10}
    assert numbers_of(reduced.train) == [0] * 16 + [1] * 4


def test_a_split_moves_with_its_strings() -> None:
    split = Split(torch.zeros(2, 3), torch.zeros(2), torch.tensor([0, 1])).to(torch.device("meta"))
    tensors: list[Tensor | None] = [split.inputs, split.targets, split.strings]
    assert all(tensor is not None and tensor.is_meta for tensor in tensors)


# Errors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((0, 1, 20, 10), "dataset.strings is 0: expected 1 or more"),
        ((-3, 1, 20, 10), "dataset.strings is -3: expected 1 or more"),
        ((1, 0, 20, 10), "dataset.validation_strings is 0: expected 1 or more"),
        ((1, 1, 20, 0), "dataset.window is 0: expected 1 to 12 characters"),
        ((1, 1, 20, 13), "dataset.window is 13: expected 1 to 12 characters"),
        ((1, 1, 10, 10), "dataset.length is 10: expected more characters than dataset.window has, 10"),
        ((1, 1, -1, 10), "dataset.length is -1: expected more characters"),
    ],
)
def test_an_invalid_option_is_named(numbers: tuple[int, int, int, int], words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        TextSplitter(*numbers)


def test_a_text_that_is_too_short_is_named() -> None:
    assert len(dataset_of(random_text(120), 3, 2, 20, 4).train) == 48
    with pytest.raises(
        UserError, match=r"here\.txt is too short: expected 6 strings of 20 characters, found 5\. .*dataset\.length"
    ):
        dataset_of(random_text(119), 3, 2, 20, 4)
    with pytest.raises(UserError, match="found 0"):
        dataset_of("", 3, 2, 20, 4)
    # Only characters in the alphabet count.
    with pytest.raises(UserError, match="found 5"):
        dataset_of(random_text(119) + "!" * 10 + "\n" * 1000, 3, 2, 20, 4)


@pytest.mark.parametrize("text", ["Война и мир. " * 50, "abcdefg 3141592 " * 50, "0" * 1000], ids=lambda text: text[:7])
def test_a_text_in_another_alphabet_is_named(text: str) -> None:
    with pytest.raises(UserError, match=r"here\.txt is not in the alphabet"):
        dataset_of(text, 3, 2, 20, 4)


def test_a_fifth_of_the_text_may_be_other_characters() -> None:
    text = random_text(160)
    assert dataset_of(text + "!" * 40, 3, 2, 20, 4).train.inputs.equal(dataset_of(text, 3, 2, 20, 4).train.inputs)
    with pytest.raises(UserError, match="not in the alphabet"):
        dataset_of(text + "!" * 41, 3, 2, 20, 4)


@pytest.mark.parametrize(
    "text", ["abcdefghij" * 40, "abcd" + "abcd" + "abcd" + "abcd", "abcd" + "abcd" + "efgh", "abcd" + "efgh" + "abcd"]
)
def test_a_text_that_repeats_itself_is_named(text: str) -> None:
    strings = (3, 2, 20, 4) if len(text) > 100 else (1, 1, 4, 2)
    with pytest.raises(UserError, match=r"here\.txt repeats itself"):
        dataset_of(text, *strings)

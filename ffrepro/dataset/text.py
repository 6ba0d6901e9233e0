"""Text as windows of characters, each with the next character as its target."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ffrepro.dataset import Dataset, Split
from ffrepro.errors import UserError

ALPHABET = "abcdefghijklmnopqrstuvwxyz ,;."
# The least share of a text's characters that the alphabet must have. It has nearly all characters of English prose.
_MIN_KNOWN = 0.8
# An n-gram model stores a window as a 64-bit integer.
_MAX_WINDOW = 12


def clean(text: str) -> str:
    """Convert `text` to lower case, collapse white space to single spaces, and drop characters not in the alphabet."""
    known = re.sub(f"[^{re.escape(ALPHABET)}]", "", re.sub(r"\s+", " ", text.lower()))
    return re.sub(" +", " ", known).strip()


def windows(string: str, window: int) -> list[str]:
    """All runs of `window` characters of a string, each followed by the next character."""
    return [string[start : start + window + 1] for start in range(len(string) - window)]


def encode(texts: Sequence[str]) -> Tensor:
    """N texts of equal length, in the alphabet -> indices of their characters (N, length)."""
    indices = np.zeros(128, dtype=np.int64)
    indices[np.frombuffer(ALPHABET.encode(), np.uint8)] = np.arange(len(ALPHABET))
    codes = np.frombuffer("".join(texts).encode(), np.uint8).reshape(len(texts), -1)
    return torch.from_numpy(indices[codes])


def decode(indices: Tensor) -> list[str]:
    """Indices of characters (N, length) -> N texts."""
    return ["".join(ALPHABET[index] for index in row) for row in indices.tolist()]


def one_hot_windows(indices: Tensor) -> Tensor:
    """Indices of characters (N, window) -> one-hot inputs of a network (N, window · len(ALPHABET))."""
    return one_hot(indices, len(ALPHABET)).flatten(1).float()


@dataclass(frozen=True)
class TextSplitter:
    """Cuts a text into strings, assigns the strings to splits, and takes the windows of each string.

    Raises UserError if an argument is out of range.
    """

    strings: int  # number of training strings, spread evenly over the text
    # Number of validation strings, spread evenly over the other strings; the test set has the rest.
    validation_strings: int
    length: int  # characters per string
    window: int  # characters per window

    def __post_init__(self) -> None:
        for option in ("strings", "validation_strings"):
            if getattr(self, option) < 1:
                raise UserError(f"dataset.{option} is {getattr(self, option)}: expected 1 or more.")
        if not 1 <= self.window <= _MAX_WINDOW:
            raise UserError(f"dataset.window is {self.window}: expected 1 to {_MAX_WINDOW} characters.")
        if self.length <= self.window:
            raise UserError(
                f"dataset.length is {self.length}: expected more characters than dataset.window has, {self.window}."
            )

    def dataset(
        self, text: str, *, name: str, origin: str, sha256: str, stand_in: bool, device: torch.device
    ) -> Dataset:
        """The splits of `text`; error messages refer to it as `origin`.

        Validation and test windows that also occur in the training strings are left out. Raises UserError if the text
        is too short, has too few letters of the alphabet, or repeats itself.
        """
        cleaned = clean(text)
        if len(cleaned) < _MIN_KNOWN * len(re.sub(r"\s+", " ", text).strip()):
            raise UserError(
                f"{origin} is not in the alphabet a–z, space, comma, semicolon, full stop: found too few of its "
                "letters."
            )
        train, *held_out = self.split_strings(cleaned, origin)
        # Windows are compared without the next character: with it, mostly windows that are hard to predict would stay.
        training_windows = {window[:-1] for string in train for window in windows(string, self.window)}
        validation, test = (self._split(strings, device, without=training_windows) for strings in held_out)
        if not (len(validation) and len(test)):
            raise UserError(f"{origin} repeats itself: all windows of a held-out split also occur in training.")
        return Dataset(
            name=name,
            train=self._split(train, device),
            validation=validation,
            test=test,
            n_classes=len(ALPHABET),
            input_shape=(self.window, len(ALPHABET)),
            sha256=sha256,
            stand_in=stand_in,
            alphabet=ALPHABET,
        )

    def split_strings(self, text: str, origin: str) -> tuple[list[str], list[str], list[str]]:
        """The training, validation and test strings of a cleaned text; they do not overlap.

        Raises UserError if the text is too short.
        """
        required, available = self.strings + self.validation_strings + 1, len(text) // self.length
        if available < required:
            raise UserError(
                f"{origin} is too short: expected {required} strings of {self.length} characters, found {available}. "
                "Lower dataset.strings, dataset.validation_strings or dataset.length."
            )
        strings = [text[k * self.length : (k + 1) * self.length] for k in range(available)]
        train, rest = _evenly_spread(strings, self.strings)
        return train, *_evenly_spread(rest, self.validation_strings)

    def _split(self, strings: list[str], device: torch.device, without: Collection[str] = ()) -> Split:
        """The windows of `strings` in order, except those in `without`."""
        numbered = [
            (number, window)
            for number, string in enumerate(strings)
            for window in windows(string, self.window)
            if window[:-1] not in without
        ]
        if not numbered:
            return Split(torch.empty(0), torch.empty(0))
        indices = encode([window for _, window in numbered])
        numbers = torch.tensor([number for number, _ in numbered])
        return Split(one_hot_windows(indices[:, :-1]), indices[:, -1].contiguous(), numbers).to(device)


def _evenly_spread(strings: list[str], n: int) -> tuple[list[str], list[str]]:
    """`n` evenly spread strings and the remaining strings, both in their original order."""
    chosen = {k * len(strings) // n for k in range(n)}
    return [strings[k] for k in sorted(chosen)], [string for k, string in enumerate(strings) if k not in chosen]

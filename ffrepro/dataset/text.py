"""From a text to windows of it, from which the next character is to be predicted."""

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
# Of a text's characters, those that the alphabet must know: of English prose it knows nearly all.
_LEAST_KNOWN = 0.8
# A window is one whole number of 64 bits where windows are counted.
_LONGEST_WINDOW = 12


def cleaned(text: str) -> str:
    """`text` in the alphabet: in small letters, with a single space for any run of white space, the rest removed."""
    known = re.sub(f"[^{re.escape(ALPHABET)}]", "", re.sub(r"\s+", " ", text.lower()))
    return re.sub(" +", " ", known).strip()


def windows(string: str, window: int) -> list[str]:
    """All runs of `window` characters of a string with the one that comes next."""
    return [string[start : start + window + 1] for start in range(len(string) - window)]


def as_symbols(texts: Sequence[str]) -> Tensor:
    """N texts of one length, in the alphabet -> places in it, (N, length)."""
    places = np.zeros(128, dtype=np.int64)
    places[np.frombuffer(ALPHABET.encode(), np.uint8)] = np.arange(len(ALPHABET))
    letters = np.frombuffer("".join(texts).encode(), np.uint8).reshape(len(texts), -1)
    return torch.from_numpy(places[letters])


def as_texts(symbols: Tensor) -> list[str]:
    """Places in the alphabet (N, length) -> N texts."""
    return ["".join(ALPHABET[place] for place in row) for row in symbols.tolist()]


def one_hot_windows(symbols: Tensor) -> Tensor:
    """Places in the alphabet (N, window) -> inputs of a net (N, window · len(ALPHABET)), one set in each place."""
    return one_hot(symbols, len(ALPHABET)).flatten(1).float()


@dataclass(frozen=True)
class Cut:
    """How a text becomes strings, and strings become windows.

    Args:
        strings: to train on, spread evenly over the text.
        validation_strings: spread evenly over the rest; the test has all others.
        length: of a string, in characters.
        window: how many characters the next one is predicted from.

    Raises:
        UserError: a number makes no sense.
    """

    strings: int
    validation_strings: int
    length: int
    window: int

    def __post_init__(self) -> None:
        for option in ("strings", "validation_strings"):
            if getattr(self, option) < 1:
                raise UserError(f"dataset.{option} is {getattr(self, option)}: expected 1 or more.")
        if not 1 <= self.window <= _LONGEST_WINDOW:
            raise UserError(f"dataset.window is {self.window}: expected 1 to {_LONGEST_WINDOW} characters.")
        if self.length <= self.window:
            raise UserError(
                f"dataset.length is {self.length}: expected more characters than dataset.window has, {self.window}."
            )

    @property
    def input_shape(self) -> tuple[int, int]:
        return self.window, len(ALPHABET)

    @property
    def sizes(self) -> tuple[int, int]:
        """See `Source.sizes`; how large the test is depends on the text, and here counts as the validation does."""
        train, held_out = (n * (self.length - self.window) for n in (self.strings, self.validation_strings))
        return train, train + 2 * held_out

    def dataset(
        self, text: str, *, name: str, place: str, sha256: str, stand_in: bool, device: torch.device
    ) -> Dataset:
        """The splits of `text`, which is from `place`.

        Raises:
            UserError: the text is too short, is not in the alphabet, or is the same everywhere.
        """
        known = cleaned(text)
        if len(known) < _LEAST_KNOWN * len(re.sub(r"\s+", " ", text).strip()):
            raise UserError(
                f"{place} is not in the alphabet a–z, space, comma, semicolon, full stop: found too few of its letters."
            )
        train, *others = self.spread(known, place)
        # By the window alone: to look at the next character too would leave those behind that are hard to guess.
        trained_on = {one[:-1] for string in train for one in windows(string, self.window)}
        validation, test = (self._split(part, device, without=trained_on) for part in others)
        if not (len(validation) and len(test)):
            raise UserError(f"{place} repeats itself: none of its windows can be held out that is not trained on too.")
        return Dataset(
            name=name,
            train=self._split(train, device),
            validation=validation,
            test=test,
            n_classes=len(ALPHABET),
            input_shape=self.input_shape,
            sha256=sha256,
            stand_in=stand_in,
            alphabet=ALPHABET,
        )

    def spread(self, text: str, place: str) -> tuple[list[str], list[str], list[str]]:
        """Strings to train on, for validation and for the test, of a cleaned text; no two share a character of it.

        Raises:
            UserError: the text is too short.
        """
        least, there_are = self.strings + self.validation_strings + 1, len(text) // self.length
        if there_are < least:
            raise UserError(
                f"{place} is too short: expected {least} strings of {self.length} characters, found {there_are}. "
                "Lower dataset.strings, dataset.validation_strings or dataset.length."
            )
        every = [text[k * self.length : (k + 1) * self.length] for k in range(there_are)]
        train, rest = _parted(every, self.strings)
        return train, *_parted(rest, self.validation_strings)

    def _split(self, strings: list[str], device: torch.device, without: Collection[str] = ()) -> Split:
        """The windows of `strings` with what comes next, but those `without`, string after string."""
        found = [(k, one) for k, string in enumerate(strings) for one in windows(string, self.window)]
        kept = [(k, one) for k, one in found if one[:-1] not in without]
        if not kept:
            return Split(torch.empty(0), torch.empty(0))
        symbols = as_symbols([one for _, one in kept])
        numbers = torch.tensor([k for k, _ in kept])
        return Split(one_hot_windows(symbols[:, :-1]), symbols[:, -1].contiguous(), numbers).to(device)


def _parted(strings: list[str], n: int) -> tuple[list[str], list[str]]:
    """`n` of the strings, evenly spread over them, and the others; both in their order."""
    taken = {k * len(strings) // n for k in range(n)}
    return [strings[k] for k in sorted(taken)], [one for k, one in enumerate(strings) if k not in taken]

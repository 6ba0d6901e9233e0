"""Aesop's Fables, or any other text, as windows from which the next character is to be predicted.

Source: the draft of the Forward-Forward paper that went with its talk: 248 strings of 100 characters, an alphabet of 30
symbols, and from each 10 characters of a string the next. The draft's figures are of the text that was trained on; the
strings that are held out are this project's.
"""

import hashlib
from pathlib import Path

import torch

from ffrepro.dataset import Dataset, data_roots
from ffrepro.dataset.grammar import made_up_text
from ffrepro.dataset.text import Cut
from ffrepro.errors import DataNotFoundError, UserError
from ffrepro.paths import from_root

# Townsend's translation (Project Gutenberg's number 21), the fables alone.
_PLACE = "aesop/aesop.txt"
_SHA256 = "7864a0f3f8a4cc124b0ac740a9e6b46069cddef681a45030f5c97e1366f900b4"


class Aesop:
    """The text, cut into strings; see `Cut` for all but these.

    Args:
        name: of the data set.
        path: of another text in UTF-8, from the repository root; None: Aesop's Fables.
    """

    def __init__(
        self, *, name: str, path: str | None, strings: int, validation_strings: int, length: int, window: int
    ) -> None:
        self.name = name if path is None else Path(path).name
        self.path = path
        self.cut = Cut(strings, validation_strings, length, window)
        self.input_shape = self.cut.input_shape
        self.sizes = self.cut.sizes

    def load(self, device: torch.device) -> Dataset:
        """See `Source.load`."""
        place = self._find() if self.path is None else from_root(self.path)
        try:
            content = place.read_bytes()
        except OSError as error:
            raise UserError(f"cannot read {place}: {error.strerror}. Give a text's file as dataset.path.") from error
        sha256 = hashlib.sha256(content).hexdigest()
        if self.path is None and sha256 != _SHA256:
            raise UserError(
                f"{place} is not the text that the table is of: expected SHA-256 {_SHA256}, found {sha256} "
                f"({len(content)} bytes). Replace it, or give it as another text with dataset.path=…"
            )
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{place} is not UTF-8 text (byte {error.start}): save it as UTF-8.") from error
        return self.cut.dataset(text, name=self.name, place=str(place), sha256=sha256, stand_in=False, device=device)

    def stand_in(self) -> "MadeUpText":
        """Sentences of a small grammar, cut alike."""
        return MadeUpText(f"made-up sentences (for {self.name})", self.cut)

    def _find(self) -> Path:
        places = [root / _PLACE for root in data_roots()]
        for place in places:
            if place.is_file():
                return place
        raise DataNotFoundError(
            f"data set {self.name} not found: looked for {', '.join(map(str, places))}. Either put Townsend's "
            "translation (Project Gutenberg's number 21, the fables alone) there, or take another text with "
            "dataset.path=…"
        )


class MadeUpText:
    """Sentences of a small grammar in the place of a text that is not there."""

    def __init__(self, name: str, cut: Cut) -> None:
        self.name = name
        self.cut = cut
        self.input_shape = cut.input_shape
        self.sizes = cut.sizes

    def load(self, device: torch.device) -> Dataset:
        """See `Source.load`."""
        text = made_up_text((self.cut.strings + 2 * self.cut.validation_strings) * self.cut.length)
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        return self.cut.dataset(text, name=self.name, place=self.name, sha256=sha256, stand_in=True, device=device)

    def stand_in(self) -> "MadeUpText":
        """Itself: it is always there."""
        return self

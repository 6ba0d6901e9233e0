"""Aesop's Fables, or any other text, for predicting the next character from a window of characters.

Source: the draft of the Forward-Forward paper that accompanied its talk. The draft uses 248 strings of 100 characters,
an alphabet of 30 symbols and windows of 10 characters, and reports figures for its training text. The held-out strings
are an addition of this project.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from ffrepro.dataset import Dataset, data_roots
from ffrepro.dataset.grammar import made_up_text
from ffrepro.dataset.text import TextSplitter
from ffrepro.errors import DataNotFoundError, UserError
from ffrepro.paths import from_root

# The fables alone, in Townsend's translation (Project Gutenberg number 21).
_FILE = "aesop/aesop.txt"
_SHA256 = "7864a0f3f8a4cc124b0ac740a9e6b46069cddef681a45030f5c97e1366f900b4"


class Aesop:
    """A text whose windows are split into training, validation and test data; see `TextSplitter`.

    `path` is the file of another text in UTF-8, relative to the repository root; None for Aesop's Fables.
    """

    def __init__(
        self, *, name: str, path: str | None, strings: int, validation_strings: int, length: int, window: int
    ) -> None:
        self.name = name if path is None else Path(path).name
        self.path = path
        self.splitter = TextSplitter(strings, validation_strings, length, window)

    def load(self, device: torch.device) -> Dataset:
        file = self._find() if self.path is None else from_root(self.path)
        try:
            content = file.read_bytes()
        except OSError as error:
            raise UserError(f"cannot read {file}: {error.strerror}. Set dataset.path to the file of a text.") from error
        sha256 = hashlib.sha256(content).hexdigest()
        if self.path is None and sha256 != _SHA256:
            raise UserError(
                f"{file} is not the text of the table: expected SHA-256 {_SHA256}, found {sha256} "
                f"({len(content)} bytes). Replace it, or use it as another text with dataset.path=…"
            )
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{file} is not UTF-8 text (byte {error.start}): save it as UTF-8.") from error
        return self.splitter.dataset(
            text, name=self.name, origin=str(file), sha256=sha256, stand_in=False, device=device
        )

    def stand_in(self) -> "MadeUpText":
        """Sentences of a small grammar, split by the same rule."""
        return MadeUpText(f"made-up sentences (for {self.name})", self.splitter)

    def _find(self) -> Path:
        files = [root / _FILE for root in data_roots()]
        for file in files:
            if file.is_file():
                return file
        raise DataNotFoundError(
            f"data set {self.name} not found: looked for {', '.join(map(str, files))}. Either put Townsend's "
            "translation (Project Gutenberg's number 21, the fables alone) there, or take another text with "
            "dataset.path=…"
        )


@dataclass
class MadeUpText:
    """Sentences of a small grammar, the stand-in for a missing text."""

    name: str
    splitter: TextSplitter

    def load(self, device: torch.device) -> Dataset:
        n_strings = self.splitter.strings + 2 * self.splitter.validation_strings
        text = made_up_text(n_strings * self.splitter.length)
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        return self.splitter.dataset(
            text, name=self.name, origin=self.name, sha256=sha256, stand_in=True, device=device
        )

    def stand_in(self) -> "MadeUpText":
        return self

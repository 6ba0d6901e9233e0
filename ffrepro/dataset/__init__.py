"""Data sets, held as whole splits on the run's device: no loader, no workers, no copies while training."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ffrepro.errors import UserError
from ffrepro.paths import from_root

# The final training error is measured on the first training images, so many: each label has to be tried on each of
# them, so that all 60,000 would cost as much as several epochs.
TRAIN_EVALUATED = 10_000


@dataclass(frozen=True)
class Split:
    """`inputs` (N, n), flat, n being the product of the input shape, and `targets`, what the task predicts.

    Targets are class indices (N,), or real values (N, n_outputs), such as the image itself. Where examples are windows
    of text, `strings` (N,) holds the number of each window's string.
    """

    inputs: Tensor
    targets: Tensor
    strings: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, rows: slice) -> "Split":
        return Split(self.inputs[rows], self.targets[rows], None if self.strings is None else self.strings[rows])

    def to(self, device: torch.device) -> "Split":
        strings = None if self.strings is None else self.strings.to(device)
        return Split(self.inputs.to(device), self.targets.to(device), strings)


@dataclass(frozen=True)
class Dataset:
    """Whole splits of a data set."""

    name: str  # for the record
    train: Split
    validation: Split | None  # held out of the training data; None where all of it is trained on
    test: Split
    n_classes: int | None  # None where the targets are real values
    # (height, width) of an image, (height, width, 3) in color; (characters, symbols) of text.
    input_shape: tuple[int, ...]
    sha256: str  # of the files that the splits were read from
    stand_in: bool  # whether this takes the place of the data set that was asked for
    alphabet: str | None = None  # the letters of a text, in the order of the classes

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height and width, and in color 3. Raises UserError if the examples are no images."""
        if self.alphabet is not None:
            raise UserError(f"dataset {self.name} is text, and this algorithm trains on images: try dataset=mnist.")
        return self.input_shape

    @property
    def text_alphabet(self) -> str:
        """The symbols of a text. Raises UserError if the examples are no windows of text."""
        if self.alphabet is None:
            raise UserError(f"dataset {self.name} is images, and this algorithm trains on text: try dataset=aesop.")
        return self.alphabet

    @property
    def n_labels(self) -> int:
        """The number of classes. Raises UserError if the targets are no class labels."""
        if self.n_classes is None:
            raise UserError(
                f"dataset {self.name} has real-valued targets, and this algorithm learns class labels: expected "
                "dataset.targets=labels."
            )
        return self.n_classes

    @property
    def n_outputs(self) -> int:
        """The size of a net's output: the number of classes, or of values to predict."""
        return self.train.targets.shape[1] if self.n_classes is None else self.n_classes

    @property
    def train_evaluated(self) -> Split:
        """The training examples of the final training metrics: all of them where an example takes a single pass."""
        of_images = self.alphabet is None and self.n_classes is not None
        return self.train[: TRAIN_EVALUATED if of_images else None]

    def predicting_inputs(self) -> "Dataset":
        """The same data with the inputs themselves as targets, for autoencoders. Nothing is copied."""
        return replace(self.changed(lambda split: replace(split, targets=split.inputs)), n_classes=None)

    def changed(self, change: Callable[[Split], Split]) -> "Dataset":
        """The data set with `change` made to each split."""
        validation = None if self.validation is None else change(self.validation)
        return replace(self, train=change(self.train), validation=validation, test=change(self.test))

    def sizes(self) -> dict[str, int]:
        return {
            "train": len(self.train),
            "validation": 0 if self.validation is None else len(self.validation),
            "test": len(self.test),
        }

    def reduced(self, train: int | None, test: int | None) -> "Dataset":
        """The first `train` training examples, and the first `test` of the splits that are evaluated."""
        return replace(self.changed(lambda split: split[:test]), train=self.train[:train])


class Source(Protocol):
    """Where a data set comes from."""

    name: str

    def load(self, device: torch.device) -> Dataset:
        """Read, check and move to `device`. Raises UserError if a file is missing (DataNotFoundError) or damaged."""

    def stand_in(self) -> "Source":
        """What takes its place where it is not found, to try the program."""


def data_roots() -> list[Path]:
    """The folders where data sets are looked for, in order."""
    named = os.environ.get("FFREPRO_DATA_DIR")
    return [*([from_root(named)] if named else []), from_root("data"), from_root("../shared/data").resolve()]


def hold_out(train: Split, validation: int) -> tuple[Split, Split | None]:
    """Split the last `validation` examples off `train`."""
    if not 0 <= validation < len(train):
        raise UserError(
            f"dataset.validation is {validation}: expected 0 to {len(train) - 1}, the training images but one."
        )
    if validation == 0:
        return train, None
    cut = len(train) - validation
    return train[:cut], train[cut:]

"""Data sets, each held as whole splits on the run's device: no loader, no workers, no copies while training."""

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from ffrepro.errors import UserError


@dataclass(frozen=True)
class Split:
    """`inputs` (N, *input_shape) and `targets` (N,), class indices, or what the task predicts."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def first(self, n: int | None) -> "Split":
        """The first `n` examples; all of them where `n` is None."""
        return self if n is None else Split(self.inputs[:n], self.targets[:n])

    def to(self, device: torch.device) -> "Split":
        return Split(self.inputs.to(device), self.targets.to(device))


@dataclass(frozen=True)
class Dataset:
    """`validation` is held out of the training data; None where all of it is trained on.

    `sha256` is of the files that the splits were read from. `stand_in` is True where this is not the data
    set that was asked for.
    """

    name: str
    train: Split
    validation: Split | None
    test: Split
    n_classes: int
    image_shape: tuple[int, int]
    sha256: str
    stand_in: bool

    def sizes(self) -> dict[str, int]:
        return {
            "train": len(self.train),
            "validation": 0 if self.validation is None else len(self.validation),
            "test": len(self.test),
        }

    def reduced(self, train: int | None, test: int | None) -> "Dataset":
        """The first `train` training examples, and the first `test` of the splits that are evaluated."""
        validation = None if self.validation is None else self.validation.first(test)
        return replace(self, train=self.train.first(train), validation=validation, test=self.test.first(test))


class Source(Protocol):
    """Where a data set comes from."""

    name: str
    validation: int

    def load(self, device: torch.device) -> Dataset:
        """Read, check and move to `device`.

        Raises:
            DataNotFoundError: it is nowhere and cannot be downloaded.
            UserError: a file is damaged.
        """
        ...


def hold_out(train: Split, validation: int) -> tuple[Split, Split | None]:
    """Split the last `validation` examples off `train`."""
    if not 0 <= validation < len(train):
        raise UserError(
            f"dataset.validation is {validation}: expected 0 to {len(train) - 1}, the training images but one."
        )
    if validation == 0:
        return train, None
    cut = len(train) - validation
    return Split(train.inputs[:cut], train.targets[:cut]), Split(train.inputs[cut:], train.targets[cut:])

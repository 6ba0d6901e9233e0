"""CIFAR-10: 50,000 training and 10,000 test images of 32×32 pixels in colour, 10 classes.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009. The files are torchvision's
(`cifar-10-batches-py`).
"""

import hashlib
import pickle

import numpy as np
import torch
from torchvision import datasets

from ffrepro.dataset import TRAIN_EVALUATED, Dataset, Split, hold_out
from ffrepro.dataset.colours import ColouredDigits, standardised, statistics
from ffrepro.dataset.downloaded import folder_of, read_checked

_TRAIN, _TEST, _SHAPE = 50_000, 10_000, (32, 32, 3)
_TRAIN_FILES: dict[str, str] = dict(datasets.CIFAR10.train_list)  # with their MD5
_TEST_FILES: dict[str, str] = dict(datasets.CIFAR10.test_list)


class Cifar10:
    """CIFAR-10, one row an image: pixel after pixel, of each its red, green and blue.

    Each colour has mean 0 and variance 1 over the pixels of the images that are trained on.

    Args:
        validation: images held out of the end of the training data.
    """

    def __init__(self, *, name: str, validation: int) -> None:
        self.name = name
        self.input_shape = _SHAPE
        self.validation = validation

    @property
    def sizes(self) -> tuple[int, int]:
        """See `Source.sizes`."""
        return _TRAIN - self.validation, _TEST + TRAIN_EVALUATED

    def stand_in(self) -> ColouredDigits:
        """scikit-learn's digits in three equal colours, with the same share of the training images held out."""
        return ColouredDigits(f"digits (for {self.name})", size=32, validation=round(1437 * self.validation / _TRAIN))

    def load(self, device: torch.device) -> Dataset:
        """See `Source.load`."""
        files = {**_TRAIN_FILES, **_TEST_FILES}
        folder = folder_of(self.name, datasets.CIFAR10.base_folder, files, datasets.CIFAR10)
        content = {file: read_checked(folder / file, md5, kind="md5") for file, md5 in files.items()}
        train, validation = hold_out(_split([content[file] for file in _TRAIN_FILES], device), self.validation)
        mean, std = statistics(train.inputs)
        of_file = (hashlib.sha256(content[file]).hexdigest() for file in sorted(files))
        return Dataset(
            name=self.name,
            train=standardised(train, mean, std),
            validation=None if validation is None else standardised(validation, mean, std),
            test=standardised(_split([content[file] for file in _TEST_FILES], device), mean, std),
            n_classes=10,
            input_shape=self.input_shape,
            sha256=hashlib.sha256("".join(of_file).encode()).hexdigest(),
            stand_in=False,
        )


def _split(batches: list[bytes], device: torch.device) -> Split:
    # Checked files, so that nothing strange is unpickled: a row is 1,024 bytes of red, then of green, then of blue.
    read = [pickle.loads(batch, encoding="bytes") for batch in batches]
    pixels = torch.from_numpy(np.concatenate([one[b"data"] for one in read])).view(-1, 3, 32 * 32)
    classes = torch.tensor([label for one in read for label in one[b"labels"]])
    inputs = pixels.to(device).transpose(1, 2).flatten(1).float().div_(255)
    return Split(inputs, classes.to(device))

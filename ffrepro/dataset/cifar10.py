"""CIFAR-10: 50,000 training and 10,000 test color images of 32×32 pixels, 10 classes.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009. The files are torchvision's
(`cifar-10-batches-py`).
"""

import hashlib
import pickle
from dataclasses import dataclass

import numpy as np
import torch
from torchvision import datasets

from ffrepro.dataset import Dataset, Split, hold_out
from ffrepro.dataset.colors import ColorDigits, standardize
from ffrepro.dataset.downloaded import folder_of, read_checked

_TRAIN, _SHAPE = 50_000, (32, 32, 3)
_TRAIN_FILES: dict[str, str] = dict(datasets.CIFAR10.train_list)  # file name -> MD5
_TEST_FILES: dict[str, str] = dict(datasets.CIFAR10.test_list)


@dataclass(kw_only=True)
class Cifar10:
    """CIFAR-10 with one image per row, which lists the red, green and blue value of each pixel in turn.

    The channels are standardized over the training images, see `standardize`.
    """

    name: str
    validation: int  # images held out from the end of the training data

    def stand_in(self) -> ColorDigits:
        return ColorDigits(f"digits (for {self.name})", size=32, validation=round(1437 * self.validation / _TRAIN))

    def load(self, device: torch.device) -> Dataset:
        files = {**_TRAIN_FILES, **_TEST_FILES}
        folder = folder_of(self.name, datasets.CIFAR10.base_folder, files, datasets.CIFAR10)
        content = {file: read_checked(folder / file, md5, kind="md5") for file, md5 in files.items()}
        train, validation = hold_out(_split([content[file] for file in _TRAIN_FILES], device), self.validation)
        hashes = (hashlib.sha256(content[file]).hexdigest() for file in sorted(files))
        return standardize(
            Dataset(
                name=self.name,
                train=train,
                validation=validation,
                test=_split([content[file] for file in _TEST_FILES], device),
                n_classes=10,
                input_shape=_SHAPE,
                sha256=hashlib.sha256("".join(hashes).encode()).hexdigest(),
                stand_in=False,
            )
        )


def _split(files: list[bytes], device: torch.device) -> Split:
    # Unpickling is safe: the checksum of each file is verified. A row has 1,024 bytes of red, of green and of blue.
    batches = [pickle.loads(file, encoding="bytes") for file in files]
    pixels = torch.from_numpy(np.concatenate([batch[b"data"] for batch in batches])).view(-1, 3, 32 * 32)
    labels = torch.tensor([label for batch in batches for label in batch[b"labels"]])
    inputs = pixels.to(device).transpose(1, 2).flatten(1).float().div_(255)
    return Split(inputs, labels.to(device))

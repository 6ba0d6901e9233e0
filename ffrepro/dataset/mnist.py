"""MNIST and Fashion-MNIST: 60,000 training and 10,000 test images of 28×28 pixels, 10 classes.

Sources: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits; H. Xiao, K. Rasul,
R. Vollgraf, Fashion-MNIST, arXiv 1708.07747. The files are torchvision's (`MNIST/raw/*-ubyte`).
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torchvision import datasets

from ffrepro.dataset import Dataset, Split, hold_out
from ffrepro.dataset.digits import Digits
from ffrepro.dataset.downloaded import folder_of, read_checked

_TRAIN, _SHAPE = 60_000, (28, 28)
_TRAIN_IMAGES = "train-images-idx3-ubyte"
_TRAIN_LABELS = "train-labels-idx1-ubyte"
_TEST_IMAGES = "t10k-images-idx3-ubyte"
_TEST_LABELS = "t10k-labels-idx1-ubyte"

# SHA-256 of the official files.
_SHA256 = {
    "mnist": {
        _TRAIN_IMAGES: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        _TRAIN_LABELS: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        _TEST_IMAGES: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        _TEST_LABELS: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "fashion_mnist": {
        _TRAIN_IMAGES: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        _TRAIN_LABELS: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        _TEST_IMAGES: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        _TEST_LABELS: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}
_TORCHVISION: dict[str, type[datasets.MNIST]] = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}


@dataclass(kw_only=True)
class Mnist:
    """MNIST or its fashion twin, with pixels between 0 and 1 in one row an image."""

    name: Literal["mnist", "fashion_mnist"]
    validation: int  # images held out of the end of the training data
    targets: Literal["labels", "inputs"]  # the labels, or the inputs themselves, for autoencoders

    def stand_in(self) -> Digits:
        """scikit-learn's digits, with the same share of the training images held out."""
        validation = round(1437 * self.validation / _TRAIN)
        return Digits(f"digits (for {self.name})", validation=validation, targets=self.targets, stand_in=True)

    def load(self, device: torch.device) -> Dataset:
        hashes = _SHA256[self.name]
        of_torchvision = _TORCHVISION[self.name]
        raw = folder_of(self.name, f"{of_torchvision.__name__}/raw", hashes, of_torchvision)
        content = {file: read_checked(raw / file, sha256, kind="sha256") for file, sha256 in hashes.items()}
        train, validation = hold_out(_split(content[_TRAIN_IMAGES], content[_TRAIN_LABELS], device), self.validation)
        dataset = Dataset(
            name=self.name,
            train=train,
            validation=validation,
            test=_split(content[_TEST_IMAGES], content[_TEST_LABELS], device),
            n_classes=10,
            input_shape=_SHAPE,
            sha256=hashlib.sha256("".join(sorted(hashes.values())).encode()).hexdigest(),
            stand_in=False,
        )
        return dataset if self.targets == "labels" else dataset.predicting_inputs()


def _split(images: bytes, labels: bytes, device: torch.device) -> Split:
    # idx files: a header of 16 (images) or 8 bytes (labels), then one byte a value.
    pixels = torch.from_numpy(np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28 * 28).copy())
    classes = torch.from_numpy(np.frombuffer(labels, np.uint8, offset=8).copy())
    return Split(pixels.to(device).float().div_(255), classes.to(device).long())

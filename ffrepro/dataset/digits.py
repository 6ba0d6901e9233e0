"""The stand-in for MNIST: scikit-learn's 1,797 handwritten digits of 8×8 pixels, enlarged to 28×28.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository.
scikit-learn includes the digits, so the program can be tried without a network. Results on them reproduce no paper.
"""

import hashlib
from typing import Literal

import numpy as np
import torch
from torch.nn.functional import interpolate, pad

from ffrepro.dataset import Dataset, Split, hold_out

_TEST = 360  # the last fifth, in the order of the file


class Digits:
    """scikit-learn's digits with pixels between 0 and 1, one image of 784 pixels per row.

    `validation` images are held out from the end of the training data. With `stand_in` the digits replace another data
    set in this run. For `targets` see `Mnist`.
    """

    def __init__(self, name: str, *, validation: int, stand_in: bool, targets: Literal["labels", "inputs"]) -> None:
        self.name = name
        self.validation = validation
        self.is_stand_in = stand_in
        self.targets = targets

    def stand_in(self) -> "Digits":
        return self

    def load(self, device: torch.device) -> Dataset:
        from sklearn.datasets import load_digits  # noqa: PLC0415 - the import takes 1 s, and few runs need it

        digits = load_digits()
        pixels = np.ascontiguousarray(digits.data, dtype=np.uint8)
        classes = np.ascontiguousarray(digits.target, dtype=np.int64)
        # As in MNIST, the digit fills the middle 20×20 of 28×28 pixels; the first pixels stay free for the label.
        images = torch.from_numpy(pixels).float().div_(16).view(-1, 1, 8, 8)
        images = pad(interpolate(images, size=(20, 20), mode="bilinear"), (4, 4, 4, 4)).view(-1, 784)
        split = Split(images, torch.from_numpy(classes)).to(device)
        n_train = len(split) - _TEST
        train, validation = hold_out(split[:n_train], self.validation)
        dataset = Dataset(
            name=self.name,
            train=train,
            validation=validation,
            test=split[n_train:],
            n_classes=10,
            input_shape=(28, 28),
            sha256=hashlib.sha256(pixels.tobytes() + classes.tobytes()).hexdigest(),
            stand_in=self.is_stand_in,
        )
        return dataset if self.targets == "labels" else dataset.predicting_inputs()

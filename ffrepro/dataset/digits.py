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

    Args:
        name: name of the data set.
        validation: number of images held out from the end of the training data.
        targets: the labels, or the inputs themselves, for autoencoders.
        stand_in: whether the digits replace another data set in this run.
    """

    def __init__(self, name: str, *, validation: int, stand_in: bool, targets: Literal["labels", "inputs"]) -> None:
        self.name = name
        self.input_shape = (28, 28)
        self.validation = validation
        self.is_stand_in = stand_in
        self.targets = targets

    def stand_in(self) -> "Digits":
        """Return itself: scikit-learn includes the digits."""
        return self

    def load(self, device: torch.device) -> Dataset:
        """See `Source.load`."""
        from sklearn.datasets import load_digits  # noqa: PLC0415 - the import takes 1 s, and few runs need it

        digits = load_digits()
        pixels = np.ascontiguousarray(digits.data, dtype=np.uint8)
        classes = np.ascontiguousarray(digits.target, dtype=np.int64)
        # As in MNIST, the digit fills the middle 20×20 of 28×28 pixels; the first pixels stay free for the label.
        images = torch.from_numpy(pixels).float().div_(16).view(-1, 1, 8, 8)
        images = pad(interpolate(images, size=(20, 20), mode="bilinear"), (4, 4, 4, 4)).view(-1, 784)
        split = Split(images, torch.from_numpy(classes)).to(device)
        n_train = len(split) - _TEST
        train, validation = hold_out(split.first(n_train), self.validation)
        dataset = Dataset(
            name=self.name,
            train=train,
            validation=validation,
            test=Split(split.inputs[n_train:], split.targets[n_train:]),
            n_classes=10,
            input_shape=self.input_shape,
            sha256=hashlib.sha256(pixels.tobytes() + classes.tobytes()).hexdigest(),
            stand_in=self.is_stand_in,
        )
        return dataset if self.targets == "labels" else dataset.predicting_inputs()

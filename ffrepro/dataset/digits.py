"""The stand-in for MNIST: scikit-learn's 1,797 real handwritten digits of 8×8 pixels, brought to 28×28.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository.
It comes with scikit-learn, so that everything can be tried without a network. Results on it reproduce nothing.
"""

import hashlib

import numpy as np
import torch
from torch.nn.functional import interpolate, pad

from ffrepro.dataset import Dataset, Split, hold_out

_ALL, _TEST = 1797, 360  # the last fifth, as the file orders them


class Digits:
    """scikit-learn's digits with pixels between 0 and 1, 784 in one row an image.

    Args:
        name: of the data set.
        validation: images held out of the end of the training data.
        stand_in: whether it takes the place of another data set in this run.
    """

    def __init__(self, name: str, *, validation: int, stand_in: bool) -> None:
        self.name = name
        self.input_shape = (28, 28)
        self.validation = validation
        self.is_stand_in = stand_in

    @property
    def sizes(self) -> tuple[int, int]:
        """See `Source.sizes`."""
        return _ALL - _TEST - self.validation, _ALL

    def stand_in(self) -> "Digits":
        """Itself: it comes with scikit-learn and is always there."""
        return self

    def load(self, device: torch.device) -> Dataset:
        from sklearn.datasets import load_digits  # noqa: PLC0415 - 1 s, and rarely wanted

        digits = load_digits()
        small = np.ascontiguousarray(digits.data, dtype=np.uint8)
        classes = np.ascontiguousarray(digits.target, dtype=np.int64)
        # 20×20 in the middle of 28×28, as in MNIST; the first pixels stay free for the label.
        images = torch.from_numpy(small).float().div_(16).view(-1, 1, 8, 8)
        images = pad(interpolate(images, size=(20, 20), mode="bilinear"), (4, 4, 4, 4)).view(-1, 784)
        whole = Split(images, torch.from_numpy(classes)).to(device)
        cut = len(whole) - _TEST
        train, validation = hold_out(whole.first(cut), self.validation)
        return Dataset(
            name=self.name,
            train=train,
            validation=validation,
            test=Split(whole.inputs[cut:], whole.targets[cut:]),
            n_classes=10,
            input_shape=self.input_shape,
            sha256=hashlib.sha256(small.tobytes() + classes.tobytes()).hexdigest(),
            stand_in=self.is_stand_in,
        )

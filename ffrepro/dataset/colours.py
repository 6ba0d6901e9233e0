"""What data sets in colour share: standardised colours, and the stand-in."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from ffrepro.dataset import Dataset, Split
from ffrepro.dataset.digits import Digits


class ColouredDigits:
    """scikit-learn's digits in three equal colours, in the place of images of `size` × `size` pixels.

    They fill all but a rim of two pixels. Each colour has mean 0 and variance 1 over the training images.
    """

    def __init__(self, name: str, *, size: int, validation: int) -> None:
        self.name = name
        self.size = size
        self.input_shape = (size, size, 3)
        self._digits = Digits(name, validation=validation, stand_in=True)
        self.sizes = self._digits.sizes

    def stand_in(self) -> "ColouredDigits":
        """Itself: it is always there."""
        return self

    def load(self, device: torch.device) -> Dataset:
        """See `Source.load`."""
        grey = self._digits.load(device)

        def coloured(split: Split) -> Split:
            images = interpolate(split.inputs.view(-1, 1, 28, 28), size=(self.size - 4, self.size - 4), mode="bilinear")
            framed = pad(images, (2, 2, 2, 2)).permute(0, 2, 3, 1)
            return Split(framed.expand(-1, *self.input_shape).reshape(len(split), -1), split.targets)

        train = coloured(grey.train)
        mean, std = statistics(train.inputs)
        validation = None if grey.validation is None else standardised(coloured(grey.validation), mean, std)
        return replace(
            grey,
            train=standardised(train, mean, std),
            validation=validation,
            test=standardised(coloured(grey.test), mean, std),
            input_shape=self.input_shape,
        )


def statistics(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each colour (3,) over all pixels of images (N, n_pixels · 3)."""
    sums = torch.zeros(2, 3, dtype=torch.float64, device=inputs.device)
    for part in torch.split(inputs, max(1, 3_072_000 // inputs.shape[1])):  # all at once takes more than training
        pixels = part.view(-1, 3).double()
        sums += torch.stack([pixels.sum(0), pixels.square().sum(0)])
    mean, square = sums / (inputs.numel() / 3)
    return mean.float(), (square - mean.square()).sqrt().float()


def standardised(split: Split, mean: Tensor, std: Tensor) -> Split:
    """`split` itself, its colours less `mean` (3,) and divided by `std` (3,)."""
    split.inputs.view(-1, 3).sub_(mean).div_(std)  # in place: there is no room for many copies
    return split

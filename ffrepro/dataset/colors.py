"""Standardized color channels, and the stand-in for data sets of color images."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from ffrepro.dataset import Dataset, Split
from ffrepro.dataset.digits import Digits

# Statistics are summed over blocks of this many values: a float64 copy of all images takes more memory than training.
_BLOCK = 3_072_000


@dataclass
class ColorDigits:
    """scikit-learn's digits as images of `size` × `size` pixels with three equal color channels.

    A digit fills its image up to a margin of two pixels. The channels are standardized, see `standardize`.
    """

    name: str
    size: int
    validation: int

    def stand_in(self) -> "ColorDigits":
        return self

    def load(self, device: torch.device) -> Dataset:
        gray = Digits(self.name, validation=self.validation, targets="labels", stand_in=True).load(device)
        return standardize(replace(gray.changed(self._color), input_shape=(self.size, self.size, 3)))

    def _color(self, gray: Split) -> Split:
        side = self.size - 4
        images = interpolate(gray.inputs.view(-1, 1, 28, 28), size=(side, side), mode="bilinear")
        framed = pad(images, (2, 2, 2, 2)).permute(0, 2, 3, 1)
        return Split(framed.expand(-1, -1, -1, 3).reshape(len(gray), -1), gray.targets)


def standardize(dataset: Dataset) -> Dataset:
    """Give each color channel mean 0 and variance 1 over all pixels of the training images.

    Changes the images (N, n_pixels · 3) of all splits in place, because copies of them might not fit into memory.
    Returns `dataset`.
    """
    mean, std = _statistics(dataset.train.inputs)
    for split in (dataset.train, dataset.validation, dataset.test):
        if split is not None:
            split.inputs.view(-1, 3).sub_(mean).div_(std)
    return dataset


def _statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and the standard deviation of each channel, both (3,)."""
    sums = torch.zeros(2, 3, dtype=torch.float64, device=images.device)
    for block in torch.split(images, max(1, _BLOCK // images[0].numel())):
        pixels = block.view(-1, 3).double()
        sums += torch.stack([pixels.sum(0), pixels.square().sum(0)])
    mean, square = sums / (images.numel() / 3)
    return mean.float(), (square - mean.square()).sqrt().float()

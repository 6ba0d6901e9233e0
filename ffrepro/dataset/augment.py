"""Augmentation: random variants of training images."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate, pad

from ffrepro.dataset import Dataset
from ffrepro.errors import UserError


class Augmentation(Protocol):
    """Transforms images, flat rows (B, n_pixels) with shape `image_shape`, for training and for the test."""

    def check(self, dataset: Dataset) -> None:
        """Raise UserError if the augmentation does not fit the images."""

    def output_shape(self, image_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a transformed image."""

    def train(self, images: Tensor, image_shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """A random variant of each image."""

    def test(self, images: Tensor, image_shape: tuple[int, ...]) -> Tensor:
        """The deterministic variant for the test."""


@dataclass(kw_only=True)
class RandomResizedCrops:
    """Random crops and mirror images in training, the center of each image in the test."""

    size: int  # the side of the transformed images, in pixels
    min_area: float  # the smallest area of a random crop, as a share of the image's area
    center_crop_ratio: float  # the side of the center in the test, as a share of the image's side

    def __post_init__(self) -> None:
        name = "algorithm.augmentation"
        if self.size < 1:
            raise UserError(f"{name}.size is {self.size}: expected at least 1 pixel.")
        if not 0 < self.min_area <= 1:
            raise UserError(f"{name}.min_area is {self.min_area}: expected a share of the area, up to 1.")
        if not 0 < self.center_crop_ratio <= 1:
            ratio = self.center_crop_ratio
            raise UserError(f"{name}.center_crop_ratio is {ratio}: expected a share of the images' sides, up to 1.")

    def check(self, dataset: Dataset) -> None:
        shape = dataset.image_shape
        if dataset.n_classes is None:
            raise UserError(
                f"algorithm.augmentation crops images, and dataset {dataset.name} has whole images as targets: "
                "expected dataset.targets=labels, or no augmentation."
            )
        if self.size > min(shape[:2]):
            raise UserError(
                f"algorithm.augmentation.size is {self.size}, and dataset {dataset.name} has images of "
                f"{' × '.join(map(str, shape))}: expected images at least as large as the crop."
            )

    def output_shape(self, image_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (self.size, self.size, *image_shape[2:])

    def train(self, images: Tensor, image_shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return random_resized_crops(images, image_shape, self.size, self.min_area, generator)

    def test(self, images: Tensor, image_shape: tuple[int, ...]) -> Tensor:
        return center_crops(images, image_shape, self.size, self.center_crop_ratio)


def jittered(images: Tensor, image_shape: tuple[int, ...], reach: int, generator: torch.Generator) -> Tensor:
    """Shift each of `images` (B, n_pixels) by up to `reach` pixels in each direction, uniformly. New pixels are 0.

    Source: The Forward-Forward Algorithm, section 3.3, with a `reach` of 2 and so 25 shifts.
    """
    height, width = image_shape[:2]
    size, device = len(images), images.device
    shifts = torch.randint(0, 2 * reach + 1, (2, size, 1), generator=generator, device=device)
    rows = (shifts[0] + torch.arange(height, device=device)).unsqueeze(2)
    columns = (shifts[1] + torch.arange(width, device=device)).unsqueeze(1)
    framed = pad(images.view(size, height, width, -1), (0, 0, reach, reach, reach, reach))
    return framed[torch.arange(size, device=device).view(-1, 1, 1), rows, columns].view(size, -1)


def random_resized_crops(
    images: Tensor, image_shape: tuple[int, ...], size: int, smallest: float, generator: torch.Generator
) -> Tensor:
    """A random crop of each of `images` (B, n_pixels), resized to flat rows (B, size · size · channels).

    Half of the crops are mirrored. The area of a crop is uniform between `smallest` (usually 0.08) and 1 times the area
    of the image. The logarithm of its aspect ratio is uniform between log 3/4 and log 4/3, and its place is uniform
    within the image. Interpolation is bilinear. Pixel centers are at halves, and the edges of an image continue
    outside.

    This differs from torchvision's RandomResizedCrop in three points. A side longer than the image's is clipped (for
    squares and 0.08, in a crop of seven). Torchvision draws again, up to ten times, and so a crop has 0.48 of the area
    on average, here 0.53. Crops may begin and end between pixels. Crops are not smoothed before they are reduced, so
    the side of an image should be less than twice `size`.

    Source: C. Szegedy and others, Going Deeper with Convolutions, 2015, section 6.
    """
    height, width = image_shape[:2]
    area, aspect, across, down, mirrored = torch.rand(
        5, len(images), 1, generator=generator, device=images.device, dtype=images.dtype
    )
    area, root = (smallest + (1 - smallest) * area) * height * width, (4 / 3) ** (aspect - 0.5)
    crop_width, crop_height = (area.sqrt() * root).clamp(max=width), (area.sqrt() / root).clamp(max=height)
    # The centers of the new pixels: (size,) in a unit crop, then (B, size) in the image.
    centers = (torch.arange(size, device=images.device, dtype=images.dtype) + 0.5) / size
    x = across * (width - crop_width) + crop_width * torch.where(mirrored < 0.5, centers.flip(0), centers)
    y = down * (height - crop_height) + crop_height * centers
    # Autocast would round `affine_grid`, which is a matrix product.
    rows, columns = (2 * y / height - 1).unsqueeze(2), (2 * x / width - 1).unsqueeze(1)
    places = torch.stack((columns.expand(-1, size, -1), rows.expand(-1, -1, size)), 3)
    pixels = images.view(len(images), height, width, -1).permute(0, 3, 1, 2)
    crops = grid_sample(pixels, places, mode="bilinear", padding_mode="border", align_corners=False)
    return crops.permute(0, 2, 3, 1).reshape(len(images), -1)


def center_crops(images: Tensor, image_shape: tuple[int, ...], size: int, share: float) -> Tensor:
    """The square at the center of each of `images` (B, n_pixels), resized to `size` × `size`, as flat rows.

    Its side is `share` of the image's shorter side, rounded to pixels. If the margins cannot be equal, those below and
    to the right are a pixel larger. Interpolation is bilinear with antialiasing, as in Pillow.
    """
    height, width = image_shape[:2]
    side = max(round(share * min(height, width)), 1)
    top, left = (height - side) // 2, (width - side) // 2
    pixels = images.view(len(images), height, width, -1)[:, top : top + side, left : left + side]
    if side != size:
        resized = interpolate(pixels.permute(0, 3, 1, 2), size=(size, size), mode="bilinear", antialias=True)
        pixels = resized.permute(0, 2, 3, 1)
    return pixels.reshape(len(images), -1)

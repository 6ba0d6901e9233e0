"""Imagenette: ten easily distinguished classes of ImageNet, 9,469 training and 3,925 test images in color.

Source: J. Howard, github.com/fastai/imagenette, version 2, whose `val` is the test set here; after O. Russakovsky and
others, ImageNet Large Scale Visual Recognition Challenge, 2015. ImageNet's terms allow research and teaching without
profit, and forbid redistribution. The images are read from torchvision's folders, or from a copy of 80×80 pixels.
"""

import hashlib
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import datasets

from ffrepro.dataset import Dataset, Split, hold_out
from ffrepro.dataset.colors import ColorDigits, standardize
from ffrepro.dataset.downloaded import content_of, find_or_download
from ffrepro.dataset.jpeg import load_images
from ffrepro.errors import UserError
from ffrepro.paths import from_root

_TRAIN, _TEST = "train", "val"
# The numbers of training and test images of each class, in the order of the class indices.
N_IMAGES = {
    "n01440764": {_TRAIN: 963, _TEST: 387},  # tench
    "n02102040": {_TRAIN: 955, _TEST: 395},  # English springer
    "n02979186": {_TRAIN: 993, _TEST: 357},  # cassette player
    "n03000684": {_TRAIN: 858, _TEST: 386},  # chain saw
    "n03028079": {_TRAIN: 941, _TEST: 409},  # church
    "n03394916": {_TRAIN: 956, _TEST: 394},  # French horn
    "n03417042": {_TRAIN: 961, _TEST: 389},  # garbage truck
    "n03425413": {_TRAIN: 931, _TEST: 419},  # gas pump
    "n03445777": {_TRAIN: 951, _TEST: 399},  # golf ball
    "n03888257": {_TRAIN: 960, _TEST: 390},  # parachute
}
# The shorter side of the images in each folder, and torchvision's name for the folder. torchvision does not have the
# copy of 80×80 pixels: its images were squashed to 224×224, without regard to their aspect ratio, and then reduced.
_COPY = "imagenette-80px"
FOLDERS = {
    _COPY: (80.0, "80px copy"),
    "imagenette2-160": (160.0, "160px"),
    "imagenette2-320": (320.0, "320px"),
    "imagenette2": (math.inf, "full"),
}
# Part of the name of the cache file: increase it with every change to the pixels that `jpeg.decode` returns.
_DECODING = 1
_BLOCK = 1000  # images converted at a time: a conversion of all images needs half as much memory again


@dataclass(kw_only=True)
class Imagenette:
    """Imagenette with one image per row, which lists the red, green and blue value of each pixel in turn.

    The channels are standardized over the training images, see `standardize`. Images of another size are cropped to
    their central square and resized, see `jpeg.decode`. The order of a split's images is the same on every machine and
    stratified by class, see `stratified_order`.

    The decoded images are cached below `data/cache`, in one file per size and content of the folder.
    """

    name: str
    size: int  # height and width in pixels
    validation: int  # images held out from the end of the training data, the same for every seed

    def __post_init__(self) -> None:
        if self.size < 8:
            raise UserError(f"dataset.size is {self.size}: expected 8 pixels or more.")

    def stand_in(self) -> ColorDigits:
        """scikit-learn's digits in three equal channels, with the same share of the training images held out."""
        validation = round(1437 * self.validation / sum(numbers[_TRAIN] for numbers in N_IMAGES.values()))
        return ColorDigits(f"digits (for {self.name})", size=self.size, validation=validation)

    def load(self, device: torch.device) -> Dataset:
        """See `Source.load`; `name` includes the folder, and `sha256` is the SHA-256 of the output of `sha256sum`.

        In the folder: `find train val -name '*.JPEG' | LC_ALL=C sort | xargs sha256sum | sha256sum`.
        """
        folder = self._folder()
        train_paths, test_paths = _paths(folder, _TRAIN), _paths(folder, _TEST)
        paths = [*train_paths, *test_paths]
        sha256 = _sha256(folder, paths)
        cache = from_root("data") / "cache" / f"imagenette-{self.size}px-{sha256[:16]}-{_DECODING}.bin"
        images = load_images([folder / path for path in paths], self.size, cache)
        train, validation = hold_out(_split(images[: len(train_paths)], train_paths, device), self.validation)
        return standardize(
            Dataset(
                name=f"{self.name} ({FOLDERS[folder.name][1]})",
                train=train,
                validation=validation,
                test=_split(images[len(train_paths) :], test_paths, device),
                n_classes=len(N_IMAGES),
                input_shape=(self.size, self.size, 3),
                sha256=sha256,
                stand_in=False,
            )
        )

    def _folder(self) -> Path:
        """The first folder with images of sufficient size; if there is none, download torchvision's smallest."""
        names = [name for name, (side, _) in FOLDERS.items() if side >= self.size]
        smallest = next(name for name in names if name != _COPY)
        download = partial(datasets.Imagenette, size=FOLDERS[smallest][1])

        def find(root: Path) -> Path | None:
            return next((root / name for name in names if (root / name).is_dir()), None)

        looked_for = "{" + ",".join(names) + "}"
        content = "its folders train and val"
        return find_or_download(self.name, find, smallest, download, looked_for=looked_for, content=content)


def stratified_order(paths: list[str]) -> list[int]:
    """A permutation of `paths` (part/class/file): every run of images has about equal shares of all classes.

    A class's images are ordered by the hash of their path. Ordered by name, the first and the last images would differ
    from the rest: the images from ImageNet's validation set come first.
    """
    by_class: dict[str, list[tuple[str, int]]] = {}
    for index, path in enumerate(paths):
        by_class.setdefault(_class_of(path), []).append((hashlib.sha256(path.encode()).hexdigest(), index))
    positions = [
        ((rank + 0.5) / len(hashed), name, index)
        for name, hashed in by_class.items()
        for rank, (_, index) in enumerate(sorted(hashed))
    ]
    return [index for _, _, index in sorted(positions)]


def _class_of(path: str) -> str:
    return path.split("/")[1]


def _paths(folder: Path, part: str) -> list[str]:
    """The paths of all images of `part`, relative to `folder` and sorted.

    Raises UserError if a class has too few or too many images.
    """
    paths: list[str] = []
    for name, numbers in N_IMAGES.items():
        files = sorted(path.name for path in (folder / part / name).glob("*.JPEG"))
        if len(files) != numbers[part]:
            raise UserError(
                f"{folder / part / name} has {len(files)} images (*.JPEG), expected {numbers[part]}: was copying cut "
                f"short? Copy {folder} again, or remove it and run `make data`."
            )
        paths += [f"{part}/{name}/{file}" for file in files]
    return paths


def _sha256(folder: Path, paths: list[str]) -> str:
    listing = "".join(f"{hashlib.sha256(content_of(folder / path)).hexdigest()}  {path}\n" for path in paths)
    return hashlib.sha256(listing.encode()).hexdigest()


def _split(images: NDArray[np.uint8], paths: list[str], device: torch.device) -> Split:
    """The images, with values between 0 and 255, and their classes, in stratified order."""
    order, classes = np.array(stratified_order(paths)), list(N_IMAGES)
    inputs = torch.empty(len(order), math.prod(images.shape[1:]), device=device)
    for start in range(0, len(order), _BLOCK):
        block = slice(start, start + _BLOCK)
        inputs[block] = torch.from_numpy(images[order[block]]).to(device).flatten(1)
    targets = torch.tensor([classes.index(_class_of(paths[index])) for index in order.tolist()])
    return Split(inputs, targets.to(device))

"""Imagenette: ten classes of ImageNet that are easily told apart, 9,469 training and 3,925 test images in colour.

Source: J. Howard, github.com/fastai/imagenette, version 2, whose `val` is the test here; after O. Russakovsky and
others, ImageNet Large Scale Visual Recognition Challenge, 2015. ImageNet's terms: for research and teaching without
profit, and not to be handed on. Read from torchvision's folders, or from a copy reduced to 80×80 pixels.
"""

import hashlib
import math
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision import datasets

from ffrepro.dataset import TRAIN_EVALUATED, Dataset, Split, hold_out
from ffrepro.dataset.colours import ColouredDigits, standardised, statistics
from ffrepro.dataset.downloaded import content_of, found_or_fetched
from ffrepro.errors import UserError
from ffrepro.files import written_atomically
from ffrepro.paths import from_root

_TRAIN, _TEST = "train", "val"
# Of each class, in their order: the images to train on and to test on.
_IMAGES = {
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
# Of each folder: the shorter side of its images, and what torchvision calls them. The reduced copy it does not have:
# images squashed to 224×224, whatever their shape was, and then reduced.
_REDUCED = "imagenette-80px"
_FOLDERS = {
    _REDUCED: (80.0, "80px copy"),
    "imagenette2-160": (160.0, "160px"),
    "imagenette2-320": (320.0, "320px"),
    "imagenette2": (math.inf, "full"),
}
# Part of the cache's name: raise it with every change of what `_image` makes of a file.
_DECODING = 1
_AT_ONCE = 1000  # images; all at once would take half as much memory again


class Imagenette:
    """Imagenette, one row an image: pixel after pixel, of each its red, green and blue.

    Each colour has mean 0 and variance 1 over the pixels of the images that are trained on. Images of another size are
    the square in their middle, resized with antialiasing. The images of every split are in an order that is the same
    everywhere and has the classes spread evenly, see `_spread`: its first and its last have all classes.

    The decoded images are kept below `data/cache`, in a file for each content of the folder and each size.

    Args:
        size: height and width in pixels.
        validation: images held out of the end of the training data, the same for every seed.
    """

    def __init__(self, *, name: str, size: int, validation: int) -> None:
        if size < 8:
            raise UserError(f"dataset.size is {size}: expected 8 pixels or more.")
        self.name = name
        self.size = size
        self.validation = validation
        self.input_shape = (size, size, 3)

    @property
    def sizes(self) -> tuple[int, int]:
        """See `Source.sizes`."""
        trained = _total(_TRAIN) - self.validation
        return trained, _total(_TEST) + min(trained, TRAIN_EVALUATED)

    def stand_in(self) -> ColouredDigits:
        """scikit-learn's digits in three equal colours, with the same share of the training images held out."""
        validation = round(1437 * self.validation / _total(_TRAIN))
        return ColouredDigits(f"digits (for {self.name})", size=self.size, validation=validation)

    def load(self, device: torch.device) -> Dataset:
        """See `Source.load`; `name` says which of the folders it was, `sha256` is what `sha256sum` gives of its list.

        That is, in the folder: `find train val -name '*.JPEG' | LC_ALL=C sort | xargs sha256sum | sha256sum`.
        """
        folder = self._folder()
        train_paths, test_paths = _paths(folder, _TRAIN), _paths(folder, _TEST)
        sha256 = _sha256(folder, [*train_paths, *test_paths])
        pixels = self._pixels(folder, [*train_paths, *test_paths], sha256)
        train, validation = hold_out(_split(pixels[: len(train_paths)], train_paths, device), self.validation)
        mean, std = statistics(train.inputs)
        return Dataset(
            name=f"{self.name} ({_FOLDERS[folder.name][1]})",
            train=standardised(train, mean, std),
            validation=None if validation is None else standardised(validation, mean, std),
            test=standardised(_split(pixels[len(train_paths) :], test_paths, device), mean, std),
            n_classes=len(_IMAGES),
            input_shape=self.input_shape,
            sha256=sha256,
            stand_in=False,
        )

    def _folder(self) -> Path:
        """The first that has images large enough; torchvision's smallest of those, downloaded, where there is none."""
        places = [place for place, (side, _) in _FOLDERS.items() if side >= self.size]
        missing = next(place for place in places if place != _REDUCED)
        download = partial(datasets.Imagenette, size=_FOLDERS[missing][1])

        def find(root: Path) -> Path | None:
            return next((root / place for place in places if (root / place).is_dir()), None)

        looked_for = "{" + ",".join(places) + "}"
        content = "its folders train and val"
        return found_or_fetched(self.name, find, missing, download, looked_for=looked_for, content=content)

    def _pixels(self, folder: Path, paths: list[str], sha256: str) -> NDArray[np.uint8]:
        """Images (N, size, size, 3) in the order of `paths`, decoded only the first time."""
        cache = from_root("data") / "cache" / f"imagenette-{self.size}px-{sha256[:16]}-{_DECODING}.bin"
        pixels = _cached(cache, (len(paths), *self.input_shape))
        if pixels is None:
            pixels = _decoded(folder, paths, self.size)
            try:
                with written_atomically(cache) as file:
                    file.write(hashlib.sha256(pixels.ravel().data).digest())
                    file.write(pixels.data)
            except UserError as error:
                reason = f"cannot write {cache} ({error.__cause__})"
                print(f"imagenette: goes on without a cache, {reason}", file=sys.stderr)
        return pixels


def _total(part: str) -> int:
    return sum(numbers[part] for numbers in _IMAGES.values())


def _paths(folder: Path, part: str) -> list[str]:
    """Those of all images of `part`, below `folder` and sorted.

    Raises:
        UserError: a class has too few or too many.
    """
    paths: list[str] = []
    for wnid, numbers in _IMAGES.items():
        names = sorted(path.name for path in (folder / part / wnid).glob("*.JPEG"))
        if len(names) != numbers[part]:
            raise UserError(
                f"{folder / part / wnid} has {len(names)} images (*.JPEG), expected {numbers[part]}: was copying cut "
                f"short? Copy {folder} anew, or remove it and run `make data`."
            )
        paths += [f"{part}/{wnid}/{name}" for name in names]
    return paths


def _sha256(folder: Path, paths: list[str]) -> str:
    listed = hashlib.sha256()
    for path in paths:
        listed.update(f"{hashlib.sha256(content_of(folder / path)).hexdigest()}  {path}\n".encode())
    return listed.hexdigest()


def _cached(cache: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """What `cache` has after its SHA-256; None where it is not there, or is damaged."""
    try:
        content = np.fromfile(cache, dtype=np.uint8)
    except OSError:
        return None
    digest, pixels = content[:32], content[32:]
    if hashlib.sha256(pixels.data).digest() == digest.tobytes():
        return pixels.reshape(shape)
    print(f"imagenette: {cache} is damaged and made anew", file=sys.stderr)
    return None


def _decoded(folder: Path, paths: list[str], size: int) -> NDArray[np.uint8]:
    pixels = np.empty((len(paths), size, size, 3), dtype=np.uint8)
    shown = time.monotonic()
    for number, path in enumerate(paths):
        pixels[number] = _image(folder / path, size)
        if time.monotonic() > shown + 3:
            print(f"imagenette: {number + 1:,} of {len(paths):,} images decoded", file=sys.stderr, flush=True)
            shown = time.monotonic()
    return pixels


def _image(path: Path, size: int) -> NDArray[np.uint8]:
    """An image (size, size, 3).

    Raises:
        UserError: the file is no whole JPEG image.
    """
    try:
        with Image.open(path, formats=["JPEG"]) as file:
            image = file.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(
            f"{path} is damaged: expected a whole JPEG image ({error}). Copy it anew, or remove its folder "
            f"{path.parents[2].name} and run `make data`."
        ) from error
    if image.size != (size, size):
        side = min(image.size)
        left, top = ((length - side) / 2 for length in image.size)
        square = (left, top, left + side, top + side)
        image = image.resize((size, size), Image.Resampling.BILINEAR, box=square)  # which antialiases
    return np.asarray(image)


def _spread(paths: list[str]) -> list[int]:
    """An order in which every stretch has as much of each class as the whole; in a class by the hash of the path.

    The first and the last by name would be other pictures than the rest: ImageNet's own validation images come first.
    """
    of_class: dict[str, list[tuple[str, int]]] = {}
    for index, path in enumerate(paths):
        of_class.setdefault(_wnid(path), []).append((hashlib.sha256(path.encode()).hexdigest(), index))
    placed = [
        ((rank + 0.5) / len(hashed), wnid, index)
        for wnid, hashed in of_class.items()
        for rank, (_, index) in enumerate(sorted(hashed))
    ]
    return [index for _, _, index in sorted(placed)]


def _wnid(path: str) -> str:
    return path.split("/")[1]


def _split(pixels: NDArray[np.uint8], paths: list[str], device: torch.device) -> Split:
    """Images, between 0 and 255, and their classes, spread."""
    order, classes = np.array(_spread(paths)), list(_IMAGES)
    inputs = torch.empty(len(order), math.prod(pixels.shape[1:]), device=device)
    for start in range(0, len(order), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        inputs[some] = torch.from_numpy(pixels[order[some]]).to(device).flatten(1)
    targets = torch.tensor([classes.index(_wnid(paths[index])) for index in order.tolist()])
    return Split(inputs, targets.to(device))

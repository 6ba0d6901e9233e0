"""JPEG images as square arrays of bytes, cached in a file."""

import hashlib
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ffrepro.errors import UserError
from ffrepro.files import written_atomically

_PROGRESS_S = 3  # seconds between messages


def load_images(paths: list[Path], size: int, cache: Path) -> NDArray[np.uint8]:
    """Images (N, size, size, 3) in the order of `paths`, from the file `cache` if possible, which is written if not.

    The name of `cache` must change with the content of the files and with what `decode` does. Raises UserError if an
    image is damaged.
    """
    images = _cached(cache, (len(paths), size, size, 3))
    if images is None:
        images = _decode_all(paths, size)
        try:
            with written_atomically(cache) as file:
                file.write(hashlib.sha256(images.ravel().data).digest())
                file.write(images.data)
        except UserError as error:
            print(f"continuing without a cache: cannot write {cache} ({error.__cause__})", file=sys.stderr)
    return images


def decode(path: Path, size: int) -> NDArray[np.uint8]:
    """The central square of an image, resized to (size, size, 3) by an antialiased bilinear filter.

    Raises UserError if the file is not a complete JPEG image.
    """
    try:
        with Image.open(path, formats=["JPEG"]) as file:
            image = file.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(
            f"{path} is damaged: expected a whole JPEG image ({error}). Copy it again, or remove its folder "
            f"{path.parents[2].name} and run `make data`."
        ) from error
    if image.size != (size, size):
        side = min(image.size)
        left, top = ((length - side) / 2 for length in image.size)
        square = (left, top, left + side, top + side)
        image = image.resize((size, size), Image.Resampling.BILINEAR, box=square)
    return np.asarray(image)


def _cached(cache: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """The images in `cache`, which follow their SHA-256; None if the file is missing or damaged."""
    try:
        content = np.fromfile(cache, dtype=np.uint8)
    except OSError:
        return None
    digest, pixels = content[:32], content[32:]
    if hashlib.sha256(pixels.data).digest() == digest.tobytes():
        return pixels.reshape(shape)
    print(f"{cache} is damaged: decoding the images again", file=sys.stderr)
    return None


def _decode_all(paths: list[Path], size: int) -> NDArray[np.uint8]:
    images = np.empty((len(paths), size, size, 3), dtype=np.uint8)
    reported = time.monotonic()
    for number, path in enumerate(paths):
        images[number] = decode(path, size)
        if time.monotonic() > reported + _PROGRESS_S:
            print(f"{number + 1:,} of {len(paths):,} images decoded", file=sys.stderr, flush=True)
            reported = time.monotonic()
    return images

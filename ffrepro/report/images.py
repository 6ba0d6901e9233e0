"""Images and weights that a run keeps, as PNG files."""

import io
from typing import Any

import matplotlib.image
import numpy as np

from ffrepro.pictures import field_grid
from ffrepro.report import text
from ffrepro.report.blocks import Picture
from ffrepro.report.groups import Group
from ffrepro.report.load import Run

_WIDTH = 466  # pixels, at most: 8 × 8 images of MNIST at twice their size
_FIELD_PERCENTILE = 98


def kept_images(run: Run, name: str) -> np.ndarray | None:
    """The run's images of this name, bytes of shape (n, height, width[, 3]); None if there are none."""
    kept = run.pictures.get(name)
    usable = kept is not None and (kept.ndim == 3 or kept.shape[3:] == (3,)) and kept.dtype == np.uint8 and kept.size
    return kept if usable else None


def png(name: str, images: np.ndarray, group: Group, **words: str) -> Picture:
    """A picture of images (n, height, width[, 3]); `words` are its title, caption and alt."""
    drawn = mosaic(images)
    file = io.BytesIO()
    metadata: Any = {"Software": None}  # a version of matplotlib would be another byte
    matplotlib.image.imsave(file, drawn, format="png", metadata=metadata)
    words["caption"] = text.sentence(words["caption"], *text.kinds(group))
    height, width = drawn.shape[:2]
    return Picture(f"{name}.png", {f"{name}.png": file.getvalue()}, width=width, height=height, **words)


def mosaic(images: np.ndarray) -> np.ndarray:
    """Images (n, height, width[, 3]) of bytes side by side, (height, width, 4); the space between is transparent."""
    colored = images if images.ndim == 4 else np.stack([images] * 3, axis=-1)
    covered = field_grid(np.full(images.shape[:3], 255, np.uint8))
    drawn = np.concatenate([field_grid(colored), covered[:, :, None]], axis=-1)
    scale = max(1, _WIDTH // drawn.shape[1])
    return drawn.repeat(scale, axis=0).repeat(scale, axis=1)


def contrasted(fields: np.ndarray) -> np.ndarray:
    """Fields (n, height, width[, 3]) of bytes, 128 for 0, each scaled by the range of most of its weights."""
    # A few weights, those of the label's pixels above all, are so large that no others would be visible.
    deviation = fields.astype(float) - 128
    reach = np.percentile(np.abs(deviation), _FIELD_PERCENTILE, axis=tuple(range(1, fields.ndim)), keepdims=True)
    scaled: np.ndarray = np.round(128 + 127 * np.clip(deviation / np.maximum(reach, 1), -1, 1)).astype(np.uint8)
    return scaled

"""What the report draws of a run, made small enough to keep beside its record."""

from io import BytesIO

import numpy as np

from ffrepro.forward_forward.connections import Connections

FIELDS = 64  # of a layer, its first units
MOST_BYTES = 200_000  # of a run's pictures, compressed
_HISTOGRAM_BINS = 60
# Goodness over threshold: most of what happens lies below a few times the threshold.
_HISTOGRAM_RANGE = (0.0, 6.0)


def fields(connections: Connections, input_shape: tuple[int, ...]) -> np.ndarray:
    """What the first units see best in an image below, (n, height, width), in colour (n, height, width, 3)."""
    return connections.sources[0].fields(FIELDS, input_shape).float().cpu().numpy()


def packed(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Fields and images (n, height, width[, 3]) as bytes, and samples as histograms (n_layers, n_bins + 1).

    Names of fields end in `fields`, of images in `images`, and of samples begin with `goodness`. Other arrays are kept
    as they are, and have to be small.

    A field's bytes are its weights with 128 for 0, scaled by the field's largest weight; an image's go from 0 to 255.
    A histogram's last column counts what lies beyond the range, which is kept as `goodness_edges`.
    """
    kept: dict[str, np.ndarray] = {}
    for name, values in arrays.items():
        if name.endswith("fields"):
            largest = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True)
            scaled = values / np.where(largest > 0, largest, 1)
            kept[name] = np.round(128 + 127 * scaled).astype(np.uint8)
        elif name.endswith("images"):
            # Pixels that were standardised reach beyond 0 and 1.
            kept[name] = np.round(255 * values.clip(0, 1)).astype(np.uint8)
        elif name.startswith("goodness"):
            edges = np.linspace(*_HISTOGRAM_RANGE, _HISTOGRAM_BINS + 1)
            magnitudes = np.abs(values)
            kept[name] = np.stack(
                [np.histogram(layer, bins=np.append(edges, np.inf))[0] for layer in magnitudes]
            ).astype(np.int32)
            kept["goodness_edges"] = edges.astype(np.float32)
        else:
            kept[name] = values
    return kept


def compressed(arrays: dict[str, np.ndarray]) -> bytes:
    """An array file of at most `MOST_BYTES`, where need be of the first fields and images alone, or one of each."""
    while True:
        file = BytesIO()
        np.savez_compressed(file, allow_pickle=False, **arrays)
        several = [name for name, one in arrays.items() if name.endswith(("fields", "images")) and len(one) > 1]
        if file.tell() <= MOST_BYTES or not several:
            return file.getvalue()
        largest = max(several, key=lambda name: arrays[name].nbytes)
        arrays = arrays | {largest: arrays[largest][: len(arrays[largest]) // 2]}


def field_grid(fields: np.ndarray) -> np.ndarray:
    """Fields (n, height, width[, 3]) as one picture of about equal sides, a dark line between them."""
    n, height, width, *colours = fields.shape
    columns = int(np.ceil(np.sqrt(n)))
    grid = np.zeros((-(-n // columns) * (height + 1) + 1, columns * (width + 1) + 1, *colours), np.uint8)
    for place, one in enumerate(fields):
        top, left = (place // columns) * (height + 1) + 1, (place % columns) * (width + 1) + 1
        grid[top : top + height, left : left + width] = one
    return grid

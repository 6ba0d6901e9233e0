"""What the report draws of a run, made small enough to keep beside its record."""

import numpy as np

_FIELDS = 64
_HISTOGRAM_BINS = 60
# Goodness over threshold: most of what happens lies below a few times the threshold.
_HISTOGRAM_RANGE = (0.0, 6.0)


def packed(arrays: dict[str, np.ndarray], image_shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Fields of the first units as bytes (n, height, width), and samples as histograms (n_layers, n_bins + 1).

    A field's bytes are its weights with 128 for 0, scaled by the field's largest weight. A histogram's last
    column counts what lies beyond the range, which is kept as `goodness_edges`.
    """
    kept: dict[str, np.ndarray] = {}
    for name, values in arrays.items():
        if name.endswith("fields"):
            fields = values[:_FIELDS]
            largest = np.abs(fields).max(axis=1, keepdims=True)
            scaled = fields / np.where(largest > 0, largest, 1)
            kept[name] = np.round(128 + 127 * scaled).astype(np.uint8).reshape(-1, *image_shape)
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


def field_grid(fields: np.ndarray) -> np.ndarray:
    """Fields (n, height, width) as one picture of about equal sides, a dark line between them."""
    n, height, width = fields.shape
    columns = int(np.ceil(np.sqrt(n)))
    grid = np.zeros((-(-n // columns) * (height + 1) + 1, columns * (width + 1) + 1), np.uint8)
    for place, one in enumerate(fields):
        top, left = (place // columns) * (height + 1) + 1, (place % columns) * (width + 1) + 1
        grid[top : top + height, left : left + width] = one
    return grid

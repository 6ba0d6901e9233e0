"""Arrays that the report draws for a run, compressed to be stored next to its record."""

import math
from io import BytesIO
from typing import Any

import numpy as np
from torch import Tensor, nn

from ffrepro.forward_forward.connections import Connections

FIELDS = 64  # units of a layer whose receptive fields are kept
MAX_BYTES = 200_000  # size of a run's compressed arrays
_HISTOGRAM_BINS = 60
_HISTOGRAM_RANGE = (0.0, 6.0)  # goodness over threshold, which rarely exceeds a few times the threshold


def fields(connections: Connections, input_shape: tuple[int, ...]) -> np.ndarray:
    """The weights of the first units from the image below, (n, height, width) or, in color, (n, height, width, 3)."""
    return connections.sources[0].fields(FIELDS, input_shape).float().cpu().numpy()


def first_layer_fields(net: nn.Module, input_shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The `fields` of a net of modules, {"first_layer_fields": (n, height, width[, 3])}; {} where it has none to show.

    They are those of its first module with parameters: its own `fields(n, input_shape)`, or the rows of a weight matrix
    (width, fan_in) that reads the whole input.
    """
    first: Any = next((part for part in net.modules() if next(part.parameters(recurse=False), None) is not None), None)
    weight = getattr(first, "weight", None)
    if hasattr(first, "fields"):
        shown = first.fields(FIELDS, input_shape)
    elif isinstance(weight, Tensor) and weight.shape[1:] == (math.prod(input_shape),):
        shown = weight[:FIELDS].reshape(-1, *input_shape)
    else:
        return {}
    return {"first_layer_fields": shown.detach().float().cpu().numpy()}


def packed(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Convert fields and images (n, height, width[, 3]) to bytes, and samples to histograms (n_layers, n_bins + 1).

    A name that ends in `fields` or `images`, or begins with `goodness`, tells which. Other arrays, which must be small,
    are not changed. A field is scaled by its largest absolute weight, to bytes from 1 to 255 with 128 for weight 0. An
    image has bytes from 0 to 255. The last column of a histogram counts the values above the range; `goodness_edges`
    has the edges of the other bins.
    """
    converted: dict[str, np.ndarray] = {}
    for name, values in arrays.items():
        if name.endswith("fields"):
            largest = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True)
            scaled = values / np.where(largest > 0, largest, 1)
            converted[name] = np.round(128 + 127 * scaled).astype(np.uint8)
        elif name.endswith("images"):
            # Standardized pixels can be below 0 or above 1.
            converted[name] = np.round(255 * values.clip(0, 1)).astype(np.uint8)
        elif name.startswith("goodness"):
            edges = np.linspace(*_HISTOGRAM_RANGE, _HISTOGRAM_BINS + 1)
            bins = np.append(edges, np.inf)
            counts = [np.histogram(layer, bins=bins)[0] for layer in np.abs(values)]
            converted[name] = np.stack(counts).astype(np.int32)
            converted["goodness_edges"] = edges.astype(np.float32)
        else:
            converted[name] = values
    return converted


def compressed(arrays: dict[str, np.ndarray]) -> bytes:
    """An NPZ file of at most `MAX_BYTES`; halves the number of fields or images until it fits, down to 1 of each."""
    while True:
        file = BytesIO()
        np.savez_compressed(file, allow_pickle=False, **arrays)
        several = [name for name, array in arrays.items() if name.endswith(("fields", "images")) and len(array) > 1]
        if file.tell() <= MAX_BYTES or not several:
            return file.getvalue()
        largest = max(several, key=lambda name: arrays[name].nbytes)
        arrays = arrays | {largest: arrays[largest][: len(arrays[largest]) // 2]}


def field_grid(fields: np.ndarray) -> np.ndarray:
    """Fields (n, height, width[, 3]) in a roughly square grid, separated by dark lines."""
    n, height, width, *channels = fields.shape
    columns = int(np.ceil(np.sqrt(n)))
    grid = np.zeros((-(-n // columns) * (height + 1) + 1, columns * (width + 1) + 1, *channels), np.uint8)
    for index, field in enumerate(fields):
        top, left = (index // columns) * (height + 1) + 1, (index % columns) * (width + 1) + 1
        grid[top : top + height, left : left + width] = field
    return grid

"""Errors in percent, for a whole net and for its parts."""

from collections.abc import Iterator

from torch import Tensor

# Rows of one forward pass in evaluation: large enough for full speed, small enough for 0.1 GB of activities.
ROWS = 2000

# How many training images the final training error is measured on, the first of them: every label has to be
# tried on each, so that all 60,000 would cost as much as several epochs.
TRAIN_EVALUATED = 10_000


def error_percent(scores: Tensor, targets: Tensor) -> float:
    """Percent of examples whose highest of `scores` (N, n_classes) is not at `targets` (N,)."""
    wrong = int((scores.argmax(1) != targets).count_nonzero())
    return 100.0 * wrong / len(targets)


def chunks(n: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover 0 to n."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def errors_by_layer(name: str, scores: Tensor, targets: Tensor, first_layer: int) -> dict[str, float]:
    """Errors of every single layer and of every prefix of layers.

    Args:
        name: of the test, as in `goodness`.
        targets: (N,), the right classes.
        scores: (n_layers, N, n_classes); those of several layers are added.
        first_layer: the number, from 1, of the layer that `scores[0]` belongs to.
    """
    errors: dict[str, float] = {}
    sums = scores.cumsum(0)
    last = first_layer + len(scores) - 1
    for number, (single, so_far) in enumerate(zip(scores, sums, strict=True), start=first_layer):
        errors[f"error_{name}_layer_{number}"] = error_percent(single, targets)
        if first_layer < number < last or (number == last and first_layer == 1 and last > 1):
            errors[f"error_{name}_layers_{first_layer}_to_{number}"] = error_percent(so_far, targets)
    return errors

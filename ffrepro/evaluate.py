"""Errors in percent, for a whole net and for its parts; perplexities of predicted text."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ffrepro.dataset import Split

# Rows of one forward pass in evaluation: large enough for full speed, small enough for 0.1 GB of activities.
ROWS = 2000
_RESAMPLED = 2000
# Perplexities are exponentials: further digits come from rounding alone.
_DIGITS = 9


def predicted(logits: Callable[[Tensor], Tensor], split: Split) -> Tensor:
    """`logits` of all inputs of a split, (N, n_classes), some at a time."""
    return torch.cat([logits(split.inputs[part]) for part in chunks(len(split), ROWS)])


def headline(logits: Tensor, split: Split) -> dict[str, float]:
    """Of what `measured` says the figure that is watched while a net learns: `error`, or `perplexity` of text."""
    if split.strings is None:
        return {"error": error_percent(logits, split.targets)}
    return {"perplexity": perplexity(_surprises(logits, split).mean().item())}


def measured(logits: Tensor, split: Split) -> dict[str, float]:
    """What predictions `logits` (N, n_classes) of the targets are worth.

    Of classes, `error` in percent and `loss`, the mean cross-entropy in nats. Of the next character of a text,
    `perplexity` (e to the loss) with the ends of its 95 % interval, `bits_per_character`, and `accuracy` in percent.
    """
    error = error_percent(logits, split.targets)
    losses = _surprises(logits, split)
    loss = losses.mean().item()
    if split.strings is None:
        return {"error": error, "loss": loss}
    low, high = interval(losses, split.strings)
    return {
        "perplexity": perplexity(loss),
        "perplexity_low": perplexity(low),
        "perplexity_high": perplexity(high),
        "bits_per_character": loss / math.log(2),
        "accuracy": 100.0 - error,
    }


def _surprises(logits: Tensor, split: Split) -> Tensor:
    """The cross-entropy of each target in nats, (N,), in float64."""
    return cross_entropy(logits.double(), split.targets, reduction="none")


def perplexity(loss: float) -> float:
    """E to a mean cross-entropy in nats; infinite where no float is that large."""
    try:
        return round(math.exp(loss), _DIGITS)
    except OverflowError:
        return math.inf


def interval(losses: Tensor, strings: Tensor) -> tuple[float, float]:
    """The 95 % interval of the mean of `losses` (N,), by bootstrap over `strings` (N,).

    Strings are resampled whole, for the characters of one depend on each other; the same draws each time.
    """
    _, place = torch.unique(strings, return_inverse=True)
    sums = torch.bincount(place, weights=losses).cpu().numpy()
    sizes = torch.bincount(place).cpu().numpy()
    drawn = np.random.default_rng(0).integers(len(sums), size=(_RESAMPLED, len(sums)))
    low, high = np.quantile(sums[drawn].sum(1) / sizes[drawn].sum(1), [0.025, 0.975])
    return float(low), float(high)


def error_percent(scores: Tensor, targets: Tensor) -> float:
    """Percent of examples whose highest of `scores` (N, n_classes) is not at `targets` (N,)."""
    wrong = int((scores.argmax(1) != targets).count_nonzero())
    return 100.0 * wrong / len(targets)


def chunks(n: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover 0 to n."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def errors_by_layer(name: str, scores: Tensor, targets: Tensor, first_layer: int) -> dict[str, float]:
    """Errors of every single layer and of every prefix of layers.

    That of all is left out where the first layer does not count: it is the test's own.

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

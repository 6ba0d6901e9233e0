"""Metrics of predictions for class targets: error, cross-entropy, and perplexity where the classes are characters.

`predicted` and `chunks` serve outputs of any kind. The metrics of real-valued targets belong to their loss.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ffrepro.dataset import Split

# Examples per forward pass: enough for full speed, and few enough for 0.1 GB of activities.
ROWS = 2000
_BOOTSTRAP_SAMPLES = 2000
# Perplexities are rounded to this many decimals: the exponential amplifies rounding errors of the cross-entropy.
_PERPLEXITY_DECIMALS = 9


@torch.no_grad()
def predicted(function: Callable[[Tensor], Tensor], split: Split) -> Tensor:
    """The outputs (N, …) of `function` for the inputs of a split, at most `ROWS` at a time, each held once."""
    first, *others = chunks(len(split), ROWS)
    part = function(split.inputs[first])
    outputs = part.new_empty(len(split), *part.shape[1:])
    outputs[first] = part
    for rows in others:
        outputs[rows] = function(split.inputs[rows])
    return outputs


def chunks(n: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover 0 to n."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def headline(logits: Tensor, split: Split) -> dict[str, float]:
    """The metric of `measured` that is monitored during training: `error`, or `perplexity` of text."""
    if split.strings is None:
        return {"error": error_percent(logits, split.targets)}
    return {"perplexity": perplexity(nll(logits, split.targets).mean().item())}


def measured(logits: Tensor, split: Split) -> dict[str, float]:
    """Metrics of `logits` (N, n_classes) for class targets (N,).

    Images have `error` in percent and `loss`, the mean cross-entropy in nats. Text has `perplexity`, the exponential of
    that loss, with the bounds of its 95 % interval, `bits_per_character`, and `accuracy` in percent.
    """
    error = error_percent(logits, split.targets)
    losses = nll(logits, split.targets)
    loss = losses.mean().item()
    if split.strings is None:
        return {"error": error, "loss": loss}
    low, high = bootstrap_interval(losses, split.strings)
    return {
        "perplexity": perplexity(loss),
        "perplexity_low": perplexity(low),
        "perplexity_high": perplexity(high),
        "bits_per_character": loss / math.log(2),
        "accuracy": 100.0 - error,
    }


def nll(logits: Tensor, targets: Tensor) -> Tensor:
    """The negative log-likelihoods of the targets in nats (N,), in float64."""
    return cross_entropy(logits.double(), targets, reduction="none")


def error_percent(scores: Tensor, targets: Tensor) -> float:
    """The percentage of examples whose highest of `scores` (N, n_classes) is not that of `targets` (N,)."""
    return 100.0 * int((scores.argmax(1) != targets).count_nonzero()) / len(targets)


def errors_by_layer(name: str, scores: Tensor, targets: Tensor, first_layer: int) -> dict[str, float]:
    """The error of each layer and of each sequence of layers from the first, whose scores are added.

    `scores` (n_layers, N, n_classes) are of the test `name`, from `first_layer`, counted from 1. If the first layer is
    excluded, the error of all layers is left out: it is the headline error of the test.
    """
    errors: dict[str, float] = {}
    last_layer = first_layer + len(scores) - 1
    for layer, (single, cumulative) in enumerate(zip(scores, scores.cumsum(0), strict=True), start=first_layer):
        errors[f"error_{name}_layer_{layer}"] = error_percent(single, targets)
        if first_layer < layer < last_layer or (layer == last_layer and first_layer == 1 and last_layer > 1):
            errors[f"error_{name}_layers_{first_layer}_to_{layer}"] = error_percent(cumulative, targets)
    return errors


def perplexity(loss: float) -> float:
    """The exponential of a mean cross-entropy in nats; infinite if it exceeds the range of floats."""
    try:
        return round(math.exp(loss), _PERPLEXITY_DECIMALS)
    except OverflowError:
        return math.inf


def bootstrap_interval(losses: Tensor, strings: Tensor) -> tuple[float, float]:
    """The 95 % interval of the mean of `losses` (N,), by a bootstrap over `strings` (N,).

    Resamples whole strings, because the characters of a string depend on each other. The random seed is fixed.
    """
    _, index = torch.unique(strings, return_inverse=True)
    sums = torch.bincount(index, weights=losses).cpu().numpy()
    sizes = torch.bincount(index).cpu().numpy()
    samples = np.random.default_rng(0).integers(len(sums), size=(_BOOTSTRAP_SAMPLES, len(sums)))
    low, high = np.quantile(sums[samples].sum(1) / sizes[samples].sum(1), [0.025, 0.975])
    return float(low), float(high)

"""The matrix products that nets cannot do without, alone: what the time of their training is compared with."""

from collections.abc import Callable
from itertools import pairwise

import torch

BATCH = 100
_MAP, _ITERATIONS = 32 * 32 * 3, 10  # units of a map, and what the nets of them do


def layered(
    widths: tuple[int, ...], passes: int, device: torch.device, dtype: torch.dtype, minibatches: int
) -> Callable[[], object]:
    """The products of the passes, of the weight gradient and nothing else but the update, for whole minibatches."""
    layers = []
    for below, above in pairwise([784, *widths]):
        weight, velocity = torch.ones(below, above, device=device), torch.zeros(below, above, device=device)
        inputs = torch.ones(passes * BATCH, below, device=device, dtype=dtype)
        deltas = torch.ones(2 * BATCH, above, device=device, dtype=dtype)
        layers.append((weight, velocity, weight.to(dtype), inputs, deltas))

    def work() -> None:
        for _ in range(minibatches):
            for weight, velocity, rounded, inputs, deltas in layers:
                inputs @ rounded
                gradient = inputs[: 2 * BATCH].t() @ deltas
                velocity.mul_(0.9).add_(gradient, alpha=1e-6)
                weight.mul_(0.99999).add_(velocity, alpha=1e-6)

    return work


def masked(
    maps: int, learned: float, device: torch.device, dtype: torch.dtype, minibatches: int
) -> Callable[[], object]:
    """What a recurrent net of maps of local fields has to compute, by dense matrices with masked weights.

    A bottom-up pass, and in both phases each iteration's products from below and above, but that from the image, which
    is computed once; then a gradient of each matrix over all iterations, masked, and the update. The image's is over
    one, since the image is always the same. `learned` is the share of the data that the net itself learns from: what is
    told apart already is left out of its gradients.
    """
    n_matrices = 2 * maps - 1  # from the image, and up and down between neighbours
    rows = 2 * BATCH
    kept = (torch.rand(_MAP, _MAP, device=device) < 0.1).float()
    weights = [0.01 * kept for _ in range(n_matrices)]
    velocities = [torch.zeros_like(weight) for weight in weights]
    rounded = [weight.to(dtype) for weight in weights]
    below = torch.ones(rows, _MAP, device=device, dtype=dtype)
    learned_from = torch.ones(round(learned * rows * _ITERATIONS), _MAP, device=device, dtype=dtype)

    def work() -> None:
        for _ in range(minibatches):
            for weight in rounded[:maps]:
                below[:BATCH] @ weight
            for _ in range(_ITERATIONS):
                for weight in rounded[1:]:
                    below @ weight
            for k, (weight, velocity, copy) in enumerate(zip(weights, velocities, rounded, strict=True)):
                factor = learned_from if k else below
                gradient = factor.t() @ factor
                velocity.mul_(0.9).add_(gradient, alpha=1e-9).mul_(kept)
                weight.mul_(0.99999).add_(velocity, alpha=1e-9)
                copy.copy_(weight)

    return work

"""Bare matrix products: the reference for the time of training."""

from collections.abc import Callable
from itertools import pairwise

import torch

BATCH = 100
MAP_UNITS, _ITERATIONS = 32 * 32 * 3, 10  # of the recurrent nets of Table 2


def layered(
    widths: tuple[int, ...], passes: int, device: torch.device, dtype: torch.dtype, minibatches: int
) -> Callable[[], object]:
    """The products of all passes and of the weight gradients, and the updates; nothing else."""
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
    """A recurrent net of maps of local fields, computed with dense matrices whose weights are masked.

    It has a bottom-up pass, and then in each iteration of both phases the products from below and above. The product
    from the image does not change and is computed once. At the end come the gradient of each matrix over all
    iterations, masked, and the update. The image is the same in all iterations, so its gradient covers a single
    iteration.

    The gradients cover the share `learned` of the data, and leave out data that are told apart.
    """
    n_matrices = 2 * maps - 1  # from the image, and up and down between neighboring maps
    rows = 2 * BATCH
    kept = (torch.rand(MAP_UNITS, MAP_UNITS, device=device) < 0.1).float()
    weights = [0.01 * kept for _ in range(n_matrices)]
    velocities = [torch.zeros_like(weight) for weight in weights]
    rounded = [weight.to(dtype) for weight in weights]
    below = torch.ones(rows, MAP_UNITS, device=device, dtype=dtype)
    learned_from = torch.ones(round(learned * rows * _ITERATIONS), MAP_UNITS, device=device, dtype=dtype)

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

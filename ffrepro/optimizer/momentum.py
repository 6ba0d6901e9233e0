"""The weight update of the released Forward-Forward code."""

from torch import Tensor


def momentum_step(weight: Tensor, velocity: Tensor, rate: float, weight_cost: float) -> None:
    """W ← W + rate (v - weight_cost W), in place.

    In torch's terms: SGD with momentum and decoupled weight decay, climbing instead of descending.
    """
    if weight_cost:
        weight.mul_(1 - rate * weight_cost)
    weight.add_(velocity, alpha=rate)

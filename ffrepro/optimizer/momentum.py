"""The weight update of the released Forward-Forward code."""

from torch import Tensor


def momentum_step(weight: Tensor, velocity: Tensor, rate: float, weight_cost: float) -> None:
    """W ← W + rate (v - weight_cost W), in place.

    In torch's terms: SGD with momentum and decoupled weight decay, climbing instead of descending.
    """
    if weight_cost:
        weight.mul_(1 - rate * weight_cost)
    weight.add_(velocity, alpha=rate)


def rounded_step(
    weight: Tensor,
    velocity: Tensor,
    rounded: Tensor,
    gradient: Tensor,
    *,
    momentum: Tensor,
    share: Tensor,
    kept: Tensor,
    rate: Tensor,
) -> None:
    """V ← `momentum` v + `share` G, then W ← `kept` W + `rate` v, and a rounded copy of W, in place.

    `kept` is 1 - rate · weight_cost, for `momentum_step`'s update. Numbers are tensors (), so that one compiled step
    does for all values of them.
    """
    velocity.mul_(momentum).add_(gradient * share)
    weight.mul_(kept).add_(velocity * rate)
    rounded.copy_(weight)

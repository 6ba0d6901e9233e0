"""The weight update of the released Forward-Forward code."""

from torch import Tensor
from torch.optim.sgd import sgd


def momentum_step(weight: Tensor, velocity: Tensor, rate: float, weight_cost: float) -> None:
    """W ← W + rate (v - weight_cost W), in place; both are laid out alike, without gaps.

    In torch's terms: SGD with momentum and decoupled weight decay, climbing instead of descending. Its fused kernel
    reads and writes large weights once, where a decay and then a step would do it twice.
    """
    if weight_cost:
        sgd(
            [weight],
            [velocity],
            [None],
            fused=True,
            maximize=True,
            lr=rate,
            weight_decay=weight_cost,
            momentum=0.0,  # the velocity has it already
            dampening=0.0,
            nesterov=False,
        )
    else:
        weight.add_(velocity, alpha=rate)

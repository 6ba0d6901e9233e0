"""The weight update of the released Forward-Forward code."""

from torch import Tensor
from torch.optim.sgd import sgd


def momentum_step(weight: Tensor, velocity: Tensor, lr: float, weight_cost: float) -> None:
    """W ← W + lr (v - weight_cost W), in place. Both tensors must have the same dense layout.

    This equals gradient ascent by torch's SGD with weight decay. Its fused kernel reads and writes the weights once;
    a decay followed by a step would do so twice.
    """
    if weight_cost:
        sgd(
            [weight],
            [velocity],
            [None],
            fused=True,
            maximize=True,
            lr=lr,
            weight_decay=weight_cost,
            momentum=0.0,  # the velocity already includes it
            dampening=0.0,
            nesterov=False,
        )
    else:
        weight.add_(velocity, alpha=lr)

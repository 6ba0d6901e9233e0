"""The pieces every Forward-Forward net is made of: length normalisation and layers that learn by themselves.

No gradient of one layer reaches another: a layer sees its input as data. That is why plain matrix products
are enough here, and autograd is not used.
"""

from typing import Any

import torch
from torch import Tensor

from ffrepro.optimizer.momentum import momentum_step

_TINY = 1e-10
# Batches shrink in steps of this many examples, so that few different matrix shapes occur.
_ROWS_STEP = 16


def normalize(activities: Tensor) -> Tensor:
    """Divide each row of (B, n) by its root mean square: all that is left for the next layer is the direction.

    The released code's form: `a / (tiny + sqrt(mean(a²)))`, on the image as on the hidden layers.
    """
    return activities / (_TINY + activities.square().mean(-1, keepdim=True).sqrt())


def significant(factors: Tensor) -> Tensor:
    """The indices of the examples whose `factors` (B,), between 0 and 1, are not lost in rounding, largest first.

    After the first epochs nine examples of ten are already told apart with a probability so near to 1 that
    their part of the gradient is smaller than a rounding error of the sum; leaving them out makes the step
    several times cheaper. On a GPU, where the size of a step must not depend on its data, all are kept.
    """
    if factors.is_cuda:
        return torch.arange(len(factors), device=factors.device)
    kept = int((factors > torch.finfo(factors.dtype).eps ** 2).count_nonzero())
    kept = min(len(factors), -(-kept // _ROWS_STEP) * _ROWS_STEP)
    return factors.topk(kept).indices


class Dense:
    """A fully connected ReLU layer with its own momentum: y = relu(below · W + b).

    Args:
        weight: (fan_in, width), kept and updated in its own precision (fp32).
        products: precision of the forward matrix products; where it is not `weight`'s, a rounded copy is kept.
    """

    def __init__(self, weight: Tensor, products: torch.dtype) -> None:
        self.weight = weight
        self.bias = weight.new_zeros(weight.shape[1])
        self.weight_velocity = torch.zeros_like(weight)
        self.bias_velocity = torch.zeros_like(self.bias)
        self._rounded = weight if products == weight.dtype else weight.to(products)

    @property
    def width(self) -> int:
        return self.weight.shape[1]

    def __call__(self, below: Tensor) -> Tensor:
        """Normalised activities of the layer below (B, fan_in) -> activities (B, width)."""
        if self._rounded is self.weight:
            return torch.addmm(self.bias, below, self.weight).relu_()
        return (below.to(self._rounded.dtype) @ self._rounded).to(self.bias.dtype).add_(self.bias).relu_()

    def learn(
        self,
        below: Tensor,
        delta: Tensor,
        bias_gradient: Tensor,
        *,
        batch_size: int,
        momentum: float,
        rate: float,
        weight_cost: float,
    ) -> None:
        """Climb: v ← μ v + (1-μ) G / `batch_size`, then W ← W + `rate` (v - `weight_cost` W), with G = belowᵀ · delta.

        Args:
            below: (R, fan_in), the layer's inputs. R is any number of rows.
            delta: (R, width), what each row asks of the activities.
            bias_gradient: (width,), for the bias, which has no weight cost.
            batch_size: what G is divided by; not R, since one row may stand for many examples or none.
            momentum: μ.
            rate: the learning rate.
            weight_cost: the decay, inside the learning rate.
        """
        share = (1 - momentum) / batch_size
        if self.weight.is_cuda and self._rounded is not self.weight:
            gradient = below.to(self._rounded.dtype).t() @ delta.to(self._rounded.dtype)
            self.weight_velocity.mul_(momentum).add_(gradient, alpha=share)
        else:
            self.weight_velocity.addmm_(below.t(), delta, beta=momentum, alpha=share)
        self.bias_velocity.mul_(momentum).add_(bias_gradient, alpha=share)
        momentum_step(self.weight, self.weight_velocity, rate, weight_cost)
        momentum_step(self.bias, self.bias_velocity, rate, 0.0)
        if self._rounded is not self.weight:
            self._rounded.copy_(self.weight)

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("weight", "bias", "weight_velocity", "bias_velocity")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            getattr(self, name).copy_(value)
        if self._rounded is not self.weight:
            self._rounded.copy_(self.weight)

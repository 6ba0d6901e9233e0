"""The weights from a source, which is a layer or the input, to the units of a layer.

Each kind of weights computes weighted sums, and takes its own momentum step up a gradient inputsᵀ · delta, without
autograd.
"""

import math
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim.sgd import sgd

from ffrepro.device import copies_factors, rounding_factors

# A CPU updates a dense matrix in parts of this many weights. With velocities and gradients, a part takes a few
# megabytes, which fit into the caches.
WEIGHTS_AT_ONCE = 500_000


class Weights(Protocol):
    """The weights from one source."""

    weight: Tensor

    @property
    def fan_in(self) -> int:
        """The number of units of the source."""

    @property
    def width(self) -> int:
        """The number of units of the layer."""

    def product(self, inputs: Tensor, onto: Tensor) -> Tensor:
        """The weighted sums of `inputs` (B, fan_in) plus `onto`, (width,) or (B, width): a new tensor (B, width)."""

    def learn(
        self, inputs: Tensor, delta: Tensor, *, gradient_scale: float, momentum: float, lr: float, weight_cost: float
    ) -> None:
        """Ascend: v ← `momentum` v + `gradient_scale` G, W ← W + `lr` (v - `weight_cost` W), with G = inputsᵀ · delta.

        `inputs` (R, fan_in) and `delta` (R, width) must not be changed: other weights may also learn from them.
        """

    def fields(self, n: int, input_shape: tuple[int, ...]) -> Tensor:
        """The weights of at most `n` units as images (n, height, width), in color (n, height, width, 3)."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class TrainableWeights:
    """Weights with velocities, and with a copy rounded to `compute_dtype` for the forward products."""

    def __init__(self, weight: Tensor, compute_dtype: torch.dtype) -> None:
        self.weight = weight
        self.velocity = torch.zeros_like(weight)
        self.rounded = weight if compute_dtype == weight.dtype else weight.to(compute_dtype)
        self._copies_factors = copies_factors(compute_dtype, weight.device)

    def learn(
        self, inputs: Tensor, delta: Tensor, *, gradient_scale: float, momentum: float, lr: float, weight_cost: float
    ) -> None:
        if self._copies_factors:
            inputs, delta = inputs.to(self.rounded.dtype), delta.to(self.rounded.dtype)
        with rounding_factors(self.rounded.dtype):
            for part in self._gradient_in_parts(inputs, delta, momentum, gradient_scale):
                # Immediately, while the velocities of the part are in the caches.
                momentum_step(self.weight[part], self.velocity[part], lr, weight_cost)
                if self.rounded is not self.weight:
                    self.rounded[part].copy_(self.weight[part])

    def _gradient_in_parts(
        self, inputs: Tensor, delta: Tensor, momentum: float, gradient_scale: float
    ) -> Iterator[slice]:
        """Update the velocities part by part, and yield the slice of each updated part in the first dimension.

        v ← momentum v + gradient_scale inputsᵀ · delta. The factors may have a lower precision.
        """
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        return {"weight": self.weight, "velocity": self.velocity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weight.copy_(state["weight"])
        self.velocity.copy_(state["velocity"])
        if self.rounded is not self.weight:
            self.rounded.copy_(self.weight)


class Dense(TrainableWeights):
    """Weights (fan_in, width) from all units of the source to all units of the layer, in fp32.

    Matrix products are in `compute_dtype`, of a rounded copy if this is another precision. For gradients see
    `copies_factors`.
    """

    @property
    def fan_in(self) -> int:
        return self.weight.shape[0]

    @property
    def width(self) -> int:
        return self.weight.shape[1]

    def product(self, inputs: Tensor, onto: Tensor) -> Tensor:
        if self.rounded is self.weight:
            return torch.addmm(onto, inputs, self.weight)
        return (inputs.to(self.rounded.dtype) @ self.rounded).to(onto.dtype).add_(onto)

    def _gradient_in_parts(
        self, inputs: Tensor, delta: Tensor, momentum: float, gradient_scale: float
    ) -> Iterator[slice]:
        n_parts = 1 if self.weight.is_cuda else math.ceil(self.weight.numel() / WEIGHTS_AT_ONCE)
        at_once = math.ceil(self.fan_in / n_parts)
        for first in range(0, self.fan_in, at_once):
            part = slice(first, first + at_once)
            add_product(self.velocity[part], inputs[:, part].t(), delta, beta=momentum, alpha=gradient_scale)
            yield part

    def fields(self, n: int, input_shape: tuple[int, ...]) -> Tensor:
        return self.weight[:, :n].t().reshape(-1, *input_shape)


def add_product(to: Tensor, left: Tensor, right: Tensor, *, beta: float, alpha: float) -> None:
    """`to` ← `beta` · `to` + `alpha` · `left` · `right`, for matrices or batches of matrices.

    The factors may have a lower precision than `to`.
    """
    if left.dtype != to.dtype:
        to.mul_(beta).add_(left @ right, alpha=alpha)
    elif to.dim() == 2:
        to.addmm_(left, right, beta=beta, alpha=alpha)
    else:
        to.baddbmm_(left, right, beta=beta, alpha=alpha)


def momentum_step(weight: Tensor, velocity: Tensor, lr: float, weight_cost: float) -> None:
    """W ← W + lr (v - weight_cost W), the update of the released code, in place.

    Both tensors must have the same dense layout. This equals gradient ascent by torch's SGD with weight decay. Its
    fused kernel reads and writes the weights once; a decay followed by a step would do so twice.
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

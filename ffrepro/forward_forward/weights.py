"""The weights from a source, a layer or the input, to the units of a layer.

Each kind drives activities, and takes a step of its own momentum up a gradient that is an outer product; no autograd.
"""

import math
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from ffrepro.device import copies_factors, rounding_factors
from ffrepro.forward_forward.momentum import momentum_step

# Of a dense matrix, weights that a CPU learns at a time: with their velocities and gradients some megabytes, which stay
# in its caches.
_LEARNED = 500_000


class Weights(Protocol):
    """What connections are made of."""

    weight: Tensor

    @property
    def fan_in(self) -> int:
        """How many units the source has."""
        ...

    @property
    def width(self) -> int:
        """How many units they feed."""
        ...

    def product(self, source: Tensor, onto: Tensor) -> Tensor:
        """What `source` (B, fan_in) drives, added to `onto`: a row or (B, width). Returns a new tensor (B, width)."""
        ...

    def learn(
        self, source: Tensor, delta: Tensor, *, share: float, momentum: float, rate: float, weight_cost: float
    ) -> None:
        """Climb: v ← `momentum` v + `share` G, then W ← W + `rate` (v - `weight_cost` W), with G = sourceᵀ · delta.

        `source` is (R, fan_in) and `delta` (R, width), what each row asks of the activities. Neither is changed:
        weights from other sources may learn from the same.
        """
        ...

    def fields(self, n: int, input_shape: tuple[int, ...]) -> Tensor:
        """The weights of `n` units as images (n, height, width), in colour (n, height, width, 3), of an image below."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Learning:
    """Weights with their velocities, and a copy rounded for the forward products."""

    def __init__(self, weight: Tensor, products: torch.dtype) -> None:
        self.weight = weight
        self.velocity = torch.zeros_like(weight)
        self.rounded = weight if products == weight.dtype else weight.to(products)
        self._copies_factors = copies_factors(products, weight.device)

    def learn(
        self, source: Tensor, delta: Tensor, *, share: float, momentum: float, rate: float, weight_cost: float
    ) -> None:
        if self._copies_factors:
            source, delta = source.to(self.rounded.dtype), delta.to(self.rounded.dtype)
        with rounding_factors(self.rounded.dtype):
            for part in self._gradient_in_parts(source, delta, momentum, share):
                # At once, while the part's velocities are in the processor's caches.
                momentum_step(self.weight[part], self.velocity[part], rate, weight_cost)
                if self.rounded is not self.weight:
                    self.rounded[part].copy_(self.weight[part])

    def _gradient_in_parts(self, source: Tensor, delta: Tensor, momentum: float, share: float) -> Iterator[slice]:
        """Velocity ← momentum · velocity + share · sourceᵀ · delta, whose precision need not be the velocity's.

        Yields which part of the velocities, in their first dimension, has just been done, until all are.
        """
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        return {"weight": self.weight, "velocity": self.velocity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weight.copy_(state["weight"])
        self.velocity.copy_(state["velocity"])
        if self.rounded is not self.weight:
            self.rounded.copy_(self.weight)


class Dense(Learning):
    """Every unit sees all units of the source.

    Args:
        weight: (fan_in, width), kept and updated in its own precision (fp32).
        products: precision of the matrix products, of gradients see `copies_factors`; where it is not `weight`'s, a
            rounded copy is kept.
    """

    @property
    def fan_in(self) -> int:
        return self.weight.shape[0]

    @property
    def width(self) -> int:
        return self.weight.shape[1]

    def product(self, source: Tensor, onto: Tensor) -> Tensor:
        if self.rounded is self.weight:
            return torch.addmm(onto, source, self.weight)
        return (source.to(self.rounded.dtype) @ self.rounded).to(onto.dtype).add_(onto)

    def _gradient_in_parts(self, source: Tensor, delta: Tensor, momentum: float, share: float) -> Iterator[slice]:
        n_parts = 1 if self.weight.is_cuda else math.ceil(self.weight.numel() / _LEARNED)
        at_once = math.ceil(self.fan_in / n_parts)
        for first in range(0, self.fan_in, at_once):
            part = slice(first, first + at_once)
            add_product(self.velocity[part], source[:, part].t(), delta, beta=momentum, alpha=share)
            yield part

    def fields(self, n: int, input_shape: tuple[int, ...]) -> Tensor:
        return self.weight[:, :n].t().reshape(-1, *input_shape)


def add_product(to: Tensor, left: Tensor, right: Tensor, *, beta: float, alpha: float) -> None:
    """`to` ← `beta` · `to` + `alpha` · `left` · `right`, matrices or as many of each; `to` may be the more precise."""
    if left.dtype != to.dtype:
        to.mul_(beta).add_(left @ right, alpha=alpha)
    elif to.dim() == 2:
        to.addmm_(left, right, beta=beta, alpha=alpha)
    else:
        to.baddbmm_(left, right, beta=beta, alpha=alpha)

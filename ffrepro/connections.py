"""The weights into a layer: from every unit below, or from a field of them.

Each kind turns normalised activities below into activities, and takes a step of its own momentum up a gradient
that is an outer product; no autograd.
"""

from typing import Any, Protocol

import torch
from torch import Tensor

from ffrepro.optimizer.momentum import momentum_step


class Connections(Protocol):
    """What a hidden layer needs of its weights."""

    bias: Tensor

    @property
    def width(self) -> int:
        """How many units they feed."""
        ...

    def __call__(self, below: Tensor) -> Tensor:
        """Normalised activities of the layer below (B, fan_in) -> activities (B, width)."""
        ...

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
        ...

    def fields(self, n: int, input_shape: tuple[int, int]) -> Tensor:
        """The weights of `n` units as images (n, height, width), where what lies below is an image."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class _Weights:
    """Weights with their biases, velocities, and a copy rounded for the forward products."""

    def __init__(self, weight: Tensor, width: int, products: torch.dtype) -> None:
        self.weight = weight
        self.bias = weight.new_zeros(width)
        self.weight_velocity = torch.zeros_like(weight)
        self.bias_velocity = torch.zeros_like(self.bias)
        self._rounded = weight if products == weight.dtype else weight.to(products)

    @property
    def width(self) -> int:
        return len(self.bias)

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
        share = (1 - momentum) / batch_size
        self._add_gradient(below, delta, momentum, share)
        self.bias_velocity.mul_(momentum).add_(bias_gradient, alpha=share)
        momentum_step(self.weight, self.weight_velocity, rate, weight_cost)
        momentum_step(self.bias, self.bias_velocity, rate, 0.0)
        if self._rounded is not self.weight:
            self._rounded.copy_(self.weight)

    def _add_gradient(self, below: Tensor, delta: Tensor, momentum: float, share: float) -> None:
        """Velocity ← momentum · velocity + share · belowᵀ · delta."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("weight", "bias", "weight_velocity", "bias_velocity")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            getattr(self, name).copy_(value)
        if self._rounded is not self.weight:
            self._rounded.copy_(self.weight)


class Dense(_Weights):
    """Every unit sees all units below: y = relu(below · W + b).

    Args:
        weight: (fan_in, width), kept and updated in its own precision (fp32).
        products: precision of the forward matrix products; where it is not `weight`'s, a rounded copy is kept.
    """

    def __init__(self, weight: Tensor, products: torch.dtype) -> None:
        super().__init__(weight, weight.shape[1], products)

    def __call__(self, below: Tensor) -> Tensor:
        if self._rounded is self.weight:
            return torch.addmm(self.bias, below, self.weight).relu_()
        return self.product(below).add_(self.bias).relu_()

    def product(self, below: Tensor, first: int = 0) -> Tensor:
        """`below` (B, n) times the weights of n inputs, from number `first` on: (B, width)."""
        rounded = self._rounded[first : first + below.shape[1]]
        return (below.to(rounded.dtype) @ rounded).to(self.bias.dtype)

    def _add_gradient(self, below: Tensor, delta: Tensor, momentum: float, share: float) -> None:
        if self.weight.is_cuda and self._rounded is not self.weight:
            gradient = below.to(self._rounded.dtype).t() @ delta.to(self._rounded.dtype)
            self.weight_velocity.mul_(momentum).add_(gradient, alpha=share)
        else:
            self.weight_velocity.addmm_(below.t(), delta, beta=momentum, alpha=share)

    def fields(self, n: int, input_shape: tuple[int, int]) -> Tensor:
        height, width = input_shape
        return self.weight[: height * width, :n].t().reshape(-1, height, width)


class LocalFields(_Weights):
    """Each location of a grid has channels of its own, which see a square field below; no weights are shared.

    What lies below is a map (height, width, channels), flattened; so is what is above: (rows, columns, channels).

    Args:
        weight: (n_locations, field_size² · channels below, channels), in the order of the maps.
        below: the shape of the map below.
        field: side of a field.
        stride: from one field to the next.
        products: see `Dense`.
    """

    def __init__(
        self, weight: Tensor, below: tuple[int, int, int], *, field: int, stride: int, products: torch.dtype
    ) -> None:
        super().__init__(weight, weight.shape[0] * weight.shape[2], products)
        self.below = below
        self.field = field
        self.stride = stride

    def windows(self, below: Tensor) -> Tensor:
        """What each location sees, (n_locations, B, fan_in), of maps (B, height · width · channels)."""
        maps = below.view(-1, *self.below)
        fields = maps.unfold(1, self.field, self.stride).unfold(2, self.field, self.stride)
        # (B, rows, columns, channels, y, x) -> (rows, columns, B, y, x, channels)
        return fields.permute(1, 2, 0, 4, 5, 3).reshape(self.weight.shape[0], len(maps), self.weight.shape[1])

    def __call__(self, below: Tensor) -> Tensor:
        seen = self.windows(below.to(self._rounded.dtype))
        activities = torch.bmm(seen, self._rounded).transpose(0, 1).reshape(len(below), self.width)
        return activities.to(self.bias.dtype).add_(self.bias).relu_()

    def _add_gradient(self, below: Tensor, delta: Tensor, momentum: float, share: float) -> None:
        asked = delta.view(len(delta), self.weight.shape[0], self.weight.shape[2]).transpose(0, 1)
        if self.weight.is_cuda and self._rounded is not self.weight:
            dtype = self._rounded.dtype
            gradient = torch.bmm(self.windows(below.to(dtype)).transpose(1, 2), asked.to(dtype))
            self.weight_velocity.mul_(momentum).add_(gradient, alpha=share)
        else:
            self.weight_velocity.baddbmm_(self.windows(below).transpose(1, 2), asked, beta=momentum, alpha=share)

    def fields(self, n: int, input_shape: tuple[int, int]) -> Tensor:
        # As many of each location as there is room for, location after location.
        each = -(-n // self.weight.shape[0])
        shown = self.weight[:, :, :each].transpose(1, 2).reshape(-1, self.weight.shape[1])[:n]
        return shown.view(-1, self.field, self.field)

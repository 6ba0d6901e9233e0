"""Local Q and C maps: the effect of one wide layer on mean squares and cosines.

Sources: DKS, section 4; TAT, section 4, for Leaky ReLU.

Consider a wide layer with activation function φ, weights of variance 1 / fan_in and no biases. The Q map takes the mean
square q of its input to that of its output: Q(q) = E[φ(√q z)²], z ~ N(0, 1). For two inputs of mean square 1, the C map
takes their cosine c to that of the outputs: C(c) = E[φ(z₁) φ(z₂)] / Q(1), where z₁ and z₂ are standard normal with
correlation c. All maps are computed in float64.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Activation = Callable[[Tensor], Tensor]

_NODES = 200  # of the quadrature; integrates functions as smooth as tanh to 1e-12


@dataclass(frozen=True)
class LeakyRelu:
    """`scale` · x for x > 0, and `scale` · α · x otherwise."""

    alpha: float
    scale: float

    def __call__(self, x: Tensor) -> Tensor:
        activities = functional.leaky_relu(x, self.alpha)
        return activities if self.scale == 1 else activities.mul_(self.scale)  # in place: `activities` is a new tensor


def leaky_relu(alpha: float) -> LeakyRelu:
    """Leaky ReLU with scale √(2 / (1 + α²)), whose Q map is the identity; √2 · ReLU for α = 0."""
    return LeakyRelu(alpha, math.sqrt(2 / (1 + alpha**2)))


def leaky_relu_c_map(c: Tensor, alpha: float) -> Tensor:
    """The C map of a Leaky ReLU of any scale, in closed form, at cosines `c` of any shape."""
    c = c.double().clamp(-1, 1)
    return c + (1 - alpha) ** 2 / (math.pi * (1 + alpha**2)) * ((1 - c * c).sqrt() - c * c.arccos())


def q_map(activation: Activation, q: Tensor) -> Tensor:
    """The Q map of a smooth activation function, by quadrature, at mean squares `q` of any shape."""
    z, weights = gauss_hermite()
    return activation(q.double().sqrt().unsqueeze(-1) * z).square() @ weights


def c_map(activation: Activation, c: Tensor) -> Tensor:
    """The C map of a smooth activation function, by quadrature, at cosines `c` of any shape."""
    z, weights = gauss_hermite()
    c = c.double().clamp(-1, 1)[..., None, None]
    conditional = activation(c * z[:, None] + (1 - c * c).sqrt() * z) @ weights  # E[φ(z₂) | z₁]
    return conditional @ (weights * activation(z)) / q_map(activation, torch.ones(()))


@cache
def gauss_hermite() -> tuple[Tensor, Tensor]:
    """Nodes (n,) and weights (n,) of the quadrature E[f(z)] ≈ Σ weights · f(nodes), z ~ N(0, 1)."""
    z, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    return torch.from_numpy(z), torch.from_numpy(weights / weights.sum())

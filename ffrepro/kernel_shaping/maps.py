"""Local Q and C maps: what one wide layer does to lengths and angles.

Sources: DKS, section 4; for Leaky ReLU TAT, section 4.

With weights of variance 1 / fan_in and no biases, a wide layer of units φ takes inputs of mean square q to outputs of
mean square Q(q) = E[φ(√q z)²], z ~ N(0, 1). Two inputs of mean square 1 and cosine c it takes to outputs of cosine
C(c) = E[φ(z₁) φ(z₂)] / Q(1), where z₁ and z₂ are normal with correlation c. Everything is in float64.
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

# Of the Gauss-Hermite quadrature: functions as smooth as tanh are integrated to 1e-12.
_NODES = 200


@dataclass(frozen=True)
class LeakyRelu:
    """`scale` times x where x > 0 and α x elsewhere."""

    alpha: float
    scale: float

    def __call__(self, x: Tensor) -> Tensor:
        activities = functional.leaky_relu(x, self.alpha)
        return activities if self.scale == 1 else activities.mul_(self.scale)  # nobody else has them


def leaky_relu(alpha: float) -> LeakyRelu:
    """√(2 / (1 + α²)) times x where x > 0 and α x elsewhere: its Q map is the identity; √2 ReLU for α = 0."""
    return LeakyRelu(alpha, math.sqrt(2 / (1 + alpha**2)))


def leaky_relu_c(c: Tensor, alpha: float) -> Tensor:
    """The C map of `leaky_relu(alpha)` in closed form, of cosines of any shape."""
    c = c.double().clamp(-1, 1)
    return c + (1 - alpha) ** 2 / (math.pi * (1 + alpha**2)) * ((1 - c * c).sqrt() - c * c.arccos())


def q_map(activation: Activation, q: Tensor) -> Tensor:
    """Q(q) of mean squares of any shape, by quadrature: for smooth activations."""
    z, weights = nodes()
    return activation(q.double().sqrt().unsqueeze(-1) * z).square() @ weights


def c_map(activation: Activation, c: Tensor) -> Tensor:
    """C(c) of cosines of any shape, by quadrature: for smooth activations."""
    z, weights = nodes()
    c = c.double().clamp(-1, 1)[..., None, None]
    other = activation(c * z[:, None] + (1 - c * c).sqrt() * z) @ weights  # E[φ(z₂) | z₁]
    return other @ (weights * activation(z)) / q_map(activation, torch.ones(()))


@cache
def nodes() -> tuple[Tensor, Tensor]:
    """Points (n,) and weights (n,) of E[f(z)], z ~ N(0, 1)."""
    z, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    return torch.from_numpy(z), torch.from_numpy(weights / weights.sum())

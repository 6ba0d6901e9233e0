"""Activation functions tailored to a network.

Sources: for Leaky ReLU TAT, section 4.1; for smooth activations TAT, section 4.2, and DKS, section 7; for the edge of
chaos S. Schoenholz, J. Gilmer, S. Ganguli, J. Sohl-Dickstein, Deep Information Propagation, arXiv 1611.01232.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.optimize
import torch
from torch import Tensor

from ffrepro.errors import UserError
from ffrepro.kernel_shaping.maps import Activation, leaky_relu_c, nodes
from ffrepro.kernel_shaping.network import Network, cosine, curvature, largest, slope

# The bisection halves [0, 1] so often; the conditions on a smooth activation hold to this part of what is wanted.
_HALVINGS = 60
_LARGEST_LOG_ALPHA = 5.0  # the search may try what no activation needs
_SOLVED = 1e-6


def tailored_leaky_relu(network: Network, eta: float) -> float:
    """The α of the Leaky ReLU with which the maximal C map of the network's subnetworks has C(0) = η, `eta`.

    Orthogonal inputs then leave the network with that cosine.

    Raises:
        UserError: `eta` is none of a cosine's values between 0 and 1, or not even ReLU, α = 0, gets so far.
    """
    if not 0 < eta < 1:
        raise UserError(f"architecture.activation.eta is {eta}: expected more than 0 and less than 1.")

    def global_c(alpha: float) -> float:
        zero = torch.zeros((), dtype=torch.float64)
        return largest(lambda part: cosine(part, lambda c: leaky_relu_c(c, alpha), zero).item(), network)

    farthest = global_c(0.0)
    if farthest < eta:
        n = sum(part.activations for part in network)
        raise UserError(
            f"architecture.activation.eta is {eta}, and {n} activations reach {farthest:.4f} at most, with ReLU itself "
            "(alpha = 0): expected less than that, more activations, a smaller shortcut weight, or "
            "architecture.activation.alpha=0."
        )
    low, high = 0.0, 1.0  # global_c falls from `farthest` to 0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if global_c(middle) > eta else (low, middle)
    return (low + high) / 2


@dataclass(frozen=True)
class Tailored:
    """x -> γ (φ(α x + β) + δ)."""

    activation: Activation
    alpha: float
    beta: float
    gamma: float
    delta: float

    def __call__(self, x: Tensor) -> Tensor:
        return self.gamma * (self.activation(self.alpha * x + self.beta) + self.delta)


class Moments(NamedTuple):
    """Of the maps of an activation function."""

    q: float  # Q(1)
    q_slope: float  # Q'(1)
    mean: float  # E[φ(z)], whose square over Q(1) is C(0)
    c_slope: float  # C'(1)
    c_curvature: float  # C''(1)


def moments(activation: Activation) -> Moments:
    """By quadrature, with the derivatives of `activation` from autograd: for smooth activations."""
    z, weights = nodes()
    x = z.clone().requires_grad_()
    value = activation(x)
    (first,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    value, first = value.detach(), first.detach()
    q = (weights @ value.square()).item()
    return Moments(
        q=q,
        q_slope=(weights @ (value * first * z)).item(),
        mean=(weights @ value).item(),
        c_slope=(weights @ first.square()).item() / q,
        c_curvature=(weights @ second.square()).item() / q,
    )


def tailored_smooth(activation: Activation, network: Network, tau: float) -> Tailored:
    """TAT: Q(1) = Q'(1) = C'(1) = 1, and C''(1) of the network is τ, the most of all its subnetworks.

    Raises:
        UserError: no γ (φ(α x + β) + δ) does that.
    """
    if tau <= 0:
        raise UserError(f"architecture.activation.tau is {tau}: expected more than 0.")
    local = tau / largest(lambda part: curvature(part, 1.0), network)
    return _solved(
        activation,
        # In units of what is wanted, which is small in deep networks.
        lambda m: ((m.q_slope - 1) / local, (m.c_slope - 1) / local, m.c_curvature / local - 1),
        f"tau = {tau}",
    )


def shaped(activation: Activation, network: Network, zeta: float) -> Tailored:
    """DKS: Q(1) = Q'(1) = 1, C(0) = 0, and C'(1) of the network is ζ, the most of all its subnetworks.

    Raises:
        UserError: no γ (φ(α x + β) + δ) does that.
    """
    if zeta <= 1:
        raise UserError(
            f"architecture.activation.zeta is {zeta}: expected more than 1, the slope of a network of linear layers."
        )

    def global_slope(local: float) -> float:
        return largest(lambda part: slope(part, local), network)

    most = 2.0
    while global_slope(most) < zeta:
        most *= 2
    local = scipy.optimize.brentq(lambda s: global_slope(s) - zeta, 1.0, most, xtol=1e-15)
    excess = local - 1
    return _solved(
        activation,
        lambda m: ((m.q_slope - 1) / excess, m.mean / excess, (m.c_slope - local) / excess),
        f"zeta = {zeta}",
    )


def edge_of_chaos(activation: Activation, q: float) -> tuple[float, float]:
    """Standard deviations of weights, times √fan_in, and of biases with which lengths stay at mean square `q`.

    Small differences between inputs then neither grow nor vanish: C'(1) = 1.

    Raises:
        UserError: the biases would need a negative variance.
    """
    found = moments(lambda x: activation(math.sqrt(q) * x))
    # C'(1) = σ_w² E[φ'(√q z)²] = 1; `moments` has the derivative by z, √q times the activation's own.
    weight_variance = q / (found.c_slope * found.q)
    bias_variance = q - weight_variance * found.q
    if bias_variance < 0:
        raise UserError(f"q is {q}: this activation has no edge of chaos there, whose biases would need a variance of "
                        f"{bias_variance:.3g}.")  # fmt: skip
    return math.sqrt(weight_variance), math.sqrt(bias_variance)


def _solved(activation: Activation, conditions: Callable[[Moments], Sequence[float]], wanted: str) -> Tailored:
    """The activation that meets three `conditions` besides Q(1) = 1, by which γ is given."""

    def made(unknown: np.ndarray, /) -> Tailored:
        log_alpha, beta, delta = unknown.tolist()
        alpha = math.exp(min(log_alpha, _LARGEST_LOG_ALPHA))
        plain = Tailored(activation, alpha, beta, 1.0, delta)
        return Tailored(activation, alpha, beta, moments(plain).q ** -0.5, delta)

    def missed(unknown: np.ndarray, /) -> Sequence[float]:
        return conditions(moments(made(unknown)))

    for alpha in (0.1, 0.3, 0.03, 1.0):
        for beta in (0.5, -0.5, 1.0, -1.0, 0.0, 2.0, -2.0):
            # A small α makes it nearly linear about β, and there its mean is 0.
            middle = activation(torch.tensor(beta, dtype=torch.float64)).item()
            found = scipy.optimize.root(missed, (math.log(alpha), beta, -middle), tol=1e-12)
            if found.success and max(map(abs, missed(found.x))) < _SOLVED:
                return made(found.x)
    raise UserError(f"this activation cannot be tailored to {wanted} in this network: expected another value.")

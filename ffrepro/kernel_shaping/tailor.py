"""Activation functions tailored to a network.

Sources: TAT, section 4.1, for Leaky ReLU; TAT, section 4.2, and DKS, section 7, for smooth activation functions.
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
from ffrepro.kernel_shaping.maps import Activation, gauss_hermite, leaky_relu_c_map
from ffrepro.kernel_shaping.network import Network, global_curvature, global_map, global_slope, max_over_subnetworks

_BISECTIONS = 60
_MAX_LOG_ALPHA = 5.0  # limits the trial values of the root search; solutions are far below it
_TOLERANCE = 1e-6  # of the conditions for a smooth activation function, relative to their targets


def tailored_alpha(network: Network, eta: float) -> float:
    """TAT: the α of the Leaky ReLU for which the maximum of C(0) over all subnetworks is η.

    No subnetwork then takes orthogonal inputs to a cosine above η. Raises UserError if `eta` is not between 0 and 1, or
    is more than the network has with ReLU, α = 0.
    """
    if not 0 < eta < 1:
        raise UserError(f"architecture.activation.eta is {eta}: expected more than 0 and less than 1.")

    def max_c(alpha: float) -> float:
        """Decreases with α, from its value for ReLU to 0."""
        zero = torch.zeros((), dtype=torch.float64)
        return max_over_subnetworks(
            lambda part: global_map(part, lambda c: leaky_relu_c_map(c, alpha), zero).item(), network
        )

    reachable = max_c(0.0)
    if reachable < eta:
        n = sum(part.activations for part in network)
        raise UserError(
            f"architecture.activation.eta is {eta}, and {n} activations reach {reachable:.4f} at most, with ReLU "
            "itself (alpha = 0): expected less than that, more activations, a smaller shortcut weight, or "
            "architecture.activation.alpha=0."
        )
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if max_c(middle) > eta else (low, middle)
    return (low + high) / 2


@dataclass(frozen=True)
class TransformedActivation:
    """x -> γ (φ(α x + β) + δ)."""

    activation: Activation
    alpha: float
    beta: float
    gamma: float
    delta: float

    def __call__(self, x: Tensor) -> Tensor:
        return self.gamma * (self.activation(self.alpha * x + self.beta) + self.delta)


class Moments(NamedTuple):
    """The local maps of an activation function φ at 1, with their derivatives, and its mean."""

    q: float  # Q(1)
    q_slope: float  # Q'(1)
    mean: float  # E[φ(z)]; C(0) is its square over Q(1)
    c_slope: float  # C'(1)
    c_curvature: float  # C''(1)


def moments(activation: Activation) -> Moments:
    """The moments of a smooth activation function, by quadrature; its derivatives come from autograd."""
    z, weights = gauss_hermite()
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


def tailored_smooth(activation: Activation, network: Network, tau: float) -> TransformedActivation:
    """TAT: local maps with Q(1) = Q'(1) = C'(1) = 1; the maximum of C''(1) over all subnetworks is τ.

    Raises UserError if no γ (φ(α x + β) + δ) satisfies the conditions.
    """
    if tau <= 0:
        raise UserError(f"architecture.activation.tau is {tau}: expected more than 0.")
    local_curvature = tau / max_over_subnetworks(lambda part: global_curvature(part, 1.0), network)
    return _solve(
        activation,
        # All conditions are relative to the local C''(1), which is small in deep networks.
        lambda m: (
            (m.q_slope - 1) / local_curvature,
            (m.c_slope - 1) / local_curvature,
            m.c_curvature / local_curvature - 1,
        ),
        f"tau = {tau}",
    )


def shaped_smooth(activation: Activation, network: Network, zeta: float) -> TransformedActivation:
    """DKS: local maps with Q(1) = Q'(1) = 1 and C(0) = 0; the maximum of C'(1) over all subnetworks is ζ.

    Raises UserError if no γ (φ(α x + β) + δ) satisfies the conditions.
    """
    if zeta <= 1:
        raise UserError(
            f"architecture.activation.zeta is {zeta}: expected more than 1, the slope of a network of linear layers."
        )

    def max_slope(local_slope: float) -> float:
        return max_over_subnetworks(lambda part: global_slope(part, local_slope), network)

    upper = 2.0
    while max_slope(upper) < zeta:
        upper *= 2
    local_slope = scipy.optimize.brentq(lambda slope: max_slope(slope) - zeta, 1.0, upper, xtol=1e-15)
    excess = local_slope - 1
    return _solve(
        activation,
        lambda m: ((m.q_slope - 1) / excess, m.mean / excess, (m.c_slope - local_slope) / excess),
        f"zeta = {zeta}",
    )


def _solve(
    activation: Activation, conditions: Callable[[Moments], Sequence[float]], target: str
) -> TransformedActivation:
    """Find α, β and δ for which the three `conditions` are 0; Q(1) = 1 determines γ."""

    def transformed(unknowns: np.ndarray, /) -> TransformedActivation:
        log_alpha, beta, delta = unknowns.tolist()
        alpha = math.exp(min(log_alpha, _MAX_LOG_ALPHA))
        unscaled = TransformedActivation(activation, alpha, beta, 1.0, delta)
        return TransformedActivation(activation, alpha, beta, moments(unscaled).q ** -0.5, delta)

    def residuals(unknowns: np.ndarray, /) -> Sequence[float]:
        return conditions(moments(transformed(unknowns)))

    for alpha in (0.1, 0.3, 0.03, 1.0):
        for beta in (0.5, -0.5, 1.0, -1.0, 0.0, 2.0, -2.0):
            # Start from mean 0: with a small α, φ(α x + β) is nearly linear, with mean φ(β).
            mean = activation(torch.tensor(beta, dtype=torch.float64)).item()
            solution = scipy.optimize.root(residuals, (math.log(alpha), beta, -mean), tol=1e-12)
            if solution.success and max(map(abs, residuals(solution.x))) < _TOLERANCE:
                return transformed(solution.x)
    raise UserError(f"this activation cannot be tailored to {target} in this network: expected another value.")

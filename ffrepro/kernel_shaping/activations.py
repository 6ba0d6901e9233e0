"""Choices of an activation function, each made for the network that it will stand in."""

import math
from typing import Protocol

import torch
from torch.nn.functional import gelu, silu, softplus

from ffrepro.errors import UserError
from ffrepro.kernel_shaping.maps import Activation, LeakyRelu, leaky_relu
from ffrepro.kernel_shaping.network import Network
from ffrepro.kernel_shaping.tailor import shaped, tailored_leaky_relu, tailored_smooth

_SMOOTH: dict[str, Activation] = {
    "tanh": torch.tanh,
    "softplus": softplus,
    "silu": silu,
    "gelu": gelu,
    "sigmoid": torch.sigmoid,
}


class ActivationChoice(Protocol):
    """Makes the activation function of all layers of a network."""

    def made_for(self, network: Network | None) -> Activation:
        """None is a network that theory says nothing of. Raises UserError where there is no such function for it."""
        ...


class Relu:
    """ReLU times `scale`: with √2, for `scale` None, it is on the edge of chaos, and lengths stay."""

    def __init__(self, scale: float | None) -> None:
        if scale is not None and not 0 < scale < math.inf:
            raise UserError(f"architecture.activation.scale is {scale}: expected more than 0, or null for √2.")
        self.scale = scale

    def made_for(self, network: Network | None) -> Activation:
        return leaky_relu(0.0) if self.scale is None else LeakyRelu(0.0, self.scale)


class TailoredRelu:
    """TAT's Leaky ReLU, whose network takes orthogonal inputs to a cosine of `eta`.

    `alpha` None: as tailored to the network; else this one, for networks of so few activations that even ReLU does not
    reach `eta`.
    """

    def __init__(self, eta: float, alpha: float | None) -> None:
        if alpha is not None and not 0 <= alpha <= 1:
            raise UserError(f"architecture.activation.alpha is {alpha}: expected 0 (ReLU) to 1 (linear), or null.")
        self.eta = eta
        self.alpha = alpha

    def made_for(self, network: Network | None) -> Activation:
        return leaky_relu(tailored_leaky_relu(_known(network), self.eta) if self.alpha is None else self.alpha)


class TailoredSmooth:
    """TAT's smooth activation: the network's C''(1) is `tau`."""

    def __init__(self, name: str, tau: float) -> None:
        self.activation = _smooth(name)
        self.tau = tau

    def made_for(self, network: Network | None) -> Activation:
        return tailored_smooth(self.activation, _known(network), self.tau)


class ShapedSmooth:
    """DKS's smooth activation: the network's C'(1) is `zeta`."""

    def __init__(self, name: str, zeta: float) -> None:
        self.activation = _smooth(name)
        self.zeta = zeta

    def made_for(self, network: Network | None) -> Activation:
        return shaped(self.activation, _known(network), self.zeta)


def _known(network: Network | None) -> Network:
    if network is None:
        raise UserError(
            "architecture.shortcut_weight is null, a plain sum, with which lengths grow, and no activation can be "
            "tailored to the net: expected 0 to 1, or architecture.activation=relu."
        )
    return network


def _smooth(name: str) -> Activation:
    if name not in _SMOOTH:
        raise UserError(f"architecture.activation.name is {name!r}: expected one of {', '.join(_SMOOTH)}.")
    return _SMOOTH[name]

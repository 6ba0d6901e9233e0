"""Activation functions of a config. Those of TAT and DKS depend on the network."""

import math
from typing import Protocol

import torch
from torch.nn.functional import gelu, silu, softplus

from ffrepro.errors import UserError
from ffrepro.kernel_shaping.maps import Activation, LeakyRelu, leaky_relu
from ffrepro.kernel_shaping.network import Network
from ffrepro.kernel_shaping.tailor import shaped_smooth, tailored_alpha, tailored_smooth

_SMOOTH: dict[str, Activation] = {
    "tanh": torch.tanh,
    "softplus": softplus,
    "silu": silu,
    "gelu": gelu,
    "sigmoid": torch.sigmoid,
}


class ActivationChoice(Protocol):
    """Makes the activation function for all layers of a network."""

    def made_for(self, network: Network | None) -> Activation:
        """The activation function for `network`; None stands for a network without Q and C maps.

        Raises:
            UserError: no activation function of this kind satisfies its conditions in `network`.
        """
        ...


class Relu:
    """ReLU times `scale`; None stands for √2, the edge of chaos, where mean squares stay constant."""

    def __init__(self, scale: float | None) -> None:
        if scale is not None and not 0 < scale < math.inf:
            raise UserError(f"architecture.activation.scale is {scale}: expected more than 0, or null for √2.")
        self.scale = scale

    def made_for(self, network: Network | None) -> Activation:
        return leaky_relu(0.0) if self.scale is None else LeakyRelu(0.0, self.scale)


class TailoredRelu:
    """TAT's Leaky ReLU: the maximum of C(0) over all subnetworks is `eta`.

    With `alpha` None the network determines α. A given `alpha` serves networks of so few activations that even ReLU
    does not reach `eta`.
    """

    def __init__(self, eta: float, alpha: float | None) -> None:
        if alpha is not None and not 0 <= alpha <= 1:
            raise UserError(f"architecture.activation.alpha is {alpha}: expected 0 (ReLU) to 1 (linear), or null.")
        self.eta = eta
        self.alpha = alpha

    def made_for(self, network: Network | None) -> Activation:
        return leaky_relu(tailored_alpha(_required(network), self.eta) if self.alpha is None else self.alpha)


class TailoredSmooth:
    """TAT's smooth activation function: the maximum of C''(1) over all subnetworks is `tau`."""

    def __init__(self, name: str, tau: float) -> None:
        self.activation = _smooth(name)
        self.tau = tau

    def made_for(self, network: Network | None) -> Activation:
        return tailored_smooth(self.activation, _required(network), self.tau)


class ShapedSmooth:
    """DKS's smooth activation function: the maximum of C'(1) over all subnetworks is `zeta`."""

    def __init__(self, name: str, zeta: float) -> None:
        self.activation = _smooth(name)
        self.zeta = zeta

    def made_for(self, network: Network | None) -> Activation:
        return shaped_smooth(self.activation, _required(network), self.zeta)


def _required(network: Network | None) -> Network:
    if network is None:
        raise UserError(
            "architecture.shortcut_weight is null, so mean squares grow with every sum, and no activation can be "
            "tailored to the network: expected 0 to 1, or architecture.activation=relu."
        )
    return network


def _smooth(name: str) -> Activation:
    if name not in _SMOOTH:
        raise UserError(f"architecture.activation.name is {name!r}: expected one of {', '.join(_SMOOTH)}.")
    return _SMOOTH[name]

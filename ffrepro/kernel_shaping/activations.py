"""Activation functions of a config. Those of TAT and DKS depend on the network."""

import math
from dataclasses import dataclass
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
        """For a `network` with Q and C maps, or None. Raises UserError if no such function satisfies its conditions."""


@dataclass
class Relu:
    """ReLU times `scale`; None stands for √2, the edge of chaos, where mean squares stay constant."""

    scale: float | None

    def __post_init__(self) -> None:
        if self.scale is not None and not 0 < self.scale < math.inf:
            raise UserError(f"architecture.activation.scale is {self.scale}: expected more than 0, or null for √2.")

    def made_for(self, network: Network | None) -> Activation:
        return leaky_relu(0.0) if self.scale is None else LeakyRelu(0.0, self.scale)


@dataclass
class TailoredRelu:
    """TAT's Leaky ReLU: the maximum of C(0) over all subnetworks is `eta`.

    With `alpha` None the network determines α. A given `alpha` serves networks of so few activations that even ReLU
    does not reach `eta`.
    """

    eta: float
    alpha: float | None

    def __post_init__(self) -> None:
        if self.alpha is not None and not 0 <= self.alpha <= 1:
            raise UserError(f"architecture.activation.alpha is {self.alpha}: expected 0 (ReLU) to 1 (linear), or null.")

    def made_for(self, network: Network | None) -> Activation:
        return leaky_relu(tailored_alpha(_required(network), self.eta) if self.alpha is None else self.alpha)


@dataclass
class TailoredSmooth:
    """TAT's smooth activation function: the maximum of C''(1) over all subnetworks is `tau`."""

    name: str
    tau: float

    def __post_init__(self) -> None:
        self.activation = _smooth(self.name)

    def made_for(self, network: Network | None) -> Activation:
        return tailored_smooth(self.activation, _required(network), self.tau)


@dataclass
class ShapedSmooth:
    """DKS's smooth activation function: the maximum of C'(1) over all subnetworks is `zeta`."""

    name: str
    zeta: float

    def __post_init__(self) -> None:
        self.activation = _smooth(self.name)

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

"""What a built network does to lengths and angles before it is trained, beside what theory says.

Source: DKS, section 4 and its appendix on the networks that were measured; for convolutions whose kernels are 0 but in
their middle each place is a fully connected network of its own.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ffrepro.kernel_shaping.maps import Activation, LeakyRelu, c_map, leaky_relu_c
from ffrepro.kernel_shaping.network import Network, cosine

COSINES = 101  # of which a network's C map is worked out, evenly from -1 to 1


class Signals(NamedTuple):
    """By activation, of what each is given: mean squares, cosines, and the cosines that theory says."""

    q: Tensor
    c: Tensor
    c_theory: Tensor | None


def signals(given: Sequence[Tensor], activation: Activation, *, chain: bool) -> Signals:
    """Of what each activation of a network is `given`, (B, channels, height, width) of pairs of images in turn.

    Theory has the cosines of the first activation's inputs at all places, and `activation` do the rest; what strides
    leave out is taken to be like what they keep. It speaks of a `chain` alone, and of Leaky ReLU, whose cosines do not
    depend on lengths; else there is none of it.
    """
    q = torch.stack([x.square().mean() for x in given])
    cosines = [torch.cosine_similarity(x[0::2], x[1::2], dim=1) for x in given]
    c_theory = None
    if chain and isinstance(activation, LeakyRelu):
        at = cosines[0].double()
        theory = []
        for _ in given:
            theory.append(at.mean())
            at = leaky_relu_c(at, activation.alpha)
        c_theory = torch.stack(theory)
    return Signals(q, torch.stack([one.mean() for one in cosines]), c_theory)


def global_c_map(network: Network, activation: Activation) -> Tensor:
    """The network's C at `COSINES` cosines from -1 to 1."""

    def local(c: Tensor) -> Tensor:
        if isinstance(activation, LeakyRelu):
            return leaky_relu_c(c, activation.alpha)
        return c_map(activation, c)

    return cosine(network, local, torch.linspace(-1, 1, COSINES, dtype=torch.float64))

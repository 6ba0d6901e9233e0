"""Mean squares and cosines in an untrained network, next to its theoretical C map.

Source: DKS, section 4 and its appendix with measured networks. In a convolution whose kernels are 0 except in their
center, each location is a separate fully connected network.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ffrepro.kernel_shaping.maps import Activation, LeakyRelu, c_map, leaky_relu_c_map
from ffrepro.kernel_shaping.network import Network, global_map

COSINES = 101  # number of cosines, evenly spaced from -1 to 1, at which the global C map is computed


class Signals(NamedTuple):
    """Statistics of the inputs of each activation (n_activations,).

    `q` has mean squares, `c` mean cosines of image pairs, and `c_theory` their theoretical values.
    """

    q: Tensor
    c: Tensor
    c_theory: Tensor | None


def signals(inputs: Sequence[Tensor], activation: Activation, *, chain: bool) -> Signals:
    """Measure the inputs (B, channels, height, width) of each activation, where images 2k and 2k + 1 form a pair.

    The theory starts from the cosines at all locations of the first activation's inputs, and applies the C map once per
    activation. It assumes that locations skipped by strides have the same distribution. It needs a `chain` of Leaky
    ReLUs, whose C map does not depend on mean squares; otherwise `c_theory` is None.
    """
    q = torch.stack([x.square().mean() for x in inputs])
    cosines = [torch.cosine_similarity(x[0::2], x[1::2], dim=1) for x in inputs]
    c_theory = None
    if chain and isinstance(activation, LeakyRelu):
        c = cosines[0].double()
        means = []
        for _ in inputs:
            means.append(c.mean())
            c = leaky_relu_c_map(c, activation.alpha)
        c_theory = torch.stack(means)
    return Signals(q, torch.stack([c.mean() for c in cosines]), c_theory)


def global_c_map(network: Network, activation: Activation) -> Tensor:
    """The global C map of a network with this activation function, at `COSINES` cosines from -1 to 1."""

    def local_map(c: Tensor) -> Tensor:
        if isinstance(activation, LeakyRelu):
            return leaky_relu_c_map(c, activation.alpha)
        return c_map(activation, c)

    return global_map(network, local_map, torch.linspace(-1, 1, COSINES, dtype=torch.float64))

"""Nets that kernel shaping has a theory of: their mean squares and cosines before training, and their global C map.

Source: DKS, section 4 and its appendix with measured networks. In a convolution whose kernels are 0 except in their
center, each location is a separate fully connected network.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ffrepro.kernel_shaping.maps import Activation, LeakyRelu, c_map, leaky_relu_c_map
from ffrepro.kernel_shaping.network import Chain, Network, global_map

PAIRS = 256  # of images, whose cosines are followed through a net
COSINES = 101  # number of cosines, evenly spaced from -1 to 1, at which the global C map is computed


class Activated(nn.Module):
    """An activation function as a module, so that its inputs can be observed."""

    def __init__(self, function: Activation) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class ShapedNet(nn.Sequential):
    """Blocks whose `Activated` modules have one function, and the `network` that theory sees, or None."""

    def __init__(self, blocks: Iterable[nn.Module], network: Network | None, activation: Activation) -> None:
        super().__init__(*blocks)
        self.network = network
        self.activation = activation


@torch.no_grad()
def signals_before_training(
    net: nn.Module, outputs: Callable[[Tensor], Tensor], inputs: Tensor
) -> dict[str, np.ndarray]:
    """What an untrained net does to lengths and angles: mean squares and cosines by activation, and its C map.

    `outputs` computes the net's outputs from inputs (N, …), whose successive examples form pairs. The net is left in
    evaluation mode.

    Returns arrays named `signal_q`, `signal_c`, `signal_c_theory` (chains alone) and `c_map`; {} for nets without
    theory.
    """
    inputs = inputs[: len(inputs) // 2 * 2]
    if not isinstance(net, ShapedNet) or net.network is None or not len(inputs):
        return {}
    seen: list[Tensor] = []
    watches = [
        module.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].float()))
        for module in net.modules()
        if isinstance(module, Activated)
    ]
    net.eval()
    outputs(inputs)
    for watch in watches:
        watch.remove()
    chain = all(isinstance(part, Chain) for part in net.network)
    measured = signals(seen, net.activation, chain=chain)
    arrays = {"signal_q": measured.q, "signal_c": measured.c, "signal_c_theory": measured.c_theory}
    arrays["c_map"] = global_c_map(net.network, net.activation)
    return {name: values.float().cpu().numpy() for name, values in arrays.items() if values is not None}


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

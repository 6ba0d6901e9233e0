"""Nets that kernel shaping has a theory of, and their signals before training."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

from ffrepro.kernel_shaping.maps import Activation
from ffrepro.kernel_shaping.network import Chain, Network
from ffrepro.kernel_shaping.signals import global_c_map, signals

PAIRS = 256  # of images, whose cosines are followed through a net


class Activated(nn.Module):
    """An activation function as a module, so that its inputs can be observed."""

    def __init__(self, function: Activation) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class ShapedNet(nn.Sequential):
    """Blocks with one activation function.

    Args:
        blocks: the modules.
        network: the net as kernel shaping sees it; None where theory does not speak of it.
        activation: the function of all `Activated` modules.
    """

    def __init__(self, blocks: Iterable[nn.Module], network: Network | None, activation: Activation) -> None:
        super().__init__(*blocks)
        self.network = network
        self.activation = activation


@torch.no_grad()
def signals_before_training(
    net: nn.Module, outputs: Callable[[Tensor], Tensor], inputs: Tensor
) -> dict[str, np.ndarray]:
    """What an untrained net does to lengths and angles: mean squares and cosines by activation, and its C map.

    Args:
        net: left in evaluation mode.
        outputs: computes the net's outputs from inputs.
        inputs: (N, …); pairs of successive examples are compared.

    Returns:
        Arrays named `signal_q`, `signal_c`, `signal_c_theory` (chains alone) and `c_map`; {} for nets without theory.
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

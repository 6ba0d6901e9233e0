"""Global Q and C maps: the effect of a whole network on mean squares and cosines.

Sources: DKS, sections 5 and 6; TAT, sections 3 and 4.

The global map of a chain composes the local maps of its activations. A convolution does not change q and c values, and
neither does a sum whose squared weights add up to 1. A shortcut with weight w adds w times its input to √(1 - w²) times
the output of its branch. Since the weights of the branch are independent, the q and c values of the sum are averages
with weights w² and 1 - w².
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Chain:
    """Layers in sequence with `activations` activation functions."""

    activations: int


@dataclass(frozen=True)
class Shortcut:
    """A shortcut with weight w, `weight`, around a branch with `activations` activation functions."""

    activations: int
    weight: float


Network = Sequence[Chain | Shortcut]


def global_map(network: Network, local_map: Callable[[Tensor], Tensor], value: Tensor) -> Tensor:
    """The global Q or C map of `network` at q or c values of any shape; `local_map` is that of each activation."""
    for part in network:
        branch = value
        for _ in range(part.activations):
            branch = local_map(branch)
        if isinstance(part, Shortcut):
            branch = part.weight**2 * value + (1 - part.weight**2) * branch
        value = branch
    return value


def global_slope(network: Network, local_slope: float) -> float:
    """C'(1) of the global C map; `local_slope` is C'(1) of each activation."""
    product = 1.0
    for part in network:
        branch = local_slope**part.activations
        product *= branch if isinstance(part, Chain) else part.weight**2 + (1 - part.weight**2) * branch
    return product


def global_curvature(network: Network, local_curvature: float) -> float:
    """C''(1) of the global C map; `local_curvature` is C''(1) of each activation, whose C'(1) must be 1."""
    branch_shares = (1.0 if isinstance(part, Chain) else 1 - part.weight**2 for part in network)
    return local_curvature * sum(part.activations * share for part, share in zip(network, branch_shares, strict=True))


def max_over_subnetworks(function: Callable[[Network], float], network: Network) -> float:
    """The maximum over all subnetworks of `function`: the global C map at 0, its slope or its curvature at 1.

    Only the whole network and its branches need to be compared. Among subnetworks that begin and end between blocks,
    the whole network has the maximum. For the C map at 0: a C map that is convex on [0, 1] with C(1) = 1 and C'(1) ≤ 1
    lies above the diagonal there. For slopes: none is less than 1. A branch can exceed the whole network, because its
    shortcut passes on part of the input unchanged.
    """
    branches = [[Chain(part.activations)] for part in network if isinstance(part, Shortcut) and part.weight < 1]
    return max(map(function, [network, *branches]))

"""Global maps: what a whole network does to lengths and angles, from what each of its activations does.

Sources: DKS, sections 5 and 6; TAT, sections 3 and 4.

Convolutions and sums whose weights' squares add up to 1 leave the maps to the activations: in a chain local maps are
composed, and a shortcut mixes the value before the branch with the one after it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Chain:
    """`activations` one after the other."""

    activations: int


@dataclass(frozen=True)
class Shortcut:
    """w² of the cosine before the branch, 1 - w² of that after its `activations`; w is `weight`."""

    activations: int
    weight: float


Network = Sequence[Chain | Shortcut]


def largest(of: Callable[[Network], float], network: Network) -> float:
    """The most that `of` is in any subnetwork: the maximal C map at 0, the maximal slope, the maximal curvature.

    Of all subnetworks that begin and end between blocks the whole one has the most, since a C map that is convex on
    [0, 1], with C(1) = 1 and C'(1) at most 1, stays above the diagonal there, and since slopes are at least 1. But a
    branch alone may have more than the whole: its shortcut leaves it a share.
    """
    return max(of(one) for one in _subnetworks(network))


def _subnetworks(network: Network) -> Iterator[Network]:
    yield network
    yield from ([Chain(part.activations)] for part in network if isinstance(part, Shortcut) and part.weight < 1)


def cosine(network: Network, local: Callable[[Tensor], Tensor], c: Tensor) -> Tensor:
    """The global C map of inputs' cosines `c` of any shape, where `local` is each activation's."""
    return _through(network, local, c)


def mean_square(network: Network, local: Callable[[Tensor], Tensor], q: Tensor) -> Tensor:
    """The global Q map of inputs' mean squares `q` of any shape, where `local` is each activation's."""
    return _through(network, local, q)


def _through(network: Network, local: Callable[[Tensor], Tensor], value: Tensor) -> Tensor:
    """A shortcut and its branch, whose weights are independent, add up in their squares' shares."""
    for part in network:
        before = value
        for _ in range(part.activations):
            value = local(value)
        if isinstance(part, Shortcut):
            value = part.weight**2 * before + (1 - part.weight**2) * value
    return value


def slope(network: Network, local: float) -> float:
    """C'(1) of the network, where `local` is each activation's."""
    found = 1.0
    for part in network:
        branch = local**part.activations
        found *= branch if isinstance(part, Chain) else part.weight**2 + (1 - part.weight**2) * branch
    return found


def curvature(network: Network, local: float) -> float:
    """C''(1) of the network, where `local` is each activation's and all have slope 1 there."""
    share = (1.0 if isinstance(part, Chain) else 1 - part.weight**2 for part in network)
    return local * sum(part.activations * of_it for part, of_it in zip(network, share, strict=True))

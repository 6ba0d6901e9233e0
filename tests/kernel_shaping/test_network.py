"""Global maps, compared with maps composed by hand, derivatives by autograd and a wide network."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from ffrepro.kernel_shaping.maps import c_map, leaky_relu_c_map, q_map
from ffrepro.kernel_shaping.network import (
    Chain,
    Network,
    Shortcut,
    global_curvature,
    global_map,
    global_slope,
    max_over_subnetworks,
)

NETWORK = [Chain(1), Shortcut(2, 0.5), Shortcut(3, 0.8), Chain(2)]


def relu_c(c: Tensor) -> Tensor:
    return leaky_relu_c_map(c, 0.0)


def test_the_global_map_composes_local_maps_and_averages_at_shortcuts() -> None:
    c = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)
    first = relu_c(c)
    second = 0.25 * first + 0.75 * relu_c(relu_c(first))
    third = 0.64 * second + 0.36 * relu_c(relu_c(relu_c(second)))
    torch.testing.assert_close(global_map(NETWORK, relu_c, c), relu_c(relu_c(third)), rtol=0, atol=1e-15)


def test_a_shortcut_of_weight_1_is_the_identity_and_with_weight_0_a_chain() -> None:
    c = torch.linspace(0, 1, 5, dtype=torch.float64)
    assert torch.equal(global_map([Shortcut(7, 1.0)], relu_c, c), c)
    assert torch.equal(global_map([Shortcut(7, 0.0)], relu_c, c), global_map([Chain(7)], relu_c, c))
    assert global_slope([Shortcut(7, 1.0)], 1.3) == 1
    assert global_curvature([Shortcut(7, 1.0)], 0.2) == 0


def test_the_global_q_map_is_measured_in_a_wide_network() -> None:
    """The tanh network has 2,000 units per layer. A mean square of 2 is far from its fixed points."""
    network: Network = [Chain(2), Shortcut(2, 0.6)]
    generator = torch.Generator().manual_seed(0)

    def after_tanh(x: Tensor) -> Tensor:
        return x.tanh() @ torch.randn(2000, 2000, generator=generator) / 2000**0.5

    x = 2**0.5 * torch.randn(8, 2000, generator=generator)
    x = after_tanh(after_tanh(x))
    x = 0.6 * x + 0.8 * after_tanh(after_tanh(x))
    theory = global_map(network, partial(q_map, torch.tanh), torch.tensor(2.0, dtype=torch.float64))
    assert x.square().mean().item() == pytest.approx(theory.item(), rel=0.02)


def test_slope_and_curvature_are_derivatives_at_1() -> None:
    for local_slope, local_curvature in ((1.0, 0.2), (1.3, 0.0)):

        def local(c: Tensor, first: float = local_slope, second: float = local_curvature) -> Tensor:
            return 1 + first * (c - 1) + second * (c - 1) ** 2 / 2

        c = torch.ones((), dtype=torch.float64, requires_grad=True)
        (first,) = torch.autograd.grad(global_map(NETWORK, local, c), c, create_graph=True)
        assert global_slope(NETWORK, local_slope) == pytest.approx(first.item(), rel=1e-12)
        if local_slope == 1:
            (second,) = torch.autograd.grad(first, c)
            assert global_curvature(NETWORK, local_curvature) == pytest.approx(second.item(), rel=1e-12)


@pytest.mark.parametrize(
    "network", [NETWORK, [Shortcut(3, 0.9)], [Chain(1), Shortcut(9, 0.8), Shortcut(2, 0.0)], [Shortcut(5, 1.0)]]
)
def test_the_maximum_is_over_all_subnetworks_between_blocks_and_all_branches(network: Network) -> None:
    parts = [list(network[a:b]) for a in range(len(network)) for b in range(a + 1, len(network) + 1)]
    parts += [[Chain(part.activations)] for part in network if isinstance(part, Chain) or part.weight < 1]
    zero = torch.zeros((), dtype=torch.float64)

    def softplus_c(c: Tensor) -> Tensor:
        return c_map(torch.nn.functional.softplus, c)

    measures: list[Callable[[Network], float]] = [
        lambda part: global_map(part, relu_c, zero).item(),
        lambda part: global_map(part, softplus_c, zero).item(),
        lambda part: global_slope(part, 1.2),
        lambda part: global_curvature(part, 0.3),
    ]
    for measure in measures:
        assert max_over_subnetworks(measure, network) == pytest.approx(max(map(measure, parts)), abs=1e-15)


def test_a_branch_can_have_the_maximum() -> None:
    zero = torch.zeros((), dtype=torch.float64)
    maximum = max_over_subnetworks(lambda part: global_map(part, relu_c, zero).item(), [Shortcut(3, 0.9)])
    assert maximum == global_map([Chain(3)], relu_c, zero).item() > 0.6
    assert global_map([Shortcut(3, 0.9)], relu_c, zero).item() < 0.12

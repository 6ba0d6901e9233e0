"""Tailored activations: the paper's golden values, the conditions, and the authors' own package as an oracle."""

import math
from typing import Any

import pytest
import torch
from torch.nn.functional import gelu, silu, softplus

from ffrepro.errors import UserError
from ffrepro.kernel_shaping.maps import Activation, c_map, leaky_relu, leaky_relu_c, q_map
from ffrepro.kernel_shaping.network import Chain, Network, Shortcut, cosine, curvature, slope
from ffrepro.kernel_shaping.tailor import (
    edge_of_chaos,
    moments,
    shaped,
    tailored_leaky_relu,
    tailored_smooth,
)

SMOOTH = {"tanh": torch.tanh, "softplus": softplus, "swish": silu, "gelu_exact": gelu, "sigmoid": torch.sigmoid}


def resnet_50(weight: float) -> Network:
    """16 bottlenecks, four of them behind an activation that their shortcut shares; an activation at the end."""
    network: list[Chain | Shortcut] = []
    for blocks in (3, 4, 6, 3):
        network += [Chain(1), Shortcut(2, weight), *[Shortcut(3, weight)] * (blocks - 1)]
    return [*network, Chain(1)]


@pytest.mark.parametrize(
    ("activations", "eta", "alpha"),
    [
        (49, 0.9, 0.4259071946), (100, 0.9, 0.5704395324), (151, 0.9, 0.6386479139),
        (16, 0.8, 0.2898), (16, 0.9, 0.1045), (20, 0.8, 0.348833), (20, 0.9, 0.181380), (32, 0.8, 0.4590),
        (32, 0.9, 0.3202), (32, 0.95, 0.1723), (49, 0.8, 0.544522), (49, 0.95, 0.302693), (64, 0.8, 0.5920),
        (64, 0.9, 0.4843), (64, 0.95, 0.3732), (100, 0.8, 0.662027), (100, 0.95, 0.476331), (151, 0.8, 0.7172),
        (151, 0.95, 0.5578),
    ],
)  # fmt: skip
def test_alpha_of_chains_has_its_golden_value(activations: int, eta: float, alpha: float) -> None:
    digits = len(str(alpha)) - 2
    found = tailored_leaky_relu([Chain(activations)], eta)
    assert found == pytest.approx(alpha, abs=max(0.6 * 10**-digits, 1e-8))
    reached = cosine([Chain(activations)], lambda c: leaky_relu_c(c, found), torch.zeros((), dtype=torch.float64))
    assert reached.item() == pytest.approx(eta, abs=1e-9)


@pytest.mark.parametrize(("depth", "scale"), [(49, 1.30111918), (100, 1.22840424), (151, 1.19188277)])
def test_its_scale_keeps_lengths(depth: int, scale: float) -> None:
    assert leaky_relu(tailored_leaky_relu([Chain(depth)], 0.9)).scale == pytest.approx(scale, abs=1e-8)


@pytest.mark.parametrize(("weight", "alpha"), [(0.5, 0.35725), (0.8, 0.15410)])
def test_alpha_of_the_residual_net_has_its_golden_value(weight: float, alpha: float) -> None:
    assert tailored_leaky_relu(resnet_50(weight), 0.9) == pytest.approx(alpha, abs=6e-6)
    assert tailored_leaky_relu(resnet_50(0.0), 0.9) == pytest.approx(0.4259071946, abs=1e-8)


def test_a_branch_that_reaches_further_than_the_whole_is_what_is_tailored() -> None:
    # Nine tenths of the squares go around 20 activations: the branch has the larger C(0).
    assert tailored_leaky_relu([Shortcut(20, 0.9**0.5)], 0.8) == pytest.approx(0.348833, abs=6e-7)


def test_what_is_out_of_reach_is_said_with_how_far_it_goes() -> None:
    with pytest.raises(UserError, match=r"eta is 0\.9, and 12 activations reach 0\.8971 at most.*expected less"):
        tailored_leaky_relu([Chain(12)], 0.9)
    assert 0 < tailored_leaky_relu([Chain(13)], 0.9) < 0.05
    with pytest.raises(UserError, match="at most"):
        tailored_leaky_relu(resnet_50(0.9), 0.9)
    for eta in (0.0, 1.0, -0.5):
        with pytest.raises(UserError, match=r"eta is .*: expected more than 0 and less than 1"):
            tailored_leaky_relu([Chain(50)], eta)


@pytest.mark.parametrize("network", [[Chain(49)], [Chain(100)], resnet_50(0.5)], ids=["49", "100", "residual"])
@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_activations_meet_their_conditions(name: str, network: Network) -> None:
    tailored = tailored_smooth(SMOOTH[name], network, 0.3)
    found = moments(tailored)
    assert found.q == pytest.approx(1, abs=1e-9)
    assert found.q_slope == pytest.approx(1, abs=1e-6)
    assert found.c_slope == pytest.approx(1, abs=1e-6)
    assert curvature(network, found.c_curvature) == pytest.approx(0.3, abs=1e-5)
    kernel_shaped = shaped(SMOOTH[name], network, 1.5)
    found = moments(kernel_shaped)
    assert found.q == pytest.approx(1, abs=1e-9)
    assert found.q_slope == pytest.approx(1, abs=1e-6)
    assert slope(network, found.c_slope) == pytest.approx(1.5, abs=1e-5)
    zero = torch.zeros((), dtype=torch.float64)
    assert cosine(network, lambda c: c_map(kernel_shaped, c), zero).item() == pytest.approx(0, abs=1e-6)


def test_moments_are_the_maps_and_their_derivatives() -> None:
    def activation(x: torch.Tensor) -> torch.Tensor:
        return 1.3 * softplus(0.8 * x + 0.2) - 0.4

    found, step = moments(activation), 1e-4
    q = q_map(activation, torch.tensor([1 - step, 1, 1 + step], dtype=torch.float64))
    assert found.q == pytest.approx(q[1].item(), rel=1e-12)
    assert found.q_slope == pytest.approx(((q[2] - q[0]) / (2 * step)).item(), rel=1e-6)
    c = c_map(activation, torch.tensor([1, 1 - step, 1 - 2 * step, 0], dtype=torch.float64))
    assert found.mean**2 / found.q == pytest.approx(c[3].item(), rel=1e-9)
    assert found.c_slope == pytest.approx(((3 * c[0] - 4 * c[1] + c[2]) / (2 * step)).item(), rel=1e-5)
    assert found.c_curvature == pytest.approx(((c[0] - 2 * c[1] + c[2]) / step**2).item(), rel=1e-2)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of its search
@pytest.mark.parametrize("name", ["softplus", "swish"])
def test_the_authors_package_finds_activations_of_the_same_maps(name: str) -> None:
    transform = pytest.importorskip("dks.base.activation_transform")

    def through(x: Any, r_fn: Any) -> Any:
        for _ in range(49):
            x = r_fn(x)
        return x

    def subnetwork(x: Any, r_fn: Any) -> Any:
        return through(x, r_fn)

    for method, made in (
        ("TAT", tailored_smooth(SMOOTH[name], [Chain(49)], 0.3)),
        ("DKS", shaped(SMOOTH[name], [Chain(49)], 1.5)),
    ):
        theirs = transform.get_transformed_activations([name], method=method, subnet_max_func=subnetwork)[name]

        def their_activation(x: torch.Tensor, function: Any = theirs) -> torch.Tensor:
            return torch.from_numpy(function(x.numpy()))

        c = torch.linspace(-1, 1, 9, dtype=torch.float64)
        torch.testing.assert_close(c_map(made, c), c_map(their_activation, c), rtol=0, atol=2e-5)
        q = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
        torch.testing.assert_close(q_map(made, q), q_map(their_activation, q), rtol=0, atol=2e-4)


def test_the_authors_package_finds_the_same_alpha() -> None:
    transform = pytest.importorskip("dks.base.activation_transform")
    for activations, eta in ((49, 0.9), (100, 0.8)):

        def subnetwork(x: Any, r_fn: Any, n: int = activations) -> Any:
            for _ in range(n):
                x = r_fn(x)
            return x

        theirs = transform.get_transformed_activations(
            ["leaky_relu"], method="TAT", tat_params={"c_val_0_target": eta}, subnet_max_func=subnetwork
        )["leaky_relu"]
        alpha = -theirs(-1.0) / theirs(1.0)
        assert tailored_leaky_relu([Chain(activations)], eta) == pytest.approx(alpha, abs=1e-6)


@pytest.mark.parametrize("activation", [torch.tanh, torch.erf])
def test_on_the_edge_of_chaos_lengths_stay_and_slopes_are_1(activation: Activation) -> None:
    q = 0.7
    weights, biases = edge_of_chaos(activation, q)
    spread = torch.tensor(q, dtype=torch.float64)
    assert weights**2 * q_map(activation, spread).item() + biases**2 == pytest.approx(q, rel=1e-12)
    z = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    (derivative,) = torch.autograd.grad(activation(math.sqrt(q) * z).sum(), z)
    own = derivative / math.sqrt(q)
    assert weights**2 * own.square().mean().item() == pytest.approx(1, abs=5e-3)


def test_impossible_wishes_are_named() -> None:
    with pytest.raises(UserError, match=r"architecture\.activation\.tau is 0"):
        tailored_smooth(torch.tanh, [Chain(10)], 0)
    with pytest.raises(UserError, match=r"architecture\.activation\.zeta is 1\.0"):
        shaped(torch.tanh, [Chain(10)], 1.0)
    with pytest.raises(UserError, match=r"cannot be tailored to tau = 0\.3"):
        tailored_smooth(lambda x: x + 0 * x.square(), [Chain(10)], 0.3)  # a line stays one
    with pytest.raises(UserError, match="no edge of chaos there"):
        edge_of_chaos(softplus, 0.7)

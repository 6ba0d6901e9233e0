"""Tailored activations: golden values of the paper, the conditions, and the authors' package `dks` as a reference."""

from typing import Any

import pytest
import torch
from torch.nn.functional import gelu, silu, softplus

from ffrepro.errors import UserError
from ffrepro.kernel_shaping.maps import c_map, leaky_relu, leaky_relu_c_map, q_map
from ffrepro.kernel_shaping.network import Chain, Network, Shortcut, global_curvature, global_map, global_slope
from ffrepro.kernel_shaping.tailor import (
    moments,
    shaped_smooth,
    tailored_alpha,
    tailored_smooth,
)

SMOOTH = {"tanh": torch.tanh, "softplus": softplus, "swish": silu, "gelu_exact": gelu, "sigmoid": torch.sigmoid}


def resnet_50(weight: float) -> Network:
    """16 bottlenecks, four of which share their first activation with their shortcut, and a final activation."""
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
def test_alpha_of_a_chain_has_its_golden_value(activations: int, eta: float, alpha: float) -> None:
    digits = len(str(alpha)) - 2
    computed = tailored_alpha([Chain(activations)], eta)
    assert computed == pytest.approx(alpha, abs=max(0.6 * 10**-digits, 1e-8))
    reached = global_map(
        [Chain(activations)], lambda c: leaky_relu_c_map(c, computed), torch.zeros((), dtype=torch.float64)
    )
    assert reached.item() == pytest.approx(eta, abs=1e-9)


@pytest.mark.parametrize(("depth", "scale"), [(49, 1.30111918), (100, 1.22840424), (151, 1.19188277)])
def test_the_scale_has_its_golden_value(depth: int, scale: float) -> None:
    assert leaky_relu(tailored_alpha([Chain(depth)], 0.9)).scale == pytest.approx(scale, abs=1e-8)


@pytest.mark.parametrize(("weight", "alpha"), [(0.5, 0.35725), (0.8, 0.15410)])
def test_alpha_of_a_residual_network_has_its_golden_value(weight: float, alpha: float) -> None:
    assert tailored_alpha(resnet_50(weight), 0.9) == pytest.approx(alpha, abs=6e-6)
    assert tailored_alpha(resnet_50(0.0), 0.9) == pytest.approx(0.4259071946, abs=1e-8)


def test_a_branch_with_the_maximal_c_determines_alpha() -> None:
    # The shortcut has 0.9 of the q value, so the branch of 20 activations has a larger C(0) than the whole network.
    assert tailored_alpha([Shortcut(20, 0.9**0.5)], 0.8) == pytest.approx(0.348833, abs=6e-7)


def test_an_eta_out_of_reach_is_refused_with_the_largest_possible() -> None:
    with pytest.raises(UserError, match=r"eta is 0\.9, and 12 activations reach 0\.8971 at most.*expected less"):
        tailored_alpha([Chain(12)], 0.9)
    assert 0 < tailored_alpha([Chain(13)], 0.9) < 0.05
    with pytest.raises(UserError, match="at most"):
        tailored_alpha(resnet_50(0.9), 0.9)
    for eta in (0.0, 1.0, -0.5):
        with pytest.raises(UserError, match=r"eta is .*: expected more than 0 and less than 1"):
            tailored_alpha([Chain(50)], eta)


@pytest.mark.parametrize("network", [[Chain(49)], [Chain(100)], resnet_50(0.5)], ids=["49", "100", "residual"])
@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_activations_satisfy_their_conditions(name: str, network: Network) -> None:
    tailored = tailored_smooth(SMOOTH[name], network, 0.3)
    m = moments(tailored)
    assert m.q == pytest.approx(1, abs=1e-9)
    assert m.q_slope == pytest.approx(1, abs=1e-6)
    assert m.c_slope == pytest.approx(1, abs=1e-6)
    assert global_curvature(network, m.c_curvature) == pytest.approx(0.3, abs=1e-5)
    kernel_shaped = shaped_smooth(SMOOTH[name], network, 1.5)
    m = moments(kernel_shaped)
    assert m.q == pytest.approx(1, abs=1e-9)
    assert m.q_slope == pytest.approx(1, abs=1e-6)
    assert global_slope(network, m.c_slope) == pytest.approx(1.5, abs=1e-5)
    zero = torch.zeros((), dtype=torch.float64)
    assert global_map(network, lambda c: c_map(kernel_shaped, c), zero).item() == pytest.approx(0, abs=1e-6)


def test_moments_are_the_maps_and_their_derivatives() -> None:
    def activation(x: torch.Tensor) -> torch.Tensor:
        return 1.3 * softplus(0.8 * x + 0.2) - 0.4

    m, step = moments(activation), 1e-4
    q = q_map(activation, torch.tensor([1 - step, 1, 1 + step], dtype=torch.float64))
    assert m.q == pytest.approx(q[1].item(), rel=1e-12)
    assert m.q_slope == pytest.approx(((q[2] - q[0]) / (2 * step)).item(), rel=1e-6)
    c = c_map(activation, torch.tensor([1, 1 - step, 1 - 2 * step, 0], dtype=torch.float64))
    assert m.mean**2 / m.q == pytest.approx(c[3].item(), rel=1e-9)
    assert m.c_slope == pytest.approx(((3 * c[0] - 4 * c[1] + c[2]) / (2 * step)).item(), rel=1e-5)
    assert m.c_curvature == pytest.approx(((c[0] - 2 * c[1] + c[2]) / step**2).item(), rel=1e-2)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # from the search in dks
@pytest.mark.parametrize("name", ["softplus", "swish"])
def test_dks_finds_activations_with_the_same_maps(name: str) -> None:
    transform = pytest.importorskip("dks.base.activation_transform")

    def chain(x: Any, r_fn: Any) -> Any:
        for _ in range(49):
            x = r_fn(x)
        return x

    for method, ours in (
        ("TAT", tailored_smooth(SMOOTH[name], [Chain(49)], 0.3)),
        ("DKS", shaped_smooth(SMOOTH[name], [Chain(49)], 1.5)),
    ):
        theirs = transform.get_transformed_activations([name], method=method, subnet_max_func=chain)[name]

        def their_activation(x: torch.Tensor, function: Any = theirs) -> torch.Tensor:
            return torch.from_numpy(function(x.numpy()))

        c = torch.linspace(-1, 1, 9, dtype=torch.float64)
        torch.testing.assert_close(c_map(ours, c), c_map(their_activation, c), rtol=0, atol=2e-5)
        q = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
        torch.testing.assert_close(q_map(ours, q), q_map(their_activation, q), rtol=0, atol=2e-4)


def test_dks_finds_the_same_alpha() -> None:
    transform = pytest.importorskip("dks.base.activation_transform")
    for activations, eta in ((49, 0.9), (100, 0.8)):

        def chain(x: Any, r_fn: Any, n: int = activations) -> Any:
            for _ in range(n):
                x = r_fn(x)
            return x

        theirs = transform.get_transformed_activations(
            ["leaky_relu"], method="TAT", tat_params={"c_val_0_target": eta}, subnet_max_func=chain
        )["leaky_relu"]
        alpha = -theirs(-1.0) / theirs(1.0)
        assert tailored_alpha([Chain(activations)], eta) == pytest.approx(alpha, abs=1e-6)


def test_impossible_conditions_are_named() -> None:
    with pytest.raises(UserError, match=r"architecture\.activation\.tau is 0"):
        tailored_smooth(torch.tanh, [Chain(10)], 0)
    with pytest.raises(UserError, match=r"architecture\.activation\.zeta is 1\.0"):
        shaped_smooth(torch.tanh, [Chain(10)], 1.0)
    with pytest.raises(UserError, match=r"cannot be tailored to tau = 0\.3"):
        tailored_smooth(lambda x: x + 0 * x.square(), [Chain(10)], 0.3)  # a linear function cannot be tailored

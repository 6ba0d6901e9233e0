"""Local maps: closed forms compared with numerical integrals, quadrature with known integrals and samples."""

import math

import pytest
import torch

from ffrepro.kernel_shaping.maps import c_map, gauss_hermite, leaky_relu, leaky_relu_c_map, q_map

COSINES = torch.tensor([-1.0, -0.7, -0.2, 0.0, 0.3, 0.9, 1.0], dtype=torch.float64)


def integrated_c(alpha: float, c: float) -> float:
    """E[φ(z₁) φ(z₂)] by the trapezoidal rule over a fine grid of the plane."""
    z = torch.linspace(-8, 8, 1601, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) * (z[1] - z[0]) / math.sqrt(2 * math.pi)
    phi = leaky_relu(alpha)
    conditional = phi(c * z[:, None] + math.sqrt(1 - c * c) * z) @ density
    return float((density * phi(z)) @ conditional)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.8])
def test_the_c_map_of_leaky_relu_is_its_integral(alpha: float) -> None:
    for c in (-0.7, 0.0, 0.4, 0.95):
        closed = leaky_relu_c_map(torch.tensor(c), alpha).item()
        assert closed == pytest.approx(integrated_c(alpha, c), abs=1e-5)
    assert leaky_relu_c_map(torch.ones(()), alpha).item() == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.4259071946, 0.8, 1.0])
def test_the_q_map_of_leaky_relu_is_the_identity_and_its_c_map_has_slope_1(alpha: float) -> None:
    step = 1e-4
    z = (torch.arange(-90_000, 90_000, dtype=torch.float64) + 0.5) * step  # 0, where φ has its kink, is a midpoint
    density = torch.exp(-z.square() / 2) * step / math.sqrt(2 * math.pi)
    for q in (0.5, 1.0, 2.0):  # Q(q) = q, so that Q'(1) = 1
        assert (density @ leaky_relu(alpha)(math.sqrt(q) * z).square()).item() == pytest.approx(q, abs=1e-6)
    slopes = leaky_relu(alpha)(z.clone()) / z
    assert (density @ slopes.square()).item() == pytest.approx(1, abs=1e-6)  # C'(1) = E[φ'(z)²] / Q(1)


def test_the_two_forms_of_the_paper_are_equal() -> None:
    for alpha in (0.0, 0.2, 0.7, 1.0):
        c = COSINES
        angle = ((1 - c * c).sqrt() + (math.pi - c.arccos()) * c) / math.pi
        second_form = ((1 - alpha) ** 2 * angle + 2 * alpha * c) / (1 + alpha**2)
        torch.testing.assert_close(leaky_relu_c_map(c, alpha), second_form, rtol=0, atol=1e-14)


def test_relu_takes_orthogonal_inputs_to_1_over_pi_and_a_linear_function_changes_no_cosine() -> None:
    assert leaky_relu_c_map(torch.zeros(()), 0.0).item() == pytest.approx(1 / math.pi, abs=1e-15)
    torch.testing.assert_close(leaky_relu_c_map(COSINES, 1.0), COSINES, rtol=0, atol=1e-15)


def test_quadrature_of_polynomials_and_of_the_error_function_is_exact() -> None:
    z, weights = gauss_hermite()
    for power, moment in ((0, 1.0), (1, 0.0), (2, 1.0), (4, 3.0), (6, 15.0)):
        assert (weights @ z**power).item() == pytest.approx(moment, abs=1e-10)
    # C. Williams, Computing with infinite networks, 1998, has closed forms of both maps for the error function.
    q = torch.tensor([0.1, 1.0, 4.0], dtype=torch.float64)
    torch.testing.assert_close(q_map(torch.erf, q), 2 / math.pi * (2 * q / (1 + 2 * q)).arcsin(), rtol=0, atol=1e-9)
    c = COSINES
    closed = (2 * c / 3).arcsin() / math.asin(2 / 3)
    torch.testing.assert_close(c_map(torch.erf, c), closed, rtol=0, atol=1e-9)


def test_the_c_map_of_tanh_is_the_mean_over_many_samples() -> None:
    draws = torch.Generator().manual_seed(0)
    z, u = torch.randn(2, 2_000_000, generator=draws, dtype=torch.float64)
    for c in (-0.5, 0.3, 0.9):
        correlated = c * z + math.sqrt(1 - c * c) * u
        sampled = (z.tanh() * correlated.tanh()).mean() / z.tanh().square().mean()
        assert c_map(torch.tanh, torch.tensor(c)).item() == pytest.approx(sampled.item(), abs=3e-3)
    assert c_map(torch.tanh, COSINES.view(1, -1)).shape == (1, 7)

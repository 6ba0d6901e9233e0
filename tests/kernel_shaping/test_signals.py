"""Signals of built networks beside theory: a wide net lies on it, and what theory does not speak of has none."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ffrepro.kernel_shaping.maps import LeakyRelu, leaky_relu
from ffrepro.kernel_shaping.network import Chain, Shortcut
from ffrepro.kernel_shaping.signals import COSINES, global_c_map, signals


def arc_cosine_map(c: np.ndarray, alpha: float) -> np.ndarray:
    """The other form of the C map, in NumPy."""
    tail = (1 - alpha) ** 2 * (np.sqrt(1 - c * c) + (math.pi - np.arccos(c)) * c) / math.pi
    return (tail + 2 * alpha * c) / (1 + alpha**2)


def layers(width: int, depth: int, alpha: float) -> list[Tensor]:
    """What each activation of a chain of random orthogonal layers is given, at 3 × 2 places."""
    generator = torch.Generator().manual_seed(0)
    x, given = torch.randn(8, width, 3, 2, generator=generator), []
    x[1::2] = 0.3 * x[0::2] + 0.954 * x[1::2]
    for _ in range(depth):
        given.append(x)
        weight = torch.linalg.qr(torch.randn(width, width, generator=generator))[0]
        x = torch.einsum("oi,bihw->bohw", weight, leaky_relu(alpha)(x.clone()))
    return given


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_a_wide_chain_does_what_theory_says(alpha: float) -> None:
    given = layers(1024, 12, alpha)
    found = signals(given, leaky_relu(alpha), chain=True)
    at = torch.cosine_similarity(given[0][0::2], given[0][1::2], dim=1).double().numpy()
    for number, x in enumerate(given):
        assert found.q[number].item() == pytest.approx(x.square().mean().item(), rel=1e-5)
        assert found.q[number].item() == pytest.approx(1, abs=0.25)  # its spread is √(5 · 12 / width)
        assert found.c_theory is not None
        assert found.c_theory[number].item() == pytest.approx(at.mean(), abs=1e-12)
        assert found.c[number].item() == pytest.approx(at.mean(), abs=0.03)
        at = arc_cosine_map(at, alpha)


def test_theory_is_of_chains_of_leaky_relu_alone() -> None:
    given = layers(8, 3, 0.0)
    assert signals(given, leaky_relu(0.0), chain=True).c_theory is not None
    assert signals(given, leaky_relu(0.0), chain=False).c_theory is None
    assert signals(given, torch.tanh, chain=True).c_theory is None


def test_a_networks_map_is_its_activations_one_after_the_other() -> None:
    c = np.linspace(-1, 1, COSINES)
    once = arc_cosine_map(c, 0.4)
    branch = arc_cosine_map(arc_cosine_map(once, 0.4), 0.4)
    found = global_c_map([Chain(1), Shortcut(2, 0.6)], LeakyRelu(0.4, 1.0)).numpy()
    np.testing.assert_allclose(found, 0.36 * once + 0.64 * branch, rtol=0, atol=1e-12)
    # By quadrature: E[erf(x) erf(y)] is in closed form.
    smooth = global_c_map([Chain(1)], torch.erf).numpy()
    np.testing.assert_allclose(smooth, np.arcsin(2 * c / 3) / math.asin(2 / 3), rtol=0, atol=1e-9)


def test_leaky_relu_leaves_its_input_as_it_is() -> None:
    x = torch.tensor([-2.0, 3.0])
    assert LeakyRelu(0.5, 2.0)(x).tolist() == [-2.0, 6.0]
    assert LeakyRelu(0.5, 1.0)(x).tolist() == [-1.0, 3.0]
    assert x.tolist() == [-2.0, 3.0]
    x.requires_grad_()
    LeakyRelu(0.5, 2.0)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 2.0]

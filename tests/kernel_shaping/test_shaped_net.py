"""Signals of a wide network agree with the theory, which other networks do not have."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ffrepro.kernel_shaping.maps import LeakyRelu, leaky_relu
from ffrepro.kernel_shaping.network import Chain, Shortcut
from ffrepro.kernel_shaping.shaped_net import COSINES, global_c_map, signals


def arc_cosine_map(c: np.ndarray, alpha: float) -> np.ndarray:
    """The second form of the C map in the paper, in NumPy."""
    tail = (1 - alpha) ** 2 * (np.sqrt(1 - c * c) + (math.pi - np.arccos(c)) * c) / math.pi
    return (tail + 2 * alpha * c) / (1 + alpha**2)


def chain_inputs(width: int, depth: int, alpha: float) -> list[Tensor]:
    """Inputs of each activation in a chain of random orthogonal layers, at 3 × 2 locations."""
    generator = torch.Generator().manual_seed(0)
    x, inputs = torch.randn(8, width, 3, 2, generator=generator), []
    x[1::2] = 0.3 * x[0::2] + 0.954 * x[1::2]
    for _ in range(depth):
        inputs.append(x)
        weight = torch.linalg.qr(torch.randn(width, width, generator=generator))[0]
        x = torch.einsum("oi,bihw->bohw", weight, leaky_relu(alpha)(x.clone()))
    return inputs


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_a_wide_chain_follows_the_theory(alpha: float) -> None:
    inputs = chain_inputs(1024, 12, alpha)
    measured = signals(inputs, leaky_relu(alpha), chain=True)
    c = torch.cosine_similarity(inputs[0][0::2], inputs[0][1::2], dim=1).double().numpy()
    for number, x in enumerate(inputs):
        assert measured.q[number].item() == pytest.approx(x.square().mean().item(), rel=1e-5)
        assert measured.q[number].item() == pytest.approx(1, abs=0.25)  # the standard deviation is √(5 · 12 / width)
        assert measured.c_theory is not None
        assert measured.c_theory[number].item() == pytest.approx(c.mean(), abs=1e-12)
        assert measured.c[number].item() == pytest.approx(c.mean(), abs=0.03)
        c = arc_cosine_map(c, alpha)


def test_only_chains_of_leaky_relu_have_a_theory() -> None:
    inputs = chain_inputs(8, 3, 0.0)
    assert signals(inputs, leaky_relu(0.0), chain=True).c_theory is not None
    assert signals(inputs, leaky_relu(0.0), chain=False).c_theory is None
    assert signals(inputs, torch.tanh, chain=True).c_theory is None


def test_the_global_c_map_is_composed_as_by_hand() -> None:
    c = np.linspace(-1, 1, COSINES)
    once = arc_cosine_map(c, 0.4)
    branch = arc_cosine_map(arc_cosine_map(once, 0.4), 0.4)
    composed = global_c_map([Chain(1), Shortcut(2, 0.6)], LeakyRelu(0.4, 1.0)).numpy()
    np.testing.assert_allclose(composed, 0.36 * once + 0.64 * branch, rtol=0, atol=1e-12)
    # The quadrature, against the closed form of E[erf(x) erf(y)].
    smooth = global_c_map([Chain(1)], torch.erf).numpy()
    np.testing.assert_allclose(smooth, np.arcsin(2 * c / 3) / math.asin(2 / 3), rtol=0, atol=1e-9)


def test_leaky_relu_does_not_change_its_input() -> None:
    x = torch.tensor([-2.0, 3.0])
    assert LeakyRelu(0.5, 2.0)(x).tolist() == [-2.0, 6.0]
    assert LeakyRelu(0.5, 1.0)(x).tolist() == [-1.0, 3.0]
    assert x.tolist() == [-2.0, 3.0]
    x.requires_grad_()
    LeakyRelu(0.5, 2.0)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 2.0]

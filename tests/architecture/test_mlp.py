"""Fully connected nets: their shapes and where their weights start."""

import pytest
import torch

from ffrepro.architecture.mlp import Mlp
from ffrepro.errors import UserError
from ffrepro.forward_forward.connections import Connections


def build(
    widths: list[int],
    init_gain: float = 1.0,
    input_shape: tuple[int, ...] = (28, 28),
    seed: int = 0,
    top: int | None = None,
) -> list[Connections]:
    return Mlp(widths, init_gain).build(
        input_shape,
        torch.Generator().manual_seed(seed),
        device=torch.device("cpu"),
        products=torch.float32,
        state=torch.float32,
        top=top,
    )


def shapes(layers: list[Connections]) -> list[list[tuple[int, ...]]]:
    return [[tuple(weights.weight.shape) for weights in layer.sources] for layer in layers]


def weight(layer: Connections) -> torch.Tensor:
    (weights,) = layer.sources
    return weights.weight


def test_layers_fit_each_other_and_their_biases_are_0() -> None:
    layers = build([30, 20, 10], input_shape=(5, 8))
    assert shapes(layers) == [[(40, 30)], [(30, 20)], [(20, 10)]]
    assert Mlp([30, 20, 10], 1.0).shapes((5, 8)) == [(40, 30), (30, 20), (20, 10)]
    assert all(torch.equal(layer.bias, torch.zeros(layer.width)) for layer in layers)


def test_a_net_on_colour_images_sees_all_three_channels() -> None:
    assert shapes(build([30, 20], input_shape=(5, 8, 3))) == [[(120, 30)], [(30, 20)]]
    assert Mlp([30, 20], 1.0).shapes((5, 8, 3)) == [(120, 30), (30, 20)]


def test_weights_are_drawn_by_the_number_of_units_below() -> None:
    # By the number of units above, the first would be 1/sqrt(2000), 1.6 times less.
    first, second = (weight(layer) for layer in build([2000, 500]))
    assert first.std().item() == pytest.approx(784**-0.5, rel=0.01)
    assert second.std().item() == pytest.approx(2000**-0.5, rel=0.01)
    assert first.mean().abs().item() < 1e-4


def test_the_gain_is_one_of_variance() -> None:
    torch.testing.assert_close(weight(build([50], 2.0)[0]), 2**0.5 * weight(build([50], 1.0)[0]))
    for mine, other in zip(build([50], 2.0, top=40)[0].sources, build([50], 1.0, top=40)[0].sources, strict=True):
        torch.testing.assert_close(mine.weight, 2**0.5 * other.weight)


def test_a_seed_gives_one_net() -> None:
    assert torch.equal(weight(build([50])[0]), weight(build([50])[0]))
    assert not torch.equal(weight(build([50])[0]), weight(build([50], seed=1)[0]))


@pytest.mark.parametrize("widths", [[], [10, 0], [-5]])
def test_impossible_widths_are_named(widths: list[int]) -> None:
    with pytest.raises(UserError, match=r"architecture\.widths is \["):
        Mlp(widths, 1.0)


def test_with_units_on_top_every_layer_sees_the_one_above_it() -> None:
    layers = build([30, 20, 10], input_shape=(5, 8), top=4)
    assert shapes(layers) == [[(40, 30), (20, 30)], [(30, 20), (10, 20)], [(20, 10), (4, 10)]]
    assert all(torch.equal(layer.bias, torch.zeros(layer.width)) for layer in layers)


def test_with_units_on_top_weights_are_drawn_by_the_number_of_units_of_each_source() -> None:
    first, second = build([1000, 600], input_shape=(20, 20), top=300)
    for weights, n in zip([*first.sources, *second.sources], [400, 600, 1000, 300], strict=True):
        assert weights.weight.std().item() == pytest.approx(n**-0.5, rel=0.01)
    below, above = second.sources
    assert not torch.equal(below.weight[:300], above.weight)  # each is drawn


@pytest.mark.parametrize("gain", [0.0, -1.0, float("inf")])
def test_a_gain_that_is_none_is_named(gain: float) -> None:
    with pytest.raises(UserError, match=r"architecture\.init_gain is .*: expected more than 0"):
        Mlp([5], gain)

"""Fully connected nets: their shapes and where their weights start."""

import pytest
import torch

from ffrepro.architecture.mlp import Mlp
from ffrepro.connections import Dense
from ffrepro.errors import UserError


def build(
    widths: list[int], init_gain: float = 1.0, input_shape: tuple[int, int] = (28, 28), seed: int = 0, top: int = 0
) -> list[Dense]:
    return Mlp(widths, init_gain).build(
        input_shape,
        torch.Generator().manual_seed(seed),
        device=torch.device("cpu"),
        products=torch.float32,
        state=torch.float32,
        top=top,
    )


def test_layers_fit_each_other_and_their_biases_are_0() -> None:
    layers = build([30, 20, 10], input_shape=(5, 8))
    assert [tuple(layer.weight.shape) for layer in layers] == [(40, 30), (30, 20), (20, 10)]
    assert all(torch.equal(layer.bias, torch.zeros(layer.width)) for layer in layers)


def test_weights_are_drawn_by_the_number_of_units_below() -> None:
    # By the number of units above, the first would be 1/sqrt(2000), 1.6 times less.
    first, second = build([2000, 500])
    assert first.weight.std().item() == pytest.approx(784**-0.5, rel=0.01)
    assert second.weight.std().item() == pytest.approx(2000**-0.5, rel=0.01)
    assert first.weight.mean().abs().item() < 1e-4


def test_the_gain_is_one_of_variance() -> None:
    torch.testing.assert_close(build([50], 2.0)[0].weight, 2**0.5 * build([50], 1.0)[0].weight)


def test_a_seed_gives_one_net() -> None:
    assert torch.equal(build([50])[0].weight, build([50])[0].weight)
    assert not torch.equal(build([50])[0].weight, build([50], seed=1)[0].weight)


@pytest.mark.parametrize("widths", [[], [10, 0], [-5]])
def test_impossible_widths_are_named(widths: list[int]) -> None:
    with pytest.raises(UserError, match=r"architecture\.widths is \["):
        Mlp(widths, 1.0)


def test_with_units_on_top_every_layer_sees_the_one_above_it() -> None:
    layers = build([30, 20, 10], input_shape=(5, 8), top=4)
    assert [tuple(layer.weight.shape) for layer in layers] == [(40 + 20, 30), (30 + 10, 20), (20 + 4, 10)]

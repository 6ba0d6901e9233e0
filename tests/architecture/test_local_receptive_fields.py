"""Nets with local receptive fields: their shapes, where their weights start, and which do not fit."""

import pytest
import torch

from ffrepro.architecture.local_receptive_fields import LocalReceptiveFields
from ffrepro.connections import LocalFields
from ffrepro.errors import UserError

PAPER = [(4, 6, 10, 128), (3, 1, 2, 220), (2, 1, 2, 512)]


def build(
    layers: list[tuple[int, ...]],
    init_gain: float = 1.0,
    *,
    input_shape: tuple[int, int] = (28, 28),
    seed: int = 0,
    products: torch.dtype = torch.float32,
    state: torch.dtype = torch.float32,
) -> list[LocalFields]:
    return LocalReceptiveFields(layers, init_gain).build(
        input_shape, torch.Generator().manual_seed(seed), device=torch.device("cpu"), products=products, state=state
    )


def test_the_papers_net_has_its_widths_and_about_2000_units_a_layer() -> None:
    layers = build(PAPER)
    shapes = [(16, 100, 128), (9, 512, 220), (4, 880, 512)]
    assert [tuple(layer.weight.shape) for layer in layers] == shapes
    assert LocalReceptiveFields(PAPER, 1.0).shapes((28, 28)) == shapes
    assert [layer.width for layer in layers] == [2048, 1980, 2048]
    assert [layer.below for layer in layers] == [(28, 28, 1), (4, 4, 128), (3, 3, 220)]
    assert all(torch.equal(layer.bias, torch.zeros(layer.width)) for layer in layers)
    below = torch.rand(3, 784, generator=torch.Generator().manual_seed(1))
    for layer in layers:
        below = layer(below)
        assert below.shape == (3, layer.width)
        assert (below > 0).float().mean().item() == pytest.approx(0.5, abs=0.1)


def test_weights_are_drawn_by_the_number_of_units_in_a_field() -> None:
    # By the number of all units below, the first would be 1/28; by that of channels, 1/sqrt(128).
    for layer, fan_in in zip(build(PAPER), (100, 4 * 128, 4 * 220), strict=True):
        assert layer.weight.std().item() == pytest.approx(fan_in**-0.5, rel=0.01)
        assert layer.weight.mean().abs().item() < 5 * (fan_in * layer.weight.numel()) ** -0.5
        for location in layer.weight:  # each alike, and each its own
            assert location.std().item() == pytest.approx(fan_in**-0.5, rel=0.03)
        assert len({location[0, 0].item() for location in layer.weight}) == len(layer.weight)


def test_the_gain_is_one_of_variance() -> None:
    torch.testing.assert_close(build(PAPER, 2.0)[1].weight, 2**0.5 * build(PAPER, 1.0)[1].weight)


def test_a_seed_gives_one_net() -> None:
    for mine, same, other in zip(build(PAPER), build(PAPER), build(PAPER, seed=1), strict=True):
        assert torch.equal(mine.weight, same.weight)
        assert not torch.equal(mine.weight, other.weight)


def test_weights_are_kept_in_the_precision_asked_for() -> None:
    net = [(3, 2, 3, 6), (2, 1, 2, 8)]
    wide = build(net, input_shape=(7, 7), state=torch.float64)
    assert {layer.weight.dtype for layer in wide} == {layer.bias.dtype for layer in wide} == {torch.float64}
    narrow = build(net, input_shape=(7, 7), products=torch.bfloat16)
    assert {layer.weight.dtype for layer in narrow} == {torch.float32}
    for mine, other in zip(wide, narrow, strict=True):
        assert torch.equal(mine.weight.float(), other.weight)


@pytest.mark.parametrize(
    ("layers", "input_shape", "named"),
    [
        ([(4, 6, 9, 128)], (28, 28), r"\[4,6,9,128\], whose fields cover 27 × 27 of the 28 × 28"),
        ([(4, 6, 11, 128)], (28, 28), r"\[4,6,11,128\], whose fields cover 29 × 29 of the 28 × 28"),
        ([(4, 6, 10, 128), (3, 2, 2, 220)], (28, 28), r"\[3,2,2,220\], whose fields cover 6 × 6 of the 4 × 4"),
        ([*PAPER[:2], (1, 1, 2, 5)], (28, 28), r"\[1,1,2,5\], whose fields cover 2 × 2 of the 3 × 3"),
        (PAPER, (28, 30), r"\[4,6,10,128\], whose fields cover 28 × 28 of the 28 × 30"),
        (PAPER, (30, 28), r"\[4,6,10,128\], whose fields cover 28 × 28 of the 30 × 28"),
    ],
)
def test_a_layer_that_does_not_fit_is_named(
    layers: list[tuple[int, ...]], input_shape: tuple[int, int], named: str
) -> None:
    with pytest.raises(UserError, match=r"architecture\.layers has " + named):
        build(layers, input_shape=input_shape)
    with pytest.raises(UserError, match=r"architecture\.layers has " + named):
        LocalReceptiveFields(layers, 1.0).shapes(input_shape)


@pytest.mark.parametrize(
    ("layers", "named"),
    [
        ([], "is empty"),
        ([(4, 6, 10)], r"has \[4, 6, 10\]"),
        ([(4, 6, 10, 128, 1)], r"has \[4, 6, 10, 128, 1\]"),
        ([(4, 6, 10, 128), (3, 0, 2, 220)], r"has \[3, 0, 2, 220\]"),
        ([(4, 6, 10, -1)], r"has \[4, 6, 10, -1\]"),
    ],
)
def test_impossible_layers_are_named(layers: list[tuple[int, ...]], named: str) -> None:
    with pytest.raises(UserError, match=rf"architecture\.layers {named}"):
        LocalReceptiveFields(layers, 1.0)

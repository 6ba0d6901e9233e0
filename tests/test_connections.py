"""Weights that learn by themselves: fully connected ones against loops, local fields against masked ones."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from ffrepro.connections import Dense, LocalFields
from ffrepro.layers import normalize


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def dense(fan_in: int, width: int, products: torch.dtype, *, dtype: torch.dtype = torch.float32) -> Dense:
    return Dense(random(fan_in, width, dtype=dtype) / fan_in**0.5, products)


def local(
    below: tuple[int, int, int],
    *,
    field: int,
    stride: int,
    channels: int,
    products: torch.dtype = torch.float64,
    dtype: torch.dtype = torch.float64,
) -> LocalFields:
    height, width, channels_below = below
    n_locations = ((height - field) // stride + 1) * ((width - field) // stride + 1)
    fan_in = field * field * channels_below
    weight = random(n_locations, fan_in, channels, dtype=dtype) / fan_in**0.5
    return LocalFields(weight, below, field=field, stride=stride, products=products)


def as_dense(layer: LocalFields, values: Tensor) -> Tensor:
    """`values`, one for each weight of `layer`, at their places among those of a layer that sees everything; else 0."""
    height, width, channels_below = layer.below
    tops, lefts = (range(0, side - layer.field + 1, layer.stride) for side in (height, width))
    channels = values.shape[2]
    spread = values.new_zeros(height * width * channels_below, len(tops) * len(lefts) * channels)
    location = 0
    for top in tops:
        for left in lefts:
            units = slice(location * channels, (location + 1) * channels)
            seen = 0
            for y in range(top, top + layer.field):
                for x in range(left, left + layer.field):
                    for c in range(channels_below):
                        spread[(y * width + x) * channels_below + c, units] = values[location, seen]
                        seen += 1
            assert seen == values.shape[1]
            location += 1
    assert location == values.shape[0]
    return spread


# Dense ---------------------------------------------------------------------------------------------


def test_a_layer_is_relu_of_an_affine_map() -> None:
    layer = Dense(torch.tensor([[1.0, -1.0], [2.0, 0.5]]), torch.float32)
    layer.bias.copy_(torch.tensor([0.5, -1.0]))
    torch.testing.assert_close(layer(torch.tensor([[1.0, 2.0], [-1.0, 0.0]])), torch.tensor([[5.5, 0.0], [0.0, 0.0]]))
    assert layer.width == 2


def test_learning_follows_the_formula_over_several_steps() -> None:
    weight, bias = random(6, 4, seed=1), torch.zeros(4, dtype=torch.float64)
    layer = Dense(weight.clone(), torch.float64)
    weight_velocity, bias_velocity = torch.zeros_like(weight), torch.zeros_like(bias)
    for step in range(3):
        below, delta = random(9, 6, seed=10 + step), random(9, 4, seed=20 + step)
        bias_gradient = random(4, seed=30 + step)
        rate = 0.5 / (step + 1)
        layer.learn(below, delta, bias_gradient, batch_size=5, momentum=0.9, rate=rate, weight_cost=0.02)
        outer = sum(x[:, None] * d[None, :] for x, d in zip(below, delta, strict=True))
        weight_velocity = 0.9 * weight_velocity + 0.1 * outer / 5
        bias_velocity = 0.9 * bias_velocity + 0.1 * bias_gradient / 5
        weight = weight + rate * (weight_velocity - 0.02 * weight)
        bias = bias + rate * bias_velocity  # no weight cost
    torch.testing.assert_close(layer.weight, weight, rtol=0, atol=1e-12)
    torch.testing.assert_close(layer.bias, bias, rtol=0, atol=1e-12)


@pytest.mark.parametrize("products", [torch.float32, torch.bfloat16])
def test_a_product_takes_the_weights_from_a_number_on(products: torch.dtype) -> None:
    layer = dense(12, 5, products)
    below = random(3, 7, dtype=torch.float32)
    for first in (0, 4):
        exact = torch.stack([sum(below[:, i] * layer.weight[first + i, j] for i in range(7)) for j in range(5)], 1)
        drive = layer.product(below, first=first)
        assert drive.dtype == torch.float32
        torch.testing.assert_close(drive, exact, rtol=0, atol=1e-6 if products == torch.float32 else 0.05)
    assert (drive < 0).any()  # neither relu nor bias


def test_fields_are_each_units_weights_from_the_image_alone() -> None:
    layer = dense(15 + 4, 6, torch.float32)  # four units above the layer come after the pixels
    fields = layer.fields(2, (3, 5))
    assert fields.shape == (2, 3, 5)
    for unit in range(2):
        for y in range(3):
            for x in range(5):
                assert fields[unit, y, x] == layer.weight[5 * y + x, unit]
    assert layer.fields(64, (3, 5)).shape == (6, 3, 5)  # there are no more


# LocalFields ---------------------------------------------------------------------------------------

# On pixels, fields that overlap; on a grid with channels; neither grid is a square, which would hide a transposition.
PIXELS = {"below": (8, 11, 1), "field": 5, "stride": 3, "channels": 4}
GRID = {"below": (4, 3, 6), "field": 2, "stride": 1, "channels": 5}
GEOMETRIES = pytest.mark.parametrize(("geometry", "grid"), [(PIXELS, (2, 3)), (GRID, (3, 2))], ids=["pixels", "grid"])


@GEOMETRIES
def test_a_unit_sees_its_field_in_the_order_of_the_map(geometry: dict, grid: tuple[int, int]) -> None:
    layer = local(**geometry)
    field, stride, channels = geometry["field"], geometry["stride"], geometry["channels"]
    layer.bias.copy_(random(layer.width, seed=1))
    maps = random(7, *geometry["below"], seed=2)
    expected = np.zeros((7, *grid, channels))
    for row in range(grid[0]):
        for column in range(grid[1]):
            top, left = row * stride, column * stride
            seen = maps[:, top : top + field, left : left + field].numpy().reshape(7, -1)
            expected[:, row, column] = seen @ layer.weight[row * grid[1] + column].numpy()
    expected = np.maximum(0, expected.reshape(7, -1) + layer.bias.numpy())
    assert layer.width == grid[0] * grid[1] * channels
    np.testing.assert_allclose(layer(maps.view(7, -1)), expected, rtol=0, atol=1e-12)


@GEOMETRIES
def test_local_fields_are_a_dense_layer_with_most_weights_away(geometry: dict, grid: tuple[int, int]) -> None:
    layer = local(**geometry)
    mask = as_dense(layer, torch.ones_like(layer.weight))
    assert mask.count_nonzero() == layer.weight.numel()
    assert mask.mean() < 0.75
    masked = Dense(as_dense(layer, layer.weight), torch.float64)
    for one in (layer, masked):
        one.bias.copy_(random(layer.width, seed=1))
    for step in range(3):
        below, delta = random(9, len(mask), seed=10 + step), random(9, layer.width, seed=20 + step)
        bias_gradient = random(layer.width, seed=30 + step)
        torch.testing.assert_close(layer(below), masked(below), rtol=0, atol=1e-12)
        before = layer.weight.clone()
        for one in (layer, masked):
            one.learn(below, delta, bias_gradient, batch_size=5, momentum=0.9, rate=0.5, weight_cost=0.02)
        masked.weight.mul_(mask)
        masked.weight_velocity.mul_(mask)
        assert (layer.weight - before).abs().min() > 0
        for name in ("weight", "weight_velocity"):
            learned = as_dense(layer, getattr(layer, name))
            torch.testing.assert_close(learned, getattr(masked, name), rtol=0, atol=1e-12)
        for name in ("bias", "bias_velocity"):
            torch.testing.assert_close(getattr(layer, name), getattr(masked, name), rtol=0, atol=1e-12)


def test_no_weights_are_shared_between_locations() -> None:
    layer = local(**GRID)
    before = layer.weight.clone()
    delta = torch.zeros(9, 3, 2, 5, dtype=torch.float64)
    delta[:, 1, 0] = 1.0  # asks something of location 2 alone
    delta = delta.view(9, -1)
    layer.learn(random(9, 72), delta, delta.sum(0), batch_size=9, momentum=0.0, rate=1.0, weight_cost=0.0)
    changed = (layer.weight != before).flatten(1)
    assert changed[2].all()
    assert not changed[[0, 1, 3, 4, 5]].any()


@pytest.mark.parametrize(("n", "each", "shown"), [(6, 1, 6), (10, 2, 10), (24, 4, 24), (64, 4, 24)])
def test_local_fields_shown_are_as_many_of_each_location(n: int, each: int, shown: int) -> None:
    layer = local(**PIXELS)
    fields = layer.fields(n, (8, 11))
    assert fields.shape == (shown, 5, 5)
    for number in range(shown):
        location, channel = divmod(number, each)
        for y in range(5):
            for x in range(5):
                assert fields[number, y, x] == layer.weight[location, 5 * y + x, channel]


# Both ----------------------------------------------------------------------------------------------

MAKERS: dict[str, Callable[[torch.dtype], Dense | LocalFields]] = {
    "dense": lambda products: dense(300, 200, products),
    "local on pixels": lambda products: local(
        (16, 16, 1), field=10, stride=6, channels=50, products=products, dtype=torch.float32
    ),
    "local on a grid": lambda products: local(
        (3, 3, 60), field=2, stride=1, channels=50, products=products, dtype=torch.float32
    ),
}
KINDS = pytest.mark.parametrize("kind", MAKERS)


def fan_in(layer: Dense | LocalFields) -> int:
    return int(np.prod(layer.below)) if isinstance(layer, LocalFields) else len(layer.weight)


@KINDS
def test_bf16_products_stay_close_to_fp32(kind: str) -> None:
    full, rounded = MAKERS[kind](torch.float32), MAKERS[kind](torch.bfloat16)
    weight = full.weight.clone()
    below = normalize(random(64, fan_in(full), seed=1, dtype=torch.float32))
    for _ in range(3):
        exact, close = full(below), rounded(below)
        assert close.dtype == torch.float32
        assert not torch.equal(close, exact)
        assert (close - exact).abs().max() < 0.05  # activities are about 1, bf16 has 8 bits
        assert (close - exact).abs().mean() < 0.005
        for layer in (full, rounded):
            delta = 0.1 * exact
            layer.learn(below, delta, delta.sum(0), batch_size=64, momentum=0.5, rate=1.0, weight_cost=0.01)
    # The weights themselves are kept and updated in fp32, and every step renews the rounded ones.
    assert rounded.weight.dtype == torch.float32
    torch.testing.assert_close(rounded.weight, full.weight, rtol=0, atol=1e-6)
    assert (full.weight - weight).abs().max() > 0.01
    torch.testing.assert_close(rounded(below), full(below), rtol=0.02, atol=0.05)


@KINDS
@pytest.mark.parametrize("products", [torch.float32, torch.bfloat16])
def test_a_layer_goes_on_from_its_state_as_if_uncut(kind: str, products: torch.dtype) -> None:
    def step(layer: Dense | LocalFields, seed: int) -> None:
        delta = random(8, layer.width, seed=seed, dtype=torch.float32)
        layer.learn(below, delta, delta.sum(0), batch_size=8, momentum=0.9, rate=0.1, weight_cost=0.01)

    layer, resumed = MAKERS[kind](products), MAKERS[kind](products)
    below = random(8, fan_in(layer), dtype=torch.float32)
    step(layer, 2)
    state = copy.deepcopy(layer.state_dict())
    assert set(state) == {"weight", "bias", "weight_velocity", "bias_velocity"}
    step(resumed, 4)  # whatever it did before
    resumed.load_state_dict(state)
    assert torch.equal(resumed(below), layer(below))
    for one in (layer, resumed):
        step(one, 3)
    assert torch.equal(resumed(below), layer(below))
    assert torch.equal(resumed.weight, layer.weight)
    assert torch.equal(resumed.bias, layer.bias)
    assert not torch.equal(layer.weight, state["weight"])

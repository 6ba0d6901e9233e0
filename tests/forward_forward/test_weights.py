"""Weights that learn by themselves: fully connected ones against loops, local fields against masked ones."""

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from ffrepro.forward_forward import weights
from ffrepro.forward_forward.layers import normalize
from ffrepro.forward_forward.local_fields import LocalFields, inside
from ffrepro.forward_forward.momentum import momentum_step
from ffrepro.forward_forward.weights import Dense

Kind = Dense | LocalFields


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def dense(
    fan_in: int, width: int, products: torch.dtype = torch.float64, *, dtype: torch.dtype = torch.float64
) -> Dense:
    return Dense(random(fan_in, width, dtype=dtype) / fan_in**0.5, products)


def local(
    source: tuple[int, int, int],
    *,
    field: int,
    stride: int,
    channels: int,
    padding: int = 0,
    tile: tuple[int, int] | None = None,
    products: torch.dtype = torch.float64,
    dtype: torch.dtype = torch.float64,
) -> LocalFields:
    rows, columns = ((side + 2 * padding - field) // stride + 1 for side in source[:2])
    fan_in = field * field * source[2]
    # Also beyond the edges: numbers that must count for nothing.
    fields = random(rows * columns, fan_in, channels, dtype=dtype) / fan_in**0.5
    return LocalFields(fields, source, field=field, stride=stride, padding=padding, tile=tile, products=products)


# Where each weight is ------------------------------------------------------------------------------


class Block(NamedTuple):
    """What one location sees of one place of the source, (channels of the source, channels): where it is kept."""

    dense: tuple[slice, slice]  # (fan_in, width)
    located: tuple[int, slice]  # (locations, field² · channels of the source, channels)
    kept: tuple[int, slice, slice]  # (tiles or locations, what each is given, units in each)


def blocks(layer: LocalFields) -> Iterator[Block]:
    """All the weights that there are."""
    (height, width, below), channels = layer.source, layer.channels
    field, stride, padding = layer.field, layer.stride, layer.padding
    rows, columns = ((side + 2 * padding - field) // stride + 1 for side in (height, width))
    tile_rows, tile_columns = layer.tile or (1, 1)

    def at(place: int, size: int) -> slice:
        return slice(place * size, (place + 1) * size)

    def given(side: int, n_locations: int, size: int) -> tuple[int, list[int]]:
        """Of the source's rows, or columns, as many as the tile that sees most of them, and the first of each tile."""
        seen = [
            [
                place * stride + y - padding
                for place in range(first, first + size)
                for y in range(field)
                if 0 <= place * stride + y - padding < side
            ]
            for first in range(0, n_locations, size)
        ]
        most = max(max(of_tile) - min(of_tile) + 1 for of_tile in seen)
        return most, [min(*of_tile, side - most) for of_tile in seen]

    _, tops = given(height, rows, tile_rows)
    most_columns, lefts = given(width, columns, tile_columns)
    for row in range(rows):
        for column in range(columns):
            for y in range(field):
                for x in range(field):
                    from_y, from_x = row * stride + y - padding, column * stride + x - padding
                    if not (0 <= from_y < height and 0 <= from_x < width):
                        continue
                    if layer.tile is None:
                        kept = row * columns + column, at(y * field + x, below), slice(0, channels)
                    else:
                        down, across = row // tile_rows, column // tile_columns
                        kept = (
                            down * (columns // tile_columns) + across,
                            at((from_y - tops[down]) * most_columns + from_x - lefts[across], below),
                            at(row % tile_rows * tile_columns + column % tile_columns, channels),
                        )
                    yield Block(
                        (at(from_y * width + from_x, below), at(row * columns + column, channels)),
                        (row * columns + column, at(y * field + x, below)),
                        kept,
                    )


def as_dense(layer: LocalFields, values: Tensor) -> Tensor:
    """`values`, of the shape of `layer.weight`, as those of a layer that sees everything; 0 where there are none.

    They are 0 wherever there is no weight.
    """
    assert values.shape == layer.weight.shape
    spread = values.new_zeros(layer.fan_in, layer.width)
    for block in blocks(layer):
        spread[block.dense] = values[block.kept]
    assert values.count_nonzero() == spread.count_nonzero()
    return spread


def mask_of(layer: LocalFields) -> Tensor:
    """Where among the weights of a layer that sees everything those of `layer` are."""
    mask = layer.weight.new_zeros(layer.fan_in, layer.width)
    for block in blocks(layer):
        mask[block.dense] = 1
    return mask


# Dense ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("products", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [(), (3,)], ids=["one for all rows", "each its own"])
def test_a_dense_product_is_added_to_what_is_there_already(products: torch.dtype, rows: tuple[int, ...]) -> None:
    layer = dense(7, 5, products, dtype=torch.float32)
    source, onto = random(3, 7, dtype=torch.float32), random(*rows, 5, seed=2, dtype=torch.float32)
    before = source.clone(), onto.clone()
    exact = torch.stack([sum(source[:, i] * layer.weight[i, j] for i in range(7)) for j in range(5)], 1) + onto
    driven = layer.product(source, onto)
    assert driven.dtype == torch.float32
    torch.testing.assert_close(driven, exact, rtol=0, atol=1e-6 if products == torch.float32 else 0.05)
    assert (driven < 0).any()  # no relu
    driven.zero_()  # it is new
    assert torch.equal(source, before[0])
    assert torch.equal(onto, before[1])
    assert (layer.fan_in, layer.width) == (7, 5)


def test_dense_weights_follow_the_formula_over_several_steps() -> None:
    weight = random(6, 4, seed=1)
    layer = Dense(weight.clone(), torch.float64)
    velocity = torch.zeros_like(weight)
    for step in range(3):
        source, delta = random(9, 6, seed=10 + step), random(9, 4, seed=20 + step)
        rate = 0.5 / (step + 1)
        layer.learn(source, delta, share=0.02, momentum=0.9, rate=rate, weight_cost=0.02)
        velocity = 0.9 * velocity + 0.02 * sum(x[:, None] * d[None, :] for x, d in zip(source, delta, strict=True))
        weight = weight + rate * (velocity - 0.02 * weight)
        torch.testing.assert_close(layer.weight, weight, rtol=0, atol=1e-12)
        torch.testing.assert_close(layer.velocity, velocity, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 3)], ids=["grey", "colour"])
def test_dense_fields_are_each_units_weights_as_an_image(shape: tuple[int, ...]) -> None:
    layer = dense(int(np.prod(shape)), 6)
    fields = layer.fields(2, shape)
    assert fields.shape == (2, *shape)
    for unit in range(2):
        for number, place in enumerate(np.ndindex(shape)):
            assert fields[unit][place] == layer.weight[number, unit]
    assert layer.fields(64, shape).shape == (6, *shape)  # there are no more


# LocalFields ---------------------------------------------------------------------------------------

# On pixels, fields that overlap; on a grid with channels; neither grid is a square, which would hide a transposition.
PIXELS: dict[str, Any] = {"source": (8, 11, 1), "field": 5, "stride": 3, "channels": 4}
GRID: dict[str, Any] = {"source": (4, 3, 6), "field": 2, "stride": 1, "channels": 5}
# Fields cut off at the edges: at one edge, at two; all of them, where a field is wider than the map; with strides.
CUT: dict[str, Any] = {"source": (8, 12, 3), "field": 3, "stride": 1, "padding": 1, "channels": 2}
SQUARE: dict[str, Any] = {"source": (8, 8, 1), "field": 5, "stride": 1, "padding": 2, "channels": 3}
ALL_CUT: dict[str, Any] = {"source": (3, 3, 2), "field": 5, "stride": 1, "padding": 2, "channels": 3}
STRIDES: dict[str, Any] = {"source": (7, 11, 3), "field": 3, "stride": 2, "padding": 1, "channels": 1}
EVEN: dict[str, Any] = {"source": (5, 7, 1), "field": 4, "stride": 1, "padding": 2, "channels": 3}
UNCUT: dict[str, Any] = {"source": (6, 10, 2), "field": 3, "stride": 1, "channels": 3}
NAMED = {
    "pixels": (PIXELS, (2, 3), [(1, 3), (2, 3), (2, 1), (1, 1)]),
    "grid": (GRID, (3, 2), [(1, 2), (3, 2), (1, 1)]),
    "cut off": (CUT, (8, 12), [(1, 12), (2, 12), (8, 12), (4, 6), (2, 4), (8, 3), (1, 1)]),
    "square": (SQUARE, (8, 8), [(2, 8), (4, 4), (2, 2)]),
    "all cut off": (ALL_CUT, (3, 3), [(1, 3), (3, 3), (3, 1)]),
    "strides": (STRIDES, (4, 6), [(1, 6), (2, 6), (2, 3), (4, 2)]),
    "even": (EVEN, (6, 8), [(1, 8), (3, 8), (2, 4), (3, 2)]),
    "uncut": (UNCUT, (4, 8), [(1, 8), (4, 8), (2, 4), (1, 2)]),
}
GEOMETRIES = pytest.mark.parametrize(
    ("geometry", "grid"),
    [
        pytest.param(geometry | {"tile": tile}, grid, id=f"{name}, {tile}")
        for name, (geometry, grid, tiles) in NAMED.items()
        for tile in (None, *tiles)
    ],
)
TILED = pytest.mark.parametrize(
    ("geometry", "tiles"),
    [pytest.param(geometry, tiles, id=name) for name, (geometry, _, tiles) in NAMED.items()],
)


@GEOMETRIES
def test_a_unit_sees_its_field_in_the_order_of_the_map(geometry: dict[str, Any], grid: tuple[int, int]) -> None:
    layer = local(**geometry)
    weights = local(**geometry | {"tile": None, "padding": 0, "source": padded(geometry)}).weight  # as they are given
    field, stride, channels, edge = (geometry.get(name, 0) for name in ("field", "stride", "channels", "padding"))
    maps, onto = random(7, *geometry["source"], seed=2), random(layer.width, seed=1)
    framed = np.pad(maps.numpy(), ((0, 0), (edge, edge), (edge, edge), (0, 0)))
    expected = np.zeros((7, *grid, channels))
    for row in range(grid[0]):
        for column in range(grid[1]):
            top, left = row * stride, column * stride
            seen = framed[:, top : top + field, left : left + field].reshape(7, -1)
            expected[:, row, column] = seen @ weights[row * grid[1] + column].numpy()
    assert (layer.rows, layer.columns) == grid
    assert layer.width == grid[0] * grid[1] * channels
    assert layer.fan_in == np.prod(geometry["source"])
    np.testing.assert_allclose(
        layer.product(maps.view(7, -1), onto), expected.reshape(7, -1) + onto.numpy(), rtol=0, atol=1e-12
    )


def padded(geometry: dict[str, Any]) -> tuple[int, int, int]:
    """The shape of the source with what is beyond its edges."""
    edge = geometry.get("padding", 0)
    height, width, channels = geometry["source"]
    return height + 2 * edge, width + 2 * edge, channels


@GEOMETRIES
@pytest.mark.parametrize("tile_by_tile", [True, False], ids=["as on a CPU", "all at once as on a GPU"])
def test_local_fields_are_a_dense_layer_with_most_weights_away(
    geometry: dict[str, Any], grid: tuple[int, int], tile_by_tile: bool
) -> None:
    layer = local(**geometry)
    assert layer._tile_by_tile == (geometry["tile"] is not None)
    layer._tile_by_tile &= tile_by_tile
    mask = mask_of(layer)
    masked = Dense(as_dense(layer, layer.weight), torch.float64)
    assert torch.equal(masked.weight != 0, mask != 0)
    for step in range(4):
        source, delta = random(9, len(mask), seed=10 + step), random(9, layer.width, seed=20 + step)
        onto = random(9, layer.width, seed=30 + step)
        torch.testing.assert_close(layer.product(source, onto), masked.product(source, onto), rtol=0, atol=1e-12)
        before = as_dense(layer, layer.weight)
        for one in (layer, masked):
            one.learn(source, delta, share=0.02, momentum=0.9, rate=0.5, weight_cost=0.02)
        masked.weight.mul_(mask)
        masked.velocity.mul_(mask)
        # As dense they are exactly 0 where there are no weights; all the others change.
        learned = as_dense(layer, layer.weight)
        assert torch.equal(learned != before, mask != 0)
        torch.testing.assert_close(learned, masked.weight, rtol=0, atol=1e-12)
        torch.testing.assert_close(as_dense(layer, layer.velocity), masked.velocity, rtol=0, atol=1e-12)


@pytest.mark.parametrize("geometry", [PIXELS, GRID], ids=["pixels", "grid"])
def test_where_fields_are_whole_and_alone_every_weight_exists(geometry: dict[str, Any]) -> None:
    layer = local(**geometry)
    mask = mask_of(layer)
    assert layer.kept is None
    assert mask.count_nonzero() == layer.weight.numel()
    assert mask.mean() < 0.75


@GEOMETRIES
def test_what_is_kept_is_where_there_are_weights(geometry: dict[str, Any], grid: tuple[int, int]) -> None:
    layer = local(**geometry)
    exists = torch.zeros_like(layer.weight)
    for block in blocks(layer):
        exists[block.kept] = 1
    kept = torch.ones_like(layer.weight) if layer.kept is None else layer.kept
    assert kept.dtype == layer.weight.dtype
    assert torch.equal(kept, exists)
    assert torch.equal(layer.weight != 0, exists != 0)


@TILED
@pytest.mark.parametrize("products", [torch.float64, torch.bfloat16])
def test_tiles_change_nothing(geometry: dict[str, Any], tiles: list[tuple[int, int]], products: torch.dtype) -> None:
    exact = products == torch.float64
    kinds = {"products": products, "dtype": torch.float64 if exact else torch.float32}
    single, *tiled = (local(**geometry, **kinds, tile=tile) for tile in (None, *tiles))
    for other in tiled:
        assert torch.equal(other.by_location(), single.by_location())
    for step in range(3):
        source, delta = (
            random(6, size, seed=10 * step + size, dtype=single.weight.dtype) for size in (single.fan_in, single.width)
        )
        onto = torch.zeros(single.width, dtype=single.weight.dtype)
        expected = single.product(source, onto)
        single.learn(source, delta, share=0.02, momentum=0.9, rate=0.5, weight_cost=0.02)
        for other in tiled:
            torch.testing.assert_close(other.product(source, onto), expected, rtol=0, atol=1e-12 if exact else 0.03)
            other.learn(source, delta, share=0.02, momentum=0.9, rate=0.5, weight_cost=0.02)
            learned = other.by_location()
            # Factors of very small products are not rounded, so one may be where the other's are not.
            torch.testing.assert_close(learned, single.by_location(), rtol=0, atol=1e-12 if exact else 2e-3)


@GEOMETRIES
def test_weights_by_location_come_back_as_they_were_given(geometry: dict[str, Any], grid: tuple[int, int]) -> None:
    layer = local(**geometry)
    given = local(**geometry | {"tile": None, "padding": 0, "source": padded(geometry)}).weight
    expected = torch.zeros_like(given)  # what lies beyond an edge counts for nothing
    for block in blocks(layer):
        expected[block.located] = given[block.located]
    assert torch.equal(layer.by_location(), expected)
    assert torch.equal(expected, given) == ("padding" not in geometry)
    again = LocalFields(
        layer.by_location(),
        layer.source,
        field=layer.field,
        stride=layer.stride,
        padding=layer.padding,
        tile=layer.tile,
        products=torch.float64,
    )
    assert torch.equal(again.weight, layer.weight)


@pytest.mark.parametrize("geometry", [CUT, ALL_CUT, STRIDES, EVEN, PIXELS])
def test_inside_is_what_a_loop_over_locations_and_places_finds(geometry: dict[str, Any]) -> None:
    (height, width, channels), field, stride = geometry["source"], geometry["field"], geometry["stride"]
    edge = geometry.get("padding", 0)
    expected = [
        [
            0 <= top + y < height and 0 <= left + x < width
            for y in range(field)
            for x in range(field)
            for _ in range(channels)
        ]
        for top in range(-edge, height + edge - field + 1, stride)
        for left in range(-edge, width + edge - field + 1, stride)
    ]
    found = inside((height, width, channels), field=field, stride=stride, padding=edge)
    assert found.dtype == torch.bool
    assert found.tolist() == expected
    assert bool(found.all()) == (edge == 0)


@GEOMETRIES
def test_autograd_finds_the_gradients_of_a_masked_linear_map(geometry: dict[str, Any], grid: tuple[int, int]) -> None:
    layer = local(**geometry)
    mask = mask_of(layer)
    source, asked = random(5, len(mask), seed=1), random(5, layer.width, seed=2)
    gradients = []
    for drive, weight in (
        (layer.drive, layer.weight.clone()),
        (lambda given, weight, bias: linear(given, (weight * mask).t(), bias), as_dense(layer, layer.weight)),
    ):
        given, bias = source.clone().requires_grad_(), random(layer.width, seed=3).requires_grad_()
        driven = drive(given, weight.requires_grad_(), bias)
        (driven * asked).sum().backward()
        gradients.append((driven.detach(), given.grad, weight.grad, bias.grad))
    (mine, mine_given, mine_weight, mine_bias), (expected, of_given, of_weight, of_bias) = gradients
    assert mine_weight is not None
    kept = mine_weight if layer.kept is None else mine_weight * layer.kept
    torch.testing.assert_close(mine, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(mine_given, of_given, rtol=0, atol=1e-12)
    torch.testing.assert_close(as_dense(layer, kept), of_weight, rtol=0, atol=1e-12)
    torch.testing.assert_close(mine_bias, of_bias, rtol=0, atol=1e-12)


@pytest.mark.parametrize("at_once", [1, 2, 3, 4, 9, 10])
@pytest.mark.parametrize(
    "geometry",
    [CUT | {"tile": (4, 12)}, CUT | {"tile": (4, 6)}, PIXELS],
    ids=["cut off in bands", "in tiles", "pixels"],
)
@pytest.mark.parametrize("rows", [(), (10,)], ids=["one for all rows", "each its own"])
def test_rows_worked_on_in_parts_give_what_all_at_once_give(
    at_once: int, geometry: dict[str, Any], rows: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parted = local(**geometry), local(**geometry)
    source, onto = random(10, whole.fan_in, seed=1), random(*rows, whole.width, seed=2)
    seen: list[int] = []
    windows = LocalFields.windows

    def spy(layer: LocalFields, source: Tensor) -> Tensor | list[Tensor]:
        seen.append(len(source))
        return windows(layer, source)

    monkeypatch.setattr(LocalFields, "windows", spy)
    driven = whole.product(source, onto)
    for _ in range(3):
        whole.learn(source, driven, share=0.02, momentum=0.9, rate=0.5, weight_cost=0.02)
    assert seen == [10] * 4
    seen.clear()
    n_blocks, given, _ = whole.weight.shape
    monkeypatch.setattr("ffrepro.forward_forward.local_fields._GATHERED", (at_once + 1) * n_blocks * given - 1)
    torch.testing.assert_close(parted.product(source, onto), driven, rtol=0, atol=1e-12)
    for _ in range(3):
        parted.learn(source, driven, share=0.02, momentum=0.9, rate=0.5, weight_cost=0.02)
    torch.testing.assert_close(parted.weight, whole.weight, rtol=0, atol=1e-12)
    torch.testing.assert_close(parted.velocity, whole.velocity, rtol=0, atol=1e-12)
    parts = [at_once] * (10 // at_once) + [10 % at_once] * (10 % at_once > 0)
    assert seen == parts + 3 * ([10] if "tile" in geometry else parts)  # gradients of tiles gather little


def test_a_row_is_worked_on_however_much_it_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = local(**CUT)
    source, onto = random(3, layer.fan_in, seed=1), random(3, layer.width, seed=2)
    expected = layer.product(source, onto)
    monkeypatch.setattr("ffrepro.forward_forward.local_fields._GATHERED", 1)
    torch.testing.assert_close(layer.product(source, onto), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("geometry", [GRID, UNCUT | {"tile": (2, 4)}], ids=["alone", "in tiles"])
def test_no_weights_are_shared_between_locations(geometry: dict[str, Any]) -> None:
    layer = local(**geometry)
    before = layer.by_location()
    delta = torch.zeros(9, layer.rows, layer.columns, layer.channels, dtype=torch.float64)
    delta[:, 1, 0] = 1.0  # asks something of one location alone
    layer.learn(random(9, layer.fan_in), delta.view(9, -1), share=0.1, momentum=0.0, rate=1.0, weight_cost=0.0)
    changed = (layer.by_location() != before).flatten(1)
    assert changed[layer.columns].all()
    assert changed.any(1).nonzero().flatten().tolist() == [layer.columns]


# What is shown of them -----------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "each", "shown"), [(6, 1, 6), (10, 2, 10), (24, 4, 24), (64, 4, 24)])
@pytest.mark.parametrize("colours", [(), (3,)], ids=["grey", "colour"])
def test_local_fields_shown_are_as_many_of_each_location(
    n: int, each: int, shown: int, colours: tuple[int, ...]
) -> None:
    layer = local(**PIXELS | {"source": (8, 11, *(colours or (1,)))})
    fields = layer.fields(n, (8, 11, *colours))
    assert fields.shape == (shown, 5, 5, *colours)
    for number in range(shown):
        location, channel = divmod(number, each)
        for place, at in enumerate(np.ndindex(5, 5, *colours)):
            assert fields[number][at] == layer.weight[location, place, channel]


@pytest.mark.parametrize("tile", [None, (2, 12), (4, 6)])
def test_of_many_locations_those_shown_are_spread_over_the_grid(tile: tuple[int, int] | None) -> None:
    layer = local(**CUT, tile=tile)  # 8 × 12
    weights = layer.by_location()
    for n, rows, columns in (
        (4, (2, 6), (3, 9)),
        (9, (1, 4, 6), (2, 6, 10)),
        (64, range(8), (0, 2, 3, 5, 6, 8, 9, 11)),
    ):
        fields = layer.fields(n, (8, 12, 3))
        assert fields.shape == (n, 3, 3, 3)
        for field, at in zip(fields, [row * 12 + column for row in rows for column in columns], strict=True):
            assert torch.equal(field.flatten(), weights[at, :, 0])


def test_what_is_cut_off_is_shown_as_0() -> None:
    layer = local((4, 4, 1), field=3, stride=1, channels=2, padding=1, tile=(2, 2))
    corner, along = layer.fields(64, (4, 4))[[0, 2]]
    assert (corner != 0).tolist() == [[False] * 3, [False, True, True], [False, True, True]]
    assert (along != 0).tolist() == [[False] * 3, [True] * 3, [True] * 3]


# Both ----------------------------------------------------------------------------------------------

MAKERS: dict[str, Callable[[torch.dtype], Kind]] = {
    "dense": lambda products: dense(300, 200, products, dtype=torch.float32),
    "local on pixels": lambda products: local(
        (16, 16, 1), field=10, stride=6, channels=50, products=products, dtype=torch.float32
    ),
    "local on a grid": lambda products: local(
        (3, 3, 60), field=2, stride=1, channels=50, products=products, dtype=torch.float32
    ),
    "cut off": lambda products: local(
        (8, 8, 12), field=5, stride=1, channels=6, padding=2, tile=(4, 4), products=products, dtype=torch.float32
    ),
}
KINDS = pytest.mark.parametrize("kind", MAKERS)


@KINDS
def test_bf16_products_stay_close_to_fp32(kind: str) -> None:
    full, rounded = MAKERS[kind](torch.float32), MAKERS[kind](torch.bfloat16)
    weight = full.weight.clone()
    source, onto = (random(64, n, seed=n, dtype=torch.float32) for n in (full.fan_in, full.width))
    source = normalize(source)
    for _ in range(3):
        exact, close = (layer.product(source, onto) - onto for layer in (full, rounded))
        assert close.dtype == torch.float32
        assert not torch.equal(close, exact)
        assert (close - exact).abs().max() < 0.05  # they are about 1, bf16 has 8 bits
        assert (close - exact).abs().mean() < 0.005
        for layer in (full, rounded):
            layer.learn(source, 0.1 * exact.relu(), share=0.5 / 64, momentum=0.5, rate=1.0, weight_cost=0.01)
    # The weights themselves are kept and updated in fp32, and every step renews the rounded ones.
    assert rounded.weight.dtype == rounded.velocity.dtype == torch.float32
    torch.testing.assert_close(rounded.weight, full.weight, rtol=0, atol=1e-3)
    assert (full.weight - weight).abs().max() > 0.01
    torch.testing.assert_close(rounded.product(source, onto), full.product(source, onto), rtol=0.02, atol=0.05)


def velocities_of_two_steps(kind: str, rows: int = 48) -> tuple[Tensor, Tensor, Tensor]:
    """With products of bf16; of fp32 from factors rounded beforehand; and of fp32."""
    rounded, exact, full = (MAKERS[kind](products) for products in (torch.bfloat16, torch.float32, torch.float32))
    for seed in (0, 2):
        source = random(rows, full.fan_in, seed=seed, dtype=torch.float32)
        delta = random(rows, full.width, seed=seed + 1, dtype=torch.float32)
        for layer, factors in (
            (rounded, (source, delta)),
            (exact, (source.bfloat16().float(), delta.bfloat16().float())),
            (full, (source, delta)),
        ):
            layer.learn(*factors, share=0.5, momentum=0.5, rate=0.0, weight_cost=0.0)
    return rounded.velocity, exact.velocity, full.velocity


@KINDS
@pytest.mark.skipif(
    not torch.cpu.get_capabilities().get("amx_bf16"), reason="this processor does not round factors in passing"
)
def test_gradients_are_of_factors_rounded_to_bf16_and_summed_in_fp32(kind: str) -> None:
    rounded, exact, full = velocities_of_two_steps(kind)
    torch.testing.assert_close(rounded, exact, rtol=1e-5, atol=1e-5)
    assert (rounded - full).abs().max() > 0.005


@KINDS
@pytest.mark.parametrize("rows", [1, 32, 48])
def test_gradients_of_copied_factors_are_rounded_too(kind: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "copies_factors", lambda products, device: products == torch.bfloat16)
    rounded, exact, full = velocities_of_two_steps(kind, rows)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=2**-8, atol=0.05)  # of steps of about 3, kept to 8 bits
    seen = exact != 0
    assert 0 < (rounded - exact)[seen].abs().mean() < 2**-9 * exact[seen].abs().mean()
    assert (rounded - full).abs().max() > 0.005


@KINDS
@pytest.mark.parametrize("products", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rounds_copies", [False, True])
def test_weights_that_learn_in_parts_learn_the_same(
    kind: str, products: torch.dtype, rounds_copies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "copies_factors", lambda products, device: rounds_copies)
    whole, parted = MAKERS[kind](products), MAKERS[kind](products)
    steps: list[tuple[int, ...]] = []

    def spy(weight: Tensor, *arguments: Any) -> None:
        steps.append(tuple(weight.shape))
        momentum_step(weight, *arguments)

    monkeypatch.setattr(weights, "momentum_step", spy)
    for layer, learned in ((whole, 10**9), (parted, 7 * 200)):
        monkeypatch.setattr(weights, "_LEARNED", learned)
        for seed in (0, 2):
            source, delta = (random(40, n, seed=seed + n, dtype=torch.float32) for n in (layer.fan_in, layer.width))
            layer.learn(source, delta, share=0.1, momentum=0.9, rate=0.1, weight_cost=0.01)
    if kind == "dense":  # 300 × 200: 43 parts of 7 rows, the last of 6
        assert steps == 2 * [(300, 200)] + 2 * (42 * [(7, 200)] + [(6, 200)])
    torch.testing.assert_close(parted.velocity, whole.velocity, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(parted.weight, whole.weight, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(parted.rounded, whole.rounded, rtol=0.01, atol=1e-5)
    assert torch.equal(parted.rounded, parted.weight.to(products))


@KINDS
def test_steps_of_no_rows_keep_the_momentum_alone(kind: str) -> None:
    layer, still = MAKERS[kind](torch.float32), MAKERS[kind](torch.float32)
    for one, rows in ((layer, 0), (still, 8)):
        source, delta = random(8, one.fan_in, dtype=torch.float32), random(8, one.width, seed=1, dtype=torch.float32)
        one.learn(source, delta, share=0.1, momentum=0.9, rate=0.1, weight_cost=0.01)
        one.learn(source[:rows], 0.0 * delta[:rows], share=0.1, momentum=0.9, rate=0.1, weight_cost=0.01)
    assert torch.equal(layer.velocity, still.velocity)
    assert torch.equal(layer.weight, still.weight)


@KINDS
@pytest.mark.parametrize("products", [torch.float32, torch.bfloat16])
def test_weights_go_on_from_their_state_as_if_uncut(kind: str, products: torch.dtype) -> None:
    def step(layer: Kind, seed: int) -> None:
        delta = random(8, layer.width, seed=seed, dtype=torch.float32)
        layer.learn(source, delta, share=0.01, momentum=0.9, rate=0.1, weight_cost=0.01)

    layer, resumed = MAKERS[kind](products), MAKERS[kind](products)
    source, onto = random(8, layer.fan_in, dtype=torch.float32), torch.zeros(layer.width)
    step(layer, 2)
    state = copy.deepcopy(layer.state_dict())
    assert set(state) == {"weight", "velocity"}
    step(resumed, 4)  # whatever it did before
    resumed.load_state_dict(state)
    assert torch.equal(resumed.product(source, onto), layer.product(source, onto))
    for one in (layer, resumed):
        step(one, 3)
    assert torch.equal(resumed.product(source, onto), layer.product(source, onto))
    assert torch.equal(resumed.weight, layer.weight)
    assert torch.equal(resumed.velocity, layer.velocity)
    assert not torch.equal(layer.weight, state["weight"])
    assert not torch.equal(layer.velocity, state["velocity"])

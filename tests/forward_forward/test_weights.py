"""Weights: dense weights against loops, local fields against masked dense weights."""

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from ffrepro.architecture.modules import LocallyConnected
from ffrepro.forward_forward import weights
from ffrepro.forward_forward.local_fields import LocalFields
from ffrepro.forward_forward.local_geometry import LocalGeometry
from ffrepro.forward_forward.passes import normalize
from ffrepro.forward_forward.weights import Dense, momentum_step

Kind = Dense | LocalFields


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def dense(
    fan_in: int, width: int, compute_dtype: torch.dtype = torch.float64, *, dtype: torch.dtype = torch.float64
) -> Dense:
    return Dense(random(fan_in, width, dtype=dtype) / fan_in**0.5, compute_dtype)


def local(
    source: tuple[int, int, int],
    *,
    field: int,
    stride: int,
    channels: int,
    padding: int = 0,
    tile: tuple[int, int] | None = None,
    compute_dtype: torch.dtype = torch.float64,
    dtype: torch.dtype = torch.float64,
) -> LocalFields:
    rows, columns = ((side + 2 * padding - field) // stride + 1 for side in source[:2])
    fan_in = field * field * source[2]
    # Weights beyond the edges must not matter.
    fields = random(rows * columns, fan_in, channels, dtype=dtype) / fan_in**0.5
    geometry = LocalGeometry(source=source, field=field, stride=stride, padding=padding, channels=channels, tile=tile)
    return LocalFields(fields, geometry, compute_dtype)


def by_location(layer: LocalFields) -> Tensor:
    return layer.geometry.by_location(layer.weight)


# The place of each weight ---------------------------------------------------------------------------


class Block(NamedTuple):
    """The indices of the weights (channels of the source, channels) between a location and a place of the source."""

    dense: tuple[slice, slice]  # (fan_in, width)
    located: tuple[int, slice]  # (locations, field² · channels of the source, channels)
    kept: tuple[int, slice, slice]  # (blocks, inputs of a block, units of a block)


def blocks(geometry: LocalGeometry) -> Iterator[Block]:
    """All weights that exist."""
    (height, width, below), channels = geometry.source, geometry.channels
    field, stride, padding = geometry.field, geometry.stride, geometry.padding
    rows, columns = ((side + 2 * padding - field) // stride + 1 for side in (height, width))
    tile_rows, tile_columns = geometry.tile or (1, 1)

    def at(place: int, size: int) -> slice:
        return slice(place * size, (place + 1) * size)

    def patches(side: int, n_locations: int, size: int) -> tuple[int, list[int]]:
        """The largest number of rows (or columns) of the source that a tile sees, and the first row of each tile."""
        visible = [
            [
                place * stride + y - padding
                for place in range(first, first + size)
                for y in range(field)
                if 0 <= place * stride + y - padding < side
            ]
            for first in range(0, n_locations, size)
        ]
        most = max(max(of_tile) - min(of_tile) + 1 for of_tile in visible)
        return most, [min(*of_tile, side - most) for of_tile in visible]

    _, tops = patches(height, rows, tile_rows)
    most_columns, lefts = patches(width, columns, tile_columns)
    for row in range(rows):
        for column in range(columns):
            for y in range(field):
                for x in range(field):
                    from_y, from_x = row * stride + y - padding, column * stride + x - padding
                    if not (0 <= from_y < height and 0 <= from_x < width):
                        continue
                    if geometry.tile is None:
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


def as_dense(geometry: LocalGeometry, values: Tensor) -> Tensor:
    """Convert values by block, which are 0 if no weight exists, to those of a dense layer: (fan_in, width)."""
    assert values.shape == geometry.weight_shape
    spread = values.new_zeros(geometry.fan_in, geometry.width)
    for block in blocks(geometry):
        spread[block.dense] = values[block.kept]
    assert values.count_nonzero() == spread.count_nonzero()
    return spread


def mask_of(geometry: LocalGeometry) -> Tensor:
    """1 for the weights of a dense layer that exist in local fields, 0 for the others: (fan_in, width)."""
    mask = torch.zeros(geometry.fan_in, geometry.width, dtype=torch.float64)
    for block in blocks(geometry):
        mask[block.dense] = 1
    return mask


# Dense ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compute_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [(), (3,)], ids=["a row", "a matrix"])
def test_a_dense_product_is_added_to_a_tensor(compute_dtype: torch.dtype, rows: tuple[int, ...]) -> None:
    layer = dense(7, 5, compute_dtype, dtype=torch.float32)
    source, onto = random(3, 7, dtype=torch.float32), random(*rows, 5, seed=2, dtype=torch.float32)
    before = source.clone(), onto.clone()
    exact = torch.stack([sum(source[:, i] * layer.weight[i, j] for i in range(7)) for j in range(5)], 1) + onto
    sums = layer.product(source, onto)
    assert sums.dtype == torch.float32
    torch.testing.assert_close(sums, exact, rtol=0, atol=1e-6 if compute_dtype == torch.float32 else 0.05)
    assert (sums < 0).any()  # no relu
    sums.zero_()  # a new tensor
    assert torch.equal(source, before[0])
    assert torch.equal(onto, before[1])
    assert (layer.fan_in, layer.width) == (7, 5)


def test_dense_weights_learn_by_the_formula() -> None:
    weight = random(6, 4, seed=1)
    layer = Dense(weight.clone(), torch.float64)
    velocity = torch.zeros_like(weight)
    for step in range(3):
        source, delta = random(9, 6, seed=10 + step), random(9, 4, seed=20 + step)
        rate = 0.5 / (step + 1)
        layer.learn(source, delta, gradient_scale=0.02, momentum=0.9, lr=rate, weight_cost=0.02)
        velocity = 0.9 * velocity + 0.02 * sum(x[:, None] * d[None, :] for x, d in zip(source, delta, strict=True))
        weight = weight + rate * (velocity - 0.02 * weight)
        torch.testing.assert_close(layer.weight, weight, rtol=0, atol=1e-12)
        torch.testing.assert_close(layer.velocity, velocity, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 3)], ids=["gray", "color"])
def test_dense_fields_are_the_weights_of_each_unit_as_an_image(shape: tuple[int, ...]) -> None:
    layer = dense(int(np.prod(shape)), 6)
    fields = layer.fields(2, shape)
    assert fields.shape == (2, *shape)
    for unit in range(2):
        for number, place in enumerate(np.ndindex(shape)):
            assert fields[unit][place] == layer.weight[number, unit]
    assert layer.fields(64, shape).shape == (6, *shape)  # all units


# LocalFields ---------------------------------------------------------------------------------------

# Overlapping fields on pixels, and fields on a grid with channels. A square grid would hide a transposition.
PIXELS: dict[str, Any] = {"source": (8, 11, 1), "field": 5, "stride": 3, "channels": 4}
GRID: dict[str, Any] = {"source": (4, 3, 6), "field": 2, "stride": 1, "channels": 5}
# Fields cut off at one edge, at two edges, at all edges (a field wider than the map), and with strides.
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
    weights = local(**geometry | {"tile": None, "padding": 0, "source": padded(geometry)}).weight  # by location
    field, stride, channels, edge = (geometry.get(name, 0) for name in ("field", "stride", "channels", "padding"))
    maps, onto = random(7, *geometry["source"], seed=2), random(layer.width, seed=1)
    framed = np.pad(maps.numpy(), ((0, 0), (edge, edge), (edge, edge), (0, 0)))
    expected = np.zeros((7, *grid, channels))
    for row in range(grid[0]):
        for column in range(grid[1]):
            top, left = row * stride, column * stride
            field_pixels = framed[:, top : top + field, left : left + field].reshape(7, -1)
            expected[:, row, column] = field_pixels @ weights[row * grid[1] + column].numpy()
    assert (layer.geometry.rows, layer.geometry.columns) == grid
    assert layer.width == grid[0] * grid[1] * channels
    assert layer.fan_in == np.prod(geometry["source"])
    np.testing.assert_allclose(
        layer.product(maps.view(7, -1), onto), expected.reshape(7, -1) + onto.numpy(), rtol=0, atol=1e-12
    )


def padded(geometry: dict[str, Any]) -> tuple[int, int, int]:
    """The shape of the source with its padding."""
    edge = geometry.get("padding", 0)
    height, width, channels = geometry["source"]
    return height + 2 * edge, width + 2 * edge, channels


@GEOMETRIES
@pytest.mark.parametrize("tile_by_tile", [True, False], ids=["as on a CPU", "all at once as on a GPU"])
def test_local_fields_equal_a_masked_dense_layer(
    geometry: dict[str, Any], grid: tuple[int, int], tile_by_tile: bool
) -> None:
    layer = local(**geometry)
    assert layer.block_by_block == (geometry["tile"] is not None)
    layer.block_by_block &= tile_by_tile
    mask = mask_of(layer.geometry)
    masked = Dense(as_dense(layer.geometry, layer.weight), torch.float64)
    assert torch.equal(masked.weight != 0, mask != 0)
    for step in range(4):
        source, delta = random(9, len(mask), seed=10 + step), random(9, layer.width, seed=20 + step)
        onto = random(9, layer.width, seed=30 + step)
        torch.testing.assert_close(layer.product(source, onto), masked.product(source, onto), rtol=0, atol=1e-12)
        before = as_dense(layer.geometry, layer.weight)
        for each in (layer, masked):
            each.learn(source, delta, gradient_scale=0.02, momentum=0.9, lr=0.5, weight_cost=0.02)
        masked.weight.mul_(mask)
        masked.velocity.mul_(mask)
        # All weights that exist change. The others stay exactly 0.
        learned = as_dense(layer.geometry, layer.weight)
        assert torch.equal(learned != before, mask != 0)
        torch.testing.assert_close(learned, masked.weight, rtol=0, atol=1e-12)
        torch.testing.assert_close(as_dense(layer.geometry, layer.velocity), masked.velocity, rtol=0, atol=1e-12)


@pytest.mark.parametrize("geometry", [PIXELS, GRID], ids=["pixels", "grid"])
def test_without_padding_and_tiles_every_weight_exists(geometry: dict[str, Any]) -> None:
    layer = local(**geometry)
    mask = mask_of(layer.geometry)
    assert layer.kept is None
    assert mask.count_nonzero() == layer.weight.numel()
    assert mask.mean() < 0.75


@GEOMETRIES
def test_the_mask_is_1_where_weights_exist(geometry: dict[str, Any], grid: tuple[int, int]) -> None:
    layer = local(**geometry)
    exists = torch.zeros_like(layer.weight)
    for block in blocks(layer.geometry):
        exists[block.kept] = 1
    kept = torch.ones_like(layer.weight) if layer.kept is None else layer.kept
    assert kept.dtype == layer.weight.dtype
    assert torch.equal(kept, exists)
    assert torch.equal(layer.weight != 0, exists != 0)


@TILED
@pytest.mark.parametrize("compute_dtype", [torch.float64, torch.bfloat16])
def test_tiles_change_nothing(
    geometry: dict[str, Any], tiles: list[tuple[int, int]], compute_dtype: torch.dtype
) -> None:
    exact = compute_dtype == torch.float64
    kinds = {"compute_dtype": compute_dtype, "dtype": torch.float64 if exact else torch.float32}
    single, *tiled = (local(**geometry, **kinds, tile=tile) for tile in (None, *tiles))
    for other in tiled:
        assert torch.equal(by_location(other), by_location(single))
    for step in range(3):
        source, delta = (
            random(6, size, seed=10 * step + size, dtype=single.weight.dtype) for size in (single.fan_in, single.width)
        )
        onto = torch.zeros(single.width, dtype=single.weight.dtype)
        expected = single.product(source, onto)
        single.learn(source, delta, gradient_scale=0.02, momentum=0.9, lr=0.5, weight_cost=0.02)
        for other in tiled:
            torch.testing.assert_close(other.product(source, onto), expected, rtol=0, atol=1e-12 if exact else 0.03)
            other.learn(source, delta, gradient_scale=0.02, momentum=0.9, lr=0.5, weight_cost=0.02)
            learned = by_location(other)
            # Very small products skip the rounding of factors, and so the two may differ in it.
            torch.testing.assert_close(learned, by_location(single), rtol=0, atol=1e-12 if exact else 2e-3)


@GEOMETRIES
def test_weights_by_location_are_recovered(geometry: dict[str, Any], grid: tuple[int, int]) -> None:
    layer = local(**geometry)
    fields = local(**geometry | {"tile": None, "padding": 0, "source": padded(geometry)}).weight
    expected = torch.zeros_like(fields)  # weights beyond the edges are dropped
    for block in blocks(layer.geometry):
        expected[block.located] = fields[block.located]
    assert torch.equal(by_location(layer), expected)
    assert torch.equal(expected, fields) == ("padding" not in geometry)
    assert torch.equal(layer.geometry.as_blocks(by_location(layer))[0], layer.weight)


@pytest.mark.parametrize("geometry", [CUT, ALL_CUT, STRIDES, EVEN, PIXELS])
def test_visible_places_by_a_loop_over_locations_and_places(geometry: dict[str, Any]) -> None:
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
    visible = local(**geometry).geometry.visible(torch.device("cpu"))
    assert visible.dtype == torch.bool
    assert visible.tolist() == expected
    assert bool(visible.all()) == (edge == 0)


@GEOMETRIES
def test_gradients_equal_those_of_a_masked_linear_map(geometry: dict[str, Any], grid: tuple[int, int]) -> None:
    layer = local(**geometry)
    module = LocallyConnected(layer.geometry, by_location(layer))
    with torch.no_grad():
        module.bias.copy_(random(layer.width, seed=3))
    mask, deltas = mask_of(layer.geometry), random(5, layer.width, seed=2)
    weight, bias = (
        as_dense(layer.geometry, layer.weight).requires_grad_(),
        module.bias.detach().clone().requires_grad_(),
    )
    by_module, by_mask = (random(5, len(mask), seed=1).requires_grad_() for _ in range(2))
    sums, expected = module(by_module), linear(by_mask, (weight * mask).t(), bias)
    torch.testing.assert_close(sums, expected, rtol=0, atol=1e-12)
    (sums * deltas).sum().backward()
    (expected * deltas).sum().backward()
    assert module.weight.grad is not None
    torch.testing.assert_close(by_module.grad, by_mask.grad, rtol=0, atol=1e-12)
    torch.testing.assert_close(as_dense(layer.geometry, module.weight.grad), weight.grad, rtol=0, atol=1e-12)
    torch.testing.assert_close(module.bias.grad, bias.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize("at_once", [1, 2, 3, 4, 9, 10])
@pytest.mark.parametrize(
    "geometry",
    [CUT | {"tile": (4, 12)}, CUT | {"tile": (4, 6)}, PIXELS],
    ids=["cut off in bands", "in tiles", "pixels"],
)
@pytest.mark.parametrize("rows", [(), (10,)], ids=["a row", "a matrix"])
def test_splitting_the_rows_changes_nothing(
    at_once: int, geometry: dict[str, Any], rows: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parted = local(**geometry), local(**geometry)
    source, onto = random(10, whole.fan_in, seed=1), random(*rows, whole.width, seed=2)
    n_rows: list[int] = []
    windows = LocalGeometry.windows

    def spy(geometry: LocalGeometry, inputs: Tensor) -> Tensor | list[Tensor]:
        n_rows.append(len(inputs))
        return windows(geometry, inputs)

    monkeypatch.setattr(LocalGeometry, "windows", spy)
    sums = whole.product(source, onto)
    for _ in range(3):
        whole.learn(source, sums, gradient_scale=0.02, momentum=0.9, lr=0.5, weight_cost=0.02)
    assert n_rows == [10] * 4
    n_rows.clear()
    n_blocks, n_inputs, _ = whole.weight.shape
    monkeypatch.setattr("ffrepro.forward_forward.local_fields.NUMBERS_AT_ONCE", (at_once + 1) * n_blocks * n_inputs - 1)
    torch.testing.assert_close(parted.product(source, onto), sums, rtol=0, atol=1e-12)
    for _ in range(3):
        parted.learn(source, sums, gradient_scale=0.02, momentum=0.9, lr=0.5, weight_cost=0.02)
    torch.testing.assert_close(parted.weight, whole.weight, rtol=0, atol=1e-12)
    torch.testing.assert_close(parted.velocity, whole.velocity, rtol=0, atol=1e-12)
    parts = [at_once] * (10 // at_once) + [10 % at_once] * (10 % at_once > 0)
    assert n_rows == parts + 3 * ([10] if "tile" in geometry else parts)  # gradients by tile are not split


def test_a_row_of_any_size_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = local(**CUT)
    source, onto = random(3, layer.fan_in, seed=1), random(3, layer.width, seed=2)
    expected = layer.product(source, onto)
    monkeypatch.setattr("ffrepro.forward_forward.local_fields.NUMBERS_AT_ONCE", 1)
    torch.testing.assert_close(layer.product(source, onto), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("geometry", [GRID, UNCUT | {"tile": (2, 4)}], ids=["alone", "in tiles"])
def test_no_weights_are_shared_between_locations(geometry: dict[str, Any]) -> None:
    layer = local(**geometry)
    before = by_location(layer)
    delta = torch.zeros(9, layer.geometry.rows, layer.geometry.columns, layer.geometry.channels, dtype=torch.float64)
    delta[:, 1, 0] = 1.0  # the delta of a single location
    layer.learn(random(9, layer.fan_in), delta.view(9, -1), gradient_scale=0.1, momentum=0.0, lr=1.0, weight_cost=0.0)
    changed = (by_location(layer) != before).flatten(1)
    assert changed[layer.geometry.columns].all()
    assert changed.any(1).nonzero().flatten().tolist() == [layer.geometry.columns]


# Pictures of fields -------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "each", "shown"), [(6, 1, 6), (10, 2, 10), (24, 4, 24), (64, 4, 24)])
@pytest.mark.parametrize("colors", [(), (3,)], ids=["gray", "color"])
def test_local_fields_show_equally_many_units_of_each_location(
    n: int, each: int, shown: int, colors: tuple[int, ...]
) -> None:
    layer = local(**PIXELS | {"source": (8, 11, *(colors or (1,)))})
    fields = layer.fields(n, (8, 11, *colors))
    assert fields.shape == (shown, 5, 5, *colors)
    for number in range(shown):
        location, channel = divmod(number, each)
        for place, at in enumerate(np.ndindex(5, 5, *colors)):
            assert fields[number][at] == layer.weight[location, place, channel]


@pytest.mark.parametrize("tile", [None, (2, 12), (4, 6)])
def test_shown_locations_are_spread_over_the_grid(tile: tuple[int, int] | None) -> None:
    layer = local(**CUT, tile=tile)  # 8 × 12
    weights = by_location(layer)
    for n, rows, columns in (
        (4, (2, 6), (3, 9)),
        (9, (1, 4, 6), (2, 6, 10)),
        (64, range(8), (0, 2, 3, 5, 6, 8, 9, 11)),
    ):
        fields = layer.fields(n, (8, 12, 3))
        assert fields.shape == (n, 3, 3, 3)
        for field, at in zip(fields, [row * 12 + column for row in rows for column in columns], strict=True):
            assert torch.equal(field.flatten(), weights[at, :, 0])


def test_places_beyond_the_edges_are_shown_as_0() -> None:
    layer = local((4, 4, 1), field=3, stride=1, channels=2, padding=1, tile=(2, 2))
    corner, along = layer.fields(64, (4, 4))[[0, 2]]
    assert (corner != 0).tolist() == [[False] * 3, [False, True, True], [False, True, True]]
    assert (along != 0).tolist() == [[False] * 3, [True] * 3, [True] * 3]


# Both ----------------------------------------------------------------------------------------------

MAKERS: dict[str, Callable[[torch.dtype], Kind]] = {
    "dense": lambda compute_dtype: dense(300, 200, compute_dtype, dtype=torch.float32),
    "local on pixels": lambda compute_dtype: local(
        (16, 16, 1), field=10, stride=6, channels=50, compute_dtype=compute_dtype, dtype=torch.float32
    ),
    "local on a grid": lambda compute_dtype: local(
        (3, 3, 60), field=2, stride=1, channels=50, compute_dtype=compute_dtype, dtype=torch.float32
    ),
    "cut off": lambda compute_dtype: local(
        (8, 8, 12),
        field=5,
        stride=1,
        channels=6,
        padding=2,
        tile=(4, 4),
        compute_dtype=compute_dtype,
        dtype=torch.float32,
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
        assert (close - exact).abs().max() < 0.05  # sums are about 1, and bf16 has 8 bits
        assert (close - exact).abs().mean() < 0.005
        for layer in (full, rounded):
            layer.learn(source, 0.1 * exact.relu(), gradient_scale=0.5 / 64, momentum=0.5, lr=1.0, weight_cost=0.01)
    # Weights are updated in fp32, and every step renews the rounded copy.
    assert rounded.weight.dtype == rounded.velocity.dtype == torch.float32
    torch.testing.assert_close(rounded.weight, full.weight, rtol=0, atol=1e-3)
    assert (full.weight - weight).abs().max() > 0.01
    torch.testing.assert_close(rounded.product(source, onto), full.product(source, onto), rtol=0.02, atol=0.05)


def velocities_of_two_steps(kind: str, rows: int = 48) -> tuple[Tensor, Tensor, Tensor]:
    """The velocities with bf16 products, with fp32 products of rounded factors, and with fp32 products."""
    rounded, exact, full = (
        MAKERS[kind](compute_dtype) for compute_dtype in (torch.bfloat16, torch.float32, torch.float32)
    )
    for seed in (0, 2):
        source = random(rows, full.fan_in, seed=seed, dtype=torch.float32)
        delta = random(rows, full.width, seed=seed + 1, dtype=torch.float32)
        for layer, factors in (
            (rounded, (source, delta)),
            (exact, (source.bfloat16().float(), delta.bfloat16().float())),
            (full, (source, delta)),
        ):
            layer.learn(*factors, gradient_scale=0.5, momentum=0.5, lr=0.0, weight_cost=0.0)
    return rounded.velocity, exact.velocity, full.velocity


@KINDS
@pytest.mark.skipif(
    not torch.cpu.get_capabilities().get("amx_bf16"), reason="this processor has no bf16 products with fp32 sums"
)
def test_gradients_round_factors_to_bf16_and_sum_in_fp32(kind: str) -> None:
    rounded, exact, full = velocities_of_two_steps(kind)
    torch.testing.assert_close(rounded, exact, rtol=1e-5, atol=1e-5)
    assert (rounded - full).abs().max() > 0.005


@KINDS
@pytest.mark.parametrize("rows", [1, 32, 48])
def test_gradients_of_copied_factors_are_rounded(kind: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "copies_factors", lambda compute_dtype, device: compute_dtype == torch.bfloat16)
    rounded, exact, full = velocities_of_two_steps(kind, rows)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=2**-8, atol=0.05)  # steps are about 3, with 8 bits
    exists = exact != 0
    assert 0 < (rounded - exact)[exists].abs().mean() < 2**-9 * exact[exists].abs().mean()
    assert (rounded - full).abs().max() > 0.005


@KINDS
@pytest.mark.parametrize("compute_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rounds_copies", [False, True])
def test_learning_in_parts_changes_nothing(
    kind: str, compute_dtype: torch.dtype, rounds_copies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "copies_factors", lambda compute_dtype, device: rounds_copies)
    whole, parted = MAKERS[kind](compute_dtype), MAKERS[kind](compute_dtype)
    steps: list[tuple[int, ...]] = []

    def spy(weight: Tensor, *arguments: Any) -> None:
        steps.append(tuple(weight.shape))
        momentum_step(weight, *arguments)

    monkeypatch.setattr(weights, "momentum_step", spy)
    for layer, learned in ((whole, 10**9), (parted, 7 * 200)):
        monkeypatch.setattr(weights, "WEIGHTS_AT_ONCE", learned)
        for seed in (0, 2):
            source, delta = (random(40, n, seed=seed + n, dtype=torch.float32) for n in (layer.fan_in, layer.width))
            layer.learn(source, delta, gradient_scale=0.1, momentum=0.9, lr=0.1, weight_cost=0.01)
    if kind == "dense":  # 300 × 200: 43 parts of 7 rows, the last of 6
        assert steps == 2 * [(300, 200)] + 2 * (42 * [(7, 200)] + [(6, 200)])
    torch.testing.assert_close(parted.velocity, whole.velocity, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(parted.weight, whole.weight, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(parted.rounded, whole.rounded, rtol=0.01, atol=1e-5)
    assert torch.equal(parted.rounded, parted.weight.to(compute_dtype))


@KINDS
def test_a_step_without_rows_is_momentum_alone(kind: str) -> None:
    layer, still = MAKERS[kind](torch.float32), MAKERS[kind](torch.float32)
    for each, rows in ((layer, 0), (still, 8)):
        source, delta = random(8, each.fan_in, dtype=torch.float32), random(8, each.width, seed=1, dtype=torch.float32)
        each.learn(source, delta, gradient_scale=0.1, momentum=0.9, lr=0.1, weight_cost=0.01)
        each.learn(source[:rows], 0.0 * delta[:rows], gradient_scale=0.1, momentum=0.9, lr=0.1, weight_cost=0.01)
    assert torch.equal(layer.velocity, still.velocity)
    assert torch.equal(layer.weight, still.weight)


@KINDS
@pytest.mark.parametrize("compute_dtype", [torch.float32, torch.bfloat16])
def test_weights_resume_from_their_state(kind: str, compute_dtype: torch.dtype) -> None:
    def step(layer: Kind, seed: int) -> None:
        delta = random(8, layer.width, seed=seed, dtype=torch.float32)
        layer.learn(source, delta, gradient_scale=0.01, momentum=0.9, lr=0.1, weight_cost=0.01)

    layer, resumed = MAKERS[kind](compute_dtype), MAKERS[kind](compute_dtype)
    source, onto = random(8, layer.fan_in, dtype=torch.float32), torch.zeros(layer.width)
    step(layer, 2)
    state = copy.deepcopy(layer.state_dict())
    assert set(state) == {"weight", "velocity"}
    step(resumed, 4)  # its earlier state must not matter
    resumed.load_state_dict(state)
    assert torch.equal(resumed.product(source, onto), layer.product(source, onto))
    for each in (layer, resumed):
        step(each, 3)
    assert torch.equal(resumed.product(source, onto), layer.product(source, onto))
    assert torch.equal(resumed.weight, layer.weight)
    assert torch.equal(resumed.velocity, layer.velocity)
    assert not torch.equal(layer.weight, state["weight"])
    assert not torch.equal(layer.velocity, state["velocity"])

"""Nets with local receptive fields: their shapes, first weights and fields, and layers that do not fit."""

from typing import Any

import pytest
import torch
from torch import Tensor

from ffrepro.architecture import Place
from ffrepro.architecture.local_receptive_fields import LocalReceptiveFields
from ffrepro.errors import UserError
from ffrepro.forward_forward.connections import Connections
from ffrepro.forward_forward.local_fields import LocalFields
from ffrepro.forward_forward.weights import Dense

PAPER = [(4, 6, 10, 128), (3, 1, 2, 220), (2, 1, 2, 512)]


def connections(
    layers: list[tuple[int, ...]],
    init_variance_scale: float = 1.0,
    *,
    padding: int = 0,
    input_shape: tuple[int, ...] = (28, 28),
    seed: int = 0,
    compute_dtype: torch.dtype = torch.float32,
    param_dtype: torch.dtype = torch.float32,
    top_down_units: int | None = None,
) -> list[Connections]:
    return LocalReceptiveFields(layers, init_variance_scale, padding).connections(
        input_shape,
        torch.Generator().manual_seed(seed),
        Place(torch.device("cpu"), compute_dtype, param_dtype),
        top_down_units,
    )


def local(layer: Connections, source: int = 0) -> LocalFields:
    """The weights of a source: 0 is the map below, 1 the map above."""
    weights = layer.sources[source]
    assert isinstance(weights, LocalFields)
    return weights


def by_location(weights: LocalFields) -> Tensor:
    return weights.geometry.by_location(weights.weight)


def only(layer: Connections) -> LocalFields:
    assert len(layer.sources) == 1
    return local(layer)


def test_the_papers_net_has_its_widths_and_about_2000_units_a_layer() -> None:
    layers = connections(PAPER)
    shapes = [(16, 100, 128), (9, 512, 220), (4, 880, 512)]
    assert [tuple(only(layer).weight.shape) for layer in layers] == shapes
    assert [layer.width for layer in layers] == [2048, 1980, 2048]
    assert [only(layer).geometry.source for layer in layers] == [(28, 28, 1), (4, 4, 128), (3, 3, 220)]
    assert all(torch.equal(layer.bias, torch.zeros(layer.width)) for layer in layers)
    below = torch.rand(3, 784, generator=torch.Generator().manual_seed(1))
    for layer in layers:
        below = layer(below)
        assert below.shape == (3, layer.width)
        assert (below > 0).float().mean().item() == pytest.approx(0.5, abs=0.1)


def test_the_variance_of_weights_is_1_over_the_size_of_a_field() -> None:
    # With the number of all units below instead, the first would be 1/28; with channels, 1/sqrt(128).
    for layer, fan_in in zip(connections(PAPER), (100, 4 * 128, 4 * 220), strict=True):
        weights = by_location(only(layer))
        assert weights.std().item() == pytest.approx(fan_in**-0.5, rel=0.01)
        assert weights.mean().abs().item() < 5 * (fan_in * weights.numel()) ** -0.5
        for location in weights:  # the same variance, but different weights
            assert location.std().item() == pytest.approx(fan_in**-0.5, rel=0.03)
        assert len({location[0, 0].item() for location in weights}) == len(weights)


def test_the_scale_multiplies_the_variance() -> None:
    torch.testing.assert_close(
        only(connections(PAPER, 2.0)[1]).weight, 2**0.5 * only(connections(PAPER, 1.0)[1]).weight
    )
    for layer, other in zip(
        connections(CUT, 2.0, **ON_9, top_down_units=5), connections(CUT, 1.0, **ON_9, top_down_units=5), strict=True
    ):
        for weights, others in zip(layer.sources, other.sources, strict=True):
            torch.testing.assert_close(weights.weight, 2**0.5 * others.weight)


def test_a_seed_gives_one_net() -> None:
    for layer, same, other in zip(connections(PAPER), connections(PAPER), connections(PAPER, seed=1), strict=True):
        assert torch.equal(only(layer).weight, only(same).weight)
        assert not torch.equal(only(layer).weight, only(other).weight)


def test_weights_have_the_requested_precision() -> None:
    wide = connections(CUT, **ON_9, top_down_units=5, param_dtype=torch.float64)
    narrow = connections(CUT, **ON_9, top_down_units=5, compute_dtype=torch.bfloat16)
    for layer, other in zip(wide, narrow, strict=True):
        assert layer.bias.dtype == torch.float64
        for weights, others in zip(layer.sources, other.sources, strict=True):
            assert weights.weight.dtype == torch.float64
            assert others.weight.dtype == torch.float32
            assert torch.equal(weights.weight.float(), others.weight)


@pytest.mark.parametrize(
    ("layers", "input_shape", "padding", "named"),
    [
        ([(4, 6, 9, 128)], (28, 28), 0, r"\[4,6,9,128\], whose fields cover 27 × 27 of the 28 × 28"),
        ([(4, 6, 11, 128)], (28, 28), 0, r"\[4,6,11,128\], whose fields cover 29 × 29 of the 28 × 28"),
        ([(4, 6, 10, 128), (3, 2, 2, 220)], (28, 28), 0, r"\[3,2,2,220\], whose fields cover 6 × 6 of the 4 × 4"),
        ([*PAPER[:2], (1, 1, 2, 5)], (28, 28), 0, r"\[1,1,2,5\], whose fields cover 2 × 2 of the 3 × 3"),
        (PAPER, (28, 30), 0, r"\[4,6,10,128\], whose fields cover 28 × 28 of the 28 × 30"),
        (PAPER, (30, 28), 0, r"\[4,6,10,128\], whose fields cover 28 × 28 of the 30 × 28"),
        ([(9, 1, 3, 4)], (9, 9), 0, r"\[9,1,3,4\], whose fields cover 11 × 11 of the 9 × 9"),
        ([(9, 1, 3, 4)], (9, 9, 3), 2, r"\[9,1,3,4\], whose fields cover 11 × 11 of the 13 × 13"),
        ([(9, 1, 3, 4), (9, 1, 5, 4)], (9, 9), 1, r"\[9,1,5,4\], whose fields cover 13 × 13 of the 11 × 11"),
        ([(9, 1, 3, 4)], (9, 8, 3), 1, r"\[9,1,3,4\], whose fields cover 11 × 11 of the 11 × 10"),
    ],
)
def test_layers_that_do_not_fit_are_refused(
    layers: list[tuple[int, ...]], input_shape: tuple[int, ...], padding: int, named: str
) -> None:
    with pytest.raises(UserError, match=r"architecture\.layers has " + named):
        connections(layers, input_shape=input_shape, padding=padding)
    with pytest.raises(UserError, match=r"architecture\.layers has " + named):
        LocalReceptiveFields(layers, 1.0, padding).blocks(input_shape, 10, torch.Generator())


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
def test_impossible_layers_are_refused(layers: list[tuple[int, ...]], named: str) -> None:
    with pytest.raises(UserError, match=rf"architecture\.layers {named}"):
        LocalReceptiveFields(layers, 1.0, 0)


@pytest.mark.parametrize("padding", [-1, 2, 5])
def test_padding_is_less_than_the_smallest_field(padding: int) -> None:
    expected = rf"architecture\.padding is {padding}: expected 0 to less than the smallest field, 2\.$"
    with pytest.raises(UserError, match=expected):
        LocalReceptiveFields(PAPER, 1.0, padding)


# Fields cut off at the edges -----------------------------------------------------------------------

CUT = [(9, 1, 5, 3), (9, 1, 5, 4), (9, 1, 5, 2)]
ON_9: dict[str, Any] = {"input_shape": (9, 9, 3), "padding": 2}


def test_with_padding_there_is_a_location_for_each_pixel() -> None:
    layers = connections(CUT, **ON_9)
    assert [layer.width for layer in layers] == [81 * 3, 81 * 4, 81 * 2]
    assert [only(layer).geometry.source for layer in layers] == [(9, 9, 3), (9, 9, 3), (9, 9, 4)]
    assert [tuple(by_location(only(layer)).shape) for layer in layers] == [(81, 75, 3), (81, 75, 4), (81, 100, 2)]
    # Few units fit into a single tile.
    assert [tuple(only(layer).weight.shape) for layer in layers] == [(1, 243, 243), (1, 243, 324), (1, 324, 162)]


@pytest.mark.parametrize("side", [6, 8, 12])
def test_layers_computed_in_tiles_are_the_same_net(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [(side, 1, 3, 4), (side, 1, 3, 2), (side // 2, 2, 4, 5), (side // 2, 1, 3, 40)]
    shape = (side, side, 3)
    tiled = connections(layers, padding=1, input_shape=shape)
    assert len(only(tiled[0]).weight) < side**2
    monkeypatch.setattr("ffrepro.architecture.local_receptive_fields.TILE_CHANNELS", 0)
    single = connections(layers, padding=1, input_shape=shape)
    assert [len(only(layer).weight) for layer in single] == [grid**2 for grid, *_ in layers]
    maps = torch.rand(5, side * side * 3, generator=torch.Generator().manual_seed(1))
    for layer, other in zip(tiled, single, strict=True):
        assert torch.equal(by_location(only(layer)), by_location(only(other)))
        torch.testing.assert_close(layer(maps), other(maps))
        maps = other(maps)


@pytest.mark.parametrize(
    ("side", "field", "channels", "shape"),
    [
        # Tiles of 4 × 16 see 14 × 21. Tiles of 8 × 8 would see 18 × 18, and tiles of 2 × 32 all of 12 rows.
        (32, 11, 3, (16, 14 * 21 * 3, 192)),
        # With this many channels 2 × 2 locations nearly suffice. They see 4 × 4.
        (12, 3, 40, (36, 4 * 4 * 3, 160)),
        # All units are too few for a fast tile.
        (5, 3, 4, (1, 5 * 5 * 3, 100)),
        # If the side is prime: single rows, which see 3 or 11 rows, or all of a small map.
        (31, 3, 3, (31, 3 * 31 * 3, 93)),
        (31, 11, 3, (31, 11 * 31 * 3, 93)),
        (13, 3, 3, (1, 13 * 13 * 3, 507)),
        # 4 × 8 and 8 × 4 are equivalent; longer rows are preferred.
        (8, 3, 7, (2, 5 * 8 * 3, 224)),
    ],
)
def test_the_tile_has_few_inputs_and_many_units(
    side: int, field: int, channels: int, shape: tuple[int, int, int]
) -> None:
    (layer,) = connections([(side, 1, field, channels)], padding=field // 2, input_shape=(side, side, 3))
    assert only(layer).weight.shape == only(layer).geometry.weight_shape == shape


def n_visible(side: int, field: int) -> list[int]:
    """The number of places within the map, for each location of a square grid."""
    reach = field // 2
    along = [min(place + reach, side - 1) - max(place - reach, 0) + 1 for place in range(side)]
    return [row * column for row in along for column in along]


def assert_variance(weights: Tensor, fan_in: list[int], below: Tensor) -> None:
    """At each location the visible weights have variance 1 / `fan_in`, and the others are 0.

    Args:
        weights: (locations, places, channels).
        fan_in: of each location.
        below: whether a place is visible, (locations, places).
    """
    for location, number, visible in zip(weights, fan_in, below, strict=True):
        seen = location[visible]
        assert seen.std().item() * number**0.5 == pytest.approx(1.0, abs=4 * (2 * seen.numel()) ** -0.5)
        assert not location[~visible].any()


@pytest.mark.parametrize("top_down_units", [None, 60])
def test_at_edges_the_variance_of_weights_is_1_over_the_number_of_visible_places(top_down_units: int | None) -> None:
    # With field² places everywhere, a corner would have 2/3 of the deviation. Each source has its own fan-in.
    layers = connections(
        [(4, 1, 3, 40), (4, 1, 3, 50)], input_shape=(4, 4, 30), padding=1, top_down_units=top_down_units
    )
    visible = n_visible(4, 3)
    assert (visible[0], visible[1], visible[5]) == (4, 6, 9)
    inside = torch.zeros(16, 3, 3, dtype=torch.bool)
    for location in range(16):
        for y in range(3):
            for x in range(3):
                inside[location, y, x] = 0 <= location // 4 + y - 1 < 4 and 0 <= location % 4 + x - 1 < 4

    def of(channels: int) -> Tensor:
        return inside.flatten(1).repeat_interleave(channels, dim=1)

    first, second = layers
    assert_variance(by_location(local(first)), [places * 30 for places in visible], of(30))
    assert_variance(by_location(local(second)), [places * 40 for places in visible], of(40))
    if top_down_units is not None:
        assert_variance(by_location(local(first, 1)), [places * 50 for places in visible], of(50))
        label = second.sources[1].weight.view(top_down_units, 16, 50).transpose(0, 1)
        assert_variance(label, [top_down_units] * 16, torch.ones(16, top_down_units, dtype=torch.bool))


# Layers that see the layer above -------------------------------------------------------------------


def test_with_top_down_units_every_layer_sees_the_map_above() -> None:
    layers = connections(CUT, **ON_9, top_down_units=5)
    assert [[type(weights) for weights in layer.sources] for layer in layers] == [
        [LocalFields, LocalFields],
        [LocalFields, LocalFields],
        [LocalFields, Dense],
    ]
    assert [local(layer).geometry.source for layer in layers] == [(9, 9, 3), (9, 9, 3), (9, 9, 4)]
    assert [local(layer, 1).geometry.source for layer in layers[:2]] == [(9, 9, 4), (9, 9, 2)]
    assert tuple(layers[2].sources[1].weight.shape) == (5, 81 * 2)
    for layer, width in zip(layers, (81 * 3, 81 * 4, 81 * 2), strict=True):
        assert {weights.width for weights in layer.sources} == {layer.width} == {width}


@pytest.mark.parametrize(
    ("grid", "stride", "field", "input_side", "padding"),
    [
        (7, 1, 1, 7, 0),
        (7, 1, 3, 7, 1),
        (7, 1, 5, 7, 2),
        (8, 1, 3, 8, 1),
        (8, 1, 5, 8, 2),
        (7, 1, 5, 9, 1),
        (5, 2, 7, 13, 1),
    ],
)
def test_a_unit_sees_the_field_around_its_own_place_in_the_map_above(
    grid: int, stride: int, field: int, input_side: int, padding: int
) -> None:
    # The field above has the size of the field below and is centered on the unit.
    higher = 2 * padding + 1
    layers = connections(
        [(grid, stride, field, 3), (grid, 1, higher, 2), (grid, 1, higher, 4)],
        input_shape=(input_side, input_side, 3),
        padding=padding,
        top_down_units=5,
        param_dtype=torch.float64,
        compute_dtype=torch.float64,
    )
    for layer, below, above, side in zip(layers[:2], (3, 2), (2, 4), (field, higher), strict=True):
        reach = side // 2
        weights = local(layer, 1)
        located = by_location(weights)
        nothing = torch.zeros(layer.width, dtype=torch.float64)
        one_each = torch.eye(grid * grid * above, dtype=torch.float64)  # a single active unit above in each row
        sums = weights.product(one_each, nothing).view(grid, grid, above, grid, grid, below)
        for row in range(grid):
            for column in range(grid):
                near = torch.zeros(grid, grid, dtype=torch.bool)
                near[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1] = True
                for channel in range(above):
                    of_channel = sums[row, column, channel]
                    assert torch.equal(of_channel != 0, near.unsqueeze(2).expand(grid, grid, below))
                    for y, x in near.nonzero().tolist():
                        place = (row - y + reach) * side + column - x + reach
                        expected = located[y * grid + x, place * above + channel]
                        assert torch.equal(of_channel[y, x], expected)


def test_every_unit_of_the_highest_layer_sees_all_top_down_units() -> None:
    highest = connections(CUT, **ON_9, top_down_units=5)[2]
    sums = highest.sources[1].product(torch.eye(5), torch.zeros(highest.width))
    assert torch.equal(sums, highest.sources[1].weight)
    assert (sums != 0).all()
    assert len(sums.unique()) == sums.numel()  # no shared weights


def test_a_single_layer_sees_the_top_down_units() -> None:
    (layer,) = connections(
        [(9, 1, 4, 3)], input_shape=(10, 10), padding=1, top_down_units=5
    )  # even fields are allowed here
    assert [type(weights) for weights in layer.sources] == [LocalFields, Dense]


@pytest.mark.parametrize(
    ("layers", "input_shape", "padding", "named"),
    [
        ([(5, 1, 3, 2), (3, 1, 3, 4)], (7, 7), 0, r"\[5, 1, 3, 2\] below \[3, 1, 3, 4\]"),
        ([(6, 1, 3, 2), (6, 1, 3, 2), (4, 1, 5, 4)], (6, 6, 3), 1, r"\[6, 1, 3, 2\] below \[4, 1, 5, 4\]"),
        ([(9, 1, 4, 2), (9, 1, 3, 4)], (10, 10), 1, r"\[9, 1, 4, 2\] below \[9, 1, 3, 4\]"),
    ],
    ids=["other grids", "other grids on top", "an even field"],
)
def test_layers_that_cannot_see_the_map_above_are_refused(
    layers: list[tuple[int, ...]], input_shape: tuple[int, ...], padding: int, named: str
) -> None:
    assert len(connections(layers, input_shape=input_shape, padding=padding)) == len(
        layers
    )  # without top-down units they fit
    with pytest.raises(UserError, match=r"architecture\.layers has " + named + ".*one size and fields of an odd side"):
        connections(layers, input_shape=input_shape, padding=padding, top_down_units=10)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf")])
def test_an_impossible_scale_is_refused(scale: float) -> None:
    with pytest.raises(UserError, match=r"architecture\.init_variance_scale is .*: expected more than 0"):
        LocalReceptiveFields(PAPER, scale, 0)

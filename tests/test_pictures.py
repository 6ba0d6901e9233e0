"""Arrays for the report, compared with numbers computed by hand."""

from io import BytesIO

import numpy as np
import torch

from ffrepro.forward_forward.connections import Connections
from ffrepro.forward_forward.weights import Dense
from ffrepro.pictures import compressed, field_grid, fields, packed


def test_each_field_is_scaled_by_its_largest_weight_around_128() -> None:
    fields = np.array([[0.0, 1.0, -1.0, 0.5], [0.0, 0.0, 0.0, 0.0], [-4.0, 2.0, 0.0, 1.0]]).reshape(3, 2, 2)
    bytes_ = packed({"first_layer_fields": fields})["first_layer_fields"]
    assert bytes_.dtype == np.uint8
    np.testing.assert_array_equal(bytes_, [[[128, 255], [1, 192]], [[128, 128], [128, 128]], [[1, 192], [128, 160]]])


def test_the_first_64_fields_are_kept_in_the_shape_of_the_image() -> None:
    weight = torch.randn(6, 2000, generator=torch.Generator().manual_seed(0))
    kept = fields(Connections(Dense(weight, torch.float32)), (2, 3))
    assert kept.shape == (64, 2, 3)
    np.testing.assert_array_equal(kept[5], weight[:, 5].reshape(2, 3))


def test_fields_are_the_weights_from_the_image_and_not_from_the_layer_above() -> None:
    draws = torch.Generator().manual_seed(0)
    below, above = (torch.randn(n, 6, generator=draws) for n in (30, 4))
    layer = Connections(*(Dense(weight.double(), torch.bfloat16) for weight in (below, above)))
    for shape in ((5, 6), (5, 2, 3)):
        kept = fields(layer, shape)
        assert kept.dtype == np.float32
        np.testing.assert_array_equal(kept, below.t().reshape(6, *shape))


def test_a_color_field_is_scaled_by_the_largest_weight_of_all_channels() -> None:
    fields = np.array([[[0.0, 1.0, -4.0], [2.0, 0.0, 0.5]], [[0.0, 0.1, 0.0], [0.0, 0.0, -0.05]]]).reshape(2, 1, 2, 3)
    bytes_ = packed({"first_layer_fields": fields})["first_layer_fields"]
    assert bytes_.shape == (2, 1, 2, 3)
    np.testing.assert_array_equal(bytes_[0, 0], [[128, 160, 1], [192, 128, 144]])
    np.testing.assert_array_equal(bytes_[1, 0], [[128, 255, 128], [128, 128, 64]])


def test_images_become_bytes_from_black_to_white() -> None:
    images = np.array([[[0.0, 1.0], [0.5, 0.1]]])
    assert packed({"hybrid_images": images})["hybrid_images"].tolist() == [[[0, 255], [128, 26]]]
    color = np.array([[[[0.0, 1.0, 0.5], [0.1, 0.0, 0.0]]]])
    assert packed({"hybrid_images": color})["hybrid_images"].tolist() == [[[[0, 255, 128], [26, 0, 0]]]]


def test_the_file_of_a_run_has_at_most_200_kb() -> None:
    draws = np.random.default_rng(0)
    largest = {
        "first_layer_fields": draws.integers(0, 256, (64, 32, 32, 3), np.uint8),
        "hybrid_images": draws.integers(0, 256, (36, 32, 32, 3), np.uint8),
        "goodness_right": np.arange(122).reshape(2, 61),
    }
    file = compressed(largest)
    assert 150_000 < len(file) <= 200_000
    kept = np.load(BytesIO(file))
    assert sorted(kept) == sorted(largest)
    for name, values in largest.items():
        np.testing.assert_array_equal(kept[name], values[: len(kept[name])])
    assert len(kept["first_layer_fields"]) == 32  # the larger of the two, halved
    assert len(kept["hybrid_images"]) == 18
    small = {"first_layer_fields": largest["first_layer_fields"][:4]}
    assert len(np.load(BytesIO(compressed(small)))["first_layer_fields"]) == 4


def test_goodness_has_bins_of_width_0_1_and_one_for_larger_values() -> None:
    values = np.array([[0.05, 0.05, 0.15, 5.95, 7.0, 1e9], [-0.05, -7.0, 0.25, 0.25, 0.25, 0.25]])
    kept = packed({"goodness_right": values})
    counts, edges = kept["goodness_right"], kept["goodness_edges"]
    assert counts.shape == (2, 61)
    np.testing.assert_allclose(edges, np.arange(61) / 10, atol=1e-6)
    assert counts.sum(axis=1).tolist() == [6, 6]
    assert (counts[0, 0], counts[0, 1], counts[0, 59], counts[0, 60]) == (2, 1, 1, 2)
    # The absolute value of a negative goodness counts.
    assert (counts[1, 0], counts[1, 2], counts[1, 60]) == (1, 4, 1)


def test_other_arrays_are_not_changed() -> None:
    array = np.array([1.5, 2.5])
    assert packed({"masks": array})["masks"] is array


def test_a_grid_has_lines_around_its_fields() -> None:
    fields = np.stack([np.full((2, 3), value, np.uint8) for value in (10, 20, 30)])
    grid = field_grid(fields)
    assert grid.tolist() == [
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 10, 10, 10, 0, 20, 20, 20, 0],
        [0, 10, 10, 10, 0, 20, 20, 20, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 30, 30, 30, 0, 0, 0, 0, 0],
        [0, 30, 30, 30, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]


def test_a_grid_of_color_fields_has_a_grid_per_channel() -> None:
    fields = np.random.default_rng(0).integers(1, 256, (5, 2, 4, 3)).astype(np.uint8)
    grid = field_grid(fields)
    assert grid.dtype == np.uint8
    assert grid.shape == (2 * 3 + 1, 3 * 5 + 1, 3)
    for channel in range(3):
        np.testing.assert_array_equal(grid[..., channel], field_grid(fields[..., channel]))
    np.testing.assert_array_equal(grid[4:6, 6:10], fields[4])


def test_64_fields_make_a_square() -> None:
    assert field_grid(np.zeros((64, 28, 28), np.uint8)).shape == (8 * 29 + 1, 8 * 29 + 1)

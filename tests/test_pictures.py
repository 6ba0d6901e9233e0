"""What the report draws, by hand numbers."""

import numpy as np
import torch

from ffrepro.connections import Dense
from ffrepro.pictures import field_grid, fields, packed


def test_fields_are_scaled_by_their_own_largest_weight_about_128() -> None:
    fields = np.array([[0.0, 1.0, -1.0, 0.5], [0.0, 0.0, 0.0, 0.0], [-4.0, 2.0, 0.0, 1.0]]).reshape(3, 2, 2)
    bytes_ = packed({"first_layer_fields": fields})["first_layer_fields"]
    assert bytes_.dtype == np.uint8
    np.testing.assert_array_equal(bytes_, [[[128, 255], [1, 192]], [[128, 128], [128, 128]], [[1, 192], [128, 160]]])


def test_only_the_first_fields_are_kept_in_the_shape_of_the_image() -> None:
    weight = torch.randn(6, 2000, generator=torch.Generator().manual_seed(0))
    kept = fields(Dense(weight, torch.float32), (2, 3))
    assert kept.shape == (64, 2, 3)
    np.testing.assert_array_equal(kept[5], weight[:, 5].reshape(2, 3))


def test_images_become_bytes_from_black_to_white() -> None:
    images = np.array([[[0.0, 1.0], [0.5, 0.1]]])
    assert packed({"hybrid_images": images})["hybrid_images"].tolist() == [[[0, 255], [128, 26]]]


def test_goodness_is_counted_in_bins_of_a_tenth_with_the_rest_in_the_last() -> None:
    values = np.array([[0.05, 0.05, 0.15, 5.95, 7.0, 1e9], [-0.05, -7.0, 0.25, 0.25, 0.25, 0.25]])
    kept = packed({"goodness_right": values})
    counts, edges = kept["goodness_right"], kept["goodness_edges"]
    assert counts.shape == (2, 61)
    np.testing.assert_allclose(edges, np.arange(61) / 10, atol=1e-6)
    assert counts.sum(axis=1).tolist() == [6, 6]
    assert (counts[0, 0], counts[0, 1], counts[0, 59], counts[0, 60]) == (2, 1, 1, 2)
    # A goodness that is a negative sum counts by its size.
    assert (counts[1, 0], counts[1, 2], counts[1, 60]) == (1, 4, 1)


def test_other_arrays_are_kept_as_they_are() -> None:
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


def test_64_fields_make_a_square() -> None:
    assert field_grid(np.zeros((64, 28, 28), np.uint8)).shape == (8 * 29 + 1, 8 * 29 + 1)

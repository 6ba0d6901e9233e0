import io
import re
from dataclasses import astuple

import matplotlib.image
import numpy as np

from ffrepro.report import draw
from ffrepro.report.dress import DRESSES


def test_the_dark_figure_wears_no_light_colour_and_no_other() -> None:
    rows = [draw.Compared("A row", 1.4, (1.35, 1.45), (1.4, 1.42), 1.41)]

    drawn = draw.against_paper(rows, "test error, %")

    for name, svg in drawn.items():
        worn = set(re.findall(r"#[0-9a-f]{6}\b", svg.decode()))
        assert worn <= set(astuple(DRESSES[name])), name


def test_an_axis_of_errors_shows_them_all() -> None:
    low, high = draw.error_limits([1.36, 0.0, 90.0])

    assert 0 < low < draw.LOWEST_ERROR
    assert 90 < high <= 110


def test_fields_are_drawn_with_what_lies_between_them_left_open() -> None:
    weights = np.full((3, 4, 5), 128, np.uint8)
    weights[0, 0, 0] = 255

    png = draw.fields(weights)

    assert png.startswith(b"\x89PNG")
    # Two fields side by side, two rows, a line around each; every pixel as large as 466 pixels have room for.
    assert draw.images_size(weights) == (35 * (2 * 6 + 1), 35 * (2 * 5 + 1))
    assert int.from_bytes(png[16:20]) == 455
    assert int.from_bytes(png[20:24]) == 385


def test_64_images_of_mnist_are_drawn_twice_as_large_as_they_are() -> None:
    assert draw.images_size(np.zeros((64, 28, 28), np.uint8)) == (466, 466)
    assert draw.images_size(np.zeros((900, 28, 28), np.uint8)) == (871, 871)


def test_fields_in_colour_keep_their_colours() -> None:
    weights = np.full((1, 2, 2, 3), 128, np.uint8)
    weights[0, 0, 0] = 255, 128, 1

    png = matplotlib.image.imread(io.BytesIO(draw.fields(weights)))

    assert draw.images_size(weights) == (116 * 4, 116 * 4) == png.shape[:2][::-1]
    np.testing.assert_allclose(png[120, 120] * 255, [255, 128, 1, 255], atol=0.5)
    np.testing.assert_allclose(png[240, 240] * 255, [128, 128, 128, 255], atol=0.5)
    assert png[0, 0, 3] == 0

import re
from dataclasses import astuple

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
    # Two fields side by side, two rows, a line around each; every pixel twice as large.
    assert draw.images_size(weights) == (2 * (2 * 6 + 1), 2 * (2 * 5 + 1))
    assert int.from_bytes(png[16:20]) == 26
    assert int.from_bytes(png[20:24]) == 22

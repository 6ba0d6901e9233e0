"""Figures: colors, lines, axes and images."""

import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from ffrepro.report import images
from ffrepro.report.chart import Level, Line, Plot, by_value, chart
from ffrepro.report.theme import DARK, DASHES, LIGHT, MARKERS, Theme

_WORDS = {"title": "", "caption": "", "alt": ""}


def drawn(*plots: Plot, ticks: list[float] | None = None) -> dict[str, str]:
    """The light and the dark file of a chart."""
    picture = chart("a", plots, "x", ticks=ticks, **_WORDS)
    return {"light": picture.files["a.svg"].decode(), "dark": picture.files["a-dark.svg"].decode()}


def luminance(color: str) -> float:
    """Relative luminance, by WCAG 2."""
    shares = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_eight_lines_have_contrast_and_differ_without_color(theme: Theme) -> None:
    assert len(set(theme.lines)) == len(theme.lines) >= 8
    for color in theme.lines:
        darker, lighter = sorted([luminance(color), luminance(theme.surface)])
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, color
    styles = {(DASHES[i % len(DASHES)], MARKERS[i % len(MARKERS)]) for i in range(len(theme.lines))}
    assert len(styles) == len(theme.lines)


def test_a_line_too_many_begins_the_palette_again_with_other_dashes() -> None:
    line = by_value({1: [1.0], 2: [2.0]})
    svg = drawn(Plot([Line(f"line {i}", line, i) for i in range(len(LIGHT.lines) + 1)], "y"))["light"]
    assert {color for color in re.findall(r"#[0-9a-f]{6}", svg) if color in LIGHT.lines} == set(LIGHT.lines)
    assert DASHES[0] != DASHES[len(LIGHT.lines) % len(DASHES)]


def test_the_dark_figure_has_no_light_color() -> None:
    line = by_value({1: [1.0, 3.0], 2: [2.0]})
    svg = drawn(Plot([Line("a", line), Line("b", line, 1)], "y", [Level("level", 1.5)]))
    for theme, name in ((LIGHT, "light"), (DARK, "dark")):
        assert set(re.findall(r"#[0-9a-f]{6}\b", svg[name])) <= set(theme.colors), name


def test_a_curve_of_one_epoch_is_visible() -> None:
    point = by_value({1: [7.5, 8.5]})
    lone = drawn(Plot([Line("a", point)], "y"))["light"]
    without = drawn(Plot([Line("a", point, look={"marker": ""})], "y"))["light"]
    assert lone.count("<use") > without.count("<use")


def ticks_of(svg: str, axis: str) -> list[float]:
    """Places of the ticks of an axis, in points."""
    group = svg.split(f'id="matplotlib.axis_{1 if axis == "x" else 2}"')[1]
    groups = re.findall(rf'id="{axis}tick_\d+".*?<use [^>]*?{axis}="([\d.]+)"', group, re.S)
    return [float(place) for place in groups]


@pytest.mark.parametrize("ends", [(7.0, 7.4), (6.0, 9.0), (2.0, 30.0), (500.0, 900.0), (0.01, 1000.0)])
def test_a_logarithmic_axis_has_ticks_enough_and_not_too_many(ends: tuple[float, float]) -> None:
    svg = drawn(Plot([Line("a", by_value({1: ends, 10: ends}))], "y", scale="log"))["light"]
    assert 3 <= svg.count('id="ytick_') <= 12


def test_an_axis_of_values_that_are_not_positive_is_not_logarithmic() -> None:
    values = {1: [-3.0], 2: [-1.0], 3: [1.0]}
    places = ticks_of(drawn(Plot([Line("a", by_value(values))], "y", scale="log"))["light"], "y")
    steps = [after - before for before, after in pairwise(places)]
    assert steps == pytest.approx([steps[0]] * len(steps))


@pytest.mark.parametrize(("values", "is_even"), [([1.0, 10.0, 100.0], True), ([26.0, 50.0, 101.0], False)])
def test_far_values_of_an_option_are_on_a_logarithmic_axis(values: list[float], is_even: bool) -> None:
    svg = drawn(Plot([Line("a", by_value({x: [1.0] for x in values}))], "y"), ticks=values)["light"]
    first, second, third = ticks_of(svg, "x")
    assert (second - first == pytest.approx(third - second)) is is_even


def test_spreads_by_the_values_of_an_option() -> None:
    expected = pd.DataFrame({"mean": [1.5, 4.0], "min": [1.0, 4.0], "max": [2.0, 4.0]}, index=[10.0, 20.0])
    pd.testing.assert_frame_equal(by_value({20: [4.0], 10: [1.0, 2.0], 30: []}), expected)


def test_images_are_side_by_side_with_transparent_space_between() -> None:
    fields = np.full((3, 4, 5), 128, np.uint8)
    fields[0, 0, 0] = 255
    drawn_ = images.mosaic(fields)
    # Two fields side by side, two rows, a line around each; every pixel as large as 466 pixels have room for.
    assert drawn_.shape == (35 * (2 * 5 + 1), 35 * (2 * 6 + 1), 4)
    assert drawn_[0, 0, 3] == 0
    assert drawn_[35, 35].tolist() == [255, 255, 255, 255]
    assert images.mosaic(np.zeros((64, 28, 28), np.uint8)).shape[:2] == (466, 466)
    assert images.mosaic(np.zeros((900, 28, 28), np.uint8)).shape[:2] == (871, 871)


def test_fields_in_color_keep_their_colors() -> None:
    fields = np.full((1, 2, 2, 3), 128, np.uint8)
    fields[0, 0, 0] = 255, 128, 1
    contrasted = images.contrasted(fields)
    assert contrasted[0, 0, 0].tolist() == [255, 128, 1]
    assert contrasted[0, 1, 1].tolist() == [128, 128, 128]
    assert images.mosaic(contrasted)[120, 120].tolist() == [255, 128, 1, 255]


def test_a_few_large_weights_do_not_hide_the_others() -> None:
    fields = np.full((1, 20, 20), 128, np.uint8)
    fields[0, 0, :2], fields[0, 5:15] = 255, 130
    assert images.contrasted(fields)[0, 10, 10] == 255

"""Figures of any number of lines, in a plot or several; color, dashes and markers tell them apart."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ffrepro.metric import Metric
from ffrepro.report import text
from ffrepro.report.blocks import Picture
from ffrepro.report.theme import DASHES, LIGHT, MARKERS, drawing

BANDS = "A line is the mean over seeds, the light band reaches from the lowest to the highest"
# Looks of a line that differ from its style.
Look = Mapping[str, Any]
DASHED: Look = {"linestyle": "--"}
SOLID: Look = {"linestyle": "-"}
OPEN: Look = {"linestyle": ":", "linewidth": 1.0, "fillstyle": "none"}
THIN: Look = {"linestyle": "-", "linewidth": 0.9, "marker": ""}
DOTS: Look = {"linestyle": "", "marker": ".", "markersize": 3.5, "markevery": 1}
STEPS: Look = {"drawstyle": "steps-post", "marker": ""}
_MARKED = 8  # points of a long line that have a marker
_FEWEST_TICKS, _MOST_TICKS = 3, 12
_LOG_FROM = 20  # ratio of an option's largest to its smallest value for a logarithmic axis


@dataclass(frozen=True)
class Line:
    """Columns `mean`, and `min` and `max` where seeds differ, by the values on the x axis."""

    label: str
    values: pd.DataFrame
    style: int = 0
    look: Look = field(default_factory=dict)

    @property
    def wrapped(self) -> str:
        return textwrap.fill(self.label, 62)

    @property
    def points(self) -> list[tuple[float, float]]:
        return list(zip(self.values.index.astype(float), self.values["mean"].astype(float), strict=True))

    def in_words(self, metric: Metric) -> str:
        """All points, for readers who cannot see the line."""
        return f"{self.label}: {', '.join(f'{text.value(y, metric)} at {x:g}' for x, y in self.points)}"


@dataclass(frozen=True)
class Level:
    """A line across; its label is in the legend, or at the line if it is `on_line`."""

    label: str
    value: float
    on_line: bool = False


@dataclass(frozen=True)
class Plot:
    """Lines on common axes. A `log` scale needs positive values; without them the scale is `free`."""

    lines: Sequence[Line]
    y_label: str
    levels: Sequence[Level] = ()
    title: str = ""
    scale: Literal["log", "zero", "free"] = "free"
    limits: tuple[float, float] | None = None


def scale_of(metric: Metric) -> Literal["log", "zero"]:
    """The scale of a share begins at zero; a metric without an upper end has a logarithmic scale."""
    return "zero" if metric.kind == "share" else "log"


def by_value(values: Mapping[float, Sequence[float]]) -> pd.DataFrame:
    """Mean, min and max over seeds, by the value of an option."""
    rows = {float(x): (np.mean(seeds), min(seeds), max(seeds)) for x, seeds in sorted(values.items()) if seeds}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "min", "max"], dtype=float)


def single(values: np.ndarray, x: np.ndarray) -> pd.DataFrame:
    """A line without a band."""
    return pd.DataFrame({"mean": values}, index=x)


def chart(
    name: str,
    plots: Sequence[Plot],
    x_label: str,
    *,
    height: float = 3.3,
    beside: bool = False,
    ticks: Sequence[float] | None = None,
    threshold: float | None = None,
    **words: str,
) -> Picture:
    """Plots with a common x axis, stacked or `beside` each other.

    `height` is in inches, without the legend. `ticks` are the values on the x axis; None stands for whole numbers.
    `threshold` is a marked value of x. `words` are the title, caption and alt of the picture.
    """

    def paint(figure: Figure) -> None:
        shape = (1, len(plots)) if beside else (len(plots), 1)
        every: Any = figure.subplots(*shape, sharex=True, sharey=beside, squeeze=False).ravel()
        y_labels = [plot.y_label for plot in plots]
        common = len(plots) > 1 and len(set(y_labels)) == 1
        for axes, plot in zip(every, plots, strict=True):
            _paint(axes, plot)
            axes.set_ylabel("" if common else plot.y_label)
            if threshold is not None:
                axes.axvline(threshold, color=LIGHT.ink, linewidth=0.9, label="threshold")
        if common:
            figure.supylabel(y_labels[0], fontsize=9, color=LIGHT.quiet)
        _x_axis(every[0], ticks)
        every[len(plots) // 2 if beside else -1].set_xlabel(x_label)
        _legend(figure, every)

    labels = {line.wrapped for plot in plots for line in plot.lines}
    return drawing(name, paint, height + 0.15 * sum(label.count("\n") + 1 for label in labels), **words)


def _paint(axes: Any, plot: Plot) -> None:
    for line in plot.lines:
        values, color = line.values, LIGHT.lines[line.style % len(LIGHT.lines)]
        dashes, marker = DASHES[line.style % len(DASHES)], MARKERS[line.style % len(MARKERS)]
        every = max(1, round(len(values) / _MARKED))
        look = {"linestyle": dashes, "marker": marker, "markersize": 4, "markevery": every, "linewidth": 1.5}
        if "min" in values:
            axes.fill_between(values.index, values["min"], values["max"], color=color, alpha=0.18, linewidth=0)
        axes.plot(values.index, values["mean"], color=color, label=line.wrapped, **{**look, **line.look})
    for level in plot.levels:
        label = "" if level.on_line else level.label
        axes.axhline(level.value, color=LIGHT.ink, linewidth=0.9, dashes=(4, 3), label=label)
        if level.on_line:
            axes.annotate(
                level.label, (1, level.value), xycoords=("axes fraction", "data"), xytext=(-2, 2),
                textcoords="offset points", ha="right", fontsize=8,
            )  # fmt: skip
    axes.set_title(plot.title)
    axes.grid(axis="y")
    drawn = [float(line.values.min().min()) for line in plot.lines if len(line.values)]
    lowest = min([*drawn, *(level.value for level in plot.levels)], default=0.0)
    if plot.scale == "zero" and lowest >= 0:
        axes.set_ylim(bottom=0)
    if plot.limits is not None:
        axes.set_ylim(*plot.limits)
    if plot.scale == "log" and lowest > 0:
        _log_axis(axes)


def _log_axis(axes: Any) -> None:
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    ticks = [scale * 10.0**power for power in range(-9, 10) for scale in (1, 2, 5)]
    ticks = [tick for tick in ticks if low <= tick <= high]
    if len(ticks) < _FEWEST_TICKS:
        ticks = [tick for tick in MaxNLocator(5).tick_values(low, high) if low <= tick <= high]
    _ticks(axes.yaxis, ticks[:: -(-len(ticks) // _MOST_TICKS)])


def _x_axis(axes: Any, ticks: Sequence[float] | None) -> None:
    if ticks is None:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        return
    if min(ticks) > 0 and max(ticks) / min(ticks) >= _LOG_FROM:
        axes.set_xscale("log")
    _ticks(axes.xaxis, sorted(ticks))


def _ticks(axis: Any, ticks: Sequence[float]) -> None:
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: text.plain_minus(f"{value:g}")))


def _legend(figure: Figure, every: Any) -> None:
    """All labels, above the figure; short labels are side by side."""
    pairs = [pair for axes in every for pair in zip(*axes.get_legend_handles_labels(), strict=True)]
    handles = {label: handle for handle, label in pairs}
    longest = max((len(line) for label in handles for line in label.splitlines()), default=0)
    columns = 3 if longest < 16 else 2 if longest < 30 else 1
    figure.legend([*handles.values()], [*handles], loc="outside upper left", ncols=columns)

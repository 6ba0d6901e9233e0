"""The figures of nets that predict text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ffrepro.report.dress import WIDTH, Dress, themed

_TICKS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000)
_FEWEST_TICKS = 3
_STYLES = (("first", "-", 1.8), ("first", "--", 1.3), ("second", "-", 1.8), ("second", "--", 1.3), ("ink", ":", 1.6))


@dataclass(frozen=True)
class Learning:
    """A row's perplexity by epoch: mean, min and max over seeds of training batches, and of held-out strings."""

    label: str
    training: pd.DataFrame
    held_out: pd.DataFrame


@dataclass(frozen=True)
class Level:
    """What does not learn by epochs, as a line across."""

    label: str
    training: float
    held_out: float


def perplexities(curves: Sequence[Learning], levels: Sequence[Level], note: str = "") -> dict[str, bytes]:
    """Perplexity by epoch of training text, and of held-out text below it."""

    def paint(figure: Figure, dress: Dress) -> None:
        panels: Any = figure.subplots(2, 1, sharex=True)
        for axes, part in zip(panels, ("training", "held_out"), strict=True):
            for one, (colour, dashes, weight) in zip(curves, _STYLES, strict=False):
                curve = getattr(one, part)
                ink = getattr(dress, colour)
                axes.fill_between(curve.index, curve["min"], curve["max"], color=ink, alpha=0.2, linewidth=0)
                marker = "o" if len(curve) == 1 else None
                axes.plot(
                    curve.index, curve["mean"], dashes, color=ink, linewidth=weight, marker=marker, label=one.label
                )
            for level in levels:
                axes.axhline(getattr(level, part), color=dress.quiet, linewidth=0.8)
                axes.annotate(
                    level.label, (1, getattr(level, part)), xycoords=("axes fraction", "data"), xytext=(-2, 2),
                    textcoords="offset points", ha="right", fontsize=8, color=dress.ink,
                )  # fmt: skip
            axes.margins(y=0.08)
            _perplexity_axis(axes)
        panels[0].set_ylabel("training text")
        panels[1].set_ylabel("held-out text")
        panels[1].set_xlabel("epoch")
        panels[1].xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if note:
            panels[0].set_title(note, fontsize=8, loc="left")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", frameon=False, fontsize=8, labelcolor=dress.ink)

    return themed(paint, WIDTH, 5.0 + 0.17 * len(curves))


@dataclass(frozen=True)
class Tried:
    """The perplexity of held-out strings, mean, min and max over seeds, by the values of an option."""

    label: str
    curve: pd.DataFrame


def study(lines: Sequence[Tried], axis: str, note: str = "") -> dict[str, bytes]:
    """Perplexity of held-out text against an option, one line a setting."""

    def paint(figure: Figure, dress: Dress) -> None:
        axes = figure.add_subplot()
        for one, (colour, dashes, weight) in zip(lines, (_STYLES[0], _STYLES[3]), strict=False):
            ink, curve = getattr(dress, colour), one.curve
            axes.fill_between(curve.index, curve["min"], curve["max"], color=ink, alpha=0.2, linewidth=0)
            axes.plot(curve.index, curve["mean"], dashes, color=ink, linewidth=weight, marker="o", label=one.label)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(sorted({value for one in lines for value in one.curve.index})))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        _perplexity_axis(axes)
        axes.set_xlabel(axis)
        axes.set_ylabel("perplexity of held-out text")
        axes.set_title(note, fontsize=8, loc="left")
        figure.legend(loc="outside upper left", frameon=False, fontsize=8, labelcolor=dress.ink)

    return themed(paint, WIDTH, 3.3)


def _perplexity_axis(axes: Any) -> None:
    """Logarithmic, with the ticks that lie on it."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    ticks: list[float] = [tick for tick in _TICKS if low <= tick <= high]
    if len(ticks) < _FEWEST_TICKS:
        ticks = [tick for tick in MaxNLocator(5).tick_values(low, high) if low <= tick <= high]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))

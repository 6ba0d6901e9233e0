"""The figures of rows that differ in an option: errors against it, and what theory says of the nets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ffrepro.report.dress import WIDTH, Dress, themed

_STYLES = (("second", "--", "s"), ("first", "-", "o"))  # of lines


@dataclass(frozen=True)
class Line:
    """Errors in percent by the values of an option: mean, min and max over seeds; and the paper's, where it has any."""

    label: str
    ours: pd.DataFrame
    paper: dict[float, float]


def errors(lines: Sequence[Line], axis: str, note: str = "") -> dict[str, bytes]:
    """At most two lines of errors; the paper's are fainter, and their marks are open."""

    def paint(figure: Figure, dress: Dress) -> None:
        axes = figure.add_subplot()
        for one, (colour, dashes, marker) in zip(lines, _STYLES[-len(lines) :], strict=True):
            ink = getattr(dress, colour)
            if not one.ours.empty:
                axes.fill_between(one.ours.index, one.ours["min"], one.ours["max"], color=ink, alpha=0.22, linewidth=0)
                axes.plot(
                    one.ours.index, one.ours["mean"], dashes, color=ink, marker=marker, markersize=5, linewidth=1.8,
                    label=f"{one.label}, ours",
                )  # fmt: skip
            if one.paper:
                axes.plot(
                    list(one.paper), list(one.paper.values()), ":", color=ink, marker=marker, markersize=5,
                    linewidth=1.0, fillstyle="none", label=f"{one.label}, the paper's",
                )  # fmt: skip
        values = sorted({value for one in lines for value in (*one.ours.index, *one.paper)})
        axes.xaxis.set_major_locator(FixedLocator(values))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.margins(x=0.06)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(axis)
        axes.set_ylabel("error, %")
        axes.set_title(note, fontsize=8, loc="left")
        axes.grid(axis="y", color=dress.quiet, alpha=0.22, linewidth=0.5)
        figure.legend(loc="outside upper left", frameon=False, fontsize=8, ncols=2, labelcolor=dress.ink)

    return themed(paint, WIDTH, 3.4)


def maps(panels: Sequence[tuple[str, dict[str, np.ndarray]]]) -> dict[str, bytes]:
    """C maps, from -1 to 1 and evenly, a panel for each value of an option: its name, and a line for each map."""

    def paint(figure: Figure, dress: Dress) -> None:
        every: Any = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)
        for axes, (name, found) in zip(every[0], panels, strict=True):
            for (label, values), (colour, dashes, _) in zip(found.items(), _STYLES[-len(found) :], strict=True):
                cosines = np.linspace(-1, 1, len(values))
                axes.plot(cosines, values, dashes, color=getattr(dress, colour), linewidth=1.6, label=label)
            axes.set_title(name, fontsize=8)
            axes.xaxis.set_major_locator(FixedLocator([-1, 0, 1]))
            axes.grid(color=dress.quiet, alpha=0.22, linewidth=0.5)
        every[0, 0].set_ylabel("cosine that leaves")
        figure.supxlabel("cosine that enters", fontsize=9, color=dress.quiet)
        handles, labels = every[0, 0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper left", ncols=2, frameon=False, fontsize=8, labelcolor=dress.ink
        )

    return themed(paint, WIDTH, 2.6)


@dataclass(frozen=True)
class Signal:
    """By activation: mean squares and cosines measured in a net, and the cosines of theory."""

    label: str
    q: np.ndarray
    c: np.ndarray
    c_theory: np.ndarray


def signals(nets: Sequence[Signal]) -> dict[str, bytes]:
    """Of at most two nets, mean squares above and cosines below; theory is thin."""

    def paint(figure: Figure, dress: Dress) -> None:
        panels: Any = figure.subplots(2, 1, sharex=True)
        for net, (colour, _, _) in zip(nets, _STYLES[-len(nets) :], strict=True):
            ink, numbers = getattr(dress, colour), np.arange(1, len(net.q) + 1)
            for axes, measured, theory in (
                (panels[0], net.q, np.full(len(net.q), net.q[0])),
                (panels[1], net.c, net.c_theory),
            ):
                axes.plot(numbers, measured, ".", color=ink, markersize=3.5, label=f"{net.label}, measured")
                axes.plot(numbers, theory, color=ink, linewidth=0.9, label=f"{net.label}, theory")
        panels[0].set_yscale("log")
        low, high = panels[0].get_ylim()
        low, high = min(low, 0.4 * high), max(high, 2.5 * low)  # a net that keeps its lengths to a percent looks so
        panels[0].set_ylim(low, high)
        ticks: list[float] = [
            scale * 10.0**power for power in range(-9, 9) for scale in (1, 2, 5) if low <= scale * 10.0**power <= high
        ]
        panels[0].yaxis.set_major_locator(FixedLocator(ticks[:: max(1, len(ticks) // 5)]))
        panels[0].yaxis.set_minor_locator(NullLocator())
        panels[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panels[0].set_ylabel("mean square")
        panels[1].set_ylabel("cosine")
        panels[1].set_xlabel("activation")
        panels[1].xaxis.set_major_locator(MaxNLocator(6, integer=True))
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper left", ncols=2, frameon=False, fontsize=8, labelcolor=dress.ink
        )

    return themed(paint, WIDTH, 4.2)

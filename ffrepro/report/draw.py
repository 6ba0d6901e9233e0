"""The figures of nets that classify images."""

import io
import textwrap
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ffrepro.pictures import field_grid
from ffrepro.report.dress import WIDTH, Dress, themed
from ffrepro.report.text import plain_minus

_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
LOWEST_ERROR = 0.02  # percent: 2 in 10,000; a run that gets to 0 % is drawn on this line
_IMAGES_WIDTH = 466  # pixels, at most: 8 × 8 images of MNIST, twice as large as they are
_TOLD_BEYOND = 0.05  # percent of the labels
_FIELD_PERCENTILE = 98


def error_limits(errors: list[float]) -> tuple[float, float]:
    """Ends of a logarithmic axis of errors in percent that all of `errors` fit on."""
    shown = [min(max(error, LOWEST_ERROR), 100.0) for error in errors] or [1.0]
    return max(min(shown) * 0.8, LOWEST_ERROR * 0.8), min(max(shown) * 1.25, 110.0)


def learning_curve(
    curves: list[tuple[str, pd.DataFrame]], paper: float | None, limits: tuple[float, float], note: str = ""
) -> dict[str, bytes]:
    """Errors by epoch: a curve is the mean over seeds, its band their range; the paper's number, if any, is dashed."""

    def paint(figure: Figure, dress: Dress) -> None:
        axes = figure.add_subplot()
        for (label, curve), colour, weight in zip(curves, (dress.first, dress.second), (1.0, 2.0), strict=False):
            low, mean, high = (curve[name].clip(lower=LOWEST_ERROR) for name in ("min", "mean", "max"))
            axes.fill_between(curve.index, low, high, color=colour, alpha=0.22, linewidth=0)
            marker = "o" if len(curve) == 1 else None
            axes.plot(curve.index, mean, color=colour, linewidth=weight, marker=marker, markersize=4, label=label)
        if paper is not None:
            axes.axhline(paper, color=dress.ink, linewidth=0.9, dashes=(4, 3), label=f"paper's test error, {paper:g} %")
        axes.set_yscale("log")
        axes.set_ylim(*limits)
        axes.yaxis.set_major_locator(FixedLocator([tick for tick in _TICKS if limits[0] <= tick <= limits[1]]))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel("error, %")
        axes.text(0.02, 0.03, note, transform=axes.transAxes, fontsize=8, color=dress.ink)
        axes.grid(axis="y", color=dress.quiet, alpha=0.22, linewidth=0.5)
        figure.legend(loc="outside upper left", frameon=False, fontsize=8, labelcolor=dress.ink)

    return themed(paint, WIDTH, 3.3)


@dataclass(frozen=True)
class Epochs:
    """Errors of a procedure by epoch; mean, min and max over seeds."""

    label: str
    train: pd.DataFrame | None
    held_out: pd.DataFrame


def epochs(curves: list[Epochs]) -> dict[str, bytes]:
    """Errors by epoch of at most three procedures: dashed on training data, drawn through on data held out of it."""

    def paint(figure: Figure, dress: Dress) -> None:
        axes = figure.add_subplot()
        for one, colour in zip(curves, (dress.ink, dress.first, dress.second)[: len(curves)], strict=True):
            for curve, dashes, what in ((one.held_out, "-", "held out"), (one.train, "--", "training")):
                if curve is None:
                    continue
                axes.fill_between(curve.index, curve["min"], curve["max"], color=colour, alpha=0.22, linewidth=0)
                marker = "o" if len(curve) == 1 else None
                label = "\n".join(textwrap.wrap(f"{one.label}: {what}", 62))
                axes.plot(curve.index, curve["mean"], dashes, color=colour, marker=marker, markersize=4, label=label)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel("error, %")
        axes.grid(axis="y", color=dress.quiet, alpha=0.22, linewidth=0.5)
        figure.legend(loc="outside upper left", frameon=False, fontsize=8, labelcolor=dress.ink)

    return themed(paint, WIDTH, 3.4 + 0.3 * len(curves))


@dataclass(frozen=True)
class Contrasted:
    """What a net tells apart, in words: of a legend, of a sentence, and what was counted."""

    right: str
    wrong: str
    of_right: str
    of_wrong: str
    counted: str


LABELS = Contrasted("right label", "wrong labels", "right", "wrong labels", "the labels tried")
IMAGES = Contrasted("images", "hybrid images", "images", "hybrids", "the images")


def goodness(
    right: np.ndarray, wrong: np.ndarray, edges: np.ndarray, words: Contrasted, note: str = ""
) -> dict[str, bytes]:
    """Goodness over threshold of what the net tells apart, counts (n_layers, bins + 1), a panel a layer."""
    shares = [counts / np.maximum(counts.sum(1, keepdims=True), 1) for counts in (right, wrong)]
    # The axis ends where next to nothing is left of either, but not before the threshold has room around it.
    filled = np.flatnonzero((np.maximum(*shares)[:, :-1] > 0.002).any(0))
    end = max(2.0, float(edges[filled[-1] + 1])) if len(filled) else 2.0
    shown = edges[edges <= end + 1e-6]

    def paint(figure: Figure, dress: Dress) -> None:
        panels: Any = figure.subplots(len(right), 1, sharex=True, squeeze=False)
        for layer, axes in enumerate(panels[:, 0]):
            for share, colour, dashes, label in (
                (shares[1][layer], dress.second, "--", words.wrong),
                (shares[0][layer], dress.first, "-", words.right),
            ):
                heights = 100 * share[: len(shown) - 1]
                axes.stairs(heights, shown, fill=True, color=colour, alpha=0.2)
                axes.stairs(heights, shown, color=colour, linewidth=1.3, linestyle=dashes, label=label)
            beyond = [100 * float(share[layer][np.append(edges[:-1] >= end - 1e-6, True)].sum()) for share in shares]
            axes.text(
                0.99,
                0.93,
                _panel_text(words, layer, *beyond),
                transform=axes.transAxes,
                ha="right",
                va="top",
                fontsize=8,
            )
            if max(beyond) >= _TOLD_BEYOND:
                axes.margins(y=0.5)  # room for the words
            axes.axvline(1, color=dress.ink, linewidth=0.9, label="threshold")
            axes.set_xlim(0, end)
            axes.yaxis.set_major_locator(MaxNLocator(3))
        panels[-1, 0].set_xlabel("goodness / threshold")
        if note:
            panels[0, 0].set_title(note, fontsize=8, loc="left")
        figure.supylabel(f"% of {words.counted}", fontsize=9, color=dress.quiet)
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(
            handles[::-1], labels[::-1], loc="outside upper left", ncols=3, frameon=False, fontsize=8,
            labelcolor=dress.ink,
        )  # fmt: skip

    return themed(paint, WIDTH, 0.7 + 1.15 * len(right))


def _panel_text(words: Contrasted, layer: int, right_beyond: float, wrong_beyond: float) -> str:
    name = f"layer {layer + 1}"
    if max(right_beyond, wrong_beyond) < _TOLD_BEYOND:
        return name
    return f"{name}\nfurther right: {right_beyond:.1f} % of {words.of_right},\n{wrong_beyond:.1f} % of {words.of_wrong}"


def iterations(right: np.ndarray, wrong: np.ndarray, note: str = "") -> dict[str, bytes]:
    """Mean goodness over threshold with right and wrong labels, (n_layers, n_iterations), a panel a layer."""
    numbers = np.arange(1, right.shape[1] + 1)

    def paint(figure: Figure, dress: Dress) -> None:
        panels: Any = figure.subplots(len(right), 1, sharex=True, squeeze=False)
        for layer, axes in enumerate(panels[:, 0]):
            axes.plot(numbers, right[layer], "o-", color=dress.first, markersize=4, label="right label")
            axes.plot(numbers, wrong[layer], "o--", color=dress.second, markersize=4, label="wrong labels")
            # Where the goodness is a negative sum, so is the threshold.
            axes.axhline(np.sign(right[layer].mean()), color=dress.ink, linewidth=0.9, label="threshold")
            axes.text(0.01, 0.93, f"layer {layer + 1}", transform=axes.transAxes, va="top", fontsize=8)
            axes.margins(y=0.3)
            axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        panels[-1, 0].set_xlabel("iteration")
        if note:
            panels[0, 0].set_title(note, fontsize=8, loc="left")
        figure.supylabel("mean goodness / threshold", fontsize=9, color=dress.quiet)
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper left", ncols=3, frameon=False, fontsize=8, labelcolor=dress.ink
        )

    return themed(paint, WIDTH, 0.7 + 1.4 * len(right))


@dataclass(frozen=True)
class Compared:
    """A row for `against_paper`."""

    label: str
    paper: float
    interval: tuple[float, float]
    values: tuple[float, ...]
    mean: float


def against_paper(rows: list[Compared], axis: str) -> dict[str, bytes]:
    """Rows on one axis: the interval as a band, the paper's number as a bar, seeds as rings, their mean as a dot."""
    # Labels stand above their rows, not beside them, so that the figure stays legible on a narrow screen.
    labels = [textwrap.wrap(row.label, 58) for row in rows]
    heights = [0.75 + 0.3 * len(label) for label in labels]

    def paint(figure: Figure, dress: Dress) -> None:
        axes = figure.add_subplot()
        for row, label, bottom in zip(rows, labels, np.cumsum(heights), strict=True):
            y = -float(bottom)
            axes.text(0, y + 0.3, "\n".join(label), transform=axes.get_yaxis_transform(), va="bottom", fontsize=8)
            low, high = row.interval
            axes.barh(y, high - low, left=low, height=0.4, color=dress.band)
            axes.plot([row.paper] * 2, [y - 0.2, y + 0.2], color=dress.ink, linewidth=1.4, solid_capstyle="butt")
            if len(row.values) > 1:
                axes.plot(row.values, [y] * len(row.values), "o", color=dress.first, markersize=5, fillstyle="none")
            axes.plot(row.mean, y, "o", color=dress.first, markersize=5)
        axes.set_ylim(-sum(heights) - 0.5, 0)
        axes.margins(x=0.08)
        axes.yaxis.set_visible(False)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: plain_minus(f"{value:g}")))
        axes.set_xlabel(axis)

    return themed(paint, WIDTH, 0.6 + 0.5 * sum(heights))


def fields(weights: np.ndarray) -> bytes:
    """First-layer fields (n, height, width[, 3]), 128 for 0, as `images`."""
    # A few pixels, those of the label above all, have weights so large that next to them no others could be seen.
    deviation = weights.astype(float) - 128
    within = tuple(range(1, weights.ndim))
    range_of_each = np.percentile(np.abs(deviation), _FIELD_PERCENTILE, axis=within, keepdims=True)
    weights = np.round(128 + 127 * np.clip(deviation / np.maximum(range_of_each, 1), -1, 1)).astype(np.uint8)
    return images(weights)


def images(shown: np.ndarray) -> bytes:
    """Images (n, height, width[, 3]) of bytes as one PNG; what lies between them is transparent."""
    coloured = shown if shown.ndim == 4 else np.stack([shown] * 3, axis=-1)
    covered = field_grid(np.full(shown.shape[:3], 255, np.uint8))
    picture = np.concatenate([field_grid(coloured), covered[:, :, None]], axis=-1)
    picture = picture.repeat(_scale(covered), axis=0).repeat(_scale(covered), axis=1)
    file = io.BytesIO()
    metadata: Any = {"Software": None}  # a version of matplotlib would be another byte
    mpl.image.imsave(file, picture, format="png", metadata=metadata)
    return file.getvalue()


def images_size(shown: np.ndarray) -> tuple[int, int]:
    """Width and height of what `images` and `fields` draw, in pixels."""
    grid = field_grid(shown)
    height, width = grid.shape[:2]
    return _scale(grid) * width, _scale(grid) * height


def _scale(grid: np.ndarray) -> int:
    """How many pixels a side each of a grid's is drawn with."""
    return max(1, _IMAGES_WIDTH // int(grid.shape[1]))

"""Histograms of the goodness of positive and negative data, a plot for each layer."""

import numpy as np

from ffrepro.report import text
from ffrepro.report.blocks import Picture, Section, figures
from ffrepro.report.chart import STEPS, Line, Plot, chart, single
from ffrepro.report.compare import RowResult, TableResult
from ffrepro.report.groups import Group
from ffrepro.report.load import Run

_TOLD_BEYOND = 0.05  # percent: more data beyond the axis are mentioned
_SEEN = 0.2  # percent: a fuller bin is on the axis
_NOTE = (
    "Goodness over threshold of test images, with the right label and with each of the wrong ones; without labels, of "
    "images and of hybrids made from them. A layer that has learned its task puts the first above 1 and the second "
    "below, or the other way round where the goodness is negative."
)


def section(table: TableResult) -> Section | None:
    pictures = (_picture(table.spec.name, *pictured) for pictured in table.pictured)
    return figures("Goodness of positive and negative data", "goodness", pictures, _NOTE)


def _picture(table: str, row: RowResult, group: Group, run: Run) -> Picture | None:
    """The arrays are counts by bin, (n_layers, n_bins + 1); the last bin is beyond the last edge."""
    if "goodness_right" in run.pictures:
        names, words, counted = ("right", "wrong"), ("right label", "wrong labels"), "the labels tried"
    else:
        names, words, counted = ("positive", "negative"), ("images", "hybrid images"), "the images"
    right, wrong, edges = (run.pictures.get(f"goodness_{name}") for name in (*names, "edges"))
    if right is None or wrong is None or edges is None:
        return None
    if right.ndim != 2 or right.shape != wrong.shape or right.shape[1] != len(edges):
        return None
    shares = [100 * counts / np.maximum(counts.sum(1, keepdims=True), 1) for counts in (right, wrong)]
    # The axis ends where next to nothing is left of either, but not before the threshold has room around it.
    filled = np.flatnonzero((np.maximum(*shares)[:, :-1] > _SEEN).any(0))
    end = max(2.0, float(edges[filled[-1] + 1])) if len(filled) else 2.0
    inside = edges[edges <= end + 1e-6]
    plots, above_words, kinds = [], [], text.kinds(group)
    for layer in range(len(right)):
        heights = [np.append(share[layer, : len(inside) - 1], 0) for share in shares]
        lines = [
            Line(label, single(height, inside), style, STEPS)
            for style, (label, height) in enumerate(zip(words, heights, strict=True))
        ]
        beyond = [float(share[layer, len(inside) - 1 :].sum()) for share in shares]
        further = f"further right: {words[0]} {beyond[0]:.1f} %, {words[1]} {beyond[1]:.1f} %"
        named = f"layer {layer + 1}" + (f"; {further}" if max(beyond) >= _TOLD_BEYOND else "")
        plots.append(Plot(lines, f"% of {counted}", title="; ".join([named, *(kinds[: layer == 0])]), scale="zero"))
        above = [share[layer, edges >= 1 - 1e-6].sum() for share in shares]
        above_words.append(f"layer {layer + 1}: {words[0]} {above[0]:.0f} %, {words[1]} {above[1]:.0f} %")
    return chart(
        f"{table}-{row.spec.name}-goodness",
        plots,
        "goodness / threshold",
        height=0.4 + 1.15 * len(right),
        threshold=1,
        title=row.spec.label,
        caption=text.sentence(f"Seed {run.record.seed}, the first 1,000 test images", *kinds),
        alt=f"Goodness of {words[0]} and {words[1]} in each layer. Above the threshold: {'; '.join(above_words)}.",
    )

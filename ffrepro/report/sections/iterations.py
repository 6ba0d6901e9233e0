"""The mean goodness of a recurrent net's layers by iteration."""

import numpy as np

from ffrepro.report import text
from ffrepro.report.blocks import Picture, Section, figures
from ffrepro.report.chart import Level, Line, Plot, chart, single
from ffrepro.report.compare import RowResult, TableResult
from ffrepro.report.groups import Group
from ffrepro.report.load import Run


def section(table: TableResult) -> Section | None:
    pictures = (_picture(table.spec.name, *pictured) for pictured in table.pictured)
    note = (
        "The mean goodness of a recurrent net's layers, with the right label above the image and with the wrong labels."
    )
    return figures("Goodness by iteration", "iterations", pictures, note)


def _picture(table: str, row: RowResult, group: Group, run: Run) -> Picture | None:
    """The arrays are means over images of goodness over threshold, (n_layers, n_iterations)."""
    right, wrong = (run.pictures.get(f"iterations_{labels}") for labels in ("right", "wrong"))
    if right is None or wrong is None or right.ndim != 2 or right.shape != wrong.shape or not right.size:
        return None
    kinds, plots, ends = text.kinds(group), [], []
    for layer, (of_right, of_wrong) in enumerate(zip(right, wrong, strict=True), start=1):
        lines = [
            Line(label, single(values, np.arange(1, len(values) + 1)), style)
            for style, (label, values) in enumerate((("right label", of_right), ("wrong labels", of_wrong)))
        ]
        # Where the goodness is a negative sum, so is the threshold.
        threshold = Level("threshold", float(np.sign(of_right.mean())))
        title = ", ".join([f"layer {layer}", *(kinds if layer == 1 else [])])
        plots.append(Plot(lines, "mean goodness / threshold", [threshold], title))
        ends.append(f"layer {layer}: {of_right[-1]:.2f} with the right and {of_wrong[-1]:.2f} with a wrong label")
    return chart(
        f"{table}-{row.spec.name}-iterations",
        plots,
        "iteration",
        height=0.5 + 1.4 * len(right),
        title=row.spec.label,
        caption=text.sentence(f"Seed {run.record.seed}, the first 1,000 test images", *kinds),
        alt=f"Mean goodness over threshold by iteration. At the last one, {'; '.join(ends)}.",
    )

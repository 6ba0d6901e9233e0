"""Our results and the paper's on a single axis."""

import textwrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ffrepro.report import text
from ffrepro.report.blocks import Section, figures
from ffrepro.report.compare import RowResult, TableResult
from ffrepro.report.theme import LIGHT, drawing


def section(table: TableResult) -> Section | None:
    alike = [row for row in table.rows if row.metric.quantity == table.metric.quantity]
    rows = [row for row in alike if row.difference is not None]
    if not rows:
        return None
    # Labels are above their rows, so that the figure stays legible on a narrow screen.
    labels = ["\n".join(textwrap.wrap(row.spec.title, 58)) for row in rows]
    heights = [1.05 + 0.3 * label.count("\n") for label in labels]

    def paint(figure: Figure) -> None:
        axes: Any = figure.add_subplot()
        for row, label, bottom in zip(rows, labels, np.cumsum(heights), strict=True):
            y = -float(bottom)
            axes.text(0, y + 0.3, label, transform=axes.get_yaxis_transform(), va="bottom", fontsize=8)
            _paint(axes, row, y)
        axes.set_ylim(-sum(heights) - 0.5, 0)
        axes.margins(x=0.08)
        axes.yaxis.set_visible(False)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text.plain_minus(f"{value:g}")))
        axes.set_xlabel(table.metric.heading)

    descriptions = (
        f"{r.spec.title}: ours {text.ours(r)}, the paper's {text.given(r.spec.paper, r.metric)}" for r in rows
    )
    picture = drawing(
        f"{table.spec.name}-against-paper",
        paint,
        0.6 + 0.5 * sum(heights),
        title=table.metric.label,
        caption="Dot: our mean; rings: single seeds. Bar: the paper's number; band: means that count as reproduced.",
        alt=f"{table.spec.title}, {table.metric.heading}. {text.sentence(*descriptions)}",
    )
    return figures("Ours and the paper's", "against-paper", [picture], summary=True)


def _paint(axes: Any, row: RowResult, y: float) -> None:
    low, high = row.spec.reproduced or (0, 0)
    values = row.shown.values() if row.shown else ()
    axes.barh(y, high - low, left=low, height=0.4, color=LIGHT.band)
    axes.plot([row.spec.paper] * 2, [y - 0.2, y + 0.2], color=LIGHT.ink, linewidth=1.4, solid_capstyle="butt")
    if len(values) > 1:
        axes.plot(values, [y] * len(values), "o", color=LIGHT.lines[0], markersize=5, fillstyle="none")
    axes.plot(row.mean, y, "o", color=LIGHT.lines[0], markersize=5)

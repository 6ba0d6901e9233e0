"""Rows that differ in an option: their metric against it."""

from collections.abc import Iterable

from ffrepro.metric import Metric
from ffrepro.report import text
from ffrepro.report.blocks import Picture, Section, figures
from ffrepro.report.chart import BANDS, OPEN, Line, Plot, by_value, chart, scale_of
from ffrepro.report.compare import RowResult, TableResult
from ffrepro.table import Sweep


def section(table: TableResult) -> Section | None:
    numbered = enumerate(table.spec.sweeps, start=1)
    pictures = (_picture(f"{table.spec.name}-sweep-{number}", sweep, table) for number, sweep in numbered)
    title = f"{table.metric.noun.capitalize()} against an option"
    return figures(title, "sweeps", pictures, table.spec.sweeps_about, summary=True)


def lines_of(sweep: Sweep, table: TableResult) -> dict[str, dict[float, RowResult]]:
    """The rows of each line, by their values."""
    rows = {row.spec.name: row for row in table.rows}
    return {
        label: {value: rows[name] for value, name in zip(sweep.values, names, strict=True)}
        for label, names in sweep.lines.items()
    }


def against(
    name: str,
    option: str,
    lines: list[Line],
    metric: Metric,
    *,
    title: str,
    kinds: Iterable[str],
    more: Iterable[str] = (),
) -> Picture:
    """A metric against an option; the caption names `kinds` and `more`."""
    note = ", ".join(sorted(set(kinds)))
    return chart(
        name,
        [Plot(lines, metric.heading, title=note, scale=scale_of(metric))],
        option,
        ticks=sorted({x for line in lines for x, _ in line.points}),
        title=title,
        caption=text.sentence(BANDS, note, *more),
        alt=f"{metric.label} against {option}, {title}. "
        + text.sentence(*(line.in_words(metric) for line in lines), note, *more),
    )


def _picture(name: str, sweep: Sweep, table: TableResult) -> Picture | None:
    lines: list[Line] = []
    measured: list[RowResult] = []
    diverged: list[str] = []
    for style, (label, rows) in enumerate(lines_of(sweep, table).items()):
        ours = by_value({value: row.shown.values() for value, row in rows.items() if row.shown is not None})
        papers = by_value({value: [row.spec.paper] for value, row in rows.items() if row.spec.paper is not None})
        drawn = (Line(f"{label}, ours", ours, style), Line(f"{label}, the paper's", papers, style, OPEN))
        lines += [line for line in drawn if len(line.values)]
        measured += [row for row in rows.values() if row.mean is not None]
        diverged += [f"{label} at {value:g} diverged" for value, row in rows.items() if row.diverged]
    kinds = [kind for row in measured if row.shown for kind in text.kinds(row.shown)]
    metric = table.metric
    return against(name, sweep.axis, lines, metric, title=sweep.label, kinds=kinds, more=diverged) if measured else None

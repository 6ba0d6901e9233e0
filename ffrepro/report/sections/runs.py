"""All runs of a table."""

from collections.abc import Iterable

from ffrepro.report import text
from ffrepro.report.blocks import Cell, Grid, Piece, Section, codes, columns, with_kinds
from ffrepro.report.compare import TableResult
from ffrepro.report.groups import Group, reason_left_out
from ffrepro.report.load import Run


def section(table: TableResult) -> Section | None:
    strays = ", ".join(f"{group.runs[0].record.row} ({group.budget})" for group in table.strays)
    note = f"Other records, of no row in table.yaml: {strays}." if strays else ""
    return Section("All runs", "runs", (grid(table.groups),), note) if table.groups else None


def grid(groups: Iterable[Group]) -> Grid:
    """A row for each run; the reason stands where there is no result."""
    titles = ["Row", "Budget", "Run", "Status", "Result", "Time", "Precision", "Commit"]
    rows = tuple(_cells(run, group) for group in groups for run in group.runs)
    words = ["Budget", "Run", "Status", "Precision", "Commit"]
    return Grid("All runs", columns(titles, words), rows, layout="list")


def _cells(run: Run, group: Group) -> tuple[Cell, ...]:
    record = run.record
    result = text.number(record.metrics.get(group.metric.name), group.metric)
    return (
        codes([record.row]),
        with_kinds(record.budget, text.kinds(run, named=False)),
        (Piece(f"seed {record.seed}", page=f"runs/{run.name}.html", path=run.path),),
        text.without_paths(reason_left_out(run, group.metric) or "ok"),
        text.with_unit(result, group.metric),
        text.time(record.wall_s),
        str(record.environment["precision"]),
        codes(text.commits(run)),
    )

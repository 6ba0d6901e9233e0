"""Claims of a paper about two rows, and our findings."""

from ffrepro.metric import Metric, Split, named
from ffrepro.report import text
from ffrepro.report.blocks import Cell, Grid, Section, columns, with_kinds
from ffrepro.report.compare import RowResult, TableResult
from ffrepro.report.findings import Measured, finding, welch
from ffrepro.table import Claim, Test

_MEANS = "Mean ± sample standard deviation over seeds, and the"
_DIFFERENCE = f"{_MEANS} difference, first row minus second row, with its 95 % interval by Welch's t-test. "
_NOTES: dict[Test, str] = {
    "interval": "Mean over seeds with its 95 % interval by bootstrap, and the ratio of the first row to the second. "
    "“Lower” holds if the two intervals do not overlap, “about as good” if they do.",
    "welch": f"{_DIFFERENCE}“Lower” holds if the interval is below 0, “about as good” if it contains 0.",
    "points": f"{_DIFFERENCE}“Within” means at most so much worse. The means decide; a finding is not settled if the "
    "interval contains the claim's number of points, or if there is no interval.",
    "ratio": f"{_MEANS} ratio of the first row to the second. A claim holds if the ratio is at most the claim's.",
}


def section(table: TableResult) -> Section | None:
    grids = tuple(_grid(test, table) for test in dict.fromkeys(claim.test for claim in table.spec.claims))
    if not grids:
        return None
    return Section("What the paper says, and what was found", "claims", grids, in_summary=True)


def _grid(test: Test, table: TableResult) -> Grid:
    rows = {row.spec.name: row for row in table.rows}
    claims = [claim for claim in table.spec.claims if claim.test == test]
    compared = "Difference" if test in ("welch", "points") else "Ratio"
    titles = ["Claim", "Measured", "Found", "First row", "Second row", compared]
    cells = [_cells(claim, [rows[name] for name in claim.rows], split) for claim in claims for split in claim.splits]
    return Grid(f"Claims, {compared.lower()}", columns(titles, ["Measured", "Found"]), tuple(cells), _NOTES[test])


def _cells(claim: Claim, pair: list[RowResult], split: Split) -> tuple[Cell, ...]:
    metrics = [named(row.metric.on(split)) for row in pair]
    metric = metrics[0]
    kinds = {kind for row in pair if row.shown is not None for kind in text.kinds(row.shown)}
    first, second = (_measured(row, own) for row, own in zip(pair, metrics, strict=True))
    return (
        with_kinds(claim.marked, sorted(kinds)),
        " / ".join(dict.fromkeys(own.heading for own in metrics)),
        _found(claim, metric, pair, first, second),
        *(_mean(claim, row, own) for row, own in zip(pair, metrics, strict=True)),
        text.NONE if first is None or second is None else _compared(claim, metric, first, second),
    )


def _measured(row: RowResult, metric: Metric) -> Measured | None:
    values = row.shown.values(metric.name) if row.shown else ()
    return Measured(values, row.shown.interval(metric.name)) if row.shown and values else None


def _found(claim: Claim, metric: Metric, pair: list[RowResult], ours: Measured | None, others: Measured | None) -> str:
    """A seed that diverged in the first row counts: it is worse than any number."""
    first, second = pair
    if others is None or (ours is None and not first.diverged_seeds):
        return "not measured"
    if not second.complete or not first.settled:
        return "incomplete"
    if first.diverged_seeds and claim.says in ("within", "lower", "alike"):
        return "does not hold: it diverged"
    if ours is None:
        return "holds: it diverged" if claim.says == "worse" else "not measured"
    verdict = finding(claim, metric, ours, others)
    # The seeds that are left settle nothing.
    lost = bool(first.diverged_seeds) and claim.says == "worse"
    return f"{verdict.removesuffix(', not settled')}, not settled" if lost else verdict


def _mean(claim: Claim, row: RowResult, metric: Metric) -> str:
    summary = row.shown.summaries.get(metric.name) if row.shown else None
    if row.shown is None or summary is None or claim.test != "interval":
        return text.summary(summary, metric)
    return f"{text.number(summary.mean, metric)} ({text.low_to_high(row.shown, metric.name, metric)})"


def _compared(claim: Claim, metric: Metric, first: Measured, second: Measured) -> str:
    if claim.test in ("interval", "ratio"):
        return f"{first.mean / second.mean:.2f}" if second.mean else text.NONE
    ends = welch(first.values, second.values) or ()
    difference, *interval = (f"{end:+.{metric.places(first.mean)}f}" for end in (first.mean - second.mean, *ends))
    return text.plain_minus(f"{difference} ({' to '.join(interval)})" if interval else difference)

"""What a paper says of two rows without giving numbers, beside what was measured of them."""

from dataclasses import dataclass
from math import sqrt
from typing import Literal

from scipy.stats import t as student_t

from ffrepro.report import text
from ffrepro.report.compare import RowResult, TableResult
from ffrepro.report.grids import Grid, Line
from ffrepro.report.groups import Group, Summary
from ffrepro.table import Claim

_NONE = 1e-9  # a spread in points that comes of rounding alone
Finding = Literal["holds", "does not hold", "undecided", "no claim", "incomplete"]


@dataclass(frozen=True)
class Measured:
    """A metric of a row: its mean over seeds, and the ends of its interval, averaged over seeds."""

    mean: float
    low: float
    high: float


def found_in_points(claim: Claim, first: float, second: float) -> Finding:
    """What the mean errors of two rows, in percent, say of a claim."""
    assert claim.points is not None
    holds = first - second <= claim.points if claim.says == "within" else first - second >= claim.points
    return "holds" if holds else "does not hold"


def settled(claim: Claim, difference: float, margin: float) -> bool:
    """Whether the interval difference ± margin lies on one side of the claim's points."""
    assert claim.points is not None
    return abs(difference - claim.points) > margin


def margin_of_difference(first: Summary, second: Summary) -> float | None:
    """Half of the 95 % interval of the difference of two means, by Welch's t-test; None without two seeds of each.

    None too where neither varies, which says nothing of how far they would.

    Source: B. L. Welch, The generalization of "Student's" problem when several different population variances are
    involved, Biometrika 34, 1947.
    """
    if first.std is None or second.std is None or max(first.std, second.std) < _NONE:
        return None
    one, other = first.std**2 / first.n, second.std**2 / second.n
    freedom = (one + other) ** 2 / (one**2 / (first.n - 1) + other**2 / (second.n - 1))
    return float(student_t.ppf(0.975, freedom)) * sqrt(one + other)


def found(claim: Claim, first: Measured, second: Measured) -> Finding:
    """What the intervals of two rows say of a claim."""
    apart = first.high < second.low or second.high < first.low
    if claim.says == "nothing":
        return "no claim"
    if claim.says == "alike":
        return "does not hold" if apart else "holds"
    if not apart:
        return "undecided"
    return "holds" if first.high < second.low else "does not hold"


def claims(table: TableResult) -> Grid | None:
    """A line for each of the table's claims on held-out text and one on training text; None where there are none."""
    rows = {row.spec.name: row for row in table.rows}
    if table.spec.unit == "%":
        return _in_points(table, rows)
    lines = [
        _line(claim, rows[claim.rows[0]], rows[claim.rows[1]], metric)
        for claim in table.spec.claims
        for metric in (table.spec.metric, table.spec.metric.replace("test_", "train_"))
    ]
    if not lines:
        return None
    return Grid(
        caption="What the paper says, and what was found",
        note="Perplexity, mean over seeds, and its 95 % interval, by bootstrap over strings. “Lower” holds where the "
        "two intervals do not overlap, “about as good” where they do. The ratio is the first row's over the second's.",
        bands=(),
        columns=("Of", "Found", "First row", "Second row", "Ratio"),
        lines=tuple(lines),
        first="Claim",
    )


def _line(claim: Claim, first: RowResult, second: RowResult, metric: str) -> Line:
    of = "held-out text" if metric.startswith("test_") else "training text"
    groups = [row.shown for row in (first, second)]
    measured = [None if group is None else _measured(group, metric) for group in groups]
    cells = [text.NONE if one is None else _said(one, metric) for one in measured]
    one, other = measured
    if one is None or other is None:
        return Line(claim.marked, [], (of, "not measured", *cells, text.NONE))
    full = all(row.verdict == "measured" for row in (first, second))
    ratio = text.number(one.mean / other.mean, "perplexity")
    return Line(
        claim.marked, _kinds(first, second), (of, found(claim, one, other) if full else "incomplete", *cells, ratio)
    )


def _in_points(table: TableResult, rows: dict[str, RowResult]) -> Grid | None:
    lines = []
    for claim in table.spec.claims:
        first, second = (rows[name] for name in claim.rows)
        cells = (_of_rows(claim, first, second), text.ours(first), text.ours(second), _difference(first, second))
        lines.append(Line(claim.marked, _kinds(first, second), cells))
    if not lines:
        return None
    return Grid(
        caption="What the paper says, and what was found",
        note="Test errors in %, mean ± sample standard deviation over seeds, and their difference in points, the first "
        "row's less the second's, with its 95 % interval (Welch) where both have several seeds. “Within” is at most so "
        "much worse. The means decide; “not settled” where the interval contains the claim's number of points, or "
        "there is none.",
        bands=(),
        columns=("Found", "First row", "Second row", "Difference"),
        lines=tuple(lines),
        first="Claim",
    )


def _difference(first: RowResult, second: RowResult) -> str:
    if first.mean is None or second.mean is None:
        return text.NONE
    difference, margin = first.mean - second.mean, _margin(first, second)
    if margin is None:
        return text.plain_minus(f"{difference:+.2f}")
    return text.plain_minus(f"{difference:+.2f} ({difference - margin:+.2f} to {difference + margin:+.2f})")


def _margin(first: RowResult, second: RowResult) -> float | None:
    """See `margin_of_difference`; None where a row has no result."""
    one, other = (None if row.shown is None else row.shown.headline for row in (first, second))
    return None if one is None or other is None else margin_of_difference(one, other)


def _kinds(first: RowResult, second: RowResult) -> list[str]:
    """What is less than the paper's in either row."""
    return sorted({kind for row in (first, second) if row.shown is not None for kind in text.kinds(row.shown)})


def _of_rows(claim: Claim, first: RowResult, second: RowResult) -> str:
    """A seed with which the first row diverged counts: no number of points is as far as that."""
    if second.mean is None or (first.mean is None and not first.diverged_seeds):
        return "not measured"
    if second.verdict != "measured" or not first.settled:
        return "incomplete"
    if claim.says == "within" and first.diverged_seeds:
        return "does not hold: it diverged"
    if first.mean is None:
        return "holds: it diverged"
    finding, margin = found_in_points(claim, first.mean, second.mean), _margin(first, second)
    is_settled = not first.diverged_seeds and margin is not None and settled(claim, first.mean - second.mean, margin)
    return finding if is_settled else f"{finding}, not settled"


def _measured(group: Group, metric: str) -> Measured | None:
    summary, interval = group.summaries.get(metric), group.interval(metric)
    return None if summary is None or interval is None else Measured(summary.mean, *interval)


def _said(one: Measured, metric: str) -> str:
    return f"{text.number(one.mean, metric)} ({text.number(one.low, metric)} to {text.number(one.high, metric)})"

"""Numbers and names in print."""

import re
from typing import Any

from ffrepro.metric import Metric
from ffrepro.report.compare import EXACT_DIGITS, RowResult
from ffrepro.report.groups import Group, Summary, reason_left_out
from ffrepro.report.load import Run
from ffrepro.runs.tracking import duration

NONE = "–"
MARKS = {
    "P": "read in the authors' own text or code",
    "S": "read in texts that quote the paper",
    "M": "recalled, not checked",
}
# A place on the machine that made a record is of no use to a reader elsewhere, and private.
_ABSOLUTE = re.compile(r"""(?<![^\s'"=(\[,:])(?:~?/(?![/\s])[^\s'",:;<>]+|[A-Za-z]:\\[^\s'",;]+)""")


def plain_minus(text: str) -> str:
    """The minus sign in place of the hyphen."""
    return text.replace("-", "−")


def number(value: float | None, metric: Metric, decimals: int | None = None) -> str:
    """`value` without its unit."""
    return NONE if value is None else plain_minus(metric.format(value, decimals))


def summary(value: Summary | None, metric: Metric, decimals: int | None = None) -> str:
    """Mean ± standard deviation, with as many decimals; a single run has no ±."""
    if value is None:
        return NONE
    if value.std is None:
        return number(value.mean, metric, decimals)
    decimals = metric.places(value.mean) if decimals is None else decimals
    return plain_minus(f"{value.mean:.{decimals}f} ± {value.std:.{decimals}f}")


def with_unit(text: str, metric: Metric) -> str:
    """A number as text, with its unit unless there is no number."""
    return text if text == NONE else f"{text} {metric.unit}".rstrip()


def value(number_: float | None, metric: Metric) -> str:
    """A number with its unit."""
    return with_unit(number(number_, metric), metric)


def sentence(*parts: str) -> str:
    """The parts that say something, with semicolons between them."""
    return "; ".join(filter(None, parts)) + "."


def low_to_high(group: Group, name: str, metric: Metric) -> str:
    """The recorded interval of a metric."""
    return " to ".join(number(end, metric) for end in group.interval(name) or ()) or NONE


def decimals_of(row: RowResult) -> int | None:
    """Enough decimals to see whether the mean is inside the interval; None for the metric's own."""
    if row.mean is None or row.spec.reproduced is None or (row.shown is not None and row.shown.reduced):
        return None
    (low, high), fewest = row.spec.reproduced, row.metric.places(row.mean)
    inside = low <= round(row.mean, EXACT_DIGITS) <= high
    agree = (more for more in (0, 1, 2) if (low <= round(row.mean, fewest + more) <= high) == inside)
    more = next(agree, 2)
    return fewest + more if more else None


def ours(row: RowResult) -> str:
    """The row's mean and standard deviation, with the unit."""
    headline = row.shown.headline if row.shown else None
    return with_unit(summary(headline, row.metric, decimals_of(row)), row.metric)


def given(value: float | None, metric: Metric) -> str:
    """A number of `table.yaml` with its unit. Whole numbers stay whole; losses stay as they are written."""
    as_written = isinstance(value, int) or (value is not None and metric.decimals is None)
    return with_unit(str(value) if as_written else number(value, metric), metric)


def difference(row: RowResult) -> str:
    """Ours minus the paper's."""
    if row.difference is None or row.mean is None:
        return NONE
    decimals = decimals_of(row) or row.metric.places(row.mean)
    return plain_minus(f"{row.difference:+.{decimals}f}")


def seeds(row: RowResult) -> str:
    """How many seeds there are, and how many there should be."""
    if row.shown is None or not row.missing_seeds:
        return counted(len(row.shown.seeds), "seed") if row.shown else NONE
    have = len(row.wanted_seeds) - len(row.missing_seeds)
    others = len(row.shown.seeds) - have
    return f"{have} of {len(row.wanted_seeds)} seeds" + (f" and {others} not asked for" if others else "")


def kinds(runs: Group | Run, *, named: bool = True) -> list[str]:
    """How runs fall short of the paper's, with the budget's name if `named`; empty for full runs."""
    less = [] if runs.budget == "paper" else [f"reduced: {runs.budget} budget" if named else "reduced"]
    return [*less, *(["stand-in data"] if runs.stand_in else [])]


def time(seconds: float | None) -> str:
    return NONE if seconds is None else duration(seconds)


def commits(*runs: Run) -> list[str]:
    """The first digits of the commits that trained `runs`; * where the tree had further changes.

    A run that was cut and resumed after a change has several.
    """
    states = (run.record.git for run in runs)
    states_of_commits = (
        (commit, git["dirty"]) for git in states for commit in [*git.get("earlier", []), git["commit"]]
    )
    return sorted({str(commit or "unknown")[:7] + ("*" if dirty else "") for commit, dirty in states_of_commits})


def device(group: Group) -> str:
    """The devices, the threads of a CPU, and the precisions; where these differ, how often each was used."""
    machines = [run.record.environment for run in group.counted]
    names = sorted({without_paths(str(machine["device"])) for machine in machines})
    threads = sorted({str(machine["threads"]) for machine in machines if not machine["cuda"]}, key=int)
    computed = [f"{' or '.join(threads)} thread{'s' if threads != ['1'] else ''}"] if threads else []
    used = [str(machine["precision"]) for machine in machines]
    precisions = [name if len(group.precisions) == 1 else f"{used.count(name)} × {name}" for name in group.precisions]
    return "; ".join(filter(None, [*names, *computed, ", ".join(precisions)])) or NONE


def counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def notes(row: RowResult) -> list[str]:
    """Warnings about a row's mean."""
    group = row.shown
    if group is None:
        return []
    reasons = ((run, reason_left_out(run, group.metric)) for run in group.runs)
    warnings = [f"Seed {run.record.seed} is not in the mean: {without_paths(why)}." for run, why in reasons if why]
    if not group.of_one_config:
        warnings.append("The runs differ in more than their seed: their configurations are not the same.")
    if len(group.precisions) > 1:
        warnings.append(f"The runs were made in different precisions: {device(group)}.")
    return warnings


def without_paths(value: Any) -> Any:
    """`value`, a text or nested texts, without absolute paths."""
    if isinstance(value, str):
        return _ABSOLUTE.sub("<path>", value)
    if isinstance(value, dict):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_paths(item) for item in value]
    return value

"""Results compared with the paper's: what is averaged, what is left out, and what the comparison says."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import pandas as pd

from ffrepro.record import decisive_values
from ffrepro.report.load import Run
from ffrepro.table import Row, Table

Verdict = Literal["reproduced", "better", "worse", "measured", "incomplete", "only a preview", "no result", "not run"]

# In this order they are counted, the strongest statement first.
VERDICTS: tuple[Verdict, ...] = (
    "reproduced",
    "better",
    "worse",
    "measured",
    "incomplete",
    "only a preview",
    "no result",
    "not run",
)
# The budget that says most comes first; one that is not known here says least.
_BUDGETS = ("paper", "quick", "smoke")
# Errors are counts over thousands of images: further digits of their mean come from its binary form alone.
_EXACT_DIGITS = 9


@dataclass(frozen=True)
class Summary:
    """Mean over `n` runs, and their sample standard deviation (n - 1); None for a single run."""

    n: int
    mean: float
    std: float | None


@dataclass(frozen=True)
class Group:
    """Runs of one row that may be averaged: of one budget, all on the data itself or all on stand-in data."""

    runs: tuple[Run, ...]
    metric: str

    @property
    def budget(self) -> str:
        return self.runs[0].record.budget

    @property
    def stand_in(self) -> bool:
        return self.runs[0].stand_in

    @property
    def reduced(self) -> bool:
        return self.runs[0].reduced

    @cached_property
    def counted(self) -> tuple[Run, ...]:
        """The runs with a result."""
        return tuple(run for run in self.runs if reason_left_out(run, self.metric) is None)

    @cached_property
    def left_out(self) -> tuple[tuple[Run, str], ...]:
        """The runs without a result, with the reason."""
        reasons = ((run, reason_left_out(run, self.metric)) for run in self.runs)
        return tuple((run, reason) for run, reason in reasons if reason is not None)

    @cached_property
    def summaries(self) -> dict[str, Summary]:
        """Of each metric of the counted runs."""
        return summarize([run.record.metrics for run in self.counted])

    @property
    def headline(self) -> Summary | None:
        return self.summaries.get(self.metric)

    def interval(self, metric: str) -> tuple[float, float] | None:
        """The ends of the interval of a metric that has one, averaged over seeds."""
        low, high = (self.summaries.get(f"{metric}_{end}") for end in ("low", "high"))
        return None if low is None or high is None else (low.mean, high.mean)

    @property
    def wall_s(self) -> float | None:
        """The median time of a counted run."""
        return float(pd.Series([run.record.wall_s for run in self.counted]).median()) if self.counted else None

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(run.record.seed for run in self.counted)

    @property
    def precisions(self) -> tuple[str, ...]:
        return _different(str(run.record.environment["precision"]) for run in self.counted)

    @property
    def devices(self) -> tuple[str, ...]:
        return _different(str(run.record.environment["device"]) for run in self.counted)

    @property
    def of_one_config(self) -> bool:
        """Whether all counted runs did the same but for their seed, device and precision."""
        decisive = [(_decisive(run), run.record.data.get("sha256")) for run in self.counted]
        return all(other == decisive[0] for other in decisive)

    @cached_property
    def history(self) -> dict[str, pd.DataFrame]:
        """Of each metric the mean, min and max over seeds, by epoch."""
        return by_epoch([run.record.history for run in self.counted])


@dataclass(frozen=True)
class RowResult:
    """A row of the paper beside what was measured: `shown` is compared, `others` are listed only."""

    spec: Row
    wanted_seeds: list[int]
    shown: Group | None
    others: tuple[Group, ...]

    @property
    def verdict(self) -> Verdict:
        if self.shown is None:
            return "not run"
        if self.shown.headline is None:
            return "no result"
        if self.shown.reduced:
            return "only a preview"
        if self.missing_seeds or not self.shown.of_one_config:
            return "incomplete"
        if self.spec.reproduced is None:
            return "measured"  # the paper has no number, or one of other data
        return judged(self.shown.headline.mean, self.spec.reproduced)

    @property
    def difference(self) -> float | None:
        """Ours less the paper's; only where the two may be compared."""
        if (
            self.spec.paper is None
            or self.spec.reproduced is None
            or self.shown is None
            or self.shown.headline is None
            or self.shown.reduced
        ):
            return None
        return self.shown.headline.mean - self.spec.paper

    @property
    def train(self) -> Summary | None:
        """The training error by the same test."""
        return None if self.shown is None else self.shown.summaries.get(self.shown.metric.replace("test_", "train_"))

    @property
    def mean(self) -> float | None:
        """Of the metric, over the seeds with a result."""
        return None if self.shown is None or self.shown.headline is None else self.shown.headline.mean

    @property
    def diverged_seeds(self) -> tuple[int, ...]:
        """Seeds with which training came to no end."""
        runs = () if self.shown is None else self.shown.runs
        return tuple(run.record.seed for run in runs if run.record.status == "diverged")

    @property
    def settled(self) -> bool:
        """Whether it was fully trained with all seeds that were to be run, or diverged."""
        if self.shown is None or self.shown.reduced or not self.shown.of_one_config:
            return False
        return set(self.missing_seeds) <= set(self.diverged_seeds)

    @property
    def diverged(self) -> bool:
        """Whether it came to no end with any seed that was to be run."""
        return self.settled and self.mean is None

    @property
    def missing_seeds(self) -> tuple[int, ...]:
        """Seeds that were to be run and have no result."""
        have = self.shown.seeds if self.shown else ()
        return tuple(seed for seed in self.wanted_seeds if seed not in have)


@dataclass(frozen=True)
class TableResult:
    """All rows of a table, and the groups of records that no row of it claims."""

    spec: Table
    rows: tuple[RowResult, ...]
    strays: tuple[Group, ...]

    @property
    def has_numbers(self) -> bool:
        """Whether the paper gives any."""
        return any(row.spec.paper is not None for row in self.rows)

    @property
    def has_training_numbers(self) -> bool:
        """Whether the paper gives training errors too."""
        return any(row.spec.train is not None for row in self.rows)

    @property
    def nets(self) -> tuple[RowResult, ...]:
        """The rows without those that are another test of the same nets."""
        return tuple(row for row in self.rows if row.spec.record is None)

    def tests_of(self, net: RowResult) -> list[RowResult]:
        """The rows that are tests of the same net as the row `net`, itself first."""
        return [row for row in self.rows if row.spec.recorded_as == net.spec.name]

    @property
    def counts(self) -> dict[Verdict, int]:
        """How often each verdict was given; those never given are left out."""
        given = [row.verdict for row in self.rows]
        return {verdict: given.count(verdict) for verdict in VERDICTS if verdict in given}

    @property
    def groups(self) -> list[Group]:
        """All groups of the table in the order in which they are listed."""
        listed = [group for row in self.nets for group in (row.shown, *row.others) if group is not None]
        return [*listed, *self.strays]


def compare(table: Table, runs: list[Run]) -> TableResult:
    """Put the table's `runs` (of this table alone) to its rows."""
    groups = group(runs, table.metric)
    rows = []
    for spec in table.rows:
        mine = [replace(one, metric=spec.metric or table.metric) for one in groups.get(spec.recorded_as, [])]
        rows.append(RowResult(spec, spec.seeds or table.seeds, mine[0] if mine else None, tuple(mine[1:])))
    strays = sorted(set(groups) - {spec.recorded_as for spec in table.rows})
    return TableResult(table, tuple(rows), tuple(one for name in strays for one in groups[name]))


def group(runs: list[Run], metric: str | None = None) -> dict[str, list[Group]]:
    """Groups of each row, the one that says most first; without `metric`, a row's own headline is taken."""
    frame = pd.DataFrame(
        {
            "run": pd.Series(runs, dtype=object),
            "row": [run.record.row for run in runs],
            "budget": [run.record.budget for run in runs],
            "stand_in": [run.stand_in for run in runs],
        }
    )
    groups: dict[str, list[Group]] = {}
    for (row, _, _), part in frame.groupby(["row", "budget", "stand_in"], sort=True):
        own = sorted(part["run"], key=lambda run: run.record.seed)
        groups.setdefault(str(row), []).append(Group(tuple(own), metric or headline_metric(own)))
    return {row: sorted(found, key=_says_most) for row, found in groups.items()}


def judged(mean: float, interval: tuple[float, float]) -> Verdict:
    """What a mean of full runs says: within the interval, ends included, it is the paper's result."""
    mean = round(mean, _EXACT_DIGITS)
    if mean < interval[0]:
        return "better"
    return "worse" if mean > interval[1] else "reproduced"


def summarize(metrics: list[dict[str, float | None]]) -> dict[str, Summary]:
    """Mean and sample standard deviation of each metric, over those that have it."""
    frame = pd.DataFrame(metrics, dtype=float)
    summaries = {}
    for name in frame:
        values = frame[name][frame[name].map(math.isfinite)]
        if len(values):
            std = float(values.std(ddof=1)) if len(values) > 1 else None
            summaries[str(name)] = Summary(len(values), float(values.mean()), std)
    return summaries


def by_epoch(histories: list[list[dict[str, float | None]]]) -> dict[str, pd.DataFrame]:
    """Mean, min and max of each metric over the histories; the index is the epoch, from 1."""
    frames = [pd.DataFrame(history, dtype=float) for history in histories if history]
    if not frames:
        return {}
    joined = pd.concat([frame.set_axis(range(1, len(frame) + 1)) for frame in frames])
    found = joined.groupby(level=0).agg(["mean", "min", "max"])
    return {str(name): found[[name]].droplevel(0, axis=1).dropna() for name in sorted(joined.columns)}


def headline_metric(runs: Iterable[Run]) -> str:
    """The metric that stands for a run where no table names one."""
    # Where examples are held out for choosing, the test set is not looked at.
    for name in ("validation_error", "validation_perplexity", "test_error", "test_perplexity", "test_loss"):
        if any(name in run.record.metrics for run in runs):
            return name
    return "test_error"


def reason_left_out(run: Run, metric: str) -> str | None:
    """Why a run has no part in an average; None if it has."""
    if run.record.status != "ok":
        return f"{run.record.status}: {run.record.error or 'no reason recorded'}"
    value = run.record.metrics.get(metric)
    return None if value is not None and math.isfinite(value) else f"its {metric} is not a number"


def _says_most(one: Group) -> tuple[bool, int, str]:
    rank = _BUDGETS.index(one.budget) if one.budget in _BUDGETS else len(_BUDGETS)
    return one.stand_in, rank, one.budget


def _different(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(values)))


def _decisive(run: Run) -> Any:
    return decisive_values(run.record.config)

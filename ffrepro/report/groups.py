"""Runs that may be averaged, what is left out of an average, and the averages themselves."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from ffrepro.report.load import Run
from ffrepro.runs.record import comparable

# The budget that says most comes first; one that is not known here says least.
_BUDGETS = ("paper", "quick", "smoke")


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
        decisive = [(comparable(run.record.config), run.record.data.get("sha256")) for run in self.counted]
        return all(other == decisive[0] for other in decisive)

    @cached_property
    def history(self) -> dict[str, pd.DataFrame]:
        """Of each metric the mean, min and max over seeds, by epoch."""
        return by_epoch([run.record.history for run in self.counted])


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

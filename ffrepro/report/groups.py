"""Groups of runs that may be averaged, and their averages."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from statistics import median

import pandas as pd

from ffrepro.metric import Metric, Split, headline, is_finite, named
from ffrepro.report.load import Run
from ffrepro.runs.record import comparable

# The budget that says most comes first; an unknown budget says least.
_BUDGETS = ("paper", "quick", "smoke")


@dataclass(frozen=True)
class Summary:
    """Mean over `n` runs, and their sample standard deviation (n - 1); None for a single run."""

    n: int
    mean: float
    std: float | None


@dataclass(frozen=True)
class Group:
    """Runs of a row that may be averaged: with the same budget, all on real data or all on stand-in data."""

    runs: tuple[Run, ...]
    metric: Metric

    @property
    def budget(self) -> str:
        return self.runs[0].budget

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

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(run.record.seed for run in self.counted)

    @cached_property
    def summaries(self) -> dict[str, Summary]:
        """Each metric of the counted runs."""
        return summarize([run.record.metrics for run in self.counted])

    @property
    def headline(self) -> Summary | None:
        return self.summaries.get(self.metric.name)

    def values(self, name: str | None = None) -> tuple[float, ...]:
        """A metric of the counted runs, by default the group's own."""
        values = (run.record.metrics.get(name or self.metric.name) for run in self.counted)
        return tuple(value for value in values if is_finite(value))

    def interval(self, name: str) -> tuple[float, float] | None:
        """The ends of a metric's recorded interval, averaged over seeds."""
        low, high = (self.summaries.get(f"{name}_{end}") for end in ("low", "high"))
        return None if low is None or high is None else (low.mean, high.mean)

    @property
    def wall_s(self) -> float | None:
        """The median time of a counted run."""
        return median(run.record.wall_s for run in self.counted) if self.counted else None

    @property
    def precisions(self) -> tuple[str, ...]:
        return tuple(sorted({str(run.record.environment["precision"]) for run in self.counted}))

    @property
    def of_one_config(self) -> bool:
        """Whether all counted runs did the same but for their seed, device and precision."""
        decisive = [(comparable(run.record.config), run.record.data.get("sha256")) for run in self.counted]
        return all(other == decisive[0] for other in decisive)

    @cached_property
    def history(self) -> dict[str, pd.DataFrame]:
        """Mean, min and max of each metric over seeds, by epoch."""
        return by_epoch([run.record.history for run in self.counted])

    def curve(self, split: Split) -> tuple[Metric, pd.DataFrame] | None:
        """The quantity of the group's metric on a split by epoch; the net's own test comes before others.

        The loss without a split is the loss of training batches.
        """
        splits = (split, None) if split == "running" else (split,)
        names = sorted(name for name in self.history if named(name).quantity == self.metric.quantity)
        metrics = [metric for metric in map(named, names) if not (metric.part or metric.end)]
        return next(((m, self.history[m.name]) for wanted in splits for m in metrics if m.split == wanted), None)


def group(runs: list[Run], metric: Metric | None = None) -> dict[str, list[Group]]:
    """Groups of each row, the group that says most first; without `metric`, a row's own headline is taken."""

    def place(run: Run) -> tuple[str, bool, int, str, int]:
        rank = _BUDGETS.index(run.budget) if run.budget in _BUDGETS else len(_BUDGETS)
        return run.record.row, run.stand_in, rank, run.budget, run.record.seed

    groups: dict[str, list[Group]] = {}
    for (row, *_), members in groupby(sorted(runs, key=place), key=lambda run: place(run)[:-1]):
        alike = tuple(members)
        groups.setdefault(row, []).append(Group(alike, metric or headline_of(alike)))
    return groups


def headline_of(runs: Iterable[Run]) -> Metric:
    """The metric of runs without a table: on validation data if there are any, as the test set is not to choose on."""
    names = {name for run in runs for name in run.record.metrics}
    return named(headline(names, ("validation", "test")) or "validation_error")


def summarize(metrics: list[dict[str, float | None]]) -> dict[str, Summary]:
    """Mean and sample standard deviation of each metric, over the runs that have it."""
    frame = pd.DataFrame(metrics, dtype=float)
    summaries = {}
    for name in frame:
        values = frame[name][frame[name].map(is_finite)]
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
    curves = joined.groupby(level=0).agg(["mean", "min", "max"])
    by_name = {str(name): curves[[name]].droplevel(0, axis=1).dropna() for name in sorted(joined.columns)}
    return {name: curve for name, curve in by_name.items() if len(curve)}


def reason_left_out(run: Run, metric: Metric) -> str | None:
    """Why a run has no part in an average; None if it has."""
    if run.record.status != "ok":
        return f"{run.record.status}: {run.record.error or 'no reason recorded'}"
    return None if is_finite(run.record.metrics.get(metric.name)) else f"its {metric.name} is not a number"

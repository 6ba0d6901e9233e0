"""Results compared with the paper's: the runs of each row, and the verdict."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

from ffrepro.metric import Metric, named
from ffrepro.report.groups import Group, group
from ffrepro.report.load import Run
from ffrepro.table import Row, Table

# In this order verdicts are counted, the strongest first.
Verdict = Literal["reproduced", "better", "worse", "measured", "incomplete", "only a preview", "no result", "not run"]
# Errors are counts over thousands of images: further digits of their mean come from its binary form alone.
EXACT_DIGITS = 9


@dataclass(frozen=True)
class RowResult:
    """A row of the paper and our runs of it; the first group is compared, the others are only listed."""

    spec: Row
    metric: Metric
    wanted_seeds: list[int]
    groups: tuple[Group, ...]

    @property
    def shown(self) -> Group | None:
        return self.groups[0] if self.groups else None

    @property
    def verdict(self) -> Verdict:
        if self.shown is None:
            return "not run"
        if self.shown.headline is None:
            return "no result"
        if self.shown.reduced:
            return "only a preview"
        if not self.complete:
            return "incomplete"
        if self.spec.reproduced is None:
            return "measured"  # the paper has no number, or its number is of other data
        return judged(self.shown.headline.mean, self.spec.reproduced, self.metric)

    @property
    def complete(self) -> bool:
        """Whether it was fully trained with all seeds that it should have."""
        return self.full and not self.missing_seeds

    @property
    def settled(self) -> bool:
        """The same, where seeds that diverged count too."""
        return self.full and set(self.missing_seeds) <= set(self.diverged_seeds)

    @property
    def full(self) -> bool:
        """Whether its runs are full runs with the same configuration."""
        return self.shown is not None and not self.shown.reduced and self.shown.of_one_config

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's; None where they may not be compared."""
        if self.spec.paper is None or self.spec.reproduced is None or self.mean is None:
            return None
        return None if self.shown is None or self.shown.reduced else self.mean - self.spec.paper

    @property
    def mean(self) -> float | None:
        """The row's metric, averaged over the seeds with a result."""
        return None if self.shown is None or self.shown.headline is None else self.shown.headline.mean

    @property
    def diverged_seeds(self) -> tuple[int, ...]:
        """Seeds whose training diverged."""
        runs = () if self.shown is None else self.shown.runs
        return tuple(run.record.seed for run in runs if run.record.status == "diverged")

    @property
    def diverged(self) -> bool:
        """Whether it diverged with every seed that it should have."""
        return self.settled and self.mean is None

    @property
    def missing_seeds(self) -> tuple[int, ...]:
        """Seeds that it should have, without a result."""
        have = self.shown.seeds if self.shown else ()
        return tuple(seed for seed in self.wanted_seeds if seed not in have)


@dataclass(frozen=True)
class TableResult:
    """All rows of a table, the records that belong to none of its rows, and all `runs` of the results' folder."""

    spec: Table
    rows: tuple[RowResult, ...]
    strays: tuple[Group, ...]
    runs: tuple[Run, ...] = ()

    @property
    def metric(self) -> Metric:
        return named(self.spec.metric)

    @property
    def has_numbers(self) -> bool:
        """Whether the paper gives any."""
        return any(row.spec.paper is not None for row in self.rows)

    @property
    def nets(self) -> tuple[RowResult, ...]:
        """The rows without other tests of the same nets."""
        return tuple(row for row in self.rows if row.spec.record is None)

    def tests_of(self, net: RowResult) -> list[RowResult]:
        """The rows that test the net of the row `net`, itself first."""
        return [row for row in self.rows if row.spec.recorded_as == net.spec.name]

    @cached_property
    def shown(self) -> list[tuple[RowResult, Group]]:
        """The nets with a result, and their runs."""
        return [(row, row.shown) for row in self.nets if row.shown is not None and row.shown.headline is not None]

    @cached_property
    def pictured(self) -> list[tuple[RowResult, Group, Run]]:
        """The nets that keep pictures, with the run that kept them."""
        return [(row, own, run) for row, own in self.shown for run in [run for run in own.counted if run.pictures][:1]]

    @property
    def counts(self) -> dict[Verdict, int]:
        """How often each verdict was given; verdicts that were never given are left out."""
        given = [row.verdict for row in self.rows]
        return {verdict: given.count(verdict) for verdict in get_args(Verdict) if verdict in given}

    @property
    def groups(self) -> list[Group]:
        """All groups of the table, in the order of its rows."""
        return [*(group for row in self.nets for group in row.groups), *self.strays]


def compare(table: Table, runs: list[Run]) -> TableResult:
    """The table's rows with their runs; `runs` may be of any table."""
    groups = group([run for run in runs if run.record.table == table.name], named(table.metric))
    rows = []
    for spec in table.rows:
        metric = table.metric_of(spec)
        own = tuple(replace(alike, metric=metric) for alike in groups.get(spec.recorded_as, []))
        rows.append(RowResult(spec, metric, spec.seeds or table.seeds, own))
    strays = sorted(set(groups) - {spec.recorded_as for spec in table.rows})
    return TableResult(table, tuple(rows), tuple(stray for name in strays for stray in groups[name]), tuple(runs))


def judged(mean: float, interval: tuple[float, float], metric: Metric) -> Verdict:
    """The verdict on a mean of full runs: within the interval, ends included, it is the paper's result."""
    (low, high), mean = interval, round(mean, EXACT_DIGITS)
    if low <= mean <= high:
        return "reproduced"
    return "worse" if metric.worse_by(mean, low) > 0 else "better"

"""Results compared with the paper's: what each row is beside it, and what the comparison says."""

from dataclasses import dataclass, replace
from typing import Literal

from ffrepro.report.groups import Group, Summary, group
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
# Errors are counts over thousands of images: further digits of their mean come from its binary form alone.
_EXACT_DIGITS = 9


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


def judged(mean: float, interval: tuple[float, float]) -> Verdict:
    """What a mean of full runs says: within the interval, ends included, it is the paper's result."""
    mean = round(mean, _EXACT_DIGITS)
    if mean < interval[0]:
        return "better"
    return "worse" if mean > interval[1] else "reproduced"

"""A table of a paper, as `experiments/<table>/table.yaml` describes it."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import yaml

from ffrepro.errors import UserError
from ffrepro.metric import Metric, Split, is_known, named
from ffrepro.paths import EXPERIMENTS


@dataclass(frozen=True)
class Row:
    """A row of a table."""

    name: str  # its name in commands and records
    label: str  # its net, in words
    experiment: str  # its preset
    paper: float | None = None  # the paper's number; None if it has none, and the table's claims are tested instead
    mark: str | None = None  # how well the paper's number is known
    # The interval of means that count as the paper's; None if the paper's number is of other data.
    reproduced: tuple[float, float] | None = None
    seeds: list[int] | None = None  # its own seeds, where those of the table make no sense, as for counted statistics
    train: float | None = None  # the paper's number on training data
    train_mark: str | None = None  # how well that is known
    test: str | None = None  # the way of testing; a net that is tested in two ways has two rows
    metric: str | None = None  # its own metric
    record: str | None = None  # the row that has its records, if it is another test of that row's net

    @property
    def title(self) -> str:
        """Its net, and the way of testing if there are several."""
        return self.label if self.test is None else f"{self.label}; {self.test}"

    @property
    def recorded_as(self) -> str:
        """The name of the row that has its records."""
        return self.record or self.name


@dataclass(frozen=True)
class Ablation:
    """A choice of the paper against others: the preset `ablation/<name>` sweeps over `option`.

    Ablations with a `line`, its label, share a figure.
    """

    name: str
    label: str
    option: str
    line: str | None = None


Says = Literal["lower", "alike", "within", "worse", "nothing"]
Test = Literal["interval", "welch", "points", "ratio"]
# The statements that each test can decide.
_DECIDES: dict[Test, tuple[Says, ...]] = {
    "interval": ("lower", "alike", "nothing"),
    "welch": ("lower", "alike", "nothing"),
    "points": ("within", "worse"),
    "ratio": ("lower",),
}


@dataclass(frozen=True)
class Claim:
    """A statement of the paper about two rows without numbers.

    `says`: the first is `lower` than the second, or they are `alike`; it is `within` some points of the second, or
    `worse` by that many at least; `nothing` if the question is the project's, not the paper's. `test` decides:

    - `interval`: whether the rows' recorded 95 % intervals overlap;
    - `welch`: whether the 95 % interval of the difference of the means over seeds contains 0;
    - `points`: whether the first mean is worse than the second by at most, or at least, `points`;
    - `ratio`: whether the first mean is at most `ratio` times the second.

    It is tested on each of `splits`.
    """

    text: str
    rows: tuple[str, str]
    says: Says
    test: Test
    mark: str | None = None
    points: float | None = None
    ratio: float | None = None
    splits: Sequence[Split] = ("test",)

    def __post_init__(self) -> None:
        if self.test not in _DECIDES:
            raise TypeError(f"claim {self.text!r} has the test {self.test!r}: expected {', '.join(_DECIDES)}")
        if self.says not in _DECIDES[self.test]:
            raise TypeError(f"claim {self.text!r} says {self.says!r}: {self.test} decides {_DECIDES[self.test]}")
        if (self.points is None) is (self.test == "points") or (self.ratio is None) is (self.test == "ratio"):
            raise TypeError(f"claim {self.text!r}: points and ratio belong to the tests of their names alone")
        for split in self.splits:
            if split not in get_args(Split):
                raise TypeError(f"claim {self.text!r} has the split {split!r}: expected {', '.join(get_args(Split))}")

    @property
    def marked(self) -> str:
        """The text, and how well it is known."""
        return f"{self.text} ({self.mark})" if self.mark else self.text


@dataclass(frozen=True)
class Panel:
    """Rows that share a figure of their metric by epoch, trained with the override `held_out`."""

    label: str
    rows: list[str]
    held_out: str


@dataclass(frozen=True)
class Sweep:
    """Rows whose metric is drawn against an option: any number of `lines`, each with a row for each of `values`."""

    label: str
    axis: str
    values: list[float]
    lines: dict[str, list[str]]

    def __post_init__(self) -> None:
        if not self.lines or any(len(rows) != len(self.values) for rows in self.lines.values()):
            raise TypeError(f"sweep {self.label!r}: expected lines, each with a row for each value")


@dataclass(frozen=True)
class Table:
    """The rows in the paper's order, and the seeds that a reproduction takes."""

    name: str
    title: str
    paper: str
    about: str
    seeds: list[int]
    metric: str
    rows: list[Row]
    claims: list[Claim] = field(default_factory=list)
    ablations: list[Ablation] = field(default_factory=list)
    ablations_about: str = ""
    panels: list[Panel] = field(default_factory=list)
    sweeps: list[Sweep] = field(default_factory=list)
    sweeps_about: str = ""
    trial: list[str] = field(default_factory=list)  # overrides of runs that choose a row's learning rate

    def metric_of(self, row: Row) -> Metric:
        """The row's own metric, or the table's."""
        return named(row.metric or self.metric)

    def chosen(self, names: list[str] | None) -> list[Row]:
        """The rows of `names`, in the table's order; all of them for None. Raises UserError if there is no such row."""
        if names is None:
            return self.rows
        known = [row.name for row in self.rows]
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
                meant = f" Did you mean {near[0]}?" if near else ""
                raise UserError(f"{self.name} has no row {name!r}: expected some of {', '.join(known)}.{meant}")
        return [row for row in self.rows if row.name in names]


def names() -> list[str]:
    """The tables there are."""
    return sorted(path.parent.name for path in EXPERIMENTS.glob("*/table.yaml"))


def load(name: str) -> Table:
    """Read table `name`. Raises UserError if there is none."""
    if name not in names():
        raise UserError(f"there is no table {name!r}: expected one of {', '.join(names())}.")
    path = EXPERIMENTS / name / "table.yaml"
    try:
        content: dict[str, Any] = yaml.safe_load(path.read_text())
        rows = [Row(**_paired(row, "reproduced")) for row in content.pop("rows")]
        content["claims"] = [Claim(**_paired(entry, "rows")) for entry in content.get("claims", [])]
        for kind, made in {"ablations": Ablation, "panels": Panel, "sweeps": Sweep}.items():
            content[kind] = [made(**entry) for entry in content.get(kind, [])]
        loaded = Table(name=name, rows=rows, **content)
        _check(loaded)
        return loaded
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        problem = " ".join(str(error).split())
        raise UserError(f"{path} does not describe a table ({problem}). Compare it with another table's.") from error


def _check(table: Table) -> None:
    """Raise TypeError if a metric, a number or a reference to a row makes no sense."""
    rows = {row.name: row for row in table.rows}
    if len(rows) < len(table.rows):
        raise TypeError("two rows have the same name")
    for row in table.rows:
        metric = table.metric_of(row)
        if not is_known(metric.name) or metric.split != "test":
            raise TypeError(
                f"row {row.name} has the metric {metric.name!r}: expected test_error, test_loss or the like"
            )
        numbers = [row.paper, row.train, *(row.reproduced or ())]
        if not all(number is None or isinstance(number, int | float) for number in numbers):
            raise TypeError(f"row {row.name} has {numbers}: expected numbers")
        if row.reproduced is not None and not (len(row.reproduced) == 2 and row.reproduced[0] <= row.reproduced[1]):
            raise TypeError(f"row {row.name}: reproduced is {row.reproduced}: expected its lower and its upper end")
        for seeds in (row.seeds, table.seeds):
            if seeds is not None and not (isinstance(seeds, list) and all(isinstance(seed, int) for seed in seeds)):
                raise TypeError(f"seeds is {seeds!r}: expected a list of whole numbers")
    named_rows = [name for claim in table.claims for name in claim.rows]
    named_rows += [name for panel in table.panels for name in panel.rows]
    named_rows += [name for sweep in table.sweeps for line in sweep.lines.values() for name in line]
    named_rows += [row.record for row in table.rows if row.record]
    table.chosen(named_rows)
    for claim in table.claims:
        if len(claim.rows) != 2 or len({table.metric_of(rows[name]).quantity for name in claim.rows}) > 1:
            raise TypeError(f"claim {claim.text!r} is about {claim.rows}: expected two rows with one quantity")


def _paired(entry: dict[str, Any], key: str) -> dict[str, Any]:
    """`entry` with the list at `key`, if any, as a tuple."""
    return {**entry, key: tuple(entry[key])} if key in entry else entry

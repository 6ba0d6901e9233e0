"""A table of a paper, as `experiments/<table>/table.yaml` describes it."""

import difflib
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

from ffrepro.errors import UserError
from ffrepro.paths import EXPERIMENTS


@dataclass(frozen=True)
class Row:
    """One row: its preset, the paper's number and the interval of means that count as the same.

    These are None where the paper has no number, and there is nothing to compare but the table's claims; the interval
    alone is None where the paper's number is of other data, and only the shape of the table can be compared. `seeds`
    are the row's own where the table's make no sense, as for what is counted and not drawn. `train` is the paper's
    training error, with a mark of its own.

    Where a net is tested in two ways, each is a row: `test` says which, `metric` is its own, and the second has the
    records of the first, which `record` names.
    """

    name: str
    label: str
    experiment: str
    paper: float | None = None
    mark: str | None = None
    reproduced: tuple[float, float] | None = None
    seeds: list[int] | None = None
    train: float | None = None
    train_mark: str | None = None
    test: str | None = None
    metric: str | None = None
    record: str | None = None

    @property
    def title(self) -> str:
        """Its net, and how that is tested where there is more than one way."""
        return self.label if self.test is None else f"{self.label}; {self.test}"

    @property
    def recorded_as(self) -> str:
        """The row that its records are of."""
        return self.record or self.name


@dataclass(frozen=True)
class Ablation:
    """A choice of the paper tried against others: its preset `ablation/<name>` sweeps over `option`.

    Ablations that have a `line` are drawn as the lines, so called, of one figure.
    """

    name: str
    label: str
    option: str
    line: str | None = None


@dataclass(frozen=True)
class Claim:
    """What the paper says of two rows, the first beside the second, where it gives no numbers.

    `says`: the first is `lower` than the second, or they are `alike`; `nothing` where the project asks, not the paper.
    Of errors in percent, the first is `within` so many `points` of the second, or `worse` by so many at least.
    """

    text: str
    rows: tuple[str, str]
    says: Literal["lower", "alike", "nothing", "within", "worse"]
    mark: str | None = None
    points: float | None = None

    @property
    def marked(self) -> str:
        """The text, and how well it is known."""
        return f"{self.text} ({self.mark})" if self.mark else self.text


@dataclass(frozen=True)
class Panel:
    """Rows whose errors by epoch are drawn in one figure, trained with the override `held_out`."""

    label: str
    rows: list[str]
    held_out: str


@dataclass(frozen=True)
class Sweep:
    """Rows whose errors are drawn against an option of theirs: at most two `lines`, each a row for each of `values`."""

    label: str
    axis: str
    values: list[float]
    lines: dict[str, list[str]]

    def __post_init__(self) -> None:
        if not 1 <= len(self.lines) <= 2 or any(len(rows) != len(self.values) for rows in self.lines.values()):
            raise TypeError(f"sweep {self.label!r}: expected one or two lines, each with a row for each value")


@dataclass(frozen=True)
class Table:
    """The rows in the paper's order, and the seeds that a reproduction takes."""

    name: str
    title: str
    paper: str
    about: str
    seeds: list[int]
    metric: str
    unit: str
    rows: list[Row]
    claims: list[Claim] = field(default_factory=list)
    ablations: list[Ablation] = field(default_factory=list)
    ablations_about: str = ""
    panels: list[Panel] = field(default_factory=list)
    sweeps: list[Sweep] = field(default_factory=list)
    sweeps_about: str = ""
    trial: list[str] = field(default_factory=list)  # what makes of a row's run one that chooses its learning rate

    def chosen(self, names: list[str] | None) -> list[Row]:
        """The rows of `names`, in the table's order; all of them for None.

        Raises:
            UserError: there is no such row.
        """
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
    """Read table `name`.

    Raises:
        UserError: there is none.
    """
    if name not in names():
        raise UserError(f"there is no table {name!r}: expected one of {', '.join(names())}.")
    path = EXPERIMENTS / name / "table.yaml"
    try:
        content: dict[str, Any] = yaml.safe_load(path.read_text())
        rows = [Row(**_paired(row, "reproduced")) for row in content.pop("rows")]
        claims = [Claim(**_paired(entry, "rows")) for entry in content.pop("claims", [])]
        ablations = [Ablation(**entry) for entry in content.pop("ablations", [])]
        panels = [Panel(**entry) for entry in content.pop("panels", [])]
        sweeps = [Sweep(**entry) for entry in content.pop("sweeps", [])]
        return Table(name=name, rows=rows, claims=claims, ablations=ablations, panels=panels, sweeps=sweeps, **content)
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        problem = " ".join(str(error).split())
        raise UserError(f"{path} does not describe a table ({problem}). Compare it with another table's.") from error


def _paired(entry: dict[str, Any], key: str) -> dict[str, Any]:
    """`entry` with the list at `key`, if it has one, as a tuple."""
    return {**entry, key: tuple(entry[key])} if key in entry else entry

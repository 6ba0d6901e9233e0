"""A table of a paper, as `experiments/<table>/table.yaml` describes it."""

import difflib
from dataclasses import dataclass, field
from typing import Any

import yaml

from ffrepro.errors import UserError
from ffrepro.paths import EXPERIMENTS


@dataclass(frozen=True)
class Row:
    """One row: its preset, the paper's number and the interval of means that count as the same."""

    name: str
    label: str
    experiment: str
    paper: float
    mark: str
    reproduced: tuple[float, float]


@dataclass(frozen=True)
class Ablation:
    """A choice of the paper tried against others: its preset `ablation/<name>` sweeps over `option`."""

    name: str
    label: str
    option: str


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
    ablations: list[Ablation] = field(default_factory=list)

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
        rows = [Row(**{**row, "reproduced": tuple(row["reproduced"])}) for row in content.pop("rows")]
        ablations = [Ablation(**entry) for entry in content.pop("ablations", [])]
        return Table(name=name, rows=rows, ablations=ablations, **content)
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        problem = " ".join(str(error).split())
        raise UserError(f"{path} does not describe a table ({problem}). Compare it with another table's.") from error

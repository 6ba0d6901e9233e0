"""Runs that are no row of a table: whose variants they are, and what they differ in."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ffrepro.report.compare import TableResult
from ffrepro.report.groups import Group
from ffrepro.report.text import without_paths
from ffrepro.runs.record import changed, comparable

# Of a budget of one's own, what decides nothing.
_OF_ITS_NAME = ("budget.name", "budget.may_stand_in")


@dataclass(frozen=True)
class Variant:
    """Runs of one variant, beside the recorded runs of the row whose preset it changed."""

    group: Group
    preset: str
    differences: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.group.runs[0].record.row

    @property
    def place(self) -> str:
        """The folder of its records, in the results' folder."""
        return self.group.runs[0].path.rpartition("/")[0]


def variant(group: Group, tables: list[TableResult]) -> Variant:
    """What `group` differs in from the row as it is recorded now, whatever the preset was when it was run.

    Of a preset that is no row, or that has no record, the options that were changed on the command line.
    """
    found = group.runs[0].record
    table, row = found.config.get("table"), found.config.get("row")
    preset = f"{table}/{row}" if table and row else "none"
    recorded = {f"{table.spec.name}/{net.spec.name}": net.shown for table in tables for net in table.nets}
    of_row = recorded.get(preset)
    if of_row is None:
        return Variant(group, preset, tuple(without_paths(changed(found.overrides))))
    mine, theirs = _options(group), _options(of_row)
    if found.budget != "custom":  # then its name, which the report has beside it, says it all
        theirs = {name: value for name, value in theirs.items() if not name.startswith("budget.")}
        mine = {name: value for name, value in mine.items() if not name.startswith("budget.")}
    differences = [
        f"{name}={mine.get(name, 'null')}" for name in {**theirs, **mine} if mine.get(name) != theirs.get(name)
    ]
    return Variant(group, preset, tuple(sorted(differences)))


def _options(group: Group) -> dict[str, Any]:
    """What decides a result, by dotted names: of the config, with the precisions that came of it, and the data."""
    found = group.runs[0].record
    parts = comparable(found.config)
    named = {name: value for name, value in _flat(parts["values"]) if name not in _OF_ITS_NAME}
    named |= {name.removesuffix(".class"): value for name, value in _flat(parts["classes"])}
    named["precision"] = " or ".join(group.precisions)
    named["data"] = f"{found.data['name']}, SHA-256 {found.data['sha256'][:8]}"
    return named


def _flat(values: dict[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{within}{key}.")
        else:
            yield f"{within}{key}", value

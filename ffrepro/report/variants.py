"""Runs that are no row of a table: whose variants they are, and what they differ in."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ffrepro.record import changed, comparable
from ffrepro.report.compare import TableResult
from ffrepro.report.groups import Group


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
        return Variant(group, preset, tuple(changed(found.overrides)))
    mine, theirs = _options(found.config), _options(of_row.runs[0].record.config)
    differences = [
        f"{name}={mine.get(name, 'null')}" for name in {**theirs, **mine} if mine.get(name) != theirs.get(name)
    ]
    return Variant(group, preset, tuple(sorted(differences)))


def _options(config: dict[str, Any]) -> dict[str, Any]:
    """Of a config what decides a result, by dotted names; not its budget's name, which the report has beside it."""
    parts = comparable(config)
    named = {name: value for name, value in _flat(parts["values"]) if name != "budget.name"}
    return named | {name.removesuffix(".class"): value for name, value in _flat(parts["classes"])}


def _flat(values: dict[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{within}{key}.")
        else:
            yield f"{within}{key}", value

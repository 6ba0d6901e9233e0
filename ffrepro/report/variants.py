"""Runs that are no row of a table: the preset that they change, and their differences from it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ffrepro.report.compare import TableResult
from ffrepro.report.groups import Group
from ffrepro.report.text import without_paths
from ffrepro.runs.record import changed, comparable

# Options of a budget that decide nothing.
_INCIDENTAL = ("budget.name", "budget.may_stand_in")


@dataclass(frozen=True)
class Variant:
    """Runs that changed a row's preset, and their differences from the row's recorded runs."""

    group: Group
    preset: str
    differences: tuple[str, ...]


def variant(group: Group, tables: list[TableResult]) -> Variant:
    """The differences of `group` from the row's current records, whatever the preset was at the time.

    If its preset is no row or has no record, the differences are the options of the command line.
    """
    record = group.runs[0].record
    table, row = record.config.get("table"), record.config.get("row")
    preset = f"{table}/{row}" if table and row else "none"
    recorded = {f"{compared.spec.name}/{net.spec.name}": net.shown for compared in tables for net in compared.nets}
    original = recorded.get(preset)
    if original is None:
        return Variant(group, preset, tuple(without_paths(changed(record.overrides))))
    # The report lists the budget's name, which says all unless the budget is custom.
    incidental = _INCIDENTAL if record.budget == "custom" else ("budget.",)
    ours, theirs = (_options(runs, incidental) for runs in (group, original))
    differences = sorted(
        f"{name}={ours.get(name, 'null')}" for name in {**theirs, **ours} if ours.get(name) != theirs.get(name)
    )
    return Variant(group, preset, tuple(differences))


def _options(group: Group, incidental: tuple[str, ...]) -> dict[str, Any]:
    """Everything that decides a result, by dotted names that do not begin with the `incidental`.

    That is the config, the precisions that were used, and the data.
    """
    record = group.runs[0].record
    parts = comparable(record.config)
    named = {name: value for name, value in _flat(parts["values"]) if not name.startswith(incidental)}
    named |= {name.removesuffix(".class"): value.rpartition(".")[2] for name, value in _flat(parts["classes"])}
    named["precision"] = " or ".join(group.precisions)
    named["data"] = f"{record.data['name']}, SHA-256 {record.data['sha256'][:8]}"
    return named


def _flat(values: dict[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{within}{key}.")
        else:
            yield f"{within}{key}", value

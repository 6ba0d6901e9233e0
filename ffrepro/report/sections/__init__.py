"""The sections of a table's page: each module has a function `section` from the compared table to a section or None."""

from importlib import import_module

from ffrepro.report.blocks import Section
from ffrepro.report.compare import TableResult

_ORDER = (
    "comparison", "against_paper", "claims", "sweeps", "commands", "measured", "parts", "ablations", "curves",
    "held_out", "theory", "goodness", "iterations", "hybrids", "fields", "samples", "runs",
)  # fmt: skip


def sections(table: TableResult) -> tuple[Section, ...]:
    """All sections that have something to show."""
    made = (import_module(f"{__name__}.{name}").section(table) for name in _ORDER)
    return tuple(section for section in made if section is not None)

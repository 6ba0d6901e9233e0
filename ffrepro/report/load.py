"""The records below `results/runs`, each looked over before anything is made of it."""

import zipfile
import zlib
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np

from ffrepro.errors import UserError
from ffrepro.runs import record
from ffrepro.runs.record import Record

# The parts of a record that the report looks into, and what each has to hold there.
_PARTS = {
    "git": ("commit", "dirty"), "environment": ("device", "precision", "threads", "cuda"), "config": ("precision",),
    "data": ("name", "stand_in", "sizes", "sha256"),
}  # fmt: skip
_TYPES = {
    "status": str, "table": str, "row": str, "budget": str, "seed": int, "command": str, "config": dict,
    "git": dict, "environment": dict, "data": dict, "started_at": str, "wall_s": (int, float),
    "train_s": (int, float), "peak_memory_bytes": int, "metrics": dict, "history": list,
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A record and where it lies, relative to the results' folder."""

    record: Record
    path: str
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.record.table}-{self.record.row}-{self.record.budget}-seed{self.record.seed}"

    @property
    def stand_in(self) -> bool:
        return bool(self.record.data["stand_in"])

    @property
    def reduced(self) -> bool:
        """Whether it is less than what the paper did, so that its result is none to compare."""
        return self.record.budget != "paper" or self.stand_in

    @property
    def kind(self) -> tuple[str, bool]:
        """What may be averaged together: runs of one budget, on the same kind of data."""
        return self.record.budget, self.stand_in

    @cached_property
    def pictures(self) -> dict[str, np.ndarray]:
        """The arrays kept beside the record; none where there is no such file or it is damaged."""
        path = (self.folder / self.path).with_suffix(".npz")
        try:
            # Opened here: numpy leaves the file of a damaged archive open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in sorted(arrays)}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
            return {}


@dataclass(frozen=True)
class Unreadable:
    """A file among the records that is none, and why."""

    path: str
    reason: str


def load_runs(results: Path) -> tuple[list[Run], list[Unreadable]]:
    """All records below `results/runs`, sorted by place; those that cannot be used come with the reason."""
    runs: list[Run] = []
    unreadable: list[Unreadable] = []
    # Dot files are records that are being written at this moment.
    for path in sorted((results / "runs").rglob("*.json")):
        if path.name.startswith("."):
            continue
        place = path.relative_to(results).as_posix()
        try:
            runs.append(Run(_checked(record.load(path), place), place, results))
        except UserError as error:
            unreadable.append(Unreadable(place, str(error).replace(str(path), place)))
    return sorted(
        runs, key=lambda run: (run.record.table, run.record.row, run.record.budget, run.record.seed)
    ), unreadable


def _checked(found: Record, place: str) -> Record:
    """The record itself, if all that the report reads of it is there and it lies where it belongs."""
    for field in fields(Record):
        if field.name in _TYPES and not isinstance(getattr(found, field.name), _TYPES[field.name]):  # type: ignore[arg-type]
            raise UserError(f"record {place} has no usable {field.name}. Remove it and run its row again.")
    for part, keys in _PARTS.items():
        missing = [key for key in keys if key not in getattr(found, part)]
        if missing:
            raise UserError(f"record {place} lacks {part}.{missing[0]}. Remove it and run its row again.")
    if not all(isinstance(found.data[key], str) for key in ("name", "sha256")):
        raise UserError(f"record {place} does not say which data it is of. Remove it and run its row again.")
    try:
        record.comparable(found.config)
    except (KeyError, TypeError, ValueError):
        raise UserError(f"record {place} has a config that is none. Remove it and run its row again.") from None
    if found.status not in ("ok", "failed", "diverged"):
        raise UserError(f"record {place} has the unknown status {found.status!r}. Remove it and run its row again.")
    numbers = [found.metrics, *found.history]
    if not all(isinstance(entry, dict) and all(map(_is_number, entry.values())) for entry in numbers):
        raise UserError(f"record {place} has metrics that are not numbers. Remove it and run its row again.")
    belongs = f"runs/{found.table}/{found.row}/{found.budget}-seed{found.seed}.json"
    if place != belongs:
        raise UserError(f"record {place} lies where another belongs: its own place is {belongs}.")
    return found


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))

"""The records below `results/runs`, each checked before it is used."""

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np

from ffrepro.errors import UserError
from ffrepro.runs import record
from ffrepro.runs.record import Record, Status

# The parts of a record that the report reads, and the keys that each must have.
_PARTS = {
    "git": ("commit", "dirty"), "environment": ("device", "precision", "threads", "cuda"), "config": ("precision",),
    "data": ("name", "stand_in", "sizes", "sha256"),
}  # fmt: skip
_TYPES: dict[str, Any] = {
    "status": str, "table": str, "row": str, "budget": str, "seed": int, "command": str, "config": dict,
    "git": dict, "environment": dict, "data": dict, "started_at": str, "wall_s": (int, float),
    "train_s": (int, float), "peak_memory_bytes": int, "metrics": dict, "history": list,
    "choices": dict, "overrides": list, "epoch_s": list,
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
    def budget(self) -> str:
        return self.record.budget

    @property
    def stand_in(self) -> bool:
        return bool(self.record.data["stand_in"])

    @property
    def reduced(self) -> bool:
        """Whether it is less than the paper's run, so that its result cannot be compared."""
        return self.budget != "paper" or self.stand_in

    @cached_property
    def pictures(self) -> dict[str, np.ndarray]:
        """The arrays in the file next to the record; empty if that is missing or damaged."""
        path = (self.folder / self.path).with_suffix(".npz")
        try:
            # Opened here: numpy leaves the file of a damaged archive open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in sorted(arrays)}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
            return {}


def load_runs(results: Path) -> tuple[list[Run], list[str]]:
    """All records below `results/runs`, sorted by place, and the reasons why others cannot be used."""
    runs, unreadable = [], []
    # Dot files are records that are being written at this moment.
    for path in sorted((results / "runs").rglob("[!.]*.json")):
        place = path.relative_to(results).as_posix()
        try:
            loaded = record.load(path)
            for fault in _faults(loaded, place):
                raise UserError(f"record {place} {fault}. Remove it and run its row again.")
            runs.append(Run(loaded, place, results))
        except UserError as error:
            unreadable.append(str(error).replace(str(path), place))
    return sorted(runs, key=lambda run: (run.record.table, run.record.row, run.budget, run.record.seed)), unreadable


def _faults(loaded: Record, place: str) -> Iterator[str]:
    """The reasons why the report cannot use a record; each check relies on those before it."""
    yield from (f"has no usable {name}" for name, kind in _TYPES.items() if not isinstance(getattr(loaded, name), kind))
    for part, keys in _PARTS.items():
        yield from (f"lacks {part}.{key}" for key in keys if key not in getattr(loaded, part))
    if not all(isinstance(loaded.data[key], str) for key in ("name", "sha256")):
        yield "does not say which data it used"
    try:
        record.comparable(loaded.config)
    except (KeyError, TypeError, ValueError):
        yield "has an unusable config"
    if loaded.status not in get_args(Status):
        yield f"has the unknown status {loaded.status!r}"
    numbers = [loaded.metrics, *loaded.history, dict(enumerate(loaded.epoch_s))]
    kinds = (int, float, type(None))
    if not all(isinstance(entry, dict) and all(type(value) in kinds for value in entry.values()) for entry in numbers):
        yield "has metrics that are not numbers"
    own = f"runs/{loaded.table}/{loaded.row}/{loaded.budget}-seed{loaded.seed}.json"
    if place != own:
        yield f"lies where another belongs (its own place is {own})"

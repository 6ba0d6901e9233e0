"""The record of a run: a JSON file. The report is made from records alone."""

import hashlib
import json
import math
import re
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ffrepro.config import DECISIVE_GROUPS, scaled_epochs
from ffrepro.errors import UserError
from ffrepro.files import written_atomically
from ffrepro.pictures import compressed
from ffrepro.runs.older_records import up_to_date, up_to_date_choices, up_to_date_override

SCHEMA = 1
# Options that do not make another experiment of a preset. `budget` chooses a budget, `budget.epoch_fraction=…` makes a
# new budget.
_INCIDENTAL = re.compile(r"(experiment|seed|budget|device|threads|rerun|results_dir|sweep|tracking(\.\w+)?)=")
Status = Literal["ok", "failed", "diverged"]


@dataclass(frozen=True)
class Record:
    """A run. Times are in seconds.

    A new field needs a default, so that older records are still read.
    """

    schema: int
    status: Status
    error: str | None
    table: str
    row: str
    budget: str
    seed: int
    command: str
    config: dict[str, Any]
    choices: dict[str, str]
    overrides: list[str]
    fingerprint: str
    git: dict[str, Any]
    environment: dict[str, Any]
    data: dict[str, Any]
    started_at: str
    wall_s: float
    train_s: float
    peak_memory_bytes: int
    metrics: dict[str, float | None]  # of the finished net
    history: list[dict[str, float | None]]  # the metrics of each epoch
    # The seconds of each epoch's training alone; empty in records from before this was kept.
    epoch_s: list[float] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write to `path`, whole or not at all. NaN and infinities become null."""
        with written_atomically(path) as file:
            file.write((json.dumps(_finite(asdict(self)), indent=1, allow_nan=False) + "\n").encode())


def load(path: Path) -> Record:
    """Read a record, with its config and choices under today's names.

    Raises UserError if it is damaged, or of another schema.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"record {path} cannot be read ({error}). Remove it and run its row again.") from error
    known = {entry.name for entry in fields(Record)}
    needed = {entry.name for entry in fields(Record) if entry.default is MISSING and entry.default_factory is MISSING}
    if not isinstance(content, dict) or content.get("schema") != SCHEMA or not needed <= set(content):
        raise UserError(f"record {path} is not of schema {SCHEMA}. Remove it and run its row again.")
    if not set(content) <= known:
        foreign = ", ".join(sorted(set(content) - known))
        raise UserError(f"record {path} has fields that this version does not know ({foreign}). Use a newer version.")
    try:
        content["config"] = up_to_date(content["config"])
        content["choices"] = up_to_date_choices(content["choices"])
        content["overrides"] = [up_to_date_override(text) for text in content["overrides"]]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"record {path} has an unusable config. Remove it and run its row again.") from error
    return Record(**content)


# The identity of a run ------------------------------------------------------------------------------


def identity(config: dict[str, Any], data_sha256: str) -> str:
    """A hash of what decides a run's result: its resolved config of today, its seed and its data."""
    decisive = {**comparable(config), "seed": config["seed"], "data": data_sha256}
    # A precision that was asked for is part of the experiment; the machine's own choice is not.
    if config["precision"] != "auto":
        decisive["precision"] = config["precision"]
    return hashed(decisive)


def comparable(config: dict[str, Any]) -> dict[str, Any]:
    """The values and classes of a resolved config that decide its result, whatever the precision.

    Our classes stand with their file, but without its folder, which may change.
    """
    return {
        "values": decisive_values(config),
        "classes": {group: _classes(config.get(group)) for group in DECISIVE_GROUPS},
    }


def decisive_values(config: dict[str, Any]) -> dict[str, Any]:
    """The values of the groups that decide a run's result."""
    values = {group: _without_places(dict(config.get(group) or {})) for group in DECISIVE_GROUPS}
    values["dataset"].pop("path", None)  # a text may lie elsewhere tomorrow
    budget = values["budget"]
    # A bound that is not reached decides nothing.
    most = budget.get("most_epochs")
    if most and scaled_epochs(values["schedule"]["epochs"], budget["epoch_fraction"]) <= most:
        budget["most_epochs"] = None
    return values


def hashed(value: Any) -> str:
    """A hash of `value`, which JSON can express. The order of keys makes no difference."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def changed(overrides: list[str]) -> list[str]:
    """The part of a command line that makes another experiment of a preset."""
    return [text for text in overrides if not _INCIDENTAL.match(text)]


def has_own_budget(overrides: list[str]) -> bool:
    """Whether a command line changes a budget instead of choosing one."""
    return any(text.lstrip("+~").startswith("budget.") for text in overrides)


def _classes(value: Any) -> dict[str, Any]:
    """The classes in a config, nested like it."""
    if not isinstance(value, dict):
        return {}
    target = str(value.get("_target_", ""))
    own = ".".join(target.split(".")[-2:]) if target.startswith("ffrepro.") else target
    deeper = {key: classes for key, item in value.items() if (classes := _classes(item))}
    return {"class": own, **deeper} if own or deeper else {}


def _without_places(value: Any) -> Any:
    """`value` without Hydra's own keys, such as places in the code."""
    if isinstance(value, dict):
        return {key: _without_places(item) for key, item in value.items() if not str(key).startswith("_")}
    return [_without_places(item) for item in value] if isinstance(value, list) else value


def write_pictures(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Keep the arrays of the report's figures beside a record, compressed."""
    with written_atomically(path) as file:
        file.write(compressed(arrays))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

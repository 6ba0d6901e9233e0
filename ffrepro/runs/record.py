"""What a run leaves behind: one JSON file, the only thing that the report is made from."""

import contextlib
import hashlib
import json
import math
import os
import platform
import re
import resource
import subprocess
import sys
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ffrepro.config import GROUPS, scaled_epochs
from ffrepro.errors import UserError
from ffrepro.files import written_atomically
from ffrepro.paths import IN_CHECKOUT, ROOT
from ffrepro.pictures import compressed

SCHEMA = 1
# What may differ from a preset without the run becoming another experiment than its row. `budget` chooses one;
# `budget.epoch_fraction=…` makes one of one's own.
_INCIDENTAL = re.compile(r"(experiment|seed|budget|device|threads|rerun|results_dir|sweep|tracking(\.\w+)?)=")
Status = Literal["ok", "failed", "diverged"]


@dataclass(frozen=True)
class Record:
    """One run. `metrics` are final; `history` has the metrics of each epoch. Times are in seconds."""

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
    metrics: dict[str, float | None]
    history: list[dict[str, float | None]]

    def write(self, path: Path) -> None:
        """Write to `path`, whole or not at all; NaN and infinities become null."""
        with written_atomically(path) as file:
            file.write((json.dumps(_finite(asdict(self)), indent=1, allow_nan=False) + "\n").encode())


def load(path: Path) -> Record:
    """Read a record.

    Raises:
        UserError: it is damaged, or of another schema.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"record {path} cannot be read ({error}). Remove it and run its row again.") from error
    expected = {field.name for field in fields(Record)}
    if not isinstance(content, dict) or content.get("schema") != SCHEMA or set(content) != expected:
        raise UserError(f"record {path} is not of schema {SCHEMA}. Remove it and run its row again.")
    return Record(**content)


def fingerprint(decisive: dict[str, Any]) -> str:
    """A hash of what decides a run's result; devices, paths and places in the code are not in it.

    Nor are options that are null: a new option whose null means "not used" leaves what was recorded before it known.
    """
    return hashed(decided(decisive))


def hashed(value: Any) -> str:
    """A hash of `value`, which JSON can say; the order of keys makes no difference."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def identity(config: dict[str, Any], choices: dict[str, str], data_sha256: str) -> str:
    """The fingerprint of a run, from its resolved config, the names of the chosen options, and its data."""
    decisive = {
        "choices": choices,
        "values": decisive_values(config),
        "seed": config["seed"],
        "data": data_sha256,
    }
    # One that was asked for is part of what is compared; the machine's own choice is not.
    if config["precision"] != "auto":
        decisive["precision"] = config["precision"]
    return fingerprint(decisive)


@cache  # of the code that this process has loaded, whatever is committed while it runs
def git_state() -> dict[str, Any]:
    """The checkout's commit and whether code or configs have been changed since; nulls outside a checkout."""
    unknown: dict[str, Any] = {"commit": None, "dirty": None}
    if not IN_CHECKOUT:
        return unknown

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(ROOT), *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "dirty": bool(git("status", "--porcelain", "--", "ffrepro", "conf")),
        }
    except (OSError, subprocess.CalledProcessError):
        return unknown


def environment(device: torch.device, precision: str) -> dict[str, Any]:
    """Everything about the machine that can move a result or its time."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name(),
        "threads": torch.get_num_threads(),
        "precision": precision,
        "deterministic": device.type == "cpu",
    }


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory this process has held: on a GPU the GPU's, else the machine's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if not status.exists():  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    # Not getrusage: on Linux its peak may be the parent's, from before this process had begun.
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def forget_peak_memory(device: torch.device) -> None:
    """Begin `peak_memory_bytes` anew, in a process that has done something else before."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):  # Linux alone can
            Path("/proc/self/clear_refs").write_text("5")


def write_pictures(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Keep what the report draws beside a record: a compressed array file."""
    with written_atomically(path) as file:
        file.write(compressed(arrays))


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()}, {os.cpu_count()} cores"
    except OSError:
        pass  # not Linux
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def decisive_values(config: dict[str, Any]) -> dict[str, Any]:
    """Of a resolved config, the groups that decide a run's result, as `decided`."""
    values = {group: dict(config.get(group) or {}) for group in GROUPS}
    budget = values["budget"]
    # A bound that is not reached decides nothing.
    most = budget.get("most_epochs")
    if most and scaled_epochs(values["schedule"]["epochs"], budget["epoch_fraction"]) <= most:
        budget["most_epochs"] = None
    return dict(decided(values))


def comparable(config: dict[str, Any]) -> dict[str, Any]:
    """Of a resolved config, what runs that differ in their seeds alone have in common.

    With the names of classes: a goodness has no other option. Not their modules, which may move.
    """
    return {"values": decisive_values(config), "classes": {group: _classes(config.get(group)) for group in GROUPS}}


def _classes(value: Any) -> dict[str, Any]:
    """Of a config the names of the classes, nested as they are."""
    if not isinstance(value, dict):
        return {}
    own = str(value.get("_target_", "")).rpartition(".")[2]
    deeper = {key: found for key, item in value.items() if (found := _classes(item))}
    return {"class": own, **deeper} if own or deeper else {}


def changed(overrides: list[str]) -> list[str]:
    """What of a command line makes a run another experiment than its preset."""
    return [text for text in overrides if not _INCIDENTAL.match(text)]


def decided(value: Any) -> Any:
    """`value` without what does not decide a result: places in the code and on disk, and options not used (null)."""
    if isinstance(value, dict):
        return {
            key: decided(item)
            for key, item in value.items()
            if item is not None and key not in ("_target_", "_partial_", "path")
        }
    if isinstance(value, list):
        return [decided(item) for item in value]
    return value


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

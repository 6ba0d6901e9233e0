"""Where a run's record belongs: in the row of its preset, or among the sweeps."""

import glob
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from ffrepro.config import DECISIVE_GROUPS
from ffrepro.errors import UserError
from ffrepro.runs import record
from ffrepro.runs.older_records import class_name

_PATH = "dataset.path="


def table_and_row(
    values: dict[str, Any], preset: str | None, overrides: list[str], data_sha256: str, results: Path
) -> tuple[str, str]:
    """The folders of a run's record, below `runs`, given its resolved config and its option of the group `experiment`.

    A run with options of its own belongs to the sweeps, in a folder that all its seeds share. The sweeps in the folder
    `results` are searched for the same experiment.
    """
    changed = record.changed(overrides)
    table, row = values["table"], values["row"]
    if preset == f"{table}/{row}" and not changed:
        return table, row
    own_budget = record.has_own_budget(overrides)
    variant = record.hashed(_variant(values, data_sha256, own_budget=own_budget))[:8]
    prefix = f"{row}-" if row else ""
    known = _known_folder(results, prefix, variant)
    return "sweeps", known or f"{prefix}{_words(changed) or class_name(values['algorithm'])}-{variant}"


def _variant(values: dict[str, Any], data_sha256: str, *, own_budget: bool) -> dict[str, Any]:
    """The part of a config that all runs in a folder share. A budget's name is part of the file's name instead."""
    decisive = record.comparable(values)
    groups = [group for group in DECISIVE_GROUPS if group != "budget" or own_budget]
    return {
        **{part: {group: decisive[part][group] for group in groups} for part in ("values", "classes")},
        "precision": values["precision"],
        # A text may lie elsewhere tomorrow: its content counts, not its path.
        **({"data": data_sha256} if values["dataset"].get("path") else {}),
    }


def _known_folder(results: Path, prefix: str, variant: str) -> str | None:
    """The folder of the same experiment, whatever its options were called or in whatever words they were asked for."""
    places = [results / kind / "sweeps" for kind in ("runs", "checkpoints")]
    by_name = [folder.name for place in places for folder in sorted(place.glob(f"{glob.escape(prefix)}*-{variant}"))]
    if by_name:
        return by_name[0]
    # Folders made before an option was renamed or added have another hash in their names.
    for folder in sorted(places[0].glob(f"{glob.escape(prefix)}*")):
        if any(_variant_of(path, path.stat().st_mtime_ns) == variant for path in sorted(folder.glob("*.json"))):
            return folder.name
    return None


@cache  # a multirun asks for each of its runs
def _variant_of(path: Path, _modified_ns: int) -> str | None:
    """The hash of a record's variant; None where the file is no record."""
    try:
        made = record.load(path)
        own_budget = record.has_own_budget(made.overrides)
        return record.hashed(_variant(made.config, made.data["sha256"], own_budget=own_budget))[:8]
    except (UserError, KeyError, TypeError, AttributeError):
        return None


def _words(changed: list[str]) -> str:
    """The changed options as the beginning of a folder's name; a hash tells apart those that are cut."""
    named = [_PATH + PurePath(text[len(_PATH) :]).name if text.startswith(_PATH) else text for text in changed]
    return "".join(letter if letter.isalnum() or letter in "=.-" else "_" for letter in "_".join(sorted(named)))[:80]

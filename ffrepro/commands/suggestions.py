"""Hydra's complaints about a misspelt option or value, in one line, with a suggestion."""

import difflib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ffrepro.config import composed
from ffrepro.errors import UserError
from ffrepro.paths import CONF
from ffrepro.runs.older_records import name_today

_NOT_A_NAME = r"(?i)(\w+)=(null|true|false|[-+]?(nan|inf|\.?\d[-+.\de]*))"  # a value that Hydra does not read as a name
# Hydra's ValueError for sweep=null or goodness=3.
_EXPECTED_NAME = "Config group override must be a string or a list."


@contextmanager
def mistakes_explained(arguments: list[str]) -> Iterator[None]:
    """Raise Hydra's complaints about the command line's `arguments` as a UserError of one line.

    Hydra accepts `~seed`, which removes an option; here it is refused, since every run needs its options.
    """
    for argument in arguments:
        if argument.startswith("~") and not argument.startswith("~hydra"):
            raise UserError(f"{argument} takes out an option that runs need: give it another value instead.")
    try:
        yield
    except Exception as error:
        if not is_mistake(error):
            raise
        raise UserError(explain(error, arguments)) from error


def is_mistake(error: Exception) -> bool:
    """Whether `error` is a complaint of Hydra about a user's input."""
    of_hydra = isinstance(error, HydraException | OmegaConfBaseException)
    return of_hydra or (isinstance(error, ValueError) and str(error).startswith(_EXPECTED_NAME))


def explain(error: Exception, arguments: list[str]) -> str:
    """One line for the complaint `error` about the command line's `arguments`."""
    text = " ".join(str(error).split())
    text = re.sub(r" To append to your config use .*| set_struct.*", "", text)
    missing_key = re.search(r"Could not override '([^']+)'", text) or re.search(r"Key '([^']+)' is not in struct", text)
    missing_option = re.search(r"Could not find '([^'/]+)/([^']+)'", text)
    if text.startswith(_EXPECTED_NAME):
        matches = [re.fullmatch(_NOT_A_NAME, argument) for argument in arguments]
        missing_option = next((match for match in matches if match and (CONF / match.group(1)).is_dir()), None)
    former = missing_key.group(1) if missing_key else "=".join(missing_option.group(1, 2)) if missing_option else ""
    if today := name_today(former):
        return f"{former} has another name now: {today}."
    if missing_option and (CONF / missing_option.group(1)).is_dir():
        folder, name = missing_option.group(1, 2)
        options = sorted(
            path.relative_to(CONF / folder).with_suffix("").as_posix() for path in (CONF / folder).rglob("*.yaml")
        )
        near = difflib.get_close_matches(name, options, n=3, cutoff=0.4)
        return f"there is no {folder}={name}: expected one of {', '.join(options)}.{_did_you_mean(near)}"
    if missing_key:
        option = missing_key.group(1)
        options = list(_keys(OmegaConf.to_container(_composed(arguments), resolve=False)))
        near = difflib.get_close_matches(option, options, n=3, cutoff=0.6)
        return f"there is no option {option!r}.{_did_you_mean(near) or ' See --help for all options.'}"
    return text


def _did_you_mean(near: list[str]) -> str:
    return f" Did you mean {' or '.join(near)}?" if near else ""


def _composed(arguments: list[str]) -> DictConfig:
    """The config with the chosen groups alone, since another argument is wrong."""
    groups = {path.name for path in CONF.iterdir() if path.is_dir()}
    chosen = [argument for argument in arguments if argument.split("=")[0] in groups and "," not in argument]
    try:
        return composed(chosen)
    except Exception:  # a chosen group may be wrong too
        return composed([])


def _keys(values: Any, prefix: str = "") -> Iterator[str]:
    """All dotted keys of the options in `values`."""
    for key, value in values.items():
        if not str(key).startswith("_"):
            yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{key}.")

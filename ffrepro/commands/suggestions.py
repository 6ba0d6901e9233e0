"""What Hydra says of a misspelt option or value, in one line, with what was probably meant."""

import difflib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ffrepro.errors import UserError
from ffrepro.paths import CONF

_NO_OPTION = r"(?i)(\w+)=(null|true|false|[-+]?(nan|inf|\.?\d[-+.\de]*))"  # what Hydra does not read as a name
# What Hydra says, as a ValueError of Python's, of sweep=null or goodness=3.
_NO_NAME = "Config group override must be a string or a list."


@contextmanager
def mistakes_explained(arguments: list[str]) -> Iterator[None]:
    """Raise as a UserError, one line, what Hydra says meanwhile of the command line's `arguments`.

    And what it would take: that an option be taken out (`~seed`), without which no run can do.
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
    """Whether Hydra complains with `error` of what a user wrote."""
    of_hydra = isinstance(error, HydraException | OmegaConfBaseException)
    return of_hydra or (isinstance(error, ValueError) and str(error).startswith(_NO_NAME))


def explain(error: Exception, arguments: list[str]) -> str:
    """One line for `error`, which came of the command line's `arguments`."""
    text = " ".join(str(error).split())
    text = re.sub(r" To append to your config use .*| set_struct.*", "", text)
    missing_key = re.search(r"Could not override '([^']+)'", text) or re.search(r"Key '([^']+)' is not in struct", text)
    missing_option = re.search(r"Could not find '([^'/]+)/([^']+)'", text)
    if text.startswith(_NO_NAME):
        found = [re.fullmatch(_NO_OPTION, argument) for argument in arguments]
        missing_option = next((match for match in found if match and (CONF / match.group(1)).is_dir()), None)
    missing_group = re.search(r"Could not override '([^'@]+)'\. No match in the defaults list", text)
    if missing_option and (CONF / missing_option.group(1)).is_dir():
        folder, name = missing_option.group(1, 2)
        options = sorted(
            path.relative_to(CONF / folder).with_suffix("").as_posix() for path in (CONF / folder).rglob("*.yaml")
        )
        near = difflib.get_close_matches(name, options, n=3, cutoff=0.4)
        return f"there is no {folder}={name}: expected one of {', '.join(options)}.{_meant(near)}"
    if missing_key or missing_group:
        match = missing_key or missing_group
        assert match is not None
        known = _keys(_composed(arguments))
        near = difflib.get_close_matches(match.group(1), known, n=3, cutoff=0.6)
        return f"there is no option {match.group(1)!r}.{_meant(near) or ' See --help for all options.'}"
    return text


def _meant(near: list[str]) -> str:
    return f" Did you mean {' or '.join(near)}?" if near else ""


def _composed(arguments: list[str]) -> DictConfig:
    """The config of the arguments that choose options of groups, without the others, one of which is wrong."""
    groups = {path.name for path in CONF.iterdir() if path.is_dir()}
    chosen = [text for text in arguments if text.split("=")[0] in groups and "," not in text]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        try:
            return hydra.compose("config", overrides=chosen)
        except Exception:  # the experiment itself may be what is wrong
            return hydra.compose("config")


def _keys(config: DictConfig) -> list[str]:
    """All dotted keys of `config`."""
    keys: list[str] = []

    def collect(node: Any, prefix: str) -> None:
        for key, value in node.items():
            keys.append(f"{prefix}{key}")
            if isinstance(value, dict):
                collect(value, f"{prefix}{key}.")

    collect(OmegaConf.to_container(config, resolve=False), "")
    return [key for key in keys if not key.rsplit(".", 1)[-1].startswith("_")]

"""From configs to objects, and a user's mistakes in one line."""

import math
from collections.abc import Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import hydra
from omegaconf import DictConfig, ListConfig, OmegaConf

from ffrepro.errors import UserError
from ffrepro.paths import CONF, from_root
from ffrepro.runs.older_records import name_today

# The groups whose values decide a run's result. A goodness is part of the algorithms that use it.
DECISIVE_GROUPS = ("dataset", "architecture", "algorithm", "schedule", "budget")

# For Hydra's own folders, which stand in conf/config.yaml.
OmegaConf.register_new_resolver("from_root", lambda path: str(from_root(path)), replace=True)

_TOP: dict[str, Any] = {
    "seed": int,
    "device": str,
    "precision": str,
    "threads": int | None,
    "rerun": bool,
    "results_dir": str,
    "schedule.epochs": int,
    "budget.name": str,
    "budget.epoch_fraction": float,
    "budget.most_epochs": int | None,
    "budget.train_examples": int | None,
    "budget.test_examples": int | None,
    "budget.may_stand_in": bool,
}
_PLAIN = (str, int, float, list, ListConfig, type(None))
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word", type(None): "null"}


def composed(overrides: list[str]) -> DictConfig:
    """The config of a command line's `overrides`."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose("config", overrides)


def build(config: DictConfig, **replaced: Any) -> Any:
    """The object that `config._target_` names, made from the other values; `replaced` values come first.

    Raises UserError if a value has another type than the object declares, or the object refuses it.
    """
    check_options(config)
    try:
        return hydra.utils.instantiate(config, _convert_="all", **replaced)
    except hydra.errors.InstantiationException as error:
        # Hydra wraps the errors of constructors. A user's mistake shows the constructor's own words; a fault of ours
        # keeps its traceback.
        cause = error.__cause__
        fault = str(config._target_).startswith("ffrepro.") and f"'{config._target_}'" in str(error)
        if isinstance(cause, UserError) or (fault and cause is not None):
            raise cause from None
        raise


def check_options(config: DictConfig) -> None:
    """Compare the values of `config`, and of the objects in it, with what their constructors declare.

    Raises UserError if an option is unknown, missing, or of another type.
    """
    # The types of torch's options cannot be checked.
    ours = str(config.get("_target_")).startswith("ffrepro.")
    kinds = get_type_hints(hydra.utils.get_object(config._target_).__init__) if ours else {}
    for key in (str(key) for key in config if not str(key).startswith("_")):
        if isinstance(config[key], DictConfig):
            check_options(config[key])
        if ours and key not in kinds:
            full_key = config._get_full_key(key)
            today = name_today(str(full_key))
            hint = f"It has another name now: {today}." if today else f"{config._target_} declares no such argument."
            raise UserError(f"there is no option {full_key}. {hint}")
        if ours:
            check_type(str(config._get_full_key(key)), config[key], kinds[key])
    lacking = [key for key in kinds if key not in config and key != "return"]
    if lacking and not config.get("_partial_"):
        raise UserError(f"{config._target_} lacks the option {lacking[0]}: give it, as in its file in conf/.")


def check_top(config: DictConfig) -> None:
    """Check the options that no object declares.

    Raises UserError if an option has another type, or a value makes no sense.
    """
    for key, kind in _TOP.items():
        check_type(key, OmegaConf.select(config, key), kind)
    if not 0 <= config.seed < 2**63:
        raise UserError(f"seed is {config.seed}: expected 0 to {2**63 - 1}.")
    if not 0 <= config.budget.epoch_fraction < math.inf:
        raise UserError(f"budget.epoch_fraction is {config.budget.epoch_fraction}: expected 0 (one epoch) or more.")
    for key in ("schedule.epochs", "budget.most_epochs", "budget.train_examples", "budget.test_examples"):
        value = OmegaConf.select(config, key)
        if value is not None and value < 1:
            raise UserError(f"{key} is {value}: expected at least 1.")


def check_type(key: str, value: Any, kind: Any) -> None:
    """Raise UserError if `value` at `key` does not fit `kind`."""
    if not _fits(value, kind):
        raise UserError(f"{key} is {value!r}: expected {_described(kind)}.")


def _fits(value: Any, kind: Any) -> bool:
    """Whether `value` fits the plain type, Literal, union, Sequence or class `kind`."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is Sequence:
        return isinstance(value, ListConfig | list) and all(_fits(item, get_args(kind)[0]) for item in value)
    if kind in (int, float):
        return isinstance(value, int | kind) and not isinstance(value, bool)
    if kind in (bool, str, type(None)):
        return isinstance(value, kind)
    if get_origin(kind) in (Union, UnionType):
        return any(_fits(value, option) for option in get_args(kind))
    # An object is a config that names its class. Lists and dictionaries are taken as they are.
    return kind is Any or get_origin(kind) in (list, dict, tuple) or not isinstance(value, _PLAIN)


def _described(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(str(option) for option in get_args(kind))
    if get_origin(kind) is Sequence:
        (item,) = get_args(kind)
        example = "[[4,6,10,128],[3,1,2,220]]" if get_origin(item) is Sequence else "[1000,1000]"
        each = "a list of whole numbers" if get_origin(item) is Sequence else _described(item)
        return f"a list of which each is {each}, as in {example}"
    if kind in _WORDS:
        return _WORDS[kind]
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_described(option) for option in get_args(kind))
    return "an option of its group, as in goodness=sum_of_squares or loss@algorithm.loss=squared_error"


def plain(config: DictConfig) -> dict[str, Any]:
    """The resolved values of `config`."""
    values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def budgeted_epochs(config: DictConfig) -> int:
    """The epochs of the preset, scaled and bounded by the budget; at least 1."""
    epochs = scaled_epochs(config.schedule.epochs, config.budget.epoch_fraction)
    return max(1, min(epochs, config.budget.most_epochs or epochs))


def scaled_epochs(epochs: int, fraction: float) -> int:
    """The epochs of a preset times the budget's fraction, before the bound."""
    return round(epochs * fraction)

"""Older records under today's names: their options, values and classes.

No other place knows former names. Whoever renames an option or a class, or adds an option, adds a line here. Then
records from before the change still count.
"""

import copy
from typing import Any

# An option of a group -> the options that say the same today.
RENAMED_CHOICES: dict[tuple[str, str], dict[str, str]] = {("algorithm", "bp"): {"algorithm": "backprop"}}
# A key -> the key that it has today, and the classes of its group that had it.
RENAMED_KEYS: dict[str, tuple[str, tuple[str, ...]]] = {
    "architecture.init_gain": ("architecture.init_variance_scale", ("Mlp", "LocalReceptiveFields")),
    "algorithm.crop": ("algorithm.augmentation.size", ("DeepNet",)),
    "algorithm.smallest_crop": ("algorithm.augmentation.min_area", ("DeepNet",)),
    "algorithm.middle": ("algorithm.augmentation.center_crop_ratio", ("DeepNet",)),
    "algorithm.label_smoothing": ("algorithm.loss.label_smoothing", ("DeepNet",)),
}
# A class -> its name today.
RENAMED_CLASSES = {"DeepNet": "Backprop"}
# A module -> where its classes are today. Modules may move freely: they are no part of a run's identity.
MOVED_MODULES = {
    "ffrepro.goodness": "ffrepro.forward_forward.goodness",
    "ffrepro.tracking": "ffrepro.runs.tracking",
    "ffrepro.algorithm.bp": "ffrepro.algorithm.backprop",
    "ffrepro.algorithm.tat": "ffrepro.algorithm.backprop",
}
# For each class: options that are gone, since every record had the same value.
REMOVED_OPTIONS = {"DeepNet": ("augment",)}
# For each class: options that older records lack or have as null, with the value that they stood for.
ADDED_OPTIONS: dict[str, dict[str, Any]] = {
    "FFSupervised": {"jitter": 0},
    "FFUnsupervised": {"different_digits": False},
    "LocalReceptiveFields": {"padding": 0},
    "HoldThenLinear": {"warm_up": 0.0},
    "Mnist": {"targets": "labels"},
    "Digits": {"targets": "labels"},
    "CrossEntropy": {"label_smoothing": 0.0},
}
# Keys outside of any class that older records lack, with the value that they stood for.
ADDED_KEYS = {"budget.most_epochs": None}
# For each class: objects that older records lack, as `_target_` of their class.
ADDED_OBJECTS: dict[str, dict[str, str]] = {
    "Backprop": {"loss": "ffrepro.loss.CrossEntropy"},
    "DeepNet": {"loss": "ffrepro.loss.CrossEntropy", "augmentation": "ffrepro.dataset.augment.RandomResizedCrops"},
}
# The goodness was an option of every run. Today it is an option of these algorithms.
_WITH_GOODNESS = ("FFSupervised", "FFUnsupervised", "FFRecurrent", "FFSequence")


def up_to_date(config: dict[str, Any]) -> dict[str, Any]:
    """A copy of a record's `config` as the same run would be configured today; of today's configs an equal copy."""
    config = copy.deepcopy(config)
    for key, (name, classes) in RENAMED_KEYS.items():
        group, _, option = key.partition(".")
        options = config.get(group)
        if isinstance(options, dict) and option in options and class_name(options) in classes:
            _put(config, name, options.pop(option))
    for key, value in ADDED_KEYS.items():
        group, _, option = key.partition(".")
        if isinstance(config.get(group), dict):
            config[group].setdefault(option, value)
    algorithm = config.get("algorithm")
    if isinstance(algorithm, dict) and class_name(algorithm) in _WITH_GOODNESS and "goodness" in config:
        algorithm.setdefault("goodness", copy.deepcopy(config["goodness"]))
    _bring_up_to_date(config)
    return config


def up_to_date_choices(choices: dict[str, str]) -> dict[str, str]:
    """The options of groups that a run chose, under today's names."""
    current: dict[str, str] = {}
    for group, option in choices.items():
        current |= RENAMED_CHOICES.get((group, option), {group: option})
    return current


def up_to_date_override(text: str) -> str:
    """A command line's `key=value` or `group=option` under today's names."""
    key, separator, value = text.partition("=")
    return name_today(text) or f"{name_today(key) or key}{separator}{value}"


def class_name(config: dict[str, Any]) -> str:
    """The class that `_target_` names, without its module; empty where there is none."""
    return str(config.get("_target_", "")).rpartition(".")[2]


def name_today(name: str) -> str | None:
    """The name today of a former key, or of a former `group=option`; None for all other names."""
    group, _, option = name.partition("=")
    choices = RENAMED_CHOICES.get((group, option))
    if choices is not None:
        return " ".join(f"{group}={option}" for group, option in choices.items())
    return RENAMED_KEYS[name][0] if name in RENAMED_KEYS else None


def _bring_up_to_date(config: dict[str, Any]) -> None:
    """Update `config`, and the objects in it, by their classes."""
    name = class_name(config)
    for option in REMOVED_OPTIONS.get(name, ()):
        config.pop(option, None)
    for key, target in ADDED_OBJECTS.get(name, {}).items():
        options = config.get(key) or {}
        if isinstance(options, dict):
            config[key] = {"_target_": target, **options}
    if name == "Backprop":
        config.setdefault("augmentation", None)
    if name:
        module = str(config["_target_"]).rpartition(".")[0]
        name = RENAMED_CLASSES.get(name, name)
        config["_target_"] = f"{MOVED_MODULES.get(module, module)}.{name}"
    for key, value in ADDED_OPTIONS.get(name, {}).items():
        if config.get(key) is None:
            config[key] = value
    for value in config.values():
        if isinstance(value, dict):
            _bring_up_to_date(value)


def _put(config: dict[str, Any], key: str, value: Any) -> None:
    """Set the value at a dotted key."""
    *groups, last = key.split(".")
    for group in groups:
        config = config.setdefault(group, {})
    config[last] = value

"""Everything in conf/ composes, names what there is in the code, and gives it exactly what it takes."""

import copy
import inspect
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import hydra
import pytest
import yaml
from omegaconf import DictConfig, OmegaConf

from ffrepro.config import DECISIVE_GROUPS, budgeted_epochs, build, check_top, check_type, plain
from ffrepro.errors import UserError
from ffrepro.paths import CONF

PRESETS = sorted(
    path.relative_to(CONF / "experiment").with_suffix("").as_posix() for path in (CONF / "experiment").rglob("*.yaml")
)
OPTIONS = sorted(
    (path.parent.relative_to(CONF).as_posix(), path.stem)
    for path in CONF.rglob("*.yaml")
    if path.parent != CONF and CONF / "experiment" not in path.parents
)


def compose(*overrides: str) -> DictConfig:
    return copy.deepcopy(_composed(*overrides))


@cache
def _composed(*overrides: str) -> DictConfig:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose("config", overrides=list(overrides))


def sweep_params(name: str) -> dict[str, str]:
    params: dict[str, str] = yaml.safe_load((CONF / f"{name}.yaml").read_text())["hydra"]["sweeper"]["params"]
    return params


def choosing(group: str, name: str) -> list[str]:
    """The command line that chooses an option. Some groups are parts of backprop, or of deep nets."""
    if group in ("optimizer", "loss", "augmentation"):
        return ["algorithm=backprop", f"{group}@algorithm.{group}={name}"]
    if group == "activation":
        return ["architecture=vanilla_resnet", f"activation@architecture.activation={name}"]
    return [f"{group}={name}"]


ALL = [*(pytest.param([f"experiment={name}"], id=name) for name in PRESETS)]
ALL += [pytest.param(choosing(group, name), id=f"{group}={name}") for group, name in OPTIONS]


def objects(node: Any) -> Iterator[dict[str, Any]]:
    """Every part of a config that names a place in the code."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield node
        for value in node.values():
            yield from objects(value)


def test_there_are_presets_and_options() -> None:
    # An empty list would let every test below pass.
    assert {"table1/bp", "table1/ff_supervised"} <= set(PRESETS)
    assert {group for group, _ in OPTIONS} >= {*DECISIVE_GROUPS, "goodness", "tracking"}


@pytest.mark.parametrize("overrides", ALL)
def test_it_composes_and_every_object_gets_what_it_takes(overrides: list[str]) -> None:
    config = compose(*overrides)
    named = list(objects(OmegaConf.to_container(config, resolve=True, throw_on_missing=True)))
    assert len(named) >= 6
    for node in named:
        target = node["_target_"]
        assert target.startswith(("ffrepro.", "torch."))
        signature = inspect.signature(hydra.utils.get_object(target))
        arguments = {key: value for key, value in node.items() if not key.startswith("_")}
        if node.get("_partial_", False):
            signature.bind_partial(**arguments)
        else:
            signature.bind(**arguments)
        if target.startswith("ffrepro."):
            defaults = [p.name for p in signature.parameters.values() if p.default is not inspect.Parameter.empty]
            assert defaults == []  # hyperparameters have their values in YAML, once


@pytest.mark.parametrize("overrides", ALL)
def test_every_object_can_be_built(overrides: list[str]) -> None:
    config = compose(*overrides)
    check_top(config)
    for group in ("dataset", "architecture", "algorithm", "goodness", "schedule", "tracking"):
        assert build(config[group]) is not None


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_its_claim_its_command_and_its_place(name: str) -> None:
    text = (CONF / "experiment" / f"{name}.yaml").read_text()
    if name.startswith("ablation/"):
        assert text.startswith("# @package _global_\n# Question: ")
        assert f"# Command: python -m ffrepro -m experiment={name}\n" in text
    else:
        assert text.startswith(tuple(f"# @package _global_\n# {what}: " for what in ("Claim", "Question", "Baseline")))
        assert f"# Command: python -m ffrepro experiment={name} " in text
    config = compose(f"experiment={name}")
    assert f"{config.table}/{config.row}" == name


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_changes_only_what_is_there(name: str) -> None:
    # A misspelt key in a global preset would be a new one, read by nothing.
    def keys(node: Any, prefix: str = "") -> set[str]:
        if not isinstance(node, dict):
            return set()
        return {f"{prefix}{key}" for key in node} | {
            deeper for key, value in node.items() for deeper in keys(value, f"{prefix}{key}.")
        }

    preset = yaml.safe_load((CONF / "experiment" / f"{name}.yaml").read_text())
    swept = preset.pop("hydra", {}).get("sweeper", {}).get("params", {})
    choices = [
        f"{group.removeprefix('override /')}={option}"
        for entry in preset.pop("defaults", [])
        for group, option in entry.items()
    ]
    known = keys(OmegaConf.to_container(compose(*choices)))
    assert keys(preset) | set(swept) <= known
    assert bool(swept) == name.startswith("ablation/")


@pytest.mark.parametrize("name", ["phase_length", "phase_length_slow"])
def test_the_study_of_phase_lengths_ends_awake_when_the_softmax_learns(name: str) -> None:
    config = compose(f"experiment=ablation/{name}")
    windows = 248 * (100 - 10)  # strings of 100 characters, each but the first ten predicted
    updates = config.schedule.epochs * 2 * (windows // config.algorithm.batch_size)
    lengths = [
        int(length) for length in sweep_params(f"experiment/ablation/{name}")["algorithm.phase_length"].split(",")
    ]
    assert lengths[0] == 1  # a single update asleep at the end takes nothing from the softmax
    assert max(lengths) >= 2000
    for length in lengths[1:]:
        assert (updates % length, updates // length % 2) == (0, 1), length


def test_only_the_papers_budget_is_whole_and_refuses_a_stand_in() -> None:
    paper, quick, smoke = (compose(f"budget={name}").budget for name in ("paper", "quick", "smoke"))
    assert (paper.epoch_fraction, paper.train_examples, paper.test_examples) == (1.0, None, None)
    assert not paper.may_stand_in
    assert quick.may_stand_in
    assert smoke.may_stand_in
    assert (quick.name, quick.train_examples, quick.test_examples) == ("quick", None, None)
    assert smoke.epoch_fraction < quick.epoch_fraction < 1


@pytest.mark.parametrize(
    ("overrides", "epochs"),
    [
        (["budget=paper"], 60),
        (["budget=quick"], 6),
        (["budget=smoke"], 1),
        (["experiment=table1/ff_supervised_jittered"], 500),
        (["experiment=table1/ff_supervised_jittered", "budget=quick"], 10),  # at most ten
        (["schedule.epochs=3", "budget=quick"], 1),
    ],
)
def test_a_budget_scales_and_bounds_the_presets_epochs(overrides: list[str], epochs: int) -> None:
    assert budgeted_epochs(compose(*overrides)) == epochs


# build, check_top, plain ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("algorithm.learning_rate=fast", "algorithm.learning_rate is 'fast': expected a number"),
        ("algorithm.learning_rate=null", "algorithm.learning_rate is None: expected a number"),
        ("algorithm.batch_size=1.5", "algorithm.batch_size is 1.5: expected a whole number"),
        ("algorithm.batch_size=true", "algorithm.batch_size is True: expected a whole number"),
        ("algorithm.reshuffle=1", "algorithm.reshuffle is 1: expected true or false"),
        ("algorithm.negative_labels=hard", "algorithm.negative_labels is 'hard': expected sampled or uniform"),
        ("architecture.widths=100", "architecture.widths is 100: expected a list"),
        ("architecture.widths=[100,wide]", r"architecture.widths is \[100, 'wide'\]: expected a list"),
        ("architecture.widths=[100,-1]", r"architecture.widths is \[100, -1\]"),
        ("architecture.widths=[]", r"architecture.widths is \[\]"),
        ("architecture=vanilla_resnet architecture.activation.eta=many", "architecture.activation.eta is 'many'"),
        (
            "architecture=vanilla_resnet +architecture.activation.foo=1",
            "there is no option architecture.activation.foo",
        ),
        ("dataset.name=kmnist", "dataset.name is 'kmnist': expected mnist or fashion_mnist"),
        ("algorithm.goodness=sum_of_activities", "expected an option of its group, as in goodness=sum_of_squares"),
        ("algorithm=backprop algorithm.loss=squared_error", "expected an option of its group"),
        ("algorithm=backprop algorithm.augmentation=crops", "expected an option of its group.* or null"),
        ("algorithm=backprop +algorithm.crop=64", "another name now: algorithm.augmentation.size"),
        ("tracking.mode=onlin", "tracking.mode is 'onlin': expected offline or online"),
    ],
)
def test_a_value_of_another_kind_is_named(option: str, complaint: str) -> None:
    config = compose(*option.split())
    with pytest.raises(UserError, match=complaint):
        build(config[re.split(r"[.=]", option, maxsplit=1)[0]])


def test_a_whole_number_serves_as_a_number() -> None:
    assert build(compose("algorithm.threshold=2").algorithm).threshold == 2


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("seed=one", "seed is 'one': expected a whole number"),
        ("seed=-1", "seed is -1: expected 0 to "),
        (f"seed={2**64}", "expected 0 to "),
        ("budget.epoch_fraction=much", "budget.epoch_fraction is 'much': expected a number"),
        ("budget.epoch_fraction=nan", "budget.epoch_fraction is nan: expected 0"),
        ("budget.test_examples=0", "budget.test_examples is 0: expected at least 1"),
        ("schedule.epochs=0", "schedule.epochs is 0: expected at least 1"),
        ("schedule.epochs=many", "schedule.epochs is 'many': expected a whole number"),
        ("threads=two", "threads is 'two': expected a whole number or null"),
        ("rerun=1", "rerun is 1: expected true or false"),
        ("device=0", "device is 0: expected a word"),
    ],
)
def test_a_top_option_of_another_kind_is_named(option: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        check_top(compose(option))


def test_runtime_values_take_the_place_of_configured_ones() -> None:
    assert build(compose().schedule, epochs=7).epochs == 7


def test_a_missing_option_is_named() -> None:
    with pytest.raises(UserError, match=r"HoldThenLinear lacks the option warm_up"):
        build(OmegaConf.create({"_target_": "ffrepro.schedule.HoldThenLinear", "epochs": 3}))


def test_a_fault_of_a_constructor_is_not_a_users_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(self, epochs: int) -> None:  # type: ignore[no-untyped-def]
        raise TypeError("made up")

    monkeypatch.setattr("ffrepro.schedule.HoldThenLinear.__init__", faulty)
    with pytest.raises(TypeError, match="made up"):
        build(OmegaConf.create({"_target_": "ffrepro.schedule.HoldThenLinear", "epochs": 3}))


@pytest.mark.parametrize(
    ("value", "kind", "complaint"),
    [
        ([1, 2], list[int], None),  # taken as it is
        ({"a": 1.0}, dict[str, float], None),
        (None, Sequence[int] | None, None),
        ([1, 2], Sequence[int] | None, None),
        ([1, "two"], Sequence[int] | None, "a list of which each is a whole number"),
        ("beside", Literal["beside", "after"] | None, None),
        ("before", Literal["beside", "after"] | None, "expected beside or after or null"),
        (1, float | None, None),
        ("one", float | None, "expected a number or null"),
    ],
)
def test_what_a_constructor_declares_is_checked(value: object, kind: object, complaint: str | None) -> None:
    if complaint is None:
        check_type("option", value, kind)
    else:
        with pytest.raises(UserError, match=complaint):
            check_type("option", value, kind)


def test_plain_values_are_resolved_and_complete() -> None:
    assert plain(OmegaConf.create({"a": 1, "b": ["${a}"]})) == {"a": 1, "b": [1]}
    with pytest.raises(Exception, match="a"):
        plain(OmegaConf.create({"a": "???"}))


def test_every_file_of_options_is_yaml_with_a_single_document() -> None:
    for path in Path(CONF).rglob("*.yaml"):
        assert isinstance(yaml.safe_load(path.read_text()), dict), path

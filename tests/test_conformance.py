"""Every algorithm on every architecture that fits it, on a tiny data set of each kind."""

import copy
import gc
import itertools
import math
import weakref
from dataclasses import dataclass, replace
from functools import cache

import hydra
import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from ffrepro import metric
from ffrepro.algorithm import Algorithm, Setting
from ffrepro.config import build
from ffrepro.dataset import Dataset, Split
from ffrepro.dataset.grammar import made_up_text
from ffrepro.dataset.text import TextSplitter
from ffrepro.errors import UserError
from ffrepro.paths import CONF
from ffrepro.pictures import compressed, packed
from tests.conftest import tensors

CPU = torch.device("cpu")
N = 60


def images(*shape: int, real_targets: bool = False) -> Dataset:
    generator = torch.Generator().manual_seed(0)

    def split(n: int) -> Split:
        targets = torch.arange(n) % 10
        pixels = torch.rand(n, math.prod(shape), generator=generator)
        pixels[torch.arange(n), targets + 10] += 1  # something to learn
        return Split(pixels / 2, targets)

    made = Dataset("made", split(N), split(20), split(20), 10, shape, "", stand_in=True)
    return made.predicting_inputs() if real_targets else made


def text() -> Dataset:
    splitter = TextSplitter(strings=4, validation_strings=2, length=30, window=5)
    return splitter.dataset(made_up_text(3000), name="made", origin="made", sha256="", stand_in=True, device=CPU)


DATASETS = {
    "images": images(16, 16),
    "color": images(16, 16, 3),
    "text": text(),
    "images as targets": images(16, 16, real_targets=True),
}
# Small nets. A new option of the group needs a line here.
ARCHITECTURES = {
    "mlp": ["architecture.widths=[12,12]"],
    "local_receptive_fields": ["architecture.layers=[[4,4,4,5],[2,1,3,4]]", "architecture.padding=0"],
    "vanilla_resnet": ["architecture.depth=26", "architecture.width=2", "architecture.stem=small"],
}
LOCAL_IN_CROPS = ["architecture.layers=[[3,4,4,5],[2,1,2,4]]", "architecture.padding=0"]
LOCAL_TOP_DOWN = ["architecture.layers=[[16,1,3,2],[16,1,3,2]]", "architecture.padding=1"]
# Further options that an algorithm needs, or is tried with.
ALGORITHMS = {
    "backprop": [
        [],
        ["optimizer@algorithm.optimizer=kfac"],
        ["optimizer@algorithm.optimizer=adam"],
        ["optimizer@algorithm.optimizer=nesterov"],
    ],
    "ff_recurrent": [["algorithm.iterations=3", "algorithm.last_tested=3"]],
    "ff_sequence": [[], ["algorithm.hidden_layers=separated", "algorithm.phase_length=2"]],
    "ff_supervised": [[]],
    "ff_unsupervised": [[]],
    "ngram": [[]],
    "tat": [["algorithm.augmentation.size=12"]],
    "tat_kfac": [["algorithm.augmentation.size=12"]],
}
LOSSES_OF_IMAGES = ["sigmoid_cross_entropy", "squared_error"]
# The pairs that do not fit, with what the one-line error names.
UNFIT: dict[tuple[str, str], str] = {
    **{(algorithm, "vanilla_resnet"): "closed form" for algorithm in ALGORITHMS if algorithm.startswith("ff_")},
    ("ff_sequence", "local_receptive_fields"): "architecture.layers",
}
NEED_IMAGES = ("ff_recurrent", "ff_supervised", "ff_unsupervised", "tat", "tat_kfac")
UNFIT_DATA = {
    **{(algorithm, "text"): "trains on images" for algorithm in NEED_IMAGES},
    **{
        (algorithm, data): "trains on text"
        for algorithm in ("ff_sequence", "ngram")
        for data in DATASETS
        if data != "text"
    },
    **{(algorithm, "images as targets"): "labels" for algorithm in NEED_IMAGES},
}
UNFIT_NETS = {("local_receptive_fields", "text"): "architecture.layers"}


@dataclass(frozen=True)
class Case:
    algorithm: str
    options: tuple[str, ...]
    architecture: str
    data: str

    @property
    def refusal(self) -> str | None:
        """What the error names where the parts do not fit."""
        kfac = self.algorithm == "tat_kfac" or "optimizer@algorithm.optimizer=kfac" in self.options
        data = UNFIT_DATA.get((self.algorithm, self.data))
        net = None if self.algorithm == "ngram" else UNFIT_NETS.get((self.architecture, self.data))
        optimizer = "K-FAC" if kfac and self.architecture == "local_receptive_fields" else None
        return data or UNFIT.get((self.algorithm, self.architecture)) or net or optimizer


CASES = [
    Case(algorithm, tuple(options), architecture, data)
    for algorithm, variants in ALGORITHMS.items()
    for options in variants
    for architecture, data in itertools.product(ARCHITECTURES, DATASETS)
    if algorithm != "ngram" or architecture == "mlp"  # it looks at no net
]


@cache
def composed(case: Case) -> DictConfig:
    architecture = ARCHITECTURES[case.architecture]
    if case.architecture == "local_receptive_fields":
        architecture = {"ff_recurrent": LOCAL_TOP_DOWN, "tat": LOCAL_IN_CROPS, "tat_kfac": LOCAL_IN_CROPS}.get(
            case.algorithm, architecture
        )
    overrides = [
        f"algorithm={case.algorithm}",
        f"architecture={case.architecture}",
        *architecture,
        *case.options,
        "schedule.epochs=3",
    ]
    if case.data == "images as targets" and case.algorithm == "backprop":
        # A loss of images for each optimizer, in turn.
        number = ALGORITHMS["backprop"].index(list(case.options))
        overrides.append(f"loss@algorithm.loss={LOSSES_OF_IMAGES[number % 2]}")
    if case.algorithm != "ngram":
        overrides.append("algorithm.batch_size=20")
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose("config", overrides)


def begun(case: Case) -> Algorithm:
    config = composed(case)
    algorithm: Algorithm = build(config.algorithm)
    algorithm.begin(
        Setting(
            dataset=DATASETS[case.data],
            architecture=build(config.architecture),
            schedule=build(config.schedule),
            seed=0,
            device=CPU,
            compute_dtype=torch.float32,
        )
    )
    return algorithm


def test_every_option_is_tried() -> None:
    """A new algorithm, architecture, optimizer, loss or augmentation needs a line above."""
    tried = {
        "algorithm": set(ALGORITHMS),
        "architecture": set(ARCHITECTURES),
        "loss": {"cross_entropy", *LOSSES_OF_IMAGES},
        "augmentation": {"random_resized_crops"},  # by tat
        "optimizer": {"sgd"} | {text.split("=")[1] for options in ALGORITHMS["backprop"] for text in options},
    }
    for group, options in tried.items():
        assert {path.stem for path in (CONF / group).glob("*.yaml")} == options, group


@pytest.mark.parametrize("case", [case for case in CASES if case.refusal], ids=str)
def test_what_does_not_fit_is_refused_in_one_line(case: Case) -> None:
    with pytest.raises(UserError, match=case.refusal) as refused:
        begun(case)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("case", [case for case in CASES if not case.refusal], ids=str)
def test_it_trains_measures_and_goes_on_from_its_state(case: Case) -> None:
    dataset = DATASETS[case.data]
    assert dataset.validation is not None
    algorithm = begun(case)
    history = [algorithm.train_epoch(1)]
    assert "loss" in history[0]
    monitored, state = algorithm.monitor(dataset.validation), copy.deepcopy(algorithm.state_dict())
    history.append(algorithm.train_epoch(2))
    evaluated = algorithm.evaluate(dataset.test)
    assert metric.headline({f"test_{name}": value for name, value in evaluated.items()}) is not None
    for name, value in itertools.chain(monitored.items(), evaluated.items(), *(entry.items() for entry in history)):
        assert metric.is_known(name), name
        assert math.isfinite(value), name
    pictures = packed(algorithm.pictures(dataset.test))
    assert all(array.size and (array.dtype == np.uint8 or np.isfinite(array).all()) for array in pictures.values())
    assert len(compressed(pictures)) < 300_000

    restored = begun(case)
    restored.load_state_dict(state)
    assert restored.train_epoch(2) == history[1]
    assert restored.evaluate(dataset.test) == evaluated
    for after, expected in zip(tensors(restored.state_dict()), tensors(algorithm.state_dict()), strict=True):
        assert torch.equal(after, expected)


def test_a_net_sees_nothing_but_its_inputs() -> None:
    """Labels of the test set change no prediction: with other labels the errors of a right answer change alone."""
    case = Case("backprop", (), "mlp", "images")
    algorithm, test = begun(case), DATASETS["images"].test
    algorithm.train_epoch(1)
    before = algorithm.evaluate(test)["error"]
    wrong = algorithm.evaluate(replace(test, targets=(test.targets + 1) % 10))["error"]
    assert before + wrong >= 100.0  # no image is right under two labels


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name != "ngram"])
def test_a_finished_run_holds_nothing(name: str) -> None:
    """Weights and data are freed at once, without the garbage collector: a multirun has one run after the other."""
    data = "text" if name == "ff_sequence" else "images"
    algorithm = begun(
        Case(name, tuple(ALGORITHMS[name][0]), "vanilla_resnet" if name.startswith("tat") else "mlp", data)
    )
    algorithm.train_epoch(1)
    watch = weakref.ref(algorithm)
    gc.collect()
    gc.disable()
    try:
        del algorithm
        assert watch() is None
    finally:
        gc.enable()

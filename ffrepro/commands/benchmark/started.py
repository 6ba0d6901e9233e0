"""Rows as a benchmark needs them: begun, without a record or a checkpoint, and timed."""

import time
from collections.abc import Callable
from typing import Any

import hydra
import torch

from ffrepro.algorithm import Setting
from ffrepro.config import build
from ffrepro.dataset import Dataset, Source
from ffrepro.device import PRECISIONS
from ffrepro.paths import CONF

ROUNDS = 5


def loaded(experiment: str, device: torch.device) -> Dataset:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        source: Source = build(hydra.compose("config", [f"experiment={experiment}"]).dataset)
    return source.load(device)


def begun(experiment: str, device: torch.device, precision: str, dataset: Dataset, *changed: str, seed: int = 0) -> Any:
    """A row's algorithm with its net, ready to train on `dataset`."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose("config", [f"experiment={experiment}", *changed])
    algorithm = build(config.algorithm)
    algorithm.begin(
        Setting(
            dataset=dataset,
            architecture=build(config.architecture),
            goodness=build(config.goodness),
            schedule=build(config.schedule),
            seed=seed,
            device=device,
            products=PRECISIONS[precision],
        )
    )
    return algorithm


def seconds(work: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began

"""Rows that are ready to train, without a record or a checkpoint, and the time they take."""

import time
from collections.abc import Callable
from typing import Any

import torch

from ffrepro.algorithm import Setting
from ffrepro.config import build, composed
from ffrepro.dataset import Dataset, Source
from ffrepro.device import PRECISIONS

ROUNDS = 5


def load_dataset(experiment: str, device: torch.device) -> Dataset:
    """The data set of a row, as its preset splits it."""
    source: Source = build(composed([f"experiment={experiment}"]).dataset)
    return source.load(device)


def begin_row(
    experiment: str, device: torch.device, precision: str, dataset: Dataset, *overrides: str, seed: int = 0
) -> Any:
    """A row's algorithm with its net, ready to train on `dataset`."""
    config = composed([f"experiment={experiment}", *overrides])
    algorithm = build(config.algorithm)
    algorithm.begin(
        Setting(
            dataset=dataset,
            architecture=build(config.architecture),
            schedule=build(config.schedule),
            seed=seed,
            device=device,
            compute_dtype=PRECISIONS[precision],
        )
    )
    return algorithm


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """How long `work` takes, until the device has finished it."""
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began

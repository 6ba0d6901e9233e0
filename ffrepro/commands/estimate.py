"""How long a run will take here: its operations, over what this machine was just measured to do."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from omegaconf import DictConfig

from ffrepro.algorithm import Algorithm
from ffrepro.architecture import Architecture
from ffrepro.config import budgeted_epochs, build
from ffrepro.dataset import Source
from ffrepro.device import PRECISIONS, choose_device, choose_precision
from ffrepro.errors import UserError
from ffrepro.forward_forward.weights import Dense

# Everything besides matrix products and updates, and the start of Python and PyTorch.
_OVERHEAD, _START_S = 1.25, 8.0
_GPU_STEP_S = 0.0008  # a step cannot be shorter: starting its kernels takes that long


@dataclass(frozen=True)
class Speed:
    """Multiplications and additions a second in matrix products, and weights updated a second."""

    products: float
    updates: float
    shortest_step_s: float


def measure(device_name: str, precision: str) -> Speed:
    """Time the products and updates of some layers for about a third of a second.

    They take turns, as in a net: a layer alone would stay in the processor's cache and be much faster.
    """
    device = choose_device(device_name)
    dtype = PRECISIONS[choose_precision(precision, device)]
    rows, width, n_layers = 100, 2000, 4
    below = torch.ones(rows, width, device=device)
    layers = [Dense(torch.ones(width, width, device=device), dtype) for _ in range(n_layers)]

    def forward() -> None:
        for layer in layers:
            layer.product(below, below)

    def update() -> None:
        for layer in layers:
            layer.learn(below[:1], below[:1], share=0.1, momentum=0.9, rate=0.01, weight_cost=0.001)

    weights = n_layers * width * width
    shortest = _GPU_STEP_S if device.type == "cuda" else 0.0
    return Speed(2 * rows * weights / _seconds(forward, device), weights / _seconds(update, device), shortest)


def seconds(config: DictConfig, speed: Speed) -> float:
    """About how long the run of a composed `config` takes, from start to record."""
    algorithm: Algorithm = build(config.algorithm)
    architecture: Architecture = build(config.architecture)
    source: Source = build(config.dataset)
    trained, tested = source.sizes
    trained = min(trained, config.budget.train_examples or trained)
    tested = min(tested, 2 * (config.budget.test_examples or tested))
    side = config.algorithm.get("crop")
    shapes = architecture.shapes((side, side, *source.input_shape[2:]) if side else source.input_shape)
    products = sum(math.prod(shape) for shape in shapes)
    weights = sum(math.prod(shape[1:] if architecture.shares_weights else shape) for shape in shapes)
    epochs = budgeted_epochs(config)
    batch: int = config.algorithm.get("batch_size", trained)  # what is counted is counted at once
    if batch < 1:
        raise UserError(f"algorithm.batch_size is {batch}: expected 1 or more.")
    step = algorithm.training_passes * 2 * products * batch / speed.products + weights / speed.updates
    training: float = epochs * (trained // batch) * max(step * _OVERHEAD, speed.shortest_step_s)
    testing: float = algorithm.test_passes * 2 * products * tested / speed.products
    return training + testing + _START_S


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    work()
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < 0.15:
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        done += 1
    return (time.perf_counter() - began) / done

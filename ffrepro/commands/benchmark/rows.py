"""Rows of Tables 1 to 3: seconds an epoch, roll-outs, memory, and errors by precision."""

import copy
import multiprocessing
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ffrepro.commands.benchmark.bare_products import BATCH, layered, masked
from ffrepro.commands.benchmark.started import ROUNDS, begun, loaded, seconds
from ffrepro.device import PRECISIONS, choose_device, fast_bf16
from ffrepro.forward_forward import layers
from ffrepro.forward_forward.layers import significant
from ffrepro.forward_forward.negatives import hybrid_images
from ffrepro.runs.record import peak_memory_bytes

_WARM_UP, _WARM_UP_EPOCHS = 5_000, 4  # examples
# The comparison of precisions: seeds, images, hidden layers and epochs.
_SEEDS, _COMPARED, _WIDTHS, _EPOCHS = (0, 1, 2), 20_000, (500, 500), 10


@dataclass(frozen=True)
class Case:
    """A row of a table, and what an epoch of it is.

    `widths` where bare products of its shapes are compared, of as many `passes` through the net; `maps` of a net of so
    many maps of local fields, where the same products by dense matrices are, most of whose weights are masked.
    """

    name: str
    experiment: str
    examples: int
    widths: tuple[int, ...] | None = None
    passes: int = 3
    maps: int | None = None


CASES = (
    Case("supervised, 784-1000-1000-1000, 50,000 images", "table1/ff_released_code", 50_000, (1000, 1000, 1000)),
    Case("supervised, 784-4×2000, 60,000 images", "table1/ff_supervised", 60_000, (2000, 2000, 2000, 2000)),
    Case("supervised at twice the learning rate, 784-4×2000, 60,000 images", "table1/ff_supervised_fast", 60_000),
    Case("supervised and jittered, 784-4×2000, 60,000 images", "table1/ff_supervised_jittered", 60_000),
    Case("unsupervised, 784-4×2000, 60,000 images", "table1/ff_unsupervised", 60_000, (2000, 2000, 2000, 2000), 2),
    Case("unsupervised, local receptive fields, 60,000 images", "table1/ff_unsupervised_local", 60_000),
    Case("recurrent, 784-2×2000-10, 60,000 images", "table1/ff_recurrent", 60_000),
    Case("recurrent, 784-3×2000-10, 60,000 images", "table1/ff_recurrent_3", 60_000),
    Case("backprop, 784-1000-1000-1000, 60,000 images", "table1/bp", 60_000),
    Case("recurrent, CIFAR-10, 2 maps of local fields, 50,000 images", "table2/ff_max_ssq_2", 50_000, maps=2),
    Case("recurrent, CIFAR-10, 3 maps of local fields, 50,000 images", "table2/ff_max_ssq_3", 50_000, maps=3),
    Case("backprop, CIFAR-10, 2 maps of local fields, 50,000 images", "table2/bp_2", 50_000),
    Case("next character, both phases at once, 300-3×2000, 22,320 windows", "table3/ff_simultaneous", 22_320),
    Case("next character, phases in turn, 300-3×2000, 22,320 windows", "table3/ff_separated", 22_320),
    Case("next character, backprop, 300-3×2000, 22,320 windows", "table3/bp", 22_320),
)
_LARGEST = CASES[1]
HELD = (_LARGEST.experiment, "table2/ff_max_ssq_3")  # of these the memory
_WRITING = "table3/ff_separated"
_HYBRID, _BLURS = "table1/ff_unsupervised", 6


def epoch(case: Case, device: torch.device, precision: str) -> tuple[str, dict[str, Any]]:
    """Seconds an epoch of a row, and of the bare products and updates with whole minibatches."""
    dataset = loaded(case.experiment, device)
    # A whole epoch on a GPU, which needs its time to begin one; and of text, whose roll-outs are part of it.
    minibatches = case.examples // BATCH
    if device.type == "cpu" and dataset.alphabet is None:
        minibatches = 20 if case.maps is None else 3
    algorithm = begun(case.experiment, device, precision, dataset.reduced(_WARM_UP, None))
    for _ in range(_WARM_UP_EPOCHS):
        algorithm.train_epoch(1)
    algorithm.train = dataset.train.first(minibatches * BATCH)
    bare: Callable[[], object] = lambda: None  # noqa: E731 - nothing is compared
    if case.widths:
        bare = layered(case.widths, case.passes, device, PRECISIONS[precision], minibatches)
    elif case.maps:
        learned = _learned(lambda: algorithm.train_epoch(1))
        bare = masked(case.maps, learned, device, PRECISIONS[precision], minibatches)
    pairs = [(seconds(lambda: algorithm.train_epoch(1), device), seconds(bare, device)) for _ in range(ROUNDS)]
    whole = case.examples / BATCH / minibatches
    found: dict[str, Any] = {"case": case.name, "epoch_s": statistics.median(ours for ours, _ in pairs) * whole}
    said = f"{case.name}: an epoch in {found['epoch_s']:.2f} s"
    if case.widths or case.maps:
        found["compared_with"] = "bare products and updates" if case.widths else "dense masked matrices"
        found["bare_products_epoch_s"] = statistics.median(bare for _, bare in pairs) * whole
        found["ratio_to_bare_products"] = statistics.median(ours / bare for ours, bare in pairs)
        said += f", {found['ratio_to_bare_products']:.2f} times that of {found['compared_with']}"
    return f"{said}.", found


def hybrids(device: torch.device, _: str) -> tuple[str, dict[str, Any]]:
    """Seconds in which the hybrid images of an epoch are made."""
    dataset = loaded(_HYBRID, device)
    images, generator = dataset.train.inputs[:BATCH], torch.Generator(device).manual_seed(0)
    n_minibatches = len(dataset.train) // BATCH

    def made() -> None:
        for _ in range(n_minibatches):
            hybrid_images(images, dataset.input_shape, _BLURS, generator)

    made()
    taken = statistics.median(seconds(made, device) for _ in range(ROUNDS))
    said = f"Hybrid images, {_BLURS} blurs, {n_minibatches * BATCH:,} images: {taken:.2f} s."
    return said, {"images": n_minibatches * BATCH, "blurs": _BLURS, "seconds": taken}


def roll_outs(device: torch.device, precision: str) -> tuple[str, dict[str, Any]]:
    """Seconds in which a net writes on from the beginning of every training string, all at once."""
    algorithm = begun(_WRITING, device, precision, loaded(_WRITING, device))
    algorithm.dreams()
    taken = statistics.median(seconds(algorithm.dreams, device) for _ in range(3))
    strings = len(algorithm.train.strings.unique())
    characters = len(algorithm.train) // strings
    said = f"Roll-outs of {strings} strings, {characters} characters each: {taken:.2f} s."
    return said, {"strings": strings, "characters": characters, "seconds": taken}


def memory(case: Case, device: torch.device, precision: str) -> tuple[str, dict[str, Any]]:
    """Peak memory of an epoch's beginning and an evaluation, the data set in it, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        before, peak = pool.apply(_peak, (case.experiment, str(device), precision))
    said = f"{case.name}: at most {(peak - before) / 1e9:.2f} GB of memory over the interpreter with torch."
    return said, {"case": case.name, "over_interpreter_with_torch_bytes": peak - before}


def precisions(device: torch.device, _: str) -> tuple[str, dict[str, Any]]:
    """Test errors of a small net on MNIST in both precisions, three seeds each; none where bf16 is emulated."""
    if not fast_bf16(device):
        return "bf16 is emulated on this processor: its errors were not compared with those of fp32.", {}
    dataset = loaded(_LARGEST.experiment, device).reduced(_COMPARED, None)
    small = (f"architecture.widths={list(_WIDTHS)}", f"schedule.epochs={_EPOCHS}")
    test_errors: dict[str, list[float]] = {name: [] for name in PRECISIONS}
    for name, errors in test_errors.items():
        for seed in _SEEDS:
            algorithm = begun(_LARGEST.experiment, device, name, dataset, *small, seed=seed)
            for at in range(1, _EPOCHS + 1):
                algorithm.train_epoch(at)
            errors.append(algorithm.evaluate(dataset.test)["error"])
    said = ", ".join(
        f"{name} {statistics.mean(errors):.2f} ± {statistics.stdev(errors):.2f}" for name, errors in test_errors.items()
    )
    net = "-".join(str(width) for width in (784, *_WIDTHS))
    return (
        f"Test error in %, {net}, {_COMPARED:,} images, {_EPOCHS} epochs, {len(_SEEDS)} seeds: {said}.",
        {"net": net, "images": _COMPARED, "epochs": _EPOCHS, "seeds": list(_SEEDS), "test_errors": test_errors},
    )


def _learned(work: Callable[[], object]) -> float:
    """The share of the data that hidden layers learn from while `work` is done."""
    seen, kept = [], []

    def counted(factors: Tensor) -> Tensor | None:
        found = significant(factors)
        seen.append(len(factors))
        kept.append(len(factors if found is None else found))
        return found

    layers.significant = counted
    try:
        work()
    finally:
        layers.significant = significant
    return sum(kept) / sum(seen)


def _peak(experiment: str, device_name: str, precision: str) -> tuple[int, int]:
    """Bytes held before, and at most: on a GPU of its memory."""
    device = choose_device(device_name)
    before = peak_memory_bytes(device)
    dataset = loaded(experiment, device)
    algorithm = begun(experiment, device, precision, replace(dataset, train=dataset.train.first(1_000)))
    for epoch in (1, 2):
        _kept = copy.deepcopy(algorithm.state_dict())  # as the runner keeps one while an epoch is trained
        algorithm.train_epoch(epoch)
    algorithm.evaluate(dataset.test.first(1_000))
    return before, peak_memory_bytes(device)

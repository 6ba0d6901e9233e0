"""Time and memory of training on this machine, beside the bare matrix products of the same shapes.

Full speed is reached once most data are told apart, so every net is trained for a while first, on few of them; an
epoch's time is that of some minibatches, times the minibatches of an epoch. Minibatches and bare products
are timed in turn, so that a busy machine slows both.
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import hydra
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from ffrepro import layers
from ffrepro.algorithm import Setting
from ffrepro.architecture.vanilla_resnet import Pointwise
from ffrepro.bare_products import BATCH, layered, masked
from ffrepro.config import build
from ffrepro.dataset import Dataset, Source
from ffrepro.device import PRECISIONS, choose_device, choose_precision, fast_bf16
from ffrepro.errors import UserError
from ffrepro.files import written_atomically
from ffrepro.layers import significant
from ffrepro.paths import CONF, from_root
from ffrepro.record import environment, peak_memory_bytes

_ROUNDS = 5
_WARM_UP, _WARM_UP_EPOCHS = 5_000, 4  # examples
_SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Case:
    """A row of a table, and what an epoch of it is.

    `widths` where bare products of its shapes are compared; `maps` of a recurrent net of so many maps of local fields,
    where the same products by dense matrices are, most of whose weights are masked.
    """

    name: str
    experiment: str
    examples: int
    widths: tuple[int, ...] | None = None
    maps: int | None = None


CASES = (
    Case("supervised, 784-1000-1000-1000, 50,000 images", "table1/ff_released_code", 50_000, (1000, 1000, 1000)),
    Case("supervised, 784-4×2000, 60,000 images", "table1/ff_supervised", 60_000, (2000, 2000, 2000, 2000)),
    Case("supervised and jittered, 784-4×2000, 60,000 images", "table1/ff_supervised_jittered", 60_000),
    Case("unsupervised, 784-4×2000, 60,000 images", "table1/ff_unsupervised", 60_000),
    Case("unsupervised, local receptive fields, 60,000 images", "table1/ff_unsupervised_local", 60_000),
    Case("recurrent, 784-2×2000-10, 60,000 images", "table1/ff_recurrent", 60_000),
    Case("backprop, 784-1000-1000-1000, 60,000 images", "table1/bp", 60_000),
    Case("recurrent, CIFAR-10, 2 maps of local fields, 50,000 images", "table2/ff_max_ssq_2", 50_000, maps=2),
    Case("recurrent, CIFAR-10, 3 maps of local fields, 50,000 images", "table2/ff_max_ssq_3", 50_000, maps=3),
    Case("backprop, CIFAR-10, 2 maps of local fields, 50,000 images", "table2/bp_2", 50_000),
    Case("next character, both phases at once, 300-3×2000, 22,320 windows", "table3/ff_simultaneous", 22_320),
    Case("next character, phases in turn, 300-3×2000, 22,320 windows", "table3/ff_separated", 22_320),
    Case("next character, backprop, 300-3×2000, 22,320 windows", "table3/bp", 22_320),
)
_DEEP = (50, 101)  # of nets without shortcuts, each with both optimizers
_STEPS = 50  # K-FAC observes curvature and inverts it every so often
_LARGEST = CASES[1]
_MEASURED = (_LARGEST.experiment, "table2/ff_max_ssq_3")  # of these the memory
_WRITING = "table3/ff_separated"


def main() -> int:
    """The command line of `scripts/benchmark.py`; returns its exit code."""
    parser = argparse.ArgumentParser(description="Time and memory of training on this machine.")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--precision", default="auto", help="auto, fp32 or bf16")
    parser.add_argument("--output", default="results/benchmark.json", help="JSON file, from the repository root")
    options = parser.parse_args()
    try:
        device = choose_device(options.device)
        precision = choose_precision(options.precision, device)
        result = {
            "environment": environment(device, precision),
            "speed": [speed(case, device, precision) for case in CASES],
            "roll_outs": roll_outs(device, precision),
            "deep_nets": [deep_net(depth, device, precision) for depth in _DEEP],
            "memory": [memory(case, device, precision) for case in CASES if case.experiment in _MEASURED],
            "precision": precisions(device),
        }
        with written_atomically(from_root(options.output)) as file:
            file.write((json.dumps(result, indent=1) + "\n").encode())
    except UserError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    _print(result)
    print(f"Written to {options.output}")
    return 0


def speed(case: Case, device: torch.device, precision: str) -> dict[str, Any]:
    """Seconds an epoch of a row, and of the bare products and updates with whole minibatches."""
    dataset = _dataset(case.experiment, device)
    # A whole epoch on a GPU, which needs its time to begin one; and of text, whose roll-outs are part of it.
    minibatches = case.examples // BATCH
    if device.type == "cpu" and dataset.alphabet is None:
        minibatches = 20 if case.maps is None else 3
    algorithm = _begun(case.experiment, device, precision, dataset.reduced(_WARM_UP, None))
    for _ in range(_WARM_UP_EPOCHS):
        algorithm.train_epoch(1)
    algorithm.train = dataset.train.first(minibatches * BATCH)
    bare: Callable[[], object] = lambda: None  # noqa: E731 - nothing is compared
    if case.widths:
        bare = layered(case.widths, device, PRECISIONS[precision], minibatches)
    elif case.maps:
        learned = _learned(lambda: algorithm.train_epoch(1))
        bare = masked(case.maps, learned, device, PRECISIONS[precision], minibatches)
    pairs = [(_seconds(lambda: algorithm.train_epoch(1), device), _seconds(bare, device)) for _ in range(_ROUNDS)]
    epoch = case.examples / BATCH / minibatches
    found: dict[str, Any] = {"case": case.name, "epoch_s": statistics.median(ours for ours, _ in pairs) * epoch}
    if case.widths or case.maps:
        found["compared_with"] = "bare products and updates" if case.widths else "dense masked matrices"
        found["bare_products_epoch_s"] = statistics.median(bare for _, bare in pairs) * epoch
        found["ratio_to_bare_products"] = statistics.median(ours / bare for ours, bare in pairs)
    return found


def roll_outs(device: torch.device, precision: str) -> dict[str, Any]:
    """Seconds in which a net writes on from the beginning of every training string, all at once."""
    algorithm = _begun(_WRITING, device, precision, _dataset(_WRITING, device))
    algorithm.dreams()
    seconds = statistics.median(_seconds(algorithm.dreams, device) for _ in range(3))
    strings = len(algorithm.train.strings.unique())
    return {"strings": strings, "characters": len(algorithm.train) // strings, "seconds": seconds}


def deep_net(depth: int, device: torch.device, precision: str) -> dict[str, Any]:
    """Images a second that a net of Table 4 learns from by SGD and by K-FAC, and how much longer K-FAC takes for one.

    And by SGD with torch's convolutions in the place of our products of matrices.
    """
    algorithms = []
    dataset = _dataset(f"table4/sgd_trelu_{depth}", device)
    for optimizer in ("sgd", "kfac", "sgd"):
        algorithm = _begun(f"table4/{optimizer}_trelu_{depth}", device, precision, dataset)
        algorithm.train = algorithm.train.first(_STEPS * algorithm.batch_size)
        algorithms.append(algorithm)
    for module in algorithms[-1].net.modules():
        if isinstance(module, Pointwise):
            module.__class__ = nn.Conv2d  # type: ignore[assignment]
    for algorithm in algorithms:
        algorithm.train_epoch(1)
    # Each has batches of its own size.
    rounds = [
        [_seconds(lambda: one.train_epoch(1), device) / len(one.train) for one in algorithms]  # noqa: B023
        for _ in range(_ROUNDS)
    ]
    sgd, kfac, convolved = (1 / statistics.median(seconds) for seconds in zip(*rounds, strict=True))
    return {
        "depth": depth,
        "sgd_images_per_s": sgd,
        "kfac_images_per_s": kfac,
        "kfac_over_sgd": statistics.median(kfac_s / sgd_s for sgd_s, kfac_s, _ in rounds),
        "convolved_images_per_s": convolved,
    }


def memory(case: Case, device: torch.device, precision: str) -> dict[str, Any]:
    """Peak memory of an epoch's beginning and an evaluation, the data set in it, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        before, peak = pool.apply(_peak, (case.experiment, str(device), precision))
    return {"case": case.name, "over_interpreter_with_torch_bytes": peak - before}


def precisions(device: torch.device) -> list[dict[str, Any]]:
    """Test errors of a small net on MNIST in both precisions, three seeds each; none where bf16 is emulated."""
    if not fast_bf16(device):
        return []
    dataset = _dataset(_LARGEST.experiment, device).reduced(10_000, None)
    rows = []
    for name in PRECISIONS:
        errors = []
        for seed in _SEEDS:
            small = ("architecture.widths=[256,256]", "schedule.epochs=5")
            algorithm = _begun(_LARGEST.experiment, device, name, dataset, *small, seed=seed)
            for epoch in range(1, 6):
                algorithm.train_epoch(epoch)
            errors.append(algorithm.evaluate(dataset.test)["error"])
        rows.append(
            {"precision": name, "test_errors": errors, "mean": statistics.mean(errors), "std": statistics.stdev(errors)}
        )
    return rows


def _dataset(experiment: str, device: torch.device) -> Dataset:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        source: Source = build(hydra.compose("config", [f"experiment={experiment}"]).dataset)
    return source.load(device)


def _begun(
    experiment: str, device: torch.device, precision: str, dataset: Dataset, *changed: str, seed: int = 0
) -> Any:
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


def _learned(work: Callable[[], object]) -> float:
    """The share of the data that hidden layers learn from while `work` is done."""
    seen, kept = [], []

    def counted(factors: Tensor) -> Tensor:
        found = significant(factors)
        seen.append(len(factors))
        kept.append(len(found))
        return found

    layers.significant = counted
    try:
        work()
    finally:
        layers.significant = significant
    return sum(kept) / sum(seen)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def _peak(experiment: str, device_name: str, precision: str) -> tuple[int, int]:
    """Bytes held before, and at most: on a GPU of its memory."""
    device = torch.device(device_name)

    before = peak_memory_bytes(device)
    dataset = _dataset(experiment, device)
    algorithm = _begun(experiment, device, precision, replace(dataset, train=dataset.train.first(1_000)))
    algorithm.train_epoch(1)
    algorithm.evaluate(dataset.test.first(1_000))
    return before, peak_memory_bytes(device)


def _print(result: dict[str, Any]) -> None:
    console = Console(highlight=False)
    environment = result["environment"]
    table = Table(title=f"{environment['device']}, {environment['threads']} threads, {environment['precision']}")
    for heading in ("batch 100", "an epoch", "compared with", "an epoch of it", "ratio"):
        table.add_column(heading)
    for row in result["speed"]:
        table.add_row(
            row["case"],
            f"{row['epoch_s']:.2f} s",
            row.get("compared_with", ""),
            f"{row['bare_products_epoch_s']:.2f} s" if "bare_products_epoch_s" in row else "",
            f"{row['ratio_to_bare_products']:.2f}" if "ratio_to_bare_products" in row else "",
        )
    console.print(table)
    written = result["roll_outs"]
    console.print(
        f"Roll-outs of {written['strings']} strings, {written['characters']} characters each: "
        f"{written['seconds']:.2f} s."
    )
    for net in result["deep_nets"]:
        console.print(
            f"Depth {net['depth']} without shortcuts: {net['sgd_images_per_s']:.0f} images a second by SGD, "
            f"{net['kfac_images_per_s']:.0f} by K-FAC, which takes {net['kfac_over_sgd']:.2f} times as long; "
            f"{net['convolved_images_per_s']:.0f} by SGD with torch's 1 × 1 convolutions."
        )
    for memory in result["memory"]:
        console.print(
            f"Peak memory of {memory['case']}: {memory['over_interpreter_with_torch_bytes'] / 1e9:.2f} GB "
            "over the interpreter with torch."
        )
    if not result["precision"]:
        console.print("bf16 is emulated on this processor: its errors were not compared with those of fp32.")
    for row in result["precision"]:
        console.print(
            f"{row['precision']}: 784-256-256, 10,000 images, 5 epochs: "
            f"{row['mean']:.2f} ± {row['std']:.2f} % test error "
            f"({len(row['test_errors'])} seeds)."
        )

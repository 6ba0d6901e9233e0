"""Rows of Tables 1 to 3: time of an epoch, time of roll-outs, memory, and errors in both precisions."""

import copy
import multiprocessing
import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.nn.functional import one_hot

from ffrepro.commands.benchmark.bare_products import BATCH, layered, masked
from ffrepro.commands.benchmark.cases import LARGEST, Case
from ffrepro.commands.benchmark.started import ROUNDS, begin_row, load_dataset, seconds
from ffrepro.dataset import Split
from ffrepro.device import PRECISIONS, choose_device, fast_bf16
from ffrepro.forward_forward.layers import significant
from ffrepro.forward_forward.negatives import hybrid_images
from ffrepro.runs.machine import peak_memory_bytes

_WARM_UP, _WARM_UP_EPOCHS = 5_000, 4  # examples
# The comparison of precisions: seeds, images, hidden layers and epochs.
_SEEDS, _COMPARED, _WIDTHS, _EPOCHS = (0, 1, 2), 20_000, (500, 500), 10
_WRITING = "table3/ff_separated"
_HYBRID, _BLURS = "table1/ff_unsupervised", 6


def epoch(case: Case, device: torch.device, precision: str) -> tuple[str, dict[str, Any]]:
    """Time of an epoch of a row, and of the bare products and updates in an epoch."""
    dataset = load_dataset(case.experiment, device)
    # A GPU needs long to start an epoch, and an epoch of text includes roll-outs: both are timed whole.
    minibatches = case.examples // BATCH
    if device.type == "cpu" and dataset.alphabet is None:
        minibatches = 20 if case.maps is None else 3
    algorithm = begin_row(case.experiment, device, precision, dataset.reduced(_WARM_UP, None))
    for _ in range(_WARM_UP_EPOCHS):
        algorithm.train_epoch(1)
    algorithm.train = dataset.train[: minibatches * BATCH]
    bare: Callable[[], object] = lambda: None  # noqa: E731 - no comparison
    if case.widths:
        bare = layered(case.widths, case.passes, device, PRECISIONS[precision], minibatches)
    elif case.maps:
        share = learned_share(algorithm, algorithm.train[: 3 * BATCH])
        bare = masked(case.maps, share, device, PRECISIONS[precision], minibatches)
    pairs = [(seconds(lambda: algorithm.train_epoch(1), device), seconds(bare, device)) for _ in range(ROUNDS)]
    factor = case.examples / BATCH / minibatches  # to a whole epoch
    values: dict[str, Any] = {"case": case.name, "epoch_s": statistics.median(row for row, _ in pairs) * factor}
    text = f"{case.name}: an epoch in {values['epoch_s']:.2f} s"
    if case.widths or case.maps:
        values["compared_with"] = "bare products and updates" if case.widths else "dense masked matrices"
        values["bare_products_epoch_s"] = statistics.median(products for _, products in pairs) * factor
        values["ratio_to_bare_products"] = statistics.median(row / products for row, products in pairs)
        text += f", {values['ratio_to_bare_products']:.2f} times that of {values['compared_with']}"
    return f"{text}.", values


def learned_share(algorithm: Any, split: Split) -> float:
    """The share of the data that the layers of a recurrent net learn from: the others are told apart already.

    Positive data have the right label, negative data a label drawn from the softmax without it. The share is an
    expectation over these draws.
    """
    goodness = algorithm.goodness_of_labels(split)  # (iterations, n_layers, N, n_classes)
    thresholds = torch.stack([layer.threshold for layer in algorithm.layers]).view(-1, 1, 1)
    right = one_hot(split.targets, goodness.shape[-1]).bool()
    lacking = torch.where(right, thresholds - goodness, goodness - thresholds)
    drawn = algorithm.logits(split).masked_fill(right, -torch.inf).softmax(1)
    shares = torch.where(right, 1.0, drawn).expand_as(goodness).flatten()
    kept = significant(torch.sigmoid(lacking).flatten())
    return 1.0 if kept is None else float(shares[kept].sum() / shares.sum())


def hybrids(device: torch.device, _: str) -> tuple[str, dict[str, Any]]:
    """Time to make the hybrid images of an epoch."""
    dataset = load_dataset(_HYBRID, device)
    images, generator = dataset.train.inputs[:BATCH], torch.Generator(device).manual_seed(0)
    n_minibatches = len(dataset.train) // BATCH

    def make_all() -> None:
        for _ in range(n_minibatches):
            hybrid_images(images, dataset.input_shape, _BLURS, generator)

    make_all()
    median = statistics.median(seconds(make_all, device) for _ in range(ROUNDS))
    text = f"Hybrid images, {_BLURS} blurs, {n_minibatches * BATCH:,} images: {median:.2f} s."
    return text, {"images": n_minibatches * BATCH, "blurs": _BLURS, "seconds": median}


def roll_outs(device: torch.device, precision: str) -> tuple[str, dict[str, Any]]:
    """Time to continue the beginnings of all training strings at once."""
    algorithm = begin_row(_WRITING, device, precision, load_dataset(_WRITING, device))
    algorithm.dreams()
    median = statistics.median(seconds(algorithm.dreams, device) for _ in range(3))
    strings = len(algorithm.train.strings.unique())
    characters = len(algorithm.train) // strings
    text = f"Roll-outs of {strings} strings, {characters} characters each: {median:.2f} s."
    return text, {"strings": strings, "characters": characters, "seconds": median}


def memory(case: Case, device: torch.device, precision: str) -> tuple[str, dict[str, Any]]:
    """Peak memory of two short epochs and an evaluation with the data set, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        before, peak = pool.apply(_peak, (case.experiment, str(device), precision))
    text = f"{case.name}: at most {(peak - before) / 1e9:.2f} GB of memory over the interpreter with torch."
    return text, {"case": case.name, "over_interpreter_with_torch_bytes": peak - before}


def precisions(device: torch.device, _: str) -> tuple[str, dict[str, Any]]:
    """Test errors of a small net on MNIST in both precisions, three seeds each; not measured if bf16 is emulated."""
    if not fast_bf16(device):
        return "bf16 is emulated on this processor: its errors were not compared with those of fp32.", {}
    dataset = load_dataset(LARGEST.experiment, device).reduced(_COMPARED, None)
    small = (f"architecture.widths={list(_WIDTHS)}", f"schedule.epochs={_EPOCHS}")
    test_errors: dict[str, list[float]] = {name: [] for name in PRECISIONS}
    for name, errors in test_errors.items():
        for seed in _SEEDS:
            algorithm = begin_row(LARGEST.experiment, device, name, dataset, *small, seed=seed)
            for number in range(1, _EPOCHS + 1):
                algorithm.train_epoch(number)
            errors.append(algorithm.evaluate(dataset.test)["error"])
    text = ", ".join(
        f"{name} {statistics.mean(errors):.2f} ± {statistics.stdev(errors):.2f}" for name, errors in test_errors.items()
    )
    net = "-".join(str(width) for width in (784, *_WIDTHS))
    return (
        f"Test error in %, {net}, {_COMPARED:,} images, {_EPOCHS} epochs, {len(_SEEDS)} seeds: {text}.",
        {"net": net, "images": _COMPARED, "epochs": _EPOCHS, "seeds": list(_SEEDS), "test_errors": test_errors},
    )


def _peak(experiment: str, device_name: str, precision: str) -> tuple[int, int]:
    """Bytes before, and at most: of the GPU's memory on a GPU, else of the machine's."""
    device = choose_device(device_name)
    before = peak_memory_bytes(device)
    dataset = load_dataset(experiment, device)
    algorithm = begin_row(experiment, device, precision, replace(dataset, train=dataset.train[:1_000]))
    for number in (1, 2):
        _state = copy.deepcopy(algorithm.state_dict())  # a run keeps such a copy while it trains an epoch
        algorithm.train_epoch(number)
    algorithm.evaluate(dataset.test[:1_000])
    return before, peak_memory_bytes(device)

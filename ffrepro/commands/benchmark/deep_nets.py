"""Training speed of the nets of Table 4, in images a second."""

import statistics
from functools import partial
from typing import Any

import torch
from torch import nn

from ffrepro.architecture.vanilla_resnet import Pointwise
from ffrepro.commands.benchmark.started import ROUNDS, begin_row, load_dataset, seconds

DEPTHS = (50, 101)  # without shortcuts
STEPS = 50  # a multiple of the steps between K-FAC's observations and inversions


def images_per_second(depth: int, device: torch.device, precision: str) -> tuple[str, dict[str, Any]]:
    """Speed of a TReLU net trained by SGD and by K-FAC, each with its own batch size.

    SGD is timed also with K-FAC's batch size, in fp32, and with torch's convolutions instead of matrix products.
    """
    dataset = load_dataset(f"table4/sgd_trelu_{depth}", device)

    def begin(optimizer: str, *overrides: str, precision: str = precision) -> Any:
        algorithm = begin_row(f"table4/{optimizer}_trelu_{depth}", device, precision, dataset, *overrides)
        algorithm.train = algorithm.train[: STEPS * algorithm.batch_size]
        return algorithm

    kfac = begin("kfac")
    algorithms = {
        "sgd": begin("sgd"),
        "kfac": kfac,
        "sgd_in_batches_of_kfac": begin("sgd", f"algorithm.batch_size={kfac.batch_size}"),
        "sgd_in_fp32": begin("sgd", precision="fp32"),
        "sgd_convolved": begin("sgd"),
    }
    use_convolutions(algorithms["sgd_convolved"].net)
    for algorithm in algorithms.values():
        algorithm.train_epoch(1)
    rounds = [
        {name: seconds(partial(each.train_epoch, 1), device) / len(each.train) for name, each in algorithms.items()}
        for _ in range(ROUNDS)
    ]
    speeds = {name: 1 / statistics.median(times[name] for times in rounds) for name in algorithms}
    ratios = {
        name: statistics.median(times["kfac"] / times[name] for times in rounds)
        for name in ("sgd", "sgd_in_batches_of_kfac")
    }
    text = (
        f"Depth {depth} without shortcuts, images a second: {speeds['sgd']:.0f} by SGD ({speeds['sgd_in_fp32']:.0f} in "
        f"fp32, {speeds['sgd_convolved']:.0f} with torch's 1 × 1 convolutions), {speeds['kfac']:.0f} by K-FAC, which "
        f"takes {ratios['sgd']:.2f} times as long an image, {ratios['sgd_in_batches_of_kfac']:.2f} times SGD in "
        "batches of K-FAC's size."
    )
    batch_sizes = {name: algorithm.batch_size for name, algorithm in algorithms.items()}
    return text, {"depth": depth, "images_per_s": speeds, "batch_size": batch_sizes, "kfac_takes_times": ratios}


def use_convolutions(net: nn.Module) -> None:
    """Replace the matrix products of `net` by torch's 1 × 1 convolutions with the same parameters, in place."""
    products = [(name, module) for name, module in net.named_modules() if isinstance(module, Pointwise)]
    for name, product in products:
        convolution = nn.Conv2d(product.in_channels, product.out_channels, 1)
        convolution.weight, convolution.bias = product.weight, product.bias
        net.set_submodule(name, convolution)

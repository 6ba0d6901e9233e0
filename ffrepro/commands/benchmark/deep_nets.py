"""Images a second that the nets of Table 4 learn from."""

import statistics
from typing import Any

import torch
from torch import nn

from ffrepro.architecture.vanilla_resnet import Pointwise
from ffrepro.commands.benchmark.started import ROUNDS, begun, loaded, seconds

DEPTHS = (50, 101)  # without shortcuts
_STEPS = 50  # K-FAC observes curvature and inverts it every so often


def images_per_second(depth: int, device: torch.device, precision: str) -> tuple[str, dict[str, Any]]:
    """Of a TReLU net by SGD and by K-FAC, in batches of each one's own size; and how much longer K-FAC takes.

    And by SGD in batches of K-FAC's size, in fp32, and with torch's convolutions in the place of our products of
    matrices.
    """
    dataset = loaded(f"table4/sgd_trelu_{depth}", device)

    def net(optimizer: str, *changed: str, precision: str = precision) -> Any:
        algorithm = begun(f"table4/{optimizer}_trelu_{depth}", device, precision, dataset, *changed)
        algorithm.train = algorithm.train.first(_STEPS * algorithm.batch_size)
        return algorithm

    kfac = net("kfac")
    nets = {
        "sgd": net("sgd"),
        "kfac": kfac,
        "sgd_in_batches_of_kfac": net("sgd", f"algorithm.batch_size={kfac.batch_size}"),
    }
    nets["sgd_in_fp32"] = net("sgd", precision="fp32")
    nets["sgd_convolved"] = net("sgd")
    for module in nets["sgd_convolved"].net.modules():
        if isinstance(module, Pointwise):
            module.__class__ = nn.Conv2d  # type: ignore[assignment]
    for algorithm in nets.values():
        algorithm.train_epoch(1)
    rounds = [
        {name: seconds(lambda: one.train_epoch(1), device) / len(one.train) for name, one in nets.items()}  # noqa: B023
        for _ in range(ROUNDS)
    ]
    speeds = {name: 1 / statistics.median(one[name] for one in rounds) for name in nets}
    longer = {
        name: statistics.median(one["kfac"] / one[name] for one in rounds) for name in ("sgd", "sgd_in_batches_of_kfac")
    }
    said = (
        f"Depth {depth} without shortcuts, images a second: {speeds['sgd']:.0f} by SGD ({speeds['sgd_in_fp32']:.0f} in "
        f"fp32, {speeds['sgd_convolved']:.0f} with torch's 1 × 1 convolutions), {speeds['kfac']:.0f} by K-FAC, which "
        f"takes {longer['sgd']:.2f} times as long an image, {longer['sgd_in_batches_of_kfac']:.2f} times SGD in "
        "batches of K-FAC's size."
    )
    batch_sizes = {name: one.batch_size for name, one in nets.items()}
    return said, {"depth": depth, "images_per_s": speeds, "batch_size": batch_sizes, "kfac_takes_times": longer}

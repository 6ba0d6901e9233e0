"""Images a second that the nets of Table 4 learn from."""

import statistics
from typing import Any

import torch
from torch import nn

from ffrepro.architecture.vanilla_resnet import Pointwise
from ffrepro.benchmark.started import ROUNDS, begun, loaded, seconds

DEPTHS = (50, 101)  # without shortcuts, each with both optimizers
_STEPS = 50  # K-FAC observes curvature and inverts it every so often


def deep_net(depth: int, device: torch.device, precision: str) -> dict[str, Any]:
    """Images a second that a net of Table 4 learns from by SGD and by K-FAC, and how much longer K-FAC takes for one.

    And by SGD with torch's convolutions in the place of our products of matrices.
    """
    algorithms = []
    dataset = loaded(f"table4/sgd_trelu_{depth}", device)
    for optimizer in ("sgd", "kfac", "sgd"):
        algorithm = begun(f"table4/{optimizer}_trelu_{depth}", device, precision, dataset)
        algorithm.train = algorithm.train.first(_STEPS * algorithm.batch_size)
        algorithms.append(algorithm)
    for module in algorithms[-1].net.modules():
        if isinstance(module, Pointwise):
            module.__class__ = nn.Conv2d  # type: ignore[assignment]
    for algorithm in algorithms:
        algorithm.train_epoch(1)
    # Each has batches of its own size.
    rounds = [
        [seconds(lambda: one.train_epoch(1), device) / len(one.train) for one in algorithms]  # noqa: B023
        for _ in range(ROUNDS)
    ]
    sgd, kfac, convolved = (1 / statistics.median(column) for column in zip(*rounds, strict=True))
    return {
        "depth": depth,
        "sgd_images_per_s": sgd,
        "kfac_images_per_s": kfac,
        "kfac_over_sgd": statistics.median(kfac_s / sgd_s for sgd_s, kfac_s, _ in rounds),
        "convolved_images_per_s": convolved,
    }

"""What is trained when: the factor on the learning rates by epoch, and the minibatches of an epoch."""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor


class Schedule(Protocol):
    """How long to train, and how fast at each epoch."""

    epochs: int

    def gain(self, epoch: int) -> float:
        """The factor on the learning rates in `epoch` (1 to `epochs`)."""
        ...


class HoldThenLinear:
    """1 up to epoch `epochs` / 2, then down to 1 / `epochs` in a line: the released code's schedule."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def gain(self, epoch: int) -> float:
        if 2 * epoch <= self.epochs:
            return 1.0
        return (1 + 2 * (self.epochs - epoch)) / self.epochs


def batches(n: int, batch_size: int, generator: torch.Generator | None, device: torch.device) -> Iterator[Tensor]:
    """The minibatches of one epoch, as indices (batch_size,) into `n` examples; a remainder is left out.

    Drawn by `generator` (on the CPU), or in the order of the data where it is None.
    """
    order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator)
    whole = order[: n - n % batch_size].to(device)
    return iter(whole.view(-1, batch_size))

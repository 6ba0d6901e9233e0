"""What is trained when: the factor on the learning rates by epoch, and the minibatches of an epoch."""

from typing import Protocol

import torch
from torch import Tensor

from ffrepro.errors import UserError


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


def batches(n: int, batch_size: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """The minibatches of one epoch, as indices (n_batches, batch_size) into `n` examples; a remainder is left out.

    Drawn by `generator` (on the CPU), or in the order of the data where it is None.

    Raises:
        UserError: there are fewer examples than one minibatch holds.
    """
    if not 1 <= batch_size <= n:
        raise UserError(f"algorithm.batch_size is {batch_size}: expected 1 to {n}, the number of training examples.")
    order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator)
    return order[: n - n % batch_size].view(-1, batch_size).to(device)

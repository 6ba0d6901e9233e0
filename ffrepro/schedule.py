"""What is trained when: the factor on the learning rates by epoch, and the minibatches of an epoch."""

import math
from typing import Protocol

import torch
from torch import Tensor

from ffrepro.errors import UserError


class Schedule(Protocol):
    """How long to train, and how fast at each epoch."""

    epochs: int

    def gain(self, point: float) -> float:
        """The factor on the learning rates at a point of the training, 0 to `epochs`."""
        ...

    def gain_of(self, epoch: int) -> float:
        """The factor throughout `epoch` (1 to `epochs`), where all its minibatches have the same."""
        ...


class HoldThenLinear:
    """1 up to epoch `epochs` / 2, then down to 1 / `epochs` in a line: the released code's schedule.

    With a `warm_up`, a share of the epochs, it begins by rising from 0 in a line.
    """

    def __init__(self, epochs: int, warm_up: float | None) -> None:
        if warm_up is not None and not 0 < warm_up <= 0.5:
            raise UserError(
                f"schedule.warm_up is {warm_up}: expected a share of the epochs, above 0 to 0.5, or null for none."
            )
        self.epochs = epochs
        self.warm_up = warm_up

    def gain(self, point: float) -> float:
        if self.warm_up is not None and point < self.warm_up * self.epochs:
            return point / (self.warm_up * self.epochs)
        if 2 * point <= self.epochs:
            return 1.0
        return (1 + 2 * (self.epochs - point)) / self.epochs

    def gain_of(self, epoch: int) -> float:
        return self.gain(epoch)  # as the released code counts


class WarmUpThenCosine:
    """From 0 to 1 in a line during the first `warm_up` of the training, then along half a cosine to 0 at `epochs`."""

    def __init__(self, epochs: int, warm_up: float) -> None:
        if not 0 <= warm_up < 1:
            raise UserError(f"schedule.warm_up is {warm_up}: expected a share of the epochs, 0 to less than 1.")
        self.epochs = epochs
        self.warm_up = warm_up

    def gain(self, point: float) -> float:
        done = point / self.epochs
        if done < self.warm_up:
            return done / self.warm_up
        return 0.5 + 0.5 * math.cos(math.pi * (done - self.warm_up) / (1 - self.warm_up))

    def gain_of(self, epoch: int) -> float:
        return self.gain(epoch - 0.5)  # at its end the last epoch would learn nothing


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

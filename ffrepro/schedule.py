"""The schedule of the learning rates, and the minibatches of an epoch."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ffrepro.errors import UserError


class Schedule(Protocol):
    """The number of epochs, and a factor on all learning rates."""

    epochs: int

    def lr_factor(self, epoch: int) -> float:
        """The factor in epoch 1 to `epochs`, for algorithms that change their learning rates once per epoch."""

    def lr_factor_at_step(self, epoch: int, step: int, n_steps: int) -> float:
        """The factor in step 1 to `n_steps` of an epoch."""


@dataclass
class HoldThenLinear:
    """1 until epoch `epochs` / 2, then a linear decay to 1 / `epochs`: the schedule of the released code."""

    epochs: int  # with a constant factor in each
    warm_up: float  # the share of the epochs with a linear warm-up from 0, 0 (none) to 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.warm_up <= 0.5:
            raise UserError(f"schedule.warm_up is {self.warm_up}: expected a share of the epochs, 0 (none) to 0.5.")

    def lr_factor(self, epoch: int) -> float:
        if epoch < self.warm_up * self.epochs:
            return epoch / (self.warm_up * self.epochs)
        if 2 * epoch <= self.epochs:
            return 1.0
        return (1 + 2 * (self.epochs - epoch)) / self.epochs

    def lr_factor_at_step(self, epoch: int, step: int, n_steps: int) -> float:
        return self.lr_factor(epoch)


@dataclass
class WarmUpThenCosine:
    """A linear warm-up from 0 to 1 over the share `warm_up` of the epochs, then half a cosine to 0 at the last step."""

    epochs: int
    warm_up: float

    def __post_init__(self) -> None:
        if not 0 <= self.warm_up < 1:
            raise UserError(f"schedule.warm_up is {self.warm_up}: expected a share of the epochs, 0 to less than 1.")

    def lr_factor(self, epoch: int) -> float:
        return self._after(epoch - 0.5)  # the middle; at the end of the last epoch the factor is 0

    def lr_factor_at_step(self, epoch: int, step: int, n_steps: int) -> float:
        return self._after(epoch - 1 + step / n_steps)

    def _after(self, epochs: float) -> float:
        done = epochs / self.epochs
        if done < self.warm_up:
            return done / self.warm_up
        return 0.5 + 0.5 * math.cos(math.pi * (done - self.warm_up) / (1 - self.warm_up))


def batches(n: int, batch_size: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """The minibatches of an epoch, as indices (n_batches, batch_size) of `n` examples. A remainder is left out.

    `generator`, on the CPU, draws the order; None keeps the order of the data. Raises UserError if there are too few
    examples for a minibatch.
    """
    if not 1 <= batch_size <= n:
        raise UserError(f"algorithm.batch_size is {batch_size}: expected 1 to {n}, the number of training examples.")
    order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator)
    return order[: n - n % batch_size].view(-1, batch_size).to(device)

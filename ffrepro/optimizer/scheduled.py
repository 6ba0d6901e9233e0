"""Optimizers from configs, with learning rates that a schedule multiplies."""

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from ffrepro.errors import UserError

OptimizerFactory = Callable[..., Any]


def make_optimizer(factory: OptimizerFactory, net: nn.Module) -> Any:
    """Make an optimizer of `net`.

    The factory gets the net if its first parameter is called `model`, as in K-FAC. Otherwise it gets the parameters.
    Raises UserError if the optimizer refuses its options.
    """
    try:
        first = next(iter(inspect.signature(factory).parameters))
        optimizer = factory(net if first == "model" else net.parameters())
        for group in optimizer.param_groups:
            float(group["lr"])
    except (TypeError, ValueError) as error:
        raise UserError(f"algorithm.optimizer is refused: {error}") from error
    return optimizer


class LearningRates:
    """The initial learning rates of an optimizer's parameter groups."""

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer  # loading a checkpoint replaces its groups
        self._rates = [group["lr"] for group in optimizer.param_groups]

    def multiply(self, lr_factor: float) -> None:
        """Set each learning rate to its initial value times `lr_factor`."""
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * lr_factor

"""Optimizers as configs give them, with learning rates for a schedule to multiply."""

from collections.abc import Callable
from typing import Any

from ffrepro.errors import UserError


def made_optimizer(make: Callable[[Any], Any], trained: Any) -> Any:
    """What `make`, an option of an algorithm, makes of parameters, or of a module where it wants one.

    Raises:
        UserError: it refuses its options.
    """
    try:
        optimizer = make(trained)
        for group in optimizer.param_groups:
            float(group["lr"])
    except (TypeError, ValueError) as error:
        raise UserError(f"algorithm.optimizer is refused: {error}") from error
    return optimizer


class LearningRates:
    """The learning rates of an optimizer's groups, as they are now; `multiply` sets them."""

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer  # not its groups: a checkpoint that is loaded brings others
        self._rates = [group["lr"] for group in optimizer.param_groups]

    def multiply(self, gain: float) -> None:
        """Set each to what it was at first times `gain`."""
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * gain

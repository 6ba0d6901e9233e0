"""The softmax on a Forward-Forward net's layers, which are data to it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ffrepro.optimizer.momentum import momentum_step


class Softmax:
    """A linear softmax on the normalised activities of some layers: it learns the label, they learn nothing from it.

    Args:
        widths: of the layers it reads.
        like: a tensor on its device and of its precision.
    """

    def __init__(
        self, widths: Sequence[int], n_classes: int, *, like: Tensor, momentum: float, weight_cost: float
    ) -> None:
        self.weights = [like.new_zeros(width, n_classes) for width in widths]
        self.velocities = [torch.zeros_like(weight) for weight in self.weights]
        self.momentum = momentum
        self.weight_cost = weight_cost

    def logits(self, read: Sequence[Tensor]) -> Tensor:
        """Normalised activities (B, width) of each layer -> what each adds to the logits, (n_layers, B, n_classes)."""
        return torch.stack([normalised @ weight for normalised, weight in zip(read, self.weights, strict=True)])

    def learn(self, read: Sequence[Tensor], surprise: Tensor, *, rate: float) -> None:
        """Climb the log-probability of the labels; `surprise` (B, n_classes) is the label less the probabilities."""
        share = (1 - self.momentum) / len(surprise)
        for weight, velocity, normalised in zip(self.weights, self.velocities, read, strict=True):
            velocity.mul_(self.momentum).addmm_(normalised.t(), surprise.to(normalised.dtype), alpha=share)
            momentum_step(weight, velocity, rate, self.weight_cost)

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.weights, "velocities": self.velocities}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("weights", "velocities"):
            for mine, saved in zip(getattr(self, name), state[name], strict=True):
                mine.copy_(saved)

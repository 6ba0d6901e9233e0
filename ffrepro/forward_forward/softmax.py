"""The softmax on a Forward-Forward net's layers, which are data to it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ffrepro.forward_forward.momentum import momentum_step


class _Linear:
    """Weights from layers of `widths` to as many `columns` of each, with their velocities; both begin at 0."""

    def __init__(
        self, widths: Sequence[int], columns: Sequence[int], *, like: Tensor, momentum: float, weight_cost: float
    ) -> None:
        self.weights = [like.new_zeros(shape) for shape in zip(widths, columns, strict=True)]
        self.velocities = [torch.zeros_like(weight) for weight in self.weights]
        self.momentum = momentum
        self.weight_cost = weight_cost

    def _climb(self, read: Sequence[Tensor], asked: Sequence[Tensor], rate: float) -> None:
        """From what each layer gives, (B, width), and what that is to add to its columns, (B, columns)."""
        share = (1 - self.momentum) / len(read[0])
        for weight, velocity, normalised, wanted in zip(self.weights, self.velocities, read, asked, strict=True):
            velocity.mul_(self.momentum).addmm_(normalised.t(), wanted.to(normalised.dtype), alpha=share)
            momentum_step(weight, velocity, rate, self.weight_cost)

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.weights, "velocities": self.velocities}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("weights", "velocities"):
            for mine, saved in zip(getattr(self, name), state[name], strict=True):
                mine.copy_(saved)


class Softmax(_Linear):
    """A linear softmax on the normalised activities of some layers: it learns the label, they learn nothing from it.

    Args:
        widths: of the layers it reads.
        like: a tensor on its device and of its precision.
    """

    def __init__(
        self, widths: Sequence[int], n_classes: int, *, like: Tensor, momentum: float, weight_cost: float
    ) -> None:
        super().__init__(widths, [n_classes] * len(widths), like=like, momentum=momentum, weight_cost=weight_cost)

    def logits(self, read: Sequence[Tensor]) -> Tensor:
        """Normalised activities (B, width) of each layer -> what each adds to the logits, (n_layers, B, n_classes)."""
        return torch.stack([normalised @ weight for normalised, weight in zip(read, self.weights, strict=True)])

    def learn(self, read: Sequence[Tensor], surprise: Tensor, *, rate: float) -> None:
        """Climb the log-probability of the labels; `surprise` (B, n_classes) is the label less the probabilities."""
        self._climb(read, [surprise] * len(read), rate)


class Softmaxes(_Linear):
    """A linear softmax on each of several readings of a net; what they have of one layer is one product.

    Args:
        readings: (first, last) layer that each reads, from 0.
        widths: of all layers.
        n_classes: of each softmax.
        like, momentum, weight_cost: see `Softmax`.
    """

    def __init__(
        self,
        readings: Sequence[tuple[int, int]],
        widths: Sequence[int],
        n_classes: int,
        *,
        like: Tensor,
        momentum: float,
        weight_cost: float,
    ) -> None:
        self.readings = list(readings)
        self.n_classes = n_classes
        readers = [
            [number for number, (first, last) in enumerate(readings) if first <= k <= last] for k in range(len(widths))
        ]
        # Of each layer which softmaxes read it; their columns follow each other in its weights.
        self._readers = [torch.tensor(numbers, dtype=torch.long, device=like.device) for numbers in readers]
        columns = [n_classes * len(numbers) for numbers in readers]
        super().__init__(widths, columns, like=like, momentum=momentum, weight_cost=weight_cost)

    def logits(self, read: Sequence[Tensor]) -> Tensor:
        """Normalised activities (B, width) of all layers -> the logits of each softmax, (n_readings, B, n_classes)."""
        logits = read[0].new_zeros(len(self.readings), len(read[0]), self.n_classes)
        for normalised, weight, readers in zip(read, self.weights, self._readers, strict=True):
            added = (normalised @ weight).view(len(normalised), len(readers), self.n_classes)
            logits.index_add_(0, readers, added.transpose(0, 1))
        return logits

    def learn(self, read: Sequence[Tensor], surprise: Tensor, *, rate: float) -> None:
        """See `Softmax.learn`; `surprise` is of each softmax, (n_readings, B, n_classes)."""
        by_layer = [surprise[readers].transpose(0, 1).flatten(1) for readers in self._readers]
        self._climb(read, by_layer, rate)

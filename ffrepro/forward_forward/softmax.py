"""The softmax on the layers of a Forward-Forward net. It treats activities as data: no gradient reaches the layers."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ffrepro.forward_forward.weights import momentum_step


class _Linear:
    """Weights from layers of `widths` to `n_outputs` each, with velocities. Both start at 0."""

    def __init__(
        self, widths: Sequence[int], n_outputs: Sequence[int], *, like: Tensor, momentum: float, weight_cost: float
    ) -> None:
        self.weights = [like.new_zeros(shape) for shape in zip(widths, n_outputs, strict=True)]
        self.velocities = [torch.zeros_like(weight) for weight in self.weights]
        self.momentum = momentum
        self.weight_cost = weight_cost

    def _ascend(self, inputs: Sequence[Tensor], deltas: Sequence[Tensor], lr: float) -> None:
        """Learn from the inputs (B, width) of each layer and the gradients with respect to its outputs (B, n)."""
        gradient_scale = (1 - self.momentum) / len(inputs[0])
        for weight, velocity, layer_inputs, delta in zip(self.weights, self.velocities, inputs, deltas, strict=True):
            velocity.mul_(self.momentum).addmm_(layer_inputs.t(), delta.to(layer_inputs.dtype), alpha=gradient_scale)
            momentum_step(weight, velocity, lr, self.weight_cost)

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.weights, "velocities": self.velocities}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("weights", "velocities"):
            for tensor, saved in zip(getattr(self, name), state[name], strict=True):
                tensor.copy_(saved)


class Softmax(_Linear):
    """A linear softmax on the normalized activities of several layers.

    `like` has the device and precision of the weights. For `momentum` and `weight_cost` see `LayerOptions`.
    """

    def __init__(
        self, widths: Sequence[int], n_classes: int, *, like: Tensor, momentum: float, weight_cost: float
    ) -> None:
        super().__init__(widths, [n_classes] * len(widths), like=like, momentum=momentum, weight_cost=weight_cost)

    def logits(self, inputs: Sequence[Tensor]) -> Tensor:
        """The part of each layer in the logits, (n_layers, B, n_classes), from normalized activities (B, width)."""
        return torch.stack([layer_inputs @ weight for layer_inputs, weight in zip(inputs, self.weights, strict=True)])

    def learn(self, inputs: Sequence[Tensor], residual: Tensor, *, lr: float) -> None:
        """Ascend the log-probability of the labels, given the normalized activities (B, width) of each layer.

        The `residual` (B, n_classes) is label minus probability.
        """
        self._ascend(inputs, [residual] * len(inputs), lr)


class Softmaxes(_Linear):
    """Several linear softmaxes, each on a span of layers. All of them share one matrix product with each layer.

    `spans` are the (first, last) layer of each softmax, from 0; `widths` are those of all layers. See also `Softmax`.
    """

    def __init__(
        self,
        spans: Sequence[tuple[int, int]],
        widths: Sequence[int],
        n_classes: int,
        *,
        like: Tensor,
        momentum: float,
        weight_cost: float,
    ) -> None:
        self.spans = list(spans)
        self.n_classes = n_classes
        numbers = [
            [number for number, (first, last) in enumerate(spans) if first <= layer <= last]
            for layer in range(len(widths))
        ]
        # The softmaxes on each layer, in the order of their columns in its weights.
        self._numbers = [torch.tensor(of_layer, dtype=torch.long, device=like.device) for of_layer in numbers]
        n_outputs = [n_classes * len(of_layer) for of_layer in numbers]
        super().__init__(widths, n_outputs, like=like, momentum=momentum, weight_cost=weight_cost)

    def logits(self, inputs: Sequence[Tensor]) -> Tensor:
        """The logits of each softmax, (n_spans, B, n_classes), from normalized activities (B, width) of all layers."""
        logits = inputs[0].new_zeros(len(self.spans), len(inputs[0]), self.n_classes)
        for layer_inputs, weight, numbers in zip(inputs, self.weights, self._numbers, strict=True):
            part = (layer_inputs @ weight).view(len(layer_inputs), len(numbers), self.n_classes)
            logits.index_add_(0, numbers, part.transpose(0, 1))
        return logits

    def learn(self, inputs: Sequence[Tensor], residual: Tensor, *, lr: float) -> None:
        """See `Softmax.learn`. The residual is (n_spans, B, n_classes)."""
        by_layer = [residual[numbers].transpose(0, 1).flatten(1) for numbers in self._numbers]
        self._ascend(inputs, by_layer, lr)

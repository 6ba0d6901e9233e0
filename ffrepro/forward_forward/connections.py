"""The connections of a layer: weights from one or more sources, and biases."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ffrepro.forward_forward.weights import Weights, momentum_step


class Connections:
    """Map the normalized activities (B, fan_in) of each source to activities (B, width).

    Sources are the weights from the layer below and, in recurrent nets, from the layer above.
    """

    def __init__(self, *sources: Weights) -> None:
        self.sources = sources
        self.bias = sources[0].weight.new_zeros(sources[0].width)
        self.bias_velocity = torch.zeros_like(self.bias)

    @property
    def width(self) -> int:
        """The number of units."""
        return len(self.bias)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """ReLU of the weighted sums, as a new tensor."""
        sums = self.bias
        for weights, source in zip(self.sources, inputs, strict=True):
            sums = weights.product(source, sums)
        return sums.relu_()

    def learn(
        self,
        inputs: Sequence[Tensor],
        deltas: Sequence[Tensor],
        bias_gradient: Tensor,
        *,
        batch_size: int,
        momentum: float,
        lr: float,
        weight_cost: float,
    ) -> None:
        """Ascend: v ← μ v + (1-μ) G / `batch_size`, then W ← W + `lr` (v - `weight_cost` W), with G = inputsᵀ · deltas.

        `inputs` (R, fan_in) and `deltas` (R, width), the gradients with respect to the activities, are of each source.
        R may differ between sources, and from the batch size, since a row may stand for many examples or for none.
        Biases, with `bias_gradient` (width,), have no weight cost.
        """
        gradient_scale = (1 - momentum) / batch_size
        for weights, source, delta in zip(self.sources, inputs, deltas, strict=True):
            weights.learn(
                source, delta, gradient_scale=gradient_scale, momentum=momentum, lr=lr, weight_cost=weight_cost
            )
        self.bias_velocity.mul_(momentum).add_(bias_gradient, alpha=gradient_scale)
        momentum_step(self.bias, self.bias_velocity, lr, 0.0)

    def state_dict(self) -> dict[str, Any]:
        sources = [weights.state_dict() for weights in self.sources]
        return {"sources": sources, "bias": self.bias, "bias_velocity": self.bias_velocity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for weights, saved in zip(self.sources, state["sources"], strict=True):
            weights.load_state_dict(saved)
        self.bias.copy_(state["bias"])
        self.bias_velocity.copy_(state["bias_velocity"])

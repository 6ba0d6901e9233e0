"""Everything that feeds a layer: weights from one source or more, and the biases of its units."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ffrepro.forward_forward.momentum import momentum_step
from ffrepro.forward_forward.weights import Weights


class Connections:
    """Normalised activities (B, fan_in) of each source -> activities (B, width).

    Args:
        sources: the weights from each of them: from below, and in some nets from above.
    """

    def __init__(self, *sources: Weights) -> None:
        self.sources = sources
        self.bias = sources[0].weight.new_zeros(sources[0].width)
        self.bias_velocity = torch.zeros_like(self.bias)

    @property
    def width(self) -> int:
        """How many units they feed."""
        return len(self.bias)

    def __call__(self, *given: Tensor) -> Tensor:
        """ReLU of the weighted sums: a new tensor."""
        drive = self.bias
        for weights, source in zip(self.sources, given, strict=True):
            drive = weights.product(source, drive)
        return drive.relu_()

    def learn(
        self,
        given: Sequence[Tensor],
        asked: Sequence[Tensor],
        bias_gradient: Tensor,
        *,
        batch_size: int,
        momentum: float,
        rate: float,
        weight_cost: float,
    ) -> None:
        """Climb: v ← μ v + (1-μ) G / `batch_size`, then W ← W + `rate` (v - `weight_cost` W), with G = givenᵀ · asked.

        Args:
            given: (R, fan_in) by each source; R may differ from one to the other.
            asked: (R, width) for each source, what each row asks of the activities.
            bias_gradient: (width,), for the bias, which has no weight cost.
            batch_size: what G is divided by; not R, since one row may stand for many examples or none.
            momentum: μ.
            rate: the learning rate.
            weight_cost: the decay, inside the learning rate.
        """
        share = (1 - momentum) / batch_size
        for weights, source, delta in zip(self.sources, given, asked, strict=True):
            weights.learn(source, delta, share=share, momentum=momentum, rate=rate, weight_cost=weight_cost)
        self.bias_velocity.mul_(momentum).add_(bias_gradient, alpha=share)
        momentum_step(self.bias, self.bias_velocity, rate, 0.0)

    def state_dict(self) -> dict[str, Any]:
        return {
            "sources": [weights.state_dict() for weights in self.sources],
            "bias": self.bias,
            "bias_velocity": self.bias_velocity,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for weights, saved in zip(self.sources, state["sources"], strict=True):
            weights.load_state_dict(saved)
        self.bias.copy_(state["bias"])
        self.bias_velocity.copy_(state["bias_velocity"])

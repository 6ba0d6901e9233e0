"""Hidden layers with an objective of their own.

No gradient passes from layer to layer: a layer treats its inputs as data. So matrix products suffice, and autograd is
not used.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ffrepro.errors import UserError
from ffrepro.forward_forward.connections import Connections
from ffrepro.forward_forward.goodness import Goodness
from ffrepro.forward_forward.gradient_rows import GradientRows, rows
from ffrepro.forward_forward.passes import Pass, normalize

# The running mean of each unit's activity, as in the released code: the initial value, and the decay per step.
_INITIAL_RUNNING_MEAN, _RUNNING_MEAN_DECAY = 0.5, 0.9


@dataclass(kw_only=True)
class LayerOptions:
    """The hyperparameters of hidden layers, in the units of the released code."""

    goodness: Goodness  # of all layers
    threshold: float  # θ; a layer's threshold is θ times the goodness of activities that are all 1
    learning_rate: float  # of the hidden layers; it multiplies half of the gradient of the goodness
    momentum: float  # μ of v ← μ v + (1-μ) gradient
    weight_cost: float  # the weight decay of the hidden layers, scaled by the learning rate
    peer_normalization: float  # λ, which pulls each unit's mean activity toward the mean of its layer


def significant(factors: Tensor) -> Tensor | None:
    """The indices of the examples whose `factors` (B,), from 0 to 1, exceed rounding error; None stands for all.

    After a few epochs the layer is so sure of nine examples in ten that their part of the gradient is below the
    rounding error of the sum. Dropping them makes a step several times cheaper. A GPU keeps all examples, since the
    shapes in a CUDA graph must not depend on the data.
    """
    if factors.is_cuda:
        return None
    kept = (factors > torch.finfo(factors.dtype).eps ** 2).nonzero().squeeze(1)
    return None if len(kept) == len(factors) else kept


class HiddenLayer:
    """A layer that learns to make p = σ(goodness - threshold) high for positive data and low for negative data."""

    def __init__(self, connections: Connections, options: LayerOptions) -> None:
        self.connections = connections
        self.options = options
        self.goodness = options.goodness
        scale = self.goodness.threshold_scale(connections.width)
        self.threshold = connections.bias.new_tensor(options.threshold * scale)
        self.running_mean = torch.full_like(connections.bias, _INITIAL_RUNNING_MEAN)

    def __call__(self, below: Tensor) -> Tensor:
        """The activities (B, width), given the normalized activities (B, fan_in) of the layer below."""
        return self.connections(below)

    def learn(
        self, positive: Sequence[Pass], negative: Sequence[Pass], *, lr_factor: float, threshold_lr: float = 0.0
    ) -> Tensor:
        """Raise the goodness of positive data above the threshold, and lower the goodness of negative data below it.

        A recurrent net has a pass for each iteration. One of `positive` and `negative` may be empty. The schedule's
        `lr_factor` multiplies the learning rate of the weights, but not that of the threshold, `threshold_lr`.

        Returns the loss before the update: -log p⁺ - log(1 - p⁻) in nats, averaged over the data.
        """
        gradient = GradientRows(positive=positive, negative=negative)
        bias_gradient = torch.zeros_like(self.running_mean)
        loss, threshold_gradient = torch.zeros_like(self.threshold), torch.zeros_like(self.threshold)
        for passes, sign in ((positive, 1), (negative, -1)):
            if not passes:
                continue
            shortfall = sign * (self.threshold - torch.cat([self.goodness(data.activities) for data in passes]))
            p_wrong = torch.sigmoid(shortfall)  # 1 - p⁺, or p⁻
            loss = loss + softplus(shortfall).mean()
            threshold_gradient -= sign * p_wrong.mean()
            p_wrong_by_pass = torch.split(p_wrong, [len(data.activities) for data in passes])
            for data, p in zip(passes, p_wrong_by_pass, strict=True):
                kept = significant(p)
                activities, factors = rows(data.activities, kept), sign * rows(p, kept).unsqueeze(1)
                delta = self.goodness.half_gradient(activities, factors, out=gradient.next_rows(len(activities)))
                gradient.add_pass(data.inputs, kept, delta)
                bias_gradient += delta.sum(0)
        if positive:
            self._add_peer_normalization(positive, gradient, bias_gradient)
        self.connections.learn(
            gradient.inputs(),
            gradient.deltas(),
            bias_gradient,
            batch_size=_size(positive or negative),
            momentum=self.options.momentum,
            lr=lr_factor * self.options.learning_rate,
            weight_cost=self.options.weight_cost,
        )
        if threshold_lr:
            self.threshold.add_(threshold_gradient, alpha=threshold_lr)
        return loss

    def _add_peer_normalization(self, positive: Sequence[Pass], gradient: GradientRows, bias_gradient: Tensor) -> None:
        """Add the pull toward the layer's mean activity to `gradient` and to `bias_gradient` (width,), in place.

        The pull acts on every unit, even where its activity is 0, and so revives dead units. It is the same for all
        positive examples: a single row with the sum of their inputs stands for all of them.
        """
        n_positive = _size(positive)
        mean = torch.stack([data.activities.sum(0) for data in positive]).sum(0) / n_positive
        self.running_mean.mul_(_RUNNING_MEAN_DECAY).add_(mean, alpha=1 - _RUNNING_MEAN_DECAY)
        pull = self.options.peer_normalization * (self.running_mean.mean() - self.running_mean)
        sums = [
            torch.stack([source.sum(0) for source in by_pass]).sum(0, keepdim=True)
            for by_pass in zip(*(data.inputs for data in positive), strict=True)
        ]
        gradient.add_pass(tuple(sums), None, gradient.next_rows(1).copy_(pull))
        bias_gradient.add_(pull, alpha=n_positive)

    def state_dict(self) -> dict[str, Any]:
        of_connections = self.connections.state_dict()
        return {"connections": of_connections, "running_mean": self.running_mean, "threshold": self.threshold}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.connections.load_state_dict(state["connections"])
        self.running_mean.copy_(state["running_mean"])
        self.threshold.copy_(state["threshold"])


def _size(passes: Sequence[Pass]) -> int:
    return sum(len(data.activities) for data in passes)


def hidden_layers(connections: Sequence[Connections], options: LayerOptions) -> list[HiddenLayer]:
    """A hidden layer for each of the `connections`. Raises UserError if the momentum is out of range."""
    if not 0 <= options.momentum < 1:
        raise UserError(f"algorithm.momentum is {options.momentum}: expected 0 to less than 1.")
    # Their own copy: with the algorithm itself, a finished run's net and data would wait for the garbage collector.
    copied = LayerOptions(**{field.name: getattr(options, field.name) for field in fields(LayerOptions)})
    return [HiddenLayer(of_layer, copied) for of_layer in connections]


def forward(layers: Sequence[HiddenLayer], images: Tensor) -> tuple[list[Pass], list[Tensor]]:
    """The pass of `images` (B, n_pixels) through each layer, and the normalized activities (B, width) of each layer."""
    passes, outputs, below = [], [], normalize(images)
    for layer in layers:
        passes.append(Pass(layer(below), (below,)))
        below = normalize(passes[-1].activities)
        outputs.append(below)
    return passes, outputs


def first_that_counts(layers: Sequence[HiddenLayer], first_layer_counts: bool) -> int:
    """The index of the first layer that the tests and the softmax use. Raises UserError if no layer is left."""
    if len(layers) == 1 and not first_layer_counts:
        raise UserError(
            "a net of one hidden layer needs algorithm.first_layer_counts=true: there is no other layer to use."
        )
    return 0 if first_layer_counts else 1


def over_threshold(layers: Sequence[HiddenLayer], goodness: Tensor) -> Tensor:
    """`goodness` (n_layers, …) divided by the absolute value of each layer's threshold."""
    sizes = torch.stack([layer.threshold for layer in layers]).abs().clamp_min(torch.finfo(goodness.dtype).tiny)
    return goodness / sizes.view(-1, *[1] * (goodness.dim() - 1))

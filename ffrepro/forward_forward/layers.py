"""The pieces every Forward-Forward net is made of: length normalisation, and layers that learn by themselves.

No gradient of one layer reaches another: a layer sees its input as data. That is why plain matrix products
are enough here, and autograd is not used.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn.functional import softplus

from ffrepro.errors import UserError
from ffrepro.forward_forward.connections import Connections
from ffrepro.forward_forward.goodness import Goodness

_TINY = 1e-10
# Matrices of examples have a multiple of this many rows, some of them zeros: products of bf16 are faster then, and few
# different shapes occur.
_ROWS_STEP = 32
# Of every unit's mean activity, as in the released code: the first, and what is kept of it at a step.
_FIRST_RUNNING_MEAN, _RUNNING_MEAN_KEPT = 0.5, 0.9


def normalize(activities: Tensor) -> Tensor:
    """Divide each row of (..., n) by its root mean square: all that is left for the next layer is the direction.

    The released code's form: `a / (tiny + sqrt(mean(a²)))`, on the image as on the hidden layers.
    """
    length: Tensor = vector_norm(activities, dim=-1, keepdim=True)
    return activities / (_TINY + length / math.sqrt(activities.shape[-1]))


def significant(factors: Tensor) -> Tensor | None:
    """The indices of the examples whose `factors` (B,), between 0 and 1, are not lost in rounding; None stands for
    all, and always does on a GPU.

    After the first epochs nine examples of ten are already told apart with a probability so near to 1 that
    their part of the gradient is smaller than a rounding error of the sum; leaving them out makes the step
    several times cheaper. On a GPU the size of a step must not depend on its data.
    """
    if factors.is_cuda:
        return None
    kept = (factors > torch.finfo(factors.dtype).eps ** 2).nonzero().squeeze(1)
    return None if len(kept) == len(factors) else kept


class Pass(NamedTuple):
    """A layer on some data.

    Args:
        activities: (B, width).
        given: by each of its sources, (B, n). The very same tensor in several passes is multiplied once for all.
    """

    activities: Tensor
    given: tuple[Tensor, ...]


class HiddenLayer:
    """A layer with an objective of its own: p = σ(goodness - threshold) near 1 for positive data, near 0 for negative.

    Args:
        connections: what feeds it.
        goodness: of its activities.
        threshold: θ; the threshold is θ times the goodness of activities that are all 1.
        momentum: see `Connections.learn`.
        weight_cost: see `Connections.learn`.
        peer_normalization: λ, the pull of each unit's mean activity to the mean of the layer.
    """

    def __init__(
        self,
        connections: Connections,
        goodness: Goodness,
        *,
        threshold: float,
        momentum: float,
        weight_cost: float,
        peer_normalization: float,
    ) -> None:
        self.connections = connections
        self.goodness = goodness
        self.momentum = momentum
        self.weight_cost = weight_cost
        self.peer_normalization = peer_normalization
        self.threshold = connections.bias.new_tensor(threshold * goodness.threshold_scale(connections.width))
        self.running_mean = torch.full_like(connections.bias, _FIRST_RUNNING_MEAN)

    def __call__(self, below: Tensor) -> Tensor:
        """Normalised activities of the layer below, the only source, (B, fan_in) -> activities (B, width)."""
        return self.connections(below)

    def learn(
        self, positive: Sequence[Pass], negative: Sequence[Pass], *, rate: float, threshold_rate: float = 0.0
    ) -> Tensor:
        """Raise the goodness of positive data above the threshold, lower that of negative data below it.

        Args:
            positive: passes of the layer on positive data, in a recurrent net one an iteration; none where the update
                is of negative data alone.
            negative: the other way round.
            rate: the learning rate, on half of the goodness's derivative, averaged over the data: as many positive as
                negative, where there are both.
            threshold_rate: of the threshold, which then follows the data; 0 keeps it.

        Returns:
            The loss before the update, -log p⁺ - log(1 - p⁻) in nats, averaged over the data.
        """
        factors = _Factors([*positive, *negative])
        bias_gradient = torch.zeros_like(self.running_mean)
        loss, surplus = torch.zeros_like(self.threshold), torch.zeros_like(self.threshold)
        for passes, sign in ((positive, 1), (negative, -1)):
            if not passes:
                continue
            lacking = sign * (self.threshold - torch.cat([self.goodness(seen.activities) for seen in passes]))
            taken_for_other = torch.sigmoid(lacking)  # 1 - p⁺, or p⁻
            loss = loss + softplus(lacking).mean()
            surplus -= sign * taken_for_other.mean()
            parts = torch.split(taken_for_other, [len(seen.activities) for seen in passes])
            for seen, part in zip(passes, parts, strict=True):
                kept = significant(part)
                activities, share = _rows(seen.activities, kept), sign * _rows(part, kept).unsqueeze(1)
                delta = self.goodness.half_gradient(activities, share, out=factors.next_rows(len(activities)))
                factors.add_pass(seen, kept, delta)
                bias_gradient += delta.sum(0)
        if positive:
            # Peer normalization: it acts on every unit, also where its activity is 0, and so revives dead ones. It is
            # the same for every positive image: one row with the sum of their inputs stands for all.
            n_positive = _size(positive)
            mean = torch.stack([seen.activities.sum(0) for seen in positive]).sum(0) / n_positive
            self.running_mean.mul_(_RUNNING_MEAN_KEPT).add_(mean, alpha=1 - _RUNNING_MEAN_KEPT)
            peer = self.peer_normalization * (self.running_mean.mean() - self.running_mean)
            inputs = [
                torch.stack([source.sum(0) for source in given]).sum(0, keepdim=True)
                for given in zip(*(seen.given for seen in positive), strict=True)
            ]
            factors.add_pass(Pass(peer.unsqueeze(0), tuple(inputs)), None, factors.next_rows(1).copy_(peer))
            bias_gradient.add_(peer, alpha=n_positive)
        self.connections.learn(
            factors.given(),
            factors.asked(),
            bias_gradient,
            batch_size=_size(positive or negative),
            momentum=self.momentum,
            rate=rate,
            weight_cost=self.weight_cost,
        )
        if threshold_rate:
            self.threshold.add_(surplus, alpha=threshold_rate)
        return loss

    def state_dict(self) -> dict[str, Any]:
        return {
            "connections": self.connections.state_dict(),
            "running_mean": self.running_mean,
            "threshold": self.threshold,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.connections.load_state_dict(state["connections"])
        self.running_mean.copy_(state["running_mean"])
        self.threshold.copy_(state["threshold"])


def _size(passes: Sequence[Pass]) -> int:
    return sum(len(seen.activities) for seen in passes)


def _rows(of: Tensor, kept: Tensor | None) -> Tensor:
    return of if kept is None else of.index_select(0, kept)


class _Factors:
    """The factors of a layer's gradient: of each source the rows that it gave, and what each asks of the activities.

    Of a source that gives the very same tensor in several of the `passes`, each tensor stands there once, with the sum
    of what it asks.
    """

    def __init__(self, passes: Sequence[Pass]) -> None:
        of_sources = zip(*(seen.given for seen in passes), strict=True)
        self._repeats = [len(set(map(id, given))) < len(passes) for given in of_sources]
        self._given: list[list[Tensor]] = [[] for _ in self._repeats]
        self._sums: list[dict[int, Tensor]] = [{} for _ in self._repeats]
        # Of the passes, and a row for peer normalization.
        like = passes[0].activities
        self._deltas = like.new_empty(_padded(_size(passes) + 1), like.shape[1])
        self._n_deltas = 0

    def next_rows(self, n: int) -> Tensor:
        """Room (n, width) for what the rows of the next pass ask."""
        self._n_deltas += n
        return self._deltas[self._n_deltas - n : self._n_deltas]

    def add_pass(self, seen: Pass, kept: Tensor | None, delta: Tensor) -> None:
        """Of a pass the rows that are `kept`, None for all, each of which asks for its row of `delta`.

        `delta` must be what `next_rows` last returned: sources that do not repeat find it there.
        """
        for source, repeats, given, sums in zip(seen.given, self._repeats, self._given, self._sums, strict=True):
            if not repeats:
                given.append(_rows(source, kept))
                continue
            if id(source) not in sums:
                sums[id(source)] = torch.zeros_like(seen.activities)
                given.append(source)
            if kept is None:
                sums[id(source)] += delta
            else:
                sums[id(source)].index_add_(0, kept, delta)

    def given(self) -> list[Tensor]:
        """By each source, (R, fan_in)."""
        return [_joined(given) for given in self._given]

    def asked(self) -> list[Tensor]:
        """Of the activities by each row of each source, (R, width)."""
        end = _padded(self._n_deltas)
        self._deltas[self._n_deltas : end] = 0
        return [
            _joined([*sums.values()]) if repeats else self._deltas[:end]
            for repeats, sums in zip(self._repeats, self._sums, strict=True)
        ]


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """The rows of all `parts`, and rows of zeros up to a multiple of `_ROWS_STEP`."""
    n = sum(map(len, parts))
    return torch.cat([*parts, parts[0].new_zeros(_padded(n) - n, parts[0].shape[1])])


def _padded(n: int) -> int:
    return n + -n % _ROWS_STEP


def hidden_layers(
    built: Sequence[Connections],
    goodness: Goodness,
    *,
    threshold: float,
    momentum: float,
    weight_cost: float,
    peer_normalization: float,
) -> list[HiddenLayer]:
    """A layer on each of the connections that an architecture has `built`; the arguments are `HiddenLayer`'s.

    Raises:
        UserError: with such a momentum nothing would learn.
    """
    if not 0 <= momentum < 1:
        raise UserError(f"algorithm.momentum is {momentum}: expected 0 to less than 1.")
    return [
        HiddenLayer(
            connections,
            goodness,
            threshold=threshold,
            momentum=momentum,
            weight_cost=weight_cost,
            peer_normalization=peer_normalization,
        )
        for connections in built
    ]


def forward(layers: Sequence[HiddenLayer], images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """One pass: activities of each layer, and what each was given, the normalised activities below it.

    The second list is one longer: its last entry is what a further layer would be given.
    """
    below = normalize(images)
    given, activities = [below], []
    for layer in layers:
        activities.append(layer(below))
        below = normalize(activities[-1])
        given.append(below)
    return activities, given


def in_thresholds(layers: Sequence[HiddenLayer], goodness: Tensor) -> Tensor:
    """`goodness` (n_layers, …) in multiples of the size of each layer's threshold."""
    sizes = torch.stack([layer.threshold for layer in layers]).abs().clamp_min(torch.finfo(goodness.dtype).tiny)
    return goodness / sizes.view(-1, *[1] * (goodness.dim() - 1))

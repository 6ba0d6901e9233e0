"""`ff_supervised` against the formulas in NumPy, against autograd, and against slips of other implementations."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import logsigmoid, one_hot

from ffrepro.algorithm import Setting
from ffrepro.algorithm.ff_supervised import FFSupervised
from ffrepro.architecture.mlp import Mlp
from ffrepro.dataset import Dataset, Split
from ffrepro.goodness import (
    Goodness,
    MeanOfSquares,
    MinusSumOfActivities,
    MinusSumOfSquares,
    SumOfActivities,
    SumOfSquares,
)
from ffrepro.negatives import embed_label
from ffrepro.schedule import HoldThenLinear

HYPERPARAMETERS: dict[str, Any] = {
    "batch_size": 20,
    "reshuffle": True,
    "learning_rate": 0.01,
    "momentum": 0.9,
    "weight_cost": 0.001,
    "head_learning_rate": 0.1,
    "head_weight_cost": 0.003,
    "peer_normalization": 0.03,
    "threshold": 1.0,
    "threshold_learning_rate": 0.0,
    "negative_labels": "sampled",
    "first_layer_counts": False,
}


def make(
    goodness: Goodness | None = None, widths: tuple[int, ...] = (30, 25, 20), n: int = 200, **changed: Any
) -> FFSupervised:
    """A small float64 net on made images that have a class each."""
    generator = torch.Generator().manual_seed(3)
    targets = torch.randint(10, (n,), generator=generator)
    prototypes = torch.rand(10, 40, generator=generator, dtype=torch.float64)
    images = (prototypes[targets] + 0.3 * torch.rand(n, 40, generator=generator, dtype=torch.float64)) / 1.3
    split = Split(images, targets)
    algorithm = FFSupervised(**{**HYPERPARAMETERS, **changed})
    algorithm.begin(
        Setting(
            dataset=Dataset("made", split, None, split, 10, (5, 8), "", stand_in=True),
            architecture=Mlp(widths, 1.0),
            goodness=goodness or SumOfSquares(),
            schedule=HoldThenLinear(10),
            seed=0,
            device=torch.device("cpu"),
            products=torch.float64,
            state=torch.float64,
        )
    )
    return algorithm


class InNumpy:
    """The released code's minibatch, written from its formulas alone."""

    def __init__(self, weights: list[np.ndarray]) -> None:
        self.W = [w.copy() for w in weights]
        self.b = [np.zeros(w.shape[1]) for w in weights]
        self.m = [np.full(w.shape[1], 0.5) for w in weights]
        self.vW = [np.zeros_like(w) for w in weights]
        self.vb = [np.zeros_like(b) for b in self.b]
        self.U = [np.zeros((w.shape[1], 10)) for w in weights[1:]]
        self.u = [np.zeros_like(U) for U in self.U]

    @staticmethod
    def n(a: np.ndarray) -> np.ndarray:
        return a / (1e-10 + np.sqrt((a**2).mean(1, keepdims=True)))

    def forward(self, x: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        below, ys = [self.n(x)], []
        for W, b in zip(self.W, self.b, strict=True):
            ys.append(np.maximum(0, below[-1] @ W + b))
            below.append(self.n(ys[-1]))
        return ys, below

    def logits(self, x: np.ndarray) -> np.ndarray:
        x = x.copy()
        x[:, :10] = 0.1
        _, below = self.forward(x)
        return np.sum([h @ U for h, U in zip(below[2:], self.U, strict=True)], axis=0)

    def minibatch(self, x: np.ndarray, t: np.ndarray, wrong: np.ndarray, gain: float) -> None:
        B, one = len(x), np.eye(10)
        right, neutral, other = x.copy(), x.copy(), x.copy()
        right[:, :10], neutral[:, :10], other[:, :10] = one[t], 0.1, one[wrong]
        logits = self.logits(x)
        q = np.exp(logits - logits.max(1, keepdims=True))
        q /= q.sum(1, keepdims=True)
        yp, hp = self.forward(right)
        _, h0 = self.forward(neutral)
        yn, hn = self.forward(other)
        for k in range(len(self.U)):
            self.u[k] = 0.9 * self.u[k] + 0.1 * h0[k + 2].T @ (one[t] - q) / B
            self.U[k] = self.U[k] + gain * 0.1 * (self.u[k] - 0.003 * self.U[k])
        for k in range(len(self.W)):
            width = self.W[k].shape[1]
            pp = 1 / (1 + np.exp(-((yp[k] ** 2).sum(1) - width)))
            pn = 1 / (1 + np.exp(-((yn[k] ** 2).sum(1) - width)))
            self.m[k] = 0.9 * self.m[k] + 0.1 * yp[k].mean(0)
            dp = (1 - pp)[:, None] * yp[k] + 0.03 * (self.m[k].mean() - self.m[k])
            dn = -pn[:, None] * yn[k]
            self.vW[k] = 0.9 * self.vW[k] + 0.1 * (hp[k].T @ dp + hn[k].T @ dn) / B
            self.vb[k] = 0.9 * self.vb[k] + 0.1 * (dp.sum(0) + dn.sum(0)) / B
            self.W[k] = self.W[k] + gain * 0.01 * (self.vW[k] - 0.001 * self.W[k])
            self.b[k] = self.b[k] + gain * 0.01 * self.vb[k]


def test_minibatches_follow_the_released_code(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = make()
    reference = InNumpy([layer.weight.numpy() for layer in algorithm.layers])
    draws = np.random.default_rng(0)
    for step in range(5):
        part = slice(20 * step, 20 * step + 20)
        images, targets = algorithm.train.inputs[part], algorithm.train.targets[part]
        wrong = (targets.numpy() + draws.integers(1, 10, 20)) % 10
        monkeypatch.setattr(
            "ffrepro.algorithm.ff_supervised.sample_wrong_label",
            lambda logits, targets, generator, wrong=wrong: torch.from_numpy(wrong),
        )
        algorithm.minibatch(images, targets, gain=0.7)
        reference.minibatch(images.numpy(), targets.numpy(), wrong, gain=0.7)
    for k, layer in enumerate(algorithm.layers):
        np.testing.assert_allclose(layer.weight, reference.W[k], rtol=0, atol=1e-10)
        np.testing.assert_allclose(layer.bias, reference.b[k], rtol=0, atol=1e-10)
        np.testing.assert_allclose(algorithm.running_means[k], reference.m[k], rtol=0, atol=1e-10)
    for k in range(2):
        np.testing.assert_allclose(algorithm.heads[k], reference.U[k], rtol=0, atol=1e-10)
    assert np.abs(reference.U[0]).max() > 1e-3  # the comparison is of something


def test_wrong_labels_are_drawn_from_the_softmax_of_the_old_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = make()
    algorithm.train_epoch(1)
    images, targets = algorithm.train.inputs[:20], algorithm.train.targets[:20]
    reference = InNumpy([layer.weight.numpy() for layer in algorithm.layers])
    reference.b = [layer.bias.numpy().copy() for layer in algorithm.layers]
    reference.U = [head.numpy().copy() for head in algorithm.heads]
    seen = []

    def spy(logits: torch.Tensor, targets: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        seen.append(logits.clone())
        return (targets + 1) % 10

    monkeypatch.setattr("ffrepro.algorithm.ff_supervised.sample_wrong_label", spy)
    algorithm.minibatch(images, targets, gain=1.0)
    np.testing.assert_allclose(seen[0], reference.logits(images.numpy()), atol=1e-10)


@pytest.mark.parametrize(
    "goodness",
    [SumOfSquares(), MinusSumOfSquares(), MeanOfSquares(), SumOfActivities(), MinusSumOfActivities()],
    ids=lambda goodness: type(goodness).__name__,
)
def test_the_closed_form_is_half_of_what_autograd_finds(goodness: Goodness, monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = make(goodness, peer_normalization=0.0, momentum=0.0, weight_cost=0.0, learning_rate=1.0)
    images, targets = algorithm.train.inputs[:20], algorithm.train.targets[:20]
    wrong = (targets + 3) % 10
    monkeypatch.setattr("ffrepro.algorithm.ff_supervised.sample_wrong_label", lambda *_: wrong)

    weights = [layer.weight.clone().requires_grad_() for layer in algorithm.layers]
    objective = torch.zeros((), dtype=torch.float64)
    for label, sign in ((targets, 1.0), (wrong, -1.0)):
        below = embed_label(images, one_hot(label, 10))
        for weight in weights:
            below = below / (1e-10 + below.square().mean(1, keepdim=True).sqrt())
            activities = torch.relu(below.detach() @ weight)
            threshold = goodness.threshold_scale(weight.shape[1])
            objective = objective + logsigmoid(sign * (goodness(activities) - threshold)).mean()
            below = activities
    objective.backward()  # type: ignore[no-untyped-call]

    before = [layer.weight.clone() for layer in algorithm.layers]
    algorithm.minibatch(images, targets, gain=1.0)
    for layer, old, weight in zip(algorithm.layers, before, weights, strict=True):
        assert weight.grad is not None
        torch.testing.assert_close(layer.weight - old, 0.5 * weight.grad, rtol=0, atol=1e-10)
        assert weight.grad.abs().max() > 1e-6

"""`ff_recurrent` against its formulas in NumPy, against autograd, and against loops over images and labels."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, one_hot

from ffrepro.algorithm.ff_recurrent import FFRecurrent
from ffrepro.architecture import LayerArchitecture
from ffrepro.architecture.local_receptive_fields import LocalReceptiveFields
from ffrepro.architecture.mlp import Mlp
from ffrepro.dataset import Split
from ffrepro.errors import UserError
from ffrepro.forward_forward.connections import Connections
from ffrepro.forward_forward.goodness import (
    Goodness,
    MeanOfSquares,
    MinusSumOfActivities,
    MinusSumOfSquares,
    SumOfSquares,
)
from ffrepro.forward_forward.local_fields import LocalFields
from ffrepro.forward_forward.passes import normalize
from ffrepro.forward_forward.recurrent import Iteration
from tests.algorithm.made import cpu_setting, made_images
from tests.forward_forward.test_weights import as_dense, mask_of

HYPERPARAMETERS: dict[str, Any] = {
    "goodness": SumOfSquares(),
    "batch_size": 20,
    "reshuffle": True,
    "iterations": 4,
    "damping": 0.3,
    "first_tested": 2,
    "last_tested": 3,
    "learning_rate": 0.01,
    "momentum": 0.9,
    "weight_cost": 0.001,
    "peer_normalization": 0.03,
    "threshold": 1.0,
    "head_learning_rate": 0.1,
    "head_weight_cost": 0.003,
}
DENSE = Mlp((30, 25, 20), 2.0)
# On color images, in 1, 2 and 1 tiles.
LOCAL = LocalReceptiveFields([(8, 1, 3, 3), (8, 1, 3, 7), (8, 1, 3, 3)], 2.0, 1)
ARCHITECTURES = pytest.mark.parametrize("architecture", [DENSE, LOCAL], ids=["mlp", "local_receptive_fields"])


def make(
    goodness: Goodness | None = None,
    widths: tuple[int, ...] = (30, 25, 20),
    n: int = 200,
    architecture: LayerArchitecture | None = None,
    **changed: Any,
) -> FFRecurrent:
    """A small net on made-up images, in float64. Its goodness starts near the threshold."""
    image_shape = (8, 8, 3) if isinstance(architecture, LocalReceptiveFields) else (5, 8)
    algorithm = FFRecurrent(**{**HYPERPARAMETERS, "goodness": goodness or SumOfSquares(), **changed})
    algorithm.begin(cpu_setting(made_images(n, image_shape), architecture or Mlp(widths, 2.0)))
    return algorithm


def first_minibatch(algorithm: FFRecurrent) -> tuple[Tensor, Tensor]:
    return algorithm.train.inputs[:20], algorithm.train.targets[:20]


def learned(algorithm: FFRecurrent) -> list[list[Tensor]]:
    """The bottom-up and the top-down weights of each layer."""
    return [[weights.weight for weights in layer.connections.sources] for layer in algorithm.layers]


def weights_of(algorithm: FFRecurrent) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The bottom-up and the top-down weights of each layer, as dense matrices, and the biases."""
    by_layer = []
    for layer in algorithm.layers:
        below, above = (
            as_dense(weights.geometry, weights.weight) if isinstance(weights, LocalFields) else weights.weight.clone()
            for weights in layer.connections.sources
        )
        by_layer.append((below.numpy(), above.numpy(), layer.connections.bias.numpy().copy()))
    return by_layer


def masks_of(algorithm: FFRecurrent) -> list[list[np.ndarray]]:
    """Masks of the weights that exist, for the matrices of `weights_of`."""
    return [
        [
            (mask_of(weights.geometry) if isinstance(weights, LocalFields) else torch.ones_like(weights.weight)).numpy()
            for weights in layer.connections.sources
        ]
        for layer in algorithm.layers
    ]


def n(a: np.ndarray) -> np.ndarray:
    return a / (1e-10 + np.sqrt((a**2).mean(-1, keepdims=True)))


class InNumpy:
    """The net and its minibatch, written from the formulas. `sign` is the sign of the goodness ±Σ y²."""

    def __init__(self, algorithm: FFRecurrent, sign: int = 1) -> None:
        self.sign = sign
        self.masks = masks_of(algorithm)
        self.W, self.T, self.b = (list(parts) for parts in zip(*weights_of(algorithm), strict=True))
        self.m = [np.full(len(b), 0.5) for b in self.b]
        self.vW = [np.zeros_like(w) for w in self.W]
        self.vT = [np.zeros_like(w) for w in self.T]
        self.vb = [np.zeros_like(b) for b in self.b]
        self.U = [head.numpy().copy() for head in algorithm.softmax.weights]
        self.u = [np.zeros_like(U) for U in self.U]
        self.iterations = algorithm.iterations
        self.damping = algorithm.damping

    def bottom_up(self, x: np.ndarray) -> list[np.ndarray]:
        states: list[np.ndarray] = []
        for W, b in zip(self.W, self.b, strict=True):  # noqa: N806
            states.append(np.maximum(0, n(states[-1] if states else x) @ W + b))
        return states

    def logits(self, x: np.ndarray) -> np.ndarray:
        return np.sum([n(s) @ U for s, U in zip(self.bottom_up(x), self.U, strict=True)], axis=0)

    def run(self, x: np.ndarray, label: np.ndarray) -> list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]]:
        """The activities of each layer at each iteration, with its inputs from below and from above."""
        states = self.bottom_up(x)
        history: list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = [[] for _ in states]
        for _ in range(self.iterations):
            column = [n(part) for part in (x, *states, label)]
            for k in range(len(states)):
                below, above = column[k], column[k + 2]
                y = np.maximum(0, below @ self.W[k] + above @ self.T[k] + self.b[k])
                history[k].append((y, below, above))
                states[k] = self.damping * states[k] + (1 - self.damping) * y
        return history

    def minibatch(self, x: np.ndarray, t: np.ndarray, wrong: np.ndarray, lr_factor: float) -> tuple[float, int]:
        """An update. Returns the loss and the number of the softmax's errors before the update."""
        B, labels = len(x), np.eye(10)  # noqa: N806
        outputs, logits = [n(s) for s in self.bottom_up(x)], self.logits(x)
        positive, negative = self.run(x, labels[t]), self.run(x, labels[wrong])
        q = np.exp(logits - logits.max(1, keepdims=True))
        q /= q.sum(1, keepdims=True)
        for k in range(len(self.U)):
            self.u[k] = 0.9 * self.u[k] + 0.1 * outputs[k].T @ (labels[t] - q) / B
            self.U[k] = self.U[k] + lr_factor * 0.1 * (self.u[k] - 0.003 * self.U[k])
        losses = []
        for k in range(len(self.W)):
            width, data = len(self.b[k]), self.iterations * B
            self.m[k] = 0.9 * self.m[k] + 0.1 * sum(y.sum(0) for y, _, _ in positive[k]) / data
            peer = 0.03 * (self.m[k].mean() - self.m[k])
            gW, gT, gb = np.zeros_like(self.W[k]), np.zeros_like(self.T[k]), np.zeros(width)  # noqa: N806
            for side, history in ((1, positive[k]), (-1, negative[k])):
                for y, below, above in history:
                    margin = self.sign * (y**2).sum(1) - self.sign * width
                    p = 1 / (1 + np.exp(-side * margin))  # of the right side of the threshold
                    losses.append(-np.log(p).mean())
                    d = side * (1 - p)[:, None] * self.sign * y + (peer if side > 0 else 0)
                    gW, gT, gb = gW + below.T @ d, gT + above.T @ d, gb + d.sum(0)  # noqa: N806
            self.vW[k] = 0.9 * self.vW[k] + 0.1 * self.masks[k][0] * gW / data
            self.vT[k] = 0.9 * self.vT[k] + 0.1 * self.masks[k][1] * gT / data
            self.vb[k] = 0.9 * self.vb[k] + 0.1 * gb / data
            self.W[k] = self.W[k] + lr_factor * 0.01 * (self.vW[k] - 0.001 * self.W[k])
            self.T[k] = self.T[k] + lr_factor * 0.01 * (self.vT[k] - 0.001 * self.T[k])
            self.b[k] = self.b[k] + lr_factor * 0.01 * self.vb[k]
        return 2 * float(np.mean(losses)), int((logits.argmax(1) != t).sum())


@pytest.mark.parametrize(
    ("architecture", "iterations", "damping"),
    [
        (Mlp((30, 25), 2.0), 2, 0.3),
        (Mlp((30, 25), 2.0), 2, 0.7),
        (Mlp((30, 25), 2.0), 3, 0.0),
        (DENSE, 4, 0.3),
        (Mlp((30,), 2.0), 2, 0.3),
        (LOCAL, 3, 0.3),
        (LocalReceptiveFields(LOCAL.layers[:1], 2.0, 1), 2, 0.3),
    ],
    ids=["two layers", "damped more", "not damped", "three layers", "one layer", "local", "one local layer"],
)
@pytest.mark.parametrize("goodness", [SumOfSquares(), MinusSumOfSquares()], ids=["high", "low"])
def test_minibatches_follow_the_formulas(
    architecture: LayerArchitecture,
    iterations: int,
    damping: float,
    goodness: Goodness,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    algorithm = make(
        goodness,
        architecture=architecture,
        iterations=iterations,
        damping=damping,
        first_tested=1,
        last_tested=2,
    )
    sign = 1 if isinstance(goodness, SumOfSquares) else -1
    reference = InNumpy(algorithm, sign)
    first = InNumpy(algorithm)
    draws = np.random.default_rng(0)
    for step in range(5):
        part = slice(20 * step, 20 * step + 20)
        images, targets = algorithm.train.inputs[part], algorithm.train.targets[part]
        wrong = (targets.numpy() + draws.integers(1, 10, 20)) % 10
        monkeypatch.setattr(
            FFRecurrent,
            "wrong_labels",
            lambda self, logits, targets, wrong=wrong: torch.from_numpy(wrong),
        )
        loss, errors = algorithm.minibatch(images, targets, lr_factor=0.7).tolist()
        assert (loss, errors) == pytest.approx(
            reference.minibatch(images.numpy(), targets.numpy(), wrong, lr_factor=0.7)
        )
    for k, (below, above, bias) in enumerate(weights_of(algorithm)):
        np.testing.assert_allclose(below, reference.W[k], rtol=0, atol=1e-10)
        np.testing.assert_allclose(above, reference.T[k], rtol=0, atol=1e-10)
        np.testing.assert_allclose(bias, reference.b[k], rtol=0, atol=1e-10)
        np.testing.assert_allclose(algorithm.layers[k].running_mean, reference.m[k], rtol=0, atol=1e-10)
        np.testing.assert_allclose(algorithm.softmax.weights[k], reference.U[k], rtol=0, atol=1e-10)
        # All of them changed.
        for learned_part, other in ((below, first.W[k]), (above, first.T[k]), (bias, first.b[k])):
            assert np.abs(learned_part - other).max() > 1e-4
        assert np.abs(reference.U[k]).max() > 1e-3
    assert len(algorithm.softmax.weights) == len(algorithm.layers) == len(reference.W)


@ARCHITECTURES
def test_with_a_negated_goodness_right_and_wrong_labels_swap_roles(
    architecture: LayerArchitecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # σ(-Σ y² + θ) is 1 - σ(Σ y² - θ).
    changes = []
    for goodness, right_is_right in ((SumOfSquares(), True), (MinusSumOfSquares(), False), (SumOfSquares(), False)):
        algorithm = make(goodness, architecture=architecture, peer_normalization=0.0)
        images, targets = first_minibatch(algorithm)
        right, wrong = (targets, (targets + 3) % 10) if right_is_right else ((targets + 3) % 10, targets)
        monkeypatch.setattr(FFRecurrent, "wrong_labels", lambda *_, wrong=wrong: wrong)
        before = weights_of(algorithm)
        algorithm.minibatch(images, right, lr_factor=1.0)
        after = weights_of(algorithm)
        changes.append([new - old for pair in zip(after, before, strict=True) for new, old in zip(*pair, strict=True)])
    for high, low, other in zip(*changes, strict=True):
        np.testing.assert_allclose(low, high, rtol=0, atol=1e-12)
        assert np.abs(high - other).max() > 1e-6


@ARCHITECTURES
@pytest.mark.parametrize(
    "goodness",
    [SumOfSquares(), MinusSumOfSquares(), MeanOfSquares(), MinusSumOfActivities()],
    ids=lambda goodness: type(goodness).__name__,
)
def test_the_update_is_half_of_the_gradient_of_autograd(
    goodness: Goodness, architecture: LayerArchitecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm = make(
        goodness,
        architecture=architecture,
        peer_normalization=0.0,
        momentum=0.0,
        weight_cost=0.0,
        learning_rate=1.0,
    )
    images, targets = first_minibatch(algorithm)
    wrong = (targets + 3) % 10
    monkeypatch.setattr(FFRecurrent, "wrong_labels", lambda *_: wrong)

    def normalized(a: Tensor) -> Tensor:
        return a / (1e-10 + a.square().mean(1, keepdim=True).sqrt())

    before = weights_of(algorithm)
    trained = [torch.from_numpy(np.concatenate([below, above])).requires_grad_() for below, above, _ in before]
    objective = torch.zeros((), dtype=torch.float64)
    for label, sign in ((targets, 1.0), (wrong, -1.0)):
        states: list[Tensor] = []
        for below, _, _ in before:
            states.append(torch.relu(normalized(states[-1] if states else images) @ torch.from_numpy(below)))
        for _ in range(4):
            column = [normalized(part) for part in (images, *states, one_hot(label, 10).double())]
            for k, weight in enumerate(trained):
                activities = torch.relu(torch.cat([column[k], column[k + 2]], 1).detach() @ weight)
                threshold = goodness.threshold_scale(weight.shape[1])
                objective = objective + logsigmoid(sign * (goodness(activities) - threshold)).mean() / 4
                states[k] = 0.3 * states[k] + 0.7 * activities.detach()
    objective.backward()  # type: ignore[no-untyped-call]

    algorithm.minibatch(images, targets, lr_factor=1.0)
    for (below, above, _), masks, weight in zip(weights_of(algorithm), masks_of(algorithm), trained, strict=True):
        assert weight.grad is not None
        change = np.concatenate([below, above]) - weight.detach().numpy()
        expected = 0.5 * weight.grad.numpy() * np.concatenate(masks)
        np.testing.assert_allclose(change, expected, rtol=0, atol=1e-10)
        for part in np.split(expected, [len(below)]):
            assert np.abs(part).max() > 1e-6


def test_images_and_labels_are_multiplied_once_for_all_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[list[int]] = []
    monkeypatch.setattr(Connections, "learn", lambda _, inputs, *more, **rest: rows.append(list(map(len, inputs))))
    monkeypatch.setattr("ffrepro.forward_forward.gradient_rows.ROWS_STEP", 1)
    monkeypatch.setattr("ffrepro.forward_forward.layers.significant", lambda factors: None)
    algorithm = make()
    algorithm.minibatch(*first_minibatch(algorithm), lr_factor=1.0)
    # Each matrix has a row for peer normalization. States differ between iterations and labels; images do not.
    states = 2 * 20 * algorithm.iterations + 1
    assert rows == [[21, states], [states, states], [states, 41]]


# The iterations ------------------------------------------------------------------------------------


def activities(
    weights: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    image: np.ndarray,
    label: np.ndarray,
    *,
    damping: float,
    iterations: int,
) -> list[list[np.ndarray]]:
    """The activities of each layer at each iteration, for an image with a label, from the formulas."""
    states: list[np.ndarray] = []
    for below, _, bias in weights:
        states.append(np.maximum(0, n(states[-1] if states else image) @ below + bias))
    history = []
    for _ in range(iterations):
        new = []
        for k, (below, above, bias) in enumerate(weights):
            under = n(image if k == 0 else states[k - 1])
            over = n(label if k == len(weights) - 1 else states[k + 1])
            new.append(np.maximum(0, under @ below + over @ above + bias))
        history.append(new)
        states = [damping * s + (1 - damping) * y for s, y in zip(states, new, strict=True)]
    return history


def iterations_of(
    algorithm: FFRecurrent, images: Tensor, classes: Tensor, states: list[Tensor] | None = None
) -> list[list[Tensor]]:
    """The activities of each layer at each iteration, from the bottom-up states or from `states`."""
    image_sums, bottom_up = algorithm.net.bottom_up(images)
    start = bottom_up if states is None else states
    label = normalize(one_hot(classes, 10).double()).unsqueeze(0)
    return [[y.squeeze(0) for y in ys] for ys, _ in algorithm.net.iterate(image_sums, label, start)]


@ARCHITECTURES
@pytest.mark.parametrize("damping", [0.3, 0.7])
def test_damping_is_the_weight_of_the_old_state(damping: float, architecture: LayerArchitecture) -> None:
    algorithm = make(damping=damping, architecture=architecture)
    algorithm.train_epoch(1)
    images, targets = algorithm.train.inputs[:5], algorithm.train.targets[:5]
    run = iterations_of(algorithm, images, targets)
    for row, (image, target) in enumerate(zip(images.numpy(), targets.tolist(), strict=True)):
        expected = activities(weights_of(algorithm), image, np.eye(10)[target], damping=damping, iterations=4)
        assert len(run) == len(expected) == 4
        for ys, zs in zip(run, expected, strict=True):
            for y, z in zip(ys, zs, strict=True):
                np.testing.assert_allclose(y[row], z, rtol=0, atol=1e-10)


@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_without_damping_old_states_are_forgotten(damping: float) -> None:
    # A changed state of layer 2 changes layers 1 and 3 in iteration 1, layer 2 in iteration 2, and so on. With damping,
    # changes persist.
    algorithm = make(damping=damping)
    images, targets = first_minibatch(algorithm)
    _, states = algorithm.net.bottom_up(images)
    other = [states[0], states[1].flip(1), states[2]]
    usual, changed = (iterations_of(algorithm, images, targets, start) for start in (states, other))
    differs = [[not torch.equal(y, z) for y, z in zip(*pair, strict=True)] for pair in zip(usual, changed, strict=True)]
    outer, middle = [True, False, True], [False, True, False]
    assert differs == ([outer, middle, outer, middle] if damping == 0 else [outer, [True] * 3, [True] * 3, [True] * 3])


def test_the_initial_states_are_not_changed() -> None:
    algorithm = make()
    images, targets = first_minibatch(algorithm)
    _, states = algorithm.net.bottom_up(images)
    copies = [state.clone() for state in states]
    run = iterations_of(algorithm, images, targets, states)
    kept = [[y.clone() for y in ys] for ys in run]
    again = iterations_of(algorithm, images, targets, states)
    assert all(torch.equal(state, copy) for state, copy in zip(states, copies, strict=True))
    for ys, zs in zip(kept, again, strict=True):
        assert all(torch.equal(y, z) for y, z in zip(ys, zs, strict=True))


def test_all_layers_change_simultaneously() -> None:
    # If layers changed one after the other, information would pass several layers in an iteration.
    algorithm = make(widths=(30, 25, 20, 15))
    images, targets = first_minibatch(algorithm)
    _, states = algorithm.net.bottom_up(images)
    usual = iterations_of(algorithm, images, targets, states)
    other_labels = iterations_of(algorithm, images, (targets + 1) % 10, states)
    other_images = iterations_of(algorithm, images.flip(1), targets, states)
    for iteration in range(4):
        for k in range(4):
            downward = torch.equal(usual[iteration][k], other_labels[iteration][k])
            upward = torch.equal(usual[iteration][k], other_images[iteration][k])
            assert downward == (k < 3 - iteration)
            assert upward == (k > iteration)


@ARCHITECTURES
def test_until_a_label_arrives_a_layer_is_computed_once_for_all_labels(architecture: LayerArchitecture) -> None:
    algorithm = make(architecture=architecture)
    algorithm.train_epoch(1)
    images, targets = algorithm.train.inputs[:5], algorithm.train.targets[:5]
    classes = torch.stack([targets, (targets + 1) % 10, (targets + 4) % 10])
    image_sums, states = algorithm.net.bottom_up(images)
    run = [ys for ys, _ in algorithm.net.iterate(image_sums, normalize(one_hot(classes, 10).double()), states)]
    # Labels go down one layer per iteration, from the third.
    assert [[len(y) for y in ys] for ys in run] == [[1, 1, 3], [1, 3, 3], [3, 3, 3], [3, 3, 3]]
    for number, of_label in enumerate(classes):
        for ys, zs in zip(run, iterations_of(algorithm, images, of_label), strict=True):
            for y, z in zip(ys, zs, strict=True):
                torch.testing.assert_close(y[number % len(y)], z, rtol=0, atol=1e-12)


def test_so_is_the_goodness_of_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = make()
    n_labels: list[int] = []
    for layer in algorithm.layers:

        def goodness(y: Tensor, of_layer: Callable[[Tensor], Tensor] = layer.goodness) -> Tensor:
            n_labels.append(len(y))
            return of_layer(y)

        monkeypatch.setattr(layer, "goodness", goodness)
    algorithm.goodness_of_labels(algorithm.train[:20])
    assert n_labels == [1, 1, 10, 1, 10, 10, 10, 10, 10, 10, 10, 10]


@ARCHITECTURES
def test_the_initial_states_do_not_depend_on_top_down_weights(architecture: LayerArchitecture) -> None:
    algorithm, other = make(architecture=architecture), make(architecture=architecture)
    for layer in other.layers:
        layer.connections.sources[1].weight.fill_(7.0)
    images, targets = first_minibatch(algorithm)
    for y, different in zip(
        iterations_of(algorithm, images, targets)[0], iterations_of(other, images, targets)[0], strict=True
    ):
        assert not torch.equal(y, different)
    for state, same in zip(algorithm.net.bottom_up(images)[1], other.net.bottom_up(images)[1], strict=True):
        assert torch.equal(state, same)
    assert torch.equal(algorithm.logits(algorithm.train), other.logits(other.train))


# Wrong labels --------------------------------------------------------------------------------------


def test_positive_and_negative_data_differ_only_in_the_label(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    algorithm = make()
    iterate, calls = algorithm.net.iterate, []

    def spy(image_sums: Tensor, labels: Tensor, states: list[Tensor]) -> Iterator[Iteration]:
        calls.append((image_sums, labels, states))
        return iterate(image_sums, labels, states)

    monkeypatch.setattr(algorithm.net, "iterate", spy)
    for _ in range(10):
        for start in range(0, 200, 20):
            calls.clear()
            part = slice(start, start + 20)
            expected_sums, expected = algorithm.net.bottom_up(algorithm.train.inputs[part])
            algorithm.minibatch(algorithm.train.inputs[part], algorithm.train.targets[part], lr_factor=1.0)
            image_sums, labels, states = calls[0]
            positive, negative = labels
            assert torch.equal(positive, normalize(one_hot(algorithm.train.targets[part], 10).double()))
            assert torch.equal(negative, normalize(one_hot(negative.argmax(1), 10).double()))
            assert (negative.argmax(1) != algorithm.train.targets[part]).all()
            for tensor, same in zip([image_sums, *states], [expected_sums, *expected], strict=True):
                torch.testing.assert_close(tensor, same, rtol=0, atol=1e-12)


def test_wrong_labels_are_sampled_from_the_softmax_before_its_update(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = make()
    algorithm.train_epoch(1)
    images, targets = first_minibatch(algorithm)
    before = InNumpy(algorithm).logits(images.numpy())
    sampled_from = []

    def spy(_: FFRecurrent, logits: Tensor, targets: Tensor) -> Tensor:
        sampled_from.append(logits.clone())
        return (targets + 1) % 10

    monkeypatch.setattr(FFRecurrent, "wrong_labels", spy)
    algorithm.minibatch(images, targets, lr_factor=1.0)
    np.testing.assert_allclose(sampled_from[0], before, rtol=0, atol=1e-10)
    assert np.abs(before - InNumpy(algorithm).logits(images.numpy())).max() > 1e-3  # it did learn


# Independent objectives ----------------------------------------------------------------------------


def weights_after_a_minibatch(architecture: LayerArchitecture, **thresholds: float) -> list[list[Tensor]]:
    """The weights of all layers after an update. `layer_2=…` multiplies the threshold of layer 2, and so on."""
    algorithm = make(architecture=architecture)
    for k in range(3):
        algorithm.layers[k].threshold *= thresholds.get(f"layer_{k + 1}", 1.0)
    algorithm.minibatch(*first_minibatch(algorithm), lr_factor=1.0)
    return learned(algorithm)


@ARCHITECTURES
@pytest.mark.parametrize("moved", [1, 2, 3])
def test_a_layers_objective_changes_no_other_layer(moved: int, architecture: LayerArchitecture) -> None:
    usual = weights_after_a_minibatch(architecture)
    changed = weights_after_a_minibatch(architecture, **{f"layer_{moved}": 2.0})
    for number, (weights, others) in enumerate(zip(usual, changed, strict=True), start=1):
        for weight, same in zip(weights, others, strict=True):
            assert torch.equal(weight, same) == (number != moved)


def test_the_softmax_changes_no_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FFRecurrent, "wrong_labels", lambda self, logits, targets: (targets + 3) % 10)
    usual, fast = make(), make(head_learning_rate=10.0)
    for algorithm in (usual, fast):
        algorithm.train_epoch(1)
    for weight, other in zip(usual.softmax.weights, fast.softmax.weights, strict=True):
        assert not torch.equal(weight, other)
    for weights, others in zip(learned(usual), learned(fast), strict=True):
        assert all(torch.equal(weight, same) for weight, same in zip(weights, others, strict=True))


def test_autograd_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("autograd")

    monkeypatch.setattr(torch.Tensor, "backward", forbidden)
    monkeypatch.setattr(torch.autograd, "backward", forbidden)
    monkeypatch.setattr(torch.autograd, "grad", forbidden)
    algorithm = make()
    with torch.enable_grad():
        algorithm.train_epoch(1)
    for weights in learned(algorithm):
        for weight in weights:
            assert not weight.requires_grad
            assert weight.grad_fn is None


def test_training_separates_right_from_wrong_labels() -> None:
    algorithm = make(widths=(60, 50), learning_rate=0.03)
    before = algorithm.evaluate(algorithm.train)
    losses = [algorithm.train_epoch(epoch)["loss"] for epoch in range(1, 11)]
    after = algorithm.evaluate(algorithm.train)
    assert losses[-1] < 0.8 * losses[0]
    for test in ("error_goodness", "error_softmax"):
        assert before[test] > 60
        assert after[test] < 20


# The two tests -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "goodness", "seed"),
    [
        (DENSE, SumOfSquares(), 0),
        (DENSE, MinusSumOfActivities(), 6),
        (LOCAL, SumOfSquares(), 2),
        (LOCAL, MinusSumOfSquares(), 6),
    ],
    ids=["mlp, squares", "mlp, minus activities", "local, squares", "local, minus squares"],
)
def test_both_tests_equal_a_loop_over_images_and_labels(
    architecture: LayerArchitecture, goodness: Goodness, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ffrepro.algorithm.ff_recurrent.ROWS", 70)  # parts that do not divide the images
    algorithm = make(goodness, architecture=architecture, iterations=5, first_tested=2, last_tested=3)
    # Untrained, since training would amplify rounding errors; but with nonzero biases and a nonzero softmax.
    draws = torch.Generator().manual_seed(seed)
    for layer, head in zip(algorithm.layers, algorithm.softmax.weights, strict=True):
        layer.connections.bias.copy_(0.3 * torch.randn(layer.connections.width, generator=draws))
        head.copy_(torch.randn(head.shape, generator=draws))
    split, weights = algorithm.train[:50], weights_of(algorithm)
    table = np.zeros((5, 3, 50, 10))
    logits = np.zeros((50, 10))
    for row, image in enumerate(split.inputs.numpy()):
        for label in range(10):
            run = activities(weights, image, np.eye(10)[label], damping=0.3, iterations=5)
            for t, ys in enumerate(run):
                for k, y in enumerate(ys):
                    table[t, k, row, label] = goodness(torch.from_numpy(y)[None]).item()
        below = image
        for (weight, _, bias), head in zip(weights, algorithm.softmax.weights, strict=True):
            below = np.maximum(0, n(below) @ weight + bias)
            logits[row] += n(below) @ head.numpy()
    np.testing.assert_allclose(algorithm.goodness_of_labels(split), table, rtol=0, atol=1e-10)
    np.testing.assert_allclose(algorithm.logits(split), logits, rtol=0, atol=1e-10)

    def error(*iterations: int) -> float:
        """The error by the mean over all layers and these iterations, from 1."""
        scores = np.mean([table[t - 1].mean(0) for t in iterations], axis=0)
        return 100 * float((scores.argmax(1) != split.targets.numpy()).mean())

    softmax = 100 * float((logits.argmax(1) != split.targets.numpy()).mean())
    expected = {
        "error": error(2, 3),
        "error_goodness": error(2, 3),
        "error_softmax": softmax,
        **{f"error_goodness_iteration_{t}": error(t) for t in (1, 2, 3, 4, 5)},
        "error_goodness_iterations_1_to_3": error(1, 2, 3),
        "error_goodness_iterations_2_to_4": error(2, 3, 4),
        "error_goodness_iterations_3_to_5": error(3, 4, 5),
        "error_goodness_iterations_1_to_5": error(1, 2, 3, 4, 5),
    }
    assert algorithm.evaluate(split) == pytest.approx(expected)
    assert algorithm.monitor(split) == {"error_softmax": pytest.approx(softmax)}
    if not isinstance(goodness, MinusSumOfActivities):  # whose labels win at all iterations alike
        assert list(expected.values()).count(expected["error"]) == 2  # other iterations have other errors


@pytest.mark.parametrize(("first", "last"), [(1, 1), (1, 5), (4, 5), (5, 5)])
def test_the_headline_is_by_the_tested_iterations(first: int, last: int) -> None:
    algorithm = make(iterations=5, first_tested=first, last_tested=last)
    split = algorithm.train
    scores = algorithm.goodness_of_labels(split)[first - 1 : last].mean((0, 1))
    expected = 100 * (scores.argmax(1) != split.targets).double().mean().item()
    assert algorithm.evaluate(split)["error"] == pytest.approx(expected)


def test_neither_test_reads_the_labels() -> None:
    algorithm = make()
    algorithm.train_epoch(1)
    split = algorithm.train
    permuted = Split(split.inputs, split.targets[torch.randperm(200, generator=torch.Generator().manual_seed(0))])
    assert not torch.equal(permuted.targets, split.targets)
    assert torch.equal(algorithm.goodness_of_labels(permuted), algorithm.goodness_of_labels(split))
    assert torch.equal(algorithm.logits(permuted), algorithm.logits(split))


def test_tests_and_pictures_do_not_change_training() -> None:
    algorithm, other = make(), make()
    other.evaluate(other.train)
    other.monitor(other.train)
    other.pictures(other.train[:30])
    assert algorithm.train_epoch(1) == other.train_epoch(1)


def test_pictures_show_first_layer_fields_and_goodness_by_layer_and_iteration() -> None:
    algorithm = make()
    algorithm.train_epoch(1)
    split = algorithm.train[:30]
    pictures = algorithm.pictures(split)
    assert {name: picture.shape for name, picture in pictures.items()} == {
        "first_layer_fields": (30, 5, 8),
        "iterations_right": (3, 4),
        "iterations_wrong": (3, 4),
    }
    below, _, _ = weights_of(algorithm)[0]
    np.testing.assert_allclose(pictures["first_layer_fields"][3], below[:, 3].reshape(5, 8), rtol=1e-6)
    assert_goodness_is_shown(algorithm, split, pictures, (30, 25, 20))


def test_pictures_of_a_local_net_have_a_field_of_each_location() -> None:
    algorithm = make(architecture=LOCAL)
    algorithm.train_epoch(1)
    split = algorithm.train[:30]
    pictures = algorithm.pictures(split)
    assert pictures["first_layer_fields"].shape == (64, 3, 3, 3)
    below = weights_of(algorithm)[0][0].reshape(8, 8, 3, 8, 8, 3)
    for location in range(64):  # the first unit of each
        row, column = divmod(location, 8)
        expected = np.pad(below[..., row, column, 0], ((1, 1), (1, 1), (0, 0)))[row : row + 3, column : column + 3]
        np.testing.assert_allclose(pictures["first_layer_fields"][location], expected, rtol=1e-6)
    assert_goodness_is_shown(algorithm, split, pictures, (192, 448, 192))


def assert_goodness_is_shown(
    algorithm: FFRecurrent, split: Split, pictures: dict[str, np.ndarray], widths: tuple[int, ...]
) -> None:
    """Pictures of 30 images show the means over the right and over the wrong labels."""
    table = algorithm.goodness_of_labels(split).numpy() / np.array(widths).reshape(1, 3, 1, 1)
    for k in range(3):
        for t in range(4):
            right = [table[t, k, row, target] for row, target in enumerate(split.targets.tolist())]
            mean_wrong = (table[t, k].sum() - sum(right)) / 270
            assert pictures["iterations_right"][k, t] == pytest.approx(np.mean(right), rel=1e-6)
            assert pictures["iterations_wrong"][k, t] == pytest.approx(mean_wrong, rel=1e-6)


# Impossible options --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"first_tested": 3, "last_tested": 2}, r"algorithm\.first_tested is 3"),
        ({"first_tested": 0}, r"algorithm\.first_tested is 0"),
        ({"last_tested": 5}, r"algorithm\.last_tested 5: expected 1 to 4 \(algorithm\.iterations\)"),
        ({"iterations": 2}, r"algorithm\.last_tested 3: expected 1 to 2 \(algorithm\.iterations\)"),
        ({"damping": 1.0}, r"algorithm\.damping is 1"),
        ({"damping": -0.1}, r"algorithm\.damping is -0\.1"),
        (
            {"architecture": LocalReceptiveFields([(6, 1, 3, 3), (4, 1, 3, 3)], 1.0, 0)},
            r"architecture\.layers has \[6, 1, 3, 3\] below \[4, 1, 3, 3\].*grids of one size",
        ),
        ({"architecture": LocalReceptiveFields([(8, 1, 5, 3)], 1.0, 1)}, r"architecture\.layers has \[8,1,5,3\]"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_impossible_options_are_refused(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        make(**changed)


def test_the_limits_of_the_options_are_allowed() -> None:
    algorithm = make(iterations=1, first_tested=1, last_tested=1, damping=0.0)
    algorithm.train_epoch(1)
    assert algorithm.evaluate(algorithm.train)["error_goodness_iteration_1"] <= 100


# An epoch and its state ----------------------------------------------------------------------------


def test_an_epoch_takes_its_factor_from_the_schedule_and_averages_over_its_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lr_factors: list[float] = []
    returned = iter(torch.tensor([[1.0, 4.0], [3.0, 2.0]] * 15, dtype=torch.float64))

    def spy(images: Tensor, targets: Tensor, lr_factor: float) -> Tensor:
        lr_factors.append(lr_factor)
        return next(returned)

    algorithm = make()
    monkeypatch.setattr(algorithm, "minibatch", spy)
    for epoch in (5, 6, 10):
        assert algorithm.train_epoch(epoch) == {"loss": 2.0, "running_error": 15.0}
    assert lr_factors == [1.0] * 10 + [0.9] * 10 + [0.1] * 10


@pytest.mark.parametrize("reshuffle", [True, False])
def test_minibatches_are_reshuffled_or_kept(reshuffle: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[Tensor] = []

    def spy(images: Tensor, targets: Tensor, lr_factor: float) -> Tensor:
        used.append(images)
        return torch.zeros(2, dtype=torch.float64)

    algorithm = make(reshuffle=reshuffle)
    monkeypatch.setattr(algorithm, "minibatch", spy)
    algorithm.train_epoch(1)
    algorithm.train_epoch(2)
    first, second = torch.cat(used[:10]), torch.cat(used[10:])
    assert torch.equal(first, second) != reshuffle
    for epoch in (first, second):  # every image once
        assert torch.equal(epoch.sum(1).sort().values, algorithm.train.inputs.sum(1).sort().values)


@ARCHITECTURES
def test_a_resumed_run_goes_on_as_if_uninterrupted(architecture: LayerArchitecture, tmp_path: Path) -> None:
    whole, cut, resumed = (make(architecture=architecture, n=200 if architecture is DENSE else 60) for _ in range(3))
    expected = [whole.train_epoch(epoch) for epoch in (1, 2, 3)]
    cut.train_epoch(1)
    torch.save(cut.state_dict(), tmp_path / "state.pt")
    resumed.train_epoch(1)  # its earlier state must not matter
    resumed.train_epoch(2)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [resumed.train_epoch(epoch) for epoch in (2, 3)] == expected[1:]
    for layer, other in zip(resumed.layers, whole.layers, strict=True):
        for weights, same in zip(layer.connections.sources, other.connections.sources, strict=True):
            assert torch.equal(weights.weight, same.weight)
        assert torch.equal(layer.connections.bias, other.connections.bias)
        assert torch.equal(layer.running_mean, other.running_mean)
    assert all(torch.equal(a, b) for a, b in zip(resumed.softmax.weights, whole.softmax.weights, strict=True))
    assert resumed.evaluate(resumed.train) == whole.evaluate(whole.train)


def test_a_seed_determines_the_training() -> None:
    assert make().train_epoch(1) == make().train_epoch(1)

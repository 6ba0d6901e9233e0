"""`ff_supervised` against the formulas in NumPy, against autograd, and on mistakes of other implementations."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import logsigmoid, one_hot

from ffrepro.algorithm.ff_supervised import FFSupervised
from ffrepro.architecture.mlp import Mlp
from ffrepro.dataset import Dataset, Split
from ffrepro.errors import UserError
from ffrepro.forward_forward.goodness import (
    Goodness,
    MeanOfSquares,
    MinusSumOfActivities,
    MinusSumOfSquares,
    SumOfActivities,
    SumOfSquares,
)
from ffrepro.forward_forward.layers import forward
from ffrepro.forward_forward.negatives import embed_label
from tests.algorithm.made import cpu_setting, made_images

HYPERPARAMETERS: dict[str, Any] = {
    "goodness": SumOfSquares(),
    "batch_size": 20,
    "reshuffle": True,
    "jitter": 0,
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
    goodness: Goodness | None = None,
    widths: tuple[int, ...] = (30, 25, 20),
    n: int = 200,
    image_shape: tuple[int, ...] = (5, 8),
    **changed: Any,
) -> FFSupervised:
    """A small net on made-up images, in float64."""
    algorithm = FFSupervised(**{**HYPERPARAMETERS, "goodness": goodness or SumOfSquares(), **changed})
    algorithm.begin(cpu_setting(made_images(n, image_shape), Mlp(widths, 1.0)))
    return algorithm


class InNumpy:
    """The minibatch of the released code, written from its formulas."""

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
        for W, b in zip(self.W, self.b, strict=True):  # noqa: N806
            ys.append(np.maximum(0, below[-1] @ W + b))
            below.append(self.n(ys[-1]))
        return ys, below

    def logits(self, x: np.ndarray) -> np.ndarray:
        x = x.copy()
        x[:, :10] = 0.1
        _, below = self.forward(x)
        return np.sum([h @ U for h, U in zip(below[2:], self.U, strict=True)], axis=0)

    def minibatch(self, x: np.ndarray, t: np.ndarray, wrong: np.ndarray, lr_factor: float) -> None:
        B, labels = len(x), np.eye(10)  # noqa: N806
        right, neutral, other = x.copy(), x.copy(), x.copy()
        right[:, :10], neutral[:, :10], other[:, :10] = labels[t], 0.1, labels[wrong]
        logits = self.logits(x)
        q = np.exp(logits - logits.max(1, keepdims=True))
        q /= q.sum(1, keepdims=True)
        yp, hp = self.forward(right)
        _, h0 = self.forward(neutral)
        yn, hn = self.forward(other)
        for k in range(len(self.U)):
            self.u[k] = 0.9 * self.u[k] + 0.1 * h0[k + 2].T @ (labels[t] - q) / B
            self.U[k] = self.U[k] + lr_factor * 0.1 * (self.u[k] - 0.003 * self.U[k])
        for k in range(len(self.W)):
            width = self.W[k].shape[1]
            pp = 1 / (1 + np.exp(-((yp[k] ** 2).sum(1) - width)))
            pn = 1 / (1 + np.exp(-((yn[k] ** 2).sum(1) - width)))
            self.m[k] = 0.9 * self.m[k] + 0.1 * yp[k].mean(0)
            dp = (1 - pp)[:, None] * yp[k] + 0.03 * (self.m[k].mean() - self.m[k])
            dn = -pn[:, None] * yn[k]
            self.vW[k] = 0.9 * self.vW[k] + 0.1 * (hp[k].T @ dp + hn[k].T @ dn) / B
            self.vb[k] = 0.9 * self.vb[k] + 0.1 * (dp.sum(0) + dn.sum(0)) / B
            self.W[k] = self.W[k] + lr_factor * 0.01 * (self.vW[k] - 0.001 * self.W[k])
            self.b[k] = self.b[k] + lr_factor * 0.01 * self.vb[k]


def test_minibatches_follow_the_released_code(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = make()
    reference = InNumpy([layer.connections.sources[0].weight.numpy() for layer in algorithm.layers])
    draws = np.random.default_rng(0)
    for step in range(5):
        part = slice(20 * step, 20 * step + 20)
        images, targets = algorithm.train.inputs[part], algorithm.train.targets[part]
        wrong = (targets.numpy() + draws.integers(1, 10, 20)) % 10
        monkeypatch.setattr(
            FFSupervised,
            "wrong_labels",
            lambda self, logits, targets, wrong=wrong: torch.from_numpy(wrong),
        )
        algorithm.minibatch(images, targets, lr_factor=0.7)
        reference.minibatch(images.numpy(), targets.numpy(), wrong, lr_factor=0.7)
    for k, layer in enumerate(algorithm.layers):
        np.testing.assert_allclose(layer.connections.sources[0].weight, reference.W[k], rtol=0, atol=1e-10)
        np.testing.assert_allclose(layer.connections.bias, reference.b[k], rtol=0, atol=1e-10)
        np.testing.assert_allclose(algorithm.layers[k].running_mean, reference.m[k], rtol=0, atol=1e-10)
    for k in range(2):
        np.testing.assert_allclose(algorithm.softmax.weights[k], reference.U[k], rtol=0, atol=1e-10)
    assert np.abs(reference.U[0]).max() > 1e-3  # it did learn


def test_wrong_labels_are_sampled_from_the_softmax_before_its_update(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = make()
    algorithm.train_epoch(1)
    images, targets = algorithm.train.inputs[:20], algorithm.train.targets[:20]
    reference = InNumpy([layer.connections.sources[0].weight.numpy() for layer in algorithm.layers])
    reference.b = [layer.connections.bias.numpy().copy() for layer in algorithm.layers]
    reference.U = [head.numpy().copy() for head in algorithm.softmax.weights]
    sampled_from = []

    def spy(_: FFSupervised, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        sampled_from.append(logits.clone())
        return (targets + 1) % 10

    monkeypatch.setattr(FFSupervised, "wrong_labels", spy)
    algorithm.minibatch(images, targets, lr_factor=1.0)
    np.testing.assert_allclose(sampled_from[0], reference.logits(images.numpy()), atol=1e-10)


@pytest.mark.parametrize(
    "goodness",
    [SumOfSquares(), MinusSumOfSquares(), MeanOfSquares(), SumOfActivities(), MinusSumOfActivities()],
    ids=lambda goodness: type(goodness).__name__,
)
def test_the_update_is_half_of_the_gradient_of_autograd(goodness: Goodness, monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = make(goodness, peer_normalization=0.0, momentum=0.0, weight_cost=0.0, learning_rate=1.0)
    images, targets = algorithm.train.inputs[:20], algorithm.train.targets[:20]
    wrong = (targets + 3) % 10
    monkeypatch.setattr(FFSupervised, "wrong_labels", lambda *_: wrong)

    weights = [layer.connections.sources[0].weight.clone().requires_grad_() for layer in algorithm.layers]
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

    before = [layer.connections.sources[0].weight.clone() for layer in algorithm.layers]
    algorithm.minibatch(images, targets, lr_factor=1.0)
    for layer, old, weight in zip(algorithm.layers, before, weights, strict=True):
        assert weight.grad is not None
        torch.testing.assert_close(layer.connections.sources[0].weight - old, 0.5 * weight.grad, rtol=0, atol=1e-10)
        assert weight.grad.abs().max() > 1e-6


# Independent objectives ----------------------------------------------------------------------------


def weights_after_a_minibatch(**thresholds: float) -> list[torch.Tensor]:
    """The weights of all layers after an update. `layer_2=…` multiplies the threshold of layer 2, and so on."""
    algorithm = make()
    for k in range(3):
        algorithm.layers[k].threshold *= thresholds.get(f"layer_{k + 1}", 1.0)
    algorithm.minibatch(algorithm.train.inputs[:20], algorithm.train.targets[:20], lr_factor=1.0)
    return [layer.connections.sources[0].weight for layer in algorithm.layers]


@pytest.mark.parametrize("moved", [1, 2, 3])
def test_a_layers_objective_changes_no_other_layer(moved: int) -> None:
    usual, changed = weights_after_a_minibatch(), weights_after_a_minibatch(**{f"layer_{moved}": 0.5})
    for number, (weight, other) in enumerate(zip(usual, changed, strict=True), start=1):
        assert torch.equal(weight, other) == (number != moved)


def test_the_softmax_changes_no_layer() -> None:
    usual, fast = make(negative_labels="uniform"), make(negative_labels="uniform", head_learning_rate=10.0)
    for algorithm in (usual, fast):
        algorithm.train_epoch(1)
    assert not torch.equal(usual.softmax.weights[0], fast.softmax.weights[0])
    for layer, other in zip(usual.layers, fast.layers, strict=True):
        assert torch.equal(layer.connections.sources[0].weight, other.connections.sources[0].weight)


def test_autograd_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("autograd")

    monkeypatch.setattr(torch.Tensor, "backward", forbidden)
    monkeypatch.setattr(torch.autograd, "backward", forbidden)
    monkeypatch.setattr(torch.autograd, "grad", forbidden)
    algorithm = make()
    with torch.enable_grad():
        algorithm.train_epoch(1)
    for layer in algorithm.layers:
        assert not layer.connections.sources[0].weight.requires_grad
        assert layer.connections.sources[0].weight.grad_fn is None


# Mistakes of other implementations ----------------------------------------------------------------


@pytest.mark.parametrize("negative_labels", ["sampled", "uniform"])
def test_negative_images_never_have_the_right_label(negative_labels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Labels drawn from all classes would be right 10 % of the time.
    embedded: list[torch.Tensor] = []

    def spy(images: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        embedded.append(label)
        return embed_label(images, label)

    monkeypatch.setattr("ffrepro.algorithm.ff_supervised.embed_label", spy)
    algorithm = make(negative_labels=negative_labels)
    for _ in range(10):
        for start in range(0, 200, 20):
            embedded.clear()
            part = slice(start, start + 20)
            algorithm.minibatch(algorithm.train.inputs[part], algorithm.train.targets[part], lr_factor=1.0)
            positive, neutral, negative = embedded
            assert torch.equal(positive.argmax(1), algorithm.train.targets[part])
            torch.testing.assert_close(neutral, torch.full((10,), 0.1, dtype=torch.float64))
            assert (negative.sum(1) == 1).all()
            assert (negative.argmax(1) != algorithm.train.targets[part]).all()


def test_peer_normalization_is_at_full_strength_in_wide_layers_and_revives_dead_units() -> None:
    # The gradient of a mean of squares over 1000 units would be 500 times weaker.
    algorithm = make(widths=(1000, 20), weight_cost=0.0)
    layer = algorithm.layers[0]
    layer.connections.sources[0].weight[:, 7] = -1.0  # images are not negative: this unit is dead
    layer.connections.sources[0].weight[:, 8:] *= 0.01  # the means of the others stay near 0
    layer.connections.sources[0].weight[:, :7] = 1.0
    before = layer.connections.sources[0].weight.clone()
    images, targets = algorithm.train.inputs[:20], algorithm.train.targets[:20]
    algorithm.minibatch(images, targets, lr_factor=1.0)

    below = embed_label(images, one_hot(targets, 10))
    below = below / below.square().mean(1, keepdim=True).sqrt()
    activities = (below @ before).relu()
    means = 0.9 * 0.5 + 0.1 * activities.mean(0)
    assert means[7] == 0.45
    pull = 0.03 * (means.mean() - 0.45)
    assert pull > 5e-4
    # The factors are the learning rate and 1 - μ.
    assert layer.connections.bias[7].item() == pytest.approx(0.01 * 0.1 * pull.item(), rel=1e-9)
    change = layer.connections.sources[0].weight[:, 7] - before[:, 7]
    torch.testing.assert_close(change, 0.001 * pull * below.mean(0), rtol=1e-9, atol=1e-15)


def test_the_softmax_learns() -> None:
    algorithm = make(n=400)
    assert algorithm.monitor(algorithm.train)["error_softmax"] > 80  # the softmax starts at 0
    for epoch in range(1, 7):
        algorithm.train_epoch(epoch)
    assert len(algorithm.softmax.weights) == 2
    for head in algorithm.softmax.weights:
        assert head.abs().max() > 1e-3
    assert algorithm.monitor(algorithm.train)["error_softmax"] < 20


def test_every_layer_learns_from_the_first_minibatch() -> None:
    # If activities were detached from their own weights, nothing would learn.
    algorithm = make(weight_cost=0.0, peer_normalization=0.0)
    before = [layer.connections.sources[0].weight.clone() for layer in algorithm.layers]
    algorithm.minibatch(algorithm.train.inputs[:20], algorithm.train.targets[:20], lr_factor=1.0)
    for layer, old in zip(algorithm.layers, before, strict=True):
        changed = (layer.connections.sources[0].weight != old).double().mean()
        assert changed > 0.5
        assert layer.connections.bias.abs().max() > 0


def test_training_separates_right_from_wrong_labels() -> None:
    algorithm = make(widths=(60, 50, 40), n=400, learning_rate=0.03)
    before = algorithm.evaluate(algorithm.train)["error"]
    losses = [algorithm.train_epoch(epoch)["loss"] for epoch in range(1, 11)]
    assert losses[-1] < 0.8 * losses[0]
    assert before > 50
    assert algorithm.evaluate(algorithm.train)["error"] < 20


def test_neither_test_reads_the_labels() -> None:
    algorithm = make()
    algorithm.train_epoch(1)
    split = algorithm.train
    permuted = Split(split.inputs, split.targets[torch.randperm(200, generator=torch.Generator().manual_seed(0))])
    labeled = split.inputs.clone()
    labeled[:, :10] = one_hot(split.targets, 10).double()  # the test replaces a label in the image
    for other in (permuted, Split(labeled, split.targets)):
        assert torch.equal(algorithm.goodness_of_labels(other), algorithm.goodness_of_labels(split))
        assert torch.equal(algorithm.neutral_logits(other), algorithm.neutral_logits(split))


def test_the_presets_learning_rate_keeps_most_units_alive() -> None:
    # With Adam at 0.03 a tenth is alive after five minibatches; with 20 times the preset's rate an eighth, here.
    generator = torch.Generator().manual_seed(0)
    prototypes = torch.rand(10, 784, generator=generator) * (torch.rand(10, 784, generator=generator) < 0.2)
    targets = torch.randint(10, (1000,), generator=generator)
    split = Split(prototypes[targets] * torch.rand(1000, 784, generator=generator), targets)
    algorithm = FFSupervised(**{**HYPERPARAMETERS, "batch_size": 100})
    dataset = Dataset("made", split, None, split, 10, (28, 28), "", stand_in=True)
    algorithm.begin(cpu_setting(dataset, Mlp((2000, 2000), 1.0), compute_dtype=torch.float32))
    algorithm.train_epoch(1)
    passes, _ = forward(algorithm.layers, embed_label(split.inputs[:300], one_hot(targets[:300], 10)))
    for layer_pass in passes:
        assert (layer_pass.activities.max(0).values == 0).float().mean() < 0.5


# The two tests -------------------------------------------------------------------------------------


@pytest.mark.parametrize("first_layer_counts", [False, True])
@pytest.mark.parametrize("goodness", [SumOfSquares(), MinusSumOfActivities()], ids=lambda g: type(g).__name__)
def test_both_tests_equal_a_loop_over_images_and_labels(
    first_layer_counts: bool, goodness: Goodness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ffrepro.algorithm.ff_supervised.ROWS", 70)  # parts that do not divide the images
    algorithm = make(goodness, first_layer_counts=first_layer_counts)
    algorithm.train_epoch(1)
    split = algorithm.train[:50]
    first = 0 if first_layer_counts else 1
    wrong, wrong_single, wrong_softmax = 0, [0, 0, 0], 0
    for image, target in zip(split.inputs, split.targets.tolist(), strict=True):

        def activities(label: torch.Tensor, image: torch.Tensor = image) -> list[torch.Tensor]:
            below, ys = torch.cat([label.double(), image[10:]]), []
            for layer in algorithm.layers:
                below = below / below.square().mean().sqrt()
                below = (below @ layer.connections.sources[0].weight + layer.connections.bias).relu()
                ys.append(below)
            return ys

        table = np.array([[goodness(y[None]).item() for y in activities(torch.eye(10)[c])] for c in range(10)])
        wrong += table[:, first:].sum(1).argmax() != target
        for k in range(3):
            wrong_single[k] += table[:, k].argmax() != target
        neutral = activities(torch.full((10,), 0.1, dtype=torch.float64))[first:]
        heads = algorithm.softmax.weights
        logits = sum(y / y.square().mean().sqrt() @ head for y, head in zip(neutral, heads, strict=True))
        assert isinstance(logits, torch.Tensor)
        wrong_softmax += int(logits.argmax()) != target
    metrics = algorithm.evaluate(split)
    assert metrics["error"] == metrics["error_goodness"] == pytest.approx(100 * wrong / 50)
    assert metrics["error_softmax"] == pytest.approx(100 * wrong_softmax / 50)
    assert algorithm.monitor(split) == {"error_softmax": metrics["error_softmax"]}
    for k in range(3):
        assert metrics[f"error_goodness_layer_{k + 1}"] == pytest.approx(100 * wrong_single[k] / 50)
    assert f"error_softmax_layer_{1 + first}" in metrics
    assert ("error_softmax_layer_1" in metrics) == first_layer_counts


def test_a_single_hidden_layer_has_to_count() -> None:
    with pytest.raises(UserError, match="first_layer_counts=true"):
        make(widths=(30,))
    algorithm = make(widths=(30,), first_layer_counts=True)
    algorithm.train_epoch(1)
    assert 0 <= algorithm.evaluate(algorithm.train)["error"] <= 100


def test_pictures_show_goodness_over_threshold_of_right_and_wrong_labels() -> None:
    algorithm = make()
    split = algorithm.train[:30]
    pictures = algorithm.pictures(split)
    assert pictures["first_layer_fields"].shape == (30, 5, 8)
    np.testing.assert_allclose(
        pictures["first_layer_fields"][3], algorithm.layers[0].connections.sources[0].weight[:, 3].view(5, 8), rtol=1e-6
    )
    assert pictures["goodness_right"].shape == (3, 30)
    assert pictures["goodness_wrong"].shape == (3, 270)
    goodness = algorithm.goodness_of_labels(split)
    np.testing.assert_allclose(pictures["goodness_right"][2, 5], goodness[2, 5, split.targets[5]] / 20, rtol=1e-6)


# An epoch and its state ----------------------------------------------------------------------------


def test_an_epoch_takes_its_factor_from_the_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    lr_factors: list[float] = []

    def spy(images: torch.Tensor, targets: torch.Tensor, lr_factor: float) -> torch.Tensor:
        lr_factors.append(lr_factor)
        return torch.zeros(2, dtype=torch.float64)

    algorithm = make()
    monkeypatch.setattr(algorithm, "minibatch", spy)
    for epoch in (5, 6, 10):
        algorithm.train_epoch(epoch)
    assert lr_factors == [1.0] * 10 + [0.9] * 10 + [0.1] * 10


@pytest.mark.parametrize("reshuffle", [True, False])
def test_minibatches_are_reshuffled_or_kept(reshuffle: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    epochs: list[torch.Tensor] = []

    def spy(images: torch.Tensor, targets: torch.Tensor, lr_factor: float) -> torch.Tensor:
        epochs.append(images)
        return torch.zeros(2, dtype=torch.float64)

    algorithm = make(reshuffle=reshuffle)
    monkeypatch.setattr(algorithm, "minibatch", spy)
    algorithm.train_epoch(1)
    algorithm.train_epoch(2)
    first, second = torch.cat(epochs[:10]), torch.cat(epochs[10:])
    assert torch.equal(first, second) != reshuffle
    assert torch.equal(first, algorithm.train.inputs) != reshuffle
    for epoch in (first, second):  # every image once
        assert torch.equal(epoch.sum(1).sort().values, algorithm.train.inputs.sum(1).sort().values)


def test_the_metrics_of_an_epoch_are_means_over_its_images(monkeypatch: pytest.MonkeyPatch) -> None:
    returned = iter(torch.tensor([[1.0, 4.0], [3.0, 2.0]] * 5, dtype=torch.float64))
    algorithm = make()
    monkeypatch.setattr(algorithm, "minibatch", lambda *_, **__: next(returned))
    assert algorithm.train_epoch(1) == {"loss": pytest.approx(2.0), "running_error": pytest.approx(15.0)}


def test_thresholds_are_theta_times_the_goodness_of_ones_and_fixed() -> None:
    for goodness, expected in ((SumOfSquares(), [60.0, 50.0, 40.0]), (MinusSumOfSquares(), [-60.0, -50.0, -40.0])):
        algorithm = make(goodness, threshold=2.0)
        algorithm.train_epoch(1)
        assert [layer.threshold.item() for layer in algorithm.layers] == expected


def test_a_learning_threshold_rises_if_negative_data_exceed_it() -> None:
    algorithm = make(threshold_learning_rate=0.5)
    for layer in algorithm.layers:
        layer.threshold.fill_(-1000.0)  # so p⁺ = p⁻ = 1
    algorithm.minibatch(algorithm.train.inputs[:20], algorithm.train.targets[:20], lr_factor=0.5)
    assert [layer.threshold.item() for layer in algorithm.layers] == pytest.approx([-999.75] * 3)


@pytest.mark.parametrize("negative_labels", ["sampled", "uniform"])
def test_a_resumed_run_goes_on_as_if_uninterrupted(negative_labels: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"negative_labels": negative_labels, "threshold_learning_rate": 0.1}
    whole, cut, resumed = make(**options), make(**options), make(**options)
    expected = [whole.train_epoch(epoch) for epoch in (1, 2, 3)]
    cut.train_epoch(1)
    torch.save(cut.state_dict(), tmp_path / "state.pt")
    resumed.train_epoch(1)  # its earlier state must not matter
    resumed.train_epoch(2)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [resumed.train_epoch(epoch) for epoch in (2, 3)] == expected[1:]
    for layer, other in zip(resumed.layers, whole.layers, strict=True):
        assert torch.equal(layer.connections.sources[0].weight, other.connections.sources[0].weight)
    assert all(torch.equal(a, b) for a, b in zip(resumed.softmax.weights, whole.softmax.weights, strict=True))
    assert all(torch.equal(a.threshold, b.threshold) for a, b in zip(resumed.layers, whole.layers, strict=True))


def test_a_seed_determines_the_training() -> None:
    assert make().train_epoch(1) == make().train_epoch(1)

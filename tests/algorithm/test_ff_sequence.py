"""`ff_sequence` against the formulas in NumPy, and the text of each update, awake or asleep."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ffrepro.algorithm.ff_recurrent import FFRecurrent
from ffrepro.algorithm.ff_sequence import FFSequence
from ffrepro.algorithm.ff_supervised import FFSupervised
from ffrepro.algorithm.ff_unsupervised import FFUnsupervised
from ffrepro.algorithm.ngram import NGram
from ffrepro.architecture.mlp import Mlp
from ffrepro.dataset import Dataset, Split
from ffrepro.dataset.grammar import made_up_text
from ffrepro.errors import UserError
from ffrepro.forward_forward.goodness import SumOfSquares
from ffrepro.forward_forward.layers import HiddenLayer, forward
from ffrepro.forward_forward.passes import Pass
from ffrepro.schedule import HoldThenLinear
from tests.algorithm import test_ff_recurrent, test_ff_supervised, test_ff_unsupervised
from tests.algorithm.made import cpu_setting
from tests.algorithm.test_ngram import LETTERS, split_of
from tests.conftest import make_dataset, tensors

HYPERPARAMETERS: dict[str, Any] = {
    "goodness": SumOfSquares(),
    "batch_size": 20,
    "hidden_layers": "simultaneous",
    "phase_length": None,
    "learning_rate": 0.01,
    "momentum": 0.9,
    "weight_cost": 0.001,
    "peer_normalization": 0.03,
    "threshold": 1.2,
    "head_learning_rate": 0.1,
    "head_momentum": 0.8,
    "head_weight_cost": 0.003,
    "first_layer_counts": True,
}
SEPARATED: dict[str, Any] = {"hidden_layers": "separated", "phase_length": 1}
KINDS = pytest.mark.parametrize(
    "kind",
    [{}, {"hidden_layers": "fixed"}, SEPARATED, {"hidden_layers": "separated", "phase_length": 7}],
    ids=["simultaneous", "fixed", "separated", "long phases"],
)


def made_text(n_strings: int, length: int = 30, window: int = 10, first: int = 0) -> Split:
    """Strings of the made-up text, beginning with number `first`."""
    text = made_up_text((first + n_strings) * length + 1)
    return split_of([text[k * length : (k + 1) * length] for k in range(first, first + n_strings)], window)


def text_dataset(n_strings: int = 12, length: int = 30, dtype: torch.dtype = torch.float32) -> Dataset:
    train, test = made_text(n_strings, length), made_text(n_strings, length, first=n_strings)
    splits = [Split(split.inputs.to(dtype), split.targets, split.strings) for split in (train, test)]
    return Dataset("made", splits[0], splits[1], splits[1], 30, (10, 30), "", stand_in=True, alphabet=LETTERS)


def make(
    dataset: Dataset | None = None,
    *,
    widths: tuple[int, ...] = (30, 25, 20),
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    epochs: int = 10,
    **changed: Any,
) -> FFSequence:
    """A small net on 240 windows, with twelve minibatches per epoch."""
    algorithm = FFSequence(**{**HYPERPARAMETERS, **changed})
    dataset = dataset or text_dataset(dtype=dtype)
    schedule = HoldThenLinear(epochs, 0.0)
    algorithm.begin(cpu_setting(dataset, Mlp(widths, 1.0), schedule=schedule, seed=seed, compute_dtype=dtype))
    return algorithm


def in_float64(**changed: Any) -> FFSequence:
    return make(dtype=torch.float64, **changed)


def texts(windows: Tensor) -> list[str]:
    """Decode one-hot windows (B, 300)."""
    symbols = windows.view(-1, 10, 30)
    assert torch.equal(symbols.sum(2), torch.ones(symbols.shape[:2], dtype=symbols.dtype))
    assert set(symbols.unique().tolist()) == {0, 1}
    return ["".join(LETTERS[place] for place in row) for row in symbols.argmax(2).tolist()]


class InNumpy:
    """The net and its updates, written from the formulas."""

    def __init__(self, algorithm: FFSequence, first_counted: int = 0) -> None:
        self.W = [layer.connections.sources[0].weight.numpy().copy() for layer in algorithm.layers]
        self.b = [np.zeros(W.shape[1]) for W in self.W]
        self.m = [np.full(W.shape[1], 0.5) for W in self.W]
        self.vW = [np.zeros_like(W) for W in self.W]
        self.vb = [np.zeros_like(b) for b in self.b]
        self.first_counted = first_counted
        self.U = [np.zeros((W.shape[1], 30)) for W in self.W[first_counted:]]
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
        _, h = self.forward(x)
        return np.sum([h[k + 1 + self.first_counted] @ U for k, U in enumerate(self.U)], axis=0)

    def learn_softmax(self, x: np.ndarray, t: np.ndarray, lr_factor: float) -> float:
        _, h = self.forward(x)
        q = np.exp(self.logits(x))
        q /= q.sum(1, keepdims=True)
        for k in range(len(self.U)):
            self.u[k] = 0.8 * self.u[k] + 0.2 * h[k + 1 + self.first_counted].T @ (np.eye(30)[t] - q) / len(x)
            self.U[k] = self.U[k] + lr_factor * 0.1 * (self.u[k] - 0.003 * self.U[k])
        return float(-np.log(q[np.arange(len(x)), t]).mean())

    def learn(self, real: np.ndarray | None, own: np.ndarray | None, lr_factor: float) -> float:
        """Update the hidden layers on real text, on the net's own text, or on both. Returns their mean loss."""
        forward = [None if x is None else self.forward(x) for x in (real, own)]
        losses = []
        for k in range(len(self.W)):
            width, loss = self.W[k].shape[1], 0.0
            of_weights, of_biases = np.zeros_like(self.W[k]), np.zeros(width)
            for passes, sign in zip(forward, (1, -1), strict=True):
                if passes is None:
                    continue
                y, x = passes[0][k], passes[1][k]
                p = 1 / (1 + np.exp(-((y**2).sum(1) - 1.2 * width)))
                delta = (1 - p)[:, None] * y if sign > 0 else -p[:, None] * y
                loss += -np.log(p if sign > 0 else 1 - p).mean()
                if sign > 0:
                    self.m[k] = 0.9 * self.m[k] + 0.1 * y.mean(0)
                    delta = delta + 0.03 * (self.m[k].mean() - self.m[k])
                of_weights += x.T @ delta / len(x)
                of_biases += delta.mean(0)
            self.vW[k] = 0.9 * self.vW[k] + 0.1 * of_weights
            self.vb[k] = 0.9 * self.vb[k] + 0.1 * of_biases
            self.W[k] = self.W[k] + lr_factor * 0.01 * (self.vW[k] - 0.001 * self.W[k])
            self.b[k] = self.b[k] + lr_factor * 0.01 * self.vb[k]
            losses.append(loss)
        return float(np.mean(losses))

    def assert_same(self, algorithm: FFSequence) -> None:
        for k, layer in enumerate(algorithm.layers):
            np.testing.assert_allclose(layer.connections.sources[0].weight, self.W[k], rtol=0, atol=1e-10)
            np.testing.assert_allclose(layer.connections.bias, self.b[k], rtol=0, atol=1e-10)
            np.testing.assert_allclose(layer.running_mean, self.m[k], rtol=0, atol=1e-10)
            assert layer.threshold.item() == pytest.approx(1.2 * len(self.b[k]))
        for weight, U in zip(algorithm.softmax.weights, self.U, strict=True):  # noqa: N806
            np.testing.assert_allclose(weight, U, rtol=0, atol=1e-10)
            assert np.abs(U).max() > 1e-3  # it did learn


def hidden_state(algorithm: FFSequence) -> list[Tensor]:
    """The state of all hidden layers."""
    return [value.clone() for layer in algorithm.layers for value in tensors(layer.state_dict())]


def softmax_state(algorithm: FFSequence) -> list[Tensor]:
    return [value.clone() for value in [*algorithm.softmax.weights, *algorithm.softmax.velocities]]


def same(tensors: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(tensors, others, strict=True))


# Simultaneous updates ------------------------------------------------------------------------------


@pytest.mark.parametrize("first_layer_counts", [True, False])
def test_minibatches_follow_the_formulas(first_layer_counts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = in_float64(first_layer_counts=first_layer_counts)
    reference = InNumpy(algorithm, 0 if first_layer_counts else 1)
    draws = np.random.default_rng(0)
    for step in range(6):
        part, lr_factor = slice(20 * step, 20 * step + 20), 1.0 - 0.1 * step
        windows, targets = algorithm.train.inputs[part], algorithm.train.targets[part]
        predicted = draws.integers(30, size=20)
        monkeypatch.setattr(
            FFSequence,
            "predict_symbols",
            lambda self, logits, predicted=predicted: torch.from_numpy(predicted),
        )
        losses = algorithm.minibatch(windows, targets, lr_factor=lr_factor)

        x, t = windows.numpy(), targets.numpy()
        imagined = np.concatenate([x[:, 30:], np.eye(30)[predicted]], axis=1)
        nll = reference.learn_softmax(x, t, lr_factor)
        loss = reference.learn(x, imagined, lr_factor)
        np.testing.assert_allclose(losses, [loss, nll], rtol=1e-10)
    reference.assert_same(algorithm)


def test_an_imagined_window_is_nine_real_characters_and_the_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = make()
    windows, targets = algorithm.train.inputs[:20], algorithm.train.targets[:20]
    predicted = (targets + 1 + torch.arange(20)) % 30
    windows_seen = []

    def spy(layers: list[HiddenLayer], inputs: Tensor) -> tuple[list[Pass], list[Tensor]]:
        windows_seen.append(inputs.clone())
        return forward(layers, inputs)

    monkeypatch.setattr("ffrepro.algorithm.ff_sequence.forward", spy)
    monkeypatch.setattr(FFSequence, "predict_symbols", lambda *_: predicted)
    algorithm.minibatch(windows, targets, lr_factor=1.0)
    real, imagined = windows_seen
    assert torch.equal(real, windows)
    assert imagined.dtype == real.dtype
    assert texts(imagined) == [
        text[1:] + LETTERS[place] for text, place in zip(texts(windows), predicted.tolist(), strict=True)
    ]
    assert (predicted != targets).sum() == 20  # the prediction, not the real next character


def test_real_windows_are_positive_and_imagined_windows_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[tuple[list[Pass], list[Pass]]] = []
    learn = HiddenLayer.learn

    def spy(layer: HiddenLayer, positive: list[Pass], negative: list[Pass], **rates: float) -> Tensor:
        learned.append((positive, negative))
        return learn(layer, positive, negative, **rates)

    monkeypatch.setattr(HiddenLayer, "learn", spy)
    predicted = torch.arange(20)
    monkeypatch.setattr(FFSequence, "predict_symbols", lambda *_: predicted)
    algorithm = in_float64()
    reference = InNumpy(algorithm)
    windows = algorithm.train.inputs[:20]
    imagined = torch.cat([windows[:, 30:], torch.eye(30, dtype=torch.float64)[predicted]], dim=1)
    algorithm.minibatch(windows, algorithm.train.targets[:20], lr_factor=1.0)
    assert len(learned) == 3
    for sign, data in enumerate((windows, imagined)):
        activities, inputs = reference.forward(data.numpy())
        for k in range(3):
            (layer_pass,) = learned[k][sign]
            np.testing.assert_allclose(layer_pass.activities, activities[k], rtol=0, atol=1e-12)
            np.testing.assert_allclose(layer_pass.inputs[0], inputs[k], rtol=0, atol=1e-12)


def test_the_end_is_sampled_from_the_softmax_before_its_update(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = in_float64()
    algorithm.train_epoch(1)
    reference = InNumpy(algorithm)
    reference.b = [layer.connections.bias.numpy().copy() for layer in algorithm.layers]
    reference.U = [weight.numpy().copy() for weight in algorithm.softmax.weights]
    sampled_from = []

    def spy(_: FFSequence, logits: Tensor) -> Tensor:
        sampled_from.append(logits.clone())
        return torch.zeros(20, dtype=torch.long)

    monkeypatch.setattr(FFSequence, "predict_symbols", spy)
    windows = algorithm.train.inputs[:20]
    algorithm.minibatch(windows, algorithm.train.targets[:20], lr_factor=1.0)
    np.testing.assert_allclose(sampled_from[0], reference.logits(windows.numpy()), rtol=0, atol=1e-10)
    assert len(sampled_from) == 1
    assert sampled_from[0].abs().max() > 0.01


def test_the_metrics_of_an_epoch_are_means_over_its_minibatches(monkeypatch: pytest.MonkeyPatch) -> None:
    lr_factors: list[float] = []
    returned = iter(torch.tensor([[1.0, 2.0], [3.0, 2.5]] * 12))

    def step(windows: Tensor, targets: Tensor, lr_factor: float) -> Tensor:
        lr_factors.append(lr_factor)
        return next(returned)

    algorithm = make()
    monkeypatch.setattr(algorithm, "minibatch", step)
    assert algorithm.train_epoch(5) == {"loss": pytest.approx(2.0), "running_perplexity": pytest.approx(math.exp(2.25))}
    algorithm.train_epoch(6)
    assert lr_factors == [1.0] * 12 + [0.9] * 12


def test_every_window_is_used_once_per_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[Tensor] = []

    def spy(windows: Tensor, targets: Tensor, lr_factor: float) -> Tensor:
        used.append(torch.cat([windows, torch.eye(30)[targets]], dim=1))
        return torch.zeros(2)

    algorithm = make()
    monkeypatch.setattr(algorithm, "minibatch", spy)
    for epoch in (1, 2):
        algorithm.train_epoch(epoch)
    train = torch.cat([algorithm.train.inputs, torch.eye(30)[algorithm.train.targets]], dim=1)
    expected = sorted(train.tolist())
    first, second = torch.cat(used[:12]), torch.cat(used[12:])
    assert not torch.equal(first, second)
    for epoch_windows in (first, second):
        assert sorted(epoch_windows.tolist()) == expected


# Fixed hidden layers -------------------------------------------------------------------------------


def test_fixed_layers_do_not_change_while_the_softmax_learns() -> None:
    algorithm = in_float64(hidden_layers="fixed")
    reference, before = InNumpy(algorithm), hidden_state(algorithm)
    for step in range(6):
        part = slice(20 * step, 20 * step + 20)
        windows, targets = algorithm.train.inputs[part], algorithm.train.targets[part]
        losses = algorithm.minibatch(windows, targets, lr_factor=0.7)
        nll = reference.learn_softmax(windows.numpy(), targets.numpy(), 0.7)
        np.testing.assert_allclose(losses, [0, nll], rtol=1e-10)
    reference.assert_same(algorithm)
    metrics = [algorithm.train_epoch(epoch) for epoch in (1, 2, 3)]
    assert same(hidden_state(algorithm), before)
    assert [of_epoch["loss"] for of_epoch in metrics] == [0, 0, 0]
    assert metrics[2]["running_perplexity"] < metrics[0]["running_perplexity"] < 30


def test_fixed_layers_draw_nothing() -> None:
    algorithm = make(hidden_layers="fixed")
    before = algorithm.device_generator.get_state()
    algorithm.train_epoch(1)
    assert torch.equal(algorithm.device_generator.get_state(), before)


# Separated phases ----------------------------------------------------------------------------------


def use_one_batch(algorithm: FFSequence, own: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reduce an epoch to twenty windows, and replace the net's own text."""
    monkeypatch.setattr("ffrepro.algorithm.ff_sequence.batches", lambda *_: torch.arange(20)[None])
    monkeypatch.setattr(algorithm, "dreams", lambda: own)


def test_updates_awake_and_asleep_follow_the_formulas(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = in_float64(**SEPARATED, epochs=4)
    reference = InNumpy(algorithm)
    own = made_text(3, first=50).inputs.double()
    use_one_batch(algorithm, own, monkeypatch)
    x, t = algorithm.train.inputs[:20].numpy(), algorithm.train.targets[:20].numpy()
    for epoch, lr_factor in ((1, 1.0), (2, 1.0), (3, 0.75), (4, 0.25)):
        metrics = algorithm.train_epoch(epoch)
        nll = reference.learn_softmax(x, t, lr_factor)
        awake = reference.learn(x, None, lr_factor)
        means = [m.copy() for m in reference.m]
        asleep = reference.learn(None, own[:20].numpy(), lr_factor)
        assert metrics == {
            "loss": pytest.approx(awake + asleep, rel=1e-10),
            "running_perplexity": pytest.approx(math.exp(nll), rel=1e-10),
        }
        reference.assert_same(algorithm)
        assert all(np.array_equal(m, same) for m, same in zip(means, reference.m, strict=True))


def test_long_phases_follow_the_formulas(monkeypatch: pytest.MonkeyPatch) -> None:
    # Three updates awake and three asleep, in epochs of two.
    algorithm = in_float64(hidden_layers="separated", phase_length=3)
    reference = InNumpy(algorithm)
    own = made_text(3, first=50).inputs.double()
    use_one_batch(algorithm, own, monkeypatch)
    x, t, o = algorithm.train.inputs[:20].numpy(), algorithm.train.targets[:20].numpy(), own[:20].numpy()
    for epoch, phases in enumerate(("aa", "as", "ss", "aa"), start=1):
        metrics = algorithm.train_epoch(epoch)
        losses, nlls = {"a": [], "s": []}, []
        for phase in phases:
            if phase == "a":
                nlls.append(reference.learn_softmax(x, t, 1.0))
            losses[phase].append(reference.learn(x, None, 1.0) if phase == "a" else reference.learn(None, o, 1.0))
        assert metrics["loss"] == pytest.approx(
            sum(np.mean(of_phase) for of_phase in losses.values() if of_phase), rel=1e-10
        )
        assert ("running_perplexity" in metrics) == ("a" in phases)
        if nlls:
            assert metrics["running_perplexity"] == pytest.approx(math.exp(np.mean(nlls)), rel=1e-10)
    reference.assert_same(algorithm)


@pytest.mark.parametrize(
    ("phase_length", "expected"),
    [
        (1, ["asasas", "asasas", "asasas"]),
        (2, ["aassaa", "ssaass", "aassaa"]),
        (3, ["aaasss", "aaasss", "aaasss"]),
        (4, ["aaaass", "ssaaaa", "ssssaa"]),
        (6, ["aaaaaa", "ssssss", "aaaaaa"]),
        (8, ["aaaaaa", "aassss", "ssssaa"]),
        (100, ["aaaaaa", "aaaaaa", "aaaaaa"]),
    ],
)
def test_phases_continue_across_epochs(phase_length: int, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    # Epochs of three minibatches and so six updates.
    algorithm = make(hidden_layers="separated", phase_length=phase_length, batch_size=80)
    own, n_dreams = made_text(12, first=50).inputs, []
    monkeypatch.setattr(algorithm, "dreams", lambda: n_dreams.append(1) or own)
    updates: list[tuple[str, Tensor]] = []

    def spy(layers: list[HiddenLayer], inputs: Tensor) -> tuple[list[Pass], list[Tensor]]:
        updates.append(("", inputs))
        return forward(layers, inputs)

    def learn(layer: HiddenLayer, positive: list[Pass], negative: list[Pass], *, lr_factor: float) -> Tensor:
        assert len(positive) + len(negative) == 1
        if layer is algorithm.layers[0]:
            updates[-1] = ("a" if positive else "s", updates[-1][1])
        return torch.zeros(())

    monkeypatch.setattr("ffrepro.algorithm.ff_sequence.forward", spy)
    monkeypatch.setattr(HiddenLayer, "learn", learn)
    order = torch.arange(240).view(3, 80)
    monkeypatch.setattr("ffrepro.algorithm.ff_sequence.batches", lambda *_: order)
    for epoch, phases in enumerate(expected, start=1):
        updates.clear()
        n_dreams.clear()
        algorithm.train_epoch(epoch)
        assert "".join(phase for phase, _ in updates) == phases
        assert len(n_dreams) == ("s" in phases)  # dreams only if needed
        # Updates awake and updates asleep each go through the minibatches in order.
        for phase, data in (("a", algorithm.train.inputs), ("s", own)):
            for number, inputs in enumerate(inputs for name, inputs in updates if name == phase):
                assert torch.equal(inputs, data[order[number % 3]])


def test_the_softmax_does_not_learn_asleep() -> None:
    algorithm = make(hidden_layers="separated", phase_length=24)  # an epoch awake, an epoch asleep
    assert set(algorithm.train_epoch(1)) == {"loss", "running_perplexity"}
    softmax, layers = softmax_state(algorithm), hidden_state(algorithm)
    assert set(algorithm.train_epoch(2)) == {"loss"}
    assert same(softmax_state(algorithm), softmax)
    assert not same(hidden_state(algorithm), layers)
    algorithm.train_epoch(3)
    assert not same(softmax_state(algorithm), softmax)


def test_there_is_no_peer_normalization_asleep() -> None:
    usual, strong = (make(hidden_layers="separated", phase_length=24, peer_normalization=peer) for peer in (0.03, 3.0))
    usual.train_epoch(1)
    strong.load_state_dict(usual.state_dict())
    for epoch, alike in ((2, True), (3, False)):
        for algorithm in (usual, strong):
            before = [layer.running_mean.clone() for layer in algorithm.layers]
            algorithm.train_epoch(epoch)
            assert same([layer.running_mean for layer in algorithm.layers], before) == alike
        assert same(hidden_state(usual), hidden_state(strong)) == alike


# The net's own text --------------------------------------------------------------------------------


def test_dreams_are_windows_of_characters() -> None:
    algorithm = make(**SEPARATED)
    algorithm.train_epoch(1)
    dreams = algorithm.dreams()
    assert dreams.shape == (240, 300)
    assert dreams.dtype == torch.float32
    assert len(set("".join(texts(dreams)))) > 15


def test_dreams_continue_the_real_beginnings() -> None:
    algorithm = make(**SEPARATED)
    algorithm.train_epoch(1)
    dreams, real = texts(algorithm.dreams()), texts(algorithm.train.inputs)
    n_same = 0
    for string in range(12):
        own, original = (windows[20 * string : 20 * string + 20] for windows in (dreams, real))
        # The first window, which is real, is left out.
        assert own[0][:9] == original[0][1:]
        for before, after in pairwise(own):
            assert after[:9] == before[1:]
        n_same += sum(a == b for a, b in zip(own, original[1:], strict=False))
    assert n_same < 24  # not the real text


def test_dreams_follow_the_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    def successor(windows: Tensor) -> Tensor:
        return 200.0 * windows.view(-1, 10, 30)[:, -1].roll(1, dims=1)

    algorithm = make(**SEPARATED)
    monkeypatch.setattr(algorithm, "logits", successor)
    dreams = texts(algorithm.dreams())
    starts = texts(algorithm.train.inputs[::20])
    for string, start in enumerate(starts):
        last = LETTERS.index(start[-1])
        whole = start + "".join(LETTERS[(last + k) % 30] for k in range(1, 21))
        assert dreams[20 * string : 20 * string + 20] == [whole[k : k + 10] for k in range(1, 21)]


def test_each_character_of_a_dream_is_sampled_from_the_softmax(monkeypatch: pytest.MonkeyPatch) -> None:
    # A half, a quarter and a quarter, for any context.
    logits = torch.full((30,), -math.inf)
    logits[[4, 7, 26]] = torch.tensor([0.5, 0.25, 0.25]).log()
    algorithm = make(text_dataset(100), **SEPARATED)
    monkeypatch.setattr(algorithm, "logits", lambda windows: logits.expand(len(windows), -1))
    last = [text[-1] for text in texts(algorithm.dreams())]
    assert len(last) == 2000
    assert set(last) == {"e", "h", " "}
    for letter, share in (("e", 0.5), ("h", 0.25), (" ", 0.25)):
        assert last.count(letter) / 2000 == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / 2000))


def test_a_seed_determines_the_dreams() -> None:
    first, again, other = (make(**SEPARATED, seed=seed) for seed in (0, 0, 1))
    written = first.dreams()
    assert torch.equal(written, again.dreams())
    assert not torch.equal(written, other.dreams())
    second = first.dreams()
    assert not torch.equal(written, second)  # each night has its own dreams
    assert torch.equal(second, again.dreams())


def test_dreams_suffice_for_a_reduced_data_set() -> None:
    for n in (5, 20, 25, 230):
        algorithm = make(text_dataset().reduced(n, None), **SEPARATED, batch_size=5)
        assert len(texts(algorithm.dreams())) >= n
        algorithm.train_epoch(1)


# Independent objectives ----------------------------------------------------------------------------


def weights_after_a_minibatch(**thresholds: float) -> list[Tensor]:
    """The weights of all layers after an update. `layer_2=…` multiplies the threshold of layer 2, and so on."""
    algorithm = make()
    for k in range(3):
        algorithm.layers[k].threshold *= thresholds.get(f"layer_{k + 1}", 1.0)
    algorithm.minibatch(algorithm.train.inputs[:20], algorithm.train.targets[:20], lr_factor=1.0)
    return weights(algorithm)


def weights(algorithm: FFSequence) -> list[Tensor]:
    return [layer.connections.sources[0].weight.clone() for layer in algorithm.layers]


@pytest.mark.parametrize("moved", [1, 2, 3])
def test_a_layers_objective_changes_no_other_layer(moved: int) -> None:
    usual, changed = weights_after_a_minibatch(), weights_after_a_minibatch(**{f"layer_{moved}": 0.5})
    for number, (weight, other) in enumerate(zip(usual, changed, strict=True), start=1):
        assert torch.equal(weight, other) == (number != moved)


@pytest.mark.parametrize("kind", [{}, SEPARATED], ids=["simultaneous", "separated"])
@pytest.mark.parametrize("moved", [2, 3])
def test_a_layers_objective_changes_no_layer_below(
    moved: int, kind: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # It could only through the net's own text, which is fixed here.
    monkeypatch.setattr(FFSequence, "predict_symbols", lambda *_: torch.arange(20))
    monkeypatch.setattr(FFSequence, "dreams", lambda _: made_text(12, first=50).inputs)
    usual, changed = make(**kind), make(**kind)
    changed.layers[moved - 1].threshold *= 0.5
    for algorithm in (usual, changed):
        algorithm.train_epoch(1)
    for number, (weight, other) in enumerate(zip(weights(usual), weights(changed), strict=True), start=1):
        assert torch.equal(weight, other) == (number < moved)


def test_the_softmax_changes_no_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FFSequence, "predict_symbols", lambda *_: torch.arange(20))
    usual, fast = make(), make(head_learning_rate=10.0)
    for algorithm in (usual, fast):
        algorithm.train_epoch(1)
    assert not same(softmax_state(usual), softmax_state(fast))
    assert same(hidden_state(usual), hidden_state(fast))


@KINDS
def test_autograd_is_not_used(kind: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("autograd")

    monkeypatch.setattr(torch.Tensor, "backward", forbidden)
    monkeypatch.setattr(torch.autograd, "backward", forbidden)
    monkeypatch.setattr(torch.autograd, "grad", forbidden)
    algorithm = make(**kind)
    with torch.enable_grad():
        algorithm.train_epoch(1)
    assert not any(value.requires_grad for value in hidden_state(algorithm) + softmax_state(algorithm))


def test_a_single_layer_has_to_count() -> None:
    with pytest.raises(UserError, match=r"a net of one hidden layer needs algorithm\.first_layer_counts=true"):
        make(widths=(30,), first_layer_counts=False)


@pytest.mark.parametrize(
    ("widths", "first_layer_counts", "counted"),
    [((30, 25, 20), True, [30, 25, 20]), ((30, 25, 20), False, [25, 20]), ((30,), True, [30])],
)
def test_the_softmax_uses_the_layers_that_count(
    widths: tuple[int, ...], first_layer_counts: bool, counted: list[int]
) -> None:
    algorithm = in_float64(widths=widths, first_layer_counts=first_layer_counts)
    assert [tuple(weight.shape) for weight in algorithm.softmax.weights] == [(width, 30) for width in counted]
    reference = InNumpy(algorithm, len(widths) - len(counted))
    for U, weight in zip(reference.U, algorithm.softmax.weights, strict=True):  # noqa: N806
        weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
        U[:] = weight.numpy()
    windows = algorithm.train.inputs[:50]
    np.testing.assert_allclose(algorithm.logits(windows), reference.logits(windows.numpy()), rtol=0, atol=1e-10)


# The test ------------------------------------------------------------------------------------------


def test_evaluation_is_by_hand_and_does_not_read_the_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ffrepro.evaluate.ROWS", 70)  # parts that do not divide the windows
    algorithm = in_float64()
    algorithm.train_epoch(1)
    split = algorithm.train
    reference = InNumpy(algorithm)
    reference.b = [layer.connections.bias.numpy() for layer in algorithm.layers]
    reference.U = [weight.numpy() for weight in algorithm.softmax.weights]
    logits = reference.logits(split.inputs.numpy())
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for targets in (split.targets, (split.targets + 1) % 30):
        loss = -np.log(probabilities[np.arange(240), targets.numpy()]).mean()
        metrics = algorithm.evaluate(Split(split.inputs, targets, split.strings))
        assert metrics["perplexity"] == pytest.approx(np.exp(loss), rel=1e-8)
        assert metrics["bits_per_character"] == pytest.approx(loss / np.log(2), rel=1e-10)
        assert metrics["accuracy"] == pytest.approx(100 * (logits.argmax(1) == targets.numpy()).mean())
        assert metrics["perplexity_low"] < metrics["perplexity"] < metrics["perplexity_high"]
        assert algorithm.monitor(Split(split.inputs, targets, split.strings)) == {"perplexity": metrics["perplexity"]}


def test_before_training_all_characters_are_equally_likely() -> None:
    algorithm = make()
    assert algorithm.evaluate(algorithm.train)["perplexity"] == pytest.approx(30, rel=1e-6)


@pytest.mark.parametrize("kind", ["simultaneous", "separated"])
def test_training_predicts_better_than_the_frequencies_of_characters(kind: str) -> None:
    dataset = text_dataset(80, 50)
    assert dataset.validation is not None
    unigram = NGram(order=1)
    unigram.begin(cpu_setting(dataset, Mlp((5,), 1.0)))
    unigram.train_epoch(1)
    frequencies = unigram.monitor(dataset.validation)["perplexity"]
    assert 12 < frequencies < 20
    phase_length = 1 if kind == "separated" else None
    algorithm = make(dataset, widths=(60, 60), epochs=4, batch_size=40, hidden_layers=kind, phase_length=phase_length)
    metrics = [algorithm.train_epoch(epoch) for epoch in range(1, 5)]
    assert metrics[-1]["loss"] < 0.6 * metrics[0]["loss"]
    assert metrics[-1]["running_perplexity"] < 0.8 * metrics[0]["running_perplexity"]
    assert algorithm.monitor(dataset.validation)["perplexity"] < 0.8 * frequencies


def test_pictures_are_fields_and_text() -> None:
    algorithm = make()
    algorithm.train_epoch(1)
    before = [algorithm.generator.get_state(), algorithm.device_generator.get_state()]
    first, again = (algorithm.pictures(algorithm.train[:50]) for _ in range(2))
    assert set(first) == {"first_layer_fields", "text_temperature_1", "text_temperature_0.5"}
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert same([algorithm.generator.get_state(), algorithm.device_generator.get_state()], before)
    assert first["first_layer_fields"].shape == (30, 10, 30)
    np.testing.assert_array_equal(
        first["first_layer_fields"][3],
        weights(algorithm)[0][:, 3].view(10, 30),
    )
    written = [bytes(row).decode() for row in first["text_temperature_1"]]
    assert [text[:10] for text in written] == texts(algorithm.train.inputs[[0, 20, 40]])


# State ---------------------------------------------------------------------------------------------


@KINDS
def test_a_resumed_run_goes_on_as_if_uninterrupted(kind: dict[str, Any], tmp_path: Path) -> None:
    whole, cut, resumed = (make(**kind, epochs=4) for _ in range(3))
    expected = [whole.train_epoch(epoch) for epoch in (1, 2, 3, 4)]
    for epoch in (1, 2):
        cut.train_epoch(epoch)
    torch.save(cut.state_dict(), tmp_path / "state.pt")
    resumed.train_epoch(1)  # its earlier state must not matter
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [resumed.train_epoch(epoch) for epoch in (3, 4)] == expected[2:]
    assert same(hidden_state(resumed), hidden_state(whole))
    assert same(softmax_state(resumed), softmax_state(whole))
    assert resumed.evaluate(resumed.train) == whole.evaluate(whole.train)
    assert torch.equal(resumed.dreams(), whole.dreams())


@KINDS
def test_a_seed_determines_the_training(kind: dict[str, Any]) -> None:
    first, again, other = (make(**kind, seed=seed) for seed in (0, 0, 1))
    for algorithm in (first, again, other):
        algorithm.train_epoch(1)
    assert same(hidden_state(first), hidden_state(again))
    assert same(softmax_state(first), softmax_state(again))
    assert not same(hidden_state(first), hidden_state(other))


# Mistakes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "phase_length"),
    [
        ("simultaneous", 1),
        ("fixed", 1),
        ("separated", None),
        ("separated", -1),
        ("separated", 0),
    ],
)
def test_the_phase_length_is_for_separated_phases_only(kind: str, phase_length: int | None) -> None:
    words = f"algorithm.phase_length is {phase_length} and algorithm.hidden_layers {kind}: expected 1 update or more"
    with pytest.raises(UserError, match=words):
        make(hidden_layers=kind, phase_length=phase_length)


@KINDS
@pytest.mark.parametrize("batch_size", [0, 241])
def test_a_minibatch_has_to_fit(batch_size: int, kind: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=rf"algorithm\.batch_size is {batch_size}: expected 1 to 240"):
        make(**kind, batch_size=batch_size).train_epoch(1)


@KINDS
def test_an_overflowing_perplexity_is_infinite(kind: dict[str, Any]) -> None:
    # The weights are finite, but the run has diverged.
    metrics = make(**kind, head_learning_rate=1e5).train_epoch(1)
    assert metrics["running_perplexity"] == math.inf


def test_images_are_refused() -> None:
    with pytest.raises(UserError, match=r"dataset made is images, .*try dataset=aesop"):
        make(make_dataset())


@pytest.mark.parametrize(
    ("algorithm", "hyperparameters"),
    [
        (FFSupervised, test_ff_supervised.HYPERPARAMETERS),
        (FFUnsupervised, test_ff_unsupervised.HYPERPARAMETERS),
        (FFRecurrent, test_ff_recurrent.HYPERPARAMETERS),
    ],
)
def test_algorithms_of_images_refuse_text(algorithm: Any, hyperparameters: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"dataset made is text, .*try dataset=mnist"):
        algorithm(**hyperparameters).begin(cpu_setting(text_dataset(), Mlp((30, 25, 20), 1.0)))

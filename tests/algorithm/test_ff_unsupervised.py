"""`ff_unsupervised` against the formulas in NumPy, and the data that each of its parts learns from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ffrepro.algorithm.ff_unsupervised import FFUnsupervised
from ffrepro.architecture import LayerArchitecture
from ffrepro.architecture.local_receptive_fields import LocalReceptiveFields
from ffrepro.architecture.mlp import Mlp
from ffrepro.dataset import Split
from ffrepro.errors import UserError
from ffrepro.forward_forward.goodness import SumOfSquares
from ffrepro.forward_forward.layers import HiddenLayer
from ffrepro.forward_forward.local_fields import LocalFields
from ffrepro.forward_forward.negatives import hybrid_images
from ffrepro.schedule import HoldThenLinear
from tests.algorithm.made import cpu_setting, made_images
from tests.conftest import tensors
from tests.forward_forward.test_weights import as_dense, mask_of

HYPERPARAMETERS: dict[str, Any] = {
    "goodness": SumOfSquares(),
    "batch_size": 20,
    "reshuffle": True,
    "blurs": 2,
    "different_digits": False,
    "learning_rate": 0.01,
    "momentum": 0.9,
    "weight_cost": 0.001,
    "peer_normalization": 0.03,
    "threshold": 1.0,
    "softmax": "beside",
    "softmax_epochs": 4,
    "head_learning_rate": 0.1,
    "head_weight_cost": 0.003,
    "first_layer_counts": False,
}
DENSE = Mlp((30, 25, 20), 1.0)
LOCAL = LocalReceptiveFields([(3, 2, 3, 6), (2, 1, 2, 8), (1, 1, 2, 20)], 1.0, 0)
CUT = LocalReceptiveFields([(6, 1, 3, 3), (6, 1, 3, 2), (6, 1, 3, 2)], 1.0, 1)  # on color images
ARCHITECTURES = pytest.mark.parametrize(
    "architecture", [DENSE, LOCAL, CUT], ids=["mlp", "local_receptive_fields", "cut off"]
)
IMAGE_SHAPES: dict[LayerArchitecture, tuple[int, ...]] = {DENSE: (5, 8), LOCAL: (7, 7), CUT: (6, 6, 3)}


def make(architecture: LayerArchitecture = DENSE, *, n: int = 200, epochs: int = 10, **changed: Any) -> FFUnsupervised:
    """A small net on made-up images, in float64."""
    algorithm = FFUnsupervised(**{**HYPERPARAMETERS, **changed})
    dataset = made_images(n, IMAGE_SHAPES.get(architecture, (5, 8)))
    algorithm.begin(cpu_setting(dataset, architecture, schedule=HoldThenLinear(epochs, 0.0)))
    return algorithm


def weights_of(layer: HiddenLayer) -> tuple[np.ndarray, np.ndarray]:
    """The weights of a layer as a dense matrix, and a mask of the weights that exist."""
    (weights,) = layer.connections.sources
    if isinstance(weights, LocalFields):
        return as_dense(weights.geometry, weights.weight).numpy(), mask_of(weights.geometry).numpy()
    return weights.weight.numpy().copy(), np.ones_like(weights.weight.numpy())


def n(a: np.ndarray) -> np.ndarray:
    return a / (1e-10 + np.sqrt((a**2).mean(1, keepdims=True)))


def sigma(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


class InNumpy:
    """The minibatch of the released code, with hybrid images, written from its formulas."""

    def __init__(self, algorithm: FFUnsupervised) -> None:
        self.W, self.masks = map(list, zip(*(weights_of(layer) for layer in algorithm.layers), strict=True))
        self.b = [np.zeros(W.shape[1]) for W in self.W]
        self.m = [np.full(W.shape[1], 0.5) for W in self.W]
        self.vW = [np.zeros_like(W) for W in self.W]
        self.vb = [np.zeros_like(b) for b in self.b]
        self.U = {span: [np.zeros((W.shape[1], 10)) for W in self.W[span[0] : span[1] + 1]] for span in ALL_SPANS}
        self.u = {span: [np.zeros_like(U) for U in Us] for span, Us in self.U.items()}

    def forward(self, x: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        below, ys = [n(x)], []
        for W, b in zip(self.W, self.b, strict=True):  # noqa: N806
            ys.append(np.maximum(0, below[-1] @ W + b))
            below.append(n(ys[-1]))
        return ys, below

    def logits(self, x: np.ndarray, span: tuple[int, int]) -> np.ndarray:
        _, h = self.forward(x)
        return np.sum([h[k + 1] @ U for k, U in zip(range(span[0], span[1] + 1), self.U[span], strict=True)], axis=0)

    def learn_softmax(self, x: np.ndarray, t: np.ndarray, lr_factor: float) -> None:
        _, h = self.forward(x)
        for span in self.U:
            q = np.exp(self.logits(x, span))
            q /= q.sum(1, keepdims=True)
            for place, k in enumerate(range(span[0], span[1] + 1)):
                u, U = self.u[span][place], self.U[span][place]  # noqa: N806
                u[:] = 0.9 * u + 0.1 * h[k + 1].T @ (np.eye(10)[t] - q) / len(x)
                U[:] = U + lr_factor * 0.1 * (u - 0.003 * U)

    def minibatch(self, x: np.ndarray, hybrids: np.ndarray, t: np.ndarray, lr_factor: float) -> float:
        yp, hp = self.forward(x)
        yn, hn = self.forward(hybrids)
        self.learn_softmax(x, t, lr_factor)
        losses = []
        for k in range(len(self.W)):
            width = self.W[k].shape[1]
            pp = sigma((yp[k] ** 2).sum(1) - width)
            pn = sigma((yn[k] ** 2).sum(1) - width)
            losses.append(-np.log(pp).mean() - np.log(1 - pn).mean())
            self.m[k] = 0.9 * self.m[k] + 0.1 * yp[k].mean(0)
            dp = (1 - pp)[:, None] * yp[k] + 0.03 * (self.m[k].mean() - self.m[k])
            dn = -pn[:, None] * yn[k]
            self.vW[k] = 0.9 * self.vW[k] + 0.1 * self.masks[k] * (hp[k].T @ dp + hn[k].T @ dn) / len(x)
            self.vb[k] = 0.9 * self.vb[k] + 0.1 * (dp.sum(0) + dn.sum(0)) / len(x)
            self.W[k] = self.W[k] + lr_factor * 0.01 * (self.vW[k] - 0.001 * self.W[k])
            self.b[k] = self.b[k] + lr_factor * 0.01 * self.vb[k]
        return float(np.mean(losses))


ALL_SPANS = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2)]


def weights_of_softmax(algorithm: FFUnsupervised, span: tuple[int, int]) -> list[Tensor]:
    """The weights (width, 10) of a softmax on each layer of its span. A layer stores those of all its softmaxes."""
    weights = []
    for k in range(span[0], span[1] + 1):
        members = [(first, last) for first, last in algorithm.softmaxes.spans if first <= k <= last]
        start = 10 * members.index(span)
        weights.append(algorithm.softmaxes.weights[k][:, start : start + 10])
    return weights


@ARCHITECTURES
@pytest.mark.parametrize("first_layer_counts", [False, True])
def test_minibatches_follow_the_formulas(
    architecture: LayerArchitecture, first_layer_counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm = make(architecture, first_layer_counts=first_layer_counts)
    span = (0, 2) if first_layer_counts else (1, 2)
    reference = InNumpy(algorithm)
    assert set(algorithm.softmaxes.spans) == set(ALL_SPANS)
    draws = np.random.default_rng(0)
    for step in range(6):
        part = slice(20 * step, 20 * step + 20)
        images, targets = algorithm.train.inputs[part], algorithm.train.targets[part]
        x, t = images.numpy(), targets.numpy()
        hybrids = np.where(draws.random(x.shape) < 0.5, x, np.roll(x, step + 1, axis=0))
        monkeypatch.setattr(FFUnsupervised, "hybrids", lambda *_, hybrids=hybrids: torch.from_numpy(hybrids))
        wrong = (reference.logits(x, span).argmax(1) != t).sum()
        loss, errors = algorithm.minibatch(images, targets, lr_factor=0.7).tolist()
        assert loss == pytest.approx(reference.minibatch(x, hybrids, t, lr_factor=0.7), rel=1e-10)
        assert errors == wrong
    for k, layer in enumerate(algorithm.layers):
        np.testing.assert_allclose(weights_of(layer)[0], reference.W[k], rtol=0, atol=1e-10)
        np.testing.assert_allclose(layer.connections.bias, reference.b[k], rtol=0, atol=1e-10)
        np.testing.assert_allclose(layer.running_mean, reference.m[k], rtol=0, atol=1e-10)
        assert layer.threshold.item() == reference.W[k].shape[1]
    for span in ALL_SPANS:
        for weight, expected in zip(weights_of_softmax(algorithm, span), reference.U[span], strict=True):
            np.testing.assert_allclose(weight, expected, rtol=0, atol=1e-10)
            assert np.abs(expected).max() > 1e-3  # it did learn
    assert min(np.abs(b).max() for b in reference.b) > 1e-4


# Hybrids -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("different_digits", [False, True])
def test_each_minibatch_draws_its_own_hybrids(different_digits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = make(blurs=3, different_digits=different_digits)
    hybrids: list[Tensor] = []

    def spy(images: Tensor, *arguments: Any) -> Tensor:
        assert torch.equal(images, algorithm.train.inputs[:20])
        *others, targets = arguments
        assert others == [(5, 8), 3, algorithm.device_generator]
        assert torch.equal(targets, algorithm.train.targets[:20]) if different_digits else targets is None
        hybrids.append(hybrid_images(images, *arguments))
        return hybrids[-1]

    monkeypatch.setattr("ffrepro.algorithm.ff_unsupervised.hybrid_images", spy)
    for _ in range(2):
        algorithm.minibatch(algorithm.train.inputs[:20], algorithm.train.targets[:20], lr_factor=1.0)
    assert not torch.equal(*hybrids)


def test_hybrids_are_of_different_digits_on_request_only() -> None:
    images = torch.arange(20, dtype=torch.float64).unsqueeze(1).expand(20, 40)  # every pixel tells its image
    targets = torch.arange(20) % 2

    def of_one_digit(algorithm: FFUnsupervised) -> int:
        hybrids = algorithm.hybrids(images, targets, torch.Generator().manual_seed(0))
        return int((hybrids.long() % 2 == targets.unsqueeze(1)).all(1).sum())

    assert of_one_digit(make(different_digits=True)) == 0
    assert of_one_digit(make()) > 4


def test_negative_blurs_are_refused() -> None:
    with pytest.raises(UserError, match=r"algorithm\.blurs is -1"):
        make(blurs=-1)
    make(blurs=0).train_epoch(1)


def test_a_hybrid_needs_another_image() -> None:
    with pytest.raises(UserError, match=r"algorithm\.batch_size is 1"):
        make(batch_size=1)


# Independent objectives ----------------------------------------------------------------------------


def layer_state(algorithm: FFUnsupervised) -> list[Tensor]:
    """Everything that the layers have learned."""
    return [value for layer in algorithm.layers for value in tensors(layer.state_dict())]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def softmax_weights(algorithm: FFUnsupervised) -> list[Tensor]:
    return algorithm.softmaxes.weights


@ARCHITECTURES
@pytest.mark.parametrize("softmax", ["beside", "after"])
def test_the_layers_learn_without_labels(architecture: LayerArchitecture, softmax: str) -> None:
    usual, misled = (make(architecture, softmax=softmax, epochs=2) for _ in range(2))
    permutation = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    misled.train = Split(misled.train.inputs, misled.train.targets[permutation])
    start = [value.clone() for value in layer_state(usual)]
    for algorithm in (usual, misled):
        for epoch in (1, 2):
            algorithm.train_epoch(epoch)
    assert same(layer_state(usual), layer_state(misled))
    assert not any(torch.equal(a, b) for a, b in zip(softmax_weights(usual), softmax_weights(misled), strict=True))
    assert not torch.equal(start[0], layer_state(usual)[0])


def test_a_layers_objective_changes_no_other_layer() -> None:
    def weights_after_a_minibatch(moved: int | None) -> list[Tensor]:
        algorithm = make()
        if moved is not None:
            algorithm.layers[moved].threshold *= 0.5
        algorithm.minibatch(algorithm.train.inputs[:20], algorithm.train.targets[:20], lr_factor=1.0)
        return [layer.connections.sources[0].weight for layer in algorithm.layers]

    usual = weights_after_a_minibatch(None)
    for moved in range(3):
        for k, (weight, other) in enumerate(zip(usual, weights_after_a_minibatch(moved), strict=True)):
            assert torch.equal(weight, other) == (k != moved)


# A softmax after the layers ------------------------------------------------------------------------


def test_a_softmax_after_the_layers_learns_last_and_leaves_the_layers_alone() -> None:
    beside, after = make(epochs=3), make(epochs=3, softmax="after")
    for epoch in (1, 2):
        assert set(beside.train_epoch(epoch)) == {"loss", "running_error"}
        assert set(after.train_epoch(epoch)) == {"loss"}
        assert same(layer_state(after), layer_state(beside))
        assert not any(weight.any() for weight in softmax_weights(after))
        assert after.monitor(after.train) == {}
        assert set(beside.monitor(beside.train)) == {"error_softmax"}
    last, expected = after.train_epoch(3), beside.train_epoch(3)
    assert set(last) == {"loss", "running_error"}
    assert last["loss"] == expected["loss"]
    assert same(layer_state(after), layer_state(beside))  # the four epochs of the softmax have not changed them
    assert all(weight.any() for weight in softmax_weights(after))
    error = after.evaluate(after.train)["error"]
    assert after.monitor(after.train) == {"error_softmax": error}
    assert error < 75  # by chance 90


@ARCHITECTURES
def test_a_softmax_after_the_layers_has_its_own_schedule(architecture: LayerArchitecture) -> None:
    algorithm = make(architecture, epochs=2, softmax="after", reshuffle=False)
    reference = InNumpy(algorithm)
    algorithm.train_epoch(1)
    metrics = algorithm.train_epoch(2)
    reference.W = [weights_of(layer)[0] for layer in algorithm.layers]
    reference.b = [layer.connections.bias.numpy() for layer in algorithm.layers]
    x, t = algorithm.train.inputs.numpy(), algorithm.train.targets.numpy()
    wrong = 0
    for lr_factor in (1.0, 1.0, 0.75, 0.25):  # four epochs; the error is that of the last
        wrong = 0
        for start in range(0, 200, 20):
            part = slice(start, start + 20)
            wrong += (reference.logits(x[part], (1, 2)).argmax(1) != t[part]).sum()
            reference.learn_softmax(x[part], t[part], lr_factor)
    for span in ALL_SPANS:
        for weight, expected in zip(weights_of_softmax(algorithm, span), reference.U[span], strict=True):
            np.testing.assert_allclose(weight, expected, rtol=0, atol=1e-10)
    assert metrics["running_error"] == pytest.approx(100 * wrong / 200)


# The test ------------------------------------------------------------------------------------------


@ARCHITECTURES
@pytest.mark.parametrize("first_layer_counts", [False, True])
def test_errors_equal_a_loop_over_images(
    architecture: LayerArchitecture, first_layer_counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ffrepro.algorithm.ff_unsupervised.ROWS", 30)  # parts that do not divide the images
    algorithm = make(architecture, first_layer_counts=first_layer_counts)
    for epoch in (1, 2, 3):
        algorithm.train_epoch(epoch)
    generator = torch.Generator().manual_seed(0)
    for weight in softmax_weights(algorithm):  # spans with different errors
        weight.add_(torch.randn(weight.shape, generator=generator, dtype=torch.float64), alpha=0.04)
    split = algorithm.train[:100]
    names = {(k, k): f"error_softmax_layer_{k + 1}" for k in range(3)}
    names |= {(0, 2): "error_softmax_layers_1_to_3", (1, 2): "error_softmax_layers_2_to_3"}
    span = (0, 2) if first_layer_counts else (1, 2)
    wrong = dict.fromkeys({span, *names}, 0)
    learned = [(weights_of(layer)[0], layer.connections.bias.numpy()) for layer in algorithm.layers]
    for image, target in zip(split.inputs.numpy(), split.targets.tolist(), strict=True):
        below, outputs = image, []
        for weight, bias in learned:
            below = below / np.sqrt((below**2).mean())
            below = np.maximum(0, below @ weight + bias)
            outputs.append(below / np.sqrt((below**2).mean()))
        for first, last in wrong:
            weights = weights_of_softmax(algorithm, (first, last))
            logits = sum(y @ U.numpy() for y, U in zip(outputs[first : last + 1], weights, strict=True))
            wrong[first, last] += int(np.argmax(logits) != target)
    expected = {name: wrong[span] for span, name in names.items()}
    expected |= {"error": wrong[span], "error_softmax": wrong[span]}
    metrics = algorithm.evaluate(split)
    assert metrics == {name: pytest.approx(100 * count / 100) for name, count in expected.items()}
    assert algorithm.monitor(split) == {"error_softmax": metrics["error"]}
    assert len(set(wrong.values())) == len(wrong)  # all spans differ


def test_a_single_hidden_layer_always_counts() -> None:
    for first_layer_counts in (False, True):
        algorithm = make(Mlp((30,), 1.0), first_layer_counts=first_layer_counts)
        assert algorithm.softmaxes.spans == [(0, 0)]
        algorithm.train_epoch(1)
        metrics = algorithm.evaluate(algorithm.train)
        assert set(metrics) == {"error", "error_softmax", "error_softmax_layer_1"}
        assert len(set(metrics.values())) == 1


def test_the_test_does_not_read_the_labels() -> None:
    algorithm = make()
    algorithm.train_epoch(1)
    split = algorithm.train
    permuted = Split(split.inputs, split.targets.flip(0))
    for logits, other in zip(algorithm.logits(split).values(), algorithm.logits(permuted).values(), strict=True):
        assert torch.equal(logits, other)


@pytest.mark.parametrize("architecture", [DENSE, LOCAL], ids=["mlp", "local_receptive_fields"])
def test_training_separates_images_from_hybrids_and_classes(architecture: LayerArchitecture) -> None:
    algorithm = make(architecture, n=400, epochs=8, learning_rate=0.06)
    assert algorithm.evaluate(algorithm.train)["error"] > 80  # the softmax starts at 0
    losses = [algorithm.train_epoch(epoch)["loss"] for epoch in range(1, 9)]
    assert losses[-1] < 0.5 * losses[0]
    assert max(algorithm.evaluate(algorithm.train).values()) < 20
    pictures = algorithm.pictures(algorithm.train)
    separated = (pictures["goodness_positive"] > pictures["goodness_negative"]).mean(1)
    assert (separated > 0.58).all()  # by chance 0.5 ± 0.025


# Pictures ------------------------------------------------------------------------------------------


@ARCHITECTURES
def test_pictures_are_fields_hybrids_and_goodness_over_the_threshold(architecture: LayerArchitecture) -> None:
    algorithm = make(architecture)
    algorithm.train_epoch(1)
    image_shape = algorithm.image_shape
    for n_images in (50, 10):
        pictures = algorithm.pictures(algorithm.train[:n_images])
        assert set(pictures) == {"first_layer_fields", "hybrid_images", "goodness_positive", "goodness_negative"}
        shape = {DENSE: (30, 5, 8), LOCAL: (54, 3, 3), CUT: (64, 3, 3, 3)}[architecture]
        assert pictures["first_layer_fields"].shape == shape
        assert pictures["hybrid_images"].shape[1:] == image_shape
        assert (len(pictures["hybrid_images"]) < n_images) == (n_images == 50)  # all if there are few
        assert pictures["goodness_positive"].shape == pictures["goodness_negative"].shape == (3, n_images)
        assert all(values.dtype == np.float32 for values in pictures.values())
    # Each hybrid mixes two of the ten images, and the goodness is that of these images and hybrids.
    images = algorithm.train.inputs[:10].numpy()
    shown = pictures["hybrid_images"].reshape(10, -1)
    assert not np.array_equal(shown, images.astype(np.float32))
    assert (shown[:, None] == images.astype(np.float32)[None]).any(1).all()
    reference = InNumpy(algorithm)
    reference.b = [layer.connections.bias.numpy() for layer in algorithm.layers]
    for name, data, within in (("positive", images, 1e-6), ("negative", shown.astype(np.float64), 1e-5)):
        activities, _ = reference.forward(data)
        expected = [(y**2).sum(1) / y.shape[1] for y in activities]
        np.testing.assert_allclose(pictures[f"goodness_{name}"], expected, rtol=within)


@pytest.mark.parametrize("different_digits", [False, True])
def test_pictures_show_the_hybrids_of_training(different_digits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = make(different_digits=different_digits)
    classes: list[Tensor | None] = []

    def spy(images: Tensor, *arguments: Any) -> Tensor:
        classes.append(arguments[-1])
        return hybrid_images(images, *arguments)

    monkeypatch.setattr("ffrepro.algorithm.ff_unsupervised.hybrid_images", spy)
    algorithm.pictures(algorithm.train[:10])
    (targets,) = classes
    if different_digits:
        assert targets is not None
        assert torch.equal(targets, algorithm.train.targets[:10])
    else:
        assert targets is None


def test_pictures_repeat_and_draw_nothing_from_the_generators_of_training() -> None:
    algorithm = make()
    before = [state.clone() for state in algorithm.state_dict()["generators"]]
    first, second = (algorithm.pictures(algorithm.train[:30]) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert same(algorithm.state_dict()["generators"], before)


# An epoch and its state ----------------------------------------------------------------------------


def test_the_metrics_of_an_epoch_are_means_over_its_images(monkeypatch: pytest.MonkeyPatch) -> None:
    lr_factors: list[float] = []
    returned = iter(torch.tensor([[1.0, 4.0], [3.0, 2.0]] * 10, dtype=torch.float64))

    def step(images: Tensor, targets: Tensor, lr_factor: float) -> Tensor:
        lr_factors.append(lr_factor)
        return next(returned)

    algorithm = make()
    monkeypatch.setattr(algorithm, "minibatch", step)
    assert algorithm.train_epoch(5) == {"loss": pytest.approx(2.0), "running_error": pytest.approx(15.0)}
    algorithm.train_epoch(6)
    assert lr_factors == [1.0] * 10 + [0.9] * 10


@pytest.mark.parametrize("reshuffle", [True, False])
def test_every_image_is_used_once_per_epoch(reshuffle: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[Tensor] = []

    def spy(images: Tensor, targets: Tensor, lr_factor: float) -> Tensor:
        used.append(images)
        return torch.zeros(2, dtype=torch.float64)

    algorithm = make(reshuffle=reshuffle)
    monkeypatch.setattr(algorithm, "minibatch", spy)
    for epoch in (1, 2):
        algorithm.train_epoch(epoch)
    first, second = torch.cat(used[:10]), torch.cat(used[10:])
    assert torch.equal(first, second) != reshuffle
    assert torch.equal(first, algorithm.train.inputs) != reshuffle
    for epoch_images in (first, second):
        assert torch.equal(epoch_images.sum(1).sort().values, algorithm.train.inputs.sum(1).sort().values)


@ARCHITECTURES
@pytest.mark.parametrize("softmax", ["beside", "after"])
def test_a_resumed_run_goes_on_as_if_uninterrupted(
    architecture: LayerArchitecture, softmax: str, tmp_path: Path
) -> None:
    whole, cut, resumed = (make(architecture, softmax=softmax, epochs=3) for _ in range(3))
    expected = [whole.train_epoch(epoch) for epoch in (1, 2, 3)]
    cut.train_epoch(1)
    torch.save(cut.state_dict(), tmp_path / "state.pt")
    for epoch in (1, 2, 3):  # its earlier state must not matter
        resumed.train_epoch(epoch)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [resumed.train_epoch(epoch) for epoch in (2, 3)] == expected[1:]
    assert same(layer_state(resumed), layer_state(whole))
    assert same(softmax_weights(resumed), softmax_weights(whole))
    # The state of a finished run is enough to test it.
    torch.save(whole.state_dict(), tmp_path / "finished.pt")
    tested = make(architecture, softmax=softmax, epochs=3)
    tested.load_state_dict(torch.load(tmp_path / "finished.pt", weights_only=True))
    assert tested.evaluate(tested.train) == whole.evaluate(whole.train)
    assert tested.monitor(tested.train) == whole.monitor(whole.train)


def test_a_seed_determines_the_training() -> None:
    assert make().train_epoch(1) == make().train_epoch(1)


def test_a_single_image_has_no_hybrid_to_show() -> None:
    algorithm = make()
    assert set(algorithm.pictures(algorithm.train[:1])) == {"first_layer_fields"}


def test_a_softmax_after_the_layers_needs_an_epoch() -> None:
    with pytest.raises(UserError, match=r"algorithm\.softmax_epochs is 0"):
        make(softmax_epochs=0)

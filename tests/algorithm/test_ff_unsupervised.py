"""`ff_unsupervised` against the formulas in NumPy, and what each of its parts learns from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ffrepro.algorithm import Setting
from ffrepro.algorithm.ff_unsupervised import FFUnsupervised
from ffrepro.architecture import Architecture
from ffrepro.architecture.local_receptive_fields import LocalReceptiveFields
from ffrepro.architecture.mlp import Mlp
from ffrepro.dataset import Dataset, Split
from ffrepro.errors import UserError
from ffrepro.forward_forward.goodness import SumOfSquares
from ffrepro.forward_forward.layers import HiddenLayer
from ffrepro.forward_forward.local_fields import LocalFields
from ffrepro.forward_forward.negatives import hybrid_images
from ffrepro.schedule import HoldThenLinear
from tests.conftest import tensors
from tests.forward_forward.test_weights import as_dense, mask_of

HYPERPARAMETERS: dict[str, Any] = {
    "batch_size": 20,
    "reshuffle": True,
    "blurs": 2,
    "different_digits": None,
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
LOCAL = LocalReceptiveFields([(3, 2, 3, 6), (2, 1, 2, 8), (1, 1, 2, 20)], 1.0, None)
CUT = LocalReceptiveFields([(6, 1, 3, 3), (6, 1, 3, 2), (6, 1, 3, 2)], 1.0, 1)  # on colour images
ARCHITECTURES = pytest.mark.parametrize(
    "architecture", [DENSE, LOCAL, CUT], ids=["mlp", "local_receptive_fields", "cut off"]
)
IMAGE_SHAPES: dict[Architecture, tuple[int, ...]] = {DENSE: (5, 8), LOCAL: (7, 7), CUT: (6, 6, 3)}


def make(architecture: Architecture = DENSE, *, n: int = 200, epochs: int = 10, **changed: Any) -> FFUnsupervised:
    """A small float64 net on made images that have a class each."""
    image_shape = IMAGE_SHAPES.get(architecture, (5, 8))
    n_pixels = int(np.prod(image_shape))
    generator = torch.Generator().manual_seed(3)
    targets = torch.randint(10, (n,), generator=generator)
    prototypes = torch.rand(10, n_pixels, generator=generator, dtype=torch.float64)
    images = (prototypes[targets] + 0.3 * torch.rand(n, n_pixels, generator=generator, dtype=torch.float64)) / 1.3
    split = Split(images, targets)
    algorithm = FFUnsupervised(**{**HYPERPARAMETERS, **changed})
    algorithm.begin(
        Setting(
            dataset=Dataset("made", split, None, split, 10, image_shape, "", stand_in=True),
            architecture=architecture,
            goodness=SumOfSquares(),
            schedule=HoldThenLinear(epochs, None),
            seed=0,
            device=torch.device("cpu"),
            products=torch.float64,
            state=torch.float64,
        )
    )
    return algorithm


def weights_of(layer: HiddenLayer) -> tuple[np.ndarray, np.ndarray]:
    """A layer's weights as a matrix from all units below, and where in it there are any."""
    (weights,) = layer.connections.sources
    if isinstance(weights, LocalFields):
        return as_dense(weights, weights.weight).numpy(), mask_of(weights).numpy()
    return weights.weight.numpy().copy(), np.ones_like(weights.weight.numpy())


def n(a: np.ndarray) -> np.ndarray:
    return a / (1e-10 + np.sqrt((a**2).mean(1, keepdims=True)))


def sigma(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


class InNumpy:
    """The released code's minibatch with hybrid images for negative data, written from its formulas alone."""

    def __init__(self, algorithm: FFUnsupervised) -> None:
        self.W, self.masks = map(list, zip(*(weights_of(layer) for layer in algorithm.layers), strict=True))
        self.b = [np.zeros(W.shape[1]) for W in self.W]
        self.m = [np.full(W.shape[1], 0.5) for W in self.W]
        self.vW = [np.zeros_like(W) for W in self.W]
        self.vb = [np.zeros_like(b) for b in self.b]
        self.U = {span: [np.zeros((W.shape[1], 10)) for W in self.W[span[0] : span[1] + 1]] for span in ALL_READINGS}
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

    def learn_softmax(self, x: np.ndarray, t: np.ndarray, gain: float) -> None:
        _, h = self.forward(x)
        for span in self.U:
            q = np.exp(self.logits(x, span))
            q /= q.sum(1, keepdims=True)
            for place, k in enumerate(range(span[0], span[1] + 1)):
                u, U = self.u[span][place], self.U[span][place]  # noqa: N806
                u[:] = 0.9 * u + 0.1 * h[k + 1].T @ (np.eye(10)[t] - q) / len(x)
                U[:] = U + gain * 0.1 * (u - 0.003 * U)

    def minibatch(self, x: np.ndarray, hybrids: np.ndarray, t: np.ndarray, gain: float) -> float:
        yp, hp = self.forward(x)
        yn, hn = self.forward(hybrids)
        self.learn_softmax(x, t, gain)
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
            self.W[k] = self.W[k] + gain * 0.01 * (self.vW[k] - 0.001 * self.W[k])
            self.b[k] = self.b[k] + gain * 0.01 * self.vb[k]
        return float(np.mean(losses))


ALL_READINGS = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2)]


def weights_of_softmax(algorithm: FFUnsupervised, reading: tuple[int, int]) -> list[Tensor]:
    """Of one softmax the weights (width, 10) from each layer that it reads, of which each has all that read it."""
    found = []
    for k in range(reading[0], reading[1] + 1):
        readers = [(first, last) for first, last in algorithm.softmaxes.readings if first <= k <= last]
        start = 10 * readers.index(reading)
        found.append(algorithm.softmaxes.weights[k][:, start : start + 10])
    return found


@ARCHITECTURES
@pytest.mark.parametrize("first_layer_counts", [False, True])
def test_minibatches_follow_the_formulas(
    architecture: Architecture, first_layer_counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm = make(architecture, first_layer_counts=first_layer_counts)
    counted = (0, 2) if first_layer_counts else (1, 2)
    reference = InNumpy(algorithm)
    assert set(algorithm.softmaxes.readings) == set(ALL_READINGS)
    draws = np.random.default_rng(0)
    for step in range(6):
        part = slice(20 * step, 20 * step + 20)
        images, targets = algorithm.train.inputs[part], algorithm.train.targets[part]
        x, t = images.numpy(), targets.numpy()
        hybrids = np.where(draws.random(x.shape) < 0.5, x, np.roll(x, step + 1, axis=0))
        monkeypatch.setattr(
            "ffrepro.algorithm.ff_unsupervised.hybrid_images", lambda *_, hybrids=hybrids: torch.from_numpy(hybrids)
        )
        wrong = (reference.logits(x, counted).argmax(1) != t).sum()
        loss, errors = algorithm.minibatch(images, targets, gain=0.7).tolist()
        assert loss == pytest.approx(reference.minibatch(x, hybrids, t, gain=0.7), rel=1e-10)
        assert errors == wrong
    for k, layer in enumerate(algorithm.layers):
        np.testing.assert_allclose(weights_of(layer)[0], reference.W[k], rtol=0, atol=1e-10)
        np.testing.assert_allclose(layer.connections.bias, reference.b[k], rtol=0, atol=1e-10)
        np.testing.assert_allclose(layer.running_mean, reference.m[k], rtol=0, atol=1e-10)
        assert layer.threshold.item() == reference.W[k].shape[1]
    for span in ALL_READINGS:
        for mine, expected in zip(weights_of_softmax(algorithm, span), reference.U[span], strict=True):
            np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-10)
            assert np.abs(expected).max() > 1e-3  # the comparison is of something
    assert min(np.abs(b).max() for b in reference.b) > 1e-4


# What negative data are ----------------------------------------------------------------------------


@pytest.mark.parametrize("different_digits", [None, True])
def test_negative_data_are_hybrids_of_the_minibatch_drawn_anew(
    different_digits: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm = make(blurs=3, different_digits=different_digits)
    drawn: list[Tensor] = []

    def spy(images: Tensor, *arguments: Any) -> Tensor:
        assert torch.equal(images, algorithm.train.inputs[:20])
        *others, told = arguments
        assert others == [(5, 8), 3, algorithm.mask_generator]
        assert torch.equal(told, algorithm.train.targets[:20]) if different_digits else told is None
        drawn.append(hybrid_images(images, *arguments))
        return drawn[-1]

    monkeypatch.setattr("ffrepro.algorithm.ff_unsupervised.hybrid_images", spy)
    for _ in range(2):
        algorithm.minibatch(algorithm.train.inputs[:20], algorithm.train.targets[:20], gain=1.0)
    assert not torch.equal(*drawn)


def test_hybrids_are_of_different_digits_only_where_that_is_asked_for() -> None:
    images = torch.arange(20, dtype=torch.float64).unsqueeze(1).expand(20, 40)  # every pixel says where it is from
    targets = torch.arange(20) % 2

    def of_one_digit(algorithm: FFUnsupervised) -> int:
        hybrids = algorithm.hybrids(images, targets, torch.Generator().manual_seed(0))
        return int((hybrids.long() % 2 == targets.unsqueeze(1)).all(1).sum())

    assert of_one_digit(make(different_digits=True)) == 0
    assert of_one_digit(make()) > 4


def test_hybrids_need_blurs_or_none() -> None:
    with pytest.raises(UserError, match=r"algorithm\.blurs is -1"):
        make(blurs=-1)
    make(blurs=0).train_epoch(1)


def test_a_hybrid_needs_another_image() -> None:
    with pytest.raises(UserError, match=r"algorithm\.batch_size is 1"):
        make(batch_size=1)


# What learns from what -----------------------------------------------------------------------------


def layer_state(algorithm: FFUnsupervised) -> list[Tensor]:
    """All that the layers have learned."""
    return [value for layer in algorithm.layers for value in tensors(layer.state_dict())]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def softmax_weights(algorithm: FFUnsupervised) -> list[Tensor]:
    return algorithm.softmaxes.weights


@ARCHITECTURES
@pytest.mark.parametrize("softmax", ["beside", "after"])
def test_the_layers_learn_without_labels(architecture: Architecture, softmax: str) -> None:
    told, misled = (make(architecture, softmax=softmax, epochs=2) for _ in range(2))
    permutation = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    misled.train = Split(misled.train.inputs, misled.train.targets[permutation])
    start = [value.clone() for value in layer_state(told)]
    for algorithm in (told, misled):
        for epoch in (1, 2):
            algorithm.train_epoch(epoch)
    assert same(layer_state(told), layer_state(misled))
    assert not any(torch.equal(a, b) for a, b in zip(softmax_weights(told), softmax_weights(misled), strict=True))
    assert not torch.equal(start[0], layer_state(told)[0])


def test_what_one_layer_wants_reaches_no_other() -> None:
    def weights_after_a_minibatch(moved: int | None) -> list[Tensor]:
        algorithm = make()
        if moved is not None:
            algorithm.layers[moved].threshold *= 0.5
        algorithm.minibatch(algorithm.train.inputs[:20], algorithm.train.targets[:20], gain=1.0)
        return [layer.connections.sources[0].weight for layer in algorithm.layers]

    usual = weights_after_a_minibatch(None)
    for moved in range(3):
        for k, (mine, other) in enumerate(zip(usual, weights_after_a_minibatch(moved), strict=True)):
            assert torch.equal(mine, other) == (k != moved)


# A softmax after the layers ------------------------------------------------------------------------


def test_a_softmax_after_the_layers_waits_for_them_and_leaves_them() -> None:
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
    assert same(layer_state(after), layer_state(beside))  # four more epochs of the softmax have not moved them
    assert all(weight.any() for weight in softmax_weights(after))
    error = after.evaluate(after.train)["error"]
    assert after.monitor(after.train) == {"error_softmax": error}
    assert error < 75  # by chance 90


@ARCHITECTURES
def test_a_softmax_after_the_layers_has_a_schedule_of_its_own(architecture: Architecture) -> None:
    algorithm = make(architecture, epochs=2, softmax="after", reshuffle=False)
    reference = InNumpy(algorithm)
    algorithm.train_epoch(1)
    metrics = algorithm.train_epoch(2)
    reference.W = [weights_of(layer)[0] for layer in algorithm.layers]
    reference.b = [layer.connections.bias.numpy() for layer in algorithm.layers]
    x, t = algorithm.train.inputs.numpy(), algorithm.train.targets.numpy()
    wrong = 0
    for gain in (1.0, 1.0, 0.75, 0.25):  # four epochs, of which the last gives the error
        wrong = 0
        for start in range(0, 200, 20):
            part = slice(start, start + 20)
            wrong += (reference.logits(x[part], (1, 2)).argmax(1) != t[part]).sum()
            reference.learn_softmax(x[part], t[part], gain)
    for span in ALL_READINGS:
        for mine, expected in zip(weights_of_softmax(algorithm, span), reference.U[span], strict=True):
            np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-10)
    assert metrics["running_error"] == pytest.approx(100 * wrong / 200)


# The test ------------------------------------------------------------------------------------------


@ARCHITECTURES
@pytest.mark.parametrize("first_layer_counts", [False, True])
def test_the_errors_are_what_a_loop_over_images_finds(
    architecture: Architecture, first_layer_counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ffrepro.algorithm.ff_unsupervised.ROWS", 30)  # parts that do not divide the images
    algorithm = make(architecture, first_layer_counts=first_layer_counts)
    for epoch in (1, 2, 3):
        algorithm.train_epoch(epoch)
    generator = torch.Generator().manual_seed(0)
    for weight in softmax_weights(algorithm):  # what is read differs in how well it tells
        weight.add_(torch.randn(weight.shape, generator=generator, dtype=torch.float64), alpha=0.04)
    split = algorithm.train.first(100)
    names = {(k, k): f"error_softmax_layer_{k + 1}" for k in range(3)}
    names |= {(0, 2): "error_softmax_layers_1_to_3", (1, 2): "error_softmax_layers_2_to_3"}
    counted = (0, 2) if first_layer_counts else (1, 2)
    wrong = dict.fromkeys({counted, *names}, 0)
    learned = [(weights_of(layer)[0], layer.connections.bias.numpy()) for layer in algorithm.layers]
    for image, target in zip(split.inputs.numpy(), split.targets.tolist(), strict=True):
        below, read = image, []
        for weight, bias in learned:
            below = below / np.sqrt((below**2).mean())
            below = np.maximum(0, below @ weight + bias)
            read.append(below / np.sqrt((below**2).mean()))
        for first, last in wrong:
            weights = weights_of_softmax(algorithm, (first, last))
            logits = sum(y @ U.numpy() for y, U in zip(read[first : last + 1], weights, strict=True))
            wrong[first, last] += int(np.argmax(logits) != target)
    expected = {name: wrong[span] for span, name in names.items()}
    expected |= {"error": wrong[counted], "error_softmax": wrong[counted]}
    metrics = algorithm.evaluate(split)
    assert metrics == {name: pytest.approx(100 * count / 100) for name, count in expected.items()}
    assert algorithm.monitor(split) == {"error_softmax": metrics["error"]}
    assert len(set(wrong.values())) == len(wrong)  # no reading is taken for another


def test_one_hidden_layer_is_all_there_is_to_read() -> None:
    for first_layer_counts in (False, True):
        algorithm = make(Mlp((30,), 1.0), first_layer_counts=first_layer_counts)
        assert algorithm.softmaxes.readings == [(0, 0)]
        algorithm.train_epoch(1)
        metrics = algorithm.evaluate(algorithm.train)
        assert set(metrics) == {"error", "error_softmax", "error_softmax_layer_1"}
        assert len(set(metrics.values())) == 1


def test_the_test_does_not_read_the_labels() -> None:
    algorithm = make()
    algorithm.train_epoch(1)
    split = algorithm.train
    permuted = Split(split.inputs, split.targets.flip(0))
    for mine, other in zip(algorithm.logits(split).values(), algorithm.logits(permuted).values(), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("architecture", [DENSE, LOCAL], ids=["mlp", "local_receptive_fields"])
def test_training_tells_images_from_hybrids_and_classes_from_each_other(architecture: Architecture) -> None:
    algorithm = make(architecture, n=400, epochs=8, learning_rate=0.06)
    assert algorithm.evaluate(algorithm.train)["error"] > 80  # the softmax starts at 0: no class is preferred
    losses = [algorithm.train_epoch(epoch)["loss"] for epoch in range(1, 9)]
    assert losses[-1] < 0.5 * losses[0]
    assert max(algorithm.evaluate(algorithm.train).values()) < 20
    pictures = algorithm.pictures(algorithm.train)
    told_apart = (pictures["goodness_positive"] > pictures["goodness_negative"]).mean(1)
    assert (told_apart > 0.58).all()  # by chance half, within 0.025


# Pictures ------------------------------------------------------------------------------------------


@ARCHITECTURES
def test_pictures_are_fields_hybrids_and_goodness_over_the_threshold(architecture: Architecture) -> None:
    algorithm = make(architecture)
    algorithm.train_epoch(1)
    image_shape = algorithm.image_shape
    for n_images in (50, 10):
        pictures = algorithm.pictures(algorithm.train.first(n_images))
        assert set(pictures) == {"first_layer_fields", "hybrid_images", "goodness_positive", "goodness_negative"}
        shape = {DENSE: (30, 5, 8), LOCAL: (54, 3, 3), CUT: (64, 3, 3, 3)}[architecture]
        assert pictures["first_layer_fields"].shape == shape
        assert pictures["hybrid_images"].shape[1:] == image_shape
        assert (len(pictures["hybrid_images"]) < n_images) == (n_images == 50)  # some of many, all of few
        assert pictures["goodness_positive"].shape == pictures["goodness_negative"].shape == (3, n_images)
        assert all(values.dtype == np.float32 for values in pictures.values())
    # Each hybrid of the ten images is of two of them, and the goodness is theirs.
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


@pytest.mark.parametrize("different_digits", [None, True])
def test_pictures_are_of_hybrids_as_they_are_trained_on(
    different_digits: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm = make(different_digits=different_digits)
    told: list[Tensor | None] = []

    def spy(images: Tensor, *arguments: Any) -> Tensor:
        told.append(arguments[-1])
        return hybrid_images(images, *arguments)

    monkeypatch.setattr("ffrepro.algorithm.ff_unsupervised.hybrid_images", spy)
    algorithm.pictures(algorithm.train.first(10))
    assert [of is not None and of.tolist() for of in told] == [
        algorithm.train.targets[:10].tolist() if different_digits else False
    ]


def test_pictures_repeat_and_take_no_random_numbers_from_training() -> None:
    algorithm = make()
    before = [state.clone() for state in algorithm.state_dict()["generators"]]
    first, second = (algorithm.pictures(algorithm.train.first(30)) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert same(algorithm.state_dict()["generators"], before)


# An epoch and its state ----------------------------------------------------------------------------


def test_the_metrics_of_an_epoch_are_means_over_its_images(monkeypatch: pytest.MonkeyPatch) -> None:
    gains: list[float] = []
    returned = iter(torch.tensor([[1.0, 4.0], [3.0, 2.0]] * 10, dtype=torch.float64))

    def step(images: Tensor, targets: Tensor, gain: float) -> Tensor:
        gains.append(gain)
        return next(returned)

    algorithm = make()
    monkeypatch.setattr(algorithm, "minibatch", step)
    assert algorithm.train_epoch(5) == {"loss": pytest.approx(2.0), "running_error": pytest.approx(15.0)}
    algorithm.train_epoch(6)
    assert gains == [1.0] * 10 + [0.9] * 10


@pytest.mark.parametrize("reshuffle", [True, False])
def test_every_image_is_taken_once_an_epoch(reshuffle: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Tensor] = []

    def spy(images: Tensor, targets: Tensor, gain: float) -> Tensor:
        taken.append(images)
        return torch.zeros(2, dtype=torch.float64)

    algorithm = make(reshuffle=reshuffle)
    monkeypatch.setattr(algorithm, "minibatch", spy)
    for epoch in (1, 2):
        algorithm.train_epoch(epoch)
    first, second = torch.cat(taken[:10]), torch.cat(taken[10:])
    assert torch.equal(first, second) != reshuffle
    assert torch.equal(first, algorithm.train.inputs) != reshuffle
    for epoch_images in (first, second):
        assert torch.equal(epoch_images.sum(1).sort().values, algorithm.train.inputs.sum(1).sort().values)


@ARCHITECTURES
@pytest.mark.parametrize("softmax", ["beside", "after"])
def test_a_cut_run_goes_on_as_if_uncut(architecture: Architecture, softmax: str, tmp_path: Path) -> None:
    uncut, cut, resumed = (make(architecture, softmax=softmax, epochs=3) for _ in range(3))
    expected = [uncut.train_epoch(epoch) for epoch in (1, 2, 3)]
    cut.train_epoch(1)
    torch.save(cut.state_dict(), tmp_path / "state.pt")
    for epoch in (1, 2, 3):  # whatever it did before
        resumed.train_epoch(epoch)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [resumed.train_epoch(epoch) for epoch in (2, 3)] == expected[1:]
    assert same(layer_state(resumed), layer_state(uncut))
    assert same(softmax_weights(resumed), softmax_weights(uncut))
    # What a finished run leaves is enough to test it.
    torch.save(uncut.state_dict(), tmp_path / "finished.pt")
    tested = make(architecture, softmax=softmax, epochs=3)
    tested.load_state_dict(torch.load(tmp_path / "finished.pt", weights_only=True))
    assert tested.evaluate(tested.train) == uncut.evaluate(uncut.train)
    assert tested.monitor(tested.train) == uncut.monitor(uncut.train)


def test_a_seed_decides_everything() -> None:
    assert make().train_epoch(1) == make().train_epoch(1)


def test_one_image_makes_no_hybrids_to_show() -> None:
    algorithm = make()
    assert set(algorithm.pictures(algorithm.train.first(1))) == {"first_layer_fields"}


def test_a_softmax_after_the_layers_needs_an_epoch() -> None:
    with pytest.raises(UserError, match=r"algorithm\.softmax_epochs is 0"):
        make(softmax_epochs=0)

"""Backpropagation against the same steps in NumPy, and on local fields against autograd on masked dense weights."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from ffrepro.algorithm import Setting
from ffrepro.algorithm.bp import Backprop
from ffrepro.architecture import Architecture
from ffrepro.architecture.local_receptive_fields import LocalReceptiveFields
from ffrepro.architecture.mlp import Mlp
from ffrepro.dataset import Split
from ffrepro.forward_forward.goodness import SumOfSquares
from ffrepro.forward_forward.local_fields import LocalFields
from ffrepro.optimizer.scheduled import LearningRates
from ffrepro.schedule import HoldThenLinear
from tests.conftest import make_dataset
from tests.forward_forward.test_weights import as_dense, mask_of

DENSE = Mlp((30, 20), 2.0)
# On colour images; in one tile, in tiles of 4 × 4, and by single locations.
LOCAL = LocalReceptiveFields([(8, 1, 3, 3), (8, 1, 3, 16), (4, 2, 4, 3)], 2.0, 1)
ARCHITECTURES = pytest.mark.parametrize("architecture", [DENSE, LOCAL], ids=["mlp", "local_receptive_fields"])


def make(
    architecture: Architecture = DENSE, products: torch.dtype = torch.float64, epochs: int = 10, **changed: Any
) -> Backprop:
    state = torch.float64 if products == torch.float64 else torch.float32
    optimizer = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.0001, **changed}
    algorithm = Backprop(batch_size=20, optimizer=partial(torch.optim.SGD, **optimizer))
    image_shape = (8, 8, 3) if isinstance(architecture, LocalReceptiveFields) else (1, 60)
    dataset = make_dataset(n_pixels=int(np.prod(image_shape)), dtype=state)
    algorithm.begin(
        Setting(
            dataset=replace(dataset, input_shape=image_shape),
            architecture=architecture,
            goodness=SumOfSquares(),
            schedule=HoldThenLinear(epochs, None),
            seed=0,
            device=torch.device("cpu"),
            products=products,
            state=state,
        )
    )
    return algorithm


class InNumpy:
    """A net of ReLU layers and a softmax, with SGD's momentum and weight decay."""

    def __init__(self, parameters: list[np.ndarray], n_layers: int) -> None:
        self.weights = [p.copy() for p in parameters[:n_layers]]
        self.biases = [p.copy() for p in parameters[n_layers:]]
        self.velocities: list[np.ndarray] | None = None

    def step(self, x: np.ndarray, t: np.ndarray, rate: float) -> float:
        below = [x]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            below.append(np.maximum(0, below[-1] @ weight.T + bias))
        logits = below[-1] @ self.weights[-1].T + self.biases[-1]
        q = np.exp(logits - logits.max(1, keepdims=True))
        q /= q.sum(1, keepdims=True)
        loss = -np.log(q[np.arange(len(x)), t]).mean()
        delta = (q - np.eye(10)[t]) / len(x)
        of_weights: list[np.ndarray] = []
        of_biases: list[np.ndarray] = []
        for k in reversed(range(len(self.weights))):
            of_weights.insert(0, delta.T @ below[k] + 0.0001 * self.weights[k])
            of_biases.insert(0, delta.sum(0) + 0.0001 * self.biases[k])
            delta = (delta @ self.weights[k]) * (below[k] > 0)
        gradients = of_weights + of_biases
        old = self.velocities or [np.zeros_like(g) for g in gradients]
        self.velocities = [0.9 * v + g for v, g in zip(old, gradients, strict=True)]
        for parameter, velocity in zip(self.weights + self.biases, self.velocities, strict=True):
            np.subtract(parameter, rate * velocity, out=parameter)
        return float(loss)


def test_steps_follow_the_chain_rule_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = make(epochs=4)
    algorithm.weights[-1].data.normal_(0, 0.3, generator=torch.Generator().manual_seed(5))  # the softmax starts at 0
    parameters = [parameter.detach().numpy() for parameter in [*algorithm.weights, *algorithm.biases]]
    reference = InNumpy(parameters, 3)
    order = torch.arange(100).view(5, 20)
    monkeypatch.setattr("ffrepro.algorithm.bp.batches", lambda *_: order)
    images, targets = algorithm.train.inputs.numpy(), algorithm.train.targets.numpy()
    for epoch, gain in ((1, 1.0), (3, 0.75), (4, 0.25)):
        metrics = algorithm.train_epoch(epoch)
        losses = [reference.step(images[batch], targets[batch], gain * 0.05) for batch in order.numpy()]
        assert metrics["loss"] == pytest.approx(np.mean(losses), rel=1e-10)
    for mine, other in zip([*algorithm.weights, *algorithm.biases], reference.weights + reference.biases, strict=True):
        np.testing.assert_allclose(mine.detach(), other, rtol=0, atol=1e-12)


# Local fields --------------------------------------------------------------------------------------

MakeOptimizer = Callable[[Iterable[Tensor]], torch.optim.Optimizer]
OPTIMIZERS: dict[str, MakeOptimizer] = {
    "sgd": partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=0.01),
    "nesterov": partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=0.01, nesterov=True),
    "adamw": partial(torch.optim.AdamW, lr=0.003, weight_decay=0.1),
}


def local_sources(algorithm: Backprop) -> list[LocalFields]:
    found = []
    for connections in algorithm.layers:
        (weights,) = connections.sources
        assert isinstance(weights, LocalFields)
        found.append(weights)
    return found


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_local_fields_learn_as_masked_dense_weights_do_under_autograd(
    optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm = make(LOCAL, epochs=4)
    algorithm.optimizer = OPTIMIZERS[optimizer]([*algorithm.weights, *algorithm.biases])
    algorithm.rates = LearningRates(algorithm.optimizer)
    algorithm.weights[-1].data.normal_(0, 0.3, generator=torch.Generator().manual_seed(5))  # the softmax starts at 0

    sources = local_sources(algorithm)
    masks = [mask_of(source).t() for source in sources]
    start = [as_dense(source, weight.detach()).t() for source, weight in zip(sources, algorithm.weights, strict=False)]
    weights = [weight.clone().requires_grad_() for weight in (*start, algorithm.weights[-1].detach())]
    biases = [torch.zeros(len(weight), dtype=torch.float64, requires_grad=True) for weight in weights]
    reference = OPTIMIZERS[optimizer]([*weights, *biases])
    rate = reference.param_groups[0]["lr"]

    order = torch.arange(100).view(5, 20)
    monkeypatch.setattr("ffrepro.algorithm.bp.batches", lambda *_: order)
    for epoch, gain in ((1, 1.0), (3, 0.75), (4, 0.25)):
        metrics = algorithm.train_epoch(epoch)
        losses = []
        reference.param_groups[0]["lr"] = gain * rate
        for batch in order:
            below = algorithm.train.inputs[batch]
            for weight, mask, bias in zip(weights, masks, biases, strict=False):
                below = torch.relu(linear(below, weight * mask, bias))
            loss = cross_entropy(linear(below, weights[-1], biases[-1]), algorithm.train.targets[batch])
            reference.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            reference.step()
            losses.append(loss.item())
        assert metrics["loss"] == pytest.approx(np.mean(losses), rel=1e-10)
    for source, mine, other, mask, first in zip(sources, algorithm.weights, weights, masks, start, strict=False):
        learned = as_dense(source, mine.detach())  # exactly 0 where there are no weights
        torch.testing.assert_close(learned.t(), other.detach(), rtol=0, atol=1e-10)
        assert torch.equal(learned.t() != first, mask != 0)
        assert torch.equal(mine, source.weight)  # what is trained is what the layer has
    torch.testing.assert_close(algorithm.weights[-1], weights[-1], rtol=0, atol=1e-10)
    for mine, other in zip(algorithm.biases, biases, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-10)
        assert other.abs().max() > 1e-4


def test_local_layers_see_their_fields_and_no_weight_is_shared() -> None:
    algorithm = make(LOCAL)
    with torch.no_grad():
        seen = [as_dense(source, source.weight) for source in local_sources(algorithm)]
        below = algorithm.train.inputs[:7]
        for weight in seen:
            below = (below @ weight).relu()
        algorithm.weights[-1].normal_(generator=torch.Generator().manual_seed(0))
        expected = below @ algorithm.weights[-1].t()
        torch.testing.assert_close(algorithm.logits(algorithm.train.inputs[:7]), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("architecture", "products"),
    [(DENSE, torch.float32), (DENSE, torch.bfloat16), (LOCAL, torch.float32)],
    ids=["mlp", "mlp, bf16", "local_receptive_fields"],
)
def test_it_learns_what_can_be_learned(architecture: Architecture, products: torch.dtype) -> None:
    algorithm = make(architecture, products=products)
    before = algorithm.evaluate(algorithm.train)
    assert before["loss"] == pytest.approx(np.log(10), rel=1e-3)  # the softmax starts at 0
    metrics = [algorithm.train_epoch(epoch) for epoch in range(1, 11)]
    after = algorithm.evaluate(algorithm.train)
    assert metrics[-1]["loss"] < 0.2 * metrics[0]["loss"]
    assert after["error"] < 5
    assert after["loss"] < 0.3
    assert algorithm.monitor(algorithm.train) == {"error": after["error"]}


@ARCHITECTURES
def test_bf16_products_stay_close_to_fp32_and_weights_stay_fp32(architecture: Architecture) -> None:
    full, half = make(architecture, products=torch.float32), make(architecture, products=torch.bfloat16)
    images = full.train.inputs[:50]
    for algorithm in (full, half):
        algorithm.train_epoch(1)
    assert all(weight.dtype == torch.float32 for weight in half.weights)
    assert half.logits(images).dtype == torch.float32
    difference = (half.logits(images) - full.logits(images)).abs().max().item()
    assert 0 < difference < 0.1


def test_evaluation_is_by_hand_and_does_not_read_the_labels() -> None:
    algorithm = make()
    algorithm.train_epoch(1)
    split = algorithm.train.first(30)
    logits = algorithm.logits(split.inputs).detach().numpy()
    wrong = (logits.argmax(1) != split.targets.numpy()).mean()
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    metrics = algorithm.evaluate(split)
    assert metrics["error"] == pytest.approx(100 * wrong)
    assert metrics["loss"] == pytest.approx(-np.log(probabilities[np.arange(30), split.targets.numpy()]).mean())
    shifted = Split(split.inputs, (split.targets + 1) % 10)
    assert algorithm.evaluate(shifted)["error"] == pytest.approx(
        100 * (logits.argmax(1) != shifted.targets.numpy()).mean()
    )


@ARCHITECTURES
def test_a_cut_run_goes_on_as_if_uncut(architecture: Architecture, tmp_path: Path) -> None:
    uncut, cut, resumed = (make(architecture) for _ in range(3))
    expected = [uncut.train_epoch(epoch) for epoch in (1, 9, 10)]
    cut.train_epoch(1)
    torch.save(cut.state_dict(), tmp_path / "state.pt")
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [resumed.train_epoch(epoch) for epoch in (9, 10)] == expected[1:]
    assert all(torch.equal(a, b) for a, b in zip(resumed.weights, uncut.weights, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(resumed.biases, uncut.biases, strict=True))
    assert resumed.evaluate(resumed.train) == uncut.evaluate(uncut.train)
    shown, expected_to_be_shown = (one.pictures(one.train)["first_layer_fields"] for one in (resumed, uncut))
    np.testing.assert_array_equal(shown, expected_to_be_shown)


def test_pictures_are_the_fields_of_the_first_layer() -> None:
    algorithm = make()
    for _ in range(2):  # before training and after it
        fields = algorithm.pictures(algorithm.train)["first_layer_fields"]
        assert fields.shape == (30, 1, 60)
        np.testing.assert_allclose(fields[:, 0], algorithm.weights[0].detach().numpy(), rtol=1e-6)
        algorithm.train_epoch(1)


def test_pictures_of_a_local_net_are_the_fields_of_its_locations() -> None:
    algorithm = make(LOCAL)
    source = local_sources(algorithm)[0]
    for _ in range(2):
        fields = algorithm.pictures(algorithm.train)["first_layer_fields"]
        assert fields.shape == (64, 3, 3, 3)
        weights = as_dense(source, algorithm.weights[0].detach()).numpy().reshape(8, 8, 3, 8, 8, 3)
        for location, field in enumerate(fields):  # the first unit of each
            row, column = divmod(location, 8)
            seen = np.pad(weights[..., row, column, 0], ((1, 1), (1, 1), (0, 0)))[row : row + 3, column : column + 3]
            np.testing.assert_allclose(field, seen, rtol=1e-6)
        algorithm.train_epoch(1)

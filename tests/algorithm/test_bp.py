"""Backpropagation against the same steps in NumPy."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ffrepro.algorithm import Setting
from ffrepro.algorithm.bp import Backprop
from ffrepro.architecture.mlp import Mlp
from ffrepro.dataset import Split
from ffrepro.goodness import SumOfSquares
from ffrepro.schedule import HoldThenLinear
from tests.conftest import make_dataset


def make(
    widths: tuple[int, ...] = (30, 20), products: torch.dtype = torch.float64, epochs: int = 10, **changed: Any
) -> Backprop:
    state = torch.float64 if products == torch.float64 else torch.float32
    optimizer = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.0001, **changed}
    algorithm = Backprop(batch_size=20, optimizer=partial(torch.optim.SGD, **optimizer))
    algorithm.begin(
        Setting(
            dataset=make_dataset(dtype=state),
            architecture=Mlp(widths, 2.0),
            goodness=SumOfSquares(),
            schedule=HoldThenLinear(epochs),
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


@pytest.mark.parametrize("products", [torch.float32, torch.bfloat16])
def test_it_learns_what_can_be_learned(products: torch.dtype) -> None:
    algorithm = make(products=products)
    before = algorithm.evaluate(algorithm.train)
    assert before["loss"] == pytest.approx(np.log(10), rel=1e-3)  # the softmax starts at 0
    metrics = [algorithm.train_epoch(epoch) for epoch in range(1, 11)]
    after = algorithm.evaluate(algorithm.train)
    assert metrics[-1]["loss"] < 0.2 * metrics[0]["loss"]
    assert after["error"] < 5
    assert after["loss"] < 0.3
    assert algorithm.monitor(algorithm.train) == {"error": after["error"]}


def test_bf16_products_stay_close_to_fp32_and_weights_stay_fp32() -> None:
    full, half = make(products=torch.float32), make(products=torch.bfloat16)
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


def test_a_cut_run_goes_on_as_if_uncut(tmp_path: Path) -> None:
    uncut, cut, resumed = make(), make(), make()
    expected = [uncut.train_epoch(epoch) for epoch in (1, 9, 10)]
    cut.train_epoch(1)
    torch.save(cut.state_dict(), tmp_path / "state.pt")
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [resumed.train_epoch(epoch) for epoch in (9, 10)] == expected[1:]
    assert all(torch.equal(a, b) for a, b in zip(resumed.weights, uncut.weights, strict=True))


def test_pictures_are_the_fields_of_the_first_layer() -> None:
    algorithm = make()
    fields = algorithm.pictures(algorithm.train)["first_layer_fields"]
    assert fields.shape == (30, 1, 60)
    np.testing.assert_allclose(fields[:, 0], algorithm.weights[0].detach().numpy(), rtol=1e-6)

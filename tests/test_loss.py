"""Losses against NumPy, samples against their distributions, and targets that do not fit."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ffrepro.dataset import Split
from ffrepro.errors import UserError
from ffrepro.loss import CrossEntropy, Loss, SigmoidCrossEntropy, SquaredError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


OUTPUTS = 2 * torch.randn(7, 4, generator=generator(), dtype=torch.float64)
CLASSES = torch.tensor([0, 3, 1, 1, 2, 0, 3])
VALUES = torch.rand(7, 4, generator=generator(1), dtype=torch.float64)


def log_softmax(outputs: np.ndarray) -> np.ndarray:
    return outputs - np.log(np.exp(outputs).sum(1, keepdims=True))


def test_cross_entropy_is_minus_the_log_probability_of_smoothed_labels() -> None:
    log_p = log_softmax(OUTPUTS.numpy())
    labels = np.eye(4)[CLASSES]
    for smoothing in (0.0, 0.3):
        smoothed = (1 - smoothing) * labels + smoothing / 4
        loss = CrossEntropy(smoothing)
        assert loss(OUTPUTS, CLASSES).item() == pytest.approx(-(smoothed * log_p).sum(1).mean(), rel=1e-12)
        unsmoothed = -(labels * log_p).sum(1).mean()
        assert loss.negative_log_likelihood(OUTPUTS, CLASSES).item() == pytest.approx(unsmoothed, rel=1e-12)


def test_sigmoid_cross_entropy_is_a_sum_over_outputs_and_a_mean_over_examples() -> None:
    p, t = 1 / (1 + np.exp(-OUTPUTS.numpy())), VALUES.numpy()
    expected = -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum(1).mean()
    loss = SigmoidCrossEntropy()
    assert loss(OUTPUTS, VALUES).item() == pytest.approx(expected, rel=1e-12)
    assert loss.negative_log_likelihood(OUTPUTS, VALUES).item() == pytest.approx(expected, rel=1e-12)


def test_squared_error_is_half_the_squared_distance() -> None:
    expected = 0.5 * ((OUTPUTS - VALUES).numpy() ** 2).sum(1).mean()
    loss = SquaredError()
    assert loss(OUTPUTS, VALUES).item() == pytest.approx(expected, rel=1e-12)
    assert loss.negative_log_likelihood(OUTPUTS, VALUES).item() == pytest.approx(expected, rel=1e-12)


# Sampled targets -----------------------------------------------------------------------------------


def test_labels_are_sampled_from_the_softmax() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0, -math.inf], [-math.inf, 3.0, 3.0, -math.inf], [-math.inf] * 3 + [0.0]])
    n, loss = 100_000, CrossEntropy(0.1)  # label smoothing does not change the model's own labels
    labels = loss.sample(logits.repeat(n, 1).requires_grad_(), generator())
    assert labels.shape == (3 * n,)
    shares = torch.stack([labels.view(n, 3)[:, row].bincount(minlength=4) / n for row in range(3)])
    torch.testing.assert_close(shares, logits.softmax(1), rtol=0, atol=4 * (0.25 / n) ** 0.5)
    assert (shares[logits.isinf()] == 0).all()
    assert torch.equal(labels, loss.sample(logits.bfloat16().repeat(n, 1), generator()))


def test_rounding_never_samples_a_class_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(1000, 10, generator=generator())
    assert (logits.double().softmax(1).cumsum(1)[:, -1] < math.nextafter(1, 0)).any()
    nearly_one = torch.full((1000, 1), math.nextafter(1, 0), dtype=torch.float64)
    monkeypatch.setattr(torch, "rand", lambda *_, **__: nearly_one)
    assert (CrossEntropy(0.0).sample(logits, torch.Generator()) == 9).all()


def test_binary_targets_are_sampled_from_the_sigmoid() -> None:
    n = 100_000
    outputs = torch.tensor([-2.0, 0.0, 1.0, math.inf, -math.inf])
    targets = SigmoidCrossEntropy().sample(outputs.repeat(n, 1).requires_grad_(), generator())
    assert targets.shape == (n, 5)
    assert set(targets.unique().tolist()) == {0.0, 1.0}
    assert not targets.requires_grad
    torch.testing.assert_close(targets.mean(0), outputs.sigmoid(), rtol=0, atol=4 * (0.25 / n) ** 0.5)


def test_real_targets_are_sampled_around_the_outputs_with_variance_1() -> None:
    n = 100_000
    outputs = torch.tensor([-2.0, 0.0, 5.0])
    targets = SquaredError().sample(outputs.repeat(n, 1).requires_grad_(), generator())
    assert not targets.requires_grad
    torch.testing.assert_close(targets.mean(0), outputs, rtol=0, atol=4 / n**0.5)
    covariance = torch.cov((targets - outputs).t())
    torch.testing.assert_close(covariance, torch.eye(3), rtol=0, atol=4 * (2 / n) ** 0.5)


@pytest.mark.parametrize("loss", [CrossEntropy(0.0), SigmoidCrossEntropy(), SquaredError()])
def test_the_gradient_of_sampled_targets_has_mean_0(loss: Loss) -> None:
    # The score of a model at its own samples; a wrong sampler or a wrong likelihood would leave a mean.
    n = 40_000
    outputs = torch.tensor([[0.5, -1.0, 0.2]]).repeat(n, 1).requires_grad_()
    (score,) = torch.autograd.grad(loss.negative_log_likelihood(outputs, loss.sample(outputs, generator())), outputs)
    standard_error = (score * n).std(0) / n**0.5
    assert ((score * n).mean(0).abs() < 4 * standard_error).all()
    assert (standard_error > 0).all()


# Metrics -------------------------------------------------------------------------------------------


def doubled(inputs: Tensor) -> Tensor:
    return 2 * inputs


def test_metrics_of_classes_are_error_and_unsmoothed_loss() -> None:
    split = Split(OUTPUTS / 2, CLASSES)
    log_p = log_softmax(OUTPUTS.numpy())
    error = 100 * (log_p.argmax(1) != CLASSES.numpy()).mean()
    metrics = CrossEntropy(0.3).measured(doubled, split)
    assert metrics == {"error": pytest.approx(error), "loss": pytest.approx(-log_p[range(7), CLASSES].mean())}
    assert CrossEntropy(0.3).headline(doubled, split) == {"error": pytest.approx(error)}


@pytest.mark.parametrize("loss", [SigmoidCrossEntropy(), SquaredError()])
def test_the_loss_of_a_split_is_its_mean_over_examples(loss: Loss, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ffrepro.loss.ROWS", 3)  # parts that do not divide the seven examples
    split = Split(OUTPUTS / 2, VALUES)
    expected = np.mean([loss(OUTPUTS[k : k + 1], VALUES[k : k + 1]).item() for k in range(7)])
    assert loss.measured(doubled, split) == {"loss": pytest.approx(expected, rel=1e-12)}
    assert loss.headline(doubled, split) == loss.measured(doubled, split)


# Mistakes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "targets", "message"),
    [
        (CrossEntropy(0.0), VALUES, r"algorithm\.loss is cross_entropy .* expected dataset\.targets=labels"),
        (SigmoidCrossEntropy(), CLASSES, r"algorithm\.loss is sigmoid_cross_entropy .* dataset\.targets=inputs"),
        (SquaredError(), CLASSES, r"algorithm\.loss is squared_error .* dataset\.targets=inputs"),
        (
            SigmoidCrossEntropy(),
            2 * VALUES - 1,
            r"sigmoid_cross_entropy: expected targets from 0 to 1, found -0\.\d+ to",
        ),
    ],
)
def test_targets_that_do_not_fit_are_refused_in_one_line(loss: Loss, targets: Tensor, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        loss.check(targets)
    assert "\n" not in str(caught.value)


def test_targets_that_fit_pass() -> None:
    CrossEntropy(0.0).check(CLASSES)
    SigmoidCrossEntropy().check(VALUES)
    SquaredError().check(10 * VALUES)


@pytest.mark.parametrize("smoothing", [1.0, -0.1])
def test_impossible_smoothing_is_refused(smoothing: float) -> None:
    with pytest.raises(UserError, match=r"algorithm\.loss\.label_smoothing is .*: expected 0 to less than 1"):
        CrossEntropy(smoothing)

"""The softmax on the layers of a net, against closed forms, NumPy and autograd."""

import copy

import numpy as np
import torch
from torch.nn.functional import cross_entropy, one_hot

from ffrepro.forward_forward.softmax import Softmax, Softmaxes
from tests.forward_forward.test_layers import random


def softmax(widths: tuple[int, ...] = (7, 4), momentum: float = 0.9, weight_cost: float = 0.02) -> Softmax:
    like = torch.zeros(1, dtype=torch.float64)
    return Softmax(widths, 10, like=like, momentum=momentum, weight_cost=weight_cost)


def test_a_softmax_starts_at_0_and_adds_up_the_logits_of_its_layers() -> None:
    net = softmax()
    assert [tuple(weight.shape) for weight in net.weights] == [(7, 10), (4, 10)]
    assert not any(weight.any() for weight in net.weights)
    net.weights[0].copy_(random(7, 10))
    net.weights[1].copy_(random(4, 10, seed=1))
    inputs = [random(5, 7, seed=2), random(5, 4, seed=3)]
    logits = net.logits(inputs)
    assert logits.shape == (2, 5, 10)
    for k in range(2):
        np.testing.assert_allclose(logits[k], inputs[k].numpy() @ net.weights[k].numpy(), rtol=0, atol=1e-12)


def test_a_softmax_ascends_the_log_probability_of_the_labels() -> None:
    net = softmax()
    U, u = [np.zeros((7, 10)), np.zeros((4, 10))], [np.zeros((7, 10)), np.zeros((4, 10))]  # noqa: N806
    for step in range(4):
        inputs = [random(9, 7, seed=10 + step), random(9, 4, seed=20 + step)]
        targets = torch.randint(10, (9,), generator=torch.Generator().manual_seed(step))
        net.learn(inputs, one_hot(targets, 10) - net.logits(inputs).sum(0).softmax(-1), lr=0.6)

        logits = sum(x.numpy() @ W for x, W in zip(inputs, U, strict=True))
        q = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        for k in range(2):
            u[k] = 0.9 * u[k] + 0.1 * inputs[k].numpy().T @ (np.eye(10)[targets] - q) / 9
            U[k] = U[k] + 0.6 * (u[k] - 0.02 * U[k])
    for k in range(2):
        np.testing.assert_allclose(net.weights[k], U[k], rtol=0, atol=1e-12)
        np.testing.assert_allclose(net.velocities[k], u[k], rtol=0, atol=1e-12)
        assert np.abs(U[k]).max() > 1e-2  # it did learn


def test_a_softmax_step_is_the_gradient_of_the_cross_entropy() -> None:
    net = softmax(momentum=0.0, weight_cost=0.0)
    inputs = [random(9, 7, seed=1), random(9, 4, seed=2)]
    targets = torch.arange(9)
    for number, weight in enumerate(net.weights):
        weight.copy_(random(*weight.shape, seed=3 + number))
    weights = [weight.clone().requires_grad_() for weight in net.weights]
    cross_entropy(sum(x @ weight for x, weight in zip(inputs, weights, strict=True)), targets).backward()
    net.learn(inputs, one_hot(targets, 10) - net.logits(inputs).sum(0).softmax(-1), lr=1.0)
    for new, old in zip(net.weights, weights, strict=True):
        torch.testing.assert_close(new, old.detach() - old.grad, rtol=0, atol=1e-12)


def test_a_softmax_resumes_from_its_state() -> None:
    def step(net: Softmax, seed: int) -> None:
        net.learn([random(9, 7, seed=seed), random(9, 4, seed=seed)], random(9, 10, seed=seed), lr=0.6)

    net, resumed = softmax(), softmax()
    step(net, 1)
    state = copy.deepcopy(net.state_dict())
    step(resumed, 2)  # its earlier state must not matter
    resumed.load_state_dict(state)
    for each in (net, resumed):
        step(each, 3)
    assert all(torch.equal(a, b) for a, b in zip(resumed.weights, net.weights, strict=True))


def test_softmaxes_on_several_spans_are_independent() -> None:
    widths, spans = (7, 4, 5), [(0, 2), (1, 2), (1, 1), (0, 0)]
    like = torch.zeros(1, dtype=torch.float64)
    together = Softmaxes(spans, widths, 10, like=like, momentum=0.9, weight_cost=0.02)
    alone = {(first, last): softmax(widths[first : last + 1]) for first, last in spans}
    assert [tuple(weight.shape) for weight in together.weights] == [(7, 20), (4, 30), (5, 20)]
    for step in range(4):
        inputs = [random(9, width, seed=10 * step + width) for width in widths]
        labels = one_hot(torch.randint(10, (9,), generator=torch.Generator().manual_seed(step)), 10)
        logits = together.logits(inputs)
        assert logits.shape == (4, 9, 10)
        for (first, last), net, part in zip(alone, alone.values(), logits, strict=True):
            expected = net.logits(inputs[first : last + 1]).sum(0)
            torch.testing.assert_close(part, expected, rtol=0, atol=1e-12)
            net.learn(inputs[first : last + 1], labels - expected.softmax(-1), lr=0.6)
        together.learn(inputs, labels - logits.softmax(-1), lr=0.6)
    for k, members in enumerate([[(0, 2), (0, 0)], [(0, 2), (1, 2), (1, 1)], [(0, 2), (1, 2)]]):
        expected = torch.cat([alone[first, last].weights[k - first] for first, last in members], 1)
        torch.testing.assert_close(together.weights[k], expected, rtol=0, atol=1e-12)
        assert expected.abs().amax(0).min() > 1e-3  # it did learn
    again = Softmaxes(spans, widths, 10, like=like, momentum=0.9, weight_cost=0.02)
    again.load_state_dict(copy.deepcopy(together.state_dict()))
    assert torch.equal(again.logits(inputs), together.logits(inputs))

"""Backpropagation against steps in NumPy and in plain torch: all nets, losses, optimizers and augmentations."""

import copy
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, linear

from ffrepro.algorithm.backprop import Backprop
from ffrepro.architecture import ModuleArchitecture
from ffrepro.architecture.local_receptive_fields import LocalReceptiveFields
from ffrepro.architecture.mlp import Mlp
from ffrepro.architecture.modules import LocallyConnected
from ffrepro.architecture.vanilla_resnet import VanillaResnet
from ffrepro.dataset import Dataset, Split
from ffrepro.dataset.augment import RandomResizedCrops
from ffrepro.errors import UserError
from ffrepro.kernel_shaping.activations import Relu, TailoredRelu
from ffrepro.kernel_shaping.shaped_net import Activated
from ffrepro.loss import CrossEntropy, SigmoidCrossEntropy, SquaredError
from ffrepro.optimizer.kfac import KFAC
from ffrepro.schedule import HoldThenLinear, Schedule, WarmUpThenCosine
from tests.algorithm.made import cpu_setting
from tests.algorithm.test_ff_sequence import text_dataset
from tests.conftest import make_dataset
from tests.forward_forward.test_weights import as_dense, mask_of

DENSE = Mlp((30, 20), 2.0)
# On color images, with a single tile, with tiles of 4 × 4, and with single locations.
LOCAL = LocalReceptiveFields([(8, 1, 3, 3), (8, 1, 3, 16), (4, 2, 4, 3)], 2.0, 1)


def resnet(**changed: Any) -> VanillaResnet:
    options: dict[str, Any] = {
        "depth": 26, "width": 4, "shortcut_weight": 0.0, "normalization": None, "stem": "small",
        "initialization": "orthogonal_delta", "activation": TailoredRelu(0.9, None),
    }  # fmt: skip
    return VanillaResnet(**options | changed)


DEEP = resnet()
SIDE = 20
SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=0.0001)
NESTEROV = partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True)
NATURAL = partial(
    KFAC, lr=0.03, momentum=0.5, damping=0.01, norm_constraint=0.01, curvature_decay=0.9, curvature_period=2,
    inverse_period=4,
)  # fmt: skip
ARCHITECTURES = pytest.mark.parametrize("architecture", [DENSE, LOCAL], ids=["mlp", "local_receptive_fields"])


def crops(**changed: float) -> RandomResizedCrops:
    options: dict[str, Any] = {"size": 16, "min_area": 0.5, "center_crop_ratio": 0.8}
    return RandomResizedCrops(**options | changed)


class Centers(RandomResizedCrops):
    """The same center of each image in training and in the test."""

    def train(self, images: Tensor, image_shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return self.test(images, image_shape)


def bright_quarters(n: int = 80, colors: tuple[int, ...] = (3,)) -> Dataset:
    """Images whose label says which quarter is bright."""
    draws = torch.Generator().manual_seed(0)
    targets = torch.arange(n) % 4
    pixels = 0.3 * torch.randn(n, SIDE, SIDE, *colors, generator=draws)
    half = SIDE // 2
    for number, target in enumerate(targets.tolist()):
        top, left = (target // 2) * half, (target % 2) * half
        pixels[number, top : top + half, left : left + half] += 1.5
    split = Split(pixels.flatten(1), targets)
    return Dataset("made", split, None, split[:40], 4, (SIDE, SIDE, *colors), "", stand_in=True)


def begun(
    architecture: ModuleArchitecture,
    dataset: Dataset,
    schedule: Schedule,
    compute_dtype: torch.dtype = torch.float32,
    **options: Any,
) -> Backprop:
    defaults: dict[str, Any] = {"batch_size": 20, "loss": CrossEntropy(0.0), "augmentation": None, "optimizer": SGD}
    algorithm = Backprop(**defaults | options)
    algorithm.begin(cpu_setting(dataset, architecture, schedule=schedule, compute_dtype=compute_dtype))
    return algorithm


def shallow(
    architecture: ModuleArchitecture = DENSE,
    compute_dtype: torch.dtype = torch.float64,
    epochs: int = 10,
    **options: Any,
) -> Backprop:
    """A net of few layers on ten prototypes with noise."""
    image_shape = (8, 8, 3) if isinstance(architecture, LocalReceptiveFields) else (1, 60)
    dtype = torch.float64 if compute_dtype == torch.float64 else torch.float32
    dataset = replace(make_dataset(n_pixels=int(np.prod(image_shape)), dtype=dtype), input_shape=image_shape)
    return begun(architecture, dataset, HoldThenLinear(epochs, 0.0), compute_dtype, **options)


def deep(
    optimizer: Any = NESTEROV,
    *,
    epochs: int = 4,
    dataset: Dataset | None = None,
    architecture: ModuleArchitecture = DEEP,
    **options: Any,
) -> Backprop:
    """A convolutional net on images with a bright quarter."""
    defaults: dict[str, Any] = {"loss": CrossEntropy(0.1), "augmentation": crops()}
    schedule = WarmUpThenCosine(epochs, 0.25)
    return begun(architecture, dataset or bright_quarters(), schedule, optimizer=optimizer, **defaults | options)


def output_layer(algorithm: Backprop) -> nn.Linear:
    *_, module = algorithm.net.children()
    assert isinstance(module, nn.Linear)
    return module


def randomize_output(algorithm: Backprop) -> None:
    """The output layer of shallow nets starts at 0; here at something else."""
    output_layer(algorithm).weight.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(5))


def parameters(algorithm: Backprop) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in algorithm.net.parameters()]


# Steps ---------------------------------------------------------------------------------------------


class InNumpy:
    """ReLU layers and a softmax, trained by SGD with momentum and weight decay."""

    def __init__(self, weights: list[np.ndarray], biases: list[np.ndarray]) -> None:
        self.weights = [weight.copy() for weight in weights]
        self.biases = [bias.copy() for bias in biases]
        self.velocities: list[np.ndarray] | None = None

    def step(self, x: np.ndarray, t: np.ndarray, lr: float) -> float:
        below = [x]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            below.append(np.maximum(0, below[-1] @ weight.T + bias))
        logits = below[-1] @ self.weights[-1].T + self.biases[-1]
        q = np.exp(logits - logits.max(1, keepdims=True))
        q /= q.sum(1, keepdims=True)
        loss = -np.log(q[np.arange(len(x)), t]).mean()
        delta = (q - np.eye(10)[t]) / len(x)
        by_weights: list[np.ndarray] = []
        by_biases: list[np.ndarray] = []
        for k in reversed(range(len(self.weights))):
            by_weights.insert(0, delta.T @ below[k] + 0.0001 * self.weights[k])
            by_biases.insert(0, delta.sum(0) + 0.0001 * self.biases[k])
            delta = (delta @ self.weights[k]) * (below[k] > 0)
        gradients = by_weights + by_biases
        old = self.velocities or [np.zeros_like(g) for g in gradients]
        self.velocities = [0.9 * v + g for v, g in zip(old, gradients, strict=True)]
        for parameter, velocity in zip(self.weights + self.biases, self.velocities, strict=True):
            np.subtract(parameter, lr * velocity, out=parameter)
        return float(loss)


def test_steps_follow_the_chain_rule_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = shallow(epochs=4)
    randomize_output(algorithm)
    layers = [module for module in algorithm.net.modules() if isinstance(module, nn.Linear)]
    reference = InNumpy(
        [layer.weight.detach().numpy() for layer in layers], [layer.bias.detach().numpy() for layer in layers]
    )
    order = torch.arange(100).view(5, 20)
    monkeypatch.setattr("ffrepro.algorithm.backprop.batches", lambda *_: order)
    images, targets = algorithm.train.inputs.numpy(), algorithm.train.targets.numpy()
    for epoch, lr_factor in ((1, 1.0), (3, 0.75), (4, 0.25)):
        metrics = algorithm.train_epoch(epoch)
        losses = [reference.step(images[batch], targets[batch], lr_factor * 0.05) for batch in order.numpy()]
        assert metrics["loss"] == pytest.approx(np.mean(losses), rel=1e-10)
    for layer, weight, bias in zip(layers, reference.weights, reference.biases, strict=True):
        np.testing.assert_allclose(layer.weight.detach(), weight, rtol=0, atol=1e-12)
        np.testing.assert_allclose(layer.bias.detach(), bias, rtol=0, atol=1e-12)


def test_an_epoch_is_steps_of_plain_torch_at_the_schedules_rates() -> None:
    algorithm = deep(augmentation=None)
    net = copy.deepcopy(algorithm.net)
    optimizer = NESTEROV(net.parameters())
    generator = torch.Generator()
    generator.set_state(algorithm.generator.get_state())
    order = torch.randperm(80, generator=generator).view(4, 20)
    total, n_wrong = 0.0, 0
    for step, batch in enumerate(order, start=1):
        logits = net(algorithm.train.inputs[batch])
        targets = algorithm.train.targets[batch]
        loss = nn.CrossEntropyLoss(label_smoothing=0.1)(logits, targets)
        n_wrong += int((logits.argmax(1) != targets).sum())
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["lr"] = 0.05 * step / 4  # the first of four epochs warms up
        optimizer.step()
        total += loss.item()
    metrics = algorithm.train_epoch(1)
    assert metrics["loss"] == pytest.approx(total / 4, rel=1e-4)
    assert metrics["running_error"] == pytest.approx(100 * n_wrong / 80)
    for parameter, expected in zip(algorithm.net.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, rtol=1e-3, atol=1e-5)


def test_on_text_the_metric_is_the_perplexity() -> None:
    algorithm = begun(DENSE, text_dataset(), HoldThenLinear(4, 0.0))
    metrics = algorithm.train_epoch(1)
    assert set(metrics) == {"loss", "running_perplexity"}
    assert metrics["running_perplexity"] == pytest.approx(np.exp(metrics["loss"]), rel=1e-6)
    assert set(algorithm.pictures(algorithm.train)) == {
        "first_layer_fields",
        "text_temperature_1",
        "text_temperature_0.5",
    }


# Autoencoders --------------------------------------------------------------------------------------


def autoencoder(optimizer: Any, loss: Any = None, **options: Any) -> Backprop:
    """A net whose targets are its inputs."""
    dataset = make_dataset(n=120, n_pixels=30).predicting_inputs()
    schedule = HoldThenLinear(4, 0.0)
    return begun(DENSE, dataset, schedule, loss=loss or SigmoidCrossEntropy(), optimizer=optimizer, **options)


def test_an_autoencoder_is_a_loop_of_plain_torch() -> None:
    algorithm = autoencoder(SGD, batch_size=40)
    net = nn.Sequential(nn.Linear(30, 30), nn.ReLU(), nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 30))
    with torch.no_grad():
        for parameter, initial in zip(net.parameters(), algorithm.net.parameters(), strict=True):
            parameter.copy_(initial)
    optimizer = SGD(net.parameters())
    generator = torch.Generator()
    generator.set_state(algorithm.generator.get_state())
    losses = []
    for batch in torch.randperm(120, generator=generator).view(3, 40):
        x = algorithm.train.inputs[batch]
        loss = binary_cross_entropy_with_logits(net(x), x, reduction="none").sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert algorithm.train_epoch(1) == {"loss": pytest.approx(np.mean(losses), rel=1e-5)}
    for parameter, expected in zip(algorithm.net.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, rtol=1e-4, atol=1e-6)
    split = algorithm.train[:50]
    with torch.no_grad():
        expected = binary_cross_entropy_with_logits(net(split.inputs), split.inputs, reduction="sum") / 50
    assert algorithm.evaluate(split) == {"loss": pytest.approx(expected.item(), rel=1e-5)}
    assert algorithm.monitor(split) == algorithm.evaluate(split)


@pytest.mark.parametrize("loss", [SigmoidCrossEntropy(), SquaredError()], ids=["sigmoid", "squared"])
def test_an_autoencoder_learns_by_kfac_with_targets_sampled_from_the_model(loss: Any) -> None:
    algorithm = autoencoder(partial(NATURAL, norm_constraint=0.1), loss)
    before = algorithm.evaluate(algorithm.train)["loss"]
    draws = algorithm.device_generator.get_state()
    history = [algorithm.train_epoch(epoch)["loss"] for epoch in range(1, 5)]
    assert not torch.equal(algorithm.device_generator.get_state(), draws)  # targets were sampled
    assert algorithm.evaluate(algorithm.train)["loss"] < min(before, *history[:-1])


# Local fields --------------------------------------------------------------------------------------

OPTIMIZERS: dict[str, Any] = {
    "sgd": partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=0.01),
    "nesterov": partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=0.01, nesterov=True),
    "adamw": partial(torch.optim.AdamW, lr=0.003, weight_decay=0.1),
}


def local_layers(algorithm: Backprop) -> list[LocallyConnected]:
    return [module for module in algorithm.net.modules() if isinstance(module, LocallyConnected)]


def dense_weights(layers: Iterable[LocallyConnected]) -> list[Tensor]:
    """The weights (width, fan_in) of fully connected layers that compute the same."""
    return [as_dense(layer.geometry, layer.weight.detach()).t() for layer in layers]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_local_fields_learn_as_masked_dense_weights(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = shallow(LOCAL, epochs=4, optimizer=OPTIMIZERS[optimizer])
    randomize_output(algorithm)
    layers, output = local_layers(algorithm), output_layer(algorithm)
    masks = [mask_of(layer.geometry).t() for layer in layers]
    start = dense_weights(layers)
    weights = [weight.clone().requires_grad_() for weight in (*start, output.weight.detach())]
    biases = [torch.zeros(len(weight), dtype=torch.float64, requires_grad=True) for weight in weights]
    reference = OPTIMIZERS[optimizer]([*weights, *biases])
    lr = reference.param_groups[0]["lr"]

    order = torch.arange(100).view(5, 20)
    monkeypatch.setattr("ffrepro.algorithm.backprop.batches", lambda *_: order)
    for epoch, lr_factor in ((1, 1.0), (3, 0.75), (4, 0.25)):
        metrics = algorithm.train_epoch(epoch)
        losses = []
        reference.param_groups[0]["lr"] = lr_factor * lr
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
    for learned, weight, mask, first in zip(dense_weights(layers), weights, masks, start, strict=False):
        torch.testing.assert_close(learned, weight.detach(), rtol=0, atol=1e-10)
        assert torch.equal(learned != first, mask != 0)
    torch.testing.assert_close(output.weight, weights[-1], rtol=0, atol=1e-10)
    for layer, bias in zip([*layers, output], biases, strict=True):
        torch.testing.assert_close(layer.bias, bias, rtol=0, atol=1e-10)
        assert bias.abs().max() > 1e-4


def test_local_layers_see_their_fields_and_share_no_weight() -> None:
    algorithm = shallow(LOCAL)
    randomize_output(algorithm)
    below = algorithm.train.inputs[:7]
    for weight in dense_weights(local_layers(algorithm)):
        below = (below @ weight.t()).relu()
    expected = below @ output_layer(algorithm).weight.t()
    torch.testing.assert_close(algorithm.outputs(algorithm.train.inputs[:7]), expected, rtol=0, atol=1e-12)


def test_kfac_refuses_local_fields_in_one_line() -> None:
    expected = r"algorithm\.optimizer is K-FAC, and 0\.0\.weight is no weight of a linear or convolutional layer"
    with pytest.raises(UserError, match=expected) as caught:
        shallow(LOCAL, compute_dtype=torch.float32, optimizer=NATURAL)
    assert "\n" not in str(caught.value)


# Learning ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "compute_dtype"),
    [(DENSE, torch.float32), (DENSE, torch.bfloat16), (LOCAL, torch.float32)],
    ids=["mlp", "mlp, bf16", "local_receptive_fields"],
)
def test_shallow_nets_learn(architecture: ModuleArchitecture, compute_dtype: torch.dtype) -> None:
    algorithm = shallow(architecture, compute_dtype=compute_dtype)
    before = algorithm.evaluate(algorithm.train)
    assert before["loss"] == pytest.approx(np.log(10), rel=1e-3)  # the output layer starts at 0
    metrics = [algorithm.train_epoch(epoch) for epoch in range(1, 11)]
    after = algorithm.evaluate(algorithm.train)
    assert metrics[-1]["loss"] < 0.2 * metrics[0]["loss"]
    assert after["error"] < 5
    assert after["loss"] < 0.3
    assert algorithm.monitor(algorithm.train) == {"error": after["error"]}


@pytest.mark.parametrize("optimizer", [NESTEROV, NATURAL], ids=["sgd", "kfac"])
def test_deep_nets_learn(optimizer: Any) -> None:
    centers = Centers(size=16, min_area=1.0, center_crop_ratio=0.8)  # mirror images have other labels
    algorithm = deep(optimizer, epochs=12, augmentation=centers)
    before = algorithm.monitor(algorithm.train)["error"]
    for epoch in range(1, 13):
        algorithm.train_epoch(epoch)
    assert algorithm.evaluate(algorithm.train)["error"] < 20 < before


@ARCHITECTURES
def test_bf16_products_stay_close_to_fp32_and_weights_stay_fp32(architecture: ModuleArchitecture) -> None:
    full, half = shallow(architecture, compute_dtype=torch.float32), shallow(architecture, compute_dtype=torch.bfloat16)
    images = full.train.inputs[:50]
    for algorithm in (full, half):
        algorithm.train_epoch(1)
    assert all(parameter.dtype == torch.float32 for parameter in half.net.parameters())
    assert half.outputs(images).dtype == torch.float32
    difference = (half.outputs(images) - full.outputs(images)).abs().max().item()
    assert 0 < difference < 0.1


# The test ------------------------------------------------------------------------------------------


def test_evaluation_is_by_hand_and_does_not_read_the_labels() -> None:
    algorithm = shallow()
    algorithm.train_epoch(1)
    split = algorithm.train[:30]
    logits = algorithm.outputs(split.inputs).detach().numpy()
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for targets in (split.targets, (split.targets + 1) % 10):
        metrics = algorithm.evaluate(Split(split.inputs, targets))
        assert metrics["error"] == pytest.approx(100 * (logits.argmax(1) != targets.numpy()).mean())
        assert metrics["loss"] == pytest.approx(-np.log(probabilities[np.arange(30), targets.numpy()]).mean())


def test_the_test_sees_the_center_and_changes_nothing() -> None:
    algorithm = deep()
    algorithm.train_epoch(1)
    before = copy.deepcopy(algorithm.state_dict())
    split = algorithm.train
    metrics = algorithm.evaluate(split)
    algorithm.net.eval()
    center = split.inputs.view(-1, SIDE, SIDE, 3)[:, 2:18, 2:18].flatten(1)
    with torch.no_grad():
        logits = algorithm.net(center)
    assert metrics["error"] == pytest.approx(100 * (logits.argmax(1) != split.targets).float().mean().item())
    assert algorithm.monitor(split) == {"error": metrics["error"]}
    after = algorithm.state_dict()
    for name, value in after["parts"][0].items():
        assert torch.equal(value, before["parts"][0][name])
    for state, other in zip(after["generators"], before["generators"], strict=True):
        assert torch.equal(state, other)


def test_the_test_does_not_see_what_lies_around_the_center() -> None:
    test = bright_quarters().test
    pixels = test.inputs.view(-1, SIDE, SIDE, 3)
    around = pixels.clone()
    around[:, 5:15, 5:15] = 0
    algorithm, errors = deep(augmentation=crops(center_crop_ratio=0.5)), []
    algorithm.train_epoch(1)
    for shown in (pixels, pixels - around, around):
        errors.append(algorithm.evaluate(Split(shown.flatten(1), test.targets)))
    assert errors[0] == errors[1] != errors[2]


# Augmentation --------------------------------------------------------------------------------------


def inputs_of_net(algorithm: Backprop) -> list[Tensor]:
    """A list that collects the inputs of the net."""
    inputs: list[Tensor] = []
    algorithm.net.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0].clone()))
    return inputs


@pytest.mark.parametrize("colors", [(), (3,)], ids=["gray", "color"])
def test_crops_are_drawn_for_each_minibatch(colors: tuple[int, ...]) -> None:
    algorithm = deep(dataset=bright_quarters(colors=colors))
    inputs = inputs_of_net(algorithm)
    images, targets = algorithm.train.inputs[:20], algorithm.train.targets[:20]
    for _ in range(2):
        algorithm.minibatch(images, targets)
    first, second = inputs
    assert first.shape == (20, 16 * 16 * (3 if colors else 1))
    assert not torch.equal(first, second)
    expected = crops().train(images, (SIDE, SIDE, *colors), torch.Generator().manual_seed(0))
    assert torch.equal(first, expected)


def test_without_augmentation_images_are_shown_whole() -> None:
    algorithm = deep(augmentation=None)
    inputs = inputs_of_net(algorithm)
    images, targets = algorithm.train.inputs[:20], algorithm.train.targets[:20]
    algorithm.minibatch(images, targets)
    assert torch.equal(inputs[0], images)


def test_a_shallow_net_learns_from_crops_of_gray_images() -> None:
    quarters = bright_quarters(colors=())
    split = Split(quarters.train.inputs, quarters.train.targets // 2)  # above or below, mirrored or not
    halves = replace(quarters, train=split, test=split, n_classes=2)
    algorithm = deep(dataset=halves, architecture=DENSE, epochs=8)
    for epoch in range(1, 9):
        algorithm.train_epoch(epoch)
    assert algorithm.evaluate(algorithm.train)["error"] < 10  # by chance 50
    assert algorithm.pictures(algorithm.train)["first_layer_fields"].shape == (30, 16, 16)


# Deep nets -----------------------------------------------------------------------------------------


def test_batch_normalization_is_in_training_mode_in_training_alone() -> None:
    net = resnet(shortcut_weight=None, normalization="batch", initialization="he", activation=Relu(1.0))
    algorithm = deep(architecture=net)
    running = next(module for module in algorithm.net.modules() if isinstance(module, nn.BatchNorm2d)).running_mean
    assert running is not None
    assert not running.any()  # the signals before training have left it alone
    algorithm.train_epoch(1)
    after = running.clone()
    assert after.any()
    algorithm.evaluate(algorithm.train)
    assert torch.equal(running, after)


def test_signals_before_training_are_those_of_each_activation() -> None:
    algorithm = deep()
    inputs: list[Tensor] = []
    for module in algorithm.net.modules():
        if isinstance(module, Activated):
            module.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
    algorithm.net(bright_quarters().test.inputs.view(-1, SIDE, SIDE, 3)[:, 2:18, 2:18].flatten(1))
    pictures = algorithm.pictures(algorithm.train)
    assert pictures["signal_q"].shape == pictures["signal_c"].shape == (25,)
    for number, x in enumerate(inputs):
        assert pictures["signal_q"][number] == pytest.approx(x.square().mean().item(), rel=1e-4)
        first, second = x[0::2], x[1::2]
        cosines = (first * second).sum(1) / (first.norm(dim=1) * second.norm(dim=1))
        assert pictures["signal_c"][number] == pytest.approx(cosines.mean().item(), rel=1e-3)


@pytest.mark.parametrize(("n_test", "n_paired"), [(7, 6), (1, 0)])
def test_signals_are_of_pairs(n_test: int, n_paired: int) -> None:
    made = bright_quarters(40)
    pictures = deep(dataset=replace(made, test=made.test[:n_test])).signals
    if n_paired:
        expected = deep(dataset=replace(made, test=made.test[:n_paired])).signals
        assert pictures["signal_c"] == pytest.approx(expected["signal_c"])
        assert np.isfinite(pictures["c_map"]).all()
    assert bool(pictures) == bool(n_paired)


@pytest.mark.parametrize(("normalization", "weight"), [("batch", 0.0), (None, None), (None, 0.5), (None, 0.0)])
def test_signals_are_kept_of_nets_with_a_theory(normalization: str | None, weight: float | None) -> None:
    net = resnet(shortcut_weight=weight, normalization=normalization, activation=Relu(None))
    expected = set() if normalization or weight is None else {"signal_q", "signal_c", "c_map"}
    if expected and weight == 0:
        expected.add("signal_c_theory")
    assert set(deep(architecture=net).signals) == expected


# Pictures and state --------------------------------------------------------------------------------


def test_pictures_are_the_fields_of_the_first_layer() -> None:
    algorithm = shallow()
    for _ in range(2):  # before training and after it
        fields = algorithm.pictures(algorithm.train)["first_layer_fields"]
        assert fields.shape == (30, 1, 60)
        np.testing.assert_allclose(fields[:, 0], parameters(algorithm)[0], rtol=1e-6)
        algorithm.train_epoch(1)


def test_pictures_of_a_local_net_are_the_fields_of_its_locations() -> None:
    algorithm = shallow(LOCAL)
    for _ in range(2):
        fields = algorithm.pictures(algorithm.train)["first_layer_fields"]
        assert fields.shape == (64, 3, 3, 3)
        weights = dense_weights(local_layers(algorithm))[0].t().numpy().reshape(8, 8, 3, 8, 8, 3)
        for location, field in enumerate(fields):  # the first unit of each
            row, column = divmod(location, 8)
            expected = np.pad(weights[..., row, column, 0], ((1, 1), (1, 1), (0, 0)))[
                row : row + 3, column : column + 3
            ]
            np.testing.assert_allclose(field, expected, rtol=1e-6)
        algorithm.train_epoch(1)


RESUMED: dict[str, Any] = {
    "mlp": shallow,
    "local_receptive_fields": partial(shallow, LOCAL),
    "deep, sgd": deep,
    "deep, kfac": partial(deep, NATURAL),
    "autoencoder, adam": partial(autoencoder, partial(torch.optim.Adam, lr=0.01, fused=True)),
}


@pytest.mark.parametrize("kind", RESUMED)
def test_a_resumed_run_goes_on_as_if_uninterrupted(kind: str, tmp_path: Path) -> None:
    whole, cut, resumed = (RESUMED[kind]() for _ in range(3))
    history = [whole.train_epoch(epoch) for epoch in (1, 2, 4)]
    cut.train_epoch(1)
    torch.save(cut.state_dict(), tmp_path / "state.pt")
    resumed.train_epoch(3)  # its earlier state must not matter
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [resumed.train_epoch(epoch) for epoch in (2, 4)] == history[1:]
    assert all(torch.equal(a, b) for a, b in zip(parameters(resumed), parameters(whole), strict=True))
    assert resumed.evaluate(resumed.train) == whole.evaluate(whole.train)


# Mistakes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"augmentation": crops(size=21)}, r"algorithm\.augmentation\.size is 21.*20 × 20 × 3"),
        ({"dataset": text_dataset(), "architecture": DENSE}, "dataset made is text"),
        ({"dataset": bright_quarters().predicting_inputs()}, r"algorithm\.loss is cross_entropy"),
        ({"loss": SquaredError()}, r"algorithm\.loss is squared_error"),
        ({"optimizer": partial(torch.optim.SGD, lr=None)}, r"algorithm\.optimizer is refused"),
        ({"optimizer": partial(torch.optim.SGD, lr=-1.0)}, r"algorithm\.optimizer is refused"),
    ],
)
def test_mistakes_are_named_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        deep(**options)
    assert "\n" not in str(caught.value)

"""Deep nets trained by backpropagation: steps against plain torch, crops, both optimizers, cut runs, signals."""

import copy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ffrepro.algorithm import Setting
from ffrepro.algorithm.tat import DeepNet
from ffrepro.architecture.mlp import Mlp
from ffrepro.architecture.vanilla_resnet import Activated, VanillaResnet
from ffrepro.dataset import Dataset, Split
from ffrepro.dataset.augment import centre_crops
from ffrepro.errors import UserError
from ffrepro.forward_forward.goodness import SumOfSquares
from ffrepro.kernel_shaping.activations import Relu, TailoredRelu
from ffrepro.optimizer.kfac import KFAC
from ffrepro.schedule import HoldThenLinear, WarmUpThenCosine
from tests.conftest import make_dataset

SIDE = 20
SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True)
NATURAL = partial(
    KFAC, lr=0.03, momentum=0.5, damping=0.01, norm_constraint=0.01, curvature_decay=0.9, curvature_period=2,
    inverse_period=4,
)  # fmt: skip


def images(n: int = 80, seed: int = 0) -> Dataset:
    """Pictures of which the label tells where they are bright."""
    draws = torch.Generator().manual_seed(seed)
    targets = torch.arange(n) % 4
    pixels = 0.3 * torch.randn(n, SIDE, SIDE, 3, generator=draws)
    half = SIDE // 2
    for number, target in enumerate(targets.tolist()):
        top, left = (target // 2) * half, (target % 2) * half
        pixels[number, top : top + half, left : left + half] += 1.5
    split = Split(pixels.flatten(1), targets)
    return Dataset("made", split, None, split.first(40), 4, (SIDE, SIDE, 3), "", stand_in=True)


def make(
    optimizer: Any = SGD, *, epochs: int = 4, dataset: Dataset | None = None, architecture: Any = None, **changed: Any
) -> DeepNet:
    options: dict[str, Any] = {
        "batch_size": 20,
        "crop": 16,
        "augment": True,
        "smallest_crop": 0.5,
        "middle": 0.8,
        "label_smoothing": 0.1,
    }
    algorithm = DeepNet(**options | changed, optimizer=optimizer)
    net = VanillaResnet(
        depth=26, width=4, shortcut_weight=0.0, normalization=None, stem="small", initialization="orthogonal_delta",
        activation=TailoredRelu(0.9, None),
    )  # fmt: skip
    algorithm.begin(
        Setting(
            dataset=dataset or images(),
            architecture=architecture or net,
            goodness=SumOfSquares(),
            schedule=WarmUpThenCosine(epochs, 0.25),
            seed=0,
            device=torch.device("cpu"),
            products=torch.float32,
        )
    )
    return algorithm


def weights(algorithm: DeepNet) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in algorithm.net.parameters()]


def test_an_epoch_is_steps_of_plain_torch_at_the_schedules_rates() -> None:
    algorithm = make(augment=False)
    net = copy.deepcopy(algorithm.net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    generator = torch.Generator()
    generator.set_state(algorithm.generator.get_state())
    order = torch.randperm(80, generator=generator).view(4, 20)
    total, wrong = 0.0, 0
    for step, batch in enumerate(order, start=1):
        whole = algorithm.train.inputs[batch].view(20, SIDE, SIDE, 3)
        seen = whole[:, 2:18, 2:18].permute(0, 3, 1, 2)
        logits = net(seen)
        targets = algorithm.train.targets[batch]
        loss = nn.CrossEntropyLoss(label_smoothing=0.1)(logits, targets)
        wrong += int((logits.argmax(1) != targets).sum())
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["lr"] = 0.05 * step / 4  # the first of four epochs warms up
        optimizer.step()
        total += loss.item()
    metrics = algorithm.train_epoch(1)
    assert metrics["loss"] == pytest.approx(total / 4, rel=1e-4)
    assert metrics["running_error"] == pytest.approx(100 * wrong / 80)
    for mine, other in zip(algorithm.net.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("optimizer", [SGD, NATURAL], ids=["sgd", "kfac"])
def test_it_learns(optimizer: Any) -> None:
    algorithm = make(optimizer, epochs=12, augment=False)
    before = algorithm.monitor(algorithm.train)["error"]
    for epoch in range(1, 13):
        algorithm.train_epoch(epoch)
    assert algorithm.evaluate(algorithm.train)["error"] < 20 < before


def test_the_test_sees_the_middle_and_changes_nothing() -> None:
    algorithm = make()
    algorithm.train_epoch(1)
    state = copy.deepcopy(algorithm.state_dict()["net"])
    split = algorithm.train
    found = algorithm.evaluate(split)
    algorithm.net.eval()
    middle = split.inputs.view(-1, SIDE, SIDE, 3)[:, 2:18, 2:18].permute(0, 3, 1, 2)
    with torch.no_grad():
        logits = algorithm.net(middle)
    assert found["error"] == pytest.approx(100 * (logits.argmax(1) != split.targets).float().mean().item())
    assert algorithm.monitor(split) == {"error": found["error"]}
    for name, value in algorithm.state_dict()["net"].items():
        assert torch.equal(value, state[name])


@pytest.mark.parametrize("optimizer", [SGD, NATURAL], ids=["sgd", "kfac"])
def test_a_cut_run_goes_on_as_if_uncut(optimizer: Any) -> None:
    whole, cut = make(optimizer), make(optimizer)
    histories = [whole.train_epoch(epoch) for epoch in (1, 2, 3)]
    cut.train_epoch(1)
    state = copy.deepcopy(cut.state_dict())
    resumed = make(optimizer)
    resumed.load_state_dict(state)
    assert [resumed.train_epoch(epoch) for epoch in (2, 3)] == histories[1:]
    for mine, other in zip(weights(whole), weights(resumed), strict=True):
        assert torch.equal(mine, other)


def test_the_smallest_crop_is_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def whole(rows: Tensor, shape: tuple[int, ...], size: int, smallest: float, _: torch.Generator) -> Tensor:
        asked.append(smallest)
        return centre_crops(rows, shape, size, 1.0)

    monkeypatch.setattr("ffrepro.algorithm.tat.random_resized_crops", whole)
    make(smallest_crop=0.3).train_epoch(1)
    assert asked == [0.3] * 4


def test_the_test_sees_the_middle_of_the_images() -> None:
    test = images().test
    pixels = test.inputs.view(-1, SIDE, SIDE, 3)
    around = pixels.clone()
    around[:, 5:15, 5:15] = 0
    middle = pixels - around
    algorithm, errors = make(middle=0.5), []
    algorithm.train_epoch(1)
    for shown in (pixels, middle, around):
        errors.append(algorithm.evaluate(Split(shown.flatten(1), test.targets)))
    assert errors[0] == errors[1] != errors[2]


def test_crops_are_new_each_time_and_not_used_without_augmentation() -> None:
    seen: list[Tensor] = []

    def watched(algorithm: DeepNet) -> DeepNet:
        plain = algorithm.logits

        def logits(rows: Tensor) -> Tensor:
            seen.append(rows.clone())
            return plain(rows)

        algorithm.logits = logits  # type: ignore[method-assign]
        return algorithm

    algorithm = watched(make())
    first, targets = algorithm.train.inputs[:20], algorithm.train.targets[:20]
    algorithm.minibatch(first, targets)
    algorithm.minibatch(first, targets)
    assert seen[0].shape == (20, 16 * 16 * 3)
    assert not torch.equal(seen[0], seen[1])
    algorithm = watched(make(augment=False))
    algorithm.minibatch(first, targets)
    algorithm.minibatch(first, targets)
    assert torch.equal(seen[2], seen[3])


def test_batch_normalisation_is_in_training_mode_in_training_alone() -> None:
    net = VanillaResnet(
        depth=26, width=4, shortcut_weight=None, normalization="batch", stem="small", initialization="he",
        activation=Relu(1.0),
    )  # fmt: skip
    algorithm = make(architecture=net)
    running = next(module for module in algorithm.net.modules() if isinstance(module, nn.BatchNorm2d)).running_mean
    assert running is not None
    assert not running.any()  # looking at the signals before training left it
    algorithm.train_epoch(1)
    after = running.clone()
    assert after.any()
    algorithm.evaluate(algorithm.train)
    assert torch.equal(running, after)


def test_signals_before_training_are_those_of_each_activation() -> None:
    algorithm = make(dataset=images(80))
    given: list[Tensor] = []
    for module in algorithm.net.modules():
        if isinstance(module, Activated):
            module.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    middle = images(80).test.inputs.view(-1, SIDE, SIDE, 3)[:, 2:18, 2:18].permute(0, 3, 1, 2)
    algorithm.net(middle)
    found = algorithm.pictures(algorithm.train)
    assert found["signal_q"].shape == found["signal_c"].shape == (25,)
    for number, x in enumerate(given):
        assert found["signal_q"][number] == pytest.approx(x.square().mean().item(), rel=1e-4)
        one, other = x[0::2], x[1::2]
        cosines = (one * other).sum(1) / (one.norm(dim=1) * other.norm(dim=1))
        assert found["signal_c"][number] == pytest.approx(cosines.mean().item(), rel=1e-3)


@pytest.mark.parametrize(("n_test", "kept"), [(7, 6), (1, 0)])
def test_signals_are_of_pairs(n_test: int, kept: int) -> None:
    made = images(40)
    algorithm = make(dataset=replace(made, test=made.test.first(n_test)))
    found = algorithm.pictures(algorithm.train)
    if kept:
        of_pairs = make(dataset=replace(made, test=made.test.first(kept))).pictures(algorithm.train)
        assert found["signal_c"] == pytest.approx(of_pairs["signal_c"])
        assert np.isfinite(found["c_map"]).all()
    assert bool(found) == bool(kept)


@pytest.mark.parametrize(("normalization", "weight"), [("batch", 0.0), (None, None), (None, 0.5), (None, 0.0)])
def test_theory_is_kept_of_nets_that_it_speaks_of(normalization: str | None, weight: float | None) -> None:
    net = VanillaResnet(
        depth=26, width=4, shortcut_weight=weight, normalization=normalization, stem="small",
        initialization="orthogonal_delta", activation=Relu(None),
    )  # fmt: skip
    kept = set(make(architecture=net).pictures(images().test))
    expected = set() if normalization or weight is None else {"signal_q", "signal_c", "c_map"}
    assert kept == expected | ({"signal_c_theory"} if expected and weight == 0 else set())


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"architecture": Mlp([4], 1.0)}, "expected architecture=vanilla_resnet"),
        ({"dataset": make_dataset()}, "expected images in colour"),
        ({"crop": 21}, r"algorithm\.crop is 21.*20 × 20 × 3"),
        ({"crop": 0}, r"algorithm\.crop is 0: expected at least 1"),
        ({"optimizer": partial(torch.optim.SGD, lr=None)}, r"algorithm\.optimizer is refused"),
        ({"architecture": 0, "smallest_crop": 1.01}, r"smallest_crop is 1\.01"),
        ({"smallest_crop": 0.0}, r"smallest_crop is 0\.0"),
        ({"middle": 0.0}, r"middle is 0\.0"),
        ({"middle": 1.01}, r"middle is 1\.01"),
        ({"label_smoothing": 1.0}, r"label_smoothing is 1\.0"),
        ({"optimizer": partial(torch.optim.SGD, lr=-1.0)}, r"algorithm\.optimizer is refused"),
    ],
)
def test_mistakes_are_named(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        make(**changed)


def test_the_cosine_begins_with_a_line_and_ends_at_0() -> None:
    schedule = WarmUpThenCosine(10, 0.2)
    assert [schedule.gain(epoch) for epoch in (0.5, 1, 2)] == pytest.approx([0.25, 0.5, 1.0])
    assert schedule.gain(6) == pytest.approx(0.5)
    assert schedule.gain(10) == pytest.approx(0.0, abs=1e-12)
    assert WarmUpThenCosine(1, 0.2).gain(0.1) == pytest.approx(0.5)  # budgets scale it
    assert WarmUpThenCosine(4, 0.0).gain(2) == pytest.approx(0.5)
    with pytest.raises(UserError, match=r"warm_up is 1\.0"):
        WarmUpThenCosine(10, 1.0)
    assert HoldThenLinear(10, None).gain(10) == pytest.approx(0.1)

"""K-FAC against loops, dense matrices, numbers by hand, and curvlinops."""

import copy
import gc
import io
import math
import warnings
from collections.abc import Callable
from itertools import pairwise, product
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from ffrepro.architecture.vanilla_resnet import Pointwise
from ffrepro.errors import UserError
from ffrepro.loss import CrossEntropy, SigmoidCrossEntropy
from ffrepro.optimizer.kfac import KFAC, damped_inverse
from ffrepro.paths import CONF

_YAML = yaml.safe_load((CONF / "optimizer" / "kfac.yaml").read_text())
PRESET = {key: value for key, value in _YAML.items() if not key.startswith("_")}
# The natural gradient alone.
PLAIN = {**PRESET, "lr": 1.0, "momentum": 0.0, "norm_constraint": None, "curvature_period": 1, "inverse_period": 1}
CLASSES = 3


def kfac(model: nn.Module, **changed: Any) -> KFAC:
    return KFAC(model, **{**PLAIN, **changed})


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 6, bias=False), nn.Tanh(), nn.Linear(6, CLASSES))


def conv_net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 2)),
        nn.LeakyReLU(0.3, inplace=True),
        nn.Conv2d(3, 4, (2, 3), dilation=(2, 1), bias=False),
        nn.Tanh(),
        nn.Conv2d(4, 2, 1),
        nn.Flatten(),
        nn.Linear(24, CLASSES),
    )


NETS: dict[str, tuple[Callable[[], nn.Sequential], tuple[int, ...]]] = {
    "mlp": (mlp, (7, 5)),
    "conv_net": (conv_net, (7, 2, 7, 5)),
}
both = pytest.mark.parametrize("name", NETS)


def made(name: str, dtype: torch.dtype = torch.float64) -> tuple[nn.Sequential, Tensor, Tensor]:
    """A net, inputs and labels."""
    torch.manual_seed(3)
    make, shape = NETS[name]
    return make().to(dtype), torch.randn(shape, dtype=dtype), torch.randint(CLASSES, (shape[0],))


def observe(optimizer: KFAC, model: nn.Module, inputs: Tensor, labels: Tensor) -> None:
    optimizer.observe(cross_entropy(model(inputs), labels))


def layers(model: nn.Sequential) -> list[nn.Linear | nn.Conv2d]:
    return [layer for layer in model if isinstance(layer, nn.Linear | nn.Conv2d)]


def values(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def change_of_step(model: nn.Module, optimizer: KFAC) -> list[Tensor]:
    """Take a step. Returns the change of each parameter."""
    before = values(model)
    optimizer.step()
    return [after - was for after, was in zip(values(model), before, strict=True)]


@pytest.fixture(scope="module")
def curvlinops() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from its imports
        return pytest.importorskip("curvlinops")


def oracle(curvlinops: ModuleType, model: nn.Sequential, inputs: Tensor, labels: Tensor) -> Any:
    """The K-FAC of curvlinops, as the empirical Fisher matrix of the sampled `labels`."""
    operator = curvlinops.KFACLinearOperator(
        model,
        nn.CrossEntropyLoss(),
        list(model.parameters()),
        [(inputs, labels)],
        fisher_type="empirical",
        kfac_approx="expand",
        separate_weight_and_bias=False,
        check_deterministic=False,
    )
    operator.compute_kronecker_factors()
    return operator


def test_pointwise_convolutions_have_the_factors_of_convolutions() -> None:
    optimizers = []
    for kind in (nn.Conv2d, Pointwise):
        torch.manual_seed(3)
        model = nn.Sequential(kind(2, 3, 1), nn.Tanh(), nn.Flatten(), nn.Linear(60, CLASSES)).double()
        optimizers.append(kfac(model))
        observe(optimizers[-1], model, torch.randn(7, 2, 4, 5, dtype=torch.float64), torch.arange(7) % CLASSES)
    for convolution, product_ in zip(*(optimizer.layers for optimizer in optimizers), strict=True):
        torch.testing.assert_close(product_.a, convolution.a, rtol=0, atol=1e-12)
        torch.testing.assert_close(product_.g, convolution.g, rtol=0, atol=1e-12)
        assert product_.a.any()
        assert product_.g.any()


@both
def test_factors_are_those_of_curvlinops(name: str, curvlinops: ModuleType) -> None:
    model, inputs, labels = made(name)
    reference = oracle(curvlinops, model, inputs, labels)
    optimizer = kfac(model)
    observe(optimizer, model, inputs, labels)
    named = [(position, layer) for position, layer in model.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    for ours, (position, layer) in zip(optimizer.layers, named, strict=True):
        a, g = reference._input_covariances[position], reference._gradient_covariances[position]
        order = torch.arange(layer.weight[0].numel()).view(layer.weight[0].shape)  # channels first, bias last
        channels_last = torch.cat([order.movedim(0, -1).flatten(), torch.arange(order.numel(), len(a))])
        torch.testing.assert_close(ours.a, a[channels_last][:, channels_last])
        torch.testing.assert_close(ours.g, g)


@both
def test_a_step_is_the_preconditioned_gradient_of_curvlinops(name: str, curvlinops: ModuleType) -> None:
    model, inputs, labels = made(name)
    reference = curvlinops.KFACInverseLinearOperator(
        oracle(curvlinops, model, inputs, labels),
        damping=PRESET["damping"],
        use_heuristic_damping=True,
        min_damping=0.0,
    )
    targets = torch.arange(len(labels)) % CLASSES
    gradient = torch.autograd.grad(cross_entropy(model(inputs), targets), list(model.parameters()))
    optimizer = kfac(model)
    logits = model(inputs)
    optimizer.observe(cross_entropy(logits, labels))
    cross_entropy(logits, targets).backward()
    for ours, delta in zip(change_of_step(model, optimizer), reference @ list(gradient), strict=True):
        torch.testing.assert_close(ours, -delta)


def looped(model: nn.Sequential, inputs: Tensor, labels: Tensor) -> list[tuple[Tensor, Tensor]]:
    """A and G of each layer, by a loop over examples and positions."""
    sums: list[Any] = [(0.0, 0.0)] * len(layers(model))
    for example, label in zip(inputs, labels, strict=True):
        by_layer: list[tuple[Tensor, Tensor]] = []
        activities = example[None]
        for layer in model:
            before, activities = activities, layer(activities.clone())
            if isinstance(layer, nn.Linear | nn.Conv2d):
                activities.retain_grad()
                by_layer.append((before.detach()[0], activities))
        cross_entropy(activities, label[None]).backward()
        for i, (layer, (before, outputs)) in enumerate(zip(layers(model), by_layer, strict=True)):
            assert outputs.grad is not None
            bias = [torch.ones(1, dtype=before.dtype)] if layer.bias is not None else []
            if isinstance(layer, nn.Linear):
                pairs = [(torch.cat([before, *bias]), outputs.grad[0])]
            else:
                (py, px), (sy, sx), (dy, dx) = layer.padding, layer.stride, layer.dilation
                padded, pairs = pad(before, (px, px, py, py)), []
                for y, x in product(*map(range, outputs.shape[2:])):
                    taps = [
                        padded[:, y * sy + j * dy, x * sx + k * dx] for j, k in product(*map(range, layer.kernel_size))
                    ]
                    pairs.append((torch.cat([*taps, *bias]), outputs.grad[0, :, y, x]))
            a, g = sums[i]
            a = a + sum(torch.outer(u, u) for u, _ in pairs) / len(pairs) / len(inputs)
            sums[i] = a, g + sum(torch.outer(v, v) for _, v in pairs) / len(inputs)
    return sums


@both
def test_factors_are_those_of_a_loop_over_examples_and_positions(name: str) -> None:
    model, inputs, labels = made(name)
    optimizer = kfac(model)
    observe(optimizer, model, inputs, labels)
    for layer, (a, g) in zip(optimizer.layers, looped(model, inputs, labels), strict=True):
        torch.testing.assert_close(layer.a, a)
        torch.testing.assert_close(layer.g, g)


@both
def test_factors_do_not_depend_on_the_batch_size(name: str) -> None:
    # Other implementations were wrong by B² and T².
    model, inputs, labels = made(name)
    once, thrice = kfac(model), kfac(model)
    observe(once, model, inputs, labels)
    observe(thrice, model, inputs.repeat(3, *[1] * (inputs.dim() - 1)), labels.repeat(3))
    for ours, other in zip(once.layers, thrice.layers, strict=True):
        torch.testing.assert_close(ours.a, other.a)
        torch.testing.assert_close(ours.g, other.g)


def test_a_is_a_mean_over_positions_and_g_a_sum() -> None:
    model = nn.Conv2d(1, 1, 1, bias=False).double()
    optimizer = kfac(model)
    outputs = model(torch.full((5, 1, 2, 3), 4.0, dtype=torch.float64))
    optimizer.observe((7 * outputs).sum((1, 2, 3)).mean())
    assert optimizer.layers[0].a.item() == pytest.approx(4**2)
    assert optimizer.layers[0].g.item() == pytest.approx(6 * 7**2)


def test_further_input_dimensions_are_positions() -> None:
    model = nn.Linear(1, 1, bias=False).double()
    optimizer = kfac(model)
    optimizer.observe((7 * model(torch.full((5, 6, 1), 4.0, dtype=torch.float64))).sum((1, 2)).mean())
    assert optimizer.layers[0].a.item() == pytest.approx(4**2)
    assert optimizer.layers[0].g.item() == pytest.approx(6 * 7**2)


def test_a_step_on_linear_regression_is_newtons() -> None:
    torch.manual_seed(0)
    inputs, targets = torch.randn(12, 4, dtype=torch.float64), torch.randn(12, 3, dtype=torch.float64)
    model = nn.Linear(4, 3).double()
    optimizer = kfac(model, damping=1e-14)
    outputs = model(inputs)
    noise = 3**0.5 * torch.eye(3, dtype=torch.float64).repeat(4, 1)  # with covariance 1, like the model
    optimizer.observe((outputs - (outputs.detach() + noise)).square().sum(1).mean() / 2)
    ((outputs - targets).square().sum(1).mean() / 2).backward()
    optimizer.step()
    solved = torch.linalg.lstsq(pad(inputs, (0, 1), value=1.0), targets).solution
    torch.testing.assert_close(model.weight.detach(), solved[:-1].t(), rtol=0, atol=1e-5)
    torch.testing.assert_close(model.bias.detach(), solved[-1], rtol=0, atol=1e-5)


def test_with_independent_inputs_and_gradients_a_step_is_the_dense_natural_gradient() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2).double()
    pairs = torch.cartesian_prod(torch.arange(6), torch.arange(5))  # all pairs of inputs and gradients
    inputs = torch.randn(6, 3, dtype=torch.float64)[pairs[:, 0]]
    gradients = torch.randn(5, 2, dtype=torch.float64)[pairs[:, 1]]
    optimizer = kfac(model, damping=1e-14)
    optimizer.observe((model(inputs) * gradients).sum(1).mean())
    (model(inputs) * torch.randn(30, 2, dtype=torch.float64)).sum(1).mean().backward()
    scores = [torch.cat([torch.outer(g, x), g[:, None]], 1).flatten() for g, x in zip(gradients, inputs, strict=True)]
    fisher = torch.stack(scores).t() @ torch.stack(scores) / 30
    assert model.weight.grad is not None
    assert model.bias.grad is not None
    gradient = torch.cat([model.weight.grad, model.bias.grad[:, None]], 1).flatten()
    weight, bias = change_of_step(model, optimizer)
    delta = torch.linalg.solve(fisher, gradient)
    torch.testing.assert_close(torch.cat([weight, bias[:, None]], 1).flatten(), -delta, rtol=1e-5, atol=1e-6)


def scalar(**changed: Any) -> tuple[nn.Linear, KFAC]:
    """A single weight of 0."""
    model = nn.Linear(1, 1, bias=False).double()
    nn.init.zeros_(model.weight)
    return model, kfac(model, **changed)


def scalar_step(model: nn.Linear, optimizer: KFAC, x: float, gradient: float) -> None:
    """A step with the input `x`, a gradient of 1 with respect to the output, and a loss with the `gradient`."""
    optimizer.observe(model(torch.tensor([[x]], dtype=torch.float64)).mean())
    model.weight.grad = torch.full_like(model.weight, gradient)
    optimizer.step()


def test_damping_is_split_by_the_ratio_of_mean_eigenvalues() -> None:
    model = nn.Linear(2, 1, bias=False).double()
    optimizer = kfac(model, damping=0.01)
    optimizer.observe((3 * model(torch.tensor([[72.0**0.5, 0]], dtype=torch.float64))).mean())
    # A is diag(72, 0) and G is 9, with means of 36 and 9: π is 2.
    model.weight.grad = torch.tensor([[1.0, 1.0]], dtype=torch.float64)
    (step,) = change_of_step(model, optimizer)
    expected = [-1 / (72 + 2 * 0.1) / (9 + 0.1 / 2), -1 / (2 * 0.1) / (9 + 0.1 / 2)]
    torch.testing.assert_close(step, torch.tensor([expected], dtype=torch.float64))


@pytest.mark.parametrize(("x", "g"), [(0.0, 1.0), (1.0, 0.0)], ids=["inputs", "gradients"])
def test_without_inputs_or_gradients_only_damping_is_left(x: float, g: float) -> None:
    model, optimizer = scalar(damping=0.01)
    optimizer.observe((g * model(torch.tensor([[x]], dtype=torch.float64))).mean())
    model.weight.grad = torch.ones_like(model.weight)
    (step,) = change_of_step(model, optimizer)
    assert step.item() == pytest.approx(-1 / (0.1 * (1 + 0.1)))


def test_averages_decay() -> None:
    model, optimizer = scalar(curvature_decay=0.5)
    scalar_step(model, optimizer, 2.0, 0.0)
    assert optimizer.layers[0].a.item() == 4  # the first observation is not scaled down
    scalar_step(model, optimizer, 3.0, 0.0)
    scalar_step(model, optimizer, 5.0, 0.0)
    assert optimizer.layers[0].a.item() == pytest.approx((4 / 4 + 9 / 2 + 25) / (1 / 4 + 1 / 2 + 1))


def test_averages_decay_at_the_same_rate_with_fewer_observations() -> None:
    model, optimizer = scalar(curvature_decay=0.5, curvature_period=2)
    for x in (2.0, 100.0, 3.0, 100.0, 5.0):
        scalar_step(model, optimizer, x, 0.0)
    assert optimizer.layers[0].a.item() == pytest.approx((4 / 16 + 9 / 4 + 25) / (1 / 16 + 1 / 4 + 1))


def test_the_diagonal_is_averaged() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.LayerNorm(2)).double()
    optimizer = kfac(model, curvature_decay=0.5)
    for gradient in (2.0, 3.0):
        optimizer.observe((gradient * model(torch.ones(1, 1, dtype=torch.float64))).sum())
    torch.testing.assert_close(optimizer.diagonal[1], torch.full((2,), (4 / 2 + 9) / 1.5, dtype=torch.float64))


def test_inverses_are_computed_at_the_first_step_and_once_per_period() -> None:
    model, optimizer = scalar(inverse_period=3, damping=1e-12)
    positions = [0.0]
    for x in (1.0, 2.0, 3.0, 4.0):
        scalar_step(model, optimizer, x, 1.0)
        positions.append(model.weight.item())
    steps = [before - after for before, after in pairwise(positions)]
    assert steps[:3] == pytest.approx([1.0] * 3, rel=1e-5)
    assert steps[3] == pytest.approx(1 / optimizer.layers[0].a.item(), rel=1e-5)
    assert steps[3] < 0.2


def test_momentum_keeps_the_last_step() -> None:
    model, optimizer = scalar(momentum=0.9, damping=1e-12, lr=0.1)
    scalar_step(model, optimizer, 1.0, 2.0)
    assert model.weight.item() == pytest.approx(-0.2, rel=1e-5)
    optimizer.param_groups[0]["lr"] = 0.01  # the velocity is kept
    scalar_step(model, optimizer, 1.0, 3.0)
    assert model.weight.item() == pytest.approx(-0.2 + (-0.9 * 0.2 - 0.01 * 3), rel=1e-5)


def test_the_norm_constraint_holds_over_all_parameters() -> None:
    torch.manual_seed(0)
    start = nn.Sequential(nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, CLASSES)).double()
    inputs, labels = torch.randn(6, 1, 3, 3, dtype=torch.float64), torch.arange(6) % CLASSES

    def delta(lr: float, constraint: float | None) -> tuple[Tensor, Tensor]:
        model = copy.deepcopy(start)
        optimizer = kfac(model, lr=lr, norm_constraint=constraint)
        logits = model(inputs)
        optimizer.observe(cross_entropy(logits, labels))
        cross_entropy(logits, labels.flip(0)).backward()
        gradient = torch.cat(
            [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
        )
        return torch.cat([change.flatten() for change in change_of_step(model, optimizer)]), gradient

    free, gradient = delta(1.0, None)
    squared_norm = -(free @ gradient).item()
    lr, constraint = 0.3, 0.04 * squared_norm
    torch.testing.assert_close(delta(lr, constraint)[0], lr * free * math.sqrt(0.04 / 0.3**2))
    torch.testing.assert_close(delta(0.1, constraint)[0], 0.1 * free)  # within the constraint
    torch.testing.assert_close(delta(0.0, constraint)[0], 0 * free)  # as at the start of a warm-up


def test_observing_changes_no_gradient_and_keeps_the_graph() -> None:
    model, inputs, labels = made("conv_net")
    plain = torch.autograd.grad(cross_entropy(model(inputs), labels), list(model.parameters()))
    optimizer = kfac(model)
    logits = model(inputs)
    optimizer.observe(cross_entropy(logits, labels.flip(0)))
    assert all(parameter.grad is None for parameter in model.parameters())
    cross_entropy(logits, labels).backward()
    optimizer.observe(cross_entropy(model(inputs), labels.flip(0)))
    for parameter, gradient in zip(model.parameters(), plain, strict=True):
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, gradient)
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def graph_notes(output: Tensor) -> int:
    """The number of nodes with metadata in the graph of `output`."""
    count, visited, stack = 0, set(), [output.grad_fn]
    while stack:
        node: Any = stack.pop()
        if node is not None and node not in visited:
            visited.add(node)
            count += bool(node.metadata)
            stack += [source for source, _ in node.next_functions]
    return count


def alive(pointer: int) -> bool:
    """Whether any tensor has its data at this address."""
    gc.collect()
    return any(type(item) is Tensor and item.data_ptr() == pointer for item in gc.get_objects())


class Probe(nn.Module):
    """Remembers the address of its output, but keeps no reference."""

    def forward(self, x: Tensor) -> Tensor:
        passed = x + 1
        self.pointer = passed.data_ptr()
        return passed


@pytest.mark.parametrize("mode", ["train", "eval", "no_grad"])
def test_nothing_is_kept_of_an_unobserved_pass(mode: str) -> None:
    model = nn.Sequential(nn.Linear(5, 40), probe := Probe(), nn.Linear(40, CLASSES))
    optimizer = kfac(model)
    model.train(mode == "train")
    with torch.set_grad_enabled(mode != "no_grad"):
        logits = model(torch.randn(50, 5))
    assert alive(probe.pointer) == (mode != "no_grad")  # in the graph
    del logits
    assert not alive(probe.pointer)
    assert optimizer.steps == 0


def test_nothing_is_kept_of_an_observed_pass() -> None:
    model = nn.Sequential(nn.Linear(5, 40), probe := Probe(), nn.Linear(40, CLASSES))
    optimizer = kfac(model, curvature_period=2)
    logits = model(torch.randn(50, 5))
    assert graph_notes(logits) == 2
    loss = cross_entropy(logits, torch.zeros(50, dtype=torch.int64))
    optimizer.observe(loss)
    assert graph_notes(logits) == 0
    loss.backward()
    assert not alive(probe.pointer)  # although the loss is
    optimizer.step()
    assert graph_notes(model(torch.randn(50, 5))) == 0  # no observation is due


@pytest.mark.parametrize("through_file", [True, False])
def test_a_resumed_run_goes_on_bit_for_bit(through_file: bool) -> None:
    def run(model: nn.Module, optimizer: KFAC, generator: torch.Generator, n: int) -> None:
        for _ in range(n):
            inputs = torch.randn(16, 1, 6, 6, generator=generator)
            logits = model(inputs)
            optimizer.observe(cross_entropy(logits, CrossEntropy(0.0).sample(logits, generator)))
            cross_entropy(logits, (inputs.mean((1, 2, 3)) > 0).long()).backward()
            optimizer.step()
            optimizer.zero_grad()

    def new() -> tuple[nn.Module, KFAC, torch.Generator]:
        torch.manual_seed(5)
        model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.GroupNorm(1, 3), nn.Tanh(), nn.Flatten(), nn.Linear(48, CLASSES))
        optimizer = KFAC(model, **{**PRESET, "lr": 0.1, "curvature_period": 2, "inverse_period": 3})
        return model, optimizer, torch.Generator().manual_seed(1)

    model, optimizer, generator = new()
    run(model, optimizer, generator, 5)
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "generator": generator.get_state()}
    if through_file:
        file = io.BytesIO()
        torch.save(state, file)
        file.seek(0)
        state = torch.load(file, weights_only=True)
    cut_model, cut_optimizer, cut_generator = new()
    cut_model.load_state_dict(state["model"])
    cut_optimizer.load_state_dict(state["optimizer"])
    cut_generator.set_state(state["generator"])
    run(cut_model, cut_optimizer, cut_generator, 6)
    run(model, optimizer, generator, 6)  # last, to see that the two share no tensors
    for cut, uncut in zip(values(cut_model), values(model), strict=True):
        assert torch.equal(cut, uncut)


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(2), nn.GroupNorm(2, 2), nn.LayerNorm(2)], ids=["b", "g", "l"])
def test_other_parameters_have_a_damped_diagonal(norm: nn.Module) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 2), copy.deepcopy(norm), nn.Flatten(), nn.Linear(8, CLASSES)).double()
    inputs, labels = torch.randn(6, 1, 3, 3, dtype=torch.float64), torch.arange(6) % CLASSES
    scale_and_shift = list(model[1].parameters())
    sampled = torch.autograd.grad(cross_entropy(model(inputs), labels), scale_and_shift)
    optimizer = kfac(model, damping=0.01)
    observe(optimizer, model, inputs, labels)
    cross_entropy(model(inputs), labels.flip(0)).backward()
    gradients = [parameter.grad.clone() for parameter in scale_and_shift if parameter.grad is not None]
    steps = change_of_step(model, optimizer)[2:4]
    for step, gradient, of_mean in zip(steps, gradients, sampled, strict=True):
        torch.testing.assert_close(step, -gradient / (6 * of_mean.square() + 0.01))


def test_the_diagonal_is_exact_on_average_over_all_labels() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 2)).double()
    inputs = torch.randn(3, 2, dtype=torch.float64)
    scale = model[1].weight
    log_p = model(inputs).log_softmax(1)
    expected, mean = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    for row, label in product(range(3), range(2)):
        (score,) = torch.autograd.grad(log_p[row, label], scale, retain_graph=True)
        expected += log_p[row, label].exp().item() * score.square() / 3
    for labels in product(range(2), repeat=3):
        optimizer = kfac(model)
        observe(optimizer, model, inputs, torch.tensor(labels))
        mean += log_p[range(3), labels].sum().exp().item() * optimizer.diagonal[0]
    torch.testing.assert_close(mean, expected)


def test_the_memory_format_makes_no_difference() -> None:
    steps = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        model, inputs, labels = made("conv_net")
        model, inputs = model.to(memory_format=memory_format), inputs.to(memory_format=memory_format)
        optimizer = kfac(model)
        logits = model(inputs)
        optimizer.observe(cross_entropy(logits, labels))
        cross_entropy(logits, labels.flip(0)).backward()
        steps.append(change_of_step(model, optimizer))
    for change, other in zip(*steps, strict=True):
        torch.testing.assert_close(change, other)


def test_under_autocast_the_factors_and_the_step_are_in_full_precision() -> None:
    def step(everything_inside: bool) -> tuple[KFAC, list[Tensor], Tensor]:
        model, inputs, labels = made("conv_net", torch.float32)
        optimizer = kfac(model)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(inputs)
        loss = cross_entropy(logits.float(), labels)
        loss.backward(retain_graph=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=everything_inside):
            optimizer.observe(loss)
            return optimizer, change_of_step(model, optimizer), inputs

    optimizer, steps, inputs = step(everything_inside=False)
    inside, steps_inside, _ = step(everything_inside=True)
    model, _, labels = made("conv_net", torch.float32)
    exact = kfac(model)
    observe(exact, model, inputs, labels)
    torch.testing.assert_close(optimizer.layers[0].a, exact.layers[0].a)  # the inputs are not rounded
    for ours, same, full in zip(optimizer.layers, inside.layers, exact.layers, strict=True):
        assert ours.a.dtype == ours.g.dtype == torch.float32
        assert torch.equal(ours.a, same.a)
        assert torch.equal(ours.g, same.g)
        for rounded, right in ((ours.a, full.a), (ours.g, full.g)):
            assert (rounded - right).norm() < 0.03 * right.norm()
    for ours, same in zip(steps, steps_inside, strict=True):
        assert torch.equal(ours, same)


@pytest.mark.parametrize(
    ("layer", "problem"),
    [
        (nn.Conv2d(4, 4, 3, groups=2), r"0 is Conv2d\(.*groups=2.*takes groups=1"),
        (nn.Conv2d(4, 4, 3, padding="same"), r"padding=same.*padding by a number of zeros"),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), r"padding_mode=circular.*number of zeros"),
    ],
    ids=["groups", "same", "circular"],
)
def test_unsupported_convolutions_are_refused(layer: nn.Conv2d, problem: str) -> None:
    with pytest.raises(UserError, match=problem) as caught:
        kfac(nn.Sequential(layer))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        *((name, 0, "more than 0") for name in ("damping", "norm_constraint", "curvature_period", "inverse_period")),
        ("damping", math.nan, "more than 0"),
        ("norm_constraint", -1.0, "more than 0"),
        ("momentum", 1.0, "0 to less than 1"),
        ("momentum", -0.1, "0 to less than 1"),
        ("curvature_decay", 1.5, "0 to less than 1"),
        ("curvature_decay", math.nan, "0 to less than 1"),
        ("lr", -1.0, "0 or more"),
        ("lr", math.inf, "0 or more"),
    ],
)
def test_impossible_values_are_refused(name: str, value: float, expected: str) -> None:
    with pytest.raises(UserError, match=rf"^algorithm\.optimizer\.{name} is {value}: expected {expected}\.$"):
        kfac(mlp(), **{name: value})


def test_a_loss_that_cannot_be_observed_is_refused() -> None:
    model, inputs, labels = made("mlp")
    optimizer = kfac(model)
    for logits in (model(inputs) + model(inputs), model[:4](inputs)):
        with pytest.raises(RuntimeError, match="one use of each layer"):
            optimizer.observe(cross_entropy(logits, labels))
    with pytest.raises(RuntimeError, match="one size of batch"):
        optimizer.observe(cross_entropy(model[4](model[:4](inputs)[:5]), labels[:5]))


def test_a_step_needs_an_observed_loss_and_all_gradients() -> None:
    model, inputs, labels = made("mlp")
    optimizer = kfac(model)
    cross_entropy(model(inputs), labels).backward()
    with pytest.raises(RuntimeError, match="needs an observed loss"):
        optimizer.step()
    observe(optimizer, model, inputs, labels)
    optimizer.zero_grad()
    with pytest.raises(RuntimeError, match="a gradient of each parameter"):
        optimizer.step()


def test_an_inverse_survives_rounding_and_shows_divergence() -> None:
    torch.manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    factor = rotation * torch.tensor([4.0, 1.0, 0.0]) @ rotation.t()
    expected = rotation / torch.tensor([4.5, 1.5, 0.5]) @ rotation.t()
    torch.testing.assert_close(damped_inverse(factor, 0.5), expected)
    indefinite = rotation * torch.tensor([4.0, 1.0, -0.7]) @ rotation.t()  # treated as 0
    torch.testing.assert_close(damped_inverse(indefinite, 0.5), expected)
    assert damped_inverse(torch.full((2, 2), math.nan), 0.5).isnan().all()
    assert damped_inverse(torch.full((2, 2), math.inf), 0.5).isnan().all()
    broken = torch.tensor([[-2.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, math.nan]])  # for which eigh fails
    assert damped_inverse(broken, 0.5).isnan().all()


class Scaled(nn.Module):
    """A weight that is no layer's."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(5, 5))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.scale


def test_weights_of_other_modules_are_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"0\.scale is no weight of a linear or convolutional layer") as caught:
        kfac(nn.Sequential(Scaled(), nn.Linear(5, CLASSES)))
    assert "\n" not in str(caught.value)


def test_with_targets_sampled_from_sigmoids_the_curvature_is_the_fisher_matrix() -> None:
    # A single layer with one input: G is diagonal on average, p (1 - p) of each output.
    torch.manual_seed(0)
    model, loss = nn.Linear(1, 3, bias=False).double(), SigmoidCrossEntropy()
    optimizer, generator = kfac(model), torch.Generator().manual_seed(0)
    inputs, n = torch.full((20_000, 1), 2.0, dtype=torch.float64), 20_000
    outputs = model(inputs)
    optimizer.observe(loss.negative_log_likelihood(outputs, loss.sample(outputs, generator)))
    p = outputs[0].detach().sigmoid()
    torch.testing.assert_close(optimizer.layers[0].g, torch.diag(p * (1 - p)), rtol=0, atol=4 * 0.25 / n**0.5)
    assert optimizer.layers[0].a.item() == 4
    loss(outputs, torch.rand(n, 3, generator=generator, dtype=torch.float64)).backward()
    assert all(change.abs().min() > 0 for change in change_of_step(model, optimizer))

"""Residual nets without shortcuts: their layout and first weights, against torchvision and theory."""

import math
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, cross_entropy
from torchvision.models.resnet import Bottleneck as TorchvisionBottleneck
from torchvision.models.resnet import ResNet

from ffrepro.architecture.vanilla_resnet import Bottleneck, Pointwise, VanillaResnet, scaled_orthogonal_delta_
from ffrepro.errors import UserError
from ffrepro.kernel_shaping.activations import Relu, ShapedSmooth, TailoredRelu, TailoredSmooth
from ffrepro.kernel_shaping.maps import leaky_relu_c_map
from ffrepro.kernel_shaping.network import Chain, global_map
from ffrepro.kernel_shaping.shaped_net import Activated, ShapedNet

DEPTHS = {26: [2, 2, 2, 2], 50: [3, 4, 6, 3], 101: [3, 4, 23, 3], 152: [3, 8, 36, 3]}


def relu_c(c: Tensor) -> Tensor:
    return leaky_relu_c_map(c, 0.0)


def plan(**changed: Any) -> VanillaResnet:
    options: dict[str, Any] = {
        "depth": 26, "width": 4, "shortcut_weight": 0.0, "normalization": None, "stem": "small",
        "initialization": "orthogonal_delta", "activation": TailoredRelu(0.9, None),
    }  # fmt: skip
    return VanillaResnet(**options | changed)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def net(side: int = 32, seed: int = 0, **changed: Any) -> ShapedNet:
    """A net on color images of `side` × `side` pixels."""
    return plan(**changed).blocks((side, side, 3), 10, draws(seed))


def flat(images: Tensor) -> Tensor:
    """Images (N, channels, height, width) as rows, channels last."""
    return images.permute(0, 2, 3, 1).flatten(1)


def inputs_of_activations(built: ShapedNet, images: Tensor) -> list[Tensor]:
    inputs: list[Tensor] = []
    for module in built.modules():
        if isinstance(module, Activated):
            module.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
    built(images)
    return inputs


# The layout ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
def test_a_pointwise_convolution_equals_torchs(bias: bool) -> None:
    pointwise = Pointwise(5, 3, 1, bias=bias)
    x = torch.randn(2, 5, 4, 6, generator=draws(1)).to(memory_format=torch.channels_last).requires_grad_()
    outputs, expected = pointwise(x), conv2d(x, pointwise.weight, pointwise.bias)
    torch.testing.assert_close(outputs, expected)
    assert outputs.is_contiguous(memory_format=torch.channels_last)
    above = torch.randn(2, 3, 4, 6, generator=draws(2))
    sources = [x, *pointwise.parameters()]
    gradients = torch.autograd.grad(outputs, sources, above)
    torch.testing.assert_close(gradients, torch.autograd.grad(expected, sources, above))


@pytest.mark.parametrize("depth", DEPTHS)
def test_weights_have_the_shapes_of_torchvisions_nets(depth: int) -> None:
    ours = plan(
        depth=depth, width=64, shortcut_weight=None, normalization="batch", stem="imagenet", initialization="he",
        activation=Relu(1.0),
    )  # fmt: skip
    with torch.device("meta"):
        reference = ResNet(TorchvisionBottleneck, DEPTHS[depth])
        built = ours.blocks((224, 224, 3), 1000, draws())
    assert Counter(tuple(p.shape) for p in built.parameters() if p.dim() > 1) == Counter(
        tuple(p.shape) for p in reference.parameters() if p.dim() > 1
    )


@pytest.mark.parametrize("depth", DEPTHS)
def test_without_shortcuts_the_depth_is_the_number_of_layers_with_weights(depth: int) -> None:
    with torch.device("meta"):
        built = net(depth=depth, initialization="he", activation=Relu(None))
    weights = [module for module in built.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(weights) == depth
    assert all(module.bias is not None for module in weights)
    activations = sum(isinstance(module, Activated) for module in built.modules())
    assert activations == depth - 1
    assert plan(depth=depth).network == [Chain(depth - 1)]


def test_kernel_shaping_counts_every_activation_once() -> None:
    for weight in (0.5, 0.8):
        network = plan(depth=50, shortcut_weight=weight).network
        assert network is not None
        assert sum(part.activations for part in network) == 49


@pytest.mark.parametrize(
    ("stem", "side", "sides"),
    [
        ("small", 64, [32, 32, 32, 16, 16, 8, 8, 4, 4]),
        ("small", 33, [17, 17, 17, 9, 9, 5, 5, 3, 3]),
        ("imagenet", 96, [24, 24, 24, 12, 12, 6, 6, 3, 3]),
        ("imagenet", 70, [18, 18, 18, 9, 9, 5, 5, 3, 3]),
    ],
)
@pytest.mark.parametrize("shortcut_weight", [0.0, 0.5, None])
def test_every_group_but_the_first_halves_the_sides(
    stem: str, side: int, sides: list[int], shortcut_weight: float | None
) -> None:
    built = net(side, stem=stem, shortcut_weight=shortcut_weight, activation=Relu(None))
    x, shapes = flat(torch.randn(2, 3, side, side, generator=draws())), []
    for block in built:
        x = block(x)
        shapes.append(tuple(x.shape))
    channels = [4, 16, 16, 32, 32, 64, 64, 128, 128]
    assert shapes == [*((2, n, of, of) for n, of in zip(channels, sides, strict=True)), (2, 10)]


def test_gray_images_have_one_channel_and_text_is_refused() -> None:
    architecture = plan(activation=Relu(None))
    built = architecture.blocks((32, 32), 7, draws())
    assert built(torch.randn(2, 32 * 32, generator=draws())).shape == (2, 7)
    with pytest.raises(UserError, match=r"^architecture=vanilla_resnet takes images: found inputs of \(10,\)\.$"):
        architecture.blocks((10,), 7, draws())


@pytest.mark.parametrize("weight", [0.0, 0.6, 1.0, None])
def test_a_block_is_its_formula(weight: float | None) -> None:
    architecture = plan(shortcut_weight=weight)
    for first, stride in ((True, 2), (False, 1)):
        block = Bottleneck(architecture, torch.tanh, 16 if not first else 8, 4, stride=stride, first=first)
        x = torch.randn(2, 16 if not first else 8, 6, 6, generator=draws())
        first_convolution, second, third = block.convolutions
        branch = third(torch.tanh(second(torch.tanh(first_convolution(torch.tanh(x))))))
        if first and weight != 0:
            assert block.projection is not None
            shortcut = block.projection(torch.tanh(x))
        else:
            shortcut = x
        expected = {
            0.0: lambda b, s: b,
            0.6: lambda b, s: 0.8 * b + 0.6 * s,
            1.0: lambda b, s: s,
            None: lambda b, s: b + s,
        }[weight](branch, shortcut)
        torch.testing.assert_close(block(x), expected)
        if weight == 1 and not first:
            assert torch.equal(block(x), x)  # the identity


def test_normalization_is_before_every_activation() -> None:
    for kind, module in (("batch", nn.BatchNorm2d), ("layer", nn.GroupNorm)):
        built = net(normalization=kind, activation=Relu(None))
        assert sum(isinstance(part, module) for part in built.modules()) == 25
        assert all(part.bias is None for part in built.modules() if isinstance(part, nn.Conv2d))
        for x in inputs_of_activations(built, flat(10 * torch.randn(4, 3, 32, 32, generator=draws()))):
            dims = (0, 2, 3) if kind == "batch" else (1, 2, 3)
            torch.testing.assert_close(
                x.mean(dims), torch.zeros(x.shape[1 if kind == "batch" else 0]), rtol=0, atol=1e-4
            )


# The first weights ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("out", "fan_in"), [(256, 64), (64, 256), (128, 128)])
def test_scaled_orthogonal_weights_keep_mean_squares(out: int, fan_in: int) -> None:
    x = torch.randn(2000, fan_in, generator=draws(1))
    weight = torch.empty(out, fan_in)
    scaled_orthogonal_delta_(weight, draws())
    assert (x @ weight.t()).square().mean().item() == pytest.approx(x.square().mean().item(), rel=0.02)
    smaller = weight.double() @ weight.double().t() if out <= fan_in else weight.double().t() @ weight.double()
    scale = max(out / fan_in, 1.0)
    torch.testing.assert_close(smaller, scale * torch.eye(min(out, fan_in), dtype=torch.float64), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("out", "fan_in"), [(256, 64), (64, 256)])
def test_delta_kernels_are_0_except_at_the_center(out: int, fan_in: int) -> None:
    convolution = nn.Conv2d(fan_in, out, 3, padding=1, bias=False)
    scaled_orthogonal_delta_(convolution.weight, draws())
    middle = convolution.weight[:, :, 1, 1].detach().clone()
    with torch.no_grad():
        x = torch.randn(8, fan_in, 5, 5, generator=draws(1))
        torch.testing.assert_close(convolution(x), torch.einsum("oi,bihw->bohw", middle, x))
        assert convolution(x).square().mean().item() == pytest.approx(x.square().mean().item(), rel=0.02)
        convolution.weight[:, :, 1, 1] = 0
    assert not convolution.weight.any()


def test_orthogonal_matrices_are_uniform() -> None:
    generator, weight, corners = draws(), torch.empty(3, 3), []
    for _ in range(400):
        scaled_orthogonal_delta_(weight, generator)
        corners.append(weight.diagonal().clone())
    assert (
        torch.stack(corners).mean(0).abs().max().item() < 0.15
    )  # the signs of the QR decomposition would give about -0.5
    assert torch.stack(corners).square().mean().item() == pytest.approx(1 / 3, abs=0.05)


def test_a_seed_gives_one_net_with_biases_0() -> None:
    for parameter, same in zip(net().parameters(), net().parameters(), strict=True):
        assert torch.equal(parameter, same)
    assert not torch.equal(net(seed=1)[-1].output.weight, net()[-1].output.weight)
    assert all(not p.any() for name, p in net().named_parameters() if name.endswith("bias"))


def test_he_weights_have_their_variance() -> None:
    built = net(initialization="he", width=32)
    weight = built[1].convolutions[1].weight
    assert weight.std().item() == pytest.approx((2 / (9 * 32)) ** 0.5, rel=0.03)


# Theory --------------------------------------------------------------------------------------------


def test_lengths_and_cosines_in_50_wide_layers_follow_the_theory() -> None:
    activation = TailoredRelu(0.9, None).made_for([Chain(49)])
    alpha = -activation(torch.tensor(-1.0)).item() / activation(torch.tensor(1.0)).item()
    measured = []
    for seed in range(4):
        generator, weight = draws(seed), torch.empty(256, 256)
        x = torch.randn(256, 256, generator=generator)
        x = x / x.square().mean(1, keepdim=True).sqrt()
        for _ in range(49):
            scaled_orthogonal_delta_(weight, generator)
            x = activation(x @ weight.t())
        cosines = torch.cosine_similarity(x[0::2], x[1::2])
        measured.append((x.square().mean(1).median().item(), cosines.mean().item()))
    lengths, cosines_ = torch.tensor(measured).t()
    assert lengths.mean().item() == pytest.approx(1, abs=0.25)
    theory = global_map([Chain(49)], lambda c: leaky_relu_c_map(c, alpha), torch.zeros((), dtype=torch.float64)).item()
    assert theory == pytest.approx(0.9, abs=1e-6)
    assert cosines_.mean().item() == pytest.approx(theory, abs=0.03)


@pytest.mark.parametrize(
    "activation", [TailoredSmooth("tanh", 0.3), ShapedSmooth("softplus", 1.5), Relu(None), TailoredRelu(0.9, 0.0)]
)
def test_with_every_activation_a_net_keeps_its_signals(activation: Any) -> None:
    built = net(64, width=16, activation=activation)
    inputs = inputs_of_activations(built, flat(torch.randn(8, 3, 64, 64, generator=draws())))
    assert len(inputs) == 25
    for x in inputs:
        assert 0.02 < x.square().mean().item() < 20


@pytest.mark.parametrize(("weight", "alpha"), [(0.0, 0.4259072), (0.5, 0.35725), (0.8, 0.15410)])
def test_tailored_slopes_equal_reference_values(weight: float, alpha: float) -> None:
    activation = TailoredRelu(0.9, None).made_for(plan(depth=50, shortcut_weight=weight).network)
    assert activation.alpha == pytest.approx(alpha, abs=6e-6)


@pytest.mark.parametrize("weight", [0.0, 0.5, 0.8])
def test_cosines_in_a_net_follow_the_theory(weight: float) -> None:
    architecture = plan(depth=26, width=64, shortcut_weight=weight, activation=Relu(None))
    network, measured = architecture.network, []
    assert network is not None
    theory = global_map(network, relu_c, torch.zeros((), dtype=torch.float64)).item()
    for seed in range(3):
        x = torch.randn(16, 64, 2, 2, generator=draws(seed))  # in place of the stem's output
        built = architecture.blocks((4, 4, 3), 10, draws(seed + 10))
        for block in list(built)[1:-1]:
            x = block(x)
        x = built.activation(x)
        measured.append(torch.cosine_similarity(x[0::2], x[1::2], dim=1).mean().item())
    assert sum(measured) / 3 == pytest.approx(theory, abs=0.01)


@pytest.mark.parametrize("depth", [50, 101])
@pytest.mark.parametrize(("normalization", "growth"), [("batch", math.pi / (math.pi - 1)), ("layer", 1.0), (None, 1.0)])
def test_with_batch_normalization_and_no_shortcuts_gradients_explode(
    depth: int, normalization: str | None, growth: float
) -> None:
    """A ReLU passes half of a gradient's mean square. Normalization divides it by the variance, (π - 1) / 2π."""
    built = net(depth=depth, width=16, normalization=normalization, activation=Relu(None))
    inputs = inputs_of_activations(built, flat(torch.randn(64, 3, 32, 32, generator=draws(1))))
    above = torch.randn(inputs[-1].shape, generator=draws(2))
    (below,) = torch.autograd.grad((inputs[-1] * above).sum(), inputs[0])
    by_layer = (below.double().square().sum() / above.square().sum()) ** (1 / (len(inputs) - 1))
    assert by_layer.item() == pytest.approx(growth, abs=0.08)


@pytest.mark.parametrize(
    ("changed", "least", "most"),
    [
        ({"depth": 50, "normalization": "batch", "activation": Relu(None)}, -1.0, 0.3),
        ({"depth": 101, "activation": TailoredRelu(0.9, None)}, 0.95, 1.0),
    ],
    ids=["batch normalization", "tailored"],
)
def test_rounding_to_bf16_keeps_gradients_unless_they_explode(
    changed: dict[str, Any], least: float, most: float
) -> None:
    images = flat(torch.randn(32, 3, 32, 32, generator=draws(1), dtype=torch.float64))

    def gradient(compute_dtype: torch.dtype) -> Tensor:
        param_dtype = torch.float64 if compute_dtype == torch.float64 else torch.float32
        built = net(width=16, **changed).to(param_dtype)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=compute_dtype == torch.bfloat16):
            logits = built(images.to(param_dtype))
        cross_entropy(logits.double(), torch.arange(32) % 10).backward()
        return torch.cat([weight.grad.double().flatten() for weight in built.parameters() if weight.grad is not None])

    exact = gradient(torch.float64)
    assert torch.cosine_similarity(exact, gradient(torch.float32), dim=0).item() > 0.6
    assert least < torch.cosine_similarity(exact, gradient(torch.bfloat16), dim=0).item() < most


@pytest.mark.parametrize(
    "activation", [TailoredRelu(0.9, None), TailoredSmooth("tanh", 0.3), ShapedSmooth("tanh", 1.5)]
)
def test_tailored_activations_refuse_plain_shortcuts(activation: Any) -> None:
    with pytest.raises(UserError, match=r"architecture\.shortcut_weight is null"):
        net(shortcut_weight=None, activation=activation)


# Mistakes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"depth": 34}, "depth is 34: expected one of 26, 50, 101, 152"),
        ({"width": 0}, "width is 0"),
        ({"shortcut_weight": 1.5}, r"shortcut_weight is 1\.5"),
        ({"normalization": "group"}, "normalization is 'group'"),
        ({"stem": "tiny"}, "stem is 'tiny'"),
        ({"initialization": "xavier"}, "initialization is 'xavier'"),
    ],
)
def test_impossible_nets_are_refused(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=rf"architecture\.{named}"):
        plan(**changed)


def test_impossible_activations_are_refused() -> None:
    with pytest.raises(UserError, match=r"eta is 0\.9"):
        net(shortcut_weight=0.9)
    with pytest.raises(UserError, match=r"activation\.name is 'tan'.*tanh"):
        TailoredSmooth("tan", 0.3)
    for scale in (0.0, -1.0, float("nan")):
        with pytest.raises(UserError, match=r"architecture\.activation\.scale is"):
            Relu(scale)
    for alpha in (-0.1, float("inf")):
        with pytest.raises(UserError, match=r"architecture\.activation\.alpha is"):
            TailoredRelu(0.9, alpha)

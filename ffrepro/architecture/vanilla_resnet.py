"""Residual nets with weighted shortcuts or without shortcuts: bottlenecks in the V2 layout.

Sources: K. He, X. Zhang, S. Ren, J. Sun, Identity Mappings in Deep Residual Networks, arXiv 1603.05027, for the layout.
G. Zhang, A. Botev, J. Martens, Deep Learning without Shortcuts, arXiv 2203.08120 (TAT), section 5, for the shortcuts.
DKS, arXiv 2110.01765, section 8, for the initialization.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from ffrepro.architecture.modules import Images
from ffrepro.errors import UserError
from ffrepro.kernel_shaping.activations import ActivationChoice
from ffrepro.kernel_shaping.maps import Activation
from ffrepro.kernel_shaping.network import Chain, Network, Shortcut
from ffrepro.kernel_shaping.shaped_net import Activated, ShapedNet

_GROUPS = {26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_EXPANSION = 4  # the ratio of a bottleneck's output channels to the channels of its 3 × 3 convolution
_STEMS = ("imagenet", "small")
_INITIALIZATIONS = ("orthogonal_delta", "he")


@dataclass(kw_only=True, eq=False)
class VanillaResnet:
    """A residual net with or without shortcuts."""

    depth: int  # 26, 50, 101 or 152 layers with weights
    width: int  # the channels of the 3 × 3 convolutions in the first group; 64 in nets for ImageNet
    shortcut_weight: float | None  # w of w · shortcut + √(1 - w²) · branch; 0 for no shortcuts, None for the plain sum
    # before each activation: None, batch (BatchNorm) or layer (LayerNorm over the channels and places of an image).
    normalization: str | None
    # imagenet: a 7 × 7 convolution with stride 2 and 3 × 3 max pooling with stride 2, as in the paper;
    # small: a 3 × 3 convolution with stride 2, for small images.
    stem: str
    initialization: str  # orthogonal_delta, which preserves mean squares, or he, normal with variance 2 / fan_in
    activation: ActivationChoice  # makes the activation function

    def __post_init__(self) -> None:
        if self.depth not in _GROUPS:
            raise UserError(f"architecture.depth is {self.depth}: expected one of {', '.join(map(str, _GROUPS))}.")
        if self.width < 1:
            raise UserError(f"architecture.width is {self.width}: expected at least 1 channel.")
        if self.shortcut_weight is not None and not 0 <= self.shortcut_weight <= 1:
            raise UserError(f"architecture.shortcut_weight is {self.shortcut_weight}: expected 0 to 1, or null.")
        if self.normalization not in (None, "batch", "layer"):
            raise UserError(f"architecture.normalization is {self.normalization!r}: expected null, batch or layer.")
        for option, choices in {"stem": _STEMS, "initialization": _INITIALIZATIONS}.items():
            value = getattr(self, option)
            if value not in choices:
                raise UserError(f"architecture.{option} is {value!r}: expected one of {', '.join(choices)}.")

    @property
    def network(self) -> Network | None:
        """The net for kernel shaping; None for plain shortcuts, which let lengths grow."""
        blocks = _GROUPS[self.depth]
        weight = self.shortcut_weight
        if weight is None:
            return None
        if weight == 0:
            return [Chain(3 * sum(blocks) + 1)]
        network: list[Chain | Shortcut] = []
        for n in blocks:
            # The first shortcut of a group has a convolution after the activation that it shares with the branch.
            network += [Chain(1), Shortcut(2, weight), *[Shortcut(3, weight)] * (n - 1)]
        return [*network, Chain(1)]

    def blocks(self, input_shape: tuple[int, ...], n_outputs: int, generator: torch.Generator) -> ShapedNet:
        """See `ModuleArchitecture.blocks`. The blocks are the stem, the bottlenecks and the head.

        Raises UserError if the input is not an image.
        """
        if len(input_shape) not in (2, 3):
            raise UserError(f"architecture=vanilla_resnet takes images: found inputs of {input_shape}.")
        images, biased = Images(input_shape), self.normalization is None
        activation, colors = self.activation.made_for(self.network), images.shape[2]
        stem: list[nn.Module] = [nn.Conv2d(colors, self.width, 3, stride=2, padding=1, bias=biased)]
        if self.stem == "imagenet":
            stem = [nn.Conv2d(colors, self.width, 7, stride=2, padding=3, bias=biased), nn.MaxPool2d(3, 2, padding=1)]
        blocks: list[nn.Module] = [nn.Sequential(images, *stem)]
        channels = self.width
        for group, n_blocks in enumerate(_GROUPS[self.depth]):
            for block in range(n_blocks):
                inner = self.width * 2**group
                stride = 2 if block == 0 and group else 1
                blocks.append(Bottleneck(self, activation, channels, inner, stride=stride, first=block == 0))
                channels = inner * _EXPANSION
        blocks.append(Head(_normalization(self.normalization, channels), activation, channels, n_outputs))
        shaped = None if self.normalization is not None else self.network
        net = ShapedNet(blocks, shaped, activation)
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                self._draw(module, generator)
        return net

    def _draw(self, module: nn.Conv2d | nn.Linear, generator: torch.Generator) -> None:
        if self.initialization == "he":
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
        else:
            scaled_orthogonal_delta_(module.weight, generator)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class Head(nn.Module):
    """An activation, the mean over places and a linear layer, from (B, channels, height, width) to (B, n_outputs)."""

    def __init__(self, normalization: nn.Module, activation: Activation, channels: int, n_outputs: int) -> None:
        super().__init__()
        self.normalization = normalization
        self.activation = Activated(activation)
        self.output = nn.Linear(channels, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.normalization(x))
        outputs: Tensor = self.output(x.mean((2, 3)))
        return outputs


class Bottleneck(nn.Module):
    """1 × 1, 3 × 3 and 1 × 1 convolutions, each after an activation, with an optional shortcut.

    Maps (B, channels, height, width) to (B, 4 · inner, height / stride, width / stride).
    """

    def __init__(
        self, plan: VanillaResnet, activation: Activation, channels: int, inner: int, *, stride: int, first: bool
    ) -> None:
        super().__init__()
        biased = plan.normalization is None
        outer = inner * _EXPANSION
        self.activations = nn.ModuleList([Activated(activation) for _ in range(3)])
        self.weight = plan.shortcut_weight
        sides = (channels, inner, inner)
        self.normalizations = nn.ModuleList([_normalization(plan.normalization, side) for side in sides])
        self.convolutions = nn.ModuleList(
            [
                Pointwise(channels, inner, 1, bias=biased),
                nn.Conv2d(inner, inner, 3, stride=stride, padding=1, bias=biased),
                Pointwise(inner, outer, 1, bias=biased),
            ]
        )
        self.projection = None
        if first and self.weight != 0:
            self.projection = nn.Conv2d(channels, outer, 1, stride=stride, bias=biased)

    def forward(self, x: Tensor) -> Tensor:
        activities = self.activations[0](self.normalizations[0](x))
        shortcut: Tensor = x if self.projection is None else self.projection(activities)
        branch: Tensor = self.convolutions[0](activities)
        for number in (1, 2):
            branch = self.convolutions[number](self.activations[number](self.normalizations[number](branch)))
        if self.weight == 0:
            return branch
        if self.weight is None:
            return branch + shortcut
        mixed: Tensor = self.weight * shortcut + (1 - self.weight**2) ** 0.5 * branch
        return mixed


class Pointwise(nn.Conv2d):
    """A 1 × 1 convolution with stride 1, computed as a matrix product.

    With channels last this needs no copies, and nets train faster on a CPU (`make benchmark PARTS=deep_nets`).
    """

    def forward(self, x: Tensor) -> Tensor:
        return linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


def scaled_orthogonal_delta_(weight: Tensor, generator: torch.Generator) -> None:
    """Draw weights (out, in) or kernels (out, in, height, width) that preserve mean squares, in place.

    The center of a kernel is a uniformly drawn orthogonal matrix times max(√(out / in), 1). The rest is 0.
    """
    out, fan_in = weight.shape[:2]
    normal = torch.randn(max(out, fan_in), min(out, fan_in), generator=generator, dtype=torch.float64)
    orthogonal, triangular = torch.linalg.qr(normal)
    orthogonal = orthogonal * triangular.diagonal().sign()  # which makes the distribution uniform
    matrix = (orthogonal if out >= fan_in else orthogonal.t()) * max((out / fan_in) ** 0.5, 1.0)
    with torch.no_grad():
        weight.zero_()
        taps = weight.view(out, fan_in, -1)
        taps[:, :, taps.shape[2] // 2] = matrix.to(weight.dtype)


def _normalization(kind: str | None, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "layer":
        return nn.GroupNorm(1, channels)
    return nn.Identity()

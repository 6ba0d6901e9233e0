"""Residual nets with their shortcuts weighted or taken out: the V2 layout of bottlenecks.

Sources: K. He, X. Zhang, S. Ren, J. Sun, Identity Mappings in Deep Residual Networks, arXiv 1603.05027, for the layout;
G. Zhang, A. Botev, J. Martens, Deep Learning without Shortcuts, arXiv 2203.08120 (TAT), section 5, for the weighted
shortcuts and nets without any; for the initialisation DKS, arXiv 2110.01765, section 8.
"""

from typing import ClassVar, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from ffrepro.errors import UserError
from ffrepro.kernel_shaping.activations import ActivationChoice
from ffrepro.kernel_shaping.maps import Activation
from ffrepro.kernel_shaping.network import Chain, Network, Shortcut

_GROUPS = {26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_EXPANSION = 4  # of a bottleneck: its output's channels over those of its 3 × 3 convolution
_STEMS = ("imagenet", "small")
_NORMALIZATIONS = (None, "batch", "layer")
_INITIALIZATIONS = ("orthogonal_delta", "he")


class VanillaResnet:
    """A net of any depth in `_GROUPS`, without or with shortcuts.

    Args:
        depth: 26, 50, 101 or 152 layers with weights.
        width: channels of the first group's 3 × 3 convolutions; ImageNet's nets have 64.
        shortcut_weight: w of w · shortcut + √(1 - w²) · branch, 0 for no shortcuts; None for the plain sum of both.
        normalization: before each activation: None, batch (BatchNorm) or layer (LayerNorm over an image's channels and
            places).
        stem: imagenet, a 7 × 7 convolution with stride 2 and a maximum over 3 × 3 with stride 2, the paper's; or small,
            a 3 × 3 convolution with stride 2, for small images.
        initialization: orthogonal_delta, which keeps mean squares, or he, normal with variance 2 / fan_in.
        activation: what is made for the net's depth.
    """

    shares_weights: ClassVar[bool] = True

    def __init__(
        self,
        *,
        depth: int,
        width: int,
        shortcut_weight: float | None,
        normalization: str | None,
        stem: str,
        initialization: str,
        activation: ActivationChoice,
    ) -> None:
        if depth not in _GROUPS:
            raise UserError(f"architecture.depth is {depth}: expected one of {', '.join(map(str, _GROUPS))}.")
        if width < 1:
            raise UserError(f"architecture.width is {width}: expected at least 1 channel.")
        if shortcut_weight is not None and not 0 <= shortcut_weight <= 1:
            raise UserError(f"architecture.shortcut_weight is {shortcut_weight}: expected 0 to 1, or null.")
        if normalization not in _NORMALIZATIONS:
            raise UserError(f"architecture.normalization is {normalization!r}: expected null, batch or layer.")
        if stem not in _STEMS:
            raise UserError(f"architecture.stem is {stem!r}: expected one of {', '.join(_STEMS)}.")
        self.depth = depth
        self.width = width
        self.shortcut_weight = shortcut_weight
        self.normalization = normalization
        if initialization not in _INITIALIZATIONS:
            raise UserError(
                f"architecture.initialization is {initialization!r}: expected one of {', '.join(_INITIALIZATIONS)}."
            )
        self.stem = stem
        self.initialization = initialization
        self.activation = activation

    @property
    def network(self) -> Network | None:
        """What kernel shaping has to know of the net; None with plain shortcuts, which lengths grow with."""
        blocks = _GROUPS[self.depth]
        weight = self.shortcut_weight
        if weight is None:
            return None
        if weight == 0:
            return [Chain(3 * sum(blocks) + 1)]
        network: list[Chain | Shortcut] = []
        for n in blocks:
            # The first shortcut of a group has a convolution, and shares the activation before the branch.
            network += [Chain(1), Shortcut(2, weight), *[Shortcut(3, weight)] * (n - 1)]
        return [*network, Chain(1)]

    def module(self, n_classes: int, generator: torch.Generator) -> "Net":
        """The net for images (B, 3, height, width) -> logits (B, n_classes); drawn on the CPU."""
        net = Net(self, self.activation.made_for(self.network), n_classes)
        for one in net.modules():
            if isinstance(one, nn.Conv2d | nn.Linear):
                if self.initialization == "he":
                    nn.init.kaiming_normal_(one.weight, nonlinearity="relu", generator=generator)
                else:
                    scaled_orthogonal_delta_(one.weight, generator)
                if one.bias is not None:
                    nn.init.zeros_(one.bias)
        return net

    def shapes(self, input_shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """See `Architecture.shapes`: of each convolution (places, fan_in, channels)."""
        side = -(-input_shape[0] // (4 if self.stem == "imagenet" else 2))
        kernel = 7 if self.stem == "imagenet" else 3
        shapes: list[tuple[int, ...]] = [((-(-input_shape[0] // 2)) ** 2, 3 * kernel**2, self.width)]
        channels = self.width
        for group, blocks in enumerate(_GROUPS[self.depth]):
            inner, outer = self.width * 2**group, self.width * 2**group * _EXPANSION
            for block in range(blocks):
                before = side
                side = -(-side // 2) if block == 0 and group else side
                shapes += [(before**2, channels, inner), (side**2, 9 * inner, inner), (side**2, inner, outer)]
                if block == 0 and self.shortcut_weight != 0:
                    shapes.append((side**2, channels, outer))
                channels = outer
        return shapes

    def build(self, *_: object, **__: object) -> NoReturn:
        """Other algorithms' layers are matrices, which this net has none of."""
        raise UserError("architecture=vanilla_resnet is a convolutional net: expected algorithm=tat, which trains it.")


class Net(nn.Module):
    """Stem, bottlenecks, an activation, the mean over places, logits."""

    def __init__(self, plan: VanillaResnet, activation: Activation, n_classes: int) -> None:
        super().__init__()
        biased = plan.normalization is None
        if plan.stem == "imagenet":
            self.stem = nn.Sequential(
                nn.Conv2d(3, plan.width, 7, stride=2, padding=3, bias=biased), nn.MaxPool2d(3, stride=2, padding=1)
            )
        else:
            self.stem = nn.Sequential(nn.Conv2d(3, plan.width, 3, stride=2, padding=1, bias=biased))
        blocks, channels = [], plan.width
        for group, n in enumerate(_GROUPS[plan.depth]):
            for block in range(n):
                inner = plan.width * 2**group
                stride = 2 if block == 0 and group else 1
                blocks.append(Bottleneck(plan, activation, channels, inner, stride=stride, first=block == 0))
                channels = inner * _EXPANSION
        self.blocks = nn.ModuleList(blocks)
        self.normalization = _normalization(plan.normalization, channels)
        self.activation = Activated(activation)
        self.logits = nn.Linear(channels, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        x: Tensor = self.stem(images)
        for block in self.blocks:
            x = block(x)
        x = self.activation(self.normalization(x))
        logits: Tensor = self.logits(x.mean((2, 3)))
        return logits


class Bottleneck(nn.Module):
    """1 × 1, 3 × 3 and 1 × 1 convolutions, each after an activation, and perhaps a shortcut around them."""

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
        """(B, channels, height, width) -> (B, 4 · inner, height / stride, width / stride)."""
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
    """A 1 × 1 convolution with stride 1 as the product of matrices that it is.

    With channels last nothing is copied for it, and a net learns faster on a CPU (`make benchmark PARTS=deep_nets`).
    """

    def forward(self, x: Tensor) -> Tensor:
        return linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


class Activated(nn.Module):
    """An activation function as a module, so that what it is given can be looked at."""

    def __init__(self, function: Activation) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def scaled_orthogonal_delta_(weight: Tensor, generator: torch.Generator) -> None:
    """Draw weights (out, in) or kernels (out, in, height, width) that keep mean squares, in place.

    A kernel is 0 but in its middle, which is uniformly orthogonal times max(√(out / in), 1).
    """
    out, fan_in = weight.shape[:2]
    normal = torch.randn(max(out, fan_in), min(out, fan_in), generator=generator, dtype=torch.float64)
    orthogonal, triangular = torch.linalg.qr(normal)
    orthogonal = orthogonal * triangular.diagonal().sign()  # uniform, not as the algorithm happens to sign it
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

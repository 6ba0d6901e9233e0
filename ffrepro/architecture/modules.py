"""Modules that torch does not have."""

import torch
from torch import Tensor, nn

from ffrepro.forward_forward.local_geometry import LocalGeometry


class Images(nn.Module):
    """View flattened images (B, height · width · channels) as (B, channels, height, width), with channels last."""

    def __init__(self, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = (*input_shape, 1)[:3]

    def forward(self, rows: Tensor) -> Tensor:
        return rows.view(len(rows), *self.shape).permute(0, 3, 1, 2)


class LocallyConnected(nn.Module):
    """Weighted sums over local fields, without shared weights, from maps (B, fan_in) to (B, width).

    `fields` are the initial weights by location, see `LocalGeometry.as_blocks`. Biases start at 0.
    """

    def __init__(self, geometry: LocalGeometry, fields: Tensor) -> None:
        super().__init__()
        self.geometry = geometry
        weight, kept = geometry.as_blocks(fields)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(weight.new_zeros(geometry.width))
        self.kept: Tensor | None
        self.register_buffer("kept", kept, persistent=False)
        if kept is not None:
            self.weight.register_hook(self._masked)  # type: ignore[no-untyped-call]

    def forward(self, inputs: Tensor) -> Tensor:
        blocks = self.geometry.products(inputs.to(self.weight.dtype), self.weight)
        return self.geometry.flat(blocks).to(self.bias.dtype).add_(self.bias)

    def fields(self, n: int, input_shape: tuple[int, ...]) -> Tensor:
        """See `LocalGeometry.fields`."""
        return self.geometry.fields(self.weight, n, input_shape)

    def _masked(self, gradient: Tensor) -> Tensor:
        return gradient if self.kept is None else gradient * self.kept


def draw_linear(fan_in: int, width: int, variance_scale: float, generator: torch.Generator) -> Tensor:
    """Weights (fan_in, width) ~ N(0, `variance_scale` / fan_in)."""
    return torch.randn(fan_in, width, generator=generator, dtype=torch.float32).mul_((variance_scale / fan_in) ** 0.5)


def linear(weight: Tensor) -> nn.Linear:
    """A linear layer with the weights `weight` (fan_in, width) and biases of 0."""
    module: nn.Linear = nn.utils.skip_init(nn.Linear, *weight.shape)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        module.weight.copy_(weight.t())
        module.bias.zero_()
    return module

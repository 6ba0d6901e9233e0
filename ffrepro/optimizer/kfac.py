"""K-FAC: the natural gradient, with a Kronecker product of two small matrices for the Fisher matrix of each layer.

Sources: J. Martens, R. Grosse, Optimizing Neural Networks with Kronecker-factored Approximate Curvature, arXiv
1503.05671 (K-FAC). R. Grosse, J. Martens, A Kronecker-factored Approximate Fisher Matrix for Convolution Layers, arXiv
1602.01407 (KFC). For the norm constraint J. Ba, R. Grosse, J. Martens, Distributed Second-Order Optimization Using
Kronecker-Factored Approximations, ICLR 2017.

A layer maps its inputs ā, which end with a 1 for the bias, to s = W̄ ā. Let y be drawn from the model's own p(y | x),
and let g be the gradient of -log p(y | x) with respect to s. The Fisher matrix of W̄ is the mean of u uᵀ with
u = Σ_t ā_t ⊗ g_t. Here t runs over the T output positions of a convolution; in a fully connected layer T is 1. K-FAC
approximates this matrix by A ⊗ G with A = E[Σ_t ā_t ā_tᵀ] / T and G = E[Σ_t g_t g_tᵀ]. For a gradient V with respect to
W̄, the natural gradient is then G⁻¹ V A⁻¹.
"""

import math
from collections.abc import Iterator
from functools import partial
from itertools import islice, product
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn.functional import pad

from ffrepro.errors import UserError


class KFAC:
    """Descend the natural gradient Δ with momentum: v ← μ v - lr Δ, w ← w + v.

    The order of calls is: outputs = model(inputs); `observe` the loss against targets sampled from the model; backward
    of the loss against the data's targets; `step`; `zero_grad`. Biases and gains of modules other than Linear and
    Conv2d have a diagonal Fisher matrix.

    Args:
        model: uses each Linear and Conv2d once in a forward pass, with the examples in dimension 0.
        lr: the learning rate, kept in `param_groups` for a schedule to set.
        momentum: μ.
        damping: λ, which in effect is added to the diagonal of the Fisher matrix; see `Layer.invert`.
        norm_constraint: the maximum of lr² ΔᵀFΔ; a longer Δ is scaled down. The gradient of the loss stands for FΔ.
            With None there is no maximum.
        curvature_decay: the factor per step on the weights of earlier steps in the averages of A, G and the diagonal.
        curvature_period: the curvature is observed every so many steps; that costs more than a step of SGD.
        inverse_period: A and G are inverted every so many steps, beginning with the first.

    Raises UserError if a convolution has an unsupported option, the model has weights in other modules, or a value is
    out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        lr: float,
        momentum: float,
        damping: float,
        norm_constraint: float | None,
        curvature_decay: float,
        curvature_period: int,
        inverse_period: int,
    ) -> None:
        positive = {"damping": damping, "curvature_period": curvature_period, "inverse_period": inverse_period}
        positive |= {} if norm_constraint is None else {"norm_constraint": norm_constraint}
        for name, value in positive.items():
            if not 0 < value < math.inf:
                raise UserError(f"algorithm.optimizer.{name} is {value}: expected more than 0.")
        for name, value in {"momentum": momentum, "curvature_decay": curvature_decay}.items():
            if not 0 <= value < 1:
                raise UserError(f"algorithm.optimizer.{name} is {value}: expected 0 to less than 1.")
        if not 0 <= lr < math.inf:
            raise UserError(f"algorithm.optimizer.lr is {lr}: expected 0 or more.")
        self.param_groups = [{"lr": lr}]  # as torch's optimizers have them
        self.momentum = momentum
        self.damping = damping
        self.norm_constraint = math.inf if norm_constraint is None else norm_constraint
        self.curvature_period = curvature_period
        self.inverse_period = inverse_period
        self.steps = 0
        self._decay = curvature_decay**curvature_period
        self._observed = 0.0  # the sum of all weights in the averages
        modules = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}
        self.layers = [Layer(name, module, damping) for name, module in modules.items()]
        in_layers = dict.fromkeys(parameter for layer in self.layers for parameter in layer.parameters)
        for name, parameter in model.named_parameters():
            if parameter not in in_layers and parameter.dim() > 1:
                raise UserError(
                    f"algorithm.optimizer is K-FAC, and {name} is no weight of a linear or convolutional layer: "
                    "expected another optimizer, or an architecture of such layers."
                )
        self._others = [parameter for parameter in model.parameters() if parameter not in in_layers]
        self.diagonal = [torch.zeros_like(parameter) for parameter in self._others]
        self._parameters = [*in_layers, *self._others]
        self._velocities = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._device = self._velocities[0].device.type
        for layer in self.layers:
            layer.module.register_forward_hook(partial(self._note, layer))

    def observe(self, sampled_loss: Tensor) -> None:
        """Update the averages of A, G and the diagonal if an observation is due. No `grad` changes.

        `sampled_loss` is a scalar, the batch mean of -log p(y | x) with y drawn from p. Its graph is kept. Raises
        RuntimeError if it does not come from a single use of each layer with a single batch size.
        """
        if self.steps % self.curvature_period:
            return
        uses = [(node, *node.metadata.pop(self)) for node in _nodes(sampled_loss) if self in node.metadata]
        sizes = {len(inputs) for *_, inputs in uses}
        if not len(uses) == len({layer for _, layer, _ in uses}) == len(self.layers) or len(sizes) > 1:
            raise RuntimeError("K-FAC observes losses that come from one use of each layer, with one size of batch.")
        # Gradients with respect to the outputs of all layers; those with respect to weights would double the cost.
        sources = [GradientEdge(node, 0) for node, *_ in uses]
        sources += [get_gradient_edge(parameter) for parameter in self._others]
        gradients = iter(torch.autograd.grad(sampled_loss, sources, retain_graph=True))
        self._observed = self._decay * self._observed + 1
        with torch.no_grad(), torch.autocast(self._device, enabled=False):
            for _, layer, inputs in uses:
                layer.observe(inputs, next(gradients), 1 / self._observed)
            for diagonal in self.diagonal:
                # With y drawn from p, the gradients of examples have mean 0 and are independent: cross terms vanish on
                # average.
                diagonal.lerp_(next(gradients).square() * max(sizes), 1 / self._observed)

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters, given their `grad`.

        Raises RuntimeError if a parameter has no `grad`, or nothing was observed yet.
        """
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        if not self._observed or len(gradients) < len(self._parameters):
            raise RuntimeError("K-FAC's step needs an observed loss, and a gradient of each parameter.")
        with torch.autocast(self._device, enabled=False):
            if self.steps % self.inverse_period == 0:
                for layer in self.layers:
                    layer.invert()
            remaining, deltas = iter(gradients), []
            for layer in self.layers:
                deltas += layer.natural_gradient(*islice(remaining, len(layer.parameters)))
            deltas += [next(remaining) / (diagonal + self.damping) for diagonal in self.diagonal]
            products = [(delta * gradient).sum() for delta, gradient in zip(deltas, gradients, strict=True)]
            lr = self.param_groups[0]["lr"]
            rate = lr * (self.norm_constraint / (lr**2 * torch.stack(products).sum())).sqrt().clamp(max=1)
            for parameter, velocity, delta in zip(self._parameters, self._velocities, deltas, strict=True):
                parameter.add_(velocity.mul_(self.momentum).sub_(rate * delta))
        self.steps += 1

    def zero_grad(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Everything that steps change. The schedule sets the learning rate."""
        tensors = [*self._velocities, *self.diagonal, *(tensor for layer in self.layers for tensor in layer.state)]
        return {"steps": self.steps, "observed": self._observed, "tensors": tensors}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self._observed = state["steps"], state["observed"]
        for tensor, saved in zip(self.state_dict()["tensors"], state["tensors"], strict=True):
            tensor.copy_(saved)

    def _note(self, layer: "Layer", _: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        """A forward hook. It attaches the layer and its inputs to the autograd graph, which then owns the inputs."""
        node: Any = outputs.grad_fn  # torch declares `metadata` as a method
        if node is not None and self.steps % self.curvature_period == 0:
            node.metadata[self] = layer, inputs[0].detach()


class Layer:
    """A Linear or Conv2d module. Its weight, with channels last, and its bias form W̄ (out, fan_in)."""

    def __init__(self, name: str, module: nn.Linear | nn.Conv2d, damping: float) -> None:
        if isinstance(module, nn.Conv2d) and (
            module.groups != 1 or module.padding_mode != "zeros" or isinstance(module.padding, str)
        ):
            raise UserError(f"{name} is {module}: K-FAC takes groups=1, and padding by a number of zeros.")
        self.module = module
        self.root_damping = math.sqrt(damping)
        self.parameters = list(module.parameters())
        out, fan_in = len(module.weight), sum(parameter[0].numel() for parameter in self.parameters)
        self.a, self.a_inverse = module.weight.new_zeros(2, fan_in, fan_in)
        self.g, self.g_inverse = module.weight.new_zeros(2, out, out)
        self.state = [self.a, self.g, self.a_inverse, self.g_inverse]

    def observe(self, inputs: Tensor, gradients: Tensor, share: float) -> None:
        """Average A and G with those of a batch, which get the weight `share`.

        `inputs` are (B, …, in), and `gradients`, of the mean loss with respect to the outputs, (B, …, out); for a
        convolution (B, in, height, width) and (B, out, …, …). It needs memory for B · T · fan_in numbers.
        """
        inputs, gradients = inputs.to(self.a.dtype), gradients.to(self.a.dtype)
        columns = [inputs]
        if isinstance(self.module, nn.Conv2d):
            columns, gradients = _taps(inputs, self.module, *gradients.shape[2:]), gradients.movedim(1, -1)
        if self.module.bias is not None:
            columns.append(torch.ones_like(columns[0][..., :1]))
        rows, gradients = torch.cat(columns, -1).flatten(0, -2), gradients.flatten(0, -2)
        self.a.lerp_(rows.t() @ rows / len(rows), share)
        # The gradient of an example's own loss is B times as large. So the product has a factor B², and the mean 1 / B.
        self.g.lerp_(gradients.t() @ gradients * len(inputs), share)

    def invert(self) -> None:
        """Invert A + π √λ and G + √λ / π, where π² is the ratio of their mean eigenvalues (K-FAC, section 6.3)."""
        ratio = (self.a.diagonal().mean() / self.g.diagonal().mean()).item()
        # If all inputs or all gradients are 0, A ⊗ G is 0 for any π.
        pi = math.sqrt(ratio) if 0 < ratio < math.inf else 1.0
        self.a_inverse.copy_(damped_inverse(self.a, self.root_damping * pi))
        self.g_inverse.copy_(damped_inverse(self.g, self.root_damping / pi))

    def natural_gradient(self, by_weight: Tensor, *by_bias: Tensor) -> list[Tensor]:
        """G⁻¹ V A⁻¹, in the shapes of the gradients with respect to the weight and, if there is one, the bias."""
        by_weight = by_weight.movedim(1, -1)
        v = torch.cat([by_weight.flatten(1), *(gradient[:, None] for gradient in by_bias)], 1)
        weight, *bias = (self.g_inverse @ v @ self.a_inverse).split([by_weight[0].numel(), *(1 for _ in by_bias)], 1)
        return [weight.unflatten(1, by_weight.shape[1:]).movedim(-1, 1), *(column[:, 0] for column in bias)]


def damped_inverse(factor: Tensor, damping: float) -> Tensor:
    """(factor + damping)⁻¹ for a positive semidefinite factor (n, n), which rounding may have made indefinite."""
    damped = factor + damping * torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
    root, failed = torch.linalg.cholesky_ex(damped)
    if not failed:
        return torch.cholesky_inverse(root)
    if not damped.isfinite().all():
        return torch.full_like(factor, math.nan)  # training has diverged, which its loss will show
    eigenvalues, eigenvectors = torch.linalg.eigh(damped)
    return torch.mm(eigenvectors / eigenvalues.clamp(min=damping), eigenvectors.t())


def _taps(images: Tensor, layer: nn.Conv2d, height: int, width: int) -> list[Tensor]:
    """The inputs of each tap of the kernel at all positions, (B, height, width, in), from images (B, in, …, …)."""
    assert not isinstance(layer.padding, str)
    (top, left), (down, right), (dy, dx) = layer.padding, layer.stride, layer.dilation
    images = pad(images.movedim(1, -1), (0, 0, left, left, top, top))
    taps = product(range(layer.kernel_size[0]), range(layer.kernel_size[1]))
    return [images[:, y * dy :: down, x * dx :: right][:, :height, :width] for y, x in taps]


def _nodes(output: Tensor) -> Iterator[Any]:
    """The nodes of the autograd graph of `output`."""
    stack: list[Any] = [output.grad_fn]
    visited = {None}
    while stack:
        node = stack.pop()
        if node not in visited:
            visited.add(node)
            yield node
            stack += [source for source, _ in node.next_functions]

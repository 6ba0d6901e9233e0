"""K-FAC: the natural gradient with a Fisher matrix that is, for each layer, a Kronecker product of two small ones.

Sources: J. Martens, R. Grosse, Optimizing Neural Networks with Kronecker-factored Approximate Curvature, arXiv
1503.05671 (K-FAC); R. Grosse, J. Martens, A Kronecker-factored Approximate Fisher Matrix for Convolution Layers, arXiv
1602.01407 (KFC); for the norm constraint J. Ba, R. Grosse, J. Martens, Distributed Second-Order Optimization Using
Kronecker-Factored Approximations, ICLR 2017.

A layer takes its inputs, with a 1 after them for the bias, ā, to s = W̄ ā. With g, the gradient by s of -log p(y | x)
for a y drawn from the model's own p, the Fisher matrix of W̄ is E[(Σ_t ā_t ⊗ g_t) (Σ_t ā_t ⊗ g_t)ᵀ], where t goes over
the T positions of a convolution's outputs; in a fully connected layer T is 1. It is taken for A ⊗ G with
A = E[Σ_t ā_t ā_tᵀ] / T and G = E[Σ_t g_t g_tᵀ], and makes of the gradient V by W̄ the natural gradient G⁻¹ V A⁻¹.
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
    """Goes down the natural gradient Δ with momentum: v ← μ v - lr Δ, w ← w + v.

    A step is: logits = model(inputs); `observe` the loss by `sampled_labels`; backward of the loss by the targets;
    `step`; `zero_grad`. Parameters of other modules than Linear and Conv2d have a diagonal Fisher matrix.

    Args:
        model: uses each Linear and Conv2d once in a forward pass, all with the examples in dimension 0.
        lr: learning rate, which is kept in `param_groups` for a schedule to set.
        momentum: μ.
        damping: λ, as if added to the Fisher matrix's diagonal; see `Layer.invert`.
        norm_constraint: the most that lr² ΔᵀFΔ may be, with FΔ taken for the gradient of the loss that Δ was made from;
            a longer Δ is scaled down to it. None: as long as it is.
        curvature_decay: what a step leaves of the weight of those before it in the averages of A, G and the diagonal.
        curvature_period: these are observed at one step in so many, as that costs more than a step of SGD.
        inverse_period: A and G are inverted at one step in so many, beginning with the first.

    Raises:
        UserError: a convolution is of a kind unknown here, or a value makes no sense.
        TypeError: it is given parameters, as other optimizers are, and not their model.
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
        if not isinstance(model, nn.Module):
            raise TypeError("K-FAC is for nets of torch's modules: expected algorithm=tat_kfac, or another optimizer.")
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
        self._observed = 0.0  # the weight of all that the averages hold
        modules = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}
        self.layers = [Layer(name, module, damping) for name, module in modules.items()]
        in_layers = dict.fromkeys(parameter for layer in self.layers for parameter in layer.parameters)
        self._others = [parameter for parameter in model.parameters() if parameter not in in_layers]
        self.diagonal = [torch.zeros_like(parameter) for parameter in self._others]
        self._parameters = [*in_layers, *self._others]
        self._velocities = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._device = self._velocities[0].device.type
        self._hooks = [layer.module.register_forward_hook(partial(self._note, layer)) for layer in self.layers]

    def observe(self, sampled_loss: Tensor) -> None:
        """Add to the averages of A, G and the diagonal, at a step where that is due; no `grad` is touched.

        Args:
            sampled_loss: scalar, the mean over the batch of -log p(y | x) with y drawn from p; its graph is kept.

        Raises:
            RuntimeError: it does not come from one use of each layer, with one size of batch.
        """
        if self.steps % self.curvature_period:
            return
        uses = [(node, *node.metadata.pop(self)) for node in _nodes(sampled_loss) if self in node.metadata]
        sizes = {len(inputs) for *_, inputs in uses}
        if not len(uses) == len({layer for _, layer, _ in uses}) == len(self.layers) or len(sizes) > 1:
            raise RuntimeError("K-FAC observes losses that come from one use of each layer, with one size of batch.")
        # By the layers' outputs, all held at once, and not by their weights, which would cost as much again.
        sources = [GradientEdge(node, 0) for node, *_ in uses]
        sources += [get_gradient_edge(parameter) for parameter in self._others]
        gradients = iter(torch.autograd.grad(sampled_loss, sources, retain_graph=True))
        self._observed = self._decay * self._observed + 1
        with torch.no_grad(), torch.autocast(self._device, enabled=False):
            for _, layer, inputs in uses:
                layer.observe(inputs, next(gradients), 1 / self._observed)
            for diagonal in self.diagonal:
                # With y drawn from p, examples' own have mean 0, and products of two of them add nothing on average.
                diagonal.lerp_(next(gradients).square() * max(sizes), 1 / self._observed)

    @torch.no_grad()
    def step(self) -> None:
        """Change the parameters by their `grad`.

        Raises:
            RuntimeError: one has none, or nothing was observed yet.
        """
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        if not self._observed or len(gradients) < len(self._parameters):
            raise RuntimeError("K-FAC's step needs an observed loss, and a gradient of each parameter.")
        with torch.autocast(self._device, enabled=False):
            if self.steps % self.inverse_period == 0:
                for layer in self.layers:
                    layer.invert()
            ahead, deltas = iter(gradients), []
            for layer in self.layers:
                deltas += layer.natural_gradient(*islice(ahead, len(layer.parameters)))
            deltas += [next(ahead) / (diagonal + self.damping) for diagonal in self.diagonal]
            products = [(delta * gradient).sum() for delta, gradient in zip(deltas, gradients, strict=True)]
            lr = self.param_groups[0]["lr"]
            rate = lr * (self.norm_constraint / (lr**2 * torch.stack(products).sum())).sqrt().clamp(max=1)
            for parameter, velocity, delta in zip(self._parameters, self._velocities, deltas, strict=True):
                parameter.add_(velocity.mul_(self.momentum).sub_(rate * delta))
        self.steps += 1

    def zero_grad(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None

    def close(self) -> None:
        """Take the hooks off the model: nothing more can be observed."""
        for hook in self._hooks:
            hook.remove()

    def state_dict(self) -> dict[str, Any]:
        """All that changes from step to step, except the learning rate."""
        tensors = [*self._velocities, *self.diagonal, *(tensor for layer in self.layers for tensor in layer.state)]
        return {"steps": self.steps, "observed": self._observed, "tensors": tensors}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self._observed = state["steps"], state["observed"]
        for mine, saved in zip(self.state_dict()["tensors"], state["tensors"], strict=True):
            mine.copy_(saved)

    def _note(self, layer: "Layer", _: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        """A forward hook: note layer and inputs in the autograd graph, with which the inputs go."""
        node: Any = outputs.grad_fn  # torch's types take `metadata` for a method
        if node is not None and self.steps % self.curvature_period == 0:
            node.metadata[self] = layer, inputs[0].detach()


class Layer:
    """A Linear or Conv2d. Its weight, with the channels last, and its bias are W̄ (out, fan_in)."""

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
        """Move A and G by `share` towards those of one batch, with gradients of the mean loss by the outputs.

        Inputs are (B, …, in), gradients (B, …, out); of a convolution (B, in, …, …) and (B, out, …, …), and what its
        weights see of the inputs is held at once: B · T · fan_in numbers.
        """
        inputs, gradients = inputs.to(self.a.dtype), gradients.to(self.a.dtype)
        seen = [inputs]
        if isinstance(self.module, nn.Conv2d):
            seen, gradients = _taps(inputs, self.module, *gradients.shape[2:]), gradients.movedim(1, -1)
        if self.module.bias is not None:
            seen.append(torch.ones_like(seen[0][..., :1]))
        rows, gradients = torch.cat(seen, -1).flatten(0, -2), gradients.flatten(0, -2)
        self.a.lerp_(rows.t() @ rows / len(rows), share)
        # By an example's own loss gradients are B times as large: B² in the product, of which the mean is taken.
        self.g.lerp_(gradients.t() @ gradients * len(inputs), share)

    def invert(self) -> None:
        """Invert A + π √λ and G + √λ / π, with π² the ratio of their mean eigenvalues (K-FAC, section 6.3)."""
        ratio = (self.a.diagonal().mean() / self.g.diagonal().mean()).item()
        # Without inputs or without gradients A ⊗ G is 0, and any π does.
        pi = math.sqrt(ratio) if 0 < ratio < math.inf else 1.0
        self.a_inverse.copy_(damped_inverse(self.a, self.root_damping * pi))
        self.g_inverse.copy_(damped_inverse(self.g, self.root_damping / pi))

    def natural_gradient(self, by_weight: Tensor, *by_bias: Tensor) -> list[Tensor]:
        """G⁻¹ V A⁻¹ of the gradients V by weight and, where there is one, bias; in their shapes."""
        by_weight = by_weight.movedim(1, -1)
        v = torch.cat([by_weight.flatten(1), *(gradient[:, None] for gradient in by_bias)], 1)
        weight, *bias = (self.g_inverse @ v @ self.a_inverse).split([by_weight[0].numel(), *(1 for _ in by_bias)], 1)
        return [weight.unflatten(1, by_weight.shape[1:]).movedim(-1, 1), *(column[:, 0] for column in bias)]


def sampled_labels(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Classes (B,) drawn from the softmax of `logits` (B, n_classes); the generator may be on another device."""
    bounds = logits.detach().double().softmax(1)[:, :-1].cumsum(1)
    drawn = torch.rand(len(logits), 1, generator=generator, device=generator.device, dtype=torch.float64)
    return torch.searchsorted(bounds, drawn.to(logits.device)).squeeze(1)


def damped_inverse(factor: Tensor, damping: float) -> Tensor:
    """(factor + damping)⁻¹ of a positive semidefinite factor (n, n), be it that rounding has left it indefinite."""
    damped = factor + damping * torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
    root, failed = torch.linalg.cholesky_ex(damped)
    if not failed:
        return torch.cholesky_inverse(root)
    if not damped.isfinite().all():
        return torch.full_like(factor, math.nan)  # training has diverged, as its loss will tell
    eigenvalues, eigenvectors = torch.linalg.eigh(damped)
    return torch.mm(eigenvectors / eigenvalues.clamp(min=damping), eigenvectors.t())


def _taps(images: Tensor, layer: nn.Conv2d, height: int, width: int) -> list[Tensor]:
    """What each tap of a kernel sees of images (B, in, …, …), row by row, at all positions: (B, height, width, in)."""
    assert not isinstance(layer.padding, str)
    (top, left), (down, right), (dy, dx) = layer.padding, layer.stride, layer.dilation
    images = pad(images.movedim(1, -1), (0, 0, left, left, top, top))
    taps = product(range(layer.kernel_size[0]), range(layer.kernel_size[1]))
    return [images[:, y * dy :: down, x * dx :: right][:, :height, :width] for y, x in taps]


def _nodes(output: Tensor) -> Iterator[Any]:
    """The autograd graph behind `output`, each node once."""
    ahead: list[Any] = [output.grad_fn]
    seen = {None}
    while ahead:
        node = ahead.pop()
        if node not in seen:
            seen.add(node)
            yield node
            ahead += [before for before, _ in node.next_functions]

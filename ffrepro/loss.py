"""Losses for autograd, with their metrics and with targets sampled from the model."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from ffrepro.dataset import Split
from ffrepro.errors import UserError
from ffrepro.evaluate import ROWS, chunks, headline, measured, predicted

Net = Callable[[Tensor], Tensor]


class Loss(Protocol):
    """A loss of outputs (B, n_outputs) for targets, which are class indices (B,) or real values (B, n_outputs)."""

    def check(self, targets: Tensor) -> None:
        """Raise UserError if the loss is not defined for such targets."""

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean over the minibatch, a scalar."""

    def negative_log_likelihood(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean of -log p(targets | outputs) over the minibatch, in nats: the loss without smoothing."""

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        """Sample targets from p(· | outputs), for the Fisher matrix. The generator may be on another device."""

    def headline(self, net: Net, split: Split) -> dict[str, float]:
        """The metric after each epoch, for a net that maps inputs (B, n) to outputs."""

    def measured(self, net: Net, split: Split) -> dict[str, float]:
        """All metrics of the final evaluation."""


class CrossEntropy:
    """The cross-entropy of a softmax, in nats. The share `label_smoothing` of a label is spread over all classes."""

    def __init__(self, label_smoothing: float) -> None:
        if not 0 <= label_smoothing < 1:
            raise UserError(f"algorithm.loss.label_smoothing is {label_smoothing}: expected 0 to less than 1.")
        self.label_smoothing = label_smoothing

    def check(self, targets: Tensor) -> None:
        if targets.is_floating_point():
            raise UserError(
                "algorithm.loss is cross_entropy and the targets are no class labels: expected dataset.targets=labels, "
                "or loss@algorithm.loss=sigmoid_cross_entropy or squared_error."
            )

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(outputs, targets, label_smoothing=self.label_smoothing)

    def negative_log_likelihood(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(outputs, targets)

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        bounds = outputs.detach().double().softmax(1)[:, :-1].cumsum(1)
        draws = torch.rand(len(outputs), 1, generator=generator, device=generator.device, dtype=torch.float64)
        return torch.searchsorted(bounds, draws.to(outputs.device)).squeeze(1)

    def headline(self, net: Net, split: Split) -> dict[str, float]:
        return headline(predicted(net, split), split)

    def measured(self, net: Net, split: Split) -> dict[str, float]:
        return measured(predicted(net, split), split)


class _RealTargets:
    """The common part of losses with real-valued targets."""

    name: str

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        raise NotImplementedError

    def check(self, targets: Tensor) -> None:
        if not targets.is_floating_point():
            raise UserError(
                f"algorithm.loss is {self.name} and the targets are class labels: expected dataset.targets=inputs, or "
                "loss@algorithm.loss=cross_entropy."
            )

    def negative_log_likelihood(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self(outputs, targets)

    def headline(self, net: Net, split: Split) -> dict[str, float]:
        return self.measured(net, split)

    def measured(self, net: Net, split: Split) -> dict[str, float]:
        total = 0.0
        for part in chunks(len(split), ROWS):  # the outputs of an autoencoder are as large as its inputs
            targets = split.targets[part]
            total += float(self(net(split.inputs[part]).double(), targets.double())) * len(targets)
        return {"loss": total / len(split)}


class SigmoidCrossEntropy(_RealTargets):
    """The cross-entropy of independent sigmoid outputs for targets from 0 to 1, summed over outputs, in nats."""

    name = "sigmoid_cross_entropy"

    def check(self, targets: Tensor) -> None:
        super().check(targets)
        low, high = (float(end) for end in targets.aminmax())
        if low < 0 or high > 1:
            raise UserError(
                f"algorithm.loss is {self.name}: expected targets from 0 to 1, found {low:g} to {high:g}. "
                "Choose loss@algorithm.loss=squared_error."
            )

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(outputs, targets, reduction="sum") / len(outputs)

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        draws = torch.rand(outputs.shape, generator=generator, device=generator.device, dtype=outputs.dtype)
        return (draws.to(outputs.device) < outputs.detach().sigmoid()).to(outputs.dtype)


class SquaredError(_RealTargets):
    """Half the squared error, summed over outputs: up to a constant, -log of a normal density with variance 1."""

    name = "squared_error"

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return 0.5 * mse_loss(outputs, targets, reduction="sum") / len(outputs)

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(outputs.shape, generator=generator, device=generator.device, dtype=outputs.dtype)
        return outputs.detach() + noise.to(outputs.device)

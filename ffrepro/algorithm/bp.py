"""Backpropagation on the same nets: what Forward-Forward is compared with.

Source: The Forward-Forward Algorithm, section 3.1: a few fully connected ReLU layers and a softmax, trained
for about 20 epochs without regularising by the two-dimensional form of the images; and section 4, the same with
local receptive fields.
"""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, relu

from ffrepro.algorithm import Metrics, Setting
from ffrepro.dataset import Split
from ffrepro.evaluate import headline, measured, perplexity, predicted
from ffrepro.forward_forward.connections import Connections
from ffrepro.forward_forward.local_fields import LocalFields
from ffrepro.forward_forward.weights import Dense
from ffrepro.optimizer.scheduled import LearningRates, made_optimizer
from ffrepro.pictures import fields
from ffrepro.rollout import samples
from ffrepro.schedule import batches


class Backprop:
    """Stochastic gradient descent on the cross-entropy of a softmax over the top layer.

    Args:
        batch_size: images in a minibatch; a remainder is left out of the epoch.
        optimizer: parameters -> a torch optimizer.
    """

    training_passes: ClassVar[float] = 3.0  # forward, and two products back
    test_passes: ClassVar[float] = 1.0
    unused: ClassVar[tuple[str, ...]] = ("goodness",)

    def __init__(
        self, *, batch_size: int, optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
    ) -> None:
        self.batch_size = batch_size
        self._make_optimizer = optimizer

    def begin(self, setting: Setting) -> None:
        self.train = setting.dataset.train
        self.input_shape = setting.dataset.input_shape
        self.alphabet = setting.dataset.alphabet
        self.schedule = setting.schedule
        self.products = setting.products
        self.device = setting.device
        self.generator = torch.Generator().manual_seed(setting.seed)
        self.layers = setting.architecture.build(
            setting.dataset.input_shape,
            self.generator,
            device=setting.device,
            products=setting.state,
            state=setting.state,
        )
        top = torch.zeros(setting.dataset.n_classes, self.layers[-1].width, device=setting.device, dtype=setting.state)
        drives = [_trained(connections) for connections in self.layers]
        self.drives = [*(drive for drive, _ in drives), linear]
        self.weights = [*(weight for _, weight in drives), nn.Parameter(top)]
        widths = [*(connections.width for connections in self.layers), len(top)]
        self.biases = [nn.Parameter(top.new_zeros(width)) for width in widths]
        self.optimizer = made_optimizer(self._make_optimizer, [*self.weights, *self.biases])
        self.rates = LearningRates(self.optimizer)

    def logits(self, images: Tensor) -> Tensor:
        """(B, n_pixels) -> (B, n_classes)."""
        half = self.products != self.weights[0].dtype
        with torch.autocast(self.device.type, dtype=self.products, enabled=half):
            below = images
            *hidden, last = zip(self.drives, self.weights, self.biases, strict=True)
            for drive, weight, bias in hidden:
                below = relu(drive(below, weight, bias))
            drive, weight, bias = last
            return drive(below, weight, bias).to(images.dtype)

    def train_epoch(self, epoch: int) -> Metrics:
        self.rates.multiply(self.schedule.gain_of(epoch))
        totals = self.weights[0].new_zeros(2)
        epoch_batches = batches(len(self.train), self.batch_size, self.generator, self.device)
        for batch in epoch_batches:
            targets = self.train.targets[batch]
            logits = self.logits(self.train.inputs[batch])
            loss = cross_entropy(logits, targets)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            totals += torch.stack([loss.detach(), (logits.argmax(1) != targets).sum().to(loss.dtype)])
        loss_sum, errors = totals.tolist()
        loss_mean = loss_sum / len(epoch_batches)
        if self.alphabet is not None:
            return {"loss": loss_mean, "running_perplexity": perplexity(loss_mean)}
        return {"loss": loss_mean, "running_error": 100.0 * errors / epoch_batches.numel()}

    @torch.no_grad()
    def monitor(self, split: Split) -> Metrics:
        return headline(predicted(self.logits, split), split)

    @torch.no_grad()
    def evaluate(self, split: Split) -> Metrics:
        """See `measured`."""
        return measured(predicted(self.logits, split), split)

    @torch.no_grad()
    def pictures(self, split: Split) -> dict[str, np.ndarray]:
        """First-layer fields, and text that the net writes where it has learned from text."""
        first = self.layers[0].sources[0]
        if isinstance(first, Dense):  # of which torch's layout is a copy
            first.weight.copy_(self.weights[0].t())
        written = {} if self.alphabet is None else samples(self.logits, split, len(self.alphabet))
        return {"first_layer_fields": fields(self.layers[0], self.input_shape), **written}

    def state_dict(self) -> dict[str, Any]:
        return {
            "weights": [weight.detach() for weight in self.weights],
            "biases": [bias.detach() for bias in self.biases],
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        for mine, saved in zip([*self.weights, *self.biases], [*state["weights"], *state["biases"]], strict=True):
            mine.copy_(saved)
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])


def _trained(connections: Connections) -> tuple[Callable[[Tensor, Tensor, Tensor], Tensor], nn.Parameter]:
    """How a layer is driven by what is below it, weights and biases; and the weights."""
    (weights,) = connections.sources
    if isinstance(weights, LocalFields):
        parameter = nn.Parameter(weights.weight)
        kept = weights.kept
        if kept is not None:
            parameter.register_hook(lambda gradient: gradient * kept)  # type: ignore[no-untyped-call]
        return weights.drive, parameter
    return linear, nn.Parameter(weights.weight.t().contiguous())  # torch's layout: (width, fan_in)

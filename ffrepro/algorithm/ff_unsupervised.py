"""Unsupervised Forward-Forward: real images against hybrid images.

Source: G. Hinton, The Forward-Forward Algorithm, arXiv 2212.13345, section 3.2. The minibatch update is that of the
code released for the supervised nets.

Positive data are images. Negative data are mixtures of two images by a mask with large regions: right in every small
neighborhood, wrong as a whole. The layers learn to tell them apart without labels. A linear softmax then learns the
labels from the activities of the layers.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ffrepro.algorithm import Metrics, Setting
from ffrepro.dataset import Split
from ffrepro.errors import UserError
from ffrepro.evaluate import ROWS, error_percent
from ffrepro.forward_forward.epoch import TrainsOnImages
from ffrepro.forward_forward.layers import LayerOptions, forward, hidden_layers, over_threshold
from ffrepro.forward_forward.negatives import hybrid_images
from ffrepro.forward_forward.softmax import Softmaxes
from ffrepro.pictures import fields
from ffrepro.schedule import HoldThenLinear

_PICTURED = 36  # hybrid images


@dataclass(kw_only=True)
class FFUnsupervised(LayerOptions, TrainsOnImages):
    """The algorithm and its hyperparameters, in the units of the released code. See also `LayerOptions`."""

    batch_size: int  # images in a minibatch; a remainder is left out of the epoch
    reshuffle: bool  # draw new minibatches in each epoch
    blurs: int  # of the random bits that become a mask; more blurs give larger regions
    different_digits: bool  # mix images of different classes, which takes labels; otherwise any two images
    softmax: Literal["beside", "after"]  # trained `beside` the layers, in each update, or `after` them
    softmax_epochs: int  # the epochs of a softmax `after` the layers, as part of the last epoch; no budget scales them
    head_learning_rate: float  # of the softmax
    head_weight_cost: float  # the weight decay of the softmax
    first_layer_counts: bool  # whether the softmax uses the first hidden layer, which is worse according to the paper

    def __post_init__(self) -> None:
        if self.softmax_epochs < 1:
            raise UserError(f"algorithm.softmax_epochs is {self.softmax_epochs}: expected 1 or more.")
        if self.blurs < 0:
            raise UserError(f"algorithm.blurs is {self.blurs}: expected 0 or more.")
        if self.batch_size < 2:
            raise UserError(f"algorithm.batch_size is {self.batch_size}: expected 2 or more, to make hybrids of.")

    def begin(self, setting: Setting) -> None:
        self.train, self.schedule, self.device = setting.dataset.train, setting.schedule, setting.device
        self.image_shape, self.n_classes = setting.dataset.image_shape, setting.dataset.n_labels
        self.generator, self.device_generator = setting.generators()
        self.layers = hidden_layers(setting.connections(self.image_shape, self.generator), self)
        # The (first, last) layer of the softmax, and of further softmaxes for comparison, which cost next to nothing.
        last = len(self.layers) - 1
        self.span = (0 if self.first_layer_counts or last == 0 else 1, last)
        spans = sorted({self.span, (0, last), (min(1, last), last), *((k, k) for k in range(last + 1))})
        self.softmaxes = Softmaxes(
            spans,
            [layer.connections.width for layer in self.layers],
            self.n_classes,
            like=self.layers[0].running_mean,
            momentum=self.momentum,
            weight_cost=self.head_weight_cost,
        )
        self.parts, self.generators = [*self.layers, self.softmaxes], [self.generator, self.device_generator]

    # Training -------------------------------------------------------------------------------------

    def train_epoch(self, epoch: int) -> Metrics:
        loss, error = self.train_on_images(partial(self.minibatch, lr_factor=self.schedule.lr_factor(epoch)))
        if self.softmax == "beside":
            return {"loss": loss, "running_error": error}
        if epoch < self.schedule.epochs:
            return {"loss": loss}
        schedule = HoldThenLinear(self.softmax_epochs, warm_up=0.0)
        for softmax_epoch in range(1, self.softmax_epochs + 1):
            lr_factor = schedule.lr_factor(softmax_epoch)
            _, error = self.train_on_images(partial(self.softmax_minibatch, lr_factor=lr_factor))
        return {"loss": loss, "running_error": error}

    def minibatch(self, images: Tensor, targets: Tensor, lr_factor: float) -> Tensor:
        """Update the layers on `images` (B, n_pixels) and, if trained beside them, the softmax on `targets` (B,).

        The schedule's `lr_factor` multiplies all learning rates. Returns (2,): the loss, -log p⁺ - log(1 - p⁻) in nats
        averaged over images and layers, and the number of images that the softmax got wrong before the update (0 if it
        is trained after the layers).
        """
        size = len(images)
        hybrids = self.hybrids(images, targets, self.device_generator)
        passes, outputs = forward(self.layers, torch.cat([images, hybrids]))
        losses = [
            layer.learn([both.part(slice(size))], [both.part(slice(size, None))], lr_factor=lr_factor)
            for layer, both in zip(self.layers, passes, strict=True)
        ]
        n_wrong = losses[0].new_zeros(())
        if self.softmax == "beside":
            n_wrong = self._learn_softmax([output[:size] for output in outputs], targets, lr_factor)
        return torch.stack([torch.stack(losses).mean(), n_wrong])

    def hybrids(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> Tensor:
        """Negative data (B, n_pixels) from `images`; `targets` (B,) are used for `different_digits` only."""
        classes = targets if self.different_digits else None
        return hybrid_images(images, self.image_shape, self.blurs, generator, classes)

    def softmax_minibatch(self, images: Tensor, targets: Tensor, lr_factor: float) -> Tensor:
        """As `minibatch`, for the softmax on trained layers alone; the loss is 0."""
        _, outputs = forward(self.layers, images)
        n_wrong = self._learn_softmax(outputs, targets, lr_factor)
        return torch.stack([torch.zeros_like(n_wrong), n_wrong])

    def _learn_softmax(self, outputs: list[Tensor], targets: Tensor, lr_factor: float) -> Tensor:
        """Learn from the normalized activities (B, width) of each layer; returns how many images were wrong before."""
        logits = self.softmaxes.logits(outputs)
        residual = one_hot(targets, self.n_classes) - logits.softmax(-1)
        self.softmaxes.learn(outputs, residual, lr=lr_factor * self.head_learning_rate)
        prediction = logits[self.softmaxes.spans.index(self.span)].argmax(1)
        return (prediction != targets).sum().to(logits.dtype)

    # The test -------------------------------------------------------------------------------------

    def logits(self, split: Split) -> dict[tuple[int, int], Tensor]:
        """The logits (N, n_classes) of the softmax on each span of layers."""
        parts = [self.softmaxes.logits(forward(self.layers, images)[1]) for images in torch.split(split.inputs, ROWS)]
        return dict(zip(self.softmaxes.spans, torch.cat(parts, 1), strict=True))

    def monitor(self, split: Split) -> Metrics:
        """The error of the softmax, once it has learned anything."""
        if not any(weight.any() for weight in self.softmaxes.weights):
            return {}
        return {"error_softmax": error_percent(self.logits(split)[self.span], split.targets)}

    def evaluate(self, split: Split) -> Metrics:
        """The error of the softmax, and of the softmaxes on each layer and on other spans."""
        errors = {span: error_percent(logits, split.targets) for span, logits in self.logits(split).items()}
        metrics = {"error": errors[self.span], "error_softmax": errors[self.span]}
        for first, last in self.softmaxes.spans:
            name = f"layer_{last + 1}" if first == last else f"layers_{first + 1}_to_{last + 1}"
            metrics[f"error_softmax_{name}"] = errors[first, last]
        return metrics

    def pictures(self, split: Split) -> dict[str, np.ndarray]:
        """First-layer fields, hybrid images, and the goodness of images and hybrids over each layer's threshold."""
        pictures = {"first_layer_fields": fields(self.layers[0].connections, self.image_shape)}
        if len(split) == 1:  # a hybrid needs two images
            return pictures
        generator = torch.Generator(self.device).manual_seed(0)
        hybrids = self.hybrids(split.inputs, split.targets, generator)
        pictures["hybrid_images"] = hybrids[:_PICTURED].view(-1, *self.image_shape).float().cpu().numpy()
        for name, images in (("positive", split.inputs), ("negative", hybrids)):
            passes, _ = forward(self.layers, images)
            goodness = torch.stack([self.goodness(layer_pass.activities) for layer_pass in passes])
            pictures[f"goodness_{name}"] = over_threshold(self.layers, goodness).float().cpu().numpy()
        return pictures

"""Supervised Forward-Forward: the label is in the image.

Source: G. Hinton, The Forward-Forward Algorithm, arXiv 2212.13345, sections 2 and 3.3, and the MATLAB code released
with it, whose minibatch update this file follows step by step.

Positive data are images with their label in the first pixels. Negative data are the same images with a wrong label that
the net itself finds likely. Each layer learns a goodness above its threshold for positive data and below it for
negative data. It passes only the direction of its activities to the next layer.
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
from ffrepro.dataset.augment import jittered
from ffrepro.errors import UserError
from ffrepro.evaluate import ROWS, error_percent, errors_by_layer
from ffrepro.forward_forward.epoch import TrainsOnImages
from ffrepro.forward_forward.layers import LayerOptions, first_that_counts, forward, hidden_layers, over_threshold
from ffrepro.forward_forward.negatives import embed_label, sample_wrong_label, uniform_wrong_label
from ffrepro.forward_forward.softmax import Softmax
from ffrepro.pictures import fields


@dataclass(kw_only=True)
class FFSupervised(LayerOptions, TrainsOnImages):
    """The algorithm and its hyperparameters, in the units of the released code. See also `LayerOptions`."""

    batch_size: int  # images in a minibatch; a remainder is left out of the epoch
    reshuffle: bool  # draw new minibatches in each epoch; the released code keeps the first minibatches
    jitter: int  # shift every training image by up to this many pixels in each direction, drawn each time; 0: no shifts
    head_learning_rate: float  # of the softmax
    head_weight_cost: float  # the weight decay of the softmax
    threshold_learning_rate: float  # 0 keeps the thresholds fixed, as in the paper
    # `sampled` from the net's softmax, or `uniform` over the wrong labels.
    negative_labels: Literal["sampled", "uniform"]
    first_layer_counts: bool  # whether both tests use the first hidden layer; the paper leaves it out

    def begin(self, setting: Setting) -> None:
        self.train, self.schedule = setting.dataset.train, setting.schedule
        self.image_shape, self.n_classes = setting.dataset.image_shape, setting.dataset.n_labels
        if not 0 <= self.jitter < min(self.image_shape[:2]):
            raise UserError(
                f"algorithm.jitter is {self.jitter}: expected 0 (no shifts) to less than an image's side, "
                f"{min(self.image_shape[:2])} pixels."
            )
        self.generator, self.device_generator = setting.generators()
        self.layers = hidden_layers(setting.connections(self.image_shape, self.generator), self)
        self.first = first_that_counts(self.layers, self.first_layer_counts)
        n = self.n_classes
        self.neutral = torch.full((n,), 1 / n, device=setting.device, dtype=setting.param_dtype)
        self.softmax = Softmax(
            [layer.connections.width for layer in self.layers[self.first :]],
            self.n_classes,
            like=self.neutral,
            momentum=self.momentum,
            weight_cost=self.head_weight_cost,
        )
        self.parts, self.generators = [*self.layers, self.softmax], [self.generator, self.device_generator]

    # Training -------------------------------------------------------------------------------------

    def train_epoch(self, epoch: int) -> Metrics:
        loss, error = self.train_on_images(partial(self.minibatch, lr_factor=self.schedule.lr_factor(epoch)))
        return {"loss": loss, "running_error": error}

    def minibatch(self, images: Tensor, targets: Tensor, lr_factor: float) -> Tensor:
        """Update all weights on `images` (B, n_pixels) with labels `targets` (B,).

        The schedule's `lr_factor` multiplies all learning rates. Returns (2,): the loss, -log p⁺ - log(1 - p⁻) in nats
        averaged over images and layers, and the number of images that the softmax got wrong before the update.
        """
        size = len(images)
        labels = one_hot(targets, self.n_classes)
        if self.jitter:
            images = jittered(images, self.image_shape, self.jitter, self.device_generator)

        # The positive pass and the neutral pass. The softmax on the neutral pass tells which wrong labels are likely.
        both, outputs = forward(
            self.layers, torch.cat([embed_label(images, labels), embed_label(images, self.neutral)])
        )
        positive = [layer_pass.part(slice(size)) for layer_pass in both]
        neutral_outputs = [output[size:] for output in outputs[self.first :]]
        logits = self.softmax.logits(neutral_outputs).sum(0)

        # The negative pass.
        wrong = one_hot(self.wrong_labels(logits, targets), self.n_classes)
        negative, _ = forward(self.layers, embed_label(images, wrong))

        # All weights learn simultaneously. The softmax predicts the label from the neutral pass.
        residual = labels - logits.softmax(-1)
        self.softmax.learn(neutral_outputs, residual, lr=lr_factor * self.head_learning_rate)
        threshold_lr = lr_factor * self.threshold_learning_rate
        losses = [
            layer.learn([positive_pass], [negative_pass], lr_factor=lr_factor, threshold_lr=threshold_lr)
            for layer, positive_pass, negative_pass in zip(self.layers, positive, negative, strict=True)
        ]
        n_wrong = (logits.argmax(1) != targets).sum()
        return torch.stack([torch.stack(losses).mean(), n_wrong.to(losses[0].dtype)])

    def wrong_labels(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Negative labels (B,) for `targets` (B,), given the softmax's `logits` (B, n_classes)."""
        if self.negative_labels == "sampled":
            return sample_wrong_label(logits, targets, self.device_generator)
        return uniform_wrong_label(targets, self.n_classes, self.device_generator)

    # The two tests --------------------------------------------------------------------------------

    def goodness_of_labels(self, split: Split) -> Tensor:
        """The goodness of each layer with each label in the image, (n_layers, N, n_classes)."""
        labels = torch.eye(self.n_classes, device=split.inputs.device)
        parts = []
        for images in torch.split(split.inputs, max(1, ROWS // self.n_classes)):
            passes, _ = forward(self.layers, torch.cat([embed_label(images, label) for label in labels]))
            goodness = torch.stack([self.goodness(layer_pass.activities) for layer_pass in passes])
            parts.append(goodness.view(len(passes), self.n_classes, len(images)).transpose(1, 2))
        return torch.cat(parts, 1)

    def neutral_logits(self, split: Split) -> Tensor:
        """The part of each layer in the softmax's logits with the neutral label, (n_layers, N, n_classes)."""
        parts = []
        for images in torch.split(split.inputs, ROWS):
            _, outputs = forward(self.layers, embed_label(images, self.neutral))
            parts.append(self.softmax.logits(outputs[self.first :]))
        return torch.cat(parts, 1)

    def monitor(self, split: Split) -> Metrics:
        """The error of the softmax, with one pass per image. The test by goodness takes a pass for each label."""
        return {"error_softmax": error_percent(self.neutral_logits(split).sum(0), split.targets)}

    def evaluate(self, split: Split) -> Metrics:
        """The errors of both tests, for all layers, for each layer and for each prefix. `error` is by goodness."""
        goodness, logits = self.goodness_of_labels(split), self.neutral_logits(split)
        error = error_percent(goodness[self.first :].sum(0), split.targets)
        return {
            "error": error,
            "error_goodness": error,
            "error_softmax": error_percent(logits.sum(0), split.targets),
            **errors_by_layer("goodness", goodness, split.targets, 1),
            **errors_by_layer("softmax", logits, split.targets, 1 + self.first),
        }

    def pictures(self, split: Split) -> dict[str, np.ndarray]:
        """First-layer fields, and the goodness of right and wrong labels over each layer's threshold."""
        goodness = over_threshold(self.layers, self.goodness_of_labels(split))
        right = one_hot(split.targets, self.n_classes).bool()
        return {
            "first_layer_fields": fields(self.layers[0].connections, self.image_shape),
            "goodness_right": goodness[:, right].float().cpu().numpy(),
            "goodness_wrong": goodness[:, ~right].float().cpu().numpy(),
        }

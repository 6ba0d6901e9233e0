"""Recurrent Forward-Forward: the image below, the label above, and layers that see both neighbors.

Source: G. Hinton, The Forward-Forward Algorithm, arXiv 2212.13345, section 3.4 and, with local receptive fields,
section 4. The minibatch update is that of the code released for the supervised nets.

A static image is a video of equal frames. The states start from a bottom-up pass. Then all layers change
simultaneously: each layer gets the normalized states of the layers above and below it at the previous time step. In
each iteration a layer learns what every Forward-Forward layer learns.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ffrepro.algorithm import Metrics, Setting
from ffrepro.dataset import Split
from ffrepro.errors import UserError
from ffrepro.evaluate import ROWS, error_percent
from ffrepro.forward_forward.epoch import TrainsOnImages
from ffrepro.forward_forward.layers import LayerOptions, hidden_layers, over_threshold
from ffrepro.forward_forward.negatives import sample_wrong_label
from ffrepro.forward_forward.passes import normalize
from ffrepro.forward_forward.recurrent import RecurrentNet, passes_by_layer
from ffrepro.forward_forward.softmax import Softmax
from ffrepro.pictures import fields


@dataclass(kw_only=True)
class FFRecurrent(LayerOptions, TrainsOnImages):
    """The algorithm and its hyperparameters, in the units of the released code. See also `LayerOptions`."""

    batch_size: int  # images in a minibatch; a remainder is left out of the epoch
    reshuffle: bool  # draw new minibatches in each epoch
    iterations: int  # after the bottom-up pass
    damping: float  # the weight of the old state in a new state. (In a talk the two weights are swapped: 0.7.)
    first_tested: int  # the first iteration, from 1, whose goodness the test adds up
    last_tested: int  # the last such iteration
    head_learning_rate: float  # of the softmax on the bottom-up pass, which tells which wrong labels are likely
    head_weight_cost: float  # the weight decay of this softmax

    def __post_init__(self) -> None:
        if not 1 <= self.first_tested <= self.last_tested <= self.iterations:
            raise UserError(
                f"algorithm.first_tested is {self.first_tested} and algorithm.last_tested {self.last_tested}: expected "
                f"1 to {self.iterations} (algorithm.iterations), in this order."
            )
        if not 0 <= self.damping < 1:
            raise UserError(f"algorithm.damping is {self.damping}: expected 0 (no old state) to less than 1.")

    def begin(self, setting: Setting) -> None:
        self.train, self.schedule, self.device = setting.dataset.train, setting.schedule, setting.device
        self.image_shape, self.n_classes = setting.dataset.image_shape, setting.dataset.n_labels
        self.generator, self.device_generator = setting.generators()
        connections = setting.connections(self.image_shape, self.generator, top_down_units=self.n_classes)
        self.net = RecurrentNet(connections, iterations=self.iterations, damping=self.damping)
        self.layers = hidden_layers(connections, self)
        self.softmax = Softmax(
            [layer.connections.width for layer in self.layers],
            self.n_classes,
            like=connections[0].bias,
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
        averaged over images, iterations and layers, and the number of images that the softmax got wrong before the
        update.
        """
        one_hot_targets = one_hot(targets, self.n_classes)

        # The bottom-up pass, whose softmax tells which wrong labels are likely.
        image_sums, states = self.net.bottom_up(images)
        outputs = [normalize(state) for state in states]
        logits = self.softmax.logits(outputs).sum(0)
        wrong = one_hot(self.wrong_labels(logits, targets), self.n_classes)

        # Positive and negative data start from the same states. They differ only in the label.
        labels = normalize(torch.stack([one_hot_targets, wrong]).to(images.dtype))
        iterations = list(self.net.iterate(image_sums, labels, states))

        # All weights learn simultaneously. For a layer, each iteration adds a pass on the minibatch.
        residual = one_hot_targets - logits.softmax(-1)
        self.softmax.learn(outputs, residual, lr=lr_factor * self.head_learning_rate)
        image = normalize(images)
        positives, negatives = (
            passes_by_layer(iterations, number, image, label) for number, label in enumerate(labels)
        )
        losses = [
            layer.learn(positive, negative, lr_factor=lr_factor)
            for layer, positive, negative in zip(self.layers, positives, negatives, strict=True)
        ]
        n_wrong = (logits.argmax(1) != targets).sum()
        return torch.stack([torch.stack(losses).mean(), n_wrong.to(losses[0].dtype)])

    def wrong_labels(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Likely wrong labels (B,) for `targets` (B,), given the softmax's `logits` (B, n_classes)."""
        return sample_wrong_label(logits, targets, self.device_generator)

    # The tests ------------------------------------------------------------------------------------

    def goodness_of_labels(self, split: Split) -> Tensor:
        """The goodness of each layer at each iteration with each label, (iterations, n_layers, N, n_classes)."""
        parts = []
        # Half of the usual rows, since old and new states are in memory together.
        for images in torch.split(split.inputs, max(1, ROWS // 2 // self.n_classes)):
            labels = normalize(torch.eye(self.n_classes, device=self.device, dtype=images.dtype))
            labels = labels.unsqueeze(1).expand(-1, len(images), -1)
            image_sums, states = self.net.bottom_up(images)
            goodness = [
                layer.goodness(activities).expand(self.n_classes, -1)
                for iteration in self.net.iterate(image_sums, labels, states)
                for layer, activities in zip(self.layers, iteration.activities, strict=True)
            ]
            parts.append(torch.stack(goodness).view(-1, len(self.layers), *labels.shape[:2]).transpose(2, 3))
        return torch.cat(parts, 2)

    def logits(self, split: Split) -> Tensor:
        """The logits (N, n_classes) of the softmax on the bottom-up pass."""
        parts = []
        for images in torch.split(split.inputs, ROWS):
            outputs = [normalize(state) for state in self.net.bottom_up(images)[1]]
            parts.append(self.softmax.logits(outputs).sum(0))
        return torch.cat(parts)

    def monitor(self, split: Split) -> Metrics:
        """The error of the softmax, with one bottom-up pass per image. The test by goodness runs the net per label."""
        return {"error_softmax": error_percent(self.logits(split), split.targets)}

    def evaluate(self, split: Split) -> Metrics:
        """`error` is by goodness at the tested iterations. Others are by single iterations and by spans of them."""
        by_iteration = self.goodness_of_labels(split).sum(1)

        def error(first: int, last: int) -> float:
            return error_percent(by_iteration[first - 1 : last].sum(0), split.targets)

        headline = error(self.first_tested, self.last_tested)
        metrics = {
            "error": headline,
            "error_goodness": headline,
            "error_softmax": error_percent(self.logits(split), split.targets),
        }
        metrics |= {f"error_goodness_iteration_{t}": error(t, t) for t in range(1, self.iterations + 1)}
        spans = {(t, t + 2) for t in range(1, self.iterations - 1)} | {(1, self.iterations)}
        metrics |= {f"error_goodness_iterations_{first}_to_{last}": error(first, last) for first, last in sorted(spans)}
        return metrics

    def pictures(self, split: Split) -> dict[str, np.ndarray]:
        """First-layer fields, and mean goodness over threshold (n_layers, iterations) of right and wrong labels."""
        goodness = over_threshold(self.layers, self.goodness_of_labels(split).transpose(0, 1))
        right = one_hot(split.targets, self.n_classes).bool()
        return {
            "first_layer_fields": fields(self.layers[0].connections, self.image_shape),
            "iterations_right": goodness[:, :, right].mean(2).float().cpu().numpy(),
            "iterations_wrong": goodness[:, :, ~right].mean(2).float().cpu().numpy(),
        }

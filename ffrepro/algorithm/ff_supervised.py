"""Supervised Forward-Forward: the label is in the image.

Source: G. Hinton, The Forward-Forward Algorithm, arXiv 2212.13345, sections 2 and 3.3, and the MATLAB code
released with it, whose minibatch update this file follows step by step. Positive data are images with their
label in the first pixels, negative data the same images with a wrong label that the net itself finds likely.
Each layer learns to have a goodness above its threshold for the one and below it for the other, and hands on
only the direction of its activities.
"""

from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ffrepro.algorithm import Metrics, Setting
from ffrepro.cuda_graphs import total
from ffrepro.dataset import Split
from ffrepro.dataset.augment import jittered
from ffrepro.errors import UserError
from ffrepro.evaluate import ROWS, chunks, error_percent, errors_by_layer
from ffrepro.forward_forward.layers import Pass, forward, hidden_layers, in_thresholds
from ffrepro.forward_forward.negatives import embed_label, sample_wrong_label, uniform_wrong_label
from ffrepro.forward_forward.softmax import Softmax
from ffrepro.pictures import fields
from ffrepro.runs.state import Stateful, restore, state_of
from ffrepro.schedule import batches


class FFSupervised:
    """The algorithm and its hyperparameters, in the units of the released code.

    Args:
        batch_size: images in a minibatch; a remainder is left out of the epoch.
        reshuffle: draw new minibatches each epoch; the released code keeps the first ones.
        jitter: shift every training image by up to this many pixels each way, anew each time; None: not.
        learning_rate: of the hidden layers, on half of the goodness's derivative.
        momentum: v ← μ v + (1-μ) gradient, for all weights.
        weight_cost: decay of the hidden weights, inside the learning rate.
        head_learning_rate, head_weight_cost: the same for the softmax weights.
        peer_normalization: λ, the pull of each unit's mean activity to the mean of its layer.
        threshold: θ; a layer's threshold is θ times its goodness when all its activities are 1.
        threshold_learning_rate: 0 keeps the thresholds fixed, as the paper does.
        negative_labels: `sampled` from the net's softmax, or `uniform` over the wrong labels.
        first_layer_counts: whether both tests use the first hidden layer; the paper leaves it out.
    """

    training_passes: ClassVar[float] = 3.5  # three forward; the gradient of what is not yet told apart
    test_passes: ClassVar[float] = 11.0  # every label, and the neutral one
    unused: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        *,
        batch_size: int,
        reshuffle: bool,
        jitter: int | None,
        learning_rate: float,
        momentum: float,
        weight_cost: float,
        head_learning_rate: float,
        head_weight_cost: float,
        peer_normalization: float,
        threshold: float,
        threshold_learning_rate: float,
        negative_labels: Literal["sampled", "uniform"],
        first_layer_counts: bool,
    ) -> None:
        if jitter is not None and jitter < 1:
            raise UserError(f"algorithm.jitter is {jitter}: expected 1 pixel or more, or null for none.")
        self.batch_size = batch_size
        self.reshuffle = reshuffle
        self.jitter = jitter
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.weight_cost = weight_cost
        self.head_learning_rate = head_learning_rate
        self.head_weight_cost = head_weight_cost
        self.peer_normalization = peer_normalization
        self.threshold = threshold
        self.threshold_learning_rate = threshold_learning_rate
        self.negative_labels = negative_labels
        self.first_layer_counts = first_layer_counts

    def begin(self, setting: Setting) -> None:
        self.train = setting.dataset.train
        self.image_shape = setting.dataset.image_shape
        if self.jitter is not None and self.jitter >= min(self.image_shape[:2]):
            raise UserError(
                f"algorithm.jitter is {self.jitter}: expected fewer pixels than an image's side has, "
                f"{min(self.image_shape[:2])}."
            )
        self.n_classes = setting.dataset.n_classes
        self.goodness = setting.goodness
        self.schedule = setting.schedule
        # Order and weights come from the CPU, so that they are the same on every device.
        self.generator = torch.Generator().manual_seed(setting.seed)
        self.label_generator = torch.Generator(setting.device).manual_seed(setting.seed)
        built = setting.architecture.build(
            self.image_shape,
            self.generator,
            device=setting.device,
            products=setting.products,
            state=setting.state,
        )
        self.layers = hidden_layers(
            built,
            self.goodness,
            threshold=self.threshold,
            momentum=self.momentum,
            weight_cost=self.weight_cost,
            peer_normalization=self.peer_normalization,
        )
        if len(self.layers) == 1 and not self.first_layer_counts:
            raise UserError(
                "a net of one hidden layer needs algorithm.first_layer_counts=true: no other is left to test."
            )
        self.first_counted = 0 if self.first_layer_counts else 1
        self.neutral = torch.full((self.n_classes,), 1 / self.n_classes, device=setting.device, dtype=setting.state)
        self.softmax = Softmax(
            [connections.width for connections in built[self.first_counted :]],
            self.n_classes,
            like=self.neutral,
            momentum=self.momentum,
            weight_cost=self.head_weight_cost,
        )

    def logits(self, given: list[Tensor]) -> Tensor:
        """The softmax's logits of each counted layer, (n_counted, B, n_classes); their sum is the net's."""
        return self.softmax.logits(given[self.first_counted + 1 :])

    # Training -------------------------------------------------------------------------------------

    def train_epoch(self, epoch: int) -> Metrics:
        order = self.generator if self.reshuffle else None
        epoch_batches = batches(len(self.train), self.batch_size, order, self.neutral.device)
        minibatch = partial(self.minibatch, gain=self.schedule.gain_of(epoch))
        loss, errors = total(minibatch, self.train, epoch_batches, self, self.label_generator).tolist()
        return {"loss": loss / len(epoch_batches), "running_error": 100.0 * errors / epoch_batches.numel()}

    def minibatch(self, images: Tensor, targets: Tensor, gain: float) -> Tensor:
        """One update of everything from `images` (B, n_pixels) and `targets` (B,).

        `gain` is the schedule's factor on all learning rates.
        Returns (2,): the loss, -log p⁺ - log(1 - p⁻) in nats averaged over images and layers, and the number
        of images that the softmax got wrong before the update.
        """
        size = len(images)
        labels = one_hot(targets, self.n_classes)
        if self.jitter is not None:
            images = jittered(images, self.image_shape, self.jitter, self.label_generator)

        # The positive pass and the neutral pass, whose softmax says which wrong labels are likely.
        both = torch.cat([embed_label(images, labels), embed_label(images, self.neutral)])
        activities, given = forward(self.layers, both)
        positive, positive_given = [y[:size] for y in activities], [x[:size] for x in given]
        neutral_given = [x[size:] for x in given]
        logits = self.logits(neutral_given).sum(0)

        # The negative pass.
        if self.negative_labels == "sampled":
            wrong = sample_wrong_label(logits, targets, self.label_generator)
        else:
            wrong = uniform_wrong_label(targets, self.n_classes, self.label_generator)
        negative, negative_given = forward(self.layers, embed_label(images, one_hot(wrong, self.n_classes)))

        # All that learns learns at once. The softmax predicts the label from the neutral pass.
        self.softmax.learn(
            neutral_given[self.first_counted + 1 :], labels - logits.softmax(-1), rate=gain * self.head_learning_rate
        )
        losses = [
            layer.learn(
                [Pass(positive[k], (positive_given[k],))],
                [Pass(negative[k], (negative_given[k],))],
                rate=gain * self.learning_rate,
                threshold_rate=gain * self.threshold_learning_rate,
            )
            for k, layer in enumerate(self.layers)
        ]
        errors = (logits.argmax(1) != targets).sum()
        return torch.stack([torch.stack(losses).mean(), errors.to(losses[0].dtype)])

    # The two tests --------------------------------------------------------------------------------

    def goodness_of_labels(self, split: Split) -> Tensor:
        """Goodness of each layer with each label in the image, (n_layers, N, n_classes)."""
        labels = torch.eye(self.n_classes, device=split.inputs.device)
        parts = []
        for part in chunks(len(split), max(1, ROWS // self.n_classes)):
            images = split.inputs[part]
            activities, _ = forward(self.layers, torch.cat([embed_label(images, label) for label in labels]))
            parts.append(torch.stack([self.goodness(y).view(self.n_classes, len(images)).t() for y in activities]))
        return torch.cat(parts, 1)

    def neutral_logits(self, split: Split) -> Tensor:
        """The softmax's logits of each counted layer with the neutral label, (n_counted, N, n_classes)."""
        parts = []
        for part in chunks(len(split), ROWS):
            _, given = forward(self.layers, embed_label(split.inputs[part], self.neutral))
            parts.append(self.logits(given))
        return torch.cat(parts, 1)

    def monitor(self, split: Split) -> Metrics:
        """The softmax test, a pass an image; the test by goodness takes one a label."""
        return {"error_softmax": error_percent(self.neutral_logits(split).sum(0), split.targets)}

    def evaluate(self, split: Split) -> Metrics:
        """Errors of both tests: `error` is the goodness test's; then each layer alone and each prefix of layers."""
        goodness, logits = self.goodness_of_labels(split), self.neutral_logits(split)
        error = error_percent(goodness[self.first_counted :].sum(0), split.targets)
        return {
            "error": error,
            "error_goodness": error,
            "error_softmax": error_percent(logits.sum(0), split.targets),
            **errors_by_layer("goodness", goodness, split.targets, 1),
            **errors_by_layer("softmax", logits, split.targets, 1 + self.first_counted),
        }

    def pictures(self, split: Split) -> dict[str, np.ndarray]:
        """First-layer fields, and the goodness of right and wrong labels over the threshold in each layer."""
        goodness = in_thresholds(self.layers, self.goodness_of_labels(split))
        right = one_hot(split.targets, self.n_classes).bool()
        return {
            "first_layer_fields": fields(self.layers[0].connections, self.image_shape),
            "goodness_right": goodness[:, right].float().cpu().numpy(),
            "goodness_wrong": goodness[:, ~right].float().cpu().numpy(),
        }

    # What a checkpoint holds ----------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return state_of(*self._kept())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        restore(*self._kept(), state)

    def _kept(self) -> tuple[list[Stateful], list[torch.Generator]]:
        return [*self.layers, self.softmax], [self.generator, self.label_generator]

"""Supervised Forward-Forward: the label is in the image.

Source: G. Hinton, The Forward-Forward Algorithm, arXiv 2212.13345, sections 2 and 3.3, and the MATLAB code
released with it, whose minibatch update this file follows step by step. Positive data are images with their
label in the first pixels, negative data the same images with a wrong label that the net itself finds likely.
Each layer learns to have a goodness above its threshold for the one and below it for the other, and hands on
only the direction of its activities.
"""

from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot, softplus

from ffrepro.algorithm import Metrics, Setting
from ffrepro.dataset import Split
from ffrepro.errors import UserError
from ffrepro.evaluate import ROWS, chunks, error_percent, errors_by_layer
from ffrepro.graphs import replayed
from ffrepro.layers import normalize, significant
from ffrepro.negatives import embed_label, sample_wrong_label, uniform_wrong_label
from ffrepro.optimizer.momentum import momentum_step
from ffrepro.schedule import batches

_FIRST_RUNNING_MEAN = 0.5  # of every unit's activity, as in the released code


class FFSupervised:
    """The algorithm and its hyperparameters, in the units of the released code.

    Args:
        batch_size: images in a minibatch; a remainder is left out of the epoch.
        reshuffle: draw new minibatches each epoch; the released code keeps the first ones.
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

    def __init__(
        self,
        *,
        batch_size: int,
        reshuffle: bool,
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
        self.batch_size = batch_size
        self.reshuffle = reshuffle
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
        self.n_classes = setting.dataset.n_classes
        self.goodness = setting.goodness
        self.schedule = setting.schedule
        # Order and weights come from the CPU, so that they are the same on every device.
        self.generator = torch.Generator().manual_seed(setting.seed)
        self.label_generator = torch.Generator(setting.device).manual_seed(setting.seed)
        self.layers = setting.architecture.build(
            self.train.inputs.shape[1],
            self.generator,
            device=setting.device,
            products=setting.products,
            state=setting.state,
        )
        if len(self.layers) == 1 and not self.first_layer_counts:
            raise UserError(
                "a net of one hidden layer needs algorithm.first_layer_counts=true: no other is left to test."
            )
        self.first_counted = 0 if self.first_layer_counts else 1

        def new(*shape: int, value: float = 0.0) -> Tensor:
            return torch.full(shape, value, device=setting.device, dtype=setting.state)

        self.running_means = [new(layer.width, value=_FIRST_RUNNING_MEAN) for layer in self.layers]
        self.thresholds = [
            new(value=self.threshold * self.goodness.threshold_scale(layer.width)) for layer in self.layers
        ]
        counted = self.layers[self.first_counted :]
        self.heads = [new(layer.width, self.n_classes) for layer in counted]
        self.head_velocities = [torch.zeros_like(head) for head in self.heads]
        self.neutral = new(self.n_classes, value=1 / self.n_classes)

    # Passes ---------------------------------------------------------------------------------------

    def forward(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """One pass: activities of each layer, and what each was given, the normalised activities below it.

        The second list is one longer: its last entry is what a further layer would be given.
        """
        below = normalize(images)
        given, activities = [below], []
        for layer in self.layers:
            activities.append(layer(below))
            below = normalize(activities[-1])
            given.append(below)
        return activities, given

    def logits(self, given: list[Tensor]) -> Tensor:
        """The softmax's logits of each counted layer, (n_counted, B, n_classes); their sum is the net's."""
        read = given[self.first_counted + 1 :]
        return torch.stack([normalised @ head for normalised, head in zip(read, self.heads, strict=True)])

    # Training -------------------------------------------------------------------------------------

    def train_epoch(self, epoch: int) -> Metrics:
        gain = self.schedule.gain(epoch)

        def step(batch: Tensor) -> Tensor:
            return self.minibatch(self.train.inputs[batch], self.train.targets[batch], gain)

        order = self.generator if self.reshuffle else None
        epoch_batches = batches(len(self.train), self.batch_size, order, self.neutral.device)
        take = replayed(step, epoch_batches[0], self, self.label_generator)
        totals = self.neutral.new_zeros(2)
        for batch in epoch_batches:
            totals += take(batch)
        loss, errors = totals.tolist()
        return {"loss": loss / len(epoch_batches), "running_error": 100.0 * errors / epoch_batches.numel()}

    def minibatch(self, images: Tensor, targets: Tensor, gain: float) -> Tensor:
        """One update of everything; `gain` is the schedule's factor on all learning rates.

        Returns (2,): the loss, -log p⁺ - log(1 - p⁻) in nats averaged over images and layers, and the number
        of images that the softmax got wrong before the update.
        """
        size = len(images)
        labels = one_hot(targets, self.n_classes)

        # The positive pass and the neutral pass, whose softmax says which wrong labels are likely.
        both = torch.cat([embed_label(images, labels), embed_label(images, self.neutral)])
        activities, given = self.forward(both)
        positive, positive_given = [y[:size] for y in activities], [x[:size] for x in given]
        neutral_given = [x[size:] for x in given]
        logits = self.logits(neutral_given).sum(0)

        # The negative pass.
        if self.negative_labels == "sampled":
            wrong = sample_wrong_label(logits, targets, self.label_generator)
        else:
            wrong = uniform_wrong_label(targets, self.n_classes, self.label_generator)
        negative, negative_given = self.forward(embed_label(images, one_hot(wrong, self.n_classes)))

        self._learn_softmax(neutral_given, labels - logits.softmax(-1), gain)
        losses = [
            self._learn_layer(k, positive[k], positive_given[k], negative[k], negative_given[k], gain=gain)
            for k in range(len(self.layers))
        ]
        errors = (logits.argmax(1) != targets).sum()
        return torch.stack([torch.stack(losses).mean(), errors.to(losses[0].dtype)])

    def _learn_softmax(self, given: list[Tensor], surprise: Tensor, gain: float) -> None:
        """Predict the label from the normalised activities of the neutral pass; no gradient goes below."""
        for head, velocity, read in zip(self.heads, self.head_velocities, given[self.first_counted + 1 :], strict=True):
            velocity.mul_(self.momentum).addmm_(
                read.t(), surprise.to(read.dtype), alpha=(1 - self.momentum) / len(read)
            )
            momentum_step(head, velocity, gain * self.head_learning_rate, self.head_weight_cost)

    def _learn_layer(
        self, k: int, positive: Tensor, positive_given: Tensor, negative: Tensor, negative_given: Tensor, *, gain: float
    ) -> Tensor:
        """Raise the goodness of positive data above the threshold, lower that of negative data below it."""
        size, threshold, mean = len(positive), self.thresholds[k], self.running_means[k]
        positive_margin = self.goodness(positive) - threshold
        negative_margin = self.goodness(negative) - threshold
        missed = torch.sigmoid(-positive_margin)  # 1 - p⁺
        fooled = torch.sigmoid(negative_margin)  # p⁻

        # Peer normalization: it acts on every unit, also where its activity is 0, and so revives dead ones.
        mean.mul_(self.momentum).add_(positive.mean(0), alpha=1 - self.momentum)
        peer = self.peer_normalization * (mean.mean() - mean)

        kept, feared = significant(missed), significant(fooled)
        delta = torch.cat(
            [
                missed[kept, None] * self.goodness.half_gradient(positive[kept]),
                -fooled[feared, None] * self.goodness.half_gradient(negative[feared]),
            ]
        )
        # The peer term is the same for every positive image: one row with the sum of their inputs stands for all.
        self.layers[k].learn(
            torch.cat([positive_given[kept], negative_given[feared], positive_given.sum(0, keepdim=True)]),
            torch.cat([delta, peer.unsqueeze(0)]),
            delta.sum(0).add_(peer, alpha=size),
            batch_size=size,
            momentum=self.momentum,
            rate=gain * self.learning_rate,
            weight_cost=self.weight_cost,
        )
        if self.threshold_learning_rate:
            threshold.add_(fooled.mean() - missed.mean(), alpha=gain * self.threshold_learning_rate)
        return softplus(-positive_margin).mean() + softplus(negative_margin).mean()

    # The two tests --------------------------------------------------------------------------------

    def goodness_of_labels(self, split: Split) -> Tensor:
        """Goodness of each layer with each label in the image, (n_layers, N, n_classes)."""
        labels = torch.eye(self.n_classes, device=split.inputs.device)
        parts = []
        for part in chunks(len(split), max(1, ROWS // self.n_classes)):
            images = split.inputs[part]
            activities, _ = self.forward(torch.cat([embed_label(images, label) for label in labels]))
            parts.append(torch.stack([self.goodness(y).view(self.n_classes, len(images)).t() for y in activities]))
        return torch.cat(parts, 1)

    def neutral_logits(self, split: Split) -> Tensor:
        """The softmax's logits of each counted layer with the neutral label, (n_counted, N, n_classes)."""
        parts = []
        for part in chunks(len(split), ROWS):
            _, given = self.forward(embed_label(split.inputs[part], self.neutral))
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
        thresholds = torch.stack(self.thresholds).abs().clamp_min(torch.finfo(torch.float32).tiny)
        goodness = self.goodness_of_labels(split) / thresholds.view(-1, 1, 1)
        right = one_hot(split.targets, self.n_classes).bool()
        return {
            "first_layer_fields": self.layers[0].weight.t().float().cpu().numpy(),
            "goodness_right": goodness[:, right].float().cpu().numpy(),
            "goodness_wrong": goodness[:, ~right].float().cpu().numpy(),
        }

    # What a checkpoint holds ----------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            "layers": [layer.state_dict() for layer in self.layers],
            **{name: getattr(self, name) for name in _TENSOR_LISTS},
            "generators": [self.generator.get_state(), self.label_generator.get_state()],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for layer, layer_state in zip(self.layers, state["layers"], strict=True):
            layer.load_state_dict(layer_state)
        for name in _TENSOR_LISTS:
            for mine, saved in zip(getattr(self, name), state[name], strict=True):
                mine.copy_(saved)
        self.generator.set_state(state["generators"][0])
        self.label_generator.set_state(state["generators"][1])


_TENSOR_LISTS = ("running_means", "thresholds", "heads", "head_velocities")

"""Unsupervised Forward-Forward: real images against hybrid ones.

Source: G. Hinton, The Forward-Forward Algorithm, arXiv 2212.13345, section 3.2. Positive data are images, negative
data are two images mixed by a mask with large regions: right in every small neighbourhood, wrong as a whole. The
layers learn to tell them apart without a label; then a linear softmax learns the labels from what the layers say.
The minibatch update is that of the code released for the supervised nets.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ffrepro.algorithm import Metrics, Setting
from ffrepro.cuda_graphs import total
from ffrepro.dataset import Split
from ffrepro.errors import UserError
from ffrepro.evaluate import ROWS, chunks, error_percent
from ffrepro.forward_forward.layers import Pass, forward, hidden_layers, in_thresholds
from ffrepro.forward_forward.negatives import hybrid_images
from ffrepro.forward_forward.softmax import Softmaxes
from ffrepro.pictures import fields
from ffrepro.runs.state import Stateful, restore, state_of
from ffrepro.schedule import HoldThenLinear, batches

_PICTURED = 36  # hybrid images


class FFUnsupervised:
    """The algorithm and its hyperparameters, in the units of the released code.

    Args:
        batch_size: images in a minibatch; a remainder is left out of the epoch.
        reshuffle: draw new minibatches each epoch.
        blurs: of the random bits that a mask is made of; more of them give larger regions.
        different_digits: draw the two images of a hybrid from two classes, which takes labels; otherwise they are any
            two images.
        learning_rate: of the hidden layers, on half of the goodness's derivative.
        momentum: v ← μ v + (1-μ) gradient, for all weights.
        weight_cost: decay of the hidden weights, inside the learning rate.
        peer_normalization: λ, the pull of each unit's mean activity to the mean of its layer.
        threshold: θ; a layer's threshold is θ times its goodness when all its activities are 1.
        softmax: trained `beside` the layers, or `after` them.
        softmax_epochs: how long it is trained after them, as part of the last epoch; no budget scales it.
        head_learning_rate: of the softmax.
        head_weight_cost: its decay, inside its learning rate.
        first_layer_counts: whether the softmax reads the first hidden layer too, which the paper says is worse.
    """

    training_passes: ClassVar[float] = 2.5  # two forward; the gradient of what is not yet told apart
    test_passes: ClassVar[float] = 1.0
    unused: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        *,
        batch_size: int,
        reshuffle: bool,
        blurs: int,
        different_digits: bool | None,
        learning_rate: float,
        momentum: float,
        weight_cost: float,
        peer_normalization: float,
        threshold: float,
        softmax: Literal["beside", "after"],
        softmax_epochs: int,
        head_learning_rate: float,
        head_weight_cost: float,
        first_layer_counts: bool,
    ) -> None:
        if softmax_epochs < 1:
            raise UserError(f"algorithm.softmax_epochs is {softmax_epochs}: expected 1 or more.")
        if blurs < 0:
            raise UserError(f"algorithm.blurs is {blurs}: expected 0 or more.")
        if batch_size < 2:
            raise UserError(f"algorithm.batch_size is {batch_size}: expected 2 or more, to make hybrids of.")
        self.batch_size = batch_size
        self.reshuffle = reshuffle
        self.blurs = blurs
        self.different_digits = different_digits
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.weight_cost = weight_cost
        self.peer_normalization = peer_normalization
        self.threshold = threshold
        self.when_softmax = softmax
        self.softmax_epochs = softmax_epochs
        self.head_learning_rate = head_learning_rate
        self.head_weight_cost = head_weight_cost
        self.first_layer_counts = first_layer_counts

    def begin(self, setting: Setting) -> None:
        self.train = setting.dataset.train
        self.image_shape = setting.dataset.image_shape
        self.n_classes = setting.dataset.n_classes
        self.schedule = setting.schedule
        self.device = setting.device
        # Order and weights come from the CPU, so that they are the same on every device.
        self.generator = torch.Generator().manual_seed(setting.seed)
        self.mask_generator = torch.Generator(setting.device).manual_seed(setting.seed)
        built = setting.architecture.build(
            self.image_shape, self.generator, device=setting.device, products=setting.products, state=setting.state
        )
        self.layers = hidden_layers(
            built,
            setting.goodness,
            threshold=self.threshold,
            momentum=self.momentum,
            weight_cost=self.weight_cost,
            peer_normalization=self.peer_normalization,
        )
        # A softmax on each reading of the net costs next to nothing: (first, last) layer read, from 0.
        last = len(built) - 1
        self.counted = (0 if self.first_layer_counts or last == 0 else 1, last)
        readings = sorted({self.counted, (0, last), (min(1, last), last), *((k, k) for k in range(last + 1))})
        self.softmaxes = Softmaxes(
            readings,
            [connections.width for connections in built],
            self.n_classes,
            like=self.layers[0].running_mean,
            momentum=self.momentum,
            weight_cost=self.head_weight_cost,
        )

    # Training -------------------------------------------------------------------------------------

    def train_epoch(self, epoch: int) -> Metrics:
        metrics = self._learn_from_all(partial(self.minibatch, gain=self.schedule.gain_of(epoch)))
        if self.when_softmax == "after" and epoch == self.schedule.epochs:
            schedule = HoldThenLinear(self.softmax_epochs, None)
            for further in range(1, self.softmax_epochs + 1):
                metrics |= self._learn_from_all(partial(self.softmax_minibatch, gain=schedule.gain_of(further)))
        return metrics

    def _learn_from_all(self, minibatch: Callable[[Tensor, Tensor], Tensor]) -> Metrics:
        """Take each image once; `minibatch` returns its loss and the softmax's errors, or those errors alone."""
        order = self.generator if self.reshuffle else None
        epoch_batches = batches(len(self.train), self.batch_size, order, self.device)
        *losses, errors = total(minibatch, self.train, epoch_batches, self, self.mask_generator).tolist()
        metrics = {"loss": losses[0] / len(epoch_batches)} if losses else {}
        if self.when_softmax == "beside" or not losses:
            metrics["running_error"] = 100.0 * errors / epoch_batches.numel()
        return metrics

    def minibatch(self, images: Tensor, targets: Tensor, gain: float) -> Tensor:
        """One update of the layers from `images` (B, n_pixels), of a softmax trained beside them from `targets` (B,).

        `gain` is the schedule's factor on all learning rates. Returns (2,): the loss, -log p⁺ - log(1 - p⁻) in nats
        averaged over images and layers, and the number of images that the softmax got wrong before the update.
        """
        size = len(images)
        hybrids = self.hybrids(images, targets, self.mask_generator)
        activities, given = forward(self.layers, torch.cat([images, hybrids]))
        losses = [
            layer.learn([Pass(y[:size], (x[:size],))], [Pass(y[size:], (x[size:],))], rate=gain * self.learning_rate)
            for layer, y, x in zip(self.layers, activities, given, strict=False)
        ]
        read = [x[:size] for x in given[1:]]
        errors = self._learn_softmax(read, targets, gain) if self.when_softmax == "beside" else losses[0].new_zeros(1)
        return torch.cat([torch.stack(losses).mean().view(1), errors])

    def hybrids(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> Tensor:
        """Negative data (B, n_pixels) from `images`; their `targets` (B,) count for `different_digits` alone."""
        told = targets if self.different_digits else None
        return hybrid_images(images, self.image_shape, self.blurs, generator, told)

    def softmax_minibatch(self, images: Tensor, targets: Tensor, gain: float) -> Tensor:
        """One update of the softmax on layers that have learned, from `images` (B, n_pixels) and `targets` (B,).

        Returns (1,), the number of its errors before it.
        """
        _, given = forward(self.layers, images)
        return self._learn_softmax(given[1:], targets, gain)

    def _learn_softmax(self, read: list[Tensor], targets: Tensor, gain: float) -> Tensor:
        """Predict `targets` (B,) from normalised activities (B, width) of each layer; no gradient goes below.

        Returns (1,), how many the net's softmax got wrong.
        """
        logits = self.softmaxes.logits(read)
        surprise = one_hot(targets, self.n_classes) - logits.softmax(-1)
        self.softmaxes.learn(read, surprise, rate=gain * self.head_learning_rate)
        predicted = logits[self.softmaxes.readings.index(self.counted)].argmax(1)
        return (predicted != targets).sum().view(1).to(logits.dtype)

    # The test -------------------------------------------------------------------------------------

    def logits(self, split: Split) -> dict[tuple[int, int], Tensor]:
        """The logits (N, n_classes) of the softmax on each reading of the net."""
        parts = []
        for part in chunks(len(split), ROWS):
            _, given = forward(self.layers, split.inputs[part])
            parts.append(self.softmaxes.logits(given[1:]))
        return dict(zip(self.softmaxes.readings, torch.cat(parts, 1), strict=True))

    def monitor(self, split: Split) -> Metrics:
        """The softmax's error, once it has learned anything."""
        if not any(weight.any() for weight in self.softmaxes.weights):
            return {}
        return {"error_softmax": error_percent(self.logits(split)[self.counted], split.targets)}

    def evaluate(self, split: Split) -> Metrics:
        """`error`, of the softmax; then those of the softmaxes on each layer alone and on all of them."""
        errors = {span: error_percent(logits, split.targets) for span, logits in self.logits(split).items()}
        metrics = {"error": errors[self.counted], "error_softmax": errors[self.counted]}
        for first, end in self.softmaxes.readings:
            name = f"layer_{end + 1}" if first == end else f"layers_{first + 1}_to_{end + 1}"
            metrics[f"error_softmax_{name}"] = errors[first, end]
        return metrics

    def pictures(self, split: Split) -> dict[str, np.ndarray]:
        """First-layer fields, hybrid images, and the goodness of images and hybrids over each layer's threshold."""
        found = {"first_layer_fields": fields(self.layers[0].connections, self.image_shape)}
        if len(split) == 1:  # there is none to mix it with
            return found
        generator = torch.Generator(self.device).manual_seed(0)
        hybrids = self.hybrids(split.inputs, split.targets, generator)
        found["hybrid_images"] = hybrids[:_PICTURED].view(-1, *self.image_shape).float().cpu().numpy()
        for name, images in (("positive", split.inputs), ("negative", hybrids)):
            activities, _ = forward(self.layers, images)
            goodness = torch.stack([layer.goodness(y) for layer, y in zip(self.layers, activities, strict=True)])
            found[f"goodness_{name}"] = in_thresholds(self.layers, goodness).float().cpu().numpy()
        return found

    # What a checkpoint holds ----------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return state_of(*self._kept())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        restore(*self._kept(), state)

    def _kept(self) -> tuple[list[Stateful], list[torch.Generator]]:
        return [*self.layers, self.softmaxes], [self.generator, self.mask_generator]

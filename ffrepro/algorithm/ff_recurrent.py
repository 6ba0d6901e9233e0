"""Recurrent Forward-Forward: the image below, the label above, and layers that see both neighbours.

Source: G. Hinton, The Forward-Forward Algorithm, arXiv 2212.13345, section 3.4 and, with local receptive fields,
section 4. A static image is a video of equal frames: the states start from one bottom-up pass, and then all layers
change at once, each driven by the normalised states of the layers above and below it at the step before. What a layer
learns is what every Forward-Forward layer learns, at each iteration; the minibatch update is that of the released code
for the supervised nets.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot, relu

from ffrepro.algorithm import Metrics, Setting
from ffrepro.cuda_graphs import total
from ffrepro.dataset import Split
from ffrepro.errors import UserError
from ffrepro.evaluate import ROWS, chunks, error_percent
from ffrepro.forward_forward.layers import Pass, hidden_layers, in_thresholds, normalize
from ffrepro.forward_forward.negatives import sample_wrong_label
from ffrepro.forward_forward.softmax import Softmax
from ffrepro.forward_forward.weights import Weights
from ffrepro.pictures import fields
from ffrepro.runs.state import Stateful, restore, state_of
from ffrepro.schedule import batches


class FFRecurrent:
    """The algorithm and its hyperparameters, in the units of the released code.

    Args:
        batch_size: images in a minibatch; a remainder is left out of the epoch.
        reshuffle: draw new minibatches each epoch.
        iterations: after the bottom-up pass.
        damping: the old state's share of a new state. One talk has the two shares the other way round: 0.7.
        first_tested: the first iteration, from 1, whose goodness the test counts.
        last_tested: the last one.
        learning_rate: of the hidden layers, on half of the goodness's derivative.
        momentum: v ← μ v + (1-μ) gradient, for all weights.
        weight_cost: decay of the hidden weights, inside the learning rate.
        peer_normalization: λ, the pull of each unit's mean activity to the mean of its layer.
        threshold: θ; a layer's threshold is θ times its goodness when all its activities are 1.
        head_learning_rate: of the softmax on the bottom-up pass, which says which wrong labels are likely.
        head_weight_cost: its decay, inside its learning rate.
    """

    unused: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        *,
        batch_size: int,
        reshuffle: bool,
        iterations: int,
        damping: float,
        first_tested: int,
        last_tested: int,
        learning_rate: float,
        momentum: float,
        weight_cost: float,
        peer_normalization: float,
        threshold: float,
        head_learning_rate: float,
        head_weight_cost: float,
    ) -> None:
        if not 1 <= first_tested <= last_tested <= iterations:
            raise UserError(
                f"algorithm.first_tested is {first_tested} and algorithm.last_tested {last_tested}: expected "
                f"1 to {iterations} (algorithm.iterations), in this order."
            )
        if not 0 <= damping < 1:
            raise UserError(f"algorithm.damping is {damping}: expected 0 (no old state) to less than 1.")
        self.batch_size = batch_size
        self.reshuffle = reshuffle
        self.iterations = iterations
        self.damping = damping
        self.first_tested = first_tested
        self.last_tested = last_tested
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.weight_cost = weight_cost
        self.peer_normalization = peer_normalization
        self.threshold = threshold
        self.head_learning_rate = head_learning_rate
        self.head_weight_cost = head_weight_cost

    def begin(self, setting: Setting) -> None:
        self.train = setting.dataset.train
        self.image_shape = setting.dataset.image_shape
        self.n_classes = setting.dataset.n_classes
        self.schedule = setting.schedule
        self.device = setting.device
        # Order and weights come from the CPU, so that they are the same on every device.
        self.generator = torch.Generator().manual_seed(setting.seed)
        self.label_generator = torch.Generator(setting.device).manual_seed(setting.seed)
        self.connections = setting.architecture.build(
            self.image_shape,
            self.generator,
            device=setting.device,
            products=setting.products,
            state=setting.state,
            top=self.n_classes,
        )
        self.layers = hidden_layers(
            self.connections,
            setting.goodness,
            threshold=self.threshold,
            momentum=self.momentum,
            weight_cost=self.weight_cost,
            peer_normalization=self.peer_normalization,
        )
        self.softmax = Softmax(
            [connections.width for connections in self.connections],
            self.n_classes,
            like=self.connections[0].bias,
            momentum=self.momentum,
            weight_cost=self.head_weight_cost,
        )

    @property
    def training_passes(self) -> float:
        """Of each iteration two phases with weights from above, and the gradient of what is not yet told apart."""
        return 3.5 * self.iterations

    @property
    def test_passes(self) -> float:
        """Of each iteration every label, with weights from above."""
        return 14.0 * self.iterations

    # Passes ---------------------------------------------------------------------------------------

    def bottom_up(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Images (B, n_pixels) -> what they drive the first layer with (B, width), and the first states.

        The states (B, width) of each layer are driven from below alone.
        """
        below, drives, states = normalize(images), [], []
        for connections in self.connections:
            drives.append(connections.sources[0].product(below, connections.bias))
            states.append(drives[-1].relu())
            below = normalize(states[-1])
        return drives[0], states

    def iterate(
        self, image_drive: Tensor, label: Tensor, states: list[Tensor]
    ) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
        """Run the net for its iterations, all layers at once; what image and label drive is always the same.

        A label takes an iteration from each layer to the one below. Until then a layer has one state for all labels.

        Args:
            image_drive: see `bottom_up`.
            label: normalised, (n, B, n_classes): n labels for each image.
            states: (B, width) of each layer, whatever the label.

        Yields:
            Of each iteration the activities (n, B, width) of each layer, before they are mixed with the old states, and
            the normalised states (n, B, width) of each layer, one step before, which drove its neighbours. Each is
            (1, B, width) until a label has reached it: the normalised states an iteration after the activities.
        """
        drives = [image_drive.unsqueeze(0), *(connections.bias for connections in self.connections[1:])]
        drives[-1] = _driven(self.connections[-1].sources[1], label, drives[-1])
        states = [state.unsqueeze(0) for state in states]
        for _ in range(self.iterations):
            inner = [normalize(state) for state in states]
            activities = []
            for k, connections in enumerate(self.connections):
                drive = drives[k]
                if k > 0:
                    drive = _driven(connections.sources[0], inner[k - 1], drive)
                if k + 1 < len(inner):
                    drive = _driven(connections.sources[1], inner[k + 1], drive)
                activities.append(relu(drive, inplace=len(inner) > 1))  # one layer's is drives[0] itself
            states = [torch.lerp(state, new, 1 - self.damping) for state, new in zip(states, activities, strict=True)]
            yield activities, inner

    # Training -------------------------------------------------------------------------------------

    def train_epoch(self, epoch: int) -> Metrics:
        order = self.generator if self.reshuffle else None
        epoch_batches = batches(len(self.train), self.batch_size, order, self.device)
        minibatch = partial(self.minibatch, gain=self.schedule.gain_of(epoch))
        loss, errors = total(minibatch, self.train, epoch_batches, self, self.label_generator).tolist()
        return {"loss": loss / len(epoch_batches), "running_error": 100.0 * errors / epoch_batches.numel()}

    def minibatch(self, images: Tensor, targets: Tensor, gain: float) -> Tensor:
        """One update of everything from `images` (B, n_pixels) and `targets` (B,).

        `gain` is the schedule's factor on all learning rates.
        Returns (2,): the loss, -log p⁺ - log(1 - p⁻) in nats averaged over images, iterations and layers, and the
        number of images that the softmax got wrong before the update.
        """
        labels = one_hot(targets, self.n_classes)

        # The bottom-up pass, whose softmax says which wrong labels are likely.
        image_drive, states = self.bottom_up(images)
        read = [normalize(state) for state in states]
        logits = self.softmax.logits(read).sum(0)
        wrong = one_hot(sample_wrong_label(logits, targets, self.label_generator), self.n_classes)

        # Positive and negative data differ in the label alone, and start from the same states.
        label = normalize(torch.stack([labels, wrong]).to(images.dtype))
        run = list(self.iterate(image_drive, label, states))

        # All that learns learns at once: each layer from all iterations, which count as so many data.
        self.softmax.learn(read, labels - logits.softmax(-1), rate=gain * self.head_learning_rate)
        image = normalize(images)
        positives, negatives = (_passes(run, phase, image, label[phase]) for phase in (0, 1))
        losses = [
            layer.learn(positive, negative, rate=gain * self.learning_rate)
            for layer, positive, negative in zip(self.layers, positives, negatives, strict=True)
        ]
        errors = (logits.argmax(1) != targets).sum()
        return torch.stack([torch.stack(losses).mean(), errors.to(losses[0].dtype)])

    # The tests ------------------------------------------------------------------------------------

    def goodness_of_labels(self, split: Split) -> Tensor:
        """Goodness at each iteration of each layer, with each label on top.

        Returns (iterations, n_layers, N, n_classes).
        """
        parts = []
        for part in chunks(len(split), max(1, ROWS // 2 // self.n_classes)):  # half: old states are held beside new
            images = split.inputs[part]
            labels = normalize(torch.eye(self.n_classes, device=self.device, dtype=images.dtype))
            every = labels.unsqueeze(1).expand(-1, len(images), -1)
            drive, states = self.bottom_up(images)
            found = [
                layer.goodness(y).expand(self.n_classes, -1)
                for activities, _ in self.iterate(drive, every, states)
                for layer, y in zip(self.layers, activities, strict=True)
            ]
            parts.append(torch.stack(found).view(-1, len(self.layers), *every.shape[:2]).transpose(2, 3))
        return torch.cat(parts, 2)

    def logits(self, split: Split) -> Tensor:
        """The logits (N, n_classes) of the softmax on the bottom-up pass."""
        parts = []
        for part in chunks(len(split), ROWS):
            read = [normalize(state) for state in self.bottom_up(split.inputs[part])[1]]
            parts.append(self.softmax.logits(read).sum(0))
        return torch.cat(parts)

    def monitor(self, split: Split) -> Metrics:
        """The softmax test, a bottom-up pass an image; the test by goodness takes all iterations for every label."""
        return {"error_softmax": error_percent(self.logits(split), split.targets)}

    def evaluate(self, split: Split) -> Metrics:
        """`error` is by goodness at the tested iterations; then of single iterations, and of others together."""
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
        """First-layer fields, and mean goodness over threshold (n_layers, iterations) with right and wrong labels."""
        goodness = in_thresholds(self.layers, self.goodness_of_labels(split).transpose(0, 1))
        right = one_hot(split.targets, self.n_classes).bool()
        return {
            "first_layer_fields": fields(self.connections[0], self.image_shape),
            "iterations_right": goodness[:, :, right].mean(2).float().cpu().numpy(),
            "iterations_wrong": goodness[:, :, ~right].mean(2).float().cpu().numpy(),
        }

    # What a checkpoint holds ----------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return state_of(*self._kept())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        restore(*self._kept(), state)

    def _kept(self) -> tuple[list[Stateful], list[torch.Generator]]:
        return [*self.layers, self.softmax], [self.generator, self.label_generator]


def _driven(weights: Weights, given: Tensor, onto: Tensor) -> Tensor:
    """What `given` (n, B, fan_in) drives, added to `onto` (width,) or (n, B, width): a new tensor (n, B, width).

    One of both n may be 1.
    """
    if onto.dim() == 3 and len(onto) != len(given):
        return onto + _driven(weights, given, onto.new_zeros(weights.width))
    return weights.product(given.flatten(0, 1), onto.view(-1, weights.width)).view(*given.shape[:2], -1)


def _passes(run: list[tuple[list[Tensor], list[Tensor]]], phase: int, image: Tensor, label: Tensor) -> list[list[Pass]]:
    """Of each layer the passes of all iterations of a `run`, in a `phase`: with its label of each image.

    `image` and `label`, both normalised, are the same tensors in all of them.
    """
    passes: list[list[Pass]] = [[] for _ in run[0][0]]
    for activities, inner in run:
        levels = [image, *(_of(phase, states) for states in inner), label]
        for k, of_layer in enumerate(passes):
            of_layer.append(Pass(_of(phase, activities[k]), (levels[k], levels[k + 2])))
    return passes


def _of(phase: int, both: Tensor) -> Tensor:
    """Of (2, B, width), or of (1, B, width) that both phases share, what is of one: (B, width)."""
    return both[phase % len(both)]

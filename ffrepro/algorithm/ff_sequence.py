"""Forward-Forward on text: features for predicting the next character, with the net's own text as negative data.

Source: the draft of G. Hinton, The Forward-Forward Algorithm, that went with its talk, on predicting the next character
of Aesop's Fables; arXiv 2212.13345 does not have it. Positive data are windows of real text. A softmax on the hidden
layers predicts the next character, and what it predicts makes the negative data: either at once, as the last
character of a window that is real otherwise, or in a phase of its own, when the net is asleep and all text is its own.
The update is that of the code released for the supervised nets.
"""

from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from ffrepro.algorithm import Metrics, Setting
from ffrepro.cuda_graphs import total
from ffrepro.dataset import Split
from ffrepro.dataset.text import one_hot_windows
from ffrepro.errors import UserError
from ffrepro.evaluate import headline, measured, perplexity, predicted
from ffrepro.forward_forward.layers import Pass, forward, hidden_layers
from ffrepro.forward_forward.negatives import sample_label
from ffrepro.forward_forward.softmax import Softmax
from ffrepro.pictures import fields
from ffrepro.rollout import roll_out, samples, starts_of
from ffrepro.runs.state import Stateful, restore, state_of
from ffrepro.schedule import batches


class FFSequence:
    """The algorithm and its hyperparameters, in the units of the released code.

    Args:
        batch_size: windows in a minibatch; a remainder is left out of the epoch.
        hidden_layers: `fixed` at their random weights; learning from real windows and windows with a predicted end in
            each update, `simultaneous`; or from real text and the net's own text in phases, `separated`.
        phase_length: of separated phases, in updates; None where there are none.
        learning_rate: of the hidden layers, on half of the goodness's derivative.
        momentum: v ← μ v + (1-μ) gradient, for all weights.
        weight_cost: decay of the hidden weights, inside the learning rate.
        peer_normalization: λ, the pull of each unit's mean activity to the mean of its layer.
        threshold: θ; a layer's threshold is θ times its goodness when all its activities are 1.
        head_learning_rate: of the softmax.
        head_momentum: of the softmax, as `momentum`.
        head_weight_cost: its decay, inside its learning rate.
        first_layer_counts: whether the softmax reads the first hidden layer.
    """

    training_passes: ClassVar[float] = 2.5  # two forward; the gradient of what is not yet told apart
    test_passes: ClassVar[float] = 1.0
    unused: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        *,
        batch_size: int,
        hidden_layers: Literal["fixed", "simultaneous", "separated"],
        phase_length: int | None,
        learning_rate: float,
        momentum: float,
        weight_cost: float,
        peer_normalization: float,
        threshold: float,
        head_learning_rate: float,
        head_momentum: float,
        head_weight_cost: float,
        first_layer_counts: bool,
    ) -> None:
        if (phase_length is not None) is not (hidden_layers == "separated") or (
            phase_length is not None and phase_length < 1
        ):
            raise UserError(
                f"algorithm.phase_length is {phase_length} and algorithm.hidden_layers {hidden_layers}: expected 1 "
                "update or more where the phases are separated, and null elsewhere."
            )
        self.batch_size = batch_size
        self.hidden_layers = hidden_layers
        self.phase_length = phase_length
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.weight_cost = weight_cost
        self.peer_normalization = peer_normalization
        self.threshold = threshold
        self.head_learning_rate = head_learning_rate
        self.head_momentum = head_momentum
        self.head_weight_cost = head_weight_cost
        self.first_layer_counts = first_layer_counts

    def begin(self, setting: Setting) -> None:
        self.train = setting.dataset.train
        self.input_shape = setting.dataset.input_shape
        self.n_symbols = len(setting.dataset.text_alphabet)
        self.schedule = setting.schedule
        self.device = setting.device
        # Order and weights come from the CPU, so that they are the same on every device.
        self.generator = torch.Generator().manual_seed(setting.seed)
        self.text_generator = torch.Generator(setting.device).manual_seed(setting.seed)
        built = setting.architecture.build(
            self.input_shape, self.generator, device=setting.device, products=setting.products, state=setting.state
        )
        self.layers = hidden_layers(
            built,
            setting.goodness,
            threshold=self.threshold,
            momentum=self.momentum,
            weight_cost=self.weight_cost,
            peer_normalization=self.peer_normalization,
        )
        if len(built) == 1 and not self.first_layer_counts:
            raise UserError(
                "a net of one hidden layer needs algorithm.first_layer_counts=true: no other is left to read."
            )
        self.first_read = 0 if self.first_layer_counts else 1
        self.softmax = Softmax(
            [connections.width for connections in built[self.first_read :]],
            self.n_symbols,
            like=built[0].bias,
            momentum=self.head_momentum,
            weight_cost=self.head_weight_cost,
        )

    def logits(self, inputs: Tensor) -> Tensor:
        """Windows (B, window · n_symbols) -> of the next character, (B, n_symbols)."""
        _, given = forward(self.layers, inputs)
        return self.softmax.logits(given[self.first_read + 1 :]).sum(0)

    # Training -------------------------------------------------------------------------------------

    def train_epoch(self, epoch: int) -> Metrics:
        gain = self.schedule.gain_of(epoch)
        epoch_batches = batches(len(self.train), self.batch_size, self.generator, self.device)
        if self.phase_length is not None:
            return self._in_phases(epoch, epoch_batches, gain, self.phase_length)
        minibatch = partial(self.minibatch, gain=gain)
        loss, surprise = (
            total(minibatch, self.train, epoch_batches, self, self.text_generator) / len(epoch_batches)
        ).tolist()
        return {"loss": loss, "running_perplexity": perplexity(surprise)}

    def minibatch(self, inputs: Tensor, targets: Tensor, gain: float) -> Tensor:
        """One update of everything from windows (B, window · n_symbols) and what comes next (B,).

        `gain` is the schedule's factor on all learning rates. Returns (2,), in nats and before the update: the layers'
        loss, -log p⁺ - log(1 - p⁻) averaged over windows and layers, and the softmax's cross-entropy.
        """
        activities, given = forward(self.layers, inputs)
        logits, surprise = self._learn_softmax(given, targets, gain)
        if self.hidden_layers == "fixed":
            return torch.stack([torch.zeros_like(surprise), surprise])

        # The last nine characters are real, the tenth is what the net predicts to come next.
        predicted = one_hot(sample_label(logits, self.text_generator), self.n_symbols).to(inputs.dtype)
        imagined, imagined_given = forward(self.layers, torch.cat([inputs[:, self.n_symbols :], predicted], dim=1))
        losses = [
            layer.learn(
                [Pass(activities[k], (given[k],))],
                [Pass(imagined[k], (imagined_given[k],))],
                rate=gain * self.learning_rate,
            )
            for k, layer in enumerate(self.layers)
        ]
        return torch.stack([torch.stack(losses).mean(), surprise])

    def _learn_softmax(self, given: list[Tensor], targets: Tensor, gain: float) -> tuple[Tensor, Tensor]:
        """Predict `targets` (B,) from the normalised activities; no gradient goes below.

        Returns the logits (B, n_symbols) and the mean cross-entropy in nats, both from before the update.
        """
        read = given[self.first_read + 1 :]
        logits = self.softmax.logits(read).sum(0)
        surprise = one_hot(targets, self.n_symbols) - logits.softmax(-1)
        self.softmax.learn(read, surprise, rate=gain * self.head_learning_rate)
        return logits, cross_entropy(logits, targets)

    # Separated phases -----------------------------------------------------------------------------

    def _in_phases(self, epoch: int, epoch_batches: Tensor, gain: float, phase_length: int) -> Metrics:
        """As many updates awake as asleep where phases are short; long ones go on over several epochs."""
        n = len(epoch_batches)
        updates = range((epoch - 1) * 2 * n, epoch * 2 * n)  # counted through all epochs
        awake = [(update // phase_length) % 2 == 0 for update in updates]
        dreams = None if all(awake) else self.dreams()
        surprises: list[Tensor] = []
        losses: dict[bool, list[Tensor]] = {True: [], False: []}
        taken = {True: 0, False: 0}
        for is_awake in awake:
            batch = epoch_batches[taken[is_awake] % n]
            taken[is_awake] += 1
            if dreams is None or is_awake:
                activities, given = forward(self.layers, self.train.inputs[batch])
                surprises.append(self._learn_softmax(given, self.train.targets[batch], gain)[1])
            else:
                activities, given = forward(self.layers, dreams[batch])
            for k, layer in enumerate(self.layers):
                seen = [Pass(activities[k], (given[k],))]
                positive, negative = (seen, []) if is_awake else ([], seen)
                losses[is_awake].append(layer.learn(positive, negative, rate=gain * self.learning_rate))
        metrics = {"loss": sum(torch.stack(found).mean().item() for found in losses.values() if found)}
        if surprises:
            metrics["running_perplexity"] = perplexity(torch.stack(surprises).mean().item())
        return metrics

    def dreams(self) -> Tensor:
        """The net's own text from the first characters of each string: its windows, (N, window · n_symbols).

        All strings are written at once and then kept for an epoch. The first window of a string, which is all real, is
        not among them; N is at least the number of training windows.
        """
        assert self.train.strings is not None
        starts = starts_of(self.train, self.n_symbols)
        shape = len(starts), int(self.train.strings.bincount().max())
        noise = torch.rand(shape, generator=self.text_generator, device=self.device)
        written = roll_out(self.logits, starts, noise)
        return one_hot_windows(written.unfold(1, starts.shape[1], 1)[:, 1:].flatten(0, 1))

    # The test -------------------------------------------------------------------------------------

    def monitor(self, split: Split) -> Metrics:
        return headline(predicted(self.logits, split), split)

    def evaluate(self, split: Split) -> Metrics:
        """See `measured`."""
        return measured(predicted(self.logits, split), split)

    def pictures(self, split: Split) -> dict[str, np.ndarray]:
        """First-layer fields, a row a character, and text that the net writes."""
        return {
            "first_layer_fields": fields(self.layers[0].connections, self.input_shape),
            **samples(self.logits, split, self.n_symbols),
        }

    # What a checkpoint holds ----------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return state_of(*self._kept())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        restore(*self._kept(), state)

    def _kept(self) -> tuple[list[Stateful], list[torch.Generator]]:
        return [*self.layers, self.softmax], [self.generator, self.text_generator]

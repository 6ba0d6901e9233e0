"""Forward-Forward on text: features for predicting the next character, with the net's own text as negative data.

Source: the draft of G. Hinton, The Forward-Forward Algorithm, that accompanied its talk, on predicting the next
character of Aesop's Fables; arXiv 2212.13345 lacks this part. The update is that of the code released for the
supervised nets.

Positive data are windows of real text. A softmax on the hidden layers predicts the next character. Its predictions make
the negative data. In simultaneous updates the last character of a real window is predicted. In separate phases the net
is asleep, and all of the text is its own.
"""

from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Literal

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
from ffrepro.forward_forward.layers import LayerOptions, first_that_counts, forward, hidden_layers
from ffrepro.forward_forward.negatives import sample_label
from ffrepro.forward_forward.softmax import Softmax
from ffrepro.pictures import fields
from ffrepro.rollout import first_windows, generate, samples
from ffrepro.runs.state import Resumable
from ffrepro.schedule import batches


@dataclass(kw_only=True)
class FFSequence(LayerOptions, Resumable):
    """The algorithm and its hyperparameters, in the units of the released code. See also `LayerOptions`."""

    batch_size: int  # windows in a minibatch; a remainder is left out of the epoch
    # `fixed` at their random weights; `simultaneous`, with an update on real windows and on windows with a predicted
    # end; or `separated`, with phases of real text and of the net's own text.
    hidden_layers: Literal["fixed", "simultaneous", "separated"]
    phase_length: int | None  # the updates in a separated phase; None if phases are not separated
    head_learning_rate: float  # of the softmax
    head_momentum: float  # of the softmax
    head_weight_cost: float  # the weight decay of the softmax
    first_layer_counts: bool  # whether the softmax uses the first hidden layer

    def __post_init__(self) -> None:
        separated = self.hidden_layers == "separated"
        if separated is (self.phase_length is None) or (self.phase_length is not None and self.phase_length < 1):
            raise UserError(
                f"algorithm.phase_length is {self.phase_length} and algorithm.hidden_layers {self.hidden_layers}: "
                "expected 1 update or more where the phases are separated, and null elsewhere."
            )

    def begin(self, setting: Setting) -> None:
        self.train, self.schedule, self.device = setting.dataset.train, setting.schedule, setting.device
        self.input_shape, self.n_symbols = setting.dataset.input_shape, len(setting.dataset.text_alphabet)
        self.generator, self.device_generator = setting.generators()
        connections = setting.connections(self.input_shape, self.generator)
        self.layers = hidden_layers(connections, self)
        self.first = first_that_counts(self.layers, self.first_layer_counts)
        self.softmax = Softmax(
            [layer.connections.width for layer in self.layers[self.first :]],
            self.n_symbols,
            like=connections[0].bias,
            momentum=self.head_momentum,
            weight_cost=self.head_weight_cost,
        )
        self.parts, self.generators = [*self.layers, self.softmax], [self.generator, self.device_generator]

    def logits(self, inputs: Tensor) -> Tensor:
        """The logits of the next character (B, n_symbols), given windows (B, window · n_symbols)."""
        _, outputs = forward(self.layers, inputs)
        return self.softmax.logits(outputs[self.first :]).sum(0)

    # Training -------------------------------------------------------------------------------------

    def train_epoch(self, epoch: int) -> Metrics:
        lr_factor = self.schedule.lr_factor(epoch)
        epoch_batches = batches(len(self.train), self.batch_size, self.generator, self.device)
        if self.phase_length is not None:
            return self._train_in_phases(epoch, epoch_batches, lr_factor, self.phase_length)
        minibatch = partial(self.minibatch, lr_factor=lr_factor)
        totals = total(minibatch, self.train, epoch_batches, self, self.device_generator)
        loss, nll = (totals / len(epoch_batches)).tolist()
        return {"loss": loss, "running_perplexity": perplexity(nll)}

    def minibatch(self, inputs: Tensor, targets: Tensor, lr_factor: float) -> Tensor:
        """Update all weights on real windows (B, window · n_symbols) with their next characters `targets` (B,).

        The schedule's `lr_factor` multiplies all learning rates. Returns (2,), in nats before the update: the loss of
        the layers, -log p⁺ - log(1 - p⁻) averaged over windows and layers, and the cross-entropy of the softmax.
        """
        real, outputs = forward(self.layers, inputs)
        logits, nll = self._learn_softmax(outputs, targets, lr_factor)
        if self.hidden_layers == "fixed":
            return torch.stack([torch.zeros_like(nll), nll])

        # All characters but the last are real. The last is the net's prediction.
        prediction = one_hot(self.predict_symbols(logits), self.n_symbols).to(inputs.dtype)
        imagined, _ = forward(self.layers, torch.cat([inputs[:, self.n_symbols :], prediction], dim=1))
        losses = [
            layer.learn([positive], [negative], lr_factor=lr_factor)
            for layer, positive, negative in zip(self.layers, real, imagined, strict=True)
        ]
        return torch.stack([torch.stack(losses).mean(), nll])

    def predict_symbols(self, logits: Tensor) -> Tensor:
        """Next characters (B,), drawn from the softmax of `logits` (B, n_symbols)."""
        return sample_label(logits, self.device_generator)

    def _learn_softmax(self, outputs: list[Tensor], targets: Tensor, lr_factor: float) -> tuple[Tensor, Tensor]:
        """Learn to predict `targets` (B,) from the normalized activities (B, width) of each layer.

        Returns the logits (B, n_symbols) and the mean cross-entropy in nats, both before the update.
        """
        counted = outputs[self.first :]
        logits = self.softmax.logits(counted).sum(0)
        residual = one_hot(targets, self.n_symbols) - logits.softmax(-1)
        self.softmax.learn(counted, residual, lr=lr_factor * self.head_learning_rate)
        return logits, cross_entropy(logits, targets)

    # Separated phases -----------------------------------------------------------------------------

    def _train_in_phases(self, epoch: int, epoch_batches: Tensor, lr_factor: float, phase_length: int) -> Metrics:
        """Take two updates per minibatch, in alternating phases, which may span several epochs."""
        n_updates = 2 * len(epoch_batches)
        updates = range((epoch - 1) * n_updates, epoch * n_updates)  # numbered across all epochs
        phases = [(update // phase_length) % 2 == 0 for update in updates]
        own_text = torch.empty(0) if all(phases) else self.dreams()  # only for updates asleep
        batches_awake, batches_asleep = cycle(epoch_batches), cycle(epoch_batches)
        nlls: list[Tensor] = []
        losses: dict[bool, list[Tensor]] = {True: [], False: []}
        for awake in phases:
            batch = next(batches_awake if awake else batches_asleep)
            passes, outputs = forward(self.layers, self.train.inputs[batch] if awake else own_text[batch])
            if awake:
                nlls.append(self._learn_softmax(outputs, self.train.targets[batch], lr_factor)[1])
            for layer, data in zip(self.layers, passes, strict=True):
                positive, negative = ([data], []) if awake else ([], [data])
                losses[awake].append(layer.learn(positive, negative, lr_factor=lr_factor))
        metrics = {"loss": sum(torch.stack(of_phase).mean().item() for of_phase in losses.values() if of_phase)}
        if nlls:
            metrics["running_perplexity"] = perplexity(torch.stack(nlls).mean().item())
        return metrics

    def dreams(self) -> Tensor:
        """Windows of the net's own text, (N, window · n_symbols), continued from the first characters of each string.

        All strings are written at once and kept for an epoch. The first window of a string is real and left out. N is
        at least the number of training windows.
        """
        assert self.train.strings is not None
        starts = first_windows(self.train, self.n_symbols)
        shape = len(starts), int(self.train.strings.bincount().max())
        noise = torch.rand(shape, generator=self.device_generator, device=self.device)
        written = generate(self.logits, starts, noise)
        return one_hot_windows(written.unfold(1, starts.shape[1], 1)[:, 1:].flatten(0, 1))

    # The test -------------------------------------------------------------------------------------

    def monitor(self, split: Split) -> Metrics:
        return headline(predicted(self.logits, split), split)

    def evaluate(self, split: Split) -> Metrics:
        return measured(predicted(self.logits, split), split)

    def pictures(self, split: Split) -> dict[str, np.ndarray]:
        """First-layer fields, with a row for each character, and text that the net writes."""
        return {
            "first_layer_fields": fields(self.layers[0].connections, self.input_shape),
            **samples(self.logits, split, self.n_symbols),
        }

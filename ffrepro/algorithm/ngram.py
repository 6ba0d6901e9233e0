"""Counted predictions of the next character: what a net that learns has to do better than.

Source: I. Witten, T. Bell, The zero-frequency problem, IEEE Transactions on Information Theory 37 (1991), method C;
as an interpolation of all orders. Nothing is drawn, so that every seed gives the same.
"""

import math
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ffrepro.algorithm import Metrics, Setting
from ffrepro.dataset import Split
from ffrepro.errors import UserError
from ffrepro.evaluate import headline, measured
from ffrepro.rollout import samples


class NGram:
    """How often each character came after the ones before it, in the training windows.

    Args:
        order: characters that are looked at, the predicted one among them; 1 counts single characters, and for 0
            all are alike.
    """

    training_passes: ClassVar[float] = 0.0
    test_passes: ClassVar[float] = 0.0
    unused: ClassVar[tuple[str, ...]] = ("architecture", "goodness")

    def __init__(self, *, order: int) -> None:
        if order < 0:
            raise UserError(f"algorithm.order is {order}: expected 0 or more.")
        self.order = order

    def begin(self, setting: Setting) -> None:
        self.n_symbols = len(setting.dataset.text_alphabet)
        self.train = setting.dataset.train
        self.window = setting.dataset.input_shape[0]
        if self.order > self.window + 1:
            raise UserError(
                f"algorithm.order is {self.order}: expected at most {self.window + 1}, a window and the next character."
            )
        # Of each length of context: the contexts there were, sorted, and how often each character came after them.
        self.contexts = [torch.empty(0, dtype=torch.long) for _ in range(self.order)]
        self.counts = [torch.empty(0, self.n_symbols, dtype=torch.double) for _ in range(self.order)]

    def train_epoch(self, epoch: int) -> Metrics:
        symbols = self._symbols(self.train.inputs)
        for length in range(self.order):
            context = self._context(symbols, length)
            self.contexts[length], place = torch.unique(context, return_inverse=True)
            both = place * self.n_symbols + self.train.targets
            counts = torch.bincount(both, minlength=len(self.contexts[length]) * self.n_symbols)
            self.counts[length] = counts.view(-1, self.n_symbols).double()
        return {"loss": math.log(self.monitor(self.train)["perplexity"])}

    def probabilities(self, inputs: Tensor) -> Tensor:
        """Windows (B, window · n_symbols) -> of each next character (B, n_symbols), in float64.

        P(c | h) = (n(h c) + t(h) P(c | h')) / (n(h) + t(h)), where h' is h without its first character, and t(h) is how
        many different characters came after h. Below the shortest context all characters are alike.
        """
        likely = torch.full((len(inputs), self.n_symbols), 1 / self.n_symbols, dtype=torch.double, device=inputs.device)
        symbols = self._symbols(inputs)
        for length in range(self.order):
            known, counts = self.contexts[length], self.counts[length]
            wanted = self._context(symbols, length)
            place = torch.searchsorted(known, wanted).clamp_max(len(known) - 1)
            seen = counts[place] * (known[place] == wanted).unsqueeze(1)
            different = (seen > 0).sum(1, keepdim=True)
            # A context that never was has no counts: what the shorter one says stands.
            likely = torch.where(
                different > 0, (seen + different * likely) / (seen.sum(1, keepdim=True) + different), likely
            )
        return likely

    def logits(self, inputs: Tensor) -> Tensor:
        """The logarithms of the probabilities."""
        return self.probabilities(inputs).log()

    def _symbols(self, inputs: Tensor) -> Tensor:
        """Windows (B, window · n_symbols) -> places in the alphabet, (B, window)."""
        return inputs.view(len(inputs), self.window, self.n_symbols).argmax(-1)

    def _context(self, symbols: Tensor, length: int) -> Tensor:
        """The last `length` characters of each window, as one number (B,)."""
        number = torch.zeros_like(symbols[:, 0])
        for place in range(self.window - length, self.window):
            number = number * self.n_symbols + symbols[:, place]
        return number

    def monitor(self, split: Split) -> Metrics:
        return headline(self.logits(split.inputs), split)

    def evaluate(self, split: Split) -> Metrics:
        """See `measured`."""
        return measured(self.logits(split.inputs), split)

    def pictures(self, split: Split) -> dict[str, np.ndarray]:
        """Text that it writes."""
        return samples(self.logits, split, self.n_symbols)

    def state_dict(self) -> dict[str, Any]:
        return {"contexts": self.contexts, "counts": self.counts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        device = self.train.inputs.device
        self.contexts = [known.to(device) for known in state["contexts"]]
        self.counts = [counts.to(device) for counts in state["counts"]]

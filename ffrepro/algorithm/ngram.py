"""Predict the next character by counting, as a baseline for nets.

Source: I. Witten, T. Bell, The zero-frequency problem, IEEE Transactions on Information Theory 37 (1991), method C,
interpolated over all orders. Nothing is random: every seed gives the same result.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ffrepro.algorithm import Metrics, Setting
from ffrepro.dataset import Split
from ffrepro.errors import UserError
from ffrepro.evaluate import headline, measured
from ffrepro.rollout import samples


@dataclass(kw_only=True)
class NGram:
    """Count how often each character follows each context in the training windows.

    Counted strings have `order` characters, including the predicted character. With 1 single characters are counted;
    with 0 all characters are equally likely.
    """

    unused: ClassVar[tuple[str, ...]] = ("architecture",)
    order: int

    def __post_init__(self) -> None:
        if self.order < 0:
            raise UserError(f"algorithm.order is {self.order}: expected 0 or more.")

    def begin(self, setting: Setting) -> None:
        self.n_symbols = len(setting.dataset.text_alphabet)
        self.train = setting.dataset.train
        self.window = setting.dataset.input_shape[0]
        if self.order > self.window + 1:
            raise UserError(
                f"algorithm.order is {self.order}: expected at most {self.window + 1}, a window and the next character."
            )
        # For each context length: the sorted contexts of the training text, and the counts of the next character.
        self.contexts = [torch.empty(0, dtype=torch.long) for _ in range(self.order)]
        self.counts = [torch.empty(0, self.n_symbols, dtype=torch.double) for _ in range(self.order)]

    def train_epoch(self, epoch: int) -> Metrics:
        symbols = self._symbols(self.train.inputs)
        for length in range(self.order):
            context = self._context(symbols, length)
            self.contexts[length], place = torch.unique(context, return_inverse=True)
            pair = place * self.n_symbols + self.train.targets
            counts = torch.bincount(pair, minlength=len(self.contexts[length]) * self.n_symbols)
            self.counts[length] = counts.view(-1, self.n_symbols).double()
        return {"loss": math.log(self.monitor(self.train)["perplexity"])}

    def probabilities(self, inputs: Tensor) -> Tensor:
        """The probabilities of the next character (B, n_symbols) in float64, given windows (B, window · n_symbols).

        P(c | h) = (n(h c) + t(h) P(c | h')) / (n(h) + t(h)). Here h' is h without its first character, and t(h) is the
        number of different characters that followed h. At the bottom of the recursion all characters are equally
        likely.
        """
        p = torch.full((len(inputs), self.n_symbols), 1 / self.n_symbols, dtype=torch.double, device=inputs.device)
        symbols = self._symbols(inputs)
        for length in range(self.order):
            known = self.contexts[length]
            context = self._context(symbols, length)
            place = torch.searchsorted(known, context).clamp_max(len(known) - 1)
            counts = self.counts[length][place] * (known[place] == context).unsqueeze(1)
            n_different = (counts > 0).sum(1, keepdim=True)
            # For an unknown context the shorter context decides.
            p = torch.where(
                n_different > 0, (counts + n_different * p) / (counts.sum(1, keepdim=True) + n_different), p
            )
        return p

    def logits(self, inputs: Tensor) -> Tensor:
        return self.probabilities(inputs).log()

    def _symbols(self, inputs: Tensor) -> Tensor:
        """The indices of the characters (B, window), given windows (B, window · n_symbols)."""
        return inputs.view(len(inputs), self.window, self.n_symbols).argmax(-1)

    def _context(self, symbols: Tensor, length: int) -> Tensor:
        """The last `length` characters of each window, encoded as a number (B,)."""
        number = torch.zeros_like(symbols[:, 0])
        for place in range(self.window - length, self.window):
            number = number * self.n_symbols + symbols[:, place]
        return number

    def monitor(self, split: Split) -> Metrics:
        return headline(self.logits(split.inputs), split)

    def evaluate(self, split: Split) -> Metrics:
        return measured(self.logits(split.inputs), split)

    def pictures(self, split: Split) -> dict[str, np.ndarray]:
        """Text that the model writes."""
        return samples(self.logits, split, self.n_symbols)

    def state_dict(self) -> dict[str, Any]:
        return {"contexts": self.contexts, "counts": self.counts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        device = self.train.inputs.device
        self.contexts = [known.to(device) for known in state["contexts"]]
        self.counts = [counts.to(device) for counts in state["counts"]]

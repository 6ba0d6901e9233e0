"""Text that a net writes: each next character drawn from what it predicts after the last ones."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ffrepro.dataset import Split
from ffrepro.dataset.text import as_texts, one_hot_windows

Predictor = Callable[[Tensor], Tensor]

_SAMPLES = 4
_SAMPLE_LENGTH = 150
TEMPERATURES = (1.0, 0.5)


def roll_out(logits: Predictor, starts: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
    """Go on from `starts`, all strings at once, a character a step.

    Args:
        logits: of the next character, (B, n_symbols), from windows (B, window · n_symbols).
        starts: (S, window), places in the alphabet.
        noise: (S, n), between 0 and 1: a string's characters follow from its own row alone.
        temperature: what the logits are divided by.

    Returns:
        (S, window + n), the starts and what was written.
    """
    window, n = starts.shape[1], noise.shape[1]
    written = torch.cat([starts, starts.new_zeros(len(starts), n)], dim=1)
    for place in range(n):
        likely = (logits(one_hot_windows(written[:, place : place + window])) / temperature).softmax(-1)
        # The first place at which the probabilities so far exceed the noise; rounding must not lead beyond the last.
        passed = likely.cumsum(1)[:, :-1] <= noise[:, place : place + 1]
        written[:, window + place] = passed.sum(1)
    return written


def starts_of(split: Split, n_symbols: int) -> Tensor:
    """The first window of each string (S, window), as places in the alphabet."""
    assert split.strings is not None
    first = torch.ones_like(split.strings, dtype=torch.bool)
    first[1:] = split.strings[1:] != split.strings[:-1]
    return split.inputs[first].view(int(first.sum()), -1, n_symbols).argmax(-1)


def samples(logits: Predictor, split: Split, n_symbols: int) -> dict[str, np.ndarray]:
    """Some strings of `split` gone on with, at each temperature: letters as bytes, (n, length)."""
    starts = starts_of(split, n_symbols)[:_SAMPLES]
    noise = torch.rand(len(starts), _SAMPLE_LENGTH, generator=torch.Generator().manual_seed(0)).to(starts.device)
    return {
        f"text_temperature_{temperature:g}": np.array(
            [list(text.encode()) for text in as_texts(roll_out(logits, starts, noise, temperature))], dtype=np.uint8
        )
        for temperature in TEMPERATURES
    }

"""Learning procedures, one file each, complete and readable from top to bottom.

An algorithm is made from its hyperparameters alone; `begin` hands it what a run provides. The runner owns
epochs, clock, logging, checkpoints and the choice of what to evaluate; an algorithm file stays free of them.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch

from ffrepro.architecture import Architecture
from ffrepro.dataset import Dataset, Split
from ffrepro.forward_forward.goodness import Goodness
from ffrepro.schedule import Schedule

Metrics = dict[str, float]


@dataclass(frozen=True)
class Setting:
    """What a run provides to its algorithm."""

    dataset: Dataset
    architecture: Architecture
    goodness: Goodness
    schedule: Schedule
    seed: int
    device: torch.device
    products: torch.dtype
    state: torch.dtype = torch.float32


class Algorithm(Protocol):
    """Owns its net, its optimizer state and its random numbers."""

    # How many times the whole net's products are computed for an image: what estimates of time are made from.
    @property
    def training_passes(self) -> float: ...

    @property
    def test_passes(self) -> float: ...

    # Groups of the config that make no difference here: to choose an option of one is a user's mistake.
    unused: ClassVar[tuple[str, ...]]

    def begin(self, setting: Setting) -> None:
        """Build the net for `setting`. Called once, before anything else."""
        ...

    def train_epoch(self, epoch: int) -> Metrics:
        """Train `epoch` (from 1); the metrics hold at least `loss`."""
        ...

    def monitor(self, split: Split) -> Metrics:
        """Errors that are cheap enough to be measured after every epoch."""
        ...

    def evaluate(self, split: Split) -> Metrics:
        """`error` in percent is the headline, of text `perplexity`, or `loss`; the other keys are named after it."""
        ...

    def pictures(self, split: Split) -> dict[str, np.ndarray]:
        """Arrays from which the report draws, beside the numbers of the record; for names see `packed`."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that training depends on and changes: tensors and Python's plain values, in lists and dicts."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from such a state; where there are CUDA graphs it is copied into the tensors whose places they know."""
        ...

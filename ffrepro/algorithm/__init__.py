"""Learning algorithms, one file each, to be read from top to bottom.

An algorithm is constructed from its hyperparameters. `begin` gives it the data, the net and the schedule of a run. The
runner owns epochs, time, logging, checkpoints and the choice of splits to evaluate; algorithm files do not deal with
them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from ffrepro.architecture import LayerArchitecture, ModuleArchitecture, Place
from ffrepro.dataset import Dataset, Split
from ffrepro.errors import UserError
from ffrepro.forward_forward.connections import Connections
from ffrepro.schedule import Schedule

Metrics = dict[str, float]


@dataclass(frozen=True)
class Setting:
    """The data, the net and the schedule of a run."""

    dataset: Dataset  # all splits, on `device`
    architecture: LayerArchitecture | ModuleArchitecture  # builds connections, modules or both
    schedule: Schedule  # the epochs, and the factor on the learning rates
    seed: int  # of all random numbers
    device: torch.device  # of the net
    compute_dtype: torch.dtype  # of matrix products
    param_dtype: torch.dtype = torch.float32  # of weights and optimizer state

    def generators(self) -> tuple[torch.Generator, torch.Generator]:
        """On the CPU, for weights and the order of the data, the same on every device; and on the run's device."""
        return torch.Generator().manual_seed(self.seed), torch.Generator(self.device).manual_seed(self.seed)

    def connections(
        self, input_shape: tuple[int, ...], generator: torch.Generator, top_down_units: int | None = None
    ) -> Sequence[Connections]:
        """See `LayerArchitecture`. Raises UserError if the architecture has no connections, or they do not fit."""
        if not isinstance(self.architecture, LayerArchitecture):
            raise UserError(
                f"architecture {type(self.architecture).__name__} learns through autograd alone, and this algorithm "
                "trains hidden layers in closed form: expected architecture=mlp or local_receptive_fields."
            )
        place = Place(self.device, self.compute_dtype, self.param_dtype)
        return self.architecture.connections(input_shape, generator, place, top_down_units)

    def blocks(self, input_shape: tuple[int, ...], n_outputs: int, generator: torch.Generator) -> nn.Sequential:
        """See `ModuleArchitecture`. Raises UserError if the architecture has no modules, or they do not fit."""
        if not isinstance(self.architecture, ModuleArchitecture):
            raise UserError(
                f"architecture {type(self.architecture).__name__} has no blocks of modules, which this algorithm "
                "trains: expected an architecture with `blocks`, such as mlp."
            )
        net = self.architecture.blocks(input_shape, n_outputs, generator)
        return net.to(self.device, self.param_dtype).to(memory_format=torch.channels_last)


class Algorithm(Protocol):
    """A learning algorithm with its net, its optimizer state and its random numbers.

    An algorithm may name config groups that it ignores in a class attribute, as in `unused = ("architecture",)`. To
    choose an option of such a group is then an error.
    """

    def begin(self, setting: Setting) -> None:
        """Build the net for `setting`. Called once, first."""

    def train_epoch(self, epoch: int) -> Metrics:
        """Train `epoch` (from 1). The metrics hold at least `loss`."""

    def monitor(self, split: Split) -> Metrics:
        """Metrics that are cheap enough for every epoch."""

    def evaluate(self, split: Split) -> Metrics:
        """All metrics. The headline is called `error` (in percent), `perplexity` or `loss`, see `ffrepro.metric`."""

    def pictures(self, split: Split) -> dict[str, np.ndarray]:
        """Arrays for the report's figures; for names see `pictures.packed`."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that training changes: tensors and plain Python values, in lists and dicts."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from such a state. Tensors are changed in place, since CUDA graphs hold their addresses."""

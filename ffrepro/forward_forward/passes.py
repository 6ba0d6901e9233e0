"""Passes through layers, and the length normalization between layers."""

import math
from typing import NamedTuple

from torch import Tensor
from torch.linalg import vector_norm

_TINY = 1e-10


def normalize(activities: Tensor) -> Tensor:
    """Divide each row of (..., n) by its root mean square, so that only its direction reaches the next layer.

    The released code computes `a / (tiny + sqrt(mean(a²)))`, for images and for hidden layers.
    """
    length: Tensor = vector_norm(activities, dim=-1, keepdim=True)
    return activities / (_TINY + length / math.sqrt(activities.shape[-1]))


class Pass(NamedTuple):
    """The activities (B, width) and inputs (B, fan_in from each source) of a layer in one pass.

    Passes may share a tensor of inputs, which is then multiplied once for all of them.
    """

    activities: Tensor
    inputs: tuple[Tensor, ...]

    def part(self, examples: slice) -> "Pass":
        """The same pass for some of the examples."""
        return Pass(self.activities[examples], tuple(source[examples] for source in self.inputs))

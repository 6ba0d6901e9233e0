"""The state of an algorithm, so that a run can be cut: that of each part, and of each generator."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch


class Stateful(Protocol):
    """An object that changes while it learns."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


class Resumable:
    """An object whose state is that of its parts and its generators."""

    parts: Sequence[Stateful]  # in a fixed order
    generators: Sequence[torch.Generator]  # of random numbers, in a fixed order

    def state_dict(self) -> dict[str, Any]:
        return {
            "parts": [part.state_dict() for part in self.parts],
            "generators": [generator.get_state() for generator in self.generators],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for part, saved in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(saved)
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.set_state(saved)

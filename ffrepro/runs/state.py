"""What is kept of an algorithm, so that a run can be cut: the state of each part, and of each generator."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch


class Stateful(Protocol):
    """What changes while it learns."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def state_of(parts: Sequence[Stateful], generators: Sequence[torch.Generator]) -> dict[str, Any]:
    """A state dict of all of them, in their order."""
    return {
        "parts": [part.state_dict() for part in parts],
        "generators": [generator.get_state() for generator in generators],
    }


def restore(parts: Sequence[Stateful], generators: Sequence[torch.Generator], state: dict[str, Any]) -> None:
    """Bring all back to what `state_of` said of them."""
    for part, saved in zip(parts, state["parts"], strict=True):
        part.load_state_dict(saved)
    for generator, saved in zip(generators, state["generators"], strict=True):
        generator.set_state(saved)

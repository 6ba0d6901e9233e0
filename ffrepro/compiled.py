"""Elementwise steps over large tensors, compiled to touch memory once where the machine has what that needs.

On a CPU the step of a layer's weights takes longer than its matrix products where those are fast (AMX): all of it is
waiting for memory, and PyTorch's operations go through memory one after the other.
"""

import os
import shutil
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_LARGE = 250_000  # numbers: a megabyte of them, of which a step changes several
_wanted = False


def choose_compiled(wanted: bool) -> None:
    """Whether steps are compiled from now on. It takes seconds, once a process: worth it in long runs."""
    global _wanted
    _wanted = wanted


def compiles(tensor: Tensor) -> bool:
    """Whether steps over `tensor` are compiled: if it is wanted and large, and there is what that needs.

    That is a C++ compiler, and Python's headers.
    """
    return _wanted and tensor.numel() >= _LARGE and tensor.device.type == "cpu" and _at_hand()


@cache
def _at_hand() -> bool:
    headers = Path(sysconfig.get_path("include"), "Python.h")
    return shutil.which(os.environ.get("CXX", "g++")) is not None and headers.is_file()


@cache
def in_one_pass(step: Callable[..., None]) -> Callable[..., None]:
    """`step`, which changes tensors in place, compiled for tensors of any length and values of any size."""
    # The number of threads is the run's, not that of whoever compiled it first.
    compiled: Callable[..., Any] = torch.compile(step, dynamic=True, options={"cpp.dynamic_threads": True})
    return compiled

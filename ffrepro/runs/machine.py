"""The machine and the checkout that a run is made with, for its record."""

import contextlib
import os
import platform
import resource
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import torch

from ffrepro.paths import IN_CHECKOUT, ROOT


@cache  # the code that this process has loaded, whatever is committed while it runs
def git_state() -> dict[str, Any]:
    """The checkout's commit, and whether code or configs have changed since; None for both outside a checkout."""
    unknown: dict[str, Any] = {"commit": None, "dirty": None}
    if not IN_CHECKOUT:
        return unknown

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "ffrepro", "conf")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(changed)}
    except (OSError, subprocess.CalledProcessError):
        return unknown


def environment(device: torch.device, precision: str) -> dict[str, Any]:
    """All that can change a result or its time, besides the config."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name(),
        "threads": torch.get_num_threads(),
        "precision": precision,
        "deterministic": device.type == "cpu",
    }


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory that this process has held, of a GPU or of the machine."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if not status.exists():  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    # Not getrusage: on Linux its peak may be the parent's, from before this process began.
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def forget_peak_memory(device: torch.device) -> None:
    """Reset `peak_memory_bytes`, in a process that has done something else before."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):  # Linux alone can
            Path("/proc/self/clear_refs").write_text("5")


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()}, {os.cpu_count()} cores"
    except OSError:
        pass  # not Linux
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"

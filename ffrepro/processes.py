"""Runs as processes of their own, some side by side."""

import os
import shlex
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import torch
from rich.console import Console

from ffrepro.errors import UserError
from ffrepro.paths import ROOT

console = Console(soft_wrap=True, highlight=False, markup=False)


def run_command(overrides: list[str]) -> list[str]:
    """The command of one run."""
    return [sys.executable, "-m", "ffrepro", *overrides]


def shared_threads(jobs: int, overrides: list[str]) -> list[str]:
    """What shares the processor's cores among `jobs` runs, unless `overrides` do.

    Raises:
        UserError: `jobs` is not 1 or more.
    """
    if jobs < 1:
        raise UserError(f"JOBS is {jobs}: expected 1 or more.")
    if jobs == 1 or any(override.startswith("threads=") for override in overrides):
        return []
    return [f"threads={max(1, torch.get_num_threads() // jobs)}"]


def run_all(commands: dict[str, list[str]], jobs: int) -> list[str]:
    """Run the commands in their order, at most `jobs` at a time; returns the names of those that failed.

    Raises:
        KeyboardInterrupt: once all that were running, which Ctrl-C reaches too, have kept their state.
    """
    stopped = threading.Event()

    def run(command: list[str]) -> int:
        code = 130 if stopped.is_set() else _run(command, together=jobs > 1)
        if code == 130:
            stopped.set()  # at once, before another begins
        return code

    pool = ThreadPoolExecutor(jobs)
    runs = {name: pool.submit(run, command) for name, command in commands.items()}
    try:
        codes = {name: one.result() for name, one in runs.items()}
    finally:
        stopped.set()
        pool.shutdown()
    if 130 in codes.values():
        raise KeyboardInterrupt
    return [name for name, code in codes.items() if code != 0]


def _run(command: list[str], *, together: bool) -> int:
    """Run `command`; what runs together with others says its progress in lines, not in a bar of its own."""
    console.print(f"$ {shlex.join(['python', *command[1:]])}", style="dim")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if not together:
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", file=sys.stderr, flush=True)
        return process.wait()

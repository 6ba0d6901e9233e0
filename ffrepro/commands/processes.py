"""Runs as processes of their own, some side by side."""

import os
import shlex
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import torch
from rich.console import Console

from ffrepro.errors import UserError
from ffrepro.paths import ROOT

console = Console(soft_wrap=True, highlight=False, markup=False)


def run_command(overrides: list[str]) -> list[str]:
    """The command of one run."""
    return [sys.executable, "-m", "ffrepro", *overrides]


def side_by_side(jobs: str) -> int:
    """How many runs at once.

    Raises:
        UserError: `jobs` is not 1 or more.
    """
    if not jobs.isdecimal() or not int(jobs):
        raise UserError(f"JOBS is {jobs!r}: expected 1 or more.")
    return int(jobs)


def shared_threads(jobs: int, overrides: list[str]) -> list[str]:
    """What shares the processor's cores among `jobs` runs, unless `overrides` do."""
    if jobs == 1 or any(override.startswith("threads=") for override in overrides):
        return []
    return [f"threads={max(1, torch.get_num_threads() // jobs)}"]


def run_all(commands: dict[str, list[str]], jobs: int) -> list[str]:
    """Run the commands in their order, at most `jobs` at a time; returns the names of those that failed.

    Raises:
        KeyboardInterrupt: once all that were running, to which it is handed on, have kept their state.
    """
    stopped = threading.Event()
    running: set[subprocess.Popen[str]] = set()

    def run(name: str, command: list[str]) -> int:
        code = 130 if stopped.is_set() else _run(command, running, stopped, together=jobs > 1)
        if code == 130:
            stopped.set()  # at once, before another begins
        elif code:
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            # The kernel's way to say that there is no memory left.
            why = " (for want of memory? See JOBS and algorithm.batch_size)" if code == -signal.SIGKILL else ""
            console.print(f"{name} {how}{why}.")
        return code

    pool = ThreadPoolExecutor(jobs)
    runs = {name: pool.submit(run, name, command) for name, command in commands.items()}
    try:
        # Not for ever at once: a signal that another thread is given does not wake this one, which has to act on it.
        while wait(runs.values(), timeout=0.5).not_done:
            pass
    except KeyboardInterrupt:
        stopped.set()  # first: what begins now looks at it once it can be found in `running`
        for process in list(running):
            process.send_signal(signal.SIGINT)
        raise
    finally:
        stopped.set()
        pool.shutdown()
    codes = {name: one.result() for name, one in runs.items()}
    if 130 in codes.values():
        raise KeyboardInterrupt
    return [name for name, code in codes.items() if code != 0]


def _run(command: list[str], running: set[subprocess.Popen[str]], stopped: threading.Event, *, together: bool) -> int:
    """Run `command`; what runs together with others says its progress in lines, not in a bar of its own."""
    console.print(f"$ {shlex.join(['python', *command[1:]])}", style="dim")
    output, errors = (subprocess.PIPE, subprocess.STDOUT) if together else (None, None)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdout=output, stderr=errors) as process:
        running.add(process)
        if stopped.is_set():  # while it was started
            process.send_signal(signal.SIGINT)
        for line in process.stdout or ():
            print(line, end="", file=sys.stderr, flush=True)
        code = process.wait()
        running.discard(process)
        return code

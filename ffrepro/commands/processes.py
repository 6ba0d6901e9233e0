"""Runs in processes of their own, some side by side."""

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


def parse_jobs(jobs: str) -> int:
    """How many runs go side by side. Raises UserError if `jobs` is not 1 or more."""
    if not jobs.isdecimal() or not int(jobs):
        raise UserError(f"JOBS is {jobs!r}: expected 1 or more.")
    return int(jobs)


def thread_options(jobs: int, overrides: list[str]) -> list[str]:
    """The option that divides the processor's cores among `jobs` runs, unless `overrides` have it."""
    if jobs == 1 or any(override.startswith("threads=") for override in overrides):
        return []
    return [f"threads={max(1, torch.get_num_threads() // jobs)}"]


def run_all(commands: dict[str, list[str]], jobs: int) -> list[str]:
    """Run the commands in order, at most `jobs` at a time; returns the names of those that failed.

    Raises KeyboardInterrupt if the command or a run was interrupted. All runs have then saved their state and ended.
    """
    stopped = threading.Event()
    running: set[subprocess.Popen[str]] = set()

    def run(name: str, command: list[str]) -> int:
        code = 130 if stopped.is_set() else run_process(command, running, stopped, together=jobs > 1)
        if code == 130:
            stopped.set()  # before the pool starts another run
        elif code:
            ending = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            # The kernel kills processes when memory runs out.
            hint = " (out of memory? See JOBS and algorithm.batch_size)" if code == -signal.SIGKILL else ""
            console.print(f"{name} {ending}{hint}.")
        return code

    pool = ThreadPoolExecutor(jobs)
    runs = {name: pool.submit(run, name, command) for name, command in commands.items()}
    try:
        # With a timeout, since a signal that reaches another thread does not end this wait.
        while wait(runs.values(), timeout=0.5).not_done:
            pass
    except KeyboardInterrupt:
        stopped.set()  # first: a run that starts now looks at it after it was added to `running`
        for process in list(running):
            process.send_signal(signal.SIGINT)
        raise
    finally:
        stopped.set()
        pool.shutdown()
    codes = {name: future.result() for name, future in runs.items()}
    if 130 in codes.values():
        raise KeyboardInterrupt
    return [name for name, code in codes.items() if code != 0]


def run_process(
    command: list[str], running: set[subprocess.Popen[str]], stopped: threading.Event, *, together: bool
) -> int:
    """Run `command` and return its exit code.

    `running` has the process while it runs. Once `stopped` is set, it is interrupted as soon as it has started. If it
    runs `together` with others, its output is passed on line by line, without a bar.
    """
    console.print(f"$ {shlex.join(['python', *command[1:]])}", style="dim")
    output, errors = (subprocess.PIPE, subprocess.STDOUT) if together else (None, None)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdout=output, stderr=errors) as process:
        running.add(process)
        if stopped.is_set():
            process.send_signal(signal.SIGINT)
        for line in process.stdout or ():
            print(line, end="", file=sys.stderr, flush=True)
        code = process.wait()
        running.discard(process)
        return code

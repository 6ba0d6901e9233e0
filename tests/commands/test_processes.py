"""Several runs as processes, with stand-ins for them."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ffrepro.commands import processes

# Keeps its state when it is interrupted, which takes a while, as a run does.
KEEPS = """
import sys, time
from ffrepro.commands.interrupts import keyboard_interrupts
try:
    with keyboard_interrupts():
        open(sys.argv[1] + ".begun", "w")
        time.sleep(60)
except KeyboardInterrupt:
    print("keeping")
    time.sleep(0.3)
    open(sys.argv[1], "w")
    sys.exit(130)
"""
COMMAND = """
import argparse, sys
from ffrepro.commands import command_line as command, processes
def work(options):
    runs = {name: [sys.executable, "-c", sys.argv[2], sys.argv[1] + name] for name in "ab"[: int(sys.argv[3])]}
    processes.run_all(runs, len(runs))
    return 0
sys.exit(command.exit_code("both", work, argparse.Namespace(overrides=[])))
"""


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("signals", [(signal.SIGTERM,), (signal.SIGINT,), (signal.SIGTERM, signal.SIGINT)])
def test_a_command_that_is_stopped_lets_its_runs_keep_their_state(
    jobs: int, signals: tuple[signal.Signals, ...], tmp_path: Path
) -> None:
    arguments = [sys.executable, "-c", COMMAND, f"{tmp_path}/", KEEPS, str(jobs)]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("*.begun"))) < jobs:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for one in signals:
            process.send_signal(one)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "both: stopped. The same command goes on" in said
    assert "Traceback" not in said
    assert {path.name for path in tmp_path.iterdir() if path.suffix == ""} == set("ab"[:jobs])


def test_a_run_that_begins_while_all_are_stopped_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []

    class Process:
        stdout = None

        def __init__(self, *_: object, **__: object) -> None:
            stopped.set()  # while it is started

        def __enter__(self) -> "Process":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def send_signal(self, sent: int) -> None:
            told.append(sent)

        def wait(self) -> int:
            return 130 if told else 0

    stopped, running = threading.Event(), set()
    monkeypatch.setattr(processes.subprocess, "Popen", Process)
    assert processes._run(["a", "b"], running, stopped, together=False) == 130
    assert told == [signal.SIGINT]
    assert not running


def test_how_a_run_ended_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    kill = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
    fail = [sys.executable, "-c", "import sys; sys.exit(3)"]
    assert processes.run_all({"killed": kill, "failed": fail, "done": [sys.executable, "-c", ""]}, 1) == [
        "killed",
        "failed",
    ]
    said = capsys.readouterr().out
    assert "killed was killed by SIGKILL (for want of memory? See JOBS and algorithm.batch_size)." in said
    assert "failed ended with exit code 3." in said
    assert "done" not in said

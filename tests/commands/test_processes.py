"""Several runs as processes; short scripts stand in for the runs."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ffrepro.commands import processes

# Saves its state after an interrupt, which takes a while.
RUN = """
import sys, time
from ffrepro.commands.command_line import keyboard_interrupts
try:
    with keyboard_interrupts():
        open(sys.argv[1] + ".started", "w")
        time.sleep(60)
except KeyboardInterrupt:
    print("saving")
    time.sleep(0.3)
    open(sys.argv[1], "w")
    sys.exit(130)
"""
COMMAND = """
import argparse, sys
from ffrepro.commands import command_line, processes
def work(options):
    runs = {name: [sys.executable, "-c", sys.argv[2], sys.argv[1] + name] for name in "ab"[: int(sys.argv[3])]}
    processes.run_all(runs, len(runs))
    return 0
sys.exit(command_line.run_table_program("both", work, argparse.Namespace(overrides=[])))
"""


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("signals", [(signal.SIGTERM,), (signal.SIGINT,), (signal.SIGTERM, signal.SIGINT)])
def test_an_interrupted_command_lets_its_runs_save_their_state(
    jobs: int, signals: tuple[signal.Signals, ...], tmp_path: Path
) -> None:
    arguments = [sys.executable, "-c", COMMAND, f"{tmp_path}/", RUN, str(jobs)]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("*.started"))) < jobs:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for number in signals:
            process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "both: stopped. The same command goes on" in errors
    assert "Traceback" not in errors
    assert {path.name for path in tmp_path.iterdir() if path.suffix == ""} == set("ab"[:jobs])


def test_a_run_that_starts_during_an_interrupt_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    signals: list[int] = []

    class Process:
        stdout = None

        def __init__(self, *_: object, **__: object) -> None:
            stopped.set()  # while the process starts

        def __enter__(self) -> "Process":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def send_signal(self, number: int) -> None:
            signals.append(number)

        def wait(self) -> int:
            return 130 if signals else 0

    stopped, running = threading.Event(), set()
    monkeypatch.setattr(subprocess, "Popen", Process)
    assert processes.run_process(["a", "b"], running, stopped, together=False) == 130
    assert signals == [signal.SIGINT]
    assert not running


def test_failures_of_runs_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    kill = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
    fail = [sys.executable, "-c", "import sys; sys.exit(3)"]
    assert processes.run_all({"killed": kill, "failed": fail, "done": [sys.executable, "-c", ""]}, 1) == [
        "killed",
        "failed",
    ]
    printed = capsys.readouterr().out
    assert "killed was killed by SIGKILL (out of memory? See JOBS and algorithm.batch_size)." in printed
    assert "failed ended with exit code 3." in printed
    assert "done" not in printed


def test_as_many_runs_go_at_a_time_as_there_are_jobs(tmp_path: Path) -> None:
    # Each waits for the other.
    wait = "import sys, pathlib, time; me, other = map(pathlib.Path, sys.argv[1:]); me.touch()\n"
    wait += "while not other.exists(): time.sleep(0.01)"
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    commands = {"a": [sys.executable, "-c", wait, a, b], "b": [sys.executable, "-c", wait, b, a]}
    assert processes.run_all(commands, 2) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_after_an_interrupted_run_no_other_starts(jobs: int, tmp_path: Path) -> None:
    stop = [sys.executable, "-c", "import sys; sys.exit(130)"]
    touch = [sys.executable, "-c", f"open({str(tmp_path / 'started')!r}, 'w')"]
    slow = [sys.executable, "-c", "import time; time.sleep(1)"]
    together = {f"slow {n}": slow for n in range(1, jobs)}
    with pytest.raises(KeyboardInterrupt):
        processes.run_all({"a": stop, **together, "e": touch}, jobs)
    assert not (tmp_path / "started").exists()


def test_the_output_of_runs_side_by_side_is_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"]
    assert processes.run_all({"a": command, "b": [sys.executable, "-c", ""]}, 2) == ["a"]
    assert {"out", "err"} <= set(capfd.readouterr().err.split())

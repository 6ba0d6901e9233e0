"""What several test files need: made data, and a command line whose starts are cheap."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from threadpoolctl import threadpool_limits

from ffrepro.dataset import Dataset, Split
from ffrepro.paths import ROOT

MakeDataset = Callable[..., Dataset]

# The tests' tensors are small: a second thread only waits where other programs run too.
torch.set_num_threads(1)
threadpool_limits(1, user_api="blas")  # NumPy's
torch.set_flush_denormal(True)  # as every run does, so that no test depends on which came before it


def make_dataset(
    n: int = 400, n_pixels: int = 60, *, noise: float = 0.4, seed: int = 1, dtype: torch.dtype = torch.float32
) -> Dataset:
    """Ten prototypes with noise on them, pixels between 0 and 1: `n` to train on, a quarter of that for the others."""
    generator = torch.Generator().manual_seed(seed)
    prototypes = torch.rand(10, n_pixels, generator=generator, dtype=torch.float64)

    def split(size: int) -> Split:
        targets = torch.randint(10, (size,), generator=generator)
        grain = torch.rand(size, n_pixels, generator=generator, dtype=torch.float64)
        return Split(((prototypes[targets] + noise * grain) / (1 + noise)).to(dtype), targets)

    return Dataset("made", split(n), split(n // 4), split(n // 4), 10, (1, n_pixels), "", stand_in=True)


def tensors(state: Any) -> list[torch.Tensor]:
    """All tensors of a state dict, in their order."""
    if isinstance(state, torch.Tensor):
        return [state]
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else ()
    return [tensor for part in parts for tensor in tensors(part)]


@pytest.fixture(name="make_dataset", scope="session")
def make_dataset_fixture() -> MakeDataset:
    return make_dataset


# Starting Python and PyTorch takes seconds; a process that has done so forks for every command. What a child does is
# what `python -m ffrepro` does, after `patch`, a piece of Python that may replace what cannot be reached from outside.
_FORKING_SERVER = """
import json, os, runpy, sys, traceback
import hydra, sklearn.datasets, torch, wandb
import ffrepro.dataset.mnist, ffrepro.runs.run
torch.optim.SGD([torch.zeros(1)], lr=1.0)  # what an optimizer imports late
for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if child == 0:
        for number, name in enumerate((os.devnull, request["out"], request["err"])):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), number)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)
        code = 1
        try:
            os.environ.update(request["environment"])
            os.chdir(request["folder"])
            exec(request["patch"], {})
            sys.argv = ["ffrepro", *request["arguments"]]
            runpy.run_module("ffrepro", run_name="__main__", alter_sys=True)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass(frozen=True)
class Finished:
    """A command that has ended; `code` is negative where a signal ended it."""

    code: int
    out: str
    err: str


class CommandLine:
    """`python -m ffrepro …` in a child of a process that has imported everything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        environment = clean_environment()
        self._server = subprocess.Popen(
            [sys.executable, "-c", _FORKING_SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=folder,
        )

    def __call__(self, *arguments: str, patch: str = "", environment: dict[str, str] | None = None) -> Finished:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        out, err = self.folder / "out", self.folder / "err"
        request = {
            # Hydra's own log goes where the tests' files are.
            "arguments": [*arguments, f"hydra.run.dir={self.folder}/work", f"hydra.sweep.dir={self.folder}/work"],
            "patch": patch,
            "environment": environment or {},
            "folder": str(self.folder),
            "out": str(out),
            "err": str(err),
        }
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        code = int(self._server.stdout.readline())
        return Finished(code, out.read_text(), err.read_text())

    def end(self) -> None:
        self._server.communicate()


def clean_environment() -> dict[str, str]:
    """This process's, with the checkout importable and without what would steer a run."""
    steering = ("FFREPRO_", "HYDRA_", "WANDB_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(steering)}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment["OMP_NUM_THREADS"] = "1"
    return environment


@pytest.fixture(scope="session")
def command_line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    command_line = CommandLine(tmp_path_factory.mktemp("command_line"))
    yield command_line
    command_line.end()


@pytest.fixture(scope="session")
def python() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run a fresh Python with `arguments`."""

    def run(
        *arguments: str, environment: dict[str, str] | None = None, **options: Any
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            env=clean_environment() | (environment or {}),
            check=False,
            timeout=120,
            **options,
        )

    return run


def killed_by(number: signal.Signals) -> int:
    """The exit code of a process that `number` ended."""
    return -int(number)

"""Checkpoints, and the lock that refuses a second launch of a run."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ffrepro.errors import UserError
from ffrepro.runs import checkpoint
from tests.conftest import clean_environment, killed_by


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.pt"
    weights = [torch.rand(3, 2), torch.tensor([1], dtype=torch.uint8)]
    state = {"weights": weights, "progress": {"epoch": 3, "history": [{"loss": 0.1}]}}
    checkpoint.save(path, "abc", state)
    loaded = checkpoint.load(path, "abc")
    assert loaded is not None
    assert loaded["progress"] == state["progress"]
    assert all(torch.equal(a, b) for a, b in zip(loaded["weights"], weights, strict=True))


def test_without_a_checkpoint_nothing_is_loaded(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path / "run.pt", "abc") is None


def test_another_runs_checkpoint_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    checkpoint.save(path, "abc", {"epoch": 1})
    assert checkpoint.load(path, "abd") is None
    assert path.exists()


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_a_cut_checkpoint_is_named(share: float, tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    checkpoint.save(path, "abc", {"weights": torch.rand(1000)})
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match="damaged") as caught:
        checkpoint.load(path, "abc")
    assert str(path) in str(caught.value)
    assert "Remove it" in str(caught.value)


def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    path.write_text("not a checkpoint")
    with pytest.raises(UserError, match="damaged"):
        checkpoint.load(path, "abc")


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.pt"
    checkpoint.save(path, "abc", {"epoch": 1})

    def full(*_: object) -> None:
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed\nat caffe2/…")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match="file write failed") as caught:
        checkpoint.save(path, "abc", {"epoch": 2})
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert checkpoint.load(path, "abc") == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


@pytest.mark.parametrize("text", ["CUDA error: an illegal memory access was encountered", "out of memory"])
def test_an_error_of_the_gpu_or_memory_is_not_blamed_on_the_disk(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError(text)

    monkeypatch.setattr(torch, "save", fails)
    with pytest.raises(RuntimeError, match=text):
        checkpoint.save(tmp_path / "run.pt", "abc", {"epoch": 2})
    assert list(tmp_path.iterdir()) == []


# Without PyTorch, which the lock does not need, a process starts fast.
_HOLDER = """
import sys, types
sys.modules["torch"] = types.ModuleType("torch")
from pathlib import Path
from ffrepro.runs import checkpoint
from ffrepro.errors import UserError
try:
    with checkpoint.locked(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()
except UserError as error:
    print(error)
    sys.exit(2)
"""


def hold(path: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )


def test_a_second_process_is_refused_until_the_first_has_ended_even_if_it_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "run.lock"
    first = hold(path)
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"

    second = hold(path)
    out, _ = second.communicate()
    assert second.returncode == 2
    assert "already under way" in out
    assert str(path) in out
    with pytest.raises(UserError, match="already under way"), checkpoint.locked(path):
        pass

    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert first.returncode == killed_by(signal.SIGKILL)
    with checkpoint.locked(path):
        pass


def test_a_lock_is_released_at_the_end_and_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    with pytest.raises(ZeroDivisionError), checkpoint.locked(path):
        raise ZeroDivisionError
    with checkpoint.locked(path), pytest.raises(UserError, match="already under way"), checkpoint.locked(path):
        pass
    with checkpoint.locked(path):
        pass


def test_a_lock_that_cannot_be_created_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"), checkpoint.locked(tmp_path / "file" / "run.lock"):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_on_a_file_system_without_locks_the_lock_is_not_held(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with checkpoint.locked(tmp_path / "run.lock") as held:
        assert not held
    assert [path.name for path in tmp_path.iterdir()] == ["run.lock"]

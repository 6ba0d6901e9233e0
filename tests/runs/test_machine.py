"""The machine and the checkout, as records name them."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ffrepro.runs import machine


@pytest.fixture(autouse=True)
def _own_git_state() -> Iterator[None]:
    yield
    machine.git_state.cache_clear()


def test_the_environment_says_what_ran() -> None:
    environment = machine.environment(torch.device("cpu"), "bf16")
    assert environment["torch"] == torch.__version__
    assert environment["threads"] == torch.get_num_threads()
    assert environment["precision"] == "bf16"
    assert environment["cuda"] is None
    assert environment["device"]
    json.dumps(environment)


def test_the_peak_memory_is_plausible() -> None:
    # PyTorch alone takes more than 50 MB; kilobytes taken for bytes would say 0.3 MB.
    assert 50e6 < machine.peak_memory_bytes(torch.device("cpu")) < 1e12


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="Linux alone can forget it")
def test_the_peak_memory_of_what_was_before_is_forgotten() -> None:
    cpu = torch.device("cpu")
    large = torch.ones(100_000_000)
    assert large.sum() > 0
    del large
    before = machine.peak_memory_bytes(cpu)
    machine.forget_peak_memory(cpu)
    assert machine.peak_memory_bytes(cpu) < before - 300e6  # of the 400 MB


def test_outside_a_checkout_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "IN_CHECKOUT", False)
    machine.git_state.cache_clear()
    assert machine.git_state() == {"commit": None, "dirty": None}


def test_a_checkout_says_its_commit_and_what_but_results_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        who = [
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b.c",
            "-c",
            "commit.gpgsign=false",
            "-c",
            "core.hooksPath=/dev/null",
        ]
        return subprocess.run(
            ["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    git("init", "-q")
    (tmp_path / "ffrepro").mkdir()
    (tmp_path / "ffrepro" / "file").write_text("1")
    git("add", "ffrepro")
    git("commit", "-q", "-m", "first")
    monkeypatch.setattr(machine, "IN_CHECKOUT", True)
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    commit = git("rev-parse", "HEAD").strip()
    machine.git_state.cache_clear()
    assert machine.git_state() == {"commit": commit, "dirty": False}
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "record.json").write_text("{}")
    machine.git_state.cache_clear()
    assert machine.git_state() == {"commit": commit, "dirty": False}
    (tmp_path / "ffrepro" / "file").write_text("2")
    assert machine.git_state() == {"commit": commit, "dirty": False}  # this process has the code of before
    machine.git_state.cache_clear()
    assert machine.git_state() == {"commit": commit, "dirty": True}

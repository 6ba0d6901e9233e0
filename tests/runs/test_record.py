"""Records: written whole, read back, and known by what decides a result."""

import json
import math
import os
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ffrepro.config import GROUPS
from ffrepro.errors import UserError
from ffrepro.runs import record
from ffrepro.runs.record import Record


@pytest.fixture(autouse=True)
def _own_git_state() -> Iterator[None]:
    yield
    record.git_state.cache_clear()


@pytest.fixture
def a_record() -> Record:
    return Record(
        schema=record.SCHEMA,
        status="ok",
        error=None,
        table="table1",
        row="bp",
        budget="paper",
        seed=3,
        command="python -m ffrepro",
        config={"algorithm": {"batch_size": 100}, "widths": [1, 2]},
        choices={"dataset": "mnist"},
        overrides=["seed=3"],
        fingerprint="abc",
        git={"commit": None, "dirty": None},
        environment={"threads": 2},
        data={"sizes": {"train": 10}},
        started_at="2024-01-01T00:00:00+00:00",
        wall_s=1.5,
        train_s=1.25,
        peak_memory_bytes=2**40,
        metrics={"test_error": 1.4},
        history=[{"loss": 0.5}, {"loss": 0.25}],
    )


def test_what_is_written_is_read_back(a_record: Record, tmp_path: Path) -> None:
    a_record.write(tmp_path / "x" / "record.json")
    assert record.load(tmp_path / "x" / "record.json") == a_record


def test_what_is_not_finite_becomes_null(a_record: Record, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    odd = replace(
        a_record,
        metrics={"test_error": math.nan, "train_error": math.inf},
        history=[{"loss": -math.inf}],
        config={"deep": [{"nan": math.nan}]},
    )
    odd.write(path)

    def forbidden(name: str) -> float:
        raise AssertionError(f"{name} is not JSON")

    content = json.loads(path.read_text(), parse_constant=forbidden)
    assert content["metrics"] == {"test_error": None, "train_error": None}
    assert content["history"] == [{"loss": None}]
    assert content["config"] == {"deep": [{"nan": None}]}


def test_a_failure_in_writing_leaves_the_old_record(
    a_record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.json"
    a_record.write(path)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left"):
        replace(a_record, seed=4).write(path)
    assert record.load(path) == a_record
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"schema": 1}', b"\xff\xfe"],
    ids=["empty", "cut", "a list", "null", "without fields", "no text"],
)
def test_a_damaged_record_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match="Remove it") as caught:
        record.load(path)
    assert str(path) in str(caught.value)


def test_a_record_of_another_schema_is_refused(a_record: Record, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    for changed in ({"schema": record.SCHEMA + 1}, {"more": 1}):
        path.write_text(json.dumps({**asdict(a_record), **changed}))
        with pytest.raises(UserError, match="schema"):
            record.load(path)


def test_a_missing_record_is_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        record.load(tmp_path / "none.json")


DECISIVE: dict[str, Any] = {
    "values": {"algorithm": {"_target_": "ffrepro.a.A", "batch_size": 100, "steps": [1, {"_target_": "b", "c": 2}]}},
    "seed": 0,
}


def test_the_fingerprint_does_not_know_places_in_the_code() -> None:
    moved = {
        "values": {
            "algorithm": {"_target_": "ffrepro.b.B", "batch_size": 100, "steps": [1, {"_target_": "d", "c": 2}]}
        },
        "seed": 0,
    }
    assert record.fingerprint(moved) == record.fingerprint(DECISIVE)
    partial = {"values": {"algorithm": {**DECISIVE["values"]["algorithm"], "_partial_": True}}, "seed": 0}
    assert record.fingerprint(partial) == record.fingerprint(DECISIVE)


def test_the_fingerprint_does_not_know_the_order_of_keys() -> None:
    algorithm = dict(reversed(DECISIVE["values"]["algorithm"].items()))
    assert record.fingerprint({"seed": 0, "values": {"algorithm": algorithm}}) == record.fingerprint(DECISIVE)


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"values": {"algorithm": {"batch_size": 101, "steps": [1, {"c": 2}]}}},
        {"values": {"algorithm": {"batch_size": 100, "steps": [1, {"c": 3}]}}},
        {"values": {"algorithm": {"batch_size": 100, "steps": [{"c": 2}, 1]}}},
        {"values": {"algorithm": {"steps": [1, {"c": 2}]}}},
    ],
    ids=["seed", "value", "deep value", "order of a list", "missing key"],
)
def test_the_fingerprint_knows_every_value(changed: dict[str, Any]) -> None:
    assert record.fingerprint({**DECISIVE, **changed}) != record.fingerprint(DECISIVE)


def test_an_option_that_came_later_and_is_not_used_leaves_a_run_known() -> None:
    config: dict[str, Any] = {group: {"option": 1} for group in GROUPS} | {"seed": 0, "precision": "auto"}
    later = config | {"algorithm": {"option": 1, "jitter": None}}
    used = config | {"algorithm": {"option": 1, "jitter": 2}}
    assert record.identity(later, {}, "a") == record.identity(config, {}, "a")
    assert record.identity(used, {}, "a") != record.identity(config, {}, "a")


@pytest.mark.parametrize(("epochs", "known"), [(60, True), (100, True), (500, False)])
def test_a_bound_on_the_epochs_counts_where_it_is_reached(epochs: int, known: bool) -> None:
    config: dict[str, Any] = {group: {"option": 1} for group in GROUPS} | {"seed": 0, "precision": "auto"}
    config |= {"schedule": {"epochs": epochs}, "budget": {"epoch_fraction": 0.1}}
    bounded = config | {"budget": {"epoch_fraction": 0.1, "most_epochs": 10}}
    assert (record.identity(bounded, {}, "a") == record.identity(config, {}, "a")) == known


@pytest.mark.parametrize("changed", [{"seed": 1}, {"precision": "bf16"}, {"budget": {"option": 2}}])
def test_a_run_is_known_by_its_config_choices_and_data(changed: dict[str, Any]) -> None:
    config: dict[str, Any] = {group: {"option": 1} for group in GROUPS}
    config |= {"seed": 0, "precision": "auto", "device": "a"}
    known = record.identity(config, {"dataset": "mnist"}, "a")
    assert record.identity(config | {"device": "b"}, {"dataset": "mnist"}, "a") == known
    assert record.identity(config | changed, {"dataset": "mnist"}, "a") != known
    assert record.identity(config, {"dataset": "digits"}, "a") != known
    assert record.identity(config, {"dataset": "mnist"}, "b") != known


def test_the_fingerprint_is_what_it_was() -> None:
    # A change of the hash would make every record so far unknown.
    assert record.fingerprint({"a": [1, 2.5, None, "ß"], "_target_": "x"}) == GOLDEN


GOLDEN = "7cd7255e6254e64f6f9fd3668872adae21b266769f10c67ad6b54293862aeaf9"


def test_the_environment_says_what_ran() -> None:
    environment = record.environment(torch.device("cpu"), "bf16")
    assert environment["torch"] == torch.__version__
    assert environment["threads"] == torch.get_num_threads()
    assert environment["precision"] == "bf16"
    assert environment["cuda"] is None
    assert environment["device"]
    json.dumps(environment)


def test_the_peak_memory_is_plausible() -> None:
    # PyTorch alone takes more than 50 MB; kilobytes taken for bytes would say 0.3 MB.
    assert 50e6 < record.peak_memory_bytes(torch.device("cpu")) < 1e12


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="Linux alone can forget it")
def test_the_peak_memory_of_what_was_before_is_forgotten() -> None:
    cpu = torch.device("cpu")
    large = torch.ones(100_000_000)
    assert large.sum() > 0
    del large
    before = record.peak_memory_bytes(cpu)
    record.forget_peak_memory(cpu)
    assert record.peak_memory_bytes(cpu) < before - 300e6  # of the 400 MB


def test_runs_with_another_class_are_not_alike() -> None:
    def config(goodness: str, optimizer: str = "torch.optim.SGD", **more: Any) -> dict[str, Any]:
        return {
            "seed": 0,
            "goodness": {"_target_": goodness},
            "algorithm": {"_target_": "x.Backprop", "optimizer": {"_target_": optimizer, "lr": 0.1}, **more},
        }

    usual = record.comparable(config("ffrepro.forward_forward.goodness.SumOfSquares"))
    assert usual == record.comparable(config("elsewhere.SumOfSquares") | {"seed": 1})
    assert usual == record.comparable(config("ffrepro.forward_forward.goodness.SumOfSquares", jitter=None))
    assert usual != record.comparable(config("ffrepro.forward_forward.goodness.MeanOfSquares"))
    assert usual != record.comparable(config("ffrepro.forward_forward.goodness.SumOfSquares", "torch.optim.Adam"))
    assert usual != record.comparable(config("ffrepro.forward_forward.goodness.SumOfSquares", jitter=2))


def test_outside_a_checkout_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "IN_CHECKOUT", False)
    record.git_state.cache_clear()
    assert record.git_state() == {"commit": None, "dirty": None}


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
    monkeypatch.setattr(record, "IN_CHECKOUT", True)
    monkeypatch.setattr(record, "ROOT", tmp_path)
    commit = git("rev-parse", "HEAD").strip()
    record.git_state.cache_clear()
    assert record.git_state() == {"commit": commit, "dirty": False}
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "record.json").write_text("{}")
    record.git_state.cache_clear()
    assert record.git_state() == {"commit": commit, "dirty": False}
    (tmp_path / "ffrepro" / "file").write_text("2")
    assert record.git_state() == {"commit": commit, "dirty": False}  # this process has the code of before
    record.git_state.cache_clear()
    assert record.git_state() == {"commit": commit, "dirty": True}


def test_pictures_are_read_back(tmp_path: Path) -> None:
    arrays: dict[str, np.ndarray] = {
        "fields": np.arange(6, dtype=np.uint8).reshape(1, 2, 3),
        "histogram": np.ones((2, 4), np.int32),
    }
    record.write_pictures(tmp_path / "pictures.npz", arrays)
    with np.load(tmp_path / "pictures.npz") as kept:
        assert set(kept) == set(arrays)
        for name, values in arrays.items():
            np.testing.assert_array_equal(kept[name], values)
            assert kept[name].dtype == values.dtype

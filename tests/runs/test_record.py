"""Records: written whole, read back, and known by what decides a result."""

import copy
import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ffrepro.errors import UserError
from ffrepro.runs import record
from ffrepro.runs.record import Record


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
        with pytest.raises(UserError, match=r"schema|does not know"):
            record.load(path)


def test_a_missing_record_is_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        record.load(tmp_path / "none.json")


CONFIG: dict[str, Any] = {
    "seed": 0,
    "precision": "auto",
    "device": "cpu",
    "goodness": {"_target_": "ffrepro.forward_forward.goodness.SumOfSquares"},
    "dataset": {"_target_": "ffrepro.dataset.mnist.Mnist", "path": "/a/b", "validation": 0},
    "architecture": {"_target_": "ffrepro.architecture.mlp.Mlp", "widths": [10, 20]},
    "algorithm": {
        "_target_": "ffrepro.algorithm.ff_supervised.FFSupervised",
        "goodness": {"_target_": "ffrepro.forward_forward.goodness.SumOfSquares"},
        "jitter": 0,
        "optimizer": {"_target_": "torch.optim.SGD", "lr": 0.1, "_partial_": True},
    },
    "schedule": {"_target_": "ffrepro.schedule.HoldThenLinear", "epochs": 60},
    "budget": {"name": "paper", "epoch_fraction": 1.0, "most_epochs": None},
}


def changed(key: str, value: Any) -> dict[str, Any]:
    """`CONFIG` with another value at a dotted key."""
    config = copy.deepcopy(CONFIG)
    *folders, last = key.split(".")
    place = config
    for folder in folders:
        place = place[folder]
    place[last] = value
    return config


def test_a_runs_identity_is_what_it_was() -> None:
    # Another hash would make every record so far unknown.
    assert record.identity(CONFIG, "a") == GOLDEN
    in_another_order = {
        key: dict(reversed(value.items())) if isinstance(value, dict) else value for key, value in CONFIG.items()
    }
    assert record.identity(in_another_order, "a") == GOLDEN


GOLDEN = "f9de7343146457958721fad58037f6fb4612604a7b89e8e66b0fbe92cdcbf88c"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("device", "cuda"),
        ("dataset.path", "/elsewhere"),
        ("algorithm._target_", "ffrepro.elsewhere.ff_supervised.FFSupervised"),  # a file may move
        ("algorithm.optimizer._partial_", False),
        ("goodness._target_", "ffrepro.forward_forward.goodness.MeanOfSquares"),  # the algorithm's own counts
    ],
)
def test_what_decides_no_result_is_no_part_of_the_identity(key: str, value: Any) -> None:
    assert record.identity(changed(key, value), "a") == record.identity(CONFIG, "a")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 1),
        ("precision", "bf16"),
        ("algorithm.jitter", 2),
        ("algorithm.goodness._target_", "ffrepro.forward_forward.goodness.MeanOfSquares"),
        ("algorithm._target_", "ffrepro.algorithm.noisy.FFSupervised"),  # another file's class of the same name
        ("algorithm.optimizer._target_", "elsewhere.SGD"),  # not ours: another module is another class
        ("architecture.widths", [20, 10]),
        ("schedule.epochs", 61),
        ("budget.train_examples", 100),
    ],
)
def test_what_decides_a_result_is_part_of_the_identity(key: str, value: Any) -> None:
    assert record.identity(changed(key, value), "a") != record.identity(CONFIG, "a")
    assert record.identity(CONFIG, "b") != record.identity(CONFIG, "a")


@pytest.mark.parametrize(("epochs", "known"), [(60, True), (100, True), (500, False)])
def test_a_bound_on_the_epochs_counts_where_it_is_reached(epochs: int, known: bool) -> None:
    config = changed("schedule.epochs", epochs) | {"budget": {"epoch_fraction": 0.1, "most_epochs": None}}
    bounded = config | {"budget": {"epoch_fraction": 0.1, "most_epochs": 10}}
    assert (record.identity(bounded, "a") == record.identity(config, "a")) == known


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

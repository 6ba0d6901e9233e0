import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ffrepro.report.load import load_runs
from tests.report.made import made_record, write


def test_records_are_sorted_and_files_being_written_are_not_looked_at(results: Path) -> None:
    runs, unreadable = load_runs(results)

    names = [run.name for run in runs]
    swept = "sweeps-same-algorithm.threshold=2-ab12cd34-quick"
    ordered = [f"{swept}-seed0", f"{swept}-seed1", "table8-alike-paper-seed0", "table9-broken-paper-seed0"]
    assert [name for name in names if name in ordered] == ordered
    assert len(unreadable) == 1
    assert "runs/table9/same/paper-seed7.json" in unreadable[0]
    assert str(results) not in unreadable[0]


def _without(*names: str) -> Callable[[dict[str, Any]], None]:
    def spoil(content: dict[str, Any]) -> None:
        inner = content
        for name in names[:-1]:
            inner = inner[name]
        del inner[names[-1]]

    return spoil


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_without("wall_s"), "is not of schema 1"),
        (lambda content: content.update(schema=99), "is not of schema 1"),
        (_without("git", "commit"), "lacks git.commit"),
        (_without("data", "stand_in"), "lacks data.stand_in"),
        (_without("data", "sha256"), "lacks data.sha256"),
        (_without("config", "precision"), "lacks config.precision"),
        (lambda content: content["data"].update(sha256=None), "does not say which data it used"),
        (lambda content: content["config"].update(algorithm="ff"), "an unusable config"),
        (lambda content: content["config"].update(schedule=7), "an unusable config"),
        (lambda content: content["config"].update(budget={"most_epochs": 3}), "an unusable config"),
        (lambda content: content.update(seed="0"), "no usable seed"),
        (lambda content: content.update(status="fine"), "unknown status 'fine'"),
        (lambda content: content["metrics"].update(test_error="low"), "metrics that are not numbers"),
        (lambda content: content.update(history=[1, 2]), "metrics that are not numbers"),
        (lambda content: content.update(row="other"), "its own place is runs/table9/other/paper-seed0.json"),
    ],
)
def test_a_spoilt_record_is_named_and_left_out(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], None], reason: str
) -> None:
    write(tmp_path, made_record("good"))
    path = write(tmp_path, made_record("same"))
    content = json.loads(path.read_text())
    spoil(content)
    path.write_text(json.dumps(content))

    runs, unreadable = load_runs(tmp_path)

    assert [run.record.row for run in runs] == ["good"]
    assert len(unreadable) == 1
    assert "runs/table9/same/paper-seed0.json" in unreadable[0]
    assert reason in unreadable[0]


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut off"])
def test_missing_or_damaged_pictures_are_no_pictures(tmp_path: Path, content: bytes | None) -> None:
    path = write(tmp_path, made_record("same"))
    if content is not None:
        path.with_suffix(".npz").write_bytes(content)

    assert load_runs(tmp_path)[0][0].pictures == {}

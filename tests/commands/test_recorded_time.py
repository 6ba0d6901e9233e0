"""The training time that records predict."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
import pytest

from ffrepro.commands.reproduce import training_seconds
from ffrepro.paths import CONF
from tests.report.made import made_record


def record(path: Path, epochs: int, train_s: float, *, reduced_to: int | None = None, **changed: Any) -> None:
    """A record of 1,000 training examples, or of fewer."""
    made = made_record("ff_supervised", **changed)
    replace(
        made,
        config={**made.config, "budget": {"train_examples": reduced_to}},
        data={**made.data, "sizes": {"train": reduced_to or 1000, "validation": 0, "test": 10}},
        history=[{"loss": 1.0}] * epochs,
        train_s=train_s,
    ).write(path)


def seconds(folders: list[Path], *overrides: str) -> float | None:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return training_seconds(hydra.compose("config", ["schedule.epochs=50", *overrides]), folders)


def test_it_is_the_median_epoch_times_the_epochs_of_the_budget(tmp_path: Path) -> None:
    for number, (epochs, train_s) in enumerate([(10, 20.0), (4, 40.0), (2, 10.0)]):  # 2, 10 and 5 seconds an epoch
        record(tmp_path / str(number % 2) / f"{number}.json", epochs, train_s)
    folders = [tmp_path / "0", tmp_path / "1", tmp_path / "missing"]
    assert seconds(folders) == 50 * 5
    assert seconds(folders, "budget=quick") == 5 * 5
    assert seconds(folders[:1]) == 50 * 3.5


def test_fewer_examples_take_their_share_of_the_time(tmp_path: Path) -> None:
    record(tmp_path / "a.json", 10, 20.0)
    assert seconds([tmp_path], "budget.train_examples=250") == pytest.approx(50 * 2 / 4)
    assert seconds([tmp_path], "budget.train_examples=5000") == 50 * 2


def test_without_a_whole_and_readable_record_there_is_none(tmp_path: Path) -> None:
    assert seconds([tmp_path]) is None
    record(tmp_path / "reduced.json", 1, 1.0, reduced_to=100)
    record(tmp_path / "stand_in.json", 1, 1.0, stand_in=True)
    record(tmp_path / "failed.json", 0, 0.0, status="failed")
    (tmp_path / "damaged.json").write_text("{}")
    assert seconds([tmp_path]) is None

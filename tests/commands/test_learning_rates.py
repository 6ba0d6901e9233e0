"""The choice of learning rates, with made-up runs."""

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import hydra
import pytest

from ffrepro import table
from ffrepro.commands import learning_rates, processes
from ffrepro.commands.rate_search import GRID
from ffrepro.config import plain
from ffrepro.paths import CONF
from ffrepro.runs import record
from tests.report.made import made_record

ROWS = ("sgd_relu_26", "sgd_trelu_26")
TRIAL = ["experiment=table4/sgd_trelu_26", *table.load("table4").trial]


class Runs:
    """Writes records of runs whose metric is a function of the learning rate, and keeps the commands."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.commands: list[list[str]] = []
        self.metric = "validation_error"
        self.value: Callable[[float], float] = lambda rate: 100.0
        self.code = 0
        self.lock = threading.Lock()  # Hydra has global state

    def __call__(self, command: list[str], running: object, stopped: object, *, together: bool) -> int:
        overrides = command[3:]
        with self.lock:
            self.commands.append(overrides)
            if not self.code:
                self.write(overrides)
        return self.code

    def write(self, overrides: list[str]) -> None:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            config = plain(hydra.compose("config", overrides))
        value = self.value(config["algorithm"]["optimizer"]["lr"])
        made = replace(
            made_record("sgd_trelu_26"),
            config=config,
            overrides=overrides,
            status="ok" if math.isfinite(value) else "diverged",
            metrics={self.metric: value} if math.isfinite(value) else {},
        )
        made.write(self.results / "runs" / "sweeps" / record.hashed(overrides) / "paper-seed0.json")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runs:
    made = Runs(tmp_path)
    monkeypatch.setattr(processes, "run_process", made)
    return made


def choose(runs: Runs, *arguments: str) -> int:
    return learning_rates.main(["table4", "--results", str(runs.results), *arguments])


def rates(runs: Runs) -> list[float]:
    prefix = "algorithm.optimizer.lr="
    return [float(text.removeprefix(prefix)) for run in runs.commands for text in run if text.startswith(prefix)]


def test_a_row_that_never_learns_is_named(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    runs.value = lambda rate: 90.0 if rate < 0.1 else math.inf
    assert choose(runs, "--rows", "sgd_trelu_26") == 0
    printed = capsys.readouterr().out
    assert "3: diverged | none |" in printed
    assert "sgd_trelu_26 learns with no rate of the grid." in printed
    assert "is chosen" not in printed


def test_a_best_rate_at_the_end_of_the_grid_is_named(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    runs.value = lambda rate: 50 - rate
    assert choose(runs, "--rows", "sgd_trelu_26") == 0
    assert "sgd_trelu_26: 3 is where the grid ends." in capsys.readouterr().out
    runs.value = lambda rate: 50 + abs(math.log(rate / 1.0))
    assert choose(runs, "--rows", "sgd_relu_26") == 0
    assert "where the grid ends" not in capsys.readouterr().out


def test_neighbors_are_tried_until_both_are_worse(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    runs.value = lambda rate: 50 + 10 * abs(math.log10(rate / 0.01)) if rate < 0.02 else math.inf
    assert choose(runs, "--rows", "sgd_trelu_26", "tracking=none") == 0
    assert all(run[: len(TRIAL)] == TRIAL and run[-1] == "tracking=none" for run in runs.commands)
    assert set(rates(runs)) >= {0.003, 0.01, 0.03}
    printed = capsys.readouterr().out
    assert "0.003: 55.23, 0.01: 50.00, 0.03: diverged | 0.01 |" in printed


def test_a_preset_with_another_rate_is_named(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    runs.value = lambda rate: abs(math.log(rate / 1e-5))
    assert choose(runs, "--rows", "sgd_trelu_26") == 0
    assert ": 1e-05 is chosen" in capsys.readouterr().out


def test_recorded_trials_are_not_run_again(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    assert choose(runs, "--rows", "sgd_trelu_26") == 0
    first = capsys.readouterr().out.splitlines()
    n_runs = len(runs.commands)
    assert choose(runs, "--rows", "sgd_trelu_26") == 0
    assert len(runs.commands) == n_runs
    second = capsys.readouterr().out.splitlines()
    assert [line for line in second if "|" in line] == [line for line in first if "|" in line]


@pytest.mark.parametrize(
    "other",
    [
        "schedule.epochs=5",
        "schedule.warm_up=0.5",
        "dataset.validation=0",
        "architecture.width=8",
        "precision=bf16",
    ],
)
def test_runs_of_another_protocol_do_not_count(runs: Runs, other: str) -> None:
    for rate in GRID:
        runs.write([*TRIAL, other, f"algorithm.optimizer.lr={rate:g}"])
    assert choose(runs, "--rows", "sgd_trelu_26") == 0
    assert len(runs.commands) >= 3


def test_two_copies_of_the_data_are_not_mixed(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    assert choose(runs, "--rows", "sgd_trelu_26") == 0
    (path, *_) = sorted(runs.results.rglob("*.json"))
    trial = record.load(path)
    replace(trial, data={**trial.data, "sha256": "another"}).write(path)
    assert choose(runs, "--rows", "sgd_trelu_26") == 2
    assert "two copies of the data" in capsys.readouterr().err


def test_a_record_without_a_config_does_not_count(runs: Runs) -> None:
    assert choose(runs, "--rows", "sgd_trelu_26") == 0
    n_runs = len(runs.commands)
    (path, *_) = sorted(runs.results.rglob("*.json"))
    replace(record.load(path), config={}).write(path)
    assert choose(runs, "--rows", "sgd_trelu_26") == 0
    assert len(runs.commands) == n_runs + 1


def test_trials_without_the_metric_end_it_at_once(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    runs.metric = "validation_loss"
    assert choose(runs, "--rows", "sgd_trelu_26") == 2
    assert "have no validation_error: hold out validation data." in capsys.readouterr().err
    assert len(runs.commands) == 1


def test_a_table_chooses_by_its_own_metric(
    runs: Runs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_loss = replace(table.load("table4"), metric="test_loss")
    monkeypatch.setattr(table, "load", lambda name: by_loss)
    runs.metric = "validation_loss"
    runs.value = lambda rate: 200 + abs(math.log10(rate / 0.01))
    assert choose(runs, "--rows", "sgd_trelu_26") == 0
    printed = capsys.readouterr().out
    assert "| `sgd_trelu_26` | Validation loss |" in printed
    assert "0.003: 200.5, 0.01: 200.0, 0.03: 200.5 | 0.01 |" in printed


def test_rows_are_tried_side_by_side(runs: Runs) -> None:
    runs.value = lambda rate: 50 + abs(math.log(rate / 0.003))
    assert choose(runs, "--rows", "sgd_trelu_26,sgd_relu_26", "--jobs", "2", "threads=1") == 0
    tried = {name: [run for run in runs.commands if run[0] == f"experiment=table4/{name}"] for name in ROWS}
    assert all(len(own) >= 3 for own in tried.values())
    assert sum(map(len, tried.values())) == len(runs.commands)


def test_a_run_without_a_record_ends_it(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    runs.code = 2
    assert choose(runs, "--rows", "sgd_trelu_26") == 2
    assert ": no record, see above. The same command goes on" in capsys.readouterr().err
    assert len(runs.commands) == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["table1"], "table1 does not choose learning rates"),
        (["table4", "--rows", "sgd_trelu_27"], "Did you mean sgd_trelu_2"),
        (["table4", "--jobs", "0"], "JOBS is '0'"),
        (["table4", "seed=1"], "seed=1: a trial has its own seed."),
        (["table4", "+seed=1"], "a trial has its own seed."),
        (["table4", "budget=quick"], "a trial has its own budget."),
        (["table4", "budget.most_epochs=3"], "a trial has its own budget."),
        (["table4", "results_dir=elsewhere"], "a trial has its own results_dir."),
        (["table4", "algorithm.optimizer.lr=0.02"], "a trial has its own algorithm.optimizer.lr."),
        (["table4", "--rows", "sgd_relu_26", "algorithm.optimizer=null"], "sgd_relu_26 has no algorithm.optimizer.lr"),
        (["table4", "--rows", "sgd_relu_26", "trackin=none"], "trackin"),
    ],
)
def test_a_mistake_is_reported_in_one_line(
    arguments: list[str], complaint: str, runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    assert learning_rates.main(arguments) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert not runs.commands

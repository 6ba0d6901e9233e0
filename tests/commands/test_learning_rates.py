"""The choice of learning rates, with runs that are made up."""

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import hydra
import pytest

from ffrepro import table
from ffrepro.commands import learning_rates, processes
from ffrepro.commands.learning_rates import GRID, LEARNED, best, next_rate
from ffrepro.config import plain
from ffrepro.paths import CONF
from ffrepro.runs import record
from tests.report.made import made_record

ROWS = ("sgd_relu_26", "sgd_trelu_26")
TRIAL = ["experiment=table4/sgd_trelu_26", *table.load("table4").trial]


class Runs:
    """Writes records of runs whose error is a function of the learning rate, and notes the commands."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.seen: list[list[str]] = []
        self.error: Callable[[float], float] = lambda rate: 100.0
        self.code = 0
        self.one_at_a_time = threading.Lock()

    def __call__(self, command: list[str], running: object, stopped: object, *, together: bool) -> int:
        overrides = command[3:]
        with self.one_at_a_time:  # Hydra has global state
            self.seen.append(overrides)
            if not self.code:
                self.write(overrides)
        return self.code

    def write(self, overrides: list[str]) -> None:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            config = plain(hydra.compose("config", overrides))
        error = self.error(config["algorithm"]["optimizer"]["lr"])
        made = replace(
            made_record("sgd_trelu_26"),
            config=config,
            overrides=overrides,
            status="ok" if math.isfinite(error) else "diverged",
            metrics={"validation_error": error if math.isfinite(error) else None},
        )
        made.write(self.results / "runs" / "sweeps" / record.hashed(overrides) / "paper-seed0.json")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runs:
    made = Runs(tmp_path)
    monkeypatch.setattr(processes, "_run", made)
    return made


def choose(runs: Runs, *arguments: str) -> int:
    return learning_rates.main(["table4", "--results", str(runs.results), *arguments])


def rates(runs: Runs) -> list[float]:
    return [float(one.split("=")[1]) for run in runs.seen for one in run if one.startswith("algorithm.optimizer.lr=")]


@pytest.mark.parametrize("optimum", [1e-6, 2e-5, 0.0011, 0.03, 1.0, 3.0])
@pytest.mark.parametrize("start", [1e-5, 0.002, 3.0])
def test_it_is_found_from_anywhere(optimum: float, start: float) -> None:
    errors: dict[float, float] = {}
    while (rate := next_rate(errors, start)) is not None:
        assert rate in GRID
        assert rate not in errors
        errors[rate] = abs(math.log(rate / optimum))
    chosen = best(errors)
    assert chosen is not None
    assert chosen == min(GRID, key=lambda rate: abs(math.log(rate / optimum)))
    place = GRID.index(chosen)
    assert set(GRID[max(place - 1, 0) : place + 2]) <= set(errors)


@pytest.mark.parametrize("guess", [89.9, math.inf])
@pytest.mark.parametrize("start", [1e-6, 1e-5, 0.002, 0.1, 1.0])
def test_it_is_found_beyond_rates_that_do_not_learn(guess: float, start: float) -> None:
    errors: dict[float, float] = {}
    while (rate := next_rate(errors, start)) is not None:
        errors[rate] = {0.0003: 60.0, 0.001: 55.0}.get(rate, guess)
    assert best(errors) == 0.001


def test_where_nothing_learns_the_whole_grid_is_tried_from_the_start_outwards() -> None:
    errors: dict[float, float] = {}
    tried = []
    while (rate := next_rate(errors, 0.01)) is not None:
        tried.append(rate)
        errors[rate] = LEARNED
    assert sorted(tried) == GRID
    assert tried[0] == 0.01
    assert set(tried[:3]) == {0.003, 0.01, 0.03}
    assert best(errors) is None


def test_it_is_said_where_nothing_learns(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    runs.error = lambda rate: 90.0 if rate < 0.1 else math.inf
    assert choose(runs, "--rows", "sgd_trelu_26") == 0
    said = capsys.readouterr().out
    assert "3: diverged | none |" in said
    assert "sgd_trelu_26 learns with no rate of the grid." in said
    assert "is chosen" not in said


def test_it_is_said_where_the_grid_ends(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    runs.error = lambda rate: 50 - rate
    assert choose(runs, "--rows", "sgd_trelu_26") == 0
    assert "sgd_trelu_26: 3 is where the grid ends." in capsys.readouterr().out
    runs.error = lambda rate: 50 + abs(math.log(rate / 1.0))
    assert choose(runs, "--rows", "sgd_relu_26") == 0
    assert "where the grid ends" not in capsys.readouterr().out


def test_neighbours_are_tried_until_both_are_worse(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    runs.error = lambda rate: 50 + 10 * abs(math.log10(rate / 0.01)) if rate < 0.02 else math.inf
    assert choose(runs, "--rows", "sgd_trelu_26", "tracking=none") == 0
    assert all(run[: len(TRIAL)] == TRIAL and run[-1] == "tracking=none" for run in runs.seen)
    assert set(rates(runs)) >= {0.003, 0.01, 0.03}
    said = capsys.readouterr().out
    assert "0.003: 55.2, 0.01: 50.0, 0.03: diverged | 0.01 |" in said


def test_a_preset_with_another_rate_is_named(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    runs.error = lambda rate: abs(math.log(rate / 1e-5))
    assert choose(runs, "--rows", "sgd_trelu_26") == 0
    assert ": 1e-05 is chosen" in capsys.readouterr().out


def test_what_is_recorded_is_not_run_again(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    assert choose(runs, "--rows", "sgd_trelu_26") == 0
    printed = capsys.readouterr().out.splitlines()[-5:]
    seen = len(runs.seen)
    assert choose(runs, "--rows", "sgd_trelu_26") == 0
    assert len(runs.seen) == seen
    assert [line for line in printed if "|" in line] == [
        line for line in capsys.readouterr().out.splitlines() if "|" in line
    ]


@pytest.mark.parametrize(
    "other",
    [
        "schedule.epochs=5",
        "schedule.warm_up=0.5",
        "dataset.validation=0",
        "architecture.width=8",
        "precision=bf16",
        "goodness=mean_of_squares",
    ],
)
def test_runs_of_another_protocol_do_not_count(runs: Runs, other: str) -> None:
    for rate in GRID:
        runs.write([*TRIAL, other, f"algorithm.optimizer.lr={rate:g}"])
    assert choose(runs, "--rows", "sgd_trelu_26") == 0
    assert len(runs.seen) >= 3


def test_two_copies_of_the_data_are_not_mixed(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    assert choose(runs, "--rows", "sgd_trelu_26") == 0
    (path, *_) = sorted(runs.results.rglob("*.json"))
    one = record.load(path)
    replace(one, data={**one.data, "sha256": "another"}).write(path)
    assert choose(runs, "--rows", "sgd_trelu_26") == 2
    assert "two copies of the data" in capsys.readouterr().err


def test_a_record_without_a_config_is_none_of_these(runs: Runs) -> None:
    assert choose(runs, "--rows", "sgd_trelu_26") == 0
    seen = len(runs.seen)
    (path, *_) = sorted(runs.results.rglob("*.json"))
    replace(record.load(path), config=None).write(path)  # type: ignore[arg-type]
    assert choose(runs, "--rows", "sgd_trelu_26") == 0
    assert len(runs.seen) == seen + 1


def test_rows_are_tried_side_by_side(runs: Runs) -> None:
    runs.error = lambda rate: 50 + abs(math.log(rate / 0.003))
    assert choose(runs, "--rows", "sgd_trelu_26,sgd_relu_26", "--jobs", "2", "threads=1") == 0
    tried = {name: [run for run in runs.seen if run[0] == f"experiment=table4/{name}"] for name in ROWS}
    assert all(len(own) >= 3 for own in tried.values())
    assert sum(map(len, tried.values())) == len(runs.seen)


def test_a_run_without_a_record_ends_it(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    runs.code = 2
    assert choose(runs, "--rows", "sgd_trelu_26") == 2
    assert ": no record, see above. The same command goes on" in capsys.readouterr().err
    assert len(runs.seen) == 1


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
def test_a_mistake_is_told_in_one_line(
    arguments: list[str], complaint: str, runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    assert learning_rates.main(arguments) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1
    assert not runs.seen

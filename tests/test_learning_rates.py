"""The choice of learning rates, with runs that are made up."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import hydra
import pytest

from ffrepro import learning_rates, processes, table
from ffrepro.config import plain
from ffrepro.learning_rates import GRID, next_rate
from ffrepro.paths import CONF
from tests.report.made import made_record

TRIAL = ["experiment=table4/sgd_trelu_26", *table.load("table4").trial]


class Runs:
    """Writes records of runs whose error is a function of the learning rate, and notes the commands."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.seen: list[list[str]] = []
        self.error: Callable[[float], float] = lambda rate: 100.0
        self.code = 0

    def __call__(self, command: list[str], *, together: bool) -> int:
        overrides = command[3:]
        self.seen.append(overrides)
        if self.code:
            return self.code
        self.write(overrides)
        return 0

    def write(self, overrides: list[str]) -> None:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            config = plain(hydra.compose("config", overrides))
        error = self.error(config["algorithm"]["optimizer"]["lr"])
        record = replace(
            made_record("sgd_trelu_26"),
            config=config,
            overrides=overrides,
            status="ok" if math.isfinite(error) else "diverged",
            metrics={"validation_error": error if math.isfinite(error) else None},
        )
        record.write(
            self.results / "runs" / "sweeps" / f"run{len(list(self.results.rglob('*.json')))}" / "paper-seed0.json"
        )


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
    chosen = learning_rates.best(errors)
    assert chosen == min(GRID, key=lambda rate: abs(math.log(rate / optimum)))
    place = GRID.index(chosen)
    assert set(GRID[max(place - 1, 0) : place + 2]) <= set(errors)


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
    "other", ["schedule.epochs=5", "schedule.warm_up=0.5", "dataset.validation=0", "architecture.width=8"]
)
def test_runs_of_another_protocol_do_not_count(runs: Runs, other: str) -> None:
    for rate in GRID:
        runs.write([*TRIAL, other, f"algorithm.optimizer.lr={rate:g}"])
    assert choose(runs, "--rows", "sgd_trelu_26") == 0
    assert len(runs.seen) >= 3


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
        (["table4", "--jobs", "0"], "JOBS is 0"),
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

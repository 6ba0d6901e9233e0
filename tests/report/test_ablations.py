"""Ablations: which runs they are made of."""

from pathlib import Path

from ffrepro.report.ablations import grid, tried
from ffrepro.report.grids import Grid
from ffrepro.report.load import Run
from tests.report.made import made_record, made_table


def run(value: str, *more: str, seed: int = 0, experiment: str = "ablation/blurs") -> Run:
    overrides = [f"algorithm.blurs={value}", *more, f"seed={seed}", f"experiment={experiment}", "tracking=none"]
    record = made_record("blurs", seed, 2.0 + seed, table="sweeps", overrides=overrides)
    record.metrics["validation_error"] = 3.0 + seed
    return Run(record, "runs/x.json", Path())


def grids(*runs: Run) -> list[Grid]:
    table = made_table()
    return [grid(table, ablation, groups) for ablation, groups in tried(table, list(runs))]


def test_values_are_in_order_with_means_over_their_seeds() -> None:
    (one,) = grids(run("12"), run("3"), run("3", seed=1))
    assert [(line.label, line.cells) for line in one.lines] == [
        ("3", ("2", "3.50 ± 0.71", "2.50 ± 0.71")),
        ("12", ("1", "3.00", "2.00")),
    ]
    assert (one.caption, one.first) == ("How often a mask is blurred", "algorithm.blurs")


def test_runs_that_differ_in_anything_else_are_not_taken() -> None:
    others = [run("3", "schedule.epochs=2"), run("3", experiment="table9/same"), run("3", experiment="ablation/other")]
    assert grids(*others) == []
    (one,) = grids(*others, run("6"))
    assert [line.label for line in one.lines] == ["6"]

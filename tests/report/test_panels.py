"""Errors by epoch of several rows: which runs they are made of, and what is said of them."""

from dataclasses import replace
from pathlib import Path

import pytest

from ffrepro.report.compare import TableResult, compare
from ffrepro.report.load import Run
from ffrepro.report.panels import panels
from ffrepro.table import Panel
from tests.report.made import made_record, made_table

HELD_OUT = "dataset.validation=5000"


def run(row: str, *changed: str, seed: int = 0, metric: str = "validation_error", budget: str = "paper") -> Run:
    history = [{"loss": 1.0, "running_error": 50.0 - 10 * e + seed, metric: 60.0 - 5 * e + seed} for e in range(3)]
    record = made_record(
        f"{row}-x", seed, table="sweeps", history=history, budget=budget,
        overrides=[*changed, f"seed={seed}", f"experiment=table9/{row}", "tracking=none"],
    )  # fmt: skip
    return Run(record, "runs/x.json", Path())


@pytest.fixture
def table() -> TableResult:
    panel = Panel("Two of them", ["same", "lower"], HELD_OUT)
    return compare(replace(made_table(), panels=[panel]), [])


def test_a_panel_is_of_the_runs_that_held_out_what_it_says_and_changed_nothing_else(table: TableResult) -> None:
    others = [run("same"), run("same", HELD_OUT, "schedule.epochs=2"), run("same", "dataset.validation=10000")]
    assert panels(table, [*others, run("higher", HELD_OUT)]) == []
    (picture,) = panels(
        table, [*others, run("lower", HELD_OUT, metric="validation_error_softmax"), run("same", HELD_OUT)]
    )
    assert picture.title == "Two of them"
    assert picture.caption == f"Mean of 1 seed, trained with {HELD_OUT}."
    same, lower = picture.alt.split("; ")
    assert "As in the paper, 4 × 20 ReLU: 30.00 % on training batches and 50.00 % on held-out images" in same
    assert lower.endswith("30.00 % on training batches and 50.00 % on held-out images after epoch 3.")
    assert set(picture.files) == {"table9-epochs-1.svg", "table9-epochs-1-dark.svg"}


def test_a_panel_is_of_the_mean_over_seeds_and_says_what_is_reduced(table: TableResult) -> None:
    (picture,) = panels(table, [run("same", HELD_OUT, seed=seed, budget="quick") for seed in (0, 1)])
    assert "30.50 % on training batches and 50.50 % on held-out images" in picture.alt
    assert "Mean of 2 seeds" in picture.caption
    assert "reduced: quick budget" in picture.caption

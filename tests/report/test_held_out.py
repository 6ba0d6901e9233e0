"""Several rows by epoch, with data held out: their runs and their words."""

from dataclasses import replace
from typing import Any

from ffrepro.report.blocks import Picture
from ffrepro.report.compare import compare
from ffrepro.report.load import Run
from ffrepro.report.sections import held_out
from ffrepro.table import Panel
from tests.report import made
from tests.report.made import made_record, made_table, pictures

HELD_OUT = "dataset.validation=5000"


def run(
    row: str,
    *changed: str,
    seed: int = 0,
    metric: str = "validation_error",
    budget: str = "paper",
    validation: int = 5000,
    **config: Any,
) -> Run:
    history = [{"loss": 1.0, "running_error": 50.0 - 10 * e + seed, metric: 60.0 - 5 * e + seed} for e in range(3)]
    record = made_record(
        f"{row}-{len(config)}", seed, table="sweeps", history=history, budget=budget,
        overrides=[*changed, f"seed={seed}", f"experiment=table9/{row}", "tracking=none"],
    )  # fmt: skip
    record.config["dataset"] = {"name": "made", "validation": validation}
    record.config["algorithm"].update(config)
    record.metrics["validation_error"] = 50.0
    return made.run(record)


def shown(row: str, budget: str = "paper") -> Run:
    record = made_record(row, budget=budget)
    record.config["dataset"] = {"name": "made", "validation": 0}
    return made.run(record)


ROWS = [shown("same"), shown("lower"), shown("higher")]


def panels(*trained: Run, rows: list[Run] = ROWS) -> list[Picture]:
    panel = Panel("Two of them", ["same", "lower"], HELD_OUT)
    return pictures(held_out.section(compare(replace(made_table(), panels=[panel]), [*rows, *trained])))


def test_a_panel_is_of_the_runs_that_held_out_what_it_says_and_changed_nothing_else() -> None:
    others = [
        run("same", validation=0),
        run("same", HELD_OUT, "algorithm.learning_rate=0.5", learning_rate=0.5),
        run("same", "dataset.validation=10000", validation=10000),
    ]
    assert panels(*others, run("higher", HELD_OUT)) == []
    (picture,) = panels(*others, run("lower", HELD_OUT, metric="validation_error_softmax"), run("same", HELD_OUT))
    assert picture.title == "Two of them"
    assert picture.caption == f"Mean of 1 seed, trained with {HELD_OUT}."
    lower_label = next(row.label for row in made_table().rows if row.name == "lower")
    (alone,) = panels(*others, run("same", HELD_OUT))
    assert alone.caption == f"Mean of 1 seed, trained with {HELD_OUT}. No such run of: {lower_label}."
    same, lower = picture.alt.split("; ")
    assert "As in the paper, 4 × 20 ReLU: 30.00 % on training batches and 50.00 % on held-out data" in same
    assert lower.endswith("30.00 % on training batches and 50.00 % on held-out data after epoch 3.")
    assert set(picture.files) == {"table9-epochs-1.svg", "table9-epochs-1-dark.svg"}


def test_a_run_of_a_preset_as_it_is_by_now_counts_whatever_options_it_took_then() -> None:
    now = shown("same")
    now.record.config["algorithm"]["learning_rate"] = 0.5
    then = run("same", HELD_OUT, "algorithm.learning_rate=0.5", learning_rate=0.5)
    (picture,) = panels(then, rows=[now])
    assert "30.00 % on training batches and 50.00 % on held-out data" in picture.alt
    then.record.config["algorithm"]["_target_"] = "ffrepro.algorithm.another.Algorithm"  # with the same options
    assert panels(then, rows=[now]) == []


def test_a_panel_is_of_the_mean_over_seeds_and_says_what_is_reduced() -> None:
    of_two = [run("same", HELD_OUT, seed=seed, budget="quick") for seed in (0, 1)]
    assert panels(*of_two) == []
    (picture,) = panels(*of_two, rows=[shown("same", budget="quick")])
    assert "30.50 % on training batches and 50.50 % on held-out data" in picture.alt
    assert "Mean of 2 seeds" in picture.caption
    assert "As in the paper, 4 × 20 ReLU, reduced: quick budget: 30.50" in picture.alt


def test_runs_of_a_preset_as_it_was_before_are_not_taken_for_the_rows() -> None:
    before = run("same", HELD_OUT, learning_rate=0.5)
    assert panels(before) == []
    (picture,) = panels(before, run("same", HELD_OUT, seed=1))
    assert "31.00 % on training batches and 51.00 % on held-out data" in picture.alt
    assert panels(run("same", HELD_OUT), rows=[shown("lower")]) == []  # a row that shows nothing


def test_runs_of_a_panel_may_lie_in_several_folders() -> None:
    preset, trial = run("same", HELD_OUT, seed=1), run("same", HELD_OUT, "algorithm.batch_size=100")
    for one, row in ((preset, "b"), (trial, "a")):
        object.__setattr__(one.record, "row", row)
    (picture,) = panels(preset, trial)
    assert "30.50 % on training batches and 50.50 % on held-out data" in picture.alt
    assert picture.caption.startswith(f"Mean of 2 seeds, trained with {HELD_OUT}. No such run of: Lower")
    object.__setattr__(trial.record, "status", "diverged")
    (picture,) = panels(preset, trial)
    assert "31.00 % on training batches and 51.00 % on held-out data" in picture.alt


def test_a_panel_says_where_the_machine_chose_another_precision_and_is_of_none_that_was_asked_for() -> None:
    chosen, asked = run("same", HELD_OUT), run("same", HELD_OUT, "precision=bf16")
    chosen.record.environment["precision"] = asked.record.environment["precision"] = "bf16"
    (picture,) = panels(chosen)
    assert "4 × 20 ReLU, bf16: 30.00" in picture.alt
    asked.record.config["precision"] = "bf16"
    assert panels(asked) == []


def test_runs_on_other_data_are_no_part_of_a_panel() -> None:
    other = run("same", HELD_OUT)
    other.record.data["sha256"] = "0" * 64
    assert panels(other) == []


def test_what_did_not_end_is_no_part_of_a_panel() -> None:
    diverged = run("lower", HELD_OUT)
    diverged.record.history.clear()
    object.__setattr__(diverged.record, "status", "diverged")
    (picture,) = panels(diverged, run("same", HELD_OUT))
    assert picture.caption.startswith(f"Mean of 1 seed, trained with {HELD_OUT}. No such run of: Lower")
    assert "Lower" not in picture.alt

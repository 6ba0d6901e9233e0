"""Differences of runs that are no row, from the row's current records and not from the preset of their day."""

from dataclasses import replace
from typing import Any

from ffrepro.report.compare import TableResult, compare
from ffrepro.report.groups import group
from ffrepro.report.variants import Variant, variant
from ffrepro.runs.record import Record
from tests.report.made import made_record, made_table, run, runs


def sweep(**options: Any) -> Record:
    """A variant of the row `same`, with further `options` of its algorithm."""
    found = made_record("same-something-ab12cd34", table="sweeps")
    found.config.update(table="table9", row="same")
    found.config["algorithm"].update(options)
    return found


def found_in(record: Record, *tables: TableResult) -> Variant:
    ((own,),) = group([run(record)]).values()
    return variant(own, list(tables))


RECORDED = compare(made_table(), runs(1.35, 1.36))


def test_only_what_differs_from_the_recorded_row_is_named() -> None:
    changed = sweep(learning_rate=0.02, layer={"width": 7, "depth": None})
    changed.config["schedule"]["epochs"] = 24

    found = found_in(changed, RECORDED)

    assert found.preset == "table9/same"
    assert found.differences == ("algorithm.layer.width=7", "algorithm.learning_rate=0.02", "schedule.epochs=24")


def test_what_the_row_has_come_to_be_differs_in_nothing() -> None:
    assert found_in(sweep(), RECORDED).differences == ()


def test_an_option_that_only_the_row_uses_is_null() -> None:
    now = runs(1.35)
    now[0].record.config["algorithm"]["jitter"] = 2

    assert found_in(sweep(), compare(made_table(), now)).differences == ("algorithm.jitter=null",)


def test_another_class_is_named_without_its_module() -> None:
    changed = sweep()
    changed.config["algorithm"]["_target_"] = "ffrepro.elsewhere.Backprop"
    assert found_in(changed, RECORDED).differences == ("algorithm=Backprop",)

    changed.config["algorithm"]["_target_"] = "ffrepro.elsewhere.FFSupervised"
    assert found_in(changed, RECORDED).differences == ()


def test_precision_and_data_are_those_that_the_runs_had() -> None:
    changed = sweep()
    changed.environment["precision"] = "bf16"
    changed.data["sha256"] = "0123456789abcdef"
    now = runs(1.35)
    now[0].record.environment["precision"] = "fp32"

    found = found_in(changed, compare(made_table(), now))

    assert found.differences == (f"data={changed.data['name']}, SHA-256 01234567", "precision=bf16")


def test_what_a_named_budget_decides_is_said_by_its_name_alone() -> None:
    now = runs(1.35)
    now[0].record.config["budget"] = {"name": "paper", "epoch_fraction": 1.0, "may_stand_in": False}
    changed = sweep()
    changed.config["budget"] = {"name": "quick", "epoch_fraction": 0.1, "may_stand_in": True}

    assert found_in(replace(changed, budget="quick"), compare(made_table(), now)).differences == ()
    own = replace(changed, budget="custom")
    assert found_in(own, compare(made_table(), now)).differences == ("budget.epoch_fraction=0.1",)


def test_a_command_line_is_told_without_paths() -> None:
    changed = sweep()
    changed.overrides[:] = ["dataset.path=/home/me/mine.txt", "experiment=table9/same"]

    (told,) = found_in(changed).differences
    assert told.startswith("dataset.path=")
    assert "/home" not in told


def test_where_there_is_no_recorded_row_the_command_line_says_what_was_changed() -> None:
    changed = sweep(threshold=2)
    changed.overrides[:] = ["algorithm.threshold=2", "seed=3", "experiment=table9/same", "threads=1"]

    assert found_in(changed, compare(made_table(), [])).differences == ("algorithm.threshold=2",)
    assert found_in(changed).differences == ("algorithm.threshold=2",)


def test_a_run_without_a_preset_has_none() -> None:
    own = sweep()
    own.config.update(table=None, row=None)
    own.overrides[:] = ["algorithm=bp", "seed=1"]

    found = found_in(own, RECORDED)

    assert (found.preset, found.differences) == ("none", ("algorithm=bp",))

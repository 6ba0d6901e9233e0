import math
from dataclasses import replace
from typing import Any

import pytest

from ffrepro.metric import named
from ffrepro.report import text
from ffrepro.report.compare import RowResult, compare, judged
from ffrepro.report.groups import by_epoch, group, summarize
from ffrepro.report.load import Run
from ffrepro.report.sections import comparison
from ffrepro.table import Row
from tests.report.made import cells, made_record, made_table, run, runs


def row_of(found: list[Run], name: str = "same") -> RowResult:
    return next(row for row in compare(made_table(), found).rows if row.spec.name == name)


def test_mean_and_sample_standard_deviation_by_hand() -> None:
    # Mean 4/3; squared distances 1/9, 1/9, 4/9 over n - 1 = 2: variance 1/3.
    found = summarize([{"test_error": 1.0}, {"test_error": 1.0}, {"test_error": 2.0}])["test_error"]

    assert found.n == 3
    assert found.mean == pytest.approx(4 / 3)
    assert found.std == pytest.approx(math.sqrt(1 / 3))


def test_one_seed_has_no_standard_deviation() -> None:
    found = summarize([{"test_error": 1.5}])["test_error"]

    assert (found.n, found.mean, found.std) == (1, 1.5, None)
    assert text.summary(found, named("test_error")) == "1.50"


def test_a_metric_is_averaged_over_the_runs_that_have_it() -> None:
    found = summarize([{"a": 1.0, "b": None}, {"a": 3.0, "b": 5.0}, {"a": float("nan")}])

    assert (found["a"].n, found["a"].mean) == (2, 2.0)
    assert (found["b"].n, found["b"].mean, found["b"].std) == (1, 5.0, None)


def test_history_by_epoch() -> None:
    found = by_epoch([[{"loss": 1.0}, {"loss": 3.0}], [{"loss": 2.0}, {"loss": 5.0}, {"loss": 7.0}]])["loss"]

    assert list(found.index) == [1, 2, 3]
    assert list(found["mean"]) == [1.5, 4.0, 7.0]
    assert list(found["min"]) == [1.0, 3.0, 7.0]
    assert list(found["max"]) == [2.0, 5.0, 7.0]


@pytest.mark.parametrize(
    ("mean", "verdict"),
    [
        (1.319, "better"),
        (1.32, "reproduced"),
        (1.36, "reproduced"),
        ((1.39 + 1.40 + 1.41) / 3, "reproduced"),  # 1.4000000000000001 in binary
        (1.4034, "worse"),
    ],
)
def test_a_full_result_is_judged_by_the_interval_ends_included(mean: float, verdict: str) -> None:
    assert judged(mean, (1.32, 1.40), named("test_error")) == verdict


@pytest.mark.parametrize(("mean", "verdict"), [(90.0, "worse"), (91.5, "reproduced"), (93.0, "better")])
def test_a_higher_accuracy_is_better(mean: float, verdict: str) -> None:
    assert judged(mean, (91.0, 92.0), named("test_accuracy")) == verdict


def test_no_record_is_not_run() -> None:
    row = row_of([])

    assert (row.verdict, row.difference, row.missing_seeds) == ("not run", None, (0, 1, 2))


@pytest.mark.parametrize(
    "less", [{"budget": "quick"}, {"budget": "smoke"}, {"stand_in": True}, {"budget": "quick", "stand_in": True}]
)
def test_less_than_the_papers_run_is_only_a_preview(less: dict[str, Any]) -> None:
    row = row_of(runs(1.36, 1.36, 1.36, **less))

    assert row.verdict == "only a preview"
    assert row.difference is None


def test_budgets_are_never_averaged_and_the_papers_comes_first() -> None:
    row = row_of([*runs(30.0, budget="smoke"), *runs(1.36), *runs(9.0, 11.0, budget="quick")])

    assert row.shown is not None
    assert (row.shown.budget, row.shown.summaries["test_error"].mean) == ("paper", 1.36)
    assert [(own.budget, own.summaries["test_error"].mean) for own in row.groups[1:]] == [
        ("quick", 10.0),
        ("smoke", 30.0),
    ]


def test_stand_in_data_are_never_averaged_with_the_data() -> None:
    real, stand_in = runs(5.0, budget="smoke"), runs(1.0, budget="quick", stand_in=True)
    same_budget = [run(made_record("same", 1, 7.0, budget="smoke", stand_in=True))]

    row = row_of([*stand_in, *real, *same_budget])

    assert row.shown is not None
    assert not row.shown.stand_in
    assert [(own.budget, own.stand_in, len(own.runs)) for own in row.groups[1:]] == [
        ("quick", True, 1),
        ("smoke", True, 1),
    ]


def test_a_diverged_run_is_not_averaged_but_told() -> None:
    row = row_of([*runs(1.35, 1.37), run(made_record("same", 2, status="diverged", error="not finite"))])

    assert row.shown is not None
    assert row.shown.headline is not None
    assert row.shown.headline.n == 2
    assert row.verdict == "incomplete"
    assert text.seeds(row) == "2 of 3 seeds"
    assert text.notes(row) == ["Seed 2 is not in the mean: diverged: not finite."]


def test_only_diverged_runs_give_no_result_rather_than_a_lesser_budgets() -> None:
    diverged = [run(made_record("same", 0, status="diverged", error="not finite"))]

    row = row_of([*diverged, *runs(9.0, budget="quick")])

    assert row.verdict == "no result"
    assert text.ours(row) == text.NONE


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_metric_that_is_no_number_is_left_out(value: float | None) -> None:
    row = row_of([*runs(1.36), run(made_record("same", 1, metrics={"test_error": value}))])

    assert row.shown is not None
    assert row.shown.seeds == (0,)
    assert text.notes(row) == ["Seed 1 is not in the mean: its test_error is not a number."]


def test_seeds_not_asked_for_are_named() -> None:
    row = row_of([run(made_record("same", seed, 1.36)) for seed in (0, 7)])

    assert text.seeds(row) == "1 of 3 seeds and 1 not asked for"


def test_different_precisions_and_configurations_are_told() -> None:
    goodness = {"_target_": "ffrepro.forward_forward.goodness.MeanOfSquares"}
    config = made_record("same").config
    with_goodness = config | {"algorithm": config["algorithm"] | {"goodness": goodness}}
    other = row_of([*runs(1.36), run(made_record("same", 1, 1.36, config=with_goodness))])
    assert text.notes(other) == ["The runs differ in more than their seed: their configurations are not the same."]
    changed = made_record("same", 1, 1.36, precision="bf16", config={"algorithm": {"learning_rate": 0.02}})

    notes = text.notes(row_of([*runs(1.36), run(changed)]))

    assert notes == [
        "The runs differ in more than their seed: their configurations are not the same.",
        "The runs were made in different precisions: A CPU, 2 cores; 2 threads; 1 × bf16, 1 × fp32.",
    ]


def test_counts_of_verdicts_and_records_of_no_row() -> None:
    result = compare(made_table(), [*runs(1.36), *runs(1.36, row="removed_row")])

    assert result.counts == {"incomplete": 1, "not run": 6}
    assert [one.runs[0].record.row for one in result.strays] == ["removed_row"]


def test_two_tests_of_the_same_nets_are_two_rows_of_one_group_of_runs() -> None:
    first = Row(
        "net", "A net", "table9/net", 1.36, "S", (1.32, 1.40), train=0.9, train_mark="M",
        test="every label", metric="test_error_goodness",
    )  # fmt: skip
    second = replace(first, name="net_softmax", test="softmax", metric="test_error_softmax", record="net")
    recorded = [run(made_record("net", seed, 1.30 + seed / 10)) for seed in range(3)]
    for one in recorded:
        one.record.metrics["train_error_softmax"] = 0.5
    result = compare(replace(made_table(), rows=[first, second]), recorded)
    goodness, _ = result.rows
    assert (first.title, second.title) == ("A net; every label", "A net; softmax")
    assert [row[1:3] for row in cells(comparison.grid(result))] == [
        ["1.36 % S training 0.90 % M", "1.40 ± 0.10 % training 0.90 ± 0.10 %"],
        ["1.36 % S training 0.90 % M", "1.60 ± 0.10 % training 0.50 ± 0.00 %"],
    ]
    assert [row.verdict for row in result.rows] == ["reproduced", "worse"]
    assert result.nets == (goodness,)
    assert len(result.groups) == 1  # each run is listed once
    assert result.strays == ()


def test_runs_of_no_table_are_listed_by_what_was_held_out() -> None:
    def metric(*names: str) -> str:
        return group([run(made_record("a", 0, metrics=dict.fromkeys(names, 1.0)))])["a"][0].metric.name

    assert metric("test_perplexity") == "test_perplexity"
    assert metric("test_loss", "validation_loss") == "validation_loss"
    assert metric("test_error", "validation_loss_layer_1", "validation_loss") == "validation_loss"
    assert metric() == "validation_error"
    assert group([]) == {}


def test_a_papers_number_of_other_data_is_shown_and_not_judged() -> None:
    table = replace(made_table(), rows=[Row("deep", "Deep", "table9/deep", 30.0, "M", seeds=[0])])
    result = compare(table, runs(32.5, row="deep"))
    (row,) = result.rows
    assert (row.verdict, row.difference) == ("measured", None)
    assert cells(comparison.grid(result, brief=True)) == [
        ["Deep deep", "30.00 % M recalled, other data", "32.50 %", "1 seed", "measured"]
    ]

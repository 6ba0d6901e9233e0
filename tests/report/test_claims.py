"""Claims without numbers: what the intervals of two rows say of them."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from scipy.stats import ttest_ind

from ffrepro.report import text
from ffrepro.report.claims import Finding, Measured, claims, found, found_in_points, margin_of_difference, settled
from ffrepro.report.compare import compare
from ffrepro.report.grids import Grid
from ffrepro.report.groups import Summary
from ffrepro.report.load import Run
from ffrepro.runs.record import Record
from ffrepro.table import Claim, Row
from tests.report.made import made_record, made_table
from tests.report.made_text import made_text_record, made_text_table

LOWER = Claim("", ("a", "b"), "lower", "S")
ALIKE = Claim("", ("a", "b"), "alike", "S")
LOW, MIDDLE, HIGH = Measured(7, 6.5, 7.5), Measured(8, 7.4, 8.6), Measured(9, 8.5, 9.5)


@pytest.mark.parametrize(
    ("claim", "first", "second", "finding"),
    [
        (LOWER, LOW, HIGH, "holds"),
        (LOWER, HIGH, LOW, "does not hold"),
        (LOWER, LOW, MIDDLE, "undecided"),
        (LOWER, MIDDLE, LOW, "undecided"),
        (ALIKE, LOW, MIDDLE, "holds"),
        (ALIKE, LOW, HIGH, "does not hold"),
        (ALIKE, HIGH, LOW, "does not hold"),
        (Claim("", ("a", "b"), "nothing"), LOW, HIGH, "no claim"),
    ],
)
def test_intervals_decide(claim: Claim, first: Measured, second: Measured, finding: Finding) -> None:
    assert found(claim, first, second) == finding


def test_each_claim_is_tested_on_held_out_and_on_training_text() -> None:
    figures = {("fixed", 0): 9.0, ("fixed", 1): 9.2, ("learned", 0): 7.0, ("learned", 1): 7.2, ("counted", 0): 6.0}
    runs = [Run(made_text_record(row, seed, one), "runs/x.json", Path()) for (row, seed), one in figures.items()]
    grid = claims(compare(made_text_table(), runs))

    assert grid is not None
    assert [line.label for line in grid.lines][::2] == [line.label for line in grid.lines][1::2]
    cells = [line.cells for line in grid.lines]
    assert cells[0] == ("held-out text", "holds", "7.10 (6.74 to 7.46)", "9.10 (8.64 to 9.55)", "0.78")
    assert cells[1] == ("training text", "holds", "3.55 (3.37 to 3.73)", "4.55 (4.32 to 4.78)", "0.78")
    assert [one[1] for one in cells[2:]] == ["not measured"] * 2 + ["no claim"] * 2 + ["not measured"] * 2
    assert cells[4][4] == "1.18"


def test_a_claim_waits_for_all_seeds() -> None:
    runs = [
        Run(made_text_record(row, 0, one), "runs/x.json", Path()) for row, one in (("fixed", 9.0), ("learned", 7.0))
    ]
    grid = claims(compare(made_text_table(), runs))

    assert grid is not None
    assert grid.lines[0].cells[1] == "incomplete"


@pytest.mark.parametrize(
    ("says", "points", "first", "second", "finding"),
    [
        ("within", 3.0, 28.0, 25.0, "holds"),
        ("within", 3.0, 28.1, 25.0, "does not hold"),
        ("within", 3.0, 20.0, 25.0, "holds"),  # better
        ("worse", 10.0, 45.0, 35.0, "holds"),
        ("worse", 10.0, 44.9, 35.0, "does not hold"),
    ],
)
def test_points_decide_of_errors(
    says: Literal["within", "worse"], points: float, first: float, second: float, finding: Finding
) -> None:
    claim = Claim("", ("a", "b"), says, "S", points)
    assert found_in_points(claim, first, second) == finding


def summary(*errors: float) -> Summary:
    mean = sum(errors) / len(errors)
    squares = sum((error - mean) ** 2 for error in errors)
    return Summary(len(errors), mean, (squares / (len(errors) - 1)) ** 0.5 if len(errors) > 1 else None)


@pytest.mark.parametrize("errors", [((25.1, 24.6, 25.4), (24.4, 23.5)), ((1.0, 1.1), (2.0, 2.5, 2.2, 2.9))])
def test_the_interval_of_a_difference_is_welchs(errors: tuple[tuple[float, ...], tuple[float, ...]]) -> None:
    low, high = ttest_ind(*errors, equal_var=False).confidence_interval(0.95)
    assert margin_of_difference(*(summary(*one) for one in errors)) == pytest.approx((high - low) / 2, rel=1e-12)


def test_a_difference_without_spread_has_no_interval() -> None:
    assert margin_of_difference(summary(25.0), summary(24.0, 24.5)) is None
    assert margin_of_difference(summary(25.0, 25.0), summary(24.0, 24.0)) is None
    assert margin_of_difference(Summary(3, 31.1, 4e-15), Summary(3, 30.2, 0.0)) is None  # as rounding leaves them


def test_a_claim_is_settled_where_the_interval_lies_on_one_side() -> None:
    claim = Claim("", ("a", "b"), "within", "S", 3.0)
    assert settled(claim, 2.0, 0.9)
    assert settled(claim, 4.0, 0.9)
    assert not settled(claim, 2.0, 1.1)
    assert not settled(claim, 4.0, 1.0)


def test_a_claim_in_points_is_tested_on_test_errors_of_full_rows() -> None:
    def row(name: str) -> Row:
        return Row(name, name, f"table9/{name}", 30.0, "M", seeds=[0])

    table = replace(
        made_table(),
        rows=[row("deep"), row("shallow"), row("never")],
        claims=[
            Claim("Deep is within 3 points of shallow", ("deep", "shallow"), "within", "S", 3.0),
            Claim("Never run", ("never", "deep"), "worse", None, 10.0),
        ],
    )

    def grid(budget: str) -> Grid:
        recorded = [made_record("deep", 0, 32.5, budget=budget), made_record("shallow", 0, 30.0)]
        made = claims(compare(table, [Run(one, "runs/x.json", Path()) for one in recorded]))
        assert made is not None
        return made

    first, second = grid("paper").lines
    assert (first.label, first.cells) == (
        "Deep is within 3 points of shallow (S)",
        ("holds, not settled", "32.50", "30.00", "+2.50"),
    )
    assert (second.label, second.cells) == ("Never run", ("not measured", "–", "32.50", "–"))
    assert grid("quick").lines[0].cells[0] == "incomplete"
    assert grid("quick").lines[0].kinds == ["reduced: quick budget"]


@pytest.mark.parametrize(
    ("deep", "cells"),
    [
        ((31.9, 32.1), ("holds", "32.00 ± 0.14", "30.00 ± 0.14", "+2.00 (+1.39 to +2.61)")),
        ((32.4, 32.6), ("holds, not settled", "32.50 ± 0.14", "30.00 ± 0.14", "+2.50 (+1.89 to +3.11)")),
        ((33.4, 33.6), ("does not hold, not settled", "33.50 ± 0.14", "30.00 ± 0.14", "+3.50 (+2.89 to +4.11)")),
        ((25.9, 26.1), ("holds", "26.00 ± 0.14", "30.00 ± 0.14", "−4.00 (−4.61 to −3.39)")),
    ],
)
def test_a_claim_in_points_says_whether_seeds_settle_it(deep: tuple[float, float], cells: tuple[str, ...]) -> None:
    rows = [Row(name, name, f"table9/{name}", 30.0, "M", seeds=[0, 1]) for name in ("deep", "shallow")]
    claim = Claim("Deep is within 3 points of shallow", ("deep", "shallow"), "within", "S", 3.0)
    recorded = [made_record("shallow", 0, 29.9), made_record("shallow", 1, 30.1)]
    recorded += [made_record("deep", seed, error) for seed, error in enumerate(deep)]
    grid = claims(
        compare(replace(made_table(), rows=rows, claims=[claim]), [Run(one, "runs/x.json", Path()) for one in recorded])
    )
    assert grid is not None
    assert grid.lines[0].cells == cells


def test_a_row_that_diverged_with_all_seeds_is_worse_by_any_number_of_points() -> None:
    rows = [Row(name, name, f"table9/{name}", 30.0, "M", seeds=[0, 1]) for name in ("deep", "shallow")]
    claim = Claim("Deep is 10 points worse", ("deep", "shallow"), "worse", "S", 10.0)

    def finding(claim: Claim, *records: Record) -> str:
        found = [Run(one, "runs/x.json", Path()) for one in records]
        grid = claims(compare(replace(made_table(), rows=rows, claims=[claim]), found))
        assert grid is not None
        return grid.lines[0].cells[0]

    shallow = [made_record("shallow", seed, 30.0) for seed in (0, 1)]
    deep = [made_record("deep", seed, status="diverged", error="in epoch 1") for seed in (0, 1)]
    assert finding(claim, *deep, *shallow) == "holds: it diverged"
    assert finding(claim, deep[0], *shallow) == "incomplete"
    assert finding(claim, *deep, shallow[0]) == "incomplete"
    # A single seed that diverged is not within any number of points.
    assert finding(replace(claim, says="within", points=3.0), *deep, *shallow) == "does not hold: it diverged"
    half = [deep[0], made_record("deep", 1, 31.0)]
    assert finding(replace(claim, says="within", points=3.0), *half, *shallow) == "does not hold: it diverged"
    assert finding(claim, *half, *shallow) == "does not hold, not settled"
    assert finding(claim, deep[0], made_record("deep", 1, 90.0), *shallow) == "holds, not settled"
    assert finding(claim, made_record("deep", 1, 90.0), *shallow) == "incomplete"
    assert finding(claim, *half, deep[0]) == "not measured"
    # What is left of the seeds settles nothing.
    wanted = [Row(name, name, f"table9/{name}", 30.0, "M", seeds=[0, 1, 2]) for name in ("deep", "shallow")]
    rows[:] = wanted
    shallow = [made_record("shallow", seed, error) for seed, error in enumerate((29.9, 30.0, 30.1))]
    left = [deep[0], made_record("deep", 1, 31.0), made_record("deep", 2, 31.1)]
    assert finding(claim, *left, *shallow) == "does not hold, not settled"


def test_a_papers_number_of_other_data_is_shown_and_not_judged() -> None:
    table = replace(made_table(), rows=[Row("deep", "deep", "table9/deep", 30.0, "M", seeds=[0])])
    (row,) = compare(table, [Run(made_record("deep", 0, 32.5), "runs/x.json", Path())]).rows
    assert (row.verdict, row.difference) == ("measured", None)
    assert text.mark(row) == "M, recalled, other data"
    assert text.mark(replace(row, spec=replace(row.spec, reproduced=(29.0, 31.0)))) == "M, recalled"
    assert text.mark(replace(row, spec=replace(row.spec, mark=None))) == ""

"""Claims without numbers: the finding of each test, and the rows that count."""

from dataclasses import replace

import pytest
from scipy.stats import t as student_t

from ffrepro.metric import named
from ffrepro.report.compare import compare
from ffrepro.report.findings import Measured, finding, welch
from ffrepro.report.sections import claims
from ffrepro.runs.record import Record
from ffrepro.table import Claim, Row, Says, Test
from tests.report.made import cells, grids, made_record, made_table, run
from tests.report.made_text import made_text_record, made_text_table

ERROR, ACCURACY = named("test_error"), named("test_accuracy")
LOW, MIDDLE, HIGH = (Measured((mean,), (mean - 0.5, mean + 0.5)) for mean in (7.0, 7.8, 9.0))


def claim(says: Says, test: Test, **limit: float) -> Claim:
    return Claim("", ("a", "b"), says, test, "S", **limit)


@pytest.mark.parametrize(
    ("says", "first", "second", "found"),
    [
        ("lower", LOW, HIGH, "holds"),
        ("lower", HIGH, LOW, "does not hold"),
        ("lower", LOW, MIDDLE, "undecided"),
        ("alike", LOW, MIDDLE, "holds"),
        ("alike", HIGH, LOW, "does not hold"),
        ("nothing", LOW, HIGH, "no claim"),
        ("lower", LOW, Measured((9.0,)), "not measured"),
    ],
)
def test_intervals_decide(says: Says, first: Measured, second: Measured, found: str) -> None:
    assert finding(claim(says, "interval"), ERROR, first, second) == found


@pytest.mark.parametrize(
    ("says", "first", "second", "found"),
    [
        ("lower", (1.0, 1.1, 1.2), (2.0, 2.1), "holds"),
        ("lower", (2.0, 2.1), (1.0, 1.1, 1.2), "does not hold"),
        ("lower", (1.0, 1.5), (1.1, 1.6), "undecided"),
        ("alike", (1.0, 1.5), (1.1, 1.6), "holds"),
        ("alike", (1.0, 1.1, 1.2), (2.0, 2.1), "does not hold"),
        ("alike", (1.0,), (2.0, 2.1), "undecided"),
    ],
)
def test_welchs_interval_decides(says: Says, first: tuple[float, ...], second: tuple[float, ...], found: str) -> None:
    assert finding(claim(says, "welch"), ERROR, Measured(first), Measured(second)) == found


@pytest.mark.parametrize(("first", "found"), [(4.9, "holds"), (5.0, "holds"), (5.1, "does not hold")])
def test_a_ratio_decides(first: float, found: str) -> None:
    assert finding(claim("lower", "ratio", ratio=0.5), ERROR, Measured((first,)), Measured((10.0,))) == found


@pytest.mark.parametrize(
    ("says", "points", "first", "second", "found"),
    [
        ("within", 3.0, (28.0,), (25.0,), "holds, not settled"),
        ("within", 3.0, (28.1,), (25.0,), "does not hold, not settled"),
        ("worse", 10.0, (45.0,), (35.0,), "holds, not settled"),
        ("worse", 10.0, (44.9,), (35.0,), "does not hold, not settled"),
        ("within", 3.0, (31.9, 32.1), (29.9, 30.1), "holds"),  # 2 points worse, 1.39 to 2.61
        ("within", 3.0, (32.4, 32.6), (29.9, 30.1), "holds, not settled"),  # 1.89 to 3.11
        ("within", 3.0, (25.9, 26.1), (29.9, 30.1), "holds"),  # better
        ("worse", 3.0, (39.9, 40.1), (29.9, 30.1), "holds"),
    ],
)
def test_points_decide(
    says: Says, points: float, first: tuple[float, ...], second: tuple[float, ...], found: str
) -> None:
    assert finding(claim(says, "points", points=points), ERROR, Measured(first), Measured(second)) == found
    accuracies = (Measured(tuple(100 - error for error in errors)) for errors in (first, second))
    assert finding(claim(says, "points", points=points), ACCURACY, *accuracies) == found


def test_the_interval_of_a_difference_is_welchs() -> None:
    # By hand, from B. L. Welch, The generalization of "Student's" problem, Biometrika 34, 1947.
    first, second = (1.0, 2.0, 3.0), (4.0, 8.0)
    of_means = 1 / 3, 8 / 2  # the variances 1 and 8 over the numbers of values
    freedom = sum(of_means) ** 2 / (of_means[0] ** 2 / 2 + of_means[1] ** 2 / 1)
    margin = student_t.ppf(0.975, freedom) * sum(of_means) ** 0.5
    assert welch(first, second) == pytest.approx((-4 - margin, -4 + margin))


def test_a_difference_without_spread_has_no_interval() -> None:
    assert welch((25.0,), (24.0, 24.5)) is None
    assert welch((25.0, 25.0), (24.0, 24.0)) is None
    assert welch((0.1 + 0.2, 0.3), (0.3, 0.3)) is None  # rounding
    assert welch((25.0, 25.0), (24.0, 24.5)) is not None


def test_each_claim_is_tested_on_its_splits() -> None:
    figures = {("fixed", 0): 9.0, ("fixed", 1): 9.2, ("learned", 0): 7.0, ("learned", 1): 7.2, ("counted", 0): 6.0}
    found = [run(made_text_record(row, seed, perplexity)) for (row, seed), perplexity in figures.items()]
    (grid,) = grids(claims.section(compare(made_text_table(), found)))
    rows = cells(grid)

    lower = "Lower with layers that learn (S)"
    assert rows[0] == [lower, "Test perplexity", "holds", "7.10 (6.74 to 7.46)", "9.10 (8.64 to 9.55)", "0.78"]
    assert rows[1] == [lower, "Training perplexity", "holds", "3.55 (3.37 to 3.73)", "4.55 (4.32 to 4.78)", "0.78"]
    assert [row[2] for row in rows[2:]] == ["not measured"] * 2 + ["no claim"] * 2 + ["not measured"] * 2
    assert rows[4][5] == "1.18"


def finding_of(tested: Claim, *records: Record, seeds: int = 2) -> list[str]:
    """The cells of a claim about the rows `deep` and `shallow`, from the finding on."""
    rows = [Row(name, name, f"table9/{name}", 30.0, "M", seeds=list(range(seeds))) for name in ("deep", "shallow")]
    table = replace(made_table(), rows=rows, claims=[tested])
    (grid,) = grids(claims.section(compare(table, [run(record) for record in records])))
    return cells(grid)[0][2:]


WITHIN = Claim("Within 3 points", ("deep", "shallow"), "within", "points", "S", points=3.0)
WORSE = Claim("10 points worse", ("deep", "shallow"), "worse", "points", "S", points=10.0)
SHALLOW = [made_record("shallow", seed, error) for seed, error in enumerate((29.9, 30.1))]


def test_a_claim_has_the_difference_with_its_interval() -> None:
    deep = [made_record("deep", seed, error) for seed, error in enumerate((31.9, 32.1))]
    found = ["holds", "32.00 ± 0.14", "30.00 ± 0.14", "+2.00 (+1.39 to +2.61)"]
    assert finding_of(WITHIN, *deep, *SHALLOW) == found
    assert finding_of(WITHIN, deep[0], SHALLOW[0], seeds=1) == ["holds, not settled", "31.90", "29.90", "+2.00"]


def test_a_claim_waits_for_full_runs_with_all_seeds() -> None:
    deep = [made_record("deep", seed, 32.0) for seed in (0, 1)]
    assert finding_of(WITHIN, deep[0], *SHALLOW)[0] == "incomplete"
    assert finding_of(WITHIN, *deep, SHALLOW[0])[0] == "incomplete"
    assert finding_of(WITHIN, *deep)[0] == "not measured"
    preview = [replace(record, budget="quick") for record in deep]
    assert finding_of(WITHIN, *preview, *SHALLOW)[0] == "incomplete"


def test_a_claim_about_rows_with_an_interval_of_the_papers_is_tested() -> None:
    records = [made_record("same", seed, error) for seed, error in enumerate((1.36, 1.36, 1.36))]
    records += [made_record("lower", seed, 2.0) for seed in range(3)]
    about = Claim("", ("same", "lower"), "lower", "ratio", ratio=0.7)
    (grid,) = grids(claims.section(compare(replace(made_table(), claims=[about]), list(map(run, records)))))
    assert cells(grid)[0][2:] == ["holds", "1.36 ± 0.00", "2.00 ± 0.00", "0.68"]


def test_a_seed_that_diverged_is_worse_than_any_number() -> None:
    gone = [made_record("deep", seed, status="diverged", error="in epoch 1") for seed in (0, 1)]
    half = [gone[0], made_record("deep", 1, 31.0)]
    assert finding_of(WORSE, *gone, *SHALLOW)[0] == "holds: it diverged"
    assert finding_of(WORSE, gone[0], *SHALLOW)[0] == "incomplete"
    assert finding_of(WORSE, *gone, SHALLOW[0])[0] == "incomplete"
    assert finding_of(WITHIN, *gone, *SHALLOW)[0] == "does not hold: it diverged"
    assert finding_of(WITHIN, *half, *SHALLOW)[0] == "does not hold: it diverged"
    assert finding_of(WORSE, *half, gone[0])[0] == "not measured"
    # The seeds that are left settle nothing.
    assert finding_of(WORSE, *half, *SHALLOW)[0] == "does not hold, not settled"
    left = [*half, made_record("deep", 2, 31.1)]
    assert (
        finding_of(WORSE, *left, *SHALLOW, made_record("shallow", 2, 30.0), seeds=3)[0] == "does not hold, not settled"
    )


def test_two_tests_of_one_net_are_compared_with_each_other() -> None:
    """Each row has its own metric, although both have the same records."""
    rows = [
        Row("same", "The net", "table9/same"),
        Row("soft", "The same", "table9/same", metric="test_error_softmax", record="same"),
    ]
    spec = replace(
        made_table(), rows=rows, claims=[Claim("Lower", ("same", "soft"), "lower", "welch", "S")], seeds=[0, 1]
    )
    records = [made_record("same", seed, error) for seed, error in enumerate((1.0, 1.1))]
    for record, softmax in zip(records, (5.0, 5.2), strict=True):
        record.metrics["test_error_softmax"] = softmax
    section = claims.section(compare(spec, [run(record) for record in records]))
    (row,) = cells(grids(section)[0])
    assert row[1:5] == ["Test error, % / Test error, by softmax, %", "holds", "1.05 ± 0.07", "5.10 ± 0.14"]

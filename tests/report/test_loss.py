"""The whole report of a table of a loss: a metric without a unit or a fixed number of decimals."""

import re
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import pytest
from scipy.stats import ttest_ind

from ffrepro.report import write_report
from ffrepro.report.theme import LIGHT
from ffrepro.runs.record import Record
from ffrepro.table import Claim, Row, Sweep, Table
from tests.report.made import made_record, write

LINES = ("SGD", "Adam", "K-FAC", "Forward")
# By row, over seeds. A line's rows end in its values of the option, 1 and 2.
LOSSES = {
    f"{line}_{width}": tuple(0.9 - 0.1 * width - 0.125 * place + 0.011 * seed * (1 + place) for seed in range(3))
    for place, line in enumerate(LINES)
    for width in (1, 2)
}


def table(**changed: object) -> Table:
    made = Table(
        name="table7",
        title="Table 7: made losses",
        paper="A. Uthor, A Paper on Losses",
        about="Cross-entropy in nats.",
        seeds=[0, 1, 2],
        metric="test_loss",
        rows=[Row(name, name.replace("_", ", width "), f"table7/{name}") for name in LOSSES],
        claims=[
            Claim("K-FAC is lower than SGD", ("K-FAC_1", "SGD_1"), "lower", "welch", "S", splits=["test", "train"]),
            Claim("Adam is at most 0.9 of SGD", ("Adam_2", "SGD_2"), "lower", "ratio", "M", ratio=0.9),
        ],
        sweeps=[Sweep("All optimizers", "width", [1, 2], {line: [f"{line}_1", f"{line}_2"] for line in LINES})],
    )
    return replace(made, **changed)  # type: ignore[arg-type]


def record(row: str, seed: int, loss: float, *, validation: float | None = None, table: str = "table7") -> Record:
    history = [{"loss": loss * (2 + seed) / epoch, "validation_loss": 2 * loss / epoch} for epoch in (1, 2, 3, 4)]
    metrics: dict[str, float | None] = {"test_loss": loss, "train_loss": loss / 2}
    if validation is not None:
        metrics["validation_loss"] = validation
    made = made_record(row, seed, metrics=metrics, history=history, table=table)
    made.config.update(table="table7", row=row.partition("-algorithm")[0])
    return made


def write_losses(results: Path) -> None:
    for row, losses in LOSSES.items():
        for seed, loss in enumerate(losses):
            write(results, record(row, seed, loss))
    for seed, validation in enumerate((0.4321, 0.4421)):
        tried = record("SGD_1-algorithm.threshold=2", seed, 0.3111, validation=validation, table="sweeps")
        tried.config["algorithm"]["threshold"] = 2
        write(results, tried)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("losses")
    write_losses(folder)
    write_report(folder, [table()])
    return folder


def lines_of(results: Path, begin: str) -> list[list[str]]:
    """The cells of the lines of the Markdown page's tables that begin with `begin`."""
    lines = (results / "README.md").read_text().splitlines()
    return [line.strip("| ").split(" | ") for line in lines if line.startswith(f"| {begin}")]


def test_rows_are_measured_with_four_figures(results: Path) -> None:
    (row, *_) = lines_of(results, "SGD, width 1 `SGD_1`")
    losses = LOSSES["SGD_1"]
    assert row[1:4] == [f"**{fmean(losses):.4f} ± {stdev(losses):.4f}**", "3 seeds", "• measured"]


@pytest.mark.parametrize(("line", "share", "label"), [(0, 1.0, "Test loss"), (1, 0.5, "Training loss")])
def test_welchs_claim_is_scipys(results: Path, line: int, share: float, label: str) -> None:
    first, second = ([share * loss for loss in LOSSES[row]] for row in ("K-FAC_1", "SGD_1"))
    interval = ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    numbers = [f"{number:+.4f}" for number in (fmean(first) - fmean(second), *interval)]
    assert interval.high < 0
    assert lines_of(results, "K-FAC is lower than SGD (S)")[line][1:] == [
        label,
        "holds",
        f"{fmean(first):.4f} ± {stdev(first):.4f}",
        f"{fmean(second):.4f} ± {stdev(second):.4f}",
        "{} ({} to {})".format(*numbers).replace("-", "−"),
    ]


def test_the_ratio_is_that_of_the_means(results: Path) -> None:
    # (0.7 − 0.125 + 0.022) / (0.7 + 0.011) = 0.597 / 0.711
    (claim,) = lines_of(results, "Adam is at most 0.9 of SGD (M)")
    assert claim[1:] == ["Test loss", "holds", "0.5970 ± 0.0220", "0.7110 ± 0.0110", "0.84"]


def test_the_sweep_has_four_lines(results: Path) -> None:
    svg = (results / "figures" / "table7-sweep-1.svg").read_text()
    assert {color for color in LIGHT.lines if color in svg} == set(LIGHT.lines[:4])
    page = (results / "README.md").read_text()
    assert (
        "Test loss against width, All optimizers. SGD, ours: 0.8110 at 1, 0.7110 at 2; Adam, ours: 0.6970 at 1" in page
    )


def test_curves_of_all_rows_are_drawn_on_both_splits(results: Path) -> None:
    svg = (results / "figures" / "table7-curves.svg").read_text()
    assert {color for color in LIGHT.lines if color in svg} == set(LIGHT.lines)
    page = (results / "README.md").read_text()
    training, validation = page.split("On training batches: ")[1].split("; On validation data: ")
    # Losses of the last epoch: the mean of loss · (2 + seed) / 4, and of loss / 2.
    losses = LOSSES["SGD_1"]
    assert training.startswith(f"SGD, width 1 {fmean(loss * (2 + seed) / 4 for seed, loss in enumerate(losses)):.4g},")
    assert validation.startswith(f"SGD, width 1 {fmean(losses) / 2:.4g},")


def test_held_out_runs_are_listed_by_their_validation_loss(results: Path) -> None:
    (row,) = lines_of(results, "`table7/SGD_1`")
    assert row[1:6] == ["`algorithm.threshold=2`", "paper", "2", "Validation loss", "0.4371 ± 0.0071"]
    assert "0.3111" not in (results / "README.md").read_text()
    listed = (results / "report" / "sweeps.html").read_text()
    assert "0.3111" not in listed
    assert "0.4321" in listed


def test_no_loss_is_a_share(results: Path) -> None:
    for path in [results / "README.md", *(results / "report").rglob("*.html")]:
        words = re.sub(r"<[^>]*>|\]\([^)]*\)", " ", path.read_text())
        shares = re.findall(r"[\d.]+\s?%", words)
        # The first is about intervals, the second is an example of an uncertain error.
        assert set(shares) <= {"95 %", "1.4 %"}, path


def test_rows_are_compared_with_the_papers_losses(tmp_path: Path) -> None:
    rows = [
        Row("SGD_1", "Better", "table7/SGD_1", 0.9, "S", (0.85, 0.95)),
        Row("SGD_2", "Reproduced", "table7/SGD_2", 0.71, "S", (0.7, 0.72)),
        Row("Adam_1", "Worse", "table7/Adam_1", 0.65, "S", (0.6, 0.69)),
    ]
    write_losses(tmp_path)
    write_report(tmp_path, [table(rows=rows, claims=[], sweeps=[])])
    page = (tmp_path / "report" / "table7.html").read_text()
    for verdict in ("better", "reproduced", "worse"):
        assert page.count(f'<span class="verdict {verdict}">') == 1
    assert lines_of(tmp_path, "Worse `Adam_1`")[0][1:5] == ["0.65 S", "**0.6970 ± 0.0220**", "3 seeds", "+0.0470"]
    first = fmean(loss * (2 + seed) for seed, loss in enumerate(LOSSES["SGD_1"]))
    assert f"Loss: {first:.3f} after epoch 1, {first / 4:.4f} after epoch 4; Validation loss: " in page
    curves = [f"table7-{row.name}-curve.svg" for row in rows]
    assert all((tmp_path / "figures" / name).exists() for name in (*curves, "table7-against-paper.svg"))
    assert "the paper&#39;s test loss, 0.9." in page

"""The page of nets that predict text."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from ffrepro.report import draw_text
from ffrepro.report.ablations import grid, tried
from ffrepro.report.compare import compare
from ffrepro.report.load import Run
from ffrepro.report.sequences import curves, study
from tests.report.made_text import made_text_record, made_text_table


@pytest.fixture(scope="module")
def page(results: Path) -> str:
    return (results / "report" / "table8.html").read_text()


def test_rows_without_a_number_of_the_papers_are_measured(page: str) -> None:
    assert page.count("</span> measured</span>") == 4  # verdicts
    assert "not run" in page
    assert "reproduced:" not in page


def test_a_row_of_its_own_seeds_is_not_incomplete(page: str) -> None:
    assert "1 of 2 seeds" not in page


def test_curves_and_the_study_are_drawn_with_what_they_say_in_words(page: str) -> None:
    assert "Layers that learn: 3.77 and 8.04" in page  # (1 + 1/16) · 7.1 / 2, and (1 + 1/16) · 7.1 + 0.5
    assert "usual rates: 9.00 at 1, 10.00 at 10, 11.00 at 100" in page
    assert "low rates: 9.00 at 1, 9.10 at 10, 9.20 at 100" in page


def test_intervals_stand_beside_perplexities(page: str) -> None:
    assert "<td>9.10 ± 0.14</td><td>8.64 to 9.55</td>" in page


def test_text_that_was_written_is_shown_after_what_it_goes_on_from(page: str) -> None:
    assert "<blockquote><b>the</b> fox &lt;ran&gt;</blockquote>" in page
    assert "bee flew" not in page  # two strings are enough


def test_text_that_was_written_is_no_markup_in_the_twin(results: Path) -> None:
    twin = (results / "README.md").read_text()
    assert "> **the** fox \\<ran>" in twin
    assert "> **the** \\* owl sat\n" in twin


def test_a_curve_of_one_epoch_can_be_seen() -> None:
    one = pd.DataFrame({"mean": [8.0], "min": [7.5], "max": [8.5]}, index=[1])
    drawn = draw_text.perplexities([draw_text.Learning("A row", one, one)], [draw_text.Level("uniform", 30, 30)])
    lone = draw_text.perplexities([draw_text.Learning("A row", one.iloc[:0], one)], [])
    assert drawn["light"].count(b"<use") > lone["light"].count(b"<use")  # the marker


def swept(value: int, perplexity: float, budget: str = "paper", seed: int = 0, status: str = "ok") -> Run:
    option = f"algorithm.phase_length={value}"
    made = made_text_record(f"length-{option}-ab12cd34", seed, perplexity, 6, "sweeps")
    made.overrides[:] = [option, f"seed={seed}", "experiment=ablation/length"]
    metrics = made.metrics if status == "ok" else {}
    return Run(replace(made, budget=budget, status=status, metrics=metrics), "runs/x.json", Path())


def test_a_preview_does_not_replace_a_full_run_in_the_study() -> None:
    table = made_text_table()
    runs = [swept(1, 7.0), swept(1, 25.0, "smoke"), swept(10, 8.0)]
    picture = study(compare(table, []), tried(table, runs))
    assert picture is not None
    assert "usual rates: 7.50 at 1, 8.50 at 10" in picture.alt
    assert "reduced" not in picture.alt


def test_a_preview_in_the_study_is_said_to_be_one() -> None:
    table = made_text_table()
    picture = study(compare(table, []), tried(table, [swept(1, 7.0), swept(10, 8.0, "quick")]))
    assert picture is not None
    assert "reduced: quick budget" in picture.alt
    assert "reduced: quick budget" in picture.caption


def test_a_value_that_diverges_stays_in_the_study() -> None:
    table = made_text_table()
    found = tried(table, [swept(1, 7.0), swept(100, 9.0, status="diverged"), swept(100, 9.0, seed=1)])
    (lines,) = (grid(table, one, groups).lines for one, groups in found)
    assert [(line.label, line.cells[0]) for line in lines] == [("1", "1"), ("100", "1 (1 diverged)")]
    (lines,) = (grid(table, *one).lines for one in tried(table, [swept(100, 9.0, status="diverged")]))
    assert lines[0].cells == ("0 (1 diverged)", "–", "–")


def test_a_level_from_a_preview_is_marked() -> None:
    counted = made_text_record("counted", 0, 6.0, epochs=1)
    runs = [Run(made_text_record("learned", seed, 7.0), "runs/x.json", Path()) for seed in (0, 1)]
    picture = curves(compare(made_text_table(), [*runs, Run(replace(counted, budget="smoke"), "runs/x.json", Path())]))
    assert picture is not None
    assert b"svg" in picture.files["table8-perplexities.svg"]
    assert picture.caption.endswith("reduced: smoke budget.")


@pytest.mark.parametrize("ends", [(7.0, 7.4), (6.0, 9.0), (2.0, 30.0), (500.0, 900.0)])
def test_an_axis_has_ticks_enough(ends: tuple[float, float]) -> None:
    curve = pd.DataFrame({"mean": ends, "min": ends, "max": ends}, index=[1.0, 10.0])
    drawn = draw_text.study([draw_text.Tried("A line", curve)], "phase length")["light"]
    assert drawn.count(b'id="ytick_') >= 3

"""The page of nets that predict text."""

from pathlib import Path

import pandas as pd
import pytest

from ffrepro.report import draw_text


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

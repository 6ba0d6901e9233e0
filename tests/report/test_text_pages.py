"""The page of nets that predict text."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from ffrepro.report.compare import compare
from ffrepro.report.sections import curves
from tests.report.made import pictures, run
from tests.report.made_text import made_text_record, made_text_table


@pytest.fixture(scope="module")
def page(results: Path) -> str:
    return (results / "report" / "table8.html").read_text()


def test_rows_without_a_number_of_the_papers_are_measured(page: str) -> None:
    assert page.count('<span class="verdict measured">') == 4
    assert "not run" in page
    assert "reproduced:" not in page


def test_a_row_of_its_own_seeds_is_not_incomplete(page: str) -> None:
    assert "1 of 2 seeds" not in page


def test_curves_and_the_study_are_drawn_with_what_they_say_in_words(page: str) -> None:
    training, validation = page.split("On training batches: ")[1].split("On validation data: ")
    assert "Layers that learn 3.77" in training  # (1 + 1/16) · 7.1 / 2
    assert "Layers that learn 8.04" in validation  # (1 + 1/16) · 7.1 + 0.5
    assert "usual rates: 9.00 at 1, 10.00 at 10, 11.00 at 100" in page
    assert "low rates: 9.00 at 1, 9.10 at 10, 9.20 at 100" in page


def test_intervals_stand_beside_perplexities(page: str) -> None:
    assert re.search(r">9\.10 ± 0\.14</td><td[^>]*>8\.64 to 9\.55</td>", page)


def test_text_that_was_written_is_shown_after_what_it_goes_on_from(page: str) -> None:
    assert "<blockquote><b>the</b> fox &lt;ran&gt;</blockquote>" in page
    assert "bee flew" not in page  # two strings are enough


def test_text_that_was_written_is_no_markup_in_the_twin(results: Path) -> None:
    twin = (results / "README.md").read_text()
    assert "> **the** fox \\<ran>" in twin
    assert "> **the** \\* owl sat\n" in twin


def test_a_level_from_a_preview_is_marked() -> None:
    counted = replace(made_text_record("counted", 0, 6.0, epochs=1), budget="smoke")
    learned = [run(made_text_record("learned", seed, 7.0)) for seed in (0, 1)]
    (picture,) = pictures(curves.section(compare(made_text_table(), [*learned, run(counted)])))
    assert picture.file == "table8-curves.svg"
    assert picture.caption.endswith("; reduced: smoke budget.")

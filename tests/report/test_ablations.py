"""Ablations: the runs that belong to them, and their figure."""

from dataclasses import replace

from ffrepro.report.blocks import Figures, Grid
from ffrepro.report.compare import compare
from ffrepro.report.load import Run
from ffrepro.report.sections import ablations
from tests.report.made import cells, grids, made_record, made_table, run
from tests.report.made_text import made_text_record, made_text_table


def tried(value: str, *more: str, seed: int = 0, experiment: str = "ablation/blurs") -> Run:
    overrides = [f"algorithm.blurs={value}", *more, f"seed={seed}", f"experiment={experiment}", "tracking=none"]
    record = made_record("blurs", seed, 2.0 + seed, table="sweeps", overrides=overrides)
    record.metrics["validation_error"] = 3.0 + seed
    return run(record)


def made(*found: Run) -> list[Grid]:
    return grids(ablations.section(compare(made_table(), list(found))))


def test_values_are_in_order_with_means_over_their_seeds() -> None:
    (grid,) = made(tried("12"), tried("3"), tried("3", seed=1))
    assert grid.caption == "How often a mask is blurred"
    assert [title for title, _ in grid.columns] == ["algorithm.blurs", "Seeds", "Validation error, %", "Test error, %"]
    assert cells(grid) == [["3", "2", "3.50 ± 0.71", "2.50 ± 0.71"], ["12", "1", "3.00", "2.00"]]


def test_runs_that_differ_in_anything_else_are_not_taken() -> None:
    others = [
        tried("3", "schedule.epochs=2"),
        tried("3", experiment="table9/same"),
        tried("3", experiment="ablation/a"),
    ]
    assert made(*others) == []
    (grid,) = made(*others, tried("6"))
    assert cells(grid)[0][0] == "6"


def length(value: int, perplexity: float, budget: str = "paper", seed: int = 0, status: str = "ok") -> Run:
    option = f"algorithm.phase_length={value}"
    record = made_text_record(f"length-{option}-ab12cd34", seed, perplexity, 6, "sweeps")
    record.overrides[:] = [option, f"seed={seed}", "experiment=ablation/length"]
    return run(replace(record, budget=budget, status=status, metrics=record.metrics if status == "ok" else {}))


def study(*found: Run) -> tuple[str, str]:
    """The caption and the words of the figure."""
    section = ablations.section(compare(made_text_table(), list(found)))
    assert section is not None
    (figures,) = (block for block in section.blocks if isinstance(block, Figures))
    return figures.pictures[0].caption, figures.pictures[0].alt


def test_a_preview_does_not_replace_a_full_run_in_the_figure() -> None:
    caption, alt = study(length(1, 7.0), length(1, 25.0, "smoke"), length(10, 8.0))
    assert "usual rates: 7.50 at 1, 8.50 at 10" in alt
    assert "reduced" not in caption + alt


def test_a_preview_in_the_figure_is_marked() -> None:
    assert all("reduced: quick budget" in said for said in study(length(1, 7.0), length(10, 8.0, "quick")))


def test_a_value_that_diverges_is_listed() -> None:
    found = [length(1, 7.0), length(100, 9.0, status="diverged"), length(100, 9.0, seed=1)]
    (grid,) = grids(ablations.section(compare(made_text_table(), found)))
    assert [row[:2] for row in cells(grid)] == [["1", "1"], ["100", "1 (1 diverged)"]]
    (grid,) = grids(ablations.section(compare(made_text_table(), found[1:2])))
    assert cells(grid) == [["100", "0 (1 diverged)", "–", "–"]]

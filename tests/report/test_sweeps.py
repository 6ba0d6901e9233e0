"""Rows against an option, and the C maps and signals of their nets."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ffrepro.report.blocks import Picture
from ffrepro.report.compare import TableResult, compare
from ffrepro.report.load import Run
from ffrepro.report.sections import sweeps, theory
from ffrepro.table import Sweep
from tests.report import made
from tests.report.made import made_record, made_table, pictures

DEPTHS = Sweep("Without shortcuts", "depth", [10, 20], {"Plain": ["same", "lower"], "Shaped": ["higher", "preview"]})
MAP = np.linspace(0.25, 1, 5)


def run(row: str, test_error: float, *, arrays: dict[str, np.ndarray] | None = None, **changed: Any) -> Run:
    """A run with these pictures."""
    found = made.run(made_record(row, test_error=test_error, **changed))
    vars(found)["pictures"] = arrays or {}  # instead of those on disk
    return found


def errors(table: TableResult) -> list[Picture]:
    return pictures(sweeps.section(table))


def maps(table: TableResult) -> list[Picture]:
    return pictures(theory.section(table))


def result(*runs: Run, **changed: Any) -> TableResult:
    return compare(replace(made_table(), **{"sweeps": [DEPTHS], **changed}), list(runs))


def test_errors_are_means_over_seeds_beside_the_papers() -> None:
    (picture,) = errors(result(run("same", 4.0), run("same", 5.0, seed=1), run("lower", 9.0), run("higher", 3.0)))
    assert picture.title == "Without shortcuts"
    assert picture.alt == (
        "Test error against depth, Without shortcuts. Plain, ours: 4.50 % at 10, 9.00 % at 20; Plain, the paper's: "
        "1.36 % at 10, 2.00 % at 20; Shaped, ours: 3.00 % at 10; Shaped, the paper's: 1.00 % at 10, 1.50 % at 20."
    )
    assert set(picture.files) == {"table9-sweep-1.svg", "table9-sweep-1-dark.svg"}
    assert "reduced" not in picture.caption
    (of_one_line,) = errors(result(run("higher", 3.0)))
    assert "Plain, ours" not in of_one_line.alt
    assert errors(result()) == []
    assert errors(result(run("same", 4.0), sweeps=[])) == []


def test_what_is_reduced_or_has_no_paper_is_said_and_drawn() -> None:
    rows = [replace(row, paper=None, mark=None, reproduced=None) for row in made_table().rows]
    (picture,) = errors(result(run("same", 4.0), run("higher", 3.0, budget="quick"), rows=rows))
    assert "the paper's" not in picture.alt
    assert picture.caption.endswith("; reduced: quick budget.")


def nets(*rows: str, budget: str = "paper", **changed: Any) -> list[Run]:
    arrays = {
        "signal_q": np.array([1.0, 0.5, 2.0]), "signal_c": np.array([0.1, 0.4, 0.7]),
        "signal_c_theory": np.array([0.1, 0.42, 0.69]), "c_map": MAP,
    } | changed  # fmt: skip
    kept = {name: values for name, values in arrays.items() if values is not None}
    return [run(row, 4.0, budget=budget, arrays=kept) for row in rows]


def test_maps_and_signals_are_of_values_for_which_all_lines_have_them() -> None:
    found = maps(result(*nets("same", "lower", "higher")))
    assert [one.title for one in found] == ["C maps by depth", "Signals, depth 10"]
    assert found[0].alt.endswith("with a cosine of, at 10: Plain 0.625, Shaped 0.625.")
    assert "Plain: mean square from 1.00 to 2.00, cosine from 0.10 to 0.700, in theory 0.690; Shaped" in found[1].alt
    both = maps(result(*nets("same", "lower", "higher", "preview")))
    assert [one.file for one in both] == [
        "table9-sweep-1-maps.svg", "table9-sweep-1-signals-10.svg", "table9-sweep-1-signals-20.svg",
    ]  # fmt: skip
    assert maps(result(*nets("same"))) == []


@pytest.mark.parametrize(
    ("changed", "left"),
    [
        ({"signal_c_theory": None}, ["C maps by depth"]),
        ({"signal_c": np.zeros(2)}, ["C maps by depth"]),
        ({"signal_q": np.zeros((3, 1))}, ["C maps by depth"]),
        ({"c_map": np.zeros(1)}, ["Signals, depth 10"]),
        ({"c_map": None, "signal_q": None}, []),
    ],
)
def test_arrays_that_are_missing_or_do_not_fit_are_not_drawn(changed: dict[str, Any], left: list[str]) -> None:
    assert [one.title for one in maps(result(*nets("same", "higher", **changed)))] == left


def test_nets_of_other_sweeps_are_drawn_once_and_stand_in_for_those_without_pictures() -> None:
    other = replace(
        DEPTHS, label="Other optimizer", lines={"Plain": ["broken", "never"], "Shaped": ["stand_in", "same"]}
    )
    width = replace(DEPTHS, label="Widths", axis="width")
    found = result(*nets("same", "higher", "broken"), run("lower", 4.0), *nets("never", budget="quick"))
    found = replace(found, spec=replace(found.spec, sweeps=[DEPTHS, other, width]))
    assert [one.title for one in errors(found)] == ["Without shortcuts", "Other optimizer", "Widths"]
    drawn = {picture.file: picture for picture in maps(found)}
    assert list(drawn) == [
        "table9-sweep-1-maps.svg", "table9-sweep-1-signals-10.svg", "table9-sweep-1-signals-20.svg",
        "table9-sweep-3-maps.svg",
    ]  # fmt: skip
    # At 20 the first sweep's rows keep nothing, and the second's do.
    assert drawn["table9-sweep-1-signals-10.svg"].caption.endswith("at one place. Seed 0.")
    assert drawn["table9-sweep-1-signals-20.svg"].caption.endswith("Seed 0; reduced: quick budget.")
    assert "; reduced: quick budget." in drawn["table9-sweep-1-maps.svg"].caption
    assert drawn["table9-sweep-3-maps.svg"].alt.endswith("of, at 10: Plain 0.625, Shaped 0.625.")


def test_rows_that_diverged_with_all_seeds_are_named() -> None:
    runs = [run("lower", 0.0, seed=seed, status="diverged", error="epoch 2") for seed in (0, 1, 2)]
    (picture,) = errors(result(run("same", 4.0), *runs))
    assert picture.caption.endswith("; Plain at 20 diverged.")
    assert picture.alt.endswith("; Plain at 20 diverged.")
    (picture,) = errors(result(run("same", 4.0), *runs[:2]))  # a seed is still to come
    assert "diverged" not in picture.alt
    (picture,) = errors(result(run("same", 4.0), *runs[:2], run("lower", 9.0, seed=2)))
    assert "diverged" not in picture.alt

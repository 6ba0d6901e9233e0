"""Tables of papers: every row names a preset that names the row."""

import hydra
import pytest
import yaml

from ffrepro import table
from ffrepro.errors import UserError
from ffrepro.paths import CONF

ROWS = [(name, row) for name in table.names() for row in table.load(name).rows]


def test_there_are_tables_with_rows() -> None:
    assert "table1" in table.names()
    assert {"bp", "ff_supervised"} <= {row.name for name, row in ROWS if name == "table1"}


@pytest.mark.parametrize(("name", "row"), ROWS, ids=lambda value: getattr(value, "name", value))
def test_a_row_and_its_preset_agree(name: str, row: table.Row) -> None:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose("config", overrides=[f"experiment={row.experiment}"])
    assert (config.table, config.row) == (name, row.name)


@pytest.mark.parametrize(("name", "row"), ROWS, ids=lambda value: getattr(value, "name", value))
def test_a_row_says_what_the_paper_found_and_how_well_that_is_known(name: str, row: table.Row) -> None:
    assert row.label
    if row.paper is None:  # the paper has no number, and the table tests its claims
        assert (row.mark, row.reproduced) == (None, None)
        assert table.load(name).claims
        return
    assert row.mark in ("P", "S", "M")
    low, high = row.reproduced
    assert low <= row.paper <= high


@pytest.mark.parametrize("name", table.names())
def test_a_claim_is_of_two_rows_of_its_table(name: str) -> None:
    found = table.load(name)
    for claim in found.claims:
        assert len(set(claim.rows)) == 2
        assert set(claim.rows) <= {row.name for row in found.rows}
        assert claim.says in ("lower", "alike", "nothing")
        assert (claim.mark in ("P", "S", "M")) is (claim.says != "nothing")


@pytest.mark.parametrize("name", table.names())
def test_rows_are_named_once_and_every_preset_has_its_row(name: str) -> None:
    rows = table.load(name).rows
    assert len({row.name for row in rows}) == len(rows)
    presets = {f"{name}/{path.stem}" for path in (CONF / "experiment" / name).glob("*.yaml")}
    assert {row.experiment for row in rows} == presets
    assert table.load(name).seeds


@pytest.mark.parametrize(
    ("row", "paper", "mark"),
    [
        ("bp", 1.4, "S"),
        ("ff_supervised", 1.36, "S"),
        ("ff_supervised_fast", 1.46, "S"),
        ("ff_released_code", 1.47, "P"),
    ],
)
def test_table_1_has_the_papers_numbers(row: str, paper: float, mark: str) -> None:
    (found,) = table.load("table1").chosen([row])
    assert (found.paper, found.mark) == (paper, mark)


def test_rows_are_chosen_in_the_tables_order() -> None:
    table1 = table.load("table1")
    assert table1.chosen(None) == table1.rows
    assert [row.name for row in table1.chosen(["ff_supervised", "bp"])] == ["bp", "ff_supervised"]


def test_an_unknown_row_or_table_is_named_with_what_was_meant() -> None:
    with pytest.raises(UserError, match=r"no row 'ff_superviced'.*Did you mean ff_supervised\?"):
        table.load("table1").chosen(["bp", "ff_superviced"])
    with pytest.raises(UserError, match="no table 'table9': expected one of table1"):
        table.load("table9")


def test_every_ablation_sweeps_over_the_option_it_names() -> None:
    ablations = [ablation for name in table.names() for ablation in table.load(name).ablations]
    assert {ablation.name for ablation in ablations} == {path.stem for path in (CONF / "experiment/ablation").glob("*")}
    for ablation in ablations:
        preset = yaml.safe_load((CONF / f"experiment/ablation/{ablation.name}.yaml").read_text())
        assert set(preset["hydra"]["sweeper"]["params"]) == {ablation.option, "seed"}
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            config = hydra.compose("config", overrides=[f"experiment=ablation/{ablation.name}"])
        assert (config.table, config.row) == ("ablation", ablation.name)
        held_out = config.dataset.get("validation", config.dataset.get("validation_strings"))
        assert held_out > 0  # something is chosen

"""Tables of papers: every row names a preset that names the row."""

import re
from pathlib import Path
from typing import Any

import hydra
import pytest
import yaml
from omegaconf import OmegaConf

from ffrepro import table
from ffrepro.errors import UserError
from ffrepro.paths import CONF
from ffrepro.table import Table

ROWS = [(name, row) for name in table.names() for row in table.load(name).rows]


def test_there_are_tables_with_rows() -> None:
    assert "table1" in table.names()
    assert {"bp", "ff_supervised"} <= {row.name for name, row in ROWS if name == "table1"}


@pytest.mark.parametrize(("name", "row"), ROWS, ids=lambda value: getattr(value, "name", value))
def test_a_row_and_its_preset_agree(name: str, row: table.Row) -> None:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose("config", overrides=[f"experiment={row.experiment}"])
    assert (config.table, config.row) == (name, row.recorded_as)


@pytest.mark.parametrize(("name", "row"), ROWS, ids=lambda value: getattr(value, "name", value))
def test_a_row_says_what_the_paper_found_and_how_well_that_is_known(name: str, row: table.Row) -> None:
    assert row.label
    if row.paper is None:  # the paper has no number, and the table tests its claims
        assert (row.mark, row.reproduced) == (None, None)
        assert table.load(name).claims
        return
    assert row.mark in ("P", "S", "M")
    if row.reproduced is None:  # the paper's number is of other data, and the table tests its claims
        assert table.load(name).claims
        return
    low, high = row.reproduced
    assert low <= row.paper <= high
    assert (row.train is None) is (row.train_mark is None)
    assert row.train_mark in (None, "P", "S", "M")


@pytest.mark.parametrize("name", table.names())
def test_claims_and_sweeps_are_of_rows_of_their_table(name: str) -> None:
    found = table.load(name)
    for claim in found.claims:
        assert len(set(claim.rows)) == 2
        found.chosen(list(claim.rows))
        assert (claim.mark in ("P", "S", "M")) is (claim.says != "nothing")
    for sweep in found.sweeps:
        for rows in sweep.lines.values():
            found.chosen(rows)


def described(folder: Path, monkeypatch: pytest.MonkeyPatch, **content: Any) -> Table:
    """The table `made` whose description has this content."""
    head = {"title": "", "paper": "", "about": "", "seeds": [0], "metric": "test_loss", "rows": []}
    (folder / "made").mkdir()
    (folder / "made" / "table.yaml").write_text(yaml.safe_dump(head | content))
    monkeypatch.setattr(table, "EXPERIMENTS", folder)
    return table.load("made")


@pytest.mark.parametrize(
    ("claim", "problem"),
    [
        ({"says": "lower", "test": "guess"}, "has the test 'guess': expected interval, welch, points, ratio"),
        ({"says": "within", "test": "welch"}, "says 'within': welch decides"),
        ({"says": "within", "test": "points"}, "points and ratio belong to the tests of their names alone"),
        ({"says": "lower", "test": "welch", "ratio": 0.9}, "points and ratio belong to the tests of their names alone"),
        ({"says": "lower", "test": "interval", "splits": ["tset"]}, "has the split 'tset'"),
    ],
)
def test_a_claim_names_a_test_that_can_decide_it(
    claim: dict[str, Any], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=re.escape(problem)):
        described(tmp_path, monkeypatch, claims=[{"text": "T", "rows": ["a", "b"], **claim}])


@pytest.mark.parametrize("lines", [{}, {"a": ["x"]}, {"a": ["x", "y"], "b": ["x"]}])
def test_a_sweep_has_a_row_for_each_value_of_each_line(
    lines: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = {"label": "L", "axis": "a", "values": [1, 2], "lines": lines}
    with pytest.raises(UserError, match="sweep 'L': expected lines, each with a row for each value"):
        described(tmp_path, monkeypatch, sweeps=[sweep])


def test_a_row_may_have_its_own_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"name": "a", "label": "A", "experiment": "a"}]
    rows.append({"name": "b", "label": "B", "experiment": "b", "metric": "test_error_softmax"})
    found = described(tmp_path, monkeypatch, rows=rows)
    assert [found.metric_of(row).heading for row in found.rows] == ["Test loss", "Test error, by softmax, %"]


def test_an_unknown_metric_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"name": "a", "label": "A", "experiment": "a", "metric": "test_eror"}]
    with pytest.raises(UserError, match="has the metric 'test_eror'"):
        described(tmp_path, monkeypatch, rows=rows)


ROW = {"name": "a", "label": "A", "experiment": "a"}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"rows": [ROW, ROW]}, "two rows have the same name"),
        ({"rows": [ROW | {"metric": "error"}]}, "has the metric 'error'"),
        ({"rows": [ROW | {"paper": "ninety"}]}, "expected numbers"),
        ({"rows": [ROW | {"paper": 9, "reproduced": [10, 8]}]}, "its lower and its upper end"),
        ({"rows": [ROW], "seeds": 2}, "expected a list of whole numbers"),
        ({"rows": [ROW | {"record": "b"}]}, "no row 'b'"),
        ({"claims": [{"text": "T", "rows": ["a", "nose"], "says": "lower", "test": "welch"}]}, "no row 'nose'"),
        ({"claims": [{"text": "T", "rows": ["a"], "says": "lower", "test": "welch"}]}, "expected two rows"),
        ({"sweeps": [{"label": "L", "axis": "a", "values": [1], "lines": {"a": ["nose"]}}]}, "no row 'nose'"),
    ],
)
def test_a_slip_in_a_table_is_named_in_one_line(
    content: dict[str, Any], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=complaint) as refused:
        described(tmp_path, monkeypatch, **({"rows": [ROW]} | content))
    assert "\n" not in str(refused.value)


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
        ("ff_unsupervised", 1.37, "S"),
        ("ff_unsupervised_local", 1.16, "S"),
        ("ff_supervised_jittered", 0.64, "S"),
        ("ff_recurrent", 1.31, "S"),
        ("ff_recurrent_3", 1.31, "S"),
    ],
)
def test_table_1_has_the_papers_numbers(row: str, paper: float, mark: str) -> None:
    (found,) = table.load("table1").chosen([row])
    assert (found.paper, found.mark) == (paper, mark)


def test_table_2_has_both_tests_of_each_net_with_the_papers_numbers() -> None:
    rows = table.load("table2").rows
    found = [(row.name, row.recorded_as, row.metric, row.paper, row.mark, row.train, row.train_mark) for row in rows]
    goodness, softmax = "test_error_goodness", "test_error_softmax"
    assert found == [
        ("bp_2", "bp_2", None, 37, "S", 0, "S"),
        ("ff_min_ssq_2", "ff_min_ssq_2", goodness, 41, "S", 20, "S"),
        ("ff_min_ssq_2_softmax", "ff_min_ssq_2", softmax, 45, "S", 31, "M"),
        ("ff_max_ssq_2", "ff_max_ssq_2", goodness, 44, "M", 25, "M"),
        ("ff_max_ssq_2_softmax", "ff_max_ssq_2", softmax, 46, "M", 33, "M"),
        ("bp_3", "bp_3", None, 39, "S", 2, "M"),
        ("ff_min_ssq_3", "ff_min_ssq_3", goodness, 41, "S", 24, "M"),
        ("ff_min_ssq_3_softmax", "ff_min_ssq_3", softmax, 44, "M", 32, "M"),
        ("ff_max_ssq_3", "ff_max_ssq_3", goodness, 44, "M", 21, "M"),
        ("ff_max_ssq_3_softmax", "ff_max_ssq_3", softmax, 46, "M", 31, "M"),
    ]
    assert len({row.title for row in rows}) == 10
    assert all(row.reproduced == (row.paper - 1, row.paper + 1) for row in rows)
    assert [panel.rows for panel in table.load("table2").panels] == [
        [f"bp_{depth}", f"ff_min_ssq_{depth}", f"ff_max_ssq_{depth}"] for depth in (2, 3)
    ]
    for row in rows:
        first = next(one for one in rows if one.name == row.recorded_as)
        assert (first.label, first.experiment, first.record) == (row.label, row.experiment, None)


@pytest.mark.parametrize("name", table.names())
def test_a_panel_is_of_rows_of_its_table_with_images_held_out(name: str) -> None:
    found = table.load(name)
    for panel in found.panels:
        assert set(panel.rows) <= {row.name for row in found.rows if row.record is None}
        for row in found.chosen(panel.rows):
            with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
                config = hydra.compose("config", overrides=[f"experiment={row.experiment}", panel.held_out])
            assert config.dataset.validation > 0


def test_the_nets_of_table_2_differ_from_each_other_in_what_their_names_say() -> None:
    def composed(name: str) -> dict[str, Any]:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            return OmegaConf.to_container(hydra.compose("config", overrides=[f"experiment=table2/{name}"]))

    for depth in (2, 3):
        low, high = composed(f"ff_min_ssq_{depth}"), composed(f"ff_max_ssq_{depth}")
        assert low.pop("goodness") != high.pop("goodness")
        assert low.pop("row") != high.pop("row")
        assert low == high
        assert composed(f"bp_{depth}")["architecture"]["layers"] == low["architecture"]["layers"]
        assert low["architecture"]["layers"] == [[32, 1, 11, 3]] * depth
        algorithm = low["algorithm"]
        assert [algorithm[name] for name in ("iterations", "first_tested", "last_tested")] == [10, 4, 6]


def test_table_4_has_every_cell_with_the_papers_errors_where_they_are_recalled() -> None:
    rows = {row.name: row for row in table.load("table4").rows}
    sweep = {
        f"{optimizer}_{kind}_{depth}"
        for optimizer in ("sgd", "kfac")
        for kind in ("relu", "trelu")
        for depth in (26, 50, 101)
    }
    assert sweep <= set(rows)
    assert len(rows) == 30
    assert {name: rows[name].paper for name in ("kfac_relu_50", "sgd_trelu_50", "sgd_relu_101", "kfac_trelu_101")} == {
        "kfac_relu_50": 27.4, "sgd_trelu_50": 29.0, "sgd_relu_101": 58.4, "kfac_trelu_101": 25.8,
    }  # fmt: skip
    assert (rows["sgd_relu_101_ln"].paper, rows["kfac_trelu_50_w08"].paper) == (71.4, 23.6)
    assert all(row.paper is None for name, row in rows.items() if "_26" in name)
    assert {row.mark for row in rows.values() if row.paper is not None} == {"M"}
    assert all(row.seeds is None for name, row in rows.items() if name in sweep)  # two seeds


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

"""The committed records are read, and count as done for the presets and configs of today."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import hydra
import pytest
from omegaconf import OmegaConf

from ffrepro.config import check_options, plain
from ffrepro.paths import CONF, ROOT
from ffrepro.runs import record
from ffrepro.runs.place import table_and_row

RUNS = ROOT / "results" / "runs"
# The seeds of each row, at the paper's budget. Who removes a record or adds one says so here.
SEEDS = {
    "table1/bp": 3,
    "table1/ff_recurrent": 3,
    "table1/ff_recurrent_3": 1,
    "table1/ff_released_code": 3,
    "table1/ff_supervised": 3,
    "table1/ff_supervised_fast": 3,
    "table1/ff_supervised_jittered": 2,
    "table1/ff_unsupervised": 3,
    "table1/ff_unsupervised_local": 3,
    "table2/bp_2": 2,
    "table2/bp_3": 2,
    "table2/ff_max_ssq_2": 2,
    "table2/ff_max_ssq_3": 2,
    "table2/ff_min_ssq_2": 2,
    "table2/ff_min_ssq_3": 2,
    "table3/bp": 3,
    "table3/ff_separated": 3,
    "table3/ff_simultaneous": 3,
    "table3/fixed_random": 3,
    "table3/ngram": 1,
    "table3/uniform": 1,
    "table3/unigram": 1,
    "table4/kfac_relu_101": 2,
    "table4/kfac_relu_101_bn": 1,
    "table4/kfac_relu_101_ln": 1,
    "table4/kfac_relu_26": 2,
    "table4/kfac_relu_50": 2,
    "table4/kfac_relu_50_bn": 1,
    "table4/kfac_relu_50_ln": 1,
    "table4/kfac_relu_50_w05": 1,
    "table4/kfac_relu_50_w08": 1,
    "table4/kfac_resnet_50": 3,
    "table4/kfac_trelu_101": 2,
    "table4/kfac_trelu_26": 2,
    "table4/kfac_trelu_50": 2,
    "table4/kfac_trelu_50_w05": 1,
    "table4/kfac_trelu_50_w08": 3,
    "table4/sgd_relu_101": 2,
    "table4/sgd_relu_101_bn": 1,
    "table4/sgd_relu_101_ln": 1,
    "table4/sgd_relu_26": 2,
    "table4/sgd_relu_50": 2,
    "table4/sgd_relu_50_bn": 1,
    "table4/sgd_relu_50_ln": 1,
    "table4/sgd_relu_50_w05": 1,
    "table4/sgd_relu_50_w08": 1,
    "table4/sgd_resnet_50": 3,
    "table4/sgd_trelu_101": 2,
    "table4/sgd_trelu_26": 2,
    "table4/sgd_trelu_50": 2,
    "table4/sgd_trelu_50_w05": 1,
    "table4/sgd_trelu_50_w08": 3,
}
SWEEPS = 343  # records among the sweeps, at least


@pytest.mark.parametrize("row", SEEDS)
def test_a_rows_records_are_of_its_preset(row: str) -> None:
    """Who changes a preset removes its records or makes them again: a command makes what the report shows."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        preset = plain(hydra.compose("config", [f"experiment={row}"]))
    paths = sorted((RUNS / row).glob("paper-seed*.json"))
    assert len(paths) == SEEDS[row]
    for path in paths:
        made = record.load(path)
        sha256 = made.data["sha256"]
        assert record.comparable(made.config) == record.comparable(preset), path
        assert record.identity(made.config, sha256) == record.identity(preset | {"seed": made.seed}, sha256), path
        assert path.name == f"paper-seed{made.seed}.json", path
        assert table_and_row(made.config, row, made.overrides, sha256, ROOT / "results") == (made.table, made.row)
        assert not made.git["dirty"], path
        assert not made.data["stand_in"], path


def test_every_row_of_every_table_is_listed_here() -> None:
    found = {f"{path.parent.parent.name}/{path.parent.name}" for path in RUNS.glob("table*/*/paper-seed*.json")}
    assert found == set(SEEDS)


def test_the_sweeps_count_as_done_for_the_configs_that_they_hold() -> None:
    """Whatever their options were called: today's classes take them, and a run of the same finds their folder."""
    paths = sorted((RUNS / "sweeps").glob("*/*.json"))
    assert len(paths) >= SWEEPS
    for path in paths:
        made = record.load(path)
        assert path.name == f"{made.budget}-seed{made.seed}.json", path
        for group in ("dataset", "architecture", "algorithm", "schedule"):
            check_options(OmegaConf.create(made.config[group]))
        where = table_and_row(made.config, None, made.overrides, made.data["sha256"], ROOT / "results")
        assert where == ("sweeps", path.parent.name), path


def test_files_say_what_records_mean(tmp_path: Path) -> None:
    """A key too many or too few is refused, unless it is a field that came later."""
    content = json.loads((RUNS / "table1/bp/paper-seed0.json").read_text())
    assert "epoch_s" not in content
    path = tmp_path / "paper-seed0.json"
    path.write_text(json.dumps(content))
    assert record.load(path).epoch_s == []
    for spoilt, complaint in (
        ({**content, "foreign": 1}, "does not know \\(foreign\\). Use a newer version"),
        ({key: value for key, value in content.items() if key != "wall_s"}, "not of schema 1"),
        (content | {"overrides": None}, "an unusable config"),
        (content | {"choices": {"algorithm": []}}, "an unusable config"),
        (content | {"config": "damaged"}, "an unusable config"),
    ):
        path.write_text(json.dumps(spoilt))
        with pytest.raises(record.UserError, match=complaint):
            record.load(path)


def test_a_field_may_be_added_with_any_kind_of_default(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Grown(record.Record):
        note: str = ""
        parts: list[str] = field(default_factory=list)

    monkeypatch.setattr(record, "Record", Grown)
    grown = record.load(RUNS / "table1/bp/paper-seed0.json")
    assert isinstance(grown, Grown)
    assert (grown.note, grown.parts) == ("", [])


def test_the_sweeps_are_what_their_command_lines_compose_today() -> None:
    """An independent check of identities: of every sixteenth record, but where the preset has changed since."""
    same = []
    for path in sorted((RUNS / "sweeps").glob("*/*.json"))[::16]:
        made = record.load(path)
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            today = plain(hydra.compose("config", [text for text in made.overrides if "." in text or "=" in text]))
        sha256 = made.data["sha256"]
        same.append(record.identity(today, sha256) == record.identity(made.config, sha256))
    assert len(same) >= 20
    assert sum(same) >= 0.75 * len(same)

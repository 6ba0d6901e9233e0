"""The records in the repository are of the presets as they are."""

import hydra
import pytest
from omegaconf import OmegaConf

from ffrepro import table
from ffrepro.config import plain
from ffrepro.paths import CONF, ROOT
from ffrepro.runs import record

ROWS = [(name, row.name) for name in table.names() for row in table.load(name).rows if row.record is None]


@pytest.mark.parametrize(("name", "row"), ROWS)
def test_a_rows_records_are_of_its_preset(name: str, row: str) -> None:
    """Who changes a preset removes its records or makes them anew: what a command makes is what the report shows."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose("config", [f"experiment={name}/{row}"], return_hydra_config=True)
    values = plain(OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]))
    for path in (ROOT / "results" / "runs" / name / row).glob("paper-seed*.json"):
        made = record.load(path)
        assert record.comparable(made.config) == record.comparable(values), path
        chosen = {group: config.hydra.runtime.choices[group] for group in made.choices}
        preset = record.identity(values | {"seed": made.seed}, chosen, made.data["sha256"])
        assert record.identity(made.config, made.choices, made.data["sha256"]) == preset, path
        assert path.name == f"paper-seed{made.seed}.json", path
        assert not made.git["dirty"], path
        assert not made.data["stand_in"], path

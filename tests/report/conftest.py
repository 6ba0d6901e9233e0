from pathlib import Path

import pytest

from ffrepro.report import write_report
from tests.report.made import made_table, write_made_records
from tests.report.made_text import made_text_table, write_made_text_records


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of made records with the report made from them; tests read it only."""
    folder = tmp_path_factory.mktemp("made") / "results"
    write_made_records(folder)
    write_made_text_records(folder)
    write_report(folder, [made_text_table(), made_table()])
    return folder

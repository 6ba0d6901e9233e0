"""The Makefile's targets and variables, without running any."""

import os
import subprocess

import pytest

from ffrepro import table
from ffrepro.paths import ROOT


def make(*arguments: str) -> "subprocess.CompletedProcess[str]":
    outermost = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, env=outermost)


def test_a_misspelt_variable_is_refused() -> None:
    misspelt = make("--dry-run", "report", "ROW=bp", "SEEDS=1")
    assert misspelt.returncode == 2
    assert "there is no variable ROW: see make help" in misspelt.stderr
    assert "report.py" not in misspelt.stdout
    known = make("--dry-run", "report", "RESULTS=my-results", "ARGS=seed=1 rerun=true", "PYTHON=python3")
    assert known.returncode == 0
    assert "report.py --results 'my-results'" in known.stdout


@pytest.mark.parametrize("name", table.names())
def test_every_table_has_its_command_and_is_tried_by_ci(name: str) -> None:
    assert f"scripts/reproduce.py {name} " in make("--dry-run", f"reproduce-{name}").stdout
    assert f"make reproduce-{name} " in (ROOT / ".ci" / "run").read_text()


def test_help_lists_every_table_by_its_title() -> None:
    listed = make("help").stdout.splitlines()
    for name in table.names():
        assert f"  reproduce-{name}   run {table.load(name).title}" in listed


def test_an_unknown_table_is_refused_in_one_line() -> None:
    refused = make("--dry-run", "reproduce-tabel1")
    assert refused.returncode == 2
    assert f"there is no table tabel1: expected one of {' '.join(table.names())}." in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not refused.stdout

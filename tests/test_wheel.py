"""The package as it is installed: everything a run needs is in it."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ffrepro.paths import ROOT


def test_a_built_wheel_runs_in_an_empty_folder(python: Callable[..., Any], tmp_path: Path) -> None:
    built, installed, empty = (tmp_path / name for name in ("built", "installed", "empty"))
    empty.mkdir()
    made = python("-m", "build", "--wheel", "--no-isolation", "--outdir", str(built), str(ROOT))
    assert made.returncode == 0, made.stderr
    (wheel,) = built.iterdir()
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(installed)
        (scripts,) = [name for name in packed.namelist() if name.endswith("entry_points.txt")]
        assert "ffrepro = ffrepro.__main__:main" in packed.read(scripts).decode()
    assert {path.stem for path in (installed / "ffrepro" / "experiments").iterdir()} >= {"table1", "table4"}
    there = {"cwd": empty, "environment": {"PYTHONPATH": str(installed)}}
    assert str(installed) in python("-c", "import ffrepro; print(ffrepro.__file__)", **there).stdout
    options = ["experiment=table1/bp", "budget=smoke", "tracking=none", "dataset=digits", "threads=1"]
    finished = python("-m", "ffrepro", *options, **there)
    assert finished.returncode == 0, finished.stderr
    assert [path.name for path in empty.rglob("*.json")] == ["smoke-seed0.json"]

"""The command for a whole table."""

from pathlib import Path

import hydra
import pytest
import torch
from omegaconf import DictConfig

from ffrepro import report, table
from ffrepro.commands import processes, reproduce
from ffrepro.commands.command_line import results_option
from ffrepro.paths import CONF, ROOT


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """The options of all runs, which are not run."""
    options: list[list[str]] = []

    def record_command(command: list[str], running: object, stopped: object, *, together: bool) -> int:
        options.append(command[3:])
        return 0

    monkeypatch.setattr(processes, "run_process", record_command)
    monkeypatch.setattr(report, "write_report", lambda results: results / "report" / "index.html")
    return options


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["table1", "--rows", "ff_superviced"], "Did you mean ff_supervised?"),
        (["table1", "--budget", "papr"], "BUDGET is 'papr'"),
        (["table1", "--seeds", "0;1"], "SEEDS is '0;1'"),
        (["table1", "--seeds=0,-1"], "SEEDS is '0,-1'"),
        (["tabel1"], "there is no table 'tabel1': expected one of table1"),
        (["table1", "goodness=3"], "there is no goodness=3: expected one of mean_of_squares"),
        (["table1", "--device", "gpu"], "device is 'gpu'"),
        (["table1", "precision=bf17"], "precision is 'bf17'"),
        (["table1", "--jobs", "0"], "JOBS is '0'"),
        (["table1", "--results", ""], "RESULTS is ''"),
        (["table1", "--results", "."], "RESULTS is '.'"),
        (["table1", "results_dir=elsewhere"], "here it is RESULTS="),
        (["table1", "--jobs", "two"], "JOBS is 'two'"),
        (["table1", "--jobs", ""], "JOBS is ''"),
        (["table1", "goodness=mean_of_squares"], "Backprop does not use goodness"),
        (["table1", "seed=3"], "seed=3: here it is SEEDS="),
        (["table1", "budget=smoke"], "budget=smoke: here it is BUDGET="),
        (["table1", "experiment=table2/bp_2"], "choose them with ROWS="),
        (["table1", "device=cuda"], "device=cuda: here it is DEVICE="),
        (["table1", "schedule.epochs=many"], "schedule.epochs is 'many'"),
        (["table1", "budget.epoch_fraction=much"], "budget.epoch_fraction is 'much'"),
        (["table1", "algorithm.batch_size=a"], "algorithm.batch_size is 'a'"),
    ],
)
def test_a_mistake_is_reported_in_one_line(
    arguments: list[str], complaint: str, commands: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert reproduce.main(arguments) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert not commands


def test_auto_is_quick_with_one_seed_where_there_is_no_gpu(
    commands: list[list[str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert reproduce.main(["table1"]) == 0
    rows = [row.name for row in table.load("table1").rows]
    assert commands == [[f"experiment=table1/{row}", "seed=0", "budget=quick"] for row in rows]
    printed = capsys.readouterr().out
    for words in ("Budget quick", "no reproduction", ", ".join(rows), "About ", "BUDGET=paper", "index.html"):
        assert words in printed


def test_the_training_time_of_all_runs_is_printed_and_rows_without_a_record_are_named(
    commands: list[list[str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def recorded(config: DictConfig, folders: list[Path]) -> float | None:
        assert folders == [root / "runs" / "table1" / config.row for root in (tmp_path, ROOT / "results")]
        return {"ff_supervised": 90.0, "bp": 30.0}.get(config.row)

    monkeypatch.setattr(reproduce, "training_seconds", recorded)
    chosen = ["--rows", "bp,ff_supervised,ff_unsupervised", "--seeds", "0,1", "--results", str(tmp_path)]
    assert reproduce.main(["table1", *chosen]) == 0
    printed = capsys.readouterr().out
    assert "About 4 min of training in all, on the machines of the records." in printed
    assert "Rows without a record: ff_unsupervised; their first epoch tells." in printed


def test_recorded_runs_are_counted_and_the_options_to_repeat_them_are_named(
    commands: list[list[str]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def printed(*arguments: str) -> str:
        command = ["table2", "--budget", "paper", "--rows", "bp_2,ff_max_ssq_2,ff_max_ssq_2_softmax"]
        assert reproduce.main([*command, "--results", str(tmp_path), *arguments]) == 0
        return capsys.readouterr().out

    assert "have a record" not in printed()
    for row, seed in (("bp_2", 0), ("bp_2", 7), ("ff_max_ssq_2", 1)):
        path = tmp_path / "runs" / "table2" / row / f"paper-seed{seed}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    for words in ("2 of 4 runs have a record", "RESULTS=my-results", "ARGS=rerun=true"):
        assert words in printed("--seeds", "0,1")
    # With another option they are other runs.
    assert "have a record" not in printed("--seeds", "0,1", "schedule.epochs=3")
    assert "2 of 4 runs have a record" in printed("--seeds", "0,1", "tracking=none")
    repeated = printed("--seeds", "0,1", "rerun=true")
    assert "2 of 4 runs have a record" in repeated
    assert "which is replaced" in repeated
    assert f"BUDGET=quick RESULTS={tmp_path}" in repeated


@pytest.mark.parametrize("folder", ["my-results", "2024", "true", "a, b=c (d)", "it's", "/tmp/x y"])
def test_a_folder_for_results_reaches_the_runs_unchanged(folder: str) -> None:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose("config", results_option(folder, []))
    assert config.results_dir == folder


def test_the_default_folder_needs_no_option() -> None:
    assert results_option("results", ["tracking=none"]) == []


def test_paper_takes_the_tables_seeds_and_seeds_come_outermost(commands: list[list[str]]) -> None:
    assert reproduce.main(["table1", "--budget", "paper", "--rows", "ff_supervised,bp", "tracking=none"]) == 0
    assert [command[:2] for command in commands] == [
        [f"experiment=table1/{row}", f"seed={seed}"] for seed in (0, 1, 2) for row in ("bp", "ff_supervised")
    ]
    assert commands[0][2:] == ["tracking=none"]


def test_a_net_of_two_rows_is_trained_once(commands: list[list[str]]) -> None:
    assert reproduce.main(["table2", "--budget", "paper", "tracking=none"]) == 0
    rows = ["bp_2", "ff_min_ssq_2", "ff_max_ssq_2", "bp_3", "ff_min_ssq_3", "ff_max_ssq_3"]
    assert [command[:2] for command in commands] == [
        [f"experiment=table2/{row}", f"seed={seed}"] for seed in (0, 1) for row in rows
    ]
    commands.clear()
    assert reproduce.main(["table2", "--rows", "ff_max_ssq_3_softmax", "--seeds", "5", "tracking=none"]) == 0
    assert [command[:2] for command in commands] == [["experiment=table2/ff_max_ssq_3", "seed=5"]]


def test_a_failed_run_does_not_stop_others_and_is_named_at_the_end(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = []

    def fail_on_bp(command: list[str], running: object, stopped: object, *, together: bool) -> int:
        tried.append(command)
        return 2 if "experiment=table1/bp" in command else 0

    monkeypatch.setattr(processes, "run_process", fail_on_bp)
    assert reproduce.main(["table1", "--budget", "smoke"]) == 1
    assert len(tried) == len(table.load("table1").rows)
    assert f"1 of {len(tried)} runs failed: bp seed 0" in capsys.readouterr().out


def test_runs_side_by_side_share_the_cores(commands: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    arguments = ["table1", "--budget", "quick", "--rows", "bp", "--jobs", "3"]
    assert reproduce.main(arguments) == 0
    assert reproduce.main([*arguments, "threads=5"]) == 0
    assert [command[-1] for command in commands] == ["threads=2", "threads=5"]

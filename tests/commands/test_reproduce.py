"""The command for a whole table, and the estimate it prints."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import hydra
import pytest
import torch

from ffrepro import table
from ffrepro.architecture.vanilla_resnet import VanillaResnet
from ffrepro.commands import estimate, processes, reproduce
from ffrepro.commands.command_line import results_option
from ffrepro.commands.estimate import Speed
from ffrepro.kernel_shaping.activations import Relu
from ffrepro.paths import CONF, ROOT


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """What would be run, instead of running it."""
    seen: list[list[str]] = []

    def note(command: list[str], running: object, stopped: object, *, together: bool) -> int:
        seen.append(command[3:])
        return 0

    monkeypatch.setattr(processes, "_run", note)
    monkeypatch.setattr("ffrepro.report.write_report", lambda results: results / "report" / "index.html")
    return seen


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
        (["table1", "algorithm.batch_size=0"], "algorithm.batch_size is 0"),
        (["table1", "algorithm.batch_size=a"], "algorithm.batch_size is 'a'"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    arguments: list[str], complaint: str, commands: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert reproduce.main(arguments) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1
    assert not commands


def test_make_refuses_a_variable_that_it_does_not_have() -> None:
    def make(*variables: str) -> "subprocess.CompletedProcess[str]":
        command = ["make", "--dry-run", "report", *variables]
        outermost = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=outermost)

    misspelt = make("ROW=bp", "SEEDS=1")
    assert misspelt.returncode == 2
    assert "there is no variable ROW: see make help" in misspelt.stderr
    assert "report.py" not in misspelt.stdout
    known = make("RESULTS=my-results", "ARGS=seed=1 rerun=true", "PYTHON=python3")
    assert known.returncode == 0
    assert "report.py --results 'my-results'" in known.stdout


def test_auto_is_quick_with_one_seed_where_there_is_no_gpu(
    commands: list[list[str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert reproduce.main(["table1"]) == 0
    rows = [row.name for row in table.load("table1").rows]
    assert commands == [[f"experiment=table1/{row}", "seed=0", "budget=quick"] for row in rows]
    first = capsys.readouterr().out
    for words in ("Budget quick", "no reproduction", ", ".join(rows), "About ", "BUDGET=paper", "index.html"):
        assert words in first


def test_what_is_recorded_is_counted_and_how_to_train_it_anew_is_said(
    commands: list[list[str]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def said(*arguments: str) -> str:
        command = ["table2", "--budget", "paper", "--rows", "bp_2,ff_max_ssq_2,ff_max_ssq_2_softmax"]
        assert reproduce.main([*command, "--results", str(tmp_path), *arguments]) == 0
        return capsys.readouterr().out

    assert "have a record" not in said()
    for row, seed in (("bp_2", 0), ("bp_2", 7), ("ff_max_ssq_2", 1)):
        path = tmp_path / "runs" / "table2" / row / f"paper-seed{seed}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    for words in ("2 of 4 runs have a record", "RESULTS=my-results", "ARGS=rerun=true"):
        assert words in said("--seeds", "0,1")
    # With another option they are other runs.
    assert "have a record" not in said("--seeds", "0,1", "schedule.epochs=3")
    assert "2 of 4 runs have a record" in said("--seeds", "0,1", "tracking=none")
    anew = said("--seeds", "0,1", "rerun=true")
    assert "2 of 4 runs have a record" in anew
    assert "which is replaced" in anew
    assert f"BUDGET=quick RESULTS={tmp_path}" in anew


@pytest.mark.parametrize("folder", ["my-results", "2024", "true", "a, b=c (d)", "it's", "/tmp/x y"])
def test_a_folder_for_results_reaches_the_runs_as_it_is(folder: str) -> None:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose("config", results_option(folder, []))
    assert config.results_dir == folder


def test_the_usual_folder_needs_no_option() -> None:
    assert results_option("results", ["tracking=none"]) == []


def test_paper_takes_the_tables_seeds_and_seeds_come_outermost(commands: list[list[str]]) -> None:
    assert reproduce.main(["table1", "--budget", "paper", "--rows", "ff_supervised,bp", "tracking=none"]) == 0
    assert [command[:2] for command in commands] == [
        [f"experiment=table1/{row}", f"seed={seed}"] for seed in (0, 1, 2) for row in ("bp", "ff_supervised")
    ]
    assert commands[0][2:] == ["tracking=none"]


def test_a_net_that_is_tested_in_two_rows_is_trained_once(commands: list[list[str]]) -> None:
    assert reproduce.main(["table2", "--budget", "paper", "tracking=none"]) == 0
    trained = ["bp_2", "ff_min_ssq_2", "ff_max_ssq_2", "bp_3", "ff_min_ssq_3", "ff_max_ssq_3"]
    assert [command[:2] for command in commands] == [
        [f"experiment=table2/{row}", f"seed={seed}"] for seed in (0, 1) for row in trained
    ]
    commands.clear()
    assert reproduce.main(["table2", "--rows", "ff_max_ssq_3_softmax", "--seeds", "5", "tracking=none"]) == 0
    assert [command[:2] for command in commands] == [["experiment=table2/ff_max_ssq_3", "seed=5"]]


def test_a_failed_run_stops_nothing_and_is_named_at_the_end(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = []

    def fail_on_bp(command: list[str], running: object, stopped: object, *, together: bool) -> int:
        tried.append(command)
        return 2 if "experiment=table1/bp" in command else 0

    monkeypatch.setattr(processes, "_run", fail_on_bp)
    assert reproduce.main(["table1", "--budget", "smoke"]) == 1
    assert len(tried) == len(table.load("table1").rows)
    assert f"1 of {len(tried)} runs failed: bp seed 0" in capsys.readouterr().out


def test_runs_side_by_side_share_the_cores(commands: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: 8)
    arguments = ["table1", "--budget", "quick", "--rows", "bp", "--jobs", "3"]
    assert reproduce.main(arguments) == 0
    assert reproduce.main([*arguments, "threads=5"]) == 0
    assert [command[-1] for command in commands] == ["threads=2", "threads=5"]


def test_as_many_run_at_a_time_as_there_are_jobs() -> None:
    # Each waits for the other, and says what it says in lines.
    wait = "import sys, pathlib, time; me, other = map(pathlib.Path, sys.argv[1:]); me.touch()\n"
    wait += "while not other.exists(): time.sleep(0.01)"
    with tempfile.TemporaryDirectory() as folder:
        a, b = f"{folder}/a", f"{folder}/b"
        commands = {"a": [sys.executable, "-c", wait, a, b], "b": [sys.executable, "-c", wait, b, a]}
        assert processes.run_all(commands, 2) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_after_a_run_that_was_stopped_no_other_begins(jobs: int, tmp_path: Path) -> None:
    stop = [sys.executable, "-c", "import sys; sys.exit(130)"]
    touch = [sys.executable, "-c", f"open({str(tmp_path / 'begun')!r}, 'w')"]
    slow = [sys.executable, "-c", "import time; time.sleep(1)"]
    together = {f"slow {n}": slow for n in range(1, jobs)}
    with pytest.raises(KeyboardInterrupt):
        processes.run_all({"a": stop, **together, "e": touch}, jobs)
    assert not (tmp_path / "begun").exists()


def test_what_runs_together_is_heard(capfd: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"]
    assert processes.run_all({"a": command, "b": [sys.executable, "-c", ""]}, 2) == ["a"]
    assert {"out", "err"} <= set(capfd.readouterr().err.split())


def test_the_estimate_is_the_arithmetic_over_the_speed() -> None:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose("config", ["experiment=table1/bp"])
    weights = 784 * 1000 + 2 * 1000 * 1000
    # 600 minibatches, 20 epochs; three passes of two operations a weight and image; one test pass on 20,000 images.
    step = 3 * 2 * weights * 100 / 1e11 + weights / 1e9
    expected = 20 * 600 * step * 1.25 + 2 * weights * 20_000 / 1e11 + 8
    assert estimate.seconds(config, Speed(1e11, 1e9, 0.0)) == pytest.approx(expected)


def test_the_estimate_of_a_recurrent_net_grows_with_its_iterations() -> None:
    def seconds(*changed: str) -> float:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            config = hydra.compose("config", ["experiment=table2/ff_max_ssq_2", "schedule.epochs=1", *changed])
        return estimate.seconds(config, Speed(1e11, 1e15, 0.0))

    # Tiles of 4 × 16 locations, which are given 14 × 21: 16 matrices of 14 · 21 · 3 × 4 · 16 · 3 a layer.
    weights = 2 * 16 * (14 * 21 * 3) * (4 * 16 * 3)
    training = 500 * 3.5 * 10 * 2 * weights * 100 / 1e11 * 1.25
    testing = 14 * 10 * 2 * weights * 20_000 / 1e11
    assert seconds() == pytest.approx(training + testing + 8, rel=1e-6)
    assert seconds("algorithm.iterations=20") - 8 == pytest.approx(2 * (training + testing), rel=1e-6)


def test_the_estimate_of_a_convolutional_net_counts_what_it_sees_and_shared_weights_once() -> None:
    changed = ["experiment=table4/sgd_trelu_50", "schedule.epochs=1", "algorithm.batch_size=9469"]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose("config", changed)
    net = VanillaResnet(
        depth=50, width=16, shortcut_weight=0.0, normalization=None, stem="imagenet", initialization="he",
        activation=Relu(None),
    ).module(10, torch.Generator())  # fmt: skip
    convolutions = [module for module in net.modules() if isinstance(module, torch.nn.Conv2d)]
    places: list[int] = []
    for convolution in convolutions:
        convolution.register_forward_hook(lambda _, __, outputs: places.append(outputs[0, 0].numel()))
    net(torch.zeros(1, 3, 64, 64))
    weights = [convolution.weight.numel() for convolution in convolutions]
    products = sum(n * number for n, number in zip(places, weights, strict=True))
    training = (3 * 2 * products * 9469 / 1e11 + sum(weights) / 1e6) * 1.25
    expected = training + 2 * products * (3925 + 9469) / 1e11 + 8
    assert estimate.seconds(config, Speed(1e11, 1e6, 0.0)) == pytest.approx(expected)

"""Whole runs through the command line: from a config to a record, cut, resumed, refused."""

import json
import math
import os
import signal
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from ffrepro.dataset.digits import Digits
from ffrepro.dataset.grammar import made_up_text
from ffrepro.paths import CONF
from ffrepro.runs.job import Job, prepare
from ffrepro.runs.record import Record
from tests.conftest import CommandLine, Finished, killed_by

# Two small layers on the data that comes with scikit-learn.
SMALL = [
    "experiment=table1/ff_supervised",
    "budget=smoke",
    "tracking=none",
    "dataset=digits",
    "architecture.widths=[32,32]",
    "threads=1",
]
# As many batches an epoch as in SMALL, but six epochs, of which half are at full rate; 100 images held out.
LONGER = [*SMALL, "budget.epoch_fraction=1", "schedule.epochs=6", "dataset.validation=100"]

CUT = """
import os, signal
import ffrepro.runs.run
from ffrepro.algorithm.ff_supervised import FFSupervised
ffrepro.runs.run.CHECKPOINT_EVERY_S = {every}
taken, original = [], FFSupervised.minibatch
def minibatch(self, *arguments, **named):
    taken.append(1)
    if len(taken) == {step}:
        os.kill(os.getpid(), signal.{signal})
    return original(self, *arguments, **named)
FFSupervised.minibatch = minibatch
"""


def records(results: Path) -> dict[str, dict[str, Any]]:
    """All records below `results`, by their place."""
    runs = results / "runs"
    return {str(path.relative_to(runs)): json.loads(path.read_text()) for path in runs.rglob("*.json")}


def the_record(results: Path) -> dict[str, Any]:
    (record,) = records(results).values()
    return record


def assert_one_complaint(finished: Finished, *words: str) -> None:
    """A mistake ends with code 2 and one line, which has `words`."""
    assert finished.code == 2, finished.err
    (line,) = finished.err.splitlines()
    assert line.startswith("ffrepro: ")
    for word in words:
        assert word in line


# One run from beginning to end ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(command_line: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Path]:
    results = tmp_path_factory.mktemp("whole")
    return command_line(*LONGER, f"results_dir={results}"), results


def test_a_run_leaves_one_record_with_everything(whole: tuple[Finished, Path]) -> None:
    finished, results = whole
    assert finished.code == 0, finished.err
    assert finished.out == ""
    record = the_record(results)
    assert set(record) == {field.name for field in fields(Record)}
    assert (record["status"], record["error"], record["seed"], record["budget"]) == ("ok", None, 0, "custom")
    assert record["table"] == "sweeps"  # other layers and data than the row's: not a reproduction of it
    assert record["row"].startswith("ff_supervised-")
    assert record["config"]["architecture"]["widths"] == [32, 32]
    assert record["choices"]["dataset"] == "digits"
    assert "schedule.epochs=6" in record["overrides"]
    assert record["command"].startswith("python -m ffrepro experiment=table1/ff_supervised ")
    assert len(record["fingerprint"]) == 64
    assert record["data"]["sizes"] == {"train": 1000, "validation": 100, "test": 360}
    assert record["data"]["stand_in"] is False
    assert record["environment"]["threads"] == 1
    assert 0 < record["train_s"] < record["wall_s"] < 60
    assert len(record["history"]) == 6
    for entry in record["history"]:
        assert set(entry) == {"loss", "running_error", "validation_error_softmax"}
    metrics = record["metrics"]
    for split in ("test", "train", "validation"):
        assert metrics[f"{split}_error"] == metrics[f"{split}_error_goodness"]
        assert 0 <= metrics[f"{split}_error_softmax"] <= 100
    # The last epoch's softmax test on the validation images is the final one.
    assert metrics["validation_error_softmax"] == record["history"][-1]["validation_error_softmax"]


def test_training_on_the_digits_learns_them(whole: tuple[Finished, Path]) -> None:
    metrics = the_record(whole[1])["metrics"]
    # By chance it would be 90 %; the smallest net and six epochs are enough to halve that.
    assert metrics["train_error_softmax"] < 60


def test_a_run_leaves_pictures_and_no_checkpoint(whole: tuple[Finished, Path]) -> None:
    _, results = whole
    assert [path.name for path in (results / "runs").rglob("*.npz")] == ["custom-seed0.npz"]
    assert list(results.rglob("*.pt")) == []
    assert list(results.rglob("*.part")) == []


def test_pictures_are_kept_of_the_lowest_seed(command_line: CommandLine, tmp_path: Path) -> None:
    assert command_line("-m", *SMALL, f"results_dir={tmp_path}", "seed=2,1,3").code == 0
    assert len(records(tmp_path)) == 3
    assert [path.name for path in (tmp_path / "runs").rglob("*.npz")] == ["smoke-seed1.npz"]


def test_what_is_recorded_is_not_run_again(whole: tuple[Finished, Path], command_line: CommandLine) -> None:
    _, results = whole
    before = the_record(results)
    patch = "from ffrepro.algorithm.ff_supervised import FFSupervised as A; A.train_epoch = None"
    again = command_line(*LONGER, f"results_dir={results}", patch=patch)
    assert again.code == 0, again.err
    assert "recorded already" in again.err
    assert the_record(results) == before


def test_rerun_runs_again_and_finds_the_same(whole: tuple[Finished, Path], command_line: CommandLine) -> None:
    _, results = whole
    before = the_record(results)
    assert command_line(*LONGER, f"results_dir={results}", "rerun=true").code == 0
    after = the_record(results)
    assert after["started_at"] >= before["started_at"]
    assert after["overrides"] != before["overrides"]
    assert (after["history"], after["metrics"]) == (before["history"], before["metrics"])
    assert after["fingerprint"] == before["fingerprint"]


def test_the_real_command_finds_the_same_from_anywhere(
    whole: tuple[Finished, Path], tmp_path: Path, python: Any
) -> None:
    # A fresh process in another folder; everything else here forks from one that has imported everything.
    work = f"hydra.run.dir={tmp_path / 'work'}"
    finished = python("-m", "ffrepro", *LONGER, f"results_dir={tmp_path / 'results'}", work, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    expected, found = the_record(whole[1]), the_record(tmp_path / "results")
    assert (found["history"], found["metrics"]) == (expected["history"], expected["metrics"])
    assert found["fingerprint"] == expected["fingerprint"]
    assert {path.name for path in tmp_path.iterdir()} == {"results", "work"}


# What the test set may and may not do ---------------------------------------------------------------

WATCHED = """
import json, torch
import ffrepro.dataset.digits as digits
from dataclasses import replace
from ffrepro.algorithm.ff_supervised import FFSupervised
from ffrepro.dataset import Split
seen, load = [], digits.Digits.load
def changed(self, device):
    dataset = load(self, device)
    return replace(dataset, test=Split(1 - dataset.test.inputs, (dataset.test.targets + 1) % 10))
if {change}:
    digits.Digits.load = changed
for name in ("monitor", "evaluate"):
    def watch(self, split, name=name, original=getattr(FFSupervised, name)):
        seen.append([name, len(split)])
        torch.save([layer.state_dict() for layer in self.layers] + self.softmax.weights, {folder!r} + "/weights.pt")
        json.dump(seen, open({folder!r} + "/seen.json", "w"))
        return original(self, split)
    setattr(FFSupervised, name, watch)
"""


def test_the_test_set_is_looked_at_once_and_changes_nothing(
    whole: tuple[Finished, Path], command_line: CommandLine, tmp_path: Path
) -> None:
    found, weights = [], []
    for change in (False, True):
        folder = tmp_path / str(change)
        folder.mkdir()
        patch = WATCHED.format(change=change, folder=str(folder))
        assert command_line(*LONGER, f"results_dir={folder}", patch=patch).code == 0
        seen = json.loads((folder / "seen.json").read_text())
        assert seen == [["monitor", 100]] * 6 + [["evaluate", 360], ["evaluate", 1000], ["evaluate", 100]]
        found.append(the_record(folder))
        weights.append((folder / "weights.pt").read_bytes())
    usual, changed = found
    assert usual["metrics"] == the_record(whole[1])["metrics"]
    assert usual["metrics"]["test_error"] != changed["metrics"]["test_error"]
    assert changed["history"] == usual["history"]
    assert weights[0] == weights[1]
    for name, value in usual["metrics"].items():
        if not name.startswith("test_"):
            assert changed["metrics"][name] == value


# Cut and resumed ------------------------------------------------------------------------------------


def assert_as_uncut(results: Path, whole: tuple[Finished, Path]) -> None:
    expected, found = the_record(whole[1]), the_record(results)
    assert found["status"] == "ok"
    assert found["history"] == expected["history"]
    assert found["metrics"] == expected["metrics"]
    assert list(results.rglob("*.pt")) == []


def test_a_killed_run_goes_on_from_its_checkpoint_to_the_same_result(
    whole: tuple[Finished, Path], command_line: CommandLine, tmp_path: Path
) -> None:
    command = [*LONGER, f"results_dir={tmp_path}"]
    killed = command_line(*command, patch=CUT.format(every=0.0, step=35, signal="SIGKILL"))
    assert killed.code == killed_by(signal.SIGKILL)
    assert records(tmp_path) == {}
    assert len(list(tmp_path.rglob("*.pt"))) == 1
    resumed = command_line(*command)
    assert resumed.code == 0, resumed.err
    assert "going on after epoch 3" in resumed.err
    assert_as_uncut(tmp_path, whole)


def test_a_run_killed_before_its_first_checkpoint_starts_anew(
    whole: tuple[Finished, Path], command_line: CommandLine, tmp_path: Path
) -> None:
    command = [*LONGER, f"results_dir={tmp_path}"]
    assert command_line(*command, patch=CUT.format(every=1e9, step=35, signal="SIGKILL")).code < 0
    assert list(tmp_path.rglob("*.pt")) == []
    assert command_line(*command).code == 0
    assert_as_uncut(tmp_path, whole)


def test_ctrl_c_keeps_the_last_epoch_and_says_how_to_go_on(
    whole: tuple[Finished, Path], command_line: CommandLine, tmp_path: Path
) -> None:
    command = [*LONGER, f"results_dir={tmp_path}"]
    stopped = command_line(*command, patch=CUT.format(every=1e9, step=48, signal="SIGINT"))
    assert stopped.code == 130
    assert "kept as it was after epoch 4. The same command goes on from there." in stopped.err
    assert "Traceback" not in stopped.err
    assert records(tmp_path) == {}
    # A second stop, before another epoch is whole, changes nothing.
    stopped = command_line(*command, patch=CUT.format(every=1e9, step=5, signal="SIGINT"))
    assert stopped.code == 130
    assert "going on after epoch 4" in stopped.err
    assert "kept as it was after epoch 4" in stopped.err
    resumed = command_line(*command)
    assert resumed.code == 0, resumed.err
    assert_as_uncut(tmp_path, whole)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param("import ffrepro.runs.checkpoint; ffrepro.runs.checkpoint.FORMAT -= 1", id="of older code"),
        pytest.param(
            "import ffrepro.runs.run as r; own = r.copies_factors; r.copies_factors = lambda *a: not own(*a)",
            id="of other rounding",
        ),
    ],
)
def test_another_state_is_not_gone_on_from_and_kept(
    other: str, whole: tuple[Finished, Path], command_line: CommandLine, tmp_path: Path
) -> None:
    command = [*LONGER, f"results_dir={tmp_path}"]
    cut = CUT.format(every=1e9, step=48, signal="SIGINT")
    assert command_line(*command, patch=f"{other}\n{cut}").code == 130
    finished = command_line(*command)
    assert finished.code == 0, finished.err
    (kept,) = tmp_path.rglob("*.pt")
    assert f"not gone on from, and kept as {kept.name}" in finished.err
    assert torch.load(kept, weights_only=True)["state"]["progress"]["epoch"] == 4
    kept.unlink()
    assert_as_uncut(tmp_path, whole)


AT_COMMIT = """
import ffrepro.runs.machine
ffrepro.runs.machine.git_state = lambda: {{"commit": "{letter}" * 40, "dirty": {dirty}}}
"""


def test_a_run_that_goes_on_with_other_code_says_so(
    whole: tuple[Finished, Path], command_line: CommandLine, tmp_path: Path
) -> None:
    command = [*LONGER, f"results_dir={tmp_path}"]
    for step, letter, dirty in ((25, "a", False), (15, "a", False), (15, "b", True)):
        patch = AT_COMMIT.format(letter=letter, dirty=dirty) + CUT.format(every=1e9, step=step, signal="SIGINT")
        stopped = command_line(*command, patch=patch)
        assert stopped.code == 130
        assert ("the code has changed since" in stopped.err) == (letter == "b")
    finished = command_line(*command, patch=AT_COMMIT.format(letter="c", dirty=False))
    assert "the code has changed since; the record names all commits" in finished.err
    assert the_record(tmp_path)["git"] == {"commit": "c" * 40, "dirty": True, "earlier": ["a" * 40, "b" * 40]}
    assert_as_uncut(tmp_path, whole)


def test_a_checkpoint_of_unknown_code_is_not_taken_for_this_ones(
    whole: tuple[Finished, Path], command_line: CommandLine, tmp_path: Path
) -> None:
    command = [*LONGER, f"results_dir={tmp_path}"]
    assert command_line(*command, patch=CUT.format(every=1e9, step=25, signal="SIGINT")).code == 130
    (path,) = tmp_path.rglob("*.pt")
    saved = torch.load(path, weights_only=True)
    del saved["state"]["progress"]["git"]  # as it was kept once
    torch.save(saved, path)
    assert command_line(*command, patch=AT_COMMIT.format(letter="c", dirty=False)).code == 0
    assert the_record(tmp_path)["git"] == {"commit": "c" * 40, "dirty": False, "earlier": [None]}
    assert_as_uncut(tmp_path, whole)


def test_outside_a_checkout_nothing_is_said_of_changes(command_line: CommandLine, tmp_path: Path) -> None:
    unknown = "import ffrepro.runs.machine\nffrepro.runs.machine.git_state = lambda: dict(commit=None, dirty=None)\n"
    assert command_line(*SMALL, f"results_dir={tmp_path}", patch=unknown).code == 0
    assert the_record(tmp_path)["git"] == {"commit": None, "dirty": None}


def test_want_of_memory_is_not_taken_for_other_code(command_line: CommandLine, tmp_path: Path) -> None:
    command = [*LONGER, f"results_dir={tmp_path}"]
    assert command_line(*command, patch=CUT.format(every=1e9, step=25, signal="SIGINT")).code == 130
    full = """
from ffrepro.algorithm.ff_supervised import FFSupervised
def load_state_dict(self, state):
    raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
FFSupervised.load_state_dict = load_state_dict
"""
    assert_one_complaint(command_line(*command, patch=full), "out of memory on cpu")
    assert len(list(tmp_path.rglob("*.pt"))) == 1


def test_a_state_that_does_not_fit_the_code_is_named(command_line: CommandLine, tmp_path: Path) -> None:
    command = [*LONGER, f"results_dir={tmp_path}"]
    other = """
state_dict = FFSupervised.state_dict
FFSupervised.state_dict = lambda self: {f"old {name}": value for name, value in state_dict(self).items()}
"""
    stopped = command_line(*command, patch=CUT.format(every=1e9, step=25, signal="SIGINT") + other)
    assert stopped.code == 130
    (path,) = tmp_path.rglob("*.pt")
    assert_one_complaint(command_line(*command), str(path), "is of other code", "KeyError", "remove the checkpoint")


def test_whatever_kind_of_number_a_metric_is_the_run_goes_on(
    whole: tuple[Finished, Path], command_line: CommandLine, tmp_path: Path
) -> None:
    command = [*LONGER, f"results_dir={tmp_path}"]
    in_numpy = """
import numpy
for name in ("train_epoch", "monitor", "evaluate"):
    def counted(self, *arguments, original=getattr(FFSupervised, name)):
        return {key: numpy.float64(value) for key, value in original(self, *arguments).items()}
    setattr(FFSupervised, name, counted)
"""
    imported = "from ffrepro.algorithm.ff_supervised import FFSupervised"
    patch = CUT.format(every=1e9, step=25, signal="SIGINT") + in_numpy
    assert command_line(*command, patch=patch).code == 130
    finished = command_line(*command, patch=imported + in_numpy)
    assert finished.code == 0, finished.err
    assert_as_uncut(tmp_path, whole)


def test_a_run_cut_while_its_pictures_are_made_has_no_record_yet(
    whole: tuple[Finished, Path], command_line: CommandLine, tmp_path: Path
) -> None:
    command = [*LONGER, f"results_dir={tmp_path}"]
    patch = """
import os, signal
from ffrepro.algorithm.ff_supervised import FFSupervised
FFSupervised.pictures = lambda *_: os.kill(os.getpid(), signal.SIGINT)
"""
    assert command_line(*command, patch=patch).code == 130
    assert records(tmp_path) == {}
    finished = command_line(*command)
    assert "going on after epoch 6" in finished.err
    assert_as_uncut(tmp_path, whole)
    assert len(list(tmp_path.rglob("*.npz"))) == 1


def test_ctrl_c_in_the_first_epoch_leaves_nothing_behind(command_line: CommandLine, tmp_path: Path) -> None:
    patch = CUT.format(every=0.0, step=3, signal="SIGINT")
    stopped = command_line(*LONGER, f"results_dir={tmp_path}", patch=patch)
    assert stopped.code == 130
    assert "Traceback" not in stopped.err
    assert list(tmp_path.rglob("*.pt")) == []
    assert records(tmp_path) == {}


def test_backprop_goes_on_to_the_same_result(command_line: CommandLine, tmp_path: Path) -> None:
    patch = """
import os, signal
from ffrepro.algorithm.backprop import Backprop
original = Backprop.train_epoch
def train_epoch(self, epoch):
    if epoch == 4:
        os.kill(os.getpid(), signal.SIGINT)
    return original(self, epoch)
Backprop.train_epoch = train_epoch
"""
    command = [option.replace("ff_supervised", "bp") for option in LONGER]
    assert command_line(*command, f"results_dir={tmp_path / 'uncut'}").code == 0
    assert command_line(*command, f"results_dir={tmp_path / 'cut'}", patch=patch).code == 130
    assert command_line(*command, f"results_dir={tmp_path / 'cut'}").code == 0
    uncut, cut = the_record(tmp_path / "uncut"), the_record(tmp_path / "cut")
    assert (cut["history"], cut["metrics"]) == (uncut["history"], uncut["metrics"])
    assert uncut["metrics"]["train_error"] < 20


def test_a_checkpoint_made_with_other_data_is_not_gone_on_from(command_line: CommandLine, tmp_path: Path) -> None:
    command = [*LONGER, f"results_dir={tmp_path}"]
    assert command_line(*command, patch=CUT.format(every=0.0, step=35, signal="SIGKILL")).code < 0
    patch = """
from dataclasses import replace
from ffrepro.dataset.digits import Digits
from ffrepro.dataset.grammar import made_up_text
load = Digits.load
Digits.load = lambda self, device: replace(load(self, device), sha256="of other files")
"""
    other = command_line(*command, patch=patch)
    assert other.code == 0, other.err
    assert "going on" not in other.err
    assert len(the_record(tmp_path)["history"]) == 6
    # The record, too, is known only with the data it was made from, and other data do not replace it.
    assert "recorded already" in command_line(*command, patch=patch).err
    record = the_record(tmp_path)
    assert_one_complaint(command_line(*command), "is of other data than digits", "results_dir=…", "rerun=true")
    assert the_record(tmp_path) == record
    assert command_line(*command, "rerun=true").code == 0
    assert the_record(tmp_path)["data"]["sha256"] != "of other files"


def test_a_damaged_checkpoint_is_named(command_line: CommandLine, tmp_path: Path) -> None:
    command = [*LONGER, f"results_dir={tmp_path}"]
    assert command_line(*command, patch=CUT.format(every=0.0, step=35, signal="SIGKILL")).code < 0
    (path,) = tmp_path.rglob("*.pt")
    path.write_bytes(path.read_bytes()[:1000])
    assert_one_complaint(command_line(*command), str(path), "damaged", "Remove it")
    path.unlink()
    path.mkdir()  # stands for whatever else cannot be read
    assert_one_complaint(command_line(*command), str(path), "cannot read", "It may be whole: keep it.")


# What goes wrong ------------------------------------------------------------------------------------


def test_a_run_that_is_not_finite_is_recorded_as_diverged(command_line: CommandLine, tmp_path: Path) -> None:
    finished = command_line(*LONGER, f"results_dir={tmp_path}", "algorithm.learning_rate=1e30")
    assert finished.code == 0, finished.err
    assert "diverged" in finished.err
    record = the_record(tmp_path)
    assert record["status"] == "diverged"
    assert record["error"].endswith(f"after epoch {len(record['history'])}")
    assert len(record["history"]) < 6
    assert record["history"][-1]["loss"] is None
    assert record["metrics"] == {}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["algorithm.learing_rate=1"], ["'algorithm.learing_rate'", "Did you mean algorithm.learning_rate"]),
        (["goodnes=sum_of_squares"], ["'goodnes'", "Did you mean goodness"]),
        (["dataset=mnits"], ["dataset=mnits", "Did you mean mnist"]),
        (["experiment=table1/ff_superviced"], ["Did you mean table1/ff_supervised"]),
        (["device=cdua"], ["device is 'cdua'", "auto, cpu, cuda or cuda:N"]),
        (["algorithm.batch_size=2000"], ["algorithm.batch_size is 2000", "1000"]),
        (["architecture.widths=[32]"], ["algorithm.first_layer_counts=true"]),
        (["dataset.validation=1437"], ["dataset.validation is 1437", "0 to 1436"]),
        (
            ["goodness._target_=ffrepro.forward_forward.goodness.MeanOfSquares"],
            ["names a class", "as in goodness=sum_of_squares"],
        ),
        (["algorithm.momentum=1"], ["algorithm.momentum is 1", "expected 0 to less than 1"]),
        (["seed=one"], ["seed is 'one'"]),
        (["seed"], ["seed"]),
    ],
    ids=lambda value: value[0] if value[0].count("=") == 1 else None,
)
def test_a_mistake_on_the_command_line_is_one_line(
    options: list[str], words: list[str], command_line: CommandLine, tmp_path: Path
) -> None:
    assert_one_complaint(command_line(*SMALL, f"results_dir={tmp_path}", *options), *words)
    assert not (tmp_path / "runs").exists()


def test_asking_for_a_missing_gpu_is_one_line(command_line: CommandLine, tmp_path: Path) -> None:
    patch = "import torch; torch.cuda.is_available = lambda: False"
    finished = command_line(*SMALL, f"results_dir={tmp_path}", "device=cuda", patch=patch)
    assert_one_complaint(finished, "device=cuda asks for a GPU", "device=cpu")


def test_results_that_cannot_be_written_are_one_line(command_line: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file where a folder should be")
    finished = command_line(*SMALL, f"results_dir={tmp_path / 'results'}")
    assert_one_complaint(finished, f"cannot write {tmp_path / 'results'}", "results_dir=")


def test_a_record_that_cannot_be_written_keeps_the_old_one(command_line: CommandLine, tmp_path: Path) -> None:
    command = [*SMALL, f"results_dir={tmp_path}"]
    assert command_line(*command).code == 0
    before = records(tmp_path)
    patch = """
import errno, os
def full(handle):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
os.fsync = full
"""
    finished = command_line(*command, "rerun=true", patch=patch)
    assert finished.code == 2
    assert "No space left on device" in finished.err.splitlines()[-1]
    assert "Traceback" not in finished.err
    assert records(tmp_path) == before


def test_where_a_file_system_has_no_locks_a_run_says_so_and_goes_on(command_line: CommandLine, tmp_path: Path) -> None:
    patch = """
import errno, fcntl, os
def flock(handle, how):
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
fcntl.flock = flock
"""
    finished = command_line(*SMALL, f"results_dir={tmp_path}", patch=patch)
    assert finished.code == 0
    (said,) = [line for line in finished.err.splitlines() if "without locks" in line]
    assert str(tmp_path) in said
    assert the_record(tmp_path)["status"] == "ok"


def test_a_damaged_record_is_named(command_line: CommandLine, tmp_path: Path) -> None:
    command = [*SMALL, f"results_dir={tmp_path}"]
    assert command_line(*command).code == 0
    (path,) = (tmp_path / "runs").rglob("*.json")
    path.write_text(path.read_text()[:100])
    assert_one_complaint(command_line(*command), str(path), "cannot be read")


def test_too_little_memory_is_said_and_recorded(command_line: CommandLine, tmp_path: Path) -> None:
    # A layer of more than a petabyte.
    finished = command_line(*SMALL, f"results_dir={tmp_path}", "architecture.widths=[32,10000000000000]")
    assert_one_complaint(finished, "out of memory", "architecture.widths")
    record = the_record(tmp_path)
    assert (record["status"], record["error"]) == ("failed", "out of memory")


def test_a_failed_run_is_run_again(command_line: CommandLine, tmp_path: Path) -> None:
    patch = """
import torch
from ffrepro.architecture.mlp import Mlp
def connections(*arguments, **options):
    raise torch.OutOfMemoryError("made up")
Mlp.connections = connections
"""
    assert command_line(*SMALL, f"results_dir={tmp_path}", patch=patch).code == 2
    assert the_record(tmp_path)["status"] == "failed"
    assert command_line(*SMALL, f"results_dir={tmp_path}").code == 0
    assert the_record(tmp_path)["status"] == "ok"


def test_a_tracker_is_told_of_a_run_that_ends_without_a_result(command_line: CommandLine, tmp_path: Path) -> None:
    patch = """
import torch
from ffrepro.algorithm.ff_supervised import FFSupervised
from ffrepro.runs.tracking import NoTracking
def train_epoch(self, epoch):
    raise torch.OutOfMemoryError("made up")
FFSupervised.train_epoch = train_epoch
NoTracking.fail = lambda self: print("told of it")
"""
    finished = command_line(*SMALL, f"results_dir={tmp_path}", patch=patch)
    assert finished.code == 2
    assert finished.out.splitlines() == ["told of it"]


def test_a_fault_of_the_program_keeps_its_traceback(command_line: CommandLine, tmp_path: Path) -> None:
    patch = """
from ffrepro.algorithm.ff_supervised import FFSupervised
def train_epoch(self, epoch):
    raise ZeroDivisionError("a fault")
FFSupervised.train_epoch = train_epoch
"""
    finished = command_line(*SMALL, f"results_dir={tmp_path}", patch=patch)
    assert finished.code == 1
    assert "Traceback" in finished.err
    assert "ZeroDivisionError: a fault" in finished.err


# Data that is not there -----------------------------------------------------------------------------

NO_DATA = """
import urllib.error
from pathlib import Path
import ffrepro.dataset.downloaded as downloaded
import ffrepro.dataset.mnist as mnist
def unreachable(*arguments, **options):
    raise urllib.error.URLError("no network in tests")
downloaded.data_roots = lambda: [Path("/nowhere/one"), Path("/nowhere/two")]
mnist._TORCHVISION = {"mnist": type("MNIST", (), {"__init__": unreachable})}
"""
ON_MNIST = [option for option in SMALL if not option.startswith(("dataset", "budget"))]


def test_the_papers_budget_refuses_the_stand_in(command_line: CommandLine, tmp_path: Path) -> None:
    finished = command_line(*ON_MNIST, "budget=paper", f"results_dir={tmp_path}", patch=NO_DATA)
    assert_one_complaint(finished, "mnist not found", "/nowhere/one/MNIST/raw", "/nowhere/two/MNIST/raw", "no network")
    assert not (tmp_path / "runs").exists()


def test_a_preview_goes_on_with_the_stand_in_and_says_so(command_line: CommandLine, tmp_path: Path) -> None:
    options = ["budget=quick", "budget.epoch_fraction=0", f"results_dir={tmp_path}"]
    finished = command_line(*ON_MNIST, *options, patch=NO_DATA)
    assert finished.code == 0, finished.err
    assert "STAND-IN" in finished.err
    assert "reproduces nothing" in finished.err
    assert "on STAND-IN data" in finished.err.splitlines()[-1]
    record = the_record(tmp_path)
    assert record["data"]["stand_in"] is True
    assert record["data"]["name"] == "digits (for mnist)"
    assert record["data"]["sizes"] == {"train": 1437, "validation": 0, "test": 360}


def test_a_row_itself_is_recorded_in_its_table(command_line: CommandLine, tmp_path: Path) -> None:
    # The preset's wide layers are too slow here: a patch narrows what is built.
    patch = (
        NO_DATA
        + """
from ffrepro.architecture.mlp import Mlp
init = Mlp.__init__
def narrow(self, widths, init_variance_scale):
    init(self, [16 for _ in widths], init_variance_scale)
narrow.__annotations__ = init.__annotations__
Mlp.__init__ = narrow
"""
    )
    options = [
        "experiment=table1/bp",
        "budget=smoke",
        "tracking=none",
        "threads=1",
        "seed=2",
        f"results_dir={tmp_path}",
    ]
    finished = command_line(*options, patch=patch)
    assert finished.code == 0, finished.err
    ((place, record),) = records(tmp_path).items()
    assert place == "table1/bp/smoke-seed2.json"
    assert (record["table"], record["row"], record["seed"]) == ("table1", "bp", 2)
    assert min(record["config"]["architecture"]["widths"]) > 16  # the preset's, as they were asked for


# Text -----------------------------------------------------------------------------------------------

ON_TEXT = [
    "experiment=table3/ff_simultaneous",
    "budget=smoke",
    "tracking=none",
    "architecture.widths=[32,32]",
    "dataset.strings=15",
    "dataset.validation_strings=8",
    "threads=1",
]
NO_TEXT = """
from pathlib import Path
import ffrepro.dataset.aesop as aesop
aesop.data_roots = lambda: [Path("/nowhere/one"), Path("/nowhere/two")]
"""


@pytest.mark.parametrize("row", ["ff_simultaneous", "bp"])
def test_a_run_on_text_leaves_perplexities(row: str, command_line: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text(made_up_text(5000).title())
    options = [f"experiment=table3/{row}", *ON_TEXT[1:], f"dataset.path={tmp_path / 'mine.txt'}"]
    if row == "bp":
        options.append("algorithm.optimizer.lr=0.05")
    finished = command_line(*options, f"results_dir={tmp_path}")
    assert finished.code == 0, finished.err
    assert "STAND-IN" not in finished.err
    record = the_record(tmp_path)
    assert (record["status"], record["budget"], record["table"]) == ("ok", "smoke", "sweeps")
    assert (record["data"]["name"], record["data"]["stand_in"]) == ("mine.txt", False)
    assert record["data"]["sizes"] == {"train": 1000, "validation": 500, "test": 500}
    metrics = record["metrics"]
    figures = ["perplexity", "perplexity_low", "perplexity_high", "bits_per_character", "accuracy"]
    assert set(metrics) == {f"{split}_{figure}" for split in ("test", "train", "validation") for figure in figures}
    for split in ("test", "train", "validation"):
        low, middle, high = (metrics[f"{split}_perplexity{end}"] for end in ("_low", "", "_high"))
        assert 5 < low < middle < high < 30  # 30 if nothing were learned
        assert metrics[f"{split}_bits_per_character"] == pytest.approx(math.log2(middle))
        assert 5 < metrics[f"{split}_accuracy"] < 60
    (epoch,) = record["history"]
    assert set(epoch) == {"loss", "running_perplexity", "validation_perplexity"}
    assert epoch["validation_perplexity"] == metrics["validation_perplexity"]
    assert (epoch["running_perplexity"] == pytest.approx(math.exp(epoch["loss"]))) == (row == "bp")
    assert f"Test perplexity {metrics['test_perplexity']:.2f} (smoke budget" in finished.err.splitlines()[-1]
    (path,) = (tmp_path / "runs").rglob("*.npz")
    with np.load(path) as pictures:
        assert set(pictures) == {"first_layer_fields", "text_temperature_1", "text_temperature_0.5"}
        assert pictures["first_layer_fields"].shape == (32, 10, 30)
        assert pictures["text_temperature_1"].shape == (4, 160)


def test_a_counted_row_needs_no_net(command_line: CommandLine, tmp_path: Path) -> None:
    options = ["experiment=table3/uniform", "budget=smoke", "tracking=none", "threads=1", f"results_dir={tmp_path}"]
    finished = command_line(*options, patch=NO_TEXT)
    assert finished.code == 0, finished.err
    ((place, record),) = records(tmp_path).items()
    assert place == "table3/uniform/smoke-seed0.json"
    assert record["metrics"]["test_perplexity"] == record["metrics"]["train_perplexity"] == 30.0


def test_a_preview_without_the_text_goes_on_with_made_up_sentences(command_line: CommandLine, tmp_path: Path) -> None:
    finished = command_line(*ON_TEXT, f"results_dir={tmp_path}", patch=NO_TEXT)
    assert finished.code == 0, finished.err
    assert "STAND-IN" in finished.err
    assert "/nowhere/one/aesop/aesop.txt, /nowhere/two/aesop/aesop.txt" in finished.err
    assert "reproduces nothing" in finished.err
    assert "on STAND-IN data" in finished.err.splitlines()[-1]
    record = the_record(tmp_path)
    assert record["data"]["stand_in"] is True
    assert record["data"]["name"] == "made-up sentences (for aesop)"
    assert 5 < record["metrics"]["test_perplexity"] < 30


def test_the_papers_budget_refuses_made_up_sentences(command_line: CommandLine, tmp_path: Path) -> None:
    finished = command_line(*ON_TEXT, "budget=paper", f"results_dir={tmp_path}", patch=NO_TEXT)
    places = [f"/nowhere/{place}/aesop/aesop.txt" for place in ("one", "two")]
    assert_one_complaint(finished, "aesop not found", *places, "dataset.path=")
    assert not (tmp_path / "runs").exists()


def test_a_text_that_is_not_there_has_no_stand_in(command_line: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "none.txt"
    finished = command_line(*ON_TEXT, f"dataset.path={path}", f"results_dir={tmp_path}")
    assert_one_complaint(finished, f"cannot read {path}: No such file", "dataset.path")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["experiment=table1/ff_supervised", "dataset=aesop"], ["is text", "try dataset=mnist"]),
        (["experiment=table3/ff_simultaneous", "dataset=digits"], ["digits is images", "try dataset=aesop"]),
        (["experiment=table3/ngram", "dataset=digits"], ["digits is images", "try dataset=aesop"]),
        (["experiment=table3/ngram", "algorithm.order=12"], ["algorithm.order is 12", "at most 11"]),
        (["experiment=table3/ff_separated", "algorithm.phase_length=null"], ["algorithm.phase_length is None"]),
        (["experiment=table3/fixed_random", "algorithm.hidden_layers=frozen"], ["'frozen'", "fixed or simultaneous"]),
        (["experiment=table3/unigram", "dataset.window=13"], ["dataset.window is 13", "1 to 12"]),
    ],
    ids=lambda value: value[1] if value[0].startswith("experiment") else None,
)
def test_text_and_its_options_have_to_fit(
    options: list[str], words: list[str], command_line: CommandLine, tmp_path: Path
) -> None:
    smoke = ["budget=smoke", "tracking=none", "threads=1", f"results_dir={tmp_path}"]
    data = [] if "dataset=digits" in options else ["dataset.strings=15", "dataset.validation_strings=8"]
    finished = command_line(*options, *data, *smoke, patch=NO_TEXT)
    assert finished.code == 2
    (line,) = [line for line in finished.err.splitlines() if line.startswith("ffrepro: ")]
    assert all(word in line for word in words)
    assert "Traceback" not in finished.err
    assert not (tmp_path / "runs").exists()


# Many runs ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_seeds(command_line: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    results = tmp_path_factory.mktemp("two_seeds")
    finished = command_line("-m", *SMALL, f"results_dir={results}", "seed=0,1")
    assert finished.code == 0, finished.err
    return records(results)


def test_seeds_of_a_multirun_have_a_record_each(two_seeds: dict[str, dict[str, Any]]) -> None:
    assert sorted(Path(place).name for place in two_seeds) == ["smoke-seed0.json", "smoke-seed1.json"]
    assert len({Path(place).parent for place in two_seeds}) == 1  # a sweep's variant shares its folder across seeds
    assert len({record["fingerprint"] for record in two_seeds.values()}) == 2
    assert len({record["metrics"]["test_error_softmax"] for record in two_seeds.values()}) == 2


def test_every_variant_of_a_sweep_has_a_record(command_line: CommandLine, tmp_path: Path) -> None:
    variants = ["goodness=sum_of_squares,minus_sum_of_squares", "algorithm.peer_normalization=0.0,0.03"]
    finished = command_line("-m", *SMALL, f"results_dir={tmp_path}", *variants)
    assert finished.code == 0, finished.err
    found = records(tmp_path)
    assert all(place.startswith("sweeps/ff_supervised-") for place in found)
    values = {
        (record["choices"]["goodness"], record["config"]["algorithm"]["peer_normalization"])
        for record in found.values()
    }
    assert values == {
        (goodness, peer) for goodness in ("sum_of_squares", "minus_sum_of_squares") for peer in (0.0, 0.03)
    }
    assert len({record["fingerprint"] for record in found.values()}) == 4


def test_one_failing_job_does_not_stop_its_siblings(command_line: CommandLine, tmp_path: Path) -> None:
    finished = command_line("-m", *SMALL, f"results_dir={tmp_path}", "algorithm.batch_size=100,5000,50")
    assert finished.code == 2
    assert "algorithm.batch_size is 5000" in finished.err.splitlines()[-1]
    assert "Traceback" not in finished.err
    assert {record["config"]["algorithm"]["batch_size"] for record in records(tmp_path).values()} == {100, 50}


def test_all_failing_jobs_say_why(command_line: CommandLine, tmp_path: Path) -> None:
    patch = """
from ffrepro.algorithm.ff_supervised import FFSupervised
begin = FFSupervised.begin
def broken(self, setting):
    if self.batch_size == 60:
        raise FileNotFoundError(2, "a fault", "some file")
    begin(self, setting)
FFSupervised.begin = broken
"""
    small = [*SMALL, f"results_dir={tmp_path}"]
    finished = command_line("-m", *small, "algorithm.batch_size=5000,50,6000")
    assert finished.code == 2
    assert "Traceback" not in finished.err
    for size in (5000, 6000):
        assert f"algorithm.batch_size={size}: algorithm.batch_size is {size}: expected" in finished.err
    assert finished.err.splitlines()[-1] == "ffrepro: 2 runs failed: see above."
    for sizes in ("5000,60", "60,5000"):
        finished = command_line("-m", *small, f"algorithm.batch_size={sizes}", patch=patch)
        assert finished.code == 1
        assert "algorithm.batch_size is 5000: expected" in finished.err
        assert "FileNotFoundError: [Errno 2] a fault: 'some file'" in finished.err
    finished = command_line("-m", *small, "algorithm.batch_size=60", "algorithm.momentum=0.5,0.6", patch=patch)
    assert finished.code == 1
    assert all(f"algorithm.momentum={one}: [Errno 2] a fault: 'some file'" in finished.err for one in (0.5, 0.6))


def test_a_failed_job_of_a_multirun_holds_nothing(command_line: CommandLine, tmp_path: Path) -> None:
    patch = """
import sys, torch, weakref
from ffrepro.algorithm.ff_supervised import FFSupervised
begun = []
def broken(self, setting):
    print("held:", sum(net() is not None for net in begun), file=sys.stderr)
    net = torch.zeros(10)
    begun.append(weakref.ref(net))
    raise RuntimeError("out of memory")
FFSupervised.begin = broken
"""
    finished = command_line("-m", *SMALL, f"results_dir={tmp_path}", "seed=0,1,2", patch=patch)
    assert finished.code == 2
    assert [line for line in finished.err.splitlines() if line.startswith("held")] == ["held: 0"] * 3


@pytest.mark.parametrize(
    ("experiment", "option", "why"),
    [
        ("table1/bp", "goodness=mean_of_squares", "Backprop does not use goodness"),
        ("table1/bp", "+goodness.power=2", "Backprop does not use goodness"),
        ("table3/ngram", "architecture=mlp", "NGram does not use architecture"),
        ("table3/ngram", "architecture.widths=[3]", "NGram does not use architecture"),
    ],
)
def test_an_option_that_the_algorithm_does_not_use_is_refused(
    experiment: str, option: str, why: str, command_line: CommandLine, tmp_path: Path
) -> None:
    finished = command_line(f"experiment={experiment}", "tracking=none", f"results_dir={tmp_path}", option)
    assert_one_complaint(finished, f"{option} would change nothing: {why}. Leave it out.")
    assert records(tmp_path) == {}


@pytest.mark.parametrize(
    "experiment",
    ["table1/bp", "table1/ff_supervised", "table1/ff_unsupervised", "table1/ff_recurrent", "table3/ff_simultaneous"],
)
def test_of_a_curve_that_ends_at_none_even_the_last_epoch_learns(
    experiment: str, command_line: CommandLine, tmp_path: Path
) -> None:
    command = [f"experiment={experiment}", *SMALL[1:3], "threads=1", "schedule=warm_up_then_cosine"]
    command += ["architecture.widths=[32,32]", "budget.train_examples=300"]
    command += ["dataset.path=" + str(tmp_path / "text")] if "table3" in experiment else ["dataset=digits"]
    (tmp_path / "text").write_text(made_up_text(60_000))
    none = """
from ffrepro.schedule import WarmUpThenCosine
WarmUpThenCosine.lr_factor = WarmUpThenCosine.lr_factor_at_step = lambda *_: 0.0
"""
    losses = []
    for name, patch in (("some", ""), ("none", none)):
        finished = command_line(*command, f"results_dir={tmp_path / name}", patch=patch)
        assert finished.code == 0, finished.err
        losses.append(the_record(tmp_path / name)["history"][0]["loss"])
    assert losses[0] != losses[1]


def test_a_row_may_be_measured_by_its_loss(command_line: CommandLine, tmp_path: Path) -> None:
    patch = """
from ffrepro.algorithm.ff_supervised import FFSupervised
FFSupervised.evaluate = lambda self, split: {"loss": 0.5}
"""
    finished = command_line(*SMALL, f"results_dir={tmp_path}", patch=patch)
    assert finished.code == 0, finished.err
    assert "Test loss 0.5000 (smoke budget: no reproduction)" in finished.err


def test_want_of_memory_for_the_data_is_told_in_one_line(command_line: CommandLine, tmp_path: Path) -> None:
    patch = """
import torch
from ffrepro.dataset.digits import Digits
def load(self, device):
    raise {error}
Digits.load = load
"""
    for error in (
        'torch.OutOfMemoryError("CUDA out of memory")',
        'RuntimeError("can\'t allocate memory: 9 bytes")',
        'RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")',
    ):
        finished = command_line(*SMALL, f"results_dir={tmp_path}", patch=patch.format(error=error))
        assert_one_complaint(finished, "out of memory on cpu while data set digits was loaded")


def test_a_multirun_by_joblib_leaves_the_same_records(
    two_seeds: dict[str, dict[str, Any]], command_line: CommandLine, tmp_path: Path
) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    finished = command_line("-m", *SMALL, f"results_dir={tmp_path}", "sweep=joblib", "seed=0,1")
    assert finished.code == 0, finished.err
    found = records(tmp_path)
    assert set(found) == set(two_seeds)  # launching otherwise is not another experiment
    for place, record in two_seeds.items():
        assert found[place]["metrics"] == record["metrics"]
        assert found[place]["fingerprint"] == record["fingerprint"]


# Tracking -------------------------------------------------------------------------------------------


def test_without_wandb_a_run_needs_none(command_line: CommandLine, tmp_path: Path) -> None:
    patch = "import sys; sys.modules['wandb'] = None"
    assert command_line(*SMALL, f"results_dir={tmp_path}", patch=patch).code == 0
    assert the_record(tmp_path)["status"] == "ok"
    finished = command_line(*SMALL, f"results_dir={tmp_path}", "tracking=wandb", "seed=1", patch=patch)
    assert_one_complaint(finished, "wandb is not installed", "tracking=none")


def test_wandb_is_told_everything_also_of_the_epochs_before_a_cut(command_line: CommandLine, tmp_path: Path) -> None:
    told = f"""
import json, sys, types
def tell(kind, values, **more):
    with open({str(tmp_path / "told")!r}, "a") as file:
        print(json.dumps([kind, values, more], default=str), file=file)
class Run:
    def log(self, values, step=None):
        tell("log", values, step=step)
    def finish(self, exit_code=0):
        tell("finish", exit_code)
    summary = types.SimpleNamespace(update=lambda metrics: tell("summary", metrics))
def init(**options):
    tell("init", options)
    return Run()
def image(fields):
    return list(fields.shape)
sys.modules["wandb"] = types.SimpleNamespace(init=init, Image=image, errors=types.SimpleNamespace(Error=ValueError))
"""
    command = [*LONGER, f"results_dir={tmp_path}", "tracking=wandb", "seed=3"]
    cut = CUT.format(every=0.0, step=35, signal="SIGKILL")
    assert command_line(*command, patch=told + cut).code < 0
    (tmp_path / "told").unlink()
    assert command_line(*command, patch=told).code == 0

    (_, options, _), *rest = [json.loads(line) for line in (tmp_path / "told").read_text().splitlines()]
    record = the_record(tmp_path)
    (place,) = records(tmp_path)
    assert (options["group"], options["mode"]) == (Path(place).parts[0], "offline")
    assert options["name"] == f"{Path(place).parts[1]}-seed3"
    assert options["config"] == record["config"]
    history, rest = rest[:6], rest[6:]
    assert [[values, more["step"]] for _, values, more in history] == [
        [metrics, epoch] for epoch, metrics in enumerate(record["history"], start=1)
    ]
    (_, pictures, _), (_, metrics, _), (last, code, _) = rest
    assert pictures == {"first_layer_fields": [6 * 29 + 1, 6 * 29 + 1]}  # 32 of 28 × 28 pixels
    assert metrics == record["metrics"]
    assert (last, code) == ("finish", 0)


def test_wandb_offline_needs_neither_network_nor_key(command_line: CommandLine, tmp_path: Path) -> None:
    patch = f"""
import os, socket
from pathlib import Path
import ffrepro.runs.tracking
ffrepro.runs.tracking.from_root = lambda path: Path({str(tmp_path)!r}) / path
connect = socket.socket.connect
def local_only(self, address):
    if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"network use: {{address}}")
    return connect(self, address)
socket.socket.connect = local_only
"""
    environment = {"HOME": str(tmp_path / "home"), "WANDB_CONFIG_DIR": str(tmp_path / "home")}
    finished = command_line(
        *SMALL[:2], "tracking=wandb", *SMALL[3:], f"results_dir={tmp_path}", patch=patch, environment=environment
    )
    assert finished.code == 0, finished.err
    assert "network use" not in finished.err
    assert the_record(tmp_path)["status"] == "ok"
    assert list(tmp_path.rglob("offline-run-*/*.wandb"))


# What is a row, and what is not ---------------------------------------------------------------------


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Job]:
    digits = Digits(name="digits", validation=0, targets="labels", stand_in=False).load(torch.device("cpu"))
    monkeypatch.setattr("ffrepro.runs.job._load_dataset", lambda config, device: digits)

    def of_options(*options: str) -> Job:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            config = hydra.compose("config", [*options, f"results_dir={tmp_path}"], return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        return prepare(OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]))

    return of_options


@pytest.mark.parametrize(
    "options",
    [
        ["experiment=[table1/ff_released_code,table1/ff_supervised]"],
        ["experiment=table1/bp", "precision=fp32"],
        ["experiment=table1/bp", "budget.epoch_fraction=0.01"],
        ["table=table1", "row=bp"],
    ],
    ids=["two presets mixed", "a precision asked for", "a budget of one's own", "a name without its preset"],
)
def test_what_only_looks_like_a_row_is_a_sweep(options: list[str], prepared: Callable[..., Job]) -> None:
    job = prepared(*options)
    assert job.table == "sweeps"
    assert job.budget == ("custom" if "budget" in options[-1] else "paper")


@pytest.mark.parametrize("begun", ["runs", "checkpoints"])
def test_the_same_asked_for_in_other_words_is_the_same_run(
    begun: str, prepared: Callable[..., Job], tmp_path: Path
) -> None:
    held_out = ["experiment=table1/ff_supervised", "dataset.validation=50"]
    in_words = [*held_out, "goodness=sum_of_squares"]  # the preset's
    first, second = prepared(*held_out), prepared(*in_words)
    assert first.fingerprint == second.fingerprint
    assert "goodness" in second.row
    (tmp_path / begun / "sweeps" / first.row).mkdir(parents=True)
    assert prepared(*in_words).path == first.path
    assert prepared(*in_words, "seed=1").path.parent == first.path.parent
    # Something else is not there.
    for options in (
        ["experiment=table1/ff_supervised", "dataset.validation=51"],
        ["experiment=table1/bp", *held_out[1:]],
    ):
        assert prepared(*options).path.parent != first.path.parent


@pytest.mark.parametrize(
    ("stand_in", "status", "replaced"), [(False, "ok", False), (True, "ok", True), (False, "failed", True)]
)
def test_a_stand_in_does_not_replace_a_record_of_the_data(
    stand_in: bool, status: str, replaced: bool, command_line: CommandLine, tmp_path: Path
) -> None:
    options = [*SMALL[:3], *SMALL[4:], f"results_dir={tmp_path}"]
    assert command_line(*options, patch=NO_DATA).code == 0
    ((place, made),) = records(tmp_path).items()
    record = made | {"data": made["data"] | {"stand_in": stand_in, "sha256": "of other files"}, "status": status}
    (tmp_path / "runs" / place).write_text(json.dumps(record))
    finished = command_line(*options, patch=NO_DATA)
    assert finished.code == (0 if replaced else 2)
    assert ("is of other data than digits (for mnist) as found here" in finished.err) != replaced
    assert (records(tmp_path)[place] == record) != replaced


# What a cluster's commands do, here: the two jobs of an array one after the other.
SLURM = {
    "sbatch": """#!/bin/bash
cp "$1" "$SEEN"
(for task in 0 1; do
  SLURM_JOB_ID=7 SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$task SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1 \\
  SLURM_JOB_NODELIST=here SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0 bash "$1"
done; touch "$SEEN.done") > "$SEEN.log" 2>&1 &
echo Submitted batch job 7
""",
    "srun": """#!/bin/bash
while [[ $1 == -* ]]; do [[ $1 == *=* || $1 == --unbuffered ]] || shift; shift; done
exec "$@"
""",
    "sacct": """#!/bin/bash
[ -e "$SEEN.done" ] && state=COMPLETED || state=RUNNING
printf "JobID|State|NodeList\\n7_0|$state|here\\n7_1|$state|here\\n"
""",
}


def test_the_slurm_preset_hands_every_run_to_the_cluster(python: Callable[..., Any], tmp_path: Path) -> None:
    commands, seen = tmp_path / "bin", tmp_path / "script"
    commands.mkdir()
    for name, text in SLURM.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    options = [*SMALL, f"results_dir={tmp_path}", "seed=0,1", "hydra.launcher.partition=some"]
    environment = {"PATH": f"{commands}:{os.environ['PATH']}", "SEEN": str(seen)}
    finished = python("-m", "ffrepro", "-m", "sweep=slurm", *options, cwd=tmp_path, environment=environment)
    assert finished.returncode == 0, f"{finished.stderr}\nThe jobs said:\n{seen.with_suffix('.log').read_text()}"
    assert sorted(Path(place).name for place in records(tmp_path)) == ["smoke-seed0.json", "smoke-seed1.json"]
    asked = [line.removeprefix("#SBATCH ") for line in seen.read_text().splitlines() if line.startswith("#SBATCH")]
    wanted = {"--partition=some", "--gpus-per-node=1", "--cpus-per-task=4", "--mem=16GB", "--time=120"}
    assert wanted <= set(asked)


def test_where_there_is_no_slurm_that_is_one_line(python: Callable[..., Any], tmp_path: Path) -> None:
    nothing = {"PATH": str(tmp_path / "no commands")}
    options = [*SMALL, f"results_dir={tmp_path}"]
    finished = python("-m", "ffrepro", "-m", "sweep=slurm", *options, cwd=tmp_path, environment=nothing)
    assert finished.returncode == 2
    assert finished.stderr.splitlines()[-1] == (
        "ffrepro: sweep=slurm hands its runs to Slurm, whose commands (srun, sbatch) are not here: call it on a "
        "machine of the cluster, or choose sweep=joblib."
    )
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize("launcher", [["sweep=joblib", "hydra.launcher.n_jobs=2"], ["hydra/launcher=submitit_local"]])
def test_launchers_run_every_job(launcher: list[str], python: Callable[..., Any], tmp_path: Path) -> None:
    options = [*SMALL, f"results_dir={tmp_path}", "seed=0,1"]
    finished = python("-m", "ffrepro", "-m", *launcher, *options, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert sorted(Path(place).name for place in records(tmp_path)) == ["smoke-seed0.json", "smoke-seed1.json"]

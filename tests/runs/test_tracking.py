"""What is seen of a run while it goes."""

import sys
from pathlib import Path

import pytest

from ffrepro.errors import UserError
from ffrepro.runs.tracking import NoTracking, Terminal, Wandb, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (42.4, "42 s"),
        (99.4, "99 s"),
        (99.5, "2 min"),
        (720, "12 min"),
        (99 * 60, "99 min"),
        (99.5 * 60, "1.7 h"),
        (12_600, "3.5 h"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_off_a_terminal_the_last_epoch_has_a_line_with_figures(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal("row seed 0", 3, 1) as terminal:
        terminal.epoch(2, {"loss": 0.5})
        terminal.epoch(3, {"loss": 0.25, "validation_error": 1.5})
    out, err = capsys.readouterr()
    assert out == ""
    assert "row seed 0: epoch 3/3  loss 0.2500  validation error 1.50 %" in err


def test_off_a_terminal_quick_epochs_do_not_flood(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("ffrepro.runs.tracking.time.monotonic", lambda: now[0])
    with Terminal("row", 100, 0) as terminal:
        for epoch in range(1, 101):
            now[0] += 1.0
            terminal.epoch(epoch, {"loss": 0.5})
    lines = capsys.readouterr().err.splitlines()
    assert 9 <= len(lines) <= 12
    assert "epoch 100/100" in lines[-1]
    # 12 epochs in 12 seconds: 88 are left.
    assert lines[1].endswith("epoch 12/100  loss 0.5000  88 s left")


def test_time_left_counts_only_this_launchs_epochs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("ffrepro.runs.tracking.time.monotonic", lambda: now[0])
    with Terminal("row", 60, 50) as terminal:
        now[0] += 40.0
        terminal.epoch(51, {"loss": 0.5})
    assert capsys.readouterr().err.rstrip().endswith("6 min left")  # 9 × 40 s


def test_without_wandb_the_tracker_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"wandb is not installed.*tracking=none"):
        Wandb(project="p", mode="offline").begin("table1", "bp", 0, {}, tmp_path)


def test_no_tracking_takes_everything(tmp_path: Path) -> None:
    tracker = NoTracking()
    tracker.begin("table1", "bp", 0, {}, tmp_path)
    tracker.epoch(1, {"loss": 1.0})
    tracker.end({"test_error": 1.0}, None)
    tracker.fail()

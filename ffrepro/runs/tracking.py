"""The progress of a run: lines or a bar on the terminal, and Weights & Biases as a second sink."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from ffrepro.errors import UserError
from ffrepro.metric import named

_LINE_EVERY_S = 10.0


class Tracker:
    """Follows a run. The record is written without it."""

    def begin(self, table: str, row: str, seed: int, config: dict[str, Any], results: Path) -> None:
        """A run starts. Files go below the folder `results`."""

    def epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        """An epoch has ended."""

    def end(self, metrics: dict[str, float], fields: np.ndarray | None) -> None:
        """The final metrics, and a picture of the first layer's fields (height, width), if there are any."""

    def fail(self) -> None:
        """The run ends here, without a result."""


class NoTracking(Tracker):
    """The record alone."""


@dataclass(kw_only=True)
class Wandb(Tracker):
    """Weights & Biases. Offline needs no account, network or key; `wandb sync` sends the run later."""

    project: str
    mode: Literal["offline", "online"]

    def begin(self, table: str, row: str, seed: int, config: dict[str, Any], results: Path) -> None:
        try:
            import wandb  # noqa: PLC0415 - tracking=none must run without it
        except ImportError as error:
            raise UserError("wandb is not installed: install it, or choose tracking=none.") from error
        os.environ.setdefault("WANDB_SILENT", "true")
        try:
            results.mkdir(parents=True, exist_ok=True)
            self._run = wandb.init(
                project=self.project,
                mode=self.mode,
                group=table,
                name=f"{row}-seed{seed}",
                config=config,
                dir=str(results),
            )
        except (wandb.errors.Error, OSError) as error:
            raise UserError(f"wandb cannot start ({error}): choose tracking.mode=offline or tracking=none.") from error
        self._wandb = wandb

    def epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        self._run.log(metrics, step=epoch)

    def end(self, metrics: dict[str, float], fields: np.ndarray | None) -> None:
        if fields is not None:
            self._run.log({"first_layer_fields": self._wandb.Image(fields)})
        self._run.summary.update(metrics)
        self._run.finish()

    def fail(self) -> None:
        # An open run would take in the next run of a sweep in the same process.
        self._run.finish(exit_code=1)


class Terminal:
    """Epoch, metrics and time left: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, title: str, epochs: int, done: int) -> None:
        self.title, self.epochs, self.first = title, epochs, done
        self.console = Console(stderr=True, soft_wrap=True)
        self._last_line = 0.0
        self._started = time.monotonic()
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("epoch {task.completed}/{task.total}  {task.fields[figures]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
            # An epoch may take minutes: remember more of them than the default does.
            speed_estimate_period=3600,
        )
        self._task = self._bar.add_task(title, total=epochs, completed=done, figures="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        figures = "  ".join(
            f"{name.replace('_', ' ')} {named(name).with_unit(value)}" for name, value in metrics.items()
        )
        self._bar.update(self._task, completed=epoch, figures=figures)
        now = time.monotonic()
        if not self.console.is_terminal and (now - self._last_line > _LINE_EVERY_S or epoch == self.epochs):
            left = (now - self._started) / (epoch - self.first) * (self.epochs - epoch)
            self.console.print(
                f"{self.title}: epoch {epoch}/{self.epochs}  {figures}  {duration(left)} left", highlight=False
            )
            self._last_line = now


def duration(seconds: float) -> str:
    """Seconds in a readable unit: 42 s, 12 min, 3.5 h."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"

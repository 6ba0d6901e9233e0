"""One run: build, train, evaluate, record. The only module that sees the whole config."""

import copy
import math
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console

from ffrepro import checkpoint, record
from ffrepro.algorithm import Algorithm, Metrics, Setting
from ffrepro.config import GROUPS, build, plain
from ffrepro.dataset import Dataset, Source
from ffrepro.dataset.digits import stand_in_for
from ffrepro.device import PRECISIONS, choose_device, choose_precision, choose_threads
from ffrepro.errors import DataNotFoundError, UserError
from ffrepro.evaluate import TRAIN_EVALUATED
from ffrepro.paths import from_root
from ffrepro.pictures import field_grid, packed
from ffrepro.record import Record
from ffrepro.tracking import Terminal, Tracker, duration

_CHECKPOINT_EVERY_S = 120.0
# What may differ from a preset without the run becoming another experiment than its row.
_INCIDENTAL = {
    "experiment",
    "seed",
    "budget",
    "device",
    "precision",
    "threads",
    "tracking",
    "rerun",
    "results_dir",
    "sweep",
}

console = Console(stderr=True, soft_wrap=True, highlight=False)


@dataclass
class Progress:
    """How far a run has come; kept in its checkpoint."""

    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    train_s: float = 0.0
    wall_s: float = 0.0  # of earlier, cut launches
    diverged: str | None = None


@dataclass(frozen=True)
class Job:
    """A run made ready: its data is loaded, its place is known, nothing is trained."""

    config: DictConfig
    values: dict[str, Any]
    choices: dict[str, str]
    overrides: list[str]
    device: torch.device
    precision: str
    dataset: Dataset
    fingerprint: str
    table: str
    row: str
    path: Path  # of the record
    checkpoint: Path
    git: dict[str, Any]
    epochs: int
    started: float
    started_at: str

    @property
    def title(self) -> str:
        return f"{self.row} seed {self.config.seed}"

    def record(
        self,
        status: Literal["ok", "failed", "diverged"],
        progress: Progress,
        metrics: Metrics,
        error: str | None = None,
    ) -> Record:
        return Record(
            schema=record.SCHEMA,
            status=status,
            error=error,
            table=self.table,
            row=self.row,
            budget=self.config.budget.name,
            seed=self.config.seed,
            command=shlex.join(["python", "-m", "ffrepro", *self.overrides]),
            config=self.values,
            choices=self.choices,
            overrides=self.overrides,
            fingerprint=self.fingerprint,
            git=self.git,
            environment=record.environment(self.device, self.precision),
            data={
                "name": self.dataset.name,
                "sha256": self.dataset.sha256,
                "stand_in": self.dataset.stand_in,
                "sizes": self.dataset.sizes(),
            },
            started_at=self.started_at,
            wall_s=round(progress.wall_s + time.monotonic() - self.started, 3),
            train_s=round(progress.train_s, 3),
            peak_memory_bytes=record.peak_memory_bytes(self.device),
            metrics=dict(metrics),
            history=[dict(entry) for entry in progress.history],
        )


def run(config: DictConfig) -> Record:
    """Do what `config` says, unless its record is there; go on where it was cut.

    Raises:
        UserError: as everything below does.
        KeyboardInterrupt: after the last whole epoch has been kept.
    """
    job = prepare(config)
    with checkpoint.locked(job.checkpoint.with_suffix(".lock")):
        known = _known(job)
        if known is not None:
            console.print(f"{job.title}: recorded already in {job.path} (rerun=true runs it again).")
            return known
        outcome = _execute(job)
    _say(job, outcome)
    return outcome


def prepare(config: DictConfig) -> Job:
    """Choose the device, load the data, find out what this run is and where it belongs."""
    started, started_at = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    hydra = HydraConfig.get()
    overrides = list(hydra.overrides.task)
    choices = {
        group: str(name) for group, name in hydra.runtime.choices.items() if group in GROUPS and name is not None
    }
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    choose_threads(config.threads)
    dataset = _load_dataset(config, device)
    values = plain(config)
    fingerprint = record.fingerprint(
        {
            "choices": choices,
            "values": {group: values.get(group) for group in GROUPS},
            "seed": config.seed,
            "data": dataset.sha256,
        }
    )
    table, row = _row(config, overrides, fingerprint)
    name = f"{config.budget.name}-seed{config.seed}"
    results = from_root(config.results_dir)
    return Job(
        config=config,
        values=values,
        choices=choices,
        overrides=overrides,
        device=device,
        precision=precision,
        dataset=dataset,
        fingerprint=fingerprint,
        table=table,
        row=row,
        path=results / "runs" / table / row / f"{name}.json",
        checkpoint=results / "checkpoints" / table / row / f"{name}.pt",
        git=record.git_state(),
        epochs=max(1, round(config.schedule.epochs * config.budget.epoch_fraction)),
        started=started,
        started_at=started_at,
    )


def _row(config: DictConfig, overrides: list[str], fingerprint: str) -> tuple[str, str]:
    """Table and row of a run; what differs from its preset is kept among the sweeps, under a name of its own."""
    changed = [text for text in overrides if text.lstrip("+~").split("=")[0].split(".")[0] not in _INCIDENTAL]
    if config.table is not None and config.row is not None and not changed:
        return config.table, config.row
    # `budget` and `seed` are in the file's name already: variants of one sweep share a folder across seeds.
    words = "_".join(sorted(changed)) or config.algorithm._target_.rsplit(".", 1)[-1].lower()
    tidy = "".join(letter if letter.isalnum() or letter in "=.-" else "_" for letter in words)[:80]
    return "sweeps", "-".join(filter(None, [config.row, tidy, _variant(config)]))


def _variant(config: DictConfig) -> str:
    groups = {group: plain(config[group]) for group in GROUPS if config.get(group) is not None and group != "budget"}
    return record.fingerprint(groups)[:8]


def _load_dataset(config: DictConfig, device: torch.device) -> Dataset:
    source: Source = build(config.dataset)
    try:
        dataset = source.load(device)
    except DataNotFoundError as error:
        if not config.budget.may_stand_in:
            raise
        console.print(
            f"[bold]{error}[/]\n[bold reverse] STAND-IN [/] going on with scikit-learn's 8×8 digits in the place of "
            f"{source.name}: this tries the program and reproduces nothing."
        )
        dataset = stand_in_for(source.name, source.validation / 60_000).load(device)
    return dataset.reduced(config.budget.train_examples, config.budget.test_examples)


def _known(job: Job) -> Record | None:
    """The finished record of this very run."""
    if job.config.rerun or not job.path.exists():
        return None
    known = record.load(job.path)
    return known if known.fingerprint == job.fingerprint and known.status != "failed" else None


def _execute(job: Job) -> Record:
    algorithm: Algorithm = build(job.config.algorithm)
    tracker: Tracker = build(job.config.tracking)
    progress = Progress()
    with _memory_errors_explained(job):
        algorithm.begin(
            Setting(
                dataset=job.dataset,
                architecture=build(job.config.architecture),
                goodness=build(job.config.goodness),
                schedule=build(job.config.schedule, epochs=job.epochs),
                seed=job.config.seed,
                device=job.device,
                products=PRECISIONS[job.precision],
            )
        )
        progress = _resumed(job, algorithm)
        tracker.begin(job.table, job.row, job.config.seed, job.values)
        _train(job, algorithm, tracker, progress)
        if progress.diverged is not None:
            outcome = job.record("diverged", progress, {}, progress.diverged)
            fields = None
        else:
            outcome = job.record("ok", progress, _final_metrics(algorithm, job.dataset))
            fields = _keep_pictures(job, algorithm)
    tracker.end({name: value for name, value in outcome.metrics.items() if value is not None}, fields)
    outcome.write(job.path)
    job.checkpoint.unlink(missing_ok=True)
    return outcome


def _resumed(job: Job, algorithm: Algorithm) -> Progress:
    saved = None if job.config.rerun else checkpoint.load(job.checkpoint, job.fingerprint)
    if saved is None:
        return Progress()
    algorithm.load_state_dict(saved["algorithm"])
    progress = Progress(**saved["progress"])
    console.print(f"{job.title}: going on after epoch {progress.epoch}, from {job.checkpoint}.")
    return progress


def _train(job: Job, algorithm: Algorithm, tracker: Tracker, progress: Progress) -> None:
    """Train to the last epoch; a non-finite metric ends it."""
    earlier_wall_s, last_kept = progress.wall_s, time.monotonic()

    def keep(algorithm_state: dict[str, Any]) -> None:
        progress.wall_s = earlier_wall_s + time.monotonic() - job.started
        state = {"algorithm": algorithm_state, "progress": vars(progress)}
        checkpoint.save(job.checkpoint, job.fingerprint, state)
        progress.wall_s = earlier_wall_s

    state = copy.deepcopy(algorithm.state_dict())
    try:
        with Terminal(job.title, job.epochs, progress.epoch) as terminal:
            while progress.epoch < job.epochs:
                began = time.monotonic()
                metrics = algorithm.train_epoch(progress.epoch + 1)
                if job.dataset.validation is not None:
                    metrics |= {
                        f"validation_{key}": value for key, value in algorithm.monitor(job.dataset.validation).items()
                    }
                # An interrupt between these lines must not part the state from its epoch.
                next_state = copy.deepcopy(algorithm.state_dict())
                progress.train_s += time.monotonic() - began
                progress.history.append(metrics)
                progress.epoch, state = progress.epoch + 1, next_state
                terminal.epoch(progress.epoch, metrics)
                tracker.epoch(progress.epoch, metrics)
                if not all(math.isfinite(value) for value in metrics.values()):
                    progress.diverged = f"a metric is not finite after epoch {progress.epoch}"
                    return
                if time.monotonic() - last_kept > _CHECKPOINT_EVERY_S:
                    keep(state)
                    last_kept = time.monotonic()
    except KeyboardInterrupt:
        if progress.epoch:
            keep(state)
            console.print(
                f"{job.title}: stopped; kept as it was after epoch {progress.epoch}. The same command goes on from there."
            )
        raise


def _final_metrics(algorithm: Algorithm, dataset: Dataset) -> Metrics:
    """The test set's only evaluation, with the same figures on training (and validation) data."""
    metrics: Metrics = {}
    splits = {"test": dataset.test, "train": dataset.train.first(TRAIN_EVALUATED), "validation": dataset.validation}
    for name, split in splits.items():
        if split is not None:
            metrics |= {f"{name}_{key}": value for key, value in algorithm.evaluate(split).items()}
    return metrics


def _keep_pictures(job: Job, algorithm: Algorithm) -> Any:
    """Keep what the report draws beside the first record of a row; returns the first layer's fields as one picture."""
    arrays = packed(algorithm.pictures(job.dataset.test.first(1000)), job.dataset.image_shape)
    mine = job.path.with_suffix(".npz")
    others = set(job.path.parent.glob(f"{job.config.budget.name}-*.npz")) - {mine}
    if not others:
        record.write_pictures(mine, arrays)
    return field_grid(arrays["first_layer_fields"])


@contextmanager
def _memory_errors_explained(job: Job) -> Iterator[None]:
    """Out of memory: a `failed` record, and an error that says what to lower."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # torch.OutOfMemoryError is a RuntimeError; the CPU's allocator raises a plain one.
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and "can't allocate memory" not in str(error):
            raise
        job.record("failed", Progress(), {}, "out of memory").write(job.path)
        raise UserError(
            f"out of memory on {job.device} in {job.title}: lower algorithm.batch_size or architecture.widths"
            + (", or use device=cpu." if job.device.type == "cuda" else ".")
        ) from error


def _say(job: Job, outcome: Record) -> None:
    if outcome.status == "diverged":
        console.print(f"[bold red]{job.title} diverged[/]: {outcome.error}. Recorded in {job.path}")
        return
    error, reduced = (
        outcome.metrics.get("test_error"),
        "" if outcome.budget == "paper" else f" ({outcome.budget} budget)",
    )
    stand_in = " on STAND-IN data" if outcome.data["stand_in"] else ""
    console.print(
        f"{job.title}: test error {error:.2f} %{reduced}{stand_in} in {duration(outcome.wall_s)}. Recorded in {job.path}"
    )

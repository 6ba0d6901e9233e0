"""A run: build, train, evaluate, record. Besides job.py, no other module reads the whole config."""

import copy
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from omegaconf import DictConfig

from ffrepro import metric
from ffrepro.algorithm import Algorithm, Metrics, Setting
from ffrepro.config import build
from ffrepro.dataset import Dataset
from ffrepro.device import PRECISIONS, copies_factors
from ffrepro.errors import UserError, is_out_of_memory
from ffrepro.pictures import field_grid, packed
from ffrepro.runs import checkpoint, record
from ffrepro.runs.job import Job, Progress, console, prepare
from ffrepro.runs.record import Record
from ffrepro.runs.tracking import Terminal, Tracker, duration

CHECKPOINT_EVERY_S = 120.0
_PICTURED = 1000  # test images


def run(config: DictConfig) -> Record:
    """Run `config` unless its record is there. A run that was cut goes on from its checkpoint.

    Raises UserError if an option, a file or the machine does not allow the run, and KeyboardInterrupt after the last
    whole epoch has been saved.
    """
    job = prepare(config)
    with checkpoint.locked(job.checkpoint.with_suffix(".lock")) as held:
        if not held:
            console.print(
                f"{job.title}: {job.checkpoint.parent} is on a file system without locks. Do not start this run twice."
            )
        known = _known(job)
        if known is not None:
            console.print(f"{job.title}: recorded already in {job.path} (rerun=true runs it again).")
            return known
        outcome = _execute(job)
    _say(job, outcome)
    return outcome


def _known(job: Job) -> Record | None:
    """The finished record of this run; None where there is none."""
    if job.config.rerun or not job.path.exists():
        return None
    known = record.load(job.path)
    other_data = known.data["sha256"] != job.dataset.sha256
    if other_data and known.status != "failed" and not known.data["stand_in"]:
        raise UserError(
            f"{job.path} is of other data than {job.dataset.name} as found here: give another results_dir=…, or "
            "replace it with rerun=true."
        )
    # Computed from its config: the fingerprint in the file may be from before an option was added or renamed.
    same = record.identity(known.config, known.data["sha256"]) == job.fingerprint
    return known if same and known.status != "failed" else None


def _execute(job: Job) -> Record:
    algorithm: Algorithm = build(job.config.algorithm)
    tracker: Tracker = build(job.config.tracking)
    with _memory_errors_explained(job):
        algorithm.begin(_setting(job))
        progress = _resumed(job, algorithm)
        tracker.begin(job.table, job.row, job.config.seed, job.values, job.results)
        try:
            for epoch, earlier in enumerate(progress.history, start=1):  # for the tracker this is a new run
                tracker.epoch(epoch, earlier)
            progress = _train(job, algorithm, tracker, progress)
            if progress.diverged is None:
                metrics = _final_metrics(algorithm, job.dataset)
                fields = _keep_pictures(job, algorithm)
                outcome = job.record("ok", progress, metrics)
            else:
                metrics, fields = {}, None
                outcome = job.record("diverged", progress, metrics, progress.diverged)
            outcome.write(job.path)  # last: where there is a record, nothing is run again
        except BaseException:
            tracker.fail()
            raise
    job.checkpoint.unlink(missing_ok=True)
    tracker.end(metrics, fields)
    return outcome


def _setting(job: Job) -> Setting:
    return Setting(
        dataset=job.dataset,
        architecture=build(job.config.architecture),
        schedule=build(job.config.schedule, epochs=job.epochs),
        seed=job.config.seed,
        device=job.device,
        compute_dtype=PRECISIONS[job.precision],
    )


def _resumed(job: Job, algorithm: Algorithm) -> Progress:
    saved = checkpoint.load(job.checkpoint, _kept_as(job))
    if saved is None:
        if job.checkpoint.exists():
            aside = checkpoint.set_aside(job.checkpoint)
            console.print(
                f"{job.title}: {job.checkpoint} is of other options, device, precision or code: not gone on from, and "
                f"kept as {aside.name}."
            )
        return Progress(git=[job.git])
    try:
        algorithm.load_state_dict(saved["algorithm"])
        progress = Progress(**saved["progress"])
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"checkpoint {job.checkpoint} is of other code, and does not fit this ({type(error).__name__}: "
            f"{reason}). Go back to that code, or remove the checkpoint to start the run anew."
        ) from error
    console.print(f"{job.title}: going on after epoch {progress.epoch}, from {job.checkpoint}.")
    before = progress.git or [{"commit": None, "dirty": None}]  # from before checkpoints held the commits
    if job.git in before:
        return progress
    console.print(f"{job.title}: the code has changed since; the record names all commits that it is of.")
    return replace(progress, git=[*before, job.git])


def _train(job: Job, algorithm: Algorithm, tracker: Tracker, progress: Progress) -> Progress:
    """Train to the last epoch, or until a metric is not finite."""
    # A copy: after an interrupt in the middle of an epoch the run goes on from the epoch's beginning.
    state = copy.deepcopy(algorithm.state_dict())
    last_kept = time.monotonic()
    try:
        with Terminal(job.title, job.epochs, progress.epoch) as terminal:
            while progress.epoch < job.epochs:
                began = time.monotonic()
                metrics = _plain(algorithm.train_epoch(progress.epoch + 1))
                trained = time.monotonic()
                if job.dataset.validation is not None:
                    validation = _plain(algorithm.monitor(job.dataset.validation))
                    metrics |= {f"validation_{key}": value for key, value in validation.items()}
                next_state = copy.deepcopy(algorithm.state_dict())
                next_progress = replace(
                    progress,
                    epoch=progress.epoch + 1,
                    history=[*progress.history, metrics],
                    epoch_s=[*progress.epoch_s, trained - began],
                    train_s=progress.train_s + time.monotonic() - began,
                )
                # There is no call between these two, so that no interrupt can separate a state from its epoch.
                state, progress = next_state, next_progress
                terminal.epoch(progress.epoch, metrics)
                tracker.epoch(progress.epoch, metrics)
                if not all(math.isfinite(value) for value in metrics.values()):
                    return replace(progress, diverged=f"a metric is not finite after epoch {progress.epoch}")
                # The last epoch's too: the final evaluation takes a while.
                if time.monotonic() - last_kept > CHECKPOINT_EVERY_S or progress.epoch == job.epochs:
                    _keep(job, state, progress)
                    last_kept = time.monotonic()
    except KeyboardInterrupt:
        if progress.epoch:
            _keep(job, state, progress)
            console.print(
                f"{job.title}: stopped; kept as it was after epoch {progress.epoch}. "
                "The same command goes on from there."
            )
        raise
    return progress


def _keep(job: Job, state: dict[str, Any], progress: Progress) -> None:
    so_far = {**vars(progress), "wall_s": progress.wall_s + time.monotonic() - job.started}
    checkpoint.save(job.checkpoint, _kept_as(job), {"algorithm": state, "progress": so_far})


def _kept_as(job: Job) -> str:
    """The runs that may go on from a checkpoint: random numbers and rounding differ between devices and precisions."""
    gradients = "rounded" if copies_factors(PRECISIONS[job.precision], job.device) else "fp32"
    return f"{job.fingerprint}-{job.device.type}-{job.precision}-{gradients}-{checkpoint.FORMAT}"


def _final_metrics(algorithm: Algorithm, dataset: Dataset) -> Metrics:
    """The only evaluation of the test set, and the same metrics on training and validation data."""
    metrics: Metrics = {}
    splits = {"test": dataset.test, "train": dataset.train_evaluated, "validation": dataset.validation}
    for name, split in splits.items():
        if split is not None:
            metrics |= {f"{name}_{key}": value for key, value in _plain(algorithm.evaluate(split)).items()}
    return metrics


def _plain(metrics: Metrics) -> Metrics:
    """Plain Python numbers, which JSON and checkpoints can hold."""
    return {key: float(value) for key, value in metrics.items()}


def _keep_pictures(job: Job, algorithm: Algorithm) -> np.ndarray | None:
    """Keep arrays for the report's figures, for the lowest seed of a row; returns the first layer's fields, if any."""
    arrays = packed(algorithm.pictures(job.dataset.test[:_PICTURED]))
    kept = {path.stem.rpartition("-seed")[2]: path for path in job.path.parent.glob(f"{job.budget}-seed*.npz")}
    seeds = {int(seed): path for seed, path in kept.items() if seed.isdecimal()}
    if all(seed >= job.config.seed for seed in seeds):
        record.write_pictures(job.path.with_suffix(".npz"), arrays)
        for seed, path in seeds.items():
            if seed != job.config.seed:
                path.unlink(missing_ok=True)
    return field_grid(arrays["first_layer_fields"]) if "first_layer_fields" in arrays else None


@contextmanager
def _memory_errors_explained(job: Job) -> Iterator[None]:
    """Where memory runs out, leave a `failed` record and say which options to lower."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        if not job.path.exists() or record.load(job.path).status != "ok":
            job.record("failed", Progress(), {}, "out of memory").write(job.path)
        raise UserError(
            f"out of memory on {job.device} in {job.title}: lower algorithm.batch_size or the units in architecture"
            + (", or use device=cpu." if job.device.type == "cuda" else ".")
        ) from error


def _say(job: Job, outcome: Record) -> None:
    if outcome.status == "diverged":
        console.print(f"{job.title} diverged: {outcome.error}. Recorded in {job.path}")
        return
    reduced = "" if outcome.budget == "paper" else f" ({outcome.budget} budget: no reproduction)"
    stand_in = " on STAND-IN data" if outcome.data["stand_in"] else ""
    figure, name = "no metric", metric.headline(outcome.metrics)
    if name is not None and (value := outcome.metrics[name]) is not None:
        figure = f"{metric.named(name).label} {metric.named(name).with_unit(value)}"
    console.print(f"{job.title}: {figure}{reduced}{stand_in} in {duration(outcome.wall_s)}. Recorded in {job.path}")

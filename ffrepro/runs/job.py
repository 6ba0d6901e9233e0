"""A run made ready: what it is, where it belongs, where its files go.

Here and in run.py the whole config is read. Data sets, architectures and algorithms get their parts.
"""

import re
import shlex
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console

from ffrepro.algorithm import Algorithm, Metrics
from ffrepro.config import DECISIVE_GROUPS, budgeted_epochs, build, check_top, plain
from ffrepro.dataset import Dataset, Source
from ffrepro.device import choose_device, choose_precision, choose_threads
from ffrepro.errors import DataNotFoundError, UserError, is_out_of_memory
from ffrepro.paths import from_root
from ffrepro.runs import machine, record
from ffrepro.runs.place import table_and_row
from ffrepro.runs.record import Record

console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


@dataclass
class Progress:
    """How far a run has come; kept in its checkpoint. Times are in seconds."""

    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    epoch_s: list[float] = field(default_factory=list)  # training alone
    train_s: float = 0.0  # with the validation after each epoch
    wall_s: float = 0.0  # of earlier launches, which were cut
    diverged: str | None = None
    git: list[dict[str, Any]] = field(default_factory=list)  # the states of the code, in turn


@dataclass(frozen=True)
class Job:
    """A run whose data is loaded. Nothing is trained yet."""

    config: DictConfig
    values: dict[str, Any]  # the config, resolved
    choices: dict[str, str]
    overrides: list[str]
    device: torch.device
    precision: str
    dataset: Dataset
    fingerprint: str
    table: str
    row: str
    budget: str  # its name, or `custom`
    results: Path  # the folder
    path: Path  # of the record
    checkpoint: Path
    git: dict[str, Any]
    epochs: int
    started: float
    started_at: str

    @property
    def title(self) -> str:
        return f"{self.row} seed {self.config.seed}"

    def record(self, status: record.Status, progress: Progress, metrics: Metrics, error: str | None = None) -> Record:
        """The record of this run as it stands."""
        dataset = self.dataset
        dirty = True if any(state["dirty"] for state in progress.git) else self.git["dirty"]
        earlier = [state["commit"] for state in progress.git if state["commit"] != self.git["commit"]]
        return Record(
            schema=record.SCHEMA,
            status=status,
            error=error,
            table=self.table,
            row=self.row,
            budget=self.budget,
            seed=self.config.seed,
            command=shlex.join(["python", "-m", "ffrepro", *self.overrides]),
            config=self.values,
            choices=self.choices,
            overrides=self.overrides,
            fingerprint=self.fingerprint,
            git={**self.git, "dirty": dirty, **({"earlier": list(dict.fromkeys(earlier))} if earlier else {})},
            environment=machine.environment(self.device, self.precision),
            data={
                "name": dataset.name,
                "sha256": dataset.sha256,
                "stand_in": dataset.stand_in,
                "sizes": dataset.sizes(),
            },
            started_at=self.started_at,
            wall_s=round(progress.wall_s + time.monotonic() - self.started, 3),
            train_s=round(progress.train_s, 3),
            peak_memory_bytes=machine.peak_memory_bytes(self.device),
            metrics=dict(metrics),
            history=[dict(entry) for entry in progress.history],
            epoch_s=[round(seconds, 4) for seconds in progress.epoch_s],
        )


def prepare(config: DictConfig) -> Job:
    """Choose the device, load the data, find out what this run is and where it belongs.

    Raises UserError if an option makes no sense here, or the data is missing or damaged.
    """
    started, started_at = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    git = machine.git_state()  # before anything that takes a while
    check_top(config)
    device = choose_device(config.device)
    machine.forget_peak_memory(device)
    precision = choose_precision(config.precision, device)
    choose_threads(config.threads)
    overrides = list(HydraConfig.get().overrides.task)
    check_overrides(config, overrides)
    try:
        dataset = _load_dataset(config, device)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        hint = ", or use device=cpu" if device.type == "cuda" else ""
        raise UserError(
            f"out of memory on {device} while data set {config.dataset.name} was loaded: end what else fills it{hint}."
        ) from error
    values = plain(config)
    own_budget = record.has_own_budget(overrides)
    results = from_root(config.results_dir)
    preset = HydraConfig.get().runtime.choices.get("experiment")
    table, row = table_and_row(values, preset, overrides, dataset.sha256, results)
    budget = "custom" if own_budget else str(config.budget.name)
    name = f"{budget}-seed{config.seed}"
    return Job(
        config=config,
        values=values,
        choices=_choices(config),
        overrides=overrides,
        device=device,
        precision=precision,
        dataset=dataset,
        fingerprint=record.identity(values, dataset.sha256),
        table=table,
        row=row,
        budget=budget,
        results=results,
        path=results / "runs" / table / row / f"{name}.json",
        checkpoint=results / "checkpoints" / table / row / f"{name}.pt",
        git=git,
        epochs=budgeted_epochs(config),
        started=started,
        started_at=started_at,
    )


def _choices(config: DictConfig) -> dict[str, str]:
    """The option of each group that this run uses, and of each group within them."""
    choices = {str(group): str(name) for group, name in HydraConfig.get().runtime.choices.items()}
    used = (*DECISIVE_GROUPS, *(["goodness"] if "goodness" in config.algorithm else []))
    return {
        group: name
        for group, name in choices.items()
        if group in used or group.partition("@")[2].split(".")[0] in DECISIVE_GROUPS
    }


def check_overrides(config: DictConfig, overrides: list[str]) -> None:
    """Refuse an option of a group that the algorithm does not use: it would seem to be compared.

    Classes that the command line names by themselves are refused too. Options of groups are what a user compares.
    Raises UserError if there is such an option among the command line's `overrides`.
    """
    for text in overrides:
        key = text.lstrip("+~").split("=", maxsplit=1)[0]
        if key.rpartition(".")[2] in ("_target_", "_partial_"):
            raise UserError(
                f"{text} names a class: choose an option of its group instead, as in goodness=sum_of_squares, or add "
                "an option in conf/."
            )
    algorithm: type[Algorithm] = hydra.utils.get_object(config.algorithm._target_)
    unused = set(getattr(algorithm, "unused", ()))
    if "goodness" not in config.algorithm:
        unused.add("goodness")
    for text in overrides:
        group = re.split(r"[.=@]", text.lstrip("+"), maxsplit=1)[0]
        if group in unused:
            raise UserError(f"{text} would change nothing: {algorithm.__name__} does not use {group}. Leave it out.")


def _load_dataset(config: DictConfig, device: torch.device) -> Dataset:
    """The data set, or the stand-in where the budget allows it."""
    source: Source = build(config.dataset)
    try:
        dataset = source.load(device)
    except DataNotFoundError as error:
        if not config.budget.may_stand_in:
            raise
        stand_in = source.stand_in()
        console.print(
            f"{error}\n*** STAND-IN *** going on with {stand_in.name}: this tries the program and reproduces nothing."
        )
        dataset = stand_in.load(device)
    return dataset.reduced(config.budget.train_examples, config.budget.test_examples)

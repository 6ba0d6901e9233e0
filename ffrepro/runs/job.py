"""A run made ready: what it is, where it belongs, where its files go.

Here and in run.py the whole config is read; data sets, architectures and algorithms are given their parts.
"""

import glob
import re
import shlex
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console

from ffrepro.algorithm import Algorithm, Metrics
from ffrepro.config import GROUPS, budgeted_epochs, build, check_top, plain
from ffrepro.dataset import Dataset, Source
from ffrepro.device import choose_device, choose_precision, choose_threads
from ffrepro.errors import DataNotFoundError, UserError, is_want_of_memory
from ffrepro.paths import from_root
from ffrepro.runs import record
from ffrepro.runs.record import Record

console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


@dataclass
class Progress:
    """How far a run has come; kept in its checkpoint. Times in seconds."""

    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    train_s: float = 0.0
    wall_s: float = 0.0  # of earlier launches, which were cut
    diverged: str | None = None
    git: list[dict[str, Any]] = field(default_factory=list)  # the states of the code that it was trained with, in turn


@dataclass(frozen=True)
class Job:
    """A run whose data is loaded and of which nothing is trained."""

    config: DictConfig
    values: dict[str, Any]  # of the config, resolved
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
        """What is to be said of this run now."""
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
            environment=record.environment(self.device, self.precision),
            data={
                "name": dataset.name,
                "sha256": dataset.sha256,
                "stand_in": dataset.stand_in,
                "sizes": dataset.sizes(),
            },
            started_at=self.started_at,
            wall_s=round(progress.wall_s + time.monotonic() - self.started, 3),
            train_s=round(progress.train_s, 3),
            peak_memory_bytes=record.peak_memory_bytes(self.device),
            metrics=dict(metrics),
            history=[dict(entry) for entry in progress.history],
        )


def prepare(config: DictConfig) -> Job:
    """Choose the device, load the data, find out what this run is and where it belongs.

    Raises:
        UserError: an option makes no sense here, or the data is not there or damaged.
    """
    started, started_at = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    git = record.git_state()  # before anything that takes a while
    check_top(config)
    device = choose_device(config.device)
    record.forget_peak_memory(device)
    precision = choose_precision(config.precision, device)
    choose_threads(config.threads)
    overrides = list(HydraConfig.get().overrides.task)
    check_overrides(config, overrides)
    try:
        dataset = _load_dataset(config, device)
    except (RuntimeError, MemoryError) as error:
        if not is_want_of_memory(error):
            raise
        hint = ", or use device=cpu" if device.type == "cuda" else ""
        raise UserError(
            f"out of memory on {device} while data set {config.dataset.name} was loaded: end what else fills it{hint}."
        ) from error
    choices = {
        str(group): str(name)
        for group, name in HydraConfig.get().runtime.choices.items()
        if str(group).split("@")[0] in (*GROUPS, "optimizer", "activation")
    }
    values = plain(config)
    table, row = _table_and_row(config, values, choices, overrides, dataset.sha256)
    budget = "custom" if _own_budget(overrides) else str(config.budget.name)
    name = f"{budget}-seed{config.seed}"
    results = from_root(config.results_dir)
    return Job(
        config=config,
        values=values,
        choices=choices,
        overrides=overrides,
        device=device,
        precision=precision,
        dataset=dataset,
        fingerprint=record.identity(values, choices, dataset.sha256),
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


def check_overrides(config: DictConfig, overrides: list[str]) -> None:
    """Complain of an option of a group that the algorithm does not look at: it would seem to be compared.

    And of a class that is named by itself: what identifies a run are the names of its groups' options.

    Raises:
        UserError: there is one among the command line's `overrides`.
    """
    for text in overrides:
        key = text.lstrip("+~").split("=", maxsplit=1)[0]
        if key.rpartition(".")[2] in ("_target_", "_partial_"):
            raise UserError(
                f"{text} names a class, which a run's identity does not tell: choose an option of its group instead, "
                "as in goodness=sum_of_squares, or add one in conf/."
            )
    algorithm: type[Algorithm] = hydra.utils.get_object(config.algorithm._target_)
    for text in overrides:
        group = re.split(r"[.=@]", text.lstrip("+"), maxsplit=1)[0]
        if group in algorithm.unused:
            raise UserError(f"{text} would change nothing: {algorithm.__name__} does not use {group}. Leave it out.")


def _table_and_row(
    config: DictConfig, values: dict[str, Any], choices: dict[str, str], overrides: list[str], data_sha256: str
) -> tuple[str, str]:
    """Where a run belongs: one with options of its own is kept among the sweeps, in a folder all its seeds share."""
    changed = record.changed(overrides)
    preset = HydraConfig.get().runtime.choices.get("experiment")
    if preset == f"{config.table}/{config.row}" and not changed:
        return config.table, config.row
    # Of a text its file's name, and in the hash what it says: it may lie elsewhere tomorrow.
    path = "dataset.path="
    changed = [path + PurePath(one[len(path) :]).name if one.startswith(path) else one for one in changed]
    words = "_".join(sorted(changed)) or str(values["algorithm"]["_target_"]).rsplit(".", 1)[-1]
    tidy = "".join(letter if letter.isalnum() or letter in "=.-" else "_" for letter in words)[:80]
    # The hash parts those whose names were cut. A budget that has a name is in the file's name.
    groups = [group for group in GROUPS if group != "budget" or _own_budget(overrides)]
    variant = record.hashed(
        {
            "choices": {**choices, "budget": None},
            "values": record.decided({group: values[group] for group in groups}),
            "precision": config.precision,
            **({"data": data_sha256} if values["dataset"].get("path") else {}),
        }
    )
    row = f"{config.row}-" if config.row else ""
    # The same asked for in other words, such as what has become the preset's since, is in the folder it has.
    pattern = f"{glob.escape(row)}*-{variant[:8]}"
    places = [from_root(config.results_dir) / kind / "sweeps" for kind in ("runs", "checkpoints")]
    known = [folder.name for place in places for folder in sorted(place.glob(pattern))]
    return "sweeps", known[0] if known else f"{row}{tidy}-{variant[:8]}"


def _own_budget(overrides: list[str]) -> bool:
    return any(text.lstrip("+~").startswith("budget.") for text in overrides)


def _load_dataset(config: DictConfig, device: torch.device) -> Dataset:
    """The data set, or the stand-in where the budget allows one."""
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

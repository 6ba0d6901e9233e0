"""A search for the learning rate of a row: the trials so far, the rate to try next, and the best rate."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ffrepro.errors import UserError
from ffrepro.metric import Metric, is_finite
from ffrepro.runs import record
from ffrepro.runs.record import Record
from ffrepro.table import Row

GRID = [float(f"{digit}e{power}") for power in range(-6, 1) for digit in (1, 3)]  # about √10 apart
# Guessing among ten classes gives an error of 90 %, ± 1 % on 1,000 images. The threshold lies below the luckiest of
# several guesses.
LEARNED = 85.0
# The learning rate's name among the options of a run. A row has the first that is in its config.
OPTIONS = ("algorithm.optimizer.lr", "algorithm.learning_rate")

Trials = Mapping[float, float | None]


@dataclass
class Search:
    """The trials of a row."""

    row: Row  # of the table
    metric: Metric  # measured on held-out data
    config: dict[str, Any]  # of a trial, resolved
    # The metric by learning rate; None if the trial diverged.
    trials: dict[float, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rates = ((option, _rate(self.config, option)) for option in OPTIONS)
        self.option, self.start = next(((option, rate) for option, rate in rates if rate), ("", 0.0))
        if not 0 < self.start < math.inf:
            raise UserError(f"{self.row.name} has no {' or '.join(OPTIONS)} above 0 to begin with.")

    @property
    def next(self) -> float | None:
        """The rate to try next; None at the end of the search."""
        return next_rate(self.trials, self.start, self.metric)

    @property
    def best(self) -> float | None:
        """The best rate; None if the row learned with no rate."""
        return best_rate(self.trials, self.metric)

    def read(self, records: Iterable[Record]) -> None:
        """Take the trials from `records`: runs whose config differs from this row's in the learning rate alone.

        Raises UserError if they are of different data, or lack the metric.
        """
        expected = _without_rate(self.config, self.option)
        mine = {
            rate: trial
            for trial in records
            if f"experiment={self.row.experiment}" in trial.overrides
            and (rate := _rate(trial.config, self.option)) in GRID
            and _without_rate(trial.config, self.option) == expected
        }
        if len({trial.data.get("sha256") for trial in mine.values()}) > 1:
            raise UserError(
                f"trials of {self.row.experiment} are of two copies of the data: remove those of one copy from "
                "runs/sweeps."
            )
        self.trials = {rate: self._result(trial) for rate, trial in mine.items()}

    def _result(self, trial: Record) -> float | None:
        if trial.status != "ok":
            return None
        if self.metric.name not in trial.metrics:
            raise UserError(f"trials of {self.row.experiment} have no {self.metric.name}: hold out validation data.")
        return trial.metrics[self.metric.name]


def next_rate(trials: Trials, start: float, metric: Metric) -> float | None:
    """The rate to try next: an untried neighbor of the best rate, the smaller first; None if both were tried.

    Until a trial has learned, it is the untried rate nearest to `start`.
    """
    untried = [rate for rate in GRID if rate not in trials]
    best = best_rate(trials, metric)
    if best is None:
        return min(untried, key=lambda rate: abs(math.log(rate / start)), default=None)
    place = GRID.index(best)
    return next((rate for rate in GRID[max(place - 1, 0) : place + 2] if rate in untried), None)


def best_rate(trials: Trials, metric: Metric) -> float | None:
    """The learning rate with the best value of `metric`, the smaller of two equals; None if no trial has learned."""
    learned = {rate: value for rate, value in trials.items() if value is not None and _has_learned(value, metric)}
    return min(learned, key=lambda rate: (metric.worse_by(learned[rate], 0.0), rate), default=None)


def _has_learned(value: float, metric: Metric) -> bool:
    """For an error, whether it is below that of guesses; for other metrics, whether it is finite."""
    return is_finite(value) and (metric.quantity != "error" or value < LEARNED)


def _rate(config: Any, option: str) -> float | None:
    """The learning rate of a config; None if it is absent, as in a damaged record."""
    for key in option.split("."):
        config = config.get(key) if isinstance(config, dict) else None
    return float(config) if isinstance(config, int | float) else None


def _without_rate(config: dict[str, Any], option: str) -> dict[str, Any]:
    """The options that decide a run's result, but for the learning rate."""
    decisive = record.comparable(config)
    *groups, name = option.split(".")
    values = decisive["values"]
    for group in groups:
        values = values[group]
    del values[name]
    return {**decisive, "precision": config.get("precision")}

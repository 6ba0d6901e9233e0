"""Choose the learning rate of each row of a table in one way: by short runs, on data held out of the training data.

Beginning with the rate that the row's preset has, neighbours in a grid are tried until both of the best one are worse,
or do not learn at all. What is recorded already is not run again.
"""

import argparse
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra

from ffrepro import table
from ffrepro.commands import command_line as command
from ffrepro.commands.processes import console, run_all, run_command, shared_threads, side_by_side
from ffrepro.config import plain
from ffrepro.errors import UserError
from ffrepro.paths import CONF, from_root
from ffrepro.runs import record
from ffrepro.runs.record import Record
from ffrepro.table import Row, Table

GRID = [float(f"{digit}e{power}") for power in range(-6, 1) for digit in (1, 3)]  # about √10 apart
# Whoever guesses among the ten classes of every data set here errs at 90 %, ± 1 % on 1,000 images; of several guesses
# the luckiest is not to look like learning.
LEARNED = 85.0
_OPTION = "algorithm.optimizer.lr"
_METRIC = "validation_error"
_OWN = ("experiment", "seed", "budget", "results_dir", "rerun", _OPTION)  # options that a trial has for itself


@dataclass
class Search:
    """The trials of a row: with what values, from which rate on, and what is known by now."""

    row: Row
    values: dict[str, Any]
    start: float
    errors: dict[float, float] = field(default_factory=dict)

    @property
    def next(self) -> float | None:
        return next_rate(self.errors, self.start)

    @property
    def best(self) -> float | None:
        return best(self.errors)


def main(arguments: list[str] | None = None) -> int:
    """The command line of `scripts/learning_rates.py`; returns its exit code."""
    parser = command.parser("learning_rates", "Choose the learning rates of a table's rows.")
    return command.exit_code("learning_rates", _choose, parser.parse_intermixed_args(arguments))


def _choose(options: argparse.Namespace) -> int:
    chosen_table = table.load(options.table)
    if not chosen_table.trial:
        raise UserError(f"{options.table} does not choose learning rates: its table.yaml has no `trial`.")
    command.refuse(options.overrides, {name: f"a trial has its own {name}. Leave it out" for name in _OWN})
    jobs = side_by_side(options.jobs)
    rows = chosen_table.chosen(options.rows.split(",") if options.rows else None)
    searches = [_search(row, [*chosen_table.trial, *options.overrides]) for row in rows]
    _try_rates(searches, chosen_table, options, jobs)
    for line in _written(searches):
        console.print(line)
    for search in searches:
        _say(search)
    return 0


def _try_rates(searches: list[Search], chosen_table: Table, options: argparse.Namespace, jobs: int) -> None:
    """Run trials, one of every search at a time, until all is found."""
    shared = command.results_option(options.results, options.overrides)
    shared += [*shared_threads(jobs, options.overrides), *options.overrides]

    def look() -> dict[str, Search]:
        """See what is known by now; what is to be tried next, by name."""
        records = _records(options.results)
        for search in searches:
            search.errors = found(search.values, search.row.experiment, records)
        return {f"{search.row.name} {search.next:g}": search for search in searches if search.next is not None}

    trials = look()
    while trials:
        console.print(f"{len(trials)} of {len(searches)} rows have a learning rate to try.")
        commands = {
            trial: run_command(
                [f"experiment={search.row.experiment}", *chosen_table.trial, f"{_OPTION}={search.next:g}", *shared]
            )
            for trial, search in trials.items()
        }
        run_all(commands, jobs)
        before, trials = trials, look()
        # One that diverged has a record, which says so.
        failed = [trial for trial in before if trial in trials]
        if failed:
            raise UserError(f"{', '.join(failed)}: no record, see above. The same command goes on from what is kept.")


def next_rate(errors: dict[float, float], start: float) -> float | None:
    """What to try next after the rates of `errors`, in %, the smaller neighbour of the best first; None: it is found.

    As long as nothing has learned, it is what lies nearest to `start`.
    """
    untried = [rate for rate in GRID if rate not in errors]
    chosen = best(errors)
    if chosen is None:
        return min(untried, key=lambda rate: abs(math.log(rate / start)), default=None)
    place = GRID.index(chosen)
    return next((rate for rate in GRID[max(place - 1, 0) : place + 2] if rate in untried), None)


def best(errors: dict[float, float]) -> float | None:
    """The learning rate with the least error, and of two alike the smaller; None where nothing has learned."""
    learned = [rate for rate in errors if errors[rate] < LEARNED]
    return min(learned, key=lambda rate: (errors[rate], rate), default=None)


def found(values: dict[str, Any], experiment: str, records: Iterable[Record]) -> dict[float, float]:
    """Errors by learning rate of the runs with the config `values` but for the rate; infinite if one diverged.

    Raises:
        UserError: they are not all of the same data.
    """
    wanted = _but_rate(values)
    mine = {
        rate: one
        for one in records
        if f"experiment={experiment}" in one.overrides
        and _but_rate(one.config) == wanted
        and (rate := _rate(one.config)) in GRID
    }
    if len({one.data.get("sha256") for one in mine.values()}) > 1:
        raise UserError(f"trials of {experiment} are of two copies of the data: remove those of one from runs/sweeps.")
    return {rate: _error(one) for rate, one in mine.items()}


def _error(one: Record) -> float:
    error = one.metrics.get(_METRIC)
    return math.inf if error is None or one.status != "ok" else error


def _search(row: Row, overrides: list[str]) -> Search:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        values = plain(hydra.compose("config", [f"experiment={row.experiment}", *overrides]))
    rate = _rate(values)
    if not rate or not 0 < rate < math.inf:
        raise UserError(f"{row.name} has no {_OPTION} above 0 to begin with.")
    return Search(row, values, rate)


def _records(results: str) -> list[Record]:
    paths: Iterable[Path] = from_root(results).glob("runs/sweeps/*/paper-seed0.json")
    return [one for one in map(record.load, sorted(paths)) if one.status != "failed"]


def _rate(config: Any) -> float | None:
    """The learning rate of a config, be it a damaged record's; None for none."""
    for key in _OPTION.split("."):
        config = config.get(key) if isinstance(config, dict) else None
    return float(config) if isinstance(config, int | float) else None


def _but_rate(config: dict[str, Any]) -> dict[str, Any]:
    """What else decides a run's result."""
    if _rate(config) is None:
        return {}
    decisive = record.comparable(config)
    algorithm = decisive["values"]["algorithm"]
    decisive["values"]["algorithm"] = {**algorithm, "optimizer": {**algorithm["optimizer"], "lr": None}}
    return {**decisive, "precision": config.get("precision")}


def _written(searches: list[Search]) -> list[str]:
    """A table in Markdown."""
    lines = ["| row | held-out error, %, by learning rate | chosen |", "|---|---|---|"]
    for search in searches:
        said = ", ".join(f"{rate:g}: {_said(error)}" for rate, error in sorted(search.errors.items()))
        lines.append(f"| `{search.row.name}` | {said} | {'none' if search.best is None else f'{search.best:g}'} |")
    return lines


def _said(error: float) -> str:
    return f"{error:.1f}" if math.isfinite(error) else "diverged"


def _say(search: Search) -> None:
    """What there is to do about a row, or to know."""
    if search.best is None:
        console.print(f"{search.row.name} learns with no rate of the grid.")
        return
    if search.best != search.start:
        preset = f"conf/experiment/{search.row.experiment}.yaml"
        console.print(f"{preset} has {_OPTION} {search.start:g}: {search.best:g} is chosen.")
    if search.best in (GRID[0], GRID[-1]):
        console.print(f"{search.row.name}: {search.best:g} is where the grid ends.")

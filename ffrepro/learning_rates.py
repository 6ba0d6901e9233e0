"""Choose the learning rate of each row of a table in one way: by short runs, on data held out of the training data.

Beginning with the rate that the row's preset has, neighbours in a grid are tried until both of the best one are worse,
or do not learn at all. What is recorded already is not run again.
"""

import argparse
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import hydra

from ffrepro import command, record, table
from ffrepro.config import plain
from ffrepro.errors import UserError
from ffrepro.paths import CONF, from_root
from ffrepro.processes import console, run_all, run_command, shared_threads
from ffrepro.record import Record
from ffrepro.table import Row

GRID = [float(f"{digit}e{power}") for power in range(-6, 1) for digit in (1, 3)]  # about √10 apart
_OPTION = "algorithm.optimizer.lr"
_METRIC = "validation_error"


def main(arguments: list[str] | None = None) -> int:
    """The command line of `scripts/learning_rates.py`; returns its exit code."""
    parser = command.parser("learning_rates", "Choose the learning rates of a table's rows.")
    return command.exit_code("learning_rates", _choose, parser.parse_intermixed_args(arguments))


def _choose(options: argparse.Namespace) -> int:
    chosen_table = table.load(options.table)
    if not chosen_table.trial:
        raise UserError(f"{options.table} does not choose learning rates: its table.yaml has no `trial`.")
    rows = chosen_table.chosen(options.rows.split(",") if options.rows else None)
    shared = [f"results_dir={options.results}"] if options.results != "results" else []
    shared += [*shared_threads(options.jobs, options.overrides), *options.overrides]
    presets = {row.name: _values(row, [*chosen_table.trial, *options.overrides]) for row in rows}
    experiments = {row.name: row.experiment for row in rows}

    def errors() -> dict[str, dict[float, float]]:
        records = _records(options.results)
        return {name: found(values, experiments[name], records) for name, values in presets.items()}

    known = errors()
    while True:
        ahead = {name: next_rate(known[name], _rate(values)) for name, values in presets.items()}
        trials = {f"{name} {rate:g}": (name, rate) for name, rate in ahead.items() if rate is not None}
        if not trials:
            break
        console.print(f"{len(trials)} of {len(rows)} rows have a learning rate to try.")
        commands = {
            trial: run_command([f"experiment={experiments[name]}", *chosen_table.trial, f"{_OPTION}={rate:g}", *shared])
            for trial, (name, rate) in trials.items()
        }
        run_all(commands, options.jobs)
        # A run that diverged fails, and has a record, which says so.
        known = errors()
        missing = [trial for trial, (name, rate) in trials.items() if rate not in known[name]]
        if missing:
            raise UserError(f"{', '.join(missing)}: no record, see above. The same command goes on from what is kept.")
    for line in _written(known):
        console.print(line)
    for name, values in presets.items():
        if best(known[name]) != _rate(values):
            preset = f"conf/experiment/{experiments[name]}.yaml"
            console.print(f"{preset} has {_OPTION} {_rate(values):g}: {best(known[name]):g} is chosen.")
    return 0


def next_rate(errors: dict[float, float], start: float) -> float | None:
    """What to try next after the rates of `errors`, the smaller neighbour of the best first; None: it is found."""
    if not errors:
        return min(GRID, key=lambda rate: abs(math.log(rate / start)))
    place = GRID.index(best(errors))
    return next((rate for rate in GRID[max(place - 1, 0) : place + 2] if rate not in errors), None)


def best(errors: dict[float, float]) -> float:
    """The learning rate with the least error, and of two alike the smaller."""
    return min(errors, key=lambda rate: (errors[rate], rate))


def found(values: dict[str, Any], experiment: str, records: Iterable[Record]) -> dict[float, float]:
    """Errors by learning rate of the runs with the config `values` but for the rate; infinite if one diverged."""
    errors, wanted = {}, _but_rate(values)
    for one in records:
        rate = _rate(one.config)
        if rate in GRID and f"experiment={experiment}" in one.overrides and _but_rate(one.config) == wanted:
            error = one.metrics.get(_METRIC)
            errors[rate] = math.inf if error is None or one.status != "ok" else error
    return errors


def _records(results: str) -> list[Record]:
    paths: Iterable[Path] = from_root(results).glob("runs/sweeps/*/paper-seed0.json")
    return [one for one in map(record.load, paths) if one.status != "failed"]


def _values(row: Row, overrides: list[str]) -> dict[str, Any]:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return plain(hydra.compose("config", [f"experiment={row.experiment}", *overrides]))


def _rate(values: dict[str, Any]) -> float:
    """The learning rate that a config has; 0 for none."""
    optimizer = (values.get("algorithm") or {}).get("optimizer") or {}
    return float(optimizer.get("lr") or 0.0)


def _but_rate(values: dict[str, Any]) -> dict[str, Any]:
    decisive = record.decisive_values(values)
    decisive["algorithm"] = {**decisive["algorithm"], "optimizer": {**decisive["algorithm"]["optimizer"], "lr": None}}
    return decisive


def _written(errors: dict[str, dict[float, float]]) -> list[str]:
    """A table in Markdown."""
    lines = ["| row | held-out error, %, by learning rate | chosen |", "|---|---|---|"]
    for name, tried in errors.items():
        said = ", ".join(f"{rate:g}: {_said(error)}" for rate, error in sorted(tried.items()))
        lines.append(f"| `{name}` | {said} | {best(tried):g} |")
    return lines


def _said(error: float) -> str:
    return f"{error:.1f}" if math.isfinite(error) else "diverged"

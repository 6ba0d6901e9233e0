"""Choose the learning rate of each row of a table by short runs, on data held out of the training data.

The search starts from the rate of the row's preset. It tries neighbors in a grid until both neighbors of the best rate
are worse, or did not learn. Recorded trials are not run again.
"""

import argparse

from ffrepro import table
from ffrepro.commands.command_line import refuse, results_option, run_table_program, table_parser
from ffrepro.commands.processes import console, parse_jobs, run_all, run_command, thread_options
from ffrepro.commands.rate_search import GRID, OPTIONS, Search
from ffrepro.config import composed, plain
from ffrepro.errors import UserError
from ffrepro.metric import named
from ffrepro.paths import from_root
from ffrepro.runs import record
from ffrepro.table import Row, Table

_OWN = ("experiment", "seed", "budget", "results_dir", "rerun", *OPTIONS)  # set by the trials


def main(arguments: list[str] | None = None) -> int:
    """The command line of `scripts/learning_rates.py`; returns its exit code."""
    parser = table_parser("learning_rates", "Choose the learning rates of a table's rows.")
    return run_table_program("learning_rates", _choose, parser.parse_intermixed_args(arguments))


def _choose(options: argparse.Namespace) -> int:
    chosen_table = table.load(options.table)
    if not chosen_table.trial:
        raise UserError(f"{options.table} does not choose learning rates: its table.yaml has no `trial`.")
    refuse(options.overrides, {name: f"a trial has its own {name}. Leave it out" for name in _OWN})
    jobs = parse_jobs(options.jobs)
    rows = chosen_table.chosen(options.rows.split(",") if options.rows else None)
    searches = [_search(chosen_table, row, options.overrides) for row in rows]
    _run_trials(searches, chosen_table, options, jobs)
    _print_results(searches)
    return 0


def _search(chosen_table: Table, row: Row, overrides: list[str]) -> Search:
    config = composed([f"experiment={row.experiment}", *chosen_table.trial, *overrides])
    return Search(row, named(chosen_table.metric_of(row).on("validation")), plain(config))


def _run_trials(searches: list[Search], chosen_table: Table, options: argparse.Namespace, jobs: int) -> None:
    """Run the next trial of every search, again and again until all searches end."""
    shared = results_option(options.results, options.overrides)
    shared += [*thread_options(jobs, options.overrides), *options.overrides]
    missing = _missing_trials(searches, options.results)
    while missing:
        console.print(f"{len(missing)} of {len(searches)} rows have a learning rate to try.")
        commands = {
            name: run_command(
                [f"experiment={search.row.experiment}", *chosen_table.trial, f"{search.option}={rate:g}", *shared]
            )
            for name, (search, rate) in missing.items()
        }
        run_all(commands, jobs)
        before, missing = missing, _missing_trials(searches, options.results)
        failed = [name for name in before if name in missing]  # a trial that diverged has a record
        if failed:
            raise UserError(f"{', '.join(failed)}: no record, see above. The same command goes on from what is kept.")


def _missing_trials(searches: list[Search], results: str) -> dict[str, tuple[Search, float]]:
    """The trial that each search needs next, by name, after reading all records."""
    paths = sorted(from_root(results).glob("runs/sweeps/*/paper-seed0.json"))
    records = [trial for trial in map(record.load, paths) if trial.status != "failed"]
    for search in searches:
        search.read(records)
    return {f"{search.row.name} {rate:g}": (search, rate) for search in searches if (rate := search.next) is not None}


def _print_results(searches: list[Search]) -> None:
    """A table in Markdown, and the presets that have another rate."""
    console.print("| row | metric | by learning rate | chosen |\n|---|---|---|---|")
    for search in searches:
        trials = ", ".join(
            f"{rate:g}: {'diverged' if value is None else search.metric.format(value)}"
            for rate, value in sorted(search.trials.items())
        )
        chosen = "none" if search.best is None else f"{search.best:g}"
        console.print(f"| `{search.row.name}` | {search.metric.heading} | {trials} | {chosen} |")
    for search in searches:
        if search.best is None:
            console.print(f"{search.row.name} learns with no rate of the grid.")
            continue
        if search.best != search.start:
            preset = f"conf/experiment/{search.row.experiment}.yaml"
            console.print(f"{preset} has {search.option} {search.start:g}: {search.best:g} is chosen.")
        if search.best in (GRID[0], GRID[-1]):
            console.print(f"{search.row.name}: {search.best:g} is where the grid ends.")

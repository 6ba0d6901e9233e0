"""Run the rows of a table, one process a run, and write the report."""

import argparse
import shlex
import statistics
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from omegaconf import DictConfig

from ffrepro import table
from ffrepro.commands.command_line import refuse, results_option, run_table_program, table_parser
from ffrepro.commands.processes import console, parse_jobs, run_all, run_command, thread_options
from ffrepro.config import budgeted_epochs, build, check_top, composed
from ffrepro.device import choose_device, choose_precision
from ffrepro.errors import UserError
from ffrepro.paths import from_root
from ffrepro.runs import record
from ffrepro.runs.job import check_overrides
from ffrepro.runs.tracking import duration
from ffrepro.table import Row, Table

# Options of a run that this command sets, and how to set them here.
_OWN = {
    "experiment": "the experiments are the table's rows: choose them with ROWS=… (or --rows)",
    "seed": "here it is SEEDS=0,1,2 (or --seeds)",
    "budget": "here it is BUDGET=… (or --budget)",
    "device": "here it is DEVICE=… (or --device)",
}
_BUDGETS = {
    "smoke": "does it run at all? One short epoch; the errors mean nothing",
    "quick": "a tenth of the full epochs, at most ten: a preview, no reproduction",
    "paper": "the full epochs: the paper's, where it gives them",
}


def main(arguments: list[str] | None = None) -> int:
    """The command line of `scripts/reproduce.py`; returns its exit code."""
    parser = table_parser("reproduce", "Run the rows of a table and write the report.")
    parser.add_argument("--budget", default="auto", help="smoke, quick, paper or auto: paper on a GPU, else quick")
    parser.add_argument("--seeds", default="", help="as in 0,1,2; else the table's for paper, and 0 for the others")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    return run_table_program("reproduce", _reproduce, parser.parse_intermixed_args(arguments))


def _reproduce(options: argparse.Namespace) -> int:
    chosen_table = table.load(options.table)
    # budget.epoch_fraction=… and the like are options of a run.
    refuse([text for text in options.overrides if not text.lstrip("+~").startswith("budget.")], _OWN)
    device = choose_device(options.device)
    budget = _budget(options.budget, device)
    rows = chosen_table.chosen(options.rows.split(",") if options.rows else None)
    runs = _runs(chosen_table, rows, _seeds(options.seeds), budget)
    jobs = parse_jobs(options.jobs)
    # Only the options that differ from the defaults: the records keep this command.
    shared = [f"budget={budget}"] if budget != "paper" else []
    shared += [f"device={options.device}"] if options.device != "auto" else []
    shared += results_option(options.results, options.overrides)
    shared += [*thread_options(jobs, options.overrides), *options.overrides]
    _announce(chosen_table, runs, budget, device, options, shared=shared)
    commands = {
        f"{row.recorded_as} seed {seed}": run_command([f"experiment={row.experiment}", f"seed={seed}", *shared])
        for row, seed in runs
    }
    failed = run_all(commands, jobs)
    from ffrepro.report import write_report  # noqa: PLC0415 - it loads slowly, and runs do not need it

    console.print(f"The report: {write_report(from_root(options.results))}")
    if failed:
        console.print(f"{len(failed)} of {len(commands)} runs failed: {', '.join(failed)}. See above.")
        return 1
    return 0


def _budget(name: str, device: torch.device) -> str:
    if name == "auto":
        return "paper" if device.type == "cuda" else "quick"
    if name not in _BUDGETS:
        raise UserError(f"BUDGET is {name!r}: expected one of {', '.join(_BUDGETS)}, auto.")
    return name


def _runs(chosen_table: Table, rows: list[Row], seeds: list[int], budget: str) -> list[tuple[Row, int]]:
    """Each row with `seeds`, else its own or the table's; a preview takes the first of these."""
    seeds_of = {row.name: seeds or row.seeds or chosen_table.seeds for row in rows}
    if not seeds and budget != "paper":
        seeds_of = {name: own[:1] for name, own in seeds_of.items()}
    # Seed by seed, so that the whole table has its first numbers early.
    all_seeds = list(dict.fromkeys(seed for own in seeds_of.values() for seed in own))
    runs: dict[tuple[str, int], tuple[Row, int]] = {}
    for seed in all_seeds:
        for row in rows:
            if seed in seeds_of[row.name]:
                runs.setdefault((row.recorded_as, seed), (row, seed))  # two rows may test the same net
    return list(runs.values())


def _seeds(text: str) -> list[int]:
    seeds = text.split(",") if text else []
    if not all(seed.strip().isdecimal() for seed in seeds):
        raise UserError(f"SEEDS is {text!r}: expected whole numbers with commas between, as in 0,1,2.")
    return [int(seed) for seed in seeds]


def _announce(
    chosen_table: Table,
    runs: list[tuple[Row, int]],
    budget: str,
    device: torch.device,
    options: argparse.Namespace,
    *,
    shared: list[str],
) -> None:
    """Check the options of all runs, and print what will run, how long it trains, and what is recorded."""
    rows = {row.recorded_as: row for row, _ in runs}
    configs = {name: _checked_config(row, shared, options.overrides, device) for name, row in rows.items()}
    seeds = sorted({seed for _, seed in runs})
    console.print(f"{chosen_table.title}: {len(rows)} rows ({', '.join(rows)})")
    console.print(f"Budget {budget}: {_BUDGETS[budget]}. Seeds {', '.join(map(str, seeds))}; on {device.type}.")
    _print_time(chosen_table.name, runs, configs, options.results)
    results = from_root(options.results) / "runs" / chosen_table.name
    paths = [results / row.recorded_as / f"{budget}-seed{seed}.json" for row, seed in runs]
    # Runs with changed options are other runs; their records are among the sweeps.
    recorded = 0 if record.changed(options.overrides) else sum(path.exists() for path in paths)
    if recorded and next(iter(configs.values())).rerun:
        console.print(f"{recorded} of {len(runs)} runs have a record in {options.results}, which is replaced.")
    elif recorded:
        console.print(
            f"{recorded} of {len(runs)} runs have a record in {options.results}, and are run again only where they "
            "failed or their options have changed: another folder (RESULTS=my-results) keeps yours apart, "
            "ARGS=rerun=true replaces all."
        )
    other = "quick" if budget == "paper" else "paper"
    folder = f" RESULTS={shlex.quote(options.results)}" if options.results != "results" else ""
    console.print(f"For the other budget: make reproduce-{chosen_table.name} BUDGET={other}{folder}\n")


def _checked_config(row: Row, shared: list[str], overrides: list[str], device: torch.device) -> DictConfig:
    """The config of a row, whose options every run would refuse otherwise."""
    config = composed([f"experiment={row.experiment}", *shared])
    check_top(config)
    check_overrides(config, overrides)
    choose_precision(config.precision, device)
    for group in ("dataset", "architecture", "algorithm"):
        build(config[group])
    return config


def _print_time(table_name: str, runs: list[tuple[Row, int]], configs: dict[str, DictConfig], results: str) -> None:
    folders = [from_root(folder) / "runs" / table_name for folder in dict.fromkeys((results, "results"))]
    times = {name: training_seconds(config, [path / name for path in folders]) for name, config in configs.items()}
    known = [time for row, _ in runs if (time := times[row.recorded_as]) is not None]
    if known:
        console.print(f"About {duration(sum(known))} of training in all, on the machines of the records.")
    unknown = [name for name, time in times.items() if time is None]
    if unknown:
        console.print(f"Rows without a record: {', '.join(unknown)}; their first epoch tells.")


def training_seconds(config: DictConfig, folders: Sequence[Path]) -> float | None:
    """Training time of a row's `config` on the machines of the records in `folders`; None without such a record.

    It is the median time of an epoch in the records, times the epochs of the budget. A budget with fewer examples takes
    its share of the time. Records of reduced data or of stand-in data do not count.
    """
    limit = config.budget.train_examples
    epoch_s = []
    for path in (path for folder in folders for path in sorted(folder.glob("*.json"))):
        # The run or the report will name a damaged record.
        with suppress(UserError, AttributeError, KeyError, TypeError, ZeroDivisionError):
            known = record.load(path)
            whole = known.config["budget"]["train_examples"] is None and not known.data["stand_in"]
            if known.history and whole:
                examples = known.data["sizes"]["train"]
                epoch_s.append(known.train_s / len(known.history) * min(limit or examples, examples) / examples)
    return statistics.median(epoch_s) * budgeted_epochs(config) if epoch_s else None

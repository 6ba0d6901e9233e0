"""Run the rows of a table, one process a run, and write the report."""

import argparse
import os
import shlex
import subprocess
import sys

import hydra
import torch
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from ffrepro import estimate, table
from ffrepro.device import choose_device
from ffrepro.errors import UserError
from ffrepro.paths import CONF, ROOT, from_root
from ffrepro.suggest import explain
from ffrepro.table import Row, Table
from ffrepro.tracking import duration

_BUDGETS = ("smoke", "quick", "paper", "auto")
_EXPLAINED = {
    "smoke": "does it run at all? One short epoch; the errors mean nothing",
    "quick": "a tenth of the paper's epochs, at most ten: a preview, no reproduction",
    "paper": "the paper's epochs",
}

console = Console(soft_wrap=True, highlight=False, markup=False)


def main(arguments: list[str] | None = None) -> int:
    """The command line of `scripts/reproduce.py`; returns its exit code."""
    options = _parser().parse_intermixed_args(arguments)
    try:
        return _reproduce(options)
    except UserError as error:
        print(f"reproduce: {error}", file=sys.stderr)
        return 2
    except (HydraException, OmegaConfBaseException) as error:
        print(f"reproduce: {explain(error, options.overrides)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("reproduce: stopped. The same command goes on from what is kept.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="reproduce", description="Run the rows of a table and write the report.")
    parser.add_argument("table", help=f"one of {', '.join(table.names())}")
    parser.add_argument("--budget", default="auto", help="smoke, quick, paper or auto: paper on a GPU, else quick")
    parser.add_argument("--seeds", default="", help="as in 0,1,2; else the table's for paper, and 0 for the others")
    parser.add_argument("--rows", default="", help="as in bp,ff_supervised; else all")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--results", default="results", help="folder for records and report, from the repository root")
    parser.add_argument("overrides", nargs="*", help="anything else for every run, as in tracking=none")
    return parser


def _reproduce(options: argparse.Namespace) -> int:
    chosen_table = table.load(options.table)
    device = choose_device(options.device)
    if options.budget not in _BUDGETS:
        raise UserError(f"BUDGET is {options.budget!r}: expected one of {', '.join(_BUDGETS)}.")
    budget = ("paper" if device.type == "cuda" else "quick") if options.budget == "auto" else options.budget
    seeds = _seeds(options.seeds) or (chosen_table.seeds if budget == "paper" else chosen_table.seeds[:1])
    rows = chosen_table.chosen(options.rows.split(",") if options.rows else None)
    # Only what differs from the defaults: the records keep this command.
    shared = [f"budget={budget}"] if budget != "paper" else []
    shared += [f"device={options.device}"] if options.device != "auto" else []
    shared += [f"results_dir={options.results}"] if options.results != "results" else []
    shared += options.overrides
    _announce(chosen_table, rows, seeds, budget, device, shared=shared)

    failed = []
    # Seeds outside: the whole table has its first numbers as early as can be.
    for seed in seeds:
        for row in rows:
            command = [sys.executable, "-m", "ffrepro", f"experiment={row.experiment}", f"seed={seed}", *shared]
            code = _run(command)
            if code == 130:
                raise KeyboardInterrupt
            if code != 0:
                failed.append(f"{row.name} seed {seed}")
    from ffrepro.report import write_report  # noqa: PLC0415 - after the runs: they need none of what it loads

    console.print(f"The report: {write_report(from_root(options.results))}")
    if failed:
        console.print(f"{len(failed)} of {len(rows) * len(seeds)} runs failed: {', '.join(failed)}. See above.")
        return 1
    return 0


def _seeds(text: str) -> list[int]:
    try:
        return [int(seed) for seed in text.split(",")] if text else []
    except ValueError as error:
        raise UserError(f"SEEDS is {text!r}: expected whole numbers with commas between, as in 0,1,2.") from error


def _announce(
    chosen_table: Table, rows: list[Row], seeds: list[int], budget: str, device: torch.device, *, shared: list[str]
) -> None:
    """Say what is about to happen, how long it takes, and how to ask for something else."""
    speed = estimate.measure(str(device), "auto")
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        configs = [hydra.compose("config", [f"experiment={row.experiment}", *shared]) for row in rows]
    total = len(seeds) * sum(estimate.seconds(config, speed) for config in configs)
    other = "quick" if budget == "paper" else "paper"
    console.print(f"{chosen_table.title}: {len(rows)} rows ({', '.join(row.name for row in rows)})")
    console.print(f"Budget {budget}: {_EXPLAINED[budget]}. Seeds {', '.join(map(str, seeds))}; on {device.type}.")
    console.print(f"About {duration(total)} in all; what is recorded already is not run again.")
    console.print(f"For the other budget: make reproduce-{chosen_table.name} BUDGET={other}\n")


def _run(command: list[str]) -> int:
    """Run `command`; on Ctrl-C, which reaches it too, wait until it has kept its state."""
    console.print(f"$ {shlex.join(['python', *command[1:]])}", style="dim")
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait()
            raise

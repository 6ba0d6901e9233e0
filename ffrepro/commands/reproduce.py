"""Run the rows of a table, one process a run, and write the report."""

import argparse
import shlex

import hydra
import torch

from ffrepro import table
from ffrepro.commands import command_line as command
from ffrepro.commands import estimate
from ffrepro.commands.processes import console, run_all, run_command, shared_threads, side_by_side
from ffrepro.config import check_top
from ffrepro.device import choose_device
from ffrepro.errors import UserError
from ffrepro.paths import CONF, from_root
from ffrepro.runs import record
from ffrepro.runs.job import check_overrides
from ffrepro.runs.tracking import duration
from ffrepro.table import Row, Table

# Of a run's options those that this command has its own way to say.
_OWN = {
    "experiment": "the experiments are the table's rows: choose them with ROWS=… (or --rows)",
    "seed": "here it is SEEDS=0,1,2 (or --seeds)",
    "budget": "here it is BUDGET=… (or --budget)",
    "device": "here it is DEVICE=… (or --device)",
}
_BUDGETS = ("smoke", "quick", "paper", "auto")
_EXPLAINED = {
    "smoke": "does it run at all? One short epoch; the errors mean nothing",
    "quick": "a tenth of the full epochs, at most ten: a preview, no reproduction",
    "paper": "the full epochs: the paper's, where it gives them",
}


def main(arguments: list[str] | None = None) -> int:
    """The command line of `scripts/reproduce.py`; returns its exit code."""
    return command.exit_code("reproduce", _reproduce, _parser().parse_intermixed_args(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = command.parser("reproduce", "Run the rows of a table and write the report.")
    parser.add_argument("--budget", default="auto", help="smoke, quick, paper or auto: paper on a GPU, else quick")
    parser.add_argument("--seeds", default="", help="as in 0,1,2; else the table's for paper, and 0 for the others")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    return parser


def _reproduce(options: argparse.Namespace) -> int:
    chosen_table = table.load(options.table)
    command.refuse([one for one in options.overrides if not one.lstrip("+~").startswith("budget.")], _OWN)
    device = choose_device(options.device)
    if options.budget not in _BUDGETS:
        raise UserError(f"BUDGET is {options.budget!r}: expected one of {', '.join(_BUDGETS)}.")
    budget = ("paper" if device.type == "cuda" else "quick") if options.budget == "auto" else options.budget
    rows = chosen_table.chosen(options.rows.split(",") if options.rows else None)
    runs = _runs(chosen_table, rows, _seeds(options.seeds), budget)
    # Only what differs from the defaults: the records keep this command.
    shared = [f"budget={budget}"] if budget != "paper" else []
    shared += [f"device={options.device}"] if options.device != "auto" else []
    shared += command.results_option(options.results, options.overrides)
    jobs = side_by_side(options.jobs)
    shared += shared_threads(jobs, options.overrides)
    shared += options.overrides
    _announce(chosen_table, runs, budget, device, options, shared=shared)
    commands = {
        f"{row.recorded_as} seed {seed}": run_command([f"experiment={row.experiment}", f"seed={seed}", *shared])
        for row, seed in runs
    }
    failed = run_all(commands, jobs)
    from ffrepro.report import write_report  # noqa: PLC0415 - after the runs: they need none of what it loads

    console.print(f"The report: {write_report(from_root(options.results))}")
    if failed:
        console.print(f"{len(failed)} of {len(commands)} runs failed: {', '.join(failed)}. See above.")
        return 1
    return 0


def _runs(chosen_table: Table, rows: list[Row], seeds: list[int], budget: str) -> list[tuple[Row, int]]:
    """Each row with each seed: those asked for, else the row's or the table's, of which a preview takes the first."""
    wanted = {row.name: seeds or row.seeds or chosen_table.seeds for row in rows}
    if not seeds and budget != "paper":
        wanted = {name: own[:1] for name, own in wanted.items()}
    # Seeds outside: the whole table has its first numbers as early as can be.
    every = list(dict.fromkeys(seed for own in wanted.values() for seed in own))
    runs: dict[tuple[str, int], tuple[Row, int]] = {}
    for seed in every:
        for row in rows:
            if seed in wanted[row.name]:
                runs.setdefault((row.recorded_as, seed), (row, seed))  # two rows may be two tests of one net
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
    """Say what is about to happen, how long it takes, and how to ask for something else."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        configs = [hydra.compose("config", [f"experiment={row.experiment}", *shared]) for row, _ in runs]
    for config in configs:
        check_top(config)
        check_overrides(config, options.overrides)
    speed = estimate.measure(str(device), configs[0].precision)
    total = sum(estimate.seconds(config, speed) for config in configs)
    rows = list(dict.fromkeys(row.recorded_as for row, _ in runs))
    seeds = sorted({seed for _, seed in runs})
    other = "quick" if budget == "paper" else "paper"
    console.print(f"{chosen_table.title}: {len(rows)} rows ({', '.join(rows)})")
    console.print(f"Budget {budget}: {_EXPLAINED[budget]}. Seeds {', '.join(map(str, seeds))}; on {device.type}.")
    folder = from_root(options.results) / "runs" / chosen_table.name
    paths = [folder / row.recorded_as / f"{budget}-seed{seed}.json" for row, seed in runs]
    # With other options they are other runs, which the sweeps have.
    recorded = 0 if record.changed(options.overrides) else sum(path.exists() for path in paths)
    console.print(f"About {duration(total)} in all, where nothing is recorded yet.")
    if recorded and configs[0].rerun:
        console.print(f"{recorded} of {len(runs)} runs have a record in {options.results}, which is replaced.")
    elif recorded:
        console.print(
            f"{recorded} of {len(runs)} runs have a record in {options.results}, and are run again only where they "
            "failed or their options have changed: another folder (RESULTS=my-results) keeps yours apart, "
            "ARGS=rerun=true replaces all."
        )
    where = f" RESULTS={shlex.quote(options.results)}" if options.results != "results" else ""
    console.print(f"For the other budget: make reproduce-{chosen_table.name} BUDGET={other}{where}\n")

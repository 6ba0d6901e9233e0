"""Time and memory of training on this machine, beside the bare matrix products of the same shapes.

Full speed is reached once most data are told apart, so every net is trained for a while first, on few of them; an
epoch's time is that of some minibatches, times the minibatches of an epoch. What is compared is timed in turn, so that
a busy machine slows both.
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from rich.console import Console

from ffrepro.commands.benchmark import deep_nets, rows
from ffrepro.commands.command_line import in_one_line
from ffrepro.device import choose_device, choose_precision
from ffrepro.errors import DataNotFoundError, UserError
from ffrepro.files import written_atomically
from ffrepro.paths import from_root
from ffrepro.runs.record import environment, git_state

# On a device, in a precision: what is to be said in a line, and what is to be kept.
Measurement = Callable[[torch.device, str], tuple[str, dict[str, Any]]]

PARTS: dict[str, list[Measurement]] = {
    "epochs": [*(partial(rows.epoch, case) for case in rows.CASES), rows.hybrids],
    "roll_outs": [rows.roll_outs],
    "deep_nets": [partial(deep_nets.images_per_second, depth) for depth in deep_nets.DEPTHS],
    "memory": [partial(rows.memory, case) for case in rows.CASES if case.experiment in rows.HELD],
    "precisions": [rows.precisions],
}
_console = Console(highlight=False, markup=False, soft_wrap=True)


def main(arguments: list[str] | None = None) -> int:
    """The command line of `scripts/benchmark.py`; returns its exit code."""
    parser = argparse.ArgumentParser(prog="benchmark", description="Time and memory of training on this machine.")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--precision", default="auto", help="auto, fp32 or bf16")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--output", default="results/benchmark", help="folder, from the repository root")
    options = parser.parse_args(arguments)
    return in_one_line("benchmark", partial(_measure, options), f"Parts that were measured are in {options.output}.")


def _measure(options: argparse.Namespace) -> int:
    parts = options.parts.split(",")
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise UserError(f"PARTS has {unknown[0]!r}: expected some of {','.join(PARTS)}.")
    device = choose_device(options.device)
    precision = choose_precision(options.precision, device)
    machine = environment(device, precision)
    _console.print(f"{machine['device']}, {machine['threads']} threads, {precision}")
    missing = False
    for part in parts:
        measured = []
        for measure in PARTS[part]:
            try:
                said, values = measure(device, precision)
            except DataNotFoundError as error:
                missing = True
                print(f"benchmark: left out of {part}: {error}", file=sys.stderr)
                continue
            _console.print(said)
            measured.append(values)
        if measured:
            with written_atomically(from_root(options.output) / f"{part}.json") as file:
                content = {"environment": machine, "git": git_state(), "measured": measured}
                file.write((json.dumps(content, indent=1) + "\n").encode())
    _console.print(f"Written to {options.output}")
    return 2 if missing else 0

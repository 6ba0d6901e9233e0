"""Time and memory of training on this machine, compared with bare matrix products of the same shapes.

Training reaches its full speed once most data are told apart, so every net first trains for a while on few examples.
The time of an epoch is measured on some minibatches and multiplied. Two times to be compared are measured in turn, so
that a busy machine affects both.
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
from ffrepro.commands.benchmark.cases import CASES, MEMORY_CASES
from ffrepro.commands.command_line import run_program
from ffrepro.device import choose_device, choose_precision
from ffrepro.errors import DataNotFoundError, UserError
from ffrepro.files import written_atomically
from ffrepro.paths import from_root
from ffrepro.runs.machine import environment, git_state

# Device and precision -> a line of text, and values for the file.
Measurement = Callable[[torch.device, str], tuple[str, dict[str, Any]]]

PARTS: dict[str, list[Measurement]] = {
    "epochs": [*(partial(rows.epoch, case) for case in CASES), rows.hybrids],
    "roll_outs": [rows.roll_outs],
    "deep_nets": [partial(deep_nets.images_per_second, depth) for depth in deep_nets.DEPTHS],
    "memory": [partial(rows.memory, case) for case in MEMORY_CASES],
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
    return run_program("benchmark", partial(_measure, options), f"Parts that were measured are in {options.output}.")


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
                text, values = measure(device, precision)
            except DataNotFoundError as error:
                missing = True
                print(f"benchmark: left out of {part}: {error}", file=sys.stderr)
                continue
            _console.print(text)
            measured.append(values)
        if measured:
            with written_atomically(from_root(options.output) / f"{part}.json") as file:
                content = {"environment": machine, "git": git_state(), "measured": measured}
                file.write((json.dumps(content, indent=1) + "\n").encode())
    _console.print(f"Written to {options.output}")
    return 2 if missing else 0

"""Time and memory of training on this machine, beside the bare matrix products of the same shapes.

Full speed is reached once most data are told apart, so every net is trained for a while first, on few of them; an
epoch's time is that of some minibatches, times the minibatches of an epoch. Minibatches and bare products
are timed in turn, so that a busy machine slows both.
"""

import argparse
import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from ffrepro.benchmark.deep_nets import DEPTHS, deep_net
from ffrepro.benchmark.rows import CASES, MEASURED, memory, precisions, roll_outs, speed
from ffrepro.device import choose_device, choose_precision
from ffrepro.errors import UserError
from ffrepro.files import written_atomically
from ffrepro.paths import from_root
from ffrepro.record import environment


def main() -> int:
    """The command line of `scripts/benchmark.py`; returns its exit code."""
    parser = argparse.ArgumentParser(description="Time and memory of training on this machine.")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--precision", default="auto", help="auto, fp32 or bf16")
    parser.add_argument("--output", default="results/benchmark.json", help="JSON file, from the repository root")
    options = parser.parse_args()
    try:
        device = choose_device(options.device)
        precision = choose_precision(options.precision, device)
        result = {
            "environment": environment(device, precision),
            "speed": [speed(case, device, precision) for case in CASES],
            "roll_outs": roll_outs(device, precision),
            "deep_nets": [deep_net(depth, device, precision) for depth in DEPTHS],
            "memory": [memory(case, device, precision) for case in CASES if case.experiment in MEASURED],
            "precision": precisions(device),
        }
        with written_atomically(from_root(options.output)) as file:
            file.write((json.dumps(result, indent=1) + "\n").encode())
    except UserError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    _print(result)
    print(f"Written to {options.output}")
    return 0


def _print(result: dict[str, Any]) -> None:
    console = Console(highlight=False)
    environment = result["environment"]
    table = Table(title=f"{environment['device']}, {environment['threads']} threads, {environment['precision']}")
    for heading in ("batch 100", "an epoch", "compared with", "an epoch of it", "ratio"):
        table.add_column(heading)
    for row in result["speed"]:
        table.add_row(
            row["case"],
            f"{row['epoch_s']:.2f} s",
            row.get("compared_with", ""),
            f"{row['bare_products_epoch_s']:.2f} s" if "bare_products_epoch_s" in row else "",
            f"{row['ratio_to_bare_products']:.2f}" if "ratio_to_bare_products" in row else "",
        )
    console.print(table)
    written = result["roll_outs"]
    console.print(
        f"Roll-outs of {written['strings']} strings, {written['characters']} characters each: "
        f"{written['seconds']:.2f} s."
    )
    for net in result["deep_nets"]:
        console.print(
            f"Depth {net['depth']} without shortcuts: {net['sgd_images_per_s']:.0f} images a second by SGD, "
            f"{net['kfac_images_per_s']:.0f} by K-FAC, which takes {net['kfac_over_sgd']:.2f} times as long; "
            f"{net['convolved_images_per_s']:.0f} by SGD with torch's 1 × 1 convolutions."
        )
    for held in result["memory"]:
        console.print(
            f"Peak memory of {held['case']}: {held['over_interpreter_with_torch_bytes'] / 1e9:.2f} GB "
            "over the interpreter with torch."
        )
    if not result["precision"]:
        console.print("bf16 is emulated on this processor: its errors were not compared with those of fp32.")
    for row in result["precision"]:
        console.print(
            f"{row['precision']}: 784-256-256, 10,000 images, 5 epochs: "
            f"{row['mean']:.2f} ± {row['std']:.2f} % test error "
            f"({len(row['test_errors'])} seeds)."
        )

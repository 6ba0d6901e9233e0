"""Find or download the data sets, and check their files."""

import sys
from functools import partial

import torch

from ffrepro.commands.command_line import run_program
from ffrepro.config import build, composed
from ffrepro.dataset import Source
from ffrepro.errors import UserError
from ffrepro.paths import CONF


def main(arguments: list[str] | None = None) -> int:
    """The command line of `scripts/fetch_data.py`; returns its exit code."""
    names = sys.argv[1:] if arguments is None else arguments
    return run_program("fetch_data", partial(_fetch, names), "Run it again: complete files stay.")


def sources() -> dict[str, Source]:
    """The options of `conf/dataset`, without those that only stand in for other data sets."""
    names = sorted(path.stem for path in (CONF / "dataset").glob("*.yaml"))
    built: dict[str, Source] = {name: build(composed([f"dataset={name}"]).dataset) for name in names}
    return {name: source for name, source in built.items() if source.stand_in() is not source}


def _fetch(names: list[str]) -> int:
    """Load each data set; exit code 2 if any is missing or damaged."""
    known = sources()
    code = 0
    for name in names or known:
        try:
            if name not in known:
                raise UserError(f"there is no data set {name!r}: expected some of {', '.join(known)}.")
            dataset = known[name].load(torch.device("cpu"))
            sizes = f"{len(dataset.train)} training and {len(dataset.test)} test examples"
            print(f"{name}: {sizes}, files as they should be")
        except UserError as error:
            print(f"fetch_data: {error}", file=sys.stderr)
            code = 2
    return code

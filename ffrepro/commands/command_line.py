"""Options, checks, exit codes and interrupts that the commands share."""

import argparse
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ffrepro import table
from ffrepro.commands.suggestions import mistakes_explained
from ffrepro.errors import UserError
from ffrepro.paths import ROOT, from_root

_SAME_INTERRUPT_S = 1.0
_NOT_STRINGS = ("true", "false", "null", "nan", "inf")  # in Hydra's grammar


def table_parser(program: str, description: str) -> argparse.ArgumentParser:
    """A parser for commands that run the rows of a table."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("table", help=f"one of {', '.join(table.names())}")
    parser.add_argument("--rows", default="", help="as in bp,ff_supervised; else all")
    parser.add_argument("--jobs", default="1", help="runs side by side, which share the processor's cores")
    parser.add_argument("--results", default="results", help="folder for the records, from the repository root")
    parser.add_argument("overrides", nargs="*", help="other options for every run, as in tracking=none")
    return parser


def refuse(overrides: list[str], own: dict[str, str]) -> None:
    """Raise UserError if `overrides` have an option that the command itself sets.

    `own` says for each such option what to do instead. The name of a group stands for all its options.
    """
    for override in overrides:
        option = override.lstrip("+~").partition("=")[0]
        for name in (option, option.partition(".")[0]):
            if name in own:
                raise UserError(f"{override}: {own[name]}.")


def results_option(results: str, overrides: list[str]) -> list[str]:
    """The folder `results` as an option of a run; none for the default folder.

    Raises UserError if it is no folder for results, or `overrides` have another.
    """
    if any(override.startswith("results_dir=") for override in overrides):
        raise UserError("results_dir is an option of one run: here it is RESULTS=my-results (or --results my-results).")
    if not results.strip() or from_root(results) == ROOT:
        raise UserError(f"RESULTS is {results!r}: expected a folder of its own, as in RESULTS=my-results.")
    if results == "results":
        return []
    # Hydra parses numbers, commas and some words unless they are quoted.
    plain = re.fullmatch(r"[A-Za-z_./][\w./-]*", results) and results.lower() not in _NOT_STRINGS
    return [f"results_dir={results}" if plain else f"""results_dir='{results.replace("'", chr(92) + "'")}'"""]


def run_table_program(program: str, work: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Run `work` on a table; see `run_program`. Hydra's complaints about the overrides are shown in one line too."""

    def explained() -> int:
        with mistakes_explained(options.overrides):
            return work(options)

    return run_program(program, explained, "The same command goes on from what is kept.")


def run_program(program: str, work: Callable[[], int], after_stop: str) -> int:
    """Run `work` and return its exit code, 2 after a UserError, or 130 after an interrupt.

    Both are shown in one line; `after_stop` follows the news of the interrupt.
    """
    try:
        with keyboard_interrupts():
            return work()
    except UserError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: stopped. {after_stop}", file=sys.stderr)
        return 130


@contextmanager
def keyboard_interrupts() -> Iterator[None]:
    """SIGINT and SIGTERM raise KeyboardInterrupt, after which a run saves its state.

    Signals within a second of each other raise it once. A terminal and most schedulers signal all processes of a
    command, and the command passes its signal on to its runs. The second signal must not stop a run from saving its
    state after the first.
    """
    last = -_SAME_INTERRUPT_S

    def interrupt(*_: object) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last - before >= _SAME_INTERRUPT_S:
            raise KeyboardInterrupt

    handlers = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)

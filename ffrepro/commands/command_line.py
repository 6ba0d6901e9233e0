"""What the commands for a whole table have in common."""

import argparse
import re
import sys
from collections.abc import Callable

from ffrepro import table
from ffrepro.commands.interrupts import keyboard_interrupts
from ffrepro.commands.suggestions import mistakes_explained
from ffrepro.errors import UserError
from ffrepro.paths import ROOT, from_root

_NO_WORDS = ("true", "false", "null", "nan", "inf")  # for Hydra


def parser(program: str, description: str) -> argparse.ArgumentParser:
    """One that knows the table, its rows, how many run side by side, where results go, and other options of a run."""
    made = argparse.ArgumentParser(prog=program, description=description)
    made.add_argument("table", help=f"one of {', '.join(table.names())}")
    made.add_argument("--rows", default="", help="as in bp,ff_supervised; else all")
    made.add_argument("--jobs", default="1", help="runs side by side, which share the processor's cores")
    made.add_argument("--results", default="results", help="folder for what is recorded, from the repository root")
    made.add_argument("overrides", nargs="*", help="anything else for every run, as in tracking=none")
    return made


def refuse(overrides: list[str], own: dict[str, str]) -> None:
    """Complain of options that the command itself sets.

    Args:
        overrides: of the command line.
        own: the names of such options, and what to do instead. The name of a group stands for all its options.

    Raises:
        UserError: one is among `overrides`.
    """
    for override in overrides:
        name = override.lstrip("+~").partition("=")[0]
        for known in (name, name.partition(".")[0]):
            if known in own:
                raise UserError(f"{override}: {own[known]}.")


def results_option(results: str, overrides: list[str]) -> list[str]:
    """The folder `results` as an option of a run; nothing where it is the usual one.

    Raises:
        UserError: it is no folder for results, or `overrides` have another.
    """
    if any(text.startswith("results_dir=") for text in overrides):
        raise UserError("results_dir is an option of one run: here it is RESULTS=my-results (or --results my-results).")
    if not results.strip() or from_root(results) == ROOT:
        raise UserError(f"RESULTS is {results!r}: expected a folder of its own, as in RESULTS=my-results.")
    if results == "results":
        return []
    # Hydra reads a bare word, and takes numbers, commas and the like for what they look like.
    plain = re.fullmatch(r"[A-Za-z_./][\w./-]*", results) and results.lower() not in _NO_WORDS
    return [f"results_dir={results}" if plain else f"""results_dir='{results.replace("'", chr(92) + "'")}'"""]


def exit_code(program: str, work: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """What `work` returns; a user's mistake, and being stopped, in one line."""

    def explained() -> int:
        with mistakes_explained(options.overrides):
            return work(options)

    return in_one_line(program, explained, "The same command goes on from what is kept.")


def in_one_line(program: str, work: Callable[[], int], kept: str) -> int:
    """What `work` returns; or 2 after a user's mistake, and 130 where it was stopped, which `kept` is said of."""
    try:
        with keyboard_interrupts():
            return work()
    except UserError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: stopped. {kept}", file=sys.stderr)
        return 130

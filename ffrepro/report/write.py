"""From records to files on the disk: the only module of the report that writes."""

import os
import re
import sys
from pathlib import Path

from ffrepro import table
from ffrepro.errors import UserError
from ffrepro.files import written_atomically
from ffrepro.report.compare import compare
from ffrepro.report.groups import group
from ffrepro.report.load import Run, load_runs
from ffrepro.report.pages import Report, make_pages
from ffrepro.report.render import MADE_BY, render, summary
from ffrepro.report.variants import variant
from ffrepro.table import Table

# Files of these kinds, in the folders that the report owns, are taken for an earlier report's.
_OWNED = {".html", ".css", ".svg", ".png", ".part"}


def write_report(results: Path, tables: list[Table] | None = None, readme: Path | None = None) -> Path:
    """Write `report/`, `README.md` and `figures/` in `results`, and remove what an earlier report left there.

    Args:
        results: the folder that holds `runs/`.
        tables: the tables to compare with; None takes all that `experiments/` describes.
        readme: a Markdown page with two comments; the main numbers between them are replaced.

    Returns:
        The path of `index.html`. Records that could not be read are named on stderr and in the report.

    Raises:
        UserError: `results` is no folder of results, a `table.yaml` is wrong, or nothing can be written.
    """
    if not results.is_dir():
        raise UserError(f"{results} is not a folder: expected the results' folder, which holds runs/.")
    twin = results / "README.md"
    if twin.exists() and not twin.read_bytes().startswith(MADE_BY.encode()):
        raise UserError(f"{twin} was not made by the report, which would replace it: choose another folder.")
    report = assemble(results, [table.load(name) for name in table.names()] if tables is None else tables)
    for unreadable in report.unreadable:
        print(f"report: left out: {unreadable}", file=sys.stderr)
    files = render(report)
    for name, content in files.items():
        _write(results / name, content)
    if readme is not None:
        _write(readme, _with_summary(readme, report, results))
    for folder in ("report", "figures"):
        _remove_stale(results / folder, {results / name for name in files})
    return results / "report" / "index.html"


def assemble(results: Path, specs: list[Table]) -> Report:
    """Everything that the pages show, drawn and compared."""
    runs, unreadable = load_runs(results)
    tables = [compare(spec, runs) for spec in specs]
    others: dict[str, list[Run]] = {}
    for run in runs:
        if run.record.table not in {spec.name for spec in specs}:
            others.setdefault(run.record.table, []).append(run)
    variants = {
        name: sorted(
            (variant(own, tables) for groups in group(own_runs).values() for own in groups),
            key=lambda made: (made.preset, made.group.runs[0].record.row),
        )
        for name, own_runs in sorted(others.items())
    }
    return make_pages(tables, variants, unreadable, len(runs))


def _with_summary(readme: Path, report: Report, results: Path) -> bytes:
    """The page with new main numbers between its two comments."""
    try:
        before, begin, rest = re.split(r"(<!-- results:[^>]*-->\n)", readme.read_text(encoding="utf-8"))
        _, end, after = re.split(r"(<!-- /results -->)", rest)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{readme} has no place for the results: expected a line <!-- results: … --> and, below, <!-- /results -->."
        ) from error
    place = os.path.relpath(results, readme.parent).replace(os.sep, "/")
    return "".join([before, begin, summary(report, place), end, after]).encode()


def _write(path: Path, content: bytes) -> None:
    """Leave a file that is right already untouched, so that its date says when it last changed."""
    if path.is_file() and path.read_bytes() == content:
        return
    with written_atomically(path) as file:
        file.write(content)


def _remove_stale(folder: Path, current: set[Path]) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in _OWNED and path not in current:
            path.unlink()

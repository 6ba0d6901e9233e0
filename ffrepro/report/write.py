"""From records to files on the disk: the only module of the report that writes."""

import os
import re
import sys
from dataclasses import replace
from pathlib import Path

from ffrepro import table
from ffrepro.errors import UserError
from ffrepro.files import written_atomically
from ffrepro.report import figures, sequences, sweeps
from ffrepro.report.ablations import grid, tried
from ffrepro.report.claims import claims
from ffrepro.report.compare import compare
from ffrepro.report.groups import group
from ffrepro.report.load import Run, load_runs
from ffrepro.report.panels import panels
from ffrepro.report.render import MADE_BY, PlainView, Report, TableView, render, summary
from ffrepro.report.variants import variant
from ffrepro.table import Table

# Files of these kinds, in the folders that the report owns, are taken for an earlier report's.
_OWNED = {".html", ".css", ".svg", ".png", ".part"}


def write_report(results: Path, tables: list[Table] | None = None, readme: Path | None = None) -> Path:
    """Write `report/`, `README.md` and `figures/` in `results`; what an earlier report left there goes.

    Args:
        results: the folder that holds `runs/`.
        tables: what to compare with; None takes all that `experiments/` describes.
        readme: a Markdown page that has the headline numbers between two comments, which are brought up to date.

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
        print(f"report: left out: {unreadable.reason}", file=sys.stderr)
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
    by_table: dict[str, list[Run]] = {}
    for run in runs:
        by_table.setdefault(run.record.table, []).append(run)
    tables = []
    for spec in specs:
        result = compare(spec, by_table.pop(spec.name, []))
        found = tried(spec, runs)
        of_text = [one for one in (sequences.curves(result), sequences.study(result, found)) if one is not None]
        tables.append(
            TableView(
                result,
                replace(
                    figures.of_table(result),
                    text=of_text,
                    panels=panels(result, runs),
                    sweeps=sweeps.errors(result),
                    maps=sweeps.maps(result),
                ),
                claims=claims(result),
                ablations=tuple(grid(spec, one, groups) for one, groups in found),
                samples=tuple(sequences.samples(result)),
            )
        )
    compared = [view.result for view in tables]
    plain = [
        PlainView(
            name,
            tuple(
                sorted(
                    (variant(one, compared) for groups in group(of_table).values() for one in groups),
                    key=lambda one: (one.preset, one.name),
                )
            ),
        )
        for name, of_table in sorted(by_table.items())
    ]
    return Report(tuple(tables), tuple(plain), tuple(unreadable), len(runs))


def _with_summary(readme: Path, report: Report, results: Path) -> bytes:
    """The page with what stands between its two comments made anew."""
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
    """Leave a file that is right already as it is, so that its date says when it last changed."""
    if path.is_file() and path.read_bytes() == content:
        return
    with written_atomically(path) as file:
        file.write(content)


def _remove_stale(folder: Path, current: set[Path]) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in _OWNED and path not in current:
            path.unlink()

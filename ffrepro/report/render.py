"""From what was compared and drawn to the text of every page."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from ffrepro.report import text
from ffrepro.report.compare import TableResult, Verdict
from ffrepro.report.draw import LOWEST_ERROR
from ffrepro.report.figures import TablePictures
from ffrepro.report.grids import Grid, by_part, iteration_errors, layer_errors, other_figures, singles_first
from ffrepro.report.groups import Group, summarize
from ffrepro.report.load import Run, Unreadable
from ffrepro.report.sequences import Sample
from ffrepro.report.variants import Variant

# The first line of the Markdown twin; a README without it is somebody's own and stays.
MADE_BY = "<!-- Made by scripts/report.py from the records in runs/. Do not edit: the next report replaces it. -->"
# Verdicts are told by a sign and a word, never by colour alone.
SIGNS: dict[Verdict, str] = {
    "reproduced": "✓",
    "better": "▼",
    "worse": "▲",
    "measured": "•",
    "incomplete": "◔",
    "only a preview": "◐",
    "no result": "✕",
    "not run": "○",
}


@dataclass(frozen=True)
class TableView:
    """A table of the paper, compared and drawn."""

    result: TableResult
    pictures: TablePictures
    claims: Grid | None
    ablations: tuple[Grid, ...]
    samples: tuple[Sample, ...]

    @property
    def name(self) -> str:
        return self.result.spec.name

    @property
    def shows_stand_in(self) -> bool:
        return any(row.shown is not None and row.shown.stand_in for row in self.result.rows)

    @property
    def shows_reduced(self) -> bool:
        return any(row.shown is not None and row.shown.reduced for row in self.result.rows)


@dataclass(frozen=True)
class PlainView:
    """Records of a table that no `table.yaml` describes, such as sweeps."""

    name: str
    variants: tuple[Variant, ...]

    @property
    def groups(self) -> tuple[Group, ...]:
        return tuple(variant.group for variant in self.variants)

    @property
    def title(self) -> str:
        return self.name.replace("_", " ").capitalize()


@dataclass(frozen=True)
class Report:
    """All that there is to show."""

    tables: tuple[TableView, ...]
    plain: tuple[PlainView, ...]
    unreadable: tuple[Unreadable, ...]
    n_runs: int


def render(report: Report) -> dict[str, bytes]:
    """Every file of the report, by its path in the results' folder."""
    html, markdown = _environment(autoescape=True), _environment(autoescape=False)
    shared = {"report": report, "MARKS": text.MARKS, "SIGNS": SIGNS}
    pages = {"index.html": html.get_template("index.html").render(**shared, root="")}
    for view in report.tables:
        page = html.get_template("table.html")
        pages[f"{view.name}.html"] = page.render(
            **shared, view=view, table=view.result, root="", figures=other_figures(view.result),
            parts=by_part(view.result),
        )  # fmt: skip
    for plain in report.plain:
        pages[f"{plain.name}.html"] = html.get_template("plain.html").render(**shared, view=plain, root="")
    run_page = html.get_template("run.html")
    for run, origin in _runs(report):
        pages[f"runs/{run.name}.html"] = run_page.render(**shared, run=run, root="../", **origin, **_run_details(run))
    pages["style.css"] = html.get_template("style.css").render()
    files = {f"report/{name}": content.encode() for name, content in pages.items()}
    for view in report.tables:
        for picture in view.pictures.all:
            for name, content in picture.files.items():
                files[f"figures/{name}"] = files[f"report/figures/{name}"] = content
    grids = {view.name: (other_figures(view.result), by_part(view.result)) for view in report.tables}
    files["README.md"] = markdown.get_template("README.md").render(**shared, MADE_BY=MADE_BY, grids=grids).encode()
    return dict(sorted(files.items()))


def summary(report: Report, results: str) -> str:
    """The headline numbers as Markdown, for a page from which the results' folder is `results`."""
    return _environment(autoescape=False).get_template("summary.md").render(report=report, results=results, SIGNS=SIGNS)


def _runs(report: Report) -> Iterator[tuple[Run, dict[str, str]]]:
    """Each run with its table's name and title, and its row's label where it has one."""
    for view in report.tables:
        labels = {row.recorded_as: row.label for row in view.result.spec.rows}
        for group in view.result.groups:
            for run in group.runs:
                label = labels.get(run.record.row, "")
                yield run, {"table_name": view.name, "table_title": view.result.spec.title, "label": label}
    for plain in report.plain:
        for group in plain.groups:
            for run in group.runs:
                yield run, {"table_name": plain.name, "table_title": plain.title, "label": ""}


def _run_details(run: Run) -> dict[str, Any]:
    found = run.record
    metrics = summarize([found.metrics])
    layers = {
        (split, test): errors
        for split in ("test", "train", "validation")
        for test in ("goodness", "softmax")
        if (errors := layer_errors(split, test, metrics))
    }
    return {
        "config": yaml.safe_dump(text.without_paths(found.config), sort_keys=False, allow_unicode=True, width=100),
        "metrics": {
            name: value for name, value in found.metrics.items() if "_layer" not in name and "_iteration" not in name
        },
        "layers": layers,
        "iterations": iteration_errors(metrics),
        "spans": sorted({span for errors in layers.values() for span in errors}, key=singles_first),
        "history_names": list(dict.fromkeys(name for entry in found.history for name in entry)),
    }


def _environment(*, autoescape: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("ffrepro.report"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    named = (
        text.number, text.summary, text.ours, text.paper, text.mark, text.paper_train, text.our_train,
        text.difference, text.interval, text.seeds,
        text.kind, text.kinds, text.time, text.memory, text.commit, text.commits, text.device, text.notes,
        text.commands, text.counted, text.metric_label, text.without_paths, text.unit_of,
        _markdown, _code, _link, _span,
    )  # fmt: skip
    environment.filters |= {function.__name__.removeprefix("_"): function for function in named}
    environment.globals |= {"HISTORY": text.HISTORY, "NONE": text.NONE, "LOWEST_ERROR": LOWEST_ERROR}
    return environment


def _markdown(value: str) -> str:
    """Free text inside Markdown, where a few signs would be taken for markup or end a table's cell."""
    for sign in "\\|*_`<[":
        value = value.replace(sign, "\\" + sign)
    return " ".join(value.split())


def _code(value: str) -> str:
    """A code span in a table's cell, which a bar would end, and of which a grave accent would end the span."""
    fence = "`" * (1 + max(map(len, re.findall("`+", value)), default=0))
    inner = value.replace("|", "\\|")
    return f"{fence} {inner} {fence}" if "`" in value else f"{fence}{inner}{fence}"


def _link(path: str) -> str:
    """A relative path as a URL."""
    return quote(path)


def _span(span: tuple[int, int]) -> str:
    return f"layer {span[0]}" if span[0] == span[1] else f"layers {span[0]}–{span[1]}"

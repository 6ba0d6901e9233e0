"""The page of a run."""

from typing import Any

import yaml

from ffrepro.metric import listed
from ffrepro.report import text
from ffrepro.report.blocks import Banner, Block, Facts, Grid, Items, Listing, Page, Piece, Section, columns
from ffrepro.report.load import Run
from ffrepro.report.sections import parts
from ffrepro.runs.record import Record


def run_page(run: Run, label: str, above: tuple[tuple[str, str], ...]) -> Page:
    """Everything that the record says; `label` is that of the row."""
    record = run.record
    config = yaml.safe_dump(text.without_paths(record.config), sort_keys=False, allow_unicode=True, width=100)
    page_sections = (
        _result(record),
        _origin(run),
        Section("Resolved configuration", "config", (Listing("Resolved configuration", config),)),
        _history(record),
    )
    title = f"{record.row}, seed {record.seed}"
    return Page(f"runs/{run.name}.html", title, page_sections, lead=label, banners=tuple(_banners(run)), above=above)


def _banners(run: Run) -> list[Banner]:
    record, warnings = run.record, []
    if run.stand_in:
        meaning = f"This run was made on {record.data['name']}, to try the program."
        warnings.append(Banner("Stand-in data: no reproduction.", meaning))
    if run.budget != "paper":
        meaning = "Fewer epochs or examples than the paper's; a preview."
        warnings.append(Banner(f"The {run.budget} budget: reduced.", meaning, soft=True))
    if record.status != "ok":
        reason = text.without_paths(record.error or "No reason was recorded.")
        warnings.append(Banner(f"This run {record.status}.", reason))
    return warnings


def _result(record: Record) -> Section:
    metrics = [metric for metric in listed(record.metrics) if not metric.part]
    facts = tuple((metric.label, text.value(record.metrics[metric.name], metric)) for metric in metrics)
    blocks: list[Block] = [Facts(facts)] if facts else []
    note = "" if facts else "No metrics were recorded."
    return Section("Result", "result", (*blocks, *parts.of_run(record.metrics)), note)


def _origin(run: Run) -> Section:
    record, git = run.record, run.record.git
    commits = ", ".join(str(commit or "unknown") for commit in [*git.get("earlier", []), git["commit"]])
    sizes = "".join(f", {n} {split}" for split, n in record.data["sizes"].items())
    facts: dict[str, Any] = {
        "Table and row": f"{record.table}, {record.row}",
        "Budget": record.budget,
        "Started": record.started_at.replace("T", " "),
        "Time, of which training": f"{text.time(record.wall_s)}, {text.time(record.train_s)}",
        "Peak memory": f"{record.peak_memory_bytes / 1e9:.2f} GB",
        "Commit": commits + (", with uncommitted changes" if git["dirty"] else ""),
        "Data": f"{record.data['name']}{sizes}",
        "SHA-256 of the data": record.data["sha256"],
        "Fingerprint": record.fingerprint,
        **{name.replace("_", " ").capitalize(): value for name, value in record.environment.items()},
    }
    values = (text.NONE if value is None else text.without_paths(str(value)) for value in facts.values())
    printed = tuple(zip(facts, values, strict=True))
    note = "The command as given, at the commit below. Presets may have changed since; the configuration is what ran, "
    note += "under today's names."
    file = Piece("The record itself (JSON)", page=f"../{run.path}")
    blocks = (Listing("Command", text.without_paths(record.command)), Facts(printed), Items(((file,),), "The record"))
    return Section("How it was made", "made", blocks, note)


def _history(record: Record) -> Section:
    metrics = listed({name for entry in record.history for name in entry})
    seconds = record.epoch_s
    rows = [
        (str(epoch), *(text.number(entry.get(metric.name), metric) for metric in metrics))
        for epoch, entry in enumerate(record.history, start=1)
    ]
    titles = ["Epoch", *(metric.heading for metric in metrics)]
    if rows and len(seconds) == len(rows):
        titles.append("Seconds")
        rows = [(*row, f"{time:.4g}") for row, time in zip(rows, seconds, strict=True)]
    grids = (Grid("History", columns(titles), tuple(rows), layout="numbers dense"),) if rows else ()
    return Section("History", "history", grids, "" if rows else "No epoch was recorded.")

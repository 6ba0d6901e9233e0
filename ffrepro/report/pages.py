"""The pages of the report."""

from dataclasses import dataclass

from ffrepro.report import text
from ffrepro.report.blocks import Banner, Cell, Grid, Items, Page, Piece, Section, codes, columns, with_kinds
from ffrepro.report.compare import TableResult
from ffrepro.report.run_page import run_page
from ffrepro.report.sections import comparison, runs, sections
from ffrepro.report.variants import Variant

_INDEX = ("index.html", "ffrepro report")
_LEAD = (
    "ffrepro reproduces the tables of papers on learning without backpropagation, from a single command to a report. "
    "This page compares what {} measured with what the papers say."
)
_HOW_TO_READ = (
    "Our numbers are means ± sample standard deviations over seeds of full runs, which follow the paper's budget if "
    "known. A row is reproduced if its mean lies in the interval that table.yaml sets for it; outside of it, the row "
    "is better or worse. A row is incomplete while seeds are missing. Anything less than a full run is only a preview. "
    "The ± is of the seeds alone: an error of 1.4 % counted on 10,000 images is itself uncertain by 0.12. A letter "
    "says how well a paper's number is known."
)
_VARIANTS = (
    "Runs that are no row of a paper's table: variants of a row, or trials. They are listed by name, not by result: "
    "the test set is not there to choose on. Each has its differences from the row's current records. If the "
    "preset is no row or has no record, the options of the command line are listed."
)


@dataclass(frozen=True)
class Report:
    """All pages; `brief` has the main numbers of each table."""

    index: Page
    tables: tuple[Page, ...]
    variants: tuple[Page, ...]
    runs: tuple[Page, ...]
    brief: tuple[Grid, ...]
    unreadable: tuple[str, ...]


def make_pages(
    tables: list[TableResult], variants: dict[str, list[Variant]], unreadable: list[str], n_runs: int
) -> Report:
    """The report on tables, on further runs by the name of their folder, and on unreadable files."""
    run_pages = []
    for table in tables:
        labels = {row.recorded_as: row.label for row in table.spec.rows}
        above = (_INDEX, (f"{table.spec.name}.html", table.spec.title))
        table_runs = (run for group in table.groups for run in group.runs)
        run_pages += [run_page(run, labels.get(run.record.row, ""), above) for run in table_runs]
    plain: list[tuple[Page, int]] = []
    for name, folder in variants.items():
        page = _variants_page(name, folder)
        above = (_INDEX, (page.path, page.title))
        own_pages = [run_page(run, "", above) for variant in folder for run in variant.group.runs]
        plain.append((page, len(own_pages)))
        run_pages += own_pages
    return Report(
        _index(tables, plain, unreadable, n_runs),
        tuple(_table_page(table) for table in tables),
        tuple(page for page, _ in plain),
        tuple(run_pages),
        tuple(comparison.grid(table, brief=True) for table in tables),
        tuple(unreadable),
    )


def _index(tables: list[TableResult], plain: list[tuple[Page, int]], unreadable: list[str], n_runs: int) -> Page:
    parts = [_main_numbers(table) for table in tables]
    if plain:
        items = tuple((Piece(page.title, page=page.path), Piece(text.counted(n, "run"))) for page, n in plain)
        parts.append(Section("Further records", "further", (Items(items, "Further records"),), in_markdown=False))
    if unreadable:
        reasons = tuple(text.without_paths(reason) for reason in unreadable)
        note = "These files are in no number of this report."
        parts.append(Section("Could not be read", "unreadable", (Items(reasons, "Files"),), note))
    marks: tuple[Cell, ...] = tuple((Piece(mark, "mark"), Piece(meaning)) for mark, meaning in text.MARKS.items())
    parts.append(Section("How to read this", "legend", (Items(marks, "Letters", inline=True),), _HOW_TO_READ))
    return Page(*_INDEX, tuple(parts), lead=_LEAD.format(text.counted(n_runs, "recorded run")))


def _main_numbers(table: TableResult) -> Section:
    counts: tuple[Cell, ...] = tuple((Piece(f"{n}"), Piece(verdict, "verdict")) for verdict, n in table.counts.items())
    blocks = (Items(counts, "Verdicts", inline=True), *comparison.banners(table), comparison.grid(table, brief=True))
    spec = table.spec
    return Section(spec.title, spec.name, blocks, spec.paper, page=f"{spec.name}.html", in_markdown=False)


def _table_page(table: TableResult) -> Page:
    spec, banners = table.spec, comparison.banners(table)
    return Page(f"{spec.name}.html", spec.title, sections(table), spec.paper, spec.about, banners, (_INDEX,))


def _variants_page(name: str, variants: list[Variant]) -> Page:
    groups = [variant.group for variant in variants]
    meaning = "Runs marked so were made on other data than their name says."
    banners = (Banner("Stand-in data: no reproduction.", meaning),) if any(group.stand_in for group in groups) else ()
    titles = ["Preset", "Differs in", "Budget", "Seeds", "Metric", "Mean ± std", "Time a run", "Commit", "Records"]
    columns_ = columns(titles, ["Differs in", "Budget", "Metric", "Commit", "Records"])
    means = Grid("Means over seeds", columns_, tuple(_cells(variant) for variant in variants), layout="list")
    parts = (
        Section("Means over seeds", "means", (means,)),
        Section("All runs", "runs", (runs.grid(groups),), in_markdown=False),
    )
    title = name.replace("_", " ").capitalize()
    return Page(f"{name}.html", title, parts, lead=_VARIANTS, banners=banners, above=(_INDEX,))


def _cells(variant: Variant) -> tuple[Cell, ...]:
    group = variant.group
    return (
        codes([variant.preset]),
        codes(variant.differences) or "nothing",
        with_kinds(group.budget, text.kinds(group, named=False)),
        str(len(group.counted)),
        group.metric.label if group.headline else text.NONE,
        text.with_unit(text.summary(group.headline, group.metric), group.metric),
        text.time(group.wall_s),
        codes(text.commits(*group.counted)) or text.NONE,
        tuple(Piece(f"{run.record.seed}", page=f"runs/{run.name}.html", path=run.path) for run in group.runs),
    )

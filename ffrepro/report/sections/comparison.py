"""The rows of a table: the paper's numbers, ours and the verdicts."""

from collections.abc import Callable

from ffrepro.report import text
from ffrepro.report.blocks import Banner, Cell, Grid, Items, Piece, Section, codes, columns
from ffrepro.report.compare import RowResult, TableResult


def section(table: TableResult) -> Section:
    notes = [(row.spec.title, text.notes(row)) for row in table.nets]
    items = tuple((Piece(f"{title}.", "strong"), Piece(" ".join(warnings))) for title, warnings in notes if warnings)
    marks = {mark for row in table.rows for mark in (row.spec.mark, row.spec.train_mark)}
    marks |= {claim.mark for claim in table.spec.claims}
    note = (
        "Mean ± sample standard deviation over seeds. "
        + ("The difference is ours minus the paper's. " if any(row.spec.reproduced for row in table.rows) else "")
        + "The time is the median over runs, from start to record. An asterisk marks a commit with further changes. "
        + " ".join(f"{mark}: {meaning}." for mark, meaning in text.MARKS.items() if mark in marks)
    )
    blocks = (grid(table), *([Items(items, "Notes")] if items else []))
    return Section("The comparison", "comparison", blocks, note.strip())


def grid(table: TableResult, *, brief: bool = False) -> Grid:
    """All rows; `brief` leaves out how our runs were made."""
    left_out = {"Difference", "Time a run", "Device", "Commit"} if brief else set()
    left_out |= set() if table.has_numbers else {"Paper"}
    left_out |= set() if any(row.difference is not None for row in table.rows) else {"Difference"}
    cells = {title: cell for title, cell in _COLUMNS.items() if title not in left_out}
    ours = "Ours" if table.has_numbers else table.metric.label
    return Grid(
        f"{table.spec.title}: {'the paper and our runs' if table.has_numbers else 'our runs'}",
        columns([ours if title == "Ours" else title for title in cells], ["Seeds", "Verdict", "Device", "Commit"]),
        tuple(tuple(cell(row) for cell in cells.values()) for row in table.rows),
        layout="cards",
    )


def banners(table: TableResult) -> tuple[Banner, ...]:
    """Warnings about rows that are not reproductions."""
    shown = [row.shown for row in table.rows if row.shown is not None]
    warnings = []
    if any(group.stand_in for group in shown):
        meaning = "Rows marked so were run on other data than the paper's, to try the program."
        warnings.append(Banner("Stand-in data: no reproduction.", meaning))
    if any(group.reduced for group in shown):
        meaning = "Rows marked as reduced had fewer epochs or examples than the paper's. They are not compared."
        warnings.append(Banner("Not all rows have full runs.", meaning, soft=True))
    return tuple(warnings)


def _paper(row: RowResult) -> Cell:
    if row.spec.paper is None:
        return text.NONE
    mark, recalled = row.spec.mark or "", ["recalled"] if row.spec.mark == "M" else []
    small = [", ".join(recalled if row.spec.reproduced else [*recalled, "other data"])]
    if row.spec.train is not None:
        small.append(f"training {text.given(row.spec.train, row.metric)} {row.spec.train_mark}")
    pieces = [Piece(text.given(row.spec.paper, row.metric)), Piece(mark, "mark")]
    return tuple(piece for piece in [*pieces, *(Piece(words, "small") for words in small)] if piece.text)


def _ours(row: RowResult) -> Cell:
    pieces = [Piece(text.ours(row), "text" if row.mean is None else "strong")]
    training = row.shown.summaries.get(row.metric.on("train")) if row.shown else None
    if row.spec.train is not None and training is not None:
        number = text.with_unit(text.summary(training, row.metric), row.metric)
        pieces.append(Piece(f"training {number}", "small"))
    return (*pieces, *(Piece(kind, "kind") for kind in (text.kinds(row.shown) if row.shown else [])))


_COLUMNS: dict[str, Callable[[RowResult], Cell]] = {
    "Row": lambda row: (Piece(row.spec.title), Piece(row.spec.name, "name")),
    "Paper": _paper,
    "Ours": _ours,
    "Seeds": text.seeds,
    "Difference": text.difference,
    "Verdict": lambda row: (Piece(row.verdict, "verdict"),),
    "Time a run": lambda row: text.time(row.shown.wall_s if row.shown else None),
    "Device": lambda row: text.device(row.shown) if row.shown else text.NONE,
    "Commit": lambda row: codes(text.commits(*(row.shown.counted if row.shown else ()))) or text.NONE,
}

"""The parts of pages, without markup: HTML and Markdown each have a macro for every kind of block."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Style = Literal["text", "strong", "code", "name", "small", "kind", "verdict", "mark"]


@dataclass(frozen=True)
class Piece:
    """Text in a style; `page` is its link from the report's folder, `path` its link from the results' folder."""

    text: str
    style: Style = "text"
    page: str = ""
    path: str = ""


Cell = str | tuple[Piece, ...]


class Block:
    """A part of a section."""

    @property
    def kind(self) -> str:
        """The name of its macro."""
        return type(self).__name__.lower()


@dataclass(frozen=True)
class Grid(Block):
    """A table; the first cell of each row is its head.

    Attributes:
        caption: the table's name, visible if it is `titled`.
        columns: titles, and whether the column holds words; numbers are aligned to the right.
        layout: `cards` become cards on a narrow screen; a `list` is mostly words; `dense` numbers have low rows.
    """

    caption: str
    columns: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    titled: bool = False
    layout: Literal["cards", "list", "numbers", "numbers dense"] = "numbers"


@dataclass(frozen=True)
class Picture:
    """A figure's files by their names; a drawing has a second file for dark pages. Sizes are in CSS pixels."""

    file: str
    files: dict[str, bytes]
    title: str
    caption: str
    alt: str
    width: int
    height: int

    @property
    def dark(self) -> str | None:
        name = self.file.replace(".svg", "-dark.svg")
        return name if name != self.file and name in self.files else None


@dataclass(frozen=True)
class Figures(Block):
    """Figures side by side."""

    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Items(Block):
    """A list, on a single line if it is `inline`."""

    items: tuple[Cell, ...]
    label: str
    inline: bool = False


@dataclass(frozen=True)
class Commands(Block):
    """Lines of commands, each group with a label and a note."""

    commands: tuple[tuple[str, str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Quotes(Block):
    """Pairs of a given text and its continuation."""

    title: Cell
    quotes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Banner(Block):
    """A warning."""

    strong: str
    text: str
    soft: bool = False


@dataclass(frozen=True)
class Facts(Block):
    """Terms with their values; only in HTML."""

    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Listing(Block):
    """Machine-readable text; only in HTML."""

    label: str
    text: str


@dataclass(frozen=True)
class Section:
    """A part of a page under a heading; the heading links to `page` if this is not empty.

    `in_summary` and `in_markdown`: whether it is part of the summary in a README, and of the Markdown page.
    """

    title: str
    anchor: str
    blocks: tuple[Block, ...]
    note: str = ""
    page: str = ""
    in_summary: bool = False
    in_markdown: bool = True


@dataclass(frozen=True)
class Page:
    """A page; `above` are the paths and titles of the pages above it."""

    path: str
    title: str
    sections: tuple[Section, ...]
    note: str = ""
    lead: str = ""
    banners: tuple[Banner, ...] = ()
    above: tuple[tuple[str, str], ...] = ()

    @property
    def root(self) -> str:
        """The path from the page's folder to the report's."""
        return "../" * self.path.count("/")

    @property
    def pictures(self) -> list[Picture]:
        blocks = (block for section in self.sections for block in section.blocks)
        return [picture for block in blocks if isinstance(block, Figures) for picture in block.pictures]


def figures(
    title: str, anchor: str, candidates: Iterable[Picture | None], note: str = "", *, summary: bool = False
) -> Section | None:
    """A section of pictures; None if there are none."""
    pictures = tuple(picture for picture in candidates if picture is not None)
    return Section(title, anchor, (Figures(pictures),), note, in_summary=summary) if pictures else None


def with_kinds(text: str, kinds: Iterable[str]) -> Cell:
    """A cell whose text is followed by `kinds`, how runs fall short of the paper's."""
    marks = tuple(Piece(kind, "kind") for kind in kinds)
    return (Piece(text), *marks) if marks else text


def codes(values: Iterable[str]) -> Cell:
    """A cell of code."""
    return tuple(Piece(value, "code") for value in values)


def columns(titles: Sequence[str], words: Iterable[str] = ()) -> tuple[tuple[str, bool], ...]:
    """Columns by their titles; the first column and those in `words` hold words."""
    of_words = {titles[0], *words}
    return tuple((title, title in of_words) for title in titles)

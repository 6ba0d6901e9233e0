"""Pages as files, in HTML and in Markdown."""

import re
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from ffrepro.report import text
from ffrepro.report.compare import Verdict
from ffrepro.report.pages import Report

# The first line of the Markdown page; a README without it is not replaced.
MADE_BY = "<!-- Made by scripts/report.py from the records in runs/. Do not edit: the next report replaces it. -->"
# A verdict is a sign and a word, never color alone.
SIGNS: dict[Verdict, str] = {
    "reproduced": "✓", "better": "▼", "worse": "▲", "measured": "•", "incomplete": "◔", "only a preview": "◐",
    "no result": "✕", "not run": "○",
}  # fmt: skip


def render(report: Report) -> dict[str, bytes]:
    """Every file of the report, by its path in the results' folder."""
    html = _environment(autoescape=True)
    template = html.get_template("page.html")
    pages = (report.index, *report.tables, *report.variants, *report.runs)
    files = {f"report/{page.path}": template.render(page=page).encode() for page in pages}
    files["report/style.css"] = html.get_template("style.css").render().encode()
    for page in report.tables:
        for picture in page.pictures:
            for name, content in picture.files.items():
                files[f"figures/{name}"] = files[f"report/figures/{name}"] = content
    markdown = _environment(autoescape=False).get_template("results.md")
    files["README.md"] = markdown.render(report=report, MADE_BY=MADE_BY, place="").encode()
    return dict(sorted(files.items()))


def summary(report: Report, place: str) -> str:
    """The main numbers as Markdown; `place` is the path from the page's folder to the results' folder."""
    return _environment(autoescape=False).get_template("summary.md").render(report=report, place=f"{place}/")


def _environment(*, autoescape: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("ffrepro.report"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"markdown": _markdown, "code": _code, "link": quote}
    environment.globals |= {"SIGNS": SIGNS, "MARKS": text.MARKS}
    return environment


def _markdown(value: str) -> str:
    """Free text in Markdown, without signs that would be markup or end a cell."""
    return re.sub(r"([\\|*_`<\[])", r"\\\1", " ".join(value.split()))


def _code(value: str) -> str:
    """A code span in a cell: a bar would end the cell, a grave accent the span."""
    fence = "`" * (1 + max(map(len, re.findall("`+", value)), default=0))
    inner = value.replace("|", "\\|")
    return f"{fence} {inner} {fence}" if "`" in value else f"{fence}{inner}{fence}"

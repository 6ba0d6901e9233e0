import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

from ffrepro.errors import UserError
from ffrepro.paths import ROOT
from ffrepro.report import write_report
from ffrepro.runs.record import write_pictures
from ffrepro.table import Claim, Sweep
from tests.report.made import made_record, made_table, write, write_made_records
from tests.report.made_text import made_text_table, write_made_text_records

_GOLDEN = Path(__file__).parent / "golden" / "results-README.md"


def contents(results: Path) -> dict[str, bytes]:
    return {
        path.relative_to(results).as_posix(): path.read_bytes()
        for path in sorted(results.rglob("*"))
        if path.is_file() and path.relative_to(results).parts[0] != "runs"
    }


def page(results: Path, name: str = "table9.html") -> str:
    return (results / "report" / name).read_text()


def test_the_markdown_twin_is_as_it_was_read_and_found_good(results: Path) -> None:
    # After a wanted change: look at the difference, then copy the new text to the golden file.
    assert (results / "README.md").read_text() == _GOLDEN.read_text()


def test_the_same_records_give_the_same_bytes(results: Path, tmp_path: Path) -> None:
    other = tmp_path / "a folder of another name"
    write_made_records(other)
    write_made_text_records(other)
    write_report(other, [made_text_table(), made_table()])

    assert contents(other) == contents(results)


def test_every_page_is_there(results: Path) -> None:
    files = contents(results)

    assert {"README.md", "report/index.html", "report/table9.html", "report/sweeps.html"} <= set(files)
    n_records = len(list((results / "runs").rglob("[!.]*.json"))) - 1  # one is damaged
    assert len([name for name in files if name.startswith("report/runs/")]) == n_records
    assert {f"report/{name}" for name in files if name.startswith("figures/")} == {
        name for name in files if name.startswith("report/figures/")
    }


def test_nothing_of_this_machine_is_told(results: Path) -> None:
    for name, content in contents(results).items():
        assert str(results).encode() not in content, name
        assert b"/somewhere/of/mine" not in content, name


class _Links(HTMLParser):
    """A page's links, its anchors, and pictures without words."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: list[str] = []
        self.wordless: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src", "srcset") and value:
                self.targets.append(value)
            elif name == "id" and value:
                self.anchors.append(value)
        if tag == "img" and not dict(attrs).get("alt"):
            self.wordless.append(str(attrs))
        if tag == "th":
            assert "scope" in dict(attrs)
        assert tag != "script"


def test_every_link_leads_somewhere_and_every_picture_has_words(results: Path) -> None:
    pages: dict[Path, _Links] = {}
    for path in sorted((results / "report").rglob("*.html")):
        pages[path.resolve()] = _Links()
        pages[path.resolve()].feed(path.read_text())
    for path, links in pages.items():
        assert not links.wordless
        assert len(set(links.anchors)) == len(links.anchors)
        for target in links.targets:
            parts = urlsplit(target)
            if parts.scheme == "data":
                continue
            assert not parts.scheme, f"{path.name} needs the network for {target}"
            where = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert where.is_file(), f"{path.name} points to {target}"
            assert not parts.fragment or parts.fragment in pages[where].anchors, f"{path.name} points to {target}"


def test_links_of_the_markdown_twin_lead_somewhere(results: Path) -> None:
    links = _Links()
    links.feed((results / "README.md").read_text())

    assert links.targets
    assert all((results / unquote(target)).is_file() for target in links.targets)


@pytest.mark.parametrize("name", ["README.md", "results/README.md"])
def test_what_the_committed_summaries_point_to_is_there(name: str) -> None:
    links = _Links()
    text = (ROOT / name).read_text()
    links.feed(text)
    targets = [*links.targets, *re.findall(r"\]\(([^)#\s]+)\)", text)]
    missing = [
        one for one in targets if not urlsplit(one).scheme and not ((ROOT / name).parent / unquote(one)).exists()
    ]
    assert targets
    assert not missing, "make readme brings the summaries up to date"


def test_what_is_less_than_a_reproduction_is_conspicuous(results: Path) -> None:
    table, run = page(results), page(results, "runs/table9-stand_in-quick-seed0.html")

    for text in (table, run, page(results, "index.html"), (results / "README.md").read_text()):
        assert "Stand-in data: no reproduction." in text
    assert "The quick budget: reduced." in run
    assert "a metric is not finite after epoch 3" in page(results, "runs/table9-higher-paper-seed2.html")
    assert "recalled" in table
    assert "Other records, of no row in table.yaml: removed_row (paper)." in table
    assert "runs/table9/same/paper-seed7.json" in page(results, "index.html").split("Could not be read")[1]


def test_a_runs_page_names_all_its_commits(tmp_path: Path) -> None:
    write(tmp_path, made_record("same", git={"commit": "b" * 40, "dirty": False, "earlier": [None, "a" * 40]}))

    write_report(tmp_path, [made_table()])

    assert f"<dd>unknown, {'a' * 40}, {'b' * 40}</dd>" in page(tmp_path, "runs/table9-same-paper-seed0.html")


def test_free_text_is_escaped(tmp_path: Path) -> None:
    write(tmp_path, made_record("same", status="failed", error="<b>bold</b> & | more"))

    write_report(tmp_path, [made_table()])

    assert "&lt;b&gt;bold&lt;/b&gt; &amp; | more" in page(tmp_path)
    assert "\\<b>bold\\</b> & \\| more" in (tmp_path / "README.md").read_text()


def test_an_unreadable_record_is_named_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, made_record("same"))
    path.write_text("{")

    write_report(tmp_path, [made_table()])

    assert "runs/table9/same/paper-seed0.json cannot be read" in capsys.readouterr().err


def test_no_records_at_all_still_make_a_report(tmp_path: Path) -> None:
    index = write_report(tmp_path, [made_table()])

    assert re.search(r">7\s+<span class=\"verdict not-run\">", index.read_text())
    assert not (tmp_path / "figures").exists()


def test_damaged_pictures_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, made_record("same", history=[]))
    flat = np.zeros(3)
    write_pictures(
        path.with_suffix(".npz"),
        {"first_layer_fields": flat, "goodness_right": flat, "goodness_wrong": flat, "goodness_edges": flat},
    )

    write_report(tmp_path, [made_table()])

    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        "table9-against-paper-dark.svg",
        "table9-against-paper.svg",
    ]


def test_stale_files_go_and_foreign_ones_stay(tmp_path: Path) -> None:
    path = write(tmp_path, made_record("same"))
    write_report(tmp_path, [made_table()])
    (tmp_path / "report" / "notes.txt").write_text("mine")
    path.unlink()

    write_report(tmp_path, [made_table()])

    assert not list((tmp_path / "report" / "runs").glob("*.html"))
    assert not list((tmp_path / "figures").glob("*.svg"))
    assert (tmp_path / "report" / "notes.txt").read_text() == "mine"


def test_a_readme_of_somebodys_own_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Mine\n")

    with pytest.raises(UserError, match="was not made by the report"):
        write_report(tmp_path, [made_table()])

    assert (tmp_path / "README.md").read_text() == "# Mine\n"


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        write_report(tmp_path / "nowhere", [made_table()])


def test_the_headline_numbers_go_into_a_page(tmp_path: Path) -> None:
    for seed, error in enumerate((1.35, 1.36, 1.40)):
        write(tmp_path / "results", made_record("same", seed, error, history=[]))
    readme = tmp_path / "README.md"
    readme.write_text("# Top\n\n<!-- results: made -->\nold\n<!-- /results -->\n\nBottom\n")

    for _ in range(2):
        write_report(tmp_path / "results", [made_table()], readme)

    text = readme.read_text()
    assert text.startswith("# Top\n\n<!-- results: made -->\nMean ± sample standard deviation over seeds.")
    assert "\n\n**Table 9: made records.**" in text
    assert text.endswith("</picture>\n\n<!-- /results -->\n\nBottom\n")
    assert "| As in the paper, 4 × 20 ReLU `same` | 1.36 % P | **1.37 ± 0.03 %** | 3 seeds | ✓ reproduced |" in text
    assert 'src="results/figures/table9-against-paper.svg"' in text


def test_errors_against_an_option_go_into_a_page(tmp_path: Path) -> None:
    depths = Sweep("Without shortcuts", "depth", [10, 20], {"Plain": ["same", "lower"]})
    for row, error in (("same", 1.36), ("lower", 2.00)):
        write(tmp_path / "results", made_record(row, 0, error))
    readme = tmp_path / "README.md"
    readme.write_text("<!-- results: made -->\n<!-- /results -->\n")
    write_report(tmp_path / "results", [replace(made_table(), sweeps=[depths])], readme)
    assert "**Without shortcuts.** A line is the mean" in readme.read_text()
    assert 'src="results/figures/table9-sweep-1.svg" alt="Test error against depth' in readme.read_text()
    assert (tmp_path / "results" / "figures" / "table9-sweep-1.svg").exists()


def test_every_row_of_a_markdown_table_has_as_many_cells_as_its_head(tmp_path: Path) -> None:
    in_points = replace(
        made_table(), claims=[Claim("Lower is within 3 points", ("lower", "same"), "within", "points", points=3.0)]
    )
    write_made_records(tmp_path / "results")
    write_made_text_records(tmp_path / "results")
    readme = tmp_path / "README.md"
    readme.write_text("<!-- results: made -->\n<!-- /results -->\n")
    write_report(tmp_path / "results", [in_points, made_text_table()], readme)
    heads = set()
    for path in (readme, tmp_path / "results" / "README.md"):
        lines = [line.replace("\\|", "") for line in path.read_text().splitlines()]
        for before, line, after in zip(lines, lines[1:], [*lines[2:], ""], strict=False):
            if line.startswith("|---"):
                heads.add(before)
                assert before.count("|") == line.count("|") == after.count("|"), before
    assert {f"| Claim | Measured | Found | First row | Second row | {end} |" for end in ("Ratio", "Difference")} < heads


def test_an_option_stays_in_its_cell_and_in_its_code_span(tmp_path: Path) -> None:
    odd = made_record("odd", table="sweeps")
    odd.config.update(table="table9", row="gone")
    odd.overrides[:] = ["algorithm.note='a|b'", "algorithm.other='c`d'"]
    write(tmp_path, odd)
    write_report(tmp_path, [made_table()])
    page = (tmp_path / "README.md").read_text()
    assert "| `table9/gone` | `algorithm.note='a\\|b'` `` algorithm.other='c`d' `` | paper |" in page


def test_a_page_without_a_place_for_the_numbers_is_said(tmp_path: Path) -> None:
    readme = tmp_path / "top.md"
    readme.write_text("# Top\n")

    with pytest.raises(UserError, match="no place for the results"):
        write_report(tmp_path, [made_table()], readme)


def test_the_command_names_what_it_wrote(
    tmp_path: Path, python: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    done = python(str(ROOT / "scripts" / "report.py"), "--results", str(tmp_path))

    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/report/index.html\n")
    assert done.stderr == ""

"""Learning curves: the metric of the table by epoch, on training batches and on validation data."""

from ffrepro.metric import Split
from ffrepro.report import text
from ffrepro.report.blocks import Picture, Section, figures
from ffrepro.report.chart import BANDS, Level, Line, Plot, chart
from ffrepro.report.compare import RowResult, TableResult
from ffrepro.report.groups import Group
from ffrepro.report.theme import LIGHT

_SPLITS: dict[Split, Split] = {"running": "train", "validation": "validation"}  # with that of the final metric
_LOWEST_SHARE = 0.02  # percent: 2 in 10,000; a logarithmic axis has no place for 0
_NOTE = (
    f"{BANDS}. Training batches were measured during training, in Forward-Forward nets by the softmax; this is not the "
    "test that the table compares."
)


def section(table: TableResult) -> Section | None:
    shown = [(row, group) for row, group in table.shown if any(group.curve(split) for split in _SPLITS)]
    # Without numbers of the paper, a row is compared with the other rows.
    together = not table.has_numbers and 0 < len(shown) <= len(LIGHT.lines)
    note = _NOTE if together else f"{_NOTE} All panels have the same logarithmic axis."
    if not together and table.metric.kind == "share":
        note += f" Values below {_LOWEST_SHARE} % are drawn at {_LOWEST_SHARE} %."
    return figures("Learning curves", "curves", [_together(table)] if together else _apart(table, shown), note)


def _apart(table: TableResult, shown: list[tuple[RowResult, Group]]) -> list[Picture]:
    """A figure for each row, all with the same axis."""
    lowest = _LOWEST_SHARE if table.metric.kind == "share" else None
    curves = [(row, group, _lines(group, lowest), _paper(table, row)) for row, group in shown]
    values = [value for _, _, lines, _ in curves for line in lines for value in line.values.to_numpy().ravel()]
    values += [paper.value for *_, paper in curves if paper]
    limits = (min(values) * 0.8, max(values) * 1.25) if values and min(values) > 0 else None
    pictures = []
    for row, group, lines, paper in curves:
        kinds, levels = text.kinds(group), [paper] if paper else []
        picture = chart(
            f"{table.spec.name}-{row.spec.name}-curve",
            [Plot(lines, row.metric.axis, levels, ", ".join(kinds), "log", limits)],
            "epoch",
            title=row.spec.label,
            caption=text.sentence(f"Mean of {text.counted(len(group.counted), 'seed')}", *kinds),
            alt=f"Learning curve of {row.spec.label}. "
            + text.sentence(*(_ends(line, row) for line in lines), *(level.label for level in levels)),
        )
        pictures.append(picture)
    return pictures


def _lines(group: Group, lowest: float | None) -> list[Line]:
    curves = [(style, group.curve(split)) for style, split in enumerate(_SPLITS)]
    return [
        Line(curve[0].label, curve[1].clip(lower=lowest), style, {"marker": "o" if len(curve[1]) == 1 else ""})
        for style, curve in curves
        if curve is not None
    ]


def _paper(table: TableResult, row: RowResult) -> Level | None:
    """The paper's number, by the softmax where a net is tested in two ways; None if it is of other data."""
    tests = [test for test in table.tests_of(row) if test.metric.way == "softmax"] if row.spec.test else [row]
    for test in tests:
        if test.spec.paper is not None and test.spec.reproduced is not None:
            number = text.given(test.spec.paper, test.metric)
            return Level(f"the paper's {test.metric.label.lower()}, {number}", test.spec.paper)
    return None


def _ends(line: Line, row: RowResult) -> str:
    points = dict([line.points[0], line.points[-1]])
    return f"{line.label}: " + ", ".join(f"{text.value(y, row.metric)} after epoch {x:g}" for x, y in points.items())


def _together(table: TableResult) -> Picture:
    """Training batches above, validation data below; rows that do not learn by epochs are lines across."""
    learning = [(row, group) for row, group in table.shown if _learns(group)]
    kinds = sorted({kind for _, group in table.shown for kind in text.kinds(group)})
    plots: list[Plot] = []
    descriptions = []
    for split, final in _SPLITS.items():
        data = "training batches" if split == "running" else "validation data"
        curves = [(row.spec.label, style, group.curve(split)) for style, (row, group) in enumerate(learning)]
        lines = [Line(label, curve[1], style) for label, style, curve in curves if curve]
        levels = [
            Level(row.spec.name, group.summaries[table.metric.on(final)].mean, on_line=True)
            for row, group in table.shown
            if not _learns(group) and table.metric.on(final) in group.summaries
        ]
        plots.append(Plot(lines, f"{table.metric.axis}, {data}", levels, "" if plots else ", ".join(kinds), "log"))
        last = [f"{line.label} {text.value(line.points[-1][1], table.metric)}" for line in lines]
        descriptions.append(f"On {data}: {', '.join(last)}")
    return chart(
        f"{table.spec.name}-curves",
        plots,
        "epoch",
        height=4.8,
        title=f"{table.metric.noun.capitalize()} by epoch",
        caption=text.sentence("Lines across: rows that do not learn by epochs", *kinds),
        alt=f"{table.metric.noun.capitalize()} by epoch; values of the last epoch. {text.sentence(*descriptions)}",
    )


def _learns(group: Group) -> bool:
    return group.curve("running") is not None or any(len(curve) > 1 for curve in group.history.values())

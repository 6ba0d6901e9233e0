"""The smaller tables: what else was measured of each row, and the errors of each layer."""

import re
from dataclasses import dataclass

from ffrepro.report import text
from ffrepro.report.compare import TableResult
from ffrepro.report.groups import Group, Summary

_SINGLE = re.compile(r"error_(\w+?)_layer_(\d+)")
_ITERATIONS = re.compile(r"test_error_goodness_iterations?_(\d+)(?:_to_(\d+))?")
_PREFIX = re.compile(r"error_(\w+?)_layers_(\d+)_to_(\d+)")


@dataclass(frozen=True)
class Line:
    """A row of a grid; `kinds` say what makes it less than a full result."""

    label: str
    kinds: list[str]
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """`bands` are headers over several columns: their text and how many they span. `first` heads the labels."""

    caption: str
    note: str
    bands: tuple[tuple[str, int], ...]
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    first: str = "Row"


def other_figures(table: TableResult) -> Grid | None:
    """Test, training and validation figures of each row that has results."""
    rows = _with_results(table)
    present = {name for _, group in rows for name in group.summaries}
    present |= {f"{name.removesuffix('_low')}_interval" for name in present if name.endswith("_low")}
    names = [name for name in text.METRICS if name in present]
    if not names:
        return None
    lines = [
        Line(
            label,
            text.kinds(group),
            tuple(_figure(group, name) for name in names),
        )
        for label, group in rows
    ]
    columns = tuple(text.metric_label(name) for name in names)
    caption = "Test and training"
    if any(name.startswith("validation_") for name in names):
        caption = "Test, training and validation"
    if "test_perplexity" in present:
        note = (
            "Mean ± sample standard deviation over seeds. Perplexity is e to the mean cross-entropy in nats; its "
            "interval is by bootstrap over strings, the ends averaged over seeds. Training figures are of all training "
            "windows."
        )
        return Grid(caption, note, (), columns, tuple(lines))
    notes = ["Mean ± sample standard deviation over seeds; errors in %."]
    if any(name.startswith("train_") for name in names):
        notes.append(f"Training figures are {text.TRAIN_NOTE}.")
    if any(name.startswith("validation_") for name in names):
        notes.append("Validation images are held out of the training images.")
    return Grid(caption, " ".join(notes), (), columns, tuple(lines))


def _figure(group: Group, name: str) -> str:
    metric = name.removesuffix("_interval")
    return text.summary(group.summaries.get(name), name) if metric == name else text.low_to_high(group, metric)


def by_part(table: TableResult) -> list[Grid]:
    """Test errors by which layers are counted, a grid for each of the two tests, and by which iterations are."""
    rows = _with_results(table)
    grids = []
    for test in ("goodness", "softmax"):
        kept = [(label, group) for label, group in rows if layer_errors("test", test, group.summaries)]
        if kept:
            grids.append(_layer_grid(test, kept))
    iterations = by_iteration(table)
    return grids if iterations is None else [*grids, iterations]


def by_iteration(table: TableResult) -> Grid | None:
    """Test errors of the rows whose goodness is that of several iterations, by which of them are counted."""
    rows = [
        (label, group, errors) for label, group in _with_results(table) if (errors := iteration_errors(group.summaries))
    ]
    if not rows:
        return None
    spans = sorted({span for _, _, errors in rows for span in errors}, key=singles_first)
    singles = sum(first == last for first, last in spans)
    lines = [
        Line(
            label,
            text.kinds(group),
            (
                *(text.number(errors[span].mean) if span in errors else text.NONE for span in spans),
                text.number(_mean(group, "test_error_goodness")),
            ),
        )
        for label, group, errors in rows
    ]
    bands = [("A single iteration", singles), ("Several iterations", len(spans) - singles), ("The test", 1)]
    return Grid(
        caption="Test error by iteration",
        note="The label with the highest goodness wins, summed over all layers and the iterations named. "
        "Mean over seeds, in %.",
        bands=tuple(band for band in bands if band[1]),
        columns=(*(str(first) if first == last else f"{first}–{last}" for first, last in spans), "as tested"),
        lines=tuple(lines),
    )


def iteration_errors(summaries: dict[str, Summary]) -> dict[tuple[int, int], Summary]:
    """Test errors by the first and last iteration that they are of."""
    found = ((_ITERATIONS.fullmatch(name), summary) for name, summary in summaries.items())
    return {(int(match[1]), int(match[2] or match[1])): summary for match, summary in found if match}


def _mean(group: Group, name: str) -> float | None:
    return group.summaries[name].mean if name in group.summaries else None


def layer_errors(split: str, test: str, summaries: dict[str, Summary]) -> dict[tuple[int, int], Summary]:
    """Errors by the first and last layer that they are of; a single layer is both."""
    found: dict[tuple[int, int], Summary] = {}
    for name, summary in summaries.items():
        rest = name.removeprefix(f"{split}_")
        single, prefix = _SINGLE.fullmatch(rest), _PREFIX.fullmatch(rest)
        if name == rest:
            continue
        if single and single[1] == test:
            found[int(single[2]), int(single[2])] = summary
        elif prefix and prefix[1] == test:
            found[int(prefix[2]), int(prefix[3])] = summary
    return found


def singles_first(span: tuple[int, int]) -> tuple[bool, tuple[int, int]]:
    return span[0] != span[1], span


def _layer_grid(test: str, rows: list[tuple[str, Group]]) -> Grid:
    errors = [layer_errors("test", test, group.summaries) for _, group in rows]
    spans = sorted({span for found in errors for span in found}, key=singles_first)
    singles, prefixes = ([span for span in spans if (span[0] == span[1]) is single] for single in (True, False))
    lines = []
    for (label, group), found in zip(rows, errors, strict=True):
        cells = [text.number(found[span].mean) if span in found else text.NONE for span in (*singles, *prefixes)]
        lines.append(Line(label, text.kinds(group), (*cells, text.number(_mean(group, f"test_error_{test}")))))
    what = {
        "goodness": "The label with the highest goodness wins, summed over the layers named.",
        "softmax": "A softmax reads the normalised activities of the layers named; the image has the neutral label, "
        "or none. Where labels are part of the data it is one softmax, with its weights for the other layers left out; "
        "unsupervised nets have one of their own for each reading.",
    }[test]
    bands = [("A single layer", len(singles)), ("Several layers", len(prefixes)), ("The net", 1)]
    return Grid(
        caption=f"Test error by layer: the {test} test",
        note=f"{what} Mean over seeds, in %.",
        bands=tuple(band for band in bands if band[1]),
        columns=(*(str(last) for _, last in singles), *(f"{first}–{last}" for first, last in prefixes), "as tested"),
        lines=tuple(lines),
    )


def _with_results(table: TableResult) -> list[tuple[str, Group]]:
    shown = [(row.spec.label, row.shown) for row in table.nets]
    return [(label, group) for label, group in shown if group is not None and group.headline is not None]

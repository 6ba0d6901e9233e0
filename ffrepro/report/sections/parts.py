"""Results by the layers and iterations that count."""

from collections.abc import Iterable

from ffrepro.metric import Metric, Part, listed, named
from ffrepro.report import text
from ffrepro.report.blocks import Grid, Section, columns, with_kinds
from ffrepro.report.compare import TableResult

# By the way of testing and the kind of parts.
_NOTES = {
    ("goodness", "layer"): "The label with the highest goodness wins, summed over the layers named. ",
    ("goodness", "iteration"): "The label with the highest goodness wins, summed over all layers and the iterations "
    "named. ",
    ("softmax", "layer"): "A softmax reads the normalized activities of the layers named; the image has the neutral "
    "label, or none. Where labels are part of the data, it is one softmax without its weights for the other layers; "
    "unsupervised nets have a softmax for each reading. ",
}


def section(table: TableResult) -> Section | None:
    names = {name for _, group in table.shown for name in group.summaries if named(name).split == "test"}
    grids = tuple(_grid(named(whole), of, parts, table) for (of, whole), parts in _by_whole(names).items())
    return Section("Which layers and iterations count", "parts", grids) if grids else None


def of_run(metrics: dict[str, float | None]) -> list[Grid]:
    """A run's metrics by layer and by iteration."""
    by_whole = _by_whole(metrics)
    grids = []
    for of in dict.fromkeys(of for of, _ in by_whole):
        wholes = {whole: parts for (kind, whole), parts in by_whole.items() if kind == of}
        spans = sorted({part for parts in wholes.values() for part in parts}, key=lambda part: part.order)
        rows = []
        for span in spans:
            values = ((metrics.get(parts.get(span, "")), named(whole)) for whole, parts in wholes.items())
            rows.append((span.label, *(text.number(value, metric) for value, metric in values)))
        titles = [f"{of}s".capitalize(), *(named(whole).heading for whole in wholes)]
        grids.append(Grid(f"By {of}", columns(titles), tuple(rows), titled=True))
    return grids


def _by_whole(names: Iterable[str]) -> dict[tuple[str, str], dict[Part, str]]:
    """Names of metrics by their part; layers before iterations, each by the name of the whole net's metric."""
    by_whole: dict[tuple[str, str], dict[Part, str]] = {}
    pairs = [(metric, metric.part) for metric in listed(names) if metric.part]
    for metric, part in sorted(pairs, key=lambda pair: pair[1].order):
        by_whole.setdefault((part.of, metric.whole), {})[part] = metric.name
    return by_whole


def _grid(metric: Metric, of: str, parts: dict[Part, str], table: TableResult) -> Grid:
    rows = []
    for row, group in table.shown:
        if any(name in group.summaries for name in parts.values()):
            means = (group.summaries.get(name) for name in (*parts.values(), metric.name))
            numbers = (text.number(summary.mean if summary else None, metric) for summary in means)
            rows.append((with_kinds(row.spec.label, text.kinds(group)), *numbers))
    return Grid(
        f"{metric.heading}, by {of}",
        columns(["Row", *(part.label for part in parts), "as tested"]),
        tuple(rows),
        f"{_NOTES.get((metric.way, of), '')}Mean over seeds.",
        titled=True,
    )

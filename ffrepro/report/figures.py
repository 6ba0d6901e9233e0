"""Which figures a table gets, with the words that stand for them where they cannot be seen."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ffrepro.report import draw, text
from ffrepro.report.compare import RowResult, TableResult
from ffrepro.report.groups import Group
from ffrepro.report.load import Run

_CURVES = {
    "running_error": "softmax, on training batches as they were trained",
    "validation_error_softmax": "softmax, on validation images",
    "validation_error": "on validation images",
}


@dataclass(frozen=True)
class Picture:
    """A figure's files, by their names; with `dark`, `-dark` stands before the ending of a second one."""

    file: str
    files: dict[str, bytes]
    title: str
    caption: str
    alt: str
    width: int  # of the light one and the dark one, in CSS pixels
    height: int

    @property
    def dark(self) -> str | None:
        name = self.file.replace(".svg", "-dark.svg")
        return name if name != self.file and name in self.files else None


@dataclass(frozen=True)
class TablePictures:
    """All figures of a table."""

    against_paper: Picture | None
    curves: list[Picture] = field(default_factory=list)
    goodness: list[Picture] = field(default_factory=list)
    iterations: list[Picture] = field(default_factory=list)
    hybrids: list[Picture] = field(default_factory=list)
    fields: list[Picture] = field(default_factory=list)
    text: list[Picture] = field(default_factory=list)
    panels: list[Picture] = field(default_factory=list)
    sweeps: list[Picture] = field(default_factory=list)
    maps: list[Picture] = field(default_factory=list)

    @property
    def all(self) -> list[Picture]:
        first = [] if self.against_paper is None else [self.against_paper]
        return [
            *first,
            *self.sweeps,
            *self.maps,
            *self.curves,
            *self.goodness,
            *self.iterations,
            *self.hybrids,
            *self.fields,
            *self.text,
            *self.panels,
        ]


def of_table(table: TableResult) -> TablePictures:
    shown = [(row, row.shown) for row in table.nets if row.shown is not None and row.shown.headline is not None]
    curves = [(row, group, found) for row, group in shown if (found := _error_curves(group))]
    ends = [
        float(value) for _, _, found in curves for _, curve in found for value in (curve.min().min(), curve.max().max())
    ]
    papers = (_papers_softmax(table, row) for row, _, _ in curves)
    limits = draw.error_limits([*ends, *(paper for paper in papers if paper is not None)])
    name = table.spec.name
    pictures = [(row, group, run) for row, group in shown if (run := first_with_pictures(group)) is not None]
    return TablePictures(
        against_paper=_against_paper(table),
        curves=[_curve(table, row, group, found, limits) for row, group, found in curves],
        goodness=[one for found in pictures if (one := _goodness(name, *found)) is not None],
        iterations=[one for found in pictures if (one := _iterations(name, *found)) is not None],
        hybrids=[one for found in pictures if (one := _hybrids(name, *found)) is not None],
        fields=[one for found in pictures if (one := _fields(name, *found)) is not None],
    )


def svg(name: str, drawn: dict[str, bytes], **words: str) -> Picture:
    """A figure in its two dresses; `words` are its title, caption and what stands for it where it cannot be seen."""
    files = {f"{name}.svg": drawn["light"], f"{name}-dark.svg": drawn["dark"]}
    width, height = (_pixels(drawn["light"], side) for side in ("width", "height"))
    return Picture(f"{name}.svg", files, width=width, height=height, **words)


def _pixels(svg: bytes, side: str) -> int:
    """Points as CSS pixels: figures are shown at the size they were drawn for, so that their letters fit the text's."""
    points = svg.split(f'{side}="'.encode(), 1)[1].split(b"pt", 1)[0]
    return round(float(points) * 4 / 3)


def _against_paper(table: TableResult) -> Picture | None:
    rows = [row for row in table.rows if row.difference is not None]
    if not rows:
        return None
    compared, said = [], []
    for row in rows:
        assert row.shown is not None
        assert row.shown.headline is not None
        assert row.spec.paper is not None
        assert row.spec.reproduced is not None
        values = tuple(run.record.metrics[row.shown.metric] or 0.0 for run in row.shown.counted)
        compared.append(
            draw.Compared(row.spec.title, row.spec.paper, row.spec.reproduced, values, row.shown.headline.mean)
        )
        said.append(f"{row.spec.title}: ours {text.ours(row)}, the paper's {text.paper(row)}")
    axis = f"{text.metric_label(table.spec.metric).lower()}, {table.spec.unit}".rstrip(", ")
    return svg(
        f"{table.spec.name}-against-paper",
        draw.against_paper(compared, axis),
        title="Ours beside the paper's",
        caption="Dot: our mean; rings: single seeds. Bar: the paper's number; band: what counts as reproduced.",
        alt=f"{table.spec.title}, {axis}. {'; '.join(said)}.",
    )


def _error_curves(group: Group) -> list[tuple[str, pd.DataFrame]]:
    found = [(label, group.history[name]) for name, label in _CURVES.items() if name in group.history]
    return [(label, curve) for label, curve in found if len(curve)]


def _papers_softmax(table: TableResult, row: RowResult) -> float | None:
    """The paper's test error by the test that learning curves are of, where a net is tested in two ways."""
    if row.spec.test is None:
        return None if row.spec.reproduced is None else row.spec.paper  # not one of other data
    others = (other.spec for other in table.rows if other.spec.record == row.spec.name)
    return next((other.paper for other in others if other.metric == "test_error_softmax"), None)


def _curve(
    table: TableResult, row: RowResult, group: Group, found: list[tuple[str, pd.DataFrame]], limits: tuple[float, float]
) -> Picture:
    said = [
        f"{label}: {', '.join(_at(curve, place) for place in sorted({0, len(curve) - 1}))}" for label, curve in found
    ]
    paper = _papers_softmax(table, row)
    return svg(
        f"{table.spec.name}-{row.spec.name}-curve",
        draw.learning_curve(found, paper, limits, text.kind(group)),
        title=row.spec.label,
        caption=_caption(group, f"Mean of {text.counted(len(group.counted), 'seed')}"),
        alt=f"Learning curve of {row.spec.label}. Error, {'; '.join(said)}."
        + (f" The paper's test error: {text.given(paper)} %." if paper is not None else ""),
    )


def _at(curve: pd.DataFrame, place: int) -> str:
    return f"{text.number(curve['mean'].iloc[place])} % after epoch {curve.index[place]}"


def _goodness(table: str, row: RowResult, group: Group, run: Run) -> Picture | None:
    arrays = run.pictures
    of_labels = "goodness_right" in arrays
    words = draw.LABELS if of_labels else draw.IMAGES
    try:
        names = ("right", "wrong") if of_labels else ("positive", "negative")
        right, wrong, edges = (arrays[f"goodness_{part}"] for part in (*names, "edges"))
    except KeyError:
        return None
    if right.ndim != 2 or right.shape != wrong.shape or right.shape[1] != len(edges):
        return None
    above = [_share_above(counts, edges) for counts in (right, wrong)]
    said = [
        f"layer {layer + 1}: {100 * of_right:.0f} % of {words.of_right} and {100 * of_wrong:.0f} % of {words.of_wrong}"
        for layer, (of_right, of_wrong) in enumerate(zip(*above, strict=True))
    ]
    return svg(
        f"{table}-{row.spec.name}-goodness",
        draw.goodness(right, wrong, edges, words, text.kind(group)),
        title=row.spec.label,
        caption=_caption(group, f"Seed {run.record.seed}, the first 1,000 test images"),
        alt=f"Goodness of {words.right} and {words.wrong} in each layer. Above the threshold are, {'; '.join(said)}.",
    )


def _iterations(table: str, row: RowResult, group: Group, run: Run) -> Picture | None:
    right, wrong = (run.pictures.get(f"iterations_{part}") for part in ("right", "wrong"))
    if right is None or wrong is None or right.ndim != 2 or right.shape != wrong.shape or not right.size:
        return None
    said = [
        f"layer {layer + 1}: {of_right[-1]:.2f} with the right and {of_wrong[-1]:.2f} with a wrong label"
        for layer, (of_right, of_wrong) in enumerate(zip(right, wrong, strict=True))
    ]
    return svg(
        f"{table}-{row.spec.name}-iterations",
        draw.iterations(right, wrong, text.kind(group)),
        title=row.spec.label,
        caption=_caption(group, f"Seed {run.record.seed}, the first 1,000 test images"),
        alt=f"Mean goodness over threshold by iteration. At the last one, {'; '.join(said)}.",
    )


def _share_above(counts: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Of each layer, the share of labels with a goodness above the threshold."""
    share: np.ndarray = counts[:, edges >= 1 - 1e-6].sum(1) / np.maximum(counts.sum(1), 1)
    return share


def _fields(table: str, row: RowResult, group: Group, run: Run) -> Picture | None:
    weights = _bytes(run, "first_layer_fields")
    if weights is None:
        return None
    return _png(
        f"{table}-{row.spec.name}-fields",
        draw.fields(weights),
        draw.images_size(weights),
        title=row.spec.label,
        caption=_caption(group, f"Seed {run.record.seed}"),
        alt=f"Weights of {len(weights)} units of the first hidden layer as images, {row.spec.label}.",
    )


def _hybrids(table: str, row: RowResult, group: Group, run: Run) -> Picture | None:
    hybrids = _bytes(run, "hybrid_images")
    if hybrids is None:
        return None
    return _png(
        f"{table}-{row.spec.name}-hybrids",
        draw.images(hybrids),
        draw.images_size(hybrids),
        title=row.spec.label,
        caption=_caption(group, "Made from the first test images"),
        alt=f"{len(hybrids)} hybrid images, each of two digits with a mask between them, {row.spec.label}.",
    )


def _bytes(run: Run, name: str) -> np.ndarray | None:
    """An array of images as bytes (n, height, width[, 3]), if that is what the run keeps by this name."""
    found = run.pictures.get(name)
    usable = (
        found is not None
        and (found.ndim == 3 or found.shape[3:] == (3,))
        and found.dtype == np.uint8
        and found.size > 0
    )
    return found if usable else None


def _png(name: str, drawn: bytes, size: tuple[int, int], **words: str) -> Picture:
    return Picture(f"{name}.png", {f"{name}.png": drawn}, width=size[0], height=size[1], **words)


def first_with_pictures(group: Group) -> Run | None:
    """The run whose pictures stand for the row."""
    return next((run for run in group.counted if run.pictures), None)


def _caption(group: Group, words: str) -> str:
    kind = text.kind(group)
    return f"{words}; {kind}." if kind else f"{words}."

"""Which figures a table gets, with the words that stand for them where they cannot be seen."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ffrepro.report import draw, text
from ffrepro.report.compare import Group, RowResult, TableResult
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
    fields: list[Picture] = field(default_factory=list)

    @property
    def all(self) -> list[Picture]:
        first = [] if self.against_paper is None else [self.against_paper]
        return [*first, *self.curves, *self.goodness, *self.fields]


def of_table(table: TableResult) -> TablePictures:
    shown = [(row, row.shown) for row in table.rows if row.shown is not None and row.shown.headline is not None]
    curves = [(row, group, found) for row, group in shown if (found := _error_curves(group))]
    ends = [
        float(value) for _, _, found in curves for _, curve in found for value in (curve.min().min(), curve.max().max())
    ]
    limits = draw.error_limits([*ends, *(row.spec.paper for row, _, _ in curves)])
    name = table.spec.name
    pictures = [(row, group, run) for row, group in shown if (run := _first_with_pictures(group)) is not None]
    return TablePictures(
        against_paper=_against_paper(table),
        curves=[_curve(name, row, group, found, limits) for row, group, found in curves],
        goodness=[one for row, group, run in pictures if (one := _goodness(name, row, group, run)) is not None],
        fields=[one for row, group, run in pictures if (one := _fields(name, row, group, run)) is not None],
    )


def _svg(name: str, drawn: dict[str, bytes], **words: str) -> Picture:
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
        values = tuple(run.record.metrics[row.shown.metric] or 0.0 for run in row.shown.counted)
        compared.append(
            draw.Compared(row.spec.label, row.spec.paper, row.spec.reproduced, values, row.shown.headline.mean)
        )
        said.append(f"{row.spec.label}: ours {text.ours(row)}, the paper's {text.paper(row)}")
    axis = f"{text.metric_label(table.spec.metric).lower()}, {table.spec.unit}".rstrip(", ")
    return _svg(
        f"{table.spec.name}-against-paper",
        draw.against_paper(compared, axis),
        title="Ours beside the paper's",
        caption="Dot: our mean; rings: single seeds. Bar: the paper's number; band: what counts as reproduced.",
        alt=f"{table.spec.title}, {axis}. {'; '.join(said)}.",
    )


def _error_curves(group: Group) -> list[tuple[str, pd.DataFrame]]:
    found = [(label, group.history[name]) for name, label in _CURVES.items() if name in group.history]
    return [(label, curve) for label, curve in found if len(curve)]


def _curve(
    table: str, row: RowResult, group: Group, found: list[tuple[str, pd.DataFrame]], limits: tuple[float, float]
) -> Picture:
    said = [
        f"{label}: {', '.join(_at(curve, place) for place in sorted({0, len(curve) - 1}))}" for label, curve in found
    ]
    return _svg(
        f"{table}-{row.spec.name}-curve",
        draw.learning_curve(found, row.spec.paper, limits, text.kind(group)),
        title=row.spec.label,
        caption=_caption(group, f"Mean of {text.counted(len(group.counted), 'seed')}"),
        alt=f"Learning curve of {row.spec.label}. Error, {'; '.join(said)}. The paper's: {text.paper(row)} %.",
    )


def _at(curve: pd.DataFrame, place: int) -> str:
    return f"{text.number(curve['mean'].iloc[place])} % after epoch {curve.index[place]}"


def _goodness(table: str, row: RowResult, group: Group, run: Run) -> Picture | None:
    arrays = run.pictures
    try:
        right, wrong, edges = (arrays[f"goodness_{part}"] for part in ("right", "wrong", "edges"))
    except KeyError:
        return None
    if right.ndim != 2 or right.shape != wrong.shape or right.shape[1] != len(edges):
        return None
    above = [_share_above(counts, edges) for counts in (right, wrong)]
    said = [
        f"layer {layer + 1}: {100 * of_right:.0f} % of right and {100 * of_wrong:.0f} % of wrong labels"
        for layer, (of_right, of_wrong) in enumerate(zip(*above, strict=True))
    ]
    return _svg(
        f"{table}-{row.spec.name}-goodness",
        draw.goodness(right, wrong, edges, text.kind(group)),
        title=row.spec.label,
        caption=_caption(group, f"Seed {run.record.seed}, the first 1,000 test images"),
        alt=f"Goodness of right and wrong labels in each layer. Above the threshold are, {'; '.join(said)}.",
    )


def _share_above(counts: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Of each layer, the share of labels with a goodness above the threshold."""
    share: np.ndarray = counts[:, edges >= 1 - 1e-6].sum(1) / np.maximum(counts.sum(1), 1)
    return share


def _fields(table: str, row: RowResult, group: Group, run: Run) -> Picture | None:
    weights = run.pictures.get("first_layer_fields")
    if weights is None or weights.ndim != 3 or weights.dtype != np.uint8 or not weights.size:
        return None
    file = f"{table}-{row.spec.name}-fields.png"
    width, height = draw.fields_size(weights)
    return Picture(
        file,
        {file: draw.fields(weights)},
        title=row.spec.label,
        caption=_caption(group, f"Seed {run.record.seed}"),
        alt=f"Weights of the first {len(weights)} units of the first hidden layer as images, {row.spec.label}.",
        width=width,
        height=height,
    )


def _first_with_pictures(group: Group) -> Run | None:
    return next((run for run in group.counted if run.pictures), None)


def _caption(group: Group, words: str) -> str:
    kind = text.kind(group)
    return f"{words}; {kind}." if kind else f"{words}."

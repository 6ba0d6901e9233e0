"""Several rows by epoch in a figure, on training data and on data held out of it."""

from typing import Any, cast

from omegaconf import OmegaConf

from ffrepro.metric import named
from ffrepro.report import text
from ffrepro.report.blocks import Picture, Section, figures
from ffrepro.report.chart import DASHED, SOLID, Line, Plot, chart, scale_of
from ffrepro.report.compare import RowResult, TableResult
from ffrepro.report.groups import Group, reason_left_out
from ffrepro.runs.record import Record, identity
from ffrepro.table import Panel

_NOTE = (
    "Each net was trained as its row says, but with data held out. Dashed: on training batches during training. Solid: "
    "on the held-out data. Forward-Forward nets are tested by the softmax on one bottom-up pass."
)


def section(table: TableResult) -> Section | None:
    numbered = enumerate(table.spec.panels, start=1)
    pictures = (_picture(f"{table.spec.name}-epochs-{number}", panel, table) for number, panel in numbered)
    return figures(f"{table.metric.noun.capitalize()} by epoch", "epochs", pictures, _NOTE)


def _picture(name: str, panel: Panel, table: TableResult) -> Picture | None:
    rows = {row.spec.name: row for row in table.rows}
    lines: list[Line] = []
    descriptions, missing, n_seeds = [], [], set[int]()
    for style, row in enumerate(rows[name] for name in panel.rows):
        group = _held_out(row, panel, table)
        held_out, training = (group.curve("validation"), group.curve("running")) if group else (None, None)
        if group is None or held_out is None:
            missing.append(row.spec.label)
            continue
        precisions = group.precisions if row.shown and group.precisions != row.shown.precisions else ()
        label = ", ".join([row.spec.label, *text.kinds(group), *precisions])
        drawn = [Line(f"{label}: training batches", training[1], style, DASHED)] if training else []
        drawn.append(Line(f"{label}: held-out data", held_out[1], style, SOLID))
        last = [f"{text.value(line.points[-1][1], table.metric)} on {line.label.rpartition(': ')[2]}" for line in drawn]
        descriptions.append(f"{label}: {' and '.join(last)} after epoch {held_out[1].index[-1]}")
        lines += drawn
        n_seeds.add(len(group.counted))
    if not lines:
        return None
    seeds = text.counted(max(n_seeds), "seed")
    seeds = seeds if len(n_seeds) == 1 else f"{min(n_seeds)} to {seeds}"
    without = f" No such run of: {'; '.join(missing)}." if missing else ""
    return chart(
        name,
        [Plot(lines, table.metric.axis, scale=scale_of(table.metric))],
        "epoch",
        title=panel.label,
        caption=f"Mean of {seeds}, trained with {panel.held_out}.{without}",
        alt=f"{table.metric.noun.capitalize()} by epoch, {panel.label}. {text.sentence(*descriptions)}",
    )


def _held_out(row: RowResult, panel: Panel, table: TableResult) -> Group | None:
    """Runs that differ from the row's only by the data held out, however they were asked for; a run for each seed."""
    if row.shown is None or not row.shown.counted:
        return None
    preset, shown = f"experiment={row.spec.experiment}", row.shown.counted[0]
    metric = named(table.metric.on("validation"))
    of_seeds = {
        run.record.seed: run
        for run in table.runs
        if preset in run.record.overrides
        and (run.budget, run.stand_in) == (shown.budget, shown.stand_in)
        and _experiment(run.record) == _experiment(shown.record, panel.held_out)
        and reason_left_out(run, metric) is None
    }
    return Group(tuple(of_seeds[seed] for seed in sorted(of_seeds)), metric) if of_seeds else None


def _experiment(record: Record, *overrides: str) -> str:
    """The fingerprint of a record's run with further `overrides`, whatever its seed."""
    config = OmegaConf.merge(record.config, OmegaConf.from_dotlist([*overrides]), {"seed": 0})
    values = cast("dict[str, Any]", OmegaConf.to_container(config))
    return identity(values, record.data["sha256"])

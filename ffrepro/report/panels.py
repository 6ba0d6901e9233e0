"""Errors by epoch of several procedures in one figure, on training data and on data held out of it."""

from typing import Any, cast

import pandas as pd
from omegaconf import OmegaConf

from ffrepro.report import draw, text
from ffrepro.report.compare import RowResult, TableResult
from ffrepro.report.figures import Picture, svg
from ffrepro.report.groups import Group, headline_metric, reason_left_out
from ffrepro.report.load import Run
from ffrepro.runs.record import Record, identity
from ffrepro.table import Panel

_HELD_OUT = ("validation_error", "validation_error_softmax")


def panels(table: TableResult, runs: list[Run]) -> list[Picture]:
    """The table's panels of which something was run; `runs` may be any."""
    return [
        picture
        for number, panel in enumerate(table.spec.panels, start=1)
        if (picture := _panel(f"{table.spec.name}-epochs-{number}", panel, table, runs)) is not None
    ]


def _panel(name: str, panel: Panel, table: TableResult, runs: list[Run]) -> Picture | None:
    rows = {row.spec.name: row for row in table.rows}
    found = [(rows[row], one) for row in panel.rows if (one := _held_out(rows[row], panel, runs)) is not None]
    drawn = [(row, one, held_out) for row, one in found if (held_out := _curve(one)) is not None]
    if not drawn:
        return None
    curves = [
        draw.Epochs(", ".join([row.spec.label, *_unlike(row, one)]), one.history.get("running_error"), held_out)
        for row, one, held_out in drawn
    ]
    missing = [rows[name].spec.label for name in panel.rows if name not in {row.spec.name for row, _, _ in drawn}]
    without = f" No such run of: {'; '.join(missing)}." if missing else ""
    seeds = sorted({len(one.counted) for _, one, _ in drawn})
    of_seeds = text.counted(seeds[-1], "seed") if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    return svg(
        name,
        draw.epochs(curves),
        title=panel.label,
        caption=f"Mean of {of_seeds}, trained with {panel.held_out}.{without}",
        alt=f"Errors by epoch, {panel.label}. " + "; ".join(map(_said, curves)) + ".",
    )


def _held_out(row: RowResult, panel: Panel, runs: list[Run]) -> Group | None:
    """Runs that differ from those that the row shows in what was held out alone, one a seed.

    It makes no difference how they were asked for.
    """
    if row.shown is None or not row.shown.counted:
        return None
    preset, shown = f"experiment={row.spec.experiment}", row.shown.counted[0]
    of_seeds = {
        run.record.seed: run
        for run in runs
        if preset in run.record.overrides
        and run.kind == shown.kind
        and _experiment(run.record) == _experiment(shown.record, panel.held_out)
        and reason_left_out(run, headline_metric([run])) is None
    }
    found = tuple(of_seeds[seed] for seed in sorted(of_seeds))
    return Group(found, headline_metric(found)) if found else None


def _experiment(one: Record, *overrides: str) -> str:
    """The fingerprint of a record's run, but for its seed, with further `overrides`."""
    config = OmegaConf.merge(one.config, OmegaConf.from_dotlist([*overrides]), {"seed": 0})
    values = cast("dict[str, Any]", OmegaConf.to_container(config))
    return identity(values, one.choices, one.data["sha256"])


def _unlike(row: RowResult, one: Group) -> list[str]:
    """What is to be said of runs that stand beside the row's: what they have less of, and another precision."""
    other = row.shown is not None and one.precisions != row.shown.precisions
    return [*text.kinds(one), *(one.precisions if other else ())]


def _curve(one: Group) -> pd.DataFrame | None:
    return next((one.history[name] for name in _HELD_OUT if name in one.history), None)


def _said(curve: draw.Epochs) -> str:
    train = "" if curve.train is None else f"{text.number(curve.train['mean'].iloc[-1])} % on training batches and "
    last = curve.held_out
    return (
        f"{curve.label}: {train}{text.number(last['mean'].iloc[-1])} % on held-out images after epoch {last.index[-1]}"
    )

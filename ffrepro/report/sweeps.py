"""Rows that differ in an option: their errors against it, and what theory says of their nets."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ffrepro.report import draw_sweeps, text
from ffrepro.report.compare import RowResult, TableResult
from ffrepro.report.figures import Picture, first_with_pictures, svg
from ffrepro.table import Sweep

_SIGNALS = ("signal_q", "signal_c", "signal_c_theory")


def errors(table: TableResult) -> list[Picture]:
    """Of each of the table's sweeps of which something was run."""
    found = (_errors(f"{table.spec.name}-sweep-{number}", one, table) for number, one in _numbered(table))
    return [picture for picture in found if picture is not None]


def maps(table: TableResult) -> list[Picture]:
    """C maps of the nets of the first sweep over each option, and their signals before training.

    Sweeps of another optimizer are of the same nets.
    """
    pictures = []
    for number, sweep in _numbered(table):
        if sweep.axis in {earlier.axis for earlier in table.spec.sweeps[: number - 1]}:
            continue
        name = f"{table.spec.name}-sweep-{number}"
        pictures += [one for one in (_maps(f"{name}-maps", sweep, table),) if one is not None]
        pictures += _signals(f"{name}-signals", sweep, table)
    return pictures


def _numbered(table: TableResult) -> Iterator[tuple[int, Sweep]]:
    yield from enumerate(table.spec.sweeps, start=1)


def _errors(name: str, sweep: Sweep, table: TableResult) -> Picture | None:
    lines: list[draw_sweeps.Line] = []
    kinds: set[str] = set()
    for label, rows in _lines(sweep, table).items():
        ours = {value: row for value, row in rows.items() if row.shown is not None and row.shown.headline is not None}
        paper = {value: row.spec.paper for value, row in rows.items() if row.spec.paper is not None}
        lines.append(draw_sweeps.Line(label, _by_value(ours), paper))
        kinds.update(kind for row in ours.values() if row.shown is not None for kind in text.kinds(row.shown))
    if all(line.ours.empty for line in lines):
        return None
    note = ", ".join(sorted(kinds))
    said = [
        f"{line.label}, {whose}: " + ", ".join(f"{text.number(error)} % at {value:g}" for value, error in curve.items())
        for line in lines
        for whose, curve in (("ours", line.ours["mean"].to_dict()), ("the paper's", line.paper))
        if curve
    ]
    return svg(
        name,
        draw_sweeps.errors(lines, sweep.axis, note),
        title=sweep.label,
        caption="A line is the mean over seeds, the light band reaches from the lowest to the highest"
        + (f"; {note}." if note else "."),
        alt=f"Error against {sweep.axis}, {sweep.label}. {'; '.join(said)}.",
    )


def _lines(sweep: Sweep, table: TableResult) -> dict[str, dict[float, RowResult]]:
    """Of each line its rows, by their values."""
    rows = {row.spec.name: row for row in table.rows}
    return {
        label: {value: rows[name] for value, name in zip(sweep.values, names, strict=True)}
        for label, names in sweep.lines.items()
    }


def _by_value(rows: dict[float, RowResult]) -> pd.DataFrame:
    """Mean, min and max over seeds of the metric that the table compares."""
    found = {}
    for value, row in rows.items():
        assert row.shown is not None
        own = [float(run.record.metrics[row.shown.metric] or 0.0) for run in row.shown.counted]
        found[value] = {"mean": float(np.mean(own)), "min": min(own), "max": max(own)}
    return pd.DataFrame.from_dict(found, orient="index", columns=["mean", "min", "max"])


def _kept(row: RowResult, *names: str) -> tuple[np.ndarray, ...] | None:
    """Arrays of one length that the row's pictures keep, if they do."""
    run = None if row.shown is None else first_with_pictures(row.shown)
    if run is None:
        return None
    arrays = tuple(run.pictures[name] for name in names if name in run.pictures)
    alike = len(arrays) == len(names) and {one.shape for one in arrays} == {(len(arrays[0]),)}
    return arrays if alike and len(arrays[0]) > 1 else None


def _maps(name: str, sweep: Sweep, table: TableResult) -> Picture | None:
    panels = []
    for value in sweep.values:
        kept = {label: _kept(rows[value], "c_map") for label, rows in _lines(sweep, table).items()}
        found = {label: arrays[0] for label, arrays in kept.items() if arrays is not None}
        if len(found) == len(sweep.lines):
            panels.append((f"{sweep.axis} {value:g}", found))
    if not panels:
        return None
    said = [
        f"{panel}: {', '.join(f'{label} {values[len(values) // 2]:.3f}' for label, values in found.items())}"
        for panel, found in panels
    ]
    return svg(
        name,
        draw_sweeps.maps(panels),
        title=f"C maps by {sweep.axis}",
        caption="What a wide net before training does to the cosine of two inputs; dotted: leaves it as it is.",
        alt=f"C maps of whole nets. Orthogonal inputs leave them with a cosine of, {'; '.join(said)}.",
    )


def _signals(name: str, sweep: Sweep, table: TableResult) -> list[Picture]:
    pictures = []
    for value in sweep.values:
        kept = {label: _kept(rows[value], *_SIGNALS) for label, rows in _lines(sweep, table).items()}
        nets = [draw_sweeps.Signal(label, *arrays) for label, arrays in kept.items() if arrays is not None]
        if len(nets) < len(sweep.lines):
            continue
        said = [
            f"{net.label}: mean square from {net.q[0]:.2f} to {net.q[-1]:.2f}, cosine from {net.c[0]:.2f} to "
            f"{net.c[-1]:.3f}, in theory {net.c_theory[-1]:.3f}"
            for net in nets
        ]
        picture = svg(
            f"{name}-{value:g}",
            draw_sweeps.signals(nets),
            title=f"Signals, {sweep.axis} {value:g}",
            caption="Of what each activation is given, in the net as it was built, before training: mean squares, and "
            "the cosine of two images at one place.",
            alt=f"Signals before training by activation, {sweep.axis} {value:g}. {'; '.join(said)}.",
        )
        pictures.append(picture)
    return pictures

"""Rows that differ in an option: their errors against it, and what theory says of their nets."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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
    """C maps and signals before training of the nets of all sweeps over one option; nets are drawn once."""
    pictures: list[Picture] = []
    drawn: list[set[str]] = []
    first: dict[str, int] = {}
    for number, sweep in _numbered(table):
        first.setdefault(sweep.axis, number)
    for axis, number in first.items():
        alike = [sweep for sweep in table.spec.sweeps if sweep.axis == axis]
        name = f"{table.spec.name}-sweep-{number}"
        maps_ = _maps(f"{name}-maps", alike, table)
        pictures += [] if maps_ is None else [maps_]
        pictures += _signals(f"{name}-signals", alike, table, drawn)
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
    failed = [
        f"{label} at {value:g} diverged"
        for label, rows in _lines(sweep, table).items()
        for value, row in rows.items()
        if row.diverged
    ]
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
        + "".join(f"; {one}" for one in [note, *failed] if one)
        + ".",
        alt=f"Error against {sweep.axis}, {sweep.label}. {'; '.join([*said, *failed])}.",
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


@dataclass(frozen=True)
class _Kept:
    """What a row's pictures keep: arrays of one length, of a run with these kinds and this seed."""

    row: str
    arrays: tuple[np.ndarray, ...]
    kinds: list[str]
    seed: int


def _kept(sweeps: list[Sweep], value: float, table: TableResult, *names: str) -> dict[str, _Kept]:
    """Of each line, at a value, the first row of any of the `sweeps` that keeps these arrays; {} if a line has none."""
    found: dict[str, _Kept] = {}
    for sweep in sweeps:
        for label, rows in _lines(sweep, table).items():
            group = rows[value].shown if value in rows else None
            run = None if group is None else first_with_pictures(group)
            if label in found or group is None or run is None:
                continue
            arrays = tuple(run.pictures[name] for name in names if name in run.pictures)
            if (
                len(arrays) == len(names)
                and {one.shape for one in arrays} == {(len(arrays[0]),)}
                and len(arrays[0]) > 1
            ):
                found[label] = _Kept(rows[value].spec.name, arrays, text.kinds(group), run.record.seed)
    return {label: found[label] for label in sweeps[0].lines} if set(sweeps[0].lines) <= set(found) else {}


def _of(kept: Iterable[_Kept]) -> str:
    """Which runs a figure is of, to stand behind its caption."""
    kept = list(kept)
    seeds = ", ".join(str(seed) for seed in sorted({one.seed for one in kept}))
    kinds = sorted({kind for one in kept for kind in one.kinds})
    return "; ".join([f"Seed {seeds}", *kinds]) + "."


def _maps(name: str, sweeps: list[Sweep], table: TableResult) -> Picture | None:
    axis = sweeps[0].axis
    kept = {value: _kept(sweeps, value, table, "c_map") for value in sweeps[0].values}
    panels = [
        (f"{value:g}", {label: one.arrays[0] for label, one in lines.items()}) for value, lines in kept.items() if lines
    ]
    if not panels:
        return None
    said = [
        f"{panel}: {', '.join(f'{label} {values[len(values) // 2]:.3f}' for label, values in found.items())}"
        for panel, found in panels
    ]
    return svg(
        name,
        draw_sweeps.maps(panels),
        title=f"C maps by {axis}",
        caption="What a wide net before training does to the cosine of two inputs, at each value. "
        + _of(one for lines in kept.values() for one in lines.values()),
        alt=f"C maps of whole nets by {axis}. Orthogonal inputs leave them with a cosine of, at {'; at '.join(said)}.",
    )


def _signals(name: str, sweeps: list[Sweep], table: TableResult, drawn: list[set[str]]) -> list[Picture]:
    """A figure for each value; nets in `drawn`, to which these are added, are left out."""
    pictures = []
    axis = sweeps[0].axis
    for value in sweeps[0].values:
        kept = _kept(sweeps, value, table, *_SIGNALS)
        rows = {one.row for one in kept.values()}
        if not kept or rows in drawn:
            continue
        drawn.append(rows)
        nets = [draw_sweeps.Signal(label, *one.arrays) for label, one in kept.items()]
        said = [
            f"{net.label}: mean square from {net.q[0]:.2f} to {net.q[-1]:.2f}, cosine from {net.c[0]:.2f} to "
            f"{net.c[-1]:.3f}, in theory {net.c_theory[-1]:.3f}"
            for net in nets
        ]
        picture = svg(
            f"{name}-{value:g}",
            draw_sweeps.signals(nets),
            title=f"Signals, {axis} {value:g}",
            caption="Of what each activation is given, in the net as it was built, before training: mean squares, and "
            f"the cosine of two images at one place. {_of(kept.values())}",
            alt=f"Signals before training by activation, {axis} {value:g}. {'; '.join(said)}.",
        )
        pictures.append(picture)
    return pictures

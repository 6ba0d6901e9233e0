"""Theory and measurements of nets before training: C maps and signals."""

from collections.abc import Sequence

import numpy as np

from ffrepro.report import text
from ffrepro.report.blocks import Picture, Section, figures
from ffrepro.report.chart import DOTS, THIN, Line, Plot, chart, single
from ffrepro.report.compare import TableResult
from ffrepro.report.groups import Group
from ffrepro.report.load import Run
from ffrepro.report.sections.sweeps import lines_of
from ffrepro.table import Sweep

_NOTE = (
    "A net's C map takes the cosine of two inputs to the cosine of the net's outputs, for very wide layers. Where it "
    "takes all cosines to nearly 1, inputs cannot be told apart. The theory of the signals begins with the cosines at "
    "the first activation and keeps mean squares constant; narrow layers scatter about it."
)
_SIGNALS = ("signal_q", "signal_c", "signal_c_theory")
Nets = dict[str, tuple[Group, Run]]  # by the labels of lines


def section(table: TableResult) -> Section | None:
    """The nets of all sweeps over an option share figures; a net is drawn once."""
    pictures: list[Picture] = []
    drawn: list[set[str]] = []
    axes = [sweep.axis for sweep in table.spec.sweeps]
    for axis in dict.fromkeys(axes):
        sweeps = [sweep for sweep in table.spec.sweeps if sweep.axis == axis]
        name = f"{table.spec.name}-sweep-{axes.index(axis) + 1}"
        maps = {value: _nets(sweeps, value, table, "c_map") for value in sweeps[0].values}
        maps = {value: nets for value, nets in maps.items() if nets}
        pictures += [_maps(f"{name}-maps", axis, maps)] if maps else []
        for value in sweeps[0].values:
            nets = _nets(sweeps, value, table, *_SIGNALS)
            rows = {run.record.row for _, run in nets.values()}
            if nets and rows not in drawn:
                drawn.append(rows)
                pictures.append(_signals(f"{name}-signals-{value:g}", f"{axis} {value:g}", nets))
    return figures("What theory says of the nets", "maps", pictures, _NOTE)


def _nets(sweeps: Sequence[Sweep], value: float, table: TableResult, *names: str) -> Nets:
    """The first net with these arrays in each line, at a value, of any of the `sweeps`; empty if a line has none."""
    pictured = {row.spec.name: (group, run) for row, group, run in table.pictured}
    nets: Nets = {}
    for label, rows in (line for sweep in sweeps for line in lines_of(sweep, table).items()):
        net = pictured.get(rows[value].spec.name) if value in rows else None
        shapes = [net[1].pictures[name].shape for name in names if name in net[1].pictures] if net else []
        if net and len(shapes) == len(names) and len(set(shapes)) == len(shapes[0]) == 1 and shapes[0][0] > 1:
            nets.setdefault(label, net)
    return {label: nets[label] for label in sweeps[0].lines} if set(sweeps[0].lines) <= set(nets) else {}


def _origin(*groups: Nets) -> str:
    """The runs of a figure, for its caption."""
    nets = [net for group in groups for net in group.values()]
    seeds = sorted({run.record.seed for _, run in nets})
    kinds = sorted({kind for group, _ in nets for kind in text.kinds(group)})
    return text.sentence(f"Seed {', '.join(map(str, seeds))}", *kinds)


def _maps(name: str, axis: str, maps: dict[float, Nets]) -> Picture:
    plots, middles = [], []
    for value, nets in maps.items():
        arrays = {label: run.pictures["c_map"] for label, (_, run) in nets.items()}
        lines = [
            Line(label, single(array, np.linspace(-1, 1, len(array))), style)
            for style, (label, array) in enumerate(arrays.items())
        ]
        plots.append(Plot(lines, "cosine that leaves", title=f"{value:g}"))
        cosines = (f"{label} {array[len(array) // 2]:.3f}" for label, array in arrays.items())
        middles.append(f"{value:g}: {', '.join(cosines)}")
    return chart(
        name,
        plots,
        "cosine that enters",
        height=2.4,
        beside=True,
        ticks=[-1, 0, 1],
        title=f"C maps by {axis}",
        caption=f"The cosine of two inputs after a wide net before training, at each value. {_origin(*maps.values())}",
        alt=f"C maps of nets by {axis}. Orthogonal inputs leave them with a cosine of, at {'; at '.join(middles)}.",
    )


def _signals(name: str, value: str, nets: Nets) -> Picture:
    squares: list[Line] = []
    cosines: list[Line] = []
    descriptions = []
    for style, (label, (_, run)) in enumerate(nets.items()):
        q, c, theory = (run.pictures[name] for name in _SIGNALS)
        x = np.arange(1, len(q) + 1)
        for lines, measured, expected in ((squares, q, np.full(len(q), q[0])), (cosines, c, theory)):
            lines.append(Line(f"{label}, measured", single(measured, x), style, DOTS))
            lines.append(Line(f"{label}, theory", single(expected, x), style, THIN))
        squared, cosine = f"{q[0]:.2f} to {q[-1]:.2f}", f"{c[0]:.2f} to {c[-1]:.3f}, in theory {theory[-1]:.3f}"
        descriptions.append(f"{label}: mean square from {squared}, cosine from {cosine}")
    values = np.concatenate([run.pictures["signal_q"] for _, run in nets.values()])
    # A net that keeps its mean squares to a percent looks so.
    limits = min(values.min() * 0.9, 0.4 * values.max()), max(values.max() * 1.1, 2.5 * values.min())
    return chart(
        name,
        [Plot(squares, "mean square", scale="log", limits=limits), Plot(cosines, "cosine")],
        "activation",
        height=3.8,
        title=f"Signals, {value}",
        caption="The input of each activation in the net before training: mean squares, and the cosine of two images "
        f"at one place. {_origin(nets)}",
        alt=f"Signals before training by activation, {value}. {'; '.join(descriptions)}.",
    )

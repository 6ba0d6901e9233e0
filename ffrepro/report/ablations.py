"""Choices of a paper tried against others: the runs of a preset's sweep, side by side."""

from ffrepro.report import text
from ffrepro.report.grids import Grid, Line
from ffrepro.report.groups import Group, group
from ffrepro.report.load import Run
from ffrepro.runs.record import changed
from ffrepro.table import Ablation, Table


def tried(table: Table, runs: list[Run]) -> list[tuple[Ablation, list[tuple[str, Group]]]]:
    """The table's ablations that were run, with each value that was tried; `runs` may be any."""
    found = ((one, _groups(one, runs)) for one in table.ablations)
    return [(one, groups) for one, groups in found if groups]


def _groups(ablation: Ablation, runs: list[Run]) -> list[tuple[str, Group]]:
    """Each value that was tried, with its runs: nothing else may differ from the preset."""
    mine: dict[tuple[float, str], list[Run]] = {}
    for run in runs:
        swept = changed(run.record.overrides)
        if f"experiment=ablation/{ablation.name}" in run.record.overrides and len(swept) == 1:
            option, _, value = swept[0].partition("=")
            if option == ablation.option:
                mine.setdefault(_ordered(value), []).append(run)
    return [
        (word or f"{number:g}", one)
        for (number, word), own in sorted(mine.items())
        for groups in group(own).values()
        for one in groups
    ]


def grid(table: Table, ablation: Ablation, groups: list[tuple[str, Group]]) -> Grid:
    """The values of an ablation side by side."""
    metrics = [table.metric.replace("test_", split) for split in ("validation_", "test_")]
    lines = [
        Line(
            value,
            text.kinds(one),
            (
                _seeds(one),
                *(text.summary(one.summaries.get(metric)) for metric in metrics),
            ),
        )
        for value, one in groups
    ]
    return Grid(
        caption=ablation.label,
        note=f"python -m ffrepro -m experiment=ablation/{ablation.name}, which sweeps over {ablation.option}. "
        f"Mean ± sample standard deviation over seeds{', in %' if table.unit == '%' else ''}.",
        bands=(),
        columns=("Seeds", *map(text.metric_label, metrics)),
        lines=tuple(lines),
        first=ablation.option,
    )


def _seeds(group: Group) -> str:
    """How many seeds have a result, and how many ended without one."""
    without = [run.record.status for run in group.runs if run not in group.counted]
    lost = [f"{without.count(status)} {status}" for status in sorted(set(without))]
    return f"{len(group.counted)} ({', '.join(lost)})" if lost else str(len(group.counted))


def _ordered(value: str) -> tuple[float, str]:
    """Numbers by their size, words by their letters."""
    try:
        return float(value), ""
    except ValueError:
        return 0.0, value

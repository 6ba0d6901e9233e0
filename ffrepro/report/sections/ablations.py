"""A paper's choices against others: the runs of a preset's sweep, side by side."""

from ffrepro.metric import Metric, named
from ffrepro.report import text
from ffrepro.report.blocks import Block, Figures, Grid, Picture, Section, columns, with_kinds
from ffrepro.report.chart import Line, by_value
from ffrepro.report.compare import TableResult
from ffrepro.report.groups import Group, group
from ffrepro.report.load import Run
from ffrepro.report.sections.sweeps import against
from ffrepro.runs.record import changed
from ffrepro.table import Ablation

# Values of an option in their order, each with its runs; a value has a group for each budget.
Tried = list[tuple[str, Group]]


def section(table: TableResult) -> Section | None:
    metrics = [named(table.metric.on(split)) for split in ("validation", "test")]
    tried = [(ablation, groups) for ablation in table.spec.ablations if (groups := _tried(ablation, table))]
    blocks: list[Block] = [_grid(ablation, groups, metrics) for ablation, groups in tried]
    study = _study(table.spec.name, [(ablation, groups) for ablation, groups in tried if ablation.line], metrics[0])
    blocks += [Figures((study,))] if study else []
    title = "The paper's choices against others"
    return Section(title, "ablations", tuple(blocks), table.spec.ablations_about) if blocks else None


def _tried(ablation: Ablation, table: TableResult) -> Tried:
    """Runs that differ from the preset in the option alone."""
    runs_of: dict[tuple[float, str], list[Run]] = {}
    for run in table.runs:
        swept = changed(run.record.overrides)
        if f"experiment=ablation/{ablation.name}" in run.record.overrides and len(swept) == 1:
            option, _, value = swept[0].partition("=")
            if option == ablation.option:
                runs_of.setdefault(_ordered(value), []).append(run)
    return [
        (word or f"{value:g}", own)
        for (value, word), runs in sorted(runs_of.items())
        for groups in group(runs).values()
        for own in groups
    ]


def _ordered(value: str) -> tuple[float, str]:
    """Numbers by their size, words by their letters."""
    try:
        return float(value), ""
    except ValueError:
        return 0.0, value


def _grid(ablation: Ablation, groups: Tried, metrics: list[Metric]) -> Grid:
    titles = [ablation.option, "Seeds", *(metric.heading for metric in metrics)]
    rows = []
    for value, own in groups:
        means = (text.summary(own.summaries.get(metric.name), metric) for metric in metrics)
        rows.append((with_kinds(value, text.kinds(own)), _seeds(own), *means))
    command = f"python -m ffrepro -m experiment=ablation/{ablation.name}"
    note = f"{command}, which sweeps over {ablation.option}. Mean ± sample standard deviation over seeds."
    return Grid(ablation.label, columns(titles), tuple(rows), note, titled=True)


def _seeds(own: Group) -> str:
    """How many seeds have a result, and how many ended without a result."""
    without = [run.record.status for run in own.runs if run not in own.counted]
    lost = [f"{without.count(status)} {status}" for status in sorted(set(without))]
    return f"{len(own.counted)} ({', '.join(lost)})" if lost else str(len(own.counted))


def _study(table: str, tried: list[tuple[Ablation, Tried]], metric: Metric) -> Picture | None:
    """The metric against the option, a line for each ablation."""
    shown: list[Group] = []
    lines: list[Line] = []
    for ablation, groups in tried:
        first = dict(reversed(groups))  # the group that says most
        measured = {value: own for value, own in first.items() if metric.name in own.summaries}
        values = by_value({float(value): own.values(metric.name) for value, own in measured.items()})
        lines += [Line(str(ablation.line), values, len(lines))] if measured else []
        shown += measured.values()
    if not lines:
        return None
    option = tried[0][0].option.rpartition(".")[2].replace("_", " ")
    name = f"{table}-{option.replace(' ', '-')}"
    kinds = [kind for own in shown for kind in text.kinds(own)]
    return against(name, option, lines, metric, title=f"{metric.label} at the end of training", kinds=kinds)

"""How each row is made."""

from ffrepro.report import text
from ffrepro.report.blocks import Commands, Section
from ffrepro.report.compare import RowResult, TableResult


def section(table: TableResult) -> Section:
    commands = tuple((net.spec.label, _reproduced(table, net), _lines(table, net)) for net in table.nets)
    return Section("How to make each row", "make", (Commands(commands),))


def _reproduced(table: TableResult, net: RowResult) -> str:
    """The means that count as the paper's, by each test of the net."""
    intervals = []
    for test in table.tests_of(net):
        if test.spec.reproduced:
            ends = " to ".join(text.given(end, test.metric) for end in test.spec.reproduced)
            intervals.append(", ".join(filter(None, [test.spec.test, f"reproduced: {ends}"])))
    return "; ".join(intervals)


def _lines(table: TableResult, net: RowResult) -> tuple[str, str]:
    return (
        f"make reproduce-{table.spec.name} ROWS={net.spec.name} BUDGET=paper",
        f"python -m ffrepro experiment={net.spec.experiment} seed=0  # one run",
    )

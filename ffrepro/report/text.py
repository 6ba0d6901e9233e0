"""Numbers and names as they are printed."""

import re
from typing import Any

from ffrepro.dataset import TRAIN_EVALUATED
from ffrepro.report.compare import RowResult
from ffrepro.report.groups import Group, Summary
from ffrepro.report.load import Run
from ffrepro.runs.tracking import duration

NONE = "–"
TRAIN_NOTE = f"measured on the first {TRAIN_EVALUATED:,} training images (all where there are fewer)"
MARKS = {
    "P": "read in the authors' own text or code",
    "S": "read in texts that quote the paper",
    "M": "recalled, not checked",
}
# Figures of a run as a whole, in the order of their columns. Those of single layers have tables of their own.
METRICS = {
    "test_error": "Test error",
    "test_error_goodness": "Test error, by goodness",
    "test_error_softmax": "Test error, by softmax",
    "test_perplexity": "Test perplexity",
    "test_perplexity_interval": "its 95 % interval",
    "test_bits_per_character": "Test bits a character",
    "test_accuracy": "Test accuracy, %",
    "test_loss": "Test loss",
    "train_error": "Training error",
    "train_error_softmax": "Training error, by softmax",
    "train_perplexity": "Training perplexity",
    "train_perplexity_interval": "its 95 % interval",
    "train_bits_per_character": "Training bits a character",
    "train_accuracy": "Training accuracy, %",
    "train_loss": "Training loss",
    "validation_error": "Validation error",
    "validation_error_softmax": "Validation error, by softmax",
    "validation_perplexity": "Validation perplexity",
    "validation_bits_per_character": "Validation bits a character",
    "validation_accuracy": "Validation accuracy, %",
    "validation_loss": "Validation loss",
}
_FURTHER = {
    "train_error_goodness": "Training error, by goodness",
    "validation_error_goodness": "Validation error, by goodness",
}
HISTORY = {
    "running_error": "Softmax error on training batches, as they were trained",
    "validation_error_softmax": "Validation error, by softmax",
    "validation_error": "Validation error",
    "running_perplexity": "Perplexity of training batches, as they were trained",
    "validation_perplexity": "Validation perplexity",
    "loss": "Loss",
}
# Where something on this machine lies is of no use to a reader elsewhere, and none of their business.
_ABSOLUTE = re.compile(r"""(?<![^\s'"=(\[,:])(?:~?/(?![/\s])[^\s'",:;<>]+|[A-Za-z]:\\[^\s'",;]+)""")


def plain_minus(text: str) -> str:
    """The sign for minus in the place of the hyphen."""
    return text.replace("-", "−")


def number(value: float | None, metric: str = "error", digits: int = 2) -> str:
    """Percentages, perplexities and bits with `digits` decimals, everything else with four figures."""
    if value is None:
        return NONE
    return plain_minus(f"{value:.{digits}f}" if _has_fixed_decimals(metric) else f"{value:.4g}")


def _has_fixed_decimals(metric: str) -> bool:
    """Whether its numbers have the same number of decimals whatever their size."""
    return any(kind in metric for kind in ("error", "accuracy", "perplexity", "bits"))


def unit_of(metric: str) -> str:
    return "%" if "error" in metric or "accuracy" in metric else ""


def summary(value: Summary | None, metric: str = "error", digits: int = 2) -> str:
    """Mean ± standard deviation, with as many decimals; a single run has no ±."""
    if value is None:
        return NONE
    if value.std is None:
        return number(value.mean, metric, digits)
    if not _has_fixed_decimals(metric):  # as many as four figures of the mean have
        digits = max(0, 3 - int(f"{value.mean:.3e}".rpartition("e")[2]))
    return plain_minus(f"{value.mean:.{digits}f} ± {value.std:.{digits}f}")


def low_to_high(group: Group, metric: str) -> str:
    """The interval of a metric that has one."""
    return " to ".join(number(end, metric) for end in group.interval(metric) or ()) or NONE


def row_digits(row: RowResult) -> int:
    """Two decimals, or as many more as it takes to see on which side of the interval's ends the mean lies."""
    if row.shown is None or row.shown.headline is None or row.shown.reduced:
        return 2
    if row.spec.reproduced is None:
        return 2
    mean, (low, high) = row.shown.headline.mean, row.spec.reproduced
    for digits in (2, 3, 4):
        printed = round(mean, digits)
        if (low <= printed <= high) == (low <= round(mean, 9) <= high):
            return digits
    return 4


def ours(row: RowResult) -> str:
    return NONE if row.shown is None else summary(row.shown.headline, row.shown.metric, row_digits(row))


def paper(row: RowResult) -> str:
    return given(row.spec.paper)


def given(value: float | None) -> str:
    """A number of `table.yaml`: where the paper gives whole ones, so do we."""
    return str(value) if isinstance(value, int) else number(value)


def paper_train(row: RowResult) -> str:
    """The paper's training error with its mark."""
    marked = f" {_marked(row.spec.train_mark)}" if row.spec.train_mark else ""
    return f"{given(row.spec.train)}{marked}"


def our_train(row: RowResult) -> str:
    """Our training error, by the row's own test."""
    return summary(row.train)


def mark(row: RowResult) -> str:
    """How well the paper's number is known, and whether it is of other data; empty where there is none."""
    if not row.spec.mark:
        return ""
    return _marked(row.spec.mark) + (", other data" if row.spec.reproduced is None else "")


def _marked(mark: str) -> str:
    return f"{mark}, recalled" if mark == "M" else mark


def difference(row: RowResult) -> str:
    return NONE if row.difference is None else plain_minus(f"{row.difference:+.{row_digits(row)}f}")


def interval(row: RowResult) -> str:
    """The means that count as the paper's; empty where it has no number."""
    return " to ".join(given(end) for end in row.spec.reproduced or ())


def seeds(row: RowResult) -> str:
    """How many seeds there are, of how many there should be."""
    if row.shown is None:
        return ""
    if not row.missing_seeds:
        return counted(len(row.shown.seeds), "seed")
    wanted = len(row.wanted_seeds)
    have = wanted - len(row.missing_seeds)
    others = len(row.shown.seeds) - have
    return f"{have} of {wanted} seeds" + (f" and {others} not asked for" if others else "")


def kinds(group: Group | Run, *, named: bool = True) -> list[str]:
    """What is less than the paper's in a group or run, its budget `named` or not; empty if nothing."""
    budget = group.record.budget if isinstance(group, Run) else group.budget
    less = [] if budget == "paper" else [f"reduced: {budget} budget" if named else "reduced"]
    return [*less, *(["stand-in data"] if group.stand_in else [])]


def kind(group: Group | Run, *, named: bool = True) -> str:
    return ", ".join(kinds(group, named=named))


def time(seconds: float | None) -> str:
    return NONE if seconds is None else duration(seconds)


def memory(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.0f} MB"


def commit(run: Run) -> str:
    """The first digits of the commits that it was trained with; * where the tree had been changed since."""
    return ", ".join(_commits(run))


def commits(group: Group) -> list[str]:
    return sorted({one for run in group.counted for one in _commits(run)}) or [NONE]


def _commits(run: Run) -> list[str]:
    """More than one where a run was cut and gone on with after a change."""
    git = run.record.git
    known = [*git.get("earlier", []), git["commit"]]
    return [(str(one)[:7] if one else "unknown") + ("*" if git["dirty"] else "") for one in known]


def device(group: Group) -> str:
    """The devices, the threads of a CPU, and the precisions with how often each was used where they differ."""
    machines = [run.record.environment for run in group.counted]
    threads = sorted({int(machine["threads"]) for machine in machines if not machine["cuda"]})
    computed = [f"{' or '.join(map(str, threads))} thread{'s' if threads != [1] else ''}"] if threads else []
    used = [str(machine["precision"]) for machine in machines]
    kinds = [name if len(group.precisions) == 1 else f"{used.count(name)} × {name}" for name in group.precisions]
    return "; ".join([*(without_paths(name) for name in group.devices), *computed, ", ".join(kinds)]) if used else NONE


def counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def notes(row: RowResult) -> list[str]:
    """What a reader must know before trusting a row's mean."""
    group = row.shown
    if group is None:
        return []
    found = [f"Seed {run.record.seed} is not in the mean: {without_paths(reason)}." for run, reason in group.left_out]
    if not group.of_one_config:
        found.append("The runs differ in more than their seed: their configurations are not the same.")
    if len(group.precisions) > 1:
        found.append(f"The runs were made in different precisions: {device(group)}.")
    return found


def commands(row: RowResult, table: str) -> tuple[str, str]:
    """The commands that make a row: all its seeds, and one run."""
    return (
        f"make reproduce-{table} ROWS={row.spec.name} BUDGET=paper",
        f"python -m ffrepro experiment={row.spec.experiment} seed=0",
    )


def metric_label(name: str) -> str:
    return (METRICS | _FURTHER).get(name, name.replace("_", " ").capitalize())


def without_paths(value: Any) -> Any:
    """`value`, a text or what is made of texts, with absolute paths taken out."""
    if isinstance(value, str):
        return _ABSOLUTE.sub("<path>", value)
    if isinstance(value, dict):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_paths(item) for item in value]
    return value

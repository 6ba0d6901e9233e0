"""All other metrics of each row."""

from ffrepro.dataset import TRAIN_EVALUATED
from ffrepro.metric import Metric, listed
from ffrepro.report import text
from ffrepro.report.blocks import Grid, Section, columns, with_kinds
from ffrepro.report.compare import TableResult
from ffrepro.report.groups import Group

# By the split or the kind of a metric.
_NOTES = {
    "train": f"Training errors of images are of the first {TRAIN_EVALUATED:,} training images, or all if there are "
    "fewer; losses of reconstructions and perplexities are of all training data.",
    "validation": "Validation data are held out of the training data.",
    "perplexity": "Perplexity is e to the mean cross-entropy in nats. The ends of its interval, by bootstrap over "
    "strings, are averaged over seeds.",
}


def section(table: TableResult) -> Section | None:
    names = {name for _, group in table.shown for name in group.summaries}
    metrics = [metric for metric in listed(names) if not metric.part and metric.end != "high"]
    if not metrics:
        return None
    titles = ["Row", *("its 95 % interval" if metric.end else metric.heading for metric in metrics)]
    rows = tuple(
        (with_kinds(row.spec.label, text.kinds(group)), *(_cell(group, metric) for metric in metrics))
        for row, group in table.shown
    )
    keys = {key for metric in metrics for key in (metric.split, metric.kind)}
    note = " ".join(["Mean ± sample standard deviation over seeds.", *(_NOTES[key] for key in _NOTES if key in keys)])
    return Section("Test, training and validation", "figures", (Grid("All metrics", columns(titles), rows),), note)


def _cell(group: Group, metric: Metric) -> str:
    if metric.end:
        return text.low_to_high(group, metric.name.removesuffix("_low"), metric)
    return text.summary(group.summaries.get(metric.name), metric)

"""What the report shows of nets that predict text: their curves, a study of an option, and text that they wrote."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ffrepro.report import draw_text, text
from ffrepro.report.compare import TableResult
from ffrepro.report.figures import Picture, first_with_pictures, svg
from ffrepro.report.groups import Group
from ffrepro.rollout import TEMPERATURES
from ffrepro.table import Ablation

_SHOWN = 2  # strings at each temperature


@dataclass(frozen=True)
class Sample:
    """Text that a row's net wrote at a temperature, each after the real text that it went on from."""

    label: str
    kinds: list[str]
    temperature: float
    written: list[tuple[str, str]]


def curves(table: TableResult) -> Picture | None:
    """Perplexity by epoch of all rows that learn, with those that only count as lines across."""
    learning, levels, kinds = [], [], set()
    for row in table.nets:
        group = row.shown
        if group is None or group.headline is None:
            continue
        held_out, training = (group.history.get(f"{split}_perplexity") for split in ("validation", "running"))
        if held_out is not None and training is not None:
            learning.append(draw_text.Learning(row.spec.label, training, held_out))
            kinds.update(text.kinds(group))
        elif {"train_perplexity", "validation_perplexity"} <= set(group.summaries):
            ends = (group.summaries[f"{split}_perplexity"].mean for split in ("train", "validation"))
            levels.append(draw_text.Level(row.spec.name, *ends))
            kinds.update(text.kinds(group))
    if not learning:
        return None
    said = [
        f"{one.label}: {text.number(one.training['mean'].iloc[-1], 'perplexity')} and "
        f"{text.number(one.held_out['mean'].iloc[-1], 'perplexity')}"
        for one in learning
    ]
    return svg(
        f"{table.spec.name}-perplexities",
        draw_text.perplexities(learning, levels, ", ".join(sorted(kinds))),
        title="Perplexity by epoch",
        caption="Above, of training batches as they were trained; below, of the validation strings. A line is the mean "
        "over seeds, the light band reaches from the lowest to the highest. Lines across: what is counted"
        f"{'; '.join(['', *sorted(kinds)])}.",
        alt=f"Perplexity by epoch. At the end, of training and of held-out text, {'; '.join(said)}.",
    )


def study(table: TableResult, tried: list[tuple[Ablation, list[tuple[str, Group]]]]) -> Picture | None:
    """Perplexity against the option of the ablations that are lines of one figure."""
    drawn = [(one, found) for one, groups in tried if one.line is not None and (found := _best(groups))]
    if not drawn:
        return None
    lines = [(one, _by_value(groups)) for one, groups in drawn]
    kinds = sorted({kind for _, groups in drawn for _, group in groups for kind in text.kinds(group)})
    option = lines[0][0].option.rpartition(".")[2].replace("_", " ")
    said = [
        f"{one.line}: "
        + ", ".join(f"{text.number(mean, 'perplexity')} at {value:g}" for value, mean in curve["mean"].items())
        for one, curve in lines
    ]
    return svg(
        f"{table.spec.name}-{option.replace(' ', '-')}",
        draw_text.study(
            [draw_text.Tried(str(one.line), curve) for one, curve in lines], f"{option}, updates", ", ".join(kinds)
        ),
        title=f"Perplexity against {option}",
        caption="Of the validation strings at the end of training. A line is the mean over seeds, the light band "
        f"reaches from the lowest to the highest{'; '.join(['', *kinds])}.",
        alt=f"Perplexity of held-out text against {option}{', '.join(['', *kinds])}. {'; '.join(said)}.",
    )


def _best(groups: list[tuple[str, Group]]) -> list[tuple[str, Group]]:
    """Of each value the group that says most, if it has a result."""
    first: dict[str, Group] = {}
    for value, group in groups:
        first.setdefault(value, group)
    return [(value, group) for value, group in first.items() if "validation_perplexity" in group.summaries]


def _by_value(groups: list[tuple[str, Group]]) -> pd.DataFrame:
    """Mean, min and max over seeds of the validation perplexity, by the value of an option."""
    found = {
        float(value): [float(run.record.metrics["validation_perplexity"] or np.nan) for run in group.counted]
        for value, group in groups
    }
    rows = {value: {"mean": np.mean(own), "min": min(own), "max": max(own)} for value, own in sorted(found.items())}
    return pd.DataFrame.from_dict(rows, orient="index")


def samples(table: TableResult) -> list[Sample]:
    """Of each row that keeps some, what its net wrote, at each temperature."""
    found = []
    for row in table.nets:
        run = first_with_pictures(row.shown) if row.shown else None
        if run is None or row.shown is None:
            continue
        window = int(run.record.config.get("dataset", {}).get("window", 0))
        for temperature in TEMPERATURES:
            letters = run.pictures.get(f"text_temperature_{temperature:g}")
            if letters is not None and letters.ndim == 2 and letters.dtype == np.uint8:
                strings = [bytes(line).decode("ascii", "replace") for line in letters[:_SHOWN]]
                # A space between the two belongs to the second, for what ends in one cannot be bold in Markdown.
                ends = [len(one[:window].rstrip()) for one in strings]
                written = [(one[:end], one[end:]) for one, end in zip(strings, ends, strict=True)]
                found.append(Sample(row.spec.label, text.kinds(row.shown), temperature, written))
    return found

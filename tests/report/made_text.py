"""Made records of nets that predict text: what their page has to tell apart."""

from pathlib import Path

import numpy as np

from ffrepro.metric import Split
from ffrepro.runs.record import Record, write_pictures
from ffrepro.table import Ablation, Claim, Row, Table
from tests.report.made import made_record, write

_SPLITS: list[Split] = ["test", "train"]


def made_text_table() -> Table:
    return Table(
        name="table8",
        title="Table 8: made text",
        paper="A. Uthor, A Draft",
        about="From 4 characters the next one is predicted.",
        seeds=[0, 1],
        metric="test_perplexity",
        rows=[
            Row("fixed", "Fixed random layers", "table8/fixed"),
            Row("learned", "Layers that learn", "table8/learned"),
            Row("alike", "Layers that learn otherwise", "table8/alike"),
            Row("counted", "What is counted", "table8/counted", seeds=[0]),
            Row("never", "Never run", "table8/never"),
        ],
        claims=[
            Claim("Lower with layers that learn", ("learned", "fixed"), "lower", "interval", "S", splits=_SPLITS),
            Claim("Otherwise about as good", ("alike", "learned"), "alike", "interval", "M", splits=_SPLITS),
            Claim("How far from what is counted", ("learned", "counted"), "nothing", "interval", splits=_SPLITS),
            Claim("Lower than what was never run", ("learned", "never"), "lower", "interval", "S", splits=_SPLITS),
        ],
        ablations=[
            Ablation("length", "Length of phases: usual rates", "algorithm.phase_length", "usual rates"),
            Ablation("length_slow", "Length of phases: low rates", "algorithm.phase_length", "low rates"),
        ],
        ablations_about="On a smaller net.",
    )


def made_text_record(row: str, seed: int, perplexity: float, epochs: int = 6, table: str = "table8") -> Record:
    """A run that ended at `perplexity` on held-out text, with an interval of 5 % on either side, and half on training
    text."""
    metrics: dict[str, float | None] = {}
    for split, value in (("test", perplexity), ("train", perplexity / 2), ("validation", perplexity + 0.5)):
        metrics |= {
            f"{split}_perplexity": value,
            f"{split}_perplexity_low": value * 0.95,
            f"{split}_perplexity_high": value * 1.05,
            f"{split}_bits_per_character": float(np.log2(value)),
            f"{split}_accuracy": 100 / value,
        }
    fall = [1 + 2 * 0.5**epoch for epoch in range(epochs)]
    history = [
        {"loss": now, "running_perplexity": now * perplexity / 2, "validation_perplexity": now * perplexity + 0.5}
        for now in fall
    ]
    if epochs == 1:
        history = [{"loss": 1.0, "validation_perplexity": perplexity + 0.5}]
    record = made_record(row, seed, metrics=metrics, history=history, table=table)
    record.config["dataset"] = {"window": 4}
    return record


def write_made_text_records(results: Path) -> None:
    """All cases of `made_text_table`."""
    for row, perplexities in (("fixed", (9.0, 9.2)), ("learned", (7.0, 7.2)), ("alike", (7.3, 7.1))):
        for seed, perplexity in enumerate(perplexities):
            path = write(results, made_text_record(row, seed, perplexity))
            if seed == 0:
                text = np.frombuffer(b"the fox <ran>the * owl sat.the bee flew", np.uint8).reshape(3, 13)
                arrays = {f"text_temperature_{temperature}": text for temperature in ("1", "0.5")}
                write_pictures(path.with_suffix(".npz"), arrays)
    write(results, made_text_record("counted", 0, 6.0, epochs=1))
    for name, rise in (("length", 1.0), ("length_slow", 0.1)):
        for value in (1, 10, 100):
            for seed in (0, 1):
                option = f"algorithm.phase_length={value}"
                run = made_text_record(
                    f"{name}-{option}-ab12cd34", seed, 8.0 + rise * np.log10(value) + seed, 6, "sweeps"
                )
                run.config.update(table="ablation", row=name)
                run.overrides[:] = [option, f"seed={seed}", f"experiment=ablation/{name}"]
                write(results, run)

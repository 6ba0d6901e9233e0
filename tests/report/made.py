"""Made records: every case that the report tells apart, small enough to be read."""

from pathlib import Path
from typing import Any

import numpy as np

from ffrepro.report.blocks import Cell, Figures, Grid, Picture, Section
from ffrepro.report.load import Run
from ffrepro.runs.record import SCHEMA, Record, Status, write_pictures
from ffrepro.table import Ablation, Row, Table

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def made_table() -> Table:
    def row(name: str, label: str, paper: float, mark: str, reproduced: tuple[float, float]) -> Row:
        return Row(name, label, f"table9/{name}", paper, mark, reproduced)

    return Table(
        name="table9",
        title="Table 9: made records",
        paper="A. Uthor, A Paper",
        about="Errors in percent of the test images.",
        seeds=[0, 1, 2],
        metric="test_error",
        rows=[
            row("same", "As in the paper, 4 × 20 ReLU", 1.36, "P", (1.32, 1.40)),
            row("lower", "Lower | than the paper's, in two precisions", 2.00, "M", (1.90, 2.10)),
            row("higher", "Higher than the paper's, one seed diverged", 1.00, "S", (0.95, 1.05)),
            row("preview", "A quick run only", 1.50, "S", (1.40, 1.60)),
            row("stand_in", "A quick run on stand-in data", 1.50, "S", (1.40, 1.60)),
            row("broken", "All seeds diverged", 1.50, "S", (1.40, 1.60)),
            row("never", "Never run", 1.50, "S", (1.40, 1.60)),
        ],
        ablations_about="On a smaller net and fewer images, with 10,000 training images held out as validation images.",
        ablations=[
            Ablation("blurs", "How often a mask is blurred", "algorithm.blurs"),
            Ablation("never", "A choice that was not tried", "algorithm.never"),
        ],
    )


def made_record(row: str, seed: int = 0, test_error: float = 1.36, **changed: Any) -> Record:
    """A run that ended with `test_error`; `changed` are other fields of the record, or those below."""
    status: Status = changed.pop("status", "ok")
    stand_in, precision, dirty = (
        changed.pop(*item) for item in (("stand_in", False), ("precision", "fp32"), ("dirty", False))
    )
    budget, table = changed.get("budget", "paper"), changed.get("table", "table9")
    metrics = _metrics(test_error) if status == "ok" else {}
    epochs = 12 if budget == "paper" else 2
    decay = [2.0 + 60 * 0.6**epoch + 0.1 * seed for epoch in range(epochs)]
    values: dict[str, Any] = {
        "schema": SCHEMA,
        "status": status,
        "error": None,
        "table": table,
        "row": row,
        "budget": budget,
        "seed": seed,
        "command": f"python -m ffrepro experiment={table}/{row} seed={seed} results_dir=/somewhere/of/mine",
        "config": {
            "seed": seed,
            "table": table,
            "row": row,
            "precision": "auto",
            "results_dir": "/somewhere/of/mine",
            "algorithm": {"_target_": "ffrepro.algorithm.ff_supervised.FFSupervised", "learning_rate": 0.01},
            "schedule": {"epochs": 12},
        },
        "choices": {"algorithm": "ff_supervised"},
        "overrides": [f"experiment={table}/{row}"],
        "fingerprint": "f" * 64,
        "git": {"commit": COMMIT, "dirty": dirty},
        "environment": {
            "python": "3.11.7", "torch": "2.9.0", "cuda": None, "device": "A CPU, 2 cores", "threads": 2,
            "precision": precision, "deterministic": True,
        },
        "data": {
            "name": "digits" if stand_in else "mnist", "sha256": "d" * 64, "stand_in": stand_in,
            "sizes": {"train": 1000, "validation": 0, "test": 500},
        },
        "started_at": "2026-01-02T03:04:05+00:00",
        "wall_s": 600.0 + 10 * seed,
        "train_s": 500.0,
        "peak_memory_bytes": 1_440_000_000,
        "metrics": metrics,
        "history": [
            {"loss": now / 10, "running_error": now, "validation_error_softmax": now * 0.8 + 0.5} for now in decay
        ],
        **changed,
    }  # fmt: skip
    return Record(**values)


def _metrics(error: float) -> dict[str, float | None]:
    return {
        "test_error": error,
        "test_error_goodness": error,
        "test_error_softmax": error + 0.2,
        "test_error_goodness_layer_1": error + 1,
        "test_error_goodness_layer_2": error + 2,
        "test_error_goodness_layers_1_to_2": error + 3,
        "test_error_softmax_layer_2": error + 4,
        "train_error": error - 0.5,
        "train_error_goodness": error - 0.5,
    }


def run(record: Record) -> Run:
    """A run with this record, which is not on disk."""
    return Run(record, f"runs/{record.table}/{record.row}/{record.budget}-seed{record.seed}.json", Path())


def runs(*errors: float, row: str = "same", **changed: Any) -> list[Run]:
    """Runs with seeds from 0 that ended with these test errors."""
    return [run(made_record(row, seed, error, **changed)) for seed, error in enumerate(errors)]


def grids(section: Section | None) -> list[Grid]:
    return [block for block in section.blocks if isinstance(block, Grid)] if section else []


def pictures(section: Section | None) -> list[Picture]:
    figures = [block for block in section.blocks if isinstance(block, Figures)] if section else []
    return [picture for block in figures for picture in block.pictures]


def cells(grid: Grid) -> list[list[str]]:
    """A grid's rows as plain text."""
    return [[_plain(cell) for cell in row] for row in grid.rows]


def _plain(cell: Cell) -> str:
    return cell if isinstance(cell, str) else " ".join(piece.text for piece in cell)


def write(results: Path, record: Record) -> Path:
    path = results / "runs" / record.table / record.row / f"{record.budget}-seed{record.seed}.json"
    record.write(path)
    return path


def write_made_pictures(record_path: Path) -> None:
    """Fields and histograms of a net of two layers."""
    y, x = np.mgrid[-1:1:28j, -1:1:28j]
    fields = np.stack([128 + 127 * np.sin(3 * (x * np.cos(k) + y * np.sin(k))) for k in range(10)]).astype(np.uint8)
    edges = np.linspace(0, 6, 61).astype(np.float32)
    middles = np.append((edges[:-1] + edges[1:]) / 2, 6.5)
    right, wrong = (
        np.stack([n * np.exp(-8 * (middles - center - 0.1 * layer) ** 2) for layer in range(2)]).astype(np.int32)
        for n, center in ((100, 1.3), (900, 0.6))
    )
    right[0, -1] = 30
    write_pictures(
        record_path.with_suffix(".npz"),
        {"first_layer_fields": fields, "goodness_right": right, "goodness_wrong": wrong, "goodness_edges": edges},
    )


def write_pictures_without_labels(record_path: Path) -> None:
    """The pictures of an unsupervised net with local fields and of a recurrent net, together."""
    y, x = np.mgrid[-1:1:28j, -1:1:28j]
    hybrids = np.stack([255 * ((x * np.cos(k) + y * np.sin(k)) > 0) for k in range(6)]).astype(np.uint8)
    positive, negative = (np.roll(np.eye(2, 61, dtype=np.int32) * 100, shift, axis=1) for shift in (14, 5))
    iterations = np.arange(1, 9, dtype=np.float32) / 8
    write_pictures(
        record_path.with_suffix(".npz"),
        {
            "first_layer_fields": (np.arange(300).reshape(3, 10, 10) % 256).astype(np.uint8),
            "hybrid_images": hybrids,
            "goodness_positive": positive,
            "goodness_negative": negative,
            "goodness_edges": np.linspace(0, 6, 61).astype(np.float32),
            "iterations_right": np.stack([0.5 + iterations, 0.8 + iterations]),
            "iterations_wrong": np.stack([0.5 + 0 * iterations, 0.8 - iterations / 2]),
        },
    )


def write_made_records(results: Path) -> None:
    """All cases: the rows of `made_table`, a record of no row, sweeps, and files that are no records."""
    first = write(results, made_record("same", 0, 1.35))
    write_made_pictures(first)
    for seed, error in ((1, 1.36), (2, 1.40)):
        write(results, made_record("same", seed, error))
    write(results, made_record("same", 0, 9.0, budget="quick"))
    write(results, made_record("same", 0, 30.0, budget="smoke"))
    for seed, error in enumerate((1.70, 1.80, 1.75)):
        made = made_record("lower", seed, error, precision="bf16" if seed else "fp32", dirty=seed == 2)
        spans = {"iteration_1": 4.0, "iteration_2": 3.0, "iterations_1_to_2": 2.5 + seed}
        made.metrics.update({f"test_error_goodness_{name}": more for name, more in spans.items()})
        path = write(results, made)
        if seed == 0:
            write_pictures_without_labels(path)
    for seed, error in enumerate((1.20, 1.30)):
        write(results, made_record("higher", seed, error))
    write(results, made_record("higher", 2, status="diverged", error="a metric is not finite after epoch 3"))
    write_made_pictures(write(results, made_record("preview", 0, 8.0, budget="quick")))
    write(results, made_record("stand_in", 0, 6.0, budget="quick", stand_in=True))
    write(results, made_record("broken", 0, status="failed", error="out of memory", history=[]))
    write(results, made_record("removed_row", 0, 1.5))
    for seed, error in enumerate((2.0, 2.5)):
        sweep = made_record("same-algorithm.threshold=2-ab12cd34", seed, error, table="sweeps", budget="quick")
        sweep.config.update(table="table9", row="same")
        sweep.config["algorithm"]["threshold"] = 2
        write(results, sweep)
    for value, seed, error in (("12", 0, 1.5), ("3", 0, 2.0), ("3", 1, 2.2)):
        name = f"algorithm.blurs={value}"
        ablated = made_record(f"blurs-{name}-ab12cd34", seed, error, table="sweeps")
        ablated.config.update(table="ablation", row="blurs")
        ablated.overrides[:] = [name, f"seed={seed}", "experiment=ablation/blurs"]
        ablated.metrics["validation_error"] = error + 0.1
        write(results, ablated)
    (results / "runs/table9/same/paper-seed7.json").write_text('{"schema": 1, "sta')
    (results / "runs/table9/same/.paper-seed8.json").write_text("being written")

"""How long runs will train, as far as the records of their rows tell."""

import statistics
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from omegaconf import DictConfig

from ffrepro.config import budgeted_epochs
from ffrepro.errors import UserError
from ffrepro.runs import record


def training_seconds(config: DictConfig, folders: Sequence[Path]) -> float | None:
    """Training time of a composed `config`, on the machines of the records.

    It is the median time of an epoch in the records, times the epochs of the budget. A budget with fewer examples takes
    its share of the time. Records of reduced data or of stand-in data do not count.

    Args:
        config: of a row.
        folders: with the row's records.

    Returns:
        None if there is no such record.
    """
    limit = config.budget.train_examples
    epoch_s = []
    for path in (path for folder in folders for path in sorted(folder.glob("*.json"))):
        with suppress(UserError):  # the run or the report will name a damaged record
            known = record.load(path)
            whole = known.config["budget"]["train_examples"] is None and not known.data["stand_in"]
            if known.history and whole:
                examples = known.data["sizes"]["train"]
                epoch_s.append(known.train_s / len(known.history) * min(limit or examples, examples) / examples)
    return statistics.median(epoch_s) * budgeted_epochs(config) if epoch_s else None

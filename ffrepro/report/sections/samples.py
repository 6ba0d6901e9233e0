"""Text that nets wrote, each after the real text that it goes on from."""

import numpy as np

from ffrepro.report import text
from ffrepro.report.blocks import Quotes, Section, with_kinds
from ffrepro.report.compare import TableResult
from ffrepro.rollout import TEMPERATURES

_SHOWN = 2  # strings at each temperature


def section(table: TableResult) -> Section | None:
    blocks = []
    for row, group, run in table.pictured:
        window = int(run.record.config.get("dataset", {}).get("window", 0))
        for temperature in TEMPERATURES:
            letters = run.pictures.get(f"text_temperature_{temperature:g}")
            if letters is not None and letters.ndim == 2 and letters.dtype == np.uint8:
                strings = [bytes(line).decode("ascii", "replace") for line in letters[:_SHOWN]]
                title = with_kinds(f"{row.spec.label}, temperature {temperature}", text.kinds(group))
                blocks.append(Quotes(title, tuple(_split(string, window) for string in strings)))
    note = "Each string goes on from held-out text, in bold."
    return Section("What the nets write", "samples", tuple(blocks), note) if blocks else None


def _split(string: str, window: int) -> tuple[str, str]:
    """The given text and the written text. A space between belongs to the second: Markdown has no bold space."""
    end = len(string[:window].rstrip())
    return string[:end], string[end:]

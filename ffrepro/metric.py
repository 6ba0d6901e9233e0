"""Metrics: what they are called, how they are printed, and which of two values is better.

A name is a split, a quantity, and details: `test_error`, `validation_loss`, `test_error_goodness_layers_1_to_3`.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeGuard

Kind = Literal["share", "perplexity", "bits", "loss", "angle", "other"]
Split = Literal["test", "train", "validation", "running"]
_FIGURES = 4  # of a number whose size is not known beforehand


@dataclass(frozen=True)
class Part:
    """The layers or iterations that a value belongs to, from `first` to `last`."""

    of: str
    first: int
    last: int

    @property
    def order(self) -> tuple[bool, bool, int, int]:
        """Layers come before iterations, single parts before several."""
        return self.of != "layer", self.first != self.last, self.first, self.last

    @property
    def label(self) -> str:
        """Layer 2, or layers 1–3, in small letters."""
        return f"{self.of} {self.first}" if self.first == self.last else f"{self.of}s {self.first}–{self.last}"


@dataclass(frozen=True)
class Metric:
    """A measured quantity."""

    name: str  # the name in a record
    quantity: str  # the name without its split and details
    noun: str  # the quantity in words
    kind: Kind
    unit: str  # `%`, `°` or nothing
    decimals: int | None  # how many decimals are printed; None prints four figures
    lower_is_better: bool  # whether the smaller of two values is better
    # The data that it was measured on. `running` data are training batches, measured while they train the net.
    split: Split | None = None
    detail: str = ""  # the rest of the name, as in `softmax_layer_2`
    way: str = ""  # how the net was tested, where there are several ways: `goodness` or `softmax`
    part: Part | None = None  # the layers or iterations that count
    end: str = ""  # the end of a 95 % interval, `low` or `high`

    @property
    def label(self) -> str:
        """For a table or a legend, with a capital: Test error, by softmax."""
        words = [_LABELS[self.split].format(self.noun).strip()]
        words += [f"by {self.way}"] if self.way else []
        words += [self.part.label] if self.part else []
        words += [f"{'lower' if self.end == 'low' else 'upper'} end of the 95 % interval"] if self.end else []
        label = ", ".join(words)
        return label[:1].upper() + label[1:]

    @property
    def heading(self) -> str:
        """The label and the unit, for the head of a column: Test error, %."""
        return f"{self.label}, {self.unit}" if self.unit else self.label

    @property
    def whole(self) -> str:
        """The name without layers or iterations."""
        return "_".join(word for word in (self.split, self.quantity, self.way) if word)

    @property
    def axis(self) -> str:
        """The quantity and its unit, for an axis: error, %."""
        return f"{self.noun}, {self.unit}" if self.unit else self.noun

    def format(self, value: float, decimals: int | None = None) -> str:
        """`value` without its unit, with `decimals` or the metric's own."""
        if self.decimals is None and value and not 1e-5 <= abs(value) < 1e7:
            return f"{value:.{_FIGURES - 1}e}"
        return f"{value:.{self.places(value) if decimals is None else decimals}f}"

    def with_unit(self, value: float) -> str:
        """`value` and its unit: 1.36 %, 57.03."""
        return f"{self.format(value)} {self.unit}".rstrip()

    def places(self, value: float) -> int:
        """The decimals of `value`, for a spread or a difference that is printed with it."""
        if self.decimals is not None:
            return self.decimals
        if not math.isfinite(value):
            return 0
        return max(0, _FIGURES - 1 - int(f"{value:.{_FIGURES - 1}e}".rpartition("e")[2]))

    def worse_by(self, first: float, second: float) -> float:
        """How much worse `first` is than `second`; negative where it is better."""
        return first - second if self.lower_is_better else second - first

    def on(self, split: Split) -> str:
        """The name of the same metric on another split."""
        return "_".join(part for part in (split, self.quantity, self.detail) if part)


# A run's headline is looked for in this order. Then: noun, kind, unit, decimals, whether lower is better.
_QUANTITIES: dict[str, tuple[str, Kind, str, int | None, bool]] = {
    "error": ("error", "share", "%", 2, True),
    "perplexity": ("perplexity", "perplexity", "", 2, True),
    "loss": ("loss", "loss", "", None, True),
    "accuracy": ("accuracy", "share", "%", 2, False),
    "bits_per_character": ("bits per character", "bits", "", 2, True),
    "angle": ("angle", "angle", "°", 1, True),
}
# In this order splits are listed.
_LABELS: dict[Split | None, str] = {
    "test": "Test {}",
    "train": "Training {}",
    "validation": "Validation {}",
    "running": "{} on training batches during training",
    None: "{}",
}
_SPLITS: dict[str, Split] = {split: split for split in _LABELS if split}
_DETAIL = re.compile(
    r"(?P<way>goodness|softmax)?_?((?P<of>layer|iteration)s?_(?P<first>\d+)(_to_(?P<last>\d+))?)?_?(?P<end>low|high)?"
)


@cache
def named(name: str) -> Metric:
    """The metric called `name`. An unknown quantity is printed with four figures, and lower counts as better."""
    prefix, _, rest = name.partition("_")
    split = _SPLITS.get(prefix) if rest else None
    rest = rest if split else name
    quantity = next((known for known in _QUANTITIES if f"{rest}_".startswith(f"{known}_")), rest)
    noun, kind, unit, decimals, lower = _QUANTITIES.get(quantity, (rest.replace("_", " "), "other", "", None, True))
    detail = rest[len(quantity) + 1 :]
    match = _DETAIL.fullmatch(detail)
    if match is None:  # a detail that has no words of its own
        return Metric(name, quantity, f"{noun}, {detail.replace('_', ' ')}", kind, unit, decimals, lower, split, detail)
    part = Part(match["of"], int(match["first"]), int(match["last"] or match["first"])) if match["of"] else None
    return Metric(
        name, quantity, noun, kind, unit, decimals, lower, split, detail, match["way"] or "", part, match["end"] or ""
    )


def is_known(name: str) -> bool:
    """Whether `name` is of a quantity that this module describes."""
    return named(name).kind != "other"


def listed(names: Iterable[str]) -> list[Metric]:
    """The metrics in the order of a table's columns: by split, quantity and detail; unknown quantities come last."""
    splits, quantities = list(_LABELS), list(_QUANTITIES)

    def place(metric: Metric) -> tuple[int, int, str]:
        known = quantities.index(metric.quantity) if metric.quantity in quantities else len(quantities)
        return splits.index(metric.split), known, metric.name

    return sorted((named(name) for name in set(names)), key=place)


def headline(names: Iterable[str], splits: Iterable[Split] = ("test",)) -> str | None:
    """The name of the metric that stands for a run: the first quantity on the first of `splits` that has any."""
    metrics = [metric for metric in listed(names) if metric.kind != "other" and not (metric.part or metric.end)]
    return next((metric.name for split in splits for metric in metrics if metric.split == split), None)


def is_finite(value: float | None) -> TypeGuard[float]:
    """Whether `value` is a number that can be averaged and compared."""
    return value is not None and math.isfinite(value)

"""Whether a claim about two rows holds, by the test that the claim names."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.stats import ttest_ind

from ffrepro.metric import Metric
from ffrepro.table import Claim

_ROUNDING = 1e-9  # a spread that small comes from rounding


@dataclass(frozen=True)
class Measured:
    """A row's metric over seeds, and the ends of its recorded interval, averaged over seeds."""

    values: tuple[float, ...]
    interval: tuple[float, float] | None = None

    @property
    def mean(self) -> float:
        return fmean(self.values)


def finding(claim: Claim, metric: Metric, first: Measured, second: Measured) -> str:
    """Whether the claim holds."""
    if claim.says == "nothing":
        return "no claim"
    if claim.test == "interval":
        if first.interval is None or second.interval is None:
            return "not measured"
        return _by_side(claim, first.interval[1] < second.interval[0], second.interval[1] < first.interval[0])
    interval = welch(first.values, second.values)
    if claim.test == "welch":
        return _by_side(claim, interval[1] < 0, interval[0] > 0) if interval else "undecided"
    if claim.ratio is not None:
        return "holds" if first.mean <= claim.ratio * second.mean else "does not hold"
    assert claim.points is not None
    worse = metric.worse_by(first.mean, second.mean)
    holds = worse <= claim.points if claim.says == "within" else worse >= claim.points
    # The means decide; the interval says whether other seeds could decide otherwise.
    ends = sorted(metric.worse_by(end, 0) for end in interval or ())
    settled = bool(ends) and not ends[0] <= claim.points <= ends[1]
    return ("holds" if holds else "does not hold") + ("" if settled else ", not settled")


def _by_side(claim: Claim, below: bool, above: bool) -> str:
    """The finding for a first row that is clearly below the second, clearly above it, or neither."""
    if claim.says == "alike":
        return "does not hold" if below or above else "holds"
    return "holds" if below else "does not hold" if above else "undecided"


def welch(first: Sequence[float], second: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of the difference of two means, by Welch's t-test.

    None without two values of each, and where neither varies: that does not show how far they would.
    """
    if min(len(first), len(second)) < 2 or max(stdev(first), stdev(second)) < _ROUNDING:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # either may be constant
        interval = ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    return float(interval.low), float(interval.high)

"""The search for a learning rate, without runs."""

import math
from typing import Any

import pytest

from ffrepro import table
from ffrepro.commands.rate_search import GRID, LEARNED, Search, best_rate, next_rate
from ffrepro.errors import UserError
from ffrepro.metric import named

ERROR, LOSS, ACCURACY = (named(f"validation_{quantity}") for quantity in ("error", "loss", "accuracy"))


@pytest.mark.parametrize("optimum", [1e-6, 2e-5, 0.0011, 0.03, 1.0, 3.0])
@pytest.mark.parametrize("start", [1e-5, 0.002, 3.0])
def test_the_best_rate_is_found_from_any_start(optimum: float, start: float) -> None:
    errors: dict[float, float | None] = {}
    while (rate := next_rate(errors, start, ERROR)) is not None:
        assert rate in GRID
        assert rate not in errors
        errors[rate] = abs(math.log(rate / optimum))
    chosen = best_rate(errors, ERROR)
    assert chosen is not None
    assert chosen == min(GRID, key=lambda rate: abs(math.log(rate / optimum)))
    place = GRID.index(chosen)
    assert set(GRID[max(place - 1, 0) : place + 2]) <= set(errors)


@pytest.mark.parametrize("guess", [89.9, math.inf, None])
@pytest.mark.parametrize("start", [1e-6, 1e-5, 0.002, 0.1, 1.0])
def test_the_best_rate_is_found_beyond_rates_that_do_not_learn(guess: float, start: float) -> None:
    errors: dict[float, float | None] = {}
    while (rate := next_rate(errors, start, ERROR)) is not None:
        errors[rate] = {0.0003: 60.0, 0.001: 55.0}.get(rate, guess)
    assert best_rate(errors, ERROR) == 0.001


def test_if_nothing_learns_the_whole_grid_is_tried_from_the_start_outwards() -> None:
    errors: dict[float, float | None] = {}
    tried = []
    while (rate := next_rate(errors, 0.01, ERROR)) is not None:
        tried.append(rate)
        errors[rate] = LEARNED
    assert sorted(tried) == GRID
    assert tried[0] == 0.01
    assert set(tried[:3]) == {0.003, 0.01, 0.03}
    assert best_rate(errors, ERROR) is None


def test_a_loss_needs_no_threshold_and_a_trial_that_diverged_is_the_worst() -> None:
    losses = {0.01: 2000.0, 0.03: None, 0.1: math.nan, 0.003: 2001.0}
    assert best_rate(losses, LOSS) == 0.01
    assert next_rate(losses, 0.1, LOSS) is None
    assert best_rate(losses, ERROR) is None
    assert best_rate({0.01: None, 0.03: math.inf}, LOSS) is None


def test_the_metrics_direction_counts_and_of_equals_the_smaller_rate() -> None:
    values: dict[float, float | None] = {0.003: 60.0, 0.01: 40.0, 0.03: 60.0}
    assert best_rate(values, ACCURACY) == 0.003
    assert best_rate(values, ERROR) == 0.01
    assert best_rate({0.03: 40.0, 0.01: 40.0}, ERROR) == 0.01


@pytest.mark.parametrize(
    ("algorithm", "option"),
    [
        ({"optimizer": {"lr": 0.1}, "learning_rate": 0.2}, "algorithm.optimizer.lr"),
        ({"learning_rate": 0.1}, "algorithm.learning_rate"),
    ],
)
def test_the_option_is_the_first_that_the_row_has(algorithm: dict[str, Any], option: str) -> None:
    search = Search(table.load("table1").rows[0], ERROR, {"algorithm": algorithm})
    assert (search.option, search.start) == (option, 0.1)


@pytest.mark.parametrize("rate", [None, 0.0, -0.1, math.inf, math.nan])
def test_a_row_without_a_rate_to_start_from_is_refused(rate: float | None) -> None:
    with pytest.raises(UserError, match=r"bp has no algorithm\.optimizer\.lr or algorithm\.learning_rate above 0"):
        Search(table.load("table1").chosen(["bp"])[0], ERROR, {"algorithm": {"optimizer": {"lr": rate}}})

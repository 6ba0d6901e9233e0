"""What feeds a layer: biases by the formula, and several sources against one that is all of them."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ffrepro.forward_forward.connections import Connections
from ffrepro.forward_forward.layers import normalize
from ffrepro.forward_forward.local_fields import LocalFields
from ffrepro.forward_forward.weights import Dense
from tests.forward_forward.test_weights import Kind, as_dense, dense, local, mask_of, random


def test_a_layer_is_relu_of_an_affine_map() -> None:
    layer = Connections(Dense(torch.tensor([[1.0, -1.0], [2.0, 0.5]]), torch.float32))
    layer.bias.copy_(torch.tensor([0.5, -1.0]))
    torch.testing.assert_close(layer(torch.tensor([[1.0, 2.0], [-1.0, 0.0]])), torch.tensor([[5.5, 0.0], [0.0, 0.0]]))
    assert layer.width == 2


def test_biases_start_at_0_in_the_precision_of_the_weights() -> None:
    for dtype in (torch.float32, torch.float64):
        layer = Connections(dense(3, 4, torch.bfloat16, dtype=dtype), dense(2, 4, torch.bfloat16, dtype=dtype))
        assert torch.equal(layer.bias, torch.zeros(4, dtype=dtype))
        assert torch.equal(layer.bias_velocity, torch.zeros(4, dtype=dtype))
        assert layer.bias.dtype == layer.bias_velocity.dtype == dtype


def test_learning_follows_the_formula_over_several_steps() -> None:
    weight, bias = random(6, 4, seed=1), torch.zeros(4, dtype=torch.float64)
    layer = Connections(Dense(weight.clone(), torch.float64))
    weight_velocity, bias_velocity = torch.zeros_like(weight), torch.zeros_like(bias)
    for step in range(3):
        given, delta = random(9, 6, seed=10 + step), random(9, 4, seed=20 + step)
        bias_gradient = random(4, seed=30 + step)
        rate = 0.5 / (step + 1)
        layer.learn([given], [delta], bias_gradient, batch_size=5, momentum=0.9, rate=rate, weight_cost=0.02)
        outer = sum(x[:, None] * d[None, :] for x, d in zip(given, delta, strict=True))
        weight_velocity = 0.9 * weight_velocity + 0.1 * outer / 5
        bias_velocity = 0.9 * bias_velocity + 0.1 * bias_gradient / 5
        weight = weight + rate * (weight_velocity - 0.02 * weight)
        bias = bias + rate * bias_velocity  # no weight cost
    torch.testing.assert_close(layer.sources[0].weight, weight, rtol=0, atol=1e-12)
    torch.testing.assert_close(layer.bias, bias, rtol=0, atol=1e-12)
    torch.testing.assert_close(layer.bias_velocity, bias_velocity, rtol=0, atol=1e-12)


# Several sources -----------------------------------------------------------------------------------

# A map of 6 × 4 locations with 2 channels, which sees a map below, one above, or units above.
BELOW: dict[str, Any] = {"source": (8, 6, 3), "field": 3, "stride": 1, "channels": 2}
ABOVE: dict[str, Any] = {"source": (6, 4, 5), "field": 3, "stride": 1, "channels": 2, "padding": 1, "tile": (2, 2)}
MAKERS: dict[str, Callable[[torch.dtype, torch.dtype], list[Kind]]] = {
    "dense": lambda products, state: [dense(7, 6, products, dtype=state)],
    "two dense": lambda products, state: [dense(n, 6, products, dtype=state) for n in (7, 3)],
    "three dense": lambda products, state: [dense(n, 6, products, dtype=state) for n in (4, 9, 1)],
    "local and local": lambda products, state: [
        local(**kind, products=products, dtype=state) for kind in (BELOW, ABOVE)
    ],
    "local and dense": lambda products, state: [
        local(**BELOW, products=products, dtype=state),
        dense(10, 48, products, dtype=state),
    ],
}
KINDS = pytest.mark.parametrize("kind", MAKERS)


def made(kind: str, products: torch.dtype = torch.float64) -> Connections:
    state = torch.float64 if products == torch.float64 else torch.float32
    return Connections(*MAKERS[kind](products, state))


def fan_in(layer: Connections) -> int:
    return sum(weights.fan_in for weights in layer.sources)


def parts_of(layer: Connections, given: Tensor) -> tuple[Tensor, ...]:
    """What each source gave of `given`, one after the other in each row."""
    return given.split([weights.fan_in for weights in layer.sources], dim=1)


def joined(layer: Connections, of: Callable[[Kind], Tensor]) -> Tensor:
    """What `of` finds of each source, one below the other, as of one dense source."""
    parts = []
    for weights in layer.sources:
        assert isinstance(weights, Dense | LocalFields)
        parts.append(as_dense(weights, of(weights)) if isinstance(weights, LocalFields) else of(weights))
    return torch.cat(parts)


@KINDS
def test_several_sources_are_one_that_is_all_of_them(kind: str) -> None:
    layer = made(kind)
    mask = torch.cat(
        [mask_of(one) if isinstance(one, LocalFields) else torch.ones_like(one.weight) for one in layer.sources]
    )
    single = Connections(Dense(joined(layer, lambda weights: weights.weight), torch.float64))
    weights = single.sources[0]
    assert isinstance(weights, Dense)
    assert layer.width == single.width
    for one in (layer, single):
        one.bias.copy_(random(layer.width, seed=1))
    for step in range(3):
        given, delta = random(9, fan_in(layer), seed=10 + step), random(9, layer.width, seed=20 + step)
        bias_gradient = random(layer.width, seed=30 + step)
        before = joined(layer, lambda weights: weights.weight)
        torch.testing.assert_close(layer(*parts_of(layer, given)), single(given), rtol=0, atol=1e-12)
        for one in (layer, single):
            parts = parts_of(one, given)
            one.learn(
                parts, [delta] * len(parts), bias_gradient, batch_size=5, momentum=0.9, rate=0.5, weight_cost=0.02
            )
        weights.weight.mul_(mask)
        weights.velocity.mul_(mask)
        learned = joined(layer, lambda weights: weights.weight)
        assert torch.equal(learned != before, mask != 0)
        torch.testing.assert_close(learned, weights.weight, rtol=0, atol=1e-12)
        velocities = joined(layer, lambda weights: weights.velocity)
        torch.testing.assert_close(velocities, weights.velocity, rtol=0, atol=1e-12)
        for name in ("bias", "bias_velocity"):
            torch.testing.assert_close(getattr(layer, name), getattr(single, name), rtol=0, atol=1e-12)


@KINDS
def test_activities_are_new_and_neither_negative_nor_all_0(kind: str) -> None:
    layer = made(kind)
    layer.bias.copy_(random(layer.width, seed=1))
    given = random(9, fan_in(layer), seed=2)
    before = given.clone(), layer.bias.clone()
    activities = layer(*parts_of(layer, given))
    assert activities.shape == (9, layer.width)
    assert activities.min() == 0
    assert activities.max() > 0
    activities.fill_(7.0)
    assert torch.equal(given, before[0])
    assert torch.equal(layer.bias, before[1])


@KINDS
def test_bf16_products_stay_close_to_fp32(kind: str) -> None:
    full, rounded = made(kind, torch.float32), made(kind, torch.bfloat16)
    given = parts_of(full, normalize(random(64, fan_in(full), seed=1, dtype=torch.float32)))
    for _ in range(3):
        exact, close = full(*given), rounded(*given)
        assert close.dtype == torch.float32
        assert not torch.equal(close, exact)
        assert (close - exact).abs().max() < 0.05  # activities are about 1, bf16 has 8 bits
        assert (close - exact).abs().mean() < 0.005
        for layer in (full, rounded):
            delta = 0.1 * exact
            layer.learn(
                given, [delta] * len(given), delta.sum(0), batch_size=64, momentum=0.5, rate=1.0, weight_cost=0.01
            )
    for mine, other in zip(rounded.sources, full.sources, strict=True):
        assert mine.weight.dtype == torch.float32
        torch.testing.assert_close(mine.weight, other.weight, rtol=0, atol=1e-3)


@KINDS
@pytest.mark.parametrize("products", [torch.float32, torch.bfloat16])
def test_a_layer_goes_on_from_its_state_as_if_uncut(kind: str, products: torch.dtype) -> None:
    def step(layer: Connections, seed: int) -> None:
        delta = random(8, layer.width, seed=seed, dtype=torch.float32)
        layer.learn(given, [delta] * len(given), delta.sum(0), batch_size=8, momentum=0.9, rate=0.1, weight_cost=0.01)

    layer, resumed = made(kind, products), made(kind, products)
    given = parts_of(layer, random(8, fan_in(layer), dtype=torch.float32))
    step(layer, 2)
    state = copy.deepcopy(layer.state_dict())
    assert set(state) == {"sources", "bias", "bias_velocity"}
    assert [set(source) for source in state["sources"]] == [{"weight", "velocity"}] * len(layer.sources)
    step(resumed, 4)  # whatever it did before
    resumed.load_state_dict(state)
    assert torch.equal(resumed(*given), layer(*given))
    for one in (layer, resumed):
        step(one, 3)
    assert torch.equal(resumed(*given), layer(*given))
    assert torch.equal(resumed.bias, layer.bias)
    assert torch.equal(resumed.bias_velocity, layer.bias_velocity)
    for mine, other, kept in zip(resumed.sources, layer.sources, state["sources"], strict=True):
        assert torch.equal(mine.weight, other.weight)
        assert not torch.equal(other.weight, kept["weight"])
    assert not torch.equal(layer.bias, state["bias"])


def test_a_state_of_other_sources_is_not_taken() -> None:
    with pytest.raises(ValueError, match="zip"):
        made("dense").load_state_dict(made("two dense").state_dict())

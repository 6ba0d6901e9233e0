"""Connections against the formula, and several sources against a single source with all units."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ffrepro.forward_forward.connections import Connections
from ffrepro.forward_forward.local_fields import LocalFields
from ffrepro.forward_forward.passes import normalize
from ffrepro.forward_forward.weights import Dense
from tests.forward_forward.test_weights import Kind, as_dense, dense, local, mask_of, random


def test_a_layer_is_relu_of_an_affine_map() -> None:
    layer = Connections(Dense(torch.tensor([[1.0, -1.0], [2.0, 0.5]]), torch.float32))
    layer.bias.copy_(torch.tensor([0.5, -1.0]))
    torch.testing.assert_close(layer(torch.tensor([[1.0, 2.0], [-1.0, 0.0]])), torch.tensor([[5.5, 0.0], [0.0, 0.0]]))
    assert layer.width == 2


def test_biases_start_at_0_with_the_precision_of_the_weights() -> None:
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
        inputs, delta = random(9, 6, seed=10 + step), random(9, 4, seed=20 + step)
        bias_gradient = random(4, seed=30 + step)
        rate = 0.5 / (step + 1)
        layer.learn([inputs], [delta], bias_gradient, batch_size=5, momentum=0.9, lr=rate, weight_cost=0.02)
        outer = sum(x[:, None] * d[None, :] for x, d in zip(inputs, delta, strict=True))
        weight_velocity = 0.9 * weight_velocity + 0.1 * outer / 5
        bias_velocity = 0.9 * bias_velocity + 0.1 * bias_gradient / 5
        weight = weight + rate * (weight_velocity - 0.02 * weight)
        bias = bias + rate * bias_velocity  # no weight cost
    torch.testing.assert_close(layer.sources[0].weight, weight, rtol=0, atol=1e-12)
    torch.testing.assert_close(layer.bias, bias, rtol=0, atol=1e-12)
    torch.testing.assert_close(layer.bias_velocity, bias_velocity, rtol=0, atol=1e-12)


# Several sources -----------------------------------------------------------------------------------

# A map of 6 × 4 locations with 2 channels, which sees a map below, a map above, or units above.
BELOW: dict[str, Any] = {"source": (8, 6, 3), "field": 3, "stride": 1, "channels": 2}
ABOVE: dict[str, Any] = {"source": (6, 4, 5), "field": 3, "stride": 1, "channels": 2, "padding": 1, "tile": (2, 2)}
MAKERS: dict[str, Callable[[torch.dtype, torch.dtype], list[Kind]]] = {
    "dense": lambda compute_dtype, state: [dense(7, 6, compute_dtype, dtype=state)],
    "two dense": lambda compute_dtype, state: [dense(n, 6, compute_dtype, dtype=state) for n in (7, 3)],
    "three dense": lambda compute_dtype, state: [dense(n, 6, compute_dtype, dtype=state) for n in (4, 9, 1)],
    "local and local": lambda compute_dtype, state: [
        local(**kind, compute_dtype=compute_dtype, dtype=state) for kind in (BELOW, ABOVE)
    ],
    "local and dense": lambda compute_dtype, state: [
        local(**BELOW, compute_dtype=compute_dtype, dtype=state),
        dense(10, 48, compute_dtype, dtype=state),
    ],
}
KINDS = pytest.mark.parametrize("kind", MAKERS)


def made(kind: str, compute_dtype: torch.dtype = torch.float64) -> Connections:
    state = torch.float64 if compute_dtype == torch.float64 else torch.float32
    return Connections(*MAKERS[kind](compute_dtype, state))


def fan_in(layer: Connections) -> int:
    return sum(weights.fan_in for weights in layer.sources)


def by_source(layer: Connections, inputs: Tensor) -> tuple[Tensor, ...]:
    """Split the columns of `inputs` by source."""
    return inputs.split([weights.fan_in for weights in layer.sources], dim=1)


def stacked(layer: Connections, of: Callable[[Kind], Tensor]) -> Tensor:
    """A tensor `of` each source, as dense weights, stacked to those of a single source."""
    parts = []
    for weights in layer.sources:
        assert isinstance(weights, Dense | LocalFields)
        parts.append(as_dense(weights.geometry, of(weights)) if isinstance(weights, LocalFields) else of(weights))
    return torch.cat(parts)


@KINDS
def test_several_sources_equal_a_single_source_with_all_units(kind: str) -> None:
    layer = made(kind)
    mask = torch.cat(
        [
            mask_of(source.geometry) if isinstance(source, LocalFields) else torch.ones_like(source.weight)
            for source in layer.sources
        ]
    )
    single = Connections(Dense(stacked(layer, lambda weights: weights.weight), torch.float64))
    weights = single.sources[0]
    assert isinstance(weights, Dense)
    assert layer.width == single.width
    for connections in (layer, single):
        connections.bias.copy_(random(layer.width, seed=1))
    for step in range(3):
        inputs, delta = random(9, fan_in(layer), seed=10 + step), random(9, layer.width, seed=20 + step)
        bias_gradient = random(layer.width, seed=30 + step)
        before = stacked(layer, lambda weights: weights.weight)
        torch.testing.assert_close(layer(*by_source(layer, inputs)), single(inputs), rtol=0, atol=1e-12)
        for connections in (layer, single):
            parts = by_source(connections, inputs)
            connections.learn(
                parts, [delta] * len(parts), bias_gradient, batch_size=5, momentum=0.9, lr=0.5, weight_cost=0.02
            )
        weights.weight.mul_(mask)
        weights.velocity.mul_(mask)
        learned = stacked(layer, lambda weights: weights.weight)
        assert torch.equal(learned != before, mask != 0)
        torch.testing.assert_close(learned, weights.weight, rtol=0, atol=1e-12)
        velocities = stacked(layer, lambda weights: weights.velocity)
        torch.testing.assert_close(velocities, weights.velocity, rtol=0, atol=1e-12)
        for name in ("bias", "bias_velocity"):
            torch.testing.assert_close(getattr(layer, name), getattr(single, name), rtol=0, atol=1e-12)


@KINDS
def test_activities_are_a_new_tensor_from_relu(kind: str) -> None:
    layer = made(kind)
    layer.bias.copy_(random(layer.width, seed=1))
    inputs = random(9, fan_in(layer), seed=2)
    before = inputs.clone(), layer.bias.clone()
    activities = layer(*by_source(layer, inputs))
    assert activities.shape == (9, layer.width)
    assert activities.min() == 0
    assert activities.max() > 0
    activities.fill_(7.0)
    assert torch.equal(inputs, before[0])
    assert torch.equal(layer.bias, before[1])


@KINDS
def test_bf16_products_stay_close_to_fp32(kind: str) -> None:
    full, rounded = made(kind, torch.float32), made(kind, torch.bfloat16)
    inputs = by_source(full, normalize(random(64, fan_in(full), seed=1, dtype=torch.float32)))
    for _ in range(3):
        exact, close = full(*inputs), rounded(*inputs)
        assert close.dtype == torch.float32
        assert not torch.equal(close, exact)
        assert (close - exact).abs().max() < 0.05  # activities are about 1, bf16 has 8 bits
        assert (close - exact).abs().mean() < 0.005
        for layer in (full, rounded):
            delta = 0.1 * exact
            layer.learn(
                inputs, [delta] * len(inputs), delta.sum(0), batch_size=64, momentum=0.5, lr=1.0, weight_cost=0.01
            )
    for close_source, exact_source in zip(rounded.sources, full.sources, strict=True):
        assert close_source.weight.dtype == torch.float32
        torch.testing.assert_close(close_source.weight, exact_source.weight, rtol=0, atol=1e-3)


@KINDS
@pytest.mark.parametrize("compute_dtype", [torch.float32, torch.bfloat16])
def test_a_layer_resumes_from_its_state(kind: str, compute_dtype: torch.dtype) -> None:
    def step(layer: Connections, seed: int) -> None:
        delta = random(8, layer.width, seed=seed, dtype=torch.float32)
        layer.learn(inputs, [delta] * len(inputs), delta.sum(0), batch_size=8, momentum=0.9, lr=0.1, weight_cost=0.01)

    layer, resumed = made(kind, compute_dtype), made(kind, compute_dtype)
    inputs = by_source(layer, random(8, fan_in(layer), dtype=torch.float32))
    step(layer, 2)
    state = copy.deepcopy(layer.state_dict())
    assert set(state) == {"sources", "bias", "bias_velocity"}
    assert [set(source) for source in state["sources"]] == [{"weight", "velocity"}] * len(layer.sources)
    step(resumed, 4)  # its earlier state must not matter
    resumed.load_state_dict(state)
    assert torch.equal(resumed(*inputs), layer(*inputs))
    for connections in (layer, resumed):
        step(connections, 3)
    assert torch.equal(resumed(*inputs), layer(*inputs))
    assert torch.equal(resumed.bias, layer.bias)
    assert torch.equal(resumed.bias_velocity, layer.bias_velocity)
    for source, expected, saved in zip(resumed.sources, layer.sources, state["sources"], strict=True):
        assert torch.equal(source.weight, expected.weight)
        assert not torch.equal(expected.weight, saved["weight"])
    assert not torch.equal(layer.bias, state["bias"])


def test_a_state_with_other_sources_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        made("dense").load_state_dict(made("two dense").state_dict())

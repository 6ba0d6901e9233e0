"""Length normalisation and the layer that learns by itself, against closed forms."""

import copy

import pytest
import torch

from ffrepro.layers import Dense, normalize, significant


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_normalized_rows_have_a_root_mean_square_of_1() -> None:
    torch.testing.assert_close(normalize(torch.tensor([[3.0, 4.0]])), torch.tensor([[3.0, 4.0]]) / 12.5**0.5)
    rows = normalize(random(7, 50) * 1000)
    torch.testing.assert_close(rows.square().mean(1), torch.ones(7, dtype=torch.float64))


def test_normalizing_keeps_the_direction_and_drops_the_length() -> None:
    rows = random(7, 50)
    torch.testing.assert_close(normalize(rows), normalize(12.0 * rows))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_row_of_zeros_stays_zero(dtype: torch.dtype) -> None:
    rows = normalize(torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], dtype=dtype))
    assert torch.equal(rows[0], torch.zeros(3, dtype=dtype))
    assert rows.isfinite().all()


def test_a_layer_is_relu_of_an_affine_map() -> None:
    layer = Dense(torch.tensor([[1.0, -1.0], [2.0, 0.5]]), torch.float32)
    layer.bias.copy_(torch.tensor([0.5, -1.0]))
    torch.testing.assert_close(layer(torch.tensor([[1.0, 2.0], [-1.0, 0.0]])), torch.tensor([[5.5, 0.0], [0.0, 0.0]]))
    assert layer.width == 2


def test_learning_follows_the_formula_over_several_steps() -> None:
    weight, bias = random(6, 4, seed=1), torch.zeros(4, dtype=torch.float64)
    layer = Dense(weight.clone(), torch.float64)
    weight_velocity, bias_velocity = torch.zeros_like(weight), torch.zeros_like(bias)
    for step in range(3):
        below, delta = random(9, 6, seed=10 + step), random(9, 4, seed=20 + step)
        bias_gradient = random(4, seed=30 + step)
        rate = 0.5 / (step + 1)
        layer.learn(below, delta, bias_gradient, batch_size=5, momentum=0.9, rate=rate, weight_cost=0.02)
        outer = sum(x[:, None] * d[None, :] for x, d in zip(below, delta, strict=True))
        weight_velocity = 0.9 * weight_velocity + 0.1 * outer / 5
        bias_velocity = 0.9 * bias_velocity + 0.1 * bias_gradient / 5
        weight = weight + rate * (weight_velocity - 0.02 * weight)
        bias = bias + rate * bias_velocity  # no weight cost
    torch.testing.assert_close(layer.weight, weight, rtol=0, atol=1e-12)
    torch.testing.assert_close(layer.bias, bias, rtol=0, atol=1e-12)


def test_all_examples_that_matter_are_significant() -> None:
    factors = torch.tensor([0.5, 1e-30, 1.0, 1e-20, 0.001, 1e-9])
    kept = significant(factors)
    assert {0, 2, 4, 5} <= set(kept.tolist())
    assert len(set(kept.tolist())) == len(kept)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_leaving_out_insignificant_examples_changes_no_update(dtype: torch.dtype) -> None:
    # Factors from 1 down to 1e-40, as after some epochs: most examples are told apart for sure.
    n = 400
    factors = torch.logspace(0, -40, n, dtype=torch.float64)[
        torch.randperm(n, generator=torch.Generator().manual_seed(0))
    ]
    below, activities = random(n, 30, seed=1), random(n, 20, seed=2).relu()
    full = below.t() @ (factors[:, None] * activities)
    kept = significant(factors.to(dtype))
    assert len(kept) < 0.9 * n  # something was left out
    partial = below[kept].t() @ (factors[kept, None] * activities[kept])
    assert (partial - full).abs().max() <= 8 * torch.finfo(dtype).eps * full.abs().max()


def test_nothing_is_significant_where_all_factors_are_0() -> None:
    assert len(significant(torch.zeros(100))) == 0
    assert len(significant(torch.ones(100))) == 100
    assert len(significant(torch.ones(7))) == 7


def test_bf16_products_stay_close_to_fp32() -> None:
    weight = random(300, 200, dtype=torch.float32) / 300**0.5
    full, rounded = Dense(weight.clone(), torch.float32), Dense(weight.clone(), torch.bfloat16)
    below = normalize(random(64, 300, seed=1, dtype=torch.float32))
    for _ in range(3):
        exact, close = full(below), rounded(below)
        assert close.dtype == torch.float32
        assert (close - exact).abs().max() < 0.05  # activities are about 1, bf16 has 8 bits
        assert (close - exact).abs().mean() < 0.005
        for layer in (full, rounded):
            delta = 0.1 * exact
            layer.learn(below, delta, delta.sum(0), batch_size=64, momentum=0.5, rate=1.0, weight_cost=0.01)
    # The weights themselves are kept and updated in fp32, and every step renews the rounded ones.
    assert rounded.weight.dtype == torch.float32
    torch.testing.assert_close(rounded.weight, full.weight, rtol=0, atol=1e-6)
    assert (full.weight - weight).abs().max() > 0.01
    torch.testing.assert_close(rounded(below), full(below), rtol=0.02, atol=0.05)


@pytest.mark.parametrize("products", [torch.float32, torch.bfloat16])
def test_a_layer_goes_on_from_its_state_as_if_uncut(products: torch.dtype) -> None:
    def step(layer: Dense, seed: int) -> None:
        delta = random(8, 5, seed=seed, dtype=torch.float32)
        layer.learn(below, delta, delta.sum(0), batch_size=8, momentum=0.9, rate=0.1, weight_cost=0.01)

    below = random(8, 6, dtype=torch.float32)
    layer = Dense(random(6, 5, seed=1, dtype=torch.float32), products)
    step(layer, 2)
    state = copy.deepcopy(layer.state_dict())
    resumed = Dense(torch.zeros(6, 5), products)
    resumed.load_state_dict(state)
    assert torch.equal(resumed(below), layer(below))
    for one in (layer, resumed):
        step(one, 3)
    assert torch.equal(resumed.weight, layer.weight)
    assert torch.equal(resumed.bias, layer.bias)
    assert not torch.equal(layer.weight, state["weight"])

"""Fully connected nets: their shapes and first weights, as connections and as modules."""

import pytest
import torch
from torch import Tensor, nn

from ffrepro.architecture import Place
from ffrepro.architecture.mlp import Mlp
from ffrepro.errors import UserError
from ffrepro.forward_forward.connections import Connections


def connections(
    widths: list[int],
    init_variance_scale: float = 1.0,
    input_shape: tuple[int, ...] = (28, 28),
    seed: int = 0,
    top_down_units: int | None = None,
) -> list[Connections]:
    return Mlp(widths, init_variance_scale).connections(
        input_shape,
        torch.Generator().manual_seed(seed),
        Place(torch.device("cpu"), torch.float32, torch.float32),
        top_down_units,
    )


def blocks(widths: list[int], n_outputs: int = 10, input_shape: tuple[int, ...] = (5, 8)) -> nn.Sequential:
    return Mlp(widths, 2.0).blocks(input_shape, n_outputs, torch.Generator().manual_seed(0))


def shapes(layers: list[Connections]) -> list[list[tuple[int, ...]]]:
    return [[tuple(weights.weight.shape) for weights in layer.sources] for layer in layers]


def weight(layer: Connections) -> Tensor:
    (weights,) = layer.sources
    return weights.weight


def test_layers_fit_each_other_and_their_biases_are_0() -> None:
    layers = connections([30, 20, 10], input_shape=(5, 8))
    assert shapes(layers) == [[(40, 30)], [(30, 20)], [(20, 10)]]
    assert all(torch.equal(layer.bias, torch.zeros(layer.width)) for layer in layers)


def test_a_net_on_color_images_sees_all_three_channels() -> None:
    assert shapes(connections([30, 20], input_shape=(5, 8, 3))) == [[(120, 30)], [(30, 20)]]


def test_the_variance_of_weights_is_1_over_fan_in() -> None:
    # With the number of units above instead, the first would be 1/sqrt(2000), 1.6 times less.
    first, second = (weight(layer) for layer in connections([2000, 500]))
    assert first.std().item() == pytest.approx(784**-0.5, rel=0.01)
    assert second.std().item() == pytest.approx(2000**-0.5, rel=0.01)
    assert first.mean().abs().item() < 1e-4


def test_the_scale_multiplies_the_variance() -> None:
    torch.testing.assert_close(weight(connections([50], 2.0)[0]), 2**0.5 * weight(connections([50], 1.0)[0]))
    doubled, plain = (connections([50], scale, top_down_units=40)[0] for scale in (2.0, 1.0))
    for weights, other in zip(doubled.sources, plain.sources, strict=True):
        torch.testing.assert_close(weights.weight, 2**0.5 * other.weight)


def test_a_seed_gives_one_net() -> None:
    assert torch.equal(weight(connections([50])[0]), weight(connections([50])[0]))
    assert not torch.equal(weight(connections([50])[0]), weight(connections([50], seed=1)[0]))


def test_with_top_down_units_every_layer_sees_the_layer_above() -> None:
    layers = connections([30, 20, 10], input_shape=(5, 8), top_down_units=4)
    assert shapes(layers) == [[(40, 30), (20, 30)], [(30, 20), (10, 20)], [(20, 10), (4, 10)]]
    assert all(torch.equal(layer.bias, torch.zeros(layer.width)) for layer in layers)


def test_each_source_has_its_own_fan_in() -> None:
    first, second = connections([1000, 600], input_shape=(20, 20), top_down_units=300)
    for weights, n in zip([*first.sources, *second.sources], [400, 600, 1000, 300], strict=True):
        assert weights.weight.std().item() == pytest.approx(n**-0.5, rel=0.01)
    below, above = second.sources
    assert not torch.equal(below.weight[:300], above.weight)


def test_blocks_compute_relu_layers_and_a_linear_output() -> None:
    net = blocks([30, 20], n_outputs=7)
    weights = [module for module in net.modules() if isinstance(module, nn.Linear)]
    assert [tuple(module.weight.shape) for module in weights] == [(30, 40), (20, 30), (7, 20)]
    nn.init.normal_(weights[-1].weight, generator=torch.Generator().manual_seed(1))
    nn.init.normal_(weights[0].bias, generator=torch.Generator().manual_seed(2))
    x = torch.rand(6, 40, generator=torch.Generator().manual_seed(3))
    hidden = (x @ weights[0].weight.t() + weights[0].bias).clamp(min=0)
    hidden = (hidden @ weights[1].weight.t()).clamp(min=0)
    torch.testing.assert_close(net(x), hidden @ weights[2].weight.t())
    assert len(net) == 3  # a block for each layer


def test_blocks_start_at_the_same_weights_as_connections_and_at_an_output_of_0() -> None:
    net = blocks([30, 20])
    layers = connections([30, 20], 2.0, input_shape=(5, 8))
    for block, layer in zip(net, layers, strict=False):
        assert torch.equal(block[0].weight, weight(layer).t())
        assert not block[0].bias.any()
    assert not net(torch.rand(6, 40)).any()


@pytest.mark.parametrize("widths", [[], [10, 0], [-5]])
def test_impossible_widths_are_refused(widths: list[int]) -> None:
    with pytest.raises(UserError, match=r"architecture\.widths is \["):
        Mlp(widths, 1.0)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan")])
def test_an_impossible_scale_is_refused(scale: float) -> None:
    with pytest.raises(UserError, match=r"architecture\.init_variance_scale is .*: expected more than 0"):
        Mlp([5], scale)

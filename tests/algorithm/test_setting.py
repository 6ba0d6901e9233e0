"""Settings build nets in the run's precision, and refuse architectures of the wrong kind."""

import pytest
import torch

from ffrepro.algorithm.backprop import Backprop
from ffrepro.algorithm.ff_supervised import FFSupervised
from ffrepro.architecture.mlp import Mlp
from ffrepro.architecture.vanilla_resnet import VanillaResnet
from ffrepro.errors import UserError
from ffrepro.kernel_shaping.activations import Relu
from ffrepro.loss import CrossEntropy
from tests.algorithm.made import cpu_setting, made_images
from tests.algorithm.test_ff_supervised import HYPERPARAMETERS


class OnlyConnections:
    """An architecture without modules."""

    def __init__(self) -> None:
        self.connections = Mlp([4], 1.0).connections


def test_a_net_of_modules_does_not_train_in_closed_form() -> None:
    net = VanillaResnet(
        depth=26, width=4, shortcut_weight=None, normalization=None, stem="small", initialization="he",
        activation=Relu(None),
    )  # fmt: skip
    expected = r"^architecture VanillaResnet learns through autograd alone.* expected architecture=mlp or local"
    with pytest.raises(UserError, match=expected) as caught:
        FFSupervised(**HYPERPARAMETERS).begin(cpu_setting(made_images(), net))
    assert "\n" not in str(caught.value)


def test_connections_alone_do_not_train_through_autograd() -> None:
    backprop = Backprop(batch_size=20, loss=CrossEntropy(0.0), augmentation=None, optimizer=torch.optim.SGD)
    expected = r"^architecture OnlyConnections has no blocks of modules.* expected an architecture with `blocks`"
    with pytest.raises(UserError, match=expected) as caught:
        backprop.begin(cpu_setting(made_images(), OnlyConnections()))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nets_are_made_in_the_runs_precision(dtype: torch.dtype) -> None:
    setting = cpu_setting(made_images(), Mlp([4], 1.0), compute_dtype=dtype)
    (layer,) = setting.connections((5, 8), torch.Generator())
    assert layer.sources[0].weight.dtype == layer.bias.dtype == dtype
    assert {parameter.dtype for parameter in setting.blocks((5, 8), 10, torch.Generator()).parameters()} == {dtype}


def test_a_seed_starts_both_generators() -> None:
    first, again, other = (cpu_setting(made_images(), Mlp([4], 1.0), seed=seed).generators() for seed in (3, 3, 4))
    for generator, same, different in zip(first, again, other, strict=True):
        draws = torch.rand(5, generator=generator)
        assert torch.equal(draws, torch.rand(5, generator=same))
        assert not torch.equal(draws, torch.rand(5, generator=different))

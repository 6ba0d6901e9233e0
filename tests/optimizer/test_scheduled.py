"""Optimizers from factories, and their learning rates times a schedule's factor."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from ffrepro.errors import UserError
from ffrepro.optimizer.kfac import KFAC
from ffrepro.optimizer.scheduled import LearningRates, make_optimizer

NATURAL = partial(
    KFAC, lr=0.1, momentum=0.9, damping=0.001, norm_constraint=None, curvature_decay=0.9, curvature_period=1,
    inverse_period=1,
)  # fmt: skip


def test_each_group_has_its_own_rate_times_the_factor_also_after_a_checkpoint() -> None:
    parameters = [nn.Parameter(torch.ones(2)) for _ in range(2)]
    groups = [{"params": [parameters[0]]}, {"params": [parameters[1]], "lr": 0.5}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    rates = LearningRates(optimizer)
    rates.multiply(0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.25]
    optimizer.load_state_dict(optimizer.state_dict())
    rates.multiply(2.0)
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 1.0]


@pytest.mark.parametrize("factory", [partial(torch.optim.SGD, lr=0.1), partial(torch.optim.Adam, lr=0.1)])
def test_a_torch_optimizer_gets_the_parameters(factory: partial[Any]) -> None:
    net = nn.Linear(2, 1)
    optimizer = make_optimizer(factory, net)
    assert isinstance(optimizer, factory.func)
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in net.parameters()]


def test_a_factory_that_takes_a_model_gets_the_net() -> None:
    net = nn.Linear(2, 1)
    assert [layer.module for layer in make_optimizer(NATURAL, net).layers] == [net]
    models: list[nn.Module] = []

    def factory(model: nn.Module) -> torch.optim.Optimizer:
        models.append(model)
        return torch.optim.SGD(model.parameters(), lr=0.1)

    make_optimizer(factory, net)
    assert models == [net]


@pytest.mark.parametrize(
    "factory",
    [
        partial(torch.optim.SGD, lr=-1.0),
        partial(torch.optim.SGD, lr=None),
        partial(torch.optim.SGD, learning_rate=1.0),
        partial(KFAC, lr=0.1),
    ],
    ids=["negative", "none", "misspelled", "incomplete"],
)
def test_an_optimizer_that_refuses_its_options_is_the_users_mistake(factory: partial[Any]) -> None:
    with pytest.raises(UserError, match=r"algorithm\.optimizer is refused") as caught:
        make_optimizer(factory, nn.Linear(2, 1))
    assert "\n" not in str(caught.value)

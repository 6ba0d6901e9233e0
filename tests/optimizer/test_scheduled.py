"""Learning rates of optimizers' groups, multiplied by a schedule."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from ffrepro.errors import UserError
from ffrepro.optimizer.kfac import KFAC
from ffrepro.optimizer.scheduled import LearningRates, made_optimizer


def test_each_group_has_its_own_rate_times_the_gain_also_after_a_checkpoint() -> None:
    parameters = [nn.Parameter(torch.ones(2)) for _ in range(2)]
    groups = [{"params": [parameters[0]]}, {"params": [parameters[1]], "lr": 0.5}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    rates = LearningRates(optimizer)
    rates.multiply(0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.25]
    optimizer.load_state_dict(optimizer.state_dict())
    rates.multiply(2.0)
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 1.0]


@pytest.mark.parametrize(
    "make",
    [
        partial(torch.optim.SGD, lr=-1.0),
        partial(torch.optim.SGD, lr=None),
        partial(torch.optim.SGD, learning_rate=1.0),
        partial(
            KFAC,
            lr=0.1,
            momentum=0.9,
            damping=0.001,
            norm_constraint=None,
            curvature_decay=0.9,
            curvature_period=1,
            inverse_period=1,
        ),
    ],
)
def test_an_optimizer_that_refuses_its_options_is_the_users_mistake(make: partial[Any]) -> None:
    with pytest.raises(UserError, match=r"algorithm\.optimizer is refused"):
        made_optimizer(make, [nn.Parameter(torch.ones(2))])

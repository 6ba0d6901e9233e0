"""CUDA graphs change the time of a step and nothing else."""

from dataclasses import replace

import pytest
import torch

from ffrepro.algorithm import Setting
from ffrepro.algorithm.ff_supervised import FFSupervised
from ffrepro.architecture.mlp import Mlp
from ffrepro.dataset import Dataset, Split
from ffrepro.goodness import SumOfSquares
from ffrepro.graphs import replayed
from ffrepro.schedule import HoldThenLinear
from tests.algorithm.test_ff_supervised import HYPERPARAMETERS, make


def test_on_the_cpu_the_step_is_taken_as_it_is() -> None:
    algorithm = make()

    def step(batch: torch.Tensor) -> torch.Tensor:
        return batch

    assert replayed(step, torch.arange(3), algorithm, algorithm.label_generator) is step


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_replayed_epochs_equal_steps_taken_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cuda")
    data = make(n=400).train
    split = Split(data.inputs.float(), data.targets).to(device)
    setting = Setting(
        dataset=Dataset("made", split, None, split, 10, (5, 8), "", stand_in=True),
        architecture=Mlp((64, 64, 64), 1.0),
        goodness=SumOfSquares(),
        schedule=HoldThenLinear(4),
        seed=0,
        device=device,
        products=torch.float32,
    )
    replaying, plain = FFSupervised(**HYPERPARAMETERS), FFSupervised(**HYPERPARAMETERS)
    replaying.begin(setting)
    plain.begin(replace(setting))
    for epoch in range(1, 5):
        seen = replaying.train_epoch(epoch)
        with monkeypatch.context() as patch:
            patch.setattr("ffrepro.graphs.replayed", lambda step, *_: step)
            expected = plain.train_epoch(epoch)
        assert seen == pytest.approx(expected, rel=1e-4)
    for mine, other in zip(replaying.layers, plain.layers, strict=True):
        torch.testing.assert_close(mine.connections.weight, other.connections.weight, rtol=1e-4, atol=1e-5)

"""CUDA graphs change the time of a step and nothing else."""

from typing import Any

import pytest
import torch

from ffrepro.algorithm import Algorithm, Setting
from ffrepro.algorithm.ff_recurrent import FFRecurrent
from ffrepro.algorithm.ff_sequence import FFSequence
from ffrepro.algorithm.ff_supervised import FFSupervised
from ffrepro.algorithm.ff_unsupervised import FFUnsupervised
from ffrepro.architecture import Architecture
from ffrepro.architecture.local_receptive_fields import LocalReceptiveFields
from ffrepro.architecture.mlp import Mlp
from ffrepro.cuda_graphs import replayed, total
from ffrepro.dataset import Dataset, Split
from ffrepro.forward_forward.goodness import SumOfSquares
from ffrepro.schedule import HoldThenLinear
from tests.algorithm import test_ff_recurrent, test_ff_sequence, test_ff_supervised, test_ff_unsupervised

MLP = Mlp((64, 64, 64), 1.0)
LOCAL = LocalReceptiveFields([(2, 3, 4, 8), (1, 1, 2, 30)], 1.0, None)
CUT = LocalReceptiveFields([(4, 2, 3, 4), (4, 1, 3, 25)], 1.0, 1)  # fields that are cut off at the edges; two tiles
KINDS: dict[str, tuple[Any, dict[str, Any], Architecture]] = {
    "supervised": (FFSupervised, test_ff_supervised.HYPERPARAMETERS, MLP),
    "jittered": (FFSupervised, test_ff_supervised.HYPERPARAMETERS | {"jitter": 2}, MLP),
    "unsupervised": (FFUnsupervised, test_ff_unsupervised.HYPERPARAMETERS, MLP),
    "softmax after": (FFUnsupervised, test_ff_unsupervised.HYPERPARAMETERS | {"softmax": "after"}, MLP),
    "local": (FFUnsupervised, test_ff_unsupervised.HYPERPARAMETERS, LOCAL),
    "recurrent": (FFRecurrent, test_ff_recurrent.HYPERPARAMETERS, MLP),
    "recurrent, local": (FFRecurrent, test_ff_recurrent.HYPERPARAMETERS, CUT),
    "sequence": (FFSequence, test_ff_sequence.HYPERPARAMETERS, MLP),
}


def images(device: torch.device) -> Dataset:
    draws = torch.Generator().manual_seed(0)
    split = Split(torch.rand(400, 49, generator=draws), torch.randint(10, (400,), generator=draws)).to(device)
    return Dataset("made", split, None, split, 10, (7, 7), "", stand_in=True)


def text(device: torch.device) -> Dataset:
    split = test_ff_sequence.made_text(12).to(device)
    alphabet = test_ff_sequence.LETTERS
    return Dataset("made", split, None, split, 30, (10, 30), "", stand_in=True, alphabet=alphabet)


def begun(kind: str, device: torch.device, products: torch.dtype) -> Any:
    algorithm, hyperparameters, architecture = KINDS[kind]
    made = algorithm(**hyperparameters)
    made.begin(
        Setting(
            dataset=text(device) if algorithm is FFSequence else images(device),
            architecture=architecture,
            goodness=SumOfSquares(),
            schedule=HoldThenLinear(4, None),
            seed=0,
            device=device,
            products=products,
        )
    )
    return made


def assert_same(mine: Any, other: Any) -> None:
    """Everything that a state dict holds, but for rounding."""
    if isinstance(mine, dict):
        assert mine.keys() == other.keys()
        mine, other = list(mine.values()), list(other.values())
    if isinstance(mine, list):
        for one, another in zip(mine, other, strict=True):
            assert_same(one, another)
    else:
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


def test_on_the_cpu_the_step_is_taken_as_it_is() -> None:
    algorithm = begun("supervised", torch.device("cpu"), torch.float32)

    def step(batch: torch.Tensor) -> torch.Tensor:
        return batch

    assert replayed(step, torch.arange(3), algorithm, algorithm.label_generator) is step


def test_the_total_is_the_sum_over_all_batches() -> None:
    algorithm = begun("supervised", torch.device("cpu"), torch.float32)
    batches = torch.arange(12).view(4, 3)
    split = Split(torch.arange(12.0), 100 * torch.arange(12))
    found = total(
        lambda inputs, targets: torch.stack([inputs[0], targets[1]]),
        split,
        batches,
        algorithm,
        algorithm.label_generator,
    )
    assert found.tolist() == [0 + 3 + 6 + 9, 100 * (1 + 4 + 7 + 10)]


def train(algorithm: Algorithm, epochs: int) -> list[dict[str, float]]:
    return [algorithm.train_epoch(epoch) for epoch in range(1, epochs + 1)]


@pytest.mark.parametrize("kind", KINDS)
def test_two_nets_of_one_seed_stay_the_same(kind: str) -> None:
    # What the test below relies on.
    nets = [begun(kind, torch.device("cpu"), torch.float32) for _ in range(2)]
    histories = [train(net, 4) for net in nets]
    assert histories[0] == histories[1]
    assert_same(nets[0].state_dict(), nets[1].state_dict())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_of_training_can_be_used_with_autograd(kind: str) -> None:
    def tensors(state: Any) -> list[torch.Tensor]:
        if isinstance(state, dict | list):
            inner = state.values() if isinstance(state, dict) else state
            return [tensor for one in inner for tensor in tensors(one)]
        return [state] if isinstance(state, torch.Tensor) else []

    net = begun(kind, torch.device("cpu"), torch.float32)
    train(net, 2)
    kept = tensors(net.state_dict())
    assert len(kept) > 10
    assert not any(tensor.is_inference() for tensor in kept)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("products", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_replayed_epochs_equal_steps_taken_one_by_one(
    kind: str, products: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaying, plain = (begun(kind, torch.device("cuda"), products) for _ in range(2))
    seen = train(replaying, 4)
    monkeypatch.setattr("ffrepro.cuda_graphs.replayed", lambda step, *_: step)
    expected = train(plain, 4)
    for mine, other in zip(seen, expected, strict=True):
        assert mine == pytest.approx(other, rel=1e-4)
    assert_same(replaying.state_dict(), plain.state_dict())

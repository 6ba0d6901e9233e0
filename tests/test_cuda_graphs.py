"""CUDA graphs change the time of a step and nothing else."""

from typing import Any

import pytest
import torch

from ffrepro.algorithm import Algorithm, Setting
from ffrepro.algorithm.ff_recurrent import FFRecurrent
from ffrepro.algorithm.ff_sequence import FFSequence
from ffrepro.algorithm.ff_supervised import FFSupervised
from ffrepro.algorithm.ff_unsupervised import FFUnsupervised
from ffrepro.architecture import LayerArchitecture
from ffrepro.architecture.local_receptive_fields import LocalReceptiveFields
from ffrepro.architecture.mlp import Mlp
from ffrepro.cuda_graphs import replayed, total
from ffrepro.dataset import Dataset, Split
from ffrepro.schedule import HoldThenLinear
from tests.algorithm import test_ff_recurrent, test_ff_sequence, test_ff_supervised, test_ff_unsupervised
from tests.conftest import tensors

MLP = Mlp((64, 64, 64), 1.0)
LOCAL = LocalReceptiveFields([(2, 3, 4, 8), (1, 1, 2, 30)], 1.0, 0)
CUT = LocalReceptiveFields([(4, 2, 3, 4), (4, 1, 3, 25)], 1.0, 1)  # fields cut off at the edges, in two tiles
KINDS: dict[str, tuple[Any, dict[str, Any], LayerArchitecture]] = {
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


def begun(kind: str, device: torch.device, compute_dtype: torch.dtype) -> Any:
    algorithm, hyperparameters, architecture = KINDS[kind]
    made = algorithm(**hyperparameters)
    made.begin(
        Setting(
            dataset=text(device) if algorithm is FFSequence else images(device),
            architecture=architecture,
            schedule=HoldThenLinear(4, 0.0),
            seed=0,
            device=device,
            compute_dtype=compute_dtype,
        )
    )
    return made


def assert_same(value: Any, expected: Any) -> None:
    """All values of two state dicts are close."""
    if isinstance(value, dict):
        assert value.keys() == expected.keys()
        value, expected = list(value.values()), list(expected.values())
    if isinstance(value, list):
        for part, expected_part in zip(value, expected, strict=True):
            assert_same(part, expected_part)
    else:
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)


def test_on_the_cpu_the_step_itself_is_used() -> None:
    algorithm = begun("supervised", torch.device("cpu"), torch.float32)

    def step(batch: torch.Tensor) -> torch.Tensor:
        return batch

    assert replayed(step, torch.arange(3), algorithm, algorithm.device_generator) is step


def test_the_total_is_the_sum_over_all_batches() -> None:
    algorithm = begun("supervised", torch.device("cpu"), torch.float32)
    batches = torch.arange(12).view(4, 3)
    split = Split(torch.arange(12.0), 100 * torch.arange(12))
    sums = total(
        lambda inputs, targets: torch.stack([inputs[0], targets[1]]),
        split,
        batches,
        algorithm,
        algorithm.device_generator,
    )
    assert sums.tolist() == [0 + 3 + 6 + 9, 100 * (1 + 4 + 7 + 10)]


def train(algorithm: Algorithm, epochs: int) -> list[dict[str, float]]:
    return [algorithm.train_epoch(epoch) for epoch in range(1, epochs + 1)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_determines_the_training(kind: str) -> None:
    nets = [begun(kind, torch.device("cpu"), torch.float32) for _ in range(2)]
    histories = [train(net, 4) for net in nets]
    assert histories[0] == histories[1]
    assert_same(nets[0].state_dict(), nets[1].state_dict())


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_after_training_works_with_autograd(kind: str) -> None:
    net = begun(kind, torch.device("cpu"), torch.float32)
    train(net, 2)
    kept = tensors(net.state_dict())
    assert len(kept) > 10
    assert not any(tensor.is_inference() for tensor in kept)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("compute_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_replayed_epochs_equal_single_steps(
    kind: str, compute_dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaying, plain = (begun(kind, torch.device("cuda"), compute_dtype) for _ in range(2))
    history = train(replaying, 4)
    monkeypatch.setattr("ffrepro.cuda_graphs.replayed", lambda step, *_: step)
    for metrics, expected in zip(history, train(plain, 4), strict=True):
        assert metrics == pytest.approx(expected, rel=1e-4)
    assert_same(replaying.state_dict(), plain.state_dict())

"""scikit-learn's digits in the shape of MNIST, as a stand-in for it."""

import pytest
import torch

from ffrepro.dataset import Dataset
from ffrepro.dataset.digits import Digits
from ffrepro.dataset.mnist import Mnist

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return Digits(name="digits", validation=137, targets="labels", stand_in=False).load(CPU)


def test_digits_have_mnists_shape_and_range(digits: Dataset) -> None:
    assert digits.sizes() == {"train": 1300, "validation": 137, "test": 360}
    assert digits.input_shape == (28, 28)
    assert digits.n_classes == 10
    assert digits.validation is not None
    for split in (digits.train, digits.validation, digits.test):
        assert split.inputs.shape == (len(split), 784)
        assert split.inputs.dtype == torch.float32
        assert split.targets.dtype == torch.int64
        assert split.inputs.min() == 0
        assert 0.9 < split.inputs.max() <= 1
        assert set(split.targets.tolist()) == set(range(10))


def test_a_margin_of_four_pixels_is_free_for_the_label(digits: Dataset) -> None:
    margin = digits.train.inputs.view(-1, 28, 28).clone()
    margin[:, 4:24, 4:24] = 0
    assert margin.max() == 0


def test_images_match_their_classes(digits: Dataset) -> None:
    # The nearest class mean is mostly correct only if images match classes and pixels keep their rows and columns.
    means = torch.stack([digits.train.inputs[digits.train.targets == label].mean(0) for label in range(10)])
    correct = torch.cdist(digits.test.inputs, means).argmin(1) == digits.test.targets
    assert correct.float().mean() > 0.8
    upright = digits.train.inputs[digits.train.targets == 0][0].view(28, 28)
    assert upright.sum(0)[11:17].min() > 0
    assert upright[13:15, 13:15].mean() < 0.5 * upright[13:15].max()  # the hole of a zero


def test_holding_out_images_does_not_change_the_others(digits: Dataset) -> None:
    whole = Digits(name="digits", validation=0, targets="labels", stand_in=False).load(CPU)
    assert whole.validation is None
    assert torch.equal(whole.test.inputs, digits.test.inputs)
    assert torch.equal(whole.train.inputs[:1300], digits.train.inputs)
    assert whole.sha256 == digits.sha256
    assert len(whole.sha256) == 64


def test_a_stand_in_is_marked_and_holds_out_the_same_share() -> None:
    dataset = Mnist(name="mnist", validation=10_000, targets="labels").stand_in().load(CPU)
    assert dataset.stand_in
    assert dataset.name == "digits (for mnist)"
    assert dataset.sizes()["validation"] == 240  # a sixth of 1,437
    assert Mnist(name="mnist", validation=0, targets="labels").stand_in().load(CPU).validation is None
    assert not Digits(name="digits", validation=0, targets="labels", stand_in=False).load(CPU).stand_in


def test_an_autoencoder_has_the_images_as_targets() -> None:
    dataset = Digits(name="digits", validation=137, targets="inputs", stand_in=False).load(CPU)
    assert dataset.n_classes is None
    assert dataset.validation is not None
    for split in (dataset.train, dataset.validation, dataset.test):
        assert torch.equal(split.targets, split.inputs)

"""Labels in images; wrong labels that are wrong, and as likely as the net finds them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ffrepro.negatives import embed_label, sample_wrong_label, uniform_wrong_label

DRAWS = 100_000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def truth() -> Tensor:
    return torch.randint(10, (DRAWS,), generator=generator(1))


@pytest.mark.parametrize(
    "logits",
    [
        lambda targets: torch.randn(DRAWS, 10, generator=generator(2)),
        lambda targets: torch.zeros(DRAWS, 10),
        lambda targets: torch.zeros(DRAWS, 10).scatter(1, targets.unsqueeze(1), 1000.0),
        lambda targets: torch.full((DRAWS, 10), -1000.0).scatter(1, targets.unsqueeze(1), 1e9),
        lambda targets: 300 * torch.randn(DRAWS, 10, generator=generator(2)),
        lambda targets: torch.randn(DRAWS, 10, generator=generator(2)).bfloat16(),
    ],
    ids=["usual", "all equal", "truth far above", "all others far below", "very sure", "bf16"],
)
def test_a_sampled_wrong_label_is_never_the_true_one(logits: Callable[[Tensor], Tensor]) -> None:
    targets = truth()
    wrong = sample_wrong_label(logits(targets), targets, generator())
    assert wrong.shape == targets.shape
    assert int((wrong == targets).sum()) == 0
    assert wrong.min() >= 0
    assert wrong.max() <= 9


def test_sampled_wrong_labels_follow_the_softmax_without_the_true_class() -> None:
    logits = torch.tensor([2.0, -1.0, 0.5, 0.0, 1.0, -3.0, 1.5, 0.2, -0.5, 0.7])
    for target in (0, 5):
        targets = torch.full((DRAWS,), target)
        drawn = sample_wrong_label(logits.expand(DRAWS, 10), targets, generator(target)).bincount(minlength=10)
        likely = logits.double().exp()
        likely[target] = 0
        likely /= likely.sum()
        # Four standard deviations of a frequency.
        error = 4 * (likely * (1 - likely) / DRAWS).sqrt()
        assert ((drawn.double() / DRAWS - likely).abs() <= error).all()


def test_the_true_class_being_likely_does_not_change_the_others_share() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0, 0.0, 1.0]).repeat(DRAWS, 1)
    targets = torch.full((DRAWS,), 3)
    sure = logits.clone()
    sure[:, 3] = 40.0
    usual = sample_wrong_label(logits, targets, generator())
    assert torch.equal(sample_wrong_label(sure, targets, generator()), usual)


def test_uniform_wrong_labels_hit_each_wrong_class_alike() -> None:
    for target in range(10):
        targets = torch.full((DRAWS // 10,), target)
        drawn = uniform_wrong_label(targets, 10, generator(target)).bincount(minlength=10).double()
        assert drawn[target] == 0
        expected = len(targets) / 9
        others = torch.cat([drawn[:target], drawn[target + 1 :]])
        chi_square = ((others - expected).square() / expected).sum()
        assert chi_square < 26.1  # the 99.9 % point of 8 degrees of freedom


def test_uniform_wrong_labels_are_never_right() -> None:
    # A label drawn from all ten classes would be right 10 % of the time.
    targets = truth()
    wrong = uniform_wrong_label(targets, 10, generator())
    assert int((wrong == targets).sum()) == 0


@pytest.mark.parametrize("draw", ["sampled", "uniform"])
def test_a_generator_repeats_its_wrong_labels(draw: str) -> None:
    targets = truth()

    def labels(seed: int) -> Tensor:
        if draw == "sampled":
            return sample_wrong_label(torch.zeros(DRAWS, 10), targets, generator(seed))
        return uniform_wrong_label(targets, 10, generator(seed))

    assert torch.equal(labels(7), labels(7))
    assert not torch.equal(labels(7), labels(8))


def test_a_label_replaces_exactly_the_first_pixels() -> None:
    images = torch.rand(4, 30, generator=generator())
    before = images.clone()
    labels = torch.eye(10)[[3, 1, 4, 9]]
    embedded = embed_label(images, labels)
    assert torch.equal(embedded[:, :10], labels)
    assert torch.equal(embedded[:, 10:], before[:, 10:])
    assert torch.equal(images, before)  # the image given is left as it was


def test_one_label_serves_all_images() -> None:
    images = torch.rand(4, 30, generator=generator(), dtype=torch.float64)
    embedded = embed_label(images, torch.full((10,), 0.1))
    assert embedded.dtype == images.dtype
    assert embedded.shape == images.shape
    torch.testing.assert_close(embedded[:, :10], torch.full((4, 10), 0.1, dtype=torch.float64))
    assert torch.equal(embedded[:, 10:], images[:, 10:])


def test_whole_number_labels_take_the_images_precision() -> None:
    embedded = embed_label(torch.rand(2, 12), torch.eye(10, dtype=torch.long)[[0, 9]])
    assert embedded.dtype == torch.float32
    assert embedded[1, 9] == 1.0

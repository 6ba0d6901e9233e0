"""Labels in images, the distribution of wrong labels, and hybrid images."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ffrepro.forward_forward.negatives import (
    embed_label,
    hybrid_images,
    hybrid_masks,
    sample_wrong_label,
    uniform_wrong_label,
)

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
def test_a_sampled_wrong_label_is_never_the_true_label(logits: Callable[[Tensor], Tensor]) -> None:
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
        draws = sample_wrong_label(logits.expand(DRAWS, 10), targets, generator(target)).bincount(minlength=10)
        p = logits.double().exp()
        p[target] = 0
        p /= p.sum()
        # Four standard deviations.
        error = 4 * (p * (1 - p) / DRAWS).sqrt()
        assert ((draws.double() / DRAWS - p).abs() <= error).all()


def test_the_logit_of_the_true_class_does_not_matter() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0, 0.0, 1.0]).repeat(DRAWS, 1)
    targets = torch.full((DRAWS,), 3)
    sure = logits.clone()
    sure[:, 3] = 40.0
    usual = sample_wrong_label(logits, targets, generator())
    assert torch.equal(sample_wrong_label(sure, targets, generator()), usual)


def test_uniform_wrong_labels_are_uniform() -> None:
    for target in range(10):
        targets = torch.full((DRAWS // 10,), target)
        draws = uniform_wrong_label(targets, 10, generator(target)).bincount(minlength=10).double()
        assert draws[target] == 0
        expected = len(targets) / 9
        others = torch.cat([draws[:target], draws[target + 1 :]])
        chi_square = ((others - expected).square() / expected).sum()
        assert chi_square < 26.1  # the 99.9 % quantile for 8 degrees of freedom


def test_uniform_wrong_labels_are_never_right() -> None:
    # A label draws from all ten classes would be right 10 % of the time.
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
    assert torch.equal(images, before)  # not changed in place


def test_a_single_label_serves_all_images() -> None:
    images = torch.rand(4, 30, generator=generator(), dtype=torch.float64)
    embedded = embed_label(images, torch.full((10,), 0.1))
    assert embedded.dtype == images.dtype
    assert embedded.shape == images.shape
    torch.testing.assert_close(embedded[:, :10], torch.full((4, 10), 0.1, dtype=torch.float64))
    assert torch.equal(embedded[:, 10:], images[:, 10:])


def test_integer_labels_take_the_precision_of_the_images() -> None:
    embedded = embed_label(torch.rand(2, 12), torch.eye(10, dtype=torch.long)[[0, 9]])
    assert embedded.dtype == torch.float32
    assert embedded[1, 9] == 1.0


# Hybrid images -------------------------------------------------------------------------------------

CPU = torch.device("cpu")


def differing_neighbors(masks: Tensor) -> tuple[float, float]:
    """The mean number of differing neighbors along a row and along a column."""
    along_rows = (masks[:, :, 1:] != masks[:, :, :-1]).float().sum(2).mean()
    along_columns = (masks[:, 1:] != masks[:, :-1]).float().sum(1).mean()
    return along_rows.item(), along_columns.item()


def blurred_in_a_loop(bits: np.ndarray, blurs: int) -> np.ndarray:
    """Filter with [1/4, 1/2, 1/4] along each row and each column, `blurs` times, with repeated edges."""
    values = bits.astype(np.float64)
    for _ in range(blurs):
        for axis in (0, 1):
            lines = np.moveaxis(values, axis, 1).copy()
            for line in lines:
                line[:] = np.convolve(np.pad(line, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
            values = np.moveaxis(lines, 1, axis)
    return values


# After one or two blurs some sums are exactly 0.5 and so outside.
@pytest.mark.parametrize("blurs", [0, 3, 6, 20])
def test_half_of_all_pixels_are_inside_the_mask(blurs: int) -> None:
    masks = hybrid_masks(4000, (28, 28), blurs, generator(blurs), CPU)
    assert masks.shape == (4000, 28, 28)
    assert masks.dtype == torch.bool
    by_mask = masks.float().mean((1, 2))
    assert by_mask.mean().item() == pytest.approx(0.5, abs=5 * by_mask.std().item() / 4000**0.5)
    assert by_mask.std().item() < 0.2  # a mask is neither all inside nor all outside
    # The edges are like the center: beyond them pixels are not 0.
    for line in (masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1], masks[:, 14]):
        assert line.float().mean().item() == pytest.approx(0.5, abs=0.03)


def test_sums_of_exactly_a_half_are_outside_the_mask() -> None:
    # Nine bits with the weights 1, 2, 1; 2, 4, 2; 1, 2, 1 sum to 8 of 16 in 62 of 512 cases.
    weights = np.outer([1, 2, 1], [1, 2, 1]).ravel()
    sums = np.array([np.array(bits) @ weights for bits in itertools.product((0, 1), repeat=9)])
    inside = hybrid_masks(4000, (28, 28), 1, generator(), CPU)[:, 1:-1, 1:-1].float().mean().item()
    assert inside == pytest.approx((sums > 8).mean(), abs=0.005)


@pytest.mark.parametrize(("blurs", "least", "most"), [(0, 13.3, 13.7), (1, 6.9, 7.7), (6, 3.1, 3.5), (20, 1.6, 2.0)])
def test_more_blurs_give_larger_regions(blurs: int, least: float, most: float) -> None:
    # Half of the 27 pairs of neighbors in a line of random bits differ.
    for count in differing_neighbors(hybrid_masks(2000, (28, 28), blurs, generator(), CPU)):
        assert least < count < most


@pytest.mark.parametrize("blurs", [0, 1, 2, 6])
def test_masks_equal_a_slow_blur_over_a_half(blurs: int) -> None:
    # Up to six blurs, 24 bits represent every sum exactly. So both agree even near 0.5.
    masks = hybrid_masks(20, (9, 14), blurs, generator(5), CPU)
    bits = torch.randint(0, 2, (20, 9, 14), generator=generator(5)).numpy()
    for mask, draws in zip(masks.numpy(), bits, strict=True):
        assert np.array_equal(mask, blurred_in_a_loop(draws, blurs) > 0.5)


def test_a_generator_repeats_its_masks_and_hybrids() -> None:
    assert torch.equal(hybrid_masks(5, (9, 14), 6, generator(7), CPU), hybrid_masks(5, (9, 14), 6, generator(7), CPU))
    draws = generator(7)
    first, second = (hybrid_masks(5, (9, 14), 6, draws, CPU) for _ in range(2))
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
    images = torch.rand(5, 126, generator=generator())
    hybrids = hybrid_images(images, (9, 14), 6, generator(7))
    assert torch.equal(hybrids, hybrid_images(images, (9, 14), 6, generator(7)))
    assert not torch.equal(hybrids, hybrid_images(images, (9, 14), 6, generator(8)))


def test_a_hybrid_is_the_image_inside_the_mask_and_another_image_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    draws: list[Tensor] = []
    random_numbers = generator()

    def spy(*arguments: Any) -> Tensor:
        assert arguments == (30, (5, 8), 2, random_numbers, CPU)
        draws.append(hybrid_masks(*arguments))
        return draws[-1]

    monkeypatch.setattr("ffrepro.forward_forward.negatives.hybrid_masks", spy)
    images = torch.arange(30 * 40, dtype=torch.float64).view(30, 40)  # every pixel is unique
    before = images.clone()
    hybrids = hybrid_images(images, (5, 8), 2, random_numbers)
    assert hybrids.shape == images.shape
    assert hybrids.dtype == images.dtype
    assert torch.equal(images, before)
    (masks,) = draws
    for number, (hybrid, mask) in enumerate(zip(hybrids, masks.view(30, 40), strict=True)):
        assert 0 < mask.sum() < 40
        assert torch.equal(hybrid[mask], images[number, mask])
        (other,) = (hybrid[~mask] // 40).unique().int().tolist()
        assert other != number
        assert torch.equal(hybrid[~mask], images[other, ~mask])


def test_hybrids_of_gray_images_mix_pixels_by_the_mask() -> None:
    images = torch.rand(12, 40, generator=generator(3))
    draws = generator(4)
    other = (torch.arange(12) + torch.randint(1, 12, (12,), generator=draws)) % 12
    masks = hybrid_masks(12, (5, 8), 2, draws, CPU).view(12, 40)
    assert torch.equal(hybrid_images(images, (5, 8), 2, generator(4)), torch.where(masks, images, images[other]))


def test_a_hybrid_in_color_has_the_same_mask_and_image_for_all_channels() -> None:
    images = torch.arange(30 * 5 * 8 * 3, dtype=torch.float64).view(30, 120)  # every number is unique
    before = images.clone()
    hybrids = hybrid_images(images, (5, 8, 3), 2, generator(4))
    assert hybrids.shape == images.shape
    assert torch.equal(images, before)
    channels = images.view(30, 40, 3)
    for channel, mixed in enumerate(hybrids.view(30, 40, 3).unbind(2)):
        assert torch.equal(mixed, hybrid_images(channels[..., channel].contiguous(), (5, 8), 2, generator(4)))
    from_itself = (hybrids == images).view(30, 40, 3)
    assert torch.equal(from_itself.any(2), from_itself.all(2))
    assert (from_itself.any(2).any(1) & ~from_itself.all(2).all(1)).all()


def test_the_other_image_is_drawn_uniformly_and_independently() -> None:
    size, times = 5, 1500
    images = torch.arange(size).float().unsqueeze(1).expand(size, 64)
    draws, others = generator(), []
    for _ in range(times):
        hybrids = hybrid_images(images, (8, 8), 0, draws)  # among 64 random bits both images appear
        present = (hybrids.unsqueeze(2) == torch.arange(size)).any(1)
        assert present.diagonal().all()
        assert (present.sum(1) == 2).all()  # itself and another image
        others.append((present & ~torch.eye(size, dtype=torch.bool)).int().argmax(1))
    other = torch.stack(others)
    for number in range(size):
        counts = other[:, number].bincount(minlength=size).double()
        assert counts[number] == 0
        expected = times / (size - 1)
        chi_square = ((counts - expected).square() / expected).sum() - expected  # without the image itself
        assert chi_square < 16.3  # the 99.9 % quantile for 3 degrees of freedom
    # The draws of two images are independent.
    steps = (other - torch.arange(size)) % size - 1
    for first, second in ((0, 1), (1, 4)):
        counts = (4 * steps[:, first] + steps[:, second]).bincount(minlength=16).double()
        chi_square = ((counts - times / 16).square() / (times / 16)).sum()
        assert chi_square < 37.7  # the 99.9 % quantile for 15 degrees of freedom


def test_with_targets_the_other_image_is_drawn_uniformly_from_other_classes() -> None:
    targets = torch.tensor([0, 0, 0, 1, 1, 2])
    size, times = len(targets), 3000
    images = torch.arange(size).float().unsqueeze(1).expand(size, 64)
    draws = generator()
    others = []
    for _ in range(times):
        hybrids = hybrid_images(images, (8, 8), 0, draws, targets)
        present = (hybrids.unsqueeze(2) == torch.arange(size)).any(1)
        assert present.diagonal().all()
        assert (present.sum(1) == 2).all()
        others.append((present & ~torch.eye(size, dtype=torch.bool)).int().argmax(1))
    other = torch.stack(others)
    assert (targets[other] != targets).all()
    for number, target in enumerate(targets):
        counts = other[:, number].bincount(minlength=size)[targets != target].double()
        expected = times / len(counts)
        assert ((counts - expected).square() / expected).sum() < 18.5  # the 99.9 % quantile for 4 degrees of freedom


def test_with_a_single_class_the_other_image_is_any_other_image() -> None:
    images = torch.arange(4).float().unsqueeze(1).expand(4, 64)
    hybrids = hybrid_images(images, (8, 8), 0, generator(), torch.tensor([3, 3, 3, 3]))
    assert all(len(hybrid.unique()) == 2 for hybrid in hybrids)
    assert all(number in hybrid for number, hybrid in enumerate(hybrids))


def test_hybrids_of_constant_images_have_two_shades() -> None:
    shades = torch.tensor([0.1, 0.3, 0.5, 0.9], dtype=torch.float64)
    hybrids = hybrid_images(shades.unsqueeze(1).expand(4, 784), (28, 28), 6, generator())
    for shade, hybrid in zip(shades, hybrids, strict=True):
        values = hybrid.unique()
        assert len(values) == 2
        assert shade in values
        assert set(values.tolist()) <= set(shades.tolist())  # nothing is averaged
    same = torch.full((4, 784), 0.3)
    assert torch.equal(hybrid_images(same, (28, 28), 6, generator()), same)

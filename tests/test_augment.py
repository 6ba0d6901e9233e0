"""Shifted images against a loop over pixels; where `ff_supervised` shifts, and where not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ffrepro.augment import jittered
from ffrepro.errors import UserError
from ffrepro.layers import forward
from tests.algorithm.test_ff_supervised import make


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shifted(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """`image` (height, width) moved; 0 comes in."""
    height, width = image.shape
    moved = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            if 0 <= y - down < height and 0 <= x - right < width:
                moved[y, x] = image[y - down, x - right]
    return moved


def test_all_25_shifts_are_alike() -> None:
    n = 50_000
    image = torch.zeros(7, 9)
    image[3, 4] = 1.0
    moved = jittered(image.view(1, 63).expand(n, 63), (7, 9), 2, generator()).view(n, 7, 9)
    assert torch.equal(moved.sum((1, 2)), torch.ones(n))
    counts = moved.sum(0)
    assert counts.count_nonzero() == 25
    around = counts[1:6, 2:7]
    assert around.min() > 0
    assert ((around - n / 25).square() / (n / 25)).sum() < 51.2  # the 99.9 % point of 24 degrees of freedom
    # Each image has a shift of its own: those of neighbours in the batch are as different as any two.
    places = moved.view(n, 63).argmax(1)
    assert (places[1:] == places[:-1]).float().mean().item() == pytest.approx(1 / 25, abs=0.005)


@pytest.mark.parametrize(("shape", "reach"), [((7, 11), 2), ((11, 7), 2), ((6, 9), 1), ((12, 8), 3)])
def test_a_shift_is_what_a_loop_over_pixels_makes_of_it(shape: tuple[int, int], reach: int) -> None:
    height, width = shape
    images = 1.0 + torch.arange(100 * height * width, dtype=torch.float64).view(
        100, -1
    )  # a pixel says where it is from
    before = images.clone()
    moved = jittered(images, shape, reach, generator())
    assert moved.shape == images.shape
    assert moved.dtype == images.dtype
    assert torch.equal(images, before)
    middle, seen = (height // 2, width // 2), set()
    for image, result in zip(images.view(-1, *shape).numpy(), moved.view(-1, *shape).numpy(), strict=True):
        ((from_y,), (from_x,)) = np.nonzero(image == result[middle])
        down, right = middle[0] - from_y, middle[1] - from_x
        assert max(abs(down), abs(right)) <= reach
        assert np.array_equal(result, shifted(image, down, right))
        seen.add((int(down), int(right)))
    assert len(seen) > 0.7 * (2 * reach + 1) ** 2


@pytest.mark.parametrize("reach", [0, 1, 2, 6])
def test_shifts_of_grey_images_are_drawn_as_before_there_was_colour(reach: int) -> None:
    images = torch.rand(20, 35, generator=generator(3))
    down, right = (
        shift.flatten() - reach for shift in torch.randint(0, 2 * reach + 1, (2, 20, 1), generator=generator(4))
    )
    moved = jittered(images, (5, 7), reach, generator(4)).view(20, 5, 7).numpy()
    for image, result, y, x in zip(images.view(20, 5, 7).numpy(), moved, down.tolist(), right.tolist(), strict=True):
        assert np.array_equal(result, shifted(image, -y, -x))


@pytest.mark.parametrize("reach", [0, 2, 4])
def test_a_shift_is_the_same_in_all_channels(reach: int) -> None:
    images = 1.0 + torch.arange(50 * 5 * 7 * 3, dtype=torch.float64).view(50, 105)
    before = images.clone()
    moved = jittered(images, (5, 7, 3), reach, generator(4))
    assert moved.shape == images.shape
    assert torch.equal(images, before)
    channels = images.view(50, 35, 3)
    for channel, seen in enumerate(moved.view(50, 35, 3).unbind(2)):
        assert torch.equal(seen, jittered(channels[..., channel].contiguous(), (5, 7), reach, generator(4)))
    assert torch.equal(moved, images) == (reach == 0)


def test_zeros_come_in_and_nothing_comes_round() -> None:
    moved = jittered(torch.ones(300, 20), (4, 5), 1, generator()).view(300, 4, 5)
    assert set(moved.unique().tolist()) == {0.0, 1.0}
    kept = moved.sum((1, 2))
    assert set(kept.tolist()) == {20.0, 16.0, 15.0, 12.0}  # still, sideways, up or down, both
    for result, bright in zip(moved, kept.tolist(), strict=True):
        if bright == 12.0:  # the dark row and the dark column are at edges
            assert result[0].any() != result[-1].any()
            assert result[:, 0].any() != result[:, -1].any()


def test_without_reach_images_stay() -> None:
    images = torch.rand(6, 20, generator=generator())
    assert torch.equal(jittered(images, (4, 5), 0, generator()), images)


def test_a_generator_repeats_its_shifts() -> None:
    images = torch.rand(30, 20, generator=generator())
    drawn = generator(7)
    first = jittered(images, (4, 5), 2, drawn)
    assert torch.equal(first, jittered(images, (4, 5), 2, generator(7)))
    assert not torch.equal(first, jittered(images, (4, 5), 2, drawn))  # anew each time


# In `ff_supervised` --------------------------------------------------------------------------------


def test_the_label_is_written_after_the_shift_and_all_passes_see_one_shift(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[Tensor] = []

    def spy(layers: Any, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        passes.append(images.clone())
        return forward(layers, images)

    monkeypatch.setattr("ffrepro.algorithm.ff_supervised.forward", spy)
    algorithm = make(jitter=2)
    stored = algorithm.train.inputs.clone()
    shifts = set()
    for start in range(0, 200, 20):
        passes.clear()
        part = slice(start, start + 20)
        images, targets = algorithm.train.inputs[part], algorithm.train.targets[part]
        algorithm.minibatch(images, targets, gain=1.0)
        both, negative = passes
        positive, neutral = both[:20], both[20:]
        assert torch.equal(positive[:, :10], one_hot(targets, 10).double())
        assert torch.equal(neutral[:, :10], torch.full((20, 10), 1 / 10, dtype=torch.float64))
        assert torch.equal(negative[:, :10].sort(1).values, torch.eye(10, dtype=torch.float64)[[9] * 20])
        assert torch.equal(positive[:, 10:], neutral[:, 10:])
        assert torch.equal(positive[:, 10:], negative[:, 10:])
        for image, seen in zip(images.view(20, 5, 8).numpy(), positive.numpy(), strict=True):
            (shift,) = [
                (down, right)
                for down in range(-2, 3)
                for right in range(-2, 3)
                if np.array_equal(shifted(image, down, right).ravel()[10:], seen[10:])
            ]
            shifts.add(shift)
    assert len(shifts) == 25
    assert torch.equal(algorithm.train.inputs, stored)


def test_no_test_shifts_its_images() -> None:
    jittering, still = make(jitter=2), make(jitter=None)
    jittering.train_epoch(1)
    still.load_state_dict(jittering.state_dict())
    split = jittering.train
    assert torch.equal(jittering.goodness_of_labels(split), still.goodness_of_labels(split))
    assert torch.equal(jittering.neutral_logits(split), still.neutral_logits(split))
    assert jittering.evaluate(split) == still.evaluate(split)
    assert jittering.monitor(split) == still.monitor(split)
    # Nor does a test take from the random numbers of the training.
    for mine, before in zip(jittering.state_dict()["generators"], still.state_dict()["generators"], strict=True):
        assert torch.equal(mine, before)


def test_without_jitter_images_are_as_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any) -> None:
        raise AssertionError("shifted")

    monkeypatch.setattr("ffrepro.algorithm.ff_supervised.jittered", forbidden)
    still = make(jitter=None)
    still.train_epoch(1)
    with pytest.raises(AssertionError, match="shifted"):
        make(jitter=1).train_epoch(1)


def test_a_cut_run_with_jitter_goes_on_as_if_uncut(tmp_path: Path) -> None:
    uncut, resumed = make(jitter=2), make(jitter=2)
    uncut.train_epoch(1)
    torch.save(uncut.state_dict(), tmp_path / "state.pt")
    resumed.train_epoch(2)  # whatever it did before
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert resumed.train_epoch(2) == uncut.train_epoch(2)
    for mine, other in zip(resumed.layers, uncut.layers, strict=True):
        assert torch.equal(mine.connections.sources[0].weight, other.connections.sources[0].weight)


def test_colour_is_no_side_of_an_image() -> None:
    algorithm = make(jitter=4, image_shape=(5, 8, 3))
    algorithm.train_epoch(1)
    assert algorithm.pictures(algorithm.train.first(20))["first_layer_fields"].shape == (30, 5, 8, 3)


def test_a_shift_by_no_pixel_is_refused() -> None:
    with pytest.raises(UserError, match=r"algorithm\.jitter is 8: expected fewer pixels"):
        make(jitter=8)
    with pytest.raises(UserError, match=r"algorithm\.jitter is 5: expected fewer pixels than .* has, 5\."):
        make(jitter=5, image_shape=(5, 8, 3))
    with pytest.raises(UserError, match=r"algorithm\.jitter is 0.*null for none"):
        make(jitter=0)

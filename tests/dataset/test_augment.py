"""Shifts and crops against loops over pixels, and the jitter of `ff_supervised`."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import kstest
from torch import Tensor
from torch.nn.functional import interpolate, one_hot
from torchvision.transforms.functional import center_crop

from ffrepro.dataset.augment import RandomResizedCrops, center_crops, jittered, random_resized_crops
from ffrepro.errors import UserError
from ffrepro.forward_forward.layers import forward
from ffrepro.forward_forward.passes import Pass
from tests.algorithm.made import made_images
from tests.algorithm.test_ff_supervised import make


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shifted(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """Move `image` (height, width). New pixels are 0."""
    height, width = image.shape
    moved = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            if 0 <= y - down < height and 0 <= x - right < width:
                moved[y, x] = image[y - down, x - right]
    return moved


def test_all_25_shifts_are_equally_likely() -> None:
    n = 50_000
    image = torch.zeros(7, 9)
    image[3, 4] = 1.0
    moved = jittered(image.view(1, 63).expand(n, 63), (7, 9), 2, generator()).view(n, 7, 9)
    assert torch.equal(moved.sum((1, 2)), torch.ones(n))
    counts = moved.sum(0)
    assert counts.count_nonzero() == 25
    around = counts[1:6, 2:7]
    assert around.min() > 0
    assert ((around - n / 25).square() / (n / 25)).sum() < 51.2  # the 99.9 % quantile for 24 degrees of freedom
    # Each image has its own shift.
    places = moved.view(n, 63).argmax(1)
    assert (places[1:] == places[:-1]).float().mean().item() == pytest.approx(1 / 25, abs=0.005)


@pytest.mark.parametrize(("shape", "reach"), [((7, 11), 2), ((11, 7), 2), ((6, 9), 1), ((12, 8), 3)])
def test_shifts_equal_a_loop_over_pixels(shape: tuple[int, int], reach: int) -> None:
    height, width = shape
    images = 1.0 + torch.arange(100 * height * width, dtype=torch.float64).view(100, -1)  # every pixel is unique
    before = images.clone()
    moved = jittered(images, shape, reach, generator())
    assert moved.shape == images.shape
    assert moved.dtype == images.dtype
    assert torch.equal(images, before)
    center, seen = (height // 2, width // 2), set()
    for image, result in zip(images.view(-1, *shape).numpy(), moved.view(-1, *shape).numpy(), strict=True):
        ((from_y,), (from_x,)) = np.nonzero(image == result[center])
        down, right = center[0] - from_y, center[1] - from_x
        assert max(abs(down), abs(right)) <= reach
        assert np.array_equal(result, shifted(image, down, right))
        seen.add((int(down), int(right)))
    assert len(seen) > 0.7 * (2 * reach + 1) ** 2


@pytest.mark.parametrize("reach", [0, 1, 2, 6])
def test_shifts_of_gray_images_by_a_loop_over_images(reach: int) -> None:
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


def test_new_pixels_are_0_and_nothing_wraps_around() -> None:
    moved = jittered(torch.ones(300, 20), (4, 5), 1, generator()).view(300, 4, 5)
    assert set(moved.unique().tolist()) == {0.0, 1.0}
    kept = moved.sum((1, 2))
    assert set(kept.tolist()) == {20.0, 16.0, 15.0, 12.0}  # no shift, sideways, up or down, both
    for result, bright in zip(moved, kept.tolist(), strict=True):
        if bright == 12.0:  # the dark row and column are at edges
            assert result[0].any() != result[-1].any()
            assert result[:, 0].any() != result[:, -1].any()


def test_with_a_reach_of_0_images_are_unchanged() -> None:
    images = torch.rand(6, 20, generator=generator())
    assert torch.equal(jittered(images, (4, 5), 0, generator()), images)


def test_a_generator_repeats_its_shifts() -> None:
    images = torch.rand(30, 20, generator=generator())
    draws = generator(7)
    first = jittered(images, (4, 5), 2, draws)
    assert torch.equal(first, jittered(images, (4, 5), 2, generator(7)))
    assert not torch.equal(first, jittered(images, (4, 5), 2, draws))  # a new draw


# Crops ---------------------------------------------------------------------------------------------


def boxes(
    n: int, height: int, width: int, draws: torch.Generator, smallest: float = 0.08
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The left, top, width and height of `n` crops, and whether they are mirrored.

    The pixels of the image are their own coordinates. So the central pixels of 4 × 4 crops show where the crops are.
    """
    y, x = torch.meshgrid(torch.arange(height).double() + 0.5, torch.arange(width).double() + 0.5, indexing="ij")
    image = torch.stack([x, y, x], 2).view(1, -1).expand(n, -1)
    crops = random_resized_crops(image, (height, width, 3), 4, smallest, draws).view(n, 4, 4, 3)
    step, center = crops[:, 1, 2, 0] - crops[:, 1, 1, 0], crops[:, 1, 1:3, 0].mean(1)
    step_down, middle_down = crops[:, 2, 1, 1] - crops[:, 1, 1, 1], crops[:, 1:3, 1, 1].mean(1)
    crop_width, crop_height = 4 * step.abs(), 4 * step_down
    return center - crop_width / 2, middle_down - crop_height / 2, crop_width, crop_height, step < 0


def interpolated(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """Interpolate `image` (height, width, channels) at a point. Pixel centers are at halves."""
    height, width, _ = image.shape
    x, y = min(max(x - 0.5, 0.0), width - 1.0), min(max(y - 0.5, 0.0), height - 1.0)
    left, top = min(int(x), width - 2), min(int(y), height - 2)
    right_share, low_share = x - left, y - top
    upper = (1 - right_share) * image[top, left] + right_share * image[top, left + 1]
    lower = (1 - right_share) * image[top + 1, left] + right_share * image[top + 1, left + 1]
    return (1 - low_share) * upper + low_share * lower


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Fix the random numbers, which are shares between 0 and 1, for all images."""

    def fixed(area: float, across: float, down: float, mirrored: float) -> None:
        # With an aspect share of a half a crop is square.
        shares = torch.tensor([area, 0.5, across, down, mirrored])
        monkeypatch.setattr(torch, "rand", lambda n, b, _, dtype, **__: shares.to(dtype).view(n, 1, 1).expand(n, b, 1))

    return fixed


@pytest.mark.parametrize("shape", [(16, 16, 3), (12, 17, 3), (19, 13, 3), (15, 16)])
@pytest.mark.parametrize("size", [5, 12, 30])
def test_crops_equal_a_loop_over_pixels(shape: tuple[int, ...], size: int) -> None:
    height, width, n = *shape[:2], 12
    images = torch.rand(n, math.prod(shape), generator=generator(1), dtype=torch.float64)
    before = images.clone()
    crops = random_resized_crops(images, shape, size, 0.08, generator(2))
    assert torch.equal(images, before)
    assert crops.dtype == images.dtype
    crops_at = torch.stack(boxes(n, height, width, generator(2)), 1).tolist()
    for image, crop, box in zip(images.numpy(), crops.numpy(), crops_at, strict=True):
        left, top, crop_width, crop_height, mirrored = box
        pixels, expected = image.reshape(height, width, -1), []
        for row in range(size):
            for column in range(size):
                place = size - 1 - column if mirrored else column
                x, y = left + (place + 0.5) * crop_width / size, top + (row + 0.5) * crop_height / size
                expected.append(interpolated(pixels, x, y))
        np.testing.assert_allclose(crop, np.concatenate(expected), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("smallest", "share_cut", "mean_area"), [(0.08, 1 / 7, 0.54), (0.35, 0.2, 0.675)])
def test_areas_aspect_ratios_places_and_mirrors_have_their_distributions(
    smallest: float, share_cut: float, mean_area: float
) -> None:
    n = 20_000
    left, top, width, height, mirrored = boxes(n, 16, 16, generator(), smallest)
    area, aspect = width * height / 256, width / height
    assert area.min() > smallest - 1e-9
    assert area.max() < 1 + 1e-9
    assert aspect.min() > 3 / 4 - 1e-9
    assert aspect.max() < 4 / 3 + 1e-9
    assert min(left.min(), top.min()) > -1e-9
    assert max((left + width).max(), (top + height).max()) < 16 + 1e-9
    # Crops with less than three quarters of the area are never clipped.
    whole = area < 0.75
    uniforms = [
        (area[whole] - smallest) / (0.75 - smallest),
        (aspect[whole].log() / math.log(4 / 3) + 1) / 2,
        left[whole] / (16 - width[whole]),
        top[whole] / (16 - height[whole]),
    ]
    for uniform in uniforms:
        assert kstest(uniform.numpy(), "uniform").pvalue > 0.001
    together = torch.corrcoef(torch.stack([*uniforms, mirrored[whole].double()]))
    assert (together - torch.eye(5)).abs().max() < 0.03
    assert mirrored.double().mean().item() == pytest.approx(1 / 2, abs=0.015)
    # For 0.08 these are the numbers in the docstring.
    cut = torch.maximum(width, height) > 16 - 1e-9
    assert cut.double().mean().item() == pytest.approx(share_cut, abs=0.01)
    assert area.mean().item() == pytest.approx(mean_area, abs=0.01)


def test_a_crop_that_is_too_long_is_clipped_at_that_side_alone() -> None:
    left, top, width, height, _ = boxes(5000, 10, 30, generator())
    high = height > 10 - 1e-9
    assert 0.3 < high.double().mean() < 0.9
    assert top[high].abs().max() < 1e-9
    assert width.max() > 4 / 3 * 10  # the aspect ratio is not kept
    assert (left + width).max() < 30 + 1e-9


@pytest.mark.parametrize("size", [6, 16, 40])
def test_a_crop_of_the_whole_image_equals_interpolate(size: int, draw: Callable[..., None]) -> None:
    images = torch.rand(4, 16 * 16 * 3, generator=generator(), dtype=torch.float64)
    expected = interpolate(
        images.view(4, 16, 16, 3).permute(0, 3, 1, 2), size=(size, size), mode="bilinear", align_corners=False
    ).permute(0, 2, 3, 1)
    draw(area=1, across=0.3, down=0.8, mirrored=0.9)
    crops = random_resized_crops(images, (16, 16, 3), size, 0.08, generator()).view(4, size, size, 3)
    torch.testing.assert_close(crops, expected, rtol=0, atol=1e-12)
    draw(area=1, across=0.3, down=0.8, mirrored=0.1)
    crops = random_resized_crops(images, (16, 16, 3), size, 0.08, generator()).view(4, size, size, 3)
    torch.testing.assert_close(crops, expected.flip(2), rtol=0, atol=1e-12)


def test_a_crop_of_the_final_size_is_a_slice(draw: Callable[..., None]) -> None:
    images = torch.rand(4, 16, 16, 3, generator=generator())
    draw(area=(1 / 4 - 0.08) / 0.92, across=1, down=0.25, mirrored=0.9)
    crops = random_resized_crops(images.view(4, -1), (16, 16, 3), 8, 0.08, generator())
    torch.testing.assert_close(crops.view(4, 8, 8, 3), images[:, 2:10, 8:], rtol=0, atol=1e-5)


def test_constant_images_are_unchanged_and_colors_are_not_mixed() -> None:
    colors = torch.rand(50, 3, generator=generator())
    crops = random_resized_crops(colors.repeat(1, 14 * 20), (14, 20, 3), 9, 0.08, generator(1))
    torch.testing.assert_close(crops, colors.repeat(1, 81), rtol=0, atol=1e-6)
    images = torch.rand(50, 14 * 20, 3, generator=generator())
    crops = random_resized_crops(images.view(50, -1), (14, 20, 3), 9, 0.08, generator(1)).view(50, 81, 3)
    for color in range(3):
        gray = random_resized_crops(images[..., color].contiguous(), (14, 20), 9, 0.08, generator(1))
        torch.testing.assert_close(crops[..., color], gray, rtol=0, atol=1e-6)


def test_a_generator_repeats_its_crops_and_each_image_has_its_own_crop() -> None:
    images = torch.rand(1, 10 * 10 * 3, generator=generator()).repeat(40, 1)
    everywhere, draws = torch.get_rng_state(), generator(7)
    first = random_resized_crops(images, (10, 10, 3), 8, 0.08, draws)
    assert torch.equal(first, random_resized_crops(images, (10, 10, 3), 8, 0.08, generator(7)))
    assert not torch.equal(first, random_resized_crops(images, (10, 10, 3), 8, 0.08, draws))  # a new draw
    assert torch.pdist(first).min() > 0.1
    assert torch.equal(torch.get_rng_state(), everywhere)


def test_autocast_does_not_round_crops() -> None:
    images = torch.rand(10, 80 * 80 * 3, generator=generator())
    expected = random_resized_crops(images, (80, 80, 3), 64, 0.08, generator(1))
    with torch.autocast("cpu", torch.bfloat16):
        crops = random_resized_crops(images, (80, 80, 3), 64, 0.08, generator(1))
    assert torch.equal(crops, expected)


@pytest.mark.parametrize(
    ("shape", "size", "share"), [((80, 80, 3), 64, 0.8), ((9, 12, 3), 4, 0.44), ((12, 9), 8, 0.9), ((8, 8, 3), 8, 1.0)]
)
def test_a_center_of_the_final_size_equals_torchvisions(shape: tuple[int, ...], size: int, share: float) -> None:
    images = torch.rand(3, math.prod(shape), generator=generator())
    crops = center_crops(images, shape, size, share)
    pixels = images.view(3, *shape[:2], -1).permute(0, 3, 1, 2)
    assert torch.equal(crops, center_crop(pixels, [size, size]).permute(0, 2, 3, 1).reshape(3, -1))


@pytest.mark.parametrize(("size", "share"), [(64, 0.875), (16, 0.875), (24, 0.1), (10, 0.01)])
def test_the_center_is_resized_as_in_pillow(size: int, share: float) -> None:
    images = torch.randint(0, 256, (2, 80 * 70), generator=generator()).float()
    crops = center_crops(images, (80, 70), size, share).view(2, size, size)
    side = max(round(share * 70), 1)
    left, top = (70 - side) // 2, (80 - side) // 2
    for image, crop in zip(images.view(2, 80, 70).numpy(), crops.numpy(), strict=True):
        box = (left, top, left + side, top + side)
        expected = Image.fromarray(image).crop(box).resize((size, size), Image.Resampling.BILINEAR)
        assert np.allclose(crop, np.asarray(expected), atol=1e-2)


# `RandomResizedCrops` -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(12, 14), (12, 14, 3)], ids=["gray", "color"])
def test_an_augmentation_crops_at_random_in_training_and_in_the_center_in_the_test(shape: tuple[int, ...]) -> None:
    augmentation = RandomResizedCrops(size=6, min_area=0.3, center_crop_ratio=0.8)
    images = torch.rand(5, math.prod(shape), generator=generator())
    assert augmentation.output_shape(shape) == (6, 6, *shape[2:])
    trained = augmentation.train(images, shape, generator(1))
    assert torch.equal(trained, random_resized_crops(images, shape, 6, 0.3, generator(1)))
    assert torch.equal(augmentation.test(images, shape), center_crops(images, shape, 6, 0.8))
    assert trained.shape == (5, math.prod(augmentation.output_shape(shape)))


def test_a_crop_has_to_fit_the_images() -> None:
    dataset = made_images(20, image_shape=(5, 8, 3))
    RandomResizedCrops(size=5, min_area=0.3, center_crop_ratio=0.8).check(dataset)
    expected = r"^algorithm\.augmentation\.size is 6, and dataset made has images of 5 × 8 × 3: expected images"
    with pytest.raises(UserError, match=expected):
        RandomResizedCrops(size=6, min_area=0.3, center_crop_ratio=0.8).check(dataset)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"size": 0}, r"size is 0: expected at least 1 pixel"),
        ({"min_area": 0.0}, r"min_area is 0\.0"),
        ({"min_area": 1.01}, r"min_area is 1\.01"),
        ({"center_crop_ratio": 0.0}, r"center_crop_ratio is 0\.0"),
        ({"center_crop_ratio": 1.01}, r"center_crop_ratio is 1\.01"),
    ],
)
def test_impossible_crops_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=rf"^algorithm\.augmentation\.{message}"):
        RandomResizedCrops(**{"size": 6, "min_area": 0.3, "center_crop_ratio": 0.8} | changed)


# In `ff_supervised` --------------------------------------------------------------------------------


def test_labels_are_embedded_after_the_shift_and_all_passes_share_the_shift(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[Tensor] = []

    def spy(layers: Any, images: Tensor) -> tuple[list[Pass], list[Tensor]]:
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
        algorithm.minibatch(images, targets, lr_factor=1.0)
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


def test_tests_do_not_shift_images() -> None:
    jittering, still = make(jitter=2), make(jitter=0)
    jittering.train_epoch(1)
    still.load_state_dict(jittering.state_dict())
    split = jittering.train
    assert torch.equal(jittering.goodness_of_labels(split), still.goodness_of_labels(split))
    assert torch.equal(jittering.neutral_logits(split), still.neutral_logits(split))
    assert jittering.evaluate(split) == still.evaluate(split)
    assert jittering.monitor(split) == still.monitor(split)
    # Nor do tests draw from the generators of training.
    for state, before in zip(jittering.state_dict()["generators"], still.state_dict()["generators"], strict=True):
        assert torch.equal(state, before)


def test_without_jitter_nothing_is_shifted(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any) -> None:
        raise AssertionError("shifted")

    monkeypatch.setattr("ffrepro.algorithm.ff_supervised.jittered", forbidden)
    still = make(jitter=0)
    still.train_epoch(1)
    with pytest.raises(AssertionError, match="shifted"):
        make(jitter=1).train_epoch(1)


def test_a_resumed_run_with_jitter_goes_on_as_if_uninterrupted(tmp_path: Path) -> None:
    whole_run, resumed = make(jitter=2), make(jitter=2)
    whole_run.train_epoch(1)
    torch.save(whole_run.state_dict(), tmp_path / "state.pt")
    resumed.train_epoch(2)  # its earlier state must not matter
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert resumed.train_epoch(2) == whole_run.train_epoch(2)
    for layer, other in zip(resumed.layers, whole_run.layers, strict=True):
        assert torch.equal(layer.connections.sources[0].weight, other.connections.sources[0].weight)


def test_channels_are_not_a_side_of_an_image() -> None:
    algorithm = make(jitter=4, image_shape=(5, 8, 3))
    algorithm.train_epoch(1)
    assert algorithm.pictures(algorithm.train[:20])["first_layer_fields"].shape == (30, 5, 8, 3)


@pytest.mark.parametrize("jitter", [-1, 5, 8])
def test_a_shift_is_less_than_a_side_of_the_image(jitter: int) -> None:
    expected = rf"^algorithm\.jitter is {jitter}: expected 0 \(no shifts\) to less than an image's side, 5 pixels\.$"
    with pytest.raises(UserError, match=expected):
        make(jitter=jitter, image_shape=(5, 8, 3))

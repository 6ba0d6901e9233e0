"""Decoded JPEG images, compared with torchvision's transforms, and their cache."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import center_crop, resize

from ffrepro.dataset import jpeg
from ffrepro.dataset.jpeg import decode, load_images
from ffrepro.errors import DataNotFoundError, UserError


def write(path: Path, *, height: int = 16, width: int = 16, seed: int = 0) -> Path:
    """Write a smooth image, which JPEG hardly changes; returns `path`."""
    pixels = np.random.default_rng(seed).integers(50, 200, (3, 3, 3)).astype(np.uint8)
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, format="JPEG", quality=95)
    return path


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return [write(tmp_path / "folder" / "train" / "class" / f"{seed}.JPEG", seed=seed) for seed in range(5)]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "images.bin"


# Decoding ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(40, 60), (61, 41), (12, 18)])
def test_the_central_square_is_resized(height: int, width: int, tmp_path: Path) -> None:
    path = write(tmp_path / "image", height=height, width=width)
    side = min(height, width)
    image = torch.from_numpy(pixels_of(path).copy()).permute(2, 0, 1)
    expected = resize(center_crop(image, [side, side]), [16, 16], antialias=True).permute(1, 2, 0)
    assert np.abs(decode(path, 16).astype(int) - expected.numpy()).max() <= 2


def test_the_crop_is_equally_far_from_both_ends(tmp_path: Path) -> None:
    gray = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 7)).astype(np.uint8))
    gray = gray.resize((61, 40), Image.Resampling.BICUBIC)
    gray.save(tmp_path / "original", format="JPEG", quality=100)
    gray.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "mirrored", format="JPEG", quality=100)
    original, mirrored = (decode(tmp_path / name, 16).astype(int) for name in ("original", "mirrored"))
    assert np.abs(original - mirrored[:, ::-1]).max() <= 2


def test_a_fine_pattern_is_averaged(tmp_path: Path) -> None:
    checkerboard = np.indices((64, 64)).sum(0) % 2 * 255
    Image.fromarray(checkerboard.astype(np.uint8)).save(tmp_path / "gray", format="JPEG", quality=100)
    image = decode(tmp_path / "gray", 16)
    assert image.shape == (16, 16, 3)
    assert np.array_equal(image[..., 0], image[..., 2])
    assert np.abs(image.astype(int) - 127).max() < 20


def test_an_image_of_the_right_size_is_not_resized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "resize", lambda *_, **__: pytest.fail("resized"))
    Image.new("RGB", (16, 16), (10, 200, 30)).save(tmp_path / "image", format="JPEG")
    assert np.array_equal(decode(tmp_path / "image", 16), pixels_of(tmp_path / "image"))


@pytest.mark.parametrize("damage", ["truncated", "empty", "png", "text"])
def test_a_damaged_image_is_named(damage: str, paths: list[Path], cache: Path) -> None:
    content = paths[3].read_bytes()
    if damage == "png":
        Image.new("RGB", (16, 16)).save(paths[3], format="PNG")
    else:
        damaged = {"truncated": content[: len(content) // 2], "empty": b"", "text": b"<html>404</html>"}
        paths[3].write_bytes(damaged[damage])
    with pytest.raises(UserError, match=f"^{paths[3]} is damaged: expected a whole JPEG image") as caught:
        load_images(paths, 16, cache)
    assert not isinstance(caught.value, DataNotFoundError)
    assert "remove its folder folder and run `make data`" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not cache.parent.exists()


def test_slow_decoding_reports_its_progress(
    paths: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(jpeg.time, "monotonic", lambda: float(next(clock)))
    load_images(paths, 16, cache)
    assert capsys.readouterr().err == "4 of 5 images decoded\n"


# The cache -----------------------------------------------------------------------------------------


def test_images_are_decoded_once_in_the_order_of_the_paths(
    paths: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    decoded = load_images(paths, 16, cache)
    assert np.array_equal(decoded, np.stack([pixels_of(path) for path in paths]))
    assert cache.stat().st_size == 32 + 5 * 16 * 16 * 3
    monkeypatch.setattr(jpeg, "decode", lambda *_: pytest.fail("decoded again"))
    assert np.array_equal(load_images(paths, 16, cache), decoded)
    assert not capsys.readouterr().err


@pytest.mark.parametrize("damage", ["pixel", "hash", "short", "long", "empty"])
def test_a_damaged_cache_is_replaced(
    damage: str, paths: list[Path], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    decoded, content = load_images(paths, 16, cache), cache.read_bytes()
    changed = {"pixel": 2000, "hash": 3}.get(damage)
    if changed is None:
        cache.write_bytes({"short": content[:-1], "long": content + b"0", "empty": b""}[damage])
    else:
        cache.write_bytes(content[:changed] + bytes([content[changed] ^ 1]) + content[changed + 1 :])
    assert np.array_equal(load_images(paths, 16, cache), decoded)
    assert capsys.readouterr().err == f"{cache} is damaged: decoding the images again\n"
    assert cache.read_bytes() == content


def test_without_a_writable_cache_the_images_are_still_returned(
    paths: list[Path], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.parent.write_text("a file instead of a folder")
    assert load_images(paths, 16, cache).shape == (5, 16, 16, 3)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"continuing without a cache: cannot write {cache} (")


def test_an_interrupt_leaves_no_cache(paths: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        """A hash whose computation the user interrupts, while the cache file is open."""

        def digest(self) -> bytes:
            raise KeyboardInterrupt

    sha256 = hashlib.sha256
    monkeypatch.setattr(
        jpeg.hashlib, "sha256", lambda content: Interrupted() if len(content) > 3000 else sha256(content)
    )
    with pytest.raises(KeyboardInterrupt):
        load_images(paths, 16, cache)
    assert not list(cache.parent.iterdir())

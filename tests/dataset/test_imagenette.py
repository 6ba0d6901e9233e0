"""Imagenette: which folder is read, the order and the colours of its images, the cache, and that no damage passes."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate
from torchvision.transforms.functional import center_crop, resize

from ffrepro.dataset import Dataset, data_roots, imagenette
from ffrepro.dataset.digits import Digits
from ffrepro.dataset.imagenette import Imagenette
from ffrepro.errors import DataNotFoundError, UserError

CPU = torch.device("cpu")
COPY, SMALL = "imagenette-80px", "imagenette2-160"
CLASSES = ["n01440764", "n02102040", "n03888257"]
TINY = {wnid: {"train": 2 * number, "val": number + 1} for number, wnid in enumerate(CLASSES, 2)}  # 18 and 12


def write(folder: Path, *, height: int = 16, width: int = 16) -> None:
    """The files of TINY; what is in one depends on its name alone."""
    for wnid, numbers in TINY.items():
        for part, n in numbers.items():
            (folder / part / wnid).mkdir(parents=True)
            for number in range(n):
                path = f"{part}/{wnid}/{wnid}_{number}.JPEG"
                draws = np.random.default_rng(list(path.encode()))
                # Smooth, so that little is lost, and in colours of different brightness and contrast.
                pixels = draws.uniform([0, 50, 120], [100, 255, 140], (3, 3, 3)).astype(np.uint8)
                image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
                image.save(folder / path, format="JPEG", quality=95)


def decoded(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def load(*, size: int = 16, validation: int = 0) -> Dataset:
    return Imagenette(name="imagenette", size=size, validation=validation).load(CPU)


def inputs_of(dataset: Dataset) -> torch.Tensor:
    parts = [dataset.train, dataset.validation, dataset.test]
    return torch.cat([split.inputs for split in parts if split is not None])


def files_of(folder: Path, dataset: Dataset) -> list[Path]:
    """Which file each image is, those to train on first: told by its very pixels."""
    train = np.stack([decoded(path) for path in folder.glob("train/*/*.JPEG")])
    known = {decoded(path).tobytes(): path for path in folder.glob("*/*/*.JPEG")}
    pixels = inputs_of(dataset).view(30, 16, 16, 3).numpy() * train.std((0, 1, 2)) + train.mean((0, 1, 2))
    return [known[image.tobytes()] for image in pixels.round().astype(np.uint8)]


@pytest.fixture(autouse=True)
def _nothing_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A root of its own, an empty place named by the user, no network, three small classes."""

    def no_network(*_: Any, **__: Any) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr("ffrepro.paths.ROOT", tmp_path / "root")
    monkeypatch.setenv("FFREPRO_DATA_DIR", str(tmp_path / "named"))
    monkeypatch.setattr(imagenette.datasets.Imagenette, "__init__", no_network)
    monkeypatch.setattr(imagenette, "_IMAGES", TINY)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "named" / COPY
    write(folder)
    return folder


def test_classes_numbers_and_folders_are_the_official_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    official = imagenette.datasets.Imagenette
    assert list(imagenette._IMAGES) == sorted(official._WNID_TO_CLASS)
    assert [imagenette._total(part) for part in ("train", "val")] == [9469, 3925]
    names = {name: Path(url).stem for name, (url, _) in official._ARCHIVES.items()}
    folders = {name: place for place, (_, name) in imagenette._FOLDERS.items() if place != COPY}
    assert folders == names
    assert Imagenette(name="imagenette", size=80, validation=469).sizes == (9000, 3925 + 9000)


# Images --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [1000, 7])
def test_every_image_is_there_once_with_its_class(at_once: int, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenette, "_AT_ONCE", at_once)
    dataset = load()
    assert dataset.sizes() == {"train": 18, "validation": 0, "test": 12}
    assert (dataset.name, dataset.n_classes, dataset.input_shape) == ("imagenette (80px copy)", 3, (16, 16, 3))
    assert not dataset.stand_in
    assert Imagenette(name="imagenette", size=16, validation=0).sizes == (18, 12 + 18)
    files = files_of(copy, dataset)
    assert len(set(files)) == 30
    for part, some in (("train", files[:18]), ("val", files[18:])):
        names = sorted(path.relative_to(copy).as_posix() for path in copy.glob(f"{part}/*/*.JPEG"))
        assert some == [copy / names[index] for index in imagenette._spread(names)]
    targets = torch.cat([dataset.train.targets, dataset.test.targets])
    assert targets.dtype == torch.int64
    assert [CLASSES[target] for target in targets.tolist()] == [file.parent.name for file in files]


@pytest.mark.parametrize("held_out", [0, 7])
def test_colours_are_standardised_by_what_is_trained_on(held_out: int, copy: Path) -> None:
    files = files_of(copy, load())
    dataset = load(validation=held_out)
    assert dataset.sizes() == {"train": 18 - held_out, "validation": held_out, "test": 12}
    images = np.stack([decoded(file) for file in files]) / 255.0
    trained = images[: 18 - held_out]
    expected = (images - trained.mean((0, 1, 2))) / trained.std((0, 1, 2))
    inputs = inputs_of(dataset)
    assert (inputs.shape, inputs.dtype) == ((30, 16 * 16 * 3), torch.float32)
    np.testing.assert_allclose(inputs.view(30, 16, 16, 3), expected, rtol=0, atol=2e-5)


def test_the_first_and_the_last_images_are_of_all_classes_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    paths = [f"train/{wnid}/{n}.JPEG" for wnid, of in imagenette._IMAGES.items() for n in range(of["train"])]
    order = imagenette._spread(paths)
    assert sorted(order) == list(range(9469))
    for some in (order[:500], order[-1000:]):
        for wnid, of in imagenette._IMAGES.items():
            n = sum(paths[index].split("/")[1] == wnid for index in some)
            assert abs(n - len(some) * of["train"] / 9469) <= 1.5
    within = [index for index in order[-1000:] if index < 963]  # of the first class: not only the end of its names
    assert min(within) < 100
    assert 300 < np.median(within) < 660


def test_the_order_is_the_same_everywhere(copy: Path, tmp_path: Path) -> None:
    # Written down: with another order other images would be held out.
    names = [
        f"train/{wnid}/{wnid}_{number}.JPEG" for wnid, n in zip(CLASSES, (5, 2), strict=False) for number in range(n)
    ]
    assert imagenette._spread(names) == [3, 6, 0, 4, 1, 5, 2]
    at_first = load(validation=5)
    again = tmp_path / "named" / SMALL
    for path in sorted(copy.glob("*/*/*.JPEG"), reverse=True):
        (again / path.relative_to(copy)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, again / path.relative_to(copy))
    shutil.rmtree(copy)
    moved = load(validation=5)
    assert torch.equal(inputs_of(moved), inputs_of(at_first))
    assert (moved.name, at_first.name) == ("imagenette (160px)", "imagenette (80px copy)")
    assert moved.sha256 == at_first.sha256


@pytest.mark.parametrize(("height", "width"), [(40, 60), (61, 41), (12, 18)])
def test_images_of_another_size_are_the_square_in_their_middle(height: int, width: int, tmp_path: Path) -> None:
    folder = tmp_path / "named" / SMALL
    write(folder, height=height, width=width)
    path = next(folder.glob("train/*/*.JPEG"))
    found = imagenette._image(path, 16)
    image = torch.from_numpy(decoded(path).copy()).permute(2, 0, 1)
    side = min(height, width)
    expected = resize(center_crop(image, [side, side]), [16, 16], antialias=True).permute(1, 2, 0)
    assert np.abs(found.astype(int) - expected.numpy()).max() <= 2
    assert load().train.inputs.shape == (18, 16 * 16 * 3)


def test_the_middle_is_as_far_from_both_ends(tmp_path: Path) -> None:
    grey = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 7)).astype(np.uint8))
    grey = grey.resize((61, 40), Image.Resampling.BICUBIC)
    for name, image in (("one", grey), ("mirrored", grey.transpose(Image.Transpose.FLIP_LEFT_RIGHT))):
        image.save(tmp_path / name, format="JPEG", quality=100)
    one, mirrored = (imagenette._image(tmp_path / name, 16).astype(int) for name in ("one", "mirrored"))
    assert np.abs(one - mirrored[:, ::-1]).max() <= 2


def test_a_fine_pattern_is_averaged(tmp_path: Path) -> None:
    pixels = np.indices((64, 64)).sum(0) % 2 * 255
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "grey.JPEG", format="JPEG", quality=100)
    image = imagenette._image(tmp_path / "grey.JPEG", 16)
    assert image.shape == (16, 16, 3)  # grey is three equal colours
    assert np.array_equal(image[..., 0], image[..., 2])
    assert np.abs(image.astype(int) - 127).max() < 20


def test_images_of_the_size_are_taken_as_they_are(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "resize", lambda *_, **__: pytest.fail("resized"))
    load()


# Places --------------------------------------------------------------------------------------------


def test_the_first_folder_with_large_enough_images_is_read(tmp_path: Path) -> None:
    write(tmp_path / "root" / "data" / COPY)
    assert load().name == "imagenette (80px copy)"
    for place, label in (("imagenette2", "full"), ("imagenette2-320", "320px"), (SMALL, "160px"), (COPY, "80px copy")):
        write(tmp_path / "named" / place)  # what the user names goes first, and of that the smallest
        assert load().name == f"imagenette ({label})"
    assert load(size=80).name == "imagenette (80px copy)"
    assert load(size=81).name == "imagenette (160px)"
    assert load(size=161).name == "imagenette (320px)"


def test_where_nothing_is_found_every_place_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataNotFoundError) as caught:
        load()
    for root in data_roots():
        assert str(root / "{imagenette-80px,imagenette2-160,imagenette2-320,imagenette2}") in str(caught.value)
    assert "no network in tests" in str(caught.value)
    assert "put its folders train and val into one of these folders" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not capsys.readouterr().err


@pytest.mark.parametrize(("size", "name", "place"), [(16, "160px", SMALL), (200, "320px", "imagenette2-320")])
def test_it_is_downloaded_by_torchvision(
    size: int, name: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(_: Any, root: str, **options: Any) -> None:
        assert options == {"size": name, "download": True}
        write(Path(root) / place)

    monkeypatch.setattr(imagenette.datasets.Imagenette, "__init__", download)
    assert load(size=size).name == f"imagenette ({name})"
    assert (tmp_path / "root" / "data" / place).is_dir()


def test_the_stand_in_is_the_digits_in_the_shape_of_these_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    source = Imagenette(name="imagenette", size=80, validation=1000).stand_in()
    dataset = source.load(CPU)
    assert dataset.stand_in
    assert "imagenette" in dataset.name
    assert dataset.sizes() == {"train": 1285, "validation": 152, "test": 360}
    assert dataset.input_shape == source.input_shape == (80, 80, 3)
    images = dataset.train.inputs.view(-1, 80, 80, 3)
    assert torch.equal(images[..., 0], images[..., 2])
    assert images.mean().item() == pytest.approx(0, abs=1e-4)
    assert images.std().item() == pytest.approx(1, abs=1e-3)
    assert images[0, 20:60, 20:60].std() > 0.5
    grey = Digits("digits", validation=152, stand_in=True).load(CPU).train.inputs[:50]  # upright, and each its own
    small = interpolate(images[:50, 2:78, 2:78, 0].unsqueeze(1), size=(28, 28), mode="bilinear", antialias=True)
    alike = torch.corrcoef(torch.cat([grey, small.flatten(1)]))[:50, 50:]
    assert alike.diag().min() > 0.95
    ink = (images.amax((0, 3)) > images.min()).nonzero()  # 20 of 28 pixels, enlarged
    assert (ink.amax(0) - ink.amin(0)).tolist() == pytest.approx([54, 54], abs=4)


def test_a_size_without_a_picture_is_refused() -> None:
    with pytest.raises(UserError, match=r"dataset\.size is 7: expected 8"):
        Imagenette(name="imagenette", size=7, validation=0)


@pytest.mark.parametrize("validation", [-1, 18])
def test_an_impossible_hold_out_is_named(validation: int, copy: Path) -> None:
    with pytest.raises(UserError, match="expected 0 to 17"):
        load(validation=validation)


def test_the_folder_that_is_really_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    folder = next((root / COPY for root in data_roots() if (root / COPY).is_dir()), None)
    if folder is None:
        pytest.skip("no Imagenette here")
    paths = imagenette._paths(folder, "train") + imagenette._paths(folder, "val")
    assert len(paths) == 9469 + 3925
    for path in paths[::100]:
        assert decoded(folder / path).shape == (80, 80, 3)
        assert np.array_equal(imagenette._image(folder / path, 80), decoded(folder / path))


# The cache -----------------------------------------------------------------------------------------


@pytest.fixture
def cache(copy: Path, tmp_path: Path) -> Path:
    """The file, after a first time."""
    assert copy.is_dir()
    load()
    (file,) = (tmp_path / "root" / "data" / "cache").iterdir()
    return file


def never(*_: Any) -> None:
    raise AssertionError("decoded again")


def test_images_are_decoded_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.stat().st_size == 32 + 30 * 16 * 16 * 3
    first = load(validation=3)
    monkeypatch.setattr(imagenette, "_image", never)
    second = load(validation=3)
    assert torch.equal(inputs_of(first), inputs_of(second))
    assert (first.name, first.sha256) == (second.name, second.sha256)
    with pytest.raises(AssertionError, match="decoded again"):
        load(size=12)


def test_the_first_time_gives_what_the_cache_gives(copy: Path, cache: Path) -> None:
    cached = load()
    cache.unlink()
    assert torch.equal(inputs_of(load()), inputs_of(cached))


@pytest.mark.parametrize("change", ["content", "names"])
def test_another_folder_is_decoded_anew(
    change: str, copy: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load()
    one, other = sorted((copy / "train" / CLASSES[0]).iterdir())[:2]
    if change == "content":
        shutil.copy(other, one)
    else:
        one.rename(one.with_name("aside"))
        other.rename(one)
        one.with_name("aside").rename(other)
    after = load()
    assert after.sha256 != before.sha256
    assert not torch.equal(inputs_of(after), inputs_of(before))
    assert len(list(cache.parent.iterdir())) == 2
    assert not capsys.readouterr().err


def test_the_hash_is_that_of_sha256sums_list(copy: Path) -> None:
    files = sorted(path.relative_to(copy).as_posix() for path in copy.glob("*/*/*.JPEG"))
    (copy / "noisy_imagenette.csv").write_text("torchvision's folders have this")
    (copy / "train" / "n09999999").mkdir()
    listed = "".join(f"{hashlib.sha256((copy / file).read_bytes()).hexdigest()}  {file}\n" for file in files)
    assert load().sha256 == hashlib.sha256(listed.encode()).hexdigest()


@pytest.mark.parametrize("damage", ["flipped", "hash", "short", "long", "empty"])
def test_a_damaged_cache_is_made_anew(
    damage: str, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before, content = load(), cache.read_bytes()
    assert not capsys.readouterr().err
    place = {"flipped": 5000, "hash": 3}.get(damage)
    if place is None:
        cache.write_bytes({"short": content[:-1], "long": content + b"0", "empty": b""}[damage])
    else:
        cache.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    assert torch.equal(inputs_of(load()), inputs_of(before))
    assert capsys.readouterr().err == f"imagenette: {cache} is damaged and made anew\n"
    assert cache.read_bytes() == content
    monkeypatch.setattr(imagenette, "_image", never)
    load()


def test_where_no_cache_can_be_written_it_goes_on(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "data").write_text("a file, where a folder should be")
    assert len(load().train) == 18
    (line,) = capsys.readouterr().err.splitlines()
    assert "goes on without a cache" in line
    assert str(tmp_path / "root" / "data" / "cache") in line
    assert str(copy) not in line


def test_a_cut_first_time_leaves_nothing(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Cut:
        """A hash that a user's Ctrl-C comes into, between the opening of the file and its end."""

        def digest(self) -> bytes:
            raise KeyboardInterrupt

    sha256 = hashlib.sha256
    monkeypatch.setattr(imagenette.hashlib, "sha256", lambda of=b"": sha256(of) if len(of) < 20_000 else Cut())
    with pytest.raises(KeyboardInterrupt):
        load()
    assert not list((tmp_path / "root" / "data" / "cache").iterdir())


def test_slow_decoding_shows_how_far_it_is(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load()
    assert not capsys.readouterr().err
    clock = iter(range(10_000))
    monkeypatch.setattr(imagenette.time, "monotonic", lambda: float(next(clock)))
    load(size=12)
    first, *others = capsys.readouterr().err.splitlines()
    assert first == "imagenette: 4 of 30 images decoded"
    assert 4 <= len(others) <= 6


# Damage --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["cut", "empty", "png", "text"])
@pytest.mark.parametrize("part", ["train", "val"])
def test_a_damaged_image_is_named(damage: str, part: str, copy: Path, tmp_path: Path) -> None:
    path = sorted((copy / part / CLASSES[1]).iterdir())[1]
    if damage == "png":
        Image.new("RGB", (16, 16)).save(path, format="PNG")
    else:
        content = path.read_bytes()
        path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "text": b"<html>404</html>"}[damage])
    with pytest.raises(UserError, match=f"^{path} is damaged: expected a whole JPEG image") as caught:
        load()
    assert not isinstance(caught.value, DataNotFoundError)
    assert "remove its folder imagenette-80px and run `make data`" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "root" / "data" / "cache").exists()


def test_an_image_that_cannot_be_read_is_named(copy: Path) -> None:
    path = next((copy / "val" / CLASSES[2]).iterdir())
    path.unlink()
    path.symlink_to("nowhere")
    with pytest.raises(UserError, match=f"^cannot read {path}: No such file"):
        load()


@pytest.mark.parametrize("change", ["less", "more", "class", "part", "empty"])
def test_a_folder_that_was_not_copied_to_its_end_is_named(change: str, copy: Path) -> None:
    of_class, found = copy / "val" / CLASSES[1], 0
    if change == "less":
        next(of_class.iterdir()).unlink()
        found = 3
    elif change == "more":
        shutil.copy(next(of_class.iterdir()), of_class / "another.JPEG")
        found = 5
    elif change == "class":
        shutil.rmtree(of_class)
    else:
        shutil.rmtree(copy / "val" if change == "part" else copy)
        copy.mkdir(exist_ok=True)
        of_class = copy / ("val" if change == "part" else "train") / CLASSES[0]
    expected = {"part": 3, "empty": 4}.get(change, 4)
    with pytest.raises(
        UserError, match=rf"^{of_class} has {found} images .*, expected {expected}: was copying"
    ) as caught:
        load()
    assert not isinstance(caught.value, DataNotFoundError)
    assert "\n" not in str(caught.value)

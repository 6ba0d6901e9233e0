"""Imagenette: the choice of a folder, the order and the channels of its images, its hash, and incomplete folders."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from ffrepro.dataset import Dataset, data_roots, imagenette, jpeg
from ffrepro.dataset.digits import Digits
from ffrepro.dataset.imagenette import FOLDERS, N_IMAGES, Imagenette, stratified_order
from ffrepro.errors import DataNotFoundError, UserError

CPU = torch.device("cpu")
COPY, SMALL = "imagenette-80px", "imagenette2-160"
CLASSES = ["n01440764", "n02102040", "n03888257"]
TINY = {name: {"train": 2 * number, "val": number + 1} for number, name in enumerate(CLASSES, 2)}  # 18 and 12


def write(folder: Path, *, height: int = 16, width: int = 16) -> None:
    """Write the files of TINY; the content of a file depends only on its name."""
    for name, numbers in TINY.items():
        for part, n in numbers.items():
            (folder / part / name).mkdir(parents=True)
            for number in range(n):
                path = f"{part}/{name}/{name}_{number}.JPEG"
                draws = np.random.default_rng(list(path.encode()))
                # Smooth images, which JPEG hardly changes. The channels differ in brightness and contrast.
                pixels = draws.uniform([0, 50, 120], [100, 255, 140], (3, 3, 3)).astype(np.uint8)
                image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
                image.save(folder / path, format="JPEG", quality=95)


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def load(*, size: int = 16, validation: int = 0) -> Dataset:
    return Imagenette(name="imagenette", size=size, validation=validation).load(CPU)


def inputs_of(dataset: Dataset) -> torch.Tensor:
    splits = [dataset.train, dataset.validation, dataset.test]
    return torch.cat([split.inputs for split in splits if split is not None])


def files_of(folder: Path, dataset: Dataset) -> list[Path]:
    """The file of each training and test image, identified by its pixels."""
    train = np.stack([pixels_of(path) for path in folder.glob("train/*/*.JPEG")])
    known = {pixels_of(path).tobytes(): path for path in folder.glob("*/*/*.JPEG")}
    pixels = inputs_of(dataset).view(30, 16, 16, 3).numpy() * train.std((0, 1, 2)) + train.mean((0, 1, 2))
    return [known[image.tobytes()] for image in pixels.round().astype(np.uint8)]


@pytest.fixture(autouse=True)
def _isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a temporary root, a missing folder in FFREPRO_DATA_DIR, no network, and three small classes."""

    def no_network(*_: Any, **__: Any) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr("ffrepro.paths.ROOT", tmp_path / "root")
    monkeypatch.setenv("FFREPRO_DATA_DIR", str(tmp_path / "named"))
    monkeypatch.setattr(imagenette.datasets.Imagenette, "__init__", no_network)
    monkeypatch.setattr(imagenette, "N_IMAGES", TINY)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "named" / COPY
    write(folder)
    return folder


def test_classes_and_folders_are_torchvisions() -> None:
    official = imagenette.datasets.Imagenette
    assert list(N_IMAGES) == sorted(official._WNID_TO_CLASS)
    assert [sum(numbers[part] for numbers in N_IMAGES.values()) for part in ("train", "val")] == [9469, 3925]
    archives = {name: Path(url).stem for name, (url, _) in official._ARCHIVES.items()}
    assert {name: folder for folder, (_, name) in FOLDERS.items() if folder != COPY} == archives


# Images --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1000, 7])
def test_every_image_occurs_once_with_its_class(block: int, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenette, "_BLOCK", block)
    dataset = load()
    assert dataset.sizes() == {"train": 18, "validation": 0, "test": 12}
    assert (dataset.name, dataset.n_classes, dataset.input_shape) == ("imagenette (80px copy)", 3, (16, 16, 3))
    assert not dataset.stand_in
    files = files_of(copy, dataset)
    assert len(set(files)) == 30
    for part, found in (("train", files[:18]), ("val", files[18:])):
        names = sorted(path.relative_to(copy).as_posix() for path in copy.glob(f"{part}/*/*.JPEG"))
        assert found == [copy / names[index] for index in stratified_order(names)]
    targets = torch.cat([dataset.train.targets, dataset.test.targets])
    assert targets.dtype == torch.int64
    assert [CLASSES[target] for target in targets.tolist()] == [file.parent.name for file in files]


@pytest.mark.parametrize("held_out", [0, 7])
def test_channels_are_standardized_over_the_training_images(held_out: int, copy: Path) -> None:
    files = files_of(copy, load())
    dataset = load(validation=held_out)
    assert dataset.sizes() == {"train": 18 - held_out, "validation": held_out, "test": 12}
    images = np.stack([pixels_of(file) for file in files]) / 255.0
    trained = images[: 18 - held_out]
    expected = (images - trained.mean((0, 1, 2))) / trained.std((0, 1, 2))
    inputs = inputs_of(dataset)
    assert (inputs.shape, inputs.dtype) == ((30, 16 * 16 * 3), torch.float32)
    np.testing.assert_allclose(inputs.view(30, 16, 16, 3), expected, rtol=0, atol=2e-5)


def test_the_first_and_the_last_images_have_all_classes() -> None:
    numbers = {name: official["train"] for name, official in N_IMAGES.items()}
    paths = [f"train/{name}/{k}.JPEG" for name, n in numbers.items() for k in range(n)]
    order = stratified_order(paths)
    assert sorted(order) == list(range(9469))
    for part in (order[:500], order[-1000:]):
        for name, n in numbers.items():
            found = sum(paths[index].split("/")[1] == name for index in part)
            assert abs(found - len(part) * n / 9469) <= 1.5
    first_class = [index for index in order[-1000:] if index < 963]  # images from the whole range of names
    assert min(first_class) < 100
    assert 300 < np.median(first_class) < 660


def test_the_order_is_the_same_on_every_machine(copy: Path, tmp_path: Path) -> None:
    # The expected order is written down: another order would hold out other images.
    names = [
        f"train/{name}/{name}_{number}.JPEG" for name, n in zip(CLASSES, (5, 2), strict=False) for number in range(n)
    ]
    assert stratified_order(names) == [3, 6, 0, 4, 1, 5, 2]
    original = load(validation=5)
    target = tmp_path / "named" / SMALL
    for path in sorted(copy.glob("*/*/*.JPEG"), reverse=True):
        (target / path.relative_to(copy)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target / path.relative_to(copy))
    shutil.rmtree(copy)
    moved = load(validation=5)
    assert torch.equal(inputs_of(moved), inputs_of(original))
    assert (moved.name, original.name) == ("imagenette (160px)", "imagenette (80px copy)")
    assert moved.sha256 == original.sha256


def test_images_of_another_size_are_resized(tmp_path: Path) -> None:
    write(tmp_path / "named" / SMALL, height=40, width=60)
    assert load().train.inputs.shape == (18, 16 * 16 * 3)


# Folders -------------------------------------------------------------------------------------------


def test_the_first_folder_with_large_enough_images_is_read(tmp_path: Path) -> None:
    write(tmp_path / "root" / "data" / COPY)
    assert load().name == "imagenette (80px copy)"
    for place, label in (("imagenette2", "full"), ("imagenette2-320", "320px"), (SMALL, "160px"), (COPY, "80px copy")):
        write(tmp_path / "named" / place)  # precedes the root's data; of its folders the smallest images are read
        assert load().name == f"imagenette ({label})"
    assert load(size=80).name == "imagenette (80px copy)"
    assert load(size=81).name == "imagenette (160px)"
    assert load(size=161).name == "imagenette (320px)"


def test_missing_folders_name_every_searched_folder(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataNotFoundError) as caught:
        load()
    for root in data_roots():
        assert str(root / "{imagenette-80px,imagenette2-160,imagenette2-320,imagenette2}") in str(caught.value)
    assert "no network in tests" in str(caught.value)
    assert "put its folders train and val into one of these folders" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not capsys.readouterr().err


@pytest.mark.parametrize(("size", "name", "place"), [(16, "160px", SMALL), (200, "320px", "imagenette2-320")])
def test_torchvision_downloads_a_missing_folder(
    size: int, name: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(_: Any, root: str, **options: Any) -> None:
        assert options == {"size": name, "download": True}
        write(Path(root) / place)

    monkeypatch.setattr(imagenette.datasets.Imagenette, "__init__", download)
    assert load(size=size).name == f"imagenette ({name})"
    assert (tmp_path / "root" / "data" / place).is_dir()


def test_the_stand_in_has_digits_of_the_same_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    source = Imagenette(name="imagenette", size=80, validation=1000).stand_in()
    dataset = source.load(CPU)
    assert dataset.stand_in
    assert "imagenette" in dataset.name
    assert dataset.sizes() == {"train": 1285, "validation": 152, "test": 360}
    assert dataset.input_shape == (80, 80, 3)
    images = dataset.train.inputs.view(-1, 80, 80, 3)
    assert torch.equal(images[..., 0], images[..., 2])
    assert images.mean().item() == pytest.approx(0, abs=1e-4)
    assert images.std().item() == pytest.approx(1, abs=1e-3)
    assert images[0, 20:60, 20:60].std() > 0.5
    gray = Digits("digits", validation=152, targets="labels", stand_in=True).load(CPU).train.inputs[:50]
    reduced = interpolate(images[:50, 2:78, 2:78, 0].unsqueeze(1), size=(28, 28), mode="bilinear", antialias=True)
    correlations = torch.corrcoef(torch.cat([gray, reduced.flatten(1)]))[:50, 50:]
    assert correlations.diag().min() > 0.95
    ink = (images.amax((0, 3)) > images.min()).nonzero()  # 20 of 28 pixels, enlarged
    assert (ink.amax(0) - ink.amin(0)).tolist() == pytest.approx([54, 54], abs=4)


def test_a_size_that_is_too_small_is_named() -> None:
    with pytest.raises(UserError, match=r"dataset\.size is 7: expected 8"):
        Imagenette(name="imagenette", size=7, validation=0)


@pytest.mark.parametrize("validation", [-1, 18])
def test_an_invalid_number_of_held_out_images_is_named(validation: int, copy: Path) -> None:
    with pytest.raises(UserError, match="expected 0 to 17"):
        load(validation=validation)


def test_the_real_folder_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    folder = next((root / COPY for root in data_roots() if (root / COPY).is_dir()), None)
    if folder is None:
        pytest.skip("Imagenette is not on this machine")
    paths = sorted(folder.glob("*/*/*.JPEG"))
    assert len(paths) == 9469 + 3925
    for path in paths[::100]:
        assert pixels_of(path).shape == (80, 80, 3)
        assert np.array_equal(jpeg.decode(path, 80), pixels_of(path))


# Cache and hash ------------------------------------------------------------------------------------


def test_images_are_decoded_once_for_each_size(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(validation=3)
    monkeypatch.setattr(jpeg, "decode", lambda *_: pytest.fail("decoded again"))
    second = load(validation=3)
    assert torch.equal(inputs_of(first), inputs_of(second))
    assert (first.name, first.sha256) == (second.name, second.sha256)
    with pytest.raises(pytest.fail.Exception, match="decoded again"):
        load(size=12)


@pytest.mark.parametrize("change", ["content", "names"])
def test_a_changed_folder_is_decoded_again(
    change: str, copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load()
    first, second = sorted((copy / "train" / CLASSES[0]).iterdir())[:2]
    if change == "content":
        shutil.copy(second, first)
    else:
        first.rename(first.with_name("temporary"))
        second.rename(first)
        first.with_name("temporary").rename(second)
    after = load()
    assert after.sha256 != before.sha256
    assert not torch.equal(inputs_of(after), inputs_of(before))
    assert len(list((tmp_path / "root" / "data" / "cache").iterdir())) == 2
    assert not capsys.readouterr().err


def test_the_hash_is_that_of_the_output_of_sha256sum(copy: Path) -> None:
    files = sorted(path.relative_to(copy).as_posix() for path in copy.glob("*/*/*.JPEG"))
    (copy / "noisy_imagenette.csv").write_text("torchvision's folders have this file")
    (copy / "train" / "n09999999").mkdir()
    output = "".join(f"{hashlib.sha256((copy / file).read_bytes()).hexdigest()}  {file}\n" for file in files)
    assert load().sha256 == hashlib.sha256(output.encode()).hexdigest()


# Damage --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_damaged_image_is_named(part: str, copy: Path) -> None:
    path = sorted((copy / part / CLASSES[1]).iterdir())[1]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=f"^{path} is damaged: expected a whole JPEG image") as caught:
        load()
    assert not isinstance(caught.value, DataNotFoundError)
    assert "remove its folder imagenette-80px and run `make data`" in str(caught.value)


def test_an_unreadable_image_is_named(copy: Path) -> None:
    path = next((copy / "val" / CLASSES[2]).iterdir())
    path.unlink()
    path.symlink_to("nowhere")
    with pytest.raises(UserError, match=f"^cannot read {path}: No such file"):
        load()


@pytest.mark.parametrize("change", ["fewer", "more", "class", "part", "empty"])
def test_an_incomplete_folder_is_named(change: str, copy: Path) -> None:
    folder, found = copy / "val" / CLASSES[1], 0
    if change == "fewer":
        next(folder.iterdir()).unlink()
        found = 3
    elif change == "more":
        shutil.copy(next(folder.iterdir()), folder / "another.JPEG")
        found = 5
    elif change == "class":
        shutil.rmtree(folder)
    else:
        shutil.rmtree(copy / "val" if change == "part" else copy)
        copy.mkdir(exist_ok=True)
        folder = copy / ("val" if change == "part" else "train") / CLASSES[0]
    expected = 3 if change == "part" else 4
    with pytest.raises(
        UserError, match=rf"^{folder} has {found} images .*, expected {expected}: was copying"
    ) as caught:
        load()
    assert not isinstance(caught.value, DataNotFoundError)
    assert "\n" not in str(caught.value)

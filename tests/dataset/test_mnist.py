"""MNIST's files: where they are looked for, how they are read, and that no damaged one passes."""

import hashlib
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch

from ffrepro.dataset import data_roots, downloaded, mnist
from ffrepro.dataset.mnist import Mnist
from ffrepro.errors import DataNotFoundError, UserError
from ffrepro.paths import ROOT

CPU = torch.device("cpu")
FILES = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]


def idx(array: np.ndarray) -> bytes:
    """`array` of bytes as an idx file: two zeros, the type, the number of dimensions, their sizes, the values."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_tiny(root: Path, seed: int = 0, folder: str = "MNIST") -> dict[str, np.ndarray]:
    """Ten training and four test images in torchvision's places."""
    draws = np.random.default_rng(seed)
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    arrays = {
        FILES[0]: draws.integers(0, 256, (10, 28, 28)),
        FILES[1]: draws.integers(0, 10, 10),
        FILES[2]: draws.integers(0, 256, (4, 28, 28)),
        FILES[3]: draws.integers(0, 10, 4),
    }
    for name, array in arrays.items():
        (raw / name).write_bytes(idx(array))
    return arrays


def accept(monkeypatch: pytest.MonkeyPatch, root: Path, name: str = "mnist", folder: str = "MNIST") -> None:
    """Make the files below `root` the official ones."""
    hashes = {file: hashlib.sha256((root / folder / "raw" / file).read_bytes()).hexdigest() for file in FILES}
    monkeypatch.setitem(mnist._SHA256, name, hashes)


class NoNetwork:
    """In torchvision's place: every download fails."""

    error: Exception = URLError("no network in tests")
    asked: list[str]

    def __init__(self, root: str, *, download: bool) -> None:
        assert download
        NoNetwork.asked.append(root)
        raise NoNetwork.error


@pytest.fixture(autouse=True)
def _nothing_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A root of its own, an empty place named by the user, no network."""
    monkeypatch.setattr("ffrepro.paths.ROOT", tmp_path / "root")
    monkeypatch.setenv("FFREPRO_DATA_DIR", str(tmp_path / "named"))
    NoNetwork.asked = []
    for name, folder in (("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")):
        monkeypatch.setitem(mnist._TORCHVISION, name, type(folder, (NoNetwork,), {}))


def test_images_are_rows_of_pixels_between_0_and_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = write_tiny(tmp_path / "named")
    accept(monkeypatch, tmp_path / "named")
    dataset = Mnist(name="mnist", validation=0, targets="labels").load(CPU)
    assert dataset.sizes() == {"train": 10, "validation": 0, "test": 4}
    assert dataset.train.inputs.dtype == torch.float32
    np.testing.assert_allclose(dataset.train.inputs, arrays[FILES[0]].reshape(10, 784) / 255, atol=1e-7)
    np.testing.assert_array_equal(dataset.train.targets, arrays[FILES[1]])
    np.testing.assert_allclose(dataset.test.inputs, arrays[FILES[2]].reshape(4, 784) / 255, atol=1e-7)
    np.testing.assert_array_equal(dataset.test.targets, arrays[FILES[3]])
    assert dataset.train.targets.dtype == torch.int64
    assert (dataset.name, dataset.n_classes, dataset.input_shape, dataset.stand_in) == ("mnist", 10, (28, 28), False)
    assert NoNetwork.asked == []


def test_what_is_held_out_is_the_end_of_the_training_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = write_tiny(tmp_path / "named")
    accept(monkeypatch, tmp_path / "named")
    dataset = Mnist(name="mnist", validation=3, targets="labels").load(CPU)
    assert dataset.sizes() == {"train": 7, "validation": 3, "test": 4}
    assert dataset.validation is not None
    np.testing.assert_array_equal(dataset.train.targets, arrays[FILES[1]][:7])
    np.testing.assert_array_equal(dataset.validation.targets, arrays[FILES[1]][7:])
    np.testing.assert_allclose(dataset.validation.inputs, arrays[FILES[0]][7:].reshape(3, 784) / 255, atol=1e-7)


def test_fashion_mnist_has_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny(tmp_path / "named")
    arrays = write_tiny(tmp_path / "named", seed=1, folder="FashionMNIST")
    accept(monkeypatch, tmp_path / "named", "fashion_mnist", "FashionMNIST")
    dataset = Mnist(name="fashion_mnist", validation=0, targets="labels").load(CPU)
    np.testing.assert_array_equal(dataset.train.targets, arrays[FILES[1]])


def test_places_are_tried_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, data, shared = data_roots()
    assert (named, data) == (tmp_path / "named", tmp_path / "root" / "data")
    assert shared == tmp_path / "shared" / "data"
    for seed, root in ((3, shared), (2, data), (1, named)):
        arrays = write_tiny(root, seed=seed)
        accept(monkeypatch, root)
        dataset = Mnist(name="mnist", validation=0, targets="labels").load(CPU)
        np.testing.assert_array_equal(dataset.train.targets, arrays[FILES[1]])


def test_a_place_without_all_four_files_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny(tmp_path / "named", seed=1)
    (tmp_path / "named" / "MNIST" / "raw" / FILES[3]).unlink()
    arrays = write_tiny(tmp_path / "root" / "data", seed=2)
    accept(monkeypatch, tmp_path / "root" / "data")
    np.testing.assert_array_equal(
        Mnist(name="mnist", validation=0, targets="labels").load(CPU).train.targets, arrays[FILES[1]]
    )


def test_of_several_processes_one_downloads_and_none_sees_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root" / "data"
    arrays = write_tiny(tmp_path / "made", seed=2)
    accept(monkeypatch, tmp_path / "made")
    begun, waiting = threading.Event(), threading.Event()
    downloads = []
    monkeypatch.setattr(downloaded, "print", lambda text, **_: waited.append(text) or waiting.set(), raising=False)
    waited: list[str] = []

    def download(to: str, *, download: bool) -> None:
        assert (to, download) == (str(root), True)
        downloads.append(to)
        raw = root / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for file in FILES:
            (raw / file).write_bytes(b"not whole")
        begun.set()
        assert waiting.wait(30)
        for file in FILES:
            (raw / file).write_bytes((tmp_path / "made" / "MNIST" / "raw" / file).read_bytes())

    download.__name__ = "MNIST"
    monkeypatch.setitem(mnist._TORCHVISION, "mnist", download)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(lambda: Mnist(name="mnist", validation=0, targets="labels").load(CPU))
        assert begun.wait(10)
        second = pool.submit(lambda: Mnist(name="mnist", validation=0, targets="labels").load(CPU))
        for loaded in (first.result(), second.result()):
            np.testing.assert_array_equal(loaded.train.targets, arrays[FILES[1]])
    assert len(downloads) == 1
    assert waited == [f"waiting for another process, which downloads into {root}"]


def test_a_place_that_cannot_be_looked_into_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(self))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "is_file", refuse)
        with pytest.raises(UserError, match=r"cannot look into .*named/MNIST/raw/train"):
            Mnist(name="mnist", validation=0, targets="labels").load(CPU)


def test_without_a_named_place_there_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FFREPRO_DATA_DIR")
    assert len(data_roots()) == 2


@pytest.mark.parametrize("damage", ["cut", "changed"])
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_is_named_with_both_hashes(
    file: str, damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny(tmp_path / "named")
    accept(monkeypatch, tmp_path / "named")
    path = tmp_path / "named" / "MNIST" / "raw" / file
    expected = mnist._SHA256["mnist"][file]
    content = path.read_bytes()
    path.write_bytes(content[:-1] if damage == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match="damaged") as caught:
        Mnist(name="mnist", validation=0, targets="labels").load(CPU)
    text = str(caught.value)
    assert str(path) in text
    assert f"expected sha256 {expected}" in text
    assert f"found {hashlib.sha256(path.read_bytes()).hexdigest()}" in text
    assert not isinstance(caught.value, DataNotFoundError)  # no stand-in for damaged data


@pytest.mark.parametrize(
    "error", [URLError("no network in tests"), RuntimeError("Error downloading\nmore"), OSError(28, "full")]
)
def test_where_nothing_is_found_every_place_is_named(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NoNetwork, "error", error)
    with pytest.raises(DataNotFoundError) as caught:
        Mnist(name="mnist", validation=0, targets="labels").load(CPU)
    text = str(caught.value)
    for root in data_roots():
        assert str(root / "MNIST" / "raw") in text
    assert str(error).splitlines()[0] in text
    assert "FFREPRO_DATA_DIR" in text
    assert "\n" not in text
    assert NoNetwork.asked == [str(tmp_path / "root" / "data")]


def test_a_download_is_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Downloads:
        def __init__(self, root: str, **_: Any) -> None:
            write_tiny(Path(root), seed=5)

    write_tiny(tmp_path / "official", seed=5)
    accept(monkeypatch, tmp_path / "official")
    monkeypatch.setitem(mnist._TORCHVISION, "mnist", type("MNIST", (Downloads,), {}))
    assert len(Mnist(name="mnist", validation=0, targets="labels").load(CPU).train) == 10


def test_the_data_sets_hash_depends_on_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny(tmp_path / "named")
    accept(monkeypatch, tmp_path / "named")
    hashes = {Mnist(name="mnist", validation=0, targets="labels").load(CPU).sha256}
    for file in FILES:
        path = tmp_path / "named" / "MNIST" / "raw" / file
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        accept(monkeypatch, tmp_path / "named")
        hashes.add(Mnist(name="mnist", validation=0, targets="labels").load(CPU).sha256)
    assert len(hashes) == 5


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_the_real_files_are_read_where_they_are(name: str, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ffrepro.paths.ROOT", ROOT)
    monkeypatch.delenv("FFREPRO_DATA_DIR")
    if not any(all((root / folder / "raw" / file).is_file() for file in FILES) for root in data_roots()):
        pytest.skip(f"{name} is not on this machine")
    source = Mnist(name=name, validation=10_000, targets="labels")  # type: ignore[arg-type]
    dataset = source.load(CPU)
    assert dataset.sizes() == {"train": 50_000, "validation": 10_000, "test": 10_000}
    assert dataset.test.targets.bincount().tolist() == (
        [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009] if name == "mnist" else [1000] * 10
    )
    # What everyone finds for MNIST's and Fashion-MNIST's mean pixel over the 60,000 training images.
    assert dataset.validation is not None
    mean = (5 * dataset.train.inputs.mean().item() + dataset.validation.inputs.mean().item()) / 6
    assert mean == pytest.approx(0.1307 if name == "mnist" else 0.2860, abs=1e-4)

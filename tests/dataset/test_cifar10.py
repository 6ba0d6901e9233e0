"""CIFAR-10's files: how they are read, that colours are standardised by the training images, that no damage passes."""

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ffrepro.dataset import cifar10, data_roots
from ffrepro.dataset.cifar10 import Cifar10
from ffrepro.errors import DataNotFoundError, UserError

CPU = torch.device("cpu")
FOLDER = "cifar-10-batches-py"
FILES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


def write_tiny(root: Path) -> tuple[np.ndarray, np.ndarray]:
    """Four images a file in torchvision's places; returns all, (24, 3072) as the files have them, and labels."""
    draws = np.random.default_rng(0)
    (root / FOLDER).mkdir(parents=True)
    # Colours of different brightness and contrast.
    data = np.concatenate([draws.integers(low, high, (24, 1024)) for low, high in ((0, 100), (50, 256), (120, 140))], 1)
    labels = draws.integers(0, 10, 24)
    for number, file in enumerate(FILES):
        rows = slice(4 * number, 4 * number + 4)
        content = {b"data": data[rows].astype(np.uint8), b"labels": [int(label) for label in labels[rows]]}
        (root / FOLDER / file).write_bytes(pickle.dumps(content))
    return data.astype(np.uint8), labels


def accept(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """Make the files below `root` the official ones."""
    md5 = {file: hashlib.md5((root / FOLDER / file).read_bytes()).hexdigest() for file in FILES}
    monkeypatch.setattr(cifar10, "_TRAIN_FILES", {file: md5[file] for file in FILES[:5]})
    monkeypatch.setattr(cifar10, "_TEST_FILES", {FILES[5]: md5[FILES[5]]})


@pytest.fixture(autouse=True)
def _nothing_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A root of its own, an empty place named by the user, no network."""

    def no_network(*_: Any, **__: Any) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr("ffrepro.paths.ROOT", tmp_path / "root")
    monkeypatch.setenv("FFREPRO_DATA_DIR", str(tmp_path / "named"))
    monkeypatch.setattr(cifar10.datasets.CIFAR10, "__init__", no_network)


def test_the_files_are_torchvisions() -> None:
    assert [*cifar10._TRAIN_FILES, *cifar10._TEST_FILES] == FILES
    assert cifar10._TRAIN_FILES["data_batch_1"] == "c99cafc152244af753f735de768cd75f"
    assert cifar10._TEST_FILES["test_batch"] == "40351d587109b95175f43aff81a1287e"


@pytest.mark.parametrize("held_out", [0, 6])
def test_pixels_follow_each_other_with_their_three_colours_standardised_by_what_is_trained_on(
    held_out: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, labels = write_tiny(tmp_path / "named")
    accept(monkeypatch, tmp_path / "named")
    dataset = Cifar10(name="cifar10", validation=held_out).load(CPU)
    assert dataset.sizes() == {"train": 20 - held_out, "validation": held_out, "test": 4}
    assert (dataset.name, dataset.n_classes, dataset.input_shape) == ("cifar10", 10, (32, 32, 3))
    assert not dataset.stand_in
    colours = data.reshape(24, 3, 32, 32) / 255.0
    trained = colours[: 20 - held_out]
    parts = [dataset.train, dataset.test] if dataset.validation is None else [dataset.train, dataset.validation]
    parts += [] if dataset.validation is None else [dataset.test]
    inputs = torch.cat([split.inputs for split in parts]).view(24, 32, 32, 3)
    assert inputs.dtype == torch.float32
    for colour in range(3):
        expected = (colours[:, colour] - trained[:, colour].mean()) / trained[:, colour].std()
        np.testing.assert_allclose(inputs[..., colour], expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(torch.cat([split.targets for split in parts]), labels)
    assert dataset.train.targets.dtype == torch.int64


@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_is_named_and_never_unpickled(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny(tmp_path / "named")
    accept(monkeypatch, tmp_path / "named")
    path = tmp_path / "named" / FOLDER / file
    path.write_bytes(path.read_bytes()[:-1])
    monkeypatch.setattr(cifar10.pickle, "loads", lambda *_, **__: pytest.fail("unpickled"))
    with pytest.raises(UserError, match="is damaged") as caught:
        Cifar10(name="cifar10", validation=0).load(CPU)
    assert str(path) in str(caught.value)
    assert not isinstance(caught.value, DataNotFoundError)


def test_where_nothing_is_found_every_place_is_named() -> None:
    with pytest.raises(DataNotFoundError) as caught:
        Cifar10(name="cifar10", validation=0).load(CPU)
    for root in data_roots():
        assert str(root / FOLDER) in str(caught.value)
    assert "no network in tests" in str(caught.value)


def test_the_stand_in_is_the_digits_in_the_shape_of_these_images() -> None:
    source = Cifar10(name="cifar10", validation=5000).stand_in()
    dataset = source.load(CPU)
    assert dataset.stand_in
    assert "cifar10" in dataset.name
    assert dataset.sizes() == {"train": 1293, "validation": 144, "test": 360}
    assert source.sizes[0] == 1293
    assert dataset.input_shape == source.input_shape == (32, 32, 3)
    images = dataset.train.inputs.view(-1, 32, 32, 3)
    assert torch.equal(images[..., 0], images[..., 2])
    assert images.mean().item() == pytest.approx(0, abs=1e-4)
    assert images.std().item() == pytest.approx(1, abs=1e-3)
    frame = images[:, [0, 1, 30, 31]]
    assert (frame == frame.flatten()[0]).all()  # a rim of background
    assert images[0, 6:26, 6:26].std() > 0.5
    assert source.stand_in() is source

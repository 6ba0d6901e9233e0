"""CIFAR-10: the layout of the files, standardized channels, damaged files, and the stand-in."""

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
    """Write six of torchvision's files with four images each; returns the rows of all files (24, 3072), and labels."""
    draws = np.random.default_rng(0)
    (root / FOLDER).mkdir(parents=True)
    # The channels differ in brightness and contrast.
    data = np.concatenate([draws.integers(low, high, (24, 1024)) for low, high in ((0, 100), (50, 256), (120, 140))], 1)
    labels = draws.integers(0, 10, 24)
    for number, file in enumerate(FILES):
        rows = slice(4 * number, 4 * number + 4)
        content = {b"data": data[rows].astype(np.uint8), b"labels": [int(label) for label in labels[rows]]}
        (root / FOLDER / file).write_bytes(pickle.dumps(content))
    return data.astype(np.uint8), labels


def accept(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """Make the files below `root` the official files."""
    md5 = {file: hashlib.md5((root / FOLDER / file).read_bytes()).hexdigest() for file in FILES}
    monkeypatch.setattr(cifar10, "_TRAIN_FILES", {file: md5[file] for file in FILES[:5]})
    monkeypatch.setattr(cifar10, "_TEST_FILES", {FILES[5]: md5[FILES[5]]})


@pytest.fixture(autouse=True)
def _isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a temporary root, a missing folder in FFREPRO_DATA_DIR, and no network."""

    def no_network(*_: Any, **__: Any) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr("ffrepro.paths.ROOT", tmp_path / "root")
    monkeypatch.setenv("FFREPRO_DATA_DIR", str(tmp_path / "named"))
    monkeypatch.setattr(cifar10.datasets.CIFAR10, "__init__", no_network)


@pytest.mark.parametrize("held_out", [0, 6])
def test_pixels_are_interleaved_and_channels_standardized_over_the_training_images(
    held_out: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, labels = write_tiny(tmp_path / "named")
    accept(monkeypatch, tmp_path / "named")
    dataset = Cifar10(name="cifar10", validation=held_out).load(CPU)
    assert dataset.sizes() == {"train": 20 - held_out, "validation": held_out, "test": 4}
    assert (dataset.name, dataset.n_classes, dataset.input_shape) == ("cifar10", 10, (32, 32, 3))
    assert not dataset.stand_in
    images = data.reshape(24, 3, 32, 32) / 255.0
    trained = images[: 20 - held_out]
    splits = [split for split in (dataset.train, dataset.validation, dataset.test) if split is not None]
    inputs = torch.cat([split.inputs for split in splits]).view(24, 32, 32, 3)
    assert inputs.dtype == torch.float32
    for channel in range(3):
        expected = (images[:, channel] - trained[:, channel].mean()) / trained[:, channel].std()
        np.testing.assert_allclose(inputs[..., channel], expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(torch.cat([split.targets for split in splits]), labels)
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


def test_missing_files_name_every_searched_folder() -> None:
    with pytest.raises(DataNotFoundError) as caught:
        Cifar10(name="cifar10", validation=0).load(CPU)
    for root in data_roots():
        assert str(root / FOLDER) in str(caught.value)
    assert "no network in tests" in str(caught.value)


def test_the_stand_in_has_digits_of_the_same_shape() -> None:
    source = Cifar10(name="cifar10", validation=5000).stand_in()
    dataset = source.load(CPU)
    assert dataset.stand_in
    assert "cifar10" in dataset.name
    assert dataset.sizes() == {"train": 1293, "validation": 144, "test": 360}
    assert dataset.input_shape == (32, 32, 3)
    images = dataset.train.inputs.view(-1, 32, 32, 3)
    assert torch.equal(images[..., 0], images[..., 2])
    assert images.mean().item() == pytest.approx(0, abs=1e-4)
    assert images.std().item() == pytest.approx(1, abs=1e-3)
    margin = images[:, [0, 1, 30, 31]]
    assert (margin == margin.flatten()[0]).all()  # background only
    assert images[0, 6:26, 6:26].std() > 0.5
    assert source.stand_in() is source

"""Aesop's Fables: the search for the file, the check of its hash, other texts, and the stand-in."""

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ffrepro.dataset import Dataset, aesop, data_roots
from ffrepro.dataset.aesop import Aesop
from ffrepro.dataset.grammar import made_up_text
from ffrepro.errors import DataNotFoundError, UserError
from ffrepro.paths import ROOT

CPU = torch.device("cpu")
LETTERS = "abcdefghijklmnopqrstuvwxyz ,;."
SMALL: dict[str, Any] = {"strings": 3, "validation_strings": 2, "length": 20, "window": 4}
LIKE_THE_DRAFT: dict[str, Any] = {"strings": 248, "validation_strings": 248, "length": 100, "window": 10}


def load(path: str | Path | None = None) -> Dataset:
    return Aesop(name="aesop", path=None if path is None else str(path), **SMALL).load(CPU)


def write(path: Path, seed: int = 0) -> bytes:
    """Write a text of two lines with random letters."""
    letters = "".join(LETTERS[k] for k in np.random.default_rng(seed).integers(26, size=300))
    content = f"{letters[:150].title()}\n{letters[150:]}".encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return content


def accept(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `content` the official text."""
    monkeypatch.setattr(aesop, "_SHA256", hashlib.sha256(content).hexdigest())


def first_letters(dataset: Dataset) -> str:
    return "".join(LETTERS[k] for k in dataset.train.inputs[0].view(-1, 30).argmax(1).tolist())


@pytest.fixture(autouse=True)
def _isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a temporary root, and a missing folder in FFREPRO_DATA_DIR."""
    monkeypatch.setattr("ffrepro.paths.ROOT", tmp_path / "root")
    monkeypatch.setenv("FFREPRO_DATA_DIR", str(tmp_path / "named"))


# The official text ---------------------------------------------------------------------------------


def test_the_text_is_read_and_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = write(tmp_path / "named" / "aesop" / "aesop.txt")
    accept(content, monkeypatch)
    dataset = load()
    assert first_letters(dataset) == content.decode()[:4].lower()
    assert dataset.sizes() == {"train": 48, "validation": 32, "test": 160}
    assert (dataset.name, dataset.stand_in) == ("aesop", False)
    assert (dataset.n_classes, dataset.input_shape, dataset.alphabet) == (30, (4, 30), LETTERS)
    assert dataset.sha256 == hashlib.sha256(content).hexdigest()


def test_data_roots_are_searched_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = data_roots()
    assert roots == [tmp_path / "named", tmp_path / "root" / "data", tmp_path / "shared" / "data"]
    for seed, root in reversed(list(enumerate(roots))):
        content = write(root / "aesop" / "aesop.txt", seed)
        accept(content, monkeypatch)
        assert load().sha256 == hashlib.sha256(content).hexdigest()


def test_a_folder_of_that_name_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "named" / "aesop" / "aesop.txt").mkdir(parents=True)
    accept(write(tmp_path / "root" / "data" / "aesop" / "aesop.txt"), monkeypatch)
    assert load().name == "aesop"


def test_a_changed_text_is_refused_with_both_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "named" / "aesop" / "aesop.txt"
    content = write(path)
    accept(content, monkeypatch)
    write(tmp_path / "root" / "data" / "aesop" / "aesop.txt")  # the official text, but in a later data root
    path.write_bytes(content + b"\n")
    with pytest.raises(UserError) as caught:
        load()
    text = str(caught.value)
    assert str(path) in text
    assert f"expected SHA-256 {hashlib.sha256(content).hexdigest()}" in text
    assert f"found {hashlib.sha256(path.read_bytes()).hexdigest()} (302 bytes)" in text
    assert "dataset.path=" in text
    assert not isinstance(caught.value, DataNotFoundError)  # damaged data has no stand-in


def test_a_missing_text_names_every_searched_file() -> None:
    with pytest.raises(DataNotFoundError) as caught:
        load()
    text = str(caught.value)
    for root in data_roots():
        assert str(root / "aesop" / "aesop.txt") in text
    assert "Project Gutenberg's number 21" in text
    assert "dataset.path=" in text
    assert "\n" not in text


# Another text --------------------------------------------------------------------------------------


def test_another_text_is_named_after_its_file(tmp_path: Path) -> None:
    content = write(tmp_path / "Alice in Wonderland.txt")
    dataset = load(tmp_path / "Alice in Wonderland.txt")
    assert (dataset.name, dataset.stand_in) == ("Alice in Wonderland.txt", False)
    assert dataset.sha256 == hashlib.sha256(content).hexdigest()
    assert first_letters(dataset) == content.decode()[:4].lower()


def test_the_path_is_relative_to_the_root_or_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accept(write(tmp_path / "named" / "aesop" / "aesop.txt", 3), monkeypatch)  # must not be read
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for seed, (file, path) in enumerate([("root/texts/a.txt", "texts/a.txt"), ("home/b.txt", "~/b.txt")]):
        content = write(tmp_path / file, seed)
        assert load(path).sha256 == hashlib.sha256(content).hexdigest()


def test_the_hash_covers_every_byte(tmp_path: Path) -> None:
    content = write(tmp_path / "a.txt")
    before = load(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_bytes(content + b"!")
    after = load(tmp_path / "a.txt")
    assert before.sha256 != after.sha256
    assert torch.equal(before.train.inputs, after.train.inputs)


@pytest.mark.parametrize("path", ["nowhere.txt", "."], ids=["missing", "folder"])
def test_an_unreadable_text_is_named(path: str, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    with pytest.raises(UserError, match=re.escape(f"cannot read {tmp_path / 'root' / path}: ")) as caught:
        load(path)
    assert "dataset.path" in str(caught.value)
    assert not isinstance(caught.value, DataNotFoundError)  # a path of the user has no stand-in


@pytest.mark.parametrize("with_path", [True, False])
def test_a_text_that_is_not_utf_8_is_named(with_path: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "named" / "aesop" / "aesop.txt"
    content = write(path) + "café".encode("latin-1")
    path.write_bytes(content)
    accept(content, monkeypatch)
    with pytest.raises(UserError, match=re.escape(f"{path} is not UTF-8 text (byte 304)")):
        load(path if with_path else None)


def test_a_text_that_is_too_short_is_named_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("too short")
    with pytest.raises(UserError, match=re.escape(f"{tmp_path / 'a.txt'} is too short")):
        load(tmp_path / "a.txt")


# The stand-in --------------------------------------------------------------------------------------


def test_the_stand_in_is_marked_and_split_by_the_same_rule() -> None:
    source = Aesop(name="aesop", path=None, **LIKE_THE_DRAFT).stand_in()
    dataset = source.load(CPU)
    assert dataset.stand_in
    assert dataset.name == source.name == "made-up sentences (for aesop)"
    assert dataset.sizes()["train"] == 22_320
    assert dataset.input_shape == (10, 30)
    assert dataset.alphabet == LETTERS
    assert dataset.sha256 == hashlib.sha256(made_up_text(744 * 100).encode()).hexdigest()
    assert source.stand_in() is source


def test_a_made_up_text_is_always_the_same() -> None:
    text = made_up_text(10_000)
    assert text == made_up_text(10_000)
    assert text.startswith("her brother knew her tender servant. no grateful farmer hated no distant pillow. his faith")
    assert hashlib.sha256(text.encode()).hexdigest().startswith("3643fe6f018b629371631da988901b34")
    assert text.startswith(made_up_text(100))


@pytest.mark.parametrize(
    "min_length",
    [
        1,
        100,
        10_000,
        # The first sentence has 36 characters, and no space follows the last sentence.
        37,
    ],
)
def test_a_made_up_text_is_long_enough(min_length: int) -> None:
    assert min_length <= len(made_up_text(min_length)) < min_length + 500


def test_a_made_up_text_is_in_the_alphabet_and_needs_no_cleaning() -> None:
    text = made_up_text(50_000)
    assert set(text) <= set(LETTERS)
    assert set(LETTERS) - set(text) <= set("xz")
    assert "  " not in text
    assert text.strip() == text
    assert text.endswith(".")


def test_sentences_rarely_repeat() -> None:
    sentences = made_up_text(50_000).split(". ")
    assert len(set(sentences)) > 0.99 * len(sentences)


# The real text -------------------------------------------------------------------------------------


def test_the_real_text_has_the_drafts_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ffrepro.paths.ROOT", ROOT)
    monkeypatch.delenv("FFREPRO_DATA_DIR")
    if not any((root / "aesop" / "aesop.txt").is_file() for root in data_roots()):
        pytest.skip("Aesop's Fables are not on this machine")
    dataset = Aesop(name="aesop", path=None, **LIKE_THE_DRAFT).load(CPU)
    # The draft has 22,320 windows of 248 strings. The held-out numbers come from a separate script.
    assert dataset.sizes() == {"train": 22_320, "validation": 20_208, "test": 111_023}
    for split in (dataset.train, dataset.validation, dataset.test):
        assert split is not None
        assert split.strings is not None
        assert split.strings.unique().tolist() == list(range(1367 if split is dataset.test else 248))
    assert dataset.train.strings is not None
    assert dataset.train.strings.bincount().tolist() == [90] * 248
    assert first_letters(dataset) == "the wolf a"
    assert LETTERS[dataset.train.targets[0]] == "n"
    assert (dataset.name, dataset.stand_in) == ("aesop", False)

"""Aesop's Fables: where they are looked for, that no other text passes for them, and what stands in for them."""

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
    """Random letters as a text of two lines."""
    letters = "".join(LETTERS[k] for k in np.random.default_rng(seed).integers(26, size=300))
    content = f"{letters[:150].title()}\n{letters[150:]}".encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return content


def accept(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `content` the table's text."""
    monkeypatch.setattr(aesop, "_SHA256", hashlib.sha256(content).hexdigest())


def first_letters(dataset: Dataset) -> str:
    return "".join(LETTERS[k] for k in dataset.train.inputs[0].view(-1, 30).argmax(1).tolist())


@pytest.fixture(autouse=True)
def _nothing_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A root of its own, and an empty place named by the user."""
    monkeypatch.setattr("ffrepro.paths.ROOT", tmp_path / "root")
    monkeypatch.setenv("FFREPRO_DATA_DIR", str(tmp_path / "named"))


# The table's text ----------------------------------------------------------------------------------


def test_the_text_is_read_and_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = write(tmp_path / "named" / "aesop" / "aesop.txt")
    accept(content, monkeypatch)
    dataset = load()
    assert first_letters(dataset) == content.decode()[:4].lower()
    assert dataset.sizes() == {"train": 48, "validation": 32, "test": 160}
    assert (dataset.name, dataset.stand_in) == ("aesop", False)
    assert (dataset.n_classes, dataset.input_shape, dataset.alphabet) == (30, (4, 30), LETTERS)
    assert dataset.sha256 == hashlib.sha256(content).hexdigest()


def test_what_it_is_like_is_known_before_it_is_read() -> None:
    source = Aesop(name="aesop", path=None, **SMALL)
    assert (source.name, source.input_shape, source.sizes) == ("aesop", (4, 30), (48, 48 + 2 * 32))


def test_places_are_tried_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = data_roots()
    assert roots == [tmp_path / "named", tmp_path / "root" / "data", tmp_path / "shared" / "data"]
    for seed, root in reversed(list(enumerate(roots))):
        content = write(root / "aesop" / "aesop.txt", seed)
        accept(content, monkeypatch)
        assert load().sha256 == hashlib.sha256(content).hexdigest()


def test_a_folder_is_not_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "named" / "aesop" / "aesop.txt").mkdir(parents=True)
    accept(write(tmp_path / "root" / "data" / "aesop" / "aesop.txt"), monkeypatch)
    assert load().name == "aesop"


def test_another_text_in_its_place_is_named_with_both_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "named" / "aesop" / "aesop.txt"
    content = write(path)
    accept(content, monkeypatch)
    write(tmp_path / "root" / "data" / "aesop" / "aesop.txt")  # the right one, but in a later place
    path.write_bytes(content + b"\n")
    with pytest.raises(UserError) as caught:
        load()
    text = str(caught.value)
    assert str(path) in text
    assert f"expected SHA-256 {hashlib.sha256(content).hexdigest()}" in text
    assert f"found {hashlib.sha256(path.read_bytes()).hexdigest()} (302 bytes)" in text
    assert "dataset.path=" in text
    assert not isinstance(caught.value, DataNotFoundError)  # no stand-in for damaged data


def test_where_nothing_is_found_every_place_is_named() -> None:
    with pytest.raises(DataNotFoundError) as caught:
        load()
    text = str(caught.value)
    for root in data_roots():
        assert str(root / "aesop" / "aesop.txt") in text
    assert "Project Gutenberg's number 21" in text
    assert "dataset.path=" in text
    assert "\n" not in text


# Another text --------------------------------------------------------------------------------------


def test_another_text_goes_by_its_files_name(tmp_path: Path) -> None:
    content = write(tmp_path / "Alice in Wonderland.txt")
    dataset = load(tmp_path / "Alice in Wonderland.txt")
    assert (dataset.name, dataset.stand_in) == ("Alice in Wonderland.txt", False)
    assert dataset.sha256 == hashlib.sha256(content).hexdigest()
    assert first_letters(dataset) == content.decode()[:4].lower()


def test_another_text_is_looked_for_from_the_root_or_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accept(write(tmp_path / "named" / "aesop" / "aesop.txt", 3), monkeypatch)  # not asked for
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for seed, (place, path) in enumerate([("root/texts/a.txt", "texts/a.txt"), ("home/b.txt", "~/b.txt")]):
        content = write(tmp_path / place, seed)
        assert load(path).sha256 == hashlib.sha256(content).hexdigest()


def test_the_texts_hash_depends_on_every_byte(tmp_path: Path) -> None:
    content = write(tmp_path / "a.txt")
    before = load(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_bytes(content + b"!")
    after = load(tmp_path / "a.txt")
    assert before.sha256 != after.sha256
    assert torch.equal(before.train.inputs, after.train.inputs)


@pytest.mark.parametrize("path", ["nowhere.txt", "."], ids=["none", "a folder"])
def test_a_text_that_cannot_be_read_is_named(path: str, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    with pytest.raises(UserError, match=re.escape(f"cannot read {tmp_path / 'root' / path}: ")) as caught:
        load(path)
    assert "dataset.path" in str(caught.value)
    assert not isinstance(caught.value, DataNotFoundError)  # what was asked for by name has no stand-in


@pytest.mark.parametrize("named", [True, False])
def test_what_is_not_utf_8_is_named(named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "named" / "aesop" / "aesop.txt"
    content = write(path) + "café".encode("latin-1")
    path.write_bytes(content)
    accept(content, monkeypatch)
    with pytest.raises(UserError, match=re.escape(f"{path} is not UTF-8 text (byte 304)")):
        load(path if named else None)


def test_a_text_that_cannot_be_cut_is_named_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("too short")
    with pytest.raises(UserError, match=re.escape(f"{tmp_path / 'a.txt'} is too short")):
        load(tmp_path / "a.txt")


# The stand-in --------------------------------------------------------------------------------------


def test_a_stand_in_is_marked_and_cut_alike() -> None:
    source = Aesop(name="aesop", path=None, **LIKE_THE_DRAFT).stand_in()
    dataset = source.load(CPU)
    assert dataset.stand_in
    assert dataset.name == source.name == "made-up sentences (for aesop)"
    assert dataset.sizes()["train"] == 22_320
    assert dataset.input_shape == source.input_shape == (10, 30)
    assert dataset.alphabet == LETTERS
    assert source.sizes == (22_320, 3 * 22_320)
    assert dataset.sha256 == hashlib.sha256(made_up_text(744 * 100).encode()).hexdigest() != aesop._SHA256
    assert source.stand_in() is source


def test_a_made_up_text_is_always_the_same() -> None:
    text = made_up_text(10_000)
    assert text == made_up_text(10_000)
    assert text.startswith("her brother knew her tender servant. no grateful farmer hated no distant pillow. his faith")
    assert hashlib.sha256(text.encode()).hexdigest().startswith("3643fe6f018b629371631da988901b34")
    assert text.startswith(made_up_text(100))


@pytest.mark.parametrize(
    "at_least",
    [
        1,
        100,
        10_000,
        # The first sentence has 36 characters, and no space stands after the last.
        37,
    ],
)
def test_a_made_up_text_is_long_enough(at_least: int) -> None:
    assert at_least <= len(made_up_text(at_least)) < at_least + 500


def test_a_made_up_text_is_in_the_alphabet_and_needs_no_cleaning() -> None:
    text = made_up_text(50_000)
    assert set(text) <= set(LETTERS)
    assert set(LETTERS) - set(text) <= set("xz")
    assert "  " not in text
    assert text.strip() == text
    assert text.endswith(".")


def test_a_made_up_text_does_not_go_round() -> None:
    sentences = made_up_text(50_000).split(". ")
    assert len(set(sentences)) > 0.99 * len(sentences)


# The real one --------------------------------------------------------------------------------------


def test_the_real_text_is_read_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ffrepro.paths.ROOT", ROOT)
    monkeypatch.delenv("FFREPRO_DATA_DIR")
    if not any((root / "aesop" / "aesop.txt").is_file() for root in data_roots()):
        pytest.skip("Aesop's Fables are not on this machine")
    dataset = Aesop(name="aesop", path=None, **LIKE_THE_DRAFT).load(CPU)
    # The draft's 22,320 windows of 248 strings; of what is held out, those that a few lines apart from this code leave.
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

"""Files that are complete or absent."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from ffrepro.errors import UserError
from ffrepro.files import written_atomically


def test_a_file_and_its_folders_appear_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.json"
    with written_atomically(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["file.json"]


@pytest.mark.parametrize("end", [ZeroDivisionError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(end: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b"old")

    def fail() -> None:
        with written_atomically(path) as file:
            file.write(b"half of the n")
            raise end

    with pytest.raises(end):
        fail()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.json"]


def test_the_file_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".file.json.x1y2.part").write_bytes(b"half of the n")
    with written_atomically(tmp_path / "file.json") as file:
        file.write(b"new")
    assert os.listdir(tmp_path) == ["file.json"]


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    with written_atomically(path) as first:
        first.write(b"first")
        with written_atomically(path) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["file.json"]


def test_a_second_writer_keeps_the_file_that_is_about_to_be_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, replace = tmp_path / "file.json", Path.replace

    def interrupted(part: Path, target: Path) -> Path:
        monkeypatch.undo()
        with written_atomically(path) as second:
            second.write(b"second")
        return replace(part, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with written_atomically(path) as first:
        first.write(b"first")
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["file.json"]


def test_without_locks_files_are_written_and_abandoned_files_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", flock)
    (tmp_path / ".file.json.x1y2.part").write_bytes(b"another process may still write this")
    with written_atomically(tmp_path / "file.json") as file:
        file.write(b"new")
    assert sorted(os.listdir(tmp_path)) == [".file.json.x1y2.part", "file.json"]


def test_a_full_disk_is_reported_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    with pytest.raises(UserError, match="No space left on device") as caught, written_atomically(path):
        raise OSError(28, "No space left on device")
    assert str(path) in str(caught.value)
    assert "results_dir" in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_created_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file where a folder should be")
    with pytest.raises(UserError, match="cannot write") as caught, written_atomically(tmp_path / "results" / "file"):
        pass
    assert "\n" not in str(caught.value)


def test_a_file_has_the_usual_permissions(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with written_atomically(tmp_path / "file"):
            pass
    finally:
        assert os.umask(old) == 0o027  # unchanged
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640

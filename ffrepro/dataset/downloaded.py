"""Files that torchvision can download: where they are, and whether they are the official ones."""

import contextlib
import fcntl
import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ffrepro.dataset import data_roots
from ffrepro.errors import DataNotFoundError, UserError
from ffrepro.files import NO_LOCKS
from ffrepro.paths import from_root


def folder_of(name: str, place: str, files: Iterable[str], download: Callable[..., object]) -> Path:
    """The folder `place`, below a data root, that has all `files` of data set `name`; downloaded if need be.

    `download` is torchvision's class of the data set.

    Raises:
        DataNotFoundError: they are nowhere and cannot be downloaded.
    """
    wanted = list(files)

    def find(root: Path) -> Path | None:
        return root / place if all((root / place / file).is_file() for file in wanted) else None

    content = f"its {len(wanted)} files, {wanted[0]} and so on,"
    return found_or_fetched(name, find, place, download, looked_for=place, content=content)


def found_or_fetched(
    name: str,
    find: Callable[[Path], Path | None],
    place: str,
    download: Callable[..., object],
    *,
    looked_for: str,
    content: str,
) -> Path:
    """What `find` finds below a data root; else the folder `place`, downloaded into the repository's own.

    Of several processes one downloads, and the others wait for it.

    Args:
        name: of the data set.
        find: the data root -> the data set's folder below it, or None.
        place: the folder that `download` makes.
        download: torchvision's class of the data set.
        looked_for: below every data root, for the error.
        content: what is to be put there, for the error.

    Raises:
        DataNotFoundError: it is nowhere and cannot be downloaded.
    """
    lock = f".{place.replace('/', '-')}.lock"
    for root in data_roots():
        try:
            # Not while another process downloads it: files would be there that are not whole.
            with _locked(root / lock, fcntl.LOCK_SH):
                found = find(root)
        except PermissionError as error:
            raise UserError(f"cannot look into {error.filename}: {error.strerror}. Mend its permissions.") from error
        if found is not None:
            return found
    target = from_root("data")
    try:
        target.mkdir(parents=True, exist_ok=True)
        with _locked(target / lock, fcntl.LOCK_EX):
            found = find(target)  # by now, it may be that another has
            if found is None:
                download(str(target), download=True)
            return found or target / place
    except (RuntimeError, OSError) as error:  # URLError is an OSError
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    looked = ", ".join(str(root / looked_for) for root in data_roots())
    raise DataNotFoundError(
        f"data set {name} not found: looked in {looked}; the download failed ({reason}). Either put {content} "
        f"into one of these folders (FFREPRO_DATA_DIR names the first), or run `make data` where there is a network."
    )


@contextlib.contextmanager
def _locked(path: Path, kind: int) -> Iterator[None]:
    """Hold the lock file `path`: with LOCK_EX to download, alone, and with LOCK_SH to look, once nobody downloads.

    It is released however the process ends.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT if kind == fcntl.LOCK_EX else os.O_RDONLY)
    except OSError:  # nobody has downloaded there, or it cannot be written: then nobody can
        yield
        return
    try:
        _wait(handle, kind, f"waiting for another process, which downloads into {path.parent}")
        yield
    finally:
        os.close(handle)


def _wait(handle: int, kind: int, said: str) -> None:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        print(said, file=sys.stderr, flush=True)
        fcntl.flock(handle, kind)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise


def content_of(path: Path) -> bytes:
    """What is in a file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror}. Make the file readable, or remove it to fetch it anew."
        ) from error


def read_checked(path: Path, digest: str, *, kind: str) -> bytes:
    """What is in a file whose hash of `kind`, as hashlib calls it, must be `digest`.

    Raises:
        UserError: it cannot be read, or is another.
    """
    content = content_of(path)
    found = hashlib.new(kind, content, usedforsecurity=False).hexdigest()
    if found != digest:
        raise UserError(
            f"{path} is damaged: expected {kind} {digest}, found {found} ({len(content)} bytes). "
            f"Remove it and run `make data`."
        )
    return content

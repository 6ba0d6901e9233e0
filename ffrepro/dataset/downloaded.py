"""Files that torchvision can download: where they are, and whether they are the official files."""

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from filelock import FileLock, Timeout

from ffrepro.dataset import data_roots
from ffrepro.errors import DataNotFoundError, UserError
from ffrepro.paths import from_root


def folder_of(name: str, place: str, files: Iterable[str], download: Callable[..., object]) -> Path:
    """The folder `place` below a data root, with all `files` of data set `name`; downloaded if no root has it.

    `download` is torchvision's class of the data set. Raises DataNotFoundError if no root has all files, and the
    download failed.
    """
    names = list(files)

    def find(root: Path) -> Path | None:
        return root / place if all((root / place / file).is_file() for file in names) else None

    content = f"its {len(names)} files, {names[0]} and so on,"
    return find_or_download(name, find, place, download, looked_for=place, content=content)


def find_or_download(
    name: str,
    find: Callable[[Path], Path | None],
    place: str,
    download: Callable[..., object],
    *,
    looked_for: str,
    content: str,
) -> Path:
    """The folder that `find` returns for a data root, else the folder `place`, which `download` creates.

    If several processes need it, the first downloads and the others wait. `download` is torchvision's class of the data
    set. Raises DataNotFoundError if no root has it, and the download failed. The error names the path `looked_for`
    below each root, and the `content` that users can put there.
    """
    lock_name = f".{place.replace('/', '-')}.lock"
    for root in data_roots():
        lock = root / lock_name
        try:
            # Without a lock file, nothing was ever downloaded there, and no process can write the files now.
            with _locked(lock) if lock.exists() else nullcontext():
                folder = find(root)
        except PermissionError as error:
            raise UserError(f"cannot look into {error.filename}: {error.strerror}. Change its permissions.") from error
        if folder is not None:
            return folder
    target = from_root("data")
    try:
        target.mkdir(parents=True, exist_ok=True)
        with _locked(target / lock_name):
            folder = find(target)  # another process may have downloaded it meanwhile
            if folder is None:
                download(str(target), download=True)
            return folder or target / place
    except (RuntimeError, OSError) as error:  # URLError is an OSError
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    roots = ", ".join(str(root / looked_for) for root in data_roots())
    raise DataNotFoundError(
        f"data set {name} not found: looked in {roots}; the download failed ({reason}). Either put {content} "
        f"into one of these folders (FFREPRO_DATA_DIR names the first), or run `make data` where there is a network."
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, after waiting for a process that downloads. Without locks, go on at once."""
    lock = FileLock(path, fallback_to_soft=False)
    try:
        try:
            lock.acquire(timeout=1.0)  # a process that only looks is faster
        except Timeout:
            print(f"waiting for another process, which downloads into {path.parent}", file=sys.stderr, flush=True)
            lock.acquire()
    except OSError:  # there are no locks, or the folder is read-only
        pass
    try:
        yield
    finally:
        lock.release()


def content_of(path: Path) -> bytes:
    """The bytes of a file. Raises UserError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror}. Make the file readable, or remove it to download it again."
        ) from error


def read_checked(path: Path, digest: str, *, kind: str) -> bytes:
    """The bytes of a file whose hash must be `digest`; `kind` is hashlib's name of the hash function.

    Raises UserError if it cannot be read, or has another hash.
    """
    content = content_of(path)
    actual = hashlib.new(kind, content, usedforsecurity=False).hexdigest()
    if actual != digest:
        raise UserError(
            f"{path} is damaged: expected {kind} {digest}, found {actual} ({len(content)} bytes). "
            f"Remove it and run `make data`."
        )
    return content

"""Files that are either complete or absent."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from filelock import lock_descriptor

from ffrepro.errors import UserError

NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)  # raised by a file system without locks


@contextmanager
def written_atomically(path: Path) -> Iterator[IO[Any]]:
    """A binary file that replaces `path` when the block ends well, and is removed when the block fails.

    Raises UserError if the folder cannot be written, or the disk is full.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for part in path.parent.glob(f".{path.name}.*.part"):
            _remove_unless_locked(part)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            _lock(file)  # until the file is closed, after it was renamed
            yield file
            file.flush()
            os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
            temporary = None
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}. Free some space, change the folder's permissions, "
            f"or choose another folder with results_dir=…"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _lock(file: IO[Any]) -> None:
    """Lock `file`. Without locks nobody removes abandoned files, so this file needs none."""
    try:
        lock_descriptor(file.fileno())
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise


def _remove_unless_locked(part: Path) -> None:
    """Remove the file of a process that was killed; a process that still writes holds the lock."""
    try:
        with part.open("rb") as file:
            if lock_descriptor(file.fileno(), blocking=False):
                part.unlink(missing_ok=True)
    except OSError:  # it has gone, belongs to another user, or there are no locks
        pass


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

"""Files that are either whole or not there."""

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ffrepro.errors import UserError

NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)  # of a file system without them


@contextmanager
def written_atomically(path: Path) -> Iterator[IO[Any]]:
    """A binary file that takes the place of `path` when the block ends well, and vanishes when it does not.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for part in path.parent.glob(f".{path.name}.*.part"):
            _remove_if_left_behind(part)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            _lock(file)  # until it has its place, or the process is gone
            yield file
            file.flush()
            os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
            temporary = None
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}. Free some space, mend the folder's permissions, "
            f"or choose another folder with results_dir=…"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _lock(file: IO[Any]) -> None:
    """Lock `file`, but on a file system without locks, where nothing left behind is removed either."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise


def _remove_if_left_behind(part: Path) -> None:
    """Remove `part`, unless a process is writing it."""
    try:
        with part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink(missing_ok=True)
    except OSError:  # it is being written, is gone by now, or is another user's
        pass


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

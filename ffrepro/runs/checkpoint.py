"""Save and resume a run, and keep two launches of the same run apart."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ffrepro.errors import UserError, is_want_of_memory
from ffrepro.files import NO_LOCKS, written_atomically

# Of what runs and algorithms keep; to be raised where that changes, so that no older state is gone on from.
FORMAT = 7


def save(path: Path, fingerprint: str, state: dict[str, Any]) -> None:
    """Write `state` of the run `fingerprint` to `path`, atomically.

    Raises:
        UserError: it cannot be written.
        RuntimeError, MemoryError: there is no memory to copy it from a GPU, or that has failed.
    """
    with written_atomically(path) as file:
        try:
            torch.save({"fingerprint": fingerprint, "state": state}, file)
        except RuntimeError as error:
            if is_want_of_memory(error) or "CUDA error" in str(error):  # tensors are copied from the GPU here
                raise
            # torch's writer hides the disk's own error.
            raise OSError(None, str(error).splitlines()[0]) from error


def load(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """The state of the run `fingerprint`, or None where there is none, or only another run's.

    Raises:
        UserError: the file is damaged, or cannot be read.
        RuntimeError, MemoryError: there is no memory for it.
    """
    if not path.exists():
        return None
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        found, state = saved["fingerprint"], saved["state"]
    except Exception as error:  # torch raises many kinds for a damaged file
        if is_want_of_memory(error):
            raise
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # EINVAL: it is too short
            raise UserError(f"cannot read checkpoint {path}: {error.strerror}. It may be whole: keep it.") from error
        raise UserError(
            f"checkpoint {path} is damaged ({type(error).__name__}). Remove it to start the run anew."
        ) from error
    return dict(state) if found == fingerprint else None


def set_aside(path: Path) -> Path:
    """Rename a state that is another run's, so that this run's does not replace it; returns where it is.

    Of two only the later is kept.
    """
    return path.replace(path.with_suffix(".other.pt"))


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the file `path` for this process; it is released when the process ends, however that comes.

    Yields:
        Whether it is held: there are file systems without locks.

    Raises:
        UserError: another process holds it, or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror}. Mend the folder's permissions, or choose another folder with "
            "results_dir=…"
        ) from error
    try:
        held = True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"this run is already under way in another process (it holds {path}): wait for it, or stop it."
            ) from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            held = False
        yield held
    finally:
        os.close(handle)

"""Save and resume a run, and refuse a second launch of the same run."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from ffrepro.errors import UserError, is_out_of_memory
from ffrepro.files import NO_LOCKS, written_atomically

# The version of the saved state. Raise it when the state changes, so that no run resumes from an older state.
FORMAT = 8


def save(path: Path, fingerprint: str, state: dict[str, Any]) -> None:
    """Write `state` of the run `fingerprint` to `path`, atomically.

    Raises UserError if it cannot be written, RuntimeError or MemoryError if the copy from a GPU failed.
    """
    with written_atomically(path) as file:
        try:
            torch.save({"fingerprint": fingerprint, "state": state}, file)
        except RuntimeError as error:
            if is_out_of_memory(error) or "CUDA error" in str(error):  # tensors are copied from the GPU here
                raise
            # torch's writer hides the disk's own error.
            raise OSError(None, str(error).splitlines()[0]) from error


def load(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """The state of the run `fingerprint`; None if the file is absent or belongs to another run.

    Raises UserError if the file is damaged or cannot be read, RuntimeError or MemoryError if there is no memory for it.
    """
    if not path.exists():
        return None
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        saved_fingerprint, state = saved["fingerprint"], saved["state"]
    except Exception as error:  # torch raises many classes for a damaged file
        if is_out_of_memory(error):
            raise
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # EINVAL: the file is too short
            raise UserError(f"cannot read checkpoint {path}: {error.strerror}. It may be whole: keep it.") from error
        raise UserError(
            f"checkpoint {path} is damaged ({type(error).__name__}). Remove it to restart the run."
        ) from error
    return dict(state) if saved_fingerprint == fingerprint else None


def set_aside(path: Path) -> Path:
    """Rename the state of another run, so that this run does not overwrite it, and lose a state set aside before."""
    return path.replace(path.with_suffix(".other.pt"))


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock file `path`. The system releases it when the process ends, even when the process is killed.

    Yields whether the lock is held: some file systems have no locks. Raises UserError if another process holds it, or
    the folder cannot be written.
    """
    lock = FileLock(path, blocking=False, fallback_to_soft=False)  # a soft lock would outlive a killed process
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise UserError(
            f"this run is already under way in another process (it holds {path}): wait for it, or stop it."
        ) from error
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise UserError(
                f"cannot write {path}: {error.strerror}. Change the folder's permissions, or choose another folder "
                "with results_dir=…"
            ) from error
    try:
        yield lock.is_locked
    finally:
        lock.release()

"""Files that torchvision can download: where they are, and whether they are the official ones."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from ffrepro.dataset import data_roots
from ffrepro.errors import DataNotFoundError, UserError
from ffrepro.paths import from_root


def folder_of(name: str, place: str, files: Iterable[str], download: Callable[..., object]) -> Path:
    """The folder `place`, below a data root, that has all `files` of data set `name`; downloaded if need be.

    `download` is torchvision's class of the data set.

    Raises:
        DataNotFoundError: they are nowhere and cannot be downloaded.
    """
    wanted = list(files)
    for root in data_roots():
        if all((root / place / file).is_file() for file in wanted):
            return root / place
    return fetched(name, place, place, f"its {len(wanted)} files, {wanted[0]} and so on,", download)


def fetched(name: str, place: str, looked_for: str, content: str, download: Callable[..., object]) -> Path:
    """The folder `place` of data set `name`, downloaded into the repository's own data root.

    `looked_for`, below every data root, and `content`, which is to be put there, are for the error.

    Raises:
        DataNotFoundError: it cannot be downloaded.
    """
    target = from_root("data")
    try:
        download(str(target), download=True)
        return target / place
    except (RuntimeError, OSError) as error:  # URLError is an OSError
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    looked = ", ".join(str(root / looked_for) for root in data_roots())
    raise DataNotFoundError(
        f"data set {name} not found: looked in {looked}; the download failed ({reason}). Either put {content} "
        f"into one of these folders (FFREPRO_DATA_DIR names the first), or run `make data` where there is a network."
    )


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

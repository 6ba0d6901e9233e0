"""Where things are: the same from every working directory."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent
IN_CHECKOUT = (_CHECKOUT / "pyproject.toml").is_file() and (_CHECKOUT / "conf").is_dir()

# An installed wheel carries conf/ and experiments/ inside the package and works in the current folder.
ROOT = _CHECKOUT if IN_CHECKOUT else Path.cwd()
CONF = _CHECKOUT / "conf" if IN_CHECKOUT else _PACKAGE / "conf"
EXPERIMENTS = _CHECKOUT / "experiments" if IN_CHECKOUT else _PACKAGE / "experiments"


def from_root(path: str | Path) -> Path:
    """`path` itself if absolute or of a home (~), else below the repository root (an installed wheel: the current
    folder).
    """
    return ROOT / Path(path).expanduser()

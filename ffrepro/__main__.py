"""`python -m ffrepro`, and the command `ffrepro`: run what a config says."""

import errno
import os
import sys
import traceback
from collections.abc import Sequence

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from ffrepro.commands.interrupts import keyboard_interrupts
from ffrepro.commands.suggestions import explain, is_mistake, mistakes_explained
from ffrepro.errors import UserError
from ffrepro.paths import CONF
from ffrepro.runs.run import run

_mistakes: list[UserError] = []  # of a run alone
_told: list[Exception] = []  # of several runs, as they came
# Where Hydra cannot make a folder for a run.
_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EEXIST)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def _job(config: DictConfig) -> None:
    try:
        run(config)
    except Exception as error:
        # Of several runs one's error is raised, for Hydra to go on with the others; at the end Hydra raises the first.
        if HydraConfig.get().mode is RunMode.MULTIRUN:
            _tell(error, HydraConfig.get().overrides.task)
            _let_go(error)
        elif isinstance(error, UserError):
            _mistakes.append(error)
            return
        raise


def _tell(error: Exception, overrides: Sequence[str]) -> None:
    """Say at once what became of one of several runs."""
    if _is_fault(error):
        traceback.print_exception(error)
    said = explain(error, list(overrides)) if is_mistake(error) else error
    _complain(f"{' '.join(overrides)}: {said}")
    _told.append(error)


def _let_go(error: BaseException) -> None:
    """Free what a failed run held: its error, which Hydra keeps until the last run has ended, has its net and data."""
    cause: BaseException | None = error
    while cause is not None:
        traceback.clear_frames(cause.__traceback__)
        cause = cause.__cause__ or cause.__context__


def _is_fault(error: Exception) -> bool:
    return not (isinstance(error, UserError) or is_mistake(error))


def main() -> None:
    """Exit codes: 0 done, 1 a fault of the program, 2 a mistake to mend, 130 interrupted."""
    # Hydra is to hand its errors on: a user's mistake is one line here, a fault keeps its traceback.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        with keyboard_interrupts(), mistakes_explained(sys.argv[1:]):
            _job()
        if _mistakes:
            raise _mistakes.pop()
    except UserError as error:
        _complain(f"{len(_told)} runs failed: see above." if len(_told) > 1 else str(error))
        sys.exit(1 if any(map(_is_fault, _told)) else 2)
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        sys.exit(_complain(f"{error.strerror}: {error.filename}. Mend its permissions, or give another results_dir=…"))
    except RuntimeError as error:
        if not str(error).startswith('Could not detect "srun"'):  # submitit, on a machine without Slurm
            raise
        sys.exit(
            _complain(
                "sweep=slurm hands its runs to Slurm, whose commands (srun, sbatch) are not here: call it on a machine "
                "of the cluster, or choose sweep=joblib."
            )
        )
    except KeyboardInterrupt:
        _complain("stopped. The same command goes on from what is kept")
        sys.exit(130)


def _complain(text: str) -> int:
    print(f"ffrepro: {text}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()

"""`python -m ffrepro`, and the command `ffrepro`: run a config."""

import errno
import os
import sys
import traceback
from collections.abc import Sequence

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from ffrepro.commands.command_line import keyboard_interrupts
from ffrepro.commands.suggestions import explain, is_mistake, mistakes_explained
from ffrepro.errors import UserError
from ffrepro.paths import CONF
from ffrepro.runs.run import run

_mistakes: list[UserError] = []  # of a single run
_failures: list[Exception] = []  # of a multirun, in order
# Errors of Hydra when it creates the folder of a run.
_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EEXIST)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def _job(config: DictConfig) -> None:
    try:
        run(config)
    except Exception as error:
        # In a multirun Hydra goes on with the other runs after an error, and raises the first error at the end.
        if HydraConfig.get().mode is RunMode.MULTIRUN:
            _report_failure(error, HydraConfig.get().overrides.task)
            _release_memory(error)
        elif isinstance(error, UserError):
            _mistakes.append(error)
            return
        raise


def _report_failure(error: Exception, overrides: Sequence[str]) -> None:
    """Print the error of a run in a multirun, before the next run starts."""
    if _is_fault(error):
        traceback.print_exception(error)
    text = explain(error, list(overrides)) if is_mistake(error) else str(error)
    _print_error(f"{' '.join(overrides)}: {text}")
    _failures.append(error)


def _release_memory(error: BaseException) -> None:
    """Free the net and data of a failed run: Hydra keeps its error, with all frames, until the last run has ended."""
    cause: BaseException | None = error
    while cause is not None:
        traceback.clear_frames(cause.__traceback__)
        cause = cause.__cause__ or cause.__context__


def _is_fault(error: Exception) -> bool:
    """Whether `error` is a fault of the program, not a mistake of the user."""
    return not (isinstance(error, UserError) or is_mistake(error))


def main() -> None:
    """Exit codes: 0 done, 1 a fault of the program, 2 a mistake of the user, 130 interrupted."""
    # Hydra must pass errors on: here a user's mistake becomes one line, and a fault keeps its traceback.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        with keyboard_interrupts(), mistakes_explained(sys.argv[1:]):
            _job()
        if _mistakes:
            raise _mistakes.pop()
    except UserError as error:
        _print_error(f"{len(_failures)} runs failed: see above." if len(_failures) > 1 else str(error))
        sys.exit(1 if any(map(_is_fault, _failures)) else 2)
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        _print_error(f"{error.strerror}: {error.filename}. Change its permissions, or give another results_dir=…")
        sys.exit(2)
    except RuntimeError as error:
        if not str(error).startswith('Could not detect "srun"'):  # submitit, on a machine without Slurm
            raise
        _print_error(
            "sweep=slurm hands its runs to Slurm, whose commands (srun, sbatch) are not here: call it on a machine "
            "of the cluster, or choose sweep=joblib."
        )
        sys.exit(2)
    except KeyboardInterrupt:
        _print_error("stopped. The same command goes on from what is kept")
        sys.exit(130)


def _print_error(text: str) -> None:
    print(f"ffrepro: {text}", file=sys.stderr)


if __name__ == "__main__":
    main()

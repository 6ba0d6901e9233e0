"""`python -m ffrepro`, and the command `ffrepro`: run what a config says."""

import os
import sys
import traceback

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from ffrepro.errors import UserError
from ffrepro.interrupt import keyboard_interrupts
from ffrepro.paths import CONF
from ffrepro.run import run
from ffrepro.suggest import is_mistake, mistakes_explained

_mistakes: list[UserError] = []  # of a run alone
_told: list[UserError] = []  # of several, as they come
_faults: list[Exception] = []


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def _job(config: DictConfig) -> None:
    # Of several runs one's error is raised, for Hydra to go on with the others; at the end it raises the first of them.
    several = HydraConfig.get().mode is RunMode.MULTIRUN
    try:
        run(config)
    except UserError as error:
        if several:
            _complain(f"{' '.join(HydraConfig.get().overrides.task)}: {error}")
            _told.append(error)
            raise
        _mistakes.append(error)
    except Exception as error:
        if not is_mistake(error):
            _faults.append(error)
        raise


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
        for fault in _faults:  # of other runs than the first that failed
            traceback.print_exception(fault)
        n_failed = len(_told) + len(_faults)
        _complain(f"{n_failed} runs failed: see above." if n_failed > 1 else str(error))
        sys.exit(1 if _faults else 2)
    except OSError as error:
        if error in _faults:  # not Hydra's, which makes a folder for the run
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

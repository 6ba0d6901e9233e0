"""From configs to objects."""

from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

GROUPS = ("dataset", "architecture", "algorithm", "goodness", "schedule", "budget")


def build(config: DictConfig, **replaced: Any) -> Any:
    """The object that `config._target_` names, made from the other values and `replaced` ones.

    Raises:
        UserError: as the object's own checks do.
    """
    try:
        return hydra.utils.instantiate(config, **replaced)
    except hydra.errors.InstantiationException as error:
        # Hydra wraps what a constructor raises; the user is to see what the constructor said.
        if error.__cause__ is not None:
            raise error.__cause__ from None
        raise


def plain(config: DictConfig) -> dict[str, Any]:
    """The resolved values of `config`."""
    values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}

"""Find or download the data sets, and check them: python scripts/fetch_data.py [mnist fashion_mnist …]."""

import sys

import hydra
import torch

from ffrepro.commands.command_line import in_one_line
from ffrepro.config import build
from ffrepro.dataset import Source
from ffrepro.errors import UserError
from ffrepro.paths import CONF

_ALL = ["mnist", "fashion_mnist", "cifar10", "imagenette", "aesop"]


def main() -> int:
    """Exit code 2 where one is missing or damaged; the others are looked at all the same."""
    code = 0
    for name in sys.argv[1:] or _ALL:
        try:
            if name not in _ALL:
                raise UserError(f"there is no data set {name!r}: expected some of {', '.join(_ALL)}.")
            with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
                source: Source = build(hydra.compose("config", [f"dataset={name}"]).dataset)
            dataset = source.load(torch.device("cpu"))
            sizes = f"{len(dataset.train)} training and {len(dataset.test)} test examples"
            print(f"{name}: {sizes}, files as they should be")
        except UserError as error:
            print(f"fetch_data: {error}", file=sys.stderr)
            code = 2
    return code


sys.exit(in_one_line("fetch_data", main, "Run it again: what is whole stays."))

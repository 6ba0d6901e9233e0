"""Find or download the data sets, and check them: python scripts/fetch_data.py [mnist fashion_mnist]."""

import sys
from typing import Literal

import torch

from ffrepro.dataset.mnist import Mnist
from ffrepro.errors import UserError

_ALL: list[Literal["mnist", "fashion_mnist"]] = ["mnist", "fashion_mnist"]


def main() -> int:
    """Exit code 2 where one is missing or damaged."""
    for name in _ALL:
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        try:
            dataset = Mnist(name=name, validation=0).load(torch.device("cpu"))
        except UserError as error:
            print(f"fetch_data: {error}", file=sys.stderr)
            return 2
        print(f"{name}: {len(dataset.train)} training and {len(dataset.test)} test images, files as they should be")
    return 0


sys.exit(main())

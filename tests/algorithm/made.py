"""Small made-up data sets, and settings on the CPU."""

import numpy as np
import torch

from ffrepro.algorithm import Setting
from ffrepro.architecture import LayerArchitecture, ModuleArchitecture
from ffrepro.dataset import Dataset, Split
from ffrepro.schedule import HoldThenLinear, Schedule


def made_images(n: int = 200, image_shape: tuple[int, ...] = (5, 8)) -> Dataset:
    """Noisy copies of ten prototypes, in float64, with pixels from 0 to 1; all splits are the same."""
    n_pixels = int(np.prod(image_shape))
    generator = torch.Generator().manual_seed(3)
    targets = torch.randint(10, (n,), generator=generator)
    prototypes = torch.rand(10, n_pixels, generator=generator, dtype=torch.float64)
    images = (prototypes[targets] + 0.3 * torch.rand(n, n_pixels, generator=generator, dtype=torch.float64)) / 1.3
    split = Split(images, targets)
    return Dataset("made", split, None, split, 10, image_shape, "", stand_in=True)


def cpu_setting(
    dataset: Dataset,
    architecture: LayerArchitecture | ModuleArchitecture,
    *,
    schedule: Schedule | None = None,
    seed: int = 0,
    compute_dtype: torch.dtype = torch.float64,
) -> Setting:
    """A setting whose weights are in float64 if products are, in float32 otherwise."""
    return Setting(
        dataset=dataset,
        architecture=architecture,
        schedule=schedule or HoldThenLinear(10, 0.0),
        seed=seed,
        device=torch.device("cpu"),
        compute_dtype=compute_dtype,
        param_dtype=torch.float64 if compute_dtype == torch.float64 else torch.float32,
    )

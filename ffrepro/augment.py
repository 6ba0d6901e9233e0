"""Training images changed anew each time they are seen."""

import torch
from torch import Tensor
from torch.nn.functional import pad


def jittered(images: Tensor, image_shape: tuple[int, ...], reach: int, generator: torch.Generator) -> Tensor:
    """Shift each of `images` (B, n_pixels) by up to `reach` pixels each way, all shifts alike; 0 comes in.

    Source: The Forward-Forward Algorithm, section 3.3, where `reach` is 2: 25 shifts.
    """
    height, width = image_shape[:2]
    size, device = len(images), images.device
    shifts = torch.randint(0, 2 * reach + 1, (2, size, 1), generator=generator, device=device)
    rows = (shifts[0] + torch.arange(height, device=device)).unsqueeze(2)
    columns = (shifts[1] + torch.arange(width, device=device)).unsqueeze(1)
    framed = pad(images.view(size, height, width, -1), (0, 0, reach, reach, reach, reach))
    return framed[torch.arange(size, device=device).view(-1, 1, 1), rows, columns].view(size, -1)

"""Labels in images, and the wrong labels that make negative data (Forward-Forward, section 3.3)."""

import torch
from torch import Tensor

# Far below every logit: softmax gives the true class exactly 0.
_EXCLUDED = -1e30


def embed_label(images: Tensor, label: Tensor) -> Tensor:
    """Replace the first pixels of `images` (B, n_pixels) by `label` (B, n_classes) or (n_classes,).

    The released code gives a present label the strength 1, a white pixel's; the neutral label is 1/n_classes
    in every place.
    """
    n_classes = label.shape[-1]
    return torch.cat([label.expand(len(images), n_classes).to(images.dtype), images[:, n_classes:]], dim=1)


def sample_wrong_label(logits: Tensor, targets: Tensor, generator: torch.Generator) -> Tensor:
    """Draw from softmax(`logits`) (B, n_classes) with the true class removed: (B,), never equal to `targets`.

    The net's own likely mistakes are the hard negatives that make training several times shorter.
    """
    likely = logits.scatter(1, targets.unsqueeze(1), _EXCLUDED).softmax(-1)
    # The race of exponential clocks: what torch.multinomial does too, but without its checks, which wait for a GPU.
    return (likely / torch.empty_like(likely).exponential_(generator=generator)).argmax(1)


def uniform_wrong_label(targets: Tensor, n_classes: int, generator: torch.Generator) -> Tensor:
    """Draw from the `n_classes` - 1 wrong classes, each alike: (B,), never equal to `targets`."""
    offset = torch.randint(1, n_classes, targets.shape, generator=generator, device=targets.device)
    return (targets + offset) % n_classes

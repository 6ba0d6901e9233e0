"""What makes negative data: wrong labels (Forward-Forward, section 3.3), and hybrid images (section 3.2)."""

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
    return sample_label(logits.scatter(1, targets.unsqueeze(1), _EXCLUDED), generator)


def sample_label(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Draw from softmax(`logits`) (B, n_classes): (B,)."""
    likely = logits.softmax(-1)
    # The race of exponential clocks: what torch.multinomial does too, but without its checks, which wait for a GPU.
    return (likely / torch.empty_like(likely).exponential_(generator=generator)).argmax(1)


def uniform_wrong_label(targets: Tensor, n_classes: int, generator: torch.Generator) -> Tensor:
    """Draw from the `n_classes` - 1 wrong classes, each alike: (B,), never equal to `targets`."""
    offset = torch.randint(1, n_classes, targets.shape, generator=generator, device=targets.device)
    return (targets + offset) % n_classes


def hybrid_images(
    images: Tensor,
    image_shape: tuple[int, ...],
    blurs: int,
    generator: torch.Generator,
    targets: Tensor | None = None,
) -> Tensor:
    """Each of `images` (B, n_pixels) in the regions of a mask, another of them outside: (B, n_pixels).

    The other is never the image itself. Long-range shape is wrong in them, short-range shape is right.

    With `targets` (B,) it is of another class, if there is any; without, in one of ten it is of the same digit: to rule
    that out takes labels, and these nets are to learn without any.
    """
    size = len(images)
    other = _any_other(size, generator, images.device) if targets is None else _of_another_class(targets, generator)
    height, width = image_shape[:2]
    masks = hybrid_masks(size, (height, width), blurs, generator, images.device).view(size, -1, 1)
    pixels = images.view(size, height * width, -1)
    return torch.where(masks, pixels, pixels[other]).view(size, -1)


def _any_other(size: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """For each of `size` places another one, each alike: (size,)."""
    steps = torch.randint(1, size, (size,), generator=generator, device=device)
    return (torch.arange(size, device=device) + steps) % size


def _of_another_class(targets: Tensor, generator: torch.Generator) -> Tensor:
    """For each of `targets` (B,) the place of one of another class, each alike: (B,).

    Where there is none, that of another of the same class.
    """
    size, device = len(targets), targets.device
    drawn = torch.rand(size, size, generator=generator, device=device)
    alike = (targets.unsqueeze(1) == targets).to(drawn.dtype)
    return (drawn - alike - torch.eye(size, device=device)).argmax(1)


def hybrid_masks(
    n: int, image_shape: tuple[int, int], blurs: int, generator: torch.Generator, device: torch.device
) -> Tensor:
    """Masks with fairly large regions, (n, height, width) of booleans.

    A random bit image, blurred `blurs` times with [1/4, 1/2, 1/4] in both directions, is compared with 0.5. What is
    beyond the edge is as what is at the edge.
    """
    bits = torch.randint(0, 2, (n, *image_shape), generator=generator, device=device).float()
    # Blurring rows and columns is a product from either side: all blurs in one.
    vertical, horizontal = (_blur(side, device).matrix_power(blurs) for side in image_shape)
    return vertical @ bits @ horizontal.t() > 0.5


def _blur(side: int, device: torch.device) -> Tensor:
    """One blur of a line of `side` pixels, as a matrix."""
    one = torch.eye(side, device=device)
    before, after = torch.cat([one[:1], one[:-1]]), torch.cat([one[1:], one[-1:]])
    return before / 4 + one / 2 + after / 4

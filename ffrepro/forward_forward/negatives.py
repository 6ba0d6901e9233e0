"""Negative data: wrong labels (Forward-Forward, section 3.3) and hybrid images (section 3.2)."""

import torch
from torch import Tensor

# Far below every logit: the softmax of the true class is exactly 0.
_EXCLUDED = -1e30


def embed_label(images: Tensor, label: Tensor) -> Tensor:
    """Replace the first pixels of `images` (B, n_pixels) by `label` (B, n_classes) or (n_classes,).

    In the released code a label has the strength 1, like a white pixel. The neutral label is 1/n_classes in all of the
    pixels.
    """
    n_classes = label.shape[-1]
    return torch.cat([label.expand(len(images), n_classes).to(images.dtype), images[:, n_classes:]], dim=1)


def sample_wrong_label(logits: Tensor, targets: Tensor, generator: torch.Generator) -> Tensor:
    """Sample from softmax(`logits`) (B, n_classes) without the true classes `targets` (B,): (B,).

    The net's own likely mistakes are hard negatives, which make training several times shorter.
    """
    return sample_label(logits.scatter(1, targets.unsqueeze(1), _EXCLUDED), generator)


def sample_label(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Sample from softmax(`logits`) (B, n_classes): (B,)."""
    p = logits.softmax(-1)
    # A race of exponential clocks, as in torch.multinomial, but without its checks, which synchronize with a GPU.
    return (p / torch.empty_like(p).exponential_(generator=generator)).argmax(1)


def uniform_wrong_label(targets: Tensor, n_classes: int, generator: torch.Generator) -> Tensor:
    """Sample uniformly from the classes other than `targets` (B,): (B,)."""
    offset = torch.randint(1, n_classes, targets.shape, generator=generator, device=targets.device)
    return (targets + offset) % n_classes


def hybrid_images(
    images: Tensor, image_shape: tuple[int, ...], blurs: int, generator: torch.Generator, targets: Tensor | None = None
) -> Tensor:
    """Mix each of `images` (B, n_pixels) with another image: (B, n_pixels).

    A mask takes large regions from the image and the rest from the other image. So short-range shape is right, and
    long-range shape is wrong. With `targets` (B,) the other image has another class, if there is any. Without labels it
    has the same class in one of ten hybrids.
    """
    size = len(images)
    other = _other_image(images, generator) if targets is None else _image_of_other_class(targets, generator)
    height, width = image_shape[:2]
    masks = hybrid_masks(size, (height, width), blurs, generator, images.device).view(size, -1, 1)
    pixels = images.view(size, height * width, -1)
    return torch.where(masks, pixels, pixels[other]).view(size, -1)


def _other_image(images: Tensor, generator: torch.Generator) -> Tensor:
    """For each of `images` the index of another image, drawn uniformly: (B,)."""
    size, device = len(images), images.device
    steps = torch.randint(1, size, (size,), generator=generator, device=device)
    return (torch.arange(size, device=device) + steps) % size


def _image_of_other_class(targets: Tensor, generator: torch.Generator) -> Tensor:
    """For each of `targets` (B,) the index of an image of another class if there is any, drawn uniformly: (B,)."""
    size, device = len(targets), targets.device
    draws = torch.rand(size, size, generator=generator, device=device)
    same_class = (targets.unsqueeze(1) == targets).to(draws.dtype)
    return (draws - same_class - torch.eye(size, device=device)).argmax(1)


def hybrid_masks(
    n: int, image_shape: tuple[int, int], blurs: int, generator: torch.Generator, device: torch.device
) -> Tensor:
    """Masks with fairly large regions, booleans (n, height, width).

    A random bit image is blurred `blurs` times with the filter [1/4, 1/2, 1/4] in both directions, and thresholded at
    0.5. Pixels beyond the edge equal the pixel at the edge.
    """
    bits = torch.randint(0, 2, (n, *image_shape), generator=generator, device=device).float()
    # Blurring is a matrix product from either side, so all blurs take a single product.
    vertical, horizontal = (_blur(side, device).matrix_power(blurs) for side in image_shape)
    return vertical @ bits @ horizontal.t() > 0.5


def _blur(side: int, device: torch.device) -> Tensor:
    """The matrix that blurs a line of `side` pixels."""
    identity = torch.eye(side, device=device)
    before, after = torch.cat([identity[:1], identity[:-1]]), torch.cat([identity[1:], identity[-1:]])
    return before / 4 + identity / 2 + after / 4

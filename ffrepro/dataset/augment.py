"""Training images changed anew each time they are seen."""

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate, pad


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


def random_resized_crops(
    images: Tensor, image_shape: tuple[int, ...], size: int, smallest: float, generator: torch.Generator
) -> Tensor:
    """Of each of `images` (B, n_pixels) a crop of its own, brought to `size` × `size`, half of them mirrored.

    The area of a crop is uniform between `smallest`, usually 0.08, and 1 of the image's, the logarithm of width to
    height uniform between those of 3/4 and 4/3, its place uniform within the image. As torchvision's RandomResizedCrop,
    but for this: a side longer than the image's is cut to it (from 0.08 on and of squares, in one crop of seven), where
    torchvision draws anew, up to ten times, so that a crop has 0.53 of the area on average and not 0.48; crops begin
    and end anywhere, also between pixels; and nothing is averaged where a crop is reduced, so that images' sides should
    be less than twice `size`.

    Bilinear; the centres of pixels are at halves, and the edges of the images go on outside.

    Source: C. Szegedy and others, Going Deeper with Convolutions, 2015, section 6.

    Returns:
        (B, size · size · channels), in rows as `images` are.
    """
    height, width = image_shape[:2]
    area, aspect, across, down, mirrored = torch.rand(
        5, len(images), 1, generator=generator, device=images.device, dtype=images.dtype
    )
    area, root = (smallest + (1 - smallest) * area) * height * width, (4 / 3) ** (aspect - 0.5)
    crop_width, crop_height = (area.sqrt() * root).clamp(max=width), (area.sqrt() / root).clamp(max=height)
    # The centres of the new pixels (size,), in a unit crop and then (B, size) in the image, whose corner is (0, 0).
    centres = (torch.arange(size, device=images.device, dtype=images.dtype) + 0.5) / size
    x = across * (width - crop_width) + crop_width * torch.where(mirrored < 0.5, centres.flip(0), centres)
    y = down * (height - crop_height) + crop_height * centres
    # By hand and not by `affine_grid`, a product of matrices that autocast would round.
    rows, columns = (2 * y / height - 1).unsqueeze(2), (2 * x / width - 1).unsqueeze(1)
    places = torch.stack((columns.expand(-1, size, -1), rows.expand(-1, -1, size)), 3)
    pixels = images.view(len(images), height, width, -1).permute(0, 3, 1, 2)
    crops = grid_sample(pixels, places, mode="bilinear", padding_mode="border", align_corners=False)
    return crops.permute(0, 2, 3, 1).reshape(len(images), -1)


def centre_crops(images: Tensor, image_shape: tuple[int, ...], size: int, share: float) -> Tensor:
    """The square in the middle of each of `images` (B, n_pixels), brought to `size` × `size`, in rows as they are.

    A side of it is `share` of the image's shorter one, in whole pixels; there is as much above and left of it as below
    and right, or a pixel less. Bilinear, and averaged where it is reduced, as Pillow does.
    """
    height, width = image_shape[:2]
    side = max(round(share * min(height, width)), 1)
    top, left = (height - side) // 2, (width - side) // 2
    pixels = images.view(len(images), height, width, -1)[:, top : top + side, left : left + side]
    if side != size:
        resized = interpolate(pixels.permute(0, 3, 1, 2), size=(size, size), mode="bilinear", antialias=True)
        pixels = resized.permute(0, 2, 3, 1)
    return pixels.reshape(len(images), -1)

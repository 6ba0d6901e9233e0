"""One epoch on labeled images."""

from collections.abc import Callable

import torch
from torch import Tensor

from ffrepro.cuda_graphs import total
from ffrepro.dataset import Split
from ffrepro.runs.state import Stateful
from ffrepro.schedule import batches


def train_on_images(
    minibatch: Callable[[Tensor, Tensor], Tensor],
    train: Split,
    batch_size: int,
    *,
    order: torch.Generator | None,
    owner: Stateful,
    generator: torch.Generator,
) -> tuple[float, float]:
    """Train on each image once.

    Args:
        minibatch: an update from images (B, n_pixels) and targets (B,), which returns (2,): the loss, and the number
            of images that the softmax got wrong.
        train: the images.
        batch_size: images in a minibatch.
        order: shuffles the images; None keeps the order of the data.
        owner: the object that `minibatch` changes, see `cuda_graphs.replayed`.
        generator: the generator that `minibatch` draws from.

    Returns:
        The mean loss, and the softmax's error in percent.
    """
    epoch_batches = batches(len(train), batch_size, order, train.inputs.device)
    loss, n_wrong = total(minibatch, train, epoch_batches, owner, generator).tolist()
    return loss / len(epoch_batches), 100.0 * n_wrong / epoch_batches.numel()

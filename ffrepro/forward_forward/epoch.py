"""One epoch on labeled images."""

from collections.abc import Callable

import torch
from torch import Tensor

from ffrepro.cuda_graphs import total
from ffrepro.dataset import Split
from ffrepro.runs.state import Resumable
from ffrepro.schedule import batches


class TrainsOnImages(Resumable):
    """An algorithm that trains on labeled images. With `reshuffle` each epoch has new minibatches."""

    train: Split
    batch_size: int
    reshuffle: bool
    generator: torch.Generator
    device_generator: torch.Generator

    def train_on_images(self, minibatch: Callable[[Tensor, Tensor], Tensor]) -> tuple[float, float]:
        """Train on each image once; returns the mean loss, and the softmax's error in percent.

        `minibatch` is an update from images (B, n_pixels) and targets (B,). It returns (2,): the loss, and the number
        of images that the softmax got wrong.
        """
        order = self.generator if self.reshuffle else None
        epoch_batches = batches(len(self.train), self.batch_size, order, self.train.inputs.device)
        loss, n_wrong = total(minibatch, self.train, epoch_batches, self, self.device_generator).tolist()
        return loss / len(epoch_batches), 100.0 * n_wrong / epoch_batches.numel()

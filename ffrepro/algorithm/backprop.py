"""Backpropagation, for comparison with other algorithms and for deep nets.

Sources: The Forward-Forward Algorithm, arXiv 2212.13345, sections 3.1 and 4, for ReLU nets with a softmax, fully
connected or with local receptive fields. Deep Learning without Shortcuts, arXiv 2203.08120, section 5, for deep
convolutional nets with Nesterov momentum or K-FAC, label smoothing, random crops and mirror images.
"""

import numpy as np
import torch
from torch import Tensor

from ffrepro.algorithm import Metrics, Setting
from ffrepro.dataset import Split
from ffrepro.dataset.augment import Augmentation
from ffrepro.evaluate import perplexity
from ffrepro.kernel_shaping.shaped_net import PAIRS, signals_before_training
from ffrepro.loss import Loss
from ffrepro.optimizer.scheduled import LearningRates, OptimizerFactory, make_optimizer
from ffrepro.pictures import first_layer_fields
from ffrepro.rollout import samples
from ffrepro.runs.state import Resumable
from ffrepro.schedule import batches


class Backprop(Resumable):
    """Train a net of modules with an optimizer on a loss.

    Args:
        batch_size: examples in a minibatch; a remainder is left out of the epoch.
        loss: compares the outputs with the targets.
        augmentation: transforms images for training and for the test; None leaves them unchanged.
        optimizer: makes the optimizer of a net, see `make_optimizer`. The schedule multiplies its learning rates.
    """

    def __init__(
        self, *, batch_size: int, loss: Loss, augmentation: Augmentation | None, optimizer: OptimizerFactory
    ) -> None:
        self.batch_size = batch_size
        self.loss = loss
        self.augmentation = augmentation
        self._optimizer_factory = optimizer

    def begin(self, setting: Setting) -> None:
        dataset = setting.dataset
        self.loss.check(dataset.train.targets)
        self.train, self.alphabet, self.n_classes = dataset.train, dataset.alphabet, dataset.n_classes
        self.input_shape = dataset.input_shape
        if self.augmentation is not None:
            self.augmentation.check(dataset)
            self.input_shape = self.augmentation.output_shape(dataset.image_shape)
        self.image_shape = dataset.input_shape
        self.schedule, self.device = setting.schedule, setting.device
        self.compute_dtype, self.param_dtype = setting.compute_dtype, setting.param_dtype
        self.generator, self.device_generator = setting.generators()
        self.net = setting.blocks(self.input_shape, dataset.n_outputs, self.generator)
        self.optimizer = make_optimizer(self._optimizer_factory, self.net)
        self.observes = hasattr(self.optimizer, "observe")  # the curvature, as K-FAC does
        self.rates = LearningRates(self.optimizer)
        self.parts, self.generators = [self.net, self.optimizer], [self.generator, self.device_generator]
        self.signals = signals_before_training(self.net, self.test_outputs, dataset.test.inputs[: 2 * PAIRS])

    def outputs(self, inputs: Tensor) -> Tensor:
        """The outputs (B, n_outputs) for inputs (B, n), which are augmented already."""
        half = self.compute_dtype != self.param_dtype
        with torch.autocast(self.device.type, dtype=self.compute_dtype, enabled=half):
            outputs: Tensor = self.net(inputs)
        return outputs.to(self.param_dtype)

    # Training -------------------------------------------------------------------------------------

    def train_epoch(self, epoch: int) -> Metrics:
        self.net.train()
        epoch_batches = batches(len(self.train), self.batch_size, self.generator, self.device)
        totals = torch.zeros(2, device=self.device, dtype=self.param_dtype)
        for step, batch in enumerate(epoch_batches, start=1):
            self.rates.multiply(self.schedule.lr_factor_at_step(epoch, step, len(epoch_batches)))
            totals += self.minibatch(self.train.inputs[batch], self.train.targets[batch])
        loss_sum, n_wrong = totals.tolist()
        loss = loss_sum / len(epoch_batches)
        if self.alphabet is not None:
            return {"loss": loss, "running_perplexity": perplexity(loss)}
        if self.n_classes is not None:
            return {"loss": loss, "running_error": 100.0 * n_wrong / epoch_batches.numel()}
        return {"loss": loss}

    def minibatch(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Update the net; returns (2,), the loss and the number of wrong classes (0 without classes)."""
        if self.augmentation is not None:
            inputs = self.augmentation.train(inputs, self.image_shape, self.device_generator)
        outputs = self.outputs(inputs)
        loss = self.loss(outputs, targets)
        if self.observes:
            # The Fisher matrix is an expectation over the model's own predictions, not over the targets.
            own_targets = self.loss.sample(outputs, self.device_generator)
            self.optimizer.observe(self.loss.negative_log_likelihood(outputs, own_targets))
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        n_wrong = loss.new_zeros(()) if self.n_classes is None else (outputs.argmax(1) != targets).sum()
        return torch.stack([loss.detach(), n_wrong.to(loss.dtype)])

    # The test -------------------------------------------------------------------------------------

    def test_outputs(self, inputs: Tensor) -> Tensor:
        """The outputs (B, n_outputs) in the test, for inputs (B, n) of the data set."""
        if self.augmentation is not None:
            inputs = self.augmentation.test(inputs, self.image_shape)
        return self.outputs(inputs)

    @torch.no_grad()
    def monitor(self, split: Split) -> Metrics:
        self.net.eval()
        return self.loss.headline(self.test_outputs, split)

    @torch.no_grad()
    def evaluate(self, split: Split) -> Metrics:
        self.net.eval()
        return self.loss.measured(self.test_outputs, split)

    @torch.no_grad()
    def pictures(self, split: Split) -> dict[str, np.ndarray]:
        """First-layer fields, signals before training, and text that the net writes if it was trained on text."""
        self.net.eval()
        text = {} if self.alphabet is None else samples(self.test_outputs, split, len(self.alphabet))
        return {**first_layer_fields(self.net, self.input_shape), **self.signals, **text}

"""Deep convolutional nets with tailored activations, trained by backpropagation.

Source: G. Zhang, A. Botev, J. Martens, Deep Learning without Shortcuts: Shaping the Kernel with Tailored Rectifiers,
arXiv 2203.08120, section 5: stochastic gradient descent with Nesterov's momentum or K-FAC, label smoothing, a warm-up
and a cosine, random crops and mirror images.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ffrepro.algorithm import Metrics, Setting
from ffrepro.architecture.vanilla_resnet import Activated, VanillaResnet
from ffrepro.dataset import Split
from ffrepro.dataset.augment import centre_crops, random_resized_crops
from ffrepro.errors import UserError
from ffrepro.evaluate import headline, measured, predicted
from ffrepro.kernel_shaping.signals import global_c_map, signals
from ffrepro.optimizer.kfac import KFAC, sampled_labels
from ffrepro.optimizer.scheduled import LearningRates, made_optimizer
from ffrepro.schedule import batches

_PAIRS = 256  # of images, whose cosines are followed through the net


class DeepNet:
    """A `VanillaResnet` and how it is trained.

    Args:
        batch_size: images in a minibatch; a remainder is left out of the epoch.
        crop: side of what the net sees, in pixels.
        augment: random crops and mirror images in training; else the middle of each image, as in the test.
        smallest_crop: the least area of a random crop, as a share of the image's.
        middle: sides of the middle of an image, as a share of the image's.
        label_smoothing: the share of the label's probability that all classes get.
        optimizer: `KFAC` or one of torch's; the schedule multiplies its learning rate at every step.
    """

    test_passes: ClassVar[float] = 1.0
    unused: ClassVar[tuple[str, ...]] = ("goodness",)

    def __init__(
        self,
        *,
        batch_size: int,
        crop: int,
        augment: bool,
        smallest_crop: float,
        middle: float,
        label_smoothing: float,
        optimizer: Callable[..., Any],
    ) -> None:
        if crop < 1:
            raise UserError(f"algorithm.crop is {crop}: expected at least 1 pixel.")
        if not 0 < smallest_crop <= 1:
            raise UserError(f"algorithm.smallest_crop is {smallest_crop}: expected a share of the area, up to 1.")
        if not 0 < middle <= 1:
            raise UserError(f"algorithm.middle is {middle}: expected a share of the images' sides, up to 1.")
        if not 0 <= label_smoothing < 1:
            raise UserError(f"algorithm.label_smoothing is {label_smoothing}: expected 0 to less than 1.")
        self.batch_size = batch_size
        self.crop = crop
        self.augment = augment
        self.smallest_crop = smallest_crop
        self.middle = middle
        self.label_smoothing = label_smoothing
        self._make_optimizer = optimizer
        self._natural = isinstance(optimizer, partial) and optimizer.func is KFAC

    @property
    def training_passes(self) -> float:
        """Forward, and two products back; K-FAC half as much again."""
        return 4.5 if self._natural else 3.0

    def begin(self, setting: Setting) -> None:
        if not isinstance(setting.architecture, VanillaResnet):
            raise UserError("algorithm=tat trains convolutional nets: expected architecture=vanilla_resnet.")
        self.train = setting.dataset.train
        self.image_shape = setting.dataset.image_shape
        if self.image_shape[2:] != (3,) or self.crop > min(self.image_shape[:2]):
            raise UserError(
                f"algorithm.crop is {self.crop}, and dataset {setting.dataset.name} has images of "
                f"{' × '.join(map(str, self.image_shape))}: expected images in colour, at least as large as the crop."
            )
        self.schedule = setting.schedule
        self.device = setting.device
        self.products = setting.products
        self.state = setting.state
        self.generator = torch.Generator().manual_seed(setting.seed)
        # Crops and sampled labels; the order and the weights come from the CPU.
        self.device_generator = torch.Generator(setting.device).manual_seed(setting.seed)
        self.plan = setting.architecture
        self.net = self.plan.module(setting.dataset.n_classes, self.generator)
        self.net.to(setting.device, setting.state)
        self.net.to(memory_format=torch.channels_last)
        self.optimizer = made_optimizer(self._make_optimizer, self.net if self._natural else self.net.parameters())
        self.rates = LearningRates(self.optimizer)
        self.signals = self._signals(setting.dataset.test.inputs[: 2 * _PAIRS])

    def logits(self, rows: Tensor) -> Tensor:
        """Images (B, n_pixels) as the net sees them, already cropped -> (B, n_classes)."""
        images = rows.view(len(rows), self.crop, self.crop, 3).permute(0, 3, 1, 2)  # torch's channels-last
        with torch.autocast(self.device.type, dtype=self.products, enabled=self.products != self.state):
            logits: Tensor = self.net(images)
        return logits.to(self.state)

    def train_epoch(self, epoch: int) -> Metrics:
        self.net.train()
        epoch_batches = batches(len(self.train), self.batch_size, self.generator, self.device)
        totals = torch.zeros(2, device=self.device, dtype=self.state)
        for step, batch in enumerate(epoch_batches, start=1):
            self.rates.multiply(self.schedule.gain(epoch - 1 + step / len(epoch_batches)))
            totals += self.minibatch(self.train.inputs[batch], self.train.targets[batch])
        loss, errors = totals.tolist()
        return {"loss": loss / len(epoch_batches), "running_error": 100.0 * errors / epoch_batches.numel()}

    def minibatch(self, images: Tensor, targets: Tensor) -> Tensor:
        """One update; returns (2,): the loss in nats, and the number of images that the net got wrong."""
        if self.augment:
            seen = random_resized_crops(images, self.image_shape, self.crop, self.smallest_crop, self.device_generator)
        else:
            seen = self._middle_of(images)
        logits = self.logits(seen)
        loss = cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        if self._natural:
            # The Fisher matrix is of the model's own labels, not of the data's.
            sampled = sampled_labels(logits, self.device_generator)
            self.optimizer.observe(cross_entropy(logits, sampled))
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        errors = (logits.argmax(1) != targets).sum()
        return torch.stack([loss.detach(), errors.to(loss.dtype)])

    # The test -------------------------------------------------------------------------------------

    @torch.no_grad()
    def _tested(self, split: Split) -> Tensor:
        self.net.eval()
        return predicted(lambda rows: self.logits(self._middle_of(rows)), split)

    def _middle_of(self, rows: Tensor) -> Tensor:
        return centre_crops(rows, self.image_shape, self.crop, self.middle)

    def monitor(self, split: Split) -> Metrics:
        return headline(self._tested(split), split)

    def evaluate(self, split: Split) -> Metrics:
        """See `measured`."""
        return measured(self._tested(split), split)

    # What the net does to lengths and angles before training -------------------------------------

    @torch.no_grad()
    def _signals(self, rows: Tensor) -> dict[str, np.ndarray]:
        """Of nets that no normalization keeps in shape: by activation, and of the whole net its C map."""
        network, rows = self.plan.network, rows[: len(rows) // 2 * 2]
        if self.plan.normalization is not None or network is None or not len(rows):
            return {}
        given: list[Tensor] = []
        activations = [module for module in self.net.modules() if isinstance(module, Activated)]
        watches = [
            module.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].float()))
            for module in activations
        ]
        self.net.eval()
        self.logits(self._middle_of(rows))
        for watch in watches:
            watch.remove()
        function = activations[0].function
        found = signals(given, function, chain=self.plan.shortcut_weight == 0)
        arrays = {"signal_q": found.q, "signal_c": found.c, "signal_c_theory": found.c_theory}
        arrays["c_map"] = global_c_map(network, function)
        return {name: values.float().cpu().numpy() for name, values in arrays.items() if values is not None}

    def pictures(self, split: Split) -> dict[str, np.ndarray]:
        """Signals before training, by activation, and the net's C map."""
        return self.signals

    # What a checkpoint holds ----------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generators": [self.generator.get_state(), self.device_generator.get_state()],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        for generator, saved in zip((self.generator, self.device_generator), state["generators"], strict=True):
            generator.set_state(saved)

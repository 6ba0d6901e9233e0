"""The dynamics of a recurrent net: the image below, the label above, and layers that see both neighbors.

Source: G. Hinton, The Forward-Forward Algorithm, arXiv 2212.13345, section 3.4.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import relu

from ffrepro.forward_forward.connections import Connections
from ffrepro.forward_forward.passes import Pass, normalize
from ffrepro.forward_forward.weights import Weights


class Iteration(NamedTuple):
    """An iteration of the net, with n labels for each of B images.

    On its way down, a label takes an iteration for each layer. Until it arrives, a layer has a single state for all
    labels, and its n is 1.
    """

    activities: list[Tensor]  # (n, B, width) of each layer, before they are mixed with the old states
    normalized: list[Tensor]  # (n, B, width), the normalized old states of each layer, which its neighbors see


@dataclass
class RecurrentNet:
    """Layers with connections from the layer below and from the layer above."""

    connections: Sequence[Connections]  # of each layer, from the bottom up; labels are above the last layer
    iterations: int  # after the bottom-up pass
    damping: float  # the weight of the old state in a new state

    def bottom_up(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """A pass of images (B, n_pixels) without the top-down connections.

        Returns the weighted sums of the image in the first layer (B, width), and the state (B, width) of each layer.
        """
        below, sums, states = normalize(images), [], []
        for connections in self.connections:
            sums.append(connections.sources[0].product(below, connections.bias))
            states.append(sums[-1].relu())
            below = normalize(states[-1])
        return sums[0], states

    def iterate(self, image_sums: Tensor, labels: Tensor, states: Sequence[Tensor]) -> Iterator[Iteration]:
        """Run the net from the results of `bottom_up`, with n normalized labels for each image, (n, B, n_classes).

        The image and the labels are the same in each iteration.
        """
        constant = [image_sums.unsqueeze(0), *(connections.bias for connections in self.connections[1:])]
        constant[-1] = _weighted_sums(self.connections[-1].sources[1], labels, constant[-1])
        states = [state.unsqueeze(0) for state in states]
        for _ in range(self.iterations):
            normalized = [normalize(state) for state in states]
            activities = []
            for k, connections in enumerate(self.connections):
                sums = constant[k]
                if k > 0:
                    sums = _weighted_sums(connections.sources[0], normalized[k - 1], sums)
                if k + 1 < len(normalized):
                    sums = _weighted_sums(connections.sources[1], normalized[k + 1], sums)
                # In a net of one layer `sums` is constant[0] itself, which must not change.
                activities.append(relu(sums, inplace=len(normalized) > 1))
            states = [torch.lerp(state, new, 1 - self.damping) for state, new in zip(states, activities, strict=True)]
            yield Iteration(activities, normalized)


def _weighted_sums(weights: Weights, inputs: Tensor, onto: Tensor) -> Tensor:
    """The weighted sums of `inputs` (n, B, fan_in) plus `onto`, (width,) or (n, B, width): a new (n, B, width).

    Either n may be 1.
    """
    if onto.dim() == 3 and len(onto) != len(inputs):
        return onto + _weighted_sums(weights, inputs, onto.new_zeros(weights.width))
    return weights.product(inputs.flatten(0, 1), onto.view(-1, weights.width)).view(*inputs.shape[:2], -1)


def passes_by_layer(iterations: Sequence[Iteration], number: int, image: Tensor, label: Tensor) -> list[list[Pass]]:
    """The passes of each layer with label `number`, one for each iteration.

    The normalized images (B, n_pixels) and labels (B, n_classes) are the same tensors in all passes.
    """

    def of_label(tensor: Tensor) -> Tensor:
        return tensor[number % len(tensor)]  # (1, B, width) is shared by all labels

    passes: list[list[Pass]] = [[] for _ in iterations[0].activities]
    for activities, normalized in iterations:
        column = [image, *map(of_label, normalized), label]
        for k, layer_passes in enumerate(passes):
            layer_passes.append(Pass(of_label(activities[k]), (column[k], column[k + 2])))
    return passes

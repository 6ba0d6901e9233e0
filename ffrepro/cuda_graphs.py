"""CUDA graphs: a training step's hundred small kernels started by one call.

At these sizes a fast GPU may compute a step in less time than Python needs to start its kernels one by one.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from ffrepro.dataset import Split
from ffrepro.runs.state import Stateful


def replayed(
    step: Callable[[Tensor], Tensor], batch: Tensor, owner: Stateful, generator: torch.Generator
) -> Callable[[Tensor], Tensor]:
    """`step` as one CUDA graph; `step` itself on the CPU.

    Args:
        step: changes `owner` and returns one tensor. Shapes must not depend on values, nothing may be copied to
            the CPU, and Python numbers in it are fixed as they are now.
        batch: an argument of the shape and device of all later ones.
        owner: whose state `step` changes; left as it was.
        generator: that `step` draws from, on `batch`'s device.
    """
    if not batch.is_cuda:
        return step
    static_batch = batch.clone()
    # Libraries set themselves up in a first call, which must not be captured; it is undone afterwards.
    state = copy.deepcopy(owner.state_dict())
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step(static_batch)
    torch.cuda.current_stream().wait_stream(side)
    owner.load_state_dict(state)

    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        result = step(static_batch)

    def replay(batch: Tensor) -> Tensor:
        static_batch.copy_(batch)
        graph.replay()
        return result

    return replay


@torch.inference_mode()
def total(
    minibatch: Callable[[Tensor, Tensor], Tensor],
    split: Split,
    batches: Tensor,
    owner: Stateful,
    generator: torch.Generator,
) -> Tensor:
    """The sum of what `minibatch` returns of inputs and targets, over an epoch's `batches` (n_batches, batch_size).

    See `replayed`. Autograd's bookkeeping, a thirtieth of a step's time on a CPU, is left out: so what `minibatch`
    keeps it may only change in place.
    """

    def step(batch: Tensor) -> Tensor:
        return minibatch(split.inputs[batch], split.targets[batch])

    take = replayed(step, batches[0], owner, generator)
    totals = take(batches[0]).clone()
    for batch in batches[1:]:
        totals += take(batch)
    return totals

"""CUDA graphs: a single call starts the hundred small kernels of a training step.

At these sizes a fast GPU may compute a step in less time than Python needs to launch its kernels singly.
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
    """`step` as a CUDA graph; `step` itself on the CPU.

    `step` changes `owner`, which the capture itself leaves unchanged, and returns a tensor. Shapes must not depend on
    values, nothing may be copied to the CPU, and the present values of Python numbers are kept. `batch` has the shape
    and device of all later arguments, and `generator`, on its device, is that of the random numbers in `step`.
    """
    if not batch.is_cuda:
        return step
    static_batch = batch.clone()
    # Libraries set themselves up in a first call, which must not be captured. Its changes are undone.
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
    """The sum of the results of `minibatch` (inputs and targets -> a tensor) over an epoch.

    The steps run without autograd's bookkeeping, a thirtieth of their time on a CPU. For this, `minibatch` may change
    its tensors in place only. `batches` (n_batches, batch_size) are indices into `split`. For `owner` and `generator`
    see `replayed`.
    """

    def step(batch: Tensor) -> Tensor:
        return minibatch(split.inputs[batch], split.targets[batch])

    graph_step = replayed(step, batches[0], owner, generator)
    totals = graph_step(batches[0]).clone()
    for batch in batches[1:]:
        totals += graph_step(batch)
    return totals

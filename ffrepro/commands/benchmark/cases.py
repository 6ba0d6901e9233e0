"""The rows that the benchmark times."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """A row of a table, and the size of an epoch."""

    name: str  # in the results
    experiment: str  # the row's preset
    examples: int  # in an epoch
    # Of the hidden layers, if the epoch is compared with bare matrix products of these shapes.
    widths: tuple[int, ...] | None = None
    passes: int = 3  # through the net in a training step, for these products
    maps: int | None = None  # of local fields, if the epoch is compared with dense matrices and masked weights


CASES = (
    Case("supervised, 784-1000-1000-1000, 50,000 images", "table1/ff_released_code", 50_000, (1000, 1000, 1000)),
    Case("supervised, 784-4×2000, 60,000 images", "table1/ff_supervised", 60_000, (2000, 2000, 2000, 2000)),
    Case("supervised at twice the learning rate, 784-4×2000, 60,000 images", "table1/ff_supervised_fast", 60_000),
    Case("supervised and jittered, 784-4×2000, 60,000 images", "table1/ff_supervised_jittered", 60_000),
    Case("unsupervised, 784-4×2000, 60,000 images", "table1/ff_unsupervised", 60_000, (2000, 2000, 2000, 2000), 2),
    Case("unsupervised, local receptive fields, 60,000 images", "table1/ff_unsupervised_local", 60_000),
    Case("recurrent, 784-2×2000-10, 60,000 images", "table1/ff_recurrent", 60_000),
    Case("recurrent, 784-3×2000-10, 60,000 images", "table1/ff_recurrent_3", 60_000),
    Case("backprop, 784-1000-1000-1000, 60,000 images", "table1/bp", 60_000),
    Case("recurrent, CIFAR-10, 2 maps of local fields, 50,000 images", "table2/ff_max_ssq_2", 50_000, maps=2),
    Case("recurrent, CIFAR-10, 3 maps of local fields, 50,000 images", "table2/ff_max_ssq_3", 50_000, maps=3),
    Case("backprop, CIFAR-10, 2 maps of local fields, 50,000 images", "table2/bp_2", 50_000),
    Case("next character, both phases at once, 300-3×2000, 22,320 windows", "table3/ff_simultaneous", 22_320),
    Case("next character, phases in turn, 300-3×2000, 22,320 windows", "table3/ff_separated", 22_320),
    Case("next character, backprop, 300-3×2000, 22,320 windows", "table3/bp", 22_320),
)
LARGEST = CASES[1]  # of the fully connected nets
MEMORY_CASES = [case for case in CASES if case.experiment in (LARGEST.experiment, "table2/ff_max_ssq_3")]

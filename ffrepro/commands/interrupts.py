"""Ctrl-C, and a scheduler's SIGTERM: after both, a run saves its state."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

_SAME_INTERRUPT_S = 1.0


@contextmanager
def keyboard_interrupts() -> Iterator[None]:
    """SIGINT and SIGTERM raise KeyboardInterrupt; signals within a second of each other raise it once.

    A terminal and most schedulers signal all processes of a command, and the command passes its signal on to its runs.
    The second signal must not stop a run from saving its state after the first.
    """
    last = -_SAME_INTERRUPT_S

    def interrupt(*_: object) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last - before >= _SAME_INTERRUPT_S:
            raise KeyboardInterrupt

    handlers = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)

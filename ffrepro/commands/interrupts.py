"""Ctrl-C, and SIGTERM by which a machine is asked back: both are to keep what was done."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

_TOGETHER_S = 1.0


@contextmanager
def keyboard_interrupts() -> Iterator[None]:
    """SIGINT and SIGTERM raise KeyboardInterrupt, and those that come together raise one.

    A terminal and most schedulers signal all processes, and a command hands what it gets on to its runs: the second
    signal is not to cut short the keeping that the first one began.
    """
    last = -_TOGETHER_S

    def interrupt(*_: object) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last - before >= _TOGETHER_S:
            raise KeyboardInterrupt

    signals = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.signal(one, interrupt) for one in signals]
    try:
        yield
    finally:
        for one, handler in zip(signals, handlers, strict=True):
            signal.signal(one, handler)

"""Ctrl-C waits for what must not be left half done."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C until the block is done, then let it through; only the main thread ever gets one."""
    came: list[int] = []
    previous = signal.getsignal(signal.SIGINT)
    try:
        if previous is not None:  # None: a handler that Python did not install and could not put back
            signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    except ValueError:  # not the main thread
        previous = None
    try:
        yield
    finally:
        if previous is not None:
            signal.signal(signal.SIGINT, previous)
            if came:
                signal.raise_signal(signal.SIGINT)

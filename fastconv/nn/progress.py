"""The progress bar of `fit`: tqdm where it is installed, a line of text otherwise."""

from __future__ import annotations

import sys
import time
from importlib import import_module
from typing import Any, Protocol, TextIO


class Bar(Protocol):
    """What `fit` asks of a bar: a part of tqdm's interface. `total` and `unit` may be set while it runs."""

    total: int | None
    unit: str

    def update(self, n: int) -> Any: ...
    def set_postfix_str(self, s: str, refresh: bool = ...) -> Any: ...
    def close(self) -> Any: ...


def progress_bar(total: int | None, description: str, visible: bool) -> Bar:
    """Return a bar for `total` examples, or for nobody knows how many, on stderr; or one that shows nothing."""
    stream = sys.stderr  # None in a program without a console
    if not visible or stream is None:
        return TextBar(total, description, None)
    try:
        tqdm = import_module("tqdm").tqdm
    except ImportError:
        return TextBar(total, description, stream)
    bar: Bar = tqdm(total=total, desc=description, unit=" examples", file=stream, dynamic_ncols=True)
    return bar


class TextBar:
    """A line that is rewritten on a terminal, ten times a second at most, and written once, at its end, elsewhere."""

    def __init__(self, total: int | None, description: str, stream: TextIO | None) -> None:
        self.total = total
        self.unit = " examples"
        self._description = description
        self._stream = stream
        self._live = stream is not None and stream.isatty()
        self._done = 0
        self._metrics = ""
        self._start = self._shown = time.perf_counter()
        self._width = 0

    def update(self, n: int) -> None:
        """Count `n` more examples."""
        self._done += n
        now = time.perf_counter()
        if self._live and now - self._shown >= 0.1:
            self._shown = now
            self._write(end="")

    def set_postfix_str(self, s: str, refresh: bool = True) -> None:
        """Set the text after the counts."""
        self._metrics = s
        if refresh and self._live:
            self._write(end="")

    def close(self) -> None:
        """Write the line for the last time."""
        if self._stream is not None:
            self._write(end="\n")
            self._stream = None
            self._live = False

    def _write(self, end: str) -> None:
        assert self._stream is not None
        seconds = max(time.perf_counter() - self._start, 1e-9)
        rate = self._done / seconds
        count = f"{self._done}" if self.total is None else f"{self._done}/{self.total}"
        left = ""
        if self.total is not None and 0 < self._done < self.total:
            left = f", {(self.total - self._done) / rate:.0f} s left"
        line = f"{self._description}: {count}, {rate:.0f}{self.unit}/s{left}, {self._metrics}"
        self._stream.write(("\r" if self._live else "") + line.ljust(self._width) + end)
        self._stream.flush()
        self._width = len(line)

"""What a network is trained and evaluated on, batch by batch: pieces of arrays, or what an iterable yields."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from . import _checks
from ._checks import Array

_NOTHING = object()  # of an iterator at its end


class Batches(Protocol):
    """Batches (x, y), an epoch at a time."""

    examples: int | None  # of an epoch, where that is known
    steps: int | None  # of an epoch, where that is known

    def epoch(self) -> Iterator[tuple[Array, Array]]:
        """Yield the batches of the next epoch."""


class ArrayBatches:
    """Pieces of two arrays: in their order, or in one that a generator draws anew for each epoch."""

    def __init__(
        self, x: Any, y: Any, x_name: str, y_name: str, batch_size: int, rng: np.random.Generator | None = None
    ) -> None:
        self._x, self._y = _examples(x, y, x_name, y_name)
        self._batch_size = batch_size
        self._rng = rng
        self.examples: int | None = len(self._x)
        self.steps: int | None = -(-len(self._x) // batch_size)

    def epoch(self) -> Iterator[tuple[Array, Array]]:
        """Yield the batches of the next epoch; the last holds what is left."""
        order = None if self._rng is None else self._rng.permutation(len(self._x))
        for start in range(0, len(self._x), self._batch_size):
            piece = slice(start, start + self._batch_size)
            rows = piece if order is None else order[piece]
            yield self._x[rows], self._y[rows]


class IterableBatches:
    """What an iterable of pairs (x, y) yields.

    An epoch is one turn through it, or `steps` batches, which go on where the epoch before stopped; then an iterable
    that can start anew does so when it runs dry, and an iterator that does ends the training with a warning.
    """

    def __init__(self, source: Iterable[Any], name: str, epochs: int, steps: int | None = None) -> None:
        self._source, self._name = source, name
        self._once = isinstance(source, Iterator)
        if self._once and steps is None and epochs > 1:
            raise ValueError(
                f"{name} is an iterator, which is good for one epoch of {epochs}: give an iterable that starts anew, "
                f"such as a list or an object with __iter__, or steps_per_epoch"
            )
        self._given = steps
        self.steps = _length(source) if steps is None else steps
        self.examples: int | None = None
        self._iterator: Iterator[Any] = iter(())
        self._index = 0  # of the next batch since the iterable began
        self.dry = False  # whether the training ends for want of batches
        if isinstance(source, (list, tuple)):  # what can be seen beforehand
            if not source:
                raise ValueError(f"{name} must give at least one batch, got none")
            for batch in source:
                self._checked(batch)

    def epoch(self) -> Iterator[tuple[Array, Array]]:
        """Yield the batches of the next epoch."""
        if self._given is None:
            self._start()
            yield from map(self._checked, self._iterator)
            if not self._index:
                raise ValueError(f"{self._name} must give at least one batch, got none")
            return
        for step in range(self._given):
            batch = next(self._iterator, _NOTHING)
            if batch is _NOTHING and not (self._once and self._index):
                self._start()
                batch = next(self._iterator, _NOTHING)
                if batch is _NOTHING:
                    raise ValueError(f"{self._name} must give at least one batch, got none")
            if batch is _NOTHING:
                self.dry = True
                warnings.warn(
                    f"{self._name} ran dry after {step} of the {self._given} steps of an epoch: training ends",
                    RuntimeWarning,
                    stacklevel=3,
                )
                return
            yield self._checked(batch)

    def _start(self) -> None:
        self._iterator, self._index = iter(self._source), 0

    def _checked(self, batch: Any) -> tuple[Array, Array]:
        name = f"batch {self._index} of {self._name}"
        self._index += 1
        if not isinstance(batch, (list, tuple)) or len(batch) != 2:
            got = f"{len(batch)} items" if isinstance(batch, (list, tuple)) else type(batch).__name__
            raise TypeError(f"{name} must be a pair (x, y), got {got}")
        x, y = batch
        return _examples(x, y, f"x of {name}", f"y of {name}")


def is_iterable_of_batches(value: Any) -> bool:
    """Whether a value without targets can be an iterable of batches: it can be gone through and is no array."""
    array = hasattr(value, "__array__") or hasattr(value, "__dlpack__")
    return isinstance(value, Iterable) and not array and not isinstance(value, (str, bytes, Mapping))


def _length(source: Any) -> int | None:
    try:
        return len(source)
    except TypeError:  # of an iterable that does not know
        return None


def _examples(x: Any, y: Any, x_name: str, y_name: str) -> tuple[Array, Array]:
    """`x` and `y` as arrays of the same length, at least one example."""
    x, y = _checks.array(x, x_name), _checks.array(y, y_name)
    for name, array in (x_name, x), (y_name, y):
        if array.ndim == 0 or len(array) == 0:
            raise ValueError(f"{name} must hold at least one example, got the shape {array.shape}")
    if len(x) != len(y):
        raise ValueError(f"{x_name} and {y_name} must hold as many examples, got {len(x)} and {len(y)}")
    return x, y

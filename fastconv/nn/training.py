"""Training, prediction and evaluation of a network on arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import _checks
from ._checks import Array
from .layers import Layer, recording
from .losses import Loss
from .optimisers import Optimizer
from .progress import progress_bar

__all__ = ["History", "Trainable"]

Callback = Callable[[Any, "History"], Any]


class History(dict[str, list[float]]):
    """What `fit` measured: for each name a list with one value an epoch.

    "loss" and, for class targets, "accuracy" are means over the epoch's batches, taken while the parameters moved;
    "val_loss" and "val_accuracy" are those of the validation data after the epoch.

    Attributes
    ----------
    epochs : int
        Number of epochs that were finished.

    Examples
    --------
    >>> from fastconv import nn
    >>> history = nn.History()
    >>> history.record({"loss": 0.5})
    >>> history.record({"loss": 0.25})
    >>> history, history.epochs
    ({'loss': [0.5, 0.25]}, 2)
    """

    def __init__(self) -> None:
        super().__init__()
        self.epochs = 0

    def record(self, metrics: dict[str, float]) -> None:
        """Append the values of one epoch."""
        for name, value in metrics.items():
            self.setdefault(name, []).append(value)
        self.epochs += 1


class Trainable(Layer):
    """A layer that can be trained as a whole: `fit`, `predict` and `evaluate`."""

    def fit(
        self,
        x: Any,
        y: Any,
        *,
        epochs: int,
        batch_size: int,
        loss: Loss,
        optimizer: Optimizer,
        validation_data: tuple[Any, Any] | None = None,
        callbacks: Iterable[Callback] = (),
        progress: bool = True,
        rng: Any = None,
    ) -> History:
        """Train on the examples `x` and targets `y`, shuffled anew in each epoch.

        Parameters
        ----------
        x, y : array [N, ...]
            Examples and targets, of the same length.
        epochs : int
            Passes over the data, 0 or more.
        batch_size : int
            Examples in a step; the last step of an epoch takes what is left.
        loss : Loss
            Say ``CrossEntropyLoss()``.
        optimizer : Optimizer
            Say ``Adam(1e-3)``; it goes on where it stopped when it has trained this network before.
        validation_data : (x, y), optional
            Evaluated after each epoch.
        callbacks : iterable of callable
            Each is called after each epoch as ``callback(network, history)``; one that returns something true
            stops the training. Keep the optimiser at hand to change its ``lr``, the history's values to decide.
        progress : bool
            Whether to show a bar on stderr: tqdm's where it is installed, plain text otherwise.
        rng : numpy.random.Generator, seed or None
            Draws the order. The bits of the result depend on it, the data and the first parameters, not on the number
            of threads; None takes fresh entropy.

        Returns
        -------
        History
            Loss and accuracy of every epoch.

        Raises
        ------
        TypeError, ValueError
            An argument of the wrong kind or value, before anything is trained; examples or targets that a layer or the
            loss refuses, when their batch comes up.
        KeyboardInterrupt
            Ctrl-C, passed on: the parameters are those of the last step, whole.
        """
        x, y = _examples(x, y, "x", "y")
        epochs = _checks.integer(epochs, "epochs", minimum=0)
        batch_size = _checks.integer(batch_size, "batch_size")
        _check_kind(loss, Loss, "loss", "CrossEntropyLoss()")
        _check_kind(optimizer, Optimizer, "optimizer", "SGD(0.1)")
        if validation_data is not None:
            if not isinstance(validation_data, (list, tuple)) or len(validation_data) != 2:
                raise TypeError(f"validation_data must be a pair (x, y) or None, got {type(validation_data).__name__}")
            validation_data = _examples(*validation_data, "validation_data[0]", "validation_data[1]")
        callbacks = _callables(callbacks)
        progress = _checks.boolean(progress, "progress")
        rng = _checks.generator(rng)

        history = History()
        try:
            with _mode(self, training=True):
                for epoch in range(1, epochs + 1):
                    bar = progress_bar(len(x), f"epoch {epoch}/{epochs}", progress)
                    try:
                        means = _Means()
                        for rows in _batches(rng.permutation(len(x)), batch_size):
                            means.add(*self._step(x[rows], y[rows], loss, optimizer), len(rows))
                            bar.set_postfix_str(_text(means.values()), refresh=False)
                            bar.update(len(rows))
                        metrics = means.values()
                        if validation_data is not None:
                            validation = self.evaluate(*validation_data, loss, batch_size)
                            metrics |= {f"val_{name}": value for name, value in validation.items()}
                        bar.set_postfix_str(_text(metrics))
                    finally:
                        bar.close()
                    history.record(metrics)
                    if any([callback(self, history) for callback in callbacks]):  # a list: each has its turn
                        break
        finally:
            self.forget()
        return history

    def predict(self, x: Any, batch_size: int = 256) -> Array:
        """Return the outputs for `x` [N, ...], computed in batches, in inference mode.

        Layers keep nothing of it, and their `training` is as before.

        Raises
        ------
        TypeError, ValueError
            An argument of the wrong kind or value.
        """
        x = _checks.array(x, "x")
        if x.ndim == 0:
            raise ValueError("x must be [N, ...], got a single number")
        batch_size = _checks.integer(batch_size, "batch_size")
        starts = range(0, max(len(x), 1), batch_size)  # no examples are one empty batch
        with _inference(self):
            return np.concatenate([self.forward(x[start : start + batch_size]) for start in starts])

    def evaluate(self, x: Any, y: Any, loss: Loss, batch_size: int = 256) -> dict[str, float]:
        """Return the mean "loss" on the examples `x` and targets `y` and, for class targets, the "accuracy".

        Layers keep nothing of it, and their `training` is as before.

        Raises
        ------
        TypeError, ValueError
            An argument of the wrong kind or value.
        """
        x, y = _examples(x, y, "x", "y")
        _check_kind(loss, Loss, "loss", "CrossEntropyLoss()")
        batch_size = _checks.integer(batch_size, "batch_size")
        means = _Means()
        with _inference(self):
            for start in range(0, len(x), batch_size):
                rows = slice(start, start + batch_size)
                prediction, target = self.forward(x[rows]), y[rows]
                means.add(loss.forward(prediction, target), _accuracy(prediction, target), len(target))
        return means.values()

    def _step(self, x: Array, y: Array, loss: Loss, optimizer: Optimizer) -> tuple[float, float | None]:
        """Learn from one batch and return its loss and accuracy."""
        prediction = self.forward(x)
        value = loss.forward(prediction, y)
        self.backward(loss.backward(), input_gradient=False)
        optimizer.step(self)
        return value, _accuracy(prediction, y)


class _Means:
    """Loss and accuracy, averaged over examples."""

    def __init__(self) -> None:
        self._loss = 0.0
        self._accuracy: float | None = 0.0
        self._count = 0

    def add(self, loss: float, accuracy: float | None, count: int) -> None:
        self._loss += loss * count
        self._accuracy = None if self._accuracy is None or accuracy is None else self._accuracy + accuracy * count
        self._count += count

    def values(self) -> dict[str, float]:
        means = {"loss": self._loss / self._count}
        if self._accuracy is not None:
            means["accuracy"] = self._accuracy / self._count
        return means


def _accuracy(prediction: Array, target: Array) -> float | None:
    """The share of targets with the highest score, or None where targets are not classes."""
    classes = target.dtype.kind in "iu" and prediction.ndim > 1
    if not classes or target.shape != prediction.shape[:1] + prediction.shape[2:]:
        return None
    return float(np.mean(prediction.argmax(axis=1) == target))


def _text(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())


def _batches(order: Array, batch_size: int) -> Iterator[Array]:
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


@contextmanager
def _mode(network: Layer, training: bool) -> Iterator[None]:
    """Put every layer into training or inference, and each back as it was."""
    changed = [leaf for _, leaf in network.leaves() if leaf.training != training]
    for leaf in changed:
        leaf.training = training
    try:
        yield
    finally:
        for leaf in changed:
            leaf.training = not training


@contextmanager
def _inference(network: Layer) -> Iterator[None]:
    """Inference mode, with layers that keep nothing for a backward pass."""
    token = recording.set(False)
    try:
        with _mode(network, training=False):
            yield
    finally:
        recording.reset(token)


def _examples(x: Any, y: Any, x_name: str, y_name: str) -> tuple[Array, Array]:
    """`x` and `y` as arrays of the same length, at least one example."""
    x, y = _checks.array(x, x_name), _checks.array(y, y_name)
    for name, array in (x_name, x), (y_name, y):
        if array.ndim == 0 or len(array) == 0:
            raise ValueError(f"{name} must hold at least one example, got the shape {array.shape}")
    if len(x) != len(y):
        raise ValueError(f"{x_name} and {y_name} must hold as many examples, got {len(x)} and {len(y)}")
    return x, y


def _check_kind(value: Any, kind: type, name: str, example: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be an nn.{kind.__name__} such as nn.{example}, got {value!r}")


def _callables(callbacks: Any) -> list[Callback]:
    try:
        result = list(callbacks)
    except TypeError:
        raise TypeError(f"callbacks must be an iterable of callables, got {callbacks!r}") from None
    for index, callback in enumerate(result):
        if not callable(callback):
            raise TypeError(f"callbacks[{index}] must be callable as callback(network, history), got {callback!r}")
    return result

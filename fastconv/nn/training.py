"""Training, prediction and evaluation of a network on arrays and on batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import _checks
from ._checks import Array
from .batches import ArrayBatches, Batches, IterableBatches, is_iterable_of_batches
from .layers import Layer, inference
from .losses import Loss
from .optimisers import Optimizer
from .progress import progress_bar

__all__ = ["History", "Trainable"]

Callback = Callable[[Any, "History"], Any]


class History(dict[str, list[float]]):
    """What `fit` measured: for each name a list with one value an epoch.

    "loss" and, for class targets, "accuracy" are those of the epoch's batches together, taken while the parameters
    moved; "val_loss" and "val_accuracy" are those of the validation data after the epoch.

    Attributes
    ----------
    epochs : int
        Number of epochs that were finished.
    planned : int or None
        Number of epochs that `fit` was asked for: with as many finished, a callback sees the last one.

    Examples
    --------
    >>> from fastconv import nn
    >>> history = nn.History()
    >>> history.record({"loss": 0.5})
    >>> history.record({"loss": 0.25})
    >>> history, history.epochs
    ({'loss': [0.5, 0.25]}, 2)
    """

    def __init__(self, planned: int | None = None) -> None:
        super().__init__()
        self.epochs = 0
        self.planned = planned

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
        y: Any = None,
        *,
        epochs: int,
        batch_size: int | None = None,
        loss: Loss,
        optimizer: Optimizer,
        validation_data: Any = None,
        callbacks: Iterable[Callback] = (),
        progress: bool = True,
        rng: Any = None,
        steps_per_epoch: int | None = None,
    ) -> History:
        """Train on the examples `x` and targets `y`, shuffled anew in each epoch, or on an iterable of batches.

        Parameters
        ----------
        x, y : array [N, ...]; or an iterable of (x, y) and None
            Examples and targets, of the same length. Or, without `y`, an iterable of batches, which are pairs of such
            arrays: a list, a data loader, a generator. They come in its order, and are as large as they come.
        epochs : int
            Passes over the data, 0 or more.
        batch_size : int
            Examples in a step; the last step of an epoch takes what is left. Goes with arrays and only with them.
        loss : Loss
            Say ``CrossEntropyLoss()``.
        optimizer : Optimizer
            Say ``Adam(1e-3)``; it goes on where it stopped when it has trained this network before.
        validation_data : (x, y) or iterable of (x, y), optional
            Evaluated after each epoch: a tuple of two arrays, or else an iterable of batches that starts anew.
        callbacks : iterable of callable
            Each is called after each epoch as ``callback(network, history)``; one that returns something true
            stops the training. Keep the optimiser at hand to change its ``lr``, the history's values to decide. An
            object's methods ``before_fit`` and ``after_fit``, where it has them, are called likewise before the first
            epoch and when the training has ended.
        progress : bool
            Whether to show a bar on stderr: tqdm's where it is installed, plain text otherwise.
        rng : numpy.random.Generator, seed or None
            Draws the order of arrays, and goes only with them. The bits of the result depend on it, the data and the
            first parameters, not on the number of threads; None takes fresh entropy.
        steps_per_epoch : int, optional
            Batches of an iterable that make an epoch; each epoch goes on where the one before stopped. Without it an
            epoch is one turn through the iterable. An iterable that can start anew does so when it runs dry; a
            generator that does ends the training, with a warning, after the epoch that it began.

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
        epochs = _checks.integer(epochs, "epochs", minimum=0)
        batches = _training_batches(x, y, epochs, batch_size, rng, steps_per_epoch)
        check_kind(loss, Loss, "loss", "CrossEntropyLoss()")
        check_kind(optimizer, Optimizer, "optimizer", "SGD(0.1)")
        validation = _validation_batches(validation_data, epochs, batch_size)
        callbacks = _callables(callbacks)
        progress = _checks.boolean(progress, "progress")
        self._check_writeable()

        history = History(epochs)
        _call_hooks(callbacks, "before_fit", self, history)
        try:
            with _training(self):
                for epoch in range(1, epochs + 1):
                    bar = progress_bar(batches.examples, f"epoch {epoch}/{epochs}", progress)
                    try:
                        means = _Means()
                        for examples, targets in batches.epoch():
                            means.add(loss, self._step(examples, targets, loss, optimizer), len(examples))
                            bar.unit = " images" if examples.ndim == 4 else " examples"
                            if bar.total is None and batches.steps is not None:  # of batches as large as the first
                                bar.total = batches.steps * len(examples)
                            bar.set_postfix_str(_text(means.values()), refresh=False)
                            bar.update(len(examples))
                        if means.examples == 0:  # a generator ran dry at the end of an epoch
                            break
                        bar.total = means.examples
                        metrics = means.values()
                        if validation is not None:
                            validated = self._evaluate(validation, loss)
                            metrics |= {f"val_{name}": value for name, value in validated.items()}
                        bar.set_postfix_str(_text(metrics))
                    finally:
                        bar.close()
                    history.record(metrics)
                    if any([callback(self, history) for callback in callbacks]):  # a list: each has its turn
                        break
                    if isinstance(batches, IterableBatches) and batches.dry:
                        break
        finally:
            self.forget()
        _call_hooks(callbacks, "after_fit", self, history)
        return history

    def predict(self, x: Any, batch_size: int = 256) -> Any:
        """Return the outputs for `x` [N, ...], computed in batches, in inference mode.

        They are an array, or a tuple of arrays where the last layer gives one, as a pool that returns indices.

        Layers keep nothing of it and do not change: several threads may predict with one network.

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
        with inference():
            outputs = [self.forward(x[start : start + batch_size]) for start in starts]
        if len(outputs) == 1:
            return outputs[0]
        if isinstance(outputs[0], tuple):
            return tuple(np.concatenate(parts) for parts in zip(*outputs, strict=True))
        return np.concatenate(outputs)

    def evaluate(self, x: Any, y: Any, loss: Loss, batch_size: int = 256) -> dict[str, float]:
        """Return the "loss" of the examples `x` and targets `y` and, for class targets, the "accuracy".

        With None for `y`, `x` is an iterable of batches (x, y), which are as large as they come. Layers keep nothing of
        it and do not change: several threads may evaluate one network, each with a loss of its own.

        Raises
        ------
        TypeError, ValueError
            An argument of the wrong kind or value.
        """
        batch_size = _checks.integer(batch_size, "batch_size")
        batches: Batches
        if y is None and is_iterable_of_batches(x):
            batches = IterableBatches(x, "x", epochs=1)
        else:
            batches = ArrayBatches(x, y, "x", "y", batch_size)
        check_kind(loss, Loss, "loss", "CrossEntropyLoss()")
        return self._evaluate(batches, loss)

    def _evaluate(self, batches: Batches, loss: Loss) -> dict[str, float]:
        means = _Means()
        with inference():
            for examples, targets in batches.epoch():
                means.add(loss, loss.forward(self.forward(examples), targets), len(examples))
        return means.values()

    def _step(self, x: Array, y: Array, loss: Loss, optimizer: Optimizer) -> float:
        """Learn from one batch and return its loss."""
        value = loss.forward(self.forward(x), y)
        self.backward(loss.backward(), input_gradient=False)
        optimizer.step(self)
        return value

    def _check_writeable(self) -> None:
        """Refuse to train what the first step could not update."""
        for prefix, leaf in self.leaves():
            for name, param in leaf.params.items():
                if leaf.requires_grad and isinstance(param, np.ndarray) and not param.flags.writeable:
                    raise ValueError(
                        f"{prefix + name!r} is read-only, as in a frozen network: unfreeze() it, or let it be with "
                        f"requires_grad = False"
                    )


class _Means:
    """Loss and accuracy of all batches together."""

    def __init__(self) -> None:
        self.examples = 0
        self._loss = self._weight = 0.0
        self._right = self._classified = 0
        self._classes = True

    def add(self, loss: Loss, value: float, examples: int) -> None:
        """Count a batch with what the loss measured of it."""
        self.examples += examples
        if loss.reduction == "sum":
            self._loss += value
            self._weight = 1.0
        elif weight := examples if loss.count is None else loss.count:  # without weight the mean is none
            self._loss += value * weight
            self._weight += weight
        if loss.correct is None:
            self._classes = False
        else:
            self._right += loss.correct[0]
            self._classified += loss.correct[1]

    def values(self) -> dict[str, float]:
        """Return the "loss" and, where every batch had classes, the "accuracy"."""
        means = {"loss": self._loss / self._weight if self._weight else math.nan}
        if self._classes:
            means["accuracy"] = self._right / self._classified if self._classified else math.nan
        return means


def _training_batches(
    x: Any, y: Any, epochs: int, batch_size: int | None, rng: Any, steps_per_epoch: int | None
) -> Batches:
    if y is None and is_iterable_of_batches(x):
        for name, value in ("batch_size", batch_size), ("rng", rng):
            if value is not None:
                raise ValueError(f"{name} goes with arrays; the batches of an iterable come as they are, got {value!r}")
        if steps_per_epoch is not None:
            steps_per_epoch = _checks.integer(steps_per_epoch, "steps_per_epoch")
        return IterableBatches(x, "x", epochs, steps_per_epoch)
    if y is None:
        raise TypeError(
            f"y must be an array of numbers where x is no iterable of batches (x, y), got None with {type(x).__name__}"
        )
    if steps_per_epoch is not None:
        raise ValueError(f"steps_per_epoch goes with an iterable of batches, got {steps_per_epoch!r} with arrays")
    size = _checks.integer(batch_size, "batch_size")
    return ArrayBatches(x, y, "x", "y", size, _checks.generator(rng))


def _validation_batches(data: Any, epochs: int, batch_size: int | None) -> Batches | None:
    if data is None:
        return None
    if isinstance(data, tuple) and len(data) == 2:
        return ArrayBatches(*data, "validation_data[0]", "validation_data[1]", batch_size or 256)
    if not is_iterable_of_batches(data):
        raise TypeError(
            f"validation_data must be a pair (x, y), an iterable of such batches, or None, got {type(data).__name__}"
        )
    return IterableBatches(data, "validation_data", epochs)


def _text(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())


@contextmanager
def _training(network: Layer) -> Iterator[None]:
    """Put every layer into training, and each back as it was."""
    changed = [leaf for _, leaf in network.leaves() if not leaf.training]
    for leaf in changed:
        leaf.training = True
    try:
        yield
    finally:
        for leaf in changed:
            leaf.training = False


def check_kind(value: Any, kind: type, name: str, example: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be an nn.{kind.__name__} such as nn.{example}, got {value!r}")


def _callables(callbacks: Any) -> list[Callback]:
    try:
        result = list(callbacks)
    except TypeError:
        raise TypeError(f"callbacks must be an iterable of callables, got {callbacks!r}") from None
    for index, callback in enumerate(result):
        if not callable(callback) or isinstance(callback, type):  # a class makes an object of the network
            raise TypeError(f"callbacks[{index}] must be callable as callback(network, history), got {callback!r}")
    return result


def _call_hooks(callbacks: list[Callback], name: str, network: Layer, history: History) -> None:
    """Call a method that callbacks may have beside being callable."""
    for callback in callbacks:
        hook = getattr(callback, name, None)
        if hook is not None:
            hook(network, history)

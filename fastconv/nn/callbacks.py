"""Callbacks of `fit`: callables that are called after each epoch as ``callback(network, history)``; true stops it.

A callback of your own is a function. Those here are objects because they remember something from epoch to epoch; an
object may have the methods ``before_fit`` and ``after_fit`` too, which `fit` calls with the same arguments.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

from . import _checks
from ._checks import Array
from .optimisers import Optimizer
from .state import Stateful, check_writeable, checked_path
from .training import History, check_kind

__all__ = [
    "Checkpoint",
    "EarlyStopping",
    "LearningRateSchedule",
    "ReduceLROnPlateau",
    "cosine_decay",
    "step_decay",
]


class _Monitor:
    """Watches one value of the history for improvements."""

    def __init__(self, monitor: str, mode: str, min_delta: float) -> None:
        if not isinstance(monitor, str):
            raise TypeError(f"monitor must be the name of a value such as 'val_loss', got {monitor!r}")
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode must be 'auto', 'min' or 'max', got {mode!r}")
        self.monitor = monitor
        self.min_delta = _checks.real(min_delta, "min_delta", 0)
        self._sign = -1.0 if mode == "max" or (mode == "auto" and "accuracy" in monitor) else 1.0
        self.reset()

    def reset(self) -> None:
        """Forget the best value."""
        self._best = math.inf

    def improved(self, history: History) -> bool:
        """Whether the last value is better than the best before; NaN never is."""
        if self.monitor not in history:
            raise ValueError(
                f"monitor must be one of {', '.join(map(repr, history))}, which this training measures, "
                f"got {self.monitor!r}"
            )
        value = self._sign * history[self.monitor][-1]
        if not value < self._best - (0 if math.isinf(self._best) else self.min_delta):
            return False
        self._best = value
        return True


class EarlyStopping:
    """Stops the training when a value has not improved for some epochs.

    It starts anew with each `fit`.

    Parameters
    ----------
    monitor : str
        Name of a value of the `History`: "loss", "accuracy", "val_loss" or "val_accuracy".
    patience : int
        Epochs in a row without an improvement after which training stops, 1 or more.
    min_delta : float
        What a value must be better by than the best before, to be an improvement.
    restore_best : bool
        Whether the network gets back the parameters and buffers of its best epoch when the training ends, whatever
        ends it but an error or Ctrl-C.
    mode : {"auto", "min", "max"}
        Whether small or large values are good; "auto": large ones for an accuracy, small ones otherwise.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; after the first epoch, a `monitor` that was not measured.

    Examples
    --------
    >>> from fastconv import nn
    >>> stop = nn.EarlyStopping("loss", patience=2, restore_best=False)
    >>> network, history = nn.Sequential(), nn.History()
    >>> for loss in 3.0, 2.0, 2.5, 2.0:
    ...     history.record({"loss": loss})
    ...     print(loss, stop(network, history))
    3.0 False
    2.0 False
    2.5 False
    2.0 True
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 5,
        min_delta: float = 0.0,
        restore_best: bool = True,
        mode: str = "auto",
    ) -> None:
        self._monitor = _Monitor(monitor, mode, min_delta)
        self.patience = _checks.integer(patience, "patience")
        self.restore_best = _checks.boolean(restore_best, "restore_best")
        self._best_state: dict[str, Array] = {}
        self._waited = 0

    def before_fit(self, network: Stateful, history: History) -> None:
        """Forget the training before."""
        self._monitor.reset()
        self._best_state = {}
        self._waited = 0

    def __call__(self, network: Stateful, history: History) -> bool:
        """Return whether the training shall stop."""
        if self._monitor.improved(history):
            self._waited = 0
            if self.restore_best:
                self._best_state = network.state_dict()
        else:
            self._waited += 1
        return self._waited >= self.patience

    def after_fit(self, network: Stateful, history: History) -> None:
        """Give the network its best epoch back."""
        if self._best_state:
            network.load_state_dict(self._best_state)
            self._best_state = {}


class Checkpoint:
    """Saves the network after each epoch, or after each that is the best so far.

    Parameters
    ----------
    path : str or path
        Where `Sequential.save` writes: .npz or .safetensors. ``{epoch}``, from 1, and ``{name}`` of any value of the
        history are filled in, with a format if you like: "digits-{epoch:03d}-{val_accuracy:.3f}.npz". Without them the
        file is replaced each time.
    monitor : str, optional
        Name of a value of the `History`: save only when it is better than at all earlier saves. None saves always.
    optimizer : Optimizer, optional
        Its state is saved beside the network's, in a file whose name has ".optimizer" before the suffix: with both,
        ``network.load`` and ``optimizer.load``, training goes on as if it had not stopped.
    mode : {"auto", "min", "max"}
        As in `EarlyStopping`.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; before a training, a name in the path that `fit` does not measure; after
        the first epoch, one that this training did not, or such a `monitor`.
    ImportError
        Before a training, no safetensors, which is an extra: ``pip install "fastconv[safetensors]"``.
    OSError
        Before a training, a folder that is not there; after an epoch, a file that cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from fastconv import nn
    >>> network, history = nn.Sequential(nn.Linear(2, 1)), nn.History()
    >>> history.record({"loss": 0.5})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     nn.Checkpoint(Path(folder, "{epoch:02d}-{loss:.2f}.npz"))(network, history)
    ...     [path.name for path in Path(folder).iterdir()]
    ['01-0.50.npz']
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: str | None = None,
        optimizer: Optimizer | None = None,
        mode: str = "auto",
    ) -> None:
        self.path, _ = checked_path(path)
        self._filled(_AnyValue(epoch=1))
        self._monitor = None if monitor is None else _Monitor(monitor, mode, 0.0)
        if optimizer is not None:
            check_kind(optimizer, Optimizer, "optimizer", "SGD(0.1)")
        self.optimizer = optimizer

    def before_fit(self, network: Stateful, history: History) -> None:
        """Refuse what would end the training after its first epoch: a name of no value, a folder that is not there."""
        path = self._filled({"epoch": 1, "loss": 0.5, "accuracy": 0.5, "val_loss": 0.5, "val_accuracy": 0.5})
        if os.path.dirname(path) == os.path.dirname(self.path):  # the same folder for every epoch
            check_writeable(path)

    def __call__(self, network: Stateful, history: History) -> None:
        """Save, unless the epoch was not the best."""
        if self._monitor is not None and not self._monitor.improved(history):
            return
        path = self._filled({"epoch": history.epochs} | {name: series[-1] for name, series in history.items()})
        network.save(path)
        if self.optimizer is not None:
            stem, suffix = os.path.splitext(path)
            self.optimizer.save(network, f"{stem}.optimizer{suffix}")

    def _filled(self, values: dict[str, Any]) -> str:
        """The path with values in it."""
        try:
            return self.path.format_map(values)
        except (LookupError, ValueError, AttributeError, TypeError) as error:
            known = ", ".join(values)
            raise ValueError(f"path must be made of {known}, got {self.path!r}: {error!r}") from None


class _AnyValue(dict[str, Any]):
    """The values of a history that nobody knows yet: whatever the name, a float."""

    def __missing__(self, name: str) -> float:
        return 0.5


class LearningRateSchedule:
    """Sets the learning rate of an optimiser before each epoch.

    That of the first epoch is set at once, and the count goes on with the next `fit`.

    Parameters
    ----------
    optimizer : Optimizer
        The one that `fit` steps with.
    function : callable
        ``function(epoch)`` returns the learning rate of an epoch, counted from 0: one of your own, or say
        ``cosine_decay(0.1, epochs=30)``.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind; a learning rate that is no finite number of at least 0.

    Examples
    --------
    >>> from fastconv import nn
    >>> optimizer = nn.SGD()
    >>> schedule = nn.LearningRateSchedule(optimizer, lambda epoch: 0.1 / (1 + epoch))
    >>> optimizer.lr
    0.1
    >>> schedule(nn.Sequential(), nn.History())
    >>> optimizer.lr
    0.05
    """

    def __init__(self, optimizer: Optimizer, function: Callable[[int], float]) -> None:
        check_kind(optimizer, Optimizer, "optimizer", "SGD(0.1)")
        if not callable(function):
            raise TypeError(f"function must be callable as function(epoch), got {function!r}")
        self.optimizer = optimizer
        self.function = function
        self.epoch = 0
        self._set()

    def __call__(self, network: Any, history: History) -> None:
        """Set the learning rate of the coming epoch."""
        self.epoch += 1
        self._set()

    def _set(self) -> None:
        self.optimizer.lr = _checks.real(self.function(self.epoch), "the learning rate of the schedule", 0)


class ReduceLROnPlateau:
    """Lowers the learning rate of an optimiser when a value has not improved for some epochs.

    Parameters
    ----------
    optimizer : Optimizer
        The one that `fit` steps with.
    monitor : str
        Name of a value of the `History`, as in `EarlyStopping`.
    factor : float
        Times which the learning rate is taken, above 0 and below 1.
    patience : int
        Epochs in a row without an improvement after which it is, 1 or more.
    min_delta : float
        What a value must be better by than the best before, to be an improvement.
    min_lr : float
        The learning rate does not go below it.
    mode : {"auto", "min", "max"}
        As in `EarlyStopping`.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; after the first epoch, a `monitor` that was not measured.

    Examples
    --------
    >>> from fastconv import nn
    >>> optimizer, history = nn.SGD(0.5), nn.History()
    >>> reduce = nn.ReduceLROnPlateau(optimizer, "loss", factor=0.5, patience=1)
    >>> for loss in 3.0, 2.0, 2.5, 2.25:
    ...     history.record({"loss": loss})
    ...     reduce(nn.Sequential(), history)
    >>> optimizer.lr
    0.125
    """

    def __init__(
        self,
        optimizer: Optimizer,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 5,
        min_delta: float = 0.0,
        min_lr: float = 0.0,
        mode: str = "auto",
    ) -> None:
        check_kind(optimizer, Optimizer, "optimizer", "SGD(0.1)")
        self.optimizer = optimizer
        self._monitor = _Monitor(monitor, mode, min_delta)
        self.factor = _checks.real(factor, "factor", 0)
        if not 0 < self.factor < 1:
            raise ValueError(f"factor must be above 0 and below 1, got {self.factor}")
        self.patience = _checks.integer(patience, "patience")
        self.min_lr = _checks.real(min_lr, "min_lr", 0)
        self._waited = 0

    def __call__(self, network: Any, history: History) -> None:
        """Lower the learning rate when it is time."""
        self._waited = 0 if self._monitor.improved(history) else self._waited + 1
        if self._waited >= self.patience:
            self._waited = 0
            self.optimizer.lr = min(self.optimizer.lr, max(self.optimizer.lr * self.factor, self.min_lr))


def step_decay(lr: float, every: int, factor: float = 0.1) -> Callable[[int], float]:
    """Return a schedule that takes `lr` times `factor` after every so many epochs.

    Examples
    --------
    >>> from fastconv import nn
    >>> schedule = nn.step_decay(1.0, every=2, factor=0.5)
    >>> [schedule(epoch) for epoch in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    lr, every, factor = _checks.real(lr, "lr", 0), _checks.integer(every, "every"), _checks.real(factor, "factor", 0)

    def rate(epoch: int) -> float:
        try:
            return lr * factor ** (epoch // every)
        except OverflowError:
            raise ValueError(f"factor must leave a finite learning rate in epoch {epoch}, got {factor}") from None

    return rate


def cosine_decay(lr: float, epochs: int, warmup: int = 0, final_lr: float = 0.0) -> Callable[[int], float]:
    """Return a schedule that falls from `lr` to `final_lr` along half a cosine, after a linear rise.

    Parameters
    ----------
    lr : float
        The highest learning rate.
    epochs : int
        Epochs until `final_lr`, those of the rise included; it stays from then on.
    warmup : int
        Epochs of the rise: lr / (warmup + 1), 2 lr / (warmup + 1), ... Fewer than `epochs`.
    final_lr : float
        The lowest learning rate.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value.

    References
    ----------
    I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, arXiv:1608.03983.
    The rise: P. Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017, arXiv:1706.02677.

    Examples
    --------
    >>> from fastconv import nn
    >>> schedule = nn.cosine_decay(1.0, epochs=5, warmup=1)
    >>> [round(schedule(epoch), 3) for epoch in range(6)]
    [0.5, 1.0, 0.854, 0.5, 0.146, 0.0]
    """
    lr, final_lr = _checks.real(lr, "lr", 0), _checks.real(final_lr, "final_lr", 0)
    epochs, warmup = _checks.integer(epochs, "epochs"), _checks.integer(warmup, "warmup", 0)
    if warmup >= epochs:
        raise ValueError(f"warmup must be fewer epochs than the {epochs} of all, got {warmup}")

    def rate(epoch: int) -> float:
        if epoch < warmup:
            return lr * (epoch + 1) / (warmup + 1)
        done = min((epoch - warmup) / (epochs - warmup), 1.0)
        return final_lr + (lr - final_lr) * (1 + math.cos(math.pi * done)) / 2

    return rate

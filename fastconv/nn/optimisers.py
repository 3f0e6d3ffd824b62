"""Optimisers: `optimizer.step(network)` moves the network's parameters along its gradients, in place.

They are made without parameters: what they remember of a parameter hangs, weakly, on the layer that owns it, so a layer
may move, be frozen for a while or be replaced, and dies with its state.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from fastconv import _core

from . import _checks
from ._checks import Array
from .layers import Layer

__all__ = ["SGD", "Adam", "Optimizer"]


class Optimizer:
    """Base class of the optimisers: a subclass says what it remembers (`_prepare`) and how it moves (`_update`).

    Attributes
    ----------
    lr : float
        The learning rate; may be changed between steps, as every other option.
    """

    def __init__(self, lr: float) -> None:
        self.lr = _checks.real(lr, "lr", 0)
        self._states: WeakKeyDictionary[Layer, dict[str, dict[str, Any]]] = WeakKeyDictionary()

    def step(self, network: Layer) -> None:
        """Update the parameters of `network` in place from the gradients that `backward` left in it.

        Frozen layers stay as they are. All parameters move or none: everything that can fail comes first, and a
        Ctrl-C waits for the last of them.

        Raises
        ------
        TypeError
            `network` is no layer.
        ValueError
            A parameter without a gradient, or one that cannot be updated in place.
        """
        if not isinstance(network, Layer):
            raise TypeError(f"network must be a Layer, got {network!r} ({type(network).__name__})")
        updates = []
        for prefix, layer in network.leaves():
            if layer.requires_grad:
                states = self._states.setdefault(layer, {})
                for name, param in layer.params.items():
                    gradient = _matching_gradient(prefix + name, param, layer.grads.get(name))
                    updates.append((param, gradient, self._state(states, name, param)))
        with uninterrupted():
            for param, gradient, state in updates:
                self._update(param, gradient, state)

    def _state(self, states: dict[str, dict[str, Any]], name: str, param: Array) -> dict[str, Any]:
        """What is remembered of a parameter; afresh when it is new or was replaced by one of another shape or dtype."""
        key = (param.shape, param.dtype)
        if name not in states or states[name]["key"] != key:
            states[name] = {"key": key}
        self._prepare(param, states[name])
        return states[name]

    def _prepare(self, param: Array, state: dict[str, Any]) -> None:
        """Put into `state` what the coming update needs and earlier ones have not left there."""
        raise NotImplementedError(f"{type(self).__name__} has no _prepare")

    def _update(self, param: Array, gradient: Array, state: dict[str, Any]) -> None:
        """Update one parameter and its state in place."""
        raise NotImplementedError(f"{type(self).__name__} has no _update")

    def __repr__(self) -> str:
        options = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in options.items())})"


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, as `torch.optim.SGD`.

    ``velocity = momentum * velocity + gradient; param -= lr * velocity``, or, with Nesterov's look ahead,
    ``param -= lr * (gradient + momentum * velocity)``.

    Parameters
    ----------
    lr : float
        Learning rate.
    momentum : float
        Share of the velocity that stays.
    nesterov : bool
        Whether to look ahead; needs a momentum.
    weight_decay : float
        Added to the gradient, times the parameter.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong kind or value.

    References
    ----------
    I. Sutskever, J. Martens, G. Dahl, G. Hinton, "On the importance of initialization and momentum in deep learning",
    ICML 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.Linear(2, 1, bias=False, rng=0)
    >>> before = layer.params["weight"].copy()
    >>> layer.backward(np.ones_like(layer.forward(np.ones((1, 2), np.float32)))).shape
    (1, 2)
    >>> nn.SGD(lr=0.5).step(layer)
    >>> np.allclose(layer.params["weight"], before - 0.5)
    True
    """

    def __init__(
        self, lr: float = 1e-3, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0
    ) -> None:
        super().__init__(lr)
        self.momentum = _checks.real(momentum, "momentum", 0)
        self.nesterov = _checks.boolean(nesterov, "nesterov")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0, got momentum 0")
        self.weight_decay = _checks.real(weight_decay, "weight_decay", 0)

    def _prepare(self, param: Array, state: dict[str, Any]) -> None:
        if self.momentum and "velocity" not in state:
            state["velocity"] = np.zeros_like(param)

    def _update(self, param: Array, gradient: Array, state: dict[str, Any]) -> None:
        velocity = state["velocity"] if self.momentum else None
        _core.sgd_step(param, gradient, velocity, self.lr, self.momentum, self.nesterov, self.weight_decay)


class Adam(Optimizer):
    """Adam, as `torch.optim.Adam`: steps scaled by running means of the gradient and of its square.

    Parameters
    ----------
    lr : float
        Learning rate.
    betas : (float, float)
        What stays of the running means in a step, each from 0 to below 1.
    eps : float
        Added to the root of the mean square.
    weight_decay : float
        Added to the gradient, times the parameter.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong kind or value.

    References
    ----------
    D. P. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, arXiv:1412.6980.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.Linear(2, 1, bias=False, rng=0)
    >>> before = layer.params["weight"].copy()
    >>> layer.backward(np.ones_like(layer.forward(np.ones((1, 2), np.float32)))).shape
    (1, 2)
    >>> nn.Adam(lr=0.5).step(layer)
    >>> np.allclose(layer.params["weight"], before - 0.5)
    True
    """

    _decoupled = False

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(lr)
        if not isinstance(betas, (list, tuple)) or len(betas) != 2:
            raise TypeError(f"betas must be two numbers, got {betas!r}")
        self.betas = _checks.real(betas[0], "betas[0]", 0), _checks.real(betas[1], "betas[1]", 0)
        if max(self.betas) >= 1:
            raise ValueError(f"betas must be below 1, got {self.betas}")
        self.eps = _checks.real(eps, "eps", 0)
        self.weight_decay = _checks.real(weight_decay, "weight_decay", 0)

    def _prepare(self, param: Array, state: dict[str, Any]) -> None:
        if "step" not in state:
            state |= {"step": 0, "mean": np.zeros_like(param), "square": np.zeros_like(param)}

    def _update(self, param: Array, gradient: Array, state: dict[str, Any]) -> None:
        state["step"] += 1
        _core.adam_step(
            param,
            gradient,
            state["mean"],
            state["square"],
            self.lr,
            *self.betas,
            self.eps,
            self.weight_decay,
            self._decoupled,
            state["step"],
        )


def _matching_gradient(name: str, param: Array, gradient: Array | None) -> Array:
    """The gradient of a parameter as the C loop takes it, after all that could make the loop fail."""
    if gradient is None:
        raise ValueError(f"{name!r} has no gradient: call backward before step")
    if not isinstance(param, np.ndarray) or param.dtype not in (np.float32, np.float64):
        raise ValueError(f"{name!r} must be a float32 or float64 array to be updated, got {_kind(param)}")
    if not (param.flags.c_contiguous and param.flags.writeable and param.dtype.isnative):
        raise ValueError(f"{name!r} must be C-contiguous, writeable and native to be updated in place, it is not")
    if gradient.shape != param.shape:
        raise ValueError(f"the gradient of {name!r} must have the shape {param.shape}, got {gradient.shape}")
    return np.asarray(_checks.cast(gradient, param.dtype), order="C")


def _kind(value: Any) -> str:
    return str(value.dtype) if isinstance(value, np.ndarray) else type(value).__name__


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

"""Optimisers: `optimizer.step(network)` moves the network's parameters along its gradients, in place.

They are made without parameters: what they remember of a parameter hangs, weakly, on the layer that owns it, so a layer
may move, be frozen for a while or be replaced, and dies with its state.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from fastconv import _core

from . import _checks
from ._checks import Array
from .interrupt import uninterrupted
from .layers import Layer
from .layers.base import contiguous
from .state import named_after, read_state, write_state

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]

_MOST_STEPS = 2**62  # which a training will not reach, and from which it can go on


class Optimizer:
    """Base class of the optimisers.

    A subclass says what its options are (`_check`), what it remembers of a parameter (`_slots`, `_prepare`) and how it
    moves it (`_update`).

    Attributes
    ----------
    lr : float
        The learning rate; may be changed between steps, as every other option.
    """

    lr: float

    _slots: tuple[str, ...] = ()  # what is remembered of a parameter: arrays of its shape, and "step", an int

    def __init__(self, lr: float, **options: Any) -> None:
        vars(self).update(lr=lr, **options)
        self._check()
        self._states: WeakKeyDictionary[Layer, dict[str, dict[str, Any]]] = WeakKeyDictionary()

    def _check(self) -> None:
        """Bring the options into their plain form, or refuse them: when they are given, and before each step."""
        self.lr = _checks.real(self.lr, "lr", 0)

    def step(self, network: Layer) -> None:
        """Update the parameters of `network` in place from the gradients that `backward` left in it.

        Frozen layers stay as they are. All parameters move or none: everything that can fail comes first, and a
        Ctrl-C waits for the last of them.

        Raises
        ------
        TypeError, ValueError
            `network` is no layer; an option that was changed to one of the wrong kind or value.
        ValueError
            A parameter without a gradient, or one that cannot be updated in place, such as a frozen network's.
        """
        _check_network(network)
        self._check()
        moving = [
            (layer, name, param, _matching_gradient(prefix + name, param, layer.grads.get(name)))
            for prefix, layer in network.leaves()
            if layer.requires_grad
            for name, param in layer.params.items()
        ]
        updates = [
            (param, gradient, self._state(self._states.setdefault(layer, {}), name, param))
            for layer, name, param, gradient in moving
        ]
        with uninterrupted():
            for param, gradient, state in updates:
                self._update(param, gradient, state)

    def state_dict(self, network: Layer) -> dict[str, Array]:
        """Return copies of what is remembered of the parameters of `network`, by key: "0.weight.mean".

        With the network's own state and the options, which are not in it, training goes on where it stopped. The dict
        is empty before the first step.

        Examples
        --------
        >>> import numpy as np
        >>> from fastconv import nn
        >>> network, optimizer = nn.Sequential(nn.Linear(2, 1, bias=False)), nn.Adam()
        >>> network.backward(network(np.ones((1, 2), np.float32))).shape
        (1, 2)
        >>> optimizer.step(network)
        >>> list(optimizer.state_dict(network))
        ['0.weight.mean', '0.weight.square', '0.weight.step']
        """
        _check_network(network)
        return {
            f"{prefix}{name}.{slot}": np.array(states[name][slot])
            for prefix, layer in network.leaves()
            for states in [self._states.get(layer, {})]
            for name in layer.params
            for slot in self._slots
            if slot in states.get(name, {})
        }

    def load_state_dict(self, network: Layer, state: Mapping[str, Any]) -> None:
        """Remember of the parameters of `network` what `state_dict` returned; of those not in `state`, nothing.

        Raises
        ------
        TypeError
            `network` is no layer, `state` no mapping, or a value no array of real numbers.
        ValueError
            Keys that do not belong to the network or to this kind of optimiser, some of a parameter's keys but not all,
            or arrays of other shapes. What is remembered stays as it was.
        """
        _check_network(network)
        if not isinstance(state, Mapping):
            raise TypeError(f"state must be a mapping of keys to arrays, got {type(state).__name__}")
        unexpected, loaded = set(state), []
        for prefix, layer in network.leaves():
            for name, param in layer.params.items():
                keys = {slot: f"{prefix}{name}.{slot}" for slot in self._slots}
                unexpected -= set(keys.values())
                missing = [key for key in keys.values() if key not in state]
                if missing and len(missing) < len(keys):
                    raise ValueError(f"the state does not fit the network: missing {', '.join(map(repr, missing))}")
                values = {} if missing else {slot: _slot(state[key], key, slot, param) for slot, key in keys.items()}
                loaded.append((layer, name, param, values))
        if unexpected:
            listed = ", ".join(sorted(map(repr, unexpected)))
            raise ValueError(f"the state does not fit the network and {type(self).__name__}: unexpected {listed}")
        for layer, name, param, values in loaded:
            states = self._states.setdefault(layer, {})
            states.pop(name, None)
            if values:
                states[name] = {"key": (param.shape, param.dtype), **values}

    def save(self, network: Layer, path: str | os.PathLike[str]) -> None:
        """Write what `state_dict` returns to a file, as `Sequential.save` does."""
        write_state(path, self.state_dict(network))

    def load(self, network: Layer, path: str | os.PathLike[str]) -> None:
        """Read what `save` wrote, as `load_state_dict`; errors name the file."""
        state = read_state(path)
        with named_after(path):
            self.load_state_dict(network, state)

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

    def __getstate__(self) -> dict[str, Any]:
        """With the layers that it remembers something of: a pickle of (network, optimizer) goes on where it stopped."""
        return vars(self) | {"_states": dict(self._states)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _states=WeakKeyDictionary(state["_states"]))

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

    momentum: float
    nesterov: bool
    weight_decay: float

    _slots = ("velocity",)

    def __init__(
        self, lr: float = 1e-3, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0
    ) -> None:
        super().__init__(lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)

    def _check(self) -> None:
        super()._check()
        self.momentum = _checks.real(self.momentum, "momentum", 0)
        self.nesterov = _checks.boolean(self.nesterov, "nesterov")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0, got momentum 0")
        self.weight_decay = _checks.real(self.weight_decay, "weight_decay", 0)

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

    betas: tuple[float, float]
    eps: float
    weight_decay: float

    _slots = ("mean", "square", "step")
    _decoupled = False

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _check(self) -> None:
        super()._check()
        if not isinstance(self.betas, (list, tuple)) or len(self.betas) != 2:
            raise TypeError(f"betas must be two numbers, got {self.betas!r}")
        first, second = self.betas
        self.betas = _checks.real(first, "betas[0]", 0), _checks.real(second, "betas[1]", 0)
        if max(self.betas) >= 1:
            raise ValueError(f"betas must be below 1, got {self.betas}")
        self.eps = _checks.real(self.eps, "eps", 0)
        self.weight_decay = _checks.real(self.weight_decay, "weight_decay", 0)

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


class AdamW(Adam):
    """Adam with decoupled weight decay, as `torch.optim.AdamW`: the decay shrinks parameters and not their gradients.

    ``param *= 1 - lr * weight_decay`` comes before each step of `Adam`.

    Parameters
    ----------
    lr, betas, eps
        As in `Adam`.
    weight_decay : float
        Times the learning rate: the share of each parameter that a step takes away.

    Raises
    ------
    TypeError, ValueError
        An option of the wrong kind or value.

    References
    ----------
    I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, arXiv:1711.05101.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.Linear(2, 1, bias=False, rng=0)
    >>> before = layer.params["weight"].copy()
    >>> layer.backward(np.zeros_like(layer.forward(np.ones((1, 2), np.float32)))).shape
    (1, 2)
    >>> nn.AdamW(lr=0.5, weight_decay=0.1).step(layer)
    >>> np.allclose(layer.params["weight"], 0.95 * before)
    True
    """

    _decoupled = True

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay)


def _check_network(network: Any) -> None:
    if not isinstance(network, Layer):
        raise TypeError(f"network must be a Layer, got {network!r} ({type(network).__name__})")


def _slot(value: Any, key: str, slot: str, param: Array) -> Any:
    """A loaded value as the steps take it: a copy of the parameter's kind, or a count."""
    array = _checks.array(value, repr(key))
    if slot == "step":
        count = _checks.integer(array.item() if array.shape == () else value, repr(key))
        if count > _MOST_STEPS:
            raise ValueError(f"{key!r} must be at most {_MOST_STEPS}, got {count}")
        return count
    if array.dtype.kind == "c":
        raise TypeError(f"{key!r} must hold real numbers, got {array.dtype}")
    _checks.same_shape(array, param.shape, repr(key))
    return np.array(_checks.cast(array, param.dtype), order="C")


def _matching_gradient(name: str, param: Array, gradient: Array | None) -> Array:
    """The gradient of a parameter as the C loop takes it, after all that could make the loop fail."""
    if not isinstance(param, np.ndarray) or param.dtype not in (np.float32, np.float64):
        raise ValueError(f"{name!r} must be a float32 or float64 array to be updated, got {_kind(param)}")
    if not param.flags.writeable:
        raise ValueError(f"{name!r} must be writeable to be updated in place; a frozen network's is not: unfreeze() it")
    if not (param.flags.carray and param.dtype.isnative):
        raise ValueError(f"{name!r} must be C-contiguous, aligned and native to be updated in place, it is not")
    if gradient is None:
        raise ValueError(f"{name!r} has no gradient: call backward before step")
    if gradient.shape != param.shape:
        raise ValueError(f"the gradient of {name!r} must have the shape {param.shape}, got {gradient.shape}")
    return contiguous(_checks.cast(gradient, param.dtype))


def _kind(value: Any) -> str:
    return str(value.dtype) if isinstance(value, np.ndarray) else type(value).__name__

"""Containers: layers made of layers, one after the other or side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from fastconv import _core
from fastconv._validate import empty

from . import _checks
from ._checks import Array
from .layers import Identity, Layer
from .layers.base import contiguous
from .state import Stateful

if TYPE_CHECKING:
    from .freeze import Frozen

__all__ = ["Concat", "Container", "Residual"]


class Container(Stateful):
    """Base class of the layers made of layers: `params`, `grads` and `buffers` are those of its layers.

    Their keys carry the name of the layer, which is its place unless the container says otherwise: "0.weight",
    "2.bias". Setting `training` or `requires_grad` sets it on every layer below; reading tells whether any has it.

    Attributes
    ----------
    layers : list of Layer
        In order; may be changed, say to replace the head of a network.
    """

    _kept: tuple[Any, ...] | None = None

    def __init__(self, *layers: Layer) -> None:
        for index, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                raise TypeError(
                    f"layers[{index}] must be a Layer, got {layer!r} ({type(layer).__name__}); "
                    f"write {type(self).__name__}(first, second, ...)"
                )
        self.layers: list[Layer] = list(layers)
        for _ in self.leaves():
            pass  # refuses a layer in two places

    @property
    def params(self) -> dict[str, Array]:
        """The arrays that are learnt, by place and name: the layers' own arrays."""
        return _Joined({prefix: leaf.params for prefix, leaf in self.leaves()})

    @property
    def grads(self) -> dict[str, Array]:
        """The gradients that the last `backward` left, by place and name: the layers' own arrays."""
        return _Joined({prefix: leaf.grads for prefix, leaf in self.leaves()})

    @property
    def buffers(self) -> dict[str, Array]:
        """The arrays that are part of the state but not learnt, by place and name: the layers' own arrays."""
        return _Joined({prefix: leaf.buffers for prefix, leaf in self.leaves()})

    @property
    def training(self) -> bool:
        """Whether any layer behaves as in training."""
        return any(layer.training for layer in self.layers)

    @training.setter
    def training(self, mode: bool) -> None:
        for layer in self.layers:
            layer.training = mode

    @property
    def requires_grad(self) -> bool:
        """Whether any layer is free to learn."""
        return any(layer.requires_grad for layer in self.layers)

    @requires_grad.setter
    def requires_grad(self, mode: bool) -> None:
        for layer in self.layers:
            layer.requires_grad = mode

    def forget(self) -> None:
        """Let go of what the last `forward` kept."""
        for layer in self.layers:
            layer.forget()

    def children(self) -> Iterator[tuple[str, Layer]]:
        """Yield the layers, each with its name: its place in `layers`."""
        for index, layer in enumerate(self.layers):
            yield str(index), layer

    def leaves(self) -> Iterator[tuple[str, Layer]]:
        """Yield the layers that hold parameters themselves, each with the prefix of its keys ("0." or "2.0.").

        Raises
        ------
        TypeError, ValueError
            What was put into `layers` and is no layer, or a layer in two places.
        """
        names: dict[int, str] = {}
        for name, layer in self.children():
            _check_layer(name, layer)
            for prefix, leaf in layer.leaves():
                place = f"{name}.{prefix}"
                if names.setdefault(id(leaf), place) != place:
                    raise ValueError(
                        f"every layer must have one place, for it remembers its input; got the same {leaf!r} "
                        f"at {names[id(leaf)][:-1]} and {place[:-1]}"
                    )
                yield place, leaf

    def __repr__(self) -> str:
        lines = [f"({name}): {layer!r}".replace("\n", "\n  ") for name, layer in self.children()]
        return "\n  ".join([f"{type(self).__name__}(", *lines]) + ("\n)" if lines else ")")


class Series(Container):
    """Base class of the layers in a row: each is fed with the output of the one before."""

    frozen: Frozen | None = None  # what computes the forward pass in place of the layers

    def forward(self, x: Any) -> Any:
        """Return the last layer's output."""
        if self.frozen is not None:
            return self.frozen(x)
        for name, layer in self.children():
            x = _output(name, layer, x)
        return x

    def backward(self, dy: Any, *, input_gradient: bool = True) -> Any:
        """Overwrite `grads` and return the gradient by the input.

        With ``input_gradient=False`` it returns None and goes back only as far as the first layer that learns.
        """
        if self.frozen is not None:
            raise ValueError("a frozen network does not go backward: unfreeze() it first")
        first = 0
        if not input_gradient:
            learning = (index for index, layer in enumerate(self.layers) if _learns(layer))
            first = next(learning, len(self.layers))
        for index in reversed(range(len(self.layers))):
            dy = _back(self.layers[index], dy, input_gradient or index > first)
        return dy if input_gradient else None

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)


class Branches(Container):
    """Base class of the layers side by side: each is fed with the same input, and `join` makes one of their outputs."""

    def forward(self, x: Any) -> Any:
        """Return the outputs of the branches for `x`, joined."""
        return self.join([_output(name, layer, x) for name, layer in self.children()])

    def join(self, outputs: Sequence[Any]) -> Array:
        """Return one output of those of the branches."""
        raise NotImplementedError(f"{type(self).__name__} has no join")


class Residual(Branches):
    """The sum of two branches, ``body(x) + shortcut(x)``: the block that residual networks are made of.

    Its `layers` are the body and the shortcut, and their names in keys: "body.0.weight", "shortcut.weight".

    Parameters
    ----------
    body : Layer
        Usually a `Sequential`.
    shortcut : Layer, optional
        Gives `x` the shape of the body's output; without one it is `x` itself (an `Identity`).

    Raises
    ------
    TypeError
        An argument that is no layer; branches whose outputs do not hold floats.
    ValueError
        A layer in two places; branches whose outputs have different shapes.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> body = nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1))
    >>> block = nn.Sequential(nn.Residual(body, nn.Conv2d(4, 8, 1, 2)), nn.ReLU())
    >>> block(np.ones((1, 4, 8, 8), np.float32)).shape
    (1, 8, 4, 4)
    >>> list(block.params)[-2:]
    ['0.shortcut.weight', '0.shortcut.bias']
    """

    def __init__(self, body: Layer, shortcut: Layer | None = None) -> None:
        shortcut = Identity() if shortcut is None else shortcut
        for name, layer in ("body", body), ("shortcut", shortcut):
            if not isinstance(layer, Layer):
                raise TypeError(f"{name} must be a Layer, got {layer!r} ({type(layer).__name__})")
        super().__init__(body, shortcut)

    def children(self) -> Iterator[tuple[str, Layer]]:
        """Yield ("body", layer) and ("shortcut", layer)."""
        return zip(("body", "shortcut"), self.layers, strict=True)

    def join(self, outputs: Sequence[Any], activation: str | None = None) -> Array:
        """Return the sum of the body's and the shortcut's output, and the activation of it in the same pass."""
        names = "the body's output", "the shortcut's output"
        body, shortcut = (_checks.array(output, name) for output, name in zip(outputs, names, strict=True))
        if body.shape != shortcut.shape:
            raise ValueError(
                f"body and shortcut must have outputs of the same shape to be added, "
                f"got {body.shape} of the body and {shortcut.shape} of the shortcut"
            )
        return add((body, shortcut), activation)

    def backward(self, dy: Any, *, input_gradient: bool = True) -> Any:
        """Overwrite `grads` and return the gradient by the input, the sum of both branches'."""
        gradients = [_back(layer, dy, input_gradient) for layer in self.layers]
        return add(gradients) if input_gradient else None


class Concat(Branches):
    """The outputs of several branches side by side along the channels, axis 1: the block of Inception networks.

    Parameters
    ----------
    *branches : Layer
        One or more; each gets the same input. Their names in keys are their places: "0.0.weight".

    Raises
    ------
    TypeError
        An argument that is no layer.
    ValueError
        No branch; a layer in two places; branches whose outputs differ in more than the channels.

    References
    ----------
    C. Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, arXiv:1409.4842.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> block = nn.Concat(nn.Conv2d(4, 8, 1), nn.Conv2d(4, 6, 3, padding=1), nn.MaxPool2d(3, 1, 1))
    >>> block(np.ones((2, 4, 8, 8), np.float32)).shape
    (2, 18, 8, 8)
    """

    def __init__(self, *branches: Layer) -> None:
        if not branches:
            raise ValueError("branches must be at least one layer, got none")
        super().__init__(*branches)

    def join(self, outputs: Sequence[Any]) -> Array:
        """Return the outputs of the branches, side by side."""
        arrays = [_checks.array(output, f"the output of branch {index}") for index, output in enumerate(outputs)]
        first = arrays[0].shape
        for index, array in enumerate(arrays):
            if array.ndim < 2 or array.shape[:1] + array.shape[2:] != first[:1] + first[2:]:
                raise ValueError(
                    f"branches must have outputs [N, channels, ...] that differ in their channels alone, "
                    f"got {first} of branch 0 and {array.shape} of branch {index}"
                )
        channels = [array.shape[1] for array in arrays]
        dtype = np.result_type(*arrays).newbyteorder("=")
        joined = empty((first[0], sum(channels), *first[2:]), dtype)
        area = math.prod(first[2:])
        if joined.size:
            rows, place = joined.reshape(len(joined), -1), 0
            for array, count in zip(arrays, channels, strict=True):
                part = contiguous(_checks.cast(array, dtype)).reshape(len(rows), -1)
                _core.copy_columns(part, 0, rows, place, count * area)
                place += count * area
        self.keep(joined.shape, channels)
        return joined

    def backward(self, dy: Any, *, input_gradient: bool = True) -> Any:
        """Overwrite `grads` and return the gradient by the input, the sum of the branches'."""
        shape, channels = self.kept()
        dy = contiguous(_checks.array(dy, "dy"))
        _checks.same_shape(dy, shape, "dy")
        gradients, place = [], 0
        for layer, count in zip(self.layers, channels, strict=True):
            part = _some_channels(dy, place, count) if input_gradient or _learns(layer) else None
            gradients.append(_back(layer, part, input_gradient))
            place += count
        return add(gradients) if input_gradient else None

    def forget(self) -> None:
        """Let go of what the last `forward` kept."""
        super().forget()
        self._kept = None


class _Joined(dict[str, Array]):
    """The dicts of several layers as one: it holds their own arrays, and an assignment reaches the layer's dict.

    It is made anew each time that it is asked for: what does not reach the layers would be lost, and is refused.
    """

    def __init__(self, parts: Mapping[str, dict[str, Array]]) -> None:
        super().__init__((prefix + name, array) for prefix, part in parts.items() for name, array in part.items())
        self._homes = {prefix + name: (part, name) for prefix, part in parts.items() for name in part}

    def __setitem__(self, key: str, array: Array) -> None:
        part, name = self._homes[key]
        part[name] = array
        super().__setitem__(key, array)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Assign every item, as `__setitem__` does."""
        for key, array in dict(*args, **kwargs).items():
            self[key] = array

    def __ior__(self, other: Any) -> Self:  # type: ignore[override, misc]
        self.update(other)
        return self

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            "the dict of a container takes new arrays for the keys that it has, and no other change: "
            "make that in the dict of the layer"
        )

    def __reduce__(self) -> Any:
        return dict, (dict(self),)  # a copy has no layers that it could reach

    __delitem__ = clear = pop = popitem = setdefault = _refuse


def add(arrays: Sequence[Any], activation: str | None = None) -> Array:
    """Return the sum of arrays of one shape in one pass, in the dtype of NumPy's promotion, and its activation."""
    dtype = np.result_type(*arrays).newbyteorder("=")
    if dtype.kind != "f" or dtype.itemsize > 8:
        raise TypeError(f"branches must hold float16, float32 or float64 to be added, got {dtype}")
    compute = np.dtype(np.float32) if dtype == np.float16 else dtype
    parts = [contiguous(_checks.cast(array, compute)) for array in arrays]
    for part in parts:
        if part.shape != parts[0].shape:
            shapes = f"{parts[0].shape} and {part.shape}"
            raise ValueError(f"branches must give arrays of one shape to be added, got {shapes}")
    total = empty(parts[0].shape, compute)
    _core.sum_arrays(parts, total, activation)
    return _checks.cast(total, dtype)


def _check_layer(name: str, layer: Any) -> None:
    if not isinstance(layer, Layer):
        raise TypeError(f"layers must hold Layers, got {layer!r} ({type(layer).__name__}) at {name}")


def _output(name: str, layer: Layer, x: Any) -> Any:
    """What a layer makes of `x`; an error says in which layer it came up."""
    _check_layer(name, layer)
    try:
        return layer.forward(x)
    except (TypeError, ValueError) as error:
        if type(error) in (TypeError, ValueError):  # those derived from them may have more than a message
            error.args = (f"layer {name}, {type(layer).__name__}: {error}",)
        raise


def _some_channels(array: Array, first: int, count: int) -> Array:
    """Return a contiguous copy of `count` channels of a contiguous array [N, channels, ...]."""
    part = empty((len(array), count, *array.shape[2:]), array.dtype)
    if part.size:
        rows = part.reshape(len(part), -1)
        start = first * math.prod(array.shape[2:])
        _core.copy_columns(array.reshape(len(array), -1), start, rows, 0, rows.shape[1])
    return part


def _back(layer: Layer, dy: Any, input_gradient: bool) -> Any:
    """Go back through a layer; where its input gradient has no use, only as far as there is something to learn."""
    if input_gradient:
        return layer.backward(dy)
    if _learns(layer):
        layer.backward(dy, input_gradient=False)
    else:
        for _, leaf in layer.leaves():
            leaf.grads.clear()
    return None


def _learns(layer: Layer) -> bool:
    return any(leaf.requires_grad and leaf.params for _, leaf in layer.leaves())

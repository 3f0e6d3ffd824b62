"""Containers: layers made of layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, overload

from ._checks import Array
from .layers import Layer
from .training import Trainable

__all__ = ["Container", "Sequential"]


class Container(Layer):
    """Base class of the layers made of layers: `params`, `grads` and `buffers` are those of its layers.

    Their keys carry the place of the layer: "0.weight", "2.bias". Setting `training` or `requires_grad` sets
    it on every layer below; reading tells whether any layer has it.

    Attributes
    ----------
    layers : list of Layer
        In order; may be changed, say to replace the head of a network.
    """

    def __init__(self, *layers: Layer) -> None:
        for index, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                raise TypeError(
                    f"layers[{index}] must be a Layer, got {layer!r} ({type(layer).__name__}); "
                    f"write {type(self).__name__}(first, second, ...)"
                )
        self.layers = list(layers)
        names: dict[int, str] = {}
        for name, leaf in self.leaves():
            if names.setdefault(id(leaf), name) != name:
                raise ValueError(
                    f"every layer must have one place, for it remembers its input; got the same {leaf!r} "
                    f"at {names[id(leaf)][:-1]} and {name[:-1]}"
                )

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

    def leaves(self) -> Iterator[tuple[str, Layer]]:
        """Yield the layers that hold parameters themselves, each with the prefix of its keys ("0." or "2.0.")."""
        for index, layer in enumerate(self.layers):
            for prefix, leaf in layer.leaves():
                yield f"{index}.{prefix}", leaf

    def __repr__(self) -> str:
        lines = [f"({index}): {layer!r}".replace("\n", "\n  ") for index, layer in enumerate(self.layers)]
        return "\n  ".join([f"{type(self).__name__}(", *lines]) + ("\n)" if lines else ")")


class Sequential(Container, Trainable):
    """Layers in a row, each fed with the output of the one before.

    Parameters
    ----------
    *layers : Layer
        In order, containers too.

    Raises
    ------
    TypeError
        An argument that is no layer.
    ValueError
        A layer in two places: it remembers one input only.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> rng = np.random.default_rng(0)
    >>> network = nn.Sequential(nn.Conv2d(1, 4, 3, rng=rng), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2, rng=rng))
    >>> images = rng.normal(size=(8, 1, 8, 8))
    >>> labels = np.arange(8) % 2
    >>> history = network.fit(images, labels, epochs=40, batch_size=4, loss=nn.CrossEntropyLoss(),
    ...                       optimizer=nn.Adam(0.01), progress=False, rng=rng)
    >>> history["accuracy"][-1]
    1.0
    >>> network.predict(images).shape
    (8, 2)
    >>> list(network.params)
    ['0.weight', '0.bias', '3.weight', '3.bias']
    """

    def forward(self, x: Any) -> Any:
        """Return the last layer's output."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy: Any, *, input_gradient: bool = True) -> Any:
        """Overwrite `grads` and return the gradient by the input.

        With ``input_gradient=False`` it returns None and goes back only as far as the first layer that learns.
        """
        first = 0
        if not input_gradient:
            learning = (index for index, layer in enumerate(self.layers) if _learns(layer))
            first = next(learning, len(self.layers))
            for layer in self.layers[:first]:
                for _, leaf in layer.leaves():
                    leaf.grads.clear()
        for index in reversed(range(first, len(self.layers))):
            if input_gradient or index > first:
                dy = self.layers[index].backward(dy)
            else:
                self.layers[index].backward(dy, input_gradient=False)
        return dy if input_gradient else None

    @overload
    def __getitem__(self, index: int) -> Layer: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Layer | Sequential:
        """Return one layer, or a `Sequential` of some, which stay the same layers."""
        return Sequential(*self.layers[index]) if isinstance(index, slice) else self.layers[index]

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)


class _Joined(dict[str, Array]):
    """The dicts of several layers as one: it holds their own arrays, and an assignment reaches the layer's dict."""

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


def _learns(layer: Layer) -> bool:
    return any(leaf.requires_grad and leaf.params for _, leaf in layer.leaves())

"""Frozen networks: a list of steps, made once, that computes what the layers compute in inference, faster.

A step is one layer, or several that one pass over memory can do: a convolution or a linear layer, with the batch
normalisation that follows multiplied into its weight and the activation that follows in the engine's store; or
branches, whose sum and its activation are done by the convolution that ends one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fastconv import PackedWeight

from . import _checks
from ._checks import Array
from .containers import Branches, Container, Residual, Series
from .layers import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    Dropout,
    Identity,
    Layer,
    Linear,
    ReLU,
    ReLU6,
    SiLU,
    inference,
)

__all__ = ["Frozen"]

_Step = Callable[[Any], Any]

# A layer of one's own that is derived from one of these may compute something else: only these themselves are known.
# With the dimensions of the input of each, which tell the batch normalisation that can follow.
_TRANSPOSED: dict[type[Layer], int] = {ConvTranspose1d: 3, ConvTranspose2d: 4, ConvTranspose3d: 5}
_CONVOLUTIONS: dict[type[Layer], int] = {Conv1d: 3, Conv2d: 4, Conv3d: 5}
_PRODUCTS: dict[type[Layer], int] = {Linear: 2} | _CONVOLUTIONS | _TRANSPOSED
_NORMS: dict[type[Layer], tuple[int, ...]] = {BatchNorm1d: (2, 3), BatchNorm2d: (4,), BatchNorm3d: (5,)}
_ACTIVATIONS: dict[type[Layer], str] = {ReLU: "relu", ReLU6: "relu6", SiLU: "silu"}
_NOTHING = (Dropout, Identity)  # in inference


class Frozen:
    """A network's layers as steps; as long as it lasts, read-only views stand in for the parameters and buffers."""

    def __init__(self, network: Series) -> None:
        for container in _containers(network):
            if isinstance(container, Series) and container.frozen is not None:
                raise ValueError("a network with a frozen network in it cannot be frozen: unfreeze() that first")
        self._layers = [(container, list(container.layers)) for container in _containers(network)]
        self._arrays = [
            (prefix + name, arrays, name, array)
            for prefix, leaf in network.leaves()
            for arrays in (leaf.params, leaf.buffers)
            for name, array in arrays.items()
            if isinstance(array, np.ndarray)
        ]
        self._steps = _steps(network.layers)
        self._trained = [leaf for _, leaf in network.leaves() if leaf.training]
        for leaf in self._trained:
            leaf.training = False
        self._lock()

    def __call__(self, x: Any) -> Any:
        """Return the output for `x`."""
        for (key, arrays, name, _), view in zip(self._arrays, self._views, strict=True):
            if arrays.get(name) is not view:
                raise ValueError(f"{key!r} was replaced in a frozen network: unfreeze() and freeze() it again")
        for container, layers in self._layers:
            if container.layers != layers:
                raise ValueError("the layers of a frozen network were changed: unfreeze() and freeze() it again")
        with inference():
            return _run(self._steps, _checks.array(x, "x"))

    def undo(self) -> None:
        """Put the arrays back, and the layers into the mode that they were in."""
        for _, arrays, name, array in self._arrays:
            arrays[name] = array
        for leaf in self._trained:
            leaf.training = True

    def _lock(self) -> None:
        # Views, since an array that was made read-only may refuse to become writeable again: one of unpickled bytes.
        self._views = []
        for _, arrays, name, array in self._arrays:
            view = array.view()
            view.flags.writeable = False
            arrays[name] = view
            self._views.append(view)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Lock a copy's arrays, for `copy` and `pickle` make writeable ones."""
        self.__dict__.update(state)
        self._lock()


class _Product:
    """A convolution or linear layer, perhaps with a batch normalisation and an activation after it."""

    def __init__(self, layer: Any, norm: Any, activation: Layer | None) -> None:
        self._layer = layer
        self._activation = _name(activation)
        weight, bias = (layer.params["weight"], layer.params.get("bias")) if norm is None else _folded(layer, norm)
        self._bias = None if bias is None else np.array(bias)
        self._weight = PackedWeight(weight[:, :, None] if type(layer) is Linear else weight)
        # The layers one by one, for inputs whose channels are not where the normalisation must look for them.
        others = [other for other in (layer, norm, activation) if other is not None]
        self._one_by_one = [] if norm is None else others

    def __call__(self, x: Any) -> Any:
        x = self._layer._input(x, "x")
        if not self._is_one_product(x):
            return _run([layer.forward for layer in self._one_by_one], x)
        return self._layer.compute(x, self._weight, self._bias, self._activation)

    @property
    def adds(self) -> bool:
        """Whether the engine adds to the output, before its activation."""
        return type(self._layer) in _CONVOLUTIONS and self._activation is None

    def plus(self, x: Any, addend: Any, activation: str | None) -> Any:
        """Return the activation of the output plus `addend`; None where they cannot be added in the output's dtype."""
        x = self._layer._input(x, "x")
        if not (self._is_one_product(x) and isinstance(addend, np.ndarray) and np.can_cast(addend.dtype, x.dtype)):
            return None
        if addend.shape != self._layer.output_shape(x.shape):
            return None
        return self._layer.compute(x, self._weight, self._bias, activation, addend)

    def _is_one_product(self, x: Array) -> bool:
        return not self._one_by_one or x.ndim == _PRODUCTS[type(self._layer)]


class _Join:
    """Branches, each with its steps."""

    def __init__(self, container: Branches) -> None:
        self._container = container
        self._branches = [_steps([layer]) for layer in container.layers]

    def __call__(self, x: Any) -> Any:
        return self._container.join([_run(steps, x) for steps in self._branches])


class _Sum:
    """The two branches of a residual block, and perhaps the activation of their sum."""

    def __init__(self, block: Residual, activation: Layer | None) -> None:
        self._block = block
        self._activation = _name(activation)
        self._branches: list[list[Any]] = [_steps([layer]) for layer in block.layers]
        ends = [steps[-1] if steps else None for steps in self._branches]
        adding = [index for index, end in enumerate(ends) if isinstance(end, _Product) and end.adds]
        self._adding = adding[0] if adding else None  # the branch whose last step adds the output of the other

    def __call__(self, x: Any) -> Any:
        if self._adding is None:
            return self._block.join([_run(steps, x) for steps in self._branches], self._activation)
        *steps, end = self._branches[self._adding]
        own, other = _run(steps, x), _run(self._branches[1 - self._adding], x)
        total = end.plus(own, other, self._activation)
        if total is None:
            outputs = [end(own), other]
            total = self._block.join(outputs if self._adding == 0 else outputs[::-1], self._activation)
        return total


def _run(steps: Sequence[_Step], x: Any) -> Any:
    for step in steps:
        x = step(x)
    return x


def _steps(layers: Sequence[Layer]) -> list[_Step]:
    """The steps that do what `layers` do in inference, one after the other."""
    row = list(_in_a_row(layers))
    steps: list[_Step] = []
    while row:
        layer = row.pop(0)
        if type(layer) in _PRODUCTS:
            norm = row.pop(0) if row and _folds(layer, row[0]) else None
            activation = row.pop(0) if row and type(row[0]) in _ACTIVATIONS else None
            steps.append(_Product(layer, norm, activation))
        elif type(layer) is Residual:
            steps.append(_Sum(layer, row.pop(0) if row and type(row[0]) in _ACTIVATIONS else None))
        elif isinstance(layer, Branches) and type(layer).forward is Branches.forward:
            steps.append(_Join(layer))
        else:
            steps.append(layer.forward)
    return steps


def _name(activation: Layer | None) -> str | None:
    return None if activation is None else _ACTIVATIONS[type(activation)]


def _in_a_row(layers: Sequence[Layer]) -> Iterator[Layer]:
    """The layers and those of the series among them, without those that do nothing in inference."""
    for layer in layers:
        if isinstance(layer, Series) and type(layer).forward is Series.forward:
            yield from _in_a_row(layer.layers)
        elif type(layer) not in _NOTHING:
            yield layer


def _containers(layer: Layer) -> Iterator[Container]:
    if isinstance(layer, Container):
        yield layer
        for child in layer.layers:
            yield from _containers(child)


def _folds(layer: Layer, norm: Any) -> bool:
    """Whether a batch normalisation of fixed statistics follows that computes in the layer's dtype."""
    if _PRODUCTS[type(layer)] not in _NORMS.get(type(norm), ()) or not norm.track_running_stats:
        return False
    weight, spread = layer.params["weight"], norm.buffers["running_var"] + norm.eps
    dtypes = {weight.dtype, *(array.dtype for array in norm.params.values()), norm.buffers["running_var"].dtype}
    return bool(norm.num_features == _channels(layer) and len(dtypes) == 1 and (spread > 0).all())


def _folded(layer: Any, norm: Any) -> tuple[Array, Array]:
    """The weight and bias that do what a layer and the batch normalisation after it do, computed in float64."""
    weight = layer.params["weight"]
    one, zero = np.ones(norm.num_features), np.zeros(norm.num_features)
    scale = norm.params.get("weight", one) / np.sqrt(norm.buffers["running_var"].astype(np.float64) + norm.eps)
    shift = norm.params.get("bias", zero) - norm.buffers["running_mean"] * scale
    bias = layer.params.get("bias", zero) * scale + shift
    if type(layer) in _TRANSPOSED:  # [groups, in_channels / groups, out_channels / groups, kernel...]
        grouped = weight.reshape(layer.groups, -1, *weight.shape[1:])
        scaled = grouped * scale.reshape(layer.groups, 1, -1, *(1,) * (weight.ndim - 2))
    else:
        scaled = weight * scale.reshape(-1, *(1,) * (weight.ndim - 1))
    return _checks.cast(scaled.reshape(weight.shape), weight.dtype), _checks.cast(bias, weight.dtype)


def _channels(layer: Any) -> int:
    """Of the output."""
    channels: int = layer.out_features if type(layer) is Linear else layer.out_channels
    return channels

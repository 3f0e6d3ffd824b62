"""What a layer is: the base class of all, that of those with a weight, and what several kinds share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self

from numpy.typing import DTypeLike

from fastconv import _validate

from .. import _checks, init
from .._checks import Array

# A context variable and nothing of the layers, since several threads may predict with one network.
_inferring: ContextVar[bool] = ContextVar("fastconv.nn.inferring", default=False)


@contextmanager
def inference() -> Iterator[None]:
    """Within this context every layer is in inference for this thread, whatever its mode.

    It keeps nothing for a backward pass either, so that inference holds two activations and not all of them.
    """
    token = _inferring.set(True)
    try:
        yield
    finally:
        _inferring.reset(token)


def inferring() -> bool:
    """Whether this thread is in `inference`."""
    return _inferring.get()


class Layer:
    """Base class of the layers: write `forward` and `backward`, put arrays into `params`.

    A subclass calls ``super().__init__()``, keeps what `backward` needs with ``self.keep(...)``, finds it again
    with ``self.kept()``, and leaves the gradients of its parameters in `grads`, under the names of `params`.

    Attributes
    ----------
    params, grads, buffers : dict of str to array
        What is learnt, its gradients after `backward` (empty before, and for a frozen layer), and what is kept but not
        learnt. Parameters are read at each call and updated in place: change or replace them as you like.
    training : bool
        Whether the layer behaves as in training; set by `train` and `eval`. False within `predict` and `evaluate`.
    requires_grad : bool
        False freezes the layer: no gradients of its parameters are computed, and optimisers leave it alone.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> class Double(nn.Layer):
    ...     def forward(self, x):
    ...         return 2 * x
    ...     def backward(self, dy, *, input_gradient=True):
    ...         return 2 * dy
    >>> nn.Sequential(Double(), Double()).forward(np.ones(2))
    array([4., 4.])
    """

    def __init__(self) -> None:
        self._params: dict[str, Array] = {}
        self._grads: dict[str, Array] = {}
        self._buffers: dict[str, Array] = {}
        self._kept: tuple[Any, ...] | None = None
        self.training = True
        self.requires_grad = True

    @property
    def training(self) -> bool:
        """Whether the layer behaves as in training: never where this thread predicts or evaluates."""
        return self._training and not _inferring.get()

    @training.setter
    def training(self, mode: bool) -> None:
        self._training = mode

    @property
    def params(self) -> dict[str, Array]:
        """The arrays that are learnt, by name."""
        return self._params

    @property
    def grads(self) -> dict[str, Array]:
        """The gradients that the last `backward` left, by the name of the parameter."""
        return self._grads

    @property
    def buffers(self) -> dict[str, Array]:
        """The arrays that are part of the layer's state but not learnt, by name."""
        return self._buffers

    def forward(self, x: Any) -> Any:
        """Return the output for `x`, which is kept for `backward`, not copied: leave it unchanged until then."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, dy: Any, *, input_gradient: bool = True) -> Any:
        """Overwrite `grads` and return the gradient by the input of the last `forward`.

        `dy` is the gradient by its output. ``input_gradient=False`` says that the result will not be used (the first
        layer of a network that trains): the layer may save the work and return None.
        """
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def __call__(self, x: Any) -> Any:
        return self.forward(x)

    def train(self, mode: bool = True) -> Self:
        """Switch to training (or back, with False) and return the layer."""
        self.training = _checks.boolean(mode, "mode")
        return self

    def eval(self) -> Self:
        """Switch to inference and return the layer."""
        return self.train(False)

    def keep(self, *values: Any) -> None:
        """Keep `values` for `backward`, in place of those of the last `forward`."""
        if not _inferring.get():
            self._kept = values

    def kept(self) -> tuple[Any, ...]:
        """Return what the last `forward` kept."""
        if self._kept is None:
            raise ValueError(f"{type(self).__name__}.backward needs a forward pass to go back through, got none")
        return self._kept

    def forget(self) -> None:
        """Let go of what the last `forward` kept."""
        self._kept = None

    def leaves(self) -> Iterator[tuple[str, Layer]]:
        """Yield the layers that hold parameters themselves, each with the prefix of its keys ("" or "2.0.")."""
        yield "", self

    def multiply_adds(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """Return how many products with a weight a forward pass sums, biases not counted.

        The shapes have the batch in front, channels first.
        """
        return 0

    def window(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] | None:
        """Return (kernel, stride, dilation) of the window that the layer slides, an int a spatial dimension.

        None for a layer that slides none: what lies upon an output is one element (an activation), all of them, or a
        region of another kind.
        """
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._arguments()})"

    def _arguments(self) -> str:
        return ""


class Weighted(Layer):
    """A layer with a weight and perhaps a bias, drawn as PyTorch draws them: evenly within 1 / sqrt(fan_in)."""

    _sizes: str  # the arguments that the shapes are made of

    def __init__(
        self,
        weight_shape: tuple[int, ...],
        bias_shape: tuple[int, ...],
        fan_in: int,
        bias: bool,
        dtype: DTypeLike,
        rng: Any,
    ) -> None:
        super().__init__()
        for shape in weight_shape, bias_shape:
            if 8 * math.prod(shape) >= 2**63:
                raise ValueError(f"{self._sizes} must make parameters whose bytes 63 bits count, got the shape {shape}")
        bound = 1 / math.sqrt(fan_in)
        rng = _checks.generator(rng)
        self.params["weight"] = init.uniform(weight_shape, a=-bound, b=bound, rng=rng, dtype=dtype)
        if _checks.boolean(bias, "bias"):
            self.params["bias"] = init.uniform(bias_shape, a=-bound, b=bound, rng=rng, dtype=dtype)

    def _input(self, x: Any, name: str) -> Array:
        """`x` in the dtype of the parameters, which is the one that the layer computes in."""
        return _checks.floats(x, name, self.params["weight"].dtype)

    def _needs(self, input_gradient: bool) -> tuple[bool, bool, bool]:
        """Which gradients are needed: by the input, the weight and the bias."""
        return input_gradient, self.requires_grad, self.requires_grad and "bias" in self.params

    def _learn(self, weight: Array | None, bias: Array | None) -> None:
        """Overwrite `grads` with those of the gradients that there are."""
        self.grads.clear()
        if weight is not None:
            self.grads["weight"] = weight
        if bias is not None:
            self.grads["bias"] = bias


def contiguous(array: Array) -> Array:
    """Return `array` as the engine reads it: C-contiguous and aligned, itself where it is so."""
    return _validate.ready(array, array.dtype)


def shortened(sizes: tuple[int | None, ...]) -> Any:
    """Return a size for every dimension as it is written: one number where all are equal."""
    return sizes[0] if len(set(sizes)) == 1 else sizes

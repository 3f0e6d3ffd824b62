"""Layers: parameters and memory around the functions of `fastconv.functional` and `fastconv.grad`.

A layer is four names. `forward(x)` computes and keeps what `backward` will need; `backward(dy)` takes the gradient of
the loss by the layer's output, fills `grads`, and returns the gradient by its input; `params` and `grads` are dicts of
plain arrays. The mathematics is in the functions that the layers call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

from fastconv import _core, grad
from fastconv import functional as F

from . import _checks, init
from ._checks import Array

__all__ = ["AvgPool2d", "Conv2d", "Flatten", "Layer", "Linear", "MaxPool2d", "ReLU"]

# False while `predict` and `evaluate` run: their layers keep nothing, so that inference holds two activations and not
# all of them. A context variable, since several threads may predict with one network.
recording: ContextVar[bool] = ContextVar("fastconv.nn.recording", default=True)


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
        Whether the layer behaves as in training; set by `train` and `eval`.
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
        if recording.get():
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

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._arguments()})"

    def _arguments(self) -> str:
        return ""


class _Weighted(Layer):
    """A layer with a weight [outputs, inputs, ...] and perhaps a bias [outputs], which start as PyTorch's do."""

    def __init__(self, weight_shape: tuple[int, ...], bias: bool, dtype: DTypeLike, rng: Any) -> None:
        super().__init__()
        # 1/sqrt(fan_in) is also the bound of kaiming_uniform with a = sqrt(5), which PyTorch draws weights with.
        bound = 1 / math.sqrt(math.prod(weight_shape[1:]))
        rng = _checks.generator(rng)
        self.params["weight"] = init.kaiming_uniform(weight_shape, a=math.sqrt(5), rng=rng, dtype=dtype)
        if _checks.boolean(bias, "bias"):
            self.params["bias"] = init.uniform(weight_shape[0], a=-bound, b=bound, rng=rng, dtype=dtype)

    def _input(self, x: Any, name: str) -> Array:
        """`x` in the dtype of the parameters, which is the one that the layer computes in."""
        return _checks.floats(x, name, self.params["weight"].dtype)

    def _needs(self, input_gradient: bool) -> tuple[bool, bool, bool]:
        return input_gradient, self.requires_grad, self.requires_grad and "bias" in self.params

    def _learn(self, weight: Array | None, bias: Array | None) -> None:
        self.grads.clear()
        if weight is not None:
            self.grads["weight"] = weight
        if bias is not None:
            self.grads["bias"] = bias


class _Convolution(_Weighted):
    """What Conv1d, Conv2d and Conv3d share."""

    _dimensions: int
    _function: Callable[..., Any]
    _gradient: Callable[..., Any]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: Any = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        dtype: DTypeLike = np.float32,
        rng: Any = None,
    ) -> None:
        dimensions = self._dimensions
        self.in_channels = _checks.integer(in_channels, "in_channels")
        self.out_channels = _checks.integer(out_channels, "out_channels")
        self.kernel_size = _checks.integers(kernel_size, dimensions, "kernel_size")
        self.stride = _checks.integers(stride, dimensions, "stride")
        self.padding = _padding(padding, self.stride)
        self.dilation = _checks.integers(dilation, dimensions, "dilation")
        self.groups = _checks.integer(groups, "groups")
        for name, channels in ("in_channels", self.in_channels), ("out_channels", self.out_channels):
            if channels % self.groups:
                raise ValueError(f"groups must divide {name}, {channels}, got {self.groups}")
        if padding_mode != "zeros":
            raise ValueError(f"padding_mode must be 'zeros', the only one there is, got {padding_mode!r}")
        super().__init__((self.out_channels, self.in_channels // self.groups, *self.kernel_size), bias, dtype, rng)

    def forward(self, x: Any) -> Any:
        """Return the convolution of `x` [N, in_channels, ...] (or without N), computed in the parameters' dtype."""
        x = self._input(x, "x")
        weight, bias = self.params["weight"], self.params.get("bias")
        y = self._function(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)
        self.keep(x)
        return y

    def backward(self, dy: Any, *, input_gradient: bool = True) -> Any:
        """Overwrite `grads` and return the gradient by the input, of its shape."""
        (x,) = self.kept()
        dy = self._input(dy, "dy")
        needs = self._needs(input_gradient)
        weight, bias = self.params["weight"], self.params.get("bias")
        dx = weight_gradient = bias_gradient = None
        if any(needs):
            dx, weight_gradient, bias_gradient = self._gradient(
                dy, x, weight, bias, self.stride, self.padding, self.dilation, self.groups, needs=needs
            )
        self._learn(weight_gradient, bias_gradient)
        return dx

    def _arguments(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * self._dimensions:
            text += f", padding={self.padding!r}"
        if self.dilation != (1,) * self._dimensions:
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        return text if "bias" in self.params else text + ", bias=False"


class Conv2d(_Convolution):
    """2-D cross-correlation of [N, in_channels, H, W] to [N, out_channels, H', W']; see `fastconv.conv2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    kernel_size, stride, dilation : int or (int, int)
        As in `fastconv.conv2d`.
    padding : int, (int, int), two (before, after) pairs, "valid" or "same"
        Zeros around the image.
    groups : int
        Divides both channel counts.
    bias : bool
        Whether a bias is added.
    padding_mode : "zeros"
        The only mode.
    dtype : dtype
        Of the parameters, and so of all the layer computes: float32 or float64. Inputs are converted.
    rng : numpy.random.Generator, seed or None
        Draws the first values, which are PyTorch's; None takes fresh entropy.

    Attributes
    ----------
    params : dict
        "weight" [out_channels, in_channels / groups, kh, kw] and, with a bias, "bias" [out_channels].

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; an input of other channels, or smaller than the kernel.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.Conv2d(1, 8, 3, padding=1, rng=0)
    >>> y = layer(np.ones((2, 1, 8, 8), np.float32))
    >>> y.shape
    (2, 8, 8, 8)
    >>> layer.backward(y).shape, layer.grads["weight"].shape
    ((2, 1, 8, 8), (8, 1, 3, 3))
    """

    _dimensions = 2
    _function = staticmethod(F.conv2d)
    _gradient = staticmethod(grad.conv2d_backward)


class Linear(_Weighted):
    """The affine map of the last dimension: [..., in_features] to [..., out_features], ``x @ weight.T + bias``.

    It runs as a 1x1 convolution, on the engine's own matrix product: the bits do not depend on the number of threads.

    Parameters
    ----------
    in_features, out_features : int
        Sizes of the last dimension before and after.
    bias : bool
        Whether a bias is added.
    dtype, rng
        As in `Conv2d`.

    Attributes
    ----------
    params : dict
        "weight" [out_features, in_features] and, with a bias, "bias" [out_features].

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; an input whose last dimension is not `in_features`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Linear(4, 3, rng=0)(np.ones((2, 4), np.float32)).shape
    (2, 3)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
        rng: Any = None,
    ) -> None:
        self.in_features = _checks.integer(in_features, "in_features")
        self.out_features = _checks.integer(out_features, "out_features")
        super().__init__((self.out_features, self.in_features), bias, dtype, rng)

    def forward(self, x: Any) -> Any:
        """Return the map of `x` [..., in_features], computed in the parameters' dtype."""
        x = self._input(x, "x")
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise ValueError(f"x must have {self.in_features} features in its last dimension, got the shape {x.shape}")
        rows = x.reshape(-1, self.in_features)
        y = np.empty((0, self.out_features), x.dtype)
        if len(rows):  # a convolution has at least one pixel
            weight, bias = self.params["weight"][:, :, None], self.params.get("bias")
            y = F.conv1d(rows[None], weight, bias, layout="channels_last")[0]
        self.keep(rows, x.shape)
        return y.reshape(*x.shape[:-1], self.out_features)

    def backward(self, dy: Any, *, input_gradient: bool = True) -> Any:
        """Overwrite `grads` and return the gradient by the input, of its shape."""
        rows, shape = self.kept()
        dy = self._input(dy, "dy")
        _checks.same_shape(dy, (*shape[:-1], self.out_features), "dy")
        needs = self._needs(input_gradient)
        weight, bias = self.params["weight"], self.params.get("bias")
        if len(rows) and any(needs):
            dy = dy.reshape(1, len(rows), self.out_features)
            dx, weight_gradient, bias_gradient = grad.conv1d_backward(
                dy, rows[None], weight[:, :, None], bias, layout="channels_last", needs=needs
            )
        else:  # no rows: every sum is empty
            dx, weight_gradient, bias_gradient = (
                np.zeros_like(array) if need else None
                for need, array in zip(needs, (rows, weight, bias), strict=True)
            )
        self._learn(None if weight_gradient is None else weight_gradient.reshape(weight.shape), bias_gradient)
        return None if dx is None else dx.reshape(shape)

    def _arguments(self) -> str:
        return f"{self.in_features}, {self.out_features}" + ("" if "bias" in self.params else ", bias=False")


class _Activation(Layer):
    """An elementwise function that `_core.activate` knows by name."""

    _kind: str
    _from_output = False  # whether the slope can be read off the output, which the next layer keeps anyway

    def forward(self, x: Any) -> Any:
        """Return the function of `x` [...], of its shape and dtype."""
        x = _checks.array(x, "x")
        operand = np.asarray(_checks.floats(x, "x"), order="C")
        y = np.empty_like(operand)
        _core.activate(self._kind, operand, y)
        self.keep(y if self._from_output else operand, x.dtype.newbyteorder("="))
        return _checks.cast(y, x.dtype.newbyteorder("="))

    def backward(self, dy: Any, *, input_gradient: bool = True) -> Any:
        """Return the gradient by the input, of its shape and dtype."""
        operand, dtype = self.kept()
        dy = np.asarray(_checks.floats(dy, "dy", operand.dtype), order="C")
        _checks.same_shape(dy, operand.shape, "dy")
        if not input_gradient:
            return None
        dx = np.empty_like(operand)
        _core.activate_backward(self._kind, operand, dy, dx)
        return _checks.cast(dx, dtype)


class ReLU(_Activation):
    """The rectifier max(x, 0) of [...] in float16, float32 or float64; its slope at 0 is 0.

    Raises
    ------
    TypeError
        An input that does not hold floats.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.ReLU()(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    _kind = "relu"
    _from_output = True


class Flatten(Layer):
    """Join the dimensions from `start_dim` to `end_dim`: [N, C, H, W] to [N, C*H*W].

    Raises
    ------
    TypeError, ValueError
        An argument that is no int; an input without these dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Flatten()(np.ones((2, 3, 4, 5))).shape
    (2, 60)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = _checks.integer(start_dim, "start_dim", minimum=-64)
        self.end_dim = _checks.integer(end_dim, "end_dim", minimum=-64)

    def forward(self, x: Any) -> Any:
        """Return `x` with the dimensions joined: a view where that is possible."""
        x = _checks.array(x, "x")
        start, end = (dim + x.ndim if dim < 0 else dim for dim in (self.start_dim, self.end_dim))
        if not 0 <= start <= end < x.ndim:
            raise ValueError(
                f"x must have the dimensions start_dim={self.start_dim} to end_dim={self.end_dim}, in this order, "
                f"got the shape {x.shape}"
            )
        self.keep(x.shape)
        return x.reshape(*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :])

    def backward(self, dy: Any, *, input_gradient: bool = True) -> Any:
        """Return `dy` in the shape of the input."""
        (shape,) = self.kept()
        dy = _checks.array(dy, "dy")
        if dy.size != math.prod(shape):
            raise ValueError(f"dy must have the {math.prod(shape)} elements of the output, got the shape {dy.shape}")
        return dy.reshape(shape)

    def _arguments(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class _Pool(Layer):
    """What the pools share."""

    _dimensions: int
    _function: Callable[..., Any]
    _gradient: Callable[..., Any]

    def __init__(self, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool) -> None:
        super().__init__()
        self.kernel_size = _checks.integers(kernel_size, self._dimensions, "kernel_size")
        self.stride = self.kernel_size if stride is None else _checks.integers(stride, self._dimensions, "stride")
        self.padding = _checks.integers(padding, self._dimensions, "padding", minimum=0)
        self.ceil_mode = _checks.boolean(ceil_mode, "ceil_mode")

    def _arguments(self) -> str:
        text = f"kernel_size={self.kernel_size}, stride={self.stride}"
        return text if not any(self.padding) else text + f", padding={self.padding}"


class _MaxPool(_Pool):
    """What MaxPool1d, MaxPool2d and MaxPool3d share."""

    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None = None,
        padding: int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.dilation = _checks.integers(dilation, self._dimensions, "dilation")
        self.return_indices = _checks.boolean(return_indices, "return_indices")

    def forward(self, x: Any) -> Any:
        """Return the maxima of `x` [N, C, ...] (or without N); with `return_indices` also where they lay."""
        x = _checks.array(x, "x")
        options = (self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)
        if not (recording.get() or self.return_indices):
            return self._function(x, *options)
        y, indices = self._function(x, *options, return_indices=True)
        self.keep(x, indices)
        return (y, indices) if self.return_indices else y

    def backward(self, dy: Any, *, input_gradient: bool = True) -> Any:
        """Return the gradient by the input: `dy` where the maxima lay, 0 elsewhere."""
        x, indices = self.kept()
        if not input_gradient:
            return None
        options = (self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)
        return self._gradient(dy, x, *options, indices=indices)


class MaxPool2d(_MaxPool):
    """The largest of each window: [N, C, H, W] to [N, C, H', W']; see `fastconv.max_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or (int, int)
        As in `fastconv.max_pool2d`; the stride is the kernel's size unless given.
    return_indices : bool
        Whether `forward` returns ``(output, indices)``.
    ceil_mode : bool
        Whether a window that hangs over the end counts.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; an input smaller than the window.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.MaxPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 5.,  7.],
             [13., 15.]]]])
    """

    _dimensions = 2
    _function = staticmethod(F.max_pool2d)
    _gradient = staticmethod(grad.max_pool2d_backward)


class AvgPool2d(_Pool):
    """The mean of each window: [N, C, H, W] to [N, C, H', W']; see `fastconv.avg_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding : int or (int, int)
        As in `fastconv.avg_pool2d`; the stride is the kernel's size unless given.
    ceil_mode : bool
        Whether a window that hangs over the end counts.
    count_include_pad : bool
        Whether cells of the padding count in the mean.
    divisor_override : int or None
        What the sum is divided by, instead of the number of cells.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; an input smaller than the window.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.AvgPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 2.5,  4.5],
             [10.5, 12.5]]]])
    """

    _dimensions = 2
    _function = staticmethod(F.avg_pool2d)
    _gradient = staticmethod(grad.avg_pool2d_backward)

    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None = None,
        padding: int | tuple[int, ...] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = _checks.boolean(count_include_pad, "count_include_pad")
        if divisor_override is not None:
            divisor_override = _checks.integer(divisor_override, "divisor_override", minimum=-(2**63))
            if divisor_override == 0:
                raise ValueError("divisor_override must not be 0")
        self.divisor_override = divisor_override

    def forward(self, x: Any) -> Any:
        """Return the means of `x` [N, C, H, W] (or without N)."""
        x = _checks.array(x, "x")
        y = self._function(x, *self._options())
        self.keep(x)
        return y

    def backward(self, dy: Any, *, input_gradient: bool = True) -> Any:
        """Return the gradient by the input: each `dy` spread over its window."""
        (x,) = self.kept()
        return self._gradient(dy, x, *self._options()) if input_gradient else None

    def _options(self) -> tuple[Any, ...]:
        return (
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


def _padding(value: Any, stride: tuple[int, ...]) -> Any:
    """The padding of a convolution: "valid", "same", or for each dimension an int or a (before, after) pair."""
    if isinstance(value, str):
        if value not in ("valid", "same"):
            raise ValueError(f"padding must be 'valid', 'same', ints or (before, after) pairs, got {value!r}")
        if value == "same" and any(step != 1 for step in stride):
            raise ValueError(f"padding 'same' needs a stride of 1, got the stride {stride}")
        return value
    if isinstance(value, (list, tuple)) and any(isinstance(item, (list, tuple)) for item in value):
        if len(value) != len(stride):
            raise ValueError(f"padding must be one (before, after) pair a dimension, {len(stride)}, got {value!r}")
        return tuple(_checks.integers(item, 2, f"padding[{index}]", minimum=0) for index, item in enumerate(value))
    return _checks.integers(value, len(stride), "padding", minimum=0)

"""Convolutions: the layers around `fastconv.conv2d` and its relatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv import functional as F
from fastconv import grad
from fastconv._convolution import forward, geometry_of
from fastconv._validate import AUTO, CHANNELS_FIRST, batched

from .. import _checks
from .base import Weighted


class Convolution(Weighted):
    """What convolutions of any kind share: a function of input, weight, bias and options, and its gradient."""

    _dimensions: int
    _function: Callable[..., Any]
    _gradient: Callable[..., Any]
    _sizes = "in_channels, out_channels and kernel_size"

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Any
    dilation: tuple[int, ...]

    def _run(self, x: Any, *options: Any) -> Any:
        x = self._input(x, "x")
        y = self._function(x, self.params["weight"], self.params.get("bias"), *options)
        self.keep(x, options)
        return y

    def backward(self, dy: Any, *, input_gradient: bool = True) -> Any:
        """Overwrite `grads` and return the gradient by the input, of its shape."""
        x, options = self.kept()
        dy = self._input(dy, "dy")
        needs = self._needs(input_gradient)
        weight, bias = self.params["weight"], self.params.get("bias")
        dx = weight_gradient = bias_gradient = None
        if any(needs):
            dx, weight_gradient, bias_gradient = self._gradient(dy, x, weight, bias, *options, needs=needs)
        self._learn(weight_gradient, bias_gradient)
        return dx

    def _arguments(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * self._dimensions:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self._dimensions:
            text += f", dilation={self.dilation}"
        return text

    def _bias_argument(self) -> str:
        return "" if "bias" in self.params else ", bias=False"


class GroupedConvolution(Convolution):
    """What convolutions and transposed convolutions share: the arguments of their constructors but the padding."""

    groups: int

    def _set_arguments(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...],
        dilation: int | tuple[int, ...],
        groups: int,
        padding_mode: str,
    ) -> None:
        dimensions = self._dimensions
        self.in_channels = _checks.integer(in_channels, "in_channels")
        self.out_channels = _checks.integer(out_channels, "out_channels")
        self.kernel_size = _checks.integers(kernel_size, dimensions, "kernel_size")
        self.stride = _checks.integers(stride, dimensions, "stride")
        self.dilation = _checks.integers(dilation, dimensions, "dilation")
        self.groups = _checks.integer(groups, "groups")
        for name, channels in ("in_channels", self.in_channels), ("out_channels", self.out_channels):
            if channels % self.groups:
                raise ValueError(f"groups must divide {name}, {channels}, got {self.groups}")
        if not isinstance(padding_mode, str) or padding_mode != "zeros":
            raise ValueError(f"padding_mode must be 'zeros', the only one there is, got {padding_mode!r}")

    def _groups_argument(self) -> str:
        return "" if self.groups == 1 else f", groups={self.groups}"


class _PlainConvolution(GroupedConvolution):
    """What Conv1d, Conv2d and Conv3d share."""

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
        self._set_arguments(in_channels, out_channels, kernel_size, stride, dilation, groups, padding_mode)
        self.padding = paddings(padding, self.stride)
        shape = self.out_channels, self.in_channels // self.groups, *self.kernel_size
        super().__init__(shape, shape[:1], math.prod(shape[1:]), bias, dtype, rng)

    def forward(self, x: Any) -> Any:
        """Return the convolution of `x` [N, in_channels, ...] (or without N), computed in the parameters' dtype."""
        return self._run(x, self.stride, self.padding, self.dilation, self.groups)

    def compute(self, x: Any, weight: Any, bias: Any, activation: str | None, addend: Any = None) -> Any:
        """Return the activation of the convolution with this weight, perhaps packed, and bias, plus `addend`."""
        options = self.stride, self.padding, self.dilation, self.groups, CHANNELS_FIRST, None, AUTO, activation
        return forward(self._dimensions, x, weight, bias, *options, addend=addend)

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the output for an input of `input_shape`, with N or without."""
        shape, weight_shape = batched(input_shape, self._dimensions, "input", False), self.params["weight"].shape
        options = self.stride, self.padding, self.dilation, self.groups, False
        return geometry_of(shape, weight_shape, *options)[1][-len(input_shape) :]

    def multiply_adds(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """Return the output's pixels times the size of the weight."""
        return output_shape[0] * math.prod(output_shape[2:]) * self.params["weight"].size

    def window(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Return (kernel_size, stride, dilation)."""
        return self.kernel_size, self.stride, self.dilation

    def _arguments(self) -> str:
        return super()._arguments() + self._groups_argument() + self._bias_argument()


class Conv2d(_PlainConvolution):
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
        Of the parameters, and so of all the layer computes: float32, which None is too, or float64. Inputs are
        converted.
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


class Conv1d(_PlainConvolution):
    """1-D cross-correlation of [N, in_channels, L] to [N, out_channels, L']; see `fastconv.conv1d`.

    Arguments and parameters as of `Conv2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Conv1d(2, 4, 5, stride=2, padding=2, rng=0)(np.ones((3, 2, 16), np.float32)).shape
    (3, 4, 8)
    """

    _dimensions = 1
    _function = staticmethod(F.conv1d)
    _gradient = staticmethod(grad.conv1d_backward)


class Conv3d(_PlainConvolution):
    """3-D cross-correlation of [N, in_channels, D, H, W] to [N, out_channels, D', H', W']; see `fastconv.conv3d`.

    Arguments and parameters as of `Conv2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Conv3d(1, 2, 3, padding="same", rng=0)(np.ones((1, 1, 4, 5, 6), np.float32)).shape
    (1, 2, 4, 5, 6)
    """

    _dimensions = 3
    _function = staticmethod(F.conv3d)
    _gradient = staticmethod(grad.conv3d_backward)


def paddings(value: Any, stride: tuple[int, ...]) -> Any:
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

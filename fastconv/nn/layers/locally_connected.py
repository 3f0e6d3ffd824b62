"""Locally connected layers: convolutions whose weights belong to the position."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv import _local, _validate

from .. import _checks
from .._checks import Array
from .convolution import Convolution, paddings


def _forward(x: Array, weight: Array, bias: Array | None, kernel: Any, stride: Any, padding: Any) -> Array:
    """`fastconv.local_conv2d` with a kernel that is known, and need not be found from the weight's shape."""
    return _local.forward(x, weight, bias, stride, padding, 1, "channels_first", None, "auto", None, kernel)


def _backward(
    dy: Array, x: Array, weight: Array, bias: Array | None, kernel: Any, stride: Any, padding: Any, *, needs: Any
) -> Any:
    return _local.backward(dy, x, weight, bias, stride, padding, 1, "channels_first", "auto", None, needs, kernel)


class LocallyConnected2d(Convolution):
    """A convolution without sharing: images [N, in_channels, H, W], a kernel of its own for each place in the output.

    See `fastconv.local_conv2d`. PyTorch has no such layer.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    input_size : int or (int, int)
        Height and width of the input, on which the number of positions depends.
    kernel_size, stride : int or (int, int)
        Of the window.
    padding : int, (int, int), two (before, after) pairs, "valid" or "same"
        Zeros around the image.
    bias : bool
        Whether a bias is added, one number for each element of the output.
    dtype
        As in `Conv2d`.
    rng : numpy.random.Generator, seed or None
        Draws the first values, evenly within 1 / sqrt(in_channels * kh * kw); None takes fresh entropy.

    Attributes
    ----------
    params : dict
        "weight" [out_h * out_w, out_channels, in_channels * kh * kw], positions row by row, and, with a bias, "bias"
        [out_channels, out_h, out_w].
    output_size : (int, int)
        Height and width of the output.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; a kernel larger than the padded input; an input of another
        size.

    References
    ----------
    Y. Taigman, M. Yang, M. Ranzato, L. Wolf, "DeepFace: closing the gap to human-level performance in face
    verification", CVPR 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.LocallyConnected2d(1, 4, (8, 8), 3, rng=0)
    >>> layer(np.ones((2, 1, 8, 8), np.float32)).shape
    (2, 4, 6, 6)
    >>> layer.params["weight"].shape
    (36, 4, 9)
    """

    _dimensions = 2
    _function = staticmethod(_forward)
    _gradient = staticmethod(_backward)
    _sizes = "in_channels, out_channels, input_size and kernel_size"
    dilation = (1, 1)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        input_size: int | tuple[int, int],
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: Any = 0,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
        rng: Any = None,
    ) -> None:
        self.in_channels = _checks.integer(in_channels, "in_channels")
        self.out_channels = _checks.integer(out_channels, "out_channels")
        self.input_size = _checks.integers(input_size, 2, "input_size")
        self.kernel_size = _checks.integers(kernel_size, 2, "kernel_size")
        self.stride = _checks.integers(stride, 2, "stride")
        self.padding = paddings(padding, self.stride)
        before, after = _validate.paddings(self.padding, self.kernel_size, self.stride, self.dilation)
        self.output_size = _validate.conv_out_size(
            self.input_size, self.kernel_size, self.stride, before, after, self.dilation, "kernel_size"
        )
        fan_in = self.in_channels * math.prod(self.kernel_size)
        weight_shape = math.prod(self.output_size), self.out_channels, fan_in
        super().__init__(weight_shape, (self.out_channels, *self.output_size), fan_in, bias, dtype, rng)

    def forward(self, x: Any) -> Any:
        """Return the map of `x` [N, in_channels, H, W] (or without N), computed in the parameters' dtype."""
        x = self._input(x, "x")
        if x.ndim not in (3, 4) or x.shape[-3:] != (self.in_channels, *self.input_size):
            height, width = self.input_size
            raise ValueError(
                f"x must have the shape [N, {self.in_channels}, {height}, {width}], or that without N, got {x.shape}"
            )
        return self._run(x, self.kernel_size, self.stride, self.padding)

    def multiply_adds(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """Return the batch times the size of the weight."""
        return output_shape[0] * self.params["weight"].size

    def window(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Return (kernel_size, stride, dilation)."""
        return self.kernel_size, self.stride, self.dilation

    def _arguments(self) -> str:
        return f"{super()._arguments()}, input_size={self.input_size}{self._bias_argument()}"

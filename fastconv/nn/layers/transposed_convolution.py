"""Transposed convolutions: the layers around `fastconv.conv_transpose2d` and its relatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv import functional as F
from fastconv import grad

from .. import _checks
from .convolution import GroupedConvolution


class _TransposedConvolution(GroupedConvolution):
    """What ConvTranspose1d, ConvTranspose2d and ConvTranspose3d share."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        output_padding: int | tuple[int, ...] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, ...] = 1,
        padding_mode: str = "zeros",
        *,
        dtype: DTypeLike = np.float32,
        rng: Any = None,
    ) -> None:
        self._set_arguments(in_channels, out_channels, kernel_size, stride, dilation, groups, padding_mode)
        self.padding = _checks.integers(padding, self._dimensions, "padding", minimum=0)
        self.output_padding = _checks.integers(output_padding, self._dimensions, "output_padding", minimum=0)
        for extra, step, spread in zip(self.output_padding, self.stride, self.dilation, strict=True):
            if extra >= max(step, spread):
                raise ValueError(
                    f"output_padding must be below the stride or the dilation, got {self.output_padding} with the "
                    f"stride {self.stride} and the dilation {self.dilation}"
                )
        shape = self.in_channels, self.out_channels // self.groups, *self.kernel_size
        super().__init__(shape, (self.out_channels,), math.prod(shape[1:]), bias, dtype, rng)

    def __call__(self, x: Any, output_size: Any = None) -> Any:
        return self.forward(x, output_size)

    def forward(self, x: Any, output_size: Any = None) -> Any:
        """Return the transposed convolution of `x` [N, in_channels, ...] (or without N), in the parameters' dtype.

        `output_size`, one int a spatial dimension, or the output's whole shape, chooses among the sizes that a
        convolution would bring back to the size of `x`; it takes the place of `output_padding`.
        """
        x = self._input(x, "x")
        extra = self.output_padding if output_size is None else self._output_padding(x.shape, output_size)
        return self._run(x, self.stride, self.padding, extra, self.groups, self.dilation)

    def compute(self, x: Any, weight: Any, bias: Any, activation: str | None) -> Any:
        """Return the transposed convolution with this weight, perhaps packed, and bias, and the activation of it."""
        options = self.stride, self.padding, self.output_padding, self.groups, self.dilation
        return self._function(x, weight, bias, *options, activation=activation)

    def multiply_adds(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """Return the input's pixels times the size of the weight."""
        return input_shape[0] * math.prod(input_shape[2:]) * self.params["weight"].size

    def _output_padding(self, shape: tuple[int, ...], output_size: Any) -> tuple[int, ...]:
        dimensions = self._dimensions
        if len(shape) not in (dimensions + 1, dimensions + 2):
            raise ValueError(f"x must have {dimensions + 2} dimensions, or one less without N, got the shape {shape}")
        sizes = _checks.shape_of(output_size, "output_size", 1)
        if len(sizes) == len(shape):
            sizes = sizes[-dimensions:]
        if len(sizes) != dimensions:
            raise ValueError(f"output_size must have {dimensions} or {len(shape)} numbers, got {output_size!r}")
        axes = zip(shape[-dimensions:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True)
        least = tuple((size - 1) * s - 2 * p + d * (k - 1) + 1 for size, s, p, d, k in axes)
        most = tuple(size + step - 1 for size, step in zip(least, self.stride, strict=True))
        if any(not low <= size <= high for low, size, high in zip(least, sizes, most, strict=True)):
            raise ValueError(f"output_size must lie from {least} to {most} for x of the shape {shape}, got {sizes}")
        return tuple(size - low for size, low in zip(sizes, least, strict=True))

    def _arguments(self) -> str:
        text = super()._arguments()
        if any(self.output_padding):
            text += f", output_padding={self.output_padding}"
        return text + self._groups_argument() + self._bias_argument()


class ConvTranspose2d(_TransposedConvolution):
    """Transposed convolution of [N, in_channels, H, W] to larger images; see `fastconv.conv_transpose2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    kernel_size, stride, dilation : int or (int, int)
        As in `fastconv.conv_transpose2d`.
    padding : int or (int, int)
        Cells cut off the output's borders.
    output_padding : int or (int, int)
        Cells added at the output's end, fewer than the stride or the dilation.
    groups : int
        Divides both channel counts.
    bias : bool
        Whether a bias is added.
    padding_mode : "zeros"
        The only mode.
    dtype
        As in `Conv2d`.
    rng : numpy.random.Generator, seed or None
        Draws the first values, which are PyTorch's; None takes fresh entropy.

    Attributes
    ----------
    params : dict
        "weight" [in_channels, out_channels / groups, kh, kw] and, with a bias, "bias" [out_channels].

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; an input of other channels; an `output_size` out of reach.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, rng=0)
    >>> x = np.ones((2, 8, 5, 5), np.float32)
    >>> layer(x).shape, layer(x, output_size=(10, 10)).shape
    ((2, 4, 9, 9), (2, 4, 10, 10))
    """

    _dimensions = 2
    _function = staticmethod(F.conv_transpose2d)
    _gradient = staticmethod(grad.conv_transpose2d_backward)


class ConvTranspose1d(_TransposedConvolution):
    """Transposed convolution of [N, in_channels, L] to longer sequences; see `fastconv.conv_transpose1d`.

    Arguments and parameters as of `ConvTranspose2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.ConvTranspose1d(2, 1, 4, stride=4, rng=0)(np.ones((3, 2, 5), np.float32)).shape
    (3, 1, 20)
    """

    _dimensions = 1
    _function = staticmethod(F.conv_transpose1d)
    _gradient = staticmethod(grad.conv_transpose1d_backward)


class ConvTranspose3d(_TransposedConvolution):
    """Transposed convolution of [N, in_channels, D, H, W] to larger volumes; see `fastconv.conv_transpose3d`.

    Arguments and parameters as of `ConvTranspose2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.ConvTranspose3d(2, 1, 2, stride=2, rng=0)(np.ones((1, 2, 3, 4, 5), np.float32)).shape
    (1, 1, 6, 8, 10)
    """

    _dimensions = 3
    _function = staticmethod(F.conv_transpose3d)
    _gradient = staticmethod(grad.conv_transpose3d_backward)

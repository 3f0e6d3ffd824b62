"""Unfold, which makes each window of an image a column, and fold, which adds the columns up into an image again."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import ArrayLike

from . import _arguments as check
from ._arguments import Array, Size
from ._windows import Windows, convolution_windows


def _windows(size: tuple[int, ...], kernel_size: Size, dilation: Size, padding: Size, stride: Size) -> Windows:
    """Return the windows of a convolution with ints for its padding."""
    kernel = check.per_dimension("kernel_size", kernel_size, len(size), 1)
    return convolution_windows(size, kernel, stride, check.per_dimension("padding", padding, len(size), 0), dilation)


def _columns(x: Array, windows: Windows) -> Array:
    """Return [N, C * taps, windows]: the cells of every window of x [N, C, *size], channel by channel, tap by tap."""
    padded = windows.pad(x)
    columns = np.empty((*x.shape[:2], *windows.kernel, *windows.count))
    for (_, *tap), cells in windows.taps():
        columns[:, :, *tap] = padded[cells]
    return columns.reshape(len(x), x.shape[1] * prod(windows.kernel), prod(windows.count))


def _image(columns: Array, windows: Windows) -> Array:
    """Return [N, C, *size]: each number of columns [N, C * taps, windows] added to the cell that it belongs to."""
    channels = columns.shape[1] // prod(windows.kernel)
    columns = columns.reshape(len(columns), channels, *windows.kernel, *windows.count)
    x = windows.pad(np.zeros((len(columns), channels, *windows.size)))
    for (_, *tap), cells in windows.taps():
        x[cells] += columns[:, :, *tap]
    return windows.crop(x)


def _check_columns(columns: Array, windows: Windows) -> None:
    if columns.shape[1] % prod(windows.kernel):
        raise ValueError(f"input must have channels * kernel {windows.kernel} rows, got {columns.shape[1]}")
    if columns.shape[2] != prod(windows.count):
        raise ValueError(f"input must have {windows.count} columns, got {columns.shape[2]}")


@check.quiet
def unfold(
    input: ArrayLike,
    kernel_size: Size,
    dilation: Size = 1,
    padding: Size = 0,
    stride: Size = 1,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Return the columns [N, C * kh * kw, L] of the L windows of input [N, C, H, W]."""
    input = check.array("input", input)
    dtype = check.promoted(input, integers=False)
    x, batched = check.channels_first(input, 2, layout)
    columns = _columns(x, _windows(x.shape[2:], kernel_size, dilation, padding, stride))
    return check.deliver([check.as_caller(columns, batched, layout, dtype)], [out], input)[0]


@check.quiet
def unfold_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    kernel_size: Size,
    dilation: Size = 1,
    padding: Size = 0,
    stride: Size = 1,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Return the gradient for input [N, C, H, W]: the columns grad_output [N, C * kh * kw, L], folded."""
    grad_output, input = check.array("grad_output", grad_output), check.array("input", input)
    dtype = check.promoted(grad_output, input, integers=False)
    x, batched = check.channels_first(input, 2, layout)
    windows = _windows(x.shape[2:], kernel_size, dilation, padding, stride)
    dy, _ = check.channels_first(grad_output, 1, layout)
    shape = (len(x), x.shape[1] * prod(windows.kernel), prod(windows.count))
    check.check_gradient(grad_output, dy, shape, batched)
    return check.deliver([check.as_caller(_image(dy, windows), batched, layout, dtype)], [out], grad_output, input)[0]


@check.quiet
def fold(
    input: ArrayLike,
    output_size: Size,
    kernel_size: Size,
    dilation: Size = 1,
    padding: Size = 0,
    stride: Size = 1,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Return the image [N, C, *output_size] whose windows the columns of input [N, C * kh * kw, L] are, added up."""
    input = check.array("input", input)
    dtype = check.promoted(input, integers=False)
    columns, batched = check.channels_first(input, 1, layout)
    size = check.per_dimension("output_size", output_size, 2, 1)
    windows = _windows(size, kernel_size, dilation, padding, stride)
    _check_columns(columns, windows)
    return check.deliver([check.as_caller(_image(columns, windows), batched, layout, dtype)], [out], input)[0]


@check.quiet
def fold_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    output_size: Size,
    kernel_size: Size,
    dilation: Size = 1,
    padding: Size = 0,
    stride: Size = 1,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Return the gradient for input [N, C * kh * kw, L]: the image grad_output [N, C, *output_size], unfolded."""
    grad_output, input = check.array("grad_output", grad_output), check.array("input", input)
    dtype = check.promoted(grad_output, input, integers=False)
    columns, batched = check.channels_first(input, 1, layout)
    size = check.per_dimension("output_size", output_size, 2, 1)
    windows = _windows(size, kernel_size, dilation, padding, stride)
    _check_columns(columns, windows)
    dy, _ = check.channels_first(grad_output, 2, layout)
    check.check_gradient(grad_output, dy, (len(columns), columns.shape[1] // prod(windows.kernel), *size), batched)
    return check.deliver([check.as_caller(_columns(dy, windows), batched, layout, dtype)], [out], grad_output, input)[0]

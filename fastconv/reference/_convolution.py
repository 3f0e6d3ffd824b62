"""Convolution, transposed and local convolution: three sums over the same windows, and their derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np
from numpy.typing import ArrayLike

from . import _arguments as check
from ._arguments import Array, Gradients, Padding, Size
from ._windows import Windows, convolution_windows, transposed_windows

_ACTIVATIONS: dict[str | None, Callable[[Array], Array]] = {
    None: lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "silu": lambda x: x / (1 + np.exp(-x)),
}


def _activated(y: Array, activation: str | None) -> Array:
    if activation is not None:
        activation = check.word("activation", activation, ["relu", "relu6", "silu"])
    return _ACTIVATIONS[activation](y)


# The sum and its two derivatives


def _split(array: Array, groups: int, axis: int) -> Array:
    """Return a view with the channels on `axis` as two axes: [groups, channels of one group]."""
    return array.reshape(*array.shape[:axis], groups, array.shape[axis] // groups, *array.shape[axis + 1 :])


def _gather(x: Array, weight: Array, windows: Windows, groups: int) -> Array:
    """Return [N, K, *count]: each window of x [N, C, *size] times weight [K, C / groups, *kernel]."""
    x = _split(windows.pad(x), groups, axis=1)
    weight = _split(weight, groups, axis=0)
    y = np.zeros((*x.shape[:2], weight.shape[1], *windows.count))
    for tap, cells in windows.taps():
        y += np.einsum("ngc...,gkc->ngk...", x[cells], weight[tap])
    return y.reshape(len(y), groups * y.shape[2], *windows.count)


def _scatter(y: Array, weight: Array, windows: Windows, groups: int) -> Array:
    """Return [N, C, *size]: each number of y [N, K, *count] times weight [K, C / groups, *kernel], onto its window.

    What falls on the padding is lost, and there is no product but these: no zero ever meets the weight.
    """
    y = _split(y, groups, axis=1)
    weight = _split(weight, groups, axis=0)
    x = windows.pad(np.zeros((len(y), groups * weight.shape[2], *windows.size)))
    in_groups = _split(x, groups, axis=1)
    for tap, cells in windows.taps():
        in_groups[cells] += np.einsum("ngk...,gkc->ngc...", y, weight[tap])
    return windows.crop(x)


def _correlate(y: Array, x: Array, windows: Windows, groups: int) -> Array:
    """Return [K, C / groups, *kernel], the gradient of sum(y * gather(x, weight)) for the weight.

    The zeros of the padding take part in its sums.
    """
    y = _split(y, groups, axis=1)
    x = _split(windows.pad(x), groups, axis=1)
    dw = np.zeros((*y.shape[1:3], x.shape[2], *windows.kernel))
    space = "xyz"[: len(windows.size)]
    for tap, cells in windows.taps():
        dw[tap] = np.einsum(f"ngk{space},ngc{space}->gkc", y, x[cells])
    return dw.reshape(groups * dw.shape[1], *dw.shape[2:])


def _per_channel(bias: Array, dimensions: int) -> Array:
    """Return bias [K] as [K, 1, ...]."""
    return bias.astype(np.float64).reshape(len(bias), *[1] * dimensions)


def _optional(bias: ArrayLike | None) -> Array | None:
    return None if bias is None else check.array("bias", bias)


def _needed(needs: Sequence[bool], out: Gradients | None) -> tuple[list[bool], Gradients]:
    """Return which of the gradients for input, weight and bias are wanted, and what each is to be written into."""
    wanted = [check.flag("needs", need) for need in check.several("needs", needs, 3)]
    into = (None, None, None) if out is None else check.several("out", out, 3)
    return wanted, (into[0], into[1], into[2])


# Convolution: every window of the input becomes a number of the output


def _check_channels(x: Array, weight: Array, bias: Array | None, groups: int) -> int:
    """Return the number of groups if it, weight and bias fit the channels of x [N, C, *size]."""
    groups = check.integer("groups", groups, 1)
    if weight.size == 0 or len(weight) % groups or weight.shape[1] * groups != x.shape[1]:
        raise ValueError(f"weight {weight.shape} in {groups} groups does not fit an input of {x.shape[1]} channels")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"bias must have the shape {weight.shape[:1]}, got {bias.shape}")
    return groups


@check.quiet
def convnd(
    dimensions: int,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
    activation: str | None = None,
) -> Array:
    """Return the convolution [N, K, *count] of input [N, C, *size] with weight [K, C/groups, *kernel] and bias [K]."""
    input, weight, bias = check.array("input", input), check.array("weight", weight), _optional(bias)
    dtype = check.promoted(input, weight, bias, integers=True)
    x, batched = check.channels_first(input, dimensions, layout)
    windows = convolution_windows(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    groups = _check_channels(x, weight, bias, groups)
    y = _gather(x, weight.astype(np.float64), windows, groups)
    if bias is not None:
        y += _per_channel(bias, dimensions)
    y = check.as_caller(_activated(y, activation), batched, layout, dtype)
    return check.deliver([y], [out], input, weight, bias)[0]


@check.quiet
def convnd_backward(
    dimensions: int,
    grad_output: ArrayLike,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    layout: str = "channels_first",
    out: Gradients | None = None,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> Gradients:
    """Return the gradients for input, weight and bias, from grad_output [N, K, *count]; None for one not needed."""
    grad_output, bias = check.array("grad_output", grad_output), _optional(bias)
    input, weight = check.array("input", input), check.array("weight", weight)
    dtype = check.promoted(grad_output, input, weight, bias, integers=True)
    x, batched = check.channels_first(input, dimensions, layout)
    windows = convolution_windows(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    groups = _check_channels(x, weight, bias, groups)
    dy, _ = check.channels_first(grad_output, dimensions, layout)
    check.check_gradient(grad_output, dy, (len(x), len(weight), *windows.count), batched)
    (need_x, need_w, need_b), into = _needed(needs, out)
    dx = dw = db = None
    if need_x:
        dx = check.as_caller(_scatter(dy, weight.astype(np.float64), windows, groups), batched, layout, dtype)
    if need_w:
        dw = _correlate(dy, x, windows, groups).astype(dtype)
    if need_b and bias is not None:
        db = dy.sum((0, *range(2, dy.ndim))).astype(dtype)
    dx, dw, db = check.deliver([dx, dw, db], into, grad_output, input, weight, bias)
    return dx, dw, db


def convnd_input(
    dimensions: int,
    input_size: Sequence[int],
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Return the gradient for an input of shape `input_size`, from grad_output [N, K, *count]."""
    # The input's shape is needed, not its numbers; and an array of bool has no say in the dtype.
    input, where = check.nothing("input_size", input_size), (stride, padding, dilation, groups)
    needs, into = (True, False, False), (out, None, None)
    dx, _, _ = convnd_backward(
        dimensions, grad_output, input, weight, None, *where, layout=layout, out=into, needs=needs
    )
    assert dx is not None
    return dx


def convnd_weight(
    dimensions: int,
    input: ArrayLike,
    weight_size: Sequence[int],
    grad_output: ArrayLike,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Return the gradient for a weight of shape `weight_size`, from grad_output [N, K, *count]."""
    weight, where = check.nothing("weight_size", weight_size), (stride, padding, dilation, groups)
    needs, into = (False, True, False), (None, out, None)
    _, dw, _ = convnd_backward(
        dimensions, grad_output, input, weight, None, *where, layout=layout, out=into, needs=needs
    )
    assert dw is not None
    return dw


# Transposed convolution: every number of the input becomes a window of the output, the convolution the other way round


def _check_transposed_channels(x: Array, weight: Array, bias: Array | None, groups: int) -> tuple[int, int]:
    """Return the numbers of groups and of output channels if weight and bias fit them and x [N, C, *size]."""
    groups = check.integer("groups", groups, 1)
    if weight.size == 0 or len(weight) % groups or len(weight) != x.shape[1]:
        raise ValueError(f"weight {weight.shape} in {groups} groups does not fit an input of {x.shape[1]} channels")
    out_channels = weight.shape[1] * groups
    if bias is not None and bias.shape != (out_channels,):
        raise ValueError(f"bias must have the shape {(out_channels,)}, got {bias.shape}")
    return groups, out_channels


@check.quiet
def conv_transposend(
    dimensions: int,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
    activation: str | None = None,
) -> Array:
    """Return the transposed convolution [N, K, *size] of input [N, C, *count], weight [C, K/groups, *kernel], bias [K].

    Padding is what is cut off the output, and output_padding what it has more at the end.
    """
    input, weight, bias = check.array("input", input), check.array("weight", weight), _optional(bias)
    dtype = check.promoted(input, weight, bias, integers=True)
    x, batched = check.channels_first(input, dimensions, layout)
    windows = transposed_windows(x.shape[2:], weight.shape[2:], stride, padding, output_padding, dilation)
    groups, _ = _check_transposed_channels(x, weight, bias, groups)
    y = _scatter(x, weight.astype(np.float64), windows, groups)
    if bias is not None:
        y += _per_channel(bias, dimensions)
    y = check.as_caller(_activated(y, activation), batched, layout, dtype)
    return check.deliver([y], [out], input, weight, bias)[0]


@check.quiet
def conv_transposend_backward(
    dimensions: int,
    grad_output: ArrayLike,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
    *,
    layout: str = "channels_first",
    out: Gradients | None = None,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> Gradients:
    """Return the gradients for input, weight and bias, from grad_output [N, K, *size]; None for one not needed.

    Both sums run over the padded grad_output, zeros included.
    """
    grad_output, bias = check.array("grad_output", grad_output), _optional(bias)
    input, weight = check.array("input", input), check.array("weight", weight)
    dtype = check.promoted(grad_output, input, weight, bias, integers=True)
    x, batched = check.channels_first(input, dimensions, layout)
    windows = transposed_windows(x.shape[2:], weight.shape[2:], stride, padding, output_padding, dilation)
    groups, out_channels = _check_transposed_channels(x, weight, bias, groups)
    dy, _ = check.channels_first(grad_output, dimensions, layout)
    check.check_gradient(grad_output, dy, (len(x), out_channels, *windows.size), batched)
    (need_x, need_w, need_b), into = _needed(needs, out)
    dx = dw = db = None
    if need_x:
        dx = check.as_caller(_gather(dy, weight.astype(np.float64), windows, groups), batched, layout, dtype)
    if need_w:
        dw = _correlate(x, dy, windows, groups).astype(dtype)
    if need_b and bias is not None:
        db = dy.sum((0, *range(2, dy.ndim))).astype(dtype)
    dx, dw, db = check.deliver([dx, dw, db], into, grad_output, input, weight, bias)
    return dx, dw, db


# Local convolution: a convolution with a weight of its own at each position of the output


def _local_windows(
    x: Array, weight: Array, bias: Array | None, stride: Size, padding: Padding, dilation: Size
) -> Windows:
    """Return the windows of x [N, C, H, W] that weight [H' * W', K, C * kh * kw] and bias [K, H', W'] are made for.

    The weight does not say how high and how wide the kernel is, only how many taps and positions there are: it is the
    one kernel that gives so many, or the square one of several.
    """
    if weight.ndim != 3 or weight.size == 0 or weight.shape[2] % x.shape[1]:
        raise ValueError(f"weight must be [positions, K, {x.shape[1]} * kernel], got {weight.shape}")
    positions, out_channels, taps = len(weight), weight.shape[1], weight.shape[2] // x.shape[1]
    if bias is not None and (bias.ndim != 3 or len(bias) != out_channels):
        raise ValueError(f"bias must be [{out_channels}, height, width], got {bias.shape}")
    convolution_windows(x.shape[2:], (1, 1), stride, padding, dilation)  # A kernel that fits whatever is right.
    found = []
    for height in range(1, taps + 1):
        if taps % height == 0:
            try:
                windows = convolution_windows(x.shape[2:], (height, taps // height), stride, padding, dilation)
            except ValueError:
                continue  # Too large for the input.
            if prod(windows.count) == positions and (bias is None or bias.shape[1:] == windows.count):
                found.append(windows)
    square = [windows for windows in found if windows.kernel[0] == windows.kernel[1]]
    if len(square or found) != 1:
        kernels = [windows.kernel for windows in found] or "none"
        raise ValueError(f"weight {weight.shape} must be that of one kernel, for {x.shape[2:]} it is that of {kernels}")
    return (square or found)[0]


def _by_position(weight: Array, channels: int, windows: Windows) -> Array:
    """Return weight [H' * W', K, C * kh * kw] as float64 [H', W', K, C, kh, kw]."""
    shape = (*windows.count, weight.shape[1], channels, *windows.kernel)
    return weight.astype(np.float64).reshape(shape)


@check.quiet
def local_conv2d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
    activation: str | None = None,
) -> Array:
    """Return [N, K, H', W'] from input [N, C, H, W], weight [H' * W', K, C * kh * kw] and bias [K, H', W']."""
    input, weight, bias = check.array("input", input), check.array("weight", weight), _optional(bias)
    dtype = check.promoted(input, weight, bias, integers=True)
    x, batched = check.channels_first(input, 2, layout)
    windows = _local_windows(x, weight, bias, stride, padding, dilation)
    w, padded = _by_position(weight, x.shape[1], windows), windows.pad(x)
    y = np.zeros((len(x), weight.shape[1], *windows.count))
    for tap, cells in windows.taps():
        y += np.einsum("nchw,hwkc->nkhw", padded[cells], w[tap])
    if bias is not None:
        y += bias.astype(np.float64)
    y = check.as_caller(_activated(y, activation), batched, layout, dtype)
    return check.deliver([y], [out], input, weight, bias)[0]


@check.quiet
def local_conv2d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    *,
    layout: str = "channels_first",
    out: Gradients | None = None,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> Gradients:
    """Return the gradients for input, weight and bias, from grad_output [N, K, H', W']; None for one not needed.

    As in a convolution the padding's zeros take part in the sums for the weight, and the padding gets nothing back.
    """
    grad_output, bias = check.array("grad_output", grad_output), _optional(bias)
    input, weight = check.array("input", input), check.array("weight", weight)
    dtype = check.promoted(grad_output, input, weight, bias, integers=True)
    x, batched = check.channels_first(input, 2, layout)
    windows = _local_windows(x, weight, bias, stride, padding, dilation)
    dy, _ = check.channels_first(grad_output, 2, layout)
    check.check_gradient(grad_output, dy, (len(x), weight.shape[1], *windows.count), batched)
    (need_x, need_w, need_b), into = _needed(needs, out)
    dx = dw = db = None
    w, padded = _by_position(weight, x.shape[1], windows), windows.pad(x)
    if need_x:
        dx = np.zeros_like(padded)
        for tap, cells in windows.taps():
            dx[cells] += np.einsum("nkhw,hwkc->nchw", dy, w[tap])
        dx = check.as_caller(windows.crop(dx), batched, layout, dtype)
    if need_w:
        dw = np.empty_like(w)
        for tap, cells in windows.taps():
            dw[tap] = np.einsum("nkhw,nchw->hwkc", dy, padded[cells])
        dw = dw.reshape(weight.shape).astype(dtype)
    if need_b and bias is not None:
        db = dy.sum(0).astype(dtype)
    dx, dw, db = check.deliver([dx, dw, db], into, grad_output, input, weight, bias)
    return dx, dw, db

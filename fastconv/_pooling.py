"""The road that every pool takes: its arguments, checked, and its two passes, handed to the engine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _core
from . import _validate as check
from ._validate import FLOAT16, FLOAT32, Array, Sizes

MAXIMUM, AVERAGE = 0, 1  # as fc_pooling
INT64 = np.dtype(np.int64)


@dataclass(slots=True)
class Problem:
    """One pool, checked: shapes with a batch, and what the engine takes after the arrays."""

    kind: int
    shape: Sizes
    out_shape: Sizes
    plane: int  # elements of an input's plane
    options: tuple[Sizes, Sizes, Sizes, Sizes, bool, bool, bool, int]  # see _core.pool


def _split(shape: Sizes, dimensions: int, layout: Any) -> tuple[bool, Sizes, int, Sizes]:
    """Whether channels lie last, the shape with a batch, the channels and the spatial sizes."""
    channels_last = check.is_channels_last(layout)
    shape = check.batched(shape, dimensions, "input", channels_last)
    return (True, shape, shape[-1], shape[1:-1]) if channels_last else (False, shape, shape[1], shape[2:])


def _stride(value: Any, kernel: Sizes) -> Sizes:
    """The kernel's size where no stride is given, as in PyTorch."""
    without = value is None or (isinstance(value, (tuple, list)) and not value)
    return kernel if without else check.integers(value, len(kernel), "stride", 1)


def windows(
    kind: int,
    dimensions: int,
    input_shape: Sizes,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: Any,
    count_include_pad: Any,
    divisor_override: Any,
    layout: Any,
) -> Problem:
    """The pool of windows of one size."""
    channels_last, shape, channels, size = _split(input_shape, dimensions, layout)
    kernel = check.integers(kernel_size, dimensions, "kernel_size", 1)
    stride = _stride(stride, kernel)
    padding = check.integers(padding, dimensions, "padding", 0)
    dilation = check.integers(dilation, dimensions, "dilation", 1)
    count_padding = check.flag(count_include_pad, "count_include_pad")
    ceil = check.flag(ceil_mode, "ceil_mode")
    divisor = 0
    if divisor_override is not None:
        divisor = check.integer(divisor_override, "divisor_override", -(2**63))
        if divisor == 0:
            raise ValueError("divisor_override: expected an integer other than 0, got 0")
    out_size = check.pool_out_size(size, kernel, stride, padding, dilation, ceil)
    if ceil:  # the last taps may lie beyond the padding, however many they are
        padded = zip(kernel, size, padding, dilation, strict=True)
        kernel = tuple(min(k, (i + 2 * p - 1) // d + 1) for k, i, p, d in padded)
    out_shape = check.output_shape(shape[0], channels, out_size, channels_last)
    options = kernel, stride, padding, dilation, channels_last, False, count_padding, divisor
    return Problem(kind, shape, out_shape, math.prod(size), options)


def adaptive_windows(kind: int, dimensions: int, input_shape: Sizes, output_size: Any, layout: Any) -> Problem:
    """The pool of as many windows as are asked for."""
    channels_last, shape, channels, size = _split(input_shape, dimensions, layout)
    out_size = check.adaptive_out_size(output_size, size)
    out_shape = check.output_shape(shape[0], channels, out_size, channels_last)
    ones, zeros = (1,) * dimensions, (0,) * dimensions
    options = ones, ones, zeros, ones, channels_last, True, False, 0
    return Problem(kind, shape, out_shape, math.prod(size), options)


# ---- the two passes of a pool ----


def forward(problem: Problem, x: Array, out: Any, return_indices: bool = False) -> Any:
    """The pool of x, with the winners' places where they are wanted."""
    dtype = x.dtype
    if dtype is not FLOAT32:
        dtype = check.common_dtype([("input", x)], integers=False)
    out_shape = problem.out_shape if x.ndim == len(problem.shape) else problem.out_shape[1:]
    out_indices = None
    if return_indices and out is not None:
        out, out_indices = check.several(out, "out", 2, "values and indices")
    if out is not None:
        check.check_out(out, out_shape, dtype, (x,), "out[0]" if return_indices else "out")
    if out_indices is not None:
        check.check_out(out_indices, out_shape, INT64, (x, out), "out[1]")
    compute = FLOAT32 if dtype is FLOAT16 else dtype
    result = check.target(out, out_shape, compute)
    indices = check.target(out_indices, out_shape, INT64) if return_indices else None
    if problem.shape[0]:
        _core.pool(
            problem.kind,
            check.ready(x, compute).reshape(problem.shape),
            result.reshape(problem.out_shape),
            None if indices is None else indices.reshape(problem.out_shape),
            problem.options,
        )
    values = check.deliver(result, out, out_shape, dtype)
    return values if indices is None else (values, check.deliver(indices, out_indices, out_shape, INT64))


def backward(problem: Problem, dy: Array, x: Array, indices: Array | None, out: Any) -> Array:
    """The gradient of the input; a maximum without indices looks for the winners again."""
    dtype = x.dtype
    if dtype is not FLOAT32 or dy.dtype is not FLOAT32:
        dtype = check.common_dtype([("grad_output", dy), ("input", x)], integers=False)
    out_shape = problem.out_shape if x.ndim == len(problem.shape) else problem.out_shape[1:]
    if dy.shape != out_shape:
        raise ValueError(f"grad_output: expected the output's shape {out_shape}, got {dy.shape}")
    if indices is not None:
        _check_indices(indices, out_shape, "output's")
    if out is not None:
        check.check_out(out, x.shape, dtype, (dy, x, indices))
    compute = FLOAT32 if dtype is FLOAT16 else dtype
    result = check.target(out, x.shape, compute)
    places = None if indices is None else _ready_indices(indices, problem.plane, -1, result is out)
    if problem.shape[0]:
        winners_again = problem.kind == MAXIMUM and places is None
        inside = _core.pool_backward(
            problem.kind,
            check.ready(dy, compute).reshape(problem.out_shape),
            check.ready(x, compute).reshape(problem.shape) if winners_again else None,
            None if places is None else places.reshape(problem.out_shape),
            result.reshape(problem.shape),
            problem.options,
        )
        if indices is not None and not inside:
            raise _outside(indices, problem.plane)
    return check.deliver(result, out, x.shape, dtype)


def _check_indices(indices: Array, shape: Sizes, whose: str) -> None:
    if indices.dtype.kind not in "iu":
        raise TypeError(f"indices: expected integers, got {indices.dtype}")
    if indices.shape != shape:
        raise ValueError(f"indices: expected the {whose} shape {shape}, got {indices.shape}")


def _ready_indices(indices: Array, plane: int, least: int, in_place: bool) -> Array:
    """The indices for the engine, which looks at each as it uses it: too late where that is in the caller's array."""
    places = check.ready(indices, INT64)
    wrapped = indices.dtype.kind == "u" and indices.size and int(indices.max()) >= plane  # and negative as int64
    if wrapped or (in_place and not _core.indices_inside(places, least, plane)):
        raise _outside(indices, plane)
    return places


def _outside(indices: Array, plane: int) -> ValueError:
    least, most = int(indices.min()), int(indices.max())
    return ValueError(f"indices: expected places in a plane of {plane}, got {least} to {most}")


# ---- the functions ----


def max_pool(
    dimensions: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: Any,
    return_indices: Any,
    layout: Any,
    out: Any,
) -> Any:
    """max_pool1d, max_pool2d and max_pool3d."""
    x = check.as_array(input, "input")
    problem = windows(
        MAXIMUM, dimensions, x.shape, kernel_size, stride, padding, dilation, ceil_mode, True, None, layout
    )
    return forward(problem, x, out, check.flag(return_indices, "return_indices"))


def max_pool_backward(
    dimensions: int,
    grad_output: Any,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: Any,
    indices: Any,
    layout: Any,
    out: Any,
) -> Array:
    """max_pool1d_backward, max_pool2d_backward and max_pool3d_backward."""
    dy, x = check.as_array(grad_output, "grad_output"), check.as_array(input, "input")
    problem = windows(
        MAXIMUM, dimensions, x.shape, kernel_size, stride, padding, dilation, ceil_mode, True, None, layout
    )
    return backward(problem, dy, x, None if indices is None else check.as_array(indices, "indices"), out)


def average_pool(
    dimensions: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: Any,
    count_include_pad: Any,
    divisor_override: Any,
    layout: Any,
    out: Any,
) -> Array:
    """avg_pool1d, avg_pool2d and avg_pool3d."""
    x = check.as_array(input, "input")
    padded, divisor = count_include_pad, divisor_override
    problem = windows(AVERAGE, dimensions, x.shape, kernel_size, stride, padding, 1, ceil_mode, padded, divisor, layout)
    result: Array = forward(problem, x, out)
    return result


def average_pool_backward(
    dimensions: int,
    grad_output: Any,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: Any,
    count_include_pad: Any,
    divisor_override: Any,
    layout: Any,
    out: Any,
) -> Array:
    """avg_pool1d_backward, avg_pool2d_backward and avg_pool3d_backward."""
    dy, x = check.as_array(grad_output, "grad_output"), check.as_array(input, "input")
    padded, divisor = count_include_pad, divisor_override
    problem = windows(AVERAGE, dimensions, x.shape, kernel_size, stride, padding, 1, ceil_mode, padded, divisor, layout)
    return backward(problem, dy, x, None, out)


def adaptive_max_pool(dimensions: int, input: Any, output_size: Any, return_indices: Any, layout: Any, out: Any) -> Any:
    """adaptive_max_pool1d, adaptive_max_pool2d and adaptive_max_pool3d."""
    x = check.as_array(input, "input")
    problem = adaptive_windows(MAXIMUM, dimensions, x.shape, output_size, layout)
    return forward(problem, x, out, check.flag(return_indices, "return_indices"))


def adaptive_max_pool_backward(
    dimensions: int, grad_output: Any, input: Any, output_size: Any, indices: Any, layout: Any, out: Any
) -> Array:
    """adaptive_max_pool1d_backward, adaptive_max_pool2d_backward and adaptive_max_pool3d_backward."""
    dy, x = check.as_array(grad_output, "grad_output"), check.as_array(input, "input")
    problem = adaptive_windows(MAXIMUM, dimensions, x.shape, output_size, layout)
    return backward(problem, dy, x, None if indices is None else check.as_array(indices, "indices"), out)


def adaptive_average_pool(dimensions: int, input: Any, output_size: Any, layout: Any, out: Any) -> Array:
    """adaptive_avg_pool1d, adaptive_avg_pool2d and adaptive_avg_pool3d."""
    x = check.as_array(input, "input")
    problem = adaptive_windows(AVERAGE, dimensions, x.shape, output_size, layout)
    result: Array = forward(problem, x, out)
    return result


def adaptive_average_pool_backward(
    dimensions: int, grad_output: Any, input: Any, output_size: Any, layout: Any, out: Any
) -> Array:
    """adaptive_avg_pool1d_backward, adaptive_avg_pool2d_backward and adaptive_avg_pool3d_backward."""
    dy, x = check.as_array(grad_output, "grad_output"), check.as_array(input, "input")
    problem = adaptive_windows(AVERAGE, dimensions, x.shape, output_size, layout)
    return backward(problem, dy, x, None, out)


# ---- unpooling ----


def _unpooled(
    dimensions: int, x: Array, kernel_size: Any, stride: Any, padding: Any, output_size: Any, layout: Any
) -> Problem:
    channels_last, shape, channels, size = _split(x.shape, dimensions, layout)
    kernel = check.integers(kernel_size, dimensions, "kernel_size", 1)
    stride = _stride(stride, kernel)
    padding = check.integers(padding, dimensions, "padding", 0)
    out_size = check.unpool_out_size(size, kernel, stride, padding, output_size, channels_last)
    out_shape = check.output_shape(shape[0], channels, out_size, channels_last)
    ones, zeros = (1,) * dimensions, (0,) * dimensions
    options = ones, ones, zeros, ones, channels_last, False, False, 0
    return Problem(MAXIMUM, shape, out_shape, math.prod(out_size), options)


def max_unpool(
    dimensions: int,
    input: Any,
    indices: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    output_size: Any,
    layout: Any,
    out: Any,
) -> Array:
    """max_unpool1d, max_unpool2d and max_unpool3d."""
    x, places = check.as_array(input, "input"), check.as_array(indices, "indices")
    dtype = check.common_dtype([("input", x)], integers=False)
    problem = _unpooled(dimensions, x, kernel_size, stride, padding, output_size, layout)
    _check_indices(places, x.shape, "input's")
    out_shape = problem.out_shape if x.ndim == len(problem.shape) else problem.out_shape[1:]
    if out is not None:
        check.check_out(out, out_shape, dtype, (x, places))
    compute = FLOAT32 if dtype is FLOAT16 else dtype
    result = check.target(out, out_shape, compute)
    ready = _ready_indices(places, problem.plane, 0, result is out)
    if problem.shape[0] and not _core.unpool(
        False,
        check.ready(x, compute).reshape(problem.shape),
        ready.reshape(problem.shape),
        result.reshape(problem.out_shape),
        problem.options,
    ):
        raise _outside(places, problem.plane)
    return check.deliver(result, out, out_shape, dtype)


def max_unpool_backward(
    dimensions: int,
    grad_output: Any,
    input: Any,
    indices: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    output_size: Any,
    layout: Any,
    out: Any,
) -> Array:
    """max_unpool1d_backward, max_unpool2d_backward and max_unpool3d_backward."""
    dy, x = check.as_array(grad_output, "grad_output"), check.as_array(input, "input")
    places = check.as_array(indices, "indices")
    dtype = check.common_dtype([("grad_output", dy), ("input", x)], integers=False)
    problem = _unpooled(dimensions, x, kernel_size, stride, padding, output_size, layout)
    _check_indices(places, x.shape, "input's")
    out_shape = problem.out_shape if x.ndim == len(problem.shape) else problem.out_shape[1:]
    if dy.shape != out_shape:
        raise ValueError(f"grad_output: expected the output's shape {out_shape}, got {dy.shape}")
    if out is not None:
        check.check_out(out, x.shape, dtype, (dy, x, places))
    compute = FLOAT32 if dtype is FLOAT16 else dtype
    result = check.target(out, x.shape, compute)
    ready = _ready_indices(places, problem.plane, 0, result is out)
    if problem.shape[0] and not _core.unpool(
        True,
        result.reshape(problem.shape),
        ready.reshape(problem.shape),
        check.ready(dy, compute).reshape(problem.out_shape),
        problem.options,
    ):
        raise _outside(places, problem.plane)
    return check.deliver(result, out, x.shape, dtype)

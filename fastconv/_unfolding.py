"""The road of unfold and fold: each is the other's gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from . import _core
from . import _validate as check
from ._convolution import Geometry
from ._validate import FLOAT16, FLOAT32, Array, Sizes


@dataclass(slots=True)
class Problem:
    """An image and its columns, checked: shapes with a batch."""

    image: Sizes
    columns: Sizes
    kernel: Sizes
    out_size: Sizes
    geometry: Geometry


def _windows(
    batch: int,
    channels: int | None,
    rows: int,
    size: Sizes,
    kernel_size: Any,
    dilation: Any,
    padding: Any,
    stride: Any,
    channels_last: bool,
) -> Problem:
    """The windows of an image; where the channels are not known, they are `rows` by the kernel's elements."""
    kernel = check.integers(kernel_size, 2, "kernel_size", 1)
    stride, dilation = check.integers(stride, 2, "stride", 1), check.integers(dilation, 2, "dilation", 1)
    padding = check.integers(padding, 2, "padding", 0)
    out_size = check.conv_out_size(size, kernel, stride, padding, padding, dilation, "kernel_size")
    taps = math.prod(kernel)
    if channels is None:
        if rows % taps:
            raise ValueError(f"input: expected a multiple of the kernel's {taps} elements as channels, got {rows}")
        channels = rows // taps
    return Problem(
        check.output_shape(batch, channels, size, channels_last),
        check.output_shape(batch, channels * taps, (math.prod(out_size),), channels_last),
        kernel,
        out_size,
        (stride, padding, dilation, 1, channels_last),
    )


def _of_image(x: Array, kernel_size: Any, dilation: Any, padding: Any, stride: Any, layout: Any) -> Problem:
    channels_last = check.is_channels_last(layout)
    shape = check.batched(x.shape, 2, "input", channels_last)
    channels, size = (shape[-1], shape[1:-1]) if channels_last else (shape[1], shape[2:])
    return _windows(shape[0], channels, 0, size, kernel_size, dilation, padding, stride, channels_last)


def _of_columns(
    x: Array, output_size: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any, layout: Any
) -> Problem:
    channels_last = check.is_channels_last(layout)
    shape = check.batched(x.shape, 1, "input", channels_last)
    size = check.integers(output_size, 2, "output_size", 1)
    rows, count = shape[:0:-1] if channels_last else shape[1:]
    problem = _windows(shape[0], None, rows, size, kernel_size, dilation, padding, stride, channels_last)
    if count != math.prod(problem.out_size):
        raise ValueError(
            f"input: expected {math.prod(problem.out_size)} columns, for {problem.out_size} windows, got {count}"
        )
    return problem


def _run(unfolds: bool, problem: Problem, source: Array, dtype: Any, batched: bool, out: Any) -> Array:
    """From the image to the columns, or back."""
    ends = (problem.image, problem.columns) if unfolds else (problem.columns, problem.image)
    shape = ends[1] if batched else ends[1][1:]
    compute = FLOAT32 if dtype is FLOAT16 else dtype
    source = check.ready(source, compute).reshape(ends[0])
    result = check.target(out, shape, compute)
    if ends[0][0]:
        function = _core.unfold if unfolds else _core.fold
        function(source, result.reshape(ends[1]), problem.kernel, problem.out_size, problem.geometry)
    return check.deliver(result, out, shape, dtype)


def _forward(unfolds: bool, problem: Problem, x: Array, rank: int, out: Any) -> Array:
    dtype = check.common_dtype([("input", x)], integers=False)
    shape = problem.columns if unfolds else problem.image
    if out is not None:
        check.check_out(out, shape if x.ndim == rank else shape[1:], dtype, (x,))
    return _run(unfolds, problem, x, dtype, x.ndim == rank, out)


def _backward(unfolds: bool, problem: Problem, dy: Array, x: Array, rank: int, out: Any) -> Array:
    dtype = check.common_dtype([("grad_output", dy), ("input", x)], integers=False)
    shape = problem.columns if unfolds else problem.image
    if dy.shape != (shape if x.ndim == rank else shape[1:]):
        raise ValueError(f"grad_output: expected the output's shape {shape[x.ndim != rank :]}, got {dy.shape}")
    if out is not None:
        check.check_out(out, x.shape, dtype, (dy, x))
    return _run(not unfolds, problem, dy, dtype, x.ndim == rank, out)


def unfold(input: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any, layout: Any, out: Any) -> Array:
    """unfold."""
    x = check.as_array(input, "input")
    return _forward(True, _of_image(x, kernel_size, dilation, padding, stride, layout), x, 4, out)


def unfold_backward(
    grad_output: Any, input: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any, layout: Any, out: Any
) -> Array:
    """unfold_backward."""
    dy, x = check.as_array(grad_output, "grad_output"), check.as_array(input, "input")
    return _backward(True, _of_image(x, kernel_size, dilation, padding, stride, layout), dy, x, 4, out)


def fold(
    input: Any, output_size: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any, layout: Any, out: Any
) -> Array:
    """fold."""
    x = check.as_array(input, "input")
    return _forward(False, _of_columns(x, output_size, kernel_size, dilation, padding, stride, layout), x, 3, out)


def fold_backward(
    grad_output: Any,
    input: Any,
    output_size: Any,
    kernel_size: Any,
    dilation: Any,
    padding: Any,
    stride: Any,
    layout: Any,
    out: Any,
) -> Array:
    """fold_backward."""
    dy, x = check.as_array(grad_output, "grad_output"), check.as_array(input, "input")
    problem = _of_columns(x, output_size, kernel_size, dilation, padding, stride, layout)
    return _backward(False, problem, dy, x, 3, out)

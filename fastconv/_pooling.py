"""The road that every pool takes: its arguments, checked, and its two passes, handed to the engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _core
from . import _validate as check
from ._validate import FLOAT16, FLOAT32, Array, Sizes

MAXIMUM, AVERAGE = 0, 1  # as fc_pooling
INT64 = np.dtype(np.int64)


class Options:
    """The options of one pool, checked against the input's shape."""

    __slots__ = (
        "channels_last",
        "count_padding",
        "dilation",
        "divisor",
        "kernel",
        "kind",
        "out_shape",
        "padding",
        "shape",
        "stride",
    )

    def __init__(
        self,
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
    ) -> None:
        self.kind = kind
        self.channels_last = check.is_channels_last(layout)
        self.shape = check.batched(input_shape, dimensions, "input", self.channels_last)
        self.kernel = check.integers(kernel_size, dimensions, "kernel_size", 1)
        without = stride is None or (isinstance(stride, (tuple, list)) and not stride)
        self.stride = self.kernel if without else check.integers(stride, dimensions, "stride", 1)
        self.padding = check.integers(padding, dimensions, "padding", 0)
        self.dilation = check.integers(dilation, dimensions, "dilation", 1)
        self.count_padding = check.flag(count_include_pad, "count_include_pad")
        ceil = check.flag(ceil_mode, "ceil_mode")
        self.divisor = 0  # none
        if divisor_override is not None:
            self.divisor = check.integer(divisor_override, "divisor_override", -(2**63))
            if self.divisor == 0:
                raise ValueError("divisor_override: expected an integer other than 0, got 0")
        size = self.shape[1:-1] if self.channels_last else self.shape[2:]
        channels = self.shape[-1] if self.channels_last else self.shape[1]
        out_size = check.pool_out_size(size, self.kernel, self.stride, self.padding, self.dilation, ceil)
        if ceil:  # the last taps may lie beyond the padding, however many they are
            padded = zip(self.kernel, size, self.padding, self.dilation, strict=True)
            self.kernel = tuple(min(k, (i + 2 * p - 1) // d + 1) for k, i, p, d in padded)
        self.out_shape = check.output_shape(self.shape[0], channels, out_size, self.channels_last)

    def arguments(self) -> tuple[Any, ...]:
        """What the engine takes after the arrays."""
        return (
            self.kernel,
            self.stride,
            self.padding,
            self.dilation,
            self.channels_last,
            self.count_padding,
            self.divisor,
        )

    @property
    def plane(self) -> int:
        """Elements of an input's plane."""
        size = self.shape[1:-1] if self.channels_last else self.shape[2:]
        return int(np.prod(size, dtype=object))


def _pool(options: Options, x: Array, out: Any, return_indices: bool) -> Any:
    dtype = x.dtype
    if dtype is not FLOAT32:
        dtype = check.common_dtype([("input", x)], integers=False)
    out_shape = options.out_shape if x.ndim == len(options.shape) else options.out_shape[1:]
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
    if options.shape[0]:
        _core.pool(
            options.kind,
            check.ready(x, compute).reshape(options.shape),
            result.reshape(options.out_shape),
            None if indices is None else indices.reshape(options.out_shape),
            *options.arguments(),
        )
    values = check.deliver(result, out, out_shape, dtype)
    return values if indices is None else (values, check.deliver(indices, out_indices, out_shape, INT64))


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
    options = Options(
        MAXIMUM, dimensions, x.shape, kernel_size, stride, padding, dilation, ceil_mode, True, None, layout
    )
    return _pool(options, x, out, check.flag(return_indices, "return_indices"))


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
    options = Options(
        AVERAGE, dimensions, x.shape, kernel_size, stride, padding, 1, ceil_mode, padded, divisor, layout
    )
    result: Array = _pool(options, x, out, False)
    return result


def _backward(options: Options, dy: Array, x: Array, indices: Array | None, out: Any) -> Array:
    dtype = check.common_dtype([("grad_output", dy), ("input", x)], integers=False)
    out_shape = options.out_shape if x.ndim == len(options.shape) else options.out_shape[1:]
    if dy.shape != out_shape:
        raise ValueError(f"grad_output: expected the output's shape {out_shape}, got {dy.shape}")
    if indices is not None:
        _check_indices(indices, out_shape)
    if out is not None:
        check.check_out(out, x.shape, dtype, (dy, x, indices))
    compute = FLOAT32 if dtype is FLOAT16 else dtype
    result = check.target(out, x.shape, compute)
    if indices is not None:
        indices = _ready_indices(indices, options.plane)
    if options.shape[0]:
        winners_again = options.kind == MAXIMUM and indices is None
        _core.pool_backward(
            options.kind,
            check.ready(dy, compute).reshape(options.out_shape),
            check.ready(x, compute).reshape(options.shape) if winners_again else None,
            None if indices is None else indices.reshape(options.out_shape),
            result.reshape(options.shape),
            *options.arguments(),
        )
    return check.deliver(result, out, x.shape, dtype)


def _check_indices(indices: Array, shape: Sizes) -> None:
    if indices.dtype.kind not in "iu":
        raise TypeError(f"indices: expected integers, got {indices.dtype}")
    if indices.shape != shape:
        raise ValueError(f"indices: expected the output's shape {shape}, got {indices.shape}")


def _ready_indices(indices: Array, plane: int) -> Array:
    if indices.size and (int(indices.min()) < -1 or int(indices.max()) >= plane):
        raise ValueError(
            f"indices: expected places in a plane of {plane}, got {int(indices.min())} to {int(indices.max())}"
        )
    return check.ready(indices, INT64)


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
    options = Options(
        MAXIMUM, dimensions, x.shape, kernel_size, stride, padding, dilation, ceil_mode, True, None, layout
    )
    return _backward(options, dy, x, None if indices is None else check.as_array(indices, "indices"), out)


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
    options = Options(
        AVERAGE, dimensions, x.shape, kernel_size, stride, padding, 1, ceil_mode, padded, divisor, layout
    )
    return _backward(options, dy, x, None, out)

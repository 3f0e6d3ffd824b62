"""The road that the gradients of convolutions take: all that can fail first, then pass after pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _core
from . import _validate as check
from ._convolution import (
    FORWARD,
    INPUT_GRADIENT,
    WEIGHT_GRADIENT,
    Geometry,
    check_algorithm,
    check_room,
    geometry_of,
    transposed_geometry_of,
)
from ._validate import FLOAT16, FLOAT32, Array, Sizes

Gradients = tuple[Array | None, Array | None, Array | None]


def three(value: Any, name: str) -> tuple[Any, ...]:
    """One for each gradient of a convolution."""
    return check.several(value, name, 3, "input, weight and bias")


def check_grad_output(grad_output: Array, shape: Sizes) -> None:
    """That there is one element for each of the output."""
    if grad_output.shape != shape:
        raise ValueError(f"grad_output: expected the output's shape {shape}, got {grad_output.shape}")


def check_outs(outs: Sequence[tuple[Any, Sizes, bool]], dtype: Any, inputs: Sequence[Array | None]) -> None:
    """Every array of ``out``, apart from the inputs and from each other."""
    apart = list(inputs)
    for number, (out, shape, needed) in enumerate(outs):
        name = f"out[{number}]"
        if out is None:
            continue
        if not needed:
            raise ValueError(f"{name}: expected None for a gradient that is not computed, got an array")
        check.check_out(out, shape, dtype, apart, name)
        apart.append(out)


def bias_gradient(grad_output: Array, channels_last: bool, result: Array) -> None:
    """The gradient of the bias, grad_output summed over the batch and space, into ``result``."""
    if grad_output.shape[0]:
        channels = len(result)
        _core.channel_sum(
            grad_output.reshape((-1, channels, 1) if channels_last else (grad_output.shape[0], channels, -1)), result
        )
    else:
        result[...] = 0


def _run(which: int, input: Array, weight: Array, output: Array, geometry: Geometry, algorithm: bytes | None) -> None:
    """One pass, which writes its result among the arrays; all are ready, and batched."""
    if input.shape[0]:
        _core.convolve(which, input, weight, output, None, geometry, algorithm, 0, None)
    elif which == WEIGHT_GRADIENT:
        weight[...] = 0


def backward(
    dimensions: int,
    grad_output: Any,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    layout: Any,
    algorithm: Any,
    out: Any,
    needs: Any,
    transposed: bool = False,
    output_padding: Any = 0,
) -> Gradients:
    """The gradients of a convolution, or of a transposed one.

    A transposed convolution is the input gradient of a convolution from its output to its input: its own gradients are
    that convolution's forward pass and its weight gradient.
    """
    dy, x, w = (check.as_array(a, n) for a, n in ((grad_output, "grad_output"), (input, "input"), (weight, "weight")))
    b = None if bias is None else check.as_array(bias, "bias")
    dtype = check.common_dtype((("grad_output", dy), ("input", x), ("weight", w), ("bias", b)))
    channels_last, name = check.is_channels_last(layout), check.algorithm_name(algorithm)
    shape = check.batched(x.shape, dimensions, "input", channels_last)
    if transposed:
        geometry, out_shape = transposed_geometry_of(
            shape, w.shape, stride, padding, output_padding, dilation, groups, channels_last
        )
        out_channels, of_input, of_output = w.shape[1] * geometry[3], out_shape, shape
    else:
        geometry, out_shape = geometry_of(shape, w.shape, stride, padding, dilation, groups, channels_last)
        out_channels, of_input, of_output = w.shape[0], shape, out_shape
    if b is not None:
        check.check_bias(b, out_channels)
    check_grad_output(dy, out_shape if x.ndim == len(shape) else out_shape[1:])
    need_x, need_w, need_b = (check.flag(need, "needs") for need in three(needs, "needs"))
    need_b = need_b and b is not None
    out_x, out_w, out_b = (None, None, None) if out is None else three(out, "out")
    wanted = ((out_x, x.shape, need_x), (out_w, w.shape, need_w), (out_b, (out_channels,), need_b))
    check_outs(wanted, dtype, (dy, x, w, b))
    of_x = FORWARD if transposed else INPUT_GRADIENT
    passes = [which for which, need in ((of_x, need_x), (WEIGHT_GRADIENT, need_w)) if need]
    for which in passes:
        check_algorithm(which, of_input, w.shape, of_output, geometry, name)

    # All that can fail comes before the first result is written.
    compute = FLOAT32 if dtype is FLOAT16 else dtype
    dy = check.ready(dy, compute).reshape(out_shape)
    dx = dw = db = None
    if need_x:
        ready_w, dx = check.ready(w, compute), check.target(out_x, x.shape, compute)
    if need_w:
        ready_x, dw = check.ready(x, compute).reshape(shape), check.target(out_w, w.shape, compute)
    if need_b:
        db = check.target(out_b, (out_channels,), compute)
    if out is not None and shape[0]:
        check_room(passes, compute.itemsize, of_input, w.shape, of_output, geometry, name)

    if dx is not None:
        result = dx.reshape(shape)
        ends = (dy, result) if transposed else (result, dy)
        _run(of_x, ends[0], ready_w, ends[1], geometry, name)
        dx = check.deliver(dx, out_x, x.shape, dtype)
    if dw is not None:
        ends = (dy, ready_x) if transposed else (ready_x, dy)
        _run(WEIGHT_GRADIENT, ends[0], dw, ends[1], geometry, name)
        dw = check.deliver(dw, out_w, w.shape, dtype)
    if db is not None:
        bias_gradient(dy, channels_last, db)
        db = check.deliver(db, out_b, (out_channels,), dtype)
    return dx, dw, db


def _size(value: Any, name: str) -> Sizes:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise TypeError(f"{name}: expected a tuple of sizes, got {type(value).__name__}")
    shape = tuple(check.integer(size, name, 0) for size in value)
    check.check_size(shape, name)
    return shape


def input_gradient(
    dimensions: int,
    input_size: Any,
    weight: Any,
    grad_output: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    layout: Any,
    algorithm: Any,
    out: Any,
) -> Array:
    """conv1d_input, conv2d_input and conv3d_input."""
    size = _size(input_size, "input_size")
    w, dy = check.as_array(weight, "weight"), check.as_array(grad_output, "grad_output")
    dtype = check.common_dtype((("weight", w), ("grad_output", dy)))
    channels_last, name = check.is_channels_last(layout), check.algorithm_name(algorithm)
    shape = check.batched(size, dimensions, "input_size", channels_last)
    geometry, out_shape = geometry_of(shape, w.shape, stride, padding, dilation, groups, channels_last)
    check_grad_output(dy, out_shape if len(size) == len(shape) else out_shape[1:])
    if out is not None:
        check.check_out(out, size, dtype, (w, dy))
    check_algorithm(INPUT_GRADIENT, shape, w.shape, out_shape, geometry, name)
    compute = FLOAT32 if dtype is FLOAT16 else dtype
    dy = check.ready(dy, compute).reshape(out_shape)
    result = check.target(out, size, compute)
    _run(INPUT_GRADIENT, result.reshape(shape), check.ready(w, compute), dy, geometry, name)
    return check.deliver(result, out, size, dtype)


def weight_gradient(
    dimensions: int,
    input: Any,
    weight_size: Any,
    grad_output: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    layout: Any,
    algorithm: Any,
    out: Any,
) -> Array:
    """conv1d_weight, conv2d_weight and conv3d_weight."""
    x, dy = check.as_array(input, "input"), check.as_array(grad_output, "grad_output")
    size = _size(weight_size, "weight_size")
    dtype = check.common_dtype((("input", x), ("grad_output", dy)))
    channels_last, name = check.is_channels_last(layout), check.algorithm_name(algorithm)
    shape = check.batched(x.shape, dimensions, "input", channels_last)
    geometry, out_shape = geometry_of(shape, size, stride, padding, dilation, groups, channels_last, "weight_size")
    check_grad_output(dy, out_shape if x.ndim == len(shape) else out_shape[1:])
    if out is not None:
        check.check_out(out, size, dtype, (x, dy))
    check_algorithm(WEIGHT_GRADIENT, shape, size, out_shape, geometry, name)
    compute = FLOAT32 if dtype is FLOAT16 else dtype
    dy = check.ready(dy, compute).reshape(out_shape)
    result = check.target(out, size, compute)
    _run(WEIGHT_GRADIENT, check.ready(x, compute).reshape(shape), result, dy, geometry, name)
    return check.deliver(result, out, size, dtype)

"""The road of locally connected layers: convolutions whose weights belong to the position."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _core
from . import _validate as check
from ._convolution import FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, Geometry, PackedWeight
from ._convolution_gradients import Gradients, check_grad_output, check_outs, three
from ._validate import FLOAT16, FLOAT32, Array, Sizes


@dataclass(slots=True)
class Problem:
    """A locally connected layer, checked: shapes with a batch."""

    shape: Sizes
    out_shape: Sizes
    bias_shape: Sizes
    kernel: Sizes
    out_size: Sizes
    geometry: Geometry

    @property
    def windows(self) -> tuple[Sizes, Sizes, Geometry]:
        """What the engine takes after the arrays."""
        return self.kernel, self.out_size, self.geometry


def _problem(
    x: Array,
    w: Array,
    b: Array | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    layout: Any,
    algorithm: Any,
    kernel_size: Sizes | None,
) -> Problem:
    name = check.algorithm_name(algorithm)
    if name not in (None, b"direct"):
        raise ValueError(
            f'algorithm: expected "auto" or "direct", got {algorithm!r}, which shares its weights between positions'
        )
    channels_last = check.is_channels_last(layout)
    shape = check.batched(x.shape, 2, "input", channels_last)
    channels, size = (shape[-1], shape[1:-1]) if channels_last else (shape[1], shape[2:])
    stride, dilation = check.integers(stride, 2, "stride", 1), check.integers(dilation, 2, "dilation", 1)
    if w.ndim != 3:
        raise ValueError(
            f"weight: expected 3 dimensions [out_height * out_width, out_channels, in_channels * kernel], "
            f"got shape {w.shape}"
        )
    if 0 in w.shape:
        raise ValueError(f"weight: expected every size to be at least 1, got shape {w.shape}")
    if w.shape[2] % channels:
        raise ValueError(
            f"weight: expected a multiple of {channels} input channels as its last size, got shape {w.shape}"
        )
    out_channels = w.shape[1]
    if b is not None and (b.ndim != 3 or b.shape[0] != out_channels):
        raise ValueError(f"bias: expected shape ({out_channels}, out_height, out_width), got {b.shape}")
    kernel, before, out_size = _kernel(w, b, channels, size, stride, padding, dilation, kernel_size)
    return Problem(
        shape,
        check.output_shape(shape[0], out_channels, out_size, channels_last),
        (out_channels, *out_size),
        kernel,
        out_size,
        (stride, before, dilation, 1, channels_last),
    )


def _kernel(
    w: Array,
    b: Array | None,
    channels: int,
    size: Sizes,
    stride: Sizes,
    padding: Any,
    dilation: Sizes,
    kernel_size: Sizes | None,
) -> tuple[Sizes, Sizes, Sizes]:
    """The kernel, the padding before and the output's size.

    The weight tells how many elements a kernel has and how many positions there are, not their heights and widths: they
    are those of the only kernel that leads from the input's size to so many positions, or of the square one, unless the
    caller knows them.
    """
    positions, taps = w.shape[0], w.shape[2] // channels
    before, after = check.paddings(padding, (1, 1), stride, dilation)
    check.conv_out_size(size, (1, 1), stride, before, after, dilation, "weight")  # a plane must fit whatever the kernel
    found = []
    kernels = [(height, taps // height) for height in range(1, taps + 1) if taps % height == 0]
    for kernel in (one for one in kernels if kernel_size in (None, one)):
        before, after = check.paddings(padding, kernel, stride, dilation)
        reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
        room = [i + p + q - r for i, p, q, r in zip(size, before, after, reach, strict=True)]
        out_size = tuple(r // s + 1 for r, s in zip(room, stride, strict=True))
        fits = min(room) >= 0 and math.prod(out_size) == positions
        if fits and (b is None or b.shape[1:] == out_size):
            found.append((kernel, before, out_size))
    square = [one for one in found if one[0][0] == one[0][1]]
    if len(square or found) != 1:
        which = " or ".join(str(one[0]) for one in found) or "none"
        with_bias = "" if b is None else f" and the bias {b.shape}"
        raise ValueError(
            f"weight: expected the shape of one kernel, [out_height * out_width, out_channels, {channels} * kernel], "
            f"for an input of {size}, got {w.shape}{with_bias}, for which the kernel could be {which}"
        )
    return (square or found)[0]


def forward(
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    layout: Any,
    out: Any,
    algorithm: Any,
    activation: Any,
    kernel_size: Sizes | None = None,
) -> Array:
    """local_conv2d."""
    x = check.as_array(input, "input")
    w = weight.array if isinstance(weight, PackedWeight) else check.as_array(weight, "weight")
    b = None if bias is None else check.as_array(bias, "bias")
    dtype = check.common_dtype((("input", x), ("weight", w), ("bias", b)))
    code = check.activation_code(activation)
    problem = _problem(x, w, b, stride, padding, dilation, layout, algorithm, kernel_size)
    out_shape = problem.out_shape if x.ndim == 4 else problem.out_shape[1:]
    if out is not None:
        check.check_out(out, out_shape, dtype, (x, w, b))
    compute = FLOAT32 if dtype is FLOAT16 else dtype
    result = check.target(out, out_shape, compute)
    if problem.shape[0]:
        _core.local(
            FORWARD,
            check.ready(x, compute).reshape(problem.shape),
            check.ready(w, compute),
            result.reshape(problem.out_shape),
            None if b is None else check.ready(b, compute),
            *problem.windows,
            code,
        )
    return check.deliver(result, out, out_shape, dtype)


def _run(which: int, problem: Problem, input: Array, weight: Array, output: Array) -> None:
    """One gradient, which writes its result among the arrays; all are ready, and batched."""
    if problem.shape[0]:
        _core.local(which, input, weight, output, None, *problem.windows, 0)
    elif which == WEIGHT_GRADIENT:
        weight[...] = 0


def _bias_gradient(problem: Problem, dy: Array, sums: Array, result: Array) -> None:
    """grad_output summed over the batch, into ``sums``, of its layout, and ``result``."""
    if problem.shape[0]:
        _core.channel_sum(dy.reshape(problem.shape[0], -1, 1), sums.reshape(-1))
    else:
        sums[...] = 0
    if sums is not result:
        np.asarray(result)[...] = sums.transpose(2, 0, 1)  # whatever a subclass makes of an assignment


def backward(
    grad_output: Any,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    layout: Any,
    algorithm: Any,
    out: Any,
    needs: Any,
    kernel_size: Sizes | None = None,
) -> Gradients:
    """local_conv2d_backward."""
    dy, x, w = (check.as_array(a, n) for a, n in ((grad_output, "grad_output"), (input, "input"), (weight, "weight")))
    b = None if bias is None else check.as_array(bias, "bias")
    dtype = check.common_dtype((("grad_output", dy), ("input", x), ("weight", w), ("bias", b)))
    problem = _problem(x, w, b, stride, padding, dilation, layout, algorithm, kernel_size)
    check_grad_output(dy, problem.out_shape if x.ndim == 4 else problem.out_shape[1:])
    need_x, need_w, need_b = (check.flag(need, "needs") for need in three(needs, "needs"))
    need_b = need_b and b is not None
    out_x, out_w, out_b = (None, None, None) if out is None else three(out, "out")
    wanted = ((out_x, x.shape, need_x), (out_w, w.shape, need_w), (out_b, problem.bias_shape, need_b))
    check_outs(wanted, dtype, (dy, x, w, b))

    # All that can fail comes before the first result is written.
    compute = FLOAT32 if dtype is FLOAT16 else dtype
    dy = check.ready(dy, compute).reshape(problem.out_shape)
    ready_x = check.ready(x, compute).reshape(problem.shape) if need_w else None
    ready_w = check.ready(w, compute) if need_x else None
    dx = check.target(out_x, x.shape, compute) if need_x else None
    dw = check.target(out_w, w.shape, compute) if need_w else None
    db = sums = check.target(out_b, problem.bias_shape, compute) if need_b else None
    if db is not None and problem.geometry[4]:
        sums = check.empty((*problem.bias_shape[1:], problem.bias_shape[0]), compute)
    passes = [
        (which, i, weight)
        for which, i, weight in ((INPUT_GRADIENT, dx, ready_w), (WEIGHT_GRADIENT, ready_x, dw))
        if i is not None and weight is not None
    ]
    for which, i, weight in passes if out is not None and problem.shape[0] else ():
        _core.Block(_core.local_workspace(which, i.reshape(problem.shape), weight, *problem.windows))

    for which, i, weight in passes:
        _run(which, problem, i.reshape(problem.shape), weight, dy)
    if dx is not None:
        dx = check.deliver(dx, out_x, x.shape, dtype)
    if dw is not None:
        dw = check.deliver(dw, out_w, w.shape, dtype)
    if db is not None and sums is not None:
        _bias_gradient(problem, dy, sums, db)
        db = check.deliver(db, out_b, problem.bias_shape, dtype)
    return dx, dw, db

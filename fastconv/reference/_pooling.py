"""Pools: the maximum or the mean of each window; adaptive ones, which cut the input into so many; and unpooling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _arguments as check
from ._arguments import Array, Size
from ._windows import Windows, check_plane, pool_stride, pool_windows

# Flat places in the planes of [N, C, *size]


def _places(indices: ArrayLike, shape: tuple[int, ...], plane: int, least: int) -> Array:
    """Return an array of indices, of this shape, from `least` to the end of the plane; -1 is none of its cells."""
    indices = check.array("indices", indices)
    if indices.dtype.kind not in "iu":
        raise TypeError(f"indices must be integers, got {indices.dtype}")
    if indices.shape != shape:
        raise ValueError(f"indices must have the shape {shape}, got {indices.shape}")
    if ((indices < least) | (indices >= plane)).any():
        raise ValueError(f"indices must be from {least} to {plane - 1}")
    return indices


def _flat(array: Array) -> Array:
    """Return [N, C, *size] as [N, C, pixels]."""
    return array.reshape(*array.shape[:2], prod(array.shape[2:]))


def _pick(planes: Array, index: Array) -> tuple[Array, ...]:
    """Return what picks, from [N, C, pixels], the pixels index [N, C, ...] of the same image and channel."""
    image, channel, _ = np.ogrid[: len(planes), : planes.shape[1], :1]
    return image, channel, index


def _to_winners(dy: Array, index: Array, size: Sequence[int]) -> Array:
    """Return [N, C, *size] with each number of dy [N, C, *count] added at its index; nowhere where that is -1."""
    # One cell more than the plane has: the last one collects what has the index -1.
    dx = np.zeros((*dy.shape[:2], prod(size) + 1))
    np.add.at(dx, _pick(dx, _flat(index)), _flat(dy))
    return dx[..., :-1].reshape(*dy.shape[:2], *size)


def _values_and_indices(
    value: Array, index: Array, return_indices: bool, batched: bool, layout: str, dtype: Any, out: Any, input: Array
) -> Any:
    """Return the maxima, and where they were if that is wanted too."""
    value, index = check.as_caller(value, batched, layout, dtype), check.as_caller(index, batched, layout, np.int64)
    if not check.flag("return_indices", return_indices):
        return check.deliver([value], [out], input)[0]
    return check.deliver([value, index], (None, None) if out is None else check.several("out", out, 2), input)


# Windows of one size at equal distances


def _maximum(x: Array, windows: Windows) -> tuple[Array, Array]:
    """Return each window's maximum and its flat index in the input's plane, both [N, C, *count].

    The first of equals wins. A NaN beats every number, and, as in PyTorch, every NaN before it: the last one wins.
    A window that dilation leads around every cell of the input has the maximum -infinity and the index -1 (PyTorch
    gives an index outside the plane).
    """
    padded = windows.pad(x)
    plane = windows.pad(np.arange(prod(windows.size)).reshape(1, 1, *windows.size), -1)
    value = np.full((*x.shape[:2], *windows.count), -np.inf)
    index = np.full(value.shape, -1)
    for _, cells in windows.taps():
        candidate, place = padded[cells], plane[cells]
        wins = (place >= 0) & ((index < 0) | (candidate > value) | np.isnan(candidate))
        value = np.where(wins, candidate, value)
        index = np.where(wins, place, index)
    return value, index


def _divisor(windows: Windows, count_include_pad: bool, divisor_override: int | None) -> Array:
    """Return what each window's sum is divided by, [1, 1, *count]."""
    if divisor_override is not None:
        if check.integer("divisor_override", divisor_override, -(2**63)) == 0:
            raise ValueError("divisor_override must not be 0")
        return np.full((1, 1, *windows.count), float(divisor_override))
    # The cells of the input count; those of the padding if they are to; those beyond it, in ceil mode, never.
    counts = np.ones((1, 1, *windows.size))
    padding = check.flag("count_include_pad", count_include_pad)
    counts = np.pad(counts, [(0, 0), (0, 0), *((p, p) for p in windows.before)], constant_values=padding)
    beyond = (after - before for before, after in zip(windows.before, windows.after, strict=True))
    counts = np.pad(counts, [(0, 0), (0, 0), *((0, b) for b in beyond)])
    divisor: Array = np.sum([counts[cells] for _, cells in windows.taps()], axis=0)
    return divisor


@check.quiet
def max_poolnd(
    dimensions: int,
    input: ArrayLike,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: str = "channels_first",
    out: Any = None,
) -> Any:
    """Return the maxima [N, C, *count] of the windows of input [N, C, *size], with flat indices if wanted."""
    input = check.array("input", input)
    dtype = check.promoted(input, integers=False)
    x, batched = check.channels_first(input, dimensions, layout)
    value, index = _maximum(x, pool_windows(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode))
    return _values_and_indices(value, index, return_indices, batched, layout, dtype, out, input)


@check.quiet
def max_poolnd_backward(
    dimensions: int,
    grad_output: ArrayLike,
    input: ArrayLike,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    *,
    indices: ArrayLike | None = None,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Return the gradient for input [N, C, *size]: each number of grad_output [N, C, *count] at its window's winner."""
    grad_output, input = check.array("grad_output", grad_output), check.array("input", input)
    dtype = check.promoted(grad_output, input, integers=False)
    dy, _ = check.channels_first(grad_output, dimensions, layout)
    x, batched = check.channels_first(input, dimensions, layout)
    windows = pool_windows(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    check.check_gradient(grad_output, dy, (*x.shape[:2], *windows.count), batched)
    if indices is None:
        index = _maximum(x, windows)[1]
    else:
        indices = _places(indices, grad_output.shape, prod(windows.size), -1)
        index = check.channels_first(indices, dimensions, layout)[0].astype(np.int64)
    dx = check.as_caller(_to_winners(dy, index, windows.size), batched, layout, dtype)
    return check.deliver([dx], [out], grad_output, input, indices)[0]


@check.quiet
def avg_poolnd(
    dimensions: int,
    input: ArrayLike,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Return the means [N, C, *count] of the windows of input [N, C, *size]."""
    input = check.array("input", input)
    dtype = check.promoted(input, integers=False)
    x, batched = check.channels_first(input, dimensions, layout)
    windows = pool_windows(x.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    padded = windows.pad(x)
    total = np.sum([padded[cells] for _, cells in windows.taps()], axis=0)
    mean = total / _divisor(windows, count_include_pad, divisor_override)
    return check.deliver([check.as_caller(mean, batched, layout, dtype)], [out], input)[0]


@check.quiet
def avg_poolnd_backward(
    dimensions: int,
    grad_output: ArrayLike,
    input: ArrayLike,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Return the gradient for input [N, C, *size]: each number of grad_output [N, C, *count] spread over its window."""
    grad_output, input = check.array("grad_output", grad_output), check.array("input", input)
    dtype = check.promoted(grad_output, input, integers=False)
    dy, _ = check.channels_first(grad_output, dimensions, layout)
    x, batched = check.channels_first(input, dimensions, layout)
    windows = pool_windows(x.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    check.check_gradient(grad_output, dy, (*x.shape[:2], *windows.count), batched)
    dx = windows.pad(np.zeros(x.shape))
    share = dy / _divisor(windows, count_include_pad, divisor_override)
    for _, cells in windows.taps():
        dx[cells] += share
    return check.deliver([check.as_caller(windows.crop(dx), batched, layout, dtype)], [out], grad_output, input)[0]


def avg_pool1d(
    input: ArrayLike,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Return the means [N, C, count] of the windows of input [N, C, size]; PyTorch's has no `divisor_override`."""
    where = (kernel_size, stride, padding, ceil_mode, count_include_pad)
    return avg_poolnd(1, input, *where, layout=layout, out=out)


def avg_pool1d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Return the gradient for input [N, C, size]: each number of grad_output [N, C, count] spread over its window."""
    where = (kernel_size, stride, padding, ceil_mode, count_include_pad)
    return avg_poolnd_backward(1, grad_output, input, *where, layout=layout, out=out)


# Adaptive windows: as many as are asked for, of nearly one size, which cover the input


def _adaptive_count(output_size: Any, size: Sequence[int]) -> tuple[int, ...]:
    """Return how many windows there are along each dimension; as in PyTorch, None in a tuple keeps its size."""
    if not check.is_sequence(output_size):
        output_size = [check.integer("output_size", output_size, 1, 2**31 - 1)] * len(size)
    if len(output_size) != len(size):
        raise ValueError(f"output_size must be one int or {len(size)} of them, got {len(output_size)}")
    may_keep = len(size) > 1
    count = tuple(
        old if new is None and may_keep else check.integer("output_size", new, 1, 2**31 - 1)
        for new, old in zip(output_size, size, strict=True)
    )
    check_plane(count)
    return count


def _adaptive_windows(size: Sequence[int], count: Sequence[int]) -> Iterator[tuple[Any, Any]]:
    """Yield, for every window, its index in the output and that of its cells: of `o` from floor(o s / n), of n windows
    over s cells, to what is before ceil((o + 1) s / n)."""
    for output in np.ndindex(*count):
        axes = zip(output, size, count, strict=True)
        yield (..., *output), (..., *[slice(o * s // n, -(-(o + 1) * s // n)) for o, s, n in axes])


def _adaptive_maximum(x: Array, count: tuple[int, ...]) -> tuple[Array, Array]:
    """Return each window's maximum and its flat index in the input's plane: of equals the first, of NaN the last."""
    plane = np.arange(prod(x.shape[2:])).reshape(1, 1, *x.shape[2:])
    value, index = np.empty((*x.shape[:2], *count)), np.empty((*x.shape[:2], *count), np.int64)
    for output, cells in _adaptive_windows(x.shape[2:], count):
        candidates, places = _flat(x[cells]), plane[cells].ravel()
        nan = np.isnan(candidates)
        last_nan = len(places) - 1 - np.argmax(nan[..., ::-1], axis=-1)
        winner = np.where(nan.any(axis=-1), last_nan, np.argmax(candidates, axis=-1))
        value[output] = candidates[_pick(candidates, winner[..., np.newaxis])][..., 0]
        index[output] = places[winner]
    return value, index


@check.quiet
def adaptive_max_poolnd(
    dimensions: int,
    input: ArrayLike,
    output_size: Any,
    return_indices: bool = False,
    *,
    layout: str = "channels_first",
    out: Any = None,
) -> Any:
    """Return the maxima [N, C, *output_size] of the adaptive windows of input [N, C, *size], and flat indices."""
    input = check.array("input", input)
    dtype = check.promoted(input, integers=False)
    x, batched = check.channels_first(input, dimensions, layout)
    value, index = _adaptive_maximum(x, _adaptive_count(output_size, x.shape[2:]))
    return _values_and_indices(value, index, return_indices, batched, layout, dtype, out, input)


@check.quiet
def adaptive_max_poolnd_backward(
    dimensions: int,
    grad_output: ArrayLike,
    input: ArrayLike,
    output_size: Any,
    *,
    indices: ArrayLike | None = None,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Return the gradient for input [N, C, *size]: each number of grad_output at its window's winner."""
    grad_output, input = check.array("grad_output", grad_output), check.array("input", input)
    dtype = check.promoted(grad_output, input, integers=False)
    dy, _ = check.channels_first(grad_output, dimensions, layout)
    x, batched = check.channels_first(input, dimensions, layout)
    count = _adaptive_count(output_size, x.shape[2:])
    check.check_gradient(grad_output, dy, (*x.shape[:2], *count), batched)
    if indices is None:
        index = _adaptive_maximum(x, count)[1]
    else:
        indices = _places(indices, grad_output.shape, prod(x.shape[2:]), -1)
        index = check.channels_first(indices, dimensions, layout)[0].astype(np.int64)
    dx = check.as_caller(_to_winners(dy, index, x.shape[2:]), batched, layout, dtype)
    return check.deliver([dx], [out], grad_output, input, indices)[0]


@check.quiet
def adaptive_avg_poolnd(
    dimensions: int,
    input: ArrayLike,
    output_size: Any,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Return the means [N, C, *output_size] of the adaptive windows of input [N, C, *size]."""
    input = check.array("input", input)
    dtype = check.promoted(input, integers=False)
    x, batched = check.channels_first(input, dimensions, layout)
    count = _adaptive_count(output_size, x.shape[2:])
    mean = np.empty((*x.shape[:2], *count))
    for output, cells in _adaptive_windows(x.shape[2:], count):
        mean[output] = _flat(x[cells]).mean(axis=-1)
    return check.deliver([check.as_caller(mean, batched, layout, dtype)], [out], input)[0]


@check.quiet
def adaptive_avg_poolnd_backward(
    dimensions: int,
    grad_output: ArrayLike,
    input: ArrayLike,
    output_size: Any,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Return the gradient for input [N, C, *size]: each number of grad_output spread over its window."""
    grad_output, input = check.array("grad_output", grad_output), check.array("input", input)
    dtype = check.promoted(grad_output, input, integers=False)
    dy, _ = check.channels_first(grad_output, dimensions, layout)
    x, batched = check.channels_first(input, dimensions, layout)
    count = _adaptive_count(output_size, x.shape[2:])
    check.check_gradient(grad_output, dy, (*x.shape[:2], *count), batched)
    dx = np.zeros(x.shape)
    for output, cells in _adaptive_windows(x.shape[2:], count):
        window = dx[cells]
        window += (dy[output] / prod(window.shape[2:])).reshape(*dy.shape[:2], *[1] * dimensions)
    return check.deliver([check.as_caller(dx, batched, layout, dtype)], [out], grad_output, input)[0]


# Unpooling: every number back to the place of a maximum, zeros elsewhere


def _unpooled_size(
    size: Sequence[int], kernel_size: Size, stride: Size | None, padding: Size, output_size: Any, layout: str
) -> tuple[int, ...]:
    """Return the spatial size whose pool has this `size`: the smallest one, or `output_size` if near enough.

    As in PyTorch `output_size` may also be a whole shape, in the layout; its batch and its channels have no say.
    """
    dimensions = len(size)
    kernel = check.per_dimension("kernel_size", kernel_size, dimensions, 1)
    stride = pool_stride(stride, kernel)
    padding = check.per_dimension("padding", padding, dimensions, 0)
    default = [(n - 1) * step + k - 2 * p for n, step, k, p in zip(size, stride, kernel, padding, strict=True)]
    if output_size is None:
        if min(default) < 1:
            raise ValueError(f"padding must leave an output of at least 1 in each dimension, got {padding}: {default}")
        check_plane(default)
        return tuple(default)
    if not check.is_sequence(output_size):
        raise TypeError(f"output_size must be a tuple, got {type(output_size).__name__}")
    if len(output_size) not in (dimensions, dimensions + 2):
        raise ValueError(f"output_size must have {dimensions} or {dimensions + 2} entries, got {len(output_size)}")
    if len(output_size) > dimensions:
        output_size = output_size[1:-1] if layout == "channels_last" else output_size[2:]
    wanted = tuple(check.integer("output_size", n, 1) for n in output_size)
    if any(abs(n - d) >= step for n, d, step in zip(wanted, default, stride, strict=True)):
        raise ValueError(f"output_size must be less than a stride {stride} from {default}, got {wanted}")
    check_plane(wanted)
    return wanted


@check.quiet
def max_unpoolnd(
    dimensions: int,
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Any = None,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Return [N, C, *size] with each number of input [N, C, *count] at its index, of several the last, and zeros."""
    input = check.array("input", input)
    dtype = check.promoted(input, integers=False)
    x, batched = check.channels_first(input, dimensions, layout)
    size = _unpooled_size(x.shape[2:], kernel_size, stride, padding, output_size, layout)
    indices = _places(indices, input.shape, prod(size), 0)
    numbers, index = _flat(x), _flat(check.channels_first(indices, dimensions, layout)[0].astype(np.int64))
    y = np.zeros((*x.shape[:2], prod(size)))
    for pixel in range(index.shape[2]):
        pixels = slice(pixel, pixel + 1)
        y[_pick(y, index[..., pixels])] = numbers[..., pixels]
    y = check.as_caller(y.reshape(*x.shape[:2], *size), batched, layout, dtype)
    return check.deliver([y], [out], input, indices)[0]


@check.quiet
def max_unpoolnd_backward(
    dimensions: int,
    grad_output: ArrayLike,
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Any = None,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Return the gradient for input [N, C, *count]: the number of grad_output [N, C, *size] at each index.

    As in PyTorch that goes for each of several with the same index, though only the last was seen.
    """
    grad_output, input = check.array("grad_output", grad_output), check.array("input", input)
    dtype = check.promoted(grad_output, input, integers=False)
    dy, _ = check.channels_first(grad_output, dimensions, layout)
    x, batched = check.channels_first(input, dimensions, layout)
    size = _unpooled_size(x.shape[2:], kernel_size, stride, padding, output_size, layout)
    check.check_gradient(grad_output, dy, (*x.shape[:2], *size), batched)
    indices = _places(indices, input.shape, prod(size), 0)
    index, dy = _flat(check.channels_first(indices, dimensions, layout)[0].astype(np.int64)), _flat(dy)
    dx = check.as_caller(dy[_pick(dy, index)].reshape(x.shape), batched, layout, dtype)
    return check.deliver([dx], [out], grad_output, input, indices)[0]

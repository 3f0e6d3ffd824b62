"""The specification of fastconv in plain NumPy: slow, obviously right, and the same names and signatures.

One convolution, written out (one group; ``o`` a position in the output, ``t`` a tap of the kernel, both with one entry
a spatial dimension)::

    output[n, k, o] = bias[k] + sum over c and t of padded[n, c, o * stride + t * dilation] * weight[k, c, t]

Every convolution here is that sum or its derivative; a pool takes the maximum or the mean of the same windows. Each is
written once, for any number of dimensions: the loop runs over the taps of the kernel, and for one tap, all positions of
the output meet a strided slice of the padded input. Sums are in float64; the result has the dtype that NumPy promotes
the arguments to. Inside, arrays are always [batch, channels, *spatial].

The rules are PyTorch's. Beyond it: a (before, after) pair of padding for each dimension, ``layout``, ``out`` and
``activation``. The gradients of ``fastconv.grad`` stand here too. There is no ``algorithm``: this is the one.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
Size = int | Sequence[int]
Padding = int | str | Sequence[int] | Sequence[tuple[int, int]]
Gradients = tuple[Array | None, Array | None, Array | None]
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_ACTIVATIONS: dict[str | None, Callable[[Array], Array]] = {
    None: lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "silu": lambda x: x / (1 + np.exp(-x)),
}

# Infinity minus infinity, or a float64 sum too large for float16, is a result like any other: no warning.
_quiet = np.errstate(all="ignore")


@dataclass(frozen=True)
class _Windows:
    """Where the windows of a convolution or a pool lie; every field has one entry a spatial dimension."""

    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    count: tuple[int, ...]

    def taps(self) -> Iterator[tuple[Any, Any]]:
        """Yield, for every tap, its index in the kernel and that of the padded cells that it meets, one a window."""
        for tap in np.ndindex(*self.kernel):
            starts = (t * dilation for t, dilation in zip(tap, self.dilation, strict=True))
            axes = zip(starts, self.count, self.stride, strict=True)
            cells = [slice(start, start + (count - 1) * step + 1, step) for start, count, step in axes]
            yield (..., *tap), (..., *cells)

    def pad(self, array: Array, value: float = 0) -> Array:
        """Return a copy of [N, C, *size] with `value` around it."""
        return np.pad(array, [(0, 0), (0, 0), *zip(self.before, self.after, strict=True)], constant_values=value)

    def crop(self, padded: Array) -> Array:
        """Return the part of the padded array that `pad` was given."""
        inside: Any = [slice(before, before + size) for before, size in zip(self.before, self.size, strict=True)]
        return padded[..., *inside]


# Arguments and results


def _per_dimension(name: str, value: Any, dimensions: int, least: int) -> tuple[int, ...]:
    """Return one int a spatial dimension; a single int counts for all."""
    sizes = tuple(operator.index(size) for size in value) if isinstance(value, Sequence) else (operator.index(value),)
    sizes = sizes * dimensions if len(sizes) == 1 else sizes
    if len(sizes) != dimensions or min(sizes) < least:
        raise ValueError(f"{name} must be one int or {dimensions} ints, each at least {least}, got {value}")
    return sizes


def _promoted(*arrays: Array | None, integers: bool) -> np.dtype[Any]:
    """Return the dtype of the result; integers, where they are allowed, follow the floats or become float64."""
    dtypes = [array.dtype for array in arrays if array is not None]
    for dtype in dtypes:
        if dtype.kind not in ("fiub" if integers else "f") or dtype.itemsize > 8:
            raise TypeError(f"no array of {dtype} is taken here")
    return np.result_type(*[dtype for dtype in dtypes if dtype.kind == "f"] or [np.dtype(np.float64)])


def _channels_first(array: Array, dimensions: int, layout: str) -> tuple[Array, bool]:
    """Return the array as float64 [N, C, *spatial], and whether it had a batch: if not, it becomes a batch of one."""
    if layout not in ("channels_first", "channels_last"):
        raise ValueError(f"layout must be 'channels_first' or 'channels_last', got {layout!r}")
    if array.ndim not in (dimensions + 1, dimensions + 2):
        raise ValueError(f"an array must have {dimensions + 1} or {dimensions + 2} dimensions, got shape {array.shape}")
    batched = array.ndim == dimensions + 2
    array = (array if batched else array[np.newaxis]).astype(np.float64)
    return np.moveaxis(array, -1, 1) if layout == "channels_last" else array, batched


def _as_caller(result: Array, batched: bool, layout: str) -> Array:
    """Return [N, C, *spatial] in the caller's layout, without a batch that was not there."""
    result = np.moveaxis(result, 1, -1) if layout == "channels_last" else result
    return result if batched else result[0]


def _deliver(result: Array, dtype: np.dtype[Any], out: Array | None) -> Array:
    """Return the result with the caller's dtype, in `out` if there is one."""
    result = np.ascontiguousarray(result, dtype)
    if out is None:
        return result
    if out.dtype != result.dtype:
        raise TypeError(f"out must be of {result.dtype}, got {out.dtype}")
    if out.shape != result.shape:
        raise ValueError(f"out must have the shape {result.shape}, got {out.shape}")
    out[...] = result
    return out


# Convolution: the sum and its two derivatives


def _convolution_windows(
    size: Sequence[int], kernel: Sequence[int], stride: Size, padding: Padding, dilation: Size
) -> _Windows:
    """Return the windows of a convolution, every one of them inside the padded input."""
    dimensions = len(size)
    stride = _per_dimension("stride", stride, dimensions, 1)
    dilation = _per_dimension("dilation", dilation, dimensions, 1)
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    pairs: list[tuple[int, ...]]
    if isinstance(padding, str):
        if padding not in ("valid", "same"):
            raise ValueError(f"padding must be 'valid', 'same' or numbers, got {padding!r}")
        if padding == "same" and max(stride) > 1:
            raise ValueError(f"padding='same' needs a stride of 1, got {stride}")
        # "same": the output is as large as the input; of an odd number of cells, the extra one goes to the end.
        pairs = [(r // 2, r - r // 2) if padding == "same" else (0, 0) for r in reach]
    elif isinstance(padding, Sequence) and any(isinstance(entry, Sequence) for entry in padding):
        pairs = [_per_dimension("each pair of padding", pair, 2, 0) for pair in padding]
    else:
        pairs = [(p, p) for p in _per_dimension("padding", padding, dimensions, 0)]
    if len(pairs) != dimensions:
        raise ValueError(f"padding must have {dimensions} (before, after) pairs, got {padding}")
    before, after = zip(*pairs, strict=True)
    room = [s + b + a - r - 1 for s, b, a, r in zip(size, before, after, reach, strict=True)]
    if min(room) < 0:
        raise ValueError(f"kernel {tuple(kernel)}, dilation {dilation}, is larger than the padded input {tuple(size)}")
    count = tuple(r // step + 1 for r, step in zip(room, stride, strict=True))
    return _Windows(tuple(size), tuple(kernel), stride, dilation, before, after, count)


def _split(array: Array, groups: int, axis: int) -> Array:
    """Return a view with the channels on `axis` as two axes: [groups, channels of one group]."""
    return array.reshape(*array.shape[:axis], groups, array.shape[axis] // groups, *array.shape[axis + 1 :])


def _forward(x: Array, weight: Array, windows: _Windows, groups: int) -> Array:
    """Return the convolution [N, K, *count] of x [N, C, *size] with weight [K, C / groups, *kernel]."""
    x = _split(windows.pad(x), groups, axis=1)
    weight = _split(weight, groups, axis=0)
    y = np.zeros((*x.shape[:2], weight.shape[1], *windows.count))
    for tap, cells in windows.taps():
        y += np.einsum("ngc...,gkc->ngk...", x[cells], weight[tap])
    return y.reshape(len(y), groups * y.shape[2], *windows.count)


def _input_gradient(dy: Array, weight: Array, windows: _Windows, groups: int) -> Array:
    """Return the gradient [N, C, *size] for the input: every product of the sum goes back to the cell it came from."""
    dy = _split(dy, groups, axis=1)
    weight = _split(weight, groups, axis=0)
    dx = windows.pad(np.zeros((len(dy), groups * weight.shape[2], *windows.size)))
    in_groups = _split(dx, groups, axis=1)
    for tap, cells in windows.taps():
        in_groups[cells] += np.einsum("ngk...,gkc->ngc...", dy, weight[tap])
    return windows.crop(dx)


def _weight_gradient(dy: Array, x: Array, windows: _Windows, groups: int) -> Array:
    """Return the gradient [K, C / groups, *kernel] for the weight; the zeros of the padding take part in its sums."""
    dy = _split(dy, groups, axis=1)
    x = _split(windows.pad(x), groups, axis=1)
    dw = np.zeros((*dy.shape[1:3], x.shape[2], *windows.kernel))
    space = "xyz"[: len(windows.size)]
    for tap, cells in windows.taps():
        dw[tap] = np.einsum(f"ngk{space},ngc{space}->gkc", dy, x[cells])
    return dw.reshape(groups * dw.shape[1], *dw.shape[2:])


def _check_channels(x: Array, weight: Array, groups: int) -> None:
    if groups < 1 or len(weight) % groups or weight.shape[1] * groups != x.shape[1]:
        raise ValueError(f"weight {weight.shape} in {groups} groups does not fit an input of {x.shape[1]} channels")


@_quiet
def _convnd(
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
    input, weight, bias = np.asarray(input), np.asarray(weight), None if bias is None else np.asarray(bias)
    dtype = _promoted(input, weight, bias, integers=True)
    x, batched = _channels_first(input, dimensions, layout)
    windows = _convolution_windows(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    _check_channels(x, weight, groups)
    y = _forward(x, weight.astype(np.float64), windows, groups)
    if bias is not None:
        y += bias.astype(np.float64).reshape(y.shape[1], *[1] * dimensions)
    if activation not in _ACTIVATIONS:
        raise ValueError(f"activation must be one of {list(_ACTIVATIONS)}, got {activation!r}")
    y = _ACTIVATIONS[activation](y)
    return _deliver(_as_caller(y, batched, layout), dtype, out)


@_quiet
def _convnd_backward(
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
    grad_output, input, weight = np.asarray(grad_output), np.asarray(input), np.asarray(weight)
    bias = None if bias is None else np.asarray(bias)
    dtype = _promoted(grad_output, input, weight, bias, integers=True)
    dy, _ = _channels_first(grad_output, dimensions, layout)
    x, batched = _channels_first(input, dimensions, layout)
    windows = _convolution_windows(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    _check_channels(x, weight, groups)
    if dy.shape != (len(x), len(weight), *windows.count):
        raise ValueError(f"grad_output must be [N, K, ...] {(len(x), len(weight), *windows.count)}, got {dy.shape}")
    into = (None, None, None) if out is None else out
    dx = dw = db = None
    if needs[0]:
        dx = _input_gradient(dy, weight.astype(np.float64), windows, groups)
        dx = _deliver(_as_caller(dx, batched, layout), dtype, into[0])
    if needs[1]:
        dw = _deliver(_weight_gradient(dy, x, windows, groups), dtype, into[1])
    if needs[2] and bias is not None:
        db = _deliver(dy.sum((0, *range(2, dy.ndim))), dtype, into[2])
    return dx, dw, db


def _convnd_input(
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
    input, where = np.zeros(input_size, bool), (stride, padding, dilation, groups)
    needs, into = (True, False, False), (out, None, None)
    dx, _, _ = _convnd_backward(
        dimensions, grad_output, input, weight, None, *where, layout=layout, out=into, needs=needs
    )
    assert dx is not None
    return dx


def _convnd_weight(
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
    weight, where = np.zeros(weight_size, bool), (stride, padding, dilation, groups)
    needs, into = (False, True, False), (None, out, None)
    _, dw, _ = _convnd_backward(
        dimensions, grad_output, input, weight, None, *where, layout=layout, out=into, needs=needs
    )
    assert dw is not None
    return dw


# Pools: the maximum and the mean of each window


def _pool_windows(
    size: Sequence[int], kernel_size: Size, stride: Size | None, padding: Size, dilation: Size, ceil_mode: bool
) -> _Windows:
    """Return the windows of a pool; in ceil mode the last ones may reach beyond the padding, where nothing is.

    A window may be larger than the input as long as it fits into the padded one (only PyTorch's avg_pool3d refuses).
    """
    dimensions = len(size)
    kernel = _per_dimension("kernel_size", kernel_size, dimensions, 1)
    stride = kernel if stride is None else _per_dimension("stride", stride, dimensions, 1)
    before = _per_dimension("padding", padding, dimensions, 0)
    dilation = _per_dimension("dilation", dilation, dimensions, 1)
    if any(p > k // 2 for p, k in zip(before, kernel, strict=True)):
        raise ValueError(f"padding must be at most half of kernel_size {kernel}, got {before}")
    count, after = [], []
    for s, k, step, d, p in zip(size, kernel, stride, dilation, before, strict=True):
        reach = d * (k - 1)
        room = s + 2 * p - reach - 1
        last = -(-room // step) if ceil_mode else room // step
        if ceil_mode and last * step >= s + p:
            last -= 1  # The last window has to start in the input or in the padding before it.
        if last < 0:
            raise ValueError(f"kernel_size {kernel}, dilation {dilation}, is too large for a padded {tuple(size)}")
        count.append(last + 1)
        after.append(max(p, last * step + reach + 1 - s - p))
    return _Windows(tuple(size), kernel, stride, dilation, before, tuple(after), tuple(count))


def _maximum(x: Array, windows: _Windows) -> tuple[Array, Array]:
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


def _divisor(windows: _Windows, count_include_pad: bool, divisor_override: int | None) -> Array:
    """Return what each window's sum is divided by, [1, 1, *count]."""
    if divisor_override is not None:
        if divisor_override == 0:
            raise ValueError("divisor_override must not be 0")
        return np.full((1, 1, *windows.count), float(divisor_override))
    # The cells of the input count; those of the padding if they are to; those beyond it, in ceil mode, never.
    counts = np.ones((1, 1, *windows.size))
    counts = np.pad(counts, [(0, 0), (0, 0), *((p, p) for p in windows.before)], constant_values=count_include_pad)
    beyond = (after - before for before, after in zip(windows.before, windows.after, strict=True))
    counts = np.pad(counts, [(0, 0), (0, 0), *((0, b) for b in beyond)])
    divisor: Array = np.sum([counts[cells] for _, cells in windows.taps()], axis=0)
    return divisor


@_quiet
def _max_poolnd(
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
    input = np.asarray(input)
    dtype = _promoted(input, integers=False)
    x, batched = _channels_first(input, dimensions, layout)
    value, index = _maximum(x, _pool_windows(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode))
    into = out if return_indices and out is not None else (out, None)
    value = _deliver(_as_caller(value, batched, layout), dtype, into[0])
    index = _deliver(_as_caller(index, batched, layout), np.dtype(np.int64), into[1])
    return (value, index) if return_indices else value


@_quiet
def _max_poolnd_backward(
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
    grad_output, input = np.asarray(grad_output), np.asarray(input)
    dtype = _promoted(grad_output, input, integers=False)
    dy, _ = _channels_first(grad_output, dimensions, layout)
    x, batched = _channels_first(input, dimensions, layout)
    windows = _pool_windows(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    if indices is None:
        index = _maximum(x, windows)[1]
    else:
        index = _channels_first(np.asarray(indices), dimensions, layout)[0].astype(np.int64)
    if not dy.shape == index.shape == (*x.shape[:2], *windows.count):
        raise ValueError(f"grad_output and indices must be [N, C, ...] {(*x.shape[:2], *windows.count)}")
    # One cell more than the plane has: the last one collects what has the index -1.
    dx = np.zeros((*x.shape[:2], prod(windows.size) + 1))
    pixels = (*x.shape[:2], prod(windows.count))
    image, channel, _ = np.ogrid[: len(x), : x.shape[1], :1]
    np.add.at(dx, (image, channel, index.reshape(pixels)), dy.reshape(pixels))
    return _deliver(_as_caller(dx[..., :-1].reshape(x.shape), batched, layout), dtype, out)


@_quiet
def _avg_poolnd(
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
    input = np.asarray(input)
    dtype = _promoted(input, integers=False)
    x, batched = _channels_first(input, dimensions, layout)
    windows = _pool_windows(x.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    padded = windows.pad(x)
    total = np.sum([padded[cells] for _, cells in windows.taps()], axis=0)
    mean = total / _divisor(windows, count_include_pad, divisor_override)
    return _deliver(_as_caller(mean, batched, layout), dtype, out)


@_quiet
def _avg_poolnd_backward(
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
    grad_output, input = np.asarray(grad_output), np.asarray(input)
    dtype = _promoted(grad_output, input, integers=False)
    dy, _ = _channels_first(grad_output, dimensions, layout)
    x, batched = _channels_first(input, dimensions, layout)
    windows = _pool_windows(x.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    if dy.shape != (*x.shape[:2], *windows.count):
        raise ValueError(f"grad_output must be [N, C, ...] {(*x.shape[:2], *windows.count)}, got {dy.shape}")
    dx = windows.pad(np.zeros(x.shape))
    share = dy / _divisor(windows, count_include_pad, divisor_override)
    for _, cells in windows.taps():
        dx[cells] += share
    return _deliver(_as_caller(windows.crop(dx), batched, layout), dtype, out)


# The public names


def _named(function: Callable[Concatenate[int, Arguments], Result], dimensions: int) -> Callable[Arguments, Result]:
    """Return the N-dimensional function for one N, with the name and the signature that go with it."""

    @functools.wraps(function)
    def named(*args: Arguments.args, **options: Arguments.kwargs) -> Result:
        return function(dimensions, *args, **options)

    signature = inspect.signature(function)
    named.__name__ = named.__qualname__ = function.__name__.removeprefix("_").replace("nd", f"{dimensions}d", 1)
    named.__signature__ = signature.replace(parameters=[*signature.parameters.values()][1:])  # type: ignore[attr-defined]
    return named


conv1d, conv2d, conv3d = _named(_convnd, 1), _named(_convnd, 2), _named(_convnd, 3)
conv1d_backward = _named(_convnd_backward, 1)
conv2d_backward = _named(_convnd_backward, 2)
conv3d_backward = _named(_convnd_backward, 3)
conv1d_input, conv2d_input, conv3d_input = _named(_convnd_input, 1), _named(_convnd_input, 2), _named(_convnd_input, 3)
conv1d_weight, conv2d_weight = _named(_convnd_weight, 1), _named(_convnd_weight, 2)
conv3d_weight = _named(_convnd_weight, 3)

max_pool1d, max_pool2d, max_pool3d = _named(_max_poolnd, 1), _named(_max_poolnd, 2), _named(_max_poolnd, 3)
max_pool1d_backward = _named(_max_poolnd_backward, 1)
max_pool2d_backward = _named(_max_poolnd_backward, 2)
max_pool3d_backward = _named(_max_poolnd_backward, 3)

avg_pool2d, avg_pool3d = _named(_avg_poolnd, 2), _named(_avg_poolnd, 3)
avg_pool2d_backward, avg_pool3d_backward = _named(_avg_poolnd_backward, 2), _named(_avg_poolnd_backward, 3)


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
    return _avg_poolnd(1, input, *where, layout=layout, out=out)


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
    return _avg_poolnd_backward(1, grad_output, input, *where, layout=layout, out=out)

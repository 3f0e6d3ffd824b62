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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Concatenate, ParamSpec, TypeGuard, TypeVar

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


def _array(name: str, value: Any) -> Array:
    """Return what is an array, or says that it is one, as an array; a list does not."""
    if hasattr(value, "__array__"):
        return np.asarray(value)
    if hasattr(value, "__dlpack__"):
        return np.from_dlpack(value)
    raise TypeError(f"{name} must be an array, got {type(value).__name__}")


def _is_sequence(value: Any) -> TypeGuard[Sequence[Any]]:
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview))


def _several(name: str, value: Any, count: int | None = None) -> tuple[Any, ...]:
    """Return the entries of a tuple, or of another sequence that is no array."""
    if isinstance(value, np.ndarray) or not _is_sequence(value):
        raise TypeError(f"{name} must be a tuple, got {type(value).__name__}")
    if count is not None and len(value) != count:
        raise ValueError(f"{name} must have {count} entries, got {len(value)}")
    return tuple(value)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {type(value).__name__}")
    return bool(value)


def _word(name: str, value: Any, words: Sequence[str]) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {type(value).__name__}")
    if value not in words:
        raise ValueError(f"{name} must be one of {words}, got {value!r}")
    return value


def _integer(name: str, value: Any, least: int, most: int = 2**63 - 1) -> int:
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an int, got {value}")
    number = operator.index(value)
    if not least <= number <= most:
        raise ValueError(f"{name} must be an int from {least} to {most}")
    return number


def _per_dimension(name: str, value: Any, dimensions: int, least: int) -> tuple[int, ...]:
    """Return one int a spatial dimension, as large as PyTorch's pools take them; a single int counts for all."""
    sizes = value if _is_sequence(value) else [value]
    if len(sizes) not in (1, dimensions):
        raise ValueError(f"{name} must be one int or {dimensions} ints, got {len(sizes)}")
    integers = tuple(_integer(name, size, least, 2**31 - 1) for size in sizes)
    return integers if len(integers) == dimensions else integers * dimensions


def _promoted(*arrays: Array | None, integers: bool) -> np.dtype[Any]:
    """Return the dtype of the result; integers, where they are allowed, follow the floats or become float64."""
    dtypes = [array.dtype for array in arrays if array is not None]
    for dtype in dtypes:
        if dtype.kind not in ("fiub" if integers else "f") or dtype.itemsize > 8:
            raise TypeError(f"no array of {dtype} is taken here")
    return np.result_type(*[dtype for dtype in dtypes if dtype.kind == "f"] or [np.dtype(np.float64)])


def _channels_first(array: Array, dimensions: int, layout: str) -> tuple[Array, bool]:
    """Return the array as float64 [N, C, *spatial], and whether it had a batch: if not, it becomes a batch of one."""
    layout = _word("layout", layout, ["channels_first", "channels_last"])
    if array.ndim not in (dimensions + 1, dimensions + 2):
        raise ValueError(f"an array must have {dimensions + 1} or {dimensions + 2} dimensions, got shape {array.shape}")
    batched = array.ndim == dimensions + 2
    if 0 in array.shape[batched:]:
        raise ValueError(f"only the batch of an array may be 0, got shape {array.shape}")
    array = (array if batched else array[np.newaxis]).astype(np.float64)
    return np.moveaxis(array, -1, 1) if layout == "channels_last" else array, batched


def _as_caller(result: Array, batched: bool, layout: str, dtype: Any) -> Array:
    """Return [N, C, *spatial] in the caller's layout and dtype, without a batch that was not there."""
    result = np.moveaxis(result, 1, -1) if layout == "channels_last" else result
    return np.ascontiguousarray(result if batched else result[0], dtype)


def _check_out(out: Any, result: Array | None, apart: Sequence[Array | None]) -> None:
    """Check that `out` can take the result without a change to anything else."""
    if result is None:
        raise ValueError("out must be None where nothing is computed")
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be an array, got {type(out).__name__}")
    if out.dtype.newbyteorder("=") != result.dtype:
        raise TypeError(f"out must be of {result.dtype}, got {out.dtype}")
    if out.shape != result.shape:
        raise ValueError(f"out must have the shape {result.shape}, got {out.shape}")
    if not out.flags.writeable:
        raise ValueError("out must be writeable")
    if any(array is not None and np.shares_memory(out, array) for array in apart):
        raise ValueError("out must share no memory with an input, nor with another one")
    if any(step == 0 and size > 1 for step, size in zip(out.strides, out.shape, strict=True)):
        raise ValueError(f"out must have memory of its own for each number, got strides {out.strides}")


def _deliver(results: Sequence[Any], outs: Sequence[Any], *inputs: Array | None) -> tuple[Array, ...]:
    """Return the results, each in its `out` if there is one: all are written, or none."""
    apart = [*inputs]
    for result, out in zip(results, outs, strict=True):
        if out is not None:
            _check_out(out, result, apart)
            apart.append(out)
    for result, out in zip(results, outs, strict=True):
        if out is not None:
            np.asarray(out)[...] = result
    return tuple(result if out is None else out for result, out in zip(results, outs, strict=True))


# Convolution: the sum and its two derivatives


def _check_plane(padded: Iterable[int]) -> None:
    if prod(padded) > 2**56:
        raise ValueError("a padded plane must have at most 2**56 numbers")


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
        if _word("padding", padding, ["valid", "same"]) == "same" and max(stride) > 1:
            raise ValueError(f"padding='same' needs a stride of 1, got {stride}")
        # "same": the output is as large as the input; of an odd number of cells, the extra one goes to the end.
        pairs = [(r // 2, r - r // 2) if padding == "same" else (0, 0) for r in reach]
    elif _is_sequence(padding) and len(padding) and all(map(_is_sequence, padding)):
        if any(len(pair) != 2 for pair in padding):
            raise ValueError(f"padding must have pairs (before, after), got {padding}")
        pairs = [_per_dimension("padding", pair, 2, 0) for pair in padding]
    else:
        pairs = [(p, p) for p in _per_dimension("padding", padding, dimensions, 0)]
    if len(pairs) != dimensions:
        raise ValueError(f"padding must have {dimensions} (before, after) pairs, got {padding}")
    before, after = zip(*pairs, strict=True)
    _check_plane(s + b + a for s, b, a in zip(size, before, after, strict=True))
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


def _check_channels(x: Array, weight: Array, bias: Array | None, groups: int) -> int:
    """Return the number of groups if it, weight and bias fit the channels of x [N, C, *size]."""
    groups = _integer("groups", groups, 1)
    if weight.size == 0 or len(weight) % groups or weight.shape[1] * groups != x.shape[1]:
        raise ValueError(f"weight {weight.shape} in {groups} groups does not fit an input of {x.shape[1]} channels")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"bias must have the shape {weight.shape[:1]}, got {bias.shape}")
    return groups


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
    input, weight = _array("input", input), _array("weight", weight)
    bias = None if bias is None else _array("bias", bias)
    dtype = _promoted(input, weight, bias, integers=True)
    x, batched = _channels_first(input, dimensions, layout)
    windows = _convolution_windows(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    groups = _check_channels(x, weight, bias, groups)
    if activation is not None:
        activation = _word("activation", activation, ["relu", "relu6", "silu"])
    y = _forward(x, weight.astype(np.float64), windows, groups)
    if bias is not None:
        y += bias.astype(np.float64).reshape(y.shape[1], *[1] * dimensions)
    [y] = _deliver([_as_caller(_ACTIVATIONS[activation](y), batched, layout, dtype)], [out], input, weight, bias)
    return y


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
    grad_output, input, weight = _array("grad_output", grad_output), _array("input", input), _array("weight", weight)
    bias = None if bias is None else _array("bias", bias)
    dtype = _promoted(grad_output, input, weight, bias, integers=True)
    x, batched = _channels_first(input, dimensions, layout)
    windows = _convolution_windows(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    groups = _check_channels(x, weight, bias, groups)
    dy, _ = _channels_first(grad_output, dimensions, layout)
    if grad_output.ndim != input.ndim or dy.shape != (len(x), len(weight), *windows.count):
        raise ValueError(f"grad_output must be [N, K, ...] {(len(x), len(weight), *windows.count)}, got {dy.shape}")
    need_x, need_w, need_b = (_flag("needs", need) for need in _several("needs", needs, 3))
    into = (None, None, None) if out is None else _several("out", out, 3)
    dx = dw = db = None
    if need_x:
        dx = _as_caller(_input_gradient(dy, weight.astype(np.float64), windows, groups), batched, layout, dtype)
    if need_w:
        dw = _weight_gradient(dy, x, windows, groups).astype(dtype)
    if need_b and bias is not None:
        db = dy.sum((0, *range(2, dy.ndim))).astype(dtype)
    dx, dw, db = _deliver([dx, dw, db], into, grad_output, input, weight, bias)
    return dx, dw, db


def _nothing(name: str, shape: Any) -> Array:
    """Return zeros of a shape, in no memory."""
    return np.broadcast_to(False, [_integer(name, size, 0) for size in _several(name, shape)])


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
    input, where = _nothing("input_size", input_size), (stride, padding, dilation, groups)
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
    weight, where = _nothing("weight_size", weight_size), (stride, padding, dilation, groups)
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
    kernel, ceil_mode = _per_dimension("kernel_size", kernel_size, dimensions, 1), _flag("ceil_mode", ceil_mode)
    if isinstance(stride, (tuple, list)) and not stride:
        stride = None  # As in PyTorch.
    stride = kernel if stride is None else _per_dimension("stride", stride, dimensions, 1)
    before = _per_dimension("padding", padding, dimensions, 0)
    dilation = _per_dimension("dilation", dilation, dimensions, 1)
    if any(p > k // 2 for p, k in zip(before, kernel, strict=True)):
        raise ValueError(f"padding must be at most half of kernel_size {kernel}, got {before}")
    _check_plane(s + 2 * p for s, p in zip(size, before, strict=True))
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
        if _integer("divisor_override", divisor_override, -(2**63)) == 0:
            raise ValueError("divisor_override must not be 0")
        return np.full((1, 1, *windows.count), float(divisor_override))
    # The cells of the input count; those of the padding if they are to; those beyond it, in ceil mode, never.
    counts = np.ones((1, 1, *windows.size))
    padding = _flag("count_include_pad", count_include_pad)
    counts = np.pad(counts, [(0, 0), (0, 0), *((p, p) for p in windows.before)], constant_values=padding)
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
    input = _array("input", input)
    dtype = _promoted(input, integers=False)
    x, batched = _channels_first(input, dimensions, layout)
    value, index = _maximum(x, _pool_windows(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode))
    value, index = _as_caller(value, batched, layout, dtype), _as_caller(index, batched, layout, np.int64)
    if not _flag("return_indices", return_indices):
        return _deliver([value], [out], input)[0]
    return _deliver([value, index], (None, None) if out is None else _several("out", out, 2), input)


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
    grad_output, input = _array("grad_output", grad_output), _array("input", input)
    dtype = _promoted(grad_output, input, integers=False)
    dy, _ = _channels_first(grad_output, dimensions, layout)
    x, batched = _channels_first(input, dimensions, layout)
    windows = _pool_windows(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    if indices is None:
        index = _maximum(x, windows)[1]
    else:
        indices = _array("indices", indices)
        if indices.dtype.kind not in "iu":
            raise TypeError(f"indices must be integers, got {indices.dtype}")
        if ((indices < -1) | (indices >= prod(windows.size))).any():
            raise ValueError(f"indices must be places in a plane of {prod(windows.size)}, or -1")
        index = _channels_first(indices, dimensions, layout)[0].astype(np.int64)
    same = grad_output.ndim == input.ndim and (indices is None or indices.shape == grad_output.shape)
    if not same or not dy.shape == index.shape == (*x.shape[:2], *windows.count):
        raise ValueError(f"grad_output and indices must be [N, C, ...] {(*x.shape[:2], *windows.count)}")
    # One cell more than the plane has: the last one collects what has the index -1.
    dx = np.zeros((*x.shape[:2], prod(windows.size) + 1))
    pixels = (*x.shape[:2], prod(windows.count))
    image, channel, _ = np.ogrid[: len(x), : x.shape[1], :1]
    np.add.at(dx, (image, channel, index.reshape(pixels)), dy.reshape(pixels))
    [dx] = _deliver(
        [_as_caller(dx[..., :-1].reshape(x.shape), batched, layout, dtype)], [out], grad_output, input, indices
    )
    return dx


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
    input = _array("input", input)
    dtype = _promoted(input, integers=False)
    x, batched = _channels_first(input, dimensions, layout)
    windows = _pool_windows(x.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    padded = windows.pad(x)
    total = np.sum([padded[cells] for _, cells in windows.taps()], axis=0)
    mean = total / _divisor(windows, count_include_pad, divisor_override)
    [mean] = _deliver([_as_caller(mean, batched, layout, dtype)], [out], input)
    return mean


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
    grad_output, input = _array("grad_output", grad_output), _array("input", input)
    dtype = _promoted(grad_output, input, integers=False)
    dy, _ = _channels_first(grad_output, dimensions, layout)
    x, batched = _channels_first(input, dimensions, layout)
    windows = _pool_windows(x.shape[2:], kernel_size, stride, padding, 1, ceil_mode)
    if grad_output.ndim != input.ndim or dy.shape != (*x.shape[:2], *windows.count):
        raise ValueError(f"grad_output must be [N, C, ...] {(*x.shape[:2], *windows.count)}, got {dy.shape}")
    dx = windows.pad(np.zeros(x.shape))
    share = dy / _divisor(windows, count_include_pad, divisor_override)
    for _, cells in windows.taps():
        dx[cells] += share
    [dx] = _deliver([_as_caller(windows.crop(dx), batched, layout, dtype)], [out], grad_output, input)
    return dx


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

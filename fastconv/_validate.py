"""Everything that can fail by the user's fault: arguments to arrays and tuples, or the exception that says why not.

The engine sees only what has passed here.  Every message names the argument, what was expected and what came.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from operator import index
from typing import Any

import numpy as np

from . import _core

FLOAT16, FLOAT32, FLOAT64 = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)
_FLOATS = {dtype.itemsize: dtype for dtype in (FLOAT16, FLOAT32, FLOAT64)}
LARGEST = 2**63 - 1
_LARGEST_OPTION = 2**31 - 1  # as of PyTorch's pools; the engine adds and multiplies options without a look
_LARGEST_PLANE = 2**56  # of a padded input, whose bytes the engine counts in vectors
_RECYCLED_BYTES = 1 << 20  # as in csrc/memory.c

Array = np.ndarray[Any, Any]
Sizes = tuple[int, ...]


# ---- arrays ----


def as_array(value: Any, name: str) -> Array:
    """The argument as an array: NumPy arrays, and objects with ``__array__`` or ``__dlpack__`` on the CPU."""
    if type(value) is np.ndarray:
        return value
    if isinstance(value, np.ndarray):
        return np.asarray(value)
    if not hasattr(value, "__array__") and not hasattr(value, "__dlpack__"):
        raise TypeError(f"{name}: expected an array, got {type(value).__name__}")
    try:
        return np.asarray(value) if hasattr(value, "__array__") else np.from_dlpack(value)
    except MemoryError:
        raise
    except Exception as error:
        raise TypeError(f"{name}: {type(value).__name__} does not convert to a NumPy array: {error}") from error


def common_dtype(arrays: Sequence[tuple[str, Array | None]], integers: bool = True) -> np.dtype[Any]:
    """The dtype of the result: floats by NumPy's promotion; integers and bool follow the floats, or become float64."""
    floats = []
    for name, array in arrays:
        if array is None:
            continue
        check_size(array.shape, name)
        kind = array.dtype.kind
        if kind == "f" and array.dtype.itemsize in _FLOATS:
            floats.append(_FLOATS[array.dtype.itemsize])  # native, and one object each: compared by identity
        elif not (integers and kind in "iub"):
            expected = "float16, float32 or float64" + (", or integers" if integers else "")
            raise TypeError(f"{name}: expected {expected}, got {array.dtype}")
    return max(floats, key=_itemsize) if floats else FLOAT64


def _itemsize(dtype: np.dtype[Any]) -> int:
    return dtype.itemsize


def ready(array: Array, dtype: np.dtype[Any]) -> Array:
    """The array as the engine reads it: the dtype, C-contiguous, aligned, native; itself where it is so already."""
    if array.dtype is dtype:
        flags = array.flags
        if flags.carray or (flags.c_contiguous and flags.aligned):  # the first: writeable too, and one question
            return array
    with np.errstate(all="ignore"):
        return np.require(array, dtype, ["C", "A"])


def empty(shape: Sizes, dtype: np.dtype[Any]) -> Array:
    """A new array; of 1 MB and more from the recycling pool."""
    size = math.prod(shape, start=dtype.itemsize)
    if 0 < size < _RECYCLED_BYTES:
        return np.empty(shape, dtype)
    check_size(shape, "output")
    if size == 0:
        return np.empty(shape, dtype)
    return np.ndarray(shape, dtype, _core.Block(size))  # type: ignore[arg-type]


def check_out(out: Any, shape: Sizes, dtype: np.dtype[Any], inputs: Iterable[Array | None], name: str = "out") -> None:
    """That ``out`` can take the result: array, dtype in any byte order, shape, writeable, apart from the inputs."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name}: expected an array, got {type(out).__name__}")
    if out.dtype is not dtype and out.dtype.newbyteorder("=") != dtype:
        raise TypeError(f"{name}: expected dtype {dtype}, got {out.dtype}")
    if out.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {out.shape}")
    if not out.flags.writeable:
        raise ValueError(f"{name}: expected a writeable array, got a read-only one")
    if out.size and any(step == 0 and length > 1 for step, length in zip(out.strides, shape, strict=True)):
        raise ValueError(f"{name}: expected memory of its own for every element, got strides {out.strides}")
    for array in inputs:
        if array is not None and _overlap(out, array):
            raise ValueError(f"{name}: expected memory of its own, got an array that overlaps an input")


def _overlap(a: Array, b: Array) -> bool:
    work: Any = 10_000  # as much as the smallest calls; NumPy's stubs know only 0 and -1
    try:
        return np.shares_memory(a, b, max_work=work)
    except np.exceptions.TooHardError:
        return True


def target(out: Array | None, shape: Sizes, dtype: np.dtype[Any]) -> Array:
    """Where the engine writes: ``out``, or a new array where it is absent or of another dtype or layout in memory."""
    if out is not None and out.dtype is dtype and out.flags.carray:
        return out
    return empty(shape, dtype)


def deliver(result: Array, out: Array | None, shape: Sizes, dtype: np.dtype[Any]) -> Array:
    """The result as it was asked for: in ``out``, of the arguments' dtype, without the batch of an unbatched call."""
    if result is out:
        return result
    if out is not None or result.dtype is not dtype:
        with np.errstate(all="ignore"):  # a float16 that overflows is infinite, and half of an ``out`` is never written
            if out is not None:
                np.asarray(out)[...] = result.reshape(shape)  # whatever a subclass makes of an assignment
                return out
            result = result.astype(dtype)
    return result if result.shape == shape else result.reshape(shape)


# ---- numbers ----


def shown(value: Any) -> str:
    """What came, short enough for a message."""
    if isinstance(value, int) and value.bit_length() > 1000:  # Python refuses to print the longest ones
        return f"an integer of {value.bit_length()} bits"
    return f"{value!r}" if isinstance(value, (int, float, str, bytes, type(None))) else type(value).__name__


def _is_sequence(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview))


def several(value: Any, name: str, count: int, what: str) -> tuple[Any, ...]:
    """So many, one for each of ``what``."""
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        raise TypeError(f"{name}: expected a tuple of {count}, for {what}, got {type(value).__name__}")
    items = tuple(value)
    if len(items) != count:
        raise ValueError(f"{name}: expected a tuple of {count}, for {what}, got {len(items)}")
    return items


def flag(value: Any, name: str) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected True or False, got {shown(value)}")
    return bool(value)


def integer(value: Any, name: str, least: int, most: int = LARGEST) -> int:
    """An integer from ``least`` to ``most``."""
    if type(value) is not int:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{name}: expected an integer, got {value}")
        try:
            value = index(value)
        except TypeError:
            raise TypeError(f"{name}: expected an integer, got {shown(value)}") from None
    if value < least:
        raise ValueError(f"{name}: expected at least {least}, got {shown(value)}")
    if value > most:
        raise ValueError(f"{name}: expected at most {most}, got {shown(value)}")
    return int(value)


def integers(value: Any, dimensions: int, name: str, least: int) -> Sizes:
    """One integer a dimension, from an integer for all or a sequence of one or of ``dimensions``."""
    if type(value) is int and least <= value <= _LARGEST_OPTION:
        return (value,) * dimensions
    if type(value) is tuple and len(value) == dimensions:
        for item in value:
            if type(item) is not int or not least <= item <= _LARGEST_OPTION:
                break
        else:
            return value
    if not _is_sequence(value):
        return (integer(value, name, least, _LARGEST_OPTION),) * dimensions
    items = tuple(value)  # a sequence of one's own may have another len, and lose items to their __index__
    if len(items) not in (1, dimensions):
        raise ValueError(f"{name}: expected an integer or {dimensions} of them, got {len(items)}")
    sizes = tuple(integer(item, name, least, _LARGEST_OPTION) for item in items)
    return sizes if len(sizes) == dimensions else sizes * dimensions


def paddings(value: Any, kernel: Sizes, stride: Sizes, dilation: Sizes) -> tuple[Sizes, Sizes]:
    """Padding before and after, from an integer, one a dimension, "valid", "same" or a pair a dimension."""
    dimensions = len(kernel)
    if type(value) is int and 0 <= value <= _LARGEST_OPTION:
        both = (value,) * dimensions
        return both, both
    if isinstance(value, str):
        if value == "valid":
            return (0,) * dimensions, (0,) * dimensions
        if value != "same":
            raise ValueError(f'padding: expected integers, "valid" or "same", got {value!r}')
        if any(step != 1 for step in stride):
            raise ValueError(f'padding: "same" expects stride 1, got stride {stride}')
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        before = tuple(size // 2 for size in total)
        return before, tuple(size - first for size, first in zip(total, before, strict=True))
    return borders(value, dimensions)


def borders(value: Any, dimensions: int) -> tuple[Sizes, Sizes]:
    """Padding before and after, from an integer, one a dimension or a pair a dimension."""
    plain = type(value) is tuple and len(value) == dimensions and type(value[0]) is int
    items = () if plain or not _is_sequence(value) else tuple(value)
    if items and all(map(_is_sequence, items)):
        if len(items) != dimensions or any(len(pair) != 2 for pair in items):
            lengths = ", ".join(str(len(pair)) for pair in items)
            raise ValueError(f"padding: expected {dimensions} pairs (before, after), got sequences of {lengths}")
        before, after = zip(*(integers(pair, 2, "padding", 0) for pair in items), strict=True)
        return before, after
    both = integers(value, dimensions, "padding", 0)
    return both, both


# The defaults, which the shortest road compares by identity: what came need not be a string at all.
CHANNELS_FIRST, AUTO = "channels_first", "auto"


def is_channels_last(layout: Any) -> bool:
    """Whether the layout is channels last."""
    if not isinstance(layout, str):
        raise TypeError(f'layout: expected "channels_first" or "channels_last", got {shown(layout)}')
    if layout not in (CHANNELS_FIRST, "channels_last"):
        raise ValueError(f'layout: expected "channels_first" or "channels_last", got {layout!r}')
    return layout != CHANNELS_FIRST


_ALGORITHMS = {name: name.encode() for name in _core.algorithms()}
_ACTIVATIONS = {None: 0, "relu": 1, "relu6": 2, "silu": 3}  # as fc_activation


def algorithm_name(algorithm: Any) -> bytes | None:
    """The algorithm for the engine; None: its choice."""
    if not isinstance(algorithm, str):
        raise TypeError(f"algorithm: expected a string, got {shown(algorithm)}")
    if algorithm == AUTO:
        return None
    if algorithm not in _ALGORITHMS:
        raise ValueError(f'algorithm: expected "auto" or one of {", ".join(_ALGORITHMS)}, got {algorithm!r}')
    return _ALGORITHMS[algorithm]


def activation_code(activation: Any) -> int:
    """The activation for the engine."""
    if activation is not None and not isinstance(activation, str):
        raise TypeError(f"activation: expected None or a string, got {shown(activation)}")
    if activation not in _ACTIVATIONS:
        raise ValueError(f'activation: expected None, "relu", "relu6" or "silu", got {activation!r}')
    return _ACTIVATIONS[activation]


# ---- shapes ----


def batched(shape: Sizes, dimensions: int, name: str, channels_last: bool) -> Sizes:
    """The shape with a batch in front, which may be 0; every other size is at least 1."""
    if len(shape) not in (dimensions + 1, dimensions + 2):
        order = "spatial..., channels" if channels_last else "channels, spatial..."
        raise ValueError(
            f"{name}: expected {dimensions + 2} dimensions [batch, {order}], or {dimensions + 1} without the batch, "
            f"got shape {shape}"
        )
    if len(shape) == dimensions + 1:
        shape = (1, *shape)
    if 0 in shape and 0 in shape[1:]:
        raise ValueError(f"{name}: expected every size but the batch to be at least 1, got shape {shape}")
    return shape


def _check_weight_shape(shape: Sizes, dimensions: int, name: str, meaning: str) -> None:
    if len(shape) != dimensions + 2:
        raise ValueError(f"{name}: expected {dimensions + 2} dimensions [{meaning}, kernel...], got shape {shape}")
    if 0 in shape:
        raise ValueError(f"{name}: expected every size to be at least 1, got shape {shape}")


def check_weight(shape: Sizes, dimensions: int, channels: int, groups: int, name: str) -> None:
    """That the weight fits the input's channels and the groups."""
    _check_weight_shape(shape, dimensions, name, "out_channels, in_channels / groups")
    if channels % groups or shape[0] % groups:
        raise ValueError(f"groups: expected a divisor of {channels} input and {shape[0]} output channels, got {groups}")
    if shape[1] * groups != channels:
        raise ValueError(
            f"{name}: expected {channels // groups} input channels ({channels} of the input / {groups} groups), "
            f"got {shape[1]} in shape {shape}"
        )


def check_transposed_weight(shape: Sizes, dimensions: int, channels: int, groups: int, name: str) -> None:
    """That the weight of a transposed convolution fits the input's channels and the groups."""
    _check_weight_shape(shape, dimensions, name, "in_channels, out_channels / groups")
    if channels % groups:
        raise ValueError(f"groups: expected a divisor of {channels} input channels, got {groups}")
    if shape[0] != channels:
        raise ValueError(f"{name}: expected {channels} input channels, got {shape[0]} in shape {shape}")


def check_bias(bias: Array, out_channels: int) -> None:
    """That there is one element a channel."""
    if bias.shape != (out_channels,):
        raise ValueError(f"bias: expected shape ({out_channels},), got {bias.shape}")


def _too_large(plane: int) -> ValueError:
    return ValueError(f"padding: expected a padded input of at most 2**56 elements a plane, got {plane}")


def conv_out_size(
    size: Sizes, kernel: Sizes, stride: Sizes, before: Sizes, after: Sizes, dilation: Sizes, name: str
) -> Sizes:
    """The spatial shape of a convolution's output; ``name`` is the weight's."""
    result = _core.conv_out_size(size, kernel, stride, before, after, dilation, _LARGEST_PLANE)
    if result is not None:
        return result
    padded = [i + first + last for i, first, last in zip(size, before, after, strict=True)]
    for whole, k, d in zip(padded, kernel, dilation, strict=True):
        extent = d * (k - 1) + 1
        if extent > whole:
            raise ValueError(
                f"{name}: expected a kernel that fits the padded input of {whole}, got {k} with dilation {d}: {extent}"
            )
    raise _too_large(math.prod(padded))


def transposed_out_size(
    size: Sizes, kernel: Sizes, stride: Sizes, before: Sizes, after: Sizes, output_padding: Sizes, dilation: Sizes
) -> Sizes:
    """The spatial shape of a transposed convolution's output, which a convolution would bring back to ``size``."""
    result, plane = [], 1
    for i, k, s, b, a, extra, d in zip(size, kernel, stride, before, after, output_padding, dilation, strict=True):
        if extra >= max(s, d):
            raise ValueError(
                f"output_padding: expected less than the stride of {s} or the dilation of {d}, got {extra}"
            )
        whole = (i - 1) * s + d * (k - 1) + 1 + extra
        if whole - b - a < 1:
            raise ValueError(f"padding: expected less than {whole} cells, the whole output, got {b} + {a}")
        plane *= whole
        result.append(whole - b - a)
    if plane > _LARGEST_PLANE:
        raise ValueError(f"stride: expected an output of at most 2**56 elements a plane, got {plane}")
    return tuple(result)


def pool_out_size(size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, ceil_mode: bool) -> Sizes:
    """The spatial shape of a pool's output; as in PyTorch the last window starts inside the input or before it."""
    result, plane = [], 1
    for i, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        if p > k // 2:
            raise ValueError(f"padding: expected at most half of the kernel_size of {k}, got {p}")
        plane *= i + 2 * p
        extent = d * (k - 1) + 1
        room = i + 2 * p - extent
        out = (room + (s - 1 if ceil_mode else 0)) // s + 1
        if ceil_mode and (out - 1) * s >= i + p:
            out -= 1
        if out < 1:
            raise ValueError(
                f"kernel_size: expected a kernel that fits the padded input of {i + 2 * p}, "
                f"got {k} with dilation {d}: {extent}"
            )
        result.append(out)
    if plane > _LARGEST_PLANE:
        raise _too_large(plane)
    return tuple(result)


def adaptive_out_size(value: Any, size: Sizes) -> Sizes:
    """The spatial shape of an adaptive pool's output; None in a sequence for two or three dimensions keeps a size."""
    dimensions = len(size)
    if type(value) is int and 1 <= value <= _LARGEST_OPTION:
        result = [value] * dimensions
    else:
        values = tuple(value) if _is_sequence(value) else (value,) * dimensions
        if len(values) != dimensions:
            raise ValueError(f"output_size: expected an integer or {dimensions} of them, got {len(values)}")
        result = []
        for wish, i in zip(values, size, strict=True):
            keep = wish is None and value is not None and dimensions > 1
            result.append(i if keep else integer(wish, "output_size", 1, _LARGEST_OPTION))
    if math.prod(result) > _LARGEST_PLANE:
        raise ValueError(f"output_size: expected at most 2**56 elements a plane, got {math.prod(result)}")
    for i, o in zip(size, result, strict=True):
        if i * (o + 1) > LARGEST:
            raise ValueError(
                f"output_size: expected a product with the input's size that fits 63 bits, got {i} and {o}"
            )
    return tuple(result)


def unpool_out_size(
    size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, output_size: Any, channels_last: bool
) -> Sizes:
    """The spatial shape of an unpooled plane: what a pool would bring back, within a stride of the plainest guess."""
    dimensions = len(size)
    plain = [(i - 1) * s + k - 2 * p for i, k, s, p in zip(size, kernel, stride, padding, strict=True)]
    if output_size is None:
        if min(plain) < 1:
            raise ValueError(f"padding: expected an output of at least 1 in each dimension, got {tuple(plain)}")
        result = plain
    else:
        if not _is_sequence(output_size):
            raise TypeError(f"output_size: expected None or a tuple of sizes, got {shown(output_size)}")
        output_size = tuple(output_size)
        if len(output_size) not in (dimensions, dimensions + 2):
            raise ValueError(
                f"output_size: expected {dimensions} spatial sizes, or the output's shape of {dimensions + 2}, "
                f"got {len(output_size)}"
            )
        whole = len(output_size) > dimensions
        wishes = output_size if not whole else output_size[1:-1] if channels_last else output_size[2:]
        result = [integer(wish, "output_size", 1) for wish in wishes]
        for wish, guess, s in zip(result, plain, stride, strict=True):
            if not guess - s < wish < guess + s:
                raise ValueError(f"output_size: expected more than {guess - s} and less than {guess + s}, got {wish}")
    if math.prod(result) > _LARGEST_PLANE:
        raise ValueError(f"output_size: expected at most 2**56 elements a plane, got {math.prod(result)}")
    return tuple(result)


def output_shape(batch: int, channels: int, size: Sizes, channels_last: bool) -> Sizes:
    """A tensor's shape in either layout."""
    return (batch, *size, channels) if channels_last else (batch, channels, *size)


def check_size(shape: Sizes, name: str) -> None:
    """That an array of float64 of the shape would have a size that 63 bits hold."""
    size = math.prod(shape, start=8)
    if size == 0:  # NumPy makes none that is too large either where the batch is 0
        size = math.prod((length or 1 for length in shape), start=8)
    if size > LARGEST:
        raise ValueError(f"{name}: expected a product of sizes that fits 63 bits, got shape {shape}")

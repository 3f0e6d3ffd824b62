"""What every function of the specification does with its arguments and its results.

Inside, arrays are always float64 [batch, channels, *spatial]; the result has the dtype that NumPy promotes the
arguments to, and the caller's layout.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeGuard, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Size = int | Sequence[int]
Padding = int | str | Sequence[int] | Sequence[tuple[int, int]]
Gradients = tuple[Array | None, Array | None, Array | None]
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

# Infinity minus infinity, or a float64 sum too large for float16, is a result like any other: no warning.
quiet = np.errstate(all="ignore")


# Arguments


def array(name: str, value: Any) -> Array:
    """Return what is an array, or says that it is one, as an array; a list does not."""
    if hasattr(value, "__array__"):
        return np.asarray(value)
    if hasattr(value, "__dlpack__"):
        return np.from_dlpack(value)
    raise TypeError(f"{name} must be an array, got {type(value).__name__}")


def is_sequence(value: Any) -> TypeGuard[Sequence[Any]]:
    """Whether a value has one entry a dimension, or whatever it has several of."""
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview))


def several(name: str, value: Any, count: int | None = None) -> tuple[Any, ...]:
    """Return the entries of a tuple, or of another sequence that is no array."""
    if isinstance(value, np.ndarray) or not is_sequence(value):
        raise TypeError(f"{name} must be a tuple, got {type(value).__name__}")
    if count is not None and len(value) != count:
        raise ValueError(f"{name} must have {count} entries, got {len(value)}")
    return tuple(value)


def flag(name: str, value: Any) -> bool:
    """Return True or False, and not what only counts as one of them."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {type(value).__name__}")
    return bool(value)


def word(name: str, value: Any, words: Sequence[str]) -> str:
    """Return one of these words."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {type(value).__name__}")
    if value not in words:
        raise ValueError(f"{name} must be one of {words}, got {value!r}")
    return value


def integer(name: str, value: Any, least: int, most: int = 2**63 - 1) -> int:
    """Return an int from `least` to `most`; True is none."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an int, got {value}")
    number = operator.index(value)
    if not least <= number <= most:
        raise ValueError(f"{name} must be an int from {least} to {most}")
    return number


def per_dimension(name: str, value: Any, dimensions: int, least: int) -> tuple[int, ...]:
    """Return one int a spatial dimension, as large as PyTorch's pools take them; a single int counts for all."""
    sizes = value if is_sequence(value) else [value]
    if len(sizes) not in (1, dimensions):
        raise ValueError(f"{name} must be one int or {dimensions} ints, got {len(sizes)}")
    integers = tuple(integer(name, size, least, 2**31 - 1) for size in sizes)
    return integers if len(integers) == dimensions else integers * dimensions


def promoted(*arrays: Array | None, integers: bool) -> np.dtype[Any]:
    """Return the dtype of the result; integers, where they are allowed, follow the floats or become float64."""
    dtypes = [array.dtype for array in arrays if array is not None]
    for dtype in dtypes:
        if dtype.kind not in ("fiub" if integers else "f") or dtype.itemsize > 8:
            raise TypeError(f"no array of {dtype} is taken here")
    return np.result_type(*[dtype for dtype in dtypes if dtype.kind == "f"] or [np.dtype(np.float64)])


def channels_first(array: Array, dimensions: int, layout: str) -> tuple[Array, bool]:
    """Return the array as float64 [N, C, *spatial], and whether it had a batch: if not, it becomes a batch of one."""
    layout = word("layout", layout, ["channels_first", "channels_last"])
    if array.ndim not in (dimensions + 1, dimensions + 2):
        raise ValueError(f"an array must have {dimensions + 1} or {dimensions + 2} dimensions, got shape {array.shape}")
    batched = array.ndim == dimensions + 2
    if 0 in array.shape[batched:]:
        raise ValueError(f"only the batch of an array may be 0, got shape {array.shape}")
    array = (array if batched else array[np.newaxis]).astype(np.float64)
    return np.moveaxis(array, -1, 1) if layout == "channels_last" else array, batched


def nothing(name: str, shape: Any) -> Array:
    """Return zeros of a shape, in no memory."""
    return np.broadcast_to(False, [integer(name, size, 0) for size in several(name, shape)])


# Results


def as_caller(result: Array, batched: bool, layout: str, dtype: Any) -> Array:
    """Return [N, C, *spatial] in the caller's layout and dtype, without a batch that was not there."""
    result = np.moveaxis(result, 1, -1) if layout == "channels_last" else result
    return np.ascontiguousarray(result if batched else result[0], dtype)


def check_gradient(grad_output: Array, dy: Array, shape: tuple[int, ...], batched: bool) -> None:
    """Check that grad_output, `dy` as [N, C, *spatial], is as large as the output and has a batch where it has one."""
    if dy.shape != shape or (grad_output.ndim == dy.ndim) != batched:
        raise ValueError(f"grad_output must be {shape} as [N, C, ...], got {grad_output.shape}")


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


def deliver(results: Sequence[Any], outs: Sequence[Any], *inputs: Array | None) -> tuple[Array, ...]:
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


# Names


def named(function: Callable[Concatenate[int, Arguments], Result], dimensions: int) -> Callable[Arguments, Result]:
    """Return the N-dimensional function for one N, with the name and the signature that go with it."""

    @functools.wraps(function)
    def of_dimensions(*args: Arguments.args, **options: Arguments.kwargs) -> Result:
        return function(dimensions, *args, **options)

    parameters = [*inspect.signature(function).parameters.values()][1:]
    of_dimensions.__name__ = of_dimensions.__qualname__ = function.__name__.replace("nd", f"{dimensions}d", 1)
    of_dimensions.__signature__ = inspect.signature(function).replace(parameters=parameters)  # type: ignore[attr-defined]
    return of_dimensions

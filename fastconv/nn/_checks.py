"""What a caller hands to a network: checked, named in the error, brought into its plain form."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv import _validate

Array = np.ndarray[Any, np.dtype[Any]]


def integer(value: Any, name: str, minimum: int = 1) -> int:
    """Return `value` as an int of at least `minimum`, and of 63 bits."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, got {value!r} ({type(value).__name__})") from None
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {_validate.shown(number)}")
    if number > _validate.LARGEST:
        raise ValueError(f"{name} must be at most {_validate.LARGEST}, got {_validate.shown(number)}")
    return number


def integers(value: Any, count: int, name: str, minimum: int = 1) -> tuple[int, ...]:
    """Return `value`, an int for every dimension or one a dimension, as a tuple of `count` ints."""
    if not isinstance(value, (list, tuple)):
        try:
            return (integer(value, name, minimum),) * count
        except TypeError:
            raise TypeError(
                f"{name} must be an int or {count} ints, got {value!r} ({type(value).__name__})"
            ) from None
    if len(value) != count:
        raise ValueError(f"{name} must be an int or {count} ints, got {value!r}")
    return tuple(integer(item, f"{name}[{index}]", minimum) for index, item in enumerate(value))


def real(value: Any, name: str, minimum: float = -math.inf) -> float:
    """Return `value` as a finite float of at least `minimum`."""
    if isinstance(value, (bool, np.bool_, str, bytes)):
        raise TypeError(f"{name} must be a number, got {value!r} ({type(value).__name__})")
    try:
        number = float(value)
    except (TypeError, ValueError):  # the second: an array of a str
        raise TypeError(f"{name} must be a number, got {value!r} ({type(value).__name__})") from None
    except OverflowError:  # of an int; a float that is too large is infinite
        raise ValueError(f"{name} must be a finite number, got {_validate.shown(value)}") from None
    if not math.isfinite(number) or number < minimum:
        wanted = "a finite number" if minimum == -math.inf else f"a finite number of at least {minimum:g}"
        raise ValueError(f"{name} must be {wanted}, got {number}")
    return number


def boolean(value: Any, name: str) -> bool:
    """Return `value` as a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r} ({type(value).__name__})")
    return bool(value)


def shape_of(value: Any, name: str, minimum: int = 0) -> tuple[int, ...]:
    """Return `value`, an int or a sequence of ints, as a shape."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return (integer(value, name, minimum),)
    shape = tuple(integer(size, f"{name}[{index}]", minimum) for index, size in enumerate(value))
    _validate.check_size(shape, name)
    return shape


def float_dtype(value: DTypeLike) -> np.dtype[Any]:
    """Return `value` as the dtype of parameters: float32, which None is too, or float64."""
    try:
        dtype = np.dtype(np.float32 if value is None else value)  # None is float64 to NumPy
    except Exception:  # NumPy parses strings, and raises SyntaxError too
        raise TypeError(f"dtype must be float32 or float64, got {value!r}") from None
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"dtype must be float32 or float64, got {dtype}")
    return dtype.newbyteorder("=")


def generator(value: Any) -> np.random.Generator:
    """Return `value`, a Generator, a seed or None (fresh entropy), as a Generator."""
    try:
        return np.random.default_rng(value)
    except TypeError:
        raise TypeError(f"rng must be a numpy.random.Generator, a seed or None, got {value!r}") from None
    except ValueError:
        raise ValueError(f"rng must be a numpy.random.Generator, a seed of at least 0 or None, got {value!r}") from None


def array(value: Any, name: str) -> Array:
    """Return `value` as an array: numbers or bools, of any kind."""
    try:
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            value = np.from_dlpack(value)
        result = np.asarray(value)
    except (ValueError, MemoryError) as error:  # the first: a ragged list
        raise type(error)(f"{name} must be an array: {error}") from None
    except Exception as error:  # an __array__ or __dlpack__ raises what it likes
        raise TypeError(f"{name} must be an array, {type(value).__name__} does not convert to one: {error}") from error
    if result.dtype.kind not in "biufc":
        raise TypeError(f"{name} must be an array of numbers, got {type(value).__name__} of dtype {result.dtype}")
    return result


def floats(value: Any, name: str, dtype: np.dtype[Any] | None = None) -> Array:
    """Return `value` as an array of `dtype`; without one as the float32 or float64 that computes it, native."""
    result = array(value, name)
    if dtype is None:
        if result.dtype.kind != "f" or result.dtype.itemsize > 8:
            raise TypeError(f"{name} must hold float16, float32 or float64, got {result.dtype}")
        dtype = np.dtype(np.float64 if result.dtype.itemsize == 8 else np.float32)
    elif result.dtype.kind == "c":
        raise TypeError(f"{name} must hold real numbers, got {result.dtype}")
    return cast(result, dtype)


def cast(value: Array, dtype: np.dtype[Any]) -> Array:
    """Return `value` in `dtype`: itself where it is so; what overflows is infinite, and nothing to warn of."""
    with np.errstate(all="ignore"):
        return value.astype(dtype, copy=False)


def same_shape(value: Array, shape: tuple[int, ...], name: str) -> None:
    """Refuse an array of any other shape."""
    if value.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, got {value.shape}")

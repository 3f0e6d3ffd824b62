"""Pools of as many windows as are asked for."""

from __future__ import annotations

from typing import Any

from .. import _pooling
from .._validate import Array


def adaptive_avg_pool1d(
    input: Any,
    output_size: Any,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Average sequences over as many windows as are asked for.

    The window of output ``o`` is ``[floor(o * size / out_size), ceil((o + 1) * size / out_size))``: neighbours may
    overlap by an element where the sizes do not divide.

    Parameters
    ----------
    input : array [batch, channels, length] or [channels, length]
        float16, float32 or float64.
    output_size : int or one a dimension
        The output's spatial sizes, at least 1.
    layout : "channels_first" or "channels_last"
    out : array, optional
        Written and returned.

    Returns
    -------
    array [batch, channels, out_length] or [channels, out_length]

    Raises
    ------
    TypeError, ValueError, MemoryError
        For a wrong kind of argument or dtype; a wrong value or shape; a failed allocation.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.adaptive_avg_pool1d(np.array([[3.0, 1.0, 4.0, 2.0]]), 2)
    array([[2., 3.]])
    """
    return _pooling.adaptive_average_pool(1, input, output_size, layout, out)


def adaptive_avg_pool2d(
    input: Any,
    output_size: Any,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Average images over as many windows as are asked for.

    The window of output ``o`` is ``[floor(o * size / out_size), ceil((o + 1) * size / out_size))``: neighbours may
    overlap by an element where the sizes do not divide.

    Parameters
    ----------
    input : array [batch, channels, height, width] or [channels, height, width]
        float16, float32 or float64.
    output_size : int or one a dimension
        The output's spatial sizes, at least 1; None in a tuple keeps the input's.
    layout : "channels_first" or "channels_last"
    out : array, optional
        Written and returned.

    Returns
    -------
    array [batch, channels, out_height, out_width] or [channels, out_height, out_width]

    Raises
    ------
    TypeError, ValueError, MemoryError
        For a wrong kind of argument or dtype; a wrong value or shape; a failed allocation.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.adaptive_avg_pool2d(np.arange(12.0).reshape(1, 3, 4), (1, 2))
    array([[[4.5, 6.5]]])
    """
    return _pooling.adaptive_average_pool(2, input, output_size, layout, out)


def adaptive_avg_pool3d(
    input: Any,
    output_size: Any,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Average volumes over as many windows as are asked for.

    The window of output ``o`` is ``[floor(o * size / out_size), ceil((o + 1) * size / out_size))``: neighbours may
    overlap by an element where the sizes do not divide.

    Parameters
    ----------
    input : array [batch, channels, depth, height, width] or [channels, depth, height, width]
        float16, float32 or float64.
    output_size : int or one a dimension
        The output's spatial sizes, at least 1; None in a tuple keeps the input's.
    layout : "channels_first" or "channels_last"
    out : array, optional
        Written and returned.

    Returns
    -------
    array [batch, channels, out_depth, out_height, out_width] or [channels, out_depth, out_height, out_width]

    Raises
    ------
    TypeError, ValueError, MemoryError
        For a wrong kind of argument or dtype; a wrong value or shape; a failed allocation.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.adaptive_avg_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), 1)
    array([[[[3.5]]]])
    """
    return _pooling.adaptive_average_pool(3, input, output_size, layout, out)


def adaptive_max_pool1d(
    input: Any,
    output_size: Any,
    return_indices: bool = False,
    *,
    layout: str = "channels_first",
    out: Any = None,
) -> Any:
    """Take the largest element of each of as many windows of sequences as are asked for.

    The windows are those of `adaptive_avg_pool1d`.

    Parameters
    ----------
    input : array [batch, channels, length] or [channels, length]
        float16, float32 or float64.
    output_size : int or one a dimension
        The output's spatial sizes, at least 1.
    return_indices : bool
        Return the winners' places too: int64, flat within the input's plane.
    layout : "channels_first" or "channels_last"
    out : array, optional
        Written and returned. With ``return_indices``, a pair of arrays.

    Returns
    -------
    array, or a pair of values and indices
        Of the first of equal elements; a NaN wins over every number, and the last NaN over the others, as in PyTorch.

    Raises
    ------
    TypeError, ValueError, MemoryError
        For a wrong kind of argument or dtype; a wrong value or shape; a failed allocation.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.adaptive_max_pool1d(np.array([[3.0, 1.0, 4.0, 2.0]]), 2)
    array([[3., 4.]])
    """
    return _pooling.adaptive_max_pool(1, input, output_size, return_indices, layout, out)


def adaptive_max_pool2d(
    input: Any,
    output_size: Any,
    return_indices: bool = False,
    *,
    layout: str = "channels_first",
    out: Any = None,
) -> Any:
    """Take the largest element of each of as many windows of images as are asked for.

    The windows are those of `adaptive_avg_pool2d`.

    Parameters
    ----------
    input : array [batch, channels, height, width] or [channels, height, width]
        float16, float32 or float64.
    output_size : int or one a dimension
        The output's spatial sizes, at least 1; None in a tuple keeps the input's.
    return_indices : bool
        Return the winners' places too: int64, flat within the input's plane.
    layout : "channels_first" or "channels_last"
    out : array, optional
        Written and returned. With ``return_indices``, a pair of arrays.

    Returns
    -------
    array, or a pair of values and indices
        Of the first of equal elements; a NaN wins over every number, and the last NaN over the others, as in PyTorch.

    Raises
    ------
    TypeError, ValueError, MemoryError
        For a wrong kind of argument or dtype; a wrong value or shape; a failed allocation.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.adaptive_max_pool2d(np.arange(12.0).reshape(1, 3, 4), (1, 2))
    array([[[ 9., 11.]]])
    """
    return _pooling.adaptive_max_pool(2, input, output_size, return_indices, layout, out)


def adaptive_max_pool3d(
    input: Any,
    output_size: Any,
    return_indices: bool = False,
    *,
    layout: str = "channels_first",
    out: Any = None,
) -> Any:
    """Take the largest element of each of as many windows of volumes as are asked for.

    The windows are those of `adaptive_avg_pool3d`.

    Parameters
    ----------
    input : array [batch, channels, depth, height, width] or [channels, depth, height, width]
        float16, float32 or float64.
    output_size : int or one a dimension
        The output's spatial sizes, at least 1; None in a tuple keeps the input's.
    return_indices : bool
        Return the winners' places too: int64, flat within the input's plane.
    layout : "channels_first" or "channels_last"
    out : array, optional
        Written and returned. With ``return_indices``, a pair of arrays.

    Returns
    -------
    array, or a pair of values and indices
        Of the first of equal elements; a NaN wins over every number, and the last NaN over the others, as in PyTorch.

    Raises
    ------
    TypeError, ValueError, MemoryError
        For a wrong kind of argument or dtype; a wrong value or shape; a failed allocation.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.adaptive_max_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), 1)
    array([[[[7.]]]])
    """
    return _pooling.adaptive_max_pool(3, input, output_size, return_indices, layout, out)

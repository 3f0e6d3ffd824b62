"""From pools back to planes."""

from __future__ import annotations

from typing import Any

from .. import _pooling
from .._validate import Array


def max_unpool1d(
    input: Any,
    indices: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Put the elements of pooled sequences back to where `max_pool1d` found them, zeros elsewhere.

    Parameters
    ----------
    input : array [batch, channels, length] or [channels, length]
        float16, float32 or float64.
    indices : array of integers of the input's shape
        What ``max_pool1d`` returned with ``return_indices``; where several elements have one place the last stays.
    kernel_size, stride, padding : int or one a dimension
        Those of the pool; the stride is the kernel's size unless given.
    output_size : tuple of int, optional
        The output's spatial sizes, or its whole shape, where the pool could have come from more than one: less than a
        stride away from ``(size - 1) * stride + kernel_size - 2 * padding``, which is taken without it.
    layout : "channels_first" or "channels_last"
    out : array, optional
        Written and returned.

    Returns
    -------
    array [batch, channels, out_length] or [channels, out_length]

    Raises
    ------
    TypeError, ValueError, MemoryError
        For a wrong kind of argument or dtype; a wrong value or shape, an index outside the output's plane; a failed
        allocation.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> values, indices = fc.max_pool1d(np.array([[3.0, 1.0, 2.0, 4.0]]), 2, return_indices=True)
    >>> fc.max_unpool1d(values, indices, 2)
    array([[3., 0., 0., 4.]])
    """
    return _pooling.max_unpool(1, input, indices, kernel_size, stride, padding, output_size, layout, out)


def max_unpool2d(
    input: Any,
    indices: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Put the elements of pooled images back to where `max_pool2d` found them, zeros elsewhere.

    Parameters
    ----------
    input : array [batch, channels, height, width] or [channels, height, width]
        float16, float32 or float64.
    indices : array of integers of the input's shape
        What ``max_pool2d`` returned with ``return_indices``; where several elements have one place the last stays.
    kernel_size, stride, padding : int or one a dimension
        Those of the pool; the stride is the kernel's size unless given.
    output_size : tuple of int, optional
        The output's spatial sizes, or its whole shape, where the pool could have come from more than one: less than a
        stride away from ``(size - 1) * stride + kernel_size - 2 * padding``, which is taken without it.
    layout : "channels_first" or "channels_last"
    out : array, optional
        Written and returned.

    Returns
    -------
    array [batch, channels, out_height, out_width] or [channels, out_height, out_width]

    Raises
    ------
    TypeError, ValueError, MemoryError
        For a wrong kind of argument or dtype; a wrong value or shape, an index outside the output's plane; a failed
        allocation.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> values, indices = fc.max_pool2d(np.arange(16.0).reshape(1, 4, 4), 2, return_indices=True)
    >>> fc.max_unpool2d(values, indices, 2)
    array([[[ 0.,  0.,  0.,  0.],
            [ 0.,  5.,  0.,  7.],
            [ 0.,  0.,  0.,  0.],
            [ 0., 13.,  0., 15.]]])
    """
    return _pooling.max_unpool(2, input, indices, kernel_size, stride, padding, output_size, layout, out)


def max_unpool3d(
    input: Any,
    indices: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Put the elements of pooled volumes back to where `max_pool3d` found them, zeros elsewhere.

    Parameters
    ----------
    input : array [batch, channels, depth, height, width] or [channels, depth, height, width]
        float16, float32 or float64.
    indices : array of integers of the input's shape
        What ``max_pool3d`` returned with ``return_indices``; where several elements have one place the last stays.
    kernel_size, stride, padding : int or one a dimension
        Those of the pool; the stride is the kernel's size unless given.
    output_size : tuple of int, optional
        The output's spatial sizes, or its whole shape, where the pool could have come from more than one: less than a
        stride away from ``(size - 1) * stride + kernel_size - 2 * padding``, which is taken without it.
    layout : "channels_first" or "channels_last"
    out : array, optional
        Written and returned.

    Returns
    -------
    array [batch, channels, out_depth, out_height, out_width] or [channels, out_depth, out_height, out_width]

    Raises
    ------
    TypeError, ValueError, MemoryError
        For a wrong kind of argument or dtype; a wrong value or shape, an index outside the output's plane; a failed
        allocation.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> values, indices = fc.max_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), 2, return_indices=True)
    >>> fc.max_unpool3d(values, indices, 2).ravel()
    array([0., 0., 0., 0., 0., 0., 0., 7.])
    """
    return _pooling.max_unpool(3, input, indices, kernel_size, stride, padding, output_size, layout, out)

"""Pools of fixed windows."""

from __future__ import annotations

from typing import Any

from .. import _pooling
from .._validate import Array


def max_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: str = "channels_first",
    out: Any = None,
) -> Any:
    """Take the largest element of each window of sequences.

    Parameters
    ----------
    input : array [batch, channels, length] or [channels, length]
        float16, float32 or float64.
    kernel_size, stride, padding, dilation : int or one a dimension
        The stride is the kernel's size unless given; the padding, at most half of ``kernel_size``, never wins.
    ceil_mode : bool
        Round the output's size up: a last window may end outside.
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
    >>> fc.max_pool1d(np.array([[3.0, 1.0, 4.0, 1.0]]), 2)
    array([[3., 4.]])
    """
    return _pooling.max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out)


def max_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: str = "channels_first",
    out: Any = None,
) -> Any:
    """Take the largest element of each window of images.

    Parameters
    ----------
    input : array [batch, channels, height, width] or [channels, height, width]
        float16, float32 or float64.
    kernel_size, stride, padding, dilation : int or one a dimension
        The stride is the kernel's size unless given; the padding, at most half of ``kernel_size``, never wins.
    ceil_mode : bool
        Round the output's size up: a last window may end outside.
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
    >>> fc.max_pool2d(np.arange(16.0).reshape(1, 4, 4), 2)
    array([[[ 5.,  7.],
            [13., 15.]]])
    """
    return _pooling.max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out)


def max_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: str = "channels_first",
    out: Any = None,
) -> Any:
    """Take the largest element of each window of volumes.

    Parameters
    ----------
    input : array [batch, channels, depth, height, width] or [channels, depth, height, width]
        float16, float32 or float64.
    kernel_size, stride, padding, dilation : int or one a dimension
        The stride is the kernel's size unless given; the padding, at most half of ``kernel_size``, never wins.
    ceil_mode : bool
        Round the output's size up: a last window may end outside.
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
    >>> fc.max_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), 2)
    array([[[[7.]]]])
    """
    return _pooling.max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out)


def avg_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Average each window of sequences.

    Parameters
    ----------
    input : array [batch, channels, length] or [channels, length]
        float16, float32 or float64.
    kernel_size, stride, padding : int or one a dimension
        The stride is the kernel's size unless given; the padding is at most half of the kernel.
    ceil_mode : bool
        Round the output's size up: a last window may end outside.
    count_include_pad : bool
        Count the padding in the divisor.
    layout : "channels_first" or "channels_last"
    out : array, optional
        Written and returned.

    Returns
    -------
    array of the input's rank and dtype

    Raises
    ------
    TypeError, ValueError, MemoryError
        For a wrong kind of argument or dtype; a wrong value or shape; a failed allocation.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.avg_pool1d(np.array([[3.0, 1.0, 4.0, 2.0]]), 2)
    array([[2., 3.]])
    """
    return _pooling.average_pool(
        1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None, layout, out
    )


def avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Average each window of images.

    Parameters
    ----------
    input : array [batch, channels, height, width] or [channels, height, width]
        float16, float32 or float64.
    kernel_size, stride, padding : int or one a dimension
        The stride is the kernel's size unless given; the padding is at most half of the kernel.
    ceil_mode : bool
        Round the output's size up: a last window may end outside.
    count_include_pad : bool
        Count the padding in the divisor.
    divisor_override : int, optional
        Divide every sum by it instead.
    layout : "channels_first" or "channels_last"
    out : array, optional
        Written and returned.

    Returns
    -------
    array of the input's rank and dtype

    Raises
    ------
    TypeError, ValueError, MemoryError
        For a wrong kind of argument or dtype; a wrong value or shape; a failed allocation.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.avg_pool2d(np.arange(16.0).reshape(1, 4, 4), 2)
    array([[[ 2.5,  4.5],
            [10.5, 12.5]]])
    """
    return _pooling.average_pool(
        2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, layout, out
    )


def avg_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Average each window of volumes.

    Parameters
    ----------
    input : array [batch, channels, depth, height, width] or [channels, depth, height, width]
        float16, float32 or float64.
    kernel_size, stride, padding : int or one a dimension
        The stride is the kernel's size unless given; the padding is at most half of the kernel.
    ceil_mode : bool
        Round the output's size up: a last window may end outside.
    count_include_pad : bool
        Count the padding in the divisor.
    divisor_override : int, optional
        Divide every sum by it instead.
    layout : "channels_first" or "channels_last"
    out : array, optional
        Written and returned.

    Returns
    -------
    array of the input's rank and dtype

    Raises
    ------
    TypeError, ValueError, MemoryError
        For a wrong kind of argument or dtype; a wrong value or shape; a failed allocation.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.avg_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), 2)
    array([[[[3.5]]]])
    """
    return _pooling.average_pool(
        3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, layout, out
    )

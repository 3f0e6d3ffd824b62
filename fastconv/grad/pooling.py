"""The gradients of pools of fixed windows."""

from __future__ import annotations

from typing import Any

from .. import _pooling
from .._validate import Array


def max_pool1d_backward(
    grad_output: Any,
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    *,
    indices: Any = None,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """The gradient of `fastconv.max_pool1d`: each element of ``grad_output`` goes to its window's winner.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, kernel_size, stride, padding, dilation, ceil_mode, layout
        As they were passed to ``max_pool1d``.
    indices : array of int64, optional
        What ``max_pool1d`` returned with ``return_indices``; without them the winners are found again.
    out : array, optional
        Written and returned.

    Returns
    -------
    array of the input's shape

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``max_pool1d``; ValueError for an index outside the plane.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.grad.max_pool1d_backward(np.ones((1, 1)), np.ones((1, 2)), 2).sum()
    np.float64(1.0)
    """
    return _pooling.max_pool_backward(
        1, grad_output, input, kernel_size, stride, padding, dilation, ceil_mode, indices, layout, out
    )


def max_pool2d_backward(
    grad_output: Any,
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    *,
    indices: Any = None,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """The gradient of `fastconv.max_pool2d`: each element of ``grad_output`` goes to its window's winner.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, kernel_size, stride, padding, dilation, ceil_mode, layout
        As they were passed to ``max_pool2d``.
    indices : array of int64, optional
        What ``max_pool2d`` returned with ``return_indices``; without them the winners are found again.
    out : array, optional
        Written and returned.

    Returns
    -------
    array of the input's shape

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``max_pool2d``; ValueError for an index outside the plane.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.grad.max_pool2d_backward(np.ones((1, 1, 1)), np.ones((1, 2, 2)), 2).sum()
    np.float64(1.0)
    """
    return _pooling.max_pool_backward(
        2, grad_output, input, kernel_size, stride, padding, dilation, ceil_mode, indices, layout, out
    )


def max_pool3d_backward(
    grad_output: Any,
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    *,
    indices: Any = None,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """The gradient of `fastconv.max_pool3d`: each element of ``grad_output`` goes to its window's winner.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, kernel_size, stride, padding, dilation, ceil_mode, layout
        As they were passed to ``max_pool3d``.
    indices : array of int64, optional
        What ``max_pool3d`` returned with ``return_indices``; without them the winners are found again.
    out : array, optional
        Written and returned.

    Returns
    -------
    array of the input's shape

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``max_pool3d``; ValueError for an index outside the plane.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.grad.max_pool3d_backward(np.ones((1, 1, 1, 1)), np.ones((1, 2, 2, 2)), 2).sum()
    np.float64(1.0)
    """
    return _pooling.max_pool_backward(
        3, grad_output, input, kernel_size, stride, padding, dilation, ceil_mode, indices, layout, out
    )


def avg_pool1d_backward(
    grad_output: Any,
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
    """The gradient of `fastconv.avg_pool1d`: each window shares its element of ``grad_output`` evenly.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, kernel_size, stride, padding, ceil_mode, count_include_pad, layout
        As they were passed to ``avg_pool1d``.
    out : array, optional
        Written and returned.

    Returns
    -------
    array of the input's shape

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``avg_pool1d``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.grad.avg_pool1d_backward(np.ones((1, 1)), np.ones((1, 2)), 2).sum()
    np.float64(1.0)
    """
    return _pooling.average_pool_backward(
        1, grad_output, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None, layout, out
    )


def avg_pool2d_backward(
    grad_output: Any,
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
    """The gradient of `fastconv.avg_pool2d`: each window shares its element of ``grad_output`` evenly.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, layout
        As they were passed to ``avg_pool2d``.
    out : array, optional
        Written and returned.

    Returns
    -------
    array of the input's shape

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``avg_pool2d``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.grad.avg_pool2d_backward(np.ones((1, 1, 1)), np.ones((1, 2, 2)), 2).sum()
    np.float64(1.0)
    """
    return _pooling.average_pool_backward(
        2, grad_output, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, layout, out
    )


def avg_pool3d_backward(
    grad_output: Any,
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
    """The gradient of `fastconv.avg_pool3d`: each window shares its element of ``grad_output`` evenly.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, layout
        As they were passed to ``avg_pool3d``.
    out : array, optional
        Written and returned.

    Returns
    -------
    array of the input's shape

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``avg_pool3d``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.grad.avg_pool3d_backward(np.ones((1, 1, 1, 1)), np.ones((1, 2, 2, 2)), 2).sum()
    np.float64(1.0)
    """
    return _pooling.average_pool_backward(
        3, grad_output, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, layout, out
    )

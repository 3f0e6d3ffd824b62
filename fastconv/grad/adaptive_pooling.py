"""The gradients of adaptive pools."""

from __future__ import annotations

from typing import Any

from .. import _pooling
from .._validate import Array


def adaptive_avg_pool1d_backward(
    grad_output: Any,
    input: Any,
    output_size: Any,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """The gradient of `fastconv.adaptive_avg_pool1d`: each window shares its element of ``grad_output`` evenly.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, output_size, layout
        As they were passed to ``adaptive_avg_pool1d``.
    out : array, optional
        Written and returned.

    Returns
    -------
    array of the input's shape

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``adaptive_avg_pool1d``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.grad.adaptive_avg_pool1d_backward(np.ones((1, 1)), np.ones((1, 2)), 1).sum()
    np.float64(1.0)
    """
    return _pooling.adaptive_average_pool_backward(1, grad_output, input, output_size, layout, out)


def adaptive_avg_pool2d_backward(
    grad_output: Any,
    input: Any,
    output_size: Any,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """The gradient of `fastconv.adaptive_avg_pool2d`: each window shares its element of ``grad_output`` evenly.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, output_size, layout
        As they were passed to ``adaptive_avg_pool2d``.
    out : array, optional
        Written and returned.

    Returns
    -------
    array of the input's shape

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``adaptive_avg_pool2d``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.grad.adaptive_avg_pool2d_backward(np.ones((1, 1, 1)), np.ones((1, 2, 2)), 1).sum()
    np.float64(1.0)
    """
    return _pooling.adaptive_average_pool_backward(2, grad_output, input, output_size, layout, out)


def adaptive_avg_pool3d_backward(
    grad_output: Any,
    input: Any,
    output_size: Any,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """The gradient of `fastconv.adaptive_avg_pool3d`: each window shares its element of ``grad_output`` evenly.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, output_size, layout
        As they were passed to ``adaptive_avg_pool3d``.
    out : array, optional
        Written and returned.

    Returns
    -------
    array of the input's shape

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``adaptive_avg_pool3d``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.grad.adaptive_avg_pool3d_backward(np.ones((1, 1, 1, 1)), np.ones((1, 2, 2, 2)), 1).sum()
    np.float64(1.0)
    """
    return _pooling.adaptive_average_pool_backward(3, grad_output, input, output_size, layout, out)


def adaptive_max_pool1d_backward(
    grad_output: Any,
    input: Any,
    output_size: Any,
    *,
    indices: Any = None,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """The gradient of `fastconv.adaptive_max_pool1d`: each element of ``grad_output`` goes to its window's winner.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, output_size, layout
        As they were passed to ``adaptive_max_pool1d``.
    indices : array of int64, optional
        What ``adaptive_max_pool1d`` returned with ``return_indices``; without them the winners are found again.
    out : array, optional
        Written and returned.

    Returns
    -------
    array of the input's shape

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``adaptive_max_pool1d``; ValueError for an index outside the plane.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.grad.adaptive_max_pool1d_backward(np.ones((1, 1)), np.ones((1, 2)), 1).sum()
    np.float64(1.0)
    """
    return _pooling.adaptive_max_pool_backward(1, grad_output, input, output_size, indices, layout, out)


def adaptive_max_pool2d_backward(
    grad_output: Any,
    input: Any,
    output_size: Any,
    *,
    indices: Any = None,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """The gradient of `fastconv.adaptive_max_pool2d`: each element of ``grad_output`` goes to its window's winner.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, output_size, layout
        As they were passed to ``adaptive_max_pool2d``.
    indices : array of int64, optional
        What ``adaptive_max_pool2d`` returned with ``return_indices``; without them the winners are found again.
    out : array, optional
        Written and returned.

    Returns
    -------
    array of the input's shape

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``adaptive_max_pool2d``; ValueError for an index outside the plane.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.grad.adaptive_max_pool2d_backward(np.ones((1, 1, 1)), np.ones((1, 2, 2)), 1).sum()
    np.float64(1.0)
    """
    return _pooling.adaptive_max_pool_backward(2, grad_output, input, output_size, indices, layout, out)


def adaptive_max_pool3d_backward(
    grad_output: Any,
    input: Any,
    output_size: Any,
    *,
    indices: Any = None,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """The gradient of `fastconv.adaptive_max_pool3d`: each element of ``grad_output`` goes to its window's winner.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, output_size, layout
        As they were passed to ``adaptive_max_pool3d``.
    indices : array of int64, optional
        What ``adaptive_max_pool3d`` returned with ``return_indices``; without them the winners are found again.
    out : array, optional
        Written and returned.

    Returns
    -------
    array of the input's shape

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``adaptive_max_pool3d``; ValueError for an index outside the plane.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.grad.adaptive_max_pool3d_backward(np.ones((1, 1, 1, 1)), np.ones((1, 2, 2, 2)), 1).sum()
    np.float64(1.0)
    """
    return _pooling.adaptive_max_pool_backward(3, grad_output, input, output_size, indices, layout, out)

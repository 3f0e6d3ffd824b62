"""The gradients of unpooling."""

from __future__ import annotations

from typing import Any

from .. import _pooling
from .._validate import Array


def max_unpool1d_backward(
    grad_output: Any,
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
    """The gradient of `fastconv.max_unpool1d`: every element of the input takes that of ``grad_output`` at its index.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, indices, kernel_size, stride, padding, output_size, layout
        As they were passed to ``max_unpool1d``.
    out : array, optional
        Written and returned.

    Returns
    -------
    array of the input's shape

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``max_unpool1d``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x, indices = np.ones((1, 1)), np.zeros((1, 1), int)
    >>> fc.grad.max_unpool1d_backward(np.ones((1, 2)), x, indices, 2).sum()
    np.float64(1.0)
    """
    return _pooling.max_unpool_backward(
        1, grad_output, input, indices, kernel_size, stride, padding, output_size, layout, out
    )


def max_unpool2d_backward(
    grad_output: Any,
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
    """The gradient of `fastconv.max_unpool2d`: every element of the input takes that of ``grad_output`` at its index.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, indices, kernel_size, stride, padding, output_size, layout
        As they were passed to ``max_unpool2d``.
    out : array, optional
        Written and returned.

    Returns
    -------
    array of the input's shape

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``max_unpool2d``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x, indices = np.ones((1, 1, 1)), np.zeros((1, 1, 1), int)
    >>> fc.grad.max_unpool2d_backward(np.ones((1, 2, 2)), x, indices, 2).sum()
    np.float64(1.0)
    """
    return _pooling.max_unpool_backward(
        2, grad_output, input, indices, kernel_size, stride, padding, output_size, layout, out
    )


def max_unpool3d_backward(
    grad_output: Any,
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
    """The gradient of `fastconv.max_unpool3d`: every element of the input takes that of ``grad_output`` at its index.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, indices, kernel_size, stride, padding, output_size, layout
        As they were passed to ``max_unpool3d``.
    out : array, optional
        Written and returned.

    Returns
    -------
    array of the input's shape

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``max_unpool3d``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x, indices = np.ones((1, 1, 1, 1)), np.zeros((1, 1, 1, 1), int)
    >>> fc.grad.max_unpool3d_backward(np.ones((1, 2, 2, 2)), x, indices, 2).sum()
    np.float64(1.0)
    """
    return _pooling.max_unpool_backward(
        3, grad_output, input, indices, kernel_size, stride, padding, output_size, layout, out
    )

"""The gradients of unfold and fold: each is the other."""

from __future__ import annotations

from typing import Any

from .. import _unfolding
from .._validate import Array


def unfold_backward(
    grad_output: Any,
    input: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """The gradient of `fastconv.unfold`: ``grad_output``, folded.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, kernel_size, dilation, padding, stride, layout
        As they were passed to ``unfold``.
    out : array, optional
        Written and returned.

    Returns
    -------
    array of the input's shape

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``unfold``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.grad.unfold_backward(np.ones((4, 1)), np.ones((1, 2, 2)), 2)
    array([[[1., 1.],
            [1., 1.]]])
    """
    return _unfolding.unfold_backward(grad_output, input, kernel_size, dilation, padding, stride, layout, out)


def fold_backward(
    grad_output: Any,
    input: Any,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """The gradient of `fastconv.fold`: ``grad_output``, unfolded.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, output_size, kernel_size, dilation, padding, stride, layout
        As they were passed to ``fold``.
    out : array, optional
        Written and returned.

    Returns
    -------
    array of the input's shape

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``fold``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.grad.fold_backward(np.ones((1, 2, 2)), np.ones((4, 1)), 2, 2).shape
    (4, 1)
    """
    return _unfolding.fold_backward(
        grad_output, input, output_size, kernel_size, dilation, padding, stride, layout, out
    )

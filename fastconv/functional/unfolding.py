"""Windows as the columns of a matrix, and back."""

from __future__ import annotations

from typing import Any

from .. import _unfolding
from .._validate import Array


def unfold(
    input: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
) -> Array:
    """Make every window of images a column (im2col), as ``torch.nn.functional.unfold`` does.

    Parameters
    ----------
    input : array [batch, channels, height, width] or [channels, height, width]
        float16, float32 or float64.
    kernel_size, dilation, padding, stride : int or one a dimension
        The windows: those of a convolution.
    layout : "channels_first" or "channels_last"
        Where the channels of input and output lie.
    out : array, optional
        Written and returned.

    Returns
    -------
    array [batch, channels * kernel_height * kernel_width, windows], or without the batch
        Row ``(c * kernel_height + i) * kernel_width + j`` is element ``[c, i, j]`` of every window, the windows row by
        row. With channels last [batch, windows, channels * kernel_height * kernel_width].

    Raises
    ------
    TypeError, ValueError, MemoryError
        For a wrong kind of argument or dtype; a wrong value or shape; a failed allocation.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.unfold(np.arange(9.0).reshape(1, 3, 3), 2)
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.],
           [3., 4., 6., 7.],
           [4., 5., 7., 8.]])
    """
    return _unfolding.unfold(input, kernel_size, dilation, padding, stride, layout, out)


def fold(
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
    """Add columns up to the images whose windows they are (col2im): the transpose of `unfold`.

    Parameters
    ----------
    input : array [batch, channels * kernel_height * kernel_width, windows], or without the batch
        float16, float32 or float64; with channels last [batch, windows, channels * kernel_height * kernel_width].
    output_size : int or (height, width)
        Of the images.
    kernel_size, dilation, padding, stride : int or one a dimension
        The windows, as in `unfold`.
    layout : "channels_first" or "channels_last"
        Where the channels of input and output lie.
    out : array, optional
        Written and returned.

    Returns
    -------
    array [batch, channels, height, width] or [channels, height, width]
        Each element the sum of those that windows have of it; zero where none has.

    Raises
    ------
    TypeError, ValueError, MemoryError
        For a wrong kind of argument or dtype; a wrong value or shape; a failed allocation.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.fold(np.ones((4, 4)), (3, 3), 2)
    array([[[1., 2., 1.],
            [2., 4., 2.],
            [1., 2., 1.]]])
    """
    return _unfolding.fold(input, output_size, kernel_size, dilation, padding, stride, layout, out)

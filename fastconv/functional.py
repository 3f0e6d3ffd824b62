"""The functions: ``torch.nn.functional``'s names, arguments and rules on NumPy arrays, computed by the engine.

``layout``, ``out``, ``algorithm`` and ``activation`` are fastconv's own and keyword-only.
"""

from __future__ import annotations

from typing import Any

from . import _pooling
from ._convolution import PackedWeight, forward
from ._validate import Array

__all__ = [
    "PackedWeight",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "conv1d",
    "conv2d",
    "conv3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
]


def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
    algorithm: str = "auto",
    activation: str | None = None,
) -> Array:
    """Cross-correlate sequences with filters.

    As `conv2d`, with one spatial dimension.

    Parameters
    ----------
    input : array [batch, in_channels, length] or [in_channels, length]
    weight : array [out_channels, in_channels / groups, kernel_length] or PackedWeight
    bias : array [out_channels], optional
    stride, padding, dilation, groups, layout, out, algorithm, activation
        As in `conv2d`.

    Returns
    -------
    array [batch, out_channels, out_length] or [out_channels, out_length]

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv2d`.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.conv1d(np.array([[1.0, 2.0, 4.0, 7.0]]), np.array([[[-1.0, 1.0]]]))
    array([[1., 2., 3.]])
    """
    return forward(1, input, weight, bias, stride, padding, dilation, groups, layout, out, algorithm, activation)


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
    algorithm: str = "auto",
    activation: str | None = None,
) -> Array:
    """Cross-correlate images with filters, as ``torch.nn.functional.conv2d`` does.

    Parameters
    ----------
    input : array [batch, in_channels, height, width] or [in_channels, height, width]
        float16, float32 or float64, or integers, which follow the other arrays' dtype; any strides.
    weight : array [out_channels, in_channels / groups, kernel_height, kernel_width] or PackedWeight
    bias : array [out_channels], optional
    stride : int or one a dimension
    padding : int, one a dimension, a (before, after) pair a dimension, "valid" or "same"
        Zeros around the input. "same" needs stride 1; its extra cell goes to the end.
    dilation : int or one a dimension
        Distance between the taps of the kernel.
    groups : int
        Each group of output channels sees its own group of input channels.
    layout : "channels_first" or "channels_last"
        Where the channels of input and output lie; weights stay as they are.
    out : array, optional
        Written and returned: the result's shape and dtype, writeable, apart from the inputs.
    algorithm : str
        "auto", or a name from ``fc.algorithms()``.
    activation : None, "relu", "relu6" or "silu"
        Applied as the result is stored.

    Returns
    -------
    array [batch, out_channels, out_height, out_width] or [out_channels, out_height, out_width]
        ``out_height = (height + padding - dilation * (kernel_height - 1) - 1) // stride + 1``, of the promoted dtype;
        float16 is computed in float32.

    Raises
    ------
    TypeError
        For a wrong kind of argument or dtype.
    ValueError
        For a wrong value or shape, or an algorithm that cannot do the problem.
    MemoryError
        Where an allocation fails.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> image = np.arange(1.0, 17.0).reshape(1, 1, 4, 4)
    >>> fc.conv2d(image, np.array([[[[1.0, 1.0], [-1.0, -1.0]]]]))
    array([[[[-8., -8., -8.],
             [-8., -8., -8.],
             [-8., -8., -8.]]]])
    """
    return forward(2, input, weight, bias, stride, padding, dilation, groups, layout, out, algorithm, activation)


def conv3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
    algorithm: str = "auto",
    activation: str | None = None,
) -> Array:
    """Cross-correlate volumes with filters.

    As `conv2d`, with three spatial dimensions.

    Parameters
    ----------
    input : array [batch, in_channels, depth, height, width] or [in_channels, depth, height, width]
    weight : array [out_channels, in_channels / groups, kernel_depth, kernel_height, kernel_width] or PackedWeight
    bias : array [out_channels], optional
    stride, padding, dilation, groups, layout, out, algorithm, activation
        As in `conv2d`.

    Returns
    -------
    array [batch, out_channels, out_depth, out_height, out_width] or without the batch

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv2d`.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.conv3d(np.ones((1, 1, 3, 3, 3)), np.ones((1, 1, 2, 2, 2))).ravel()
    array([8., 8., 8., 8., 8., 8., 8., 8.])
    """
    return forward(3, input, weight, bias, stride, padding, dilation, groups, layout, out, algorithm, activation)


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
        The stride is the kernel's size unless given; the padding, at most half of the kernel's extent, never wins.
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
    return _pooling.max_pool(
        1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out
    )


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
        The stride is the kernel's size unless given; the padding, at most half of the kernel's extent, never wins.
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
    return _pooling.max_pool(
        2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out
    )


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
        The stride is the kernel's size unless given; the padding, at most half of the kernel's extent, never wins.
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
    return _pooling.max_pool(
        3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout, out
    )


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

"""Convolutions, and those whose weights belong to the position."""

from __future__ import annotations

from typing import Any

from .. import _local
from .._convolution import forward
from .._validate import Array


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


def local_conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
    algorithm: str = "auto",
    activation: str | None = None,
) -> Array:
    """Correlate images with filters of which every position has its own: a locally connected layer.

    As `conv2d`, but without sharing: the weight holds a kernel for each position of the output, the bias one number.

    Parameters
    ----------
    input : array [batch, in_channels, height, width] or [in_channels, height, width]
        float16, float32 or float64, or integers, which follow the other arrays' dtype; any strides.
    weight : array [out_height * out_width, out_channels, in_channels * kernel_height * kernel_width]
        The positions row by row, the last size as `unfold` orders it. The kernel is the square one of so many elements,
        or else the only one whose output has so many positions (and the bias's height and width). A PackedWeight is
        taken too.
    bias : array [out_channels, out_height, out_width], optional
        The same in either layout.
    stride : int or one a dimension
    padding : int, one a dimension, a (before, after) pair a dimension, "valid" or "same"
        Zeros around the input.
    dilation : int or one a dimension
        Distance between the taps of the kernel.
    layout : "channels_first" or "channels_last"
        Where the channels of input and output lie.
    out : array, optional
        Written and returned: the result's shape and dtype, writeable, apart from the inputs.
    algorithm : "auto" or "direct"
        The other algorithms share their weights between positions.
    activation : None, "relu", "relu6" or "silu"
        Applied as the result is stored.

    Returns
    -------
    array [batch, out_channels, out_height, out_width] or [out_channels, out_height, out_width]
        Of the promoted dtype; float16 is computed in float32.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv2d`; ValueError where no kernel, or more than one, has the weight's shape.

    References
    ----------
    Y. Taigman et al., "DeepFace: closing the gap to human-level performance in face verification", CVPR 2014.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> image = np.arange(9.0).reshape(1, 3, 3)
    >>> weight = np.zeros((4, 1, 4))
    >>> weight[0, 0, 0] = weight[3, 0, 3] = 1  # the first position takes its first element, the last its last
    >>> fc.local_conv2d(image, weight)
    array([[[0., 0.],
            [0., 8.]]])
    """
    return _local.forward(input, weight, bias, stride, padding, dilation, layout, out, algorithm, activation)

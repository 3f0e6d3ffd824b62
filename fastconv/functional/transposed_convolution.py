"""Transposed convolutions."""

from __future__ import annotations

from typing import Any

from .._convolution import forward
from .._validate import Array


def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
    algorithm: str = "auto",
    activation: str | None = None,
) -> Array:
    """Spread each element of sequences over a window with filters: the transpose of `conv1d`.

    As `conv_transpose2d`, with one spatial dimension.

    Parameters
    ----------
    input : array [batch, in_channels, length] or [in_channels, length]
    weight : array [in_channels, out_channels / groups, kernel_length] or PackedWeight
    bias : array [out_channels], optional
    stride, padding, output_padding, groups, dilation, layout, out, algorithm, activation
        As in `conv_transpose2d`.

    Returns
    -------
    array [batch, out_channels, out_length] or [out_channels, out_length]

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv_transpose2d`.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.conv_transpose1d(np.array([[1.0, 2.0]]), np.array([[[1.0, 10.0, 100.0]]]))
    array([[  1.,  12., 120., 200.]])
    """
    return forward(
        1,
        input,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        layout,
        out,
        algorithm,
        activation,
        True,
        output_padding,
    )


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
    algorithm: str = "auto",
    activation: str | None = None,
) -> Array:
    """Spread each element of images over a window with filters: the transpose of `conv2d`, to larger images.

    As ``torch.nn.functional.conv_transpose2d``. It is the gradient of a convolution by its input, computed in dense
    phases: no inserted zero is ever multiplied.

    Parameters
    ----------
    input : array [batch, in_channels, height, width] or [in_channels, height, width]
        float16, float32 or float64, or integers, which follow the other arrays' dtype; any strides.
    weight : array [in_channels, out_channels / groups, kernel_height, kernel_width] or PackedWeight
    bias : array [out_channels], optional
    stride : int or one a dimension
        Distance between the windows of neighbouring elements.
    padding : int, one a dimension, or a (before, after) pair a dimension
        Cells cut off the output's borders.
    output_padding : int or one a dimension
        Cells added at the output's end, fewer than the stride or the dilation: of the sizes that a convolution would
        bring back to the input's, which one.
    groups : int
        Each group of output channels sees its own group of input channels.
    dilation : int or one a dimension
        Distance between the taps of the kernel.
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
        ``out_height = (height - 1) * stride - 2 * padding + dilation * (kernel_height - 1) + output_padding + 1``, of
        the promoted dtype; float16 is computed in float32.

    Raises
    ------
    TypeError
        For a wrong kind of argument or dtype.
    ValueError
        For a wrong value or shape, or an algorithm that cannot do the problem.
    MemoryError
        Where an allocation fails.

    References
    ----------
    V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285, chapter 4.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> image = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> fc.conv_transpose2d(image, np.ones((1, 1, 2, 2)), stride=2)
    array([[[[1., 1., 2., 2.],
             [1., 1., 2., 2.],
             [3., 3., 4., 4.],
             [3., 3., 4., 4.]]]])
    """
    return forward(
        2,
        input,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        layout,
        out,
        algorithm,
        activation,
        True,
        output_padding,
    )


def conv_transpose3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    layout: str = "channels_first",
    out: Array | None = None,
    algorithm: str = "auto",
    activation: str | None = None,
) -> Array:
    """Spread each element of volumes over a window with filters: the transpose of `conv3d`.

    As `conv_transpose2d`, with three spatial dimensions.

    Parameters
    ----------
    input : array [batch, in_channels, depth, height, width] or [in_channels, depth, height, width]
    weight : array [in_channels, out_channels / groups, kernel_depth, kernel_height, kernel_width] or PackedWeight
    bias : array [out_channels], optional
    stride, padding, output_padding, groups, dilation, layout, out, algorithm, activation
        As in `conv_transpose2d`.

    Returns
    -------
    array [batch, out_channels, out_depth, out_height, out_width] or without the batch

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv_transpose2d`.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.conv_transpose3d(np.ones((1, 1, 1, 1, 1)), np.ones((1, 1, 2, 2, 2))).ravel()
    array([1., 1., 1., 1., 1., 1., 1., 1.])
    """
    return forward(
        3,
        input,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        layout,
        out,
        algorithm,
        activation,
        True,
        output_padding,
    )

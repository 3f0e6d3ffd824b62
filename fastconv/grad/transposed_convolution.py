"""The gradients of transposed convolutions."""

from __future__ import annotations

from typing import Any

from .._convolution_gradients import Gradients, backward
from .._validate import Array


def conv_transpose1d_backward(
    grad_output: Any,
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
    algorithm: str = "auto",
    out: tuple[Array | None, Array | None, Array | None] | None = None,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> Gradients:
    """The gradients of `fastconv.conv_transpose1d`.

    The input's is a convolution of ``grad_output``, whose padding zeros take part in the sums as in any convolution.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, weight, bias, stride, padding, output_padding, groups, dilation, layout
        As they were passed to ``conv_transpose1d``.
    algorithm : str
        "auto", or a name from ``fc.algorithms()`` that can do every gradient that is needed.
    out : tuple of three arrays or None, optional
        Where the gradients of input, weight and bias are written.
    needs : tuple of three bools
        Which of them to compute.

    Returns
    -------
    tuple
        The gradients of input, weight and bias; None where it is not needed, or where there is no bias.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``conv_transpose1d``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x, w = np.ones((1, 2, 5)), np.ones((2, 3, 3))
    >>> dx, dw, db = fc.grad.conv_transpose1d_backward(np.ones((1, 3, 7)), x, w)
    >>> dx.shape, dw.shape, db
    ((1, 2, 5), (2, 3, 3), None)
    """
    return backward(
        1,
        grad_output,
        input,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        layout,
        algorithm,
        out,
        needs,
        True,
        output_padding,
    )


def conv_transpose2d_backward(
    grad_output: Any,
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
    algorithm: str = "auto",
    out: tuple[Array | None, Array | None, Array | None] | None = None,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> Gradients:
    """The gradients of `fastconv.conv_transpose2d`.

    The input's is a convolution of ``grad_output``, whose padding zeros take part in the sums as in any convolution.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, weight, bias, stride, padding, output_padding, groups, dilation, layout
        As they were passed to ``conv_transpose2d``.
    algorithm : str
        "auto", or a name from ``fc.algorithms()`` that can do every gradient that is needed.
    out : tuple of three arrays or None, optional
        Where the gradients of input, weight and bias are written.
    needs : tuple of three bools
        Which of them to compute.

    Returns
    -------
    tuple
        The gradients of input, weight and bias; None where it is not needed, or where there is no bias.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``conv_transpose2d``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x, w = np.ones((1, 2, 5, 5)), np.ones((2, 3, 3, 3))
    >>> dx, dw, db = fc.grad.conv_transpose2d_backward(np.ones((1, 3, 7, 7)), x, w)
    >>> dx.shape, dw.shape, db
    ((1, 2, 5, 5), (2, 3, 3, 3), None)
    """
    return backward(
        2,
        grad_output,
        input,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        layout,
        algorithm,
        out,
        needs,
        True,
        output_padding,
    )


def conv_transpose3d_backward(
    grad_output: Any,
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
    algorithm: str = "auto",
    out: tuple[Array | None, Array | None, Array | None] | None = None,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> Gradients:
    """The gradients of `fastconv.conv_transpose3d`.

    The input's is a convolution of ``grad_output``, whose padding zeros take part in the sums as in any convolution.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, weight, bias, stride, padding, output_padding, groups, dilation, layout
        As they were passed to ``conv_transpose3d``.
    algorithm : str
        "auto", or a name from ``fc.algorithms()`` that can do every gradient that is needed.
    out : tuple of three arrays or None, optional
        Where the gradients of input, weight and bias are written.
    needs : tuple of three bools
        Which of them to compute.

    Returns
    -------
    tuple
        The gradients of input, weight and bias; None where it is not needed, or where there is no bias.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``conv_transpose3d``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x, w = np.ones((1, 2, 5, 5, 5)), np.ones((2, 3, 3, 3, 3))
    >>> dx, dw, db = fc.grad.conv_transpose3d_backward(np.ones((1, 3, 7, 7, 7)), x, w)
    >>> dx.shape, dw.shape, db
    ((1, 2, 5, 5, 5), (2, 3, 3, 3, 3), None)
    """
    return backward(
        3,
        grad_output,
        input,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        layout,
        algorithm,
        out,
        needs,
        True,
        output_padding,
    )

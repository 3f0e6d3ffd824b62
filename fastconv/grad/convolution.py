"""The gradients of convolutions."""

from __future__ import annotations

from typing import Any

from .. import _local
from .._convolution_gradients import Gradients, backward, input_gradient, weight_gradient
from .._validate import Array


def conv1d_backward(
    grad_output: Any,
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str = "channels_first",
    algorithm: str = "auto",
    out: tuple[Array | None, Array | None, Array | None] | None = None,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> Gradients:
    """The gradients of `fastconv.conv1d`.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, weight, bias, stride, padding, dilation, groups, layout
        As they were passed to ``conv1d``.
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
        As ``conv1d``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x, w = np.ones((1, 2, 5)), np.ones((3, 2, 3))
    >>> dx, dw, db = fc.grad.conv1d_backward(np.ones((1, 3, 3)), x, w)
    >>> dx.shape, dw.shape, db
    ((1, 2, 5), (3, 2, 3), None)
    """
    return backward(
        1, grad_output, input, weight, bias, stride, padding, dilation, groups, layout, algorithm, out, needs
    )


def conv1d_input(
    input_size: Any,
    weight: Any,
    grad_output: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str = "channels_first",
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """The gradient of `fastconv.conv1d` for its input: ``torch.nn.grad.conv1d_input``.

    Parameters
    ----------
    input_size : tuple of int
        The input's shape.
    weight, grad_output : array
    stride, padding, dilation, groups, layout, algorithm, out
        As in ``conv1d``.

    Returns
    -------
    array of shape ``input_size``

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``conv1d``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.grad.conv1d_input((1, 2, 5), np.ones((3, 2, 3)), np.ones((1, 3, 3))).shape
    (1, 2, 5)
    """
    return input_gradient(1, input_size, weight, grad_output, stride, padding, dilation, groups, layout, algorithm, out)


def conv1d_weight(
    input: Any,
    weight_size: Any,
    grad_output: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str = "channels_first",
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """The gradient of `fastconv.conv1d` for its weight: ``torch.nn.grad.conv1d_weight``.

    Parameters
    ----------
    input : array
    weight_size : tuple of int
        The weight's shape.
    grad_output : array
    stride, padding, dilation, groups, layout, algorithm, out
        As in ``conv1d``.

    Returns
    -------
    array of shape ``weight_size``

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``conv1d``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.grad.conv1d_weight(np.ones((1, 2, 5)), (3, 2, 3), np.ones((1, 3, 3))).shape
    (3, 2, 3)
    """
    return weight_gradient(
        1, input, weight_size, grad_output, stride, padding, dilation, groups, layout, algorithm, out
    )


def conv2d_backward(
    grad_output: Any,
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str = "channels_first",
    algorithm: str = "auto",
    out: tuple[Array | None, Array | None, Array | None] | None = None,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> Gradients:
    """The gradients of `fastconv.conv2d`.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, weight, bias, stride, padding, dilation, groups, layout
        As they were passed to ``conv2d``.
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
        As ``conv2d``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x, w = np.ones((1, 2, 5, 5)), np.ones((3, 2, 3, 3))
    >>> dx, dw, db = fc.grad.conv2d_backward(np.ones((1, 3, 3, 3)), x, w)
    >>> dx.shape, dw.shape, db
    ((1, 2, 5, 5), (3, 2, 3, 3), None)
    """
    return backward(
        2, grad_output, input, weight, bias, stride, padding, dilation, groups, layout, algorithm, out, needs
    )


def conv2d_input(
    input_size: Any,
    weight: Any,
    grad_output: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str = "channels_first",
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """The gradient of `fastconv.conv2d` for its input: ``torch.nn.grad.conv2d_input``.

    Parameters
    ----------
    input_size : tuple of int
        The input's shape.
    weight, grad_output : array
    stride, padding, dilation, groups, layout, algorithm, out
        As in ``conv2d``.

    Returns
    -------
    array of shape ``input_size``

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``conv2d``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.grad.conv2d_input((1, 2, 5, 5), np.ones((3, 2, 3, 3)), np.ones((1, 3, 3, 3))).shape
    (1, 2, 5, 5)
    """
    return input_gradient(2, input_size, weight, grad_output, stride, padding, dilation, groups, layout, algorithm, out)


def conv2d_weight(
    input: Any,
    weight_size: Any,
    grad_output: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str = "channels_first",
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """The gradient of `fastconv.conv2d` for its weight: ``torch.nn.grad.conv2d_weight``.

    Parameters
    ----------
    input : array
    weight_size : tuple of int
        The weight's shape.
    grad_output : array
    stride, padding, dilation, groups, layout, algorithm, out
        As in ``conv2d``.

    Returns
    -------
    array of shape ``weight_size``

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``conv2d``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.grad.conv2d_weight(np.ones((1, 2, 5, 5)), (3, 2, 3, 3), np.ones((1, 3, 3, 3))).shape
    (3, 2, 3, 3)
    """
    return weight_gradient(
        2, input, weight_size, grad_output, stride, padding, dilation, groups, layout, algorithm, out
    )


def conv3d_backward(
    grad_output: Any,
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str = "channels_first",
    algorithm: str = "auto",
    out: tuple[Array | None, Array | None, Array | None] | None = None,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> Gradients:
    """The gradients of `fastconv.conv3d`.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, weight, bias, stride, padding, dilation, groups, layout
        As they were passed to ``conv3d``.
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
        As ``conv3d``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x, w = np.ones((1, 2, 5, 5, 5)), np.ones((3, 2, 3, 3, 3))
    >>> dx, dw, db = fc.grad.conv3d_backward(np.ones((1, 3, 3, 3, 3)), x, w)
    >>> dx.shape, dw.shape, db
    ((1, 2, 5, 5, 5), (3, 2, 3, 3, 3), None)
    """
    return backward(
        3, grad_output, input, weight, bias, stride, padding, dilation, groups, layout, algorithm, out, needs
    )


def conv3d_input(
    input_size: Any,
    weight: Any,
    grad_output: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str = "channels_first",
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """The gradient of `fastconv.conv3d` for its input: ``torch.nn.grad.conv3d_input``.

    Parameters
    ----------
    input_size : tuple of int
        The input's shape.
    weight, grad_output : array
    stride, padding, dilation, groups, layout, algorithm, out
        As in ``conv3d``.

    Returns
    -------
    array of shape ``input_size``

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``conv3d``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.grad.conv3d_input((1, 2, 5, 5, 5), np.ones((3, 2, 3, 3, 3)), np.ones((1, 3, 3, 3, 3))).shape
    (1, 2, 5, 5, 5)
    """
    return input_gradient(3, input_size, weight, grad_output, stride, padding, dilation, groups, layout, algorithm, out)


def conv3d_weight(
    input: Any,
    weight_size: Any,
    grad_output: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str = "channels_first",
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """The gradient of `fastconv.conv3d` for its weight: ``torch.nn.grad.conv3d_weight``.

    Parameters
    ----------
    input : array
    weight_size : tuple of int
        The weight's shape.
    grad_output : array
    stride, padding, dilation, groups, layout, algorithm, out
        As in ``conv3d``.

    Returns
    -------
    array of shape ``weight_size``

    Raises
    ------
    TypeError, ValueError, MemoryError
        As ``conv3d``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.grad.conv3d_weight(np.ones((1, 2, 5, 5, 5)), (3, 2, 3, 3, 3), np.ones((1, 3, 3, 3, 3))).shape
    (3, 2, 3, 3, 3)
    """
    return weight_gradient(
        3, input, weight_size, grad_output, stride, padding, dilation, groups, layout, algorithm, out
    )


def local_conv2d_backward(
    grad_output: Any,
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    *,
    layout: str = "channels_first",
    algorithm: str = "auto",
    out: tuple[Array | None, Array | None, Array | None] | None = None,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> Gradients:
    """The gradients of `fastconv.local_conv2d`.

    Parameters
    ----------
    grad_output : array of the output's shape
    input, weight, bias, stride, padding, dilation, layout
        As they were passed to ``local_conv2d``.
    algorithm : "auto" or "direct"
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
        As ``local_conv2d``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x, w = np.ones((1, 2, 5, 5)), np.ones((9, 3, 18))
    >>> dx, dw, db = fc.grad.local_conv2d_backward(np.ones((1, 3, 3, 3)), x, w)
    >>> dx.shape, dw.shape, db
    ((1, 2, 5, 5), (9, 3, 18), None)
    """
    return _local.backward(grad_output, input, weight, bias, stride, padding, dilation, layout, algorithm, out, needs)

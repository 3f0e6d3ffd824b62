"""The gradients: for every function ``f`` of fastconv ``f_backward``, and ``torch.nn.grad``'s functions.

``f_backward(grad_output, input, ..., options of f)`` returns the gradients of ``f``'s floating arrays in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _convolution, _pooling
from . import _validate as check
from ._convolution import INPUT_GRADIENT, WEIGHT_GRADIENT, check_algorithm, check_room, geometry_of
from ._validate import FLOAT16, FLOAT32, Array, Sizes

__all__ = [
    "avg_pool1d_backward",
    "avg_pool2d_backward",
    "avg_pool3d_backward",
    "conv1d_backward",
    "conv1d_input",
    "conv1d_weight",
    "conv2d_backward",
    "conv2d_input",
    "conv2d_weight",
    "conv3d_backward",
    "conv3d_input",
    "conv3d_weight",
    "max_pool1d_backward",
    "max_pool2d_backward",
    "max_pool3d_backward",
]

Gradients = tuple[Array | None, Array | None, Array | None]


def _three(value: Any, name: str) -> tuple[Any, ...]:
    return check.several(value, name, 3, "input, weight and bias")


def _check_grad_output(grad_output: Array, shape: Sizes) -> None:
    if grad_output.shape != shape:
        raise ValueError(f"grad_output: expected the output's shape {shape}, got {grad_output.shape}")


def _backward(
    dimensions: int,
    grad_output: Any,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    layout: Any,
    algorithm: Any,
    out: Any,
    needs: Any,
) -> Gradients:
    dy, x, w = (check.as_array(a, n) for a, n in ((grad_output, "grad_output"), (input, "input"), (weight, "weight")))
    b = None if bias is None else check.as_array(bias, "bias")
    dtype = check.common_dtype((("grad_output", dy), ("input", x), ("weight", w), ("bias", b)))
    channels_last, name = check.is_channels_last(layout), check.algorithm_name(algorithm)
    shape = check.batched(x.shape, dimensions, "input", channels_last)
    geometry, out_shape = geometry_of(shape, w.shape, stride, padding, dilation, groups, channels_last)
    if b is not None:
        check.check_bias(b, w.shape[0])
    _check_grad_output(dy, out_shape if x.ndim == len(shape) else out_shape[1:])
    need_x, need_w, need_b = (check.flag(need, "needs") for need in _three(needs, "needs"))
    need_b = need_b and b is not None
    out_x, out_w, out_b = (None, None, None) if out is None else _three(out, "out")
    wanted = ((out_x, x.shape, need_x), (out_w, w.shape, need_w), (out_b, (w.shape[0],), need_b))
    _check_outs(wanted, dtype, (dy, x, w, b))
    passes = [which for which, need in ((INPUT_GRADIENT, need_x), (WEIGHT_GRADIENT, need_w)) if need]
    for which in passes:
        check_algorithm(which, shape, w.shape, out_shape, geometry, name)

    # All that can fail comes before the first result is written.
    compute = FLOAT32 if dtype is FLOAT16 else dtype
    dy = check.ready(dy, compute).reshape(out_shape)
    dx = dw = db = None
    if need_x:
        ready_w, dx = check.ready(w, compute), check.target(out_x, x.shape, compute)
    if need_w:
        ready_x, dw = check.ready(x, compute).reshape(shape), check.target(out_w, w.shape, compute)
    if need_b:
        db = check.target(out_b, (w.shape[0],), compute)
    if out is not None and shape[0]:
        check_room(passes, compute.itemsize, shape, w.shape, out_shape, geometry, name)

    if dx is not None:
        _convolution.input_gradient(geometry, dy, ready_w, dx.reshape(shape), name)
        dx = check.deliver(dx, out_x, x.shape, dtype)
    if dw is not None:
        _convolution.weight_gradient(geometry, dy, ready_x, dw, name)
        dw = check.deliver(dw, out_w, w.shape, dtype)
    if db is not None:
        _convolution.bias_gradient(dy, channels_last, db)
        db = check.deliver(db, out_b, (w.shape[0],), dtype)
    return dx, dw, db


def _check_outs(outs: Sequence[tuple[Any, Sizes, bool]], dtype: Any, inputs: Sequence[Array | None]) -> None:
    """Every array of ``out``, apart from the inputs and from each other."""
    apart = list(inputs)
    for number, (out, shape, needed) in enumerate(outs):
        name = f"out[{number}]"
        if out is None:
            continue
        if not needed:
            raise ValueError(f"{name}: expected None for a gradient that is not computed, got an array")
        check.check_out(out, shape, dtype, apart, name)
        apart.append(out)


def _size(value: Any, dimensions: int, name: str) -> Sizes:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise TypeError(f"{name}: expected a tuple of sizes, got {type(value).__name__}")
    shape = tuple(check.integer(size, name, 0) for size in value)
    check.check_size(shape, name)
    return shape


def _input(
    dimensions: int,
    input_size: Any,
    weight: Any,
    grad_output: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    layout: Any,
    algorithm: Any,
    out: Any,
) -> Array:
    size = _size(input_size, dimensions, "input_size")
    w, dy = check.as_array(weight, "weight"), check.as_array(grad_output, "grad_output")
    dtype = check.common_dtype((("weight", w), ("grad_output", dy)))
    channels_last, name = check.is_channels_last(layout), check.algorithm_name(algorithm)
    shape = check.batched(size, dimensions, "input_size", channels_last)
    geometry, out_shape = geometry_of(shape, w.shape, stride, padding, dilation, groups, channels_last)
    _check_grad_output(dy, out_shape if len(size) == len(shape) else out_shape[1:])
    if out is not None:
        check.check_out(out, size, dtype, (w, dy))
    check_algorithm(INPUT_GRADIENT, shape, w.shape, out_shape, geometry, name)
    compute = FLOAT32 if dtype is FLOAT16 else dtype
    dy = check.ready(dy, compute).reshape(out_shape)
    result = check.target(out, size, compute)
    _convolution.input_gradient(geometry, dy, check.ready(w, compute), result.reshape(shape), name)
    return check.deliver(result, out, size, dtype)


def _weight(
    dimensions: int,
    input: Any,
    weight_size: Any,
    grad_output: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    layout: Any,
    algorithm: Any,
    out: Any,
) -> Array:
    x, dy = check.as_array(input, "input"), check.as_array(grad_output, "grad_output")
    size = _size(weight_size, dimensions, "weight_size")
    dtype = check.common_dtype((("input", x), ("grad_output", dy)))
    channels_last, name = check.is_channels_last(layout), check.algorithm_name(algorithm)
    shape = check.batched(x.shape, dimensions, "input", channels_last)
    geometry, out_shape = geometry_of(shape, size, stride, padding, dilation, groups, channels_last, "weight_size")
    _check_grad_output(dy, out_shape if x.ndim == len(shape) else out_shape[1:])
    if out is not None:
        check.check_out(out, size, dtype, (x, dy))
    check_algorithm(WEIGHT_GRADIENT, shape, size, out_shape, geometry, name)
    compute = FLOAT32 if dtype is FLOAT16 else dtype
    dy = check.ready(dy, compute).reshape(out_shape)
    result = check.target(out, size, compute)
    _convolution.weight_gradient(geometry, dy, check.ready(x, compute).reshape(shape), result, name)
    return check.deliver(result, out, size, dtype)


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
    return _backward(
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
    return _input(1, input_size, weight, grad_output, stride, padding, dilation, groups, layout, algorithm, out)


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
    return _weight(1, input, weight_size, grad_output, stride, padding, dilation, groups, layout, algorithm, out)


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
    return _backward(
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
    return _input(2, input_size, weight, grad_output, stride, padding, dilation, groups, layout, algorithm, out)


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
    return _weight(2, input, weight_size, grad_output, stride, padding, dilation, groups, layout, algorithm, out)


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
    return _backward(
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
    return _input(3, input_size, weight, grad_output, stride, padding, dilation, groups, layout, algorithm, out)


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
    return _weight(3, input, weight_size, grad_output, stride, padding, dilation, groups, layout, algorithm, out)


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

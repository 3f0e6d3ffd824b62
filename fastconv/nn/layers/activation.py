"""Elementwise functions, and the softmax."""

from __future__ import annotations

import math
import warnings
from typing import Any

from fastconv import _core
from fastconv._validate import empty

from .. import _checks
from .._checks import Array
from .base import Layer, contiguous


class _Activation(Layer):
    """An elementwise function that `_core.activate` knows by name."""

    _kind: str
    _from_output = False  # whether the slope is read off the output, which the next layer keeps anyway

    def forward(self, x: Any) -> Any:
        """Return the function of `x` [...], of its shape and dtype."""
        x = _checks.array(x, "x")
        operand = contiguous(_checks.floats(x, "x"))
        y = empty(operand.shape, operand.dtype)
        self._apply(operand, y)
        dtype = x.dtype.newbyteorder("=")
        self.keep(y if self._from_output else operand, dtype)
        return _checks.cast(y, dtype)

    def backward(self, dy: Any, *, input_gradient: bool = True) -> Any:
        """Return the gradient by the input, of its shape and dtype."""
        operand, dtype = self.kept()
        dy = contiguous(_checks.floats(dy, "dy", operand.dtype))
        _checks.same_shape(dy, operand.shape, "dy")
        if not input_gradient:
            return None
        dx = empty(operand.shape, operand.dtype)
        self._apply_backward(operand, dy, dx)
        return _checks.cast(dx, dtype)

    def _apply(self, x: Array, y: Array) -> None:
        _core.activate(self._kind, x, y)

    def _apply_backward(self, kept: Array, dy: Array, dx: Array) -> None:
        _core.activate_backward(self._kind, kept, dy, dx)


class ReLU(_Activation):
    """The rectifier max(x, 0) of [...] in float16, float32 or float64; its slope at 0 is 0.

    Raises
    ------
    TypeError
        An input that does not hold floats.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.ReLU()(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    _kind = "relu"
    _from_output = True


class ReLU6(_Activation):
    """The clipped rectifier min(max(x, 0), 6) of [...], as in MobileNet; its slope at 0 and 6 is 0.

    Dtypes and errors as of `ReLU`.

    References
    ----------
    M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, arXiv:1801.04381.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.ReLU6()(np.array([-1.0, 2.0, 7.0]))
    array([0., 2., 6.])
    """

    _kind = "relu6"
    _from_output = True


class LeakyReLU(_Activation):
    """The leaky rectifier of [...]: x where it is above 0, ``negative_slope * x`` elsewhere.

    Dtypes as of `ReLU`.

    Parameters
    ----------
    negative_slope : float
        Factor of what is not above 0.

    Raises
    ------
    TypeError, ValueError
        An input that does not hold floats; a slope that is no finite number.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.LeakyReLU(0.1)(np.array([-1.0, 2.0]))
    array([-0.1,  2. ])
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = _checks.real(negative_slope, "negative_slope")
        self._from_output = self.negative_slope >= 0  # otherwise what is above 0 may come from below

    def _apply(self, x: Array, y: Array) -> None:
        _core.leaky_relu(x, x, y, self.negative_slope)

    def _apply_backward(self, kept: Array, dy: Array, dx: Array) -> None:
        _core.leaky_relu(kept, dy, dx, self.negative_slope)

    def _arguments(self) -> str:
        return f"negative_slope={self.negative_slope}"


class SiLU(_Activation):
    """The sigmoid linear unit ``x * sigmoid(x)`` of [...], also called swish.

    Dtypes and errors as of `ReLU`.

    References
    ----------
    S. Elfwing, E. Uchibe, K. Doya, "Sigmoid-weighted linear units for neural network function approximation in
    reinforcement learning", Neural Networks 107, 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.SiLU()(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.2689,  0.    ,  0.7311])
    """

    _kind = "silu"


class Sigmoid(_Activation):
    """The logistic function ``1 / (1 + exp(-x))`` of [...], within three units in the last place.

    Dtypes and errors as of `ReLU`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Sigmoid()(np.array([-1.0, 0.0, 1.0])).round(4)
    array([0.2689, 0.5   , 0.7311])
    """

    _kind = "sigmoid"
    _from_output = True


class Tanh(_Activation):
    """The hyperbolic tangent of [...], within three units in the last place.

    Dtypes and errors as of `ReLU`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Tanh()(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.7616,  0.    ,  0.7616])
    """

    _kind = "tanh"
    _from_output = True


class Softmax(Layer):
    """Exponentials over their sum along one dimension of [...]: positive numbers that sum to 1.

    `CrossEntropyLoss` takes the scores before it: a network that is trained with it ends without a softmax.

    Parameters
    ----------
    dim : int or None
        The dimension, from the end if negative. None is PyTorch's choice, of which both warn: the first dimension of an
        array of none, one or three, the second of any other.

    Raises
    ------
    TypeError, ValueError
        An input that does not hold floats; a `dim` that is no int, or that the input does not have.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Softmax(dim=1)(np.log([[1.0, 3.0], [2.0, 2.0]])).round(4)
    array([[0.25, 0.75],
           [0.5 , 0.5 ]])
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = None if dim is None else _checks.integer(dim, "dim", minimum=-64)

    def forward(self, x: Any) -> Any:
        """Return the softmax of `x` [...] along `dim`, of its shape and dtype."""
        x = _checks.array(x, "x")
        operand = contiguous(_checks.floats(x, "x"))
        grid = self._grid(x.shape)
        y = empty(x.shape, operand.dtype)
        if y.size:
            _core.softmax(operand.reshape(grid), y.reshape(grid))
        dtype = x.dtype.newbyteorder("=")
        self.keep(y, grid, dtype)
        return _checks.cast(y, dtype)

    def backward(self, dy: Any, *, input_gradient: bool = True) -> Any:
        """Return the gradient by the input, of its shape and dtype."""
        y, grid, dtype = self.kept()
        dy = contiguous(_checks.floats(dy, "dy", y.dtype))
        _checks.same_shape(dy, y.shape, "dy")
        if not input_gradient:
            return None
        dx = empty(y.shape, y.dtype)
        if dx.size:
            _core.softmax_backward(y.reshape(grid), dy.reshape(grid), dx.reshape(grid))
        return _checks.cast(dx, dtype)

    def _grid(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """The sizes before, along and after the dimension."""
        dim = self.dim
        if dim is None:
            dim = 0 if len(shape) in (0, 1, 3) else 1
            warnings.warn(f"Softmax without dim: took dim={dim} of the shape {shape}; name it", stacklevel=4)
        sizes = shape or (1,)
        if not -len(sizes) <= dim < len(sizes):
            raise ValueError(f"x must have the dimension dim={dim}, got the shape {shape}")
        dim %= len(sizes)
        return math.prod(sizes[:dim]), sizes[dim], math.prod(sizes[dim + 1 :])

    def _arguments(self) -> str:
        return f"dim={self.dim}"

"""Elementwise functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv import _core

from .. import _checks
from .base import Layer


class _Activation(Layer):
    """An elementwise function that `_core.activate` knows by name."""

    _kind: str
    _from_output = False  # whether the slope can be read off the output, which the next layer keeps anyway

    def forward(self, x: Any) -> Any:
        """Return the function of `x` [...], of its shape and dtype."""
        x = _checks.array(x, "x")
        operand = np.asarray(_checks.floats(x, "x"), order="C")
        y = np.empty_like(operand)
        _core.activate(self._kind, operand, y)
        self.keep(y if self._from_output else operand, x.dtype.newbyteorder("="))
        return _checks.cast(y, x.dtype.newbyteorder("="))

    def backward(self, dy: Any, *, input_gradient: bool = True) -> Any:
        """Return the gradient by the input, of its shape and dtype."""
        operand, dtype = self.kept()
        dy = np.asarray(_checks.floats(dy, "dy", operand.dtype), order="C")
        _checks.same_shape(dy, operand.shape, "dy")
        if not input_gradient:
            return None
        dx = np.empty_like(operand)
        _core.activate_backward(self._kind, operand, dy, dx)
        return _checks.cast(dx, dtype)


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

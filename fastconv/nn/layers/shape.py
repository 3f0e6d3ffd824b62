"""Layers that only move elements."""

from __future__ import annotations

import math
from typing import Any

from .. import _checks
from .base import Layer


class Identity(Layer):
    """The input itself, of any kind; arguments are taken and mean nothing, so that it can stand for any layer.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Identity()(np.array([1.0, 2.0]))
    array([1., 2.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        """Return `x`."""
        x = _checks.array(x, "x")
        self.keep(x.shape)
        return x

    def backward(self, dy: Any, *, input_gradient: bool = True) -> Any:
        """Return `dy`."""
        (shape,) = self.kept()
        dy = _checks.array(dy, "dy")
        _checks.same_shape(dy, shape, "dy")
        return dy if input_gradient else None


class Flatten(Layer):
    """Join the dimensions from `start_dim` to `end_dim`: [N, C, H, W] to [N, C*H*W].

    Raises
    ------
    TypeError, ValueError
        An argument that is no int; an input without these dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Flatten()(np.ones((2, 3, 4, 5))).shape
    (2, 60)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = _checks.integer(start_dim, "start_dim", minimum=-64)
        self.end_dim = _checks.integer(end_dim, "end_dim", minimum=-64)

    def forward(self, x: Any) -> Any:
        """Return `x` with the dimensions joined: a view where that is possible."""
        x = _checks.array(x, "x")
        start, end = (dim + x.ndim if dim < 0 else dim for dim in (self.start_dim, self.end_dim))
        if not 0 <= start <= end < x.ndim:
            raise ValueError(
                f"x must have the dimensions start_dim={self.start_dim} to end_dim={self.end_dim}, in this order, "
                f"got the shape {x.shape}"
            )
        y = x.reshape(*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :])
        self.keep(x.shape, y.shape)
        return y

    def backward(self, dy: Any, *, input_gradient: bool = True) -> Any:
        """Return `dy` in the shape of the input."""
        shape, output_shape = self.kept()
        dy = _checks.array(dy, "dy")
        _checks.same_shape(dy, output_shape, "dy")
        return dy.reshape(shape)

    def _arguments(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"

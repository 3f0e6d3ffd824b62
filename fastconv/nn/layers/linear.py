"""The affine map."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv import functional as F
from fastconv import grad

from .. import _checks
from .base import Weighted, contiguous


class Linear(Weighted):
    """The affine map of the last dimension: [..., in_features] to [..., out_features], ``x @ weight.T + bias``.

    It runs as a 1x1 convolution, on the engine's own matrix product: the bits do not depend on the number of threads.

    Parameters
    ----------
    in_features, out_features : int
        Sizes of the last dimension before and after.
    bias : bool
        Whether a bias is added.
    dtype, rng
        As in `Conv2d`.

    Attributes
    ----------
    params : dict
        "weight" [out_features, in_features] and, with a bias, "bias" [out_features].

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; an input whose last dimension is not `in_features`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Linear(4, 3, rng=0)(np.ones((2, 4), np.float32)).shape
    (2, 3)
    """

    _sizes = "in_features and out_features"

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
        rng: Any = None,
    ) -> None:
        self.in_features = _checks.integer(in_features, "in_features")
        self.out_features = _checks.integer(out_features, "out_features")
        super().__init__(
            (self.out_features, self.in_features), (self.out_features,), self.in_features, bias, dtype, rng
        )

    def forward(self, x: Any) -> Any:
        """Return the map of `x` [..., in_features], computed in the parameters' dtype."""
        x = contiguous(self._input(x, "x"))
        y = self.compute(x, self.params["weight"][:, :, None], self.params.get("bias"), None)
        self.keep(x.reshape(-1, self.in_features), x.shape)
        return y

    def compute(self, x: Any, weight: Any, bias: Any, activation: str | None) -> Any:
        """Return the map by this weight [out_features, in_features, 1], perhaps packed, and the activation of it."""
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise ValueError(f"x must have {self.in_features} features in its last dimension, got the shape {x.shape}")
        rows = x.reshape(-1, self.in_features)
        y = np.empty((0, self.out_features), x.dtype)
        if len(rows):  # a convolution has at least one pixel
            y = F.conv1d(rows[None], weight, bias, layout="channels_last", activation=activation)[0]
        return y.reshape(*x.shape[:-1], self.out_features)

    def backward(self, dy: Any, *, input_gradient: bool = True) -> Any:
        """Overwrite `grads` and return the gradient by the input, of its shape."""
        rows, shape = self.kept()
        dy = self._input(dy, "dy")
        _checks.same_shape(dy, (*shape[:-1], self.out_features), "dy")
        needs = self._needs(input_gradient)
        weight, bias = self.params["weight"], self.params.get("bias")
        if len(rows) and any(needs):
            dy = dy.reshape(1, len(rows), self.out_features)
            dx, weight_gradient, bias_gradient = grad.conv1d_backward(
                dy, rows[None], weight[:, :, None], bias, layout="channels_last", needs=needs
            )
        else:  # no rows: every sum is empty
            dx, weight_gradient, bias_gradient = (
                np.zeros_like(array) if need else None for need, array in zip(needs, (rows, weight, bias), strict=True)
            )
        self._learn(None if weight_gradient is None else weight_gradient.reshape(weight.shape), bias_gradient)
        return None if dx is None else dx.reshape(shape)

    def multiply_adds(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """Return the rows times the size of the weight."""
        return math.prod(input_shape[:-1]) * self.params["weight"].size

    def _arguments(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={'bias' in self.params}"

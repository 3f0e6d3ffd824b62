"""Dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv import _core
from fastconv._validate import empty

from .. import _checks
from .._checks import Array
from .base import Layer, contiguous


class Dropout(Layer):
    """In training, zeros in place of elements of [...] drawn at random, the others divided by ``1 - p``.

    In inference it is the identity. Each training pass draws one number of 64 bits from the layer's generator; which
    elements are dropped is a function of this number and of their places, so that it is the same on any number of
    threads, and no mask is stored.

    Parameters
    ----------
    p : float
        The probability of an element to be dropped, from 0 to 1.
    rng : numpy.random.Generator, seed or None
        Draws the choices; None takes fresh entropy. Layers may share a generator.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; an input that does not hold floats.

    References
    ----------
    N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever, R. Salakhutdinov, "Dropout: a simple way to prevent neural
    networks from overfitting", JMLR 15, 2014. The stream is SplitMix64: G. L. Steele, D. Lea, C. H. Flood, "Fast
    splittable pseudorandom number generators", OOPSLA 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.Dropout(0.5, rng=0)
    >>> sorted(set(layer(np.ones(100)).tolist()))
    [0.0, 2.0]
    >>> layer.eval()(np.ones(3))
    array([1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, *, rng: Any = None) -> None:
        super().__init__()
        self.p = _checks.real(p, "p", 0)
        if self.p > 1:
            raise ValueError(f"p must be a probability, at most 1, got {self.p}")
        self.rng = _checks.generator(rng)

    def forward(self, x: Any) -> Any:
        """Return `x` [...] with elements dropped (in training), or as it is, in its dtype."""
        x = _checks.array(x, "x")
        operand = _checks.floats(x, "x")
        if not self.training:
            self.keep(None, x.shape, x.dtype.newbyteorder("="))
            return x
        key = int(self.rng.integers(2**64, dtype=np.uint64))
        choice = key, round(self.p * 2**32), 1 / (1 - self.p) if self.p < 1 else 0.0
        self.keep(choice, x.shape, x.dtype.newbyteorder("="))
        return _dropped(operand, choice, x.dtype.newbyteorder("="))

    def backward(self, dy: Any, *, input_gradient: bool = True) -> Any:
        """Return the gradient by the input: the same elements of `dy` dropped, the same scaled."""
        choice, shape, dtype = self.kept()
        dy = _checks.floats(dy, "dy", np.dtype(np.float32) if dtype.itemsize == 2 else dtype)
        _checks.same_shape(dy, shape, "dy")
        if not input_gradient:
            return None
        return _checks.cast(dy, dtype) if choice is None else _dropped(dy, choice, dtype)

    def _arguments(self) -> str:
        return f"p={self.p}"


# The key of the choice, the limit below which 32 random bits drop an element, and the factor of the others.
_Choice = tuple[int, int, float]


def _dropped(x: Array, choice: _Choice, dtype: np.dtype[Any]) -> Array:
    y = empty(x.shape, x.dtype)
    _core.dropout(contiguous(x), y, *choice)
    return _checks.cast(y, dtype)

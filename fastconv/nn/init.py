"""First values of parameters: each function returns a new array and draws from an explicit generator.

The names and options are those of `torch.nn.init` without the trailing underscore. A weight has the shape
[outputs, inputs, ...kernel], so that ``fan_in = inputs * kernel`` and ``fan_out = outputs * kernel``.
Numbers are drawn in float64 and rounded: a float32 and a float64 network start from the same values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from . import _checks
from ._checks import Array

__all__ = ["kaiming_normal", "kaiming_uniform", "normal", "uniform", "xavier_normal", "xavier_uniform", "zeros"]


def zeros(shape: Any, *, rng: Any = None, dtype: DTypeLike = np.float32) -> Array:
    """Return zeros of `shape`; `rng` is taken so that every initialiser is called alike, and not used.

    Examples
    --------
    >>> from fastconv import nn
    >>> nn.init.zeros(3)
    array([0., 0., 0.], dtype=float32)
    """
    return np.zeros(_checks.shape_of(shape, "shape"), _checks.float_dtype(dtype))


def normal(
    shape: Any, *, mean: float = 0.0, std: float = 1.0, rng: Any = None, dtype: DTypeLike = np.float32
) -> Array:
    """Return draws from the normal distribution of `mean` and standard deviation `std`.

    Examples
    --------
    >>> from fastconv import nn
    >>> nn.init.normal((2, 3), std=0.01, rng=0).shape
    (2, 3)
    """
    mean, std = _checks.real(mean, "mean"), _checks.real(std, "std", 0)
    rng = _checks.generator(rng)
    return _drawn(lambda count: rng.normal(mean, std, count), shape, dtype)


def uniform(shape: Any, *, a: float = 0.0, b: float = 1.0, rng: Any = None, dtype: DTypeLike = np.float32) -> Array:
    """Return draws from the uniform distribution between `a` and `b`.

    Examples
    --------
    >>> from fastconv import nn
    >>> nn.init.uniform((2, 3), a=-1.0, b=1.0, rng=0).shape
    (2, 3)
    """
    a = _checks.real(a, "a")
    b = _checks.real(b, "b", a)
    rng = _checks.generator(rng)
    if not math.isfinite(b - a):
        raise ValueError(f"b - a must be a finite number, got {b - a} of a {a} and b {b}")
    return _drawn(lambda count: rng.uniform(a, b, count), shape, dtype)


def xavier_uniform(shape: Any, *, gain: float = 1.0, rng: Any = None, dtype: DTypeLike = np.float32) -> Array:
    """Return Xavier's uniform draws: variance ``gain**2 * 2 / (fan_in + fan_out)``.

    Keeps the variance of signals and gradients through layers that are near linear around zero (tanh).

    Parameters
    ----------
    shape : sequence of int
        [outputs, inputs, ...kernel].
    gain : float
        Factor of the standard deviation.
    rng : numpy.random.Generator, seed or None
        None draws fresh entropy.
    dtype : dtype
        float32 or float64.

    Raises
    ------
    ValueError
        A shape of fewer than two dimensions, or with a size of 0.

    References
    ----------
    X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.

    Examples
    --------
    >>> from fastconv import nn
    >>> weight = nn.init.xavier_uniform((16, 8, 3, 3), rng=0)
    >>> bool(abs(weight).max() <= (6 / (8 * 9 + 16 * 9)) ** 0.5)
    True
    """
    bound = math.sqrt(3) * _xavier_std(shape, gain)
    return uniform(shape, a=-bound, b=bound, rng=rng, dtype=dtype)


def xavier_normal(shape: Any, *, gain: float = 1.0, rng: Any = None, dtype: DTypeLike = np.float32) -> Array:
    """Return Xavier's normal draws: variance ``gain**2 * 2 / (fan_in + fan_out)``.

    Parameters, errors and source as in `xavier_uniform`.

    Examples
    --------
    >>> from fastconv import nn
    >>> nn.init.xavier_normal((16, 8, 3, 3), rng=0).shape
    (16, 8, 3, 3)
    """
    return normal(shape, std=_xavier_std(shape, gain), rng=rng, dtype=dtype)


def kaiming_uniform(
    shape: Any,
    *,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    rng: Any = None,
    dtype: DTypeLike = np.float32,
) -> Array:
    """Return He's uniform draws: variance ``gain**2 / fan``, 2 / fan for a rectifier.

    Parameters
    ----------
    shape : sequence of int
        [outputs, inputs, ...kernel].
    a : float
        Negative slope of the leaky rectifier that follows (0: plain ReLU). Used with "leaky_relu" only.
    mode : {"fan_in", "fan_out"}
        Whether the signal's variance is kept on the way forward or the gradient's on the way back.
    nonlinearity : str
        What follows: "linear", "sigmoid", "tanh", "relu", "leaky_relu" or "selu"; sets the gain.
    rng : numpy.random.Generator, seed or None
        None draws fresh entropy.
    dtype : dtype
        float32 or float64.

    Raises
    ------
    ValueError
        A shape of fewer than two dimensions or with a size of 0; an unknown mode or nonlinearity.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, "Delving Deep into Rectifiers", ICCV 2015, arXiv:1502.01852.

    Examples
    --------
    >>> from fastconv import nn
    >>> weight = nn.init.kaiming_uniform((16, 8, 3, 3), nonlinearity="relu", rng=0)
    >>> bool(abs(weight).max() <= (6 / (8 * 9)) ** 0.5)
    True
    """
    bound = math.sqrt(3) * _kaiming_std(shape, a, mode, nonlinearity)
    return uniform(shape, a=-bound, b=bound, rng=rng, dtype=dtype)


def kaiming_normal(
    shape: Any,
    *,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    rng: Any = None,
    dtype: DTypeLike = np.float32,
) -> Array:
    """Return He's normal draws: variance ``gain**2 / fan``, 2 / fan for a rectifier.

    Parameters, errors and source as in `kaiming_uniform`.

    Examples
    --------
    >>> from fastconv import nn
    >>> nn.init.kaiming_normal((16, 8, 3, 3), mode="fan_out", rng=0).shape
    (16, 8, 3, 3)
    """
    return normal(shape, std=_kaiming_std(shape, a, mode, nonlinearity), rng=rng, dtype=dtype)


def _drawn(draw: Callable[[int], Array], shape: Any, dtype: DTypeLike) -> Array:
    """Return an array of `shape` filled with draws, some at a time: never is all of it there in float64."""
    values = np.empty(_checks.shape_of(shape, "shape"), _checks.float_dtype(dtype))
    flat, at_once = values.reshape(-1), 1 << 16
    for start in range(0, flat.size, at_once):
        part = flat[start : start + at_once]
        part[...] = draw(part.size)
    return values


def _xavier_std(shape: Any, gain: float) -> float:
    fan_in, fan_out = _fans(shape)
    return _checks.real(gain, "gain", 0) * math.sqrt(2 / (fan_in + fan_out))


def _kaiming_std(shape: Any, a: float, mode: str, nonlinearity: str) -> float:
    fan_in, fan_out = _fans(shape)
    if not isinstance(mode, str) or mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', got {mode!r}")
    return _gain(nonlinearity, _checks.real(a, "a")) / math.sqrt(fan_in if mode == "fan_in" else fan_out)


def _fans(shape: Any) -> tuple[int, int]:
    sizes = _checks.shape_of(shape, "shape", 1)
    if len(sizes) < 2:
        raise ValueError(f"shape must be [outputs, inputs, ...kernel], two dimensions or more, got {sizes}")
    kernel = math.prod(sizes[2:])
    return sizes[1] * kernel, sizes[0] * kernel


def _gain(nonlinearity: str, slope: float) -> float:
    """The factor by which a nonlinearity shrinks the standard deviation, as `torch.nn.init.calculate_gain`."""
    gains = {
        "linear": 1.0,
        "sigmoid": 1.0,
        "tanh": 5 / 3,
        "relu": math.sqrt(2),
        "leaky_relu": math.sqrt(2 / (1 + slope * slope)),
        "selu": 3 / 4,
    }
    if not isinstance(nonlinearity, str) or nonlinearity not in gains:
        raise ValueError(f"nonlinearity must be one of {', '.join(gains)}, got {nonlinearity!r}")
    return gains[nonlinearity]

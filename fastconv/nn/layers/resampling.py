"""Upsampling."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv import _core
from fastconv._validate import check_size, empty

from .. import _checks
from .._checks import Array
from .base import Layer, contiguous

_MODES = {"nearest": (1, 2, 3), "linear": (1,), "bilinear": (2,), "bicubic": (2,), "trilinear": (3,)}

# Along one axis: the number of taps of each output [outputs]; the input that each tap reads, and its factor, both
# [taps, outputs].
_Table = tuple[Array, Array, Array]


class Upsample(Layer):
    """Images, sequences or volumes [N, C, ...] resampled to another size, larger or smaller.

    Parameters
    ----------
    size : int or one a dimension, optional
        Of the output. Exactly one of `size` and `scale_factor` is given.
    scale_factor : float or one a dimension, optional
        The output's size is the input's times it, rounded down.
    mode : str
        "nearest" for any input, "linear" for [N, C, L], "bilinear" or "bicubic" for [N, C, H, W], "trilinear" for
        [N, C, D, H, W].
    align_corners : bool, optional
        Whether the centres of the corner elements of input and output meet, rather than their outer edges; not for
        "nearest".
    recompute_scale_factor : bool, optional
        Whether coordinates follow from the sizes of input and output rather than from `scale_factor`; they differ where
        a size was rounded.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; an input of a number of dimensions that the mode does not take; an
        output without elements.

    References
    ----------
    The bicubic kernel is that of R. G. Keys, "Cubic convolution interpolation for digital image processing", IEEE
    Trans. ASSP 29, 1981, with a = -0.75, as in PyTorch.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Upsample(scale_factor=2)(np.array([[[[1.0, 2.0], [3.0, 4.0]]]]))
    array([[[[1., 1., 2., 2.],
             [1., 1., 2., 2.],
             [3., 3., 4., 4.],
             [3., 3., 4., 4.]]]])
    >>> nn.Upsample(size=5, mode="linear", align_corners=True)(np.array([[[0.0, 8.0, 4.0]]]))
    array([[[0., 4., 8., 6., 4.]]])
    """

    def __init__(
        self,
        size: int | tuple[int, ...] | None = None,
        scale_factor: float | tuple[float, ...] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(mode, str):
            raise TypeError(f"mode must be a string, one of {', '.join(_MODES)}, got {mode!r}")
        if mode not in _MODES:
            raise ValueError(f"mode must be one of {', '.join(_MODES)}, got {mode!r}")
        if (size is None) == (scale_factor is None):
            raise ValueError(f"exactly one of size and scale_factor must be given, got {size!r} and {scale_factor!r}")
        self.mode = mode
        self.size = None if size is None else _one_or_more(size, "size", _checks.integer)
        self.scale_factor = None if scale_factor is None else _one_or_more(scale_factor, "scale_factor", _positive)
        if align_corners is not None:
            align_corners = _checks.boolean(align_corners, "align_corners")
            if mode == "nearest":
                raise ValueError(f"align_corners is for the modes that interpolate, got {align_corners} with 'nearest'")
        self.align_corners = align_corners
        if recompute_scale_factor is not None:
            recompute_scale_factor = _checks.boolean(recompute_scale_factor, "recompute_scale_factor")
            if recompute_scale_factor and size is not None:
                raise ValueError("recompute_scale_factor needs a scale_factor, got a size")
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, x: Any) -> Any:
        """Return `x` [N, C, ...] resampled, in its dtype."""
        x = _checks.array(x, "x")
        operand = _checks.floats(x, "x")
        if x.ndim - 2 not in _MODES[self.mode] or 0 in x.shape[2:]:
            wanted = " or ".join(str(spatial + 2) for spatial in _MODES[self.mode])
            raise ValueError(
                f"x must be [N, C, ...] of {wanted} dimensions for the mode {self.mode!r}, none of the spatial ones 0, "
                f"got the shape {x.shape}"
            )
        tables = self._tables(x.shape[2:], operand.dtype)
        y = _resampled(operand, (*x.shape[:2], *(len(count) for count, _, _ in tables)), tables)
        dtype = x.dtype.newbyteorder("=")
        self.keep(x.shape, tables, dtype)
        return _checks.cast(y, dtype)

    def backward(self, dy: Any, *, input_gradient: bool = True) -> Any:
        """Return the gradient by the input: each `dy` shared among the elements that it was made of."""
        shape, tables, dtype = self.kept()
        dy = _checks.floats(dy, "dy", tables[0][2].dtype)
        _checks.same_shape(dy, (*shape[:2], *(len(count) for count, _, _ in tables)), "dy")
        if not input_gradient:
            return None
        back = [_transposed(table, size) for table, size in zip(tables, shape[2:], strict=True)]
        return _checks.cast(_resampled(dy, shape, back), dtype)

    def _tables(self, in_size: tuple[int, ...], dtype: np.dtype[Any]) -> list[_Table]:
        """The table of each axis."""
        dimensions = len(in_size)
        scales: tuple[float | None, ...] = (None,) * dimensions
        if self.size is not None:
            out_size = _for_each(self.size, dimensions, "size")
        else:
            factors = _for_each(self.scale_factor, dimensions, "scale_factor")
            products = (size * factor for size, factor in zip(in_size, factors, strict=True))
            out_size = tuple(math.floor(min(product, 2.0**63)) for product in products)  # infinity has no floor
            if 0 in out_size:
                raise ValueError(f"scale_factor must leave at least one element, got {self.scale_factor} of {in_size}")
            if not self.recompute_scale_factor:
                scales = factors
        if self.mode == "nearest" and dimensions == 2:  # where PyTorch takes the sizes' ratio if it is 1 or 2
            axes = zip(in_size, out_size, scales, strict=True)
            scales = tuple(None if out in (size, 2 * size) else scale for size, out, scale in axes)
        check_size(out_size, "size" if self.scale_factor is None else "scale_factor")
        corners = bool(self.align_corners)
        return [_table(self.mode, *axis, corners, dtype) for axis in zip(in_size, out_size, scales, strict=True)]

    def _arguments(self) -> str:
        if self.scale_factor is not None:
            return f"scale_factor={self.scale_factor}, mode={self.mode!r}"
        return f"size={self.size}, mode={self.mode!r}"


def _one_or_more(value: Any, name: str, check: Callable[[Any, str], Any]) -> Any:
    """A checked number, or a tuple of them, one a dimension."""
    if isinstance(value, (list, tuple)):
        if not 1 <= len(value) <= 3:
            raise ValueError(f"{name} must be a number or one a spatial dimension, got {value!r}")
        return tuple(check(item, f"{name}[{index}]") for index, item in enumerate(value))
    return check(value, name)


def _positive(value: Any, name: str) -> float:
    number = _checks.real(value, name, 0)
    if number == 0:
        raise ValueError(f"{name} must be above 0, got {number}")
    return number


def _for_each(value: Any, dimensions: int, name: str) -> tuple[Any, ...]:
    if not isinstance(value, tuple):
        return (value,) * dimensions
    if len(value) != dimensions:
        raise ValueError(f"{name} must have one number a spatial dimension of x, {dimensions}, got {value}")
    return value


def _table(mode: str, size: int, out_size: int, scale: float | None, corners: bool, dtype: np.dtype[Any]) -> _Table:
    """The taps along an axis; `scale` is the factor that was asked for, None to take that of the sizes.

    Positions are computed as PyTorch does, in the precision of the input: a rounding may decide which is nearest.
    """
    number = dtype.type
    outputs = np.arange(out_size).astype(dtype)
    if corners:
        step = number(size - 1) / number(out_size - 1) if out_size > 1 else number(0)
        position = step * outputs
    else:
        step = number(size) / number(out_size) if scale is None else number(1 / scale)
        position = step * outputs if mode == "nearest" else step * (outputs + number(0.5)) - number(0.5)
    if mode == "nearest" or (mode != "bicubic" and size == out_size):
        # Interpolation between equal sizes copies, whatever the scale.
        places = position if mode == "nearest" else outputs
        index, weight = np.minimum(places.astype(np.int64), size - 1)[None], np.ones((1, out_size), dtype)
    elif mode == "bicubic":
        first = np.floor(position)
        index = np.clip(first.astype(np.int64) + np.arange(-1, 3)[:, None], 0, size - 1)
        weight = _cubic(position - first)
    else:
        position = np.maximum(position, number(0))
        first = np.minimum(position.astype(np.int64), size - 1)
        index = np.stack([first, np.minimum(first + 1, size - 1)])
        share = np.clip(position - first.astype(dtype), number(0), number(1))
        weight = np.stack([number(1) - share, share])
    return np.full(out_size, len(index), np.int64), index, weight


def _cubic(share: Array) -> Array:
    """The factors [4, outputs] of the neighbours at -1, 0, 1 and 2, for a position `share` behind the one at 0."""
    a = share.dtype.type(-0.75)
    t, u = np.stack([share, 1 - share]), np.stack([share + 1, 2 - share])
    near = ((a + 2) * t - (a + 3)) * t * t + 1  # of distances t up to 1
    far = ((a * u - 5 * a) * u + 8 * a) * u - 4 * a  # of distances u from 1 to 2
    return np.stack([far[0], near[0], near[1], far[1]])


def _transposed(table: _Table, size: int) -> _Table:
    """The table of the gradient: to each of `size` inputs the outputs that read it, in order of tap and output."""
    _, index, weight = table
    places = index.ravel()
    order = np.argsort(places, kind="stable")
    readers = np.bincount(places, minlength=size).astype(np.int64)
    slot = np.arange(places.size) - (np.cumsum(readers) - readers)[places[order]]
    back = np.zeros((readers.max(), size), np.int64)
    back[slot, places[order]] = order % index.shape[1]
    factor = np.zeros(back.shape, weight.dtype)
    factor[slot, places[order]] = weight.ravel()[order]
    return readers, back, factor


def _resampled(x: Array, shape: tuple[int, ...], tables: list[_Table]) -> Array:
    y = empty(shape, x.dtype)
    if y.size:
        ones = 3 - len(tables)  # the engine knows three axes
        one = np.ones(1, np.int64), np.zeros((1, 1), np.int64), np.ones((1, 1), x.dtype)
        source = contiguous(x).reshape(-1, *(1,) * ones, *x.shape[2:])
        _core.resample(source, y.reshape(-1, *(1,) * ones, *shape[2:]), (one,) * ones + tuple(tables))
    return y

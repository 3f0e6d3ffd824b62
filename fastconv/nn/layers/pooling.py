"""Pooling: the layers around `fastconv.max_pool2d` and its relatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastconv import functional as F
from fastconv import grad

from .. import _checks
from .base import Layer, inferring, shortened


class _AnyPool(Layer):
    """What all pools share: a function of an input and options, and its gradient."""

    _dimensions: int
    _function: Callable[..., Any]
    _gradient: Callable[..., Any]

    def _options(self) -> tuple[Any, ...]:
        raise NotImplementedError


class _Maximum(_AnyPool):
    """A pool of maxima, which remembers where they lay."""

    return_indices: bool

    def forward(self, x: Any) -> Any:
        """Return the maxima of `x` [N, C, ...] (or without N); with `return_indices` also where they lay."""
        x = _checks.array(x, "x")
        if inferring() and not self.return_indices:
            return self._function(x, *self._options())
        y, indices = self._function(x, *self._options(), return_indices=True)
        self.keep(x, indices)
        return (y, indices) if self.return_indices else y

    def backward(self, dy: Any, *, input_gradient: bool = True) -> Any:
        """Return the gradient by the input: `dy` where the maxima lay, 0 elsewhere."""
        x, indices = self.kept()
        return self._gradient(dy, x, *self._options(), indices=indices) if input_gradient else None


class _Mean(_AnyPool):
    """A pool of means."""

    def forward(self, x: Any) -> Any:
        """Return the means of `x` [N, C, ...] (or without N)."""
        x = _checks.array(x, "x")
        y = self._function(x, *self._options())
        self.keep(x)
        return y

    def backward(self, dy: Any, *, input_gradient: bool = True) -> Any:
        """Return the gradient by the input: each `dy` spread over its window."""
        (x,) = self.kept()
        return self._gradient(dy, x, *self._options()) if input_gradient else None


class _Pool(_AnyPool):
    """What the pools of a window share."""

    def __init__(self, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool) -> None:
        super().__init__()
        self.kernel_size = _checks.integers(kernel_size, self._dimensions, "kernel_size")
        self.stride = self.kernel_size if stride is None else _checks.integers(stride, self._dimensions, "stride")
        self.padding = _checks.integers(padding, self._dimensions, "padding", minimum=0)
        self.ceil_mode = _checks.boolean(ceil_mode, "ceil_mode")
        self.dilation = (1,) * self._dimensions

    def window(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Return (kernel_size, stride, dilation)."""
        return self.kernel_size, self.stride, self.dilation

    def _arguments(self) -> str:
        sizes = ("kernel_size", self.kernel_size), ("stride", self.stride), ("padding", self.padding)
        return ", ".join(f"{name}={shortened(value)}" for name, value in sizes)


class _MaxPool(_Maximum, _Pool):
    """What MaxPool1d, MaxPool2d and MaxPool3d share."""

    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None = None,
        padding: int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.dilation = _checks.integers(dilation, self._dimensions, "dilation")
        self.return_indices = _checks.boolean(return_indices, "return_indices")

    def _options(self) -> tuple[Any, ...]:
        return self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode

    def _arguments(self) -> str:
        return f"{super()._arguments()}, dilation={shortened(self.dilation)}, ceil_mode={self.ceil_mode}"


class MaxPool2d(_MaxPool):
    """The largest of each window: [N, C, H, W] to [N, C, H', W']; see `fastconv.max_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or (int, int)
        As in `fastconv.max_pool2d`; the stride is the kernel's size unless given.
    return_indices : bool
        Whether `forward` returns ``(output, indices)``.
    ceil_mode : bool
        Whether a window that hangs over the end counts.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; an input smaller than the window.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.MaxPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 5.,  7.],
             [13., 15.]]]])
    """

    _dimensions = 2
    _function = staticmethod(F.max_pool2d)
    _gradient = staticmethod(grad.max_pool2d_backward)


class MaxPool1d(_MaxPool):
    """The largest of each window: [N, C, L] to [N, C, L']; see `fastconv.max_pool1d`. Arguments as of `MaxPool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.MaxPool1d(2)(np.array([[[3.0, 1.0, 4.0, 1.0]]]))
    array([[[3., 4.]]])
    """

    _dimensions = 1
    _function = staticmethod(F.max_pool1d)
    _gradient = staticmethod(grad.max_pool1d_backward)


class MaxPool3d(_MaxPool):
    """The largest of each window: [N, C, D, H, W] to [N, C, D', H', W']; see `fastconv.max_pool3d`.

    Arguments as of `MaxPool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.MaxPool3d(2)(np.arange(8.0).reshape(1, 1, 2, 2, 2))
    array([[[[[7.]]]]])
    """

    _dimensions = 3
    _function = staticmethod(F.max_pool3d)
    _gradient = staticmethod(grad.max_pool3d_backward)


class _AvgPool(_Mean, _Pool):
    """What AvgPool1d, AvgPool2d and AvgPool3d share."""

    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None = None,
        padding: int | tuple[int, ...] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = _checks.boolean(count_include_pad, "count_include_pad")

    def _options(self) -> tuple[Any, ...]:
        return self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad


class _DividedAvgPool(_AvgPool):
    """What AvgPool2d and AvgPool3d share: a divisor of the caller's."""

    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None = None,
        padding: int | tuple[int, ...] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        if divisor_override is not None:
            divisor_override = _checks.integer(divisor_override, "divisor_override", minimum=-(2**63))
            if divisor_override == 0:
                raise ValueError("divisor_override must not be 0")
        self.divisor_override = divisor_override

    def _options(self) -> tuple[Any, ...]:
        return *super()._options(), self.divisor_override


class AvgPool2d(_DividedAvgPool):
    """The mean of each window: [N, C, H, W] to [N, C, H', W']; see `fastconv.avg_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding : int or (int, int)
        As in `fastconv.avg_pool2d`; the stride is the kernel's size unless given.
    ceil_mode : bool
        Whether a window that hangs over the end counts.
    count_include_pad : bool
        Whether cells of the padding count in the mean.
    divisor_override : int or None
        What the sum is divided by, instead of the number of cells.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; an input smaller than the window.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.AvgPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 2.5,  4.5],
             [10.5, 12.5]]]])
    """

    _dimensions = 2
    _function = staticmethod(F.avg_pool2d)
    _gradient = staticmethod(grad.avg_pool2d_backward)


class AvgPool1d(_AvgPool):
    """The mean of each window: [N, C, L] to [N, C, L']; see `fastconv.avg_pool1d`.

    Arguments as of `AvgPool2d`, without a divisor.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.AvgPool1d(2)(np.array([[[3.0, 1.0, 4.0, 2.0]]]))
    array([[[2., 3.]]])
    """

    _dimensions = 1
    _function = staticmethod(F.avg_pool1d)
    _gradient = staticmethod(grad.avg_pool1d_backward)


class AvgPool3d(_DividedAvgPool):
    """The mean of each window: [N, C, D, H, W] to [N, C, D', H', W']; see `fastconv.avg_pool3d`.

    Arguments as of `AvgPool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.AvgPool3d(2)(np.arange(8.0).reshape(1, 1, 2, 2, 2))
    array([[[[[3.5]]]]])
    """

    _dimensions = 3
    _function = staticmethod(F.avg_pool3d)
    _gradient = staticmethod(grad.avg_pool3d_backward)


class _AdaptivePool(_AnyPool):
    """What the adaptive pools share."""

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        if isinstance(output_size, (list, tuple)) and self._dimensions > 1:  # where None keeps the input's size
            filled = [1 if size is None else size for size in output_size]
            sizes = _checks.integers(filled, self._dimensions, "output_size")
            self.output_size = tuple(
                None if size is None else number for size, number in zip(output_size, sizes, strict=True)
            )
        else:
            self.output_size = _checks.integers(output_size, self._dimensions, "output_size")

    def _options(self) -> tuple[Any, ...]:
        return (self.output_size,)

    def _arguments(self) -> str:
        return f"output_size={shortened(self.output_size)}"


class _AdaptiveAvgPool(_Mean, _AdaptivePool):
    """What AdaptiveAvgPool1d, AdaptiveAvgPool2d and AdaptiveAvgPool3d share."""

    def __init__(self, output_size: int | tuple[int | None, ...]) -> None:
        super().__init__(output_size)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The mean of windows that tile the image: [N, C, H, W] to [N, C, H', W'], whatever H and W.

    See `fastconv.adaptive_avg_pool2d`. ``AdaptiveAvgPool2d(1)`` is the global mean at the end of many networks.

    Parameters
    ----------
    output_size : int or (int or None, int or None)
        Of the output; None keeps the input's size.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; an input of another number of dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.AdaptiveAvgPool2d((1, 2))(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[6.5, 8.5]]]])
    """

    _dimensions = 2
    _function = staticmethod(F.adaptive_avg_pool2d)
    _gradient = staticmethod(grad.adaptive_avg_pool2d_backward)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The mean of windows that tile the sequence: [N, C, L] to [N, C, output_size].

    See `fastconv.adaptive_avg_pool1d`; arguments as of `AdaptiveAvgPool2d`, without None.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.AdaptiveAvgPool1d(2)(np.array([[[1.0, 2.0, 3.0, 6.0]]]))
    array([[[1.5, 4.5]]])
    """

    _dimensions = 1
    _function = staticmethod(F.adaptive_avg_pool1d)
    _gradient = staticmethod(grad.adaptive_avg_pool1d_backward)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """The mean of windows that tile the volume: [N, C, D, H, W] to [N, C, D', H', W'].

    See `fastconv.adaptive_avg_pool3d`; arguments as of `AdaptiveAvgPool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.AdaptiveAvgPool3d((1, None, 1))(np.ones((2, 3, 4, 5, 6))).shape
    (2, 3, 1, 5, 1)
    """

    _dimensions = 3
    _function = staticmethod(F.adaptive_avg_pool3d)
    _gradient = staticmethod(grad.adaptive_avg_pool3d_backward)


class AdaptiveMaxPool2d(_Maximum, _AdaptivePool):
    """The largest of windows that tile the image: [N, C, H, W] to [N, C, H', W'].

    See `fastconv.adaptive_max_pool2d`.

    Parameters
    ----------
    output_size : int or (int or None, int or None)
        Of the output; None keeps the input's size.
    return_indices : bool
        Whether `forward` returns ``(output, indices)``.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; an input of another number of dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.AdaptiveMaxPool2d((1, 2))(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[13., 15.]]]])
    """

    _dimensions = 2
    _function = staticmethod(F.adaptive_max_pool2d)
    _gradient = staticmethod(grad.adaptive_max_pool2d_backward)

    def __init__(self, output_size: int | tuple[int | None, int | None], return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = _checks.boolean(return_indices, "return_indices")

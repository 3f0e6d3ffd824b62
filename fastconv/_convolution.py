"""The road that every convolution takes: its arguments, checked, and its forward pass, handed to the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import _core
from . import _validate as check
from ._validate import AUTO, CHANNELS_FIRST, FLOAT16, FLOAT32, Array, Sizes

FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT = 0, 1, 2  # as fc_pass


class PackedWeight:
    """A snapshot of a weight, kept in the form that each algorithm reads fastest.

    Forward convolutions take it wherever they take a weight. A packed form is made at the first use by an algorithm and
    kept, which saves the packing of every later call; changes of the original array after this are not seen.

    Parameters
    ----------
    weight : array [out_channels, in_channels / groups, kernel...]
        float16, float32, float64 or integers; copied.

    Raises
    ------
    TypeError
        Where ``weight`` is not an array of numbers.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> weight = fc.PackedWeight(np.ones((4, 3, 3, 3), np.float32))
    >>> fc.conv2d(np.ones((1, 3, 8, 8), np.float32), weight).shape
    (1, 4, 6, 6)
    """

    __slots__ = ("_array", "_arrays", "_forms")

    def __init__(self, weight: Any) -> None:
        array = check.as_array(weight, "weight")
        check.common_dtype([("weight", array)])
        self._array: Array = np.array(array, order="C")
        self._array.flags.writeable = False
        self._arrays: dict[np.dtype[Any], Array] = {}
        self._forms: dict[Any, Any] = {}

    @property
    def array(self) -> Array:
        """The snapshot, read-only."""
        return self._array

    @property
    def shape(self) -> Sizes:
        """The weight's shape."""
        shape: Sizes = self.array.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The weight's dtype."""
        dtype: np.dtype[Any] = self.array.dtype
        return dtype

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedWeight, (self.array,)  # packed forms are for this machine, and made again

    def __repr__(self) -> str:
        return f"PackedWeight(shape={self.shape}, dtype={self.dtype})"

    def _in_dtype(self, dtype: np.dtype[Any]) -> Array:
        """The weight as the engine reads it in a dtype."""
        array = self._arrays.get(dtype)
        if array is None:
            array = self._arrays[dtype] = check.ready(self.array, dtype)
        return array


Geometry = tuple[Sizes, Sizes, Sizes, int, bool]  # stride, padding before, dilation, groups, channels last: see _core


def geometry_of(
    input_shape: Sizes,
    weight_shape: Sizes,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    channels_last: bool,
    weight_name: str = "weight",
) -> tuple[Geometry, Sizes]:
    """The options, checked against the shapes (the input's with a batch), and the output's shape.

    The padding after follows from the shapes.
    """
    channels, size = (input_shape[-1], input_shape[1:-1]) if channels_last else (input_shape[1], input_shape[2:])
    dimensions = len(size)
    if type(stride) is type(dilation) is type(groups) is int and stride == dilation == groups == 1:
        stride = dilation = (1,) * dimensions  # the plainest values are not worth a call each
    else:
        stride = check.integers(stride, dimensions, "stride", 1)
        dilation = check.integers(dilation, dimensions, "dilation", 1)
        groups = check.integer(groups, "groups", 1)
    check.check_weight(weight_shape, dimensions, channels, groups, weight_name)
    kernel = weight_shape[2:]
    if type(padding) is int and padding == 0:
        before = after = (0,) * dimensions
    else:
        before, after = check.paddings(padding, kernel, stride, dilation)
    out_size = check.conv_out_size(size, kernel, stride, before, after, dilation, weight_name)
    batch, out_channels = input_shape[0], weight_shape[0]
    out_shape = (batch, *out_size, out_channels) if channels_last else (batch, out_channels, *out_size)
    return (stride, before, dilation, groups, channels_last), out_shape


def transposed_geometry_of(
    input_shape: Sizes,
    weight_shape: Sizes,
    stride: Any,
    padding: Any,
    output_padding: Any,
    dilation: Any,
    groups: Any,
    channels_last: bool,
    weight_name: str = "weight",
) -> tuple[Geometry, Sizes]:
    """The same of a transposed convolution: the geometry is that of the convolution from its output to its input."""
    channels, size = (input_shape[-1], input_shape[1:-1]) if channels_last else (input_shape[1], input_shape[2:])
    dimensions = len(size)
    stride = check.integers(stride, dimensions, "stride", 1)
    before, after = check.borders(padding, dimensions)
    output_padding = check.integers(output_padding, dimensions, "output_padding", 0)
    groups = check.integer(groups, "groups", 1)
    dilation = check.integers(dilation, dimensions, "dilation", 1)
    check.check_transposed_weight(weight_shape, dimensions, channels, groups, weight_name)
    kernel = weight_shape[2:]
    out_size = check.transposed_out_size(size, kernel, stride, before, after, output_padding, dilation)
    out_shape = check.output_shape(input_shape[0], weight_shape[1] * groups, out_size, channels_last)
    return (stride, before, dilation, groups, channels_last), out_shape


def check_algorithm(
    which: int, input_shape: Sizes, weight_shape: Sizes, out_shape: Sizes, geometry: Geometry, algorithm: bytes | None
) -> None:
    """That an algorithm asked for by name can do a pass, before anything is computed."""
    if algorithm is None:
        return
    input_shape = (max(1, input_shape[0]), *input_shape[1:])  # what an algorithm can do does not depend on the batch
    for name, _, reason in _core.candidates(which, 4, input_shape, weight_shape, out_shape, geometry):
        if name == algorithm.decode() and reason is not None:
            raise refused(algorithm, reason)


def refused(algorithm: bytes | None, reason: str) -> ValueError:
    """The error of an algorithm that cannot do a problem."""
    name = algorithm.decode() if algorithm else "auto"
    return ValueError(f"algorithm: expected one that can do this problem, got {name!r}, which {reason}")


def forward(
    dimensions: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    layout: Any,
    out: Any,
    algorithm: Any,
    activation: Any,
    transposed: bool = False,
    output_padding: Any = 0,
    addend: Array | None = None,
) -> Array:
    """The forward pass of a convolution, or of a transposed one.

    A transposed convolution is the input gradient of the convolution that leads from its output to its input.
    addend: of the output's shape, added before the activation of a convolution that is not transposed.
    """
    x = input if type(input) is np.ndarray else check.as_array(input, "input")
    forms = None
    if type(weight) is np.ndarray:
        w = weight
    elif isinstance(weight, PackedWeight):
        w, forms = weight._array, weight._forms
    else:
        w = check.as_array(weight, "weight")
    b = bias if bias is None or type(bias) is np.ndarray else check.as_array(bias, "bias")
    dtype = x.dtype
    if dtype is not FLOAT32 or w.dtype is not FLOAT32 or (b is not None and b.dtype is not FLOAT32):
        dtype = check.common_dtype((("input", x), ("weight", w), ("bias", b)))
    channels_last = layout is not CHANNELS_FIRST and check.is_channels_last(layout)
    name = None if algorithm is AUTO else check.algorithm_name(algorithm)
    code = 0 if activation is None else check.activation_code(activation)

    shape = x.shape
    plain = len(shape) == dimensions + 2 and 0 not in shape  # nothing to check
    batched_shape = shape if plain else check.batched(shape, dimensions, "input", channels_last)
    if not transposed:
        geometry, out_shape = geometry_of(batched_shape, w.shape, stride, padding, dilation, groups, channels_last)
        which, out_channels, of_input, of_output = FORWARD, w.shape[0], batched_shape, out_shape
    else:
        geometry, out_shape = transposed_geometry_of(
            batched_shape, w.shape, stride, padding, output_padding, dilation, groups, channels_last
        )
        which, out_channels = INPUT_GRADIENT, w.shape[1] * geometry[3]
        of_input, of_output = out_shape, batched_shape
    if b is not None:
        check.check_bias(b, out_channels)
    if name is not None:
        check_algorithm(which, of_input, w.shape, of_output, geometry, name)
    batched_out_shape = out_shape
    if batched_shape is not shape:
        x, out_shape = x.reshape(batched_shape), out_shape[1:]
    if out is not None:
        check.check_out(out, out_shape, dtype, (x, w, b))

    compute = FLOAT32 if dtype is FLOAT16 else dtype
    result = check.empty(out_shape, compute) if out is None else check.target(out, out_shape, compute)
    if batched_shape[0]:
        x = x if x.dtype is compute and x.flags.carray else check.ready(x, compute)
        y = result if batched_shape is shape else result.reshape(batched_out_shape)
        _core.convolve(
            which,
            x if which == FORWARD else y,
            check.ready(w, compute) if forms is None else weight._in_dtype(compute),
            y if which == FORWARD else x,
            None if b is None else check.ready(b, compute),
            geometry,
            name,
            code,
            forms,
            None if addend is None else check.ready(addend, compute),
        )
    if out is None and compute is dtype:
        return result
    return check.deliver(result, out, out_shape, dtype)


def check_room(
    passes: Sequence[int],
    itemsize: int,
    input_shape: Sizes,
    weight_shape: Sizes,
    out_shape: Sizes,
    geometry: Geometry,
    algorithm: bytes | None,
) -> None:
    """That there is memory for the workspace of every pass, before the first writes anything."""
    for which in passes:
        _core.Block(_core.chosen(which, itemsize, input_shape, weight_shape, out_shape, geometry, algorithm)[1])

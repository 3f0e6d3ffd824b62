"""The road that every convolution takes: its arguments, checked, and its three passes, handed to the engine."""

from __future__ import annotations

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

    __slots__ = ("_arrays", "_forms", "array")

    def __init__(self, weight: Any) -> None:
        array = check.as_array(weight, "weight")
        check.common_dtype([("weight", array)])
        self.array: Array = np.array(array, order="C")
        self.array.flags.writeable = False
        self._arrays: dict[np.dtype[Any], Array] = {}
        self._forms: dict[Any, Any] = {}

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

    def in_dtype(self, dtype: np.dtype[Any]) -> Array:
        """The weight as the engine reads it in a dtype."""
        array = self._arrays.get(dtype)
        if array is None:
            array = self._arrays[dtype] = check.ready(self.array, dtype)
        return array


class Options:
    """The options of one convolution, checked against its shapes: what the engine needs beside the arrays."""

    __slots__ = ("after", "before", "channels_last", "dilation", "groups", "out_shape", "stride")

    def __init__(
        self,
        input_shape: Sizes,
        weight_shape: Sizes,
        stride: Any,
        padding: Any,
        dilation: Any,
        groups: Any,
        channels_last: bool,
        weight_name: str = "weight",
    ) -> None:
        """``input_shape`` has a batch."""
        dimensions = len(input_shape) - 2
        self.channels_last = channels_last
        self.stride = check.integers(stride, dimensions, "stride", 1)
        self.dilation = check.integers(dilation, dimensions, "dilation", 1)
        self.groups = check.integer(groups, "groups", 1)
        channels = input_shape[-1] if channels_last else input_shape[1]
        check.check_weight(weight_shape, dimensions, channels, self.groups, weight_name)
        kernel = weight_shape[2:]
        self.before, self.after = check.paddings(padding, kernel, self.stride, self.dilation)
        size = input_shape[1:-1] if channels_last else input_shape[2:]
        out_size = check.conv_out_size(size, kernel, self.stride, self.before, self.after, self.dilation, weight_name)
        self.out_shape = check.output_shape(input_shape[0], weight_shape[0], out_size, channels_last)

    def run(
        self,
        which: int,
        input: Array,
        weight: Array,
        output: Array,
        bias: Array | None,
        algorithm: bytes | None,
        activation: int = 0,
        forms: dict[Any, Any] | None = None,
    ) -> None:
        """One pass by the engine."""
        refusal = _core.convolve(
            which,
            input,
            weight,
            output,
            bias,
            self.stride,
            self.before,
            self.dilation,
            self.groups,
            self.channels_last,
            algorithm,
            activation,
            forms,
        )
        if refusal is not None:
            raise refused(algorithm, refusal)

    def check_algorithm(self, which: int, input_shape: Sizes, weight_shape: Sizes, algorithm: bytes | None) -> None:
        """That an algorithm asked for by name can do a pass, before anything is computed."""
        if algorithm is None:
            return
        for name, _, reason in self.candidates(which, 4, input_shape, weight_shape, algorithm)[2]:
            if name == algorithm.decode() and reason is not None:
                raise refused(algorithm, reason)

    def candidates(
        self, which: int, itemsize: int, input_shape: Sizes, weight_shape: Sizes, algorithm: bytes | None
    ) -> tuple[str | None, int, list[tuple[str, float | None, str | None]]]:
        """What the engine says of every algorithm."""
        return _core.explain(
            which,
            itemsize,
            input_shape,
            weight_shape,
            self.out_shape,
            self.stride,
            self.before,
            self.dilation,
            self.groups,
            self.channels_last,
            algorithm,
        )


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
) -> Array:
    """The forward pass of conv1d, conv2d and conv3d."""
    x = input if type(input) is np.ndarray else check.as_array(input, "input")
    forms = None
    if type(weight) is np.ndarray:
        w = weight
    elif isinstance(weight, PackedWeight):
        w, forms = weight.array, weight._forms
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
    batched_shape = check.batched(shape, dimensions, "input", channels_last)
    options = Options(batched_shape, w.shape, stride, padding, dilation, groups, channels_last)
    if b is not None:
        check.check_bias(b, w.shape[0])
    out_shape = options.out_shape if batched_shape is shape else options.out_shape[1:]
    if out is not None:
        check.check_out(out, out_shape, dtype, (x, w, b))
    if name is not None:
        options.check_algorithm(FORWARD, batched_shape, w.shape, name)

    compute = FLOAT32 if dtype is FLOAT16 else dtype
    if batched_shape is not shape:
        x = x.reshape(batched_shape)
    result = check.target(out, out_shape, compute)
    if batched_shape[0]:
        options.run(
            FORWARD,
            check.ready(x, compute),
            check.ready(w, compute) if forms is None else weight.in_dtype(compute),
            result if batched_shape is shape else result.reshape(options.out_shape),
            None if b is None else check.ready(b, compute),
            name,
            code,
            forms,
        )
    if out is None and compute is dtype:
        return result
    return check.deliver(result, out, out_shape, dtype)


def input_gradient(
    options: Options,
    grad_output: Array,
    weight: Array,
    input_shape: Sizes,
    dtype: np.dtype[Any],
    algorithm: bytes | None,
    out: Array | None,
) -> Array:
    """The gradient of a batched input; arrays are ready, ``out`` has passed ``check_out`` and may lack the batch."""
    shape = input_shape if out is None else out.shape
    compute = weight.dtype
    result = check.target(out, shape, compute)
    if input_shape[0]:
        options.run(INPUT_GRADIENT, result.reshape(input_shape), weight, grad_output, None, algorithm)
    return check.deliver(result, out, shape, dtype)


def weight_gradient(
    options: Options,
    grad_output: Array,
    input: Array,
    weight_shape: Sizes,
    dtype: np.dtype[Any],
    algorithm: bytes | None,
    out: Array | None,
) -> Array:
    """The gradient of a weight."""
    result = check.target(out, weight_shape, input.dtype)
    if input.shape[0]:
        options.run(WEIGHT_GRADIENT, input, result, grad_output, None, algorithm)
    else:
        result[...] = 0
    return check.deliver(result, out, weight_shape, dtype)


def bias_gradient(grad_output: Array, channels_last: bool, dtype: np.dtype[Any], out: Array | None) -> Array:
    """The gradient of a bias: grad_output summed over the batch and space."""
    channels = grad_output.shape[-1 if channels_last else 1]
    result = check.target(out, (channels,), grad_output.dtype)
    if grad_output.shape[0]:
        flat = grad_output.reshape((-1, channels, 1) if channels_last else (grad_output.shape[0], channels, -1))
        _core.channel_sum(flat, result)
    else:
        result[...] = 0
    return check.deliver(result, out, (channels,), dtype)

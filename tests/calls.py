"""One right call of each function, which the tests then bend; and what they ask of functions and results."""

import functools
import inspect
import re

import cases
import numpy as np
from cases import fast, slow

SIZE, KERNEL = (7, 6, 5), (3, 2, 2)
FILL = 0xA5  # Every byte of an ``out`` before the call.


def dimensions_of(name):
    """Return how many spatial dimensions an image has that a function takes or gives."""
    digit = re.search(r"\d", name)
    return int(digit[0]) if digit else 2  # unfold and fold


def forward_of(name):
    """Return the function that a gradient belongs to."""
    return re.sub("_(backward|input|weight)$", "", name)


def parameters_of(name):
    return inspect.signature(fast(name)).parameters


def is_convolution(name):
    """Whether a function has a weight, three gradients and algorithms."""
    return "conv" in name


def is_transposed(name):
    return name.startswith("conv_transpose")


def is_local(name):
    return name.startswith("local")


def arguments_of(name, layout="channels_first", dtype="float32", batch=2):
    """Return the arguments of a right call by name; of small integers, whose sums are exact in every dtype."""
    return dict(_frozen_arguments_of(name, layout, dtype, batch))


@functools.cache
def _frozen_arguments_of(name, layout, dtype, batch):
    n, forward = dimensions_of(name), forward_of(name)
    channels, size = 4, SIZE[:n]
    shapes, options = {}, {"padding": 1, "dilation": 1, "stride": 1, "kernel_size": 2, "output_size": 6}
    if is_local(name):
        shapes = {"weight": (16, 6, 4 * 6), "bias": (6, 4, 4)}  # A kernel of 3 x 2, which has as many positions.
        options |= {"stride": 2}
    elif is_transposed(name):
        shapes = {"weight": (4, 3, *KERNEL[:n]), "bias": (6,)}
        options |= {"stride": 2, "groups": 2, "output_padding": 1}
    elif is_convolution(name):
        shapes = {"weight": (6, 2, *KERNEL[:n]), "bias": (6,)}
        options |= {"stride": 2, "groups": 2}
    elif forward == "fold":
        channels, size = 4 * 4, (8 * 8,)
        options |= {"output_size": 7}
    elif "unpool" in name:
        options |= {"stride": 2, "output_size": None}
    shape = (batch, channels, *size) if layout == "channels_first" else (batch, *size, channels)
    shapes = {"input": shape} | shapes
    a = {key: cases.numbers(shape, dtype, "integers", key) for key, shape in shapes.items()}
    taken = parameters_of(forward)
    a |= {key: value for key, value in options.items() if key in taken and value is not None}
    a["layout"] = layout
    if "unpool" in name:
        places = cases.places(cases.Unpool("", (batch, channels, *size), 2, 2, 1), "distinct")
        a["indices"] = cases.to_layout(places, layout, n)
    y = slow(forward)(**a)
    a["grad_output"] = cases.numbers(y.shape, dtype, "integers", "grad_output")
    if "indices" in parameters_of(name) and "indices" not in a:
        a["indices"] = slow(forward)(**without(a, "grad_output"), return_indices=True)[1]
    if is_convolution(name):
        a |= {"input_size": shape, "weight_size": a["weight"].shape}
    for array in arrays_in(a.values()):
        array.flags.writeable = False
    return {key: value for key, value in a.items() if key in parameters_of(name)}


def without(a, *keys):
    return {key: value for key, value in a.items() if key not in keys}


def as_tuple(result):
    return result if isinstance(result, tuple) else (result,)


def arrays_in(values):
    """Return the arrays among some values, and in the tuples among them."""
    return [item for value in values for item in as_tuple(value) if type(item) is np.ndarray]


def same(a, b):
    """Whether two results hold the same numbers in the same dtypes."""
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a.dtype == b.dtype and np.array_equal(a, b)


def room_for(result):
    """Return an ``out`` for a result, a tuple of them for a tuple, that holds no number of a result."""
    if isinstance(result, tuple):
        return tuple(map(room_for, result))
    return np.full(result.nbytes, FILL, np.uint8).view(result.dtype).reshape(result.shape)

"""What comes in: every argument of every function wrong in every way; every kind of array; every kind of ``out``.

A mistake is a TypeError or a ValueError that names the argument, what was expected and what came, and the reference
raises the same. After it every byte is as before: of the inputs, of ``out``, of stderr.
"""

import enum
import math
import re
import sys
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import cases
import numpy as np
import pytest
from calls import (
    SIZE,
    arguments_of,
    arrays_in,
    as_tuple,
    dimensions_of,
    forward_of,
    is_convolution,
    is_local,
    is_transposed,
    parameters_of,
    without,
)
from cases import (
    CONVOLUTION_FUNCTIONS,
    DTYPES,
    FORWARD_FUNCTIONS,
    FUNCTIONS,
    LAYOUTS,
    TRANSPOSED_FUNCTIONS,
    WEIGHTED_FUNCTIONS,
    fast,
    slow,
)
from hypothesis import given, settings, strategies

import fastconv as fc
from fastconv import grad

FILL = 0xA5  # Every byte of an ``out`` before the call.

# A warning goes to stderr as well.
pytestmark = pytest.mark.filterwarnings("error")

by_function = pytest.mark.parametrize("name", FUNCTIONS)
by_convolution = pytest.mark.parametrize("name", [name for name in FUNCTIONS if is_convolution(name)])
by_whole_gradient = pytest.mark.parametrize("name", [f"{name}_backward" for name in WEIGHTED_FUNCTIONS])
by_indices = pytest.mark.parametrize("name", [name for name in FUNCTIONS if "indices" in parameters_of(name)])


@pytest.fixture(autouse=True)
def silence(capfd):
    yield
    assert capfd.readouterr().err == ""


# --- Results, and refusals


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


def check_refusal(name, arguments, error, message, what):
    """Check that fastconv and the reference refuse a call, and that no array in it changes."""
    arrays = arrays_in(arguments.values())
    before = [array.tobytes() for array in arrays]
    for find in (fast,) if "algorithm" in arguments else (fast, slow):
        try:
            find(name)(**arguments)
        except Exception as caught:
            assert type(caught) is error, f"{what}: {find.__name__} raises {caught!r}"
            assert find is slow or re.fullmatch(message, str(caught), re.DOTALL), f"{what}: {caught}, not {message}"
        else:
            pytest.fail(f"{what}: {find.__name__} takes it")
    assert [array.tobytes() for array in arrays] == before, f"{what}: something is written"


# --- Wrong arguments


class Wrong(NamedTuple):
    value: Any
    error: type
    message: str  # A regular expression.


class Part(NamedTuple):
    """A value, and the part of it that is wrong."""

    whole: Any
    part: Any


class Thing:
    """No number, no array, and nothing that becomes one."""


def shown(value):
    """Return how a message shows a number or a word."""
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"an integer of {value.bit_length()} bits"  # Python refuses to print the longest.
    plain = isinstance(value, (int, float, np.bool, str, bytes, type(None)))
    return (str if isinstance(value, np.bool) else repr)(value) if plain else type(value).__name__


def brief(value):
    return f"an array {value.dtype} {value.shape}" if isinstance(value, np.ndarray) else shown(value)


def type_name(value):
    return type(value).__name__


def refused(error, argument, expected, values, got=shown):
    """Return what is wrong by one rule, and the message, which shows what came."""
    pairs = [value if isinstance(value, Part) else Part(value, value) for value in values]
    message = "{}: expected {}, got {}"
    return [Wrong(value, error, message.format(argument, expected, re.escape(got(part)))) for value, part in pairs]


wrong_type, wrong_value = partial(refused, TypeError), partial(refused, ValueError)


def unlike(argument, expected, values):
    """Return what is wrong with a shape."""
    return [
        Wrong(value, ValueError, f"{argument}: expected {expected}, got (shape )?{re.escape(str(value.shape))}.*")
        for value in values
    ]


NO_INTEGERS = [
    *(None, True, np.True_, 1.0, math.nan, math.inf, np.float64(1), np.float32(1), np.array(1.0), np.array(True), 1j),
    *("1", b"1", bytearray(b"1"), memoryview(b"1"), {1}, {1: 1}, iter([1]), int, ..., Thing()),
]


def integer(argument, least, most, but=()):
    return [
        *wrong_type(argument, "an integer", [value for value in NO_INTEGERS if not isinstance(value, but)]),
        *wrong_value(argument, f"at least {least}", [least - 1, least - 2**31, -(2**63) - 1, -(2**70), -(10**5000)]),
        *wrong_value(argument, f"at most {most}", [most + 1, 2**63, 2**64, 2**70, 10**5000]),
    ]


def sizes_option(argument, n, least, but=()):
    """Return what is wrong for an option with one integer for all dimensions, or one a dimension."""
    last = [Part([1] * (n - 1) + [value], value) for value in (None, True, 1.5, "1", Thing(), np.float32(1))]
    wrong_lengths = [(1,) * (n + 1), [1] * 7, np.ones(n + 1, int), np.ones(0, int)]
    return [
        *integer(argument, least, 2**31 - 1, but),
        *wrong_type(argument, "an integer", last),
        *wrong_type(argument, "an integer", [Part(np.ones(n), np.float64(1)), Part(np.ones(n, bool), True)]),
        *wrong_value(argument, f"at least {least}", [Part([1] * (n - 1) + [least - 1], least - 1)]),
        *wrong_value(argument, f"at most {2**31 - 1}", [Part((2**31,) * n, 2**31), Part([2**70], 2**70)]),
        *wrong_value(argument, f"an integer or {n} of them", [Part(value, len(value)) for value in wrong_lengths]),
    ]


def no_sizes(argument):
    return wrong_value(argument, "an integer or . of them", [Part((), 0), Part([], 0)])


LARGE_OUTPUT = r"stride: expected an output of at most 2\*\*56 elements a plane, got [0-9]*"


def no_strings_or_pairs(argument, n):
    return wrong_type(argument, "an integer", ["same", "valid", Part(((1, 1),) * n, ())])


def kernel_sizes(name, a):
    n, forward = dimensions_of(name), forward_of(name)
    rows = [*sizes_option("kernel_size", n, 1), *no_sizes("kernel_size")]
    if "unpool" in name:
        return rows
    fits = "kernel_size: expected a kernel that fits the padded input of ., got 1[05] .*"
    rows += [Wrong(size, ValueError, fits) for size in (10, (15,) * n)]
    if forward == "fold":
        rows += wrong_value("input", "a multiple of the kernel's 9 elements as channels", [Part(3, 16)])
        rows += [Wrong(1, ValueError, "input: expected 81 columns, for .9, 9. windows, got 64")]
    return rows


def strides(name, a):
    n = dimensions_of(name)
    if "pool" in name:
        return sizes_option("stride", n, 1, but=type(None))  # PyTorch's pools take None and ().
    rows = [*sizes_option("stride", n, 1), *no_sizes("stride")]
    if forward_of(name) == "fold":
        rows += [Wrong(2, ValueError, "input: expected 16 columns, for .4, 4. windows, got 64")]
    if is_transposed(name) and n > 1:
        rows += [
            Wrong(2**31 - 1, ValueError, r"stride: expected an output of at most 2\*\*56 elements a plane, got .*")
        ]
    return rows


def dilations(name, a):
    n = dimensions_of(name)
    rows = [*sizes_option("dilation", n, 1), *no_sizes("dilation")]
    if is_transposed(name):
        return [*rows, Wrong(2**31 - 1, ValueError, LARGE_OUTPUT)] if n > 1 else rows
    owner = "weight(_size)?" if is_convolution(name) else "kernel_size"
    fits = f"{owner}: expected a kernel that fits the padded input of ., got . with dilation .*"
    if is_local(name):
        fits = "weight: expected the shape of one kernel, .*"
    return [*rows, *[Wrong(value, ValueError, fits) for value in (9, 2**31 - 1)]]


def paddings(name, a):
    n = dimensions_of(name)
    rows = [*sizes_option("padding", n, 0, but=str), *no_sizes("padding")]
    plane = r"padding: expected a padded input of at most 2\*\*56 elements a plane, got [0-9]*"
    if not is_convolution(name):
        rows += no_strings_or_pairs("padding", n)
        if "unpool" in name:
            return [*rows, Wrong(7, ValueError, "padding: expected an output of at least 1 in each dimension, got .*")]
        if forward_of(name) in cases.UNFOLD_FUNCTIONS:
            return [*rows, Wrong(2**31 - 1, ValueError, plane)]
        half = wrong_value("padding", "at most half of the kernel_size of 2", [2, Part([1] * (n - 1) + [2], 2)])
        return rows + half
    pairs = [((1, 1),) * (n + 1), ((1,),) * n, ((1, 2, 3),) * n, ((),) * n, np.ones((n, 3), int)]
    items = [((1, 1.5), 1.5), ((True, 1), True), (("1", "1"), "1"), ((None, 1), None), (((1, 2), 1), ())]
    rows += [
        *wrong_value("padding", rf"{n} pairs \(before, after\)", [Part(value, value) for value in pairs], got=repr),
        *wrong_type("padding", "an integer", [Part((pair,) * n, item) for pair, item in items]),
        *wrong_type("padding", "an integer", [Part([1] * (n - 1) + [(1, 2)], ())][: n > 1]),
        *wrong_type("padding", "an integer", [Part(("same",) * n, "same")]),
        *wrong_value("padding", "at least 0", [Part(((1, -1),) * n, -1)]),
        *wrong_value("padding", f"at most {2**31 - 1}", [Part(((1, 2**31),) * n, 2**31)]),
    ]
    if is_transposed(name):
        cut = r"padding: expected less than 1[0-9] cells, the whole output, got [0-9]* \+ [0-9]*"
        rows += wrong_type("padding", "an integer", ["same", "valid", "full", ""])
        return [*rows, *[Wrong(value, ValueError, cut) for value in (8, 2**31 - 1, ((9, 9),) * n, ((16, 0),) * n)]]
    return [
        *rows,
        *wrong_value("padding", 'integers, "valid" or "same"', ["full", "SAME", "", "1"]),
        Wrong("same", ValueError, 'padding: "same" expects stride 1, got stride .2.*'),
        *[Wrong(value, ValueError, plane) for value in (2**31 - 1, ((2**31 - 1, 0),) * n)][: 2 * (n > 1)],
    ]


def output_paddings(name, a):
    n = dimensions_of(name)
    return [
        *sizes_option("output_padding", n, 0),
        *no_sizes("output_padding"),
        *no_strings_or_pairs("output_padding", n),
        *wrong_value(
            "output_padding",
            "less than the stride of 2 or the dilation of 1",
            [2, 2**31 - 1, Part([1] * (n - 1) + [2], 2)],
        ),
    ]


def output_sizes(name, a):
    n, forward = dimensions_of(name), forward_of(name)
    if forward == "fold":
        plane = r"padding: expected a padded input of at most 2\*\*56 elements a plane, got [0-9]*"
        return [
            *sizes_option("output_size", n, 1),
            *no_sizes("output_size"),
            Wrong((6, 7), ValueError, "input: expected 56 columns, for .7, 8. windows, got 64"),
            Wrong(2**31 - 1, ValueError, plane),
        ]
    if "unpool" in name:
        plain = [2 * size - 2 for size in SIZE[:n]]
        wrong = [value for value in NO_INTEGERS if value is not None and value is not np.True_]
        near = f"more than {plain[-1] - 2} and less than {plain[-1] + 2}"
        far = [Part([*plain[:-1], plain[-1] + more], plain[-1] + more) for more in (-2, 2, 2**62)]
        either = f"{n} spatial sizes, or the output's shape of {n + 2}"
        return [
            *wrong_type("output_size", "None or a tuple of sizes", [5, "ab", *wrong]),
            *wrong_type("output_size", "an integer", [Part([*plain[:-1], value], value) for value in NO_INTEGERS]),
            *wrong_type("output_size", "an integer", [Part([2, 4, *plain[:-1], 1.5], 1.5)]),
            *wrong_value("output_size", "at least 1", [Part([*plain[:-1], value], value) for value in (0, -1)]),
            *wrong_value("output_size", either, [Part([9] * length, length) for length in (0, n + 1, n + 3)]),
            *wrong_value("output_size", near, far),
        ]
    kept = [Part([1] * (n - 1) + [None], None)] if n == 1 else []
    last = [Part([1] * (n - 1) + [value], value) for value in (True, 1.5, "1", Thing(), np.float32(1))]
    lengths = [(1,) * (n + 1), [1] * 7, (), np.ones(n + 1, int), *[[1]] * (n > 1)]
    plane = r"output_size: expected at most 2\*\*56 elements a plane, got [0-9]*"
    return [
        *integer("output_size", 1, 2**31 - 1),
        *wrong_type("output_size", "an integer", [*kept, *last, Part(np.ones(n), np.float64(1))]),
        *wrong_value("output_size", "at least 1", [Part([1] * (n - 1) + [0], 0)]),
        *wrong_value("output_size", f"an integer or {n} of them", [Part(value, len(value)) for value in lengths]),
        *[Wrong((2**31 - 1,) * n, ValueError, plane)][: n > 1],
    ]


def groups(name, a):
    rows = [*integer("groups", 1, 2**63 - 1), *wrong_type("groups", "an integer", [(2,), [2], np.array([2])])]
    if is_transposed(name):
        wrong = [3, 5, 6, 8, 2**31, 2**63 - 1]
        rows += wrong_value("groups", "a divisor of 4 input channels", wrong)
        return [*rows, *[Wrong(value, ValueError, rf"bias: expected shape \({3 * value},\), .*") for value in (1, 4)]]
    each = "weight(_size)?: expected 4 input channels .4 of the input / 1 groups., got 2 in shape .*"
    return [
        *rows,
        *wrong_value("groups", "a divisor of 4 input and 6 output channels", [3, 4, 5, 6, 2**31, 2**63 - 1]),
        Wrong(1, ValueError, each),
    ]


def divisor_overrides(name, a):
    return [
        *integer("divisor_override", -(2**63), 2**63 - 1, but=type(None)),
        *wrong_type("divisor_override", "an integer", [(1,), [1]]),
        *wrong_value("divisor_override", "an integer other than 0", [0]),
    ]


def flag(argument, name, a):
    return wrong_type(argument, "True or False", [0, 1, None, 1.0, "True", [], (True,), np.array(True), Thing()])


def word(argument, expected, wrong, name, a):
    no_words = [0, True, 1.5, ["relu"], ("direct",), {}, b"auto", np.array(["channels_first", "auto"]), Thing()]
    no_words += [] if argument == "activation" else [None]
    return wrong_type(argument, ".*", no_words) + wrong_value(argument, expected, wrong)


# Neither numbers nor, of pools, floats.
STRUCTURE = np.dtype([("x", "f4")])
NO_NUMBERS = ["c8", "c16", "O", "M8[s]", "m8[s]", "S4", "U4", "V4", STRUCTURE]
NO_NUMBERS += ["g", "G"] * (np.dtype("g").itemsize > 8)


def no_array(argument, like):
    """Return what is no array at all."""
    wrong = [like.tolist(), (like,), 1.5, 3, "abc", b"abc", memoryview(like), {}, iter(like), fc, Thing()]
    return wrong_type(argument, "an array", wrong, got=type_name)


def of_dtypes(argument, expected, dtypes, shape):
    return wrong_type(argument, expected, [Part(np.zeros(shape, d), d) for d in dtypes], got=lambda d: str(np.dtype(d)))


def floats(argument, name, a):
    """Return what is wrong for an array of numbers but its shape."""
    expected = "float16, float32 or float64" + (", or integers" if is_convolution(name) else "")
    dtypes = NO_NUMBERS + ([] if is_convolution(name) else ["?", "i1", "u2", "i4", "u8"])
    none = [] if argument == "bias" else wrong_type(argument, "an array", [None], got=type_name)
    return no_array(argument, a[argument]) + none + of_dtypes(argument, expected, dtypes, a[argument].shape)


def inputs(name, a):
    x = a["input"]
    n = 1 if forward_of(name) == "fold" else dimensions_of(name)
    zero = [x[:, :0], x[..., :0], *[x[:0, :, :0]]]
    rows = [
        *floats("input", name, a),
        *unlike("input", f"{n + 2} dimensions .* or {n + 1} without the batch", [x[0, 0], x[None], x[(0,) * x.ndim]]),
        *unlike("input", "every size but the batch to be at least 1", zero),
    ]
    if is_local(name):
        one = "weight: expected the shape of one kernel, .*"
        five = np.ones((2, 5, *x.shape[2:]), x.dtype)
        rows += [Wrong(x[:, :3], ValueError, one), Wrong(x[..., 1:], ValueError, one)]
        rows += [Wrong(five, ValueError, "weight: expected a multiple of 5 input channels as its last size, .*")]
    elif is_transposed(name):
        rows += [Wrong(x[:, :2], ValueError, "weight: expected 2 input channels, got 4 in shape .*")]
        rows += wrong_value("groups", "a divisor of 3 input channels", [Part(x[:, :3], 2)])
    elif is_convolution(name):
        owner = "weight(_size)?: expected 1 input channels .2 of the input / 2 groups., got 2 in shape .*"
        rows += [Wrong(x[:, :2], ValueError, owner)]
        rows += wrong_value("groups", "a divisor of 3 input and 6 output channels", [Part(x[:, :3], 2)])
    elif forward_of(name) == "fold":
        rows += wrong_value("input", "a multiple of the kernel's 4 elements as channels", [Part(x[:, :15], 15)])
        rows += [Wrong(x[..., 1:], ValueError, "input: expected 64 columns, for .8, 8. windows, got 63")]
    return rows


def weights(name, a):
    w, n = a["weight"], dimensions_of(name)
    if is_local(name):
        one = "weight: expected the shape of one kernel, .*"
        return [
            *floats("weight", name, a),
            *unlike("weight", "3 dimensions .*", [w[0], w[None], w.ravel(), w[(0,) * w.ndim], w.reshape(16, 6, 4, 6)]),
            *unlike("weight", "every size to be at least 1", [w[:0], w[:, :0], w[..., :0]]),
            *unlike("weight", "a multiple of 4 input channels as its last size", [w[..., :23], w[..., :2]]),
            *[Wrong(wrong, ValueError, one) for wrong in (w[:15], w[:1], w[..., :20], np.ones((16, 6, 4000), "f4"))],
            Wrong(w[:, :5], ValueError, r"bias: expected shape \(5, out_height, out_width\), got \(6, 4, 4\)"),
        ]
    rows = [
        *floats("weight", name, a),
        *unlike("weight", f"{n + 2} dimensions .*", [w[0], w[None], w.ravel(), w[(0,) * w.ndim]]),
        *unlike("weight", "every size to be at least 1", [w[:0], w[:, :0], w[..., :0]]),
    ]
    if is_transposed(name):
        rows += [Wrong(w[:3], ValueError, "weight: expected 4 input channels, got 3 in shape .*")]
        return [*rows, Wrong(w[:, :2], ValueError, r"bias: expected shape \(4,\), got \(6,\)")]
    large = np.ones((6, 2, 10, 1, 1)[: n + 2], np.float32)
    fits = "weight: expected a kernel that fits the padded input of 9, got 10 with dilation 1: 10"
    each = "weight: expected 2 input channels .4 of the input / 2 groups., got 1 in shape .*"
    return [
        *rows,
        *wrong_value("groups", "a divisor of 4 input and 5 output channels", [Part(w[:5], 2)]),
        Wrong(w[:, :1], ValueError, each),
        Wrong(large, ValueError, fits),
    ]


def biases(name, a):
    b = a["bias"]
    wrong = [b[:5], b[:0], b[None], b[:, None], np.array(b[(0,) * b.ndim]), np.zeros(7, b.dtype)]
    if is_local(name):
        rows = floats("bias", name, a) + unlike("bias", r"shape \(6, out_height, out_width\)", [*wrong, b.ravel()])
        which = r"weight: expected the shape of one kernel, .* and the bias .*, for which the kernel could be none"
        return [*rows, *[Wrong(other, ValueError, which) for other in (b[:, :3], b[..., :0], b.reshape(6, 2, 8))]]
    return floats("bias", name, a) + unlike("bias", r"shape \(6,\)", wrong)


def of_other_shapes(argument, like, whose="output's"):
    others = [like[0], like[None], like[..., :-1], like[:, :-1], like[:1], like[:0], like.ravel(), like.T]
    return unlike(argument, f"the {whose} shape .*", [other for other in others if other.shape != like.shape])


def gradients(name, a):
    return floats("grad_output", name, a) + of_other_shapes("grad_output", a["grad_output"])


def indices(name, a):
    like, size, unpool = a["indices"], SIZE[: dimensions_of(name)], "unpool" in name
    plane, outside = math.prod(2 * s - 2 for s in size) if unpool else math.prod(size), []
    wrongs = (plane, -1 if unpool else -2, 2**62, -(2**63), 2**64 - 1)
    for wrong, dtype in product(wrongs, ("i1", "i2", "i8", "u8", ">i8")):
        if np.iinfo(dtype).min <= min(wrong, 0) and max(wrong, like.max()) <= np.iinfo(dtype).max:
            outside.append(like.astype(dtype))
            outside[-1][-1, -1] = wrong
    return [
        *no_array("indices", like),
        *wrong_type("indices", "an array", [None] * unpool, got=type_name),
        *of_dtypes("indices", "integers", ["?", "f2", "f4", "f8", *NO_NUMBERS], like.shape),
        *of_other_shapes("indices", like, "input's" if unpool else "output's"),
        *wrong_value("indices", f"places in a plane of {plane}", outside, got=lambda i: f"{i.min()} to {i.max()}"),
    ]


def shapes(argument, name, a):
    size, n = a[argument], dimensions_of(name)
    some = "every size but the batch" if argument == "input_size" else "every size"
    other = (*size[:2], *(s + 2 for s in size[2:])) if argument == "input_size" else (*size[:2], *[1] * n)
    no_tuples = [None, 3, "abc", b"abc", np.array(size), set(size), iter(size), Thing()]
    said = f"{argument}: expected {{}}, got shape .*"

    def ending(*values):
        return [Part((*size[:-1], value), value) for value in values]

    return [
        *wrong_type(argument, "a tuple of sizes", no_tuples, got=type_name),
        *wrong_type(argument, "an integer", ending(*NO_INTEGERS, (1,))),
        *wrong_value(argument, "at least 0", ending(-1, -(2**70))),
        *wrong_value(argument, f"at most {2**63 - 1}", ending(2**63, 10**5000)),
        Wrong((*size[:-1], 2**62), ValueError, said.format("a product of sizes that fits 63 bits")),
        *(Wrong(v, ValueError, said.format(f"{n + 2} dimensions .*")) for v in ((), (*size, 1), [1] * 9, size[2:])),
        *(Wrong(v, ValueError, said.format(f"{some} to be at least 1")) for v in ((*size[:-1], 0), (2, 0, *size[2:]))),
        Wrong(other, ValueError, "grad_output: expected the output's shape .*, got .*"),
    ]


def needs(name, a):
    three = "a tuple of 3, for input, weight and bias"
    no_tuples = [None, True, 3, "abc", b"abc", {}, {True}, np.ones(3, bool), Thing()]
    return [
        *wrong_type("needs", three, no_tuples, got=type_name),
        *wrong_value("needs", three, [Part(value, len(value)) for value in ((), (True,), [True] * 2, (True,) * 4)]),
        *wrong_type("needs", "True or False", [Part((True, value, True), value) for value in (0, 1, None, "True", [])]),
    ]


def out_array(like, name="out"):
    """Return what is wrong for one array that is to be written."""
    readonly, one = room_for(like), room_for(like)
    readonly.flags.writeable = False
    repeated = np.lib.stride_tricks.as_strided(one, like.shape, (0,) * (like.ndim - 1) + (like.itemsize,))
    wrong_dtypes = [dtype for dtype in (*DTYPES, "i8", "i4", "?", "c8", "O") if dtype != like.dtype]
    others = [like[None], like[..., :-1], like[:0], like.ravel()[:0], like[(0,) * like.ndim]]
    no_arrays = [like.tolist(), (like,), "abc", 1, True, {}, memoryview(like), np.ndarray, Thing()]
    own = f"{name}: expected memory of its own for every element, got strides .*"
    return [
        *wrong_type(name, "an array", no_arrays, got=type_name),
        *of_dtypes(name, f"dtype {like.dtype}", wrong_dtypes, like.shape),
        *unlike(name, f"shape {re.escape(str(like.shape))}", [np.array(other) for other in others]),
        Wrong(readonly, ValueError, f"{name}: expected a writeable array, got a read-only one"),
        *[Wrong(repeated, ValueError, own)][: like.ndim > 1],
    ]


def out_tuple(result, what):
    """Return what is wrong for a tuple of arrays that are to be written."""
    expected, like = f"a tuple of {len(result)}, for {what}", result[0]
    no_tuples = [room_for(like), "abc", b"abc", 1, True, {}, iter(result), Thing()]
    lengths = [(), result[:1], [None] * 5]
    rows = wrong_type("out", expected, no_tuples, got=type_name)
    rows += wrong_value("out", expected, [Part(value, len(value)) for value in lengths])
    for i, like in enumerate(result):
        for value, error, message in out_array(like, rf"out\[{i}\]"):
            several = tuple(value if i == j else room_for(other) for j, other in enumerate(result))
            rows.append(Wrong(several, error, message))
    return rows


def outs(name, a):
    result = slow(name)(**a)
    return out_tuple(result, "input, weight and bias") if isinstance(result, tuple) else out_array(result)


# Every parameter of every function has to have an entry.
WRONG = {
    "input": inputs,
    "weight": weights,
    "bias": biases,
    "grad_output": gradients,
    "indices": indices,
    "input_size": partial(shapes, "input_size"),
    "weight_size": partial(shapes, "weight_size"),
    "kernel_size": kernel_sizes,
    "stride": strides,
    "padding": paddings,
    "output_padding": output_paddings,
    "output_size": output_sizes,
    "dilation": dilations,
    "groups": groups,
    "ceil_mode": partial(flag, "ceil_mode"),
    "count_include_pad": partial(flag, "count_include_pad"),
    "return_indices": partial(flag, "return_indices"),
    "divisor_override": divisor_overrides,
    "needs": needs,
    "layout": partial(word, "layout", '"channels_first" or "channels_last"', ["", "NCHW", "channels_first "]),
    "algorithm": partial(word, "algorithm", '"auto" or one of .*', ["", "Direct", "fastest", "direct\0"]),
    "activation": partial(word, "activation", 'None, "relu", "relu6" or "silu"', ["", "ReLU", "gelu", "relu\0"]),
    "out": outs,
}


@pytest.mark.parametrize(("name", "argument"), [(name, key) for name in FUNCTIONS for key in parameters_of(name)])
def test_wrong_argument(name, argument):
    a = arguments_of(name)
    out = room_for(slow(name)(**a))
    for value, error, message in WRONG[argument](name, a):
        check_refusal(name, {**a, "out": out, argument: value}, error, message, f"{name}({argument}={brief(value)})")


@pytest.mark.parametrize("name", [name for name in FORWARD_FUNCTIONS if "max_pool" in name])
def test_wrong_pair_of_outputs(name):
    a = arguments_of(name) | {"return_indices": True}
    for value, error, message in out_tuple(slow(name)(**a), "values and indices"):
        check_refusal(name, a | {"out": value}, error, message, f"{name}(out={brief(value)})")


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if {"input", "grad_output"} <= {*parameters_of(name)}])
def test_gradient_without_the_batch(name):
    # An input without a batch goes with a grad_output without one.
    a, message = arguments_of(name, batch=1), "(grad_output|indices): expected the (output|input)'s shape .*, got .*"
    for key in ("input", "grad_output"):
        check_refusal(name, a | {key: a[key][0]}, ValueError, message, f"{name}, {key} without a batch")


@by_function
def test_wrong_shapes_in_channels_last(name):
    a, n = arguments_of(name, "channels_last"), 1 if forward_of(name) == "fold" else dimensions_of(name)
    wrong = []
    if "input" in a:
        x, order = a["input"], r"\[batch, spatial..., channels\]"
        wrong += [("input", row) for row in unlike("input", f"{n + 2} dimensions {order}, or .*", [x[None], x[0, 0]])]
        wrong += [("input", row) for row in unlike("input", "every size but the batch.*", [x[..., :0], x[:, :0]])]
        if "groups" in parameters_of(name):
            channels = "input channels" if is_transposed(name) else "input and 6 output channels"
            rows = wrong_value("groups", f"a divisor of 3 {channels}", [Part(x[..., :3], 2)])
            wrong += [("input", row) for row in rows]
    if "grad_output" in a:
        like = a["grad_output"]
        wrong += [("grad_output", row) for row in of_other_shapes("grad_output", like)]
    for key, (value, error, message) in wrong:
        check_refusal(name, a | {key: value}, error, message, f"{name}({key}={brief(value)})")


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name.startswith("max_pool")])
def test_padding_of_a_dilated_pool(name):
    # As in PyTorch it is the kernel that counts, not how far it reaches.
    a = arguments_of(name) | {"padding": 2, "dilation": 3}
    message = "padding: expected at most half of the kernel_size of 2, got 2"
    check_refusal(name, a, ValueError, message, f"{name}(padding=2, dilation=3)")


@by_whole_gradient
def test_out_of_a_gradient_that_is_not_computed(name):
    a = arguments_of(name)
    result = slow(name)(**a)
    for i in range(3):
        given = {"needs": tuple(i != j for j in range(3)), "out": room_for(result)}
        message = rf"out\[{i}\]: expected None for a gradient that is not computed, got an array"
        check_refusal(name, a | given, ValueError, message, f"{name}({given})")
    without_bias = a | {"bias": None, "out": room_for(result)}
    check_refusal(name, without_bias, ValueError, r"out\[2\]: expected None .*", f"{name}(bias=None)")


@by_function
def test_out_overlaps(name):
    a = arguments_of(name)
    result = slow(name)(**a)
    several = isinstance(result, tuple)
    results = result if several else (result,)
    for i, like in enumerate(results):
        called = rf"out\[{i}\]" if several else "out"
        message = f"{called}: expected memory of its own, got an array that overlaps an input"
        # An input and this array in the same memory, the array one element later.
        for key in a:
            if isinstance(a[key], np.ndarray):
                room = np.full(max(a[key].nbytes, like.nbytes) + 8, FILL, np.uint8)
                moved = np.ndarray(a[key].shape, a[key].dtype, room)
                moved[...] = a[key]
                out = np.ndarray(like.shape, like.dtype, room, 8)
                outs = tuple(out if i == j else None for j in range(len(results))) if several else out
                check_refusal(name, a | {key: moved, "out": outs}, ValueError, message, f"{name}, {called} over {key}")
    if several:
        room = np.full(max(like.nbytes for like in results), FILL, np.uint8)
        outs = tuple(np.ndarray(like.shape, like.dtype, room) for like in results)
        check_refusal(name, a | {"out": outs}, ValueError, r"out\[1\]: expected memory of its own.*", f"{name}, outs")


def test_interleaved_memory_is_no_overlap():
    room = np.zeros((1, 4, 5, 2, 6), np.float32)
    x, out = room[..., 0, :], room[..., 1, :]
    x[...] = cases.numbers(x.shape, "float32", "integers", 0)
    w = cases.numbers((4, 4, 1, 1), "float32", "integers", 1)
    wanted = slow("conv2d")(x.copy(), w)
    assert fc.conv2d(x, w, out=out) is out and np.array_equal(out, wanted)


def problem_of(name):
    """Return the problem of the right call."""
    a = arguments_of(f"{forward_of(name)}_backward")
    if is_local(name):
        return cases.LocalConvolution("", a["input"].shape, 6, (3, 2), stride=2, padding=1)
    kind = cases.TransposedConvolution if is_transposed(name) else cases.Convolution
    extra = {"output_padding": 1} if is_transposed(name) else {}
    return kind("", a["input"].shape, a["weight"].shape, stride=2, padding=1, groups=2, **extra)


@by_convolution
def test_algorithm_that_cannot(name):
    a, problem = arguments_of(name), problem_of(name)
    pass_of = {f"{problem.function}_{which}": (which,) for which in ("input", "weight")}
    passes = pass_of.get(name, ("input", "weight") if name.endswith("backward") else ("forward",))
    result, refusals = slow(name)(**a), 0
    for algorithm in fc.algorithms():
        reasons = {problem.refusal(algorithm, which, "float32", "channels_first") for which in passes} - {None}
        call = a | {"out": room_for(result), "algorithm": algorithm}
        if reasons:
            expected = '"auto" or "direct"' if is_local(name) else "one that can do this problem"
            why = "shares its weights between positions" if is_local(name) else f"({'|'.join(reasons)})"
            said = f"algorithm: expected {expected}, got '{algorithm}', which {why}"
            check_refusal(name, call, ValueError, said, f"{name}, {algorithm}")
            refusals += 1
        else:
            assert same(fast(name)(**call), result), algorithm
    assert 0 < refusals < len(fc.algorithms())


@by_function
def test_keywords_only(name):
    parameters = parameters_of(name).values()
    positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [p.name for p in parameters if p.kind is p.KEYWORD_ONLY], "what fastconv adds to PyTorch"
    a = arguments_of(name)
    given = [a.get(p.name, p.default) for p in positional]
    extra = {key: value for key, value in a.items() if key not in [p.name for p in positional]}
    assert same(fast(name)(*given, **extra), slow(name)(**a))
    required = [p.name for p in positional if p.default is p.empty]
    for find in (fast, slow):
        with pytest.raises(TypeError, match="positional argument"):
            find(name)(*given, "channels_first")
        with pytest.raises(TypeError, match="unexpected keyword argument 'device'"):
            find(name)(**a, device="cpu")
        with pytest.raises(TypeError, match="multiple values for argument"):
            find(name)(*given, **{positional[0].name: given[0]})
        for missing in required:
            with pytest.raises(TypeError, match=f"missing .*'{missing}'"):
                find(name)(**without(a, missing))


# --- The process, and what is not a function of arrays


def explain(**given):
    return fc.explain(**{"function": "conv2d", "input_shape": (1, 4, 7, 6), "weight_shape": (6, 4, 3, 3), **given})


def wrong_in_explain():
    for argument, shape in (("input_shape", (1, 4, 7, 6)), ("weight_shape", (6, 4, 3, 3))):
        rows = [
            *wrong_type(argument, "a tuple of sizes", [None, 3, "abc", b"abc", {}, np.array(shape)], got=type_name),
            *wrong_type(argument, "an integer", [Part((*shape[:3], value), value) for value in NO_INTEGERS]),
            *wrong_value(argument, "at least 0", [Part((*shape[:3], -1), -1)]),
            *wrong_value(argument, f"at most {2**63 - 1}", [Part((*shape[:3], 2**63), 2**63)]),
            Wrong((2**31, 2**20, 2**9, 2**9), ValueError, f"{argument}: expected a product of sizes that .*"),
        ]
        yield from ((argument, row) for row in rows)
        for wrong in ((), (1, 2), (1,) * 6, (1, 0, 3, 3), (1, 4, 3, 0)):
            yield argument, Wrong(wrong, ValueError, f"{argument[:-6]}(_shape)?: expected .* got shape .*")
    names = ", ".join((*CONVOLUTION_FUNCTIONS, *TRANSPOSED_FUNCTIONS))
    options = {
        "function": [*wrong_type("function", "a name", [None, 2, fc.conv2d, ["conv2d"]], got=type_name)]
        + wrong_value("function", f"one of {names}", ["", "conv4d", "max_pool2d", "Conv2d"]),
        "grad": wrong_type("grad", "None or a string", [0, True, ["input"]], got=type_name)
        + wrong_value("grad", 'None, "input" or "weight"', ["", "bias", "both"]),
        "dtype": [
            Wrong(value, TypeError, "dtype: expected float16, float32 or float64, got .*")
            for value in ("int32", "c8", "O", "nothing", object(), 3, [], "float128", STRUCTURE)
        ],
        **{key: sizes_option(key, 2, least) for key, least in (("stride", 1), ("dilation", 1))},
        "padding": sizes_option("padding", 2, 0, but=str),
        "groups": integer("groups", 1, 2**63 - 1),
        "layout": WRONG["layout"]("conv2d", {}),
        "algorithm": WRONG["algorithm"]("conv2d", {}),
    }
    for argument, rows in options.items():
        yield from ((argument, row) for row in rows)
    cannot = "algorithm: expected one that can do this problem, got 'depthwise', which needs .*"
    yield "algorithm", Wrong("depthwise", ValueError, cannot)


def test_wrong_argument_of_explain():
    assert explain().algorithm in fc.algorithms()
    for argument, (value, error, message) in wrong_in_explain():
        with pytest.raises(error) as caught:
            explain(**{argument: value})
        right = type(caught.value) is error and re.fullmatch(message, str(caught.value))
        assert right, f"{argument}={value!r}: {caught.value!r}, not {message}"


def enter_threads(n):
    with fc.threads(n):
        pytest.fail("threads takes it")


def thread_counts():
    return [*integer("n", 1, 2**63 - 1), *wrong_value("n", "at most 1024 threads", [1025, 2**63 - 1])]


@pytest.mark.parametrize(
    ("function", "rows"),
    [
        (fc.set_num_threads, thread_counts()),
        (enter_threads, thread_counts()),
        (fc.set_cache_limit, integer("bytes", 0, 2**63 - 1)),
        (
            fc.show_config,
            wrong_type("mode", "a string", [None, 1, b"dicts", ["dicts"]], got=type_name)
            + wrong_value("mode", '"stdout" or "dicts"', ["", "json", "Dicts"]),
        ),
        (
            fc.PackedWeight,
            no_array("weight", np.ones((2, 2, 1)))
            + of_dtypes("weight", "float16, float32 or float64, or integers", NO_NUMBERS, (2, 2, 1))
            + wrong_type("weight", "an array", [None, fc.PackedWeight(np.ones((2, 2, 1)))], got=type_name),
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_wrong_argument_of_the_process(function, rows, capfd):
    before = fc.show_config("dicts")
    for value, error, message in rows:
        with pytest.raises(error) as caught:
            function(value)
        right = type(caught.value) is error and re.fullmatch(message, str(caught.value))
        assert right, f"{brief(value)}: {caught.value!r}, not {message}"
    assert fc.show_config("dicts") == before and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("function", [fc.algorithms, fc.isa, fc.get_num_threads, fc.empty_cache])
def test_functions_without_arguments(function):
    with pytest.raises(TypeError, match="takes 0 positional arguments"):
        function(1)


def test_packed_weight_of_another_shape():
    # A packed weight is checked where it is used, as an array is.
    x = np.ones((1, 4, 5, 5), np.float32)
    for shape in ((), (4,), (6, 3, 1, 1), (6, 4, 6, 1), (0, 4, 1, 1)):
        with pytest.raises(ValueError, match="weight: expected .*, got"):
            fc.conv2d(x, fc.PackedWeight(np.ones(shape, np.float32)))
    with pytest.raises(TypeError, match="weight: expected an array, got PackedWeight"):
        grad.conv2d_backward(x, x, fc.PackedWeight(np.ones((4, 4, 1, 1), np.float32)))


# --- Objects that say that they are arrays, and fail


class Failing:
    def __init__(self, error):
        self.error = error

    def __array__(self, dtype=None, copy=None):
        raise self.error


class Elsewhere:
    """An array on another device."""

    def __dlpack__(self, **options):
        raise BufferError("a CUDA device")

    def __dlpack_device__(self):
        return 2, 0


@by_function
def test_objects_that_do_not_convert(name):
    a = arguments_of(name)
    for key in [key for key in a if isinstance(a[key], np.ndarray)]:
        for value in (Failing(RuntimeError("it requires grad")), Failing(KeyError(1)), Elsewhere()):
            with pytest.raises(TypeError, match=f"^{key}: {type_name(value)} does not convert to a NumPy array: "):
                fast(name)(**a | {key: value})
        with pytest.raises(MemoryError, match="^scarce$"):
            fast(name)(**a | {key: Failing(MemoryError("scarce"))})


def test_tensors_that_require_gradients(torch):
    w = torch.ones(1, 1, 1, 1)
    assert fc.conv2d(np.ones((1, 1, 2, 2), np.float32), w).sum() == 4
    with pytest.raises(TypeError, match="^weight: .* does not convert .*requires grad"):
        fc.conv2d(np.ones((1, 1, 2, 2), np.float32), w.requires_grad_())


# --- Sizes beyond the memory, and beyond its addresses


def endless(shape, dtype="float32"):
    """Return an array of any size in the memory of one number."""
    return np.broadcast_to(np.ones((), dtype), shape)


ONE = np.ones((1, 1, 1, 1), np.float32)
WIDE, DEEP, TALL = endless((1, 1, 2**25, 2**25)), endless((1, 2**50, 1, 1)), endless((2**50, 1, 1, 1))
MANY = endless((1, 2**20, 2**15, 2**15))

# 2**47 bytes are all that a process can address, however much the system promises.
ENDLESS = [
    (MemoryError, "", "conv2d", WIDE, ONE),
    (MemoryError, "", "conv2d", TALL, ONE),
    (MemoryError, "", "conv2d", ONE, TALL),
    (MemoryError, "", "conv2d", ONE, TALL, endless((2**50,))),
    (MemoryError, "", "conv2d", ONE, ONE, None, 1, 2**25),
    (MemoryError, "", "conv1d", endless((1, 1, 2**49), "?"), endless((1, 1, 1), "?")),
    (MemoryError, "", "max_pool2d", MANY, 1),
    (MemoryError, "", "avg_pool2d", MANY, 1),
    (MemoryError, "", "avg_pool2d", MANY, 2**15),
    (MemoryError, "", "conv2d_input", WIDE.shape, ONE, WIDE),
    (MemoryError, "", "conv2d_input", WIDE.shape, ONE, ONE, 2**30),
    (MemoryError, "", "conv2d_weight", ONE, TALL.shape, DEEP),
    (MemoryError, "", "max_pool2d_backward", DEEP, DEEP, 1),
    (MemoryError, "", "avg_pool2d_backward", ONE, WIDE, 2**25),
    (MemoryError, "", "conv_transpose2d", WIDE, ONE),
    (MemoryError, "", "conv_transpose2d", ONE, DEEP),
    (MemoryError, "", "conv_transpose2d", endless((1, 1, 2**24, 2**24)), ONE, None, 2),
    (MemoryError, "", "conv_transpose2d_backward", WIDE, WIDE, ONE),
    (MemoryError, "", "adaptive_avg_pool2d", ONE, 2**25),
    (MemoryError, "", "adaptive_max_pool2d", MANY, (2**15, None)),
    (MemoryError, "", "adaptive_avg_pool2d_backward", DEEP, DEEP, 1),
    (MemoryError, "", "max_unpool2d", ONE, ONE.astype(int), 2**25),
    (MemoryError, "", "max_unpool2d_backward", DEEP, DEEP, endless(DEEP.shape, "i8"), 1),
    (MemoryError, "", "unfold", WIDE, 1),
    (MemoryError, "", "unfold", ONE, 2**25, 1, 2**24),
    (MemoryError, "", "fold", ONE[0], 2**25, 1, 1, 0, 2**26),
    (MemoryError, "", "local_conv2d", DEEP, endless((1, 1, 2**50))),
    (MemoryError, "", "local_conv2d", ONE, endless((1, 2**50, 1))),
    (ValueError, "stride: expected an output of at most", "conv_transpose2d", WIDE, ONE, None, 2**10),
    (ValueError, "padding: expected less than 1 cells", "conv_transpose2d", ONE, ONE, None, 2**31 - 1, 2**31 - 1),
    (ValueError, "output: expected a", "conv_transpose2d", endless((1, 1, 2**28, 2**28)), endless((1, 2**20, 1, 1))),
    (ValueError, "input: expected a product of sizes", "adaptive_max_pool2d", endless((2**41, 1, 2**20), "f2"), 1),
    (ValueError, "output_size: expected at most", "adaptive_avg_pool2d", ONE, 2**31 - 1),
    (ValueError, "output: expected a", "adaptive_avg_pool2d", endless((2**20, 1, 1, 1)), 2**27),
    (ValueError, "output: expected a", "max_unpool2d", np.ones((256, 1, 1, 1)), np.zeros((256, 1, 1, 1), int), 2**27),
    (ValueError, "output_size: expected at most", "max_unpool2d", ONE, ONE.astype(int), 2**31 - 1),
    (ValueError, r"padding: expected a padded input of at most 2\*\*56", "unfold", ONE, 2**30, 1, 2**30),
    (ValueError, "output: expected a", "unfold", endless((0, 1, 2**25, 2**25)), 2**7),
    (ValueError, r"padding: expected a padded input of at most 2\*\*56", "fold", ONE[0], 2**31 - 1, 1, 1, 0, 2**31 - 1),
    (ValueError, r"padding: expected a padded input of at most 2\*\*56", "local_conv2d", ONE, ONE[0], None, 1, 2**30),
    (ValueError, "weight: expected a product of sizes", "local_conv2d", ONE, endless((1, 2**60, 1), "?")),
    (ValueError, "input: expected a product of sizes", "conv2d", endless((1, 1, 2**30, 2**31), "?"), ONE),
    (ValueError, "input: expected a product of sizes", "conv2d", endless((0, 1, 2**30, 2**31), "?"), ONE),
    (ValueError, "input: expected a product of sizes", "max_pool2d", endless((2**41, 1, 2**10, 2**10), "f2"), 1),
    (ValueError, "weight: expected a product of sizes", "conv2d", ONE, endless((2**60, 1, 1, 1), "?")),
    (ValueError, "input_size: expected a product of sizes", "conv2d_input", (2**31, 1, 2**15, 2**15), ONE, ONE),
    (ValueError, "input_size: expected a product of sizes", "conv2d_input", (0, 1, 2**30, 2**31), ONE, ONE),
    (ValueError, "output: expected a", "conv2d", endless((1, 1, 2**28, 2**28)), endless((2**20, 1, 1, 1))),
    (ValueError, "output: expected a", "conv2d", endless((0, 1, 2**28, 2**28)), endless((2**20, 1, 1, 1))),
    (ValueError, "output: expected a", "conv2d", TALL, ONE, None, 1, 2**20),
    (ValueError, "output: expected a", "max_pool2d", endless((2**58, 1, 2, 2)), 2**5, 1, 2**4),
    (ValueError, r"padding: expected a padded input of at most 2\*\*56", "conv2d", ONE, ONE, None, 1, 2**30),
    (ValueError, r"padding: expected a padded input of at most 2\*\*56", "conv2d", ONE, ONE, None, 2**31 - 1, 2**30),
    (ValueError, r"padding: expected a padded input of at most 2\*\*56", "max_pool2d", ONE, 2**30, 2**30, 2**29),
]


@pytest.mark.parametrize(("error", "message", "name", "arguments"), [(e, m, n, a) for e, m, n, *a in ENDLESS])
def test_endless(error, message, name, arguments):
    with pytest.raises(error, match=f"^{message}"):
        fast(name)(*arguments)
    # The process goes on, and right.
    assert fc.conv2d(np.full((1, 1, 3, 3), 2.0), np.full((1, 1, 3, 3), 3.0)).item() == 54


def test_endless_packed_weight():
    with pytest.raises(MemoryError):
        fc.PackedWeight(TALL)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_no_memory_for_the_workspace(python):
    script = f"""
import resource, numpy as np, fastconv as fc

def used():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()

fc.set_num_threads(1)
x, w, dy = np.ones((1, 600, 4, 4), "f4"), np.ones((600, 600, 3, 3), "f4"), np.ones((1, 600, 2, 2), "f4")
out = np.full(x.nbytes, {FILL}, np.uint8).view("f4").reshape(x.shape)
call = lambda: fc.grad.conv2d_input(x.shape, w, dy, algorithm="im2col", out=out)
soft, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used() + (2 << 20), hard))
try:
    call()
except MemoryError as error:
    print("MemoryError:", error)
print((out.view(np.uint8) == {FILL}).all())
resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
print(call()[0, 0])
"""
    lines = python(script).stdout.splitlines()
    assert lines[0].startswith("MemoryError: no memory for the workspace") and lines[1] == "True"
    counts = np.array([1, 2, 2, 1])
    assert lines[2:] == str((np.outer(counts, counts) * 600.0).astype(np.float32)).splitlines()


# --- Right options in every form


class Indexed:
    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value


class Number(enum.IntEnum):
    ONE = 1
    TWO = 2
    THREE = 3
    SIX = 6
    SEVEN = 7


INTEGERS = [*map(np.dtype, "bBhHiIlLqQ")]
FORMS = {
    **{f"numpy {dtype.char}": dtype.type for dtype in INTEGERS},
    "0-d array": np.array,
    "0-d array, big-endian": lambda value: np.array(value, ">i2"),
    "__index__": Indexed,
    "IntEnum": Number,
}
SEQUENCES = {
    "tuple": tuple,
    "list": list,
    "array": np.array,
    "array of uint8": partial(np.array, dtype=np.uint8),
    "list of arrays": lambda values: [*map(np.array, values)],
    "tuple of numpy": lambda values: tuple(map(np.int16, values)),
}


@by_function
def test_integers_of_every_kind(name):
    n, a = dimensions_of(name), arguments_of(name)
    wanted = slow(name)(**a)
    keys = ("stride", "padding", "dilation", "kernel_size", "groups", "output_padding", "output_size")
    for key in [key for key in keys if key in a]:
        forms = {what: form(a[key]) for what, form in FORMS.items()}
        if key != "groups":
            forms |= {what: form([a[key]] * n) for what, form in SEQUENCES.items()}
            if not (key == "output_size" and "adaptive" in name):  # As in PyTorch.
                forms |= {f"{what} of one": form([a[key]]) for what, form in SEQUENCES.items()}
        if key == "padding" and is_convolution(name):
            pairs = [[a[key]] * 2] * n
            forms |= {"list of pairs": pairs, "array of pairs": np.array(pairs)}
            forms |= {"tuples": ((1, 1),) * n, "pairs of numpy": [(np.int8(1), np.array(1))] * n}
        for what, value in forms.items():
            for find in (fast, slow):
                assert same(find(name)(**a | {key: value}), wanted), f"{find.__name__} {key}: {what}"
    for key in ("input_size", "weight_size"):
        for form in (list, lambda size: tuple(map(np.int64, size)), lambda size: [*map(Indexed, size)]):
            for find in (fast, slow) if key in a else ():
                assert same(find(name)(**a | {key: form(a[key])}), wanted), key


@by_function
def test_flags_and_words_of_numpy(name):
    a = arguments_of(name)
    for key, value in (("ceil_mode", np.True_), ("count_include_pad", np.False_), ("return_indices", np.True_)):
        if key in parameters_of(name):
            assert same(fast(name)(**a | {key: value}), slow(name)(**a | {key: bool(value)})), key
    for layout in LAYOUTS:
        laid_out = arguments_of(name, layout)
        for word in (np.str_(layout), "".join(list(layout))):  # Neither is the object that is the default.
            assert same(fast(name)(**laid_out | {"layout": word}), slow(name)(**laid_out))
    if is_convolution(name):
        assert same(fast(name)(**a, algorithm="".join(["au", "to"])), slow(name)(**a))
    if "needs" in parameters_of(name):
        assert same(fast(name)(**a, needs=[*np.ones(3, bool)]), slow(name)(**a))
    if "divisor_override" in parameters_of(name):
        for value in (np.int8(-4), np.array(-4), Indexed(-4)):
            assert same(fast(name)(**a, divisor_override=value), slow(name)(**a, divisor_override=-4))


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if "pool" in name and "adaptive" not in name])
def test_stride_of_a_pool_is_its_kernel(name):
    forward = forward_of(name)
    a = without(arguments_of(name), "stride", "grad_output", *["indices"] * ("unpool" not in name))
    a |= {"grad_output": slow(forward)(**a)} if name != forward else {}
    for find in (fast, slow):
        wanted = find(name)(**a, stride=2)
        for value in (None, (), []):
            assert same(find(name)(**a, stride=value), wanted)
        assert same(find(name)(**a), wanted)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if "unpool" in name])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_sizes_of_an_unpooling_in_every_form(name, layout):
    a, n = arguments_of(name, layout), dimensions_of(name)
    size = [2 * s - 2 for s in SIZE[:n]]
    # Of a whole shape in the layout, the batch and the channels say nothing.
    whole = [9, 9, *size] if layout == "channels_first" else [9, *size, 9]
    wanted = slow(name)(**a)
    for what, form in SEQUENCES.items():
        for value in (form(size), form(whole)):
            for find in (fast, slow):
                assert same(find(name)(**a, output_size=value), wanted), f"{find.__name__} {what}"


# The largest that are taken, and smaller ones of the same meaning: nothing in the engine overflows.
LARGEST = 2**31 - 1
LARGE = [
    ("conv2d", {"stride": LARGEST}, {"stride": 9}),
    ("conv2d", {"stride": (LARGEST, 1), "padding": 2}, {"stride": (9, 1), "padding": 2}),
    ("conv2d", {"stride": (LARGEST, LARGEST - 1), "dilation": (LARGEST, 2)}, {"stride": 9, "dilation": (1, 2)}),
    ("conv2d", {"stride": (2, 1), "dilation": (LARGEST, 1)}, {"stride": (2, 1)}),
    ("max_pool2d", {"stride": LARGEST}, {"stride": 9}),
    ("max_pool2d", {"kernel_size": LARGEST, "ceil_mode": True}, {"kernel_size": 9, "ceil_mode": True}),
    ("max_pool2d", {"kernel_size": 1, "dilation": LARGEST, "stride": 2}, {"kernel_size": 1, "stride": 2}),
    (
        "max_pool2d",
        {"kernel_size": 2, "stride": LARGEST, "dilation": LARGEST, "ceil_mode": True, "padding": 1},
        {"kernel_size": 2, "stride": 9, "dilation": 9, "ceil_mode": True, "padding": 1},
    ),
    ("avg_pool2d", {"stride": LARGEST, "ceil_mode": True}, {"stride": 9, "ceil_mode": True}),
    ("unfold", {"stride": LARGEST}, {"stride": 9}),
    ("unfold", {"kernel_size": 1, "dilation": LARGEST, "stride": (LARGEST, 2)}, {"kernel_size": 1, "stride": (9, 2)}),
    ("avg_pool2d", {"kernel_size": LARGEST, "ceil_mode": True}, {"kernel_size": 9, "ceil_mode": True}),
    (
        "avg_pool2d",
        {"kernel_size": LARGEST, "ceil_mode": True, "padding": 1, "count_include_pad": False},
        {"kernel_size": 9, "ceil_mode": True, "padding": 1, "count_include_pad": False},
    ),
]


@pytest.mark.parametrize(("name", "large", "small"), LARGE)
def test_large_options(isa, name, large, small):
    for layout, algorithm in product(LAYOUTS, cases.ALGORITHMS if is_convolution(name) else [None]):
        x = cases.numbers((2, 4, 5, 6) if layout == "channels_first" else (2, 5, 6, 4), "float64", "integers", "x")
        arguments, options = (x,), {"layout": layout}
        if is_convolution(name):
            # Depthwise, and with a kernel of one row, which no dilation makes larger.
            arguments = x, cases.numbers((8, 1, 1, 3), "float64", "integers", "w")
            options["groups"] = 4
        elif "kernel_size" not in large:
            options["kernel_size"] = 3
        chosen = {} if algorithm is None else {"algorithm": algorithm}
        wanted = slow(name)(*arguments, **options, **small)
        dy = cases.numbers(wanted.shape, "float64", "integers", "dy")
        right = slow(f"{name}_backward")(dy, *arguments, **options, **small)
        try:
            y = fast(name)(*arguments, **options, **large, **chosen)
            gradients = fast(f"{name}_backward")(dy, *arguments, **options, **large, **chosen)
        except ValueError as refusal:
            assert algorithm is not None and str(refusal).startswith("algorithm: "), (layout, algorithm)
            continue
        for ours, theirs in zip((y, *as_tuple(gradients)), (wanted, *as_tuple(right)), strict=True):
            assert ours is theirs is None or np.allclose(ours, theirs, rtol=1e-14, atol=1e-14), (layout, algorithm)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("algorithm", cases.ALGORITHMS)
def test_large_strides_of_a_transposed_convolution(isa, layout, algorithm):
    # Of one pixel there is one window, whatever the stride; and one cell of it, whatever the dilation.
    x = np.full((2, 4, 1, 1) if layout == "channels_first" else (2, 1, 1, 4), 3.0)
    w = cases.numbers((4, 2, 3, 1), "float64", "integers", "w")
    options = {"layout": layout, "groups": 2, "algorithm": algorithm}
    large = {"stride": LARGEST, "dilation": (1, LARGEST)}
    wanted = slow("conv_transpose2d")(x, w, layout=layout, groups=2)
    right = slow("conv_transpose2d_backward")(wanted, x, w, layout=layout, groups=2)
    try:
        y = fc.conv_transpose2d(x, w, **options, **large)
        gradients = grad.conv_transpose2d_backward(wanted, x, w, **options, **large)
    except ValueError as refusal:
        assert algorithm != "auto" and str(refusal).startswith("algorithm: ")
        return
    assert same(y, wanted) and same(gradients[0], right[0]) and same(gradients[1], right[1])


def test_divisors_of_any_size():
    x = np.ones((1, 1, 2, 2))
    for divisor in (2**63 - 1, -(2**63), 2**31, -1):
        assert fc.avg_pool2d(x, 2, divisor_override=divisor) == slow("avg_pool2d")(x, 2, divisor_override=divisor)


# --- Every kind of array


class Arrays(np.ndarray):
    """A subclass that is in the way of everything."""

    def __array_ufunc__(self, *inputs, **options):
        raise AssertionError("a ufunc of the subclass")

    def __setitem__(self, key, value):
        raise AssertionError("an assignment of the subclass")


class WithArray:
    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


class WithDlpack:
    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def reversed_twice(array):
    return np.ascontiguousarray(np.flip(array))[(slice(None, None, -1),) * array.ndim]


def every_second(array):
    room = np.full([2 * size + 1 for size in array.shape], 99, array.dtype)
    view = room[(slice(1, None, 2),) * array.ndim]
    view[...] = array
    return view


def misaligned(array, offset=1):
    room = b"x" * offset + array.tobytes()
    return np.frombuffer(room, array.dtype, array.size, offset).reshape(array.shape)


def frozen(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def big_endian(array):
    return array.astype(array.dtype.newbyteorder(">"))


KINDS = {
    "negative strides": reversed_twice,
    "Fortran order": np.asfortranarray,
    "axes in another order": lambda array: np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 0, -1)), -1, 0),
    "every second": every_second,
    "odd address": misaligned,
    "odd address and big-endian": lambda array: misaligned(big_endian(array)),
    "two bytes from a line": partial(misaligned, offset=2),
    "big-endian": big_endian,
    "big-endian, every second": lambda array: every_second(big_endian(array)),
    "little-endian": lambda array: array.astype(array.dtype.newbyteorder("<")),
    "read-only": frozen,
    "dtype with metadata": lambda array: array.astype(np.dtype(array.dtype, metadata={"unit": "m"})),
    "masked": lambda array: np.ma.array(array, mask=array > 0),
    "subclass": lambda array: array.view(Arrays),
    "record array": lambda array: array.view(np.recarray),
    "__array__": WithArray,
    "__array__, every second": lambda array: WithArray(every_second(array)),
    "__dlpack__": lambda array: WithDlpack(array.copy()),
    "__dlpack__, negative strides": lambda array: WithDlpack(reversed_twice(array)),
}


@by_function
@pytest.mark.parametrize("layout", LAYOUTS)
def test_kinds_of_arrays(name, layout):
    for dtype in DTYPES:
        a = arguments_of(name, layout, dtype)
        plain = fast(name)(**a)
        assert same(plain, slow(name)(**a)), dtype
        for what, convert in KINDS.items():
            changed = {key: convert(value) if isinstance(value, np.ndarray) else value for key, value in a.items()}
            result = fast(name)(**changed)
            assert cases.identical(result, plain), (what, dtype)
            assert all(type(array) is np.ndarray and array.flags.c_contiguous for array in as_tuple(result))


def test_matrices():
    # They have two dimensions for good: those of a signal without a batch.
    x, w = np.arange(12.0).reshape(2, 6), np.ones((3, 2, 2))
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix(x)
    assert cases.identical(fc.conv1d(matrix, w), fc.conv1d(x, w))
    assert cases.identical(fc.max_pool1d(matrix, 2), fc.max_pool1d(x, 2))


@by_function
def test_repeated_numbers(name):
    # Strides of 0, by which all numbers of an array, or of an axis, are in the same memory.
    a = arguments_of(name)
    for axis in (None, 0, -1):
        changed = {}
        for key, value in a.items():
            if isinstance(value, np.ndarray):
                one = value[(0,) * value.ndim] if axis is None else value.take([0], axis)
                changed[key] = np.broadcast_to(one, value.shape)
        plain = {key: value.copy() for key, value in changed.items()}
        assert cases.identical(fast(name)(**a | changed), fast(name)(**a | plain)), axis


@by_convolution
def test_integers_in_convolutions(name):
    a = arguments_of(name)
    keys = [key for key in a if isinstance(a[key], np.ndarray)]
    for integer, key, dtype in product([*"?bBhHiIlLqQ", ">i2"], [*keys, None], DTYPES):
        # One of them of integers, and the others say the dtype; or all of them, which makes it float64.
        changed = {k: np.abs(a[k]).astype(integer if key in (k, None) else dtype) for k in keys}
        wanted = dtype if key is not None and len(keys) > 1 else "float64"
        result = fast(name)(**a | changed)
        plain = {k: value.astype(wanted) for k, value in changed.items()}
        assert all(array.dtype == wanted for array in as_tuple(result)), (integer, key, dtype)
        assert same(result, fast(name)(**a | plain)) and same(result, slow(name)(**a | changed)), (integer, key, dtype)


@by_function
def test_mixed_floats(name):
    arrays = {dtype: arguments_of(name, dtype=dtype) for dtype in DTYPES}
    a = arrays["float32"]
    keys = [key for key in a if isinstance(a[key], np.ndarray) and key != "indices"]
    for dtypes in product(DTYPES, repeat=len(keys)):
        changed = {key: arrays[dtype][key] for key, dtype in zip(keys, dtypes, strict=True)}
        for order in "=", ">":
            ordered = {key: value.astype(value.dtype.newbyteorder(order)) for key, value in changed.items()}
            result = fast(name)(**a | ordered)
            assert all(array.dtype == max(dtypes, key=DTYPES.index) for array in as_tuple(result)), dtypes
            assert same(result, slow(name)(**a | changed)), dtypes


@by_indices
def test_indices_of_every_kind(name):
    a = arguments_of(name)
    wanted = slow(name)(**a)
    for integer, what in product([*"bBhHiIlLqQ", ">i8", ">u2"], ("every second", "odd address", "__array__")):
        if a["indices"].max() <= np.iinfo(integer).max:
            indices = KINDS[what](a["indices"].astype(integer))
            assert same(fast(name)(**a | {"indices": indices}), wanted), (integer, what)


@by_function
def test_batch_of_none(name):
    for layout, dtype in product(LAYOUTS, DTYPES):
        a = arguments_of(name, layout, dtype, batch=0)
        wanted = slow(name)(**a)
        assert same(fast(name)(**a), wanted)
        for array in as_tuple(wanted):
            assert array.size == 0 or (array == 0).all(), "the gradient of a weight or a bias is a sum of nothing"
        out = room_for(wanted)
        result = fast(name)(**a, out=out)
        assert same(result, wanted) and all(r is o for r, o in zip(as_tuple(result), as_tuple(out), strict=True))
    if name in WEIGHTED_FUNCTIONS:
        for algorithm in ("direct",) if is_local(name) else ("direct", "im2col"):
            assert same(fast(name)(**a, algorithm=algorithm, activation="relu"), wanted)


# --- Every kind of out


def carve(shape, dtype, before, after, order="C", sign=1, gap=1):
    """Return a view of a larger block of memory full of FILL, its axes in some order, direction and distance."""
    strides = np.empty(shape, np.uint8, order).strides if 0 not in shape else (1,) * len(shape)
    step = np.dtype(dtype).itemsize * gap
    size = step * math.prod(shape)
    block = np.full(before + size + after, FILL, np.uint8)
    start = before + (sum((n - 1) * s * step for n, s in zip(shape, strides, strict=True)) if sign < 0 else 0)
    return np.ndarray(shape, dtype, block, start, [sign * s * step for s in strides])


def other_order(dtype):
    return np.dtype(dtype).newbyteorder()


OUTS = {
    "inside": lambda shape, dtype: carve(shape, dtype, 64, 64),
    "odd address": lambda shape, dtype: carve(shape, dtype, 1, 3),
    "two bytes from a line": lambda shape, dtype: carve(shape, dtype, 2, 2),
    "Fortran order": lambda shape, dtype: carve(shape, dtype, 64, 64, "F"),
    "every third": lambda shape, dtype: carve(shape, dtype, 64, 64, gap=3),
    "negative strides": lambda shape, dtype: carve(shape, dtype, 64, 64, sign=-1),
    "negative, Fortran, gaps, odd": lambda shape, dtype: carve(shape, dtype, 5, 6, "F", -1, 2),
    "other byte order": lambda shape, dtype: carve(shape, other_order(dtype), 64, 64),
    "other byte order, odd, gaps": lambda shape, dtype: carve(shape, other_order(dtype), 3, 4, gap=2),
    "dtype with metadata": lambda shape, dtype: carve(shape, np.dtype(dtype, metadata={"unit": "m"}), 64, 64),
    "subclass": lambda shape, dtype: carve(shape, dtype, 64, 64).view(Arrays),
    "subclass with gaps": lambda shape, dtype: carve(shape, dtype, 64, 64, gap=2).view(Arrays),
    "masked": lambda shape, dtype: np.ma.array(carve(shape, dtype, 8, 8, gap=2), mask=True, hard_mask=True, copy=False),
}


def untouched_around(out):
    """Whether the block around an array is as it was; what is inside is lost."""
    view, block = np.asarray(out), np.asarray(out)
    while block.base is not None:
        block = block.base
    view[...] = np.frombuffer(bytes([FILL]) * view.itemsize, view.dtype)[0]
    return block.dtype == np.uint8 and (block == FILL).all()


@by_function
@pytest.mark.parametrize("layout", LAYOUTS)
def test_kinds_of_out(name, layout):
    flags = [{}, {"return_indices": True}] if "return_indices" in parameters_of(name) else [{}]
    for dtype, more in product(DTYPES, flags):
        a = arguments_of(name, layout, dtype) | more
        wanted = as_tuple(slow(name)(**a))
        for what, make in OUTS.items():
            outs = tuple(make(array.shape, array.dtype) for array in wanted)
            results = as_tuple(fast(name)(**a, out=outs if len(outs) > 1 else outs[0]))
            for result, out, right in zip(results, outs, wanted, strict=True):
                assert result is out, "what is given is returned"
                assert np.array_equal(np.asarray(out), right), (what, dtype)
                assert untouched_around(out), (what, dtype)


@by_whole_gradient
def test_some_of_several_outs(name):
    a = arguments_of(name)
    wanted = slow(name)(**a)
    for given_outs in product([True, False], repeat=3):
        out = [room_for(array) if one else None for array, one in zip(wanted, given_outs, strict=True)]
        result = fast(name)(**a, out=out)
        assert same(result, wanted)
        assert [r is o for r, o in zip(result, out, strict=True)] == [*given_outs]
        needed = fast(name)(**a, out=out, needs=given_outs)
        assert [array is not None for array in needed] == [*given_outs]


def test_one_of_a_pair_of_outs():
    a = arguments_of("max_pool2d") | {"return_indices": True}
    for find in (fast, slow):
        value, index = wanted = slow("max_pool2d")(**a)
        for out in ((room_for(value), None), [None, room_for(index)], (None, None)):
            result = find("max_pool2d")(**a, out=out)
            assert same(result, wanted) and all(r is o for r, o in zip(result, out, strict=True) if o is not None)


# --- Whatever comes


NUMBERS = strategies.integers(-2, 4)
JUNK = strategies.one_of(
    strategies.none(),
    strategies.booleans(),
    NUMBERS,
    strategies.sampled_from([2**31, 2**63, 2**64, 2**70, -(2**31), -(2**63), -(2**70)]),
    strategies.floats(),
    strategies.complex_numbers(),
    strategies.text(max_size=3),
    strategies.binary(max_size=2),
    strategies.sampled_from(["same", "valid", "channels_first", "channels_last", "relu", "auto", int, Thing(), ...]),
    strategies.sets(NUMBERS, max_size=3),
    strategies.lists(NUMBERS, max_size=4),
    strategies.lists(strategies.lists(NUMBERS, max_size=3), max_size=3).map(tuple),
    strategies.lists(NUMBERS | strategies.floats() | strategies.booleans() | strategies.none(), max_size=3).map(tuple),
    strategies.lists(NUMBERS, max_size=3).map(lambda values: np.array(values, int)),
    strategies.lists(NUMBERS, max_size=3).map(lambda values: np.array([values] * 2)),
    NUMBERS.map(np.array),
    NUMBERS.map(np.int8),
    strategies.floats(width=32).map(np.float32),
)
JUNK_FOR = {
    *("stride", "padding", "dilation", "groups", "kernel_size", "ceil_mode", "count_include_pad", "return_indices"),
    *("divisor_override", "needs", "layout", "activation", "input_size", "weight_size"),
    *("output_padding", "output_size"),
}


def outcome(function, arguments):
    try:
        return function(**arguments)
    except (TypeError, ValueError, MemoryError) as error:
        return error


@settings(max_examples=800, deadline=None, derandomize=True)
@given(data=strategies.data())
def test_junk(data):
    name = data.draw(strategies.sampled_from(FUNCTIONS))
    a = arguments_of(name)
    options = strategies.sampled_from(sorted(JUNK_FOR & {*parameters_of(name)}))
    keys = data.draw(strategies.sets(options, min_size=1, max_size=3))
    a |= {key: data.draw(JUNK, key) for key in sorted(keys)}
    ours, theirs = (outcome(find(name), a) for find in (fast, slow))
    if isinstance(theirs, Exception) and len(keys) == 1:
        assert type(ours) is type(theirs), (ours, theirs)
    elif isinstance(theirs, Exception):
        assert isinstance(ours, Exception), theirs  # Which of two mistakes is seen first is nobody's business.
    else:
        assert not isinstance(ours, Exception), ours
        for actual, wanted in zip(as_tuple(ours), as_tuple(theirs), strict=True):
            assert actual is wanted is None or np.allclose(actual, wanted, rtol=1e-5, equal_nan=True)


SHARED_FUNCTIONS = [name for name in FORWARD_FUNCTIONS if not is_local(name) and "unpool" not in name]


@pytest.mark.filterwarnings("default")
def test_the_same_mistakes_as_in_pytorch(torch):
    def shape_or_none(function, *arrays, **options):
        try:
            return tuple(function(*arrays, **options).shape)
        except (TypeError, ValueError, RuntimeError):
            return None

    def sizes(least, most, n):
        return strategies.tuples(*[strategies.integers(least, most)] * n)

    @settings(max_examples=800, deadline=None, derandomize=True)
    @given(data=strategies.data())
    def agree(data):
        draw = data.draw
        name = draw(strategies.sampled_from(SHARED_FUNCTIONS))
        n = dimensions_of(name)

        def option(values, some):
            one = strategies.sampled_from(values * 6 + some)
            if name in cases.UNFOLD_FUNCTIONS:  # PyTorch's take no list of one.
                return draw(one | strategies.tuples(one, one))
            return draw(one | strategies.tuples(*[one] * n) | strategies.lists(one, min_size=n - 1, max_size=n + 1))

        channels = draw(strategies.integers(1, 4))
        # PyTorch looks less closely at an empty batch of a transposed convolution.
        batches = [(), (2,)] if is_transposed(name) else [(), (0,), (2,)]
        shape = (*draw(strategies.sampled_from(batches)), channels, *draw(sizes(4, 6, n)))
        x = np.ones(shape, np.float32)
        arrays = (x,)
        options = {"stride": option([1, 2, 3], [0, -1]), "padding": option([0, 1, 2], [3, -1])}
        if is_convolution(name):
            # With a batch of 0 PyTorch takes a dilation of 0.
            options["dilation"] = option([1, 2], [-1] if shape[0] == 0 else [0, -1])
            options["groups"] = draw(strategies.sampled_from([1, 1, 2, 3, 0, -1]))
            each = max(1, channels // max(1, options["groups"]))
            kernel = draw(sizes(1, 3, draw(strategies.sampled_from([n, n, n, n, n - 1, n + 1]))))
            if is_transposed(name):
                options["output_padding"] = option([0, 0, 1], [2, -1])
                in_channels = draw(strategies.sampled_from([channels] * 4 + [5]))
                w = np.ones((in_channels, draw(strategies.integers(1, 3)), *kernel))
                out_channels = w.shape[1] * options["groups"]
            else:
                words = strategies.sampled_from(["same", "valid", "x"])
                options["padding"] = draw(strategies.just(options["padding"]) | words)
                w = np.ones((draw(strategies.integers(1, 6)), each, *kernel))
                out_channels = len(w)
            biases = [None, np.ones(max(0, out_channels), np.float32), np.ones(2, np.float32)]
            arrays = x, w.astype(np.float32), draw(strategies.sampled_from(biases))
        elif "adaptive" in name:
            options = {"output_size": option([1, 2, 3, 7], [-1, *[None] * (n > 1)])}
        elif name in cases.UNFOLD_FUNCTIONS:
            options["kernel_size"] = option([1, 2, 3], [7, 0])
            options["dilation"] = option([1, 2], [0, -1])
            if name == "fold":
                options["output_size"] = option([4, 5, 6], [1, 0])
                columns = np.prod(draw(sizes(1, 4, 2)))
                try:
                    size = np.broadcast_to(options["output_size"], 2)
                    columns = slow("unfold")(np.ones((1, *size)), **without(options, "output_size")).shape[1]
                except ValueError:
                    pass
                rows = channels * int(np.prod(options["kernel_size"])) ** (2 - np.ndim(options["kernel_size"]))
                rows += draw(strategies.sampled_from([0, 0, 0, 1]))
                arrays = (np.ones((*shape[:-3], max(1, rows), columns), np.float32),)
        else:
            options["kernel_size"] = option([1, 2, 3, 4], [5, 7, 0])
            options["stride"] = draw(strategies.just(options["stride"]) | strategies.sampled_from([None, ()]))
            options["ceil_mode"] = draw(strategies.booleans())
            if name.startswith("max"):
                options["dilation"] = option([1, 2], [0, -1])
            elif n > 1:
                options["divisor_override"] = draw(strategies.sampled_from([None, None, 1, -2, 0]))
        tensors = [None if array is None else torch.tensor(array) for array in arrays]
        theirs = shape_or_none(getattr(torch.nn.functional, name), *tensors, **options)
        if name == "avg_pool3d" and theirs is None:
            return  # PyTorch's alone refuses a kernel that fits the padded input and not the input.
        if theirs is not None and 0 in theirs[-n:]:
            theirs = None  # PyTorch's alone give an output without a pixel.
        assert shape_or_none(fast(name), *arrays, **options) == theirs
        assert shape_or_none(slow(name), *arrays, **options) == theirs

    agree()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_out_of_a_batch_of_zero(layout):
    shape = (0, 2, 6, 6) if layout == "channels_first" else (0, 6, 6, 2)
    x, w = np.zeros(shape, np.float32), np.ones((2, 2, 3, 3), np.float32)
    for call in (
        lambda out=None: fc.conv2d(x, w, padding=1, layout=layout, out=out),
        lambda out=None: fc.max_pool2d(x, 2, layout=layout, out=out),
        lambda out=None: grad.avg_pool2d_backward(fc.avg_pool2d(x, 3, layout=layout), x, 3, layout=layout, out=out),
    ):
        out = np.empty_like(call())
        assert call(out) is out


def test_taps_far_outside_are_not_visited():
    x = np.arange(10, dtype=np.float32).reshape(1, 1, 10)
    assert fc.max_pool1d(x, 2**31 - 1, padding=2**30 - 1).item() == 9
    assert fc.max_pool3d(np.ones((1, 1, 2, 2, 2)), 2**17, 2**17, 2**16).item() == 1
    y = fc.conv2d(np.ones((1, 8, 30, 30)), np.ones((8, 1, 2, 2)), dilation=2**20, padding="same", groups=8)
    assert y.shape == (1, 8, 30, 30) and not y.any()

"""What is wrong for each argument of each function: the values, the exception, and the message that they must give."""

import math
import re
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import cases
import numpy as np
from calls import SIZE, dimensions_of, forward_of, is_convolution, is_local, is_transposed, room_for
from cases import DTYPES, slow

import fastconv as fc


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


def lengths(pairs):
    return "sequences of " + ", ".join(str(len(pair)) for pair in pairs)


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
        *wrong_value("padding", rf"{n} pairs \(before, after\)", [Part(value, value) for value in pairs], got=lengths),
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

"""What comes in right, in whatever form: options, every kind of array, every kind of ``out``, and junk."""

import enum
import math
from functools import partial
from itertools import product

import cases
import numpy as np
import pytest
from calls import (
    FILL,
    SIZE,
    arguments_of,
    as_tuple,
    dimensions_of,
    forward_of,
    is_convolution,
    is_local,
    is_transposed,
    parameters_of,
    room_for,
    same,
    without,
)
from cases import (
    DTYPES,
    FORWARD_FUNCTIONS,
    FUNCTIONS,
    LAYOUTS,
    WEIGHTED_FUNCTIONS,
    fast,
    slow,
)
from hypothesis import given, settings, strategies
from wrong import Thing

import fastconv as fc
from fastconv import grad

# A warning goes to stderr as well.
pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.usefixtures("silence")]

by_function = pytest.mark.parametrize("name", FUNCTIONS)
by_convolution = pytest.mark.parametrize("name", [name for name in FUNCTIONS if is_convolution(name)])
by_whole_gradient = pytest.mark.parametrize("name", [f"{name}_backward" for name in WEIGHTED_FUNCTIONS])
by_indices = pytest.mark.parametrize("name", [name for name in FUNCTIONS if "indices" in parameters_of(name)])


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
        lambda out=None: fc.conv_transpose2d(x, w, stride=2, layout=layout, out=out),
        lambda out=None: fc.local_conv2d(x, np.ones((36, 2, 2), np.float32), layout=layout, out=out),
        lambda out=None: fc.adaptive_avg_pool2d(x, 4, layout=layout, out=out),
        lambda out=None: fc.max_unpool2d(x, x.astype(int), 2, layout=layout, out=out),
        lambda out=None: fc.unfold(x, 3, layout=layout, out=out),
        lambda out=None: fc.fold(fc.unfold(x, 3, layout=layout), 6, 3, layout=layout, out=out),
    ):
        out = np.empty_like(call())
        assert call(out) is out


def test_taps_far_outside_are_not_visited():
    x = np.arange(10, dtype=np.float32).reshape(1, 1, 10)
    assert fc.max_pool1d(x, 2**31 - 1, padding=2**30 - 1).item() == 9
    assert fc.max_pool3d(np.ones((1, 1, 2, 2, 2)), 2**17, 2**17, 2**16).item() == 1
    y = fc.conv2d(np.ones((1, 8, 30, 30)), np.ones((8, 1, 2, 2)), dilation=2**20, padding="same", groups=8)
    assert y.shape == (1, 8, 30, 30) and not y.any()

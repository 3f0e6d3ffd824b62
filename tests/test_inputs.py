"""What comes in wrong: every argument of every function, in every way, and sizes beyond all memory.

A mistake is a TypeError or a ValueError that names the argument, what was expected and what came, and the reference
raises the same. After it every byte is as before: of the inputs, of ``out``, of stderr.
"""

import re
import sys

import cases
import numpy as np
import pytest
from calls import (
    FILL,
    arguments_of,
    arrays_in,
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
    CONVOLUTION_FUNCTIONS,
    FORWARD_FUNCTIONS,
    FUNCTIONS,
    LAYOUTS,
    TRANSPOSED_FUNCTIONS,
    WEIGHTED_FUNCTIONS,
    fast,
    slow,
)
from wrong import (
    NO_INTEGERS,
    NO_NUMBERS,
    STRUCTURE,
    WRONG,
    Part,
    Wrong,
    brief,
    integer,
    no_array,
    no_sizes,
    of_dtypes,
    of_other_shapes,
    out_tuple,
    sizes_option,
    type_name,
    unlike,
    wrong_type,
    wrong_value,
)

import fastconv as fc

# A warning goes to stderr as well.
pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.usefixtures("silence")]

by_function = pytest.mark.parametrize("name", FUNCTIONS)
by_convolution = pytest.mark.parametrize("name", [name for name in FUNCTIONS if is_convolution(name)])
by_whole_gradient = pytest.mark.parametrize("name", [f"{name}_backward" for name in WEIGHTED_FUNCTIONS])


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


@pytest.mark.parametrize(("name", "argument"), [(name, key) for name in FUNCTIONS for key in parameters_of(name)])
def test_wrong_argument(name, argument):
    a = arguments_of(name)
    out = room_for(slow(name)(**a))
    for value, error, message in WRONG[argument](name, a):
        check_refusal(name, {**a, "out": out, argument: value}, error, message, f"{name}({argument}={brief(value)})")


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if "indices" in parameters_of(name)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_wrong_places(isa, name, layout):
    # Without an ``out`` they may be found as late as when they are used; one of many suffices.
    a, least = arguments_of(name, layout), 0 if "unpool" in name else -1
    plane = slow(forward_of(name))(**without(a, "grad_output"))[0].size // 4 if least == 0 else a["input"][0].size // 4
    message = f"indices: expected places in a plane of {plane}, got .*"
    for where in (0, a["indices"].size // 2, -1):
        for wrong in (least - 1, plane, 2**40, -(2**40)):
            indices = a["indices"].copy()
            indices.flat[where] = wrong
            check_refusal(name, a | {"indices": indices}, ValueError, message, f"{name}, {wrong} among indices")


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
            for value in ("int32", "c8", "O", "nothing", "(2,3", object(), 3, [], "float128", STRUCTURE)
        ],
        **{key: sizes_option(key, 2, least) for key, least in (("stride", 1), ("dilation", 1))},
        "padding": sizes_option("padding", 2, 0, but=str),
        "groups": integer("groups", 1, 2**63 - 1),
        "layout": WRONG["layout"]("conv2d", {}),
        "algorithm": WRONG["algorithm"]("conv2d", {}),
    }
    for argument, rows in options.items():
        yield from ((argument, row) for row in rows)
    has_none = "output_padding: expected None, for conv2d has none, got .*"
    yield from (("output_padding", Wrong(value, ValueError, has_none)) for value in (0, 1, (1, 1), "1"))
    cannot = "algorithm: expected one that can do this problem, got 'depthwise', which needs .*"
    yield "algorithm", Wrong("depthwise", ValueError, cannot)


def test_wrong_argument_of_explain():
    assert explain().algorithm in fc.algorithms()
    assert explain(dtype=None) == explain()
    for argument, (value, error, message) in wrong_in_explain():
        with pytest.raises(error) as caught:
            explain(**{argument: value})
        right = type(caught.value) is error and re.fullmatch(message, str(caught.value))
        assert right, f"{argument}={value!r}: {caught.value!r}, not {message}"


def test_wrong_argument_of_explain_transposed():
    right = {"function": "conv_transpose2d", "weight_shape": (4, 6, 3, 3), "stride": 2}
    assert explain(**right, output_padding=1).algorithm in fc.algorithms()
    rows = [
        *(("output_padding", row) for row in sizes_option("output_padding", 2, 0, but=type(None))),
        *(("output_padding", row) for row in no_sizes("output_padding")),
        *(("output_padding", row) for row in wrong_type("output_padding", "an integer", [False, 0.0, ""])),
        ("output_padding", Wrong(2, ValueError, "output_padding: expected less than the stride of 2 .*, got 2")),
        ("padding", Wrong("same", TypeError, "padding: expected an integer, got 'same'")),
        ("padding", Wrong(9, ValueError, "padding: expected less than 15 cells, the whole output, got 9 . 9")),
        ("weight_shape", Wrong((5, 6, 3, 3), ValueError, "weight_shape: expected 4 input channels, got 5 .*")),
    ]
    for argument, (value, error, message) in rows:
        with pytest.raises(error) as caught:
            explain(**right | {argument: value})
        right_one = type(caught.value) is error and re.fullmatch(message, str(caught.value))
        assert right_one, f"{argument}={value!r}: {caught.value!r}, not {message}"


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
    for shape in ((), (4,), (3, 6, 1, 1), (4, 6, 1), (4, 0, 1, 1)):
        with pytest.raises(ValueError, match="weight: expected .*, got"):
            fc.conv_transpose2d(x, fc.PackedWeight(np.ones(shape, np.float32)))
    for shape in ((), (25, 4), (24, 6, 4), (25, 6, 5), (25, 0, 4), (4, 6, 1, 1)):
        with pytest.raises(ValueError, match="weight: expected .*, got"):
            fc.local_conv2d(x, fc.PackedWeight(np.ones(shape, np.float32)))
    for name, shape in (("conv2d", (4, 4, 1, 1)), ("conv_transpose2d", (4, 4, 1, 1)), ("local_conv2d", (25, 4, 4))):
        with pytest.raises(TypeError, match="weight: expected an array, got PackedWeight"):
            fast(f"{name}_backward")(x, x, fc.PackedWeight(np.ones(shape, np.float32)))


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


class Lying(list):
    """A sequence whose len and items disagree."""

    def __init__(self, length, items):
        super().__init__([1] * length)
        self.items = items

    def __iter__(self):
        return iter(self.items)


def test_sequences_whose_len_and_items_disagree():
    # what the engine gets has the length that it reads
    x, w = np.ones((1, 1, 4, 4)), np.ones((1, 1, 2, 2))
    for name in "stride", "dilation", "padding":
        for lying in Lying(2, []), Lying(1, [1] * 40), Lying(2, [1] * 3):
            for call in (
                lambda option: fc.conv2d(x, w, **option),
                lambda option: fc.conv_transpose2d(x, w, **option),
                lambda option: fc.unfold(x, 2, **option),
                lambda option: fc.max_pool2d(x, 2, **option),
            ):
                with pytest.raises(ValueError, match=f"{name}: expected"):
                    call({name: lying})
    for lying in Lying(2, []), Lying(2, [1] * 3):
        with pytest.raises(ValueError, match="output_size: expected"):
            fc.adaptive_avg_pool2d(x, lying)

    class Shrinking:
        def __index__(self):
            del steps[-1:]
            return 1

    steps = [Shrinking(), 1]
    assert fc.conv2d(x, w, stride=steps).shape == (1, 1, 3, 3)


def test_deeply_nested_lists_are_refused():
    deep = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(ValueError, match="padding: expected"):
        fc.conv2d(np.ones((1, 1, 4, 4)), np.ones((1, 1, 2, 2)), padding=deep)
    with pytest.raises(TypeError, match="dtype: expected"):
        fc.explain("conv2d", (1, 1, 4, 4), (1, 1, 2, 2), dtype=deep)


def test_snapshot_of_a_packed_weight_stays():
    weight = fc.PackedWeight(np.ones((4, 4, 3, 3), np.float32))
    with pytest.raises(AttributeError):
        weight.array = np.zeros((64, 4, 3, 3), np.float32)

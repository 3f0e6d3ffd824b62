"""The specification against values worked out by hand, against its own linearity, and against SciPy and PyTorch.

SciPy and PyTorch are second opinions: a test that asks one is left out where it is not installed.
"""

import inspect
import itertools
import math

import cases
import numpy as np
import pytest
from cases import CONVOLUTIONS, FUNCTIONS, LAYOUTS, POOLS, fast, run, slow

from fastconv import reference

NAN, INF = math.nan, math.inf
SQUARE = np.arange(1.0, 17.0).reshape(1, 1, 4, 4)


def row(*numbers):
    """Return [1, 1, L]."""
    return np.array(numbers, float).reshape(1, 1, -1)


def same(actual, wanted):
    """Whether an array holds these numbers, in order; NaN is equal to NaN."""
    return np.array_equal(np.ravel(actual), np.array(wanted, float), equal_nan=True)


# --- The same face as the fast functions


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signature_is_that_of_the_fast_function(name):
    def face(function):
        parameters = inspect.signature(function).parameters.values()
        return [(p.name, p.kind, p.default) for p in parameters if p.name != "algorithm"]

    assert face(slow(name)) == face(fast(name))
    assert slow(name).__name__ == name and slow(name).__doc__


# --- Convolutions by hand


def test_published_example():
    # The image 1..16; true convolution is the same sum with the kernel turned by half a circle.
    edge, diagonal = np.array([[[[1.0, 1], [-1, -1]]]]), np.array([[[[0.0, 1], [1, 0]]]])
    assert same(reference.conv2d(SQUARE, edge), [-8] * 9)
    assert same(reference.conv2d(SQUARE, edge[:, :, ::-1, ::-1]), [8] * 9)
    for kernel in (diagonal, diagonal[:, :, ::-1, ::-1]):
        assert same(reference.conv2d(SQUARE, kernel), [7, 9, 11, 15, 17, 19, 23, 25, 27])


def test_published_example_by_fastconv(isa):
    kernels = np.array([[[[1.0, 1], [-1, -1]]], [[[0, 1], [1, 0]]]])
    assert same(fast("conv2d")(SQUARE, kernels), [-8] * 9 + [7, 9, 11, 15, 17, 19, 23, 25, 27])


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, [321, 432]),
        ({"stride": 2}, [321]),
        ({"padding": 1}, [210, 321, 432, 43]),
        ({"padding": 1, "stride": 2}, [210, 432]),
        ({"padding": ((2, 0),)}, [100, 210, 321, 432]),
        ({"padding": "valid"}, [321, 432]),
        ({"padding": "same"}, [210, 321, 432, 43]),
        ({"padding": ((0, 1),), "dilation": 2}, [31]),
        ({"padding": 1, "dilation": 2}, [420, 31]),
    ],
)
def test_one_dimension(options, wanted):
    assert same(reference.conv1d(row(1, 2, 3, 4), row(1, 10, 100), **options), wanted)


def test_same_puts_the_extra_cell_at_the_end():
    assert same(reference.conv1d(row(1, 2, 3), row(1, 10), padding="same"), [21, 32, 3])
    assert same(reference.conv1d(row(1, 2, 3), row(1, 10, 100, 1000), padding="same"), [3210, 321, 32])


def test_groups_and_bias():
    x = np.array([[[1.0, 2]], [[3, 4]]]).reshape(1, 2, 2)  # Two channels.
    w = np.array([[10.0], [100], [1000], [10000]]).reshape(4, 1, 1)  # Two outputs for each of them.
    y = reference.conv1d(x, w, np.array([0.0, 1, 2, 3]), groups=2)
    assert y.tolist() == [[[10, 20], [101, 201], [3002, 4002], [30003, 40003]]]


def test_gradients():
    # y[0] = x[0] w[0] + x[1] w[1] + x[2] w[2] and y[1] = x[1] w[0] + x[2] w[1] + x[3] w[2]
    x, w, dy = row(1, 2, 3, 4), row(1, 10, 100), row(1, 1000)
    dx, dw, db = reference.conv1d_backward(dy, x, w, np.zeros(1))
    assert same(dx, [1, 1010, 10100, 100000])
    assert same(dw, [2001, 3002, 4003])
    assert same(db, [1001])
    assert same(reference.conv1d_input((1, 1, 4), w, dy), [1, 1010, 10100, 100000])
    assert same(reference.conv1d_weight(x, (1, 1, 3), dy), [2001, 3002, 4003])


def test_gradients_on_demand():
    x, w, dy = row(1, 2, 3, 4), row(1, 10, 100), row(1, 1000)
    for needs in itertools.product([True, False], repeat=3):
        gradients = reference.conv1d_backward(dy, x, w, np.zeros(1), needs=needs)
        assert [gradient is not None for gradient in gradients] == [*needs]
    assert reference.conv1d_backward(dy, x, w)[2] is None


def test_activations():
    x = row(-INF, -1, 0, 3, 7, INF, NAN)
    assert same(reference.conv1d(x, row(1), activation="relu"), [0, 0, 0, 3, 7, INF, NAN])
    assert same(reference.conv1d(x, row(1), activation="relu6"), [0, 0, 0, 3, 6, 6, NAN])
    silu = [NAN, -1 / (1 + math.e), 0, 3 / (1 + math.exp(-3)), 7 / (1 + math.exp(-7)), INF, NAN]
    assert np.allclose(np.ravel(reference.conv1d(x, row(1), activation="silu")), silu, rtol=1e-15, equal_nan=True)


def test_padding_takes_part_in_the_sum():
    # Zero times infinity is NaN, at the border too; for the gradient of the weight, it is dy that meets the padding.
    w = row(INF, 1, 1)
    assert same(reference.conv1d(row(1, 1, 1, 1), w, padding=1), [NAN, INF, INF, INF])
    assert same(reference.conv1d_weight(row(1, 1, 1), (1, 1, 3), row(INF, 1, 1), padding=1), [NAN, INF, INF])
    # The gradient for the input has no padding: only the products of the forward sum come back.
    assert same(reference.conv1d_input((1, 1, 4), w, row(1, 1, 1, 1), padding=1), [INF, INF, INF, 2])


@pytest.mark.parametrize(
    ("dtypes", "wanted"),
    [
        (("float16", "float16", None), "float16"),
        (("float16", "float32", "float16"), "float32"),
        (("float32", "float32", "float64"), "float64"),
        (("int8", "float32", None), "float32"),
        (("float16", "bool", "int64"), "float16"),
        (("int8", "uint16", None), "float64"),
        ((">f4", ">f4", None), "float32"),
    ],
)
def test_dtypes(dtypes, wanted):
    x, w, b = (None if dtype is None else np.ones(1, dtype) for dtype in dtypes)
    y = reference.conv1d(x.reshape(1, 1, 1), w.reshape(1, 1, 1), b)
    assert y.dtype == np.dtype(wanted) and y.dtype.isnative and y.item() == (1 if b is None else 2)


def test_dtypes_without_a_result():
    with pytest.raises(TypeError):
        reference.conv1d(row(1).astype(complex), row(1))
    for name in ("max_pool1d", "avg_pool1d"):
        with pytest.raises(TypeError):
            slow(name)(row(1).astype(int), 1)


def test_float64_inside():
    # In float32 the one would be lost between the two large numbers.
    assert reference.conv1d(row(2**30, 1, -(2**30)).astype(np.float32), np.ones((1, 1, 3), np.float32)).item() == 1


@pytest.mark.parametrize(
    "arguments",
    [
        (row(1, 2), row(1, 2, 3)),
        (row(1, 2), row(1, 1), None, 0),
        (row(1, 2), row(1, 1), None, 1, -1),
        (row(1, 2), row(1, 1), None, 1, 0, 0),
        (row(1, 2), row(1, 1), None, 2, "same"),
        (row(1, 2), row(1, 1), None, 1, "full"),
        (row(1, 2), row(1, 1), None, 1, (1, 2)),
        (row(1, 2), row(1, 1), None, 1, ((1, 2), (1, 2))),
        (row(1, 2), row(1, 1), None, 1, 0, 1, 2),
        (row(1, 2), np.ones((1, 2, 1))),
        (np.ones(2), row(1)),
    ],
)
def test_convolutions_refused(arguments):
    with pytest.raises(ValueError):
        reference.conv1d(*arguments)


def test_gradient_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="grad_output"):
        reference.conv1d_backward(row(1), row(1, 2, 3), row(1, 1))


def test_out():
    out = np.empty((1, 1, 2))
    assert reference.conv1d(row(1, 2, 3, 4), row(1, 10, 100), out=out) is out and same(out, [321, 432])
    with pytest.raises(ValueError):
        reference.conv1d(row(1, 2, 3, 4), row(1, 10), out=out)
    with pytest.raises(TypeError):
        reference.conv1d(row(1, 2, 3, 4), row(1, 10, 100), out=out.astype(np.float32))


# --- Convolutions by linearity: each gradient is the transpose of the matrix that the forward pass is


SMALL = [p for p in CONVOLUTIONS if math.prod(p.input_shape) * math.prod(p.output_shape) < 20000]


@pytest.mark.parametrize("problem", SMALL, ids=str)
def test_gradients_are_transposes(problem):
    a = cases.arrays(problem, "float64", "integers")

    def matrix(shape, forward):
        """Return [inputs, outputs] from the images of the unit vectors."""
        units = np.eye(math.prod(shape))
        images = [np.ravel(forward(unit.reshape(shape))) for unit in units]
        return np.array(images).reshape(len(units), a.grad_output.size)

    def through_input(x):
        return slow(problem.function)(x, a.weight, **problem.options)

    def through_weight(w):
        return slow(problem.function)(a.input, w, **problem.options)

    dy = np.ravel(a.grad_output)
    for which, shape, forward in (
        ("input", a.input.shape, through_input),
        ("weight", a.weight.shape, through_weight),
    ):
        assert np.array_equal(run(slow, problem, which, a), (matrix(shape, forward) @ dy).reshape(shape)), which


@pytest.mark.parametrize("problem", CONVOLUTIONS, ids=str)
def test_layouts_agree(problem):
    a = cases.arrays(problem, "float32")
    for which in (*cases.PASSES, "bias") if problem.bias else cases.PASSES:
        first, last = (run(slow, problem, which, a, layout) for layout in LAYOUTS)
        assert np.array_equal(first, last), which


# --- Pools by hand


def test_maximum():
    value, index = reference.max_pool2d(SQUARE, 2, return_indices=True)
    assert same(value, [6, 8, 14, 16]) and same(index, [5, 7, 13, 15])
    assert index.dtype == np.int64 and value.shape == index.shape == (1, 1, 2, 2)
    assert same(reference.max_pool2d(SQUARE, 2, 1), [6, 7, 8, 10, 11, 12, 14, 15, 16])
    assert same(reference.max_pool2d(-SQUARE, 3, 3, 1), [-1, -3, -9, -11])  # Padding never wins.
    assert same(reference.max_pool1d(row(1, 5, 2, 4, 3), 2, 1, 0, 2), [2, 5, 3])


@pytest.mark.parametrize(
    ("numbers", "value", "index"),
    [
        ((1, 1, 1), 1, 0),  # The first of equals.
        ((0, 2, 2), 2, 1),
        ((-INF, -INF, -INF), -INF, 0),
        ((-INF, -5, -INF), -5, 1),
        ((1, NAN, INF), NAN, 1),  # A NaN beats all.
        ((NAN, INF, 1), NAN, 0),
        ((NAN, 1, NAN), NAN, 2),  # The last of several, as in PyTorch.
    ],
)
def test_winners(numbers, value, index):
    values, indices = reference.max_pool1d(row(*numbers), 3, return_indices=True)
    assert same(values, [value]) and same(indices, [index])
    assert same(reference.max_pool1d_backward(row(7), row(*numbers), 3), [7 * (i == index) for i in range(3)])


def test_window_around_the_input():
    # Dilation may lead a window around every cell: nothing wins, and the gradient goes nowhere.
    value, index = reference.max_pool1d(row(1, 2), 2, 1, 1, 3, return_indices=True)
    assert same(value, [-INF]) and same(index, [-1])
    assert same(reference.max_pool1d_backward(row(7), row(1, 2), 2, 1, 1, 3), [0, 0])


def test_average():
    assert same(reference.avg_pool2d(SQUARE, 2), [3.5, 5.5, 11.5, 13.5])
    assert same(reference.avg_pool1d(row(3, 6, 9), 3, 1, 1), [3, 6, 5])
    assert same(reference.avg_pool1d(row(3, 6, 9), 3, 1, 1, False, False), [4.5, 6, 7.5])
    assert same(reference.avg_pool2d(SQUARE, 2, divisor_override=2), [7, 11, 23, 27])
    assert same(reference.avg_pool1d(row(1, INF, -INF, 2), 2, 1), [INF, NAN, -INF])


def test_ceil_mode():
    x = row(1, 2, 3, 4, 5)
    assert same(reference.max_pool1d(x, 2), [2, 4])
    assert same(reference.max_pool1d(x, 2, ceil_mode=True), [2, 4, 5])
    # The windows start at -1, 2 and 5: the last one is left out where the input has no cell 5.
    assert same(reference.max_pool1d(row(1, 2, 3, 4, 5, 6), 2, 3, 1, ceil_mode=True), [1, 4, 6])
    assert same(reference.max_pool1d(row(1, 2, 3, 4, 5), 2, 3, 1, ceil_mode=True), [1, 4])
    # What lies beyond the padding is not counted, the padding is, unless it is not to be.
    assert same(reference.avg_pool1d(x, 2, ceil_mode=True), [1.5, 3.5, 5])
    assert same(reference.avg_pool1d(row(6, 6, 6, 6), 3, 3, 1, True), [4, 4])
    assert same(reference.avg_pool1d(row(6, 6, 6, 6), 3, 4, 1, True), [4, 3])
    assert same(reference.avg_pool1d(row(6, 6, 6, 6), 3, 4, 1, True, False), [6, 6])


def test_pool_gradients():
    x, dy = row(1, 3, 2, 4), row(1, 10, 100)
    assert same(reference.max_pool1d_backward(dy, x, 2, 1), [0, 11, 0, 100])
    assert same(reference.max_pool1d_backward(dy, x, 2, 1, indices=np.array([[[0, 2, 2]]])), [1, 0, 110, 0])
    assert same(reference.avg_pool1d_backward(dy, x, 2, 1), [0.5, 5.5, 55, 50])
    assert same(reference.avg_pool1d_backward(row(6, 12), x, 3, 2, 1, False, False), [3, 3 + 4, 4, 4])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("max_pool1d", (row(1, 2), 3)),
        ("max_pool1d", (row(1, 2), 2, 0)),
        ("max_pool1d", (row(1, 2, 3, 4), 3, 1, 2)),
        ("max_pool1d", (row(1, 2, 3, 4), 2, 1, 2, 3)),  # Half the kernel, not half of its reach.
        ("avg_pool1d", (row(1, 2, 3, 4), 3, 1, 2)),
        ("avg_pool2d", (SQUARE, 2, 1, 0, False, True, 0)),
        ("avg_pool2d", (SQUARE, (1, 2, 3))),
    ],
)
def test_pools_refused(name, arguments):
    with pytest.raises(ValueError):
        slow(name)(*arguments)


# --- Second opinions


@pytest.mark.parametrize("size", [(9,), (7, 8), (5, 6, 7)])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
def test_scipy(size, kernel):
    signal = pytest.importorskip("scipy.signal")
    x, w = cases.numbers(size, "float64", "normal", 0), cases.numbers((kernel,) * len(size), "float64", "normal", 1)
    conv = slow(f"conv{len(size)}d")
    y = conv(x[None, None], w[None, None])[0, 0]
    assert np.allclose(y, signal.correlate(x, w, "valid", "direct"), rtol=0, atol=1e-12)
    full = conv(x[None, None], w[None, None], padding=kernel - 1)[0, 0]
    assert np.allclose(full, signal.correlate(x, w, "full", "direct"), rtol=0, atol=1e-12)
    # The gradient for the input is the true convolution of the output's gradient.
    dx = slow(f"conv{len(size)}d_input")((1, 1, *size), w[None, None], y[None, None])[0, 0]
    assert np.allclose(dx, signal.convolve(y, w, "full", "direct"), rtol=0, atol=1e-12)


def for_pytorch(torch, problem, array):
    """Return the array as a tensor, that with pairs of padding around it, and the padding left for PyTorch."""
    tensor = torch.tensor(array, requires_grad=True)
    pairs = problem.padding
    if isinstance(pairs, tuple) and isinstance(pairs[0], tuple):
        return tensor, torch.nn.functional.pad(tensor, [*itertools.chain(*reversed(pairs))]), 0
    return tensor, tensor, pairs


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("problem", CONVOLUTIONS, ids=str)
def test_convolutions_and_pytorch(torch, problem):
    a = cases.arrays(problem, "float64")
    x, padded, padding = for_pytorch(torch, problem, a.input)
    w = torch.tensor(a.weight, requires_grad=True)
    b = None if a.bias is None else torch.tensor(a.bias, requires_grad=True)
    convolve = getattr(torch.nn.functional, problem.function)
    y = convolve(padded, w, b, problem.stride, padding, problem.dilation, problem.groups)
    y.backward(torch.tensor(a.grad_output))
    theirs = {"forward": y.detach(), "input": x.grad, "weight": w.grad} | ({} if b is None else {"bias": b.grad})
    for which, wanted in theirs.items():
        allowed = cases.tolerance(problem, which, "float64", a, wanted.numpy())
        cases.check(run(slow, problem, which, a), wanted.numpy(), "float64", allowed, which)


@pytest.mark.parametrize("problem", [p for p in POOLS if p.name != "window-around-the-input"], ids=str)
@pytest.mark.parametrize("special", ["normal", "ties", "nan", "-inf"])
def test_pools_and_pytorch(torch, problem, special):
    array = cases.pool_input(problem, "float64", special)
    for kind in ("max", "avg") if problem.has_average else ("max",):
        x = torch.tensor(array, requires_grad=True)
        options = problem.options(kind)
        indices = {"return_indices": True} if kind == "max" else {}
        pool = getattr(torch.nn.functional, problem.function(kind))
        theirs = pool(x, **options, **indices)
        ours = slow(problem.function(kind))(array, **options, **indices)
        theirs, ours = (theirs, ours) if kind == "max" else ((theirs,), (ours,))
        for wanted, actual in zip(theirs, ours, strict=True):
            assert np.allclose(actual, wanted.detach().numpy(), rtol=1e-14, atol=1e-14, equal_nan=True), kind
        dy = cases.numbers(ours[0].shape, "float64", "normal", 1)
        theirs[0].backward(torch.tensor(dy))
        dx = slow(f"{problem.function(kind)}_backward")(dy, array, **options)
        assert np.allclose(dx, x.grad.numpy(), rtol=1e-14, atol=1e-14), kind

"""The specification against values worked out by hand, and against its own linearity."""

import inspect
import itertools
import math

import cases
import numpy as np
import pytest
from cases import (
    EVERY_CONVOLUTION,
    FUNCTIONS,
    LAYOUTS,
    LOCAL_CONVOLUTIONS,
    fast,
    run,
    slow,
)

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


# --- Transposed convolutions by hand


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, [1, 12, 123, 230, 300]),
        ({"padding": 1}, [12, 123, 230]),
        ({"padding": 2}, [123]),
        ({"padding": ((2, 0),)}, [123, 230, 300]),
        ({"stride": 2}, [1, 10, 102, 20, 203, 30, 300]),
        ({"stride": 2, "output_padding": 1}, [1, 10, 102, 20, 203, 30, 300, 0]),
        ({"stride": 2, "output_padding": 1, "padding": 2}, [102, 20, 203, 30]),
        ({"stride": 4}, [1, 10, 100, 0, 2, 20, 200, 0, 3, 30, 300]),
        ({"dilation": 2}, [1, 2, 13, 20, 130, 200, 300]),
        ({"dilation": 3, "output_padding": 2}, [1, 2, 3, 10, 20, 30, 100, 200, 300, 0, 0]),
    ],
)
def test_one_dimension_transposed(options, wanted):
    assert same(reference.conv_transpose1d(row(1, 2, 3), row(1, 10, 100), **options), wanted)


def test_transposed_groups_and_bias():
    x = np.array([[[1.0, 2]], [[3, 4]]]).reshape(1, 2, 2)  # Two channels, two outputs for each of them.
    w = np.array([[[10.0], [100]], [[1000], [10000]]])
    y = reference.conv_transpose1d(x, w, np.array([0.0, 1, 2, 3]), groups=2)
    assert y.tolist() == [[[10, 20], [101, 201], [3002, 4002], [30003, 40003]]]
    # What no window reaches is the bias alone, and the activation of it.
    y = reference.conv_transpose1d(row(1), row(5), np.array([-2.0]), 2, 0, 1, activation="relu")
    assert same(y, [3, 0])


def test_transposed_gradients():
    # y = [x0 w0, x0 w1 + x1 w0, x1 w1]
    dx, dw, db = reference.conv_transpose1d_backward(row(1, 10, 100), row(3, 4), row(5, 6), np.zeros(1))
    assert same(dx, [5 + 60, 50 + 600]) and same(dw, [3 + 40, 30 + 400]) and same(db, [111])


def test_a_transposed_sum_has_no_products_but_its_own():
    # Zero times infinity would be NaN: there is none where an input is missing, nor between the inputs of a stride.
    w = row(1, 2, INF)
    assert same(reference.conv_transpose1d(row(1, 1, 1, 1), w, padding=1), [3, INF, INF, INF])
    assert same(reference.conv_transpose1d(row(1, 1), w, stride=3, output_padding=1), [1, 2, INF, 1, 2, INF, 0])
    assert same(reference.conv_transpose1d(row(0, 1), w), [0, 1, NAN, INF])  # A zero that is there is one.
    # The gradients are convolutions of the padded grad_output, and what was cut off counts as zero.
    assert same(reference.conv_transpose1d_backward(row(1, 1), row(1, 1), w, padding=1)[0], [INF, NAN])
    assert same(
        reference.conv_transpose1d_backward(row(1, 1), row(INF, 1), row(1, 1, 1), padding=1)[1], [NAN, INF, INF]
    )


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (ValueError, {"output_padding": 1}),
        (ValueError, {"output_padding": 2, "stride": 2}),
        (ValueError, {"output_padding": 3, "stride": 2, "dilation": 3}),
        (ValueError, {"output_padding": -1}),
        (ValueError, {"padding": 2}),
        (ValueError, {"padding": ((1, 3),)}),
        (ValueError, {"padding": ((1, 1), (1, 1))}),
        (ValueError, {"groups": 2}),
        (ValueError, {"stride": 0}),
        (TypeError, {"padding": "same"}),
        (TypeError, {"padding": "valid"}),
        (TypeError, {"output_padding": None}),
        (TypeError, {"output_padding": ((1, 1),)}),
    ],
)
def test_transposed_refused(error, options):
    with pytest.raises(error):
        reference.conv_transpose1d(row(1, 2), row(1, 2, 3), **options)


# --- Local convolutions by hand


def test_local():
    # Two windows of a row of three, each with its own weight.
    x, w = np.array([[[[1.0, 2, 3]]]]), np.array([[[1.0, 10]], [[100, 1000]]])
    b = np.array([[[0.5, 0.25]]])
    with pytest.raises(ValueError, match="kernel"):
        reference.local_conv2d(x, w[:1])  # A kernel of two has two positions in the row, and none across it.
    assert same(reference.local_conv2d(x, w), [21, 3200])
    assert same(reference.local_conv2d(x, w, b), [21.5, 3200.25])
    dx, dw, db = reference.local_conv2d_backward(np.array([[[[1.0, 2]]]]), x, w, b)
    assert same(dx, [1, 210, 2000]) and same(dw, [1, 2, 4, 6]) and same(db, [1, 2])
    assert dw.shape == w.shape and db.shape == b.shape


def test_kernel_of_a_local_convolution():
    x = np.ones((1, 1, 6, 6))
    # 24 windows of 3 taps: 6 x 4 of 1 x 3 or 4 x 6 of 3 x 1; only a bias tells.
    w = np.zeros((24, 1, 3))
    with pytest.raises(ValueError, match=r"\(1, 3\), \(3, 1\)"):
        reference.local_conv2d(x, w)
    for size in ((6, 4), (4, 6)):
        assert reference.local_conv2d(x, w, np.zeros((1, *size))).shape == (1, 1, *size)
    with pytest.raises(ValueError):
        reference.local_conv2d(x, w, np.zeros((1, 3, 8)))
    # Of several the square one, unless the bias is another's.
    assert reference.local_conv2d(x, np.zeros((36, 1, 9)), padding="same").shape == (1, 1, 6, 6)
    assert reference.local_conv2d(x, np.zeros((12, 1, 4)), stride=(1, 2)).shape == (1, 1, 6, 2)
    assert reference.local_conv2d(x, np.zeros((9, 1, 4)), stride=2).shape == (1, 1, 3, 3)
    for positions, taps in ((25, 9), (16, 8), (36, 2), (1, 37), (1, 72)):
        with pytest.raises(ValueError):
            reference.local_conv2d(x, np.zeros((positions, 1, taps)))
    with pytest.raises(ValueError):
        reference.local_conv2d(np.ones((1, 2, 6, 6)), np.zeros((16, 1, 9)))  # 9 is no multiple of two channels.


@pytest.mark.parametrize("problem", LOCAL_CONVOLUTIONS, ids=str)
def test_local_is_unfold_and_a_product(problem):
    a = cases.arrays(problem, "float64", "integers")
    batched = len(a.input.shape) == 4
    x, dy = (array if batched else array[None] for array in (a.input, a.grad_output))
    (above, below), (left, right) = pairs_of(problem)
    padded = np.pad(x, [(0, 0), (0, 0), (above, below), (left, right)])
    columns = reference.unfold(padded, problem.kernel, problem.dilation, 0, problem.stride)
    y = np.einsum("ncl,lkc->nkl", columns, a.weight).reshape(dy.shape) + (0 if a.bias is None else a.bias)
    dy = dy.reshape(*dy.shape[:2], len(a.weight))
    dx = reference.fold(
        np.einsum("nkl,lkc->ncl", dy, a.weight), padded.shape[2:], problem.kernel, problem.dilation, 0, problem.stride
    )
    dx = dx[:, :, above : padded.shape[2] - below, left : padded.shape[3] - right]
    dw = np.einsum("nkl,ncl->lkc", dy, columns)
    for which, wanted in (("forward", y), ("input", dx), ("weight", dw)):
        wanted = wanted[0] if not batched and which != "weight" else wanted
        assert np.array_equal(run(slow, problem, which, a), wanted), which


def pairs_of(problem):
    """Return the padding of a local convolution as pairs (before, after)."""
    padding = problem.padding
    if isinstance(padding, str):
        dilation = np.broadcast_to(problem.dilation, 2)
        total = [d * (k - 1) * (padding == "same") for k, d in zip(problem.kernel, dilation, strict=True)]
        return [(int(t // 2), int(t - t // 2)) for t in total]
    if isinstance(padding, tuple) and isinstance(padding[0], tuple):
        return padding
    return [(int(p), int(p)) for p in np.broadcast_to(padding, 2)]


# --- Adaptive pools by hand


def test_adaptive_windows():
    # Of 3 windows over 7 cells: 0 to 2, 2 to 4 and 4 to 6; they overlap where the size does not divide.
    x = row(1, 2, 3, 4, 5, 6, 7)
    assert same(reference.adaptive_avg_pool1d(x, 3), [2, 4, 6])
    assert same(reference.adaptive_avg_pool1d(x, 2), [2.5, 5.5])
    assert same(reference.adaptive_avg_pool1d(row(1, 2), 5), [1, 1, 1.5, 2, 2])
    assert same(reference.adaptive_avg_pool2d(SQUARE, (2, 1)), [4.5, 12.5])
    value, index = reference.adaptive_max_pool1d(x, 3, return_indices=True)
    assert same(value, [3, 5, 7]) and same(index, [2, 4, 6]) and index.dtype == np.int64
    value, index = reference.adaptive_max_pool2d(SQUARE, (2, None), True)
    assert same(value, [5, 6, 7, 8, 13, 14, 15, 16]) and same(index, [4, 5, 6, 7, 12, 13, 14, 15])


@pytest.mark.parametrize(
    ("numbers", "value", "index"),
    [
        ((1, 1, 1), 1, 0),
        ((0, 2, 2), 2, 1),
        ((-INF, -INF, -INF), -INF, 0),
        ((1, NAN, INF), NAN, 1),
        ((NAN, 1, NAN), NAN, 2),
    ],
)
def test_adaptive_winners(numbers, value, index):
    values, indices = reference.adaptive_max_pool1d(row(*numbers), 1, True)
    assert same(values, [value]) and same(indices, [index])
    dx = reference.adaptive_max_pool1d_backward(row(7), row(*numbers), 1)
    assert same(dx, [7 * (i == index) for i in range(3)])


def test_adaptive_gradients():
    x, dy = row(1, 2, 3, 4, 5, 6, 7), row(3, 30, 300)
    assert same(reference.adaptive_avg_pool1d_backward(dy, x, 3), [1, 1, 11, 10, 110, 100, 100])
    assert same(reference.adaptive_max_pool1d_backward(dy, x, 3), [0, 0, 3, 0, 30, 0, 300])
    indices = np.array([[[0, 2, 2]]])
    assert same(reference.adaptive_max_pool1d_backward(dy, x, 3, indices=indices), [3, 0, 330, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("error", "name", "output_size"),
    [
        (ValueError, "adaptive_max_pool2d", 0),
        (ValueError, "adaptive_avg_pool2d", (2, 0)),
        (ValueError, "adaptive_avg_pool2d", (2,)),
        (ValueError, "adaptive_avg_pool2d", (2, 2, 2)),
        (TypeError, "adaptive_avg_pool2d", None),
        (TypeError, "adaptive_max_pool2d", (2, 1.5)),
        (TypeError, "adaptive_avg_pool1d", (None,)),
        (TypeError, "adaptive_max_pool1d", None),
    ],
)
def test_adaptive_refused(error, name, output_size):
    with pytest.raises(error):
        slow(name)(SQUARE if "2d" in name else SQUARE[0], output_size)


# --- Unpooling by hand


def test_unpooling():
    value, index = reference.max_pool2d(SQUARE, 2, return_indices=True)
    y = reference.max_unpool2d(value, index, 2)
    assert same(y, [0, 0, 0, 0, 0, 6, 0, 8, 0, 0, 0, 0, 0, 14, 0, 16])
    assert reference.max_unpool2d(value, index, 2, output_size=(5, 4)).shape == (1, 1, 5, 4)
    assert reference.max_unpool2d(value, index, 2, output_size=(7, 9, 4, 5)).shape == (1, 1, 4, 5)
    value, index = (np.moveaxis(array, 1, -1) for array in (value, index))
    y = reference.max_unpool2d(value, index, 2, (), output_size=(7, 4, 5, 9), layout="channels_last")
    assert y.shape == (1, 4, 5, 1)
    # Of several with one index the last stays, but each has the gradient.
    indices = np.array([[[3, 0, 3]]])
    assert same(reference.max_unpool1d(row(1, 2, 3), indices, 2), [2, 0, 0, 3, 0, 0])
    dy = row(1, 2, 3, 4, 5, 6)
    assert same(reference.max_unpool1d_backward(dy, row(1, 2, 3), indices, 2), [4, 1, 4])


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (ValueError, {"kernel_size": 0}),
        (ValueError, {"kernel_size": 2, "stride": 0}),
        (ValueError, {"kernel_size": 2, "padding": 3}),
        (ValueError, {"kernel_size": 2, "padding": -1}),
        (ValueError, {"kernel_size": 2, "output_size": (4,)}),
        (ValueError, {"kernel_size": 2, "output_size": (8,)}),
        (ValueError, {"kernel_size": 2, "output_size": (3, 6)}),
        (ValueError, {"kernel_size": 2, "output_size": ()}),
        (ValueError, {"kernel_size": 1}),  # The index 5 is outside.
        (ValueError, {"kernel_size": 2, "indices": np.array([[[5, -1, 2]]])}),
        (ValueError, {"kernel_size": 2, "indices": np.array([[[5, 2]]])}),
        (TypeError, {"kernel_size": 2, "indices": np.array([[[5.0, 1, 2]]])}),
        (TypeError, {"kernel_size": 2, "output_size": 6}),
        (TypeError, {"kernel_size": 2, "output_size": (None,)}),
        (TypeError, {"kernel_size": 2, "input": np.array([[[1, 2, 3]]])}),
    ],
)
def test_unpooling_refused(error, options):
    arguments = {"input": row(1, 2, 3), "indices": np.array([[[5, 1, 2]]])} | options
    with pytest.raises(error):
        reference.max_unpool1d(**arguments)


# --- Unfold and fold by hand


def test_unfold_and_fold():
    x = np.array([[[1.0, 2, 3], [4, 5, 6]], [[10, 20, 30], [40, 50, 60]]])
    columns = [[1, 2], [2, 3], [4, 5], [5, 6], [10, 20], [20, 30], [40, 50], [50, 60]]
    assert reference.unfold(x, 2).tolist() == columns
    assert reference.unfold(x[:1], (1, 2), padding=(0, 1), stride=(1, 2)).tolist() == [[0, 2, 0, 5], [1, 3, 4, 6]]
    assert reference.unfold(x[:1], (1, 2), dilation=2).tolist() == [[1, 4], [3, 6]]
    assert same(reference.fold(np.array(columns, float)[:4], (2, 3), 2), [1, 4, 3, 4, 10, 6])
    # Without a channel axis of its own, channels last is the columns' transpose.
    last = reference.unfold(np.moveaxis(x, 0, -1), 2, layout="channels_last")
    assert last.T.tolist() == columns
    image = reference.fold(last, (2, 3), 2, layout="channels_last")
    assert np.array_equal(image, np.moveaxis(reference.fold(last.T, (2, 3), 2), 0, -1))


@pytest.mark.parametrize(
    ("error", "name", "arguments"),
    [
        (ValueError, "unfold", (5,)),
        (ValueError, "unfold", ((2, 2, 2),)),
        (ValueError, "unfold", (2, 1, -1)),
        (TypeError, "unfold", (2, 1, "same")),
        (TypeError, "unfold", (2, 1, ((1, 1), (1, 1)))),
        (ValueError, "fold", (4, 3)),  # 16 rows are no multiple of 9.
        (ValueError, "fold", (4, 2, 1, 1)),  # 25 windows.
        (ValueError, "fold", ((4, 1), 2)),
        (ValueError, "fold", ((0, 4), 2)),
        (TypeError, "fold", (None, 2)),
    ],
)
def test_unfold_and_fold_refused(error, name, arguments):
    x = SQUARE if name == "unfold" else np.ones((1, 16, 9))
    with pytest.raises(error):
        slow(name)(x, *arguments)
    for dtype in (int, bool, complex):
        with pytest.raises(TypeError):
            slow(name)(x.astype(dtype), *((2,) if name == "unfold" else (4, 2)))


# --- Convolutions by linearity: each gradient is the transpose of the matrix that the forward pass is


SMALL = [p for p in EVERY_CONVOLUTION if math.prod(p.input_shape) * math.prod(p.output_shape) < 12000]


@pytest.mark.parametrize("problem", SMALL, ids=str)
def test_gradients_are_transposes(problem):
    a, no_bias = cases.arrays(problem, "float64", "integers"), np.zeros(problem.bias_shape)

    def matrix(shape, forward):
        """Return [inputs, outputs] from the images of the unit vectors."""
        units = np.eye(math.prod(shape))
        images = [np.ravel(forward(unit.reshape(shape))) for unit in units]
        return np.array(images).reshape(len(units), a.grad_output.size)

    def through_input(x):
        return slow(problem.function)(x, a.weight, no_bias, **problem.options)

    def through_weight(w):
        return slow(problem.function)(a.input, w, no_bias, **problem.options)

    dy = np.ravel(a.grad_output)
    for which, shape, forward in (
        ("input", a.input.shape, through_input),
        ("weight", a.weight.shape, through_weight),
    ):
        assert np.array_equal(run(slow, problem, which, a), (matrix(shape, forward) @ dy).reshape(shape)), which


@pytest.mark.parametrize("problem", EVERY_CONVOLUTION, ids=str)
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

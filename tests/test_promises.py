"""What fastconv promises beyond the right result on ordinary numbers."""

import functools
import itertools
import warnings

import cases
import numpy as np
import pytest
from calls import arguments_of, forward_of
from cases import (
    ADAPTIVE_POOLS,
    ALGORITHMS,
    EVERY_CONVOLUTION,
    EVERY_LAYER,
    LAYOUTS,
    PASSES,
    POOLS,
    Convolution,
    LocalConvolution,
    TransposedConvolution,
    fast,
    run,
    slow,
)

import fastconv as fc
from fastconv import reference
from fastconv.reference._windows import convolution_windows, transposed_windows

by_pass = pytest.mark.parametrize("which", PASSES)
by_layer = pytest.mark.parametrize("problem", EVERY_LAYER, ids=str)
by_layout = pytest.mark.parametrize("layout", LAYOUTS)


# --- The bits do not depend on the number of threads


def bits_of_threads(call):
    """Check that 1, 2 and 5 threads give the same bits."""
    results = []
    for threads in (1, 2, 5):
        with fc.threads(threads):
            results.append(call())
    assert cases.identical(results[0], results[1]) and cases.identical(results[0], results[2])


@pytest.mark.parametrize("problem", EVERY_LAYER, ids=str)
@by_pass
def test_threads_and_convolutions(isa, problem, which):
    ways = ("float32", "channels_first"), ("float32", "channels_last"), ("float64", "channels_first")
    for algorithm, (dtype, layout) in itertools.product(problem.algorithms, ways):
        if problem.refusal(algorithm, which, dtype, layout) is None:
            a = cases.arrays(problem, dtype)
            bits_of_threads(lambda: run(fast, problem, which, a, layout, algorithm=algorithm))  # noqa: B023


@by_layer
@by_layout
def test_threads_and_whole_gradients(isa, problem, layout):
    a, n = cases.arrays(problem, "float32"), problem.dimensions
    x, dy = cases.to_layout(a.input, layout, n), cases.to_layout(a.grad_output, layout, n)
    backward = fast(f"{problem.function}_backward")
    bits_of_threads(lambda: backward(dy, x, a.weight, a.bias, layout=layout, **problem.options))


@pytest.mark.parametrize("shape", [(4, 33, 4000), (2, 33, 40, 50), (2, 9, 12, 20, 20)])
@by_layout
def test_threads_and_pools(isa, shape, layout):
    n = len(shape) - 2
    x = cases.to_layout(cases.numbers(shape, "float32", "normal", 0), layout, n)
    for kind in ("max", "avg"):
        pool, backward = fast(f"{kind}_pool{n}d"), fast(f"{kind}_pool{n}d_backward")
        bits_of_threads(lambda: pool(x, 3, 2, 1, layout=layout))  # noqa: B023
        dy = cases.numbers(pool(x, 3, 2, 1, layout=layout).shape, "float32", "normal", 1)
        bits_of_threads(lambda: backward(dy, x, 3, 2, 1, layout=layout))  # noqa: B023


@pytest.mark.parametrize("shape", [(4, 33, 4001), (2, 33, 40, 53), (2, 9, 12, 20, 19)])
@by_layout
def test_threads_and_adaptive_pools_and_unpooling(isa, shape, layout):
    n = len(shape) - 2
    x = cases.to_layout(cases.numbers(shape, "float32", "normal", 0), layout, n)
    for size in (1, 7):
        for kind in ("max", "avg"):
            pool, backward = fast(f"adaptive_{kind}_pool{n}d"), fast(f"adaptive_{kind}_pool{n}d_backward")
            bits_of_threads(lambda: pool(x, size, layout=layout))  # noqa: B023
            dy = cases.numbers(pool(x, size, layout=layout).shape, "float32", "normal", 1)
            bits_of_threads(lambda: backward(dy, x, size, layout=layout))  # noqa: B023
    unpool, backward = fast(f"max_unpool{n}d"), fast(f"max_unpool{n}d_backward")
    # All of a plane into two of its cells: which of them stays is not left to the threads.
    indices = np.zeros(x.shape, np.int64)
    indices.flat[::3] = 1
    y = unpool(x, indices, 2, layout=layout)
    bits_of_threads(lambda: unpool(x, indices, 2, layout=layout))
    bits_of_threads(lambda: backward(y, x, indices, 2, layout=layout))


@by_layout
def test_threads_and_unfold_and_fold(isa, layout):
    x = cases.to_layout(cases.numbers((3, 17, 40, 50), "float32", "normal", 0), layout, 2)
    for where in ((3, 1, 1), (3, 1, 1, 2), ((5, 2), (2, 3))):
        columns = fast("unfold")(x, *where, layout=layout)
        bits_of_threads(lambda: fast("unfold")(x, *where, layout=layout))  # noqa: B023
        bits_of_threads(lambda: fast("fold")(columns, (40, 50), *where, layout=layout))  # noqa: B023


@by_layer
@by_pass
def test_same_bits_again(problem, which):
    a = cases.arrays(problem, "float32")
    first = run(fast, problem, which, a)
    # Elsewhere in memory, at another alignment, in another order of the calls: the same numbers.
    moved = []
    for array in (a.input, a.weight, a.bias, a.grad_output):
        room = np.empty(array.size + 3, array.dtype)[3:].reshape(array.shape)
        room[...] = array
        moved.append(room)
    assert cases.identical(run(fast, problem, which, cases.Arrays(*moved)), first)


# --- NaN and infinity come out where a direct sum gives them


def chosen_algorithms():
    """Return "auto", and every algorithm that it picks for any problem of the lists."""
    picked = set()
    for problem in (*EVERY_CONVOLUTION, *EVERY_LAYER):
        for which in PASSES if not isinstance(problem, LocalConvolution) else ():
            gradient = None if which == "forward" else which
            plan = fc.explain(
                problem.function, problem.input_shape, problem.weight_shape, grad=gradient, **problem.options
            )
            picked.add(plan.algorithm)
    return ["auto", *sorted(picked)]


def check_special(problem, which, algorithm, layout, a, wanted, what):
    """Check that NaN and both infinities are where the reference has them, and that the rest is finite."""
    if problem.refusal(algorithm, which, "float32", layout) is not None:
        return
    actual = run(fast, problem, which, a, layout, algorithm=algorithm)
    special = ~np.isfinite(wanted)
    assert np.isfinite(actual[~special]).all(), f"{what}: not finite where the sum is"
    assert np.array_equal(actual[special], wanted[special], equal_nan=True), what


@pytest.mark.parametrize("problem", [*EVERY_CONVOLUTION, *EVERY_LAYER], ids=str)
@by_pass
def test_special_numbers(problem, which):
    plain = cases.arrays(problem, "float32")
    names = {"forward": ("input", "weight"), "input": ("grad_output", "weight"), "weight": ("grad_output", "input")}[
        which
    ]
    for name in names:
        for value in (np.nan, np.inf):
            changed = {n: getattr(plain, n) for n in ("input", "weight", "bias", "grad_output")}
            array = changed[name] = getattr(plain, name).copy()
            if array.size:
                # The first, the last and one in the midst: corners, where padding meets them, and the interior.
                array.flat[[0, array.size // 2, array.size - 1]] = value, -value, value
            a = cases.Arrays(**changed)
            wanted = run(slow, problem, which, a)
            for algorithm in CHOSEN:
                for layout in LAYOUTS:
                    what = f"{value} in {name}, {algorithm} {layout}"
                    check_special(problem, which, algorithm, layout, a, wanted, what)


CHOSEN = chosen_algorithms()


def test_infinite_weight_at_the_border():
    # The padding's zeros take part in the sum: zero times infinity is NaN. Inside, infinity stays.
    x, w = np.ones((1, 1, 5, 5), np.float32), np.ones((1, 1, 3, 3), np.float32)
    w[0, 0, 0, 0] = np.inf
    for algorithm in CHOSEN:
        problem = Convolution("border", x.shape, w.shape, padding=1)
        if problem.refusal(algorithm, "forward", "float32", "channels_first") is None:
            y = fc.conv2d(x, w, padding=1, algorithm=algorithm)[0, 0]
            assert np.isnan(y[0]).all() and np.isnan(y[:, 0]).all() and (y[1:, 1:] == np.inf).all(), algorithm


def test_infinite_weight_where_taps_see_only_padding(isa):
    # Such taps are left out of the products, but not where they would have made a NaN.
    x, w = np.ones((1, 2, 33, 33), np.float32), np.ones((16, 2, 3, 3), np.float32)
    w[3, 1, 0, 0] = np.inf
    for packed in (w, fc.PackedWeight(w)):
        y = fc.conv2d(x, packed, padding=24, dilation=24, algorithm="indirect")[0]
        assert np.isnan(y[3, :24]).all() and np.isnan(y[3, :, :24]).all() and (y[3, 24:, 24:] == np.inf).all()
        assert np.isfinite(np.delete(y, 3, 0)).all()


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_infinite_weight_of_a_transposed_convolution(isa, stride):
    # Nothing is multiplied but an input by a weight: neither the border nor the cells between have a NaN.
    x, w = np.ones((1, 2, 5, 6), np.float32), np.ones((2, 1, 3, 3), np.float32)
    w[:, :, 0, 0] = np.inf
    problem = TransposedConvolution("border", x.shape, w.shape, stride, 1, output_padding=stride - 1)
    a = cases.Arrays(x, w, None, np.zeros(problem.output_shape, np.float32))
    wanted = run(slow, problem, "forward", a)
    assert (wanted == np.inf).any() and np.isfinite(wanted).any() and not np.isnan(wanted).any()
    for algorithm in CHOSEN:
        for layout in LAYOUTS:
            if problem.refusal(algorithm, "forward", "float32", layout) is None:
                assert (run(fast, problem, "forward", a, layout, algorithm=algorithm) == wanted).all(), algorithm


@pytest.mark.parametrize("layout", LAYOUTS)
def test_infinite_weight_of_a_local_convolution(isa, layout):
    x, w = np.ones((1, 5, 5, 1), np.float32), np.ones((25, 1, 9), np.float32)
    w[:, :, 0] = np.inf
    y = fc.local_conv2d(x.reshape(1, 1, 5, 5) if layout == "channels_first" else x, w, padding=1, layout=layout)
    y = y.reshape(5, 5)
    assert np.isnan(y[0]).all() and np.isnan(y[:, 0]).all() and (y[1:, 1:] == np.inf).all()


@pytest.mark.parametrize("activation", ["relu", "relu6", "silu"])
def test_activations_of_special_numbers(isa, activation):
    x = np.tile(np.array([np.nan, np.inf, -np.inf, 1, -1, 0, 100, -100, 1000, -1000], np.float32), 5).reshape(1, 1, 50)
    w = np.ones((1, 1, 1), np.float32)
    for layout in LAYOUTS:
        y = fc.conv1d(
            x.reshape(x.shape if layout == "channels_first" else (1, 50, 1)), w, activation=activation, layout=layout
        )
        wanted = reference.conv1d(x, w, activation=activation).ravel()
        assert np.allclose(y.ravel(), wanted, rtol=1e-6, atol=1e-30, equal_nan=True), layout
        shape = (1, 1, 10, 5) if layout == "channels_first" else (1, 10, 5, 1)
        for stride in (1, 2):
            y = fc.conv_transpose2d(x.reshape(shape), w[..., None], None, stride, activation=activation, layout=layout)
            y = cases.from_layout(y, layout, 2)[0, 0, ::stride, ::stride]
            assert np.allclose(y.ravel(), wanted, rtol=1e-6, atol=1e-30, equal_nan=True), layout
        y = fc.local_conv2d(x.reshape(shape), np.ones((50, 1, 1), np.float32), activation=activation, layout=layout)
        assert np.allclose(y.ravel(), wanted, rtol=1e-6, atol=1e-30, equal_nan=True), layout


def test_overflow_of_float16():
    x, w = np.full((1, 1, 4), 60000, np.float16), np.ones((1, 1, 2), np.float16)
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")  # An infinity is a result like any other: nothing on stderr, no exception.
        assert (fc.conv1d(x, w) == np.inf).all()
    # Computed in float32: what overflows only on the way is no infinity.
    assert (fc.conv1d(x, np.array([[[1, -1]]], np.float16)) == 0).all()
    assert (fc.avg_pool1d(x, 2) == 60000).all()


# --- Long sums


@pytest.mark.parametrize("layout", LAYOUTS)
def test_long_sums_go_by_blocks(isa, layout):
    # One chain over 2 ** 25 ones stays at 2 ** 24 in float32.
    count = 2**25
    ones = np.ones((1, 1, count), np.float32)
    dy = cases.to_layout(ones, layout, 1)
    _, dw, db = fc.grad.conv1d_backward(
        dy, dy, np.zeros((1, 1, 1), np.float32), np.zeros(1, np.float32), layout=layout, needs=(False, True, True)
    )
    assert dw.item() == db.item() == count


# --- Denormal numbers


DENSE = Convolution("dense", (1, 32, 16, 16), (32, 32, 3, 3), padding=1)
DENSE_TRANSPOSED = TransposedConvolution("dense", (1, 32, 8, 8), (32, 32, 4, 4), stride=2, padding=1)
DENSE_LOCAL = LocalConvolution("dense", (2, 32, 7, 7), 32, (3, 3))
by_dense = pytest.mark.parametrize("dense", [DENSE, DENSE_TRANSPOSED, DENSE_LOCAL], ids=str)


@by_dense
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_denormals_are_numbers(isa, dense, dtype):
    # Whether they count as what they are or as zero may depend on the processor's mode; nothing else may come out.
    a, tiny = cases.arrays(dense, dtype), float(np.finfo(dtype).tiny)
    small = cases.Arrays(a.input * np.array(tiny / 16, dtype), a.weight, None, a.grad_output)
    wanted = cases.run(slow, dense, "forward", small)
    for algorithm in ALGORITHMS:
        if dense.refusal(algorithm, "forward", dtype, "channels_first") is None:
            error = np.abs(run(fast, dense, "forward", small, algorithm=algorithm) - wanted)
            assert error.max() <= tiny * dense.terms("forward") * cases.largest(a.weight)


def test_denormals_of_float16_are_exact(isa):
    # They are normal in float32, where the sum is: no excuse.
    x = np.arange(1, 41, dtype=np.uint16).view(np.float16).reshape(1, 1, 40)
    assert np.array_equal(fc.conv1d(x, np.ones((1, 1, 1), np.float16)), x)
    y = fc.conv1d(x, np.ones((1, 1, 2), np.float16))
    assert np.array_equal(y.view(np.uint16).ravel(), np.arange(1, 40) * 2 + 1)
    assert np.array_equal(fc.max_pool1d(x, 2), x[..., 1::2])
    y = fc.conv_transpose1d(x, np.ones((1, 1, 2), np.float16))
    assert np.array_equal(y.view(np.uint16).ravel(), [1, *np.arange(1, 40) * 2 + 1, 40])
    assert np.array_equal(fc.fold(fc.unfold(x[:, :, None], 1), (1, 40), 1)[:, :, 0], x)
    assert np.array_equal(fc.local_conv2d(x[:, :, None], np.ones((40, 1, 1), np.float16))[:, :, 0], x)


def test_floating_point_state_is_left_alone():
    tiny = np.finfo(np.float32).tiny
    for threads in (1, 2):
        with fc.threads(threads):
            for dense in (DENSE, DENSE_TRANSPOSED, DENSE_LOCAL):
                for which in PASSES:
                    run(fast, dense, which, cases.arrays(dense, "float32"))
        assert np.array([tiny], np.float32)[0] / np.float32(4) > 0  # Not flushed to zero.
        assert np.float64(5e-324) * np.float64(1) > 0  # Not read as zero.
        assert np.float32(1) / np.float32(3) == np.float32(0.33333334)  # Rounding to nearest.


# --- Inputs are never modified


def frozen(array):
    """Return a read-only copy, and its bytes."""
    array = array.copy()
    array.flags.writeable = False
    return array


def calls_of(name, layout, dtype):
    """Yield the arguments of a right call, and of one for each problem of the list that the function has."""
    yield arguments_of(name, layout, dtype)
    forward = forward_of(name)
    for problem in (p for p in EVERY_CONVOLUTION if p.function == forward):
        a, n = cases.arrays(problem, dtype), problem.dimensions
        x, dy = cases.to_layout(a.input, layout, n), cases.to_layout(a.grad_output, layout, n)
        given = {"input": x, "weight": a.weight, "layout": layout, **problem.options}
        if name.endswith("_input"):
            yield {"input_size": given.pop("input").shape, "grad_output": dy, **given}
        elif name.endswith("_weight"):
            yield {"weight_size": given.pop("weight").shape, "grad_output": dy, **given}
        else:
            yield {"bias": a.bias, **given, **({} if name == forward else {"grad_output": dy})}
    for problem in (*POOLS, *ADAPTIVE_POOLS):
        kind = "max" if "max" in name else "avg"
        if problem.function(kind) == forward and (kind == "max" or problem.has_average):
            x = cases.to_layout(cases.numbers(problem.input_shape, dtype, "normal", 0), layout, problem.dimensions)
            given = {"input": x, "layout": layout, **problem.options(kind)}
            yield given if name == forward else {"grad_output": slow(forward)(**given), **given}


@pytest.mark.parametrize("name", cases.FUNCTIONS)
@by_layout
@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_inputs_are_not_modified(isa, name, layout, dtype):
    for arguments in calls_of(name, layout, dtype):
        arguments |= {key: frozen(value) for key, value in arguments.items() if isinstance(value, np.ndarray)}
        given = [value for value in arguments.values() if isinstance(value, np.ndarray)]
        before = [value.tobytes() for value in given]
        fast(name)(**arguments)
        assert [value.tobytes() for value in given] == before, arguments


# --- Nothing is remembered that a change could outdate


@by_layer
def test_changes_in_place_are_seen(problem):
    a = cases.arrays(problem, "float32")
    weight = a.weight.copy()
    changing = cases.Arrays(a.input, weight, a.bias, a.grad_output)
    run(fast, problem, "forward", changing)
    run(fast, problem, "input", changing)
    packed = fc.PackedWeight(weight)
    snapshot = run(fast, problem, "forward", cases.Arrays(a.input, packed, a.bias, a.grad_output))
    weight[...] = weight[::-1].copy() + 1
    fresh = cases.Arrays(a.input, weight.copy(), a.bias, a.grad_output)
    for which in ("forward", "input"):
        assert cases.identical(run(fast, problem, which, changing), run(fast, problem, which, fresh)), which
    # A packed weight is a snapshot, also for an algorithm that packs it only now.
    for algorithm in ALGORITHMS:
        if problem.refusal(algorithm, "forward", "float32", "channels_first") is None:
            old = run(
                fast, problem, "forward", cases.Arrays(a.input, packed, a.bias, a.grad_output), algorithm=algorithm
            )
            assert cases.identical(old, run(fast, problem, "forward", a, algorithm=algorithm)), algorithm
    assert cases.identical(snapshot, run(fast, problem, "forward", a))


# --- "auto" is accurate


def chain(problem, a, which):
    """Return the pass as float32 sums in one chain, one product after the other, each step rounded."""
    size, kernel = a.input.shape[2:], a.weight.shape[2:]
    if isinstance(problem, LocalConvolution):
        return local_chain(problem, a, which)
    if isinstance(problem, TransposedConvolution):
        where = (problem.stride, problem.padding, problem.output_padding, problem.dilation)
        windows = transposed_windows(size, kernel, *where)
        x, dy, which = a.grad_output, a.input, {"forward": "input", "input": "forward"}.get(which, which)
    else:
        windows = convolution_windows(size, kernel, problem.stride, problem.padding, problem.dilation)
        x, dy = a.input, a.grad_output
    weight, ones = a.weight, [1] * problem.dimensions
    if which == "forward":  # Over (channel, row, column).
        x = windows.pad(x)
        y = np.zeros((len(x), len(weight), *windows.count), np.float32)
        for channel in range(x.shape[1]):
            for tap, cells in windows.taps():
                y += x[cells][:, channel, None] * weight[tap][:, channel].reshape(-1, *ones)
        return y
    if which == "input":  # Over (output channel, row, column).
        dx = windows.pad(np.zeros((len(dy), weight.shape[1], *windows.size), np.float32))
        for channel in range(len(weight)):
            for tap, cells in windows.taps():
                dx[cells] += dy[:, channel, None] * weight[tap][channel].reshape(-1, *ones)
        return windows.crop(dx)
    dw, x = np.zeros(weight.shape, np.float32), windows.pad(x)  # Over (image, row, column).
    for tap, cells in windows.taps():
        columns = np.moveaxis(x[cells], 1, -1).reshape(-1, x.shape[1])
        gradients = np.moveaxis(dy, 1, -1).reshape(-1, len(weight))
        total = np.zeros(weight.shape[:2], np.float32)
        for column, gradient in zip(columns, gradients, strict=True):
            total += gradient[:, None] * column
        dw[tap] = total
    return dw


def local_chain(problem, a, which):
    """Return the pass of a local convolution as sums in one chain."""
    windows = convolution_windows(a.input.shape[2:], problem.kernel, problem.stride, problem.padding, problem.dilation)
    channels, padded, dy = a.input.shape[1], windows.pad(a.input), a.grad_output
    weight = a.weight.reshape(*windows.count, problem.out_channels, channels, *problem.kernel)
    weight = weight.transpose(2, 3, 4, 5, 0, 1)  # [K, C, kh, kw, H', W']
    dx, dw = np.zeros_like(padded), np.zeros_like(weight)
    y = np.zeros_like(dy)
    for k in range(problem.out_channels):
        for c in range(channels):
            for (_, *tap), (_, *cells) in windows.taps():
                x, w = padded[:, c, *cells], weight[k, c, *tap]
                y[:, k] += x * w
                dx[:, c, *cells] += dy[:, k] * w
                for image in range(len(dy)):
                    dw[k, c, *tap] += dy[image, k] * x[image]
    dw = dw.transpose(4, 5, 0, 1, 2, 3).reshape(a.weight.shape)
    return {"forward": y, "input": windows.crop(dx), "weight": dw}[which]


@functools.cache
def exact_and_chain(problem, which):
    """Return the arguments of a problem, the exact pass, and the largest error of one chain."""
    a = cases.arrays(problem, "float32")
    a = cases.Arrays(a.input, a.weight, None, a.grad_output)
    exact = run(slow, problem, which, cases.Arrays(*(None if v is None else v.astype(float) for v in vars(a).values())))
    return a, exact, np.abs(chain(problem, a, which) - exact).max()


@pytest.mark.parametrize("problem", [p for p in EVERY_LAYER if p.groups == 1], ids=str)
@by_pass
def test_error_of_auto(isa, problem, which):
    a, exact, error = exact_and_chain(problem, which)
    for layout in LAYOUTS:
        assert np.abs(run(fast, problem, which, a, layout) - exact).max() <= 3 * error, layout


@pytest.mark.parametrize(
    ("shapes", "stride"), [(((1, 2, 2), (2, 2, 1000)), 1000), (((1, 1, 2, 2), (1, 1, 20, 20)), 20)], ids=["1d", "2d"]
)
def test_many_phases_are_counted(shapes, stride):
    # a phase takes a microsecond or two, however small it is
    found = fc.explain(f"conv_transpose{len(shapes[0]) - 2}d", *shapes, stride=stride)
    costs = {candidate.algorithm: candidate.cost for candidate in found.candidates}
    assert found.algorithm == "col2im" and costs["im2col"] > 20 * costs["col2im"]

"""What fastconv promises beyond the right result on ordinary numbers."""

import re
import warnings

import cases
import numpy as np
import pytest
from cases import ALGORITHMS, CONVOLUTIONS, LAYERS, LAYOUTS, PASSES, POOLS, Convolution, fast, run, slow

import fastconv as fc
from fastconv import reference
from fastconv.reference._windows import convolution_windows

by_pass = pytest.mark.parametrize("which", PASSES)
by_layer = pytest.mark.parametrize("problem", LAYERS, ids=str)
by_layout = pytest.mark.parametrize("layout", LAYOUTS)


# --- The bits do not depend on the number of threads


def bits_of_threads(call):
    """Check that 1, 2 and 5 threads give the same bits."""
    results = []
    for threads in (1, 2, 5):
        with fc.threads(threads):
            results.append(call())
    assert cases.identical(results[0], results[1]) and cases.identical(results[0], results[2])


@by_layer
@by_pass
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_threads_and_convolutions(isa, problem, which, algorithm):
    for dtype in ("float32", "float64"):
        for layout in LAYOUTS:
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
    for problem in (*CONVOLUTIONS, *LAYERS):
        for which in PASSES:
            gradient = None if which == "forward" else which
            plan = fc.explain(
                problem.function, problem.input_shape, problem.weight_shape, grad=gradient, **problem.options
            )
            picked.add(plan.algorithm)
    return ["auto", *sorted(picked)]


def check_special(problem, which, algorithm, layout, a, what):
    """Check that NaN and both infinities are where the reference has them, and that the rest is finite."""
    if problem.refusal(algorithm, which, "float32", layout) is not None:
        return
    actual = run(fast, problem, which, a, layout, algorithm=algorithm)
    wanted = run(slow, problem, which, a)
    special = ~np.isfinite(wanted)
    assert np.isfinite(actual[~special]).all(), f"{what}: not finite where the sum is"
    assert np.array_equal(actual[special], wanted[special], equal_nan=True), what


@pytest.mark.parametrize("problem", [*CONVOLUTIONS, *LAYERS], ids=str)
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
            for algorithm in CHOSEN:
                for layout in LAYOUTS:
                    what = f"{value} in {name}, {algorithm} {layout}"
                    check_special(problem, which, algorithm, layout, cases.Arrays(**changed), what)


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


@pytest.mark.parametrize("activation", ["relu", "relu6", "silu"])
def test_activations_of_special_numbers(isa, activation):
    x = np.tile(np.array([np.nan, np.inf, -np.inf, 1, -1, 0, 100, -100, 1000, -1000], np.float32), 5).reshape(1, 1, 50)
    w = np.ones((1, 1, 1), np.float32)
    for layout in LAYOUTS:
        y = fc.conv1d(
            x.reshape(x.shape if layout == "channels_first" else (1, 50, 1)), w, activation=activation, layout=layout
        )
        wanted = reference.conv1d(x, w, activation=activation)
        assert np.allclose(y.ravel(), wanted.ravel(), rtol=1e-6, atol=1e-30, equal_nan=True), layout


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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_denormals_are_numbers(isa, dtype):
    # Whether they count as what they are or as zero may depend on the processor's mode; nothing else may come out.
    a, tiny = cases.arrays(DENSE, dtype), float(np.finfo(dtype).tiny)
    small = cases.Arrays(a.input * np.array(tiny / 16, dtype), a.weight, None, a.grad_output)
    wanted = cases.run(slow, DENSE, "forward", small)
    for algorithm in ALGORITHMS:
        if DENSE.refusal(algorithm, "forward", dtype, "channels_first") is None:
            error = np.abs(run(fast, DENSE, "forward", small, algorithm=algorithm) - wanted)
            assert error.max() <= tiny * DENSE.terms("forward") * cases.largest(a.weight)


def test_denormals_of_float16_are_exact(isa):
    # They are normal in float32, where the sum is: no excuse.
    x = np.arange(1, 41, dtype=np.uint16).view(np.float16).reshape(1, 1, 40)
    assert np.array_equal(fc.conv1d(x, np.ones((1, 1, 1), np.float16)), x)
    y = fc.conv1d(x, np.ones((1, 1, 2), np.float16))
    assert np.array_equal(y.view(np.uint16).ravel(), np.arange(1, 40) * 2 + 1)
    assert np.array_equal(fc.max_pool1d(x, 2), x[..., 1::2])


def test_floating_point_state_is_left_alone():
    tiny = np.finfo(np.float32).tiny
    for threads in (1, 2):
        with fc.threads(threads):
            for which in PASSES:
                run(fast, DENSE, which, cases.arrays(DENSE, "float32"))
        assert np.array([tiny], np.float32)[0] / np.float32(4) > 0  # Not flushed to zero.
        assert np.float64(5e-324) * np.float64(1) > 0  # Not read as zero.
        assert np.float32(1) / np.float32(3) == np.float32(0.33333334)  # Rounding to nearest.


# --- Inputs are never modified


def frozen(array):
    """Return a read-only copy, and its bytes."""
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("name", cases.FUNCTIONS)
@by_layout
@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_inputs_are_not_modified(isa, name, layout, dtype):
    convolution, dimensions = name.startswith("conv"), int(re.search(r"\d", name)[0])
    problems = [p for p in (CONVOLUTIONS if convolution else POOLS) if p.dimensions == dimensions]
    for problem in problems:
        if convolution:
            a, options = cases.arrays(problem, dtype), dict(problem.options)
            x, dy = (frozen(cases.to_layout(v, layout, dimensions)) for v in (a.input, a.grad_output))
            weight, bias = frozen(a.weight), None if a.bias is None else frozen(a.bias)
            if name.endswith("_input"):
                arguments = (x.shape, weight, dy)
            elif name.endswith("_weight"):
                arguments = (x, weight.shape, dy)
            else:
                arguments = (dy, x, weight, bias) if name.endswith("_backward") else (x, weight, bias)
        else:
            kind = name[:3]
            if kind == "avg" and not problem.has_average:
                continue
            options = problem.options(kind)
            x = frozen(cases.to_layout(cases.numbers(problem.input_shape, dtype, "normal", 0), layout, dimensions))
            y = slow(problem.function(kind))(x, layout=layout, **options)
            arguments = (frozen(y), x) if name.endswith("_backward") else (x,)
        given = [argument for argument in arguments if isinstance(argument, np.ndarray)]
        before = [argument.tobytes() for argument in given]
        fast(name)(*arguments, layout=layout, **options)
        assert [argument.tobytes() for argument in given] == before, problem


# --- Nothing is remembered that a change could outdate


@pytest.mark.parametrize("problem", LAYERS, ids=str)
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
    windows = convolution_windows(
        a.input.shape[2:], a.weight.shape[2:], problem.stride, problem.padding, problem.dilation
    )
    x = windows.pad(a.input)
    if which == "forward":  # Over (channel, row, column).
        y = np.zeros(problem.output_shape, np.float32)
        for channel in range(x.shape[1]):
            for tap, cells in windows.taps():
                step = x[cells][:, channel, None] * a.weight[tap][:, channel].reshape(-1, *[1] * problem.dimensions)
                y += step
        return y
    if which == "input":  # Over (output channel, row, column).
        dx = np.zeros(x.shape, np.float32)
        for channel in range(len(a.weight)):
            for tap, cells in windows.taps():
                w = a.weight[tap][channel].reshape(-1, *[1] * problem.dimensions)
                dx[cells] += a.grad_output[:, channel, None] * w
        return windows.crop(dx)
    dw = np.zeros(a.weight.shape, np.float32)  # Over (image, row, column).
    for tap, cells in windows.taps():
        columns = np.moveaxis(x[cells], 1, -1).reshape(-1, x.shape[1])
        gradients = np.moveaxis(a.grad_output, 1, -1).reshape(-1, len(a.weight))
        total = np.zeros(a.weight.shape[:2], np.float32)
        for column, gradient in zip(columns, gradients, strict=True):
            total += gradient[:, None] * column
        dw[tap] = total
    return dw


@pytest.mark.parametrize("problem", [p for p in LAYERS if p.groups == 1], ids=str)
@by_pass
def test_error_of_auto(isa, problem, which):
    a = cases.arrays(problem, "float32")
    a = cases.Arrays(a.input, a.weight, None, a.grad_output)
    exact = run(slow, problem, which, cases.Arrays(*(None if v is None else v.astype(float) for v in vars(a).values())))
    one_chain = np.abs(chain(problem, a, which) - exact).max()
    for layout in LAYOUTS:
        assert np.abs(run(fast, problem, which, a, layout) - exact).max() <= 3 * one_chain, layout

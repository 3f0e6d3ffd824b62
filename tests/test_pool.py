"""Every pool and its gradient against the reference: instruction set x dtype x layout, indices, NaN, infinity."""

import cases
import numpy as np
import pytest
from cases import DTYPES, ISAS, LAYOUTS, POOLS, Pool, fast, slow
from hypothesis import assume, given, settings, strategies

from fastconv import runtime

by_problem = pytest.mark.parametrize("problem", POOLS, ids=str)
by_average = pytest.mark.parametrize("problem", [p for p in POOLS if p.has_average], ids=str)
by_dtype = pytest.mark.parametrize("dtype", DTYPES)


def windows_over_a_cell(problem):
    """Return how many windows a cell can lie in, at most: no more than there are taps."""
    return int(np.prod(np.broadcast_to(problem.kernel_size, problem.dimensions)))


def check_maximum(problem, dtype, layout, kind):
    """Check values, indices and gradient, none of which may differ by a bit."""
    n, name, options = problem.dimensions, problem.function("max"), {"layout": layout, **problem.options("max")}
    x = cases.to_layout(cases.pool_input(problem, dtype, kind), layout, n)
    what = f"{problem} {dtype} {layout} {kind}"
    value, index = fast(name)(x, return_indices=True, **options)
    wanted_value, wanted_index = slow(name)(x, return_indices=True, **options)
    assert value.dtype == dtype and index.dtype == np.int64 and index.shape == value.shape, what
    assert np.array_equal(value, wanted_value, equal_nan=True), what
    assert np.array_equal(index, wanted_index), what
    assert np.array_equal(fast(name)(x, **options), value, equal_nan=True), what
    # Integers: the sums of the windows' gradients are exact, in any order.
    dy = cases.numbers(value.shape, dtype, "integers", "dy")
    wanted = slow(f"{name}_backward")(dy, x, **options)
    for indices in (None, index):
        dx = fast(f"{name}_backward")(dy, x, indices=indices, **options)
        assert dx.dtype == dtype and np.array_equal(dx, wanted), what


def check_average(problem, dtype, layout, kind):
    n, name, options = problem.dimensions, problem.function("avg"), {"layout": layout, **problem.options("avg")}
    channels_first = cases.numbers(problem.input_shape, dtype, kind, "pool")
    x = cases.to_layout(channels_first, layout, n)
    what = f"{problem} {dtype} {layout} {kind}"
    terms, eps = windows_over_a_cell(problem), float(np.finfo(cases.precision(dtype)).eps)
    # A window's sum, divided by a number of at least 1, and the rounding to float16 at the end.
    wanted = slow(name)(x.astype(np.float64), **options)
    rounding = np.maximum(np.abs(wanted) * 2.0**-11, 2.0**-25) if dtype == "float16" else 0
    allowed = 2 * eps * (terms + 1) * cases.largest(x) + rounding
    y = fast(name)(x, **options)
    cases.check(y, wanted, dtype, allowed, what)
    dy = cases.numbers(y.shape, dtype, kind, "dy")
    wanted = slow(f"{name}_backward")(dy.astype(np.float64), x.astype(np.float64), **options)
    rounding = np.maximum(np.abs(wanted) * 2.0**-11, 2.0**-25) if dtype == "float16" else 0
    dx = fast(f"{name}_backward")(dy, x, **options)
    cases.check(dx, wanted, dtype, 2 * eps * (terms + 1) * cases.largest(dy) + rounding, what)


@by_problem
@by_dtype
@pytest.mark.parametrize("kind", ["normal", "ties", "nan", "-inf"])
def test_maximum(isa, problem, dtype, kind):
    for layout in LAYOUTS:
        check_maximum(problem, dtype, layout, kind)


@by_average
@by_dtype
@pytest.mark.parametrize("kind", ["normal", "integers"])
def test_average(isa, problem, dtype, kind):
    for layout in LAYOUTS:
        check_average(problem, dtype, layout, kind)


@pytest.mark.parametrize("size", cases.TILE_EDGES)
@pytest.mark.parametrize("axis", ["channels", "width"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_around_the_vectors(isa, axis, size, stride):
    channels, width = (size, 5) if axis == "channels" else (3, size)
    problem = Pool(f"{axis}-{size}", (1, channels, 5, width), 3, stride, 1)
    for dtype in DTYPES:
        for layout in LAYOUTS:
            check_maximum(problem, dtype, layout, "nan")
            check_average(problem, dtype, layout, "normal")


@by_dtype
def test_drawn_pools(dtype):
    integers = strategies.integers
    dimensions = strategies.shared(integers(1, 3), key="dimensions")

    def sizes(least, most):
        return dimensions.flatmap(lambda n: strategies.tuples(*[integers(least, most)] * n))

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(
        shape=strategies.tuples(integers(0, 2), integers(1, 9)),
        size=sizes(1, 12),
        kernel=sizes(1, 4),
        stride=strategies.none() | sizes(1, 4),
        padding=sizes(0, 2),
        dilation=strategies.just(1) | sizes(1, 3),
        ceil_mode=strategies.booleans(),
        count_include_pad=strategies.booleans(),
        divisor=strategies.sampled_from([None, None, 1, 3, -4]),
        kind=strategies.sampled_from(["normal", "ties", "nan", "-inf"]),
    )
    def every_way(shape, size, kernel, stride, padding, dilation, ceil_mode, count_include_pad, divisor, kind):
        padding = tuple(min(p, k // 2) for p, k in zip(padding, kernel, strict=True))
        flags = (ceil_mode, count_include_pad, divisor)
        problem = Pool("drawn", (*shape, *size), kernel, stride, padding, dilation, *flags)
        try:
            slow(problem.function("max"))(np.empty(problem.input_shape), **problem.options("max"))
        except ValueError:
            assume(False)  # The kernel is too large for the input.
        for isa in ISAS:
            with runtime.forced_isa(isa):
                for layout in LAYOUTS:
                    check_maximum(problem, dtype, layout, kind)
                    if problem.has_average:
                        check_average(problem, dtype, layout, "normal")

    every_way()


@by_average
def test_average_of_nan_and_infinity(isa, problem):
    # All of NaN, infinity and -infinity in the windows: the sum says what comes out, cell by cell.
    x = cases.numbers(problem.input_shape, "float32", "integers", "pool")
    where = cases.numbers(problem.input_shape, "float32", "normal", "where")
    x[where > 1.5], x[(where > 1) & (where < 1.2)], x[where < -2] = np.inf, -np.inf, np.nan
    name = problem.function("avg")
    for layout in LAYOUTS:
        array = cases.to_layout(x, layout, problem.dimensions)
        options = {"layout": layout, **problem.options("avg")}
        y, wanted = fast(name)(array, **options), slow(name)(array, **options)
        finite = np.isfinite(wanted)
        assert np.array_equal(y[~finite], wanted[~finite], equal_nan=True), layout
        assert np.allclose(y[finite], wanted[finite], rtol=1e-5), layout


def test_indices_are_those_of_the_plane():
    # Flat within the spatial plane, whatever the channel and the layout.
    x = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    _, first = fast("max_pool2d")(x, 2, return_indices=True)
    _, last = fast("max_pool2d")(np.moveaxis(x, 1, -1), 2, return_indices=True, layout="channels_last")
    assert (first == np.array([[6, 8], [16, 18]])).all()
    assert np.array_equal(np.moveaxis(last, -1, 1), first)

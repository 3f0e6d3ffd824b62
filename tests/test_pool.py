"""Every pool, adaptive pool and unpooling, and their gradients, against the reference.

Instruction set x dtype x layout, indices, NaN, infinity.
"""

import itertools

import cases
import numpy as np
import pytest
from cases import ADAPTIVE_POOLS, DTYPES, ISAS, LAYOUTS, POOLS, UNPOOLS, AdaptivePool, Pool, Unpool, fast, slow
from hypothesis import assume, given, settings, strategies

from fastconv import runtime

by_problem = pytest.mark.parametrize("problem", [*POOLS, *ADAPTIVE_POOLS], ids=str)
by_average = pytest.mark.parametrize("problem", [p for p in (*POOLS, *ADAPTIVE_POOLS) if p.has_average], ids=str)
by_unpooling = pytest.mark.parametrize("problem", UNPOOLS, ids=str)
by_dtype = pytest.mark.parametrize("dtype", DTYPES)


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
    terms, eps = problem.terms(), float(np.finfo(cases.precision(dtype)).eps)
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


@pytest.mark.parametrize("axis", ["channels", "width"])
@pytest.mark.parametrize("output_size", [1, (2, 5)], ids=str)
def test_adaptive_around_the_vectors(isa, axis, output_size):
    for size in cases.TILE_EDGES:
        channels, width = (size, 7) if axis == "channels" else (3, size)
        problem = AdaptivePool(f"{axis}-{size}", (1, channels, 3, width), output_size)
        for dtype, layout in itertools.product(("float32", "float64"), LAYOUTS):
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


@by_dtype
def test_drawn_adaptive_pools(dtype):
    integers = strategies.integers
    dimensions = strategies.shared(integers(1, 3), key="dimensions")

    def sizes(least, most):
        return dimensions.flatmap(lambda n: strategies.tuples(*[integers(least, most)] * n))

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(
        shape=strategies.tuples(integers(0, 2), integers(1, 9)),
        size=sizes(1, 9),
        output_size=integers(1, 5) | sizes(1, 6),
        kind=strategies.sampled_from(["normal", "ties", "nan", "-inf"]),
    )
    def every_way(shape, size, output_size, kind):
        problem = AdaptivePool("drawn", (*shape, *size), output_size)
        for isa in ISAS:
            with runtime.forced_isa(isa):
                for layout in LAYOUTS:
                    check_maximum(problem, dtype, layout, kind)
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


def test_adaptive_indices_are_those_of_the_plane():
    x = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    _, first = fast("adaptive_max_pool2d")(x, (2, 3), return_indices=True)
    _, last = fast("adaptive_max_pool2d")(np.moveaxis(x, 1, -1), (2, 3), return_indices=True, layout="channels_last")
    assert (first == np.array([[6, 8, 9], [16, 18, 19]])).all()
    assert np.array_equal(np.moveaxis(last, -1, 1), first)


def test_adaptive_pools_that_divide_are_pools():
    x = cases.numbers((2, 3, 8, 9), "float32", "normal", 0)
    for kind in ("max", "avg"):
        plain, adaptive = fast(f"{kind}_pool2d")(x, (2, 3)), fast(f"adaptive_{kind}_pool2d")(x, (4, 3))
        assert np.allclose(plain, adaptive, rtol=1e-6, atol=1e-7)
        assert cases.identical(fast(f"adaptive_{kind}_pool2d")(x, (8, 9)), x)


# --- Unpooling


def check_unpooling(problem, dtype, layout, kind, where):
    """Check the result and the gradient: nothing is computed, so that no bit may differ."""
    n, what = problem.dimensions, f"{problem} {dtype} {layout} {kind} {where}"
    x, indices = cases.numbers(problem.input_shape, dtype, "normal", "unpool"), cases.places(problem, where)
    if kind != "normal":
        x.flat[::3] = float(kind)
    x, indices = cases.to_layout(x, layout, n), cases.to_layout(indices, layout, n)
    options = {"layout": layout, **problem.options(layout)}
    y, wanted = fast(problem.function)(x, indices, **options), slow(problem.function)(x, indices, **options)
    assert cases.identical(y, wanted), what
    dy = cases.numbers(y.shape, dtype, "normal", "dy")
    backward = f"{problem.function}_backward"
    dx = fast(backward)(dy, x, indices, **options)
    assert cases.identical(dx, slow(backward)(dy, x, indices, **options)), what


@by_unpooling
@by_dtype
def test_unpooling(isa, problem, dtype):
    for layout in LAYOUTS:
        for kind, where in (("normal", "distinct"), ("normal", "repeated"), ("nan", "repeated"), ("-inf", "distinct")):
            check_unpooling(problem, dtype, layout, kind, where)


@pytest.mark.parametrize("axis", ["channels", "width"])
def test_unpooling_around_the_vectors(isa, axis):
    for size in cases.TILE_EDGES:
        channels, width = (size, 5) if axis == "channels" else (3, size)
        problem = Unpool(f"{axis}-{size}", (1, channels, 3, width), 2)
        for dtype, layout in itertools.product(("float32", "float64"), LAYOUTS):
            check_unpooling(problem, dtype, layout, "normal", "repeated")


@by_dtype
def test_drawn_unpoolings(dtype):
    integers = strategies.integers
    dimensions = strategies.shared(integers(1, 3), key="dimensions")

    def sizes(least, most):
        return dimensions.flatmap(lambda n: strategies.tuples(*[integers(least, most)] * n))

    @settings(max_examples=50, deadline=None, derandomize=True)
    @given(
        shape=strategies.tuples(integers(0, 2), integers(1, 9)),
        size=sizes(1, 7),
        kernel=sizes(1, 4),
        stride=strategies.none() | sizes(1, 4),
        padding=sizes(0, 2),
        more=strategies.none() | sizes(-3, 3),
        where=strategies.sampled_from(["distinct", "repeated"]),
    )
    def every_way(shape, size, kernel, stride, padding, more, where):
        steps = kernel if stride is None else stride
        plain = [(n - 1) * s + k - 2 * p for n, s, k, p in zip(size, steps, kernel, padding, strict=True)]
        output_size = None if more is None else tuple(n + m for n, m in zip(plain, more, strict=True))
        assume(all(n > 0 for n in output_size or plain))
        assume(more is None or all(abs(m) < s for m, s in zip(more, steps, strict=True)))
        assume(where == "repeated" or np.prod(output_size or plain) >= np.prod(size))
        problem = Unpool("drawn", (*shape, *size), kernel, stride, padding, output_size)
        for isa in ISAS:
            with runtime.forced_isa(isa):
                for layout in LAYOUTS:
                    check_unpooling(problem, dtype, layout, "normal", where)

    every_way()


@pytest.mark.parametrize("layout", LAYOUTS)
@by_dtype
def test_unpooling_of_a_pool(isa, layout, dtype):
    # What the pool took comes back to its place, and nothing else.
    x = cases.to_layout(cases.numbers((2, 5, 8, 12), dtype, "normal", 0), layout, 2)
    value, index = fast("max_pool2d")(x, 2, return_indices=True, layout=layout)
    y = fast("max_unpool2d")(value, index, 2, layout=layout)
    assert ((y == x) | (y == 0)).all() and np.count_nonzero(y) == value.size
    again, _ = fast("max_pool2d")(np.where(y == 0, -np.inf, y).astype(dtype), 2, return_indices=True, layout=layout)
    assert cases.identical(again, value)

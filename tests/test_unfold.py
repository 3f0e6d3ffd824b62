"""unfold, fold and their gradients against the reference: instruction set x dtype x layout, NaN and infinity."""

import functools
import itertools

import cases
import numpy as np
import pytest
from cases import DTYPES, ISAS, LAYOUTS, UNFOLDINGS, Unfolding, fast, slow
from hypothesis import assume, given, settings, strategies

from fastconv import runtime

by_problem = pytest.mark.parametrize("problem", UNFOLDINGS, ids=str)
by_dtype = pytest.mark.parametrize("dtype", DTYPES)
by_layout = pytest.mark.parametrize("layout", LAYOUTS)


@functools.cache
def arguments_of(problem, dtype, kind, layout):
    """Return an image and columns; few of the columns' numbers "nan", "inf" or "-inf", or all of them normal."""
    image = cases.numbers(problem.image_shape, dtype, "integers" if kind == "integers" else "normal", "image")
    columns = cases.numbers(problem.columns_shape, dtype, "integers" if kind == "integers" else "normal", "columns")
    if kind in ("nan", "inf"):
        for array in (image, columns):
            array.flat[::11], array.flat[5::13] = float(kind), -float(kind)
    return cases.to_layout(image, layout, 2), cases.to_layout(columns, layout, 1)


def check(problem, dtype, layout, kind):
    """Check both functions and both gradients; unfolding computes nothing, so that no bit may differ."""
    image, columns = arguments_of(problem, dtype, kind, layout)
    size, options = problem.image_shape[-2:], {"layout": layout, **problem.options}
    what = f"{problem} {dtype} {layout} {kind}"
    for name, arguments in (("unfold", (image,)), ("fold_backward", (image, columns, size))):
        wanted = slow(name)(*arguments, **options)
        assert cases.identical(fast(name)(*arguments, **options), wanted), f"{name} {what}"
    rounding = float(np.finfo(cases.precision(dtype)).eps) * 2 * problem.taps()
    for name, arguments in (("fold", (columns, size)), ("unfold_backward", (columns, image))):
        wide = [a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in arguments]
        wanted = slow(name)(*wide, **options)
        actual = fast(name)(*arguments, **options)
        finite = np.isfinite(wanted)
        assert np.array_equal(actual[~finite], wanted[~finite], equal_nan=True), f"{name} {what}"
        allowed = 0.0
        if kind != "integers":
            allowed = rounding * cases.largest(columns[np.isfinite(columns)])
            allowed += np.maximum(np.abs(wanted[finite]) * 2.0**-11, 2.0**-25) if dtype == "float16" else 0
        assert actual.shape == wanted.shape
        cases.check(actual[finite], wanted[finite], dtype, allowed, f"{name} {what}")


@by_problem
@by_dtype
def test_problems(isa, problem, dtype):
    for layout, kind in itertools.product(LAYOUTS, ("normal", "integers", "nan", "inf")):
        check(problem, dtype, layout, kind)


@pytest.mark.parametrize("axis", ["channels", "width"])
@pytest.mark.parametrize("stride", [1, 2])
def test_around_the_vectors(isa, axis, stride):
    for size in cases.TILE_EDGES:
        channels, width = (size, 5) if axis == "channels" else (3, size)
        problem = Unfolding(f"{axis}-{size}", (1, channels, 4, width), 3, 1, 1, stride)
        for dtype, layout in itertools.product(("float32", "float64"), LAYOUTS):
            check(problem, dtype, layout, "integers")


@by_dtype
def test_drawn_problems(dtype):
    def pairs(least, most):
        return strategies.tuples(*[strategies.integers(least, most)] * 2)

    @settings(max_examples=80, deadline=None, derandomize=True)
    @given(
        shape=strategies.tuples(strategies.integers(0, 2), strategies.integers(1, 9)),
        size=pairs(1, 15),
        kernel=pairs(1, 4),
        dilation=pairs(1, 3),
        padding=pairs(0, 3),
        stride=pairs(1, 4),
    )
    def every_way(shape, size, kernel, dilation, padding, stride):
        axes = zip(size, kernel, dilation, padding, strict=True)
        assume(all(n + 2 * p > d * (k - 1) for n, k, d, p in axes))
        problem = Unfolding("drawn", (*shape, *size), kernel, dilation, padding, stride)
        for isa in ISAS:
            with runtime.forced_isa(isa):
                for layout in LAYOUTS:
                    check(problem, dtype, layout, "normal")

    every_way()


@by_problem
@by_layout
def test_each_is_the_gradient_of_the_other(isa, problem, layout):
    image, columns = arguments_of(problem, "float32", "normal", layout)
    size, options = problem.image_shape[-2:], {"layout": layout, **problem.options}
    unfolded, folded = fast("unfold")(image, **options), fast("fold")(columns, size, **options)
    assert cases.identical(fast("unfold_backward")(columns, image, **options), folded)
    assert cases.identical(fast("fold_backward")(image, columns, size, **options), unfolded)


@by_layout
def test_fold_counts_the_windows_over_a_cell(layout):
    x = np.ones((1, 3, 5, 6) if layout == "channels_first" else (1, 5, 6, 3), np.float32)
    count = fast("fold")(fast("unfold")(x, 3, layout=layout), (5, 6), 3, layout=layout)
    count = cases.from_layout(count, layout, 2)
    assert (count == np.outer([1, 2, 3, 2, 1], [1, 2, 3, 3, 2, 1])).all()


@by_layout
def test_convolution_is_a_product_of_columns(layout):
    # The order of the rows is the one of a weight [K, C, kh, kw].
    x, w = cases.numbers((2, 3, 7, 8), "float64", "integers", 0), cases.numbers((4, 3, 3, 2), "float64", "integers", 1)
    columns = fast("unfold")(cases.to_layout(x, layout, 2), (3, 2), 1, 1, 2, layout=layout)
    columns = cases.from_layout(columns, layout, 1)
    y = fast("conv2d")(x, w, padding=1, stride=2)
    assert np.array_equal(np.einsum("kr,nrl->nkl", w.reshape(4, -1), columns).reshape(y.shape), y)

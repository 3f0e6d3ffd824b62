"""Every function is linear, or almost everywhere so, and its gradients are the adjoints.

<dy, conv(x, w)> = <dx, x> = <dw, w> for any dy, x and w, without a reference between: this also holds the gradients to
fastconv's own forward pass. So do finite differences, which need no linearity.
"""

import functools
import itertools

import cases
import numpy as np
import pytest
from calls import arguments_of
from cases import (
    ADAPTIVE_POOLS,
    ALGORITHMS,
    EVERY_CONVOLUTION,
    FORWARD_FUNCTIONS,
    LAYOUTS,
    POOLS,
    UNFOLDINGS,
    UNPOOLS,
    fast,
    run,
    slow,
)
from drawn import DRAWN_CONVOLUTIONS
from hypothesis import given, settings


def inner(a, b):
    return float(np.sum(a * b))


def without_bias(problem):
    """Return the arguments of a problem with a bias of zeros, which says no more than what a local kernel's size is."""
    a = cases.arrays(problem, "float64")
    return cases.Arrays(a.input, a.weight, np.zeros(problem.bias_shape), a.grad_output)


@functools.cache
def magnitude(problem):
    """Return the triple sum of the magnitudes."""
    a = cases.Arrays(*(np.abs(array) for array in vars(without_bias(problem)).values()))
    return inner(a.grad_output, run(slow, problem, "forward", a))


def check_adjoint(problem, algorithm, layout):
    a, size = without_bias(problem), magnitude(problem)
    eps = float(np.finfo(np.float64).eps)
    bare = {"algorithm": algorithm, "layout": layout}

    def able(which):
        return problem.refusal(algorithm, which, "float64", layout) is None

    forward = bare if able("forward") else {"layout": layout}
    y = run(fast, problem, "forward", a, **forward)
    wanted = inner(a.grad_output, y)
    for which, argument in (("input", a.input), ("weight", a.weight)):
        if able(which):
            # All products of the triple sum, each rounded, in sums as long as the gradient's and then the argument.
            allowed = 2 * eps * (problem.terms(which) + problem.terms("forward") + 10) * size
            error = abs(inner(run(fast, problem, which, a, **bare), argument) - wanted)
            assert error <= allowed, f"{problem} {which} {algorithm} {layout}: off by {error}, allowed {allowed}"


@pytest.mark.parametrize("problem", EVERY_CONVOLUTION, ids=str)
def test_convolutions(isa, problem):
    for algorithm, layout in itertools.product(problem.algorithms, LAYOUTS):
        check_adjoint(problem, algorithm, layout)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("drawn", DRAWN_CONVOLUTIONS)
def test_drawn_convolutions(drawn, algorithm):
    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(drawn())
    def every_layout(problem):
        for layout in LAYOUTS:
            check_adjoint(problem, algorithm, layout)

    every_layout()


@pytest.mark.parametrize("problem", EVERY_CONVOLUTION, ids=str)
def test_bias(problem):
    a = cases.arrays(problem, "float64")
    bias = cases.numbers(problem.bias_shape, "float64", "normal", "bias")
    full = cases.Arrays(a.input, np.zeros_like(a.weight), bias, a.grad_output)
    y = run(fast, problem, "forward", full)  # Only the bias.
    db = run(fast, problem, "bias", full)
    size = inner(np.abs(a.grad_output), np.abs(y))
    allowed = 2 * float(np.finfo(np.float64).eps) * (problem.terms("bias") + 10) * size
    assert abs(inner(db, bias) - inner(a.grad_output, y)) <= allowed


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("problem", [*POOLS, *ADAPTIVE_POOLS], ids=str)
def test_pools(isa, problem, layout):
    n = problem.dimensions
    x = cases.to_layout(cases.numbers(problem.input_shape, "float64", "normal", 0), layout, n)
    # A maximum is linear as long as the winners stay, so x itself serves; where no cell is under a window, none wins.
    for kind in ("max", "avg") if problem.has_average else ("max",):
        options = {"layout": layout, **problem.options(kind)}
        y = fast(problem.function(kind))(x, **options)
        dy = cases.numbers(y.shape, "float64", "normal", 1)
        dx = fast(f"{problem.function(kind)}_backward")(dy, x, **options)
        y = np.where(np.isinf(y), 0, y)
        size = inner(np.abs(dy), np.abs(y)) + inner(np.abs(dx), np.abs(x))
        allowed = 2 * float(np.finfo(np.float64).eps) * (x.size + 10) * size
        assert abs(inner(dx, x) - inner(dy, y)) <= allowed, kind


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("problem", UNPOOLS, ids=str)
def test_unpooling(isa, problem, layout):
    n, options = problem.dimensions, {"layout": layout, **problem.options(layout)}
    x = cases.to_layout(cases.numbers(problem.input_shape, "float64", "integers", 0), layout, n)
    indices = cases.to_layout(cases.places(problem, "distinct"), layout, n)
    y = fast(problem.function)(x, indices, **options)
    dy = cases.numbers(y.shape, "float64", "integers", 1)
    dx = fast(f"{problem.function}_backward")(dy, x, indices, **options)
    assert inner(dx, x) == inner(dy, y)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("problem", UNFOLDINGS, ids=str)
def test_unfold_and_fold(isa, problem, layout):
    image = cases.to_layout(cases.numbers(problem.image_shape, "float64", "integers", 0), layout, 2)
    columns = cases.to_layout(cases.numbers(problem.columns_shape, "float64", "integers", 1), layout, 1)
    size, options = problem.image_shape[-2:], {"layout": layout, **problem.options}
    wanted = inner(columns, fast("unfold")(image, **options))
    assert inner(fast("fold")(columns, size, **options), image) == wanted
    assert inner(fast("unfold_backward")(columns, image, **options), image) == wanted
    assert inner(fast("fold_backward")(image, columns, size, **options), columns) == wanted


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", FORWARD_FUNCTIONS)
def test_finite_differences(name, layout):
    a = arguments_of(name, layout, "float64")
    changing = [key for key in ("input", "weight", "bias") if key in a]
    a |= {key: cases.numbers(a[key].shape, "float64", "normal", key) for key in changing}
    dy = cases.numbers(fast(name)(**a).shape, "float64", "normal", "dy")
    gradients = fast(f"{name}_backward")(grad_output=dy, **a)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    step = 2.0**-20  # Far less than what lies between two of the numbers that a maximum is taken of.
    for key, gradient in zip(changing, gradients, strict=True):
        way = cases.numbers(a[key].shape, "float64", "normal", f"way of {key}")
        ends = (inner(dy, fast(name)(**a | {key: a[key] + sign * step * way})) for sign in (1, -1))
        slope = np.subtract(*ends) / (2 * step)
        assert abs(slope - inner(gradient, way)) <= 1e-7 * inner(np.abs(gradient), np.abs(way)), key

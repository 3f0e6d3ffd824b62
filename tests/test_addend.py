"""An addend of a convolution, the other branch of a frozen residual block: every algorithm against the reference."""

import dataclasses
import itertools

import cases
import numpy as np
import pytest
from cases import CONVOLUTIONS, LAYERS, LAYOUTS, TILED_CONVOLUTIONS, Convolution, from_layout, to_layout

import fastconv as fc
from fastconv import _convolution
from fastconv.reference._convolution import _activated as activated

ACTIVATIONS = (None, "relu", "relu6", "silu")
TILED = {axis: problems for axis, problems in TILED_CONVOLUTIONS.items() if type(problems[0]) is Convolution}


def plus(problem, a, addend, algorithm, layout="channels_first", activation=None):
    """Return the activation of a convolution plus an addend, both channels first."""
    n = problem.dimensions
    x, more = (to_layout(array, layout, n) for array in (a.input, addend))
    options = *problem.options.values(), layout, None, algorithm, activation
    return from_layout(_convolution.forward(n, x, a.weight, a.bias, *options, addend=more), layout, n)


def ways(problem, dtype):
    """Yield the algorithms that can do a problem, each in both layouts."""
    for algorithm, layout in itertools.product(problem.algorithms, LAYOUTS):
        if problem.refusal(algorithm, "forward", dtype, layout) is None:
            yield algorithm, layout


@pytest.mark.parametrize("problem", [*CONVOLUTIONS, *LAYERS], ids=str)
def test_every_algorithm_adds(isa, problem):
    for dtype in ("float32", "float64"):
        a, eps = cases.arrays(problem, dtype), float(np.finfo(dtype).eps)
        addend = a.grad_output
        total = cases.expected(problem, "forward", dtype) + addend
        for algorithm, layout in ways(problem, dtype):
            chosen = problem.chosen(algorithm, "forward", dtype, layout)
            before = cases.tolerance(problem, "forward", dtype, a, total, chosen) + 2 * eps * np.abs(addend)
            for activation in ACTIVATIONS:
                wanted = activated(total, activation)
                allowed = 1.1 * before + 8 * eps * np.abs(wanted)  # as without an addend: test_equivalence.py
                actual = plus(problem, a, addend, algorithm, layout, activation)
                cases.check(actual, wanted, dtype, allowed, f"{algorithm} {dtype} {layout} {activation}")


@pytest.mark.parametrize("axis", TILED)
def test_integers_around_the_tiles_are_exact(isa, axis):
    for problem, dtype in itertools.product(TILED[axis], ("float32", "float64")):
        a = cases.arrays(problem, dtype, "integers")
        wanted = activated(cases.expected(problem, "forward", dtype, "integers") + a.grad_output, "relu")
        for algorithm, layout in ways(problem, dtype):
            if problem.chosen(algorithm, "forward", dtype, layout) not in cases.AMPLIFIED:
                actual = plus(problem, a, a.grad_output, algorithm, layout, "relu")
                cases.check(actual, wanted, dtype, 0.0, f"{problem} {algorithm} {dtype} {layout}")


@pytest.mark.parametrize("problem", LAYERS, ids=str)
def test_bits_do_not_depend_on_the_threads(isa, problem):
    a = cases.arrays(problem, "float32")
    for algorithm, layout in ways(problem, "float32"):
        results = []
        for threads in (1, 2, 5):
            with fc.threads(threads):
                results.append(plus(problem, a, a.grad_output, algorithm, layout, "silu").tobytes())
        assert results[0] == results[1] == results[2], f"{algorithm} {layout}"


@pytest.mark.parametrize("groups", [1, 12])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_comes_out_where_it_belongs(isa, bad, groups):
    """Also where an algorithm computes an image again because its own sums overflowed: the addend is added once."""
    problem = Convolution("bad", (3, 12, 20, 21), (12, 12 // groups, 3, 3), padding=1, groups=groups)
    a = cases.arrays(problem, "float32")
    x, weight, addend = a.input.copy(), a.weight.copy(), a.grad_output.copy()
    x[1, 2, 5, 6] = weight[7, 0, 1, 0] = addend[2, 3, 0, 20] = bad
    for spoilt in (dataclasses.replace(a, input=x), dataclasses.replace(a, weight=weight)):
        with np.errstate(invalid="ignore"):
            total = cases.run(cases.slow, problem, "forward", spoilt) + addend
        for (algorithm, layout), activation in itertools.product(ways(problem, "float32"), (None, "relu6")):
            actual = plus(problem, spoilt, addend, algorithm, layout, activation)
            what = f"{algorithm} {layout} {activation}"
            np.testing.assert_allclose(actual, activated(total, activation), rtol=1e-4, atol=1e-4, err_msg=what)

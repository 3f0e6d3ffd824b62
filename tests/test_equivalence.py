"""Every convolution and gradient against the reference: function x algorithm x instruction set x dtype x layout."""

import dataclasses
import itertools
import re

import cases
import numpy as np
import pytest
from cases import (
    ALGORITHMS,
    CONVOLUTIONS,
    DTYPES,
    EVERY_CONVOLUTION,
    EVERY_LAYER,
    ISAS,
    LAYOUTS,
    PASSES,
    TILED_CONVOLUTIONS,
    TRANSPOSED,
    fast,
    run,
)
from drawn import DRAWN_CONVOLUTIONS
from hypothesis import given, settings

import fastconv as fc
from fastconv import runtime

by_problem = pytest.mark.parametrize("problem", EVERY_CONVOLUTION, ids=str)
by_pass = pytest.mark.parametrize("which", PASSES)
by_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)
by_dtype = pytest.mark.parametrize("dtype", DTYPES)


def compare(problem, which, algorithm, dtype, layout, kind):
    """Check one pass by one algorithm: the right result, or the refusal that `explain` announces."""
    a = cases.arrays(problem, dtype, kind)
    reason = problem.refusal(algorithm, which, dtype, layout)
    if reason is not None:
        with pytest.raises(ValueError, match=re.escape(reason)):
            run(fast, problem, which, a, layout, algorithm=algorithm)
        return
    wanted = cases.expected(problem, which, dtype, kind)
    chosen = problem.chosen(algorithm, which, dtype, layout)
    exact = kind == "integers" and chosen not in cases.AMPLIFIED
    allowed = 0.0 if exact else cases.tolerance(problem, which, dtype, a, wanted, chosen)
    actual = run(fast, problem, which, a, layout, algorithm=algorithm)
    cases.check(actual, wanted, dtype, allowed, f"{problem} {which} {algorithm} {dtype} {layout} {kind}")


# A problem is one test, however many ways there are: pytest takes longer for a test than most of them for a problem.


@by_problem
def test_problems(isa, problem):
    for way in itertools.product(PASSES, problem.algorithms, DTYPES, LAYOUTS):
        compare(problem, *way, "normal")


@by_problem
def test_integers_are_exact(isa, problem):
    # Sums of small integers have no rounding in any order: an equality, which finds the one wrong cell of an edge that
    # a tolerance may hide. float16 would round the largest of them.
    for way in itertools.product(PASSES, problem.algorithms, ["float32"], LAYOUTS):
        compare(problem, *way, "integers")


@pytest.mark.parametrize("axis", TILED_CONVOLUTIONS)
@by_pass
@by_algorithm
def test_around_the_tiles(isa, axis, which, algorithm):
    for problem in TILED_CONVOLUTIONS[axis]:
        for dtype in ("float32", "float64"):
            for layout in LAYOUTS:
                compare(problem, which, algorithm, dtype, layout, "integers")


@pytest.mark.parametrize("problem", EVERY_LAYER, ids=str)
@by_pass
def test_layers(isa, problem, which):
    for way in itertools.product(problem.algorithms, ["float32"], LAYOUTS):
        compare(problem, which, *way, "normal")


@by_pass
@by_dtype
@pytest.mark.parametrize("drawn", DRAWN_CONVOLUTIONS)
def test_drawn_problems(drawn, which, dtype):
    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(drawn())
    def every_way(problem):
        for isa in ISAS:
            with runtime.forced_isa(isa):
                for algorithm in ALGORITHMS:
                    for layout in LAYOUTS:
                        compare(problem, which, algorithm, dtype, layout, "normal")

    every_way()


@by_problem
def test_bias_gradient(isa, problem):
    problem = dataclasses.replace(problem, bias=True)
    for dtype, layout in itertools.product(DTYPES, LAYOUTS):
        a, wanted = cases.arrays(problem, dtype), cases.expected(problem, "bias", dtype)
        allowed = cases.tolerance(problem, "bias", dtype, a, wanted)
        cases.check(run(fast, problem, "bias", a, layout), wanted, dtype, allowed, f"{dtype} {layout}")


@by_problem
def test_all_gradients_at_once_are_those_alone(problem):
    passes = ("input", "weight", "bias") if problem.bias else ("input", "weight")
    a = cases.arrays(problem, "float32")
    for algorithm in problem.algorithms:
        if any(problem.refusal(algorithm, which, "float32", "channels_first") for which in ("input", "weight")):
            continue  # A named algorithm has to do every pass that is needed; test_problems sees it refuse.
        options = {"algorithm": algorithm, **problem.options}
        gradients = fast(f"{problem.function}_backward")(a.grad_output, a.input, a.weight, a.bias, **options)
        assert len(gradients) == 3 and (gradients[2] is None) == (not problem.bias)
        for which, gradient in zip(passes, gradients, strict=False):
            alone = run(fast, problem, which, a, algorithm=algorithm)
            assert cases.identical(gradient, alone), f"{which} {algorithm}"


@pytest.mark.parametrize("problem", CONVOLUTIONS, ids=str)
@by_algorithm
def test_torch_named_gradients(problem, algorithm):
    a, n = cases.arrays(problem, "float32"), problem.dimensions
    for which, layout in itertools.product(("input", "weight"), LAYOUTS):
        x, dy = cases.to_layout(a.input, layout, n), cases.to_layout(a.grad_output, layout, n)
        options = {"layout": layout, "algorithm": algorithm, **problem.options}
        arguments = (x.shape, a.weight, dy) if which == "input" else (x, a.weight.shape, dy)
        if problem.refusal(algorithm, which, "float32", layout) is not None:
            with pytest.raises(ValueError, match="algorithm"):
                fast(f"{problem.function}_{which}")(*arguments, **options)
            continue
        gradient = fast(f"{problem.function}_{which}")(*arguments, **options)
        gradient = cases.from_layout(gradient, layout, n) if which == "input" else gradient
        assert cases.identical(gradient, run(fast, problem, which, a, layout, algorithm=algorithm)), (which, layout)


@by_problem
def test_activations(isa, problem):
    for activation, dtype in (("relu", "float32"), ("relu6", "float64"), *(("silu", dtype) for dtype in DTYPES)):
        a = cases.arrays(problem, dtype)
        wanted = cases.expected(problem, "forward", dtype, activation=activation)
        # No slope exceeds 1.1, and silu's own roundings are a few of the result's last places.
        before = cases.tolerance(problem, "forward", dtype, a, wanted)
        allowed = 1.1 * before + 8 * float(np.finfo(cases.precision(dtype)).eps) * np.abs(wanted)
        for algorithm, layout in itertools.product(problem.algorithms, LAYOUTS):
            if problem.refusal(algorithm, "forward", dtype, layout) is None:
                actual = run(fast, problem, "forward", a, layout, algorithm=algorithm, activation=activation)
                cases.check(actual, wanted, dtype, allowed, f"{activation} {algorithm} {dtype} {layout}")


@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize("algorithm", sorted(set(fc.algorithms()) - {"direct"}))  # which would take seconds
def test_large_results_are_those_of_each_image(isa, algorithm, groups):
    # What is too large for the caches is stored past them where rows, or planes, begin with lines of memory.
    for (height, width), dtype, layout in itertools.product([(96, 176), (99, 181)], ("float32", "float64"), LAYOUTS):
        images = 10 if dtype == "float32" else 5
        for kernel in (1, 3):
            shapes = (images, 16, height, width), (16, 16 // groups, kernel, kernel)
            problem = cases.Convolution("large", *shapes, padding=kernel // 2, groups=groups)
            a = cases.arrays(problem, dtype)
            assert a.grad_output.nbytes > 8 << 20
            for which in ("forward", "input"):
                if problem.refusal(algorithm, which, dtype, layout) is None:
                    everything = run(fast, problem, which, a, layout, algorithm=algorithm)
                    for i in range(images):
                        one = dataclasses.replace(a, input=a.input[i : i + 1], grad_output=a.grad_output[i : i + 1])
                        one_problem = dataclasses.replace(problem, input_shape=(1, 16, height, width))
                        alone = run(fast, one_problem, which, one, layout, algorithm=algorithm)
                        assert cases.identical(everything[i : i + 1], alone), f"{kernel} {which} {dtype} {layout}"


@by_problem
def test_packed_weight(isa, problem):
    for dtype in DTYPES:
        a = cases.arrays(problem, dtype)
        packed = dataclasses.replace(a, weight=fc.PackedWeight(a.weight))
        for algorithm, layout in itertools.product(problem.algorithms, LAYOUTS):
            if problem.refusal(algorithm, "forward", dtype, layout) is None:
                plain = run(fast, problem, "forward", a, layout, algorithm=algorithm)
                for _ in range(2):  # The first use packs, the second finds it packed.
                    again = run(fast, problem, "forward", packed, layout, algorithm=algorithm)
                    assert cases.identical(again, plain), f"{algorithm} {dtype} {layout}"


@pytest.mark.parametrize("algorithm", fc.algorithms())
@pytest.mark.parametrize("problems", [CONVOLUTIONS, TRANSPOSED], ids=["conv", "conv_transpose"])
def test_no_algorithm_only_refuses(algorithm, problems):
    # Otherwise all the tests above could pass on refusals.
    ways = itertools.product(problems, PASSES, LAYOUTS)
    assert None in [problem.refusal(algorithm, which, "float32", layout) for problem, which, layout in ways]


def test_direct_refuses_nothing():
    for problem in EVERY_CONVOLUTION:
        for which in PASSES:
            assert problem.refusal("direct", which, "float32", "channels_first") is None

"""Fourier transforms: squares of every side, pairs across images, the odd one out, what is not finite, the error."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc

# Input, kernel, padding, dilation: squares of 32 to 256, a few and many, whole and cut.
PROBLEMS = {
    "side-32": ((3, 2, 9, 20), (3, 5), (1, 2), 1),
    "side-64": ((1, 3, 70, 45), (17, 9), (8, 4), 1),
    "side-128": ((2, 2, 230, 90), (31, 31), (15, 15), 1),
    "side-256": ((1, 1, 500, 430), (63, 63), (31, 31), 1),
    "dilated": ((1, 2, 150, 160), (9, 11), (20, 30), (3, 6)),
    "far-rows": ((1, 2, 20, 30), (3, 5), (40, 2), (40, 1)),
    "one-row": ((2, 1, 1, 700), (1, 100), (0, 99), 1),
}


def both(name, dtype, seed=0):
    """Return a problem's arrays and options."""
    rng = np.random.default_rng(seed)
    input_shape, kernel, padding, dilation = PROBLEMS[name]
    channels = input_shape[1]
    x = rng.standard_normal(input_shape).astype(dtype)
    w = rng.standard_normal((channels, 1, *kernel)).astype(dtype)
    return x, w, {"padding": padding, "dilation": dilation, "groups": channels}


@pytest.mark.parametrize("name", PROBLEMS)
def test_errs_less_than_three_times_a_plain_sum(isa, name):
    x, w, options = both(name, "float32")
    exact = fc.conv2d(x.astype(float), w.astype(float), algorithm="depthwise", **options)
    plain = np.abs(fc.conv2d(x, w, algorithm="depthwise", **options) - exact).max()
    assert np.abs(fc.conv2d(x, w, algorithm="fft", **options) - exact).max() <= 3 * plain
    y = exact.astype(np.float32)
    exact = fc.grad.conv2d_input(x.shape, w.astype(float), y.astype(float), algorithm="depthwise", **options)
    plain = np.abs(fc.grad.conv2d_input(x.shape, w, y, algorithm="depthwise", **options) - exact).max()
    assert np.abs(fc.grad.conv2d_input(x.shape, w, y, algorithm="fft", **options) - exact).max() <= 3 * plain


@pytest.mark.parametrize("activation", [None, "relu", "relu6", "silu"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_float64_bias_and_activation(isa, name, activation):
    x, w, options = both(name, "float64")
    bias = np.arange(x.shape[1]) - 0.5
    wanted = fc.conv2d(x, w, bias, algorithm="depthwise", activation=activation, **options)
    actual = fc.conv2d(x, w, bias, algorithm="fft", activation=activation, **options)
    assert np.abs(actual - wanted).max() <= 1e-14 * np.abs(w).sum(axis=(1, 2, 3)).max() * np.abs(x).max()


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_what_is_not_finite_stays_where_it_belongs(isa, value):
    x, w, options = both("side-64", "float32")
    x[0, 1, 30, 20] = value
    wanted = fc.conv2d(x, w, algorithm="depthwise", **options)
    actual = fc.conv2d(x, w, algorithm="fft", **options)
    assert np.array_equal(np.isfinite(actual), np.isfinite(wanted))
    assert np.array_equal(actual[:, 0], wanted[:, 0])
    w[2, 0, 0, 0] = np.inf  # over the padding's zeros, too
    wanted = fc.conv2d(x, w, algorithm="depthwise", **options)
    actual = fc.conv2d(x, w, algorithm="fft", **options)
    assert np.array_equal(np.isnan(actual), np.isnan(wanted))


def test_a_large_kernel_on_a_large_plane_takes_it(isa):
    shapes = (1, 1, 720, 1280), (1, 1, 41, 41)
    assert fc.explain("conv2d", *shapes, padding=20).algorithm == "fft"
    assert fc.explain("conv2d", *shapes, "input", padding=20).algorithm == "fft"
    assert fc.explain("conv2d", (1, 96, 56, 56), (96, 1, 3, 3), padding=1, groups=96).algorithm != "fft"

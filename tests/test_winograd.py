"""Winograd's algorithms beyond the equivalence: every number of their transforms, and what they must not spread."""

import itertools

import numpy as np
import pytest
from cases import LAYOUTS, to_layout

import fastconv as fc
from fastconv import grad

# Points, taps along one dimension, outputs of a tile.
TRANSFORMS = [("winograd4", 3, 2), ("winograd6", 3, 4), ("winograd6", 5, 2), ("winograd8", 7, 2)]
NAMES = sorted({name for name, *_ in TRANSFORMS})
by_name = pytest.mark.parametrize("name", NAMES)


@pytest.mark.parametrize(("name", "taps", "outputs"), TRANSFORMS)
@pytest.mark.parametrize("axis", [0, 1])
def test_every_number_of_the_transforms(isa, name, taps, outputs, axis):
    # Each input of a tile alone with each tap alone: an output is one where they meet and zero elsewhere. A bilinear
    # form that is right for all pairs of basis vectors is right.
    size = taps + outputs - 1
    x, w = np.eye(size)[:, None], np.eye(taps)[:, None]
    y = fc.conv2d(np.expand_dims(x, 3 - axis), np.expand_dims(w, 3 - axis), algorithm=name)
    i, k, o = np.ogrid[:size, :taps, :outputs]
    np.testing.assert_allclose(y.squeeze(3 - axis), i == o + k, atol=3e-15)


@pytest.mark.parametrize(("name", "rows", "columns"), [("winograd4", 3, 3), ("winograd6", 3, 5), ("winograd6", 5, 3)])
def test_every_pair_of_transforms(isa, name, rows, columns):
    points = {"winograd4": 4, "winograd6": 6}[name]
    x, w = np.eye(points * points), np.eye(rows * columns)
    x, w = x.reshape(-1, 1, points, points), w.reshape(-1, 1, rows, columns)
    np.testing.assert_allclose(fc.conv2d(x, w, algorithm=name), fc.conv2d(x, w, algorithm="direct"), atol=1e-14)


@pytest.mark.parametrize(("name", "taps", "outputs"), TRANSFORMS)
@pytest.mark.parametrize("axis", [0, 1])
def test_every_number_of_the_weight_gradient(isa, name, taps, outputs, axis):
    # The same for the other two factors: an input and an output alone meet at one tap.
    size = taps + outputs - 1
    x, dy = (np.expand_dims(np.eye(n)[:, None, None], 4 - axis) for n in (size, outputs))
    shape = (1, 1, 1, taps) if axis else (1, 1, taps, 1)
    dw = [grad.conv2d_weight(a, shape, b, algorithm=name) for a, b in itertools.product(x, dy)]
    i, o, k = np.ogrid[:size, :outputs, :taps]
    np.testing.assert_allclose(np.reshape(dw, (size, outputs, taps)), i == o + k, atol=3e-15)


def kernel_of(name):
    return (1, 7) if name == "winograd8" else (3, 3)


@by_name
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_not_finite_stays_in_its_windows(isa, name, bad, layout):
    rng = np.random.default_rng(0)
    rows, columns = kernel_of(name)
    x = rng.standard_normal((3, 9, 14, 17)).astype(np.float32)
    w = rng.standard_normal((10, 9, rows, columns)).astype(np.float32)
    x[1, 4, 6, 5] = bad
    options = {"padding": (rows // 2, columns // 2), "layout": layout, "activation": "relu"}
    y = fc.conv2d(to_layout(x, layout, 2), w, algorithm=name, **options)
    wanted = fc.conv2d(to_layout(x, layout, 2), w, algorithm="direct", **options)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4)
    # An image without it is computed as if it were alone.
    alone = fc.conv2d(to_layout(x, layout, 2)[2:], w, algorithm=name, **options)
    np.testing.assert_array_equal(y[2:], alone)


@by_name
def test_gradients_that_are_not_finite_stay_in_their_windows(isa, name):
    rng = np.random.default_rng(1)
    rows, columns = kernel_of(name)
    dy, w = rng.standard_normal((2, 9, 9, 13)), rng.standard_normal((9, 11, rows, columns))
    dy[0, 3, 4, 5] = np.inf
    for weight in (w, np.where(w == w.max(), np.nan, w)):
        options = {"padding": (rows // 2, columns // 2)}
        dx = fc.conv_transpose2d(dy, weight, algorithm=name, **options)
        wanted = fc.conv_transpose2d(dy, weight, algorithm="direct", **options)
        np.testing.assert_allclose(dx, wanted, rtol=1e-10, atol=1e-10)


@by_name
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_weight_gradient_of_what_is_not_finite(isa, name, bad):
    rng = np.random.default_rng(3)
    rows, columns = kernel_of(name)
    x, shape = rng.standard_normal((2, 9, 9, 13)), (11, 9, rows, columns)
    dy = rng.standard_normal((2, 11, 9, 13))
    x[1, 3, 0, 0] = bad  # In the corner: most taps never see it.
    options = {"padding": (rows // 2, columns // 2)}
    dw = grad.conv2d_weight(x, shape, dy, algorithm=name, **options)
    wanted = grad.conv2d_weight(x, shape, dy, algorithm="direct", **options)
    assert np.isfinite(wanted).mean() > 0.9
    np.testing.assert_allclose(dw, wanted, rtol=1e-10, atol=1e-10)


@by_name
def test_a_weight_that_is_not_finite(isa, name):
    rng = np.random.default_rng(2)
    rows, columns = kernel_of(name)
    x, w = rng.standard_normal((2, 9, 9, 13)), rng.standard_normal((10, 9, rows, columns))
    w[3, 2, 0, 1] = np.inf
    for weight in (w, fc.PackedWeight(w)):
        y, wanted = fc.conv2d(x, weight, algorithm=name), fc.conv2d(x, weight, algorithm="direct")
        np.testing.assert_allclose(y, wanted, rtol=1e-10, atol=1e-10)


@by_name
def test_an_overflow_of_the_transforms_alone(isa, name):
    # The transforms add up to ten times the largest input: the sums of products are finite, those at the points not.
    rows, columns = kernel_of(name)
    board = np.where(np.indices((12, 13)).sum(0) % 2, np.float32(3e38), np.float32(-3e38))
    x = np.broadcast_to(board, (1, 9, 12, 13))
    w = np.full((3, 9, rows, columns), 1e-3, np.float32)
    y, wanted = fc.conv2d(x, w, algorithm=name), fc.conv2d(x, w, algorithm="direct")
    assert np.isfinite(wanted).all()
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e32)


@pytest.mark.parametrize("name", ["winograd6", "winograd8"])
@pytest.mark.parametrize("channels", [1, 7, 8])
def test_few_channels_are_left_to_other_algorithms(name, channels):
    # Their error would be more than three times that of a plain sum; who names one takes it.
    kernel = (1, 7) if name == "winograd8" else (3, 3)
    found = fc.explain("conv2d", (8, channels, 64, 64), (64, channels, *kernel))
    cost = {candidate.algorithm: candidate.cost for candidate in found.candidates}[name]
    assert (cost == np.inf) == (channels < 8)
    assert ("only by name" in str(found)) == (channels < 8)


@by_name
def test_refusals_say_what_is_needed(name):
    kernel = (1, 7) if name == "winograd8" else (3, 3)
    for stride, size, words in (
        (2, kernel, "stride 1"),
        *((1, size, "a kernel of") for size in ((2, 2), (1, 1), (9, 3))),
    ):
        found = fc.explain("conv2d", (1, 8, 20, 20), (8, 8, *size), stride=stride)
        assert words in {candidate.algorithm: candidate.reason for candidate in found.candidates}[name]
    reasons = fc.explain("conv3d", (1, 8, 9, 9, 9), (8, 8, 3, 3, 3)).candidates
    assert {c.algorithm: c.reason for c in reasons}[name] == "needs one or two dimensions"

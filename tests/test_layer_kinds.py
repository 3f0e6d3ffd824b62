"""What is peculiar to each kind of layer, against plain NumPy formulas and, for its rarer rules, PyTorch."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from layer_cases import Case, assert_same_bits, case, normal, pass_through, torch_twin

import fastconv as fc
from fastconv import nn, reference

INF, NAN = math.inf, math.nan
LONG = np.longdouble
IN_BOTH_DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


# Activations


def sigmoid(x):
    x = x.astype(LONG)
    return 1 / (1 + np.exp(-x))


ACTIVATIONS = {
    "Sigmoid": (sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "Tanh": (lambda x: np.tanh(x.astype(LONG)), lambda x: 1 / np.cosh(x.astype(LONG)) ** 2),
    "SiLU": (lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * sigmoid(-x))),
}


@pytest.mark.parametrize("kind", ACTIVATIONS)
@IN_BOTH_DTYPES
def test_activations_are_accurate_over_the_whole_range(kind, dtype, isa):
    function, slope = ACTIVATIONS[kind]
    rng = np.random.default_rng(0)
    info = np.finfo(dtype)
    largest = -math.log(info.tiny) + 30
    parts = rng.uniform(-largest, largest, 20000), rng.uniform(-3, 3, 20000), np.linspace(-1, 1, 4001)
    tiny = rng.normal(size=10000) * 10.0 ** rng.uniform(math.log10(info.tiny) - 5, 1, 10000)
    x = np.concatenate([*parts, tiny, [0.0, -0.0, info.tiny, -info.smallest_subnormal]]).astype(dtype)
    layer = getattr(nn, kind)()
    with np.errstate(all="ignore"):
        y, expected, slopes = layer(x), function(x), slope(x)
    unit = np.spacing(np.abs(expected).astype(dtype)).astype(LONG)
    # silu is the sigmoid times x: where that is a denormal number, so is the error.
    error = np.abs(y - expected) / (unit * np.maximum(1, np.abs(x)) if kind == "SiLU" else unit)
    assert error.max() < 3, x[error.argmax()]
    dx = layer.backward(np.ones_like(x))
    # Read off the output, the slope of the tails is that of the rounded output: absolute, in units of 1.
    assert np.abs(dx - slopes).max() < 8 * info.eps


@pytest.mark.parametrize(
    "layer, values, outputs, slopes",
    [
        (nn.ReLU(), [NAN, INF, -INF, 0, -1, 1e30], [NAN, INF, 0, 0, 0, 1e30], [1, 1, 0, 0, 0, 1]),
        (nn.ReLU6(), [NAN, INF, -INF, 0, 6, 5, 1e-44], [NAN, 6, 0, 0, 6, 5, 1e-44], [0, 0, 0, 0, 0, 1, 1]),
        (nn.LeakyReLU(0.5), [NAN, INF, -INF, 0, -2, 1e30], [NAN, INF, -INF, 0, -1, 1e30], [0.5, 1, 0.5, 0.5, 0.5, 1]),
        (nn.LeakyReLU(0), [NAN, INF, -INF, -2], [NAN, INF, NAN, 0], [0, 1, 0, 0]),
        (nn.LeakyReLU(-1), [NAN, INF, -INF, -2, 2], [NAN, INF, INF, 2, 2], [-1, 1, -1, -1, 1]),
        (nn.SiLU(), [NAN, INF, -INF, 0, 1e30, -1e30], [NAN, INF, NAN, 0, 1e30, 0], [NAN, NAN, NAN, 0.5, 1, 0]),
        (nn.Sigmoid(), [NAN, INF, -INF, 0, 1e30, -1e30], [NAN, 1, 0, 0.5, 1, 0], [NAN, 0, 0, 0.25, 0, 0]),
        (nn.Tanh(), [NAN, INF, -INF, 0, 1e30, -1e30], [NAN, 1, -1, 0, 1, -1], [NAN, 0, 0, 1, 0, 0]),
    ],
    ids=lambda value: repr(value) if isinstance(value, nn.Layer) else "",
)  # fmt: skip
@IN_BOTH_DTYPES
def test_activations_of_edge_values(layer, values, outputs, slopes, dtype, isa):
    x = np.tile(np.array(values, dtype), 40)[: 40 * len(values) - 1]  # every lane, and a tail
    expected = np.tile(np.array(outputs, dtype), 40)[: len(x)]
    np.testing.assert_array_equal(layer(x), expected)
    np.testing.assert_array_equal(layer.backward(np.ones_like(x)), np.tile(np.array(slopes, dtype), 40)[: len(x)])


@pytest.mark.parametrize("kind", ["ReLU", "ReLU6", "LeakyReLU", "SiLU", "Sigmoid", "Tanh"])
def test_edge_values_are_pytorchs(kind, isa, torch):
    x = np.array([NAN, INF, -INF, 0.0, -0.0, 6, 1e300, -1e300, 1e-310, -1e-310, 800, -800, 1, -1])
    layer, twin = getattr(nn, kind)(), getattr(torch.nn, kind)()
    tensor = torch.from_numpy(x).requires_grad_()
    expected = twin(tensor)
    expected.backward(torch.full_like(expected, 3))
    np.testing.assert_allclose(layer(x), expected.detach().numpy(), rtol=1e-15, atol=1e-300)
    np.testing.assert_allclose(layer.backward(np.full_like(x, 3)), tensor.grad.numpy(), rtol=1e-15, atol=1e-300)


def test_signs_of_zero_and_denormals_stay(isa):
    for dtype, small in (np.float32, 1e-44), (np.float64, 1e-322):
        x = np.array([0.0, -0.0, small, -small], dtype)
        np.testing.assert_array_equal(nn.Tanh()(x), x)
        assert np.signbit(nn.Tanh()(x)).tolist() == [False, True, False, True]


# Softmax


@pytest.mark.parametrize(
    "shape, dim",
    [((5,), 0), ((), 0), ((), -1), ((3, 10), 1), ((2, 1000), -1), ((3, 17, 33), 1), ((3, 17, 33), 0), ((2, 3, 65), 2),
     ((2, 21, 50, 31), 1), ((20001, 3), 0), ((1, 1, 5), 1)],
)  # fmt: skip
@IN_BOTH_DTYPES
def test_softmax_is_its_formula(shape, dim, dtype, isa):
    x = 5 * normal(shape, dtype)
    x = x + np.asarray(1000, dtype)  # which cancels
    wide = x.astype(LONG) - x.astype(LONG).max()
    expected = np.exp(wide) / np.exp(wide).sum(axis=dim if shape else None, keepdims=True)
    layer = nn.Softmax(dim)
    y = layer(x)
    assert y.shape == shape and y.dtype == dtype
    # exp errs by a few units, its argument not at all where x - max is exact
    rounding = np.finfo(dtype).eps
    np.testing.assert_allclose(y, expected.astype(np.float64), rtol=4 * rounding * (1 + np.ptp(x) / 2), atol=0)
    dy = normal(shape, dtype)
    slopes = expected * (dy - (expected * dy).sum(axis=dim if shape else None, keepdims=True))
    dx = layer.backward(dy)
    assert np.abs(dx - slopes).max() < 32 * rounding * (1 + np.ptp(x) / 2)


def test_softmax_of_edge_values(isa):
    for columns in 1, 3, 40:  # one contiguous row, columns side by side
        rows = [[1e30, 0], [-INF, 1], [-1e30, -1e30], [1e-44, 0], [88, -88]]
        expected = [[1, 0], [0, 1], [0.5, 0.5], [0.5, 0.5], [1, 0]]
        x = np.repeat(np.array(rows, np.float32)[:, :, None], columns, 2)
        y = nn.Softmax(1)(x)
        np.testing.assert_allclose(y, np.repeat(np.array(expected)[:, :, None], columns, 2), atol=1e-7)
        for row in [NAN, 1, 2], [1, 2, NAN], [INF, 1, 2], [-INF, -INF, -INF]:
            spoilt = np.zeros((2, 3, columns), np.float32)
            spoilt[0] = np.array(row, np.float32)[:, None]
            y = nn.Softmax(1)(spoilt)
            assert np.isnan(y[0]).all()
            np.testing.assert_allclose(y[1], 1 / 3, rtol=1e-6)


def test_softmax_without_dim_is_pytorchs_choice_and_warns():
    for shape, axis in ((4,), 0), ((3, 4), 1), ((2, 3, 4), 0), ((2, 3, 4, 5), 1):
        x = normal(shape)
        with pytest.warns(UserWarning, match=f"took dim={axis}"):
            y = nn.Softmax()(x)
        np.testing.assert_array_equal(y, nn.Softmax(axis)(x))


# Dropout


def splitmix64(key, count):
    """The first outputs of the generator of that name, from Steele, Lea and Flood (2014)."""
    with np.errstate(over="ignore"):
        z = np.uint64(key) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def test_splitmix64_is_the_published_one():
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert splitmix64(1234567, 4).tolist() == published


@pytest.mark.parametrize("count", [1, 2, 127, 128, 129, 16385, 50001])
@IN_BOTH_DTYPES
def test_dropout_is_its_formula(count, dtype, isa):
    x, dy, p = normal(count, dtype), normal(count, dtype, 8), 0.3
    layer = nn.Dropout(p, rng=11)
    key = np.random.default_rng(11).integers(2**64, dtype=np.uint64)
    words = splitmix64(key, count // 2 + 1)
    bits = np.stack([words & np.uint64(2**32 - 1), words >> np.uint64(32)], 1).ravel()[:count]
    factor = np.where(bits < round(p * 2**32), 0, dtype(1 / (1 - p))).astype(dtype)
    np.testing.assert_array_equal(layer(x), x * factor)
    np.testing.assert_array_equal(layer.backward(dy), dy * factor)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(p):
    count = 200_000
    y = nn.Dropout(p, rng=0)(np.ones(count))
    deviation = math.sqrt(p * (1 - p) / count)
    assert abs((y == 0).mean() - p) < 5 * deviation
    assert abs(y.mean() - 1) < 5 * deviation / (1 - p)
    kept = (y != 0).astype(float) - (1 - p)  # neighbours, and neighbours' neighbours, know nothing of each other
    for lag in 1, 2, 128:
        assert abs((kept[lag:] * kept[:-lag]).mean()) < 5 * p * (1 - p) / math.sqrt(count)


def test_dropout_of_nothing_and_of_all():
    x = normal((3, 50))
    np.testing.assert_array_equal(nn.Dropout(0)(x), x)
    layer = nn.Dropout(1)
    assert not layer(x).any() and not layer.backward(x).any()
    assert nn.Dropout(1).eval()(x) is x
    assert np.isnan(nn.Dropout(1)(np.array([NAN, INF]))).all()  # times 0, as in PyTorch


def test_dropout_draws_anew_from_its_generator():
    x = np.ones(1000)
    first, second = nn.Dropout(rng=3), nn.Dropout(rng=np.random.default_rng(3))
    outputs = [layer(x) for layer in (first, second) for _ in range(2)]
    np.testing.assert_array_equal(outputs[0], outputs[2])
    np.testing.assert_array_equal(outputs[1], outputs[3])
    assert (outputs[0] != outputs[1]).any() and (nn.Dropout()(x) != nn.Dropout()(x)).any()
    shared = np.random.default_rng(3)
    one, other = nn.Dropout(rng=shared), nn.Dropout(rng=shared)
    np.testing.assert_array_equal(one(x), outputs[0])
    np.testing.assert_array_equal(other(x), outputs[1])
    state = copy.deepcopy(first.rng.bit_generator.state)
    first.eval()(x)
    assert first.rng.bit_generator.state == state


def test_networks_with_dropout_train_reproducibly():
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(24, 1, 6, 6)).astype(np.float32), np.arange(24) % 3
    results = []
    for threads in 1, 3:
        rng = np.random.default_rng(7)
        network = nn.Sequential(
            nn.Conv2d(1, 8, 3, rng=rng), nn.BatchNorm2d(8), nn.SiLU(), nn.Dropout(0.3, rng=rng), nn.Flatten(),
            nn.Dropout(0.1, rng=rng), nn.Linear(128, 3, rng=rng),
        )  # fmt: skip
        options = {"batch_size": 7, "loss": nn.CrossEntropyLoss(), "optimizer": nn.Adam(0.01), "progress": False}
        with fc.threads(threads):
            network.fit(images, labels, epochs=2, rng=1, **options)
            results.append({**network.params, **network.buffers, "predicted": network.predict(images)})
    assert_same_bits(*results)


# Batch normalisation


@pytest.mark.parametrize(
    "shape",
    [(2, 1), (9, 17), (3, 65, 1), (2, 3, 5), (5, 33, 7), (3, 16, 1023), (1, 2, 40001), (70001, 3),
     (300001, 1), (40, 2, 5000)],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("offset", [0, 1e4])
@IN_BOTH_DTYPES
def test_batch_norm_is_its_formula(shape, offset, dtype, isa):
    """Every way of cutting the work: channels side by side, a piece a channel, many pieces; and a large mean."""
    channels, eps = shape[1], np.finfo(dtype).eps
    x = (normal(shape) * 3 + offset).astype(dtype)
    dy = normal(shape, dtype, 9)
    layer = nn.BatchNorm1d(channels, dtype=dtype)
    rng = np.random.default_rng(4)
    for array in layer.params.values():
        array[:] = rng.uniform(0.5, 2, channels)

    axes = (0, *range(2, len(shape)))
    column = (slice(None),) + (None,) * (len(shape) - 2)
    count = x.size // channels
    wide, gradient = x.astype(LONG), dy.astype(LONG)
    mean = wide.mean(axes)
    deviation = wide - mean[column]
    variance = (deviation**2).mean(axes)
    inverse = 1 / np.sqrt(variance + LONG(1e-5))
    standard = deviation * inverse[column]
    weight, bias = (layer.params[name].astype(LONG) for name in ("weight", "bias"))
    slopes = {"weight": (gradient * standard).sum(axes), "bias": gradient.sum(axes)}
    terms = gradient - slopes["bias"][column] / count - standard * slopes["weight"][column] / count
    expected = {"y": standard * weight[column] + bias[column], "dx": (weight * inverse)[column] * terms, **slopes}

    found = pass_through(layer, x, dy)
    # In float64 the mean is known to eps |mean| only, beside a sum that errs by a few units.
    known = (8 * eps if dtype == np.float32 else 40 * eps) + 4 * np.finfo(np.float64).eps * abs(offset)
    scale = {"y": np.abs(expected["y"]), "dx": np.abs((weight * inverse)[column]) * np.abs(gradient).max()}
    sums = np.abs(gradient).sum(axes)
    scale |= {"weight": np.abs(gradient * standard).sum(axes) + sums, "bias": sums}
    for name, value in expected.items():
        excess = np.abs(found[name] - value) - known * (scale[name] + np.abs(value).max())
        assert excess.max() <= 0, (name, float(np.abs(found[name] - value).max()))

    # Momentum 0.1 from zeros and ones; the unbiased variance.
    moved = {"running_mean": mean / 10, "running_var": LONG(0.9) + variance / 10 * count / (count - 1)}
    errors = {"running_mean": np.abs(mean) + np.sqrt(variance), "running_var": variance}
    for name, value in moved.items():
        near = 4 * eps * np.abs(value) + known / 10 * errors[name]
        assert (np.abs(layer.buffers[name] - value) <= near).all(), name


@IN_BOTH_DTYPES
def test_batch_norm_in_inference_is_its_formula(dtype, isa):
    for shape in (5, 33), (2, 3, 41):
        layer = Case("BatchNorm1d", shape, (shape[1],)).make(dtype, training=False)
        before = {name: array.copy() for name, array in layer.buffers.items()}
        x, dy = normal(shape, dtype), normal(shape, dtype, 9)
        column = (slice(None),) + (None,) * (len(shape) - 2)
        mean, variance = (layer.buffers[name].astype(LONG)[column] for name in ("running_mean", "running_var"))
        weight, bias = (layer.params[name].astype(LONG)[column] for name in ("weight", "bias"))
        inverse = 1 / np.sqrt(variance + LONG(1e-5))
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(layer(x), (x - mean) * inverse * weight + bias, rtol=8 * eps, atol=8 * eps)
        np.testing.assert_allclose(layer.backward(dy), dy * weight * inverse, rtol=4 * eps)
        assert_same_bits(layer.buffers, before)
        with_infinity = x.copy()
        with_infinity[0, 0] = INF
        layer(with_infinity)
        assert np.isfinite(layer.backward(dy)).all()  # the slope does not know of x


@pytest.mark.parametrize("shape", [(50, 1), (50, 18), (2, 3, 25)], ids=str)
@IN_BOTH_DTYPES
def test_batch_norm_where_only_last_places_differ(shape, dtype, isa):
    """The mean lies between two neighbouring numbers, as far from the data as they from each other."""
    step = 2.0**20 * np.finfo(dtype).eps
    places = np.random.default_rng(6).integers(0, 3, shape)
    layer = nn.BatchNorm1d(shape[1], momentum=1.0, dtype=dtype)
    layer((2.0**20 + step * places).astype(dtype))
    variance = np.var(places, axis=(0, *range(2, len(shape))), ddof=1) * step**2
    np.testing.assert_allclose(layer.buffers["running_var"], variance, rtol=16 * np.finfo(dtype).eps)


def test_batch_norm_without_momentum_is_the_mean_over_batches():
    layer = nn.BatchNorm1d(2, momentum=None, dtype=np.float64)
    batches = [normal((size, 2), seed=size) for size in (3, 5, 9)]
    for batch in batches:
        layer(batch)
    assert layer.buffers["num_batches_tracked"] == 3
    assert layer.buffers["num_batches_tracked"].dtype == np.int64 and layer.buffers["num_batches_tracked"].shape == ()
    np.testing.assert_allclose(layer.buffers["running_mean"], np.mean([b.mean(0) for b in batches], 0), rtol=1e-14)
    unbiased = np.mean([b.var(0, ddof=1) for b in batches], 0)
    np.testing.assert_allclose(layer.buffers["running_var"], unbiased, rtol=1e-14)


def test_batch_norm_state_over_many_batches_is_pytorchs(torch):
    for momentum in 0.1, None, 0.0, 1.0:
        layer, twin = nn.BatchNorm2d(3, momentum=momentum), torch.nn.BatchNorm2d(3, momentum=momentum)
        for seed in range(5):
            x = normal((4, 3, 2, 2), np.float32, seed)
            np.testing.assert_allclose(layer(x), twin(torch.from_numpy(x)).detach().numpy(), rtol=1e-5, atol=1e-5)
        for name, buffer in twin.named_buffers():
            np.testing.assert_allclose(layer.buffers[name], buffer.numpy(), rtol=1e-6, atol=1e-7)
        layer.eval(), twin.eval()
        np.testing.assert_allclose(layer(x), twin(torch.from_numpy(x)).detach().numpy(), rtol=1e-5, atol=1e-5)


def test_batch_norm_of_edge_values(isa):
    for dtype, huge, tiny in (np.float32, 3e38, 1e-44), (np.float64, 1e150, 1e-322):
        layer = nn.BatchNorm1d(5, eps=0.0, dtype=dtype)
        x = np.ones((4, 5), dtype)
        x[:, 1], x[:, 2], x[1, 3], x[1, 4] = [huge, -huge, huge, -huge], np.arange(4), NAN, INF
        y = layer(x)
        assert np.isnan(y[:, 0]).all()  # 0 / 0: a constant, and no epsilon
        np.testing.assert_allclose(y[:, 1], [1, -1, 1, -1], rtol=1e-6)
        np.testing.assert_allclose(y[:, 2], (np.arange(4) - 1.5) / math.sqrt(1.25), rtol=1e-6)
        assert np.isnan(y[:, 3:]).all()
        constant = nn.BatchNorm1d(1, dtype=dtype)
        assert (constant(np.full((1000, 1), 0.1, dtype)) == 0).all()  # its variance is exactly 0
        assert constant.backward(np.ones((1000, 1), dtype)).tolist() == [[0.0]] * 1000
        denormal = nn.BatchNorm1d(1, dtype=dtype)(np.array([[0], [tiny]], dtype))
        assert np.isfinite(denormal).all() and np.abs(denormal).max() <= tiny * 200


def test_batch_norm_sees_replaced_parameters_and_checks_them():
    layer, x = nn.BatchNorm1d(2), normal((5, 2), np.float32)
    y = layer(x)
    layer.params["weight"] = np.array([2.0, 3.0])
    assert layer(x).dtype == np.float64
    np.testing.assert_allclose(layer(x), y * [2, 3], rtol=1e-5)
    layer.params["weight"] = np.ones(3, np.float32)
    with pytest.raises(ValueError, match=r"weight must have the shape \(2,\), got \(3,\)"):
        layer(x)
    layer.params["weight"] = np.ones(2, np.float32)
    layer.buffers["running_var"] = np.ones(1, np.float32)
    before = {name: array.copy() for name, array in layer.buffers.items()}
    for mode in True, False:
        with pytest.raises(ValueError, match=r"running_var must have the shape \(2,\), got \(1,\)"):
            layer.train(mode)(x)
    assert_same_bits(layer.buffers, before)  # nothing half done


# Upsampling


def upsampled(x, out_size, mode, corners, scales):
    """By the definition, in float64: the position of each output along each axis, and the factors of its neighbours."""
    for axis, (out, scale) in enumerate(zip(out_size, scales, strict=True), 2):
        size = x.shape[axis]
        matrix = np.zeros((out, size))
        for o in range(out):
            step = ((size - 1) / (out - 1) if out > 1 else 0) if corners else (1 / scale if scale else size / out)
            if mode == "nearest":
                matrix[o, min(math.floor(o * step), size - 1)] = 1
                continue
            position = o * step if corners else (o + 0.5) * step - 0.5
            if mode != "bicubic":
                position = max(position, 0)
            first = math.floor(position)
            t = position - first
            if mode == "bicubic":
                distances = [1 + t, t, 1 - t, 2 - t]
                near = [1.25 * d**3 - 2.25 * d**2 + 1 for d in distances]  # Keys (1981) with a = -0.75
                far = [-0.75 * (d**3 - 5 * d**2 + 8 * d - 4) for d in distances]
                factors = {-1: far[0], 0: near[1], 1: near[2], 2: far[3]}
            else:
                factors = {0: 1 - t, 1: t}
            for shift, factor in factors.items():
                matrix[o, min(max(first + shift, 0), size - 1)] += factor
        x = np.moveaxis(np.moveaxis(x, axis, -1) @ matrix.T, -1, axis)
    return x


@pytest.mark.parametrize(
    "mode, shape, options",
    [
        ("nearest", (1, 2, 5, 7), {"size": (11, 6)}),
        ("nearest", (2, 1, 33), {"scale_factor": 1.37}),
        ("linear", (1, 3, 17), {"size": 64}),
        ("linear", (1, 3, 17), {"scale_factor": 2.5, "align_corners": True}),
        ("bilinear", (2, 2, 9, 33), {"scale_factor": (2.3, 1.9)}),
        ("bilinear", (2, 2, 9, 33), {"scale_factor": (2.3, 1.9), "recompute_scale_factor": True}),
        ("bilinear", (1, 1, 16, 16), {"size": (7, 70)}),
        ("bicubic", (1, 2, 6, 18), {"size": (13, 40)}),
        ("bicubic", (1, 2, 6, 18), {"scale_factor": 0.6, "align_corners": True}),
        ("trilinear", (1, 2, 3, 4, 17), {"scale_factor": (2, 1.5, 3)}),
    ],
)
@IN_BOTH_DTYPES
def test_upsampling_is_its_definition(mode, shape, options, dtype, isa):
    layer = nn.Upsample(mode=mode, **options)
    x = normal(shape, dtype)
    y = layer(x)
    asked = options.get("scale_factor", options.get("size"))
    factors = asked if isinstance(asked, tuple) else (asked,) * (len(shape) - 2)
    by_size = "size" in options or options.get("recompute_scale_factor")
    scales = (None,) * len(factors) if by_size else factors
    expected = upsampled(x.astype(np.float64), y.shape[2:], mode, options.get("align_corners"), scales)
    # A position is rounded like a number of the input's size, and what it weighs changes by as much.
    close = 8 * np.finfo(dtype).eps * max(shape) * np.abs(x).max() * 4
    np.testing.assert_allclose(y, expected, rtol=0, atol=close)
    if mode == "nearest":
        assert np.isin(y, x).all()
    # The gradient is the adjoint: <dy, A x> = <A' dy, x>.
    dy = normal(y.shape, dtype)
    left, right = (dy.astype(np.float64) * y).sum(), (layer.backward(dy).astype(np.float64) * x).sum()
    assert left == pytest.approx(right, abs=float(64 * np.finfo(dtype).eps * np.abs(dy * y).sum()))


@pytest.mark.parametrize(
    "mode, spatial",
    [("nearest", 1), ("nearest", 2), ("nearest", 3), ("linear", 1), ("bilinear", 2), ("bicubic", 2), ("trilinear", 3)],
)
def test_upsampling_sizes_are_pytorchs(mode, spatial, torch):
    """Random sizes and factors, which round one way or the other: PyTorch's coordinates to the last bit."""
    rng = np.random.default_rng(spatial)
    most = {1: 70, 2: 14, 3: 6}[spatial]
    for trial in range(60):
        size = tuple(int(v) for v in rng.integers(1, most, spatial))
        factors = tuple(float(v) for v in rng.choice([2, 0.5, 1.5, 3, 1.1, 0.7, 1 / 3, 2.7, 4, 1, 1.01], spatial))
        options = {"size": tuple(int(v) for v in rng.integers(1, 2 * most, spatial))}
        if trial % 2 and all(int(a * b) for a, b in zip(size, factors, strict=True)):
            options = {"scale_factor": factors, "recompute_scale_factor": [None, False, True][trial % 3]}
        corners = None if mode == "nearest" else [None, False, True][trial % 3]
        dtype = (np.float32, np.float64)[trial % 4 // 2]
        x = rng.normal(size=(2, 3, *size)).astype(dtype)
        layer = nn.Upsample(mode=mode, align_corners=corners, **options)
        tensor = torch.from_numpy(x).requires_grad_()
        expected = torch.nn.Upsample(mode=mode, align_corners=corners, **options)(tensor)
        y = layer(x)
        assert y.shape == tuple(expected.shape)
        close = {"rtol": 0, "atol": 64 * np.finfo(dtype).eps * max(1, np.abs(x).max())}
        np.testing.assert_allclose(y, expected.detach().numpy(), **close, err_msg=f"{size} {options}")
        if any(a == b for a, b in zip(size, y.shape[2:], strict=True)):
            continue  # where a size stays, PyTorch's gradient copies, whatever its forward pass did
        dy = rng.normal(size=y.shape).astype(dtype)
        expected.backward(torch.from_numpy(dy))
        close["atol"] *= max(1, math.prod(y.shape[2:]) / math.prod(size))
        np.testing.assert_allclose(layer.backward(dy), tensor.grad.numpy(), **close, err_msg=f"{size} {options}")


def test_upsampling_of_edge_values(isa):
    x = np.array([[[NAN, 1.0, INF, 1e-44, -0.0]]], np.float32)
    y = nn.Upsample(scale_factor=2)(x)
    np.testing.assert_array_equal(y, np.repeat(x, 2, 2))
    assert np.signbit(y[0, 0, -1])
    layer = nn.Upsample(scale_factor=2, mode="linear")
    y = layer(np.array([[[INF, 0.0, 0.0, 1e30]]], np.float32))
    assert y[0, 0, 0] == INF and y[0, 0, 2] == INF and (y[0, 0, 3:5] == 0).all()
    dx = layer.backward(np.array([[[0, INF, 0, 0, 0, 0, 0, 1.0]]], np.float32))
    assert (dx[0, 0, :2] == INF).all() and dx[0, 0, 2:].tolist() == [0, 1]
    nearest = nn.Upsample(size=7)
    nearest(np.zeros((1, 1, 5), np.float32))
    assert np.isinf(nearest.backward(np.full((1, 1, 7), INF, np.float32))).all()


# Convolutions of other kinds


def test_locally_connected_is_the_reference(isa):
    for options in {}, {"stride": 2, "padding": 1, "bias": False}, {"padding": ((1, 0), (0, 2))}, {"padding": "same"}:
        layer = nn.LocallyConnected2d(2, 3, (5, 6), 3, dtype=np.float64, rng=0, **options)
        x = normal((2, 2, 5, 6))
        geometry = layer.stride, layer.padding
        arrays = x, layer.params["weight"], layer.params.get("bias")
        np.testing.assert_allclose(layer(x), reference.local_conv2d(*arrays, *geometry), rtol=1e-12, atol=1e-12)
        assert layer(x).shape[2:] == layer.output_size


def test_locally_connected_starts_within_its_fan_in():
    layer = nn.LocallyConnected2d(4, 3, 6, 3, rng=0)
    assert layer.params["weight"].shape == (16, 3, 36) and layer.params["bias"].shape == (3, 4, 4)
    bound = 1 / math.sqrt(36)
    for values in layer.params.values():
        assert values.dtype == np.float32 and 0.9 * bound < np.abs(values).max() <= bound * (1 + 1e-6)


def test_transposed_convolution_starts_as_pytorchs(torch):
    layer, twin = nn.ConvTranspose2d(16, 64, 3, groups=2, rng=0), torch.nn.ConvTranspose2d(16, 64, 3, groups=2)
    for name, values in layer.params.items():
        peer = twin.get_parameter(name).detach().numpy()
        assert values.shape == peer.shape and np.abs(values).max() == pytest.approx(np.abs(peer).max(), rel=0.1)


@pytest.mark.parametrize("size", [(9, 11), (10, 12), [2, 2, 9, 12], (9, 12)])
def test_transposed_convolution_to_a_size(size, torch):
    layer = nn.ConvTranspose2d(3, 2, 3, 2, 1, dtype=np.float64)
    twin = torch_twin(case("ConvTranspose2d", (), 3, 2, 3, 2, 1), layer, torch)
    x = normal((2, 3, 5, 6))
    tensor = torch.from_numpy(x).requires_grad_()
    expected = twin(tensor, output_size=list(size))
    y = layer(x, output_size=size)
    assert y.shape == (2, 2, *size[-2:])
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-12, atol=1e-12)
    expected.backward(torch.from_numpy(y))
    np.testing.assert_allclose(layer.backward(y), tensor.grad.numpy(), rtol=1e-12, atol=1e-12)


def test_pools_return_indices_when_asked():
    x = np.arange(16.0).reshape(1, 4, 4)
    for layer in nn.MaxPool2d(2, return_indices=True), nn.AdaptiveMaxPool2d(2, return_indices=True):
        y, indices = layer(x)
        assert y.tolist() == [[[5, 7], [13, 15]]] and indices.tolist() == [[[5, 7], [13, 15]]]
        assert layer.backward(y)[0, 1, 1] == 5


def test_identity_takes_anything_and_returns_it():
    x = np.arange(3)
    layer = nn.Identity("anything", at="all")
    assert layer(x) is x and layer.backward(x) is x and layer.backward(x, input_gradient=False) is None

"""Layers and initialisers: finite differences, PyTorch as a second opinion, and bad arguments."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from networks import (
    assert_same_bits,
    copies,
    images_and_labels,
    numeric_gradient,
    small_network,
    spread,
    torch_twin,
    train,
)

from fastconv import nn


def layers(dtype=np.float64):
    """Every layer, some with every option, with the shape of an input."""
    rng = np.random.default_rng(1)
    options = {"dtype": dtype, "rng": rng}
    return [
        (nn.Conv2d(2, 3, 3, **options), (2, 2, 5, 6)),
        (nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), bias=False, **options), (2, 2, 7, 6)),
        (nn.Conv2d(4, 6, 3, padding="same", groups=2, **options), (2, 4, 4, 5)),
        (nn.Conv2d(2, 2, 2, padding=((1, 0), (0, 2)), **options), (1, 2, 3, 4)),
        (nn.Conv2d(2, 3, 3, padding=1, **options), (2, 4, 5)),
        (nn.Linear(5, 4, **options), (3, 5)),
        (nn.Linear(5, 4, bias=False, **options), (3, 5)),
        (nn.Linear(3, 2, **options), (2, 4, 3)),
        (nn.Linear(3, 2, **options), (3,)),
        (nn.ReLU(), (2, 3, 4)),
        (nn.MaxPool2d(2), (2, 3, 4, 6)),
        (nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True), (2, 3, 6, 5)),
        (nn.MaxPool2d((2, 3), stride=1, dilation=2), (1, 2, 5, 7)),
        (nn.AvgPool2d(2), (2, 3, 4, 6)),
        (nn.AvgPool2d(3, 2, 1, True, False), (2, 3, 6, 5)),
        (nn.AvgPool2d((2, 3), stride=1, divisor_override=5), (2, 3, 6, 5)),
        (nn.Flatten(), (2, 3, 4)),
        (nn.Flatten(0, 1), (2, 3, 4)),
    ]


LAYERS = [pytest.param(index, id=repr(layer)) for index, (layer, _) in enumerate(layers())]


# Gradients


@pytest.mark.parametrize("index", LAYERS)
def test_layer_gradients_are_finite_differences(index):
    layer, shape = layers()[index]
    x = spread(shape)
    dy = np.random.default_rng(3).normal(size=layer(x).shape)
    dx = layer.backward(dy)

    def projection():
        return float((layer(x) * dy).sum())

    assert dx.shape == x.shape and dx.dtype == x.dtype
    np.testing.assert_allclose(dx, numeric_gradient(projection, x), rtol=1e-6, atol=1e-7)
    assert layer.grads.keys() == layer.params.keys()
    for name, param in layer.params.items():
        assert layer.grads[name].shape == param.shape and layer.grads[name].dtype == param.dtype
        np.testing.assert_allclose(layer.grads[name], numeric_gradient(projection, param), rtol=1e-6, atol=1e-7)


def test_network_gradients_are_finite_differences():
    network, loss = small_network(np.float64), nn.CrossEntropyLoss()
    images, labels = images_and_labels(3)
    images = images.astype(np.float64)

    def value():
        return loss.forward(network(images), labels)

    value()
    dx = network.backward(loss.backward())
    grads = copies(network.grads)
    np.testing.assert_allclose(dx, numeric_gradient(value, images), rtol=1e-5, atol=1e-8)
    for name, param in network.params.items():
        np.testing.assert_allclose(grads[name], numeric_gradient(value, param), rtol=1e-5, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("index", LAYERS)
def test_without_input_gradient_the_rest_is_the_same(index):
    layer, shape = layers()[index]
    y = layer(spread(shape))
    layer.backward(y)
    grads = copies(layer.grads)
    layer.backward(y, input_gradient=False)
    assert_same_bits(layer.grads, grads)


@pytest.mark.parametrize("index", LAYERS)
def test_frozen_layer_computes_only_the_input_gradient(index):
    layer, shape = layers()[index]
    y = layer(spread(shape))
    dx = layer.backward(y)
    layer.requires_grad = False
    np.testing.assert_array_equal(layer.backward(y), dx)
    assert layer.grads == {}


@pytest.mark.parametrize("index", LAYERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batch_of_zero(index, dtype):
    layer, shape = layers(dtype)[index]
    unbatched = isinstance(layer, nn.Conv2d) and len(shape) == 3 or isinstance(layer, nn.Linear) and len(shape) == 1
    x = np.zeros((0, *shape) if unbatched else (0, *shape[1:]), dtype)
    y = layer(x)
    assert y.size == 0 and y.dtype == dtype
    assert layer.backward(y).shape == x.shape
    assert all(not gradient.any() for gradient in layer.grads.values())


@pytest.mark.parametrize("index", LAYERS)
def test_input_and_gradient_are_not_modified(index):
    layer, shape = layers()[index]
    x = spread(shape)
    dy = np.random.default_rng(3).normal(size=layer(x).shape)
    x.flags.writeable = dy.flags.writeable = False
    before = x.copy(), dy.copy()
    layer(x)
    layer.backward(dy)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(dy, before[1])


@pytest.mark.parametrize("index", LAYERS)
def test_any_strides_and_byte_order(index):
    layer, shape = layers()[index]
    x = spread(shape)
    expected = layer(x)
    dx = layer.backward(expected)
    strided = np.asfortranarray(x).astype(">f8")
    np.testing.assert_allclose(layer(strided), expected, rtol=1e-12)
    np.testing.assert_allclose(layer.backward(np.asfortranarray(expected).astype(">f8")), dx, rtol=1e-12)


# Layers


def test_layers_compute_in_the_dtype_of_their_parameters():
    for layer, x in (nn.Conv2d(1, 2, 3), np.ones((1, 1, 4, 4))), (nn.Linear(3, 2), np.ones((1, 3))):
        for kind in (np.float64, np.float16, np.uint8, bool):
            y = layer(x.astype(kind))
            assert y.dtype == np.float32
            assert layer.backward(y.astype(np.float64)).dtype == np.float32
            assert layer.grads["weight"].dtype == np.float32


def test_relu_of_float16_is_float16():
    layer = nn.ReLU()
    y = layer(np.array([-2, 3], np.float16))
    assert y.dtype == np.float16 and y.tolist() == [0, 3]
    dx = layer.backward(np.ones(2, np.float16))
    assert dx.dtype == np.float16 and dx.tolist() == [0, 1]


def test_relu_passes_the_gradient_of_a_nan():
    relu = nn.ReLU()
    relu(np.array([[np.nan, -1, 0, 1]], np.float32))
    assert np.array_equal(relu.backward(np.full((1, 4), 2, np.float32)), [[2, 0, 0, 2]])


def test_overflow_in_a_cast_is_silent():
    relu, linear = nn.ReLU(), nn.Linear(2, 1)
    with np.errstate(all="raise"):
        assert not np.isfinite(linear(np.full((1, 2), 1e300))).any()
        relu(np.ones((2, 2), np.float16))
        assert (relu.backward(np.full((2, 2), 1e30)) == np.inf).all()
        linear.grads.update(weight=np.full((1, 2), 1e300), bias=np.zeros(1))
        nn.SGD(0.1).step(linear)
    assert (linear.params["weight"] == -np.inf).all()


def test_negative_divisor_is_taken():
    x = np.ones((1, 1, 2, 2), np.float32)
    assert nn.AvgPool2d(2, divisor_override=-2)(x).item() == -2


def test_max_pool_returns_indices_when_asked():
    y, indices = nn.MaxPool2d(2, return_indices=True)(np.arange(16.0).reshape(1, 4, 4))
    assert y.tolist() == [[[5, 7], [13, 15]]] and indices.tolist() == [[[5, 7], [13, 15]]]


def test_replaced_parameters_are_used():
    layer = nn.Linear(2, 1)
    layer.params["weight"] = np.array([[2.0, 3.0]])
    layer.params["bias"] = np.array([1.0])
    assert layer(np.array([[10, 1]])).tolist() == [[24.0]]


def test_train_and_eval_return_the_layer():
    layer = nn.ReLU()
    assert layer.training and layer.eval() is layer and not layer.training
    assert layer.train() is layer and layer.training


def test_own_layer_by_subclassing():
    class Scale(nn.Layer):
        def __init__(self):
            super().__init__()
            self.params["factor"] = np.ones(1, np.float32)

        def forward(self, x):
            self.keep(x)
            return x * self.params["factor"]

        def backward(self, dy, *, input_gradient=True):
            (x,) = self.kept()
            self.grads["factor"] = (dy * x).sum(keepdims=True).reshape(1)
            return dy * self.params["factor"]

    network = nn.Sequential(Scale(), *small_network())
    train(network)
    assert network.params["0.factor"][0] != 1


# Initialisation


def test_first_values_are_pytorchs_distribution():
    layer = nn.Conv2d(8, 64, 5, rng=0)
    bound = 1 / math.sqrt(8 * 25)
    for values in layer.params.values():
        assert values.dtype == np.float32 and 0.95 * bound < np.abs(values).max() <= bound * (1 + 1e-6)
    assert layer.params["weight"].std() == pytest.approx(bound / math.sqrt(3), rel=0.02)


@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
def test_initialisers_have_the_published_variance(mode):
    shape, fan = (64, 32, 3, 3), {"fan_in": 32 * 9, "fan_out": 64 * 9}[mode]
    for values in (
        nn.init.kaiming_normal(shape, mode=mode, nonlinearity="relu", rng=0),
        nn.init.kaiming_uniform(shape, mode=mode, rng=0),
    ):
        assert values.var() == pytest.approx(2 / fan, rel=0.05)
    assert nn.init.kaiming_normal(shape, a=2.0, mode=mode, rng=0).var() == pytest.approx(0.4 / fan, rel=0.05)
    for values in nn.init.xavier_normal(shape, gain=3, rng=0), nn.init.xavier_uniform(shape, gain=3, rng=0):
        assert values.var() == pytest.approx(9 * 2 / (96 * 9), rel=0.05)
    values = nn.init.normal(shape, mean=1, std=0.1, rng=0)
    assert values.mean() == pytest.approx(1, rel=0.01) and values.std() == pytest.approx(0.1, rel=0.02)
    assert not nn.init.zeros(shape, rng=0, dtype=np.float64).any()


@pytest.mark.parametrize("name", ["normal", "uniform"])
@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (3, 211, 307)])
def test_draws_are_those_of_the_generator_in_little_memory(name, shape):
    expected = np.asarray(getattr(np.random.default_rng(3), name)(0.5, 2.0, shape))
    options = {"mean": 0.5, "std": 2.0} if name == "normal" else {"a": 0.5, "b": 2.0}
    tracemalloc.start()
    values = getattr(nn.init, name)(shape, **options, rng=3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert values.shape == shape and values.tobytes() == expected.astype(np.float32).tobytes()
    assert peak < values.nbytes + 600_000
    values = getattr(nn.init, name)(shape, **options, rng=3, dtype=np.float64)
    assert values.tobytes() == expected.tobytes()


def test_generators_are_explicit():
    first, second = nn.Linear(3, 4, rng=5), nn.Linear(3, 4, rng=np.random.default_rng(5))
    assert_same_bits(first.params, second.params)
    np.random.seed(0)
    state = np.random.get_state()[1].copy()
    assert (nn.Linear(3, 4).params["weight"] != nn.Linear(3, 4).params["weight"]).any()
    train(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), epochs=1, rng=None)
    assert (np.random.get_state()[1] == state).all()


def test_float32_and_float64_start_alike():
    single, double = nn.Linear(3, 4, rng=5), nn.Linear(3, 4, dtype=np.float64, rng=5)
    assert double.params["weight"].dtype == np.float64
    np.testing.assert_array_equal(single.params["weight"], double.params["weight"].astype(np.float32))


# PyTorch's opinion


@pytest.mark.parametrize("index", LAYERS)
def test_layer_equals_pytorch(index, torch):
    layer, shape = layers()[index]
    if isinstance(layer, nn.Conv2d) and isinstance(layer.padding[0], tuple):
        pytest.skip("PyTorch has no asymmetric padding")
    twin = torch_twin(torch, layer)
    x = spread(shape)
    tensor = torch.from_numpy(x).requires_grad_()
    expected = twin(tensor)
    y = layer(x)
    dy = np.random.default_rng(3).normal(size=y.shape)
    expected.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(layer.backward(dy), tensor.grad.numpy(), rtol=1e-10, atol=1e-12)
    for name, parameter in twin.named_parameters():
        np.testing.assert_allclose(layer.grads[name], parameter.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"])
def test_initialisers_spread_as_in_pytorch(name, torch):
    shape = (96, 64, 3, 3)
    for options in ({}, {"gain": 2.0}) if "xavier" in name else ({}, {"a": 0.5}, {"nonlinearity": "tanh"}):
        expected = getattr(torch.nn.init, name + "_")(torch.empty(shape), **options)
        values = getattr(nn.init, name)(shape, rng=0, **options)
        assert values.shape == shape
        assert values.std() == pytest.approx(expected.std().item(), rel=0.02)
        if "uniform" in name:
            assert np.abs(values).max() == pytest.approx(expected.abs().max().item(), rel=0.01)


# Bad arguments


BAD_LAYERS = [
    (TypeError, "in_channels.*int.*str", lambda: nn.Conv2d("3", 8, 3)),
    (TypeError, "in_channels.*float", lambda: nn.Conv2d(3.0, 8, 3)),
    (TypeError, "out_channels.*bool", lambda: nn.Conv2d(3, True, 3)),
    (ValueError, "in_channels must be at least 1, got 0", lambda: nn.Conv2d(0, 8, 3)),
    (ValueError, "out_channels must be at least 1, got -8", lambda: nn.Conv2d(3, -8, 3)),
    (TypeError, "kernel_size must be an int or 2 ints, got 'a'", lambda: nn.Conv2d(3, 8, "a")),
    (ValueError, "kernel_size must be an int or 2 ints", lambda: nn.Conv2d(3, 8, (3, 3, 3))),
    (ValueError, r"kernel_size\[1\] must be at least 1, got 0", lambda: nn.Conv2d(3, 8, (3, 0))),
    (ValueError, "stride must be at least 1, got 0", lambda: nn.Conv2d(3, 8, 3, stride=0)),
    (ValueError, "dilation must be at least 1, got -1", lambda: nn.Conv2d(3, 8, 3, dilation=-1)),
    (ValueError, "padding must be at least 0, got -1", lambda: nn.Conv2d(3, 8, 3, padding=-1)),
    (ValueError, "padding.*'full'", lambda: nn.Conv2d(3, 8, 3, padding="full")),
    (ValueError, "padding 'same'.*stride", lambda: nn.Conv2d(3, 8, 3, stride=2, padding="same")),
    (ValueError, "padding.*pair", lambda: nn.Conv2d(3, 8, 3, padding=((1, 2),))),
    (TypeError, "padding", lambda: nn.Conv2d(3, 8, 3, padding=None)),
    (ValueError, "groups must be at least 1, got 0", lambda: nn.Conv2d(3, 8, 3, groups=0)),
    (ValueError, "groups must divide in_channels, 3, got 2", lambda: nn.Conv2d(3, 8, 3, groups=2)),
    (ValueError, "groups must divide out_channels, 8, got 3", lambda: nn.Conv2d(3, 8, 3, groups=3)),
    (TypeError, "bias must be True or False", lambda: nn.Conv2d(3, 8, 3, bias="no")),
    (ValueError, "padding_mode.*'reflect'", lambda: nn.Conv2d(3, 8, 3, padding_mode="reflect")),
    (TypeError, "dtype must be float32 or float64, got int32", lambda: nn.Conv2d(3, 8, 3, dtype=np.int32)),
    (TypeError, "dtype must be float32 or float64, got 'nonsense'", lambda: nn.Linear(3, 8, dtype="nonsense")),
    (TypeError, "rng.*'seed'", lambda: nn.Conv2d(3, 8, 3, rng="seed")),
    (ValueError, "rng.*-1", lambda: nn.Linear(3, 8, rng=-1)),
    (ValueError, "in_features must be at least 1, got 0", lambda: nn.Linear(0, 8)),
    (TypeError, "out_features must be an int, got None", lambda: nn.Linear(3, None)),
    (TypeError, "kernel_size", lambda: nn.MaxPool2d("2")),
    (ValueError, "stride must be at least 1", lambda: nn.MaxPool2d(2, 0)),
    (TypeError, "ceil_mode", lambda: nn.MaxPool2d(2, ceil_mode=1)),
    (TypeError, "return_indices", lambda: nn.MaxPool2d(2, return_indices="yes")),
    (ValueError, "padding must be at least 0", lambda: nn.AvgPool2d(2, padding=-1)),
    (TypeError, "count_include_pad", lambda: nn.AvgPool2d(2, count_include_pad=None)),
    (ValueError, "divisor_override must not be 0", lambda: nn.AvgPool2d(2, divisor_override=0)),
    (TypeError, "start_dim", lambda: nn.Flatten("1")),
    (TypeError, r"layers\[1\] must be a Layer", lambda: nn.Sequential(nn.ReLU(), np.tanh)),
    (TypeError, r"layers\[0\].*list.*Sequential\(first", lambda: nn.Sequential([nn.ReLU()])),
    (TypeError, r"layers\[0\] must be a Layer", lambda: nn.Sequential(nn.ReLU)),
    (TypeError, "mode", lambda: nn.ReLU().train("yes")),
    (ValueError, "lr must be a finite number of at least 0, got -1", lambda: nn.SGD(-1)),
    (ValueError, "lr.*nan", lambda: nn.Adam(math.nan)),
    (TypeError, "lr must be a number", lambda: nn.SGD("fast")),
    (ValueError, "momentum", lambda: nn.SGD(0.1, -0.9)),
    (TypeError, "nesterov must be True or False, got 0.01", lambda: nn.SGD(0.1, 0.9, 0.01)),
    (ValueError, "nesterov needs a momentum", lambda: nn.SGD(0.1, nesterov=True)),
    (ValueError, "weight_decay", lambda: nn.SGD(0.1, weight_decay=-1)),
    (ValueError, "betas must be below 1", lambda: nn.Adam(betas=(0.9, 1.0))),
    (TypeError, "betas must be two numbers", lambda: nn.Adam(betas=0.9)),
    (ValueError, "eps", lambda: nn.Adam(eps=-1e-8)),
    (TypeError, "network must be a Layer", lambda: nn.SGD(0.1).step([nn.ReLU()])),
    (ValueError, "'0.weight' has no gradient", lambda: nn.SGD(0.1).step(small_network())),
    (ValueError, "shape must be.*two dimensions", lambda: nn.init.xavier_uniform((3,))),
    (ValueError, r"shape\[1\] must be at least 1, got 0", lambda: nn.init.kaiming_normal((3, 0))),
    (TypeError, r"shape\[0\]", lambda: nn.init.zeros((3.5, 2))),
    (TypeError, "shape", lambda: nn.init.zeros("33")),
    (ValueError, "mode.*'fan'", lambda: nn.init.kaiming_uniform((3, 3), mode="fan")),
    (ValueError, "nonlinearity.*'gelu'", lambda: nn.init.kaiming_uniform((3, 3), nonlinearity="gelu")),
    (ValueError, "std", lambda: nn.init.normal((3, 3), std=-1)),
    (ValueError, "gain", lambda: nn.init.xavier_normal((3, 3), gain=-1)),
    (TypeError, "dtype.*float16", lambda: nn.init.normal((3, 3), dtype=np.float16)),
]


@pytest.mark.parametrize("error, message, call", BAD_LAYERS, ids=range(len(BAD_LAYERS)))
def test_bad_arguments(error, message, call):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("index", LAYERS)
def test_backward_before_forward(index):
    layer, shape = layers()[index]
    with pytest.raises(ValueError, match=f"{type(layer).__name__}.backward needs a forward pass"):
        layer.backward(np.ones(shape))


@pytest.mark.parametrize("index", LAYERS)
def test_bad_arrays(index):
    layer, shape = layers()[index]
    y = layer(spread(shape))
    for wrong in None, "text", object(), np.array(["a"]):
        with pytest.raises(TypeError):
            layer(wrong)
        with pytest.raises(TypeError):
            layer.backward(wrong)
    if not isinstance(layer, nn.Flatten):
        with pytest.raises(TypeError):
            layer(np.ones(shape, complex))
        with pytest.raises(ValueError):
            layer.backward(np.ones((*y.shape, 2)))
    with pytest.raises(ValueError):
        layer.backward(np.ones(y.size + 1))
    layer.backward(y)  # none of it did harm


def test_wrong_shapes():
    for layer, shape in (
        (nn.Conv2d(3, 8, 3), (1, 4, 8, 8)),
        (nn.Conv2d(3, 8, 3), (1, 3, 2, 8)),
        (nn.Conv2d(3, 8, 3), (3, 8)),
        (nn.MaxPool2d(5), (1, 1, 4, 4)),
        (nn.MaxPool2d(3, padding=2), (1, 1, 4, 4)),
        (nn.AvgPool2d(5), (1, 1, 4, 4)),
        (nn.Linear(5, 2), ()),
        (nn.Flatten(), (3,)),
        (nn.Flatten(2, 1), (3, 3, 3)),
    ):
        with pytest.raises(ValueError):
            layer(np.ones(shape, np.float32))
    with pytest.raises(ValueError, match=r"x must have 5 features in its last dimension, got the shape \(2, 4\)"):
        nn.Linear(5, 2)(np.ones((2, 4)))
    with pytest.raises(TypeError, match="x must hold float16, float32 or float64, got int64"):
        nn.ReLU()(np.arange(3))



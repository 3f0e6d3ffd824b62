"""Containers: layers in a row and side by side, their gradients, keys and errors."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from networks import (
    assert_same_bits,
    copies,
    images_and_labels,
    numeric_gradient,
    small_network,
    spread,
    train,
)

import fastconv as fc
from fastconv import _core, nn

OPTIONS = {"dtype": np.float64, "rng": np.random.default_rng(1)}


def conv(*arguments, **options):
    return nn.Conv2d(*arguments, **OPTIONS | options)


def blocks():
    """Every kind of block, with the shape of an input."""
    norm = nn.BatchNorm2d(4, dtype=np.float64)
    return {
        "identity": (nn.Residual(nn.Sequential(conv(2, 3, 3, padding=1), nn.Tanh(), conv(3, 2, 1))), (2, 2, 4, 5)),
        "projection": (
            nn.Residual(nn.Sequential(conv(2, 4, 3, 2, 1, bias=False), norm, nn.ReLU()), conv(2, 4, 1, 2)),
            (2, 2, 5, 6),
        ),
        "rows": (nn.Residual(nn.Linear(3, 3, **OPTIONS), nn.Tanh()), (4, 3)),
        "inception": (
            nn.Concat(
                conv(2, 3, 1),
                nn.Sequential(conv(2, 2, 1), nn.ReLU(), conv(2, 4, 3, padding=1)),
                nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(2, 1, 1)),
                nn.Identity(),
            ),
            (2, 2, 4, 5),
        ),
        "one branch": (nn.Concat(conv(2, 3, 3)), (2, 2, 4, 5)),
        "features": (nn.Concat(nn.Linear(3, 2, **OPTIONS), nn.Linear(3, 4, **OPTIONS)), (5, 3)),
        "nested": (
            nn.Residual(nn.Concat(conv(4, 1, 1), nn.Residual(conv(4, 3, 1), conv(4, 3, 3, 1, 1)))),
            (1, 4, 3, 3),
        ),
    }


BLOCKS = list(blocks())


@pytest.fixture(params=BLOCKS)
def block(request):
    return blocks()[request.param]


# Gradients


def test_gradients_are_finite_differences(block):
    layer, shape = block
    x = spread(shape)
    dy = np.random.default_rng(3).normal(size=layer(x).shape)
    dx, grads = layer.backward(dy), copies(layer.grads)

    def projection():
        return float((layer(x) * dy).sum())

    assert dx.shape == x.shape and list(grads) == list(layer.params)
    np.testing.assert_allclose(dx, numeric_gradient(projection, x), rtol=1e-5, atol=1e-7)
    for name, param in layer.params.items():
        np.testing.assert_allclose(grads[name], numeric_gradient(projection, param), rtol=1e-5, atol=1e-7, err_msg=name)


def test_without_input_gradient_the_rest_is_the_same(block):
    layer, shape = block
    y = layer(spread(shape))
    layer.backward(y)
    grads = copies(layer.grads)
    assert layer.backward(y, input_gradient=False) is None
    assert_same_bits(layer.grads, grads)


def test_a_branch_that_does_not_learn_is_not_gone_through():
    layer, shape = blocks()["inception"]
    y = layer(spread(shape))
    layer.backward(y)
    expected = {name: grad for name, grad in copies(layer.grads).items() if not name.startswith("1.")}
    layer.layers[1].requires_grad = False
    layer.layers[1].backward = None  # must not be asked
    layer.backward(y, input_gradient=False)
    assert_same_bits(layer.grads, expected)


def test_input_and_gradient_are_not_modified(block):
    layer, shape = block
    x = spread(shape)
    y = layer(x)
    x.flags.writeable = y.flags.writeable = False
    before = y.copy()
    layer(x)
    layer.backward(y)
    layer.backward(y)
    np.testing.assert_array_equal(y, before)


def test_any_strides_and_byte_order(block):
    layer, shape = block
    x = spread(shape)
    expected = layer(x)
    dx = layer.backward(expected)
    np.testing.assert_allclose(layer(np.asfortranarray(x).astype(">f8")), expected, rtol=1e-12)
    np.testing.assert_allclose(layer.backward(np.asfortranarray(expected).astype(">f8")), dx, rtol=1e-12)


@pytest.mark.parametrize("name", [name for name in BLOCKS if name != "projection"])  # whose statistics need a batch
def test_batch_of_zero(name):
    layer, shape = blocks()[name]
    y = layer(np.zeros((0, *shape[1:])))
    assert y.size == 0 and y.shape[1:] == layer(spread(shape)).shape[1:]
    layer(np.zeros((0, *shape[1:])))
    assert layer.backward(y).shape == (0, *shape[1:])


def test_backward_before_forward():
    with pytest.raises(ValueError, match="backward needs a forward pass"):
        blocks()["identity"][0].backward(np.ones((2, 2, 4, 5)))
    with pytest.raises(ValueError, match="Concat.backward needs a forward pass"):
        blocks()["inception"][0].backward(np.ones((2, 10, 4, 5)))


# Sums and copies in C


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_are_exact_on_integers(isa, dtype):
    rng = np.random.default_rng(0)
    for count in 1, 2, 5:
        for size in 1, 7, 16, 33, 16384, 16385 + 32768:
            parts = [rng.integers(-9, 9, size).astype(dtype) for _ in range(count)]
            total = np.full(size, np.nan, dtype)
            _core.sum_arrays(parts, total)
            np.testing.assert_array_equal(total, np.sum(parts, axis=0))
            _core.sum_arrays(parts, parts[-1], "relu")
            np.testing.assert_array_equal(parts[-1], np.maximum(total, 0))


def test_sums_have_the_order_of_the_branches():
    parts = [np.array([value], np.float32) for value in (2.0**24, 1.0, 1.0)]
    total = np.empty(1, np.float32)
    _core.sum_arrays(parts, total)
    assert total[0] == 2.0**24  # and not 2**24 + 2
    zeros = np.array([-0.0], np.float32)
    _core.sum_arrays([zeros, zeros], total)
    assert np.signbit(total[0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8])
def test_concatenation_is_numpys(dtype):
    rng = np.random.default_rng(0)
    for shape in (3, 0, 2), (2, 5, 7), (1, 3, 200, 200), (40, 1):
        sizes = 1, 3, 2
        parts = [rng.integers(-9, 9, (shape[0], size, *shape[2:])).astype(dtype) for size in sizes]
        layer = nn.Concat(*(nn.Identity() for _ in sizes))
        whole = np.concatenate(parts, axis=1)
        np.testing.assert_array_equal(layer.join(parts), whole)
        assert layer.join(parts).dtype == dtype


def test_bits_do_not_depend_on_the_threads():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 8, 64, 64)).astype(np.float32)
    results = []
    for threads in 1, 2, 5:
        rng = np.random.default_rng(0)
        branches = [nn.Conv2d(8, 8, size, padding=size // 2, rng=rng) for size in (1, 3, 5)]
        layer = nn.Residual(nn.Sequential(nn.Concat(*branches), nn.Conv2d(24, 8, 1, rng=rng)))
        with fc.threads(threads):
            y = layer(x)
            results.append({"y": y, "dx": layer.backward(y), **layer.grads})
    for result in results[1:]:
        assert_same_bits(result, results[0])


def test_dtypes_follow_numpys_promotion():
    x = np.ones((1, 2, 3, 3), np.float16)
    assert nn.Residual(nn.ReLU(), nn.Identity())(x).dtype == np.float16
    assert nn.Residual(nn.Conv2d(2, 2, 1))(x).dtype == np.float32
    assert nn.Residual(nn.Conv2d(2, 2, 1))(x.astype(np.float64)).dtype == np.float64
    assert nn.Residual(nn.Conv2d(2, 2, 1))(x.astype(np.uint8)).dtype == np.float32
    assert nn.Concat(nn.Conv2d(2, 2, 1), nn.Identity())(x.astype(np.float64)).dtype == np.float64
    overflow = np.full(2, 60000, np.float16)
    with np.errstate(all="raise"):
        assert (nn.Residual(nn.ReLU())(overflow) == np.inf).all()


# Keys and errors


def test_keys_name_the_place():
    assert list(blocks()["projection"][0].params) == [
        "body.0.weight",
        "body.1.weight",
        "body.1.bias",
        "shortcut.weight",
        "shortcut.bias",
    ]
    assert list(blocks()["projection"][0].buffers)[0] == "body.1.running_mean"
    assert list(blocks()["inception"][0].params)[::2] == ["0.weight", "1.0.weight", "1.2.weight", "2.1.weight"]
    text = repr(nn.Sequential(nn.Residual(nn.Sequential(nn.ReLU())), nn.Concat(nn.ReLU())))
    for line in "  (0): Residual(", "    (body): Sequential(", "    (shortcut): Identity()", "  (1): Concat(":
        assert line in text.splitlines()


def test_branches_that_do_not_fit():
    x = np.ones((2, 3, 6, 6), np.float32)
    with pytest.raises(ValueError, match=r"\(2, 4, 6, 6\) of the body and \(2, 3, 6, 6\) of the shortcut"):
        nn.Residual(nn.Conv2d(3, 4, 1))(x)
    with pytest.raises(ValueError, match=r"\(2, 4, 6, 6\) of branch 0 and \(2, 4, 4, 4\) of branch 1"):
        nn.Concat(nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3))(x)
    with pytest.raises(ValueError, match=r"\[N, channels, ...\]"):
        nn.Concat(nn.Identity())(np.ones(3))
    with pytest.raises(TypeError, match="must hold float16, float32 or float64 to be added, got int64"):
        nn.Residual(nn.Identity())(np.ones((2, 2), int))
    layer = nn.Concat(nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1))
    layer(x)
    with pytest.raises(ValueError, match=r"dy must have the shape \(2, 8, 6, 6\), got \(2, 4, 6, 6\)"):
        layer.backward(np.ones((2, 4, 6, 6)))


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "body must be a Layer, got 3", lambda: nn.Residual(3)),
        (TypeError, "body must be a Layer, got None", lambda: nn.Residual(None)),
        (TypeError, "shortcut must be a Layer, got 'x'", lambda: nn.Residual(nn.ReLU(), "x")),
        (ValueError, "branches must be at least one layer", lambda: nn.Concat()),
        (TypeError, r"layers\[1\] must be a Layer.*Concat\(first", lambda: nn.Concat(nn.ReLU(), nn.ReLU)),
    ],
)
def test_bad_arguments(error, message, call):
    with pytest.raises(error, match=message):
        call()


def test_a_layer_has_one_branch():
    shared = nn.Conv2d(2, 2, 1)
    with pytest.raises(ValueError, match="one place.*at body.0 and shortcut"):
        nn.Residual(nn.Sequential(shared), shared)


# PyTorch's opinion


def torch_block(torch, layer):
    """PyTorch's module of the same block, whose state has the same keys."""

    class Residual(torch.nn.Module):
        def __init__(self, body, shortcut):
            super().__init__()
            self.body, self.shortcut = body, shortcut

        def forward(self, x):
            return self.body(x) + self.shortcut(x)

    class Concat(torch.nn.ModuleList):
        def forward(self, x):
            return torch.cat([branch(x) for branch in self], 1)

    if isinstance(layer, nn.Residual):
        return Residual(*(torch_block(torch, child) for child in layer.layers))
    if isinstance(layer, nn.Concat):
        return Concat([torch_block(torch, child) for child in layer.layers])
    if isinstance(layer, nn.Sequential):
        return torch.nn.Sequential(*(torch_block(torch, child) for child in layer))
    if isinstance(layer, nn.Conv2d):
        options = (layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.groups, "bias" in layer.params)
        return torch.nn.Conv2d(layer.in_channels, layer.out_channels, *options)
    if isinstance(layer, nn.Linear):
        return torch.nn.Linear(layer.in_features, layer.out_features)
    if isinstance(layer, nn.BatchNorm2d):
        return torch.nn.BatchNorm2d(layer.num_features)
    if isinstance(layer, nn.MaxPool2d):
        return torch.nn.MaxPool2d(layer.kernel_size, layer.stride, layer.padding)
    return getattr(torch.nn, type(layer).__name__)()


def test_block_equals_pytorch(torch, block):
    layer, shape = block
    twin = torch_block(torch, layer).double()
    twin.load_state_dict({key: torch.from_numpy(array) for key, array in layer.state_dict().items()})
    x = torch.from_numpy(spread(shape)).requires_grad_()
    expected = twin(x)
    dy = np.random.default_rng(3).normal(size=expected.shape)
    expected.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(layer(x.detach().numpy()), expected.detach().numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(layer.backward(dy), x.grad.numpy(), rtol=1e-9, atol=1e-11)
    for name, parameter in twin.named_parameters():
        np.testing.assert_allclose(layer.grads[name], parameter.grad.numpy(), rtol=1e-9, atol=1e-11)


# Layers in a row


def test_container_shares_its_layers_arrays():
    network = small_network()
    assert list(network.params) == ["0.weight", "0.bias", "3.weight", "3.bias", "7.weight", "7.bias"]
    train(network, epochs=1)
    assert list(network.grads) == list(network.params)
    for index in 0, 3, 7:
        for name in "weight", "bias":
            assert network.params[f"{index}.{name}"] is network.layers[index].params[name]
            assert network.grads[f"{index}.{name}"] is network.layers[index].grads[name]
    assert network.buffers == {}


def test_assigning_to_a_containers_params_reaches_the_layer():
    network = nn.Sequential(nn.Sequential(nn.Linear(2, 1)))
    weight, bias = np.ones((1, 2), np.float32), np.full(1, 5, np.float32)
    params = network.params
    params["0.0.weight"] = weight
    params.update({"0.0.bias": bias})
    assert network.layers[0].layers[0].params == {"weight": weight, "bias": bias}
    assert params["0.0.weight"] is weight
    with pytest.raises(KeyError):
        params["0.0.nonsense"] = weight
    other = np.zeros(1, np.float32)
    params |= {"0.0.bias": other}
    assert network.params["0.0.bias"] is other
    for duplicate in copy.copy(params), pickle.loads(pickle.dumps(params)):
        assert type(duplicate) is dict and list(duplicate) == list(params)


@pytest.mark.parametrize(
    "change",
    [
        lambda params: params.pop("0.bias"),
        lambda params: params.popitem(),
        lambda params: params.clear(),
        lambda params: params.setdefault("0.scale", np.ones(1)),
        lambda params: params.__delitem__("0.bias"),
    ],
)
def test_what_would_not_reach_the_layers_is_refused(change):
    network = nn.Sequential(nn.Linear(2, 1))
    with pytest.raises(TypeError, match="the dict of a container takes new arrays for the keys that it has"):
        change(network.params)
    assert list(network.params) == ["0.weight", "0.bias"]


def test_container_sets_modes_of_every_layer_below():
    network = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Linear(2, 2))
    network.eval()
    assert not any(leaf.training for _, leaf in network.leaves())
    network.layers[1].train()
    assert network.training
    network.requires_grad = False
    assert not any(leaf.requires_grad for _, leaf in network.leaves())


def test_sequential_is_a_sequence():
    network = small_network()
    assert len(network) == 8 and network[0] is network.layers[0] and list(network) == network.layers
    x = np.ones((2, 1, 8, 8), np.float32)
    assert network[:3](x).shape == (2, 4, 4, 4)
    assert network[:3][0] is network[0]
    assert nn.Sequential()(x) is x
    assert "(7): Linear(in_features=24, out_features=3, bias=True)" in repr(network)


def test_backward_stops_at_the_first_layer_that_learns():
    network = small_network()
    y = network(images_and_labels()[0])
    dx = network.backward(y)
    assert dx.shape == (30, 1, 8, 8) and len(network.grads) == 6
    network[:3].requires_grad = False
    calls = []
    network[2].backward = lambda dy: calls.append(dy)  # must not be asked
    assert network.backward(y, input_gradient=False) is None
    assert not calls and list(network.grads) == ["3.weight", "3.bias", "7.weight", "7.bias"]
    network.requires_grad = False
    assert network.backward(y, input_gradient=False) is None and network.grads == {}


def test_what_is_put_into_layers_is_looked_at():
    network, x = nn.Sequential(nn.Linear(2, 2), nn.Identity()), np.ones((1, 2))
    network.layers.append("relu")
    for call in (lambda: network(x)), (lambda: network.params), network.freeze:
        with pytest.raises(TypeError, match=r"layers must hold Layers, got 'relu' \(str\) at 2"):
            call()
    network.layers[2] = network[0]
    for call in (lambda: network.params), (lambda: train(network)), network.freeze:
        with pytest.raises(ValueError, match="every layer must have one place.* at 0 and 2"):
            call()


def test_an_error_names_the_layer():
    network = nn.Sequential(nn.ReLU(), nn.Residual(nn.Sequential(nn.Conv2d(3, 3, 1))))
    message = "^layer 1, Residual: layer body, Sequential: layer 0, Conv2d: weight: expected 4 input channels"
    with pytest.raises(ValueError, match=message):
        network(np.ones((1, 4, 5, 5)))
    with pytest.raises(TypeError, match="^layer 0, ReLU: x must hold float16, float32 or float64, got int64$"):
        network.predict(np.ones((1, 3, 5, 5), int))


def test_a_layer_has_one_place():
    shared = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"one place.*Linear\(in_features=2, out_features=2, bias=True\) at 0 and 1.0"):
        nn.Sequential(shared, nn.Sequential(shared))


def test_branches_of_other_shapes_are_refused():
    class Short(nn.Layer):
        def forward(self, x):
            return x

        def backward(self, dy, *, input_gradient=True):
            return dy[:1].copy()

    x = np.ones((40, 10, 8, 8), np.float32)
    for network in nn.Residual(nn.Identity(), Short()), nn.Concat(nn.Identity(), Short()):
        y = network(x)
        with pytest.raises(ValueError, match="one shape"):
            network.backward(np.ones_like(y))

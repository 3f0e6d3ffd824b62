"""Optimisers: their formulas in plain NumPy, PyTorch as a second opinion, what they remember, and bad arguments."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
from networks import assert_same_bits, copies, images_and_labels, small_network, torch_twin, train

import fastconv as fc
from fastconv import nn


def plain_sgd(param, gradients, lr=1e-3, momentum=0.0, nesterov=False, weight_decay=0.0):
    velocity = np.zeros_like(param)
    for gradient in gradients:
        slope = gradient + weight_decay * param
        velocity = momentum * velocity + slope
        param = param - lr * (slope + momentum * velocity if nesterov else velocity)
    return param


def plain_adam(param, gradients, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
    mean, square = np.zeros_like(param), np.zeros_like(param)
    for step, gradient in enumerate(gradients, 1):
        slope = gradient if decoupled else gradient + weight_decay * param
        param = param * (1 - lr * weight_decay) if decoupled else param
        mean = betas[0] * mean + (1 - betas[0]) * slope
        square = betas[1] * square + (1 - betas[1]) * slope**2
        corrected = np.sqrt(square / (1 - betas[1] ** step)) + eps
        param = param - lr * mean / (1 - betas[0] ** step) / corrected
    return param


def plain_adamw(param, gradients, weight_decay=0.01, **options):
    return plain_adam(param, gradients, weight_decay=weight_decay, decoupled=True, **options)


PLAIN = {"SGD": plain_sgd, "Adam": plain_adam, "AdamW": plain_adamw}


def stepped(optimizer, layer, count=1, seed=0):
    """Steps along gradients drawn anew."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        for _, leaf in layer.leaves():
            for name, param in leaf.params.items():
                leaf.grads[name] = rng.normal(size=param.shape).astype(param.dtype)
        optimizer.step(layer)


OPTIMISERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "betas": (0.5, 0.9), "eps": 1e-4, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01}),
    ("AdamW", {"lr": 0.1, "betas": (0.5, 0.9), "weight_decay": 0.5}),
]


@pytest.mark.parametrize("name, options", OPTIMISERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_are_the_formula(isa, name, options, dtype):
    rng = np.random.default_rng(5)
    layer = nn.Linear(37, 11, bias=False, dtype=dtype, rng=rng)
    before = layer.params["weight"].astype(np.float64)
    gradients = [rng.normal(size=before.shape) * 10.0 ** (step % 3) for step in range(9)]
    optimizer = getattr(nn, name)(**options)
    for gradient in gradients:
        layer.grads["weight"] = gradient
        optimizer.step(layer)
    tolerance = 2e-5 if dtype == np.float32 else 1e-12
    expected = PLAIN[name](before, gradients, **options)
    np.testing.assert_allclose(layer.params["weight"], expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name, options", OPTIMISERS)
def test_bits_do_not_depend_on_the_threads(name, options):
    results = []
    for threads in 1, 2, 5:
        layer, optimizer = nn.Linear(300, 301, rng=0), getattr(nn, name)(**options)
        with fc.threads(threads):
            stepped(optimizer, layer, 3)
        results.append(layer.params)
    assert_same_bits(results[1], results[0])
    assert_same_bits(results[2], results[0])


# State


@pytest.mark.parametrize("name, options", OPTIMISERS)
def test_a_loaded_state_goes_on_bit_for_bit(name, options):
    make = getattr(nn, name)
    network, optimizer = nn.Sequential(nn.Linear(3, 4, rng=0), nn.Linear(4, 2, rng=1)), make(**options)
    stepped(optimizer, network, 3)
    resumed, other = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), make(**options)
    resumed.load_state_dict(network.state_dict())
    other.load_state_dict(resumed, optimizer.state_dict(network))
    stepped(optimizer, network, 2, seed=1)
    stepped(other, resumed, 2, seed=1)
    assert_same_bits(resumed.params, network.params)


def test_state_is_a_flat_dict_of_copies():
    layer, optimizer = nn.Sequential(nn.Linear(2, 1, rng=0)), nn.Adam()
    assert optimizer.state_dict(layer) == {}
    stepped(optimizer, layer, 2)
    state = optimizer.state_dict(layer)
    assert list(state) == [f"0.{name}.{slot}" for name in ("weight", "bias") for slot in ("mean", "square", "step")]
    assert state["0.weight.mean"].shape == (1, 2) and state["0.weight.step"] == 2
    before = copies(state)
    stepped(optimizer, layer)
    assert_same_bits(state, before)
    assert nn.SGD().state_dict(layer) == {}
    momentum = nn.SGD(momentum=0.9)
    stepped(momentum, layer)
    assert list(momentum.state_dict(layer)) == ["0.weight.velocity", "0.bias.velocity"]


def test_a_loaded_state_takes_the_place_of_the_old():
    layer, optimizer = nn.Sequential(nn.Linear(2, 1, rng=0)), nn.Adam()
    stepped(optimizer, layer, 2)
    optimizer.load_state_dict(layer, {})
    assert optimizer.state_dict(layer) == {}


def test_a_loaded_state_is_converted():
    layer, optimizer = nn.Sequential(nn.Linear(2, 1, bias=False)), nn.SGD(momentum=0.9)
    optimizer.load_state_dict(layer, {"0.weight.velocity": np.arange(2.0).reshape(1, 2)})
    assert optimizer.state_dict(layer)["0.weight.velocity"].dtype == np.float32


def test_a_state_that_does_not_fit_changes_nothing():
    layer, optimizer = nn.Sequential(nn.Linear(2, 1, rng=0)), nn.Adam()
    stepped(optimizer, layer, 2)
    before = optimizer.state_dict(layer)
    for error, message, change in (
        (ValueError, "'0.weight.mean' must have the shape \\(1, 2\\), got \\(2,\\)", {"0.weight.mean": np.ones(2)}),
        (ValueError, "Adam: unexpected '1.weight.mean'", {"1.weight.mean": np.ones(2)}),
        (ValueError, "'0.bias.step' must be at least 1, got 0", {"0.bias.step": 0}),
        (TypeError, "'0.bias.step' must be an int", {"0.bias.step": 1.5}),
        (TypeError, "'0.bias.mean' must hold real numbers", {"0.bias.mean": np.ones(1, complex)}),
        (TypeError, "'0.bias.mean' must be an array", {"0.bias.mean": None}),
    ):
        with pytest.raises(error, match=message):
            optimizer.load_state_dict(layer, before | change)
        assert_same_bits(optimizer.state_dict(layer), before)
    with pytest.raises(ValueError, match="missing '0.bias.mean'"):
        optimizer.load_state_dict(layer, {name: array for name, array in before.items() if name != "0.bias.mean"})
    with pytest.raises(TypeError, match="state must be a mapping.*list"):
        optimizer.load_state_dict(layer, [])
    with pytest.raises(TypeError, match="network must be a Layer"):
        optimizer.load_state_dict(before, layer)
    with pytest.raises(TypeError, match="network must be a Layer"):
        optimizer.state_dict(None)
    assert_same_bits(optimizer.state_dict(layer), before)


def test_a_file_that_does_not_fit_is_named(tmp_path):
    layer, optimizer, path = nn.Sequential(nn.Linear(2, 1, rng=0)), nn.Adam(), tmp_path / "state.npz"
    stepped(optimizer, layer)
    optimizer.save(layer, path)
    with pytest.raises(ValueError, match="state.npz: .* SGD: unexpected '0.bias.mean'"):
        nn.SGD(momentum=0.9).load(layer, path)
    with pytest.raises(FileNotFoundError):
        optimizer.load(layer, tmp_path / "other.npz")


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "weight_decay", lambda: nn.AdamW(weight_decay=-1)),
        (ValueError, "lr must be a finite number", lambda: nn.AdamW(float("nan"))),
        (ValueError, "lr must be a finite number, got an integer of", lambda: nn.SGD(10**400)),
        (ValueError, "betas must be below 1", lambda: nn.AdamW(betas=(1.0, 0.5))),
        (TypeError, "network must be a Layer", lambda: nn.AdamW().step(None)),
    ],
)
def test_bad_arguments(error, message, call):
    with pytest.raises(error, match=message):
        call()


# What is remembered


@pytest.mark.parametrize(
    "optimizer", [nn.SGD(0.1), nn.SGD(0.1, 0.9), nn.SGD(0.1, 0.9, True), nn.Adam(0.1), nn.AdamW(0.1, weight_decay=0)]
)
def test_without_decay_an_infinite_parameter_stays(optimizer):
    layer = nn.Linear(1, 1, bias=False)
    layer.params["weight"][:] = np.inf
    layer.grads["weight"] = np.ones((1, 1), np.float32)
    optimizer.step(layer)
    assert layer.params["weight"].item() == np.inf


def test_state_belongs_to_the_layer():
    network, optimizer = small_network(), nn.Adam(0.01)
    train(network, epochs=4, optimizer=optimizer)
    halves = small_network()
    again = nn.Adam(0.01)
    rng = np.random.default_rng(3)
    train(halves, epochs=2, optimizer=again, rng=rng)
    train(nn.Sequential(*halves), epochs=2, optimizer=again, rng=rng)  # another container, the same layers
    assert_same_bits(halves.params, network.params)


def test_state_starts_afresh_for_a_new_head():
    network, optimizer = small_network(), nn.SGD(0.1, momentum=0.9)
    train(network, optimizer=optimizer)
    network.layers[-1] = nn.Linear(24, 3, rng=1)
    before = network[-1].params["bias"].copy()
    images, labels = images_and_labels()
    loss = nn.CrossEntropyLoss()
    loss(network(images), labels)
    network.backward(loss.backward())
    optimizer.step(network)
    np.testing.assert_allclose(network[-1].params["bias"], before - 0.1 * network[-1].grads["bias"], rtol=1e-6)
    network[-1].params["bias"] = network[-1].params["bias"].astype(np.float64)  # replaced by another kind of array
    optimizer.step(network)


def test_state_dies_with_the_network():
    network, optimizer = small_network(), nn.Adam(0.01)
    train(network, optimizer=optimizer)
    watched = weakref.ref(network[0])
    del network
    gc.collect()
    assert watched() is None


def test_options_may_change_between_steps():
    layer, optimizer = nn.Linear(2, 1, bias=False, dtype=np.float64, rng=0), nn.SGD(0.1)
    layer.grads["weight"] = np.ones((1, 2))
    weight = layer.params["weight"].copy()
    optimizer.step(layer)
    optimizer.lr, optimizer.momentum = 0.2, 0.5
    optimizer.step(layer)
    optimizer.step(layer)
    np.testing.assert_allclose(layer.params["weight"], weight - 0.1 - 0.2 * 1 - 0.2 * 1.5)
    assert repr(optimizer) == "SGD(lr=0.2, momentum=0.5, nesterov=False, weight_decay=0.0)"


def test_a_step_that_fails_changes_nothing():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    y = network(np.ones((1, 2)))
    network.backward(y)
    for spoil, message in (
        (lambda params: params.update(weight=params["weight"].T), "contiguous"),
        (lambda params: params["weight"].setflags(write=False), "writeable"),
        (lambda params: params.update(weight=np.ones((3, 2), np.float32)), "shape"),
        (lambda params: params.update(weight=np.ones((2, 2), np.float16)), "float16"),
        (lambda params: params.update(scale=np.ones(1)), "1.scale.*gradient"),
    ):
        saved = dict(network[1].params)
        spoil(network[1].params)
        before, optimizer = copies(network.params), nn.Adam(0.1)
        with pytest.raises(ValueError, match=message):
            optimizer.step(network)
        assert_same_bits(network.params, before)
        assert optimizer.state_dict(network) == {}
        network[1].params.clear()
        network[1].params.update(saved)
        network[1].params["weight"].setflags(write=True)
    nn.SGD(0.1).step(network)


@pytest.mark.parametrize(
    ("optimizer", "option", "value", "error", "message"),
    [
        (nn.Adam(), "betas", (0.9,), TypeError, r"betas must be two numbers, got \(0.9,\)"),
        (nn.AdamW(), "eps", "small", TypeError, "eps must be a number, got 'small'"),
        (nn.SGD(0.1, 0.9, True), "momentum", 0, ValueError, "nesterov needs a momentum"),
        (nn.SGD(), "lr", np.nan, ValueError, "lr must be a finite number of at least 0, got nan"),
    ],
)
def test_an_option_that_was_changed_to_a_wrong_one(optimizer, option, value, error, message):
    layer = nn.Linear(2, 1, rng=0)
    stepped(optimizer, layer)
    before = copies(layer.params), optimizer.state_dict(layer)
    setattr(optimizer, option, value)
    with pytest.raises(error, match=message):
        optimizer.step(layer)
    assert_same_bits(layer.params, before[0])
    assert_same_bits(optimizer.state_dict(layer), before[1])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_go_on_bit_for_bit(duplicate):
    network, optimizer = small_network(), nn.Adam(0.01)
    train(network, optimizer=optimizer)
    twin, other = duplicate((network, optimizer))
    assert repr(other) == repr(optimizer)
    train(network, optimizer=optimizer)
    before = copies(network.params)
    train(twin, optimizer=other)
    assert_same_bits(twin.params, before)
    assert_same_bits(network.params, before)
    assert pickle.loads(pickle.dumps(optimizer)).state_dict(network) == {}  # its layers are others


@pytest.mark.parametrize("name, options", OPTIMISERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_optimiser_steps_equal_pytorch(name, options, dtype, torch):
    rng = np.random.default_rng(5)
    layer, optimizer = nn.Linear(7, 5, dtype=dtype, rng=rng), getattr(nn, name)(**options)
    tensors = {key: torch.from_numpy(param.copy()).requires_grad_() for key, param in layer.params.items()}
    peer = getattr(torch.optim, name)(tensors.values(), **options)
    for step in range(12):
        for key, tensor in tensors.items():
            gradient = (rng.normal(size=tensor.shape) * 10.0 ** (step % 3)).astype(dtype)
            layer.grads[key] = gradient
            tensor.grad = torch.from_numpy(gradient.copy())
        optimizer.step(layer)
        peer.step()
    for key, tensor in tensors.items():
        tolerance = 1e-5 if dtype == np.float32 else 1e-12
        np.testing.assert_allclose(layer.params[key], tensor.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name, options", OPTIMISERS)
def test_network_trains_as_in_pytorch(name, options, torch):
    network, optimizer, loss = small_network(np.float64), getattr(nn, name)(**options), nn.CrossEntropyLoss()
    twin = torch_twin(torch, network)
    peer = getattr(torch.optim, name)(twin.parameters(), **options)
    images, labels = images_and_labels()
    images = images.astype(np.float64)
    for _ in range(10):
        peer.zero_grad()
        expected = torch.nn.functional.cross_entropy(twin(torch.from_numpy(images)), torch.from_numpy(labels))
        expected.backward()
        peer.step()
        assert loss(network(images), labels) == pytest.approx(expected.item(), rel=1e-8)
        network.backward(loss.backward(), input_gradient=False)
        optimizer.step(network)
    for key, parameter in twin.named_parameters():
        np.testing.assert_allclose(network.params[key], parameter.detach().numpy(), rtol=1e-6, atol=1e-8)


def test_loaded_count_that_leaves_no_step_is_refused():
    network = nn.Sequential(nn.Linear(2, 1))
    optimizer = nn.Adam()
    network.backward(network(np.ones((1, 2), np.float32)))
    optimizer.step(network)
    state = optimizer.state_dict(network)
    state["0.bias.step"] = 2**63 - 1
    with pytest.raises(ValueError, match="'0.bias.step' must be at most"):
        optimizer.load_state_dict(network, state)

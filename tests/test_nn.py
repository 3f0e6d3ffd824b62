"""Networks: finite differences, PyTorch as a second opinion, training, its interruption, and bad arguments."""

from __future__ import annotations

import gc
import json
import math
import signal
import sys
import threading
import weakref

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

import fastconv
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


@pytest.mark.parametrize("shape", [(4, 3), (1, 1), (2, 3, 4), (2, 5, 2, 3)])
def test_cross_entropy_gradient_is_finite_differences(shape):
    rng = np.random.default_rng(4)
    loss, prediction = nn.CrossEntropyLoss(), rng.normal(size=shape)
    target = rng.integers(shape[1], size=shape[:1] + shape[2:])
    loss.forward(prediction, target)
    gradient = loss.backward().copy()
    expected = numeric_gradient(lambda: loss.forward(prediction, target), prediction)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)


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


@pytest.mark.parametrize("optimizer", [nn.SGD(0.1), nn.SGD(0.1, 0.9), nn.SGD(0.1, 0.9, True), nn.Adam(0.1)])
def test_without_decay_an_infinite_parameter_stays(optimizer):
    layer = nn.Linear(1, 1, bias=False)
    layer.params["weight"][:] = np.inf
    layer.grads["weight"] = np.ones((1, 1), np.float32)
    optimizer.step(layer)
    assert layer.params["weight"].item() == np.inf


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


# Containers


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


# Training


def test_training_learns():
    network = small_network()
    images, labels = images_and_labels()
    history = train(network, epochs=30, validation_data=(images, labels))
    assert history.epochs == 30 and set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert all(len(values) == 30 for values in history.values())
    assert history["loss"][-1] < 0.1 * history["loss"][0]
    assert history["accuracy"][-1] == history["val_accuracy"][-1] == 1.0
    json.dumps(history)  # plain floats
    predicted = network.predict(images, batch_size=7)
    assert (predicted.argmax(axis=1) == labels).all()
    result = network.evaluate(images, labels, nn.CrossEntropyLoss(), batch_size=7)
    assert result["accuracy"] == 1.0 and result["loss"] == pytest.approx(history["val_loss"][-1], rel=1e-5)


@pytest.mark.parametrize("optimizer", [lambda: nn.Adam(0.01), lambda: nn.SGD(0.1, momentum=0.9, nesterov=True)])
def test_training_is_reproducible_bit_for_bit(optimizer):
    results = []
    for threads in 1, 2, 5, 2:
        network = small_network()
        with fastconv.threads(threads):
            history = train(network, epochs=3, optimizer=optimizer())
        results.append((network.params, history))
    for params, history in results[1:]:
        assert_same_bits(params, results[0][0])
        assert history == results[0][1]
    other = small_network()
    assert train(other, epochs=3, optimizer=optimizer(), rng=4) != results[0][1]


def test_fit_is_the_loop_written_out():
    images, labels = images_and_labels()
    network, by_hand = small_network(), small_network()
    train(network, epochs=2)
    rng, loss, optimizer = np.random.default_rng(3), nn.CrossEntropyLoss(), nn.Adam(0.01)
    for _ in range(2):
        order = rng.permutation(30)
        for rows in order[:8], order[8:16], order[16:24], order[24:]:
            loss(by_hand(images[rows]), labels[rows])
            by_hand.backward(loss.backward())
            optimizer.step(by_hand)
    assert_same_bits(network.params, by_hand.params)


def test_fit_does_not_replace_parameters_and_forgets_its_inputs():
    network = small_network()
    before = dict(network.params)
    train(network)
    assert all(network.params[name] is array for name, array in before.items())
    with pytest.raises(ValueError, match="forward"):
        network.backward(np.ones((1, 3)))


def test_frozen_layers_stay():
    network = small_network()
    network[:3].requires_grad = False
    before = copies(network.params)
    train(network)
    changed = [name for name in before if (network.params[name] != before[name]).any()]
    assert changed == ["3.weight", "3.bias", "7.weight", "7.bias"]


def test_no_epochs_change_nothing():
    network = small_network()
    before = copies(network.params)
    history = train(network, epochs=0)
    assert history == {} and history.epochs == 0
    assert_same_bits(network.params, before)


def test_lists_and_float64_data_are_taken():
    network = nn.Sequential(nn.Linear(2, 2, rng=0))
    network.fit([[1.0, 0.0], [0.0, 1.0]], [0, 1], epochs=1, batch_size=2, loss=nn.CrossEntropyLoss(),
                optimizer=nn.SGD(0.1), progress=False, rng=0)
    assert network.predict([[1.0, 0.0]]).dtype == np.float32


def test_per_pixel_classes_train():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(8, 1, 6, 6)).astype(np.float32)
    labels = (images[:, 0] > 0).astype(np.uint8)
    network = nn.Sequential(nn.Conv2d(1, 2, 1, rng=rng))
    history = train_on(network, images, labels, epochs=30)
    assert history["accuracy"][-1] > 0.95


def train_on(network, x, y, epochs):
    return network.fit(x, y, epochs=epochs, batch_size=4, loss=nn.CrossEntropyLoss(), optimizer=nn.Adam(0.1),
                       progress=False, rng=0)


def test_callbacks_see_each_epoch_and_stop():
    calls = []

    def early_stop(network, history):
        calls.append((network, history.epochs, len(history["loss"])))
        return history.epochs == 2

    network, others = small_network(), []
    history = train(network, epochs=5, callbacks=[early_stop, lambda network, history: others.append(history.epochs)])
    assert calls == [(network, 1, 1), (network, 2, 2)] and others == [1, 2] and history.epochs == 2


def test_predict_and_evaluate_leave_no_trace():
    network = small_network()
    images, labels = images_and_labels()
    network[0].eval()
    modes = [layer.training for layer in network]
    network(images)
    dy = np.ones((30, 3), np.float32)
    network.backward(dy)
    grads = copies(network.grads)
    whole = network.predict(images)
    assert whole.shape == (30, 3) and whole.dtype == np.float32
    network.evaluate(images[:5], labels[:5], nn.CrossEntropyLoss())
    assert [layer.training for layer in network] == modes
    network.backward(dy)  # still of the forward pass before
    assert_same_bits(network.grads, grads)
    assert network.predict(images[:0]).shape == (0, 3)
    with pytest.raises(ValueError):
        network.predict(np.ones((2, 5, 8, 8), np.float32))
    assert [layer.training for layer in network] == modes


def test_layers_infer_in_predict_and_train_in_fit():
    seen = []

    class Spy(nn.Layer):
        def forward(self, x):
            seen.append(self.training)
            return x

        def backward(self, dy, *, input_gradient=True):
            return dy

    images, labels = images_and_labels(4)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), Spy())
    network.eval()
    history = train_on(network, images, labels, epochs=1)
    assert seen == [True] and not network.training and len(history["loss"]) == 1
    network.train().predict(images)
    assert seen == [True, False] and network.training


def test_threads_may_predict_with_one_network():
    network = small_network().eval()
    images, _ = images_and_labels()
    expected, results = network.predict(images), []
    workers = [threading.Thread(target=lambda: results.append(network.predict(images, 7))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 4
    for result in results:
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)
    train(network)  # layers keep again


# Ctrl-C


def test_interrupt_between_steps_leaves_the_steps_done():
    class Interrupted(nn.CrossEntropyLoss):
        steps = 0

        def forward(self, prediction, target):
            if self.steps == 6:
                raise KeyboardInterrupt
            self.steps += 1
            return super().forward(prediction, target)

    network, optimizer = small_network(), nn.Adam(0.01)
    with pytest.raises(KeyboardInterrupt):
        train(network, epochs=3, loss=Interrupted(), optimizer=optimizer)
    expected = small_network()
    images, labels = images_and_labels()
    rng, loss, adam = np.random.default_rng(3), nn.CrossEntropyLoss(), nn.Adam(0.01)
    orders = [rng.permutation(30) for _ in range(2)]
    for epoch, step in (0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1):
        rows = orders[epoch][8 * step : 8 * step + 8]
        loss(expected(images[rows]), labels[rows])
        expected.backward(loss.backward())
        adam.step(expected)
    assert_same_bits(network.params, expected.params)
    train(network, optimizer=optimizer)  # and training goes on


def test_interrupt_in_a_callback_is_raised():
    def interrupt(network, history):
        raise KeyboardInterrupt

    network, expected = small_network(), small_network()
    with pytest.raises(KeyboardInterrupt):
        train(network, epochs=3, callbacks=[interrupt])
    train(expected, epochs=1)
    assert_same_bits(network.params, expected.params)


@pytest.mark.parametrize("last", [False, True])
def test_interrupt_within_a_step_waits_for_its_end(last):
    class Signalled(nn.SGD):
        def _update(self, param, gradient, state):
            if last:
                super()._update(param, gradient, state)
            signal.raise_signal(signal.SIGINT)
            if not last:
                super()._update(param, gradient, state)

    handler = signal.getsignal(signal.SIGINT)
    network, expected = small_network(), small_network()
    with pytest.raises(KeyboardInterrupt):
        train(network, optimizer=Signalled(0.1), batch_size=30)
    train(expected, optimizer=nn.SGD(0.1), batch_size=30, epochs=1)
    assert_same_bits(network.params, expected.params)
    assert signal.getsignal(signal.SIGINT) is handler


def test_fit_in_another_thread():
    network, expected = small_network(), small_network()
    worker = threading.Thread(target=train, args=(network,))
    worker.start()
    worker.join()
    train(expected)
    assert_same_bits(network.params, expected.params)


# Progress


def test_progress_false_prints_nothing(capfd):
    train(small_network(), validation_data=images_and_labels(), progress=False)
    assert capfd.readouterr() == ("", "")


def test_progress_is_plain_text_without_tqdm(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    train(small_network(), validation_data=images_and_labels(), progress=True)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and len(lines) == 2 and "\r" not in err
    assert lines[0].startswith("epoch 1/2: 30/30, ") and lines[1].startswith("epoch 2/2: 30/30, ")
    for word in "examples/s", "loss 1.", "accuracy 0.", "val_loss ", "val_accuracy ":
        assert word in lines[0]


def test_plain_text_is_rewritten_on_a_terminal(monkeypatch):
    import io

    from fastconv.nn.progress import progress_bar

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal, now = Terminal(), [0.0]
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("fastconv.nn.progress.time.perf_counter", lambda: now[0])
    bar = progress_bar(4, "epoch 1/1", True)
    for _ in range(4):
        now[0] += 1.0
        bar.set_postfix_str("loss 0.5", refresh=False)
        bar.update(1)
    bar.close()
    bar.close()
    pieces = terminal.getvalue().split("\r")
    assert pieces[1] == "epoch 1/1: 1/4, 1 examples/s, 3 s left, loss 0.5"
    assert len(pieces) == 6 and pieces[-1].rstrip(" \n") == "epoch 1/1: 4/4, 1 examples/s, loss 0.5"
    assert terminal.getvalue().count("\n") == 1


def test_progress_uses_tqdm_where_it_is(capsys):
    pytest.importorskip("tqdm")
    train(small_network(), progress=True)
    out, err = capsys.readouterr()
    assert out == "" and "epoch 2/2: 100%" in err and "30/30" in err and "loss " in err and "accuracy " in err


def test_progress_without_a_console(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert train(small_network(), progress=True).epochs == 2


# Optimisers


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
        before = copies(network.params)
        with pytest.raises(ValueError, match=message):
            nn.SGD(0.1).step(network)
        assert_same_bits(network.params, before)
        network[1].params.clear()
        network[1].params.update(saved)
        network[1].params["weight"].setflags(write=True)
    nn.SGD(0.1).step(network)


# PyTorch's opinion


def torch_twin(layer):
    """PyTorch's layer with the same arguments and parameters."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    if isinstance(layer, nn.Conv2d):
        twin = torch.nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding,
                               layer.dilation, layer.groups, "bias" in layer.params)
    elif isinstance(layer, nn.Linear):
        twin = torch.nn.Linear(layer.in_features, layer.out_features, "bias" in layer.params)
    elif isinstance(layer, nn.MaxPool2d):
        twin = torch.nn.MaxPool2d(layer.kernel_size, layer.stride, layer.padding, layer.dilation, False,
                                  layer.ceil_mode)
    elif isinstance(layer, nn.AvgPool2d):
        twin = torch.nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode,
                                  layer.count_include_pad, layer.divisor_override)
    elif isinstance(layer, nn.Flatten):
        twin = torch.nn.Flatten(layer.start_dim, layer.end_dim)
    elif isinstance(layer, nn.Sequential):
        return torch.nn.Sequential(*(torch_twin(child) for child in layer))
    else:
        twin = getattr(torch.nn, type(layer).__name__)()
    twin = twin.double()
    assert {name: tuple(p.shape) for name, p in twin.named_parameters()} == {
        name: p.shape for name, p in layer.params.items()
    }
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            parameter.copy_(torch.from_numpy(layer.params[name]))
    return twin


@pytest.mark.parametrize("index", LAYERS)
def test_layer_equals_pytorch(index):
    torch = pytest.importorskip("torch")
    layer, shape = layers()[index]
    if isinstance(layer, nn.Conv2d) and isinstance(layer.padding[0], tuple):
        pytest.skip("PyTorch has no asymmetric padding")
    twin = torch_twin(layer)
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


@pytest.mark.parametrize("shape", [(4, 3), (2, 5, 2, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_equals_pytorch(shape, dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    prediction = (30 * rng.normal(size=shape)).astype(dtype)
    target = rng.integers(shape[1], size=shape[:1] + shape[2:])
    tensor = torch.from_numpy(prediction).requires_grad_()
    expected = torch.nn.CrossEntropyLoss()(tensor, torch.from_numpy(target))
    expected.backward()
    loss = nn.CrossEntropyLoss()
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    for kind in (np.int64, np.uint8, np.int32):
        assert loss.forward(prediction, target.astype(kind)) == pytest.approx(expected.item(), rel=tolerance)
        np.testing.assert_allclose(loss.backward(), tensor.grad.numpy(), rtol=10 * tolerance, atol=tolerance)
    assert loss.backward().dtype == dtype


OPTIMISERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "betas": (0.5, 0.9), "eps": 1e-4, "weight_decay": 0.1}),
]


@pytest.mark.parametrize("name, options", OPTIMISERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_optimiser_steps_equal_pytorch(name, options, dtype):
    torch = pytest.importorskip("torch")
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
def test_network_trains_as_in_pytorch(name, options):
    torch = pytest.importorskip("torch")
    network, optimizer, loss = small_network(np.float64), getattr(nn, name)(**options), nn.CrossEntropyLoss()
    twin = torch_twin(network)
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


@pytest.mark.parametrize("name", ["xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"])
def test_initialisers_spread_as_in_pytorch(name):
    torch = pytest.importorskip("torch")
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


def test_loss_backward_before_forward():
    with pytest.raises(ValueError, match="CrossEntropyLoss.backward needs a forward pass"):
        nn.CrossEntropyLoss().backward()


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


@pytest.mark.parametrize(
    "prediction, target, error, message",
    [
        (np.zeros((2, 3)), [0, 3], ValueError, "target must hold class indices from 0 to 2, got 3"),
        (np.zeros((2, 3)), [-1, 0], ValueError, "target must hold class indices from 0 to 2, got -1"),
        (np.zeros((2, 3)), [0.0, 1.0], TypeError, "target must hold ints.*float64"),
        (np.zeros((2, 3)), [True, False], TypeError, "target must hold ints.*bool"),
        (np.zeros((2, 3)), [0], ValueError, r"target must have the shape \(2,\), of classes, or.*got \(1,\)"),
        (np.zeros((2, 3)), [[0], [1]], ValueError, "target must have the shape"),
        (np.zeros((2, 3, 4)), [0, 1], ValueError, r"target must have the shape \(2, 4\)"),
        (np.zeros((2, 3)), "ab", TypeError, "target must be an array of numbers"),
        (np.zeros(3), [0], ValueError, r"target must have the shape \(\), of classes, or \(3,\)"),
        (np.float64(3), 0, ValueError, r"prediction must be \[N, classes, ...\]"),
        (np.zeros((0, 3)), [], ValueError, "prediction"),
        (np.zeros((2, 3), int), [0, 1], TypeError, "prediction must hold float"),
        (np.zeros((2, 3)), np.array([0, 2**63], np.uint64), ValueError, "target must hold class indices"),
    ],
)
def test_bad_targets(prediction, target, error, message):
    with pytest.raises(error, match=message):
        nn.CrossEntropyLoss().forward(prediction, target)


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"batch_size": 2.5}, TypeError, "batch_size must be an int, got 2.5"),
        ({"epochs": -1}, ValueError, "epochs must be at least 0, got -1"),
        ({"epochs": "3"}, TypeError, "epochs must be an int"),
        ({"loss": nn.CrossEntropyLoss}, TypeError, "loss must be an nn.Loss such as nn.CrossEntropyLoss"),
        ({"loss": "cross_entropy"}, TypeError, "loss must be an nn.Loss such as nn.CrossEntropyLoss"),
        ({"optimizer": nn.SGD}, TypeError, "optimizer must be an nn.Optimizer such as nn.SGD"),
        ({"optimizer": None}, TypeError, "optimizer"),
        ({"validation_data": np.ones(3)}, TypeError, "validation_data must be a pair"),
        ({"validation_data": (np.ones((2, 1, 8, 8)), [1])}, ValueError, "validation_data.*2 and 1"),
        ({"callbacks": 3}, TypeError, "callbacks must be an iterable"),
        ({"callbacks": ["stop"]}, TypeError, r"callbacks\[0\] must be callable"),
        ({"progress": "bar"}, TypeError, "progress must be True or False"),
        ({"rng": "seed"}, TypeError, "rng must be"),
    ],
)
def test_bad_fit_arguments(options, error, message):
    network = small_network()
    before = copies(network.params)
    with pytest.raises(error, match=message):
        train(network, **options)
    assert_same_bits(network.params, before)


def test_bad_data():
    network, loss, images = small_network(), nn.CrossEntropyLoss(), np.ones((4, 1, 8, 8), np.float32)
    options = {"epochs": 1, "batch_size": 2, "loss": loss, "optimizer": nn.SGD(0.1), "progress": False}
    for x, y, error, message in (
        (images[:0], [], ValueError, "x must hold at least one example"),
        (images, [0, 1], ValueError, "x and y must hold as many examples, got 4 and 2"),
        (images, 3, ValueError, "y must hold at least one example"),
        (images, None, TypeError, "y must be an array of numbers"),
        ([[1, 2], [3]], [0, 1], ValueError, "x must be an array"),
        (images, [0.0, 1.0, 2.0, 0.0], TypeError, "target must hold ints"),
        (images, [0, 1, 2, 3], ValueError, "target must hold class indices from 0 to 2, got 3"),
    ):
        with pytest.raises(error, match=message):
            network.fit(x, y, **options)
        with pytest.raises(error, match=message):
            network.evaluate(x, y, loss)
    with pytest.raises(ValueError, match="batch_size"):
        network.predict(images, batch_size=0)
    with pytest.raises(ValueError, match="batch_size"):
        network.evaluate(images, [0, 1, 2, 0], loss, batch_size=-1)
    with pytest.raises(TypeError, match="loss"):
        network.evaluate(images, [0, 1, 2, 0], "loss")
    with pytest.raises(ValueError, match="x must be"):
        network.predict(3.0)


def test_a_layer_has_one_place():
    shared = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"one place.*Linear\(in_features=2, out_features=2, bias=True\) at 0 and 1.0"):
        nn.Sequential(shared, nn.Sequential(shared))

"""Training: arrays and iterables, what it measures, its progress, its interruption, and bad arguments."""

from __future__ import annotations

import io
import itertools
import json
import signal
import sys
import threading

import numpy as np
import pytest
from networks import assert_same_bits, copies, images_and_labels, small_network, train

import fastconv
from fastconv import nn
from fastconv.nn.progress import progress_bar


def whole_network(seed=0):
    """A network of every kind of layer whose bits could depend on threads or chance."""
    rng = np.random.default_rng(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False, rng=rng),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Residual(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, rng=rng), nn.SiLU())),
        nn.MaxPool2d(2),
        nn.Dropout(0.3, rng=rng),
        nn.Concat(nn.Conv2d(8, 4, 1, rng=rng), nn.AvgPool2d(3, 1, 1)),
        nn.Flatten(),
        nn.Linear(192, 3, rng=rng),
    )


def batches(size=8, count=30):
    images, labels = images_and_labels(count)
    return [(images[start : start + size], labels[start : start + size]) for start in range(0, count, size)]


def fit(network, x, y=None, epochs=2, **options):
    settings = {"loss": nn.CrossEntropyLoss(), "optimizer": nn.Adam(0.01), "progress": False}
    return network.fit(x, y, epochs=epochs, **settings | options)


# Reproducible


@pytest.mark.parametrize("optimizer", [nn.AdamW, lambda: nn.SGD(0.1, momentum=0.9)])
def test_every_layer_trains_reproducibly_bit_for_bit(optimizer):
    results = []
    for threads in 1, 2, 5, 2:
        network = whole_network()
        with fastconv.threads(threads):
            history = train(network, epochs=2, optimizer=optimizer(), validation_data=images_and_labels(9))
        results.append((network.state_dict(), history))
    for state, history in results[1:]:
        assert_same_bits(state, results[0][0])
        assert history == results[0][1]
    other = whole_network(1)
    assert train(other, epochs=2, optimizer=optimizer(), validation_data=images_and_labels(9)) != results[0][1]


# Iterables


class Loader:
    """Starts anew for each epoch and knows its length, as a data loader does."""

    def __init__(self, data):
        self.data, self.starts = data, 0

    def __len__(self):
        return len(self.data)

    def __iter__(self):
        self.starts += 1
        return iter(self.data)


def by_hand(steps, seed=0):
    """The network after steps on these batches."""
    network, loss, optimizer = small_network(seed=seed), nn.CrossEntropyLoss(), nn.Adam(0.01)
    for x, y in steps:
        loss(network(x), y)
        network.backward(loss.backward(), input_gradient=False)
        optimizer.step(network)
    return network


def test_batches_come_in_their_order():
    expected = by_hand(batches() * 2)
    for iterable in batches(), tuple(batches()), Loader(batches()):
        network = small_network()
        history = fit(network, iterable)
        assert_same_bits(network.params, expected.params)
        assert history.epochs == 2 and set(history) == {"loss", "accuracy"}


def test_lists_for_batches_are_taken():
    network = nn.Sequential(nn.Linear(2, 2, rng=0))
    assert fit(network, [[[[1.0, 0.0]], [0]], ([[0.0, 1.0], [1.0, 1.0]], [1, 0])]).epochs == 2


def test_a_generator_is_good_for_one_epoch():
    network = small_network()
    fit(network, (batch for batch in batches()), epochs=1)
    assert_same_bits(network.params, by_hand(batches()).params)
    before = copies(network.params)
    with pytest.raises(ValueError, match="x is an iterator, which is good for one epoch of 2"):
        fit(network, (batch for batch in batches()))
    assert_same_bits(network.params, before)


def test_an_infinite_generator_needs_steps():
    drawn = []

    def endless():
        for index in itertools.count():
            drawn.append(index)
            yield batches()[index % 4]

    network = small_network()
    history = fit(network, endless(), epochs=3, steps_per_epoch=3)
    assert history.epochs == 3 and drawn == list(range(9))  # and no batch is drawn that is not learnt from
    assert_same_bits(network.params, by_hand((batches() * 3)[:9]).params)


def test_steps_go_on_where_the_epoch_before_stopped_and_start_anew():
    loader, network = Loader(batches()), small_network()
    history = fit(network, loader, epochs=2, steps_per_epoch=3)
    assert loader.starts == 2 and history.epochs == 2
    assert_same_bits(network.params, by_hand((batches() * 2)[:6]).params)


def test_a_generator_that_runs_dry_ends_the_training():
    network, seen = small_network(), []
    with pytest.warns(RuntimeWarning, match="x ran dry after 1 of the 3 steps of an epoch"):
        history = fit(
            network,
            iter(batches()),
            epochs=5,
            steps_per_epoch=3,
            callbacks=[lambda _, history: seen.append(history.epochs)],
        )
    assert history.epochs == 2 and seen == [1, 2] and len(history["loss"]) == 2
    assert_same_bits(network.params, by_hand(batches()).params)
    with pytest.warns(RuntimeWarning, match="x ran dry after 0 of the 2 steps"):
        assert fit(small_network(), iter(batches()), epochs=5, steps_per_epoch=2).epochs == 2


def test_torch_loaders_are_taken(torch):
    images, labels = images_and_labels()
    data = torch.utils.data.TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))
    network = small_network()
    fit(network, torch.utils.data.DataLoader(data, batch_size=8), epochs=2, validation_data=[data[:6]])
    assert_same_bits(network.params, by_hand(batches() * 2).params)


def test_validation_data_may_be_batches():
    images, labels = images_and_labels()
    loader = Loader(batches(7))
    history = fit(small_network(), batches(), validation_data=loader)
    expected = fit(small_network(), batches(), validation_data=(images, labels))
    assert loader.starts == 2
    for name in "val_loss", "val_accuracy":
        np.testing.assert_allclose(history[name], expected[name], rtol=1e-6)


def test_evaluate_takes_batches():
    network, loss = small_network(), nn.CrossEntropyLoss()
    expected = network.evaluate(*images_and_labels(), loss)
    for iterable in batches(7), iter(batches(11)):
        result = network.evaluate(iterable, None, loss)
        assert result["accuracy"] == expected["accuracy"]
        assert result["loss"] == pytest.approx(expected["loss"], rel=1e-6)


def test_an_interrupt_in_a_generator_leaves_the_steps_done():
    def interrupted():
        yield from batches()[:3]
        raise KeyboardInterrupt

    network = small_network()
    with pytest.raises(KeyboardInterrupt):
        fit(network, interrupted(), epochs=1)
    assert_same_bits(network.params, by_hand(batches()[:3]).params)


@pytest.mark.parametrize(
    ("x", "options", "error", "message"),
    [
        ([], {}, ValueError, "x must give at least one batch, got none"),
        (iter([]), {"epochs": 1}, ValueError, "x must give at least one batch, got none"),
        (iter([]), {"steps_per_epoch": 2}, ValueError, "x must give at least one batch, got none"),
        ([], {"steps_per_epoch": 2}, ValueError, "x must give at least one batch, got none"),
        (batches(), {"batch_size": 8}, ValueError, "batch_size goes with arrays.*got 8"),
        (batches(), {"rng": 0}, ValueError, "rng goes with arrays.*got 0"),
        (batches(), {"steps_per_epoch": 0}, ValueError, "steps_per_epoch must be at least 1"),
        (batches(), {"steps_per_epoch": 2.0}, TypeError, "steps_per_epoch must be an int"),
        ([3], {}, TypeError, r"batch 0 of x must be a pair \(x, y\), got int"),
        ([None], {"steps_per_epoch": 1}, TypeError, "batch 0 of x must be a pair.*got NoneType"),
        ([*batches()[:1], (1, 2, 3)], {}, TypeError, "batch 1 of x must be a pair.*got 3 items"),
        ([(np.ones((2, 1, 8, 8)), [1])], {}, ValueError, "x of batch 0 of x and y of batch 0 of x must.*2 and 1"),
        ("batches", {}, TypeError, "y must be an array of numbers"),
        (np.ones((2, 1, 8, 8)), {"batch_size": 1}, TypeError, "y must be an array of numbers"),
        (batches(), {"validation_data": iter(batches())}, ValueError, "validation_data is an iterator"),
        (batches(), {"validation_data": 3}, TypeError, "validation_data must be a pair"),
        (batches(), {"validation_data": "xy"}, TypeError, "validation_data must be a pair"),
        (batches(), {"validation_data": [images_and_labels()[0]] * 2}, TypeError, "batch 0 of validation_data must be"),
    ],
)
def test_bad_iterables(x, options, error, message):
    with pytest.raises(error, match=message):
        fit(small_network(), x, **options)


def test_steps_do_not_go_with_arrays():
    images, labels = images_and_labels()
    with pytest.raises(ValueError, match="steps_per_epoch goes with an iterable of batches, got 3"):
        fit(small_network(), images, labels, batch_size=8, steps_per_epoch=3)
    with pytest.raises(TypeError, match="batch_size must be an int, got None"):
        fit(small_network(), images, labels)


# What is measured


def test_evaluation_does_not_depend_on_the_batches():
    rng = np.random.default_rng(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 1, dtype=np.float64, rng=rng))
    x = rng.normal(size=(10, 1, 5, 5))
    y = rng.integers(-1, 4, size=(10, 5, 5))
    y[:3] = -1  # most of the first batch
    for reduction in "mean", "sum":
        loss = nn.CrossEntropyLoss([1, 2, 3, 4], ignore_index=-1, reduction=reduction)
        whole = network.evaluate(x, y, loss)
        assert whole["loss"] == pytest.approx(loss(network(x), y), rel=1e-12)
        prediction = network(x).argmax(axis=1)
        assert whole["accuracy"] == pytest.approx((prediction == y)[y >= 0].mean(), rel=1e-12)
        for size in 1, 3, 4:
            result = network.evaluate(x, y, loss, batch_size=size)
            assert result["loss"] == pytest.approx(whole["loss"], rel=1e-12)
            assert result["accuracy"] == pytest.approx(whole["accuracy"], rel=1e-12)


def test_probabilities_have_an_accuracy():
    images, labels = images_and_labels()
    one_hot = np.eye(3, dtype=np.float32)[labels]
    network, twin = small_network(), small_network()
    left, right = train(network, epochs=3), None
    right = fit(twin, images, one_hot, epochs=3, batch_size=8, rng=3)
    assert right["accuracy"] == left["accuracy"]
    np.testing.assert_allclose(right["loss"], left["loss"], rtol=1e-5)


def test_regression_has_no_accuracy():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3)).astype(np.float32)
    y = x @ np.array([[1.0], [2.0], [-1.0]])
    network = nn.Sequential(nn.Linear(3, 1, rng=0))
    history = fit(network, x, y, epochs=60, batch_size=8, loss=nn.MSELoss(), optimizer=nn.Adam(0.1), rng=0)
    assert set(history) == {"loss"} and history["loss"][-1] < 1e-3
    assert set(network.evaluate(x, y, nn.MSELoss())) == {"loss"}


def test_a_loss_of_ones_own():
    class Error(nn.Loss):
        def forward(self, prediction, target):
            self._gradient = np.sign(prediction - target) / prediction.size
            return float(np.abs(prediction - target).mean())

    x = np.arange(7.0)[:, None]
    network = nn.Sequential(nn.Linear(1, 1, dtype=np.float64, rng=0))
    history = fit(network, x, x, epochs=2, batch_size=4, loss=Error(), rng=0)
    assert set(history) == {"loss"}
    whole = network.evaluate(x, x, Error())["loss"]
    assert network.evaluate(x, x, Error(), batch_size=3)["loss"] == pytest.approx(whole, rel=1e-12)


def test_history_knows_how_many_epochs_were_planned():
    seen = []
    fit(
        small_network(),
        batches(),
        epochs=3,
        callbacks=[lambda _, history: seen.append(history.epochs == history.planned)],
    )
    assert seen == [False, False, True]


# Progress of iterables


def text_of_progress(monkeypatch, x, **options):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    fit(small_network(), x, progress=True, **options)
    return stream.getvalue().splitlines()


def test_progress_counts_the_images_of_an_iterable(monkeypatch):
    lines = text_of_progress(monkeypatch, Loader(batches()), validation_data=batches())
    assert len(lines) == 2 and lines[0].startswith("epoch 1/2: 30/30, ") and "images/s, loss " in lines[0]
    assert "val_accuracy" in lines[1] and "left" not in lines[1]
    assert text_of_progress(monkeypatch, (batch for batch in batches()), epochs=1)[0].startswith("epoch 1/1: 30/30, ")


def test_progress_knows_what_is_left_of_an_iterable(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal, now = Terminal(), itertools.count()
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("fastconv.nn.progress.time.perf_counter", lambda: float(next(now)))
    fit(small_network(), Loader(batches()), epochs=1, progress=True)
    first = terminal.getvalue().split("\r")[1]
    assert first.startswith("epoch 1/1: 8/32, ") and "s left, loss " in first  # four batches as large as the first
    assert terminal.getvalue().rstrip().split("\r")[-1].startswith("epoch 1/1: 30/30, ")


def test_tqdm_shows_iterables(capsys):
    pytest.importorskip("tqdm")
    fit(small_network(), Loader(batches()), epochs=1, progress=True)
    err = capsys.readouterr().err
    assert "epoch 1/1: 100%" in err and "30/30" in err and "images/s" in err and "accuracy" in err
    fit(nn.Sequential(nn.Linear(2, 2)), (pair for pair in [([[1.0, 2.0]], [1])]), epochs=1, progress=True)
    assert "examples/s" in capsys.readouterr().err


# Frozen networks


def test_a_frozen_network_is_not_trained():
    network = whole_network()
    train(network, epochs=1)
    network.freeze()
    before = network.state_dict()
    with pytest.raises(ValueError, match="'0.weight' is read-only, as in a frozen network: unfreeze"):
        train(network)
    assert_same_bits(network.state_dict(), before)
    assert network.evaluate(*images_and_labels(), nn.CrossEntropyLoss())["accuracy"] >= 0


def test_a_head_learns_on_frozen_features():
    features = whole_network()[:-1]
    train(nn.Sequential(*features, nn.Linear(192, 3, rng=1)), epochs=2)
    features.freeze().requires_grad = False
    before, outputs = features.state_dict(), features(images_and_labels()[0])
    network = nn.Sequential(features, nn.Linear(192, 3, rng=2))
    history = train(network, epochs=8)
    assert history["loss"][-1] < history["loss"][0]
    assert_same_bits(features.state_dict(), before)  # running statistics too
    np.testing.assert_array_equal(features(images_and_labels()[0]), outputs)
    head = nn.Sequential(nn.Linear(192, 3, rng=2))
    train_on_features = fit(head, outputs, images_and_labels()[1], epochs=8, batch_size=8, rng=3)
    assert train_on_features == history  # neither dropout nor the batch took part
    assert_same_bits(head[0].params, network[1].params)


# Arrays


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
    network.fit(
        [[1.0, 0.0], [0.0, 1.0]],
        [0, 1],
        epochs=1,
        batch_size=2,
        loss=nn.CrossEntropyLoss(),
        optimizer=nn.SGD(0.1),
        progress=False,
        rng=0,
    )
    assert network.predict([[1.0, 0.0]]).dtype == np.float32


def test_per_pixel_classes_train():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(8, 1, 6, 6)).astype(np.float32)
    labels = (images[:, 0] > 0).astype(np.uint8)
    network = nn.Sequential(nn.Conv2d(1, 2, 1, rng=rng))
    history = train_on(network, images, labels, epochs=30)
    assert history["accuracy"][-1] > 0.95


def train_on(network, x, y, epochs):
    return network.fit(
        x, y, epochs=epochs, batch_size=4, loss=nn.CrossEntropyLoss(), optimizer=nn.Adam(0.1), progress=False, rng=0
    )


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


def test_predict_joins_tuples():
    network = nn.Sequential(nn.MaxPool2d(2, return_indices=True))
    x = np.random.default_rng(0).normal(size=(5, 2, 4, 4))
    for batch_size in 2, 5:
        for found, expected in zip(network.predict(x, batch_size), network(x), strict=True):
            np.testing.assert_array_equal(found, expected)


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


def test_threads_may_predict_with_a_network_that_trains():
    inside, both = threading.Event(), threading.Event()

    class Gate(nn.Layer):
        """Lets the worker, which came first, end its prediction in the middle of the main thread's."""

        def forward(self, x):
            if threading.current_thread() is worker:
                inside.set()
                both.wait()
            else:
                both.set()
                worker.join()
            return x

    network = nn.Sequential(Gate(), nn.BatchNorm1d(2), nn.Dropout(rng=0))
    before, x = network.state_dict(), np.arange(6.0).reshape(3, 2)
    worker = threading.Thread(target=network.predict, args=(x,))
    worker.start()
    inside.wait()
    np.testing.assert_allclose(network.predict(x), x, rtol=1e-4)
    assert_same_bits(network.state_dict(), before)
    assert network.training


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
    for word in "images/s", "loss 1.", "accuracy 0.", "val_loss ", "val_accuracy ":
        assert word in lines[0]


def test_plain_text_is_rewritten_on_a_terminal(monkeypatch):
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


# Bad arguments


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
        ({"validation_data": {"x": 1, "y": 2}}, TypeError, "validation_data must be a pair.*got dict"),
        ({"validation_data": ()}, ValueError, "validation_data must give at least one batch, got none"),
        ({"validation_data": [*images_and_labels()]}, TypeError, r"batch 0 of validation_data must be a pair \(x, y\)"),
        ({"validation_data": (*images_and_labels(), 1)}, TypeError, r"batch 0 of validation_data must be a pair"),
        ({"callbacks": ["stop"]}, TypeError, r"callbacks\[0\] must be callable"),
        ({"callbacks": [nn.EarlyStopping]}, TypeError, r"callbacks\[0\] must be callable.*got <class"),
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

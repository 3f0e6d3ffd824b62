"""Callbacks: early stopping, schedules and checkpoints, by themselves and in a training."""

from __future__ import annotations

import math
import os
import sys

import numpy as np
import pytest
from networks import assert_same_bits, copies, images_and_labels, small_network, train

from fastconv import nn


def history_of(**series):
    """A history as after its last epoch."""
    history = nn.History(planned=100)
    for values in zip(*series.values(), strict=True):
        history.record(dict(zip(series, values, strict=True)))
    return history


def stops(callback, values, name="val_loss", planned=100, network=None):
    """After which epoch a callback stops, or None."""
    history = nn.History(planned)
    network = nn.Sequential(nn.Linear(1, 1)) if network is None else network
    for epoch, value in enumerate(values, 1):
        history.record({name: value})
        if callback(network, history):
            return epoch
    return None


# Early stopping


@pytest.mark.parametrize(
    ("options", "values", "expected"),
    [
        ({"patience": 2}, [3, 2, 2.5, 2, 1], 4),  # equal is no improvement
        ({"patience": 2}, [3, 2, 2.5, 1.9, 2, 2], 6),
        ({"patience": 1}, [3, 2, 1, 0.5], None),
        ({"patience": 1}, [3, 3], 2),
        ({"patience": 1, "min_delta": 0.5}, [3, 2, 1.6, 1], 3),
        ({"patience": 2, "min_delta": 0.5}, [3, 2.6, 2.4, 2.2, 2.1], 5),  # the best counts, not the last
        ({"patience": 1, "mode": "max"}, [1, 2, 1], 3),
        ({"patience": 2}, [math.nan, math.nan, 1], 2),
        ({"patience": 2}, [math.nan, 1, math.nan, 0.5], None),
    ],
)
def test_early_stopping(options, values, expected):
    assert stops(nn.EarlyStopping(**options), values) == expected


def test_accuracy_is_to_be_large():
    assert stops(nn.EarlyStopping("val_accuracy", patience=1), [0.5, 0.6, 0.6], "val_accuracy") == 3
    assert stops(nn.EarlyStopping("val_accuracy", patience=1, mode="min"), [0.5, 0.6], "val_accuracy") == 2


def test_early_stopping_starts_anew_with_each_fit():
    callback = nn.EarlyStopping(patience=2)
    for values, expected in ([1, 2], None), ([9, 8, 7, 7.5], None), ([9, 8, 8, 8], 4):
        callback.before_fit(None, nn.History())
        assert stops(callback, values) == expected


def best_is_first(network, **options):
    """A training whose first epoch is the best, with batch statistics that move in each; and the state after it."""
    state = []
    watch = [nn.EarlyStopping("loss", mode="max", patience=2), lambda *_: state.append(network.state_dict())]
    images, labels = images_and_labels()
    x, y = (images, labels) if "steps_per_epoch" not in options else (iter([(images, labels)] * 3), None)
    options = {"epochs": 3, "callbacks": []} | options
    options["callbacks"] = [*watch, *options["callbacks"]]
    network.fit(x, y, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(0.1), progress=False, **options)
    return state[0], len(state)


@pytest.mark.parametrize(
    ("options", "epochs"),
    [
        ({"batch_size": 30, "epochs": 9}, 3),  # patience
        ({"batch_size": 30, "epochs": 2}, 2),
        ({"batch_size": 30, "callbacks": [lambda _, history: history.epochs == 2]}, 2),
        pytest.param(
            {"epochs": 9, "steps_per_epoch": 2}, 2, marks=pytest.mark.filterwarnings("ignore:x ran dry:RuntimeWarning")
        ),
    ],
    ids=["patience", "epochs", "another callback", "a dry generator"],
)
def test_the_best_epoch_is_restored_whatever_ends_the_training(options, epochs):
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, 3, rng=0))
    best, seen = best_is_first(network, **options)
    assert seen == epochs
    assert_same_bits(network.state_dict(), best)


def test_the_best_epoch_of_another_training_is_not_restored():
    callback = nn.EarlyStopping("loss")
    with pytest.raises(ZeroDivisionError):
        train(small_network(), callbacks=[callback, lambda *_: 1 / 0])
    network = small_network()
    for param in network.params.values():
        param[...] = math.nan  # no epoch is an improvement
    train(network, callbacks=[callback])
    assert all(np.isnan(param).all() for param in network.params.values())


def test_the_last_epoch_stays_where_it_shall():
    network = nn.Sequential(nn.Linear(1, 1))
    before = network.params["0.weight"]
    assert stops(nn.EarlyStopping(patience=1, restore_best=False), [1, 2], network=network) == 2
    assert network.params["0.weight"] is before


def test_early_stopping_in_a_training():
    images, labels = images_and_labels()
    network, losses = small_network(), []
    history = train(
        network,
        epochs=60,
        validation_data=(images[:9], np.roll(labels[:9], 1)),  # what is learnt is wrong for them
        callbacks=[nn.EarlyStopping(patience=3), lambda *_: losses.append(None)],
    )
    assert 4 <= history.epochs < 60 and len(losses) == history.epochs
    best = int(np.argmin(history["val_loss"])) + 1
    assert history.epochs == best + 3
    again = small_network()
    train(again, epochs=best)
    assert_same_bits(network.params, again.params)


# Learning rates


def test_schedule_sets_the_rate_of_each_epoch():
    optimizer, rates = nn.SGD(5.0), []
    schedule = nn.LearningRateSchedule(optimizer, lambda epoch: 0.1 / (1 + epoch))

    class Loss(nn.CrossEntropyLoss):
        def forward(self, prediction, target):
            rates.append(optimizer.lr)
            return super().forward(prediction, target)

    network = small_network()
    for _ in range(2):  # it goes on with the next fit
        train(network, epochs=2, optimizer=optimizer, loss=Loss(), callbacks=[schedule], batch_size=30)
    assert rates == [0.1, 0.05, 0.1 / 3, 0.025] and optimizer.lr == 0.02


def test_step_decay():
    schedule = nn.step_decay(0.5, every=3)
    np.testing.assert_allclose([schedule(epoch) for epoch in range(7)], [0.5] * 3 + [0.05] * 3 + [0.005])


def test_cosine_decay():
    schedule = nn.cosine_decay(2.0, epochs=10, warmup=3, final_lr=1.0)
    rates = [schedule(epoch) for epoch in range(14)]
    np.testing.assert_allclose(rates[:4], [0.5, 1.0, 1.5, 2.0])
    expected = [1 + (1 + math.cos(math.pi * step / 7)) / 2 for step in range(8)]
    np.testing.assert_allclose(rates[3:], expected + [1.0] * 3)


def test_cosine_decay_is_pytorchs(torch):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.3)
    peer = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=8, eta_min=0.01)
    schedule = nn.cosine_decay(0.3, epochs=8, final_lr=0.01)
    for epoch in range(9):
        assert schedule(epoch) == pytest.approx(peer.get_last_lr()[0], rel=1e-6)
        optimizer.step()
        peer.step()


def test_reduce_on_plateau():
    optimizer = nn.SGD(1.0)
    callback = nn.ReduceLROnPlateau(optimizer, factor=0.5, patience=2, min_lr=0.2)
    history, rates = nn.History(), []
    for value in 3, 2, 2, 2, 1.9, 2, 2, 2, 2, 2, 2:
        history.record({"val_loss": value})
        assert callback(None, history) is None
        rates.append(optimizer.lr)
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2]
    optimizer.lr = 0.1  # below the least already
    for _ in range(2):
        callback(None, history)
    assert optimizer.lr == 0.1


# Checkpoints


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_checkpoints_go_on_bit_for_bit(tmp_path, suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    expected = small_network()
    rng = np.random.default_rng(3)
    train(expected, epochs=4, rng=rng)

    network, optimizer, rng = small_network(), nn.Adam(0.01), np.random.default_rng(3)
    path = tmp_path / f"net{suffix}"
    train(network, epochs=2, optimizer=optimizer, rng=rng, callbacks=[nn.Checkpoint(path, optimizer=optimizer)])
    assert set(os.listdir(tmp_path)) == {f"net.optimizer{suffix}", f"net{suffix}"}

    resumed, optimizer = small_network(seed=9), nn.Adam(0.01)
    resumed.load(path)
    optimizer.load(resumed, tmp_path / f"net.optimizer{suffix}")
    train(resumed, epochs=2, optimizer=optimizer, rng=rng)
    assert_same_bits(resumed.params, expected.params)


def test_checkpoint_names_are_filled_in(tmp_path):
    path = tmp_path / "net-{epoch:03d}-{val_accuracy:.2f}.npz"
    train(small_network(), epochs=2, validation_data=images_and_labels(), callbacks=[nn.Checkpoint(path)])
    names = sorted(os.listdir(tmp_path))
    assert len(names) == 2 and names[0].startswith("net-001-0.") and names[1].startswith("net-002-")


def test_only_the_best_is_saved(tmp_path):
    network, path = nn.Sequential(nn.Linear(1, 1, rng=0)), tmp_path / "best.npz"
    callback, history = nn.Checkpoint(path, monitor="val_accuracy"), nn.History()
    for value in 0.5, 0.7, 0.6, 0.7:
        network.params["0.weight"][...] = value
        history.record({"val_accuracy": value})
        assert callback(network, history) is None
    assert np.load(path)["0.weight"] == np.float32(0.7)
    network.params["0.weight"][...] = 9
    for value in 0.65, 0.8:  # the best of earlier trainings counts too
        callback(network, history_of(val_accuracy=[value]))
        assert np.load(path)["0.weight"] == np.float32(0.7 if value < 0.7 else 9)


def test_a_checkpoint_that_cannot_be_written_stops_the_training_with_its_error(tmp_path):
    network, path = small_network(), tmp_path / "net.npz"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        train(network, callbacks=[nn.Checkpoint(path)])
    expected = small_network()
    train(expected, epochs=1)
    assert_same_bits(network.params, expected.params)


# Bad arguments


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "monitor must be the name.*got 3", lambda: nn.EarlyStopping(3)),
        (ValueError, "patience must be at least 1, got 0", lambda: nn.EarlyStopping(patience=0)),
        (ValueError, "min_delta", lambda: nn.EarlyStopping(min_delta=-1)),
        (TypeError, "restore_best", lambda: nn.EarlyStopping(restore_best=1)),
        (ValueError, "mode must be 'auto', 'min' or 'max', got 'best'", lambda: nn.EarlyStopping(mode="best")),
        (TypeError, "optimizer must be an nn.Optimizer", lambda: nn.LearningRateSchedule(nn.SGD, lambda epoch: 1)),
        (TypeError, "function must be callable", lambda: nn.LearningRateSchedule(nn.SGD(), 0.1)),
        (ValueError, "learning rate of the schedule.*-1", lambda: nn.LearningRateSchedule(nn.SGD(), lambda epoch: -1)),
        (TypeError, "learning rate of the schedule", lambda: nn.LearningRateSchedule(nn.SGD(), lambda epoch: None)),
        (TypeError, "optimizer must be an nn.Optimizer", lambda: nn.ReduceLROnPlateau("sgd")),
        (ValueError, "factor must be above 0 and below 1, got 1", lambda: nn.ReduceLROnPlateau(nn.SGD(), factor=1)),
        (ValueError, "min_lr", lambda: nn.ReduceLROnPlateau(nn.SGD(), min_lr=-1)),
        (TypeError, "every must be an int", lambda: nn.step_decay(0.1, 2.5)),
        (ValueError, "factor must leave a finite.*in epoch 1000, got 1", lambda: nn.step_decay(1, 1, 1e10)(1000)),
        (ValueError, "lr must be", lambda: nn.step_decay(-0.1, 2)),
        (ValueError, "epochs must be at least 1", lambda: nn.cosine_decay(0.1, 0)),
        (ValueError, "warmup must be fewer epochs than the 5 of all, got 5", lambda: nn.cosine_decay(0.1, 5, 5)),
        (TypeError, "path must be a str or a path, got 3", lambda: nn.Checkpoint(3)),
        (ValueError, "path must end in .npz or .safetensors, got 'net.h5'", lambda: nn.Checkpoint("net.h5")),
        (TypeError, "optimizer must be an nn.Optimizer", lambda: nn.Checkpoint("net.npz", optimizer="adam")),
        (TypeError, "monitor must be the name", lambda: nn.Checkpoint("net.npz", monitor=True)),
    ],
)
def test_bad_arguments(error, message, call):
    with pytest.raises(error, match=message):
        call()


def test_a_monitor_that_is_not_measured():
    for callback in nn.EarlyStopping(), nn.ReduceLROnPlateau(nn.SGD()), nn.Checkpoint("net.npz", monitor="val_loss"):
        with pytest.raises(ValueError, match="monitor must be one of 'loss', 'accuracy', which.*got 'val_loss'"):
            train(small_network(), callbacks=[callback])


@pytest.mark.parametrize("name", ["{}.npz", "{0}.npz", "{loss:d}.npz", "{loss.x}.npz", "{loss[0]}.npz", "{loss.npz"])
def test_a_name_that_cannot_be_filled_in(name):
    with pytest.raises(ValueError, match="path must be made of epoch"):
        nn.Checkpoint(name)


def test_a_checkpoint_that_could_not_be_written_is_refused_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for name, error, message in (
        ("{nonsense}.npz", ValueError, "path must be made of epoch, loss, accuracy, val_loss, val_accuracy, got"),
        ("nowhere/net.npz", FileNotFoundError, "nowhere/net.npz"),
        ("net.safetensors", ImportError, "safetensors"),
    ):
        network = small_network()
        with pytest.raises(error, match=message):
            train(network, callbacks=[nn.Checkpoint(tmp_path / name)])
        assert_same_bits(network.params, small_network().params)
    with pytest.raises(ValueError, match="path must be made of epoch, loss, accuracy, got"):  # known after an epoch
        train(small_network(), callbacks=[nn.Checkpoint(tmp_path / "{val_loss}.npz")])
    assert os.listdir(tmp_path) == []


def test_suffixes_may_be_in_capitals(tmp_path):
    train(small_network(), callbacks=[nn.Checkpoint(tmp_path / "net.NPZ", optimizer=nn.Adam())])
    assert set(os.listdir(tmp_path)) == {"net.NPZ", "net.optimizer.NPZ"}


def test_a_failed_schedule_leaves_the_rate():
    optimizer = nn.SGD(0.5)
    with pytest.raises(ValueError):
        nn.LearningRateSchedule(optimizer, lambda epoch: math.inf)
    assert optimizer.lr == 0.5


def test_parameters_are_those_of_the_epoch_when_a_callback_fails():
    network, before = small_network(), copies(small_network().params)
    with pytest.raises(ZeroDivisionError):
        train(network, epochs=3, callbacks=[lambda *_: 1 / 0])
    expected = small_network()
    train(expected, epochs=1)
    assert_same_bits(network.params, expected.params)
    assert before["0.weight"].tobytes() != network.params["0.weight"].tobytes()

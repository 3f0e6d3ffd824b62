"""Frozen networks: they compute what the layers compute, they do not change, and they thaw bit for bit."""

from __future__ import annotations

import copy
import pickle
import signal
import threading

import numpy as np
import pytest
from networks import assert_same_bits, copies, images_and_labels, small_network, train

import fastconv as fc
from fastconv import nn
from fastconv.nn.freeze import Frozen


def norm(kind, channels, **options):
    """A batch normalisation that has seen data."""
    layer, rng = kind(channels, **options), np.random.default_rng(channels)
    for values in (*layer.params.values(), *layer.buffers.values()):
        if values.ndim:
            values[...] = rng.uniform(0.5, 2, channels) * np.where(values is layer.params.get("bias"), -1, 1)
    return layer


def networks():
    """Networks with the shape of an input and the number of steps that they freeze to."""
    options = {"rng": np.random.default_rng(1)}
    double = {"rng": np.random.default_rng(1), "dtype": np.float64}
    Conv2d, BatchNorm2d = nn.Conv2d, nn.BatchNorm2d
    body = nn.Sequential(
        Conv2d(4, 4, 3, 1, 1, bias=False, **options), norm(BatchNorm2d, 4), nn.ReLU(), Conv2d(4, 4, 1, **options)
    )
    return {
        "conv": ([Conv2d(3, 4, 3, **options)], (2, 3, 6, 6), 1),
        "conv relu": ([Conv2d(3, 4, 3, **options), nn.ReLU()], (2, 3, 6, 6), 1),
        "conv norm": ([Conv2d(3, 4, 3, 2, 1, bias=False, **options), norm(BatchNorm2d, 4)], (2, 3, 6, 6), 1),
        "conv norm relu6": ([Conv2d(3, 4, 3, 2, 1, **options), norm(BatchNorm2d, 4), nn.ReLU6()], (2, 3, 6, 6), 1),
        "float64": ([Conv2d(3, 4, 3, **double), norm(BatchNorm2d, 4, dtype=np.float64), nn.SiLU()], (2, 3, 6, 6), 1),
        "depthwise": ([Conv2d(4, 4, 3, groups=4, **options), norm(BatchNorm2d, 4), nn.ReLU()], (2, 4, 6, 6), 1),
        "grouped": ([Conv2d(4, 6, 3, groups=2, **options), norm(BatchNorm2d, 6, affine=False)], (2, 4, 6, 6), 1),
        "without bias": ([Conv2d(4, 6, 3, **options), norm(BatchNorm2d, 6, bias=False)], (2, 4, 6, 6), 1),
        "conv1d": ([nn.Conv1d(3, 4, 3, **options), norm(nn.BatchNorm1d, 4), nn.ReLU()], (2, 3, 9), 1),
        "conv3d": ([nn.Conv3d(2, 4, 2, **options), norm(nn.BatchNorm3d, 4), nn.SiLU()], (2, 2, 3, 4, 5), 1),
        "linear": ([nn.Linear(5, 4, **options), norm(nn.BatchNorm1d, 4), nn.ReLU()], (7, 5), 1),
        "transposed": (
            [nn.ConvTranspose2d(4, 6, 4, 2, 1, groups=2, **options), norm(BatchNorm2d, 6), nn.ReLU()],
            (2, 4, 3, 4),
            1,
        ),
        "transposed 1d": (
            [nn.ConvTranspose1d(4, 6, 4, 2, 1, 1, bias=False, **options), norm(nn.BatchNorm1d, 6), nn.SiLU()],
            (2, 4, 5),
            1,
        ),
        "transposed 3d": ([nn.ConvTranspose3d(2, 3, 2, 2, **options), norm(nn.BatchNorm3d, 3)], (1, 2, 2, 3, 2), 1),
        "through dropout": (
            [Conv2d(3, 4, 3, **options), nn.Dropout(), norm(BatchNorm2d, 4), nn.Identity(), nn.ReLU()],
            (2, 3, 6, 6),
            1,
        ),
        "nested": (
            [nn.Sequential(Conv2d(3, 4, 3, **options)), nn.Sequential(nn.Sequential(norm(BatchNorm2d, 4), nn.ReLU()))],
            (2, 3, 6, 6),
            1,
        ),
        "residual": ([nn.Residual(body), nn.ReLU()], (2, 4, 5, 5), 1),
        "residual 1d": (
            [nn.Residual(nn.Sequential(nn.Conv1d(4, 4, 3, padding=1, **options), norm(nn.BatchNorm1d, 4))), nn.SiLU()],
            (2, 4, 9),
            1,
        ),
        "residual 3d": (
            [nn.Residual(nn.Conv3d(2, 3, 3, 2, 1, **options), nn.Conv3d(2, 3, 1, 2, **options)), nn.ReLU6()],
            (2, 2, 3, 4, 5),
            1,
        ),
        "residual float64": ([nn.Residual(Conv2d(4, 4, 3, padding=1, **double)), nn.ReLU()], (2, 4, 6, 6), 1),
        "residual depthwise": (
            [nn.Residual(Conv2d(4, 4, 3, padding=1, groups=4, **options)), nn.ReLU6()],
            (2, 4, 6, 6),
            1,
        ),
        "residual of wider body": (
            [nn.Residual(Conv2d(4, 4, 1, **double), Conv2d(4, 4, 1, **options))],
            (2, 4, 5, 5),
            1,
        ),
        "residual of wider shortcut": (
            [nn.Residual(Conv2d(4, 4, 1, **options), Conv2d(4, 4, 1, **double)), nn.ReLU()],
            (2, 4, 5, 5),
            1,
        ),
        "residual nested": (
            [
                nn.Residual(
                    nn.Sequential(
                        nn.Residual(Conv2d(4, 4, 3, padding=1, **options)), nn.SiLU(), Conv2d(4, 4, 1, **options)
                    )
                ),
                nn.ReLU(),
            ],
            (2, 4, 5, 5),
            1,
        ),
        "residual whose shortcut adds": (
            [nn.Residual(nn.MaxPool2d(3, 1, 1), nn.Sequential(nn.Tanh(), Conv2d(4, 4, 1, **options))), nn.ReLU()],
            (2, 4, 5, 5),
            1,
        ),
        "residual of an activation": (
            [nn.Residual(nn.Sequential(Conv2d(4, 4, 1, **options), nn.ReLU())), nn.SiLU()],
            (2, 4, 5, 5),
            1,
        ),
        "residual transposed": ([nn.Residual(nn.ConvTranspose2d(4, 4, 3, 1, 1, **options))], (2, 4, 5, 5), 1),
        "residual linear": ([nn.Residual(nn.Linear(4, 4, **options)), nn.ReLU()], (2, 4), 1),
        "residual of nothing": ([nn.Residual(nn.Identity(), nn.Dropout()), nn.ReLU6()], (2, 4), 1),
        "projection": (
            [
                nn.Residual(
                    nn.Sequential(Conv2d(4, 6, 3, 2, 1, **options), norm(BatchNorm2d, 6)),
                    nn.Sequential(Conv2d(4, 6, 1, 2, **options), norm(BatchNorm2d, 6)),
                )
            ],
            (2, 4, 5, 5),
            1,
        ),
        "concat": (
            [nn.Concat(nn.Sequential(Conv2d(4, 3, 1, **options), nn.ReLU()), nn.MaxPool2d(3, 1, 1)), nn.ReLU()],
            (2, 4, 5, 5),
            2,
        ),
        "alone": ([norm(BatchNorm2d, 3), nn.ReLU(), Conv2d(3, 2, 1, **options), nn.Tanh()], (2, 3, 5, 5), 4),
        "no statistics": (
            [Conv2d(3, 4, 3, **options), norm(BatchNorm2d, 4, track_running_stats=False), nn.ReLU()],
            (2, 3, 6, 6),
            3,
        ),
        "other dtype": ([Conv2d(3, 4, 3, **options), norm(BatchNorm2d, 4, dtype=np.float64)], (2, 3, 6, 6), 2),
        "local": ([nn.LocallyConnected2d(2, 3, 5, 3, **options), nn.ReLU(), nn.Flatten()], (2, 2, 5, 5), 3),
        "nothing": ([nn.Dropout(), nn.Identity()], (2, 3), 0),
        "all": (
            [
                Conv2d(1, 8, 3, padding=1, **options),
                norm(BatchNorm2d, 8),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Residual(nn.Sequential(Conv2d(8, 8, 3, padding=1, **options), norm(BatchNorm2d, 8))),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(8, 3, **options),
                nn.Softmax(1),
            ],
            (3, 1, 8, 8),
            7,
        ),
    }


CASES = list(networks())


@pytest.fixture(params=CASES)
def case(request):
    layers, shape, steps = networks()[request.param]
    return nn.Sequential(*layers), np.random.default_rng(2).normal(size=shape).astype(np.float32), steps


def test_frozen_computes_the_same(isa, case):
    network, x, steps = case
    expected = network.predict(x)
    assert network.freeze() is network
    y = network(x)
    assert y.dtype == expected.dtype and y.shape == expected.shape
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=2e-6 * scale)
    assert len(network.frozen._steps) == steps
    np.testing.assert_array_equal(network.predict(x), y)
    assert network.freeze().frozen is not None  # twice is once


def test_thawed_is_as_before_bit_for_bit(case):
    network, x, _ = case
    network.train()
    for _, leaf in network.leaves():
        leaf.training = leaf.params != {}  # some in training, some not
    arrays = {**network.params, **network.buffers}
    state, modes = network.state_dict(), [leaf.training for _, leaf in network.leaves()]
    expected = network.predict(x)
    network.freeze()
    network(x)
    assert_same_bits(network.state_dict(), state)
    assert not network.training
    assert network.unfreeze() is network and network.unfreeze() is network
    assert all({**network.params, **network.buffers}[name] is array for name, array in arrays.items())
    assert all(array.flags.writeable for array in arrays.values())
    assert [leaf.training for _, leaf in network.leaves()] == modes
    assert network.predict(x).tobytes() == expected.tobytes()


def test_dtypes_and_layouts_of_inputs_are_as_before(case):
    network, x, _ = case
    inputs = [x.astype(np.float64), np.asfortranarray(x).astype(">f4"), x.astype(np.float16), x.tolist()]
    expected = [network.predict(each) for each in inputs]
    network.freeze()
    for each, y in zip(inputs, expected, strict=True):
        result = network(each)
        assert result.dtype == y.dtype
        np.testing.assert_allclose(result, y, rtol=1e-2, atol=2e-3) if y.dtype == np.float16 else (
            np.testing.assert_allclose(result, y, rtol=1e-5, atol=1e-5)
        )


def test_an_empty_batch(case):
    network, x, _ = case
    if any(not getattr(leaf, "track_running_stats", True) for _, leaf in network.leaves()):
        pytest.skip("statistics of an empty batch")
    expected = network.predict(x[:0])
    assert network.freeze()(x[:0]).shape == expected.shape


def test_channels_elsewhere_are_not_folded():
    """An unbatched sequence, and rows of rows, whose axis 1 is not the one of the layer's outputs."""
    for layers, shape in (
        ([nn.Conv1d(4, 6, 3, rng=0), norm(nn.BatchNorm1d, 6), nn.ReLU()], (4, 8)),
        ([nn.Linear(4, 6, rng=0), norm(nn.BatchNorm1d, 6), nn.ReLU()], (3, 6, 4)),
    ):
        network = nn.Sequential(*layers)
        x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        expected = network.predict(x)
        np.testing.assert_allclose(network.freeze()(x), expected, rtol=1e-6, atol=1e-6)
        assert len(network.frozen._steps) == 1
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)).freeze()
    with pytest.raises(ValueError, match="x must have the shape"):
        network(np.ones((2, 4, 4), np.float32))


JOINED = {
    "residual of an activation",
    "residual of nothing",
    "residual of wider shortcut",
    "residual linear",
    "residual transposed",
}


@pytest.mark.parametrize(
    "name", [name for name in CASES if name.startswith("residual") or name in ("projection", "all")]
)
def test_a_convolution_adds_the_other_branch(monkeypatch, name):
    layers, shape, _ = networks()[name]
    network, joined = nn.Sequential(*layers).freeze(), []
    join = nn.Residual.join
    monkeypatch.setattr(nn.Residual, "join", lambda *a, **options: joined.append(name) or join(*a, **options))
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    before = x.copy()
    network(x)
    np.testing.assert_array_equal(x, before)
    assert bool(joined) == (name in JOINED)


def test_branches_that_cannot_be_added_are_refused_as_before():
    class Complex(nn.Layer):
        def forward(self, x):
            return x.astype(complex)

    x = np.ones((1, 2, 5, 6), np.float32)
    for body, shortcut, error, message in (
        (nn.Conv2d(2, 3, 3), nn.Conv2d(2, 3, 1), ValueError, r"got \(1, 3, 3, 4\) of the body and \(1, 3, 5, 6\)"),
        (nn.MaxPool2d(2), nn.Conv2d(2, 2, 1), ValueError, r"got \(1, 2, 2, 3\) of the body and \(1, 2, 5, 6\)"),
        (nn.Conv2d(2, 2, 1), Complex(), TypeError, "float16, float32 or float64 to be added, got complex"),
        (nn.Conv2d(3, 2, 1), None, ValueError, "expected 2 input channels"),
    ):
        network = nn.Sequential(nn.Residual(body, shortcut))
        with pytest.raises(error, match=message) as unfrozen:
            network.predict(x)
        with pytest.raises(error, match=message) as frozen:
            network.freeze()(x)
        assert str(unfrozen.value).endswith(str(frozen.value))


def test_an_unbatched_residual():
    network = nn.Sequential(nn.Residual(nn.Conv2d(2, 2, 3, padding=1, rng=0)), nn.ReLU())
    x = np.random.default_rng(0).normal(size=(2, 5, 6)).astype(np.float32)
    expected = network.predict(x[None])[0]
    np.testing.assert_allclose(network.freeze()(x), expected, rtol=1e-6, atol=1e-6)
    with pytest.raises(ValueError, match="input: expected 4 dimensions"):
        network(x[0])


def test_what_is_not_finite_in_a_residual(isa):
    network = nn.Sequential(nn.Residual(nn.Conv2d(12, 12, 3, padding=1, rng=0)), nn.SiLU())
    x = np.random.default_rng(0).normal(size=(2, 12, 20, 20)).astype(np.float32)
    x[0, 3, 4, 5], x[0, 2, 9, 9] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        expected = network.predict(x)
        np.testing.assert_allclose(network.freeze()(x), expected, rtol=1e-5, atol=1e-5)
    assert np.isnan(expected).any() and np.isfinite(expected[1]).all()


def test_a_variance_of_zero_is_not_folded():
    layer = nn.BatchNorm2d(2, eps=0)
    layer.buffers["running_var"][...] = [0, 1]
    network, x = nn.Sequential(nn.Conv2d(1, 2, 1, rng=0), layer), np.ones((1, 1, 2, 2), np.float32)
    expected = network.predict(x)
    np.testing.assert_array_equal(network.freeze()(x), expected)
    assert not np.isfinite(expected[:, 0]).any() and np.isfinite(expected[:, 1]).all()


def test_derived_layers_are_left_alone():
    class Shifted(nn.Conv2d):
        def forward(self, x):
            return super().forward(x) + 1

    class Halved(nn.ReLU):
        def forward(self, x):
            return super().forward(x) / 2

    class Twice(nn.Sequential):
        def forward(self, x):
            return super().forward(super().forward(x))

    network = nn.Sequential(
        Shifted(2, 2, 1, rng=0),
        Halved(),
        Twice(nn.Conv2d(2, 2, 1, rng=1), Halved()),
        nn.Conv2d(2, 2, 1, rng=2),
        Halved(),
    )
    x = np.random.default_rng(0).normal(size=(1, 2, 3, 3)).astype(np.float32)
    expected = network.predict(x)
    np.testing.assert_allclose(network.freeze()(x), expected, rtol=1e-5, atol=1e-6)
    network = Twice(nn.Conv2d(2, 2, 1, rng=0), norm(nn.BatchNorm2d, 2))
    expected = network.predict(x)
    np.testing.assert_allclose(network.freeze()(x), expected, rtol=1e-5, atol=1e-6)


def test_an_interrupt_waits_until_all_is_frozen(monkeypatch):
    lock = Frozen._lock

    def interrupted(self):
        signal.raise_signal(signal.SIGINT)
        lock(self)

    network, x = small_network(), images_and_labels()[0]
    before = network.state_dict()
    monkeypatch.setattr(Frozen, "_lock", interrupted)
    with pytest.raises(KeyboardInterrupt):
        network.freeze()
    assert network.frozen is not None and not network.params["0.weight"].flags.writeable
    network(x)
    network.unfreeze()
    assert_same_bits(network.state_dict(), before)
    train(network, epochs=1)


def test_bits_do_not_depend_on_the_threads():
    layers, _, _ = networks()["all"]
    network = nn.Sequential(*layers).freeze()
    x, results = np.random.default_rng(0).normal(size=(16, 1, 32, 32)).astype(np.float32), []
    for threads in 1, 2, 5:
        with fc.threads(threads):
            results.append(network(x).tobytes())
    assert results[0] == results[1] == results[2]


def test_threads_may_use_one_network():
    layers, shape, _ = networks()["all"]
    network, results = nn.Sequential(*layers).freeze(), []
    x = np.ones(shape, np.float32)
    workers = [threading.Thread(target=lambda: results.append(network(x))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 4
    for result in results:
        np.testing.assert_allclose(result, network(x), rtol=1e-5)


# Nothing changes


def test_what_would_change_it_is_refused():
    network = small_network()
    images, labels = images_and_labels()
    loss = nn.CrossEntropyLoss()
    loss(network(images), labels)
    network.backward(loss.backward())
    network.freeze()
    before = network.state_dict()
    for error, message, call in (
        (ValueError, "frozen network does not train: unfreeze", network.train),
        (ValueError, "frozen network does not go backward: unfreeze", lambda: network.backward(loss.backward())),
        (ValueError, "'0.weight' is read-only, as in a frozen network: unfreeze", lambda: train(network)),
        (
            ValueError,
            "'0.weight' must be writeable.*a frozen network's is not: unfreeze",
            lambda: nn.SGD().step(network),
        ),
        (ValueError, "'0.weight' is read-only, as in a frozen.*unfreeze", lambda: network.load_state_dict(before)),
        (ValueError, "read-only", lambda: network.params["0.weight"].fill(0)),
        (ValueError, "read-only", lambda: network[3].params["bias"].fill(0)),
        (ValueError, "with a frozen network in it", lambda: nn.Sequential(network, nn.ReLU()).freeze()),
    ):
        with pytest.raises(error, match=message):
            call()
    assert_same_bits(network.state_dict(), before)
    assert network.eval() is network and network.train(False) is network
    network.unfreeze()
    train(network)


def test_buffers_are_read_only_too():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).freeze()
    with pytest.raises(ValueError, match="read-only"):
        network.buffers["1.running_mean"][...] = 0


@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("'0.weight' was replaced in a frozen network", lambda n: n[0].params.update(weight=np.zeros((4, 1, 3, 3)))),
        ("'3.bias' was replaced in a frozen network", lambda n: n[3].params.pop("bias")),
        ("layers of a frozen network were changed", lambda n: n.layers.pop()),
        ("layers of a frozen network were changed", lambda n: n.layers.__setitem__(-1, nn.Linear(24, 3))),
    ],
)
def test_what_was_replaced_is_noticed(message, change):
    network, x = small_network().freeze(), images_and_labels()[0]
    network(x)
    change(network)
    with pytest.raises(ValueError, match=message):
        network(x)
    network.unfreeze()


def test_changes_after_thawing_are_seen():
    network, x = small_network(), images_and_labels()[0]
    first = network.freeze()(x)
    network.unfreeze().params["7.bias"] += 1
    np.testing.assert_allclose(network.freeze()(x), first + 1, rtol=1e-5)


def test_nothing_is_kept_for_a_backward_pass():
    layers, shape, _ = networks()["all"]
    network = nn.Sequential(*layers)
    network(np.ones(shape, np.float32))
    grads = copies(network.grads)
    network.freeze()(np.zeros(shape, np.float32))
    network.unfreeze()
    network.backward(np.ones((3, 3)))  # of the pass before
    assert_same_bits(grads, {})


def test_a_network_around_it_may_train():
    """The running statistics of a batch normalisation that is not folded stay."""
    frozen = nn.Sequential(norm(nn.BatchNorm2d, 1), nn.Flatten()).freeze()
    frozen.requires_grad = False
    network = nn.Sequential(frozen, nn.Linear(64, 3, rng=0))
    before = frozen.state_dict()
    train(network)
    assert_same_bits(frozen.state_dict(), before)
    with pytest.raises(ValueError, match="does not go backward"):
        frozen.backward(np.ones((30, 64)))
    network.train()
    np.testing.assert_array_equal(frozen(images_and_labels()[0]), frozen(images_and_labels()[0]))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_copies_are_frozen_and_thaw(duplicate):
    layers, shape, _ = networks()["all"]
    network = nn.Sequential(*layers)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    expected = network.predict(x)
    frozen = network.freeze()(x)
    twin = duplicate(network)
    assert twin(x).tobytes() == frozen.tobytes()
    with pytest.raises(ValueError, match="read-only"):
        twin.params["0.weight"][...] = 0
    assert twin.unfreeze().predict(x).tobytes() == expected.tobytes()
    twin.params["0.weight"][...] = 0
    assert network(x).tobytes() == frozen.tobytes()
    thawed = duplicate(network.unfreeze())
    assert thawed.freeze()(x).tobytes() == frozen.tobytes()  # arrays over foreign memory freeze and thaw as well
    assert thawed.unfreeze().predict(x).tobytes() == expected.tobytes()
    thawed.params["0.weight"][...] = 0


def test_frozen_equals_pytorch(torch):
    torch.manual_seed(0)
    twin = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1, bias=False),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU6(),
        torch.nn.ConvTranspose2d(8, 4, 2, 2),
        torch.nn.BatchNorm2d(4),
        torch.nn.SiLU(),
    )
    x = torch.randn(4, 3, 8, 8)
    for _ in range(3):
        twin(x * 3 + 1)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.ConvTranspose2d(8, 4, 2, 2),
        nn.BatchNorm2d(4),
        nn.SiLU(),
    )
    network.load_state_dict(twin.state_dict())
    with torch.no_grad():
        expected = twin.eval()(x).numpy()
    np.testing.assert_allclose(network.freeze()(x.numpy()), expected, rtol=1e-4, atol=1e-5)

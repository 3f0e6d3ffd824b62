"""State: dicts, files, PyTorch's networks, whole writes or none, and files that are something else."""

from __future__ import annotations

import io
import os
import pickle
import re
import runpy
import stat
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from networks import assert_same_bits, images_and_labels, small_network, train

from fastconv import nn
from fastconv.nn.state import read_state, write_state

SUFFIXES = [".npz", ".safetensors"]


@pytest.fixture(params=SUFFIXES)
def suffix(request):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    return request.param


def whole_network(seed=0, dtype=np.float32):
    options = {"dtype": dtype, "rng": np.random.default_rng(seed)}
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, **options),
        nn.BatchNorm2d(4, dtype=dtype),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Residual(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, **options))),
        nn.Flatten(),
        nn.Linear(64, 3, **options),
    )


def trained_network():
    network = whole_network()
    train(network, epochs=1)
    return network


KEYS = [
    "0.weight",
    "0.bias",
    "1.weight",
    "1.bias",
    "1.running_mean",
    "1.running_var",
    "1.num_batches_tracked",
    "4.body.0.weight",
    "4.body.0.bias",
    "6.weight",
    "6.bias",
]


# Dicts


def test_state_is_a_dict_of_copies_in_pytorchs_order():
    network = trained_network()
    state = network.state_dict()
    assert list(state) == KEYS
    assert state["1.num_batches_tracked"] == 4 and state["1.num_batches_tracked"].shape == ()
    before = {key: array.copy() for key, array in state.items()}
    train(network, epochs=1)
    assert_same_bits(state, before)


def test_a_loaded_state_is_in_the_same_arrays():
    source, target = trained_network(), whole_network(1)
    arrays = {**target.params, **target.buffers}
    assert target.load_state_dict(source.state_dict()) == ([], [])
    assert_same_bits(target.state_dict(), source.state_dict())
    assert all({**target.params, **target.buffers}[key] is array for key, array in arrays.items())
    x, _ = images_and_labels()
    np.testing.assert_array_equal(target.predict(x), source.predict(x))


def test_values_are_converted():
    source, target = trained_network(), whole_network(1, np.float64)
    target.load_state_dict(source.state_dict())
    assert target.params["0.weight"].dtype == np.float64
    np.testing.assert_array_equal(target.params["0.weight"], source.params["0.weight"])
    state = target.state_dict()
    layouts = {key: array.T.copy().T.astype(array.dtype.newbyteorder()) for key, array in state.items()}
    again = whole_network(2, np.float64)
    again.load_state_dict(layouts)
    assert_same_bits(again.state_dict(), state)
    with np.errstate(all="raise"):
        network = nn.Sequential(nn.Linear(1, 1))
        network.load_state_dict({"0.weight": [[1e300]], "0.bias": np.array([2], np.uint8)})
    assert network.params["0.weight"] == np.inf and network.params["0.bias"] == 2


def test_a_network_may_load_itself():
    network = trained_network()
    before = network.state_dict()
    network.load_state_dict({**network.params, **network.buffers})
    assert_same_bits(network.state_dict(), before)


def test_parts_and_containers_have_a_state_too():
    source, target = trained_network(), whole_network(1)
    target[:2].load_state_dict(source[:2].state_dict())
    assert list(source[4].state_dict()) == ["body.0.weight", "body.0.bias"]
    target[4].load_state_dict(source[4].state_dict())
    for key in KEYS:
        same = (target.state_dict()[key] == source.state_dict()[key]).all()
        assert same == (not key.startswith("6"))


def test_not_strict_takes_what_fits():
    source, target = trained_network(), nn.Sequential(*whole_network(1)[:4], nn.Flatten(), nn.Linear(64, 2))
    with pytest.raises(ValueError, match="missing '5.weight', '5.bias'; unexpected '4.body.0.weight', "):
        target.load_state_dict(source.state_dict())
    result = target.load_state_dict(source.state_dict(), strict=False)
    assert result.missing_keys == ["5.weight", "5.bias"] and result.unexpected_keys == KEYS[7:]
    assert_same_bits(target[:2].state_dict(), source[:2].state_dict())


@pytest.mark.parametrize(
    ("error", "message", "change"),
    [
        (ValueError, "'6.bias' must have the shape \\(3,\\), got \\(4,\\)", {"6.bias": np.ones(4)}),
        (
            ValueError,
            "'0.weight' must have.*got \\(4, 9\\); '6.bias' must have.*got \\(1, 3\\)",
            {"6.bias": np.ones((1, 3)), "0.weight": np.ones((4, 9))},
        ),
        (ValueError, "unexpected '7.bias', 3", {"7.bias": np.ones(4), 3: np.ones(2)}),
        (TypeError, "'6.bias' must be an array", {"6.bias": None}),
        (TypeError, "'6.bias' must be an array of numbers", {"6.bias": np.array(["a", "b", "c"])}),
        (TypeError, "'6.bias' must hold real numbers, got complex", {"6.bias": np.ones(3, complex)}),
        (TypeError, "'1.num_batches_tracked' must hold integers, got float64", {"1.num_batches_tracked": 1.5}),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_a_state_that_does_not_fit_changes_nothing(error, message, change, strict):
    network = whole_network(1)
    before = network.state_dict()
    if "unexpected" in message and not strict:
        network.load_state_dict(before | change, strict=False)
    else:
        with pytest.raises(error, match=message):
            network.load_state_dict(trained_network().state_dict() | change, strict)
    assert_same_bits(network.state_dict(), before)


def test_bad_arguments(tmp_path):
    network = small_network()
    for error, message, call in (
        (TypeError, "state must be a mapping.*list", lambda: network.load_state_dict([])),
        (TypeError, "strict must be True or False", lambda: network.load_state_dict({}, "no")),
        (ValueError, "missing '0.weight', '0.bias', '3.weight'", lambda: network.load_state_dict({})),
        (TypeError, "path must be a str or a path, got 3", lambda: network.save(3)),
        (ValueError, "path must end in .npz or .safetensors, got 'net.pt'", lambda: network.save("net.pt")),
        (ValueError, "path must end in .npz or .safetensors, got 'net'", lambda: network.load("net")),
        (ValueError, "path must end in", lambda: network.load(tmp_path)),
        (FileNotFoundError, "none.npz", lambda: network.load(tmp_path / "none.npz")),
        (FileNotFoundError, "nowhere", lambda: network.save(tmp_path / "nowhere" / "net.npz")),
    ):
        with pytest.raises(error, match=message):
            call()
    assert os.listdir(tmp_path) == []


# Files


def test_files_hold_the_state(tmp_path, suffix):
    source, target = trained_network(), whole_network(1)
    path = tmp_path / f"net{suffix}"
    assert source.save(path) is None
    assert target.load(str(path)) == ([], [])
    assert_same_bits(target.state_dict(), source.state_dict())
    assert {key: array.dtype for key, array in read_state(path).items()} == {
        key: array.dtype for key, array in source.state_dict().items()
    }
    assert os.listdir(tmp_path) == [f"net{suffix}"]


def test_npz_is_numpys(tmp_path):
    network = trained_network()
    network.save(tmp_path / "net.NPZ")
    with np.load(tmp_path / "net.NPZ", allow_pickle=False) as arrays:
        assert_same_bits(dict(arrays), network.state_dict())
    np.savez_compressed(tmp_path / "other.npz", **network.state_dict())
    target = whole_network(1)
    target.load(tmp_path / "other.npz")
    assert_same_bits(target.state_dict(), network.state_dict())


def test_frozen_networks_are_saved_as_they_were(tmp_path, suffix):
    network = trained_network()
    before = network.state_dict()
    network.freeze().save(tmp_path / f"net{suffix}")
    target = whole_network(1)
    target.load(tmp_path / f"net{suffix}")
    assert_same_bits(target.state_dict(), before)


def test_files_that_do_not_fit_are_named(tmp_path, suffix):
    path = tmp_path / f"other{suffix}"
    nn.Sequential(nn.Linear(3, 2)).save(path)
    network = whole_network(1)
    before = network.state_dict()
    with pytest.raises(ValueError, match=f"other{suffix}: the state does not fit the network: missing '1.weight', "):
        nn.Sequential(nn.Linear(3, 2, bias=False), *network.layers[1:]).load(path)
    with pytest.raises(ValueError, match=r"'0.weight' must have the shape \(4, 1, 3, 3\), got \(2, 3\)"):
        network.load(path)
    assert_same_bits(network.state_dict(), before)
    assert network.load_state_dict(nn.Sequential(nn.ReLU()).state_dict(), strict=False).missing_keys == KEYS


# Whole or not at all


@pytest.mark.parametrize("failing", ["os.fsync", "os.replace", "np.savez"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), MemoryError()])
def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch, failing, error):
    def fail(file, *others, **arrays):
        if arrays:
            file.write(b"half of it")
        raise error

    path, network = tmp_path / "net.npz", trained_network()
    network.save(path)
    before = path.read_bytes()
    train(network, epochs=1)
    monkeypatch.setattr(f"fastconv.nn.state.{failing}", fail)
    with pytest.raises(type(error)):
        network.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["net.npz"]
    network.save(path)
    assert path.read_bytes() != before and os.listdir(tmp_path) == ["net.npz"]


def test_an_error_names_the_path_and_not_the_temporary_file(tmp_path):
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "file").touch()
    for name in "nowhere/net.npz", "file/net.npz", "folder.npz":
        with pytest.raises(OSError, match=re.escape(repr(str(tmp_path / name))) + "$"):
            small_network().save(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.npz"]


def test_a_half_written_file_is_never_seen(tmp_path, monkeypatch):
    path = tmp_path / "net.npz"
    whole_network().save(path)
    before, seen = path.read_bytes(), []
    replace = os.replace

    def watched(source, target):
        seen.append(path.read_bytes() == before)
        read = read_state_of_temporary(source)
        seen.append(list(read) == KEYS)
        replace(source, target)

    def read_state_of_temporary(source):
        with np.load(source, allow_pickle=False) as arrays:
            return dict(arrays)

    monkeypatch.setattr("fastconv.nn.state.os.replace", watched)
    trained_network().save(path)
    assert seen == [True, True]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_permissions_are_those_of_any_file(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    mask = os.umask(0o027)
    try:
        small_network().save(path)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    small_network().save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o604  # those of the file that it replaces


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="there are no links here")
def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    os.symlink(tmp_path / "real" / "net.npz", tmp_path / "link.npz")
    small_network().save(tmp_path / "link.npz")
    assert (tmp_path / "link.npz").is_symlink() and (tmp_path / "real" / "net.npz").is_file()
    small_network(seed=1).load(tmp_path / "link.npz")


def test_only_numbers_are_saved(tmp_path, suffix):
    layer = nn.Linear(1, 1)
    layer.params["note"] = np.array(["text"])
    with pytest.raises(TypeError, match="'0.note' must be an array of numbers to be saved, got <U4"):
        nn.Sequential(layer).save(tmp_path / f"net{suffix}")
    assert os.listdir(tmp_path) == []


def test_arrays_of_any_layout_are_saved(tmp_path, suffix):
    arrays = {
        "a": np.arange(6.0).reshape(2, 3).T,
        "b": np.arange(3, dtype=">i4"),
        "c": np.array(7),
        "d": np.zeros((0, 2)),
    }
    path = tmp_path / f"state{suffix}"
    write_state(path, arrays)
    result = read_state(path)
    assert list(sorted(result)) == list("abcd")
    for name, array in arrays.items():
        np.testing.assert_array_equal(result[name], array)


# Files that are something else


class Bomb:
    """What pickle would run."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


def zipped(members):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return data.getvalue()


def npy(array, **options):
    data = io.BytesIO()
    np.save(data, array, **options)
    return data.getvalue()


def foreign_npz():
    good = npy(np.ones(3))
    return {
        "empty": b"",
        "text": b"not a network",
        "npy": good,
        "pickle": pickle.dumps(Bomb()),
        "pickled array": zipped({"0.weight.npy": npy(np.array([Bomb()], object), allow_pickle=True)}),
        "member": zipped({"0.weight.npy": b"nonsense"}),
        "short member": zipped({"0.weight.npy": good[:-3]}),
        "strings": zipped({"0.weight.npy": npy(np.array(["a"]))}),
        "other": zipped({"readme.txt": b"hello"}),
    }


@pytest.mark.parametrize("kind", foreign_npz())
def test_foreign_npz_files(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "net.npz"
    path.write_bytes(foreign_npz()[kind])
    network = small_network()
    before = network.state_dict()
    with pytest.raises(ValueError, match="net.npz is damaged or no .npz file of arrays: "):
        network.load(path)
    assert_same_bits(network.state_dict(), before)
    assert not (tmp_path / "exploded").exists()


def test_every_cut_and_many_flips_of_a_file_are_noticed(tmp_path, suffix):
    path, network = tmp_path / f"net{suffix}", nn.Sequential(nn.Linear(3, 2, rng=0))
    network.save(path)
    data, before = path.read_bytes(), network.state_dict()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=f"net{suffix}"):
            network.load(path)
    rng = np.random.default_rng(0)
    for _ in range(200):
        place = int(rng.integers(len(data)))
        flipped = data[:place] + bytes([data[place] ^ (1 << int(rng.integers(8)))]) + data[place + 1 :]
        path.write_bytes(flipped)
        try:
            nn.Sequential(nn.Linear(3, 2)).load(path)
        except ValueError as error:
            assert f"net{suffix}" in str(error)
        else:  # a field that nobody reads; npz has checksums, safetensors has none
            if suffix == ".npz":
                assert_same_bits(read_state(path), before)


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\xff" * 8 + b"{}", (2).to_bytes(8, "little") + b"[]"])
def test_foreign_safetensors_files(tmp_path, content):
    pytest.importorskip("safetensors")
    path = tmp_path / "net.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="net.safetensors is damaged or no .safetensors file of arrays: "):
        small_network().load(path)


def test_a_dtype_that_numpy_does_not_have(tmp_path, torch):
    pytest.importorskip("safetensors")
    from safetensors.torch import save_file

    path = tmp_path / "net.safetensors"
    save_file({"0.weight": torch.ones(2, 3, dtype=torch.bfloat16)}, path)
    with pytest.raises(ValueError, match="net.safetensors.*BF16.*NumPy does not have"):
        nn.Sequential(nn.Linear(3, 2, bias=False)).load(path)


def test_without_safetensors(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    path = tmp_path / "net.safetensors"
    for call in small_network().save, small_network().load:
        with pytest.raises(ImportError, match=r'pip install "fastconv\[safetensors\]"'):
            call(path)
    assert os.listdir(tmp_path) == []


# PyTorch


def torch_network(torch):
    """A trained convolution, batch normalisation, pooling and linear layer, and more."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.ConvTranspose2d(8, 4, 2, 2, bias=False),
        torch.nn.BatchNorm2d(4, affine=False),
        torch.nn.SiLU(),
        torch.nn.AvgPool2d(2),
        torch.nn.Dropout(0.2),
        torch.nn.Flatten(),
        torch.nn.Linear(64, 16),
        torch.nn.BatchNorm1d(16),
        torch.nn.Tanh(),
        torch.nn.Linear(16, 3),
    )
    images, labels = (torch.from_numpy(array) for array in images_and_labels())
    optimizer, loss = torch.optim.Adam(network.parameters(), 0.01), torch.nn.CrossEntropyLoss()
    for _ in range(20):
        optimizer.zero_grad()
        loss(network(images), labels).backward()
        optimizer.step()
    return network.eval()


def same_network(seed=0):
    rng = np.random.default_rng(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, rng=rng),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.ConvTranspose2d(8, 4, 2, 2, bias=False, rng=rng),
        nn.BatchNorm2d(4, affine=False),
        nn.SiLU(),
        nn.AvgPool2d(2),
        nn.Dropout(0.2, rng=rng),
        nn.Flatten(),
        nn.Linear(64, 16, rng=rng),
        nn.BatchNorm1d(16),
        nn.Tanh(),
        nn.Linear(16, 3, rng=rng),
    )


def test_a_network_of_pytorch_predicts_the_same_here(torch, tmp_path):
    twin, (images, _) = torch_network(torch), images_and_labels()
    with torch.no_grad():
        expected = twin(torch.from_numpy(images)).numpy()
    network = same_network()
    state = twin.state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == {
        key: array.shape for key, array in network.state_dict().items()
    }
    assert list(state) == list(network.state_dict())
    network.load_state_dict(state)
    np.testing.assert_allclose(network.predict(images), expected, rtol=0, atol=1e-5)
    assert (network.predict(images).argmax(1) == images_and_labels()[1]).mean() > 0.9  # it has learnt something

    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(state, tmp_path / "torch.safetensors")
    other = same_network(1)
    other.load(tmp_path / "torch.safetensors")
    assert_same_bits(other.state_dict(), network.state_dict())
    np.testing.assert_allclose(other.freeze().predict(images), expected, rtol=0, atol=1e-5)


def test_a_network_from_here_predicts_the_same_in_pytorch(torch, tmp_path):
    images, _ = images_and_labels()
    network = same_network(5)
    train(network, epochs=10)
    expected = network.predict(images)
    twin = torch_network(torch)
    twin.load_state_dict({key: torch.from_numpy(array) for key, array in network.state_dict().items()})
    with torch.no_grad():
        np.testing.assert_allclose(twin(torch.from_numpy(images)).numpy(), expected, rtol=0, atol=1e-5)

    safetensors = pytest.importorskip("safetensors.torch")
    network.save(tmp_path / "net.safetensors")
    other = torch_network(torch)
    other.load_state_dict(safetensors.load_file(tmp_path / "net.safetensors"))
    with torch.no_grad():
        np.testing.assert_allclose(other(torch.from_numpy(images)).numpy(), expected, rtol=0, atol=1e-5)


def test_tensors_that_require_gradients_are_refused_by_name(torch):
    network = nn.Sequential(nn.Linear(2, 1))
    with pytest.raises(TypeError, match="'0.weight' must be an array, Parameter does not convert"):
        network.load_state_dict(dict(torch.nn.Sequential(torch.nn.Linear(2, 1)).named_parameters()))


# Transfer learning


def test_a_new_head_learns_on_old_features(tmp_path, suffix):
    images, labels = images_and_labels()
    source = whole_network()
    train(source, epochs=5)
    source.save(tmp_path / f"net{suffix}")

    network = whole_network(1)
    network.load(tmp_path / f"net{suffix}")
    network[:-1].requires_grad = False
    network.layers[-1] = nn.Linear(64, 2, rng=3)
    before = network.state_dict()
    history = network.fit(
        images,
        labels % 2,
        epochs=30,
        batch_size=8,
        loss=nn.CrossEntropyLoss(),
        optimizer=nn.Adam(0.01),
        progress=False,
        rng=0,
    )
    assert history["accuracy"][-1] == 1.0
    after = network.state_dict()
    changed = [key for key in after if (after[key] != before[key]).any()]
    statistics = ["1.running_mean", "1.running_var", "1.num_batches_tracked"]  # as in PyTorch: they do not learn
    assert changed == [*statistics, "6.weight", "6.bias"]


def test_the_example_runs(capsys):
    path = Path(__file__).parents[1] / "examples" / "transfer_learning.py"
    if not path.exists():
        pytest.skip("the examples are in the tree, and not in the package")
    pytest.importorskip("sklearn")
    low, high = runpy.run_path(str(path))["main"]()
    assert low > 0.97 and high > 0.93
    out = capsys.readouterr().out
    assert f"digits 0 to 4: accuracy {low:.3f}" in out and f"digits 5 to 9: accuracy {high:.3f}" in out
    assert "645 of 14773 parameters learn" in out

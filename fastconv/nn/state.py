"""The state of a network: a flat dict of arrays, in memory and in files.

Files are .npz or .safetensors. They are read without pickle, which could run what a stranger wrote into them, and
written to a temporary file that takes the place of the old one when it is complete.
"""

from __future__ import annotations

import errno
import io
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from fastconv._complete_file import complete_file

from . import _checks
from ._checks import Array
from .interrupt import uninterrupted
from .layers import Layer

__all__ = ["IncompatibleKeys", "Stateful"]


class IncompatibleKeys(NamedTuple):
    """What a loaded state and the network did not have in common."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Stateful(Layer):
    """A layer with its state as a whole: `state_dict`, `load_state_dict`, `save` and `load`."""

    def state_dict(self) -> dict[str, Array]:
        """Return copies of all parameters and buffers, by key.

        The keys, their order and the shapes are those of the PyTorch `Sequential` of the same layers. The arrays are
        copies (PyTorch's are not): a snapshot that later training leaves alone.

        Examples
        --------
        >>> from fastconv import nn
        >>> network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
        >>> {key: array.shape for key, array in network.state_dict().items()}
        {'0.weight': (4, 1, 3, 3), '0.bias': (4,), '3.weight': (2, 16), '3.bias': (2,)}
        """
        return {key: array.copy() for key, array in self._state()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy the arrays of `state` into the parameters and buffers, each into the dtype that is there.

        Nothing is changed unless everything fits.

        Parameters
        ----------
        state : mapping of str to array
            As `state_dict` returns it; PyTorch's tensors are taken too.
        strict : bool
            Whether the keys must be the same. Without it keys that are missing or unexpected are passed over.

        Returns
        -------
        IncompatibleKeys
            (missing_keys, unexpected_keys); both are empty when `strict`.

        Raises
        ------
        TypeError
            A state that is no mapping; a value that is no array of real numbers, or that holds floats for a buffer
            that counts.
        ValueError
            Missing or unexpected keys, when `strict`; arrays of other shapes (each is named with both); a frozen
            network.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"state must be a mapping of keys to arrays, got {type(state).__name__}")
        strict = _checks.boolean(strict, "strict")
        arrays = dict(self._state())
        missing = [key for key in arrays if key not in state]
        unexpected = [key for key in state if key not in arrays]
        problems = []
        if strict and missing:
            problems.append(f"missing {', '.join(map(repr, missing))}")
        if strict and unexpected:
            problems.append(f"unexpected {', '.join(map(repr, unexpected))}")
        values = []
        for key, array in arrays.items():
            if key not in state:
                continue
            value = _checks.array(state[key], repr(key))
            if value.dtype.kind not in ("biuf" if array.dtype.kind == "f" else "biu"):
                wanted = "real numbers" if array.dtype.kind == "f" else "integers"
                raise TypeError(f"{key!r} must hold {wanted}, got {value.dtype}")
            if value.shape != array.shape:
                problems.append(f"{key!r} must have the shape {array.shape}, got {value.shape}")
            elif not array.flags.writeable:
                problems.append(f"{key!r} is read-only, as in a frozen network: unfreeze() it first")
            values.append((array, value))
        if problems:
            raise ValueError(f"the state does not fit the network: {'; '.join(problems)}")
        with uninterrupted(), np.errstate(all="ignore"):
            for array, value in values:
                array[...] = value
        return IncompatibleKeys(missing, unexpected)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state to a file, .npz or .safetensors by its suffix.

        A file that is there is replaced at once, when the new one is complete and on disk: a crash, a full disk or
        Ctrl-C leave the old one as it was. ``safetensors.torch.load_file`` reads the .safetensors into PyTorch.

        Raises
        ------
        TypeError, ValueError
            A path of the wrong kind or with another suffix; parameters that are no arrays of numbers.
        ImportError
            No safetensors, which is an extra: ``pip install "fastconv[safetensors]"``.
        OSError
            The file cannot be written.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from fastconv import nn
        >>> first, second = nn.Sequential(nn.Linear(2, 1)), nn.Sequential(nn.Linear(2, 1))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     first.save(Path(folder, "linear.npz"))
        ...     second.load(Path(folder, "linear.npz"))
        IncompatibleKeys(missing_keys=[], unexpected_keys=[])
        >>> bool((first.params["0.weight"] == second.params["0.weight"]).all())
        True
        """
        write_state(path, dict(self._state()))

    def load(self, path: str | os.PathLike[str], strict: bool = True) -> IncompatibleKeys:
        """Read the state from a file that `save` wrote, or safetensors of PyTorch, as `load_state_dict` does.

        Raises
        ------
        TypeError, ValueError
            As `load_state_dict`; a path of the wrong kind or with another suffix; a file that is damaged or something
            else. The message names the file, and nothing is changed.
        ImportError
            No safetensors, which is an extra: ``pip install "fastconv[safetensors]"``.
        OSError
            The file cannot be read.
        """
        state = read_state(path)
        with named_after(path):
            return self.load_state_dict(state, strict)

    def _state(self) -> Iterator[tuple[str, Array]]:
        """The layers' own arrays, by key: parameters, then buffers, layer by layer."""
        for prefix, leaf in self.leaves():
            for name, array in (*leaf.params.items(), *leaf.buffers.items()):
                yield prefix + name, array


def write_state(path: str | os.PathLike[str], state: Mapping[str, Array]) -> None:
    """Write arrays to a file, whose old contents stay until the new are complete."""
    path, suffix = checked_path(path)
    state = {key: np.asarray(array, order="C") for key, array in state.items()}
    for key, array in state.items():
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{key!r} must be an array of numbers to be saved, got {array.dtype}")
    write = _write_npz if suffix == ".npz" else _safetensors_writer()
    with complete_file(path) as file:
        write(file, state)


def check_writeable(path: str) -> None:
    """Refuse what `write_state` could not write: a file of a package that is not there, or in such a folder."""
    path, suffix = checked_path(path)
    if suffix == ".safetensors":
        _safetensors()
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def read_state(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Read the arrays of a file."""
    path, suffix = checked_path(path)
    read = _read_npz if suffix == ".npz" else _safetensors_reader()
    with open(path, "rb") as file:
        try:
            return read(file)
        except MemoryError:
            raise
        except Exception as error:  # what a damaged file makes the readers raise is of every kind
            raise ValueError(f"{path} is damaged or no {suffix} file of arrays: {error}") from error


@contextmanager
def named_after(path: str | os.PathLike[str]) -> Iterator[None]:
    """Put the name of the file that a state came from into the error of one that does not fit."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"{os.fsdecode(path)}: {error}") from None


def checked_path(path: Any) -> tuple[str, str]:
    """The path as a string, and its suffix in small letters."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be a str or a path, got {path!r} ({type(path).__name__})")
    text = os.fsdecode(path)
    suffix = os.path.splitext(text)[1].lower()
    if suffix not in (".npz", ".safetensors"):
        raise ValueError(f"path must end in .npz or .safetensors, got {text!r}")
    return text, suffix


def _write_npz(file: BinaryIO, state: dict[str, Any]) -> None:
    np.savez(file, **state)


def _read_npz(file: BinaryIO) -> dict[str, Array]:
    state = {}
    with zipfile.ZipFile(file) as archive:
        for member in archive.namelist():
            data = io.BytesIO(archive.read(member))  # whole, so that its checksum is checked before its header is read
            array = np.lib.format.read_array(data, allow_pickle=False)
            if array.dtype.kind not in "biufc":
                raise ValueError(f"{member} holds {array.dtype}, no numbers")
            state[member.removesuffix(".npy")] = array
    return state


def _safetensors_writer() -> Any:
    save = _safetensors().save
    return lambda file, state: file.write(save(state))


def _safetensors_reader() -> Any:
    load = _safetensors().load

    def read(file: BinaryIO) -> dict[str, Array]:
        try:
            state: dict[str, Array] = load(file.read())
        except KeyError as error:
            raise ValueError(f"it holds the dtype {error}, which NumPy does not have") from None
        return state

    return read


def _safetensors() -> Any:
    try:
        return import_module("safetensors.numpy")
    except ImportError as error:
        raise ImportError(
            'files that end in .safetensors need the package safetensors: pip install "fastconv[safetensors]"'
        ) from error

"""Layer tables: layers of published networks, one line each, in CSV files that ship with the package.

A layer is a function, the shapes of its input and weight, and its options. Two kinds of file say so: one with the
columns `COLUMNS`, for any function, and one with `CONVOLUTION_COLUMNS`, a number each, for 2-D convolutions.
"""

from __future__ import annotations

import csv
import fnmatch
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

import fastconv as fc
from fastconv import _validate as check
from fastconv import grad

COLUMNS = ("source", "name", "function", "input", "weight", "options")
_PAIRS = {"stride": ("sh", "sw"), "padding": ("ph", "pw"), "dilation": ("dh", "dw")}
CONVOLUTION_COLUMNS = (
    *("source", "name", "mb", "groups", "ic", "ih", "iw", "oc", "kh", "kw"),
    *(column for pair in _PAIRS.values() for column in pair),
)

# Unpooling is left out: its second array is made by a pool.
FUNCTIONS = tuple(name for name in fc.__all__ if f"{name}_backward" in grad.__all__ and "unpool" not in name)


@dataclass(frozen=True)
class Layer:
    """One layer of a network: a function of `fastconv`, its shapes, and how often the network repeats it.

    Attributes
    ----------
    name : str
        What the table calls it.
    function : str
        One of `FUNCTIONS`.
    input_shape : tuple of int
        With the batch, channels first.
    weight_shape : tuple of int or None
        None for a function without a weight.
    options : dict
        The function's keyword arguments.
    repeat : int
        How often the network has it.
    source : str
        Where it is from.

    Raises
    ------
    ValueError
        The function refuses shapes or options.
    """

    name: str
    function: str
    input_shape: tuple[int, ...]
    weight_shape: tuple[int, ...] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    repeat: int = 1
    source: str = ""

    def __post_init__(self) -> None:
        try:
            if self.function not in FUNCTIONS:
                raise ValueError(f"function: expected one of {', '.join(FUNCTIONS)}, got {self.function!r}")
            if min((*self.input_shape, *(self.weight_shape or ()), self.repeat)) < 1:
                raise ValueError("sizes and repeats must be at least 1")
            check.check_size(self.input_shape, "input")
            check.check_size(self.output_shape, "output")  # computed, to see that the function takes the layer
        except (MemoryError, TypeError, ValueError) as error:
            raise ValueError(f"layer {self.name!r}: {error}") from None

    @cached_property
    def output_shape(self) -> tuple[int, ...]:
        """What the function makes of no images, with the batch put back."""
        arrays = [np.empty((0, *self.input_shape[1:]), np.float32)]
        if self.weight_shape is not None:
            arrays.append(np.empty(self.weight_shape, np.float32))
        output = getattr(fc, self.function)(*arrays, **self.options)
        if isinstance(output, tuple):
            raise ValueError("options: expected those of one output, got return_indices=true")
        return self.input_shape[0], *output.shape[1:]

    @property
    def passes(self) -> tuple[str, ...]:
        """The passes that there are: ``weight`` only where there is one."""
        return ("forward", "input") if self.weight_shape is None else ("forward", "input", "weight")

    @property
    def flops(self) -> int:
        """Two operations a multiply-add of the direct sum, padding included; the same for each of the passes.

        0 for functions that do not multiply.
        """
        if self.weight_shape is None:
            return 0
        if self.function.startswith("local"):  # every weight has one place
            return 2 * self.input_shape[0] * math.prod(self.weight_shape)
        pixels = self.input_shape if "transpose" in self.function else self.output_shape
        return 2 * math.prod(pixels) * math.prod(self.weight_shape[1:])

    @property
    def groups(self) -> int:
        return int(self.options.get("groups", 1))

    @property
    def stride(self) -> tuple[int, ...]:
        return self._each("stride", 1)

    @property
    def padding(self) -> tuple[int, ...]:
        return self._each("padding", 0)

    @property
    def dilation(self) -> tuple[int, ...]:
        return self._each("dilation", 1)

    @property
    def output_padding(self) -> tuple[int, ...]:
        return self._each("output_padding", 0)

    @property
    def shape(self) -> str:
        """The problem in a few characters, such as ``128->128 3x3/2 @56x56``; other functions than conv2d are named."""
        channels, *size = self.input_shape[1:]
        kernel = self._each("kernel_size", 0) if self.weight_shape is None else self.weight_shape[2:]
        if self.function.startswith("local"):  # its weight does not say which rows and columns it has
            kernel = ()
        words = [] if self.function == "conv2d" else [self.function]
        words.append(f"{channels}->{self.output_shape[1]}" if self.weight_shape else f"{channels}")
        if "output_size" in self.options:
            words.append("->" + _times(self._each("output_size", 1)))
        stride = "" if set(self.stride) == {1} else f"/{_same(self.stride)}"
        if any(kernel) or stride:
            words.append(_times(kernel) + stride)
        if set(self.dilation) != {1}:
            words.append(f"d{_same(self.dilation)}")
        if self.groups > 1:
            words.append(f"g{self.groups}")
        words.append(f"@{_times(size)}")
        if self.input_shape[0] > 1:
            words.append(f"n{self.input_shape[0]}")
        return " ".join(words)

    def with_batch(self, batch: int) -> Layer:
        """Return the same layer for another number of images."""
        return replace(self, input_shape=(batch, *self.input_shape[1:]))

    def _each(self, option: str, default: int) -> tuple[int, ...]:
        value = self.options.get(option, default)
        dimensions = 2 if self.function.endswith("fold") else len(self.input_shape) - 2
        return value if isinstance(value, tuple) else (value,) * dimensions


def _times(values: Iterable[int]) -> str:
    return "x".join(map(str, values))


def _same(values: tuple[int, ...]) -> str:
    return str(values[0]) if len(set(values)) == 1 else _times(values)


def table_names() -> list[str]:
    """Return the names of the tables that ship with fastconv."""
    files = resources.files("fastconv.bench").joinpath("tables").iterdir()
    return sorted(file.name.removesuffix(".csv") for file in files if file.name.endswith(".csv"))


def read_table(name: str) -> list[Layer]:
    """Read a layer table.

    Parameters
    ----------
    name : str
        One of `table_names`, or the path of a CSV file (it ends in ``.csv``) with the columns `COLUMNS` or
        `CONVOLUTION_COLUMNS`. In the first kind, shapes are written as ``1x64x56x56`` and options as
        ``kernel_size=3 stride=2x1 ceil_mode=true``. A name in the file may end in ``*3``: the network has that layer
        three times.

    Returns
    -------
    list of Layer

    Raises
    ------
    ValueError
        If there is no such table, or the file cannot be read or is not a layer table; the message names the file, and
        the line.

    Examples
    --------
    >>> layer = read_table("resnet50")[2]
    >>> layer.name, layer.repeat, layer.shape
    ('layer1.0.conv2', 3, '64->64 3x3 @56x56')
    """
    if name.endswith(".csv"):
        try:
            text = Path(name).read_text(encoding="utf-8")
        except OSError as error:
            raise ValueError(f"table {name!r} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise ValueError(f"table {name!r} cannot be read: {error}") from None
        return _parse(text, name)
    if name not in table_names():
        raise ValueError(f"table {name!r} is unknown: expected one of {', '.join(table_names())}, or a .csv file")
    file = resources.files("fastconv.bench").joinpath("tables", f"{name}.csv")
    return _parse(file.read_text(encoding="utf-8"), name)


def _parse(text: str, table: str) -> list[Layer]:
    reader = csv.DictReader(text.splitlines())
    try:
        layers = list(_layers(reader))
        if not layers:
            raise ValueError("expected layers after the line of the columns, got none")
    except (csv.Error, ValueError) as error:
        raise ValueError(f"table {table!r}, line {reader.reader.line_num}: {error}") from None
    return layers


def _layers(reader: csv.DictReader[str]) -> Iterator[Layer]:
    present = reader.fieldnames or ()
    columns, layer_of = (COLUMNS, _any_layer) if "function" in present else (CONVOLUTION_COLUMNS, _convolution)
    if missing := [column for column in columns if column not in present]:
        raise ValueError(f"lacks the columns {', '.join(missing)}")
    for row in reader:
        if None in row:  # where DictReader puts the cells after the last column
            raise ValueError(f"expected {len(present)} cells, got {row[None]} too; options are separated by spaces")
        name, _, repeat = (row["name"] or "").partition("*")
        count = _integer(repeat, "name after the '*'") if repeat else 1
        yield replace(layer_of(name, row), repeat=count, source=row["source"] or "")


def _any_layer(name: str, row: dict[str, str]) -> Layer:
    options = {}
    for word in (row["options"] or "").split():
        option, _, value = word.partition("=")
        options[option] = _value(value, option)
    weight_shape = _sizes(row["weight"], "weight") if row["weight"] else None
    return Layer(name, row["function"], _sizes(row["input"], "input"), weight_shape, options)


def _convolution(name: str, row: dict[str, str]) -> Layer:
    number = {column: _integer(row[column], column) for column in CONVOLUTION_COLUMNS[2:]}
    groups = number["groups"]
    if groups < 1 or number["ic"] % groups:
        raise ValueError(f"layer {name!r}: groups must divide ic ({number['ic']}), got {groups}")
    input_shape = number["mb"], number["ic"], number["ih"], number["iw"]
    weight_shape = number["oc"], number["ic"] // groups, number["kh"], number["kw"]
    options: dict[str, Any] = {option: (number[a], number[b]) for option, (a, b) in _PAIRS.items()}
    return Layer(name, "conv2d", input_shape, weight_shape, options | {"groups": groups})


def _value(text: str, option: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    sizes = _sizes(text, option)
    return sizes[0] if len(sizes) == 1 else sizes


def _sizes(text: str | None, column: str) -> tuple[int, ...]:
    return tuple(_integer(part, column) for part in (text or "").split("x"))


def _integer(text: str | None, column: str) -> int:
    try:
        return int(text or "")
    except ValueError:
        raise ValueError(f"{column} must be an integer, got {text!r}") from None


def select_layers(layers: Iterable[Layer], pattern: str) -> list[Layer]:
    """Return the layers whose name matches a shell pattern, such as ``layer4.*``.

    Examples
    --------
    >>> [layer.name for layer in select_layers(read_table("resnet18"), "layer2.*conv1")]
    ['layer2.0.conv1']
    """
    return [layer for layer in layers if fnmatch.fnmatchcase(layer.name, pattern)]

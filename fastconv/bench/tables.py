"""Layer tables: the convolutions of published networks, one line each, in CSV files that ship with the package."""

from __future__ import annotations

import csv
import fnmatch
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

_NUMBERS = {  # column of the file -> field of Layer
    "mb": "batch",
    "groups": "groups",
    "ic": "in_channels",
    "ih": "in_height",
    "iw": "in_width",
    "oc": "out_channels",
    "kh": "kernel_height",
    "kw": "kernel_width",
    "sh": "stride_height",
    "sw": "stride_width",
    "ph": "padding_height",
    "pw": "padding_width",
    "dh": "dilation_height",
    "dw": "dilation_width",
}
COLUMNS = ("source", "name", *_NUMBERS)


@dataclass(frozen=True)
class Layer:
    """One 2-D convolution of a network: its shapes, and how often the network repeats it.

    Dilation is 1 for neighbouring taps, as in PyTorch.
    """

    name: str
    batch: int
    in_channels: int
    in_height: int
    in_width: int
    out_channels: int
    kernel_height: int
    kernel_width: int
    groups: int = 1
    stride_height: int = 1
    stride_width: int = 1
    padding_height: int = 0
    padding_width: int = 0
    dilation_height: int = 1
    dilation_width: int = 1
    repeat: int = 1
    source: str = ""

    def __post_init__(self) -> None:
        for field in (*_NUMBERS.values(), "repeat"):
            least = 0 if field.startswith("padding") else 1
            if getattr(self, field) < least:
                raise ValueError(f"layer {self.name!r}: {field} must be at least {least}, got {getattr(self, field)}")
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"layer {self.name!r}: groups ({self.groups}) must divide in_channels ({self.in_channels}) "
                f"and out_channels ({self.out_channels})"
            )
        if min(self.out_height, self.out_width) < 1:
            raise ValueError(f"layer {self.name!r}: the kernel is larger than the padded input")

    @property
    def stride(self) -> tuple[int, int]:
        return self.stride_height, self.stride_width

    @property
    def padding(self) -> tuple[int, int]:
        return self.padding_height, self.padding_width

    @property
    def dilation(self) -> tuple[int, int]:
        return self.dilation_height, self.dilation_width

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of ``conv2d`` that this layer needs."""
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}

    @property
    def out_height(self) -> int:
        reach = self.dilation_height * (self.kernel_height - 1)
        return (self.in_height + 2 * self.padding_height - reach - 1) // self.stride_height + 1

    @property
    def out_width(self) -> int:
        reach = self.dilation_width * (self.kernel_width - 1)
        return (self.in_width + 2 * self.padding_width - reach - 1) // self.stride_width + 1

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        return self.batch, self.in_channels, self.in_height, self.in_width

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return self.out_channels, self.in_channels // self.groups, self.kernel_height, self.kernel_width

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        return self.batch, self.out_channels, self.out_height, self.out_width

    @property
    def flops(self) -> int:
        """Two operations a multiply-add of the direct sum, padding included; the same for each of the three passes."""
        taps = self.in_channels // self.groups * self.kernel_height * self.kernel_width
        return 2 * self.batch * self.out_channels * self.out_height * self.out_width * taps

    @property
    def shape(self) -> str:
        """The problem in a few characters, such as ``128->128 3x3/2 @56x56``."""
        text = f"{self.in_channels}->{self.out_channels} {self.kernel_height}x{self.kernel_width}"
        if self.stride != (1, 1):
            text += f"/{_pair(self.stride)}"
        if self.dilation != (1, 1):
            text += f" d{_pair(self.dilation)}"
        if self.groups > 1:
            text += f" g{self.groups}"
        return f"{text} @{self.in_height}x{self.in_width}" + (f" n{self.batch}" if self.batch > 1 else "")

    def with_batch(self, batch: int) -> Layer:
        """Return the same layer for another number of images."""
        return replace(self, batch=batch)


def _pair(values: tuple[int, int]) -> str:
    return str(values[0]) if values[0] == values[1] else f"{values[0]}x{values[1]}"


def table_names() -> list[str]:
    """Return the names of the tables that ship with fastconv."""
    files = resources.files("fastconv.bench").joinpath("tables").iterdir()
    return sorted(file.name.removesuffix(".csv") for file in files if file.name.endswith(".csv"))


def read_table(name: str) -> list[Layer]:
    """Read a layer table.

    Parameters
    ----------
    name : str
        One of `table_names`, or the path of a CSV file (it ends in ``.csv``) with the columns `COLUMNS`. A name in the
        file may end in ``*3``: the network has that layer three times.

    Returns
    -------
    list of Layer

    Raises
    ------
    ValueError
        If there is no such table, or the file is not a layer table; the message names the line.

    Examples
    --------
    >>> layer = read_table("resnet50")[2]
    >>> layer.name, layer.repeat, layer.shape
    ('layer1.0.conv2', 3, '64->64 3x3 @56x56')
    """
    if name.endswith(".csv"):
        path = Path(name)
        if not path.is_file():
            raise ValueError(f"table {name!r}: there is no such file")
        return list(_parse(path.read_text(encoding="utf-8").splitlines(), name))
    if name not in table_names():
        raise ValueError(f"table {name!r} is unknown: expected one of {', '.join(table_names())}, or a .csv file")
    file = resources.files("fastconv.bench").joinpath("tables", f"{name}.csv")
    return list(_parse(file.read_text(encoding="utf-8").splitlines(), name))


def _parse(lines: Iterable[str], table: str) -> Iterator[Layer]:
    reader = csv.DictReader(lines)
    if missing := [column for column in COLUMNS if column not in (reader.fieldnames or ())]:
        raise ValueError(f"table {table!r} lacks the columns {', '.join(missing)}")
    for row in reader:
        name, _, repeat = (row["name"] or "").partition("*")
        try:
            numbers = {field: _integer(row[column], column) for column, field in _NUMBERS.items()}
            count = _integer(repeat, "name after the '*'") if repeat else 1
            yield Layer(name=name, repeat=count, source=row["source"] or "", **numbers)
        except ValueError as error:
            raise ValueError(f"table {table!r}, line {reader.line_num}: {error}") from None


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

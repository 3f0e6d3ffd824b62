"""A table of a network: what each layer gives out, what it costs, and how much of the input it sees."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import _checks
from ._checks import Array
from .containers import Branches, Series
from .layers import Layer, Softmax, inference
from .layers.convolution import Convolution

__all__ = ["Row", "Summary"]


@dataclass(frozen=True)
class Row:
    """One layer of a `Summary`.

    Attributes
    ----------
    name : str
        Where the layer is, as in the keys of the parameters: "4.body.0".
    kind : str
        Its class.
    depth : int
        How many containers it is in, the network not counted.
    output_shape : tuple of int
        Of one example, without the batch.
    parameters, trainable_parameters : int
        How many numbers it learns itself: a container's are those of the rows below it.
    multiply_adds : int
        Products with a weight that it sums for one example; biases, normalisations and activations are not counted.
    activation_bytes : int
        Memory of its output for one example; 0 where the output is its input's memory, or the last layer's in it.
    receptive_field : tuple of int or None
        Pixels of the input that lie under one element of the output, in each dimension; the most of several branches.
        None where they are all of them or no window: from the first layer on that changes the size in another way.
    """

    name: str
    kind: str
    depth: int
    output_shape: tuple[int, ...]
    parameters: int = 0
    trainable_parameters: int = 0
    multiply_adds: int = 0
    activation_bytes: int = 0
    receptive_field: tuple[int, ...] | None = None


@dataclass(frozen=True, repr=False)
class Summary:
    """What `Sequential.summary` returns: prints as a table, a row a layer and the totals.

    Attributes
    ----------
    input_shape : tuple of int
        Of one example, without the batch.
    rows : tuple of Row
        The layers in the order of the forward pass, a container before what is in it.
    parameter_bytes : int
        Memory of the parameters.
    """

    input_shape: tuple[int, ...]
    rows: tuple[Row, ...]
    parameter_bytes: int

    @property
    def parameters(self) -> int:
        """Numbers that the network learns."""
        return sum(row.parameters for row in self.rows)

    @property
    def trainable_parameters(self) -> int:
        """Those of the layers whose `requires_grad` is set."""
        return sum(row.trainable_parameters for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        """Products with a weight for one example."""
        return sum(row.multiply_adds for row in self.rows)

    @property
    def activation_bytes(self) -> int:
        """Memory of all outputs for one example: what training keeps."""
        return sum(row.activation_bytes for row in self.rows)

    def __repr__(self) -> str:
        head = ("layer", "output shape", "parameters", "multiply-adds", "memory", "receptive field")
        table = [head, *map(_cells, self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = []
        for layer, shape, *numbers, field in table:
            cells = [layer.ljust(widths[0]), shape.ljust(widths[1])]
            cells += [number.rjust(width) for number, width in zip(numbers, widths[2:], strict=False)]
            lines.append("  ".join([*cells, field]).rstrip())
        rule = "-" * max(map(len, lines))
        totals = (
            f"input          {_shape(self.input_shape)}",
            f"parameters     {self.parameters:,}, {self.trainable_parameters:,} of them trainable, "
            f"{_bytes(self.parameter_bytes)}",
            f"multiply-adds  {self.multiply_adds:,}",
            f"activations    {_bytes(self.activation_bytes)}",
        )
        return "\n".join([lines[0], rule, *lines[1:], rule, *totals])


# Pixels of the input under one element, and from one element to the next, in each dimension; None: no window.
_Field = tuple[tuple[int, ...], tuple[int, ...]] | None


def summarise(network: Layer, input_shape: Any) -> Summary:
    """Pass one example of zeros through a network, in inference mode, and note what each layer makes of it."""
    shape = _checks.shape_of(input_shape, "input_shape", 1)
    if not shape:
        raise ValueError("input_shape must be the shape of one example, without the batch, got ()")
    params = list(network.params.values())
    dimensions = len(shape) - 1
    field = ((1,) * dimensions, (1,) * dimensions) if dimensions else None
    rows: list[Row] = []
    with inference():
        _pass("", network, 0, np.zeros((1, *shape), params[0].dtype if params else np.float32), field, rows)
    below = rows[1:] or rows  # the network has a row of its own where it is no plain row of layers
    return Summary(shape, tuple(below), sum(param.nbytes for param in params))


def _pass(name: str, layer: Layer, depth: int, x: Array, field: _Field, rows: list[Row]) -> tuple[Array, _Field]:
    """Take `x` through a layer, append its row and those of the layers in it, and return its output."""
    row = len(rows)
    rows.append(Row(name, type(layer).__name__, depth - 1, ()))
    if isinstance(layer, Series) and type(layer).forward is Series.forward:
        y = x
        for child_name, child in layer.children():
            y, field = _pass(_joined(name, child_name), child, depth + 1, y, field, rows)
    elif isinstance(layer, Branches) and type(layer).forward is Branches.forward:
        parts = [_pass(_joined(name, key), child, depth + 1, x, field, rows) for key, child in layer.children()]
        y = layer.join([part for part, _ in parts])
        field = _widest([part_field for _, part_field in parts])
        rows[row] = replace(rows[row], activation_bytes=y.nbytes)
    else:
        y = _output(name, layer, x)
        multiply_adds = layer.multiply_adds(x.shape, y.shape)
        field = _under(layer, field, x.shape, y.shape, multiply_adds)
        rows[row] = replace(
            rows[row],
            parameters=sum(_sizes(layer)),
            trainable_parameters=sum(_sizes(layer, trainable=True)),
            multiply_adds=multiply_adds,
            activation_bytes=0 if np.may_share_memory(x, y) else y.nbytes,
        )
    rows[row] = replace(rows[row], output_shape=y.shape[1:], receptive_field=None if field is None else field[0])
    return y, field


def _output(name: str, layer: Layer, x: Array) -> Array:
    if isinstance(layer, Convolution) and x.ndim != layer._dimensions + 2:  # it would take the batch for the channels
        raise ValueError(
            f"{name} {layer!r} takes examples of {layer._dimensions + 1} dimensions, [channels, ...], "
            f"got one of the shape {x.shape[1:]}"
        )
    try:
        y = layer.forward(x)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} {layer!r} cannot take an example of the shape {x.shape[1:]}: {error}") from error
    if not isinstance(y, np.ndarray):
        raise TypeError(f"{name} {layer!r} must return one array to have a row, got {type(y).__name__}")
    return y


def _sizes(layer: Layer, trainable: bool = False) -> Iterator[int]:
    for _, leaf in layer.leaves():
        if leaf.requires_grad or not trainable:
            yield from (param.size for param in leaf.params.values())


def _under(
    layer: Layer, field: _Field, input_shape: tuple[int, ...], output_shape: tuple[int, ...], multiply_adds: int
) -> _Field:
    """The field after a layer."""
    if field is None:
        return None
    window = layer.window()
    if window is None:  # as before where each element comes from the same place
        same = output_shape[2:] == input_shape[2:] and not multiply_adds
        across = isinstance(layer, Softmax) and layer.dim is not None and layer.dim % len(input_shape) >= 2
        return field if same and not across else None
    pixels, steps = field
    kernel, stride, dilation = window
    if len(kernel) != len(pixels):
        return None
    taps = zip(pixels, steps, kernel, dilation, strict=True)
    return (
        tuple(seen + (size - 1) * apart * step for seen, step, size, apart in taps),
        tuple(step * by for step, by in zip(steps, stride, strict=True)),
    )


def _widest(fields: list[_Field]) -> _Field:
    """The field where branches meet."""
    known = [field for field in fields if field is not None]
    if len(known) < len(fields):
        return None
    pixels, steps = zip(*known, strict=True)
    return tuple(map(max, zip(*pixels, strict=True))), tuple(map(max, zip(*steps, strict=True)))


def _joined(name: str, child: str) -> str:
    return f"{name}.{child}" if name else child


def _cells(row: Row) -> tuple[str, ...]:
    return (
        "  " * row.depth + f"{row.name.rpartition('.')[2]} {row.kind}",
        _shape(row.output_shape),
        f"{row.parameters:,}" if row.parameters else "",
        f"{row.multiply_adds:,}" if row.multiply_adds else "",
        _bytes(row.activation_bytes) if row.activation_bytes else "",
        "" if row.receptive_field is None else _shape(row.receptive_field),
    )


def _shape(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))


def _bytes(count: int) -> str:
    power = min(int(math.log(count, 1000)), 3) if count else 0
    return f"{count / 1000**power:.{1 if power else 0}f} {('B', 'kB', 'MB', 'GB')[power]}"

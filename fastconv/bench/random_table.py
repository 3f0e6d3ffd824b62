"""The layer table ``random``, which is drawn: convolutions, transposed convolutions and pools of all parameters.

Networks that are published use few of the combinations that a library takes; here is any of them, the usual ones more
often. Padding is the same on both sides, for PyTorch has no other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from fastconv.bench.tables import Layer

Value = TypeVar("Value")

NAME = "random"

# One of each is drawn: what stands here more often comes more often.
_KINDS = ("conv", "conv", "conv", "conv_transpose", "max_pool", "avg_pool")
_DIMENSIONS = (1, 2, 2, 3)
_GROUPINGS = ("dense", "dense", "dense", "depthwise", "grouped")
_MULTIPLIERS = (1, 1, 1, 2, 3, 4)  # outputs for each channel of a depthwise convolution
_KERNELS = (*range(1, 8), *range(1, 8), *range(1, 8), 9, 15, 31)
_STRIDES = (1, 1, 1, 2, 2, 3, 4)
_DILATIONS = (1, 1, 1, 1, 2, 3, 4)

_MOST_IMAGES = 32
_MOST_CHANNELS = 1024
_MOST_GROUPS = 32  # of those that are not depthwise
_MOST_PIXELS = {1: 100_000, 2: 512, 3: 48}  # along a dimension, by their number
_WORK = range(10**5, 2 * 10**9)  # multiply-adds, or cells that a pool reads: microseconds to tenths of a second
_MOST_ELEMENTS = 25_000_000  # of an array: 100 MB of float32


def draw_layers(problems: int, seed: int) -> list[Layer]:
    """Draw the layers of the table ``random``.

    Parameters
    ----------
    problems : int
        How many.
    seed : int
        Of the random numbers, at least 0.

    Returns
    -------
    list of Layer
        Named ``random.seed.number``. A seed and a number say all: however many are drawn, that layer is the same.

    Examples
    --------
    >>> [layer.name for layer in draw_layers(2, seed=7)]
    ['random.7.0', 'random.7.1']
    >>> draw_layers(2, seed=7) == draw_layers(3, seed=7)[:2]
    True
    """
    return [_draw_layer(f"{NAME}.{seed}.{number}", np.random.default_rng([seed, number])) for number in range(problems)]


def _draw_layer(name: str, rng: np.random.Generator) -> Layer:
    """Draw until the sizes fit each other, the memory and the time."""
    while True:
        function, input_shape, weight_shape, options = _Draw(rng, int(rng.choice(_DIMENSIONS))).arguments()
        if max(math.prod(input_shape), math.prod(weight_shape or ())) > _MOST_ELEMENTS:
            continue
        try:
            layer = Layer(name, function, input_shape, weight_shape, options, source="drawn")
        except ValueError:  # a kernel larger than the padded input, an output without pixels
            continue
        window = math.prod(options.get("kernel_size", ()))
        work = layer.flops // 2 or math.prod(layer.output_shape) * window
        if work in _WORK and math.prod(layer.output_shape) <= _MOST_ELEMENTS:
            return layer


@dataclass(frozen=True)
class _Draw:
    """Draws the arguments of a layer of so many spatial dimensions; their sizes need not fit each other."""

    rng: np.random.Generator
    dimensions: int

    def arguments(self) -> tuple[str, tuple[int, ...], tuple[int, ...] | None, dict[str, Any]]:
        """Return a function, the shapes of input and weight, and options."""
        kind = self.one(*_KINDS)
        function = f"{kind}{self.dimensions}d"
        images, pixels = self.size(_MOST_IMAGES), self.each(lambda: self.size(_MOST_PIXELS[self.dimensions]))
        kernel = self.each(lambda: self.one(*_KERNELS))
        if "pool" in kind:
            kernel = tuple(map(min, kernel, pixels))  # PyTorch's avg_pool3d takes none that only padding makes room for
            return function, (images, self.channels(_MOST_CHANNELS), *pixels), None, self.pool(kind, kernel)

        inputs, outputs, groups = self.widths()
        stride, dilation = self.each(lambda: self.one(*_STRIDES)), self.each(lambda: self.one(*_DILATIONS))
        reach = tuple(d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
        padding = self.one((0,) * self.dimensions, tuple(r // 2 for r in reach), self.up_to(reach))
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        if kind == "conv":
            return function, (images, inputs, *pixels), (outputs, inputs // groups, *kernel), options
        options["output_padding"] = self.one((0,) * self.dimensions, self.up_to(tuple(s - 1 for s in stride)))
        return function, (images, inputs, *pixels), (inputs, outputs // groups, *kernel), options

    def pool(self, kind: str, kernel: tuple[int, ...]) -> dict[str, Any]:
        stride = self.one(kernel, self.each(lambda: self.one(*_STRIDES)))
        padding = self.one((0,) * self.dimensions, self.up_to(tuple(k // 2 for k in kernel)))  # no pool takes more
        options = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": self.one(False, True)}
        if kind == "max_pool":
            return options | {"dilation": self.each(lambda: self.one(*_DILATIONS))}
        return options | {"count_include_pad": self.one(False, True)}

    def widths(self) -> tuple[int, int, int]:
        """Return the channels of input and output, and groups that divide both."""
        grouping = self.one(*_GROUPINGS)
        if grouping == "depthwise":
            multiplier = self.one(*_MULTIPLIERS)
            groups = self.channels(_MOST_CHANNELS // multiplier)
            return groups, groups * multiplier, groups
        groups = self.size(_MOST_GROUPS) if grouping == "grouped" else 1
        most = _MOST_CHANNELS // groups
        return groups * self.channels(most), groups * self.channels(most), groups

    def channels(self, most: int) -> int:
        """Return any number, or as often a power of two."""
        number = self.size(most)
        return self.one(number, 1 << number.bit_length() - 1)

    def size(self, most: int) -> int:
        """Return a number from 1 to ``most``, of each magnitude as often."""
        return round(math.exp(self.rng.uniform(0, math.log(most))))

    def one(self, *choices: Value) -> Value:
        return choices[self.rng.integers(len(choices))]

    def each(self, draw: Callable[[], int]) -> tuple[int, ...]:
        """Return a number for each dimension: mostly the same one, sometimes each its own."""
        same, own = (draw(),) * self.dimensions, tuple(draw() for _ in range(self.dimensions))
        return self.one(same, same, own)

    def up_to(self, most: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(int(self.rng.integers(m + 1)) for m in most)

"""What a problem is: pure numbers, written channels first; and how it is asked of fastconv and of its reference."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastconv as fc
from fastconv import grad, reference, runtime
from fastconv.reference._windows import convolution_windows, transposed_windows


def fast(name: str) -> Any:
    """Return fastconv's function of this name."""
    return getattr(fc if hasattr(fc, name) else grad, name)


def slow(name: str) -> Any:
    """Return the reference's function of this name."""
    return getattr(reference, name)


def to_layout(array: np.ndarray, layout: str, dimensions: int) -> np.ndarray:
    """Return a contiguous copy of a channels-first array [N, C, *spatial] or [C, *spatial] in `layout`."""
    return np.ascontiguousarray(array if layout == "channels_first" else np.moveaxis(array, -dimensions - 1, -1))


def from_layout(array: np.ndarray, layout: str, dimensions: int) -> np.ndarray:
    """Return a channels-first view of an array in `layout`."""
    return array if layout == "channels_first" else np.moveaxis(array, -1, -dimensions - 1)


@dataclass(frozen=True)
class Convolution:
    """A convolution of input [N, C, *spatial] or [C, *spatial] with weight [K, C/groups, *kernel]."""

    name: str
    input_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: int = 1
    bias: bool = True

    algorithms = ("auto", *fc.algorithms())

    def __str__(self) -> str:
        return f"{self.function}-{self.name}"

    @property
    def dimensions(self) -> int:
        return len(self.weight_shape) - 2

    @property
    def function(self) -> str:
        return f"conv{self.dimensions}d"

    @property
    def options(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}

    @property
    def bias_shape(self) -> tuple[int, ...]:
        return self.weight_shape[:1]

    @functools.cached_property
    def output_shape(self) -> tuple[int, ...]:
        windows = convolution_windows(
            self.input_shape[-self.dimensions :], self.weight_shape[2:], self.stride, self.padding, self.dilation
        )
        return (*self.input_shape[: -self.dimensions - 1], self.weight_shape[0], *windows.count)

    def terms(self, which: str) -> int:
        """Return how many products make up each number that this pass computes (for the bias: how many numbers)."""
        if which == "forward":
            return math.prod(self.weight_shape[1:])
        if which == "input":
            return self.weight_shape[0] // self.groups * math.prod(self.weight_shape[2:])
        return math.prod(self.output_shape) // self.weight_shape[0]

    @functools.cache  # noqa: B019 - a problem lasts as long as the tests
    def explanation(self, isa: str, which: str, dtype: str, layout: str) -> runtime.Explanation:
        """Return fastconv's plan for this pass on an instruction set, the one in use."""
        shape = to_layout(np.empty(self.input_shape, bool), layout, self.dimensions).shape
        gradient = None if which == "forward" else which
        options = {"grad": gradient, "dtype": dtype, "layout": layout, **self.options}
        return fc.explain(self.function, shape, self.weight_shape, **options)

    def chosen(self, algorithm: str, which: str, dtype: str, layout: str) -> str:
        """Return the algorithm that does this pass."""
        return self.explanation(fc.isa(), which, dtype, layout).algorithm if algorithm == "auto" else algorithm

    def refusal(self, algorithm: str, which: str, dtype: str, layout: str) -> str | None:
        """Return why an algorithm cannot do this pass, None if it can."""
        if algorithm == "auto":
            return None
        candidates = self.explanation(fc.isa(), which, dtype, layout).candidates
        return {candidate.algorithm: candidate.reason for candidate in candidates}[algorithm]


@dataclass(frozen=True)
class TransposedConvolution(Convolution):
    """A transposed convolution of input [N, C, *spatial] or [C, *spatial] with weight [C, K/groups, *kernel]."""

    output_padding: Any = 0

    @property
    def function(self) -> str:
        return f"conv_transpose{self.dimensions}d"

    @property
    def options(self) -> dict[str, Any]:
        return {**super().options, "output_padding": self.output_padding}

    @property
    def bias_shape(self) -> tuple[int, ...]:
        return (self.weight_shape[1] * self.groups,)

    @functools.cached_property
    def output_shape(self) -> tuple[int, ...]:
        where = (self.stride, self.padding, self.output_padding, self.dilation)
        windows = transposed_windows(self.input_shape[-self.dimensions :], self.weight_shape[2:], *where)
        return (*self.input_shape[: -self.dimensions - 1], *self.bias_shape, *windows.size)

    def terms(self, which: str) -> int:
        """Return how many products make up each number that this pass computes (for the bias: how many numbers)."""
        if which == "forward":
            # Of the taps of a dimension, one in stride / gcd(stride, dilation) meets the same cell.
            axes = np.broadcast_arrays(self.weight_shape[2:], self.stride, np.gcd(self.stride, self.dilation))
            taps = (-(-kernel * common // stride) for kernel, stride, common in zip(*axes, strict=True))
            return self.weight_shape[0] // self.groups * math.prod(map(int, taps))
        if which == "input":
            return math.prod(self.weight_shape[1:])
        if which == "weight":
            return math.prod(self.input_shape) // self.weight_shape[0]
        return math.prod(self.output_shape) // self.bias_shape[0]


@dataclass(frozen=True)
class LocalConvolution:
    """A local convolution of input [N, C, H, W] or [C, H, W], whose weight and bias follow from the kernel."""

    name: str
    input_shape: tuple[int, ...]
    out_channels: int
    kernel: tuple[int, int]
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    bias: bool = True

    function = "local_conv2d"
    algorithms = ("auto", "direct")
    dimensions = 2
    groups = 1

    def __str__(self) -> str:
        return f"{self.function}-{self.name}"

    @property
    def options(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}

    @functools.cached_property
    def bias_shape(self) -> tuple[int, ...]:
        windows = convolution_windows(self.input_shape[-2:], self.kernel, self.stride, self.padding, self.dilation)
        return (self.out_channels, *windows.count)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return math.prod(self.bias_shape[1:]), self.out_channels, self.input_shape[-3] * math.prod(self.kernel)

    @property
    def output_shape(self) -> tuple[int, ...]:
        return (*self.input_shape[:-3], *self.bias_shape)

    def terms(self, which: str) -> int:
        """Return how many products make up each number that this pass computes (for the bias: how many numbers)."""
        batch = self.input_shape[0] if len(self.input_shape) == 4 else 1
        terms = {"forward": self.weight_shape[2], "input": self.out_channels * math.prod(self.kernel)}
        return terms.get(which, batch)

    def chosen(self, algorithm: str, which: str, dtype: str, layout: str) -> str:
        """Return the only algorithm there is."""
        return "direct"

    def refusal(self, algorithm: str, which: str, dtype: str, layout: str) -> str | None:
        """Return how the refusal of an algorithm begins: no weight is shared, so that only direct sums are left."""
        return None if algorithm in self.algorithms else "algorithm: expected "


@dataclass(frozen=True)
class Pool:
    """A pool over input [N, C, *spatial] or [C, *spatial]; the average has no dilation, the maximum counts nothing."""

    name: str
    input_shape: tuple[int, ...]
    kernel_size: Any
    stride: Any = None
    padding: Any = 0
    dilation: Any = 1
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: int | None = None
    batched: bool = True

    def __str__(self) -> str:
        return f"{self.dimensions}d-{self.name}"

    @property
    def dimensions(self) -> int:
        return len(self.input_shape) - 1 - self.batched

    @property
    def has_average(self) -> bool:
        return self.dilation == 1

    def function(self, kind: str) -> str:
        return f"{kind}_pool{self.dimensions}d"

    def terms(self) -> int:
        """Return how many cells a window has, and so how many windows a cell can lie in, at most."""
        return math.prod(np.broadcast_to(self.kernel_size, self.dimensions).tolist())

    def options(self, kind: str) -> dict[str, Any]:
        options = {"kernel_size": self.kernel_size, "stride": self.stride, "padding": self.padding}
        options["ceil_mode"] = self.ceil_mode
        if kind == "max":
            options["dilation"] = self.dilation
        else:
            options["count_include_pad"] = self.count_include_pad
            if self.dimensions > 1:
                options["divisor_override"] = self.divisor_override
        return options


@dataclass(frozen=True)
class AdaptivePool:
    """An adaptive pool over input [N, C, *spatial] or [C, *spatial]."""

    name: str
    input_shape: tuple[int, ...]
    output_size: Any
    batched: bool = True

    def __str__(self) -> str:
        return f"adaptive-{self.dimensions}d-{self.name}"

    @property
    def dimensions(self) -> int:
        return len(self.input_shape) - 1 - self.batched

    @property
    def has_average(self) -> bool:
        return True

    def terms(self) -> int:
        """Return how many cells a window has, or how many windows a cell lies in, at most."""
        size = self.input_shape[-self.dimensions :]
        wishes = self.output_size if isinstance(self.output_size, (tuple, list)) else [self.output_size] * len(size)
        axes = [(old, old if new is None else new) for old, new in zip(size, wishes, strict=True)]
        return math.prod(max(-(-old // new), -(-new // old)) + 1 for old, new in axes)

    def function(self, kind: str) -> str:
        return f"adaptive_{kind}_pool{self.dimensions}d"

    def options(self, kind: str) -> dict[str, Any]:
        return {"output_size": self.output_size}


@dataclass(frozen=True)
class Unpool:
    """The unpooling of input [N, C, *spatial] or [C, *spatial]."""

    name: str
    input_shape: tuple[int, ...]
    kernel_size: Any
    stride: Any = None
    padding: Any = 0
    output_size: Any = None
    batched: bool = True

    def __str__(self) -> str:
        return f"{self.function}-{self.name}"

    @property
    def dimensions(self) -> int:
        return len(self.input_shape) - 1 - self.batched

    @property
    def function(self) -> str:
        return f"max_unpool{self.dimensions}d"

    def options(self, layout: str = "channels_first") -> dict[str, Any]:
        size = self.output_size
        if size is not None and len(size) > self.dimensions and layout == "channels_last":
            size = (size[0], *size[2:], size[1])  # A whole shape.
        return {"kernel_size": self.kernel_size, "stride": self.stride, "padding": self.padding, "output_size": size}

    @functools.cached_property
    def output_shape(self) -> tuple[int, ...]:
        nowhere = np.zeros(self.input_shape, np.int8)
        return slow(self.function)(nowhere.astype(np.float16), nowhere, **self.options()).shape

    @property
    def plane(self) -> int:
        return math.prod(self.output_shape[-self.dimensions :])


@dataclass(frozen=True)
class Unfolding:
    """The windows of an image [N, C, H, W] or [C, H, W], which unfold makes columns and fold adds up again."""

    name: str
    image_shape: tuple[int, ...]
    kernel_size: Any
    dilation: Any = 1
    padding: Any = 0
    stride: Any = 1

    def __str__(self) -> str:
        return self.name

    @property
    def options(self) -> dict[str, Any]:
        options = {"kernel_size": self.kernel_size, "dilation": self.dilation}
        return options | {"padding": self.padding, "stride": self.stride}

    @functools.cached_property
    def columns_shape(self) -> tuple[int, ...]:
        return slow("unfold")(np.zeros(self.image_shape, np.float16), **self.options).shape

    def taps(self) -> int:
        """Return how many windows a cell lies in at most: one for each tap."""
        return int(np.prod(np.broadcast_to(self.kernel_size, 2)))

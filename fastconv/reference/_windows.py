"""Where the windows of a convolution, a pool or an unfolding lie in the padded input, and which cells a tap meets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ._arguments import Array, Padding, Size, flag, is_sequence, per_dimension, word


@dataclass(frozen=True)
class Windows:
    """Every field has one entry a spatial dimension."""

    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    count: tuple[int, ...]

    def taps(self) -> Iterator[tuple[Any, Any]]:
        """Yield, for every tap, its index in the kernel and that of the padded cells that it meets, one a window."""
        for tap in np.ndindex(*self.kernel):
            starts = (t * dilation for t, dilation in zip(tap, self.dilation, strict=True))
            axes = zip(starts, self.count, self.stride, strict=True)
            cells = [slice(start, start + (count - 1) * step + 1, step) for start, count, step in axes]
            yield (..., *tap), (..., *cells)

    def pad(self, array: Array, value: float = 0) -> Array:
        """Return a copy of [N, C, *size] with `value` around it."""
        return np.pad(array, [(0, 0), (0, 0), *zip(self.before, self.after, strict=True)], constant_values=value)

    def crop(self, padded: Array) -> Array:
        """Return the part of the padded array that `pad` was given."""
        inside: Any = [slice(before, before + size) for before, size in zip(self.before, self.size, strict=True)]
        return padded[..., *inside]


def check_plane(padded: Iterable[int]) -> None:
    """Check that a plane, with its padding, is no larger than all memory can be."""
    if prod(padded) > 2**56:
        raise ValueError("a padded plane must have at most 2**56 numbers")


def _paddings(padding: Any, dimensions: int) -> Sequence[Sequence[int]]:
    """Return one pair (before, after) a dimension, from such pairs, or from what counts for before and after."""
    if is_sequence(padding) and len(padding) and all(map(is_sequence, padding)):
        if len(padding) != dimensions or any(len(pair) != 2 for pair in padding):
            raise ValueError(f"padding must have {dimensions} pairs (before, after), got {padding}")
        return [per_dimension("padding", pair, 2, 0) for pair in padding]
    return [(p, p) for p in per_dimension("padding", padding, dimensions, 0)]


def _reach(kernel: Sequence[int], dilation: Sequence[int]) -> list[int]:
    """Return how far the last tap of a kernel lies from the first."""
    return [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]


def convolution_windows(
    size: Sequence[int], kernel: Sequence[int], stride: Size, padding: Padding, dilation: Size
) -> Windows:
    """Return the windows of a convolution, every one of them inside the padded input."""
    dimensions = len(size)
    stride = per_dimension("stride", stride, dimensions, 1)
    dilation = per_dimension("dilation", dilation, dimensions, 1)
    reach = _reach(kernel, dilation)
    pairs: Sequence[Sequence[int]]
    if isinstance(padding, str):
        if word("padding", padding, ["valid", "same"]) == "same" and max(stride) > 1:
            raise ValueError(f"padding='same' needs a stride of 1, got {stride}")
        # "same": the output is as large as the input; of an odd number of cells, the extra one goes to the end.
        pairs = [(r // 2, r - r // 2) if padding == "same" else (0, 0) for r in reach]
    else:
        pairs = _paddings(padding, dimensions)
    before, after = zip(*pairs, strict=True)
    check_plane(s + b + a for s, b, a in zip(size, before, after, strict=True))
    room = [s + b + a - r - 1 for s, b, a, r in zip(size, before, after, reach, strict=True)]
    if min(room) < 0:
        raise ValueError(f"kernel {tuple(kernel)}, dilation {dilation}, is larger than the padded input {tuple(size)}")
    count = tuple(r // step + 1 for r, step in zip(room, stride, strict=True))
    return Windows(tuple(size), tuple(kernel), stride, dilation, before, after, count)


def transposed_windows(
    size: Sequence[int], kernel: Sequence[int], stride: Size, padding: Padding, output_padding: Size, dilation: Size
) -> Windows:
    """Return the windows of a transposed convolution: they lie in its padded output, one for each cell of its input.

    No window reaches the `output_padding` cells at the end of each dimension.
    """
    dimensions = len(size)
    stride = per_dimension("stride", stride, dimensions, 1)
    dilation = per_dimension("dilation", dilation, dimensions, 1)
    extra = per_dimension("output_padding", output_padding, dimensions, 0)
    before, after = zip(*_paddings(padding, dimensions), strict=True)
    if any(e >= max(step, d) for e, step, d in zip(extra, stride, dilation, strict=True)):
        raise ValueError(f"output_padding must be less than stride {stride} or dilation {dilation}, got {extra}")
    reach = _reach(kernel, dilation)
    whole = [(s - 1) * step + r + 1 + e for s, step, r, e in zip(size, stride, reach, extra, strict=True)]
    inside = tuple(w - b - a for w, b, a in zip(whole, before, after, strict=True))
    if min(inside) < 1:
        raise ValueError(f"padding must leave an output of at least 1 in each dimension, got {padding}: {inside}")
    check_plane(whole)
    return Windows(inside, tuple(kernel), stride, dilation, before, after, tuple(size))


def pool_stride(stride: Size | None, kernel: tuple[int, ...]) -> tuple[int, ...]:
    """Return a pool's stride: its kernel where there is none, which, as in PyTorch, an empty tuple says too."""
    without = stride is None or (isinstance(stride, (tuple, list)) and not stride)
    return kernel if without else per_dimension("stride", stride, len(kernel), 1)


def pool_windows(
    size: Sequence[int], kernel_size: Size, stride: Size | None, padding: Size, dilation: Size, ceil_mode: bool
) -> Windows:
    """Return the windows of a pool; in ceil mode the last ones may reach beyond the padding, where nothing is.

    A window may be larger than the input as long as it fits into the padded one (only PyTorch's avg_pool3d refuses).
    """
    dimensions = len(size)
    kernel, ceil_mode = per_dimension("kernel_size", kernel_size, dimensions, 1), flag("ceil_mode", ceil_mode)
    stride = pool_stride(stride, kernel)
    before = per_dimension("padding", padding, dimensions, 0)
    dilation = per_dimension("dilation", dilation, dimensions, 1)
    if any(p > k // 2 for p, k in zip(before, kernel, strict=True)):
        raise ValueError(f"padding must be at most half of kernel_size {kernel}, got {before}")
    check_plane(s + 2 * p for s, p in zip(size, before, strict=True))
    count, after = [], []
    for s, k, step, d, p in zip(size, kernel, stride, dilation, before, strict=True):
        reach = d * (k - 1)
        room = s + 2 * p - reach - 1
        last = -(-room // step) if ceil_mode else room // step
        if ceil_mode and last * step >= s + p:
            last -= 1  # The last window has to start in the input or in the padding before it.
        if last < 0:
            raise ValueError(f"kernel_size {kernel}, dilation {dilation}, is too large for a padded {tuple(size)}")
        count.append(last + 1)
        after.append(max(p, last * step + reach + 1 - s - p))
    return Windows(tuple(size), kernel, stride, dilation, before, tuple(after), tuple(count))

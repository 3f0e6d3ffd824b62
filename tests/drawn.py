"""Problems that hypothesis draws."""

from __future__ import annotations

import functools

from cases import expected
from hypothesis import assume, strategies
from problems import Convolution, LocalConvolution, TransposedConvolution


@strategies.composite
def convolutions(draw: strategies.DrawFn) -> Convolution:
    """Draw any small convolution."""
    dimensions = draw(strategies.sampled_from([1, 2, 2, 3]))

    def sizes(least: int, most: int) -> tuple[int, ...]:
        return tuple(draw(strategies.integers(least, most)) for _ in range(dimensions))

    kernel, stride, dilation = sizes(1, 5 if dimensions < 3 else 3), sizes(1, 3), sizes(1, 3)
    padding = tuple(zip(sizes(0, 4), sizes(0, 4), strict=True))
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    least = [max(1, r - sum(pair)) for r, pair in zip(reach, padding, strict=True)]
    size = tuple(s + more for s, more in zip(least, sizes(0, 20 if dimensions < 3 else 4), strict=True))
    groups, in_channels, out_channels = (draw(strategies.integers(1, most)) for most in (3, 9, 9))
    batch = draw(strategies.sampled_from([(), (0,), (1,), (2,), (3,)]))
    shapes = (*batch, groups * in_channels, *size), (groups * out_channels, in_channels, *kernel)
    return Convolution("drawn", *shapes, stride, padding, dilation, groups, draw(strategies.booleans()))


@strategies.composite
def transposed_convolutions(draw: strategies.DrawFn) -> TransposedConvolution:
    """Draw any small transposed convolution."""
    dimensions = draw(strategies.sampled_from([1, 2, 2, 3]))

    def sizes(least: int, *most: int) -> tuple[int, ...]:
        return tuple(draw(strategies.integers(least, most[i % len(most)])) for i in range(dimensions))

    kernel, stride, dilation = sizes(1, 5 if dimensions < 3 else 3), sizes(1, 4), sizes(1, 3)
    size = sizes(1, 9 if dimensions < 3 else 3)
    extra = sizes(0, *(max(s, d) - 1 for s, d in zip(stride, dilation, strict=True)))
    axes = zip(size, kernel, stride, dilation, extra, strict=True)
    whole = [(n - 1) * s + d * (k - 1) + 1 + e for n, k, s, d, e in axes]
    before = sizes(0, *(min(w - 1, 4) for w in whole))
    after = sizes(0, *(min(w - 1 - b, 4) for w, b in zip(whole, before, strict=True)))
    padding = tuple(zip(before, after, strict=True))
    groups, in_channels, out_channels = (draw(strategies.integers(1, most)) for most in (3, 9, 9))
    batch = draw(strategies.sampled_from([(), (0,), (1,), (2,), (3,)]))
    shapes = (*batch, groups * in_channels, *size), (groups * in_channels, out_channels, *kernel)
    bias = draw(strategies.booleans())
    return TransposedConvolution("drawn", *shapes, stride, padding, dilation, groups, bias, extra)


@strategies.composite
def local_convolutions(draw: strategies.DrawFn) -> LocalConvolution:
    """Draw any small local convolution whose weight and bias tell its kernel."""
    pairs = functools.partial(strategies.tuples, *[strategies.integers(1, 3)] * 2)
    kernel, stride, dilation = draw(pairs()), draw(pairs()), draw(pairs())
    padding = draw(strategies.tuples(*[strategies.tuples(*[strategies.integers(0, 3)] * 2)] * 2))
    least = [max(1, d * (k - 1) + 1 - sum(pair)) for d, k, pair in zip(dilation, kernel, padding, strict=True)]
    size = tuple(s + draw(strategies.integers(0, 9)) for s in least)
    in_channels, out_channels = draw(strategies.integers(1, 9)), draw(strategies.integers(1, 20))
    batch = draw(strategies.sampled_from([(), (0,), (1,), (2,), (3,)]))
    where = (out_channels, kernel, stride, padding, dilation, draw(strategies.booleans()))
    problem = LocalConvolution("drawn", (*batch, in_channels, *size), *where)
    try:
        expected(problem, "forward", "float32")
    except ValueError:
        assume(False)  # Another kernel has as many taps and positions.
    return problem


DRAWN_CONVOLUTIONS = (convolutions, transposed_convolutions, local_convolutions)

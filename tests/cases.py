"""THE list: every function and every problem that the tests walk, and how a problem becomes arrays and a call.

The algorithms and the instruction sets are not listed here: they are asked of fastconv, so that a new one is tested
without a line of test.
"""

from __future__ import annotations

import functools
import itertools
import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from problems import (
    AdaptivePool,
    Convolution,
    LocalConvolution,
    Pool,
    TransposedConvolution,
    Unfolding,
    Unpool,
    from_layout,
    slow,
    to_layout,
)
from problems import fast as fast

import fastconv as fc
from fastconv import runtime

CONVOLUTION_FUNCTIONS = tuple(f"conv{n}d" for n in (1, 2, 3))
TRANSPOSED_FUNCTIONS = tuple(f"conv_transpose{n}d" for n in (1, 2, 3))
WEIGHTED_FUNCTIONS = (*CONVOLUTION_FUNCTIONS, *TRANSPOSED_FUNCTIONS, "local_conv2d")
POOL_FUNCTIONS = tuple(f"{kind}_pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3))
ADAPTIVE_FUNCTIONS = tuple(f"adaptive_{name}" for name in POOL_FUNCTIONS)
UNPOOL_FUNCTIONS = tuple(f"max_unpool{n}d" for n in (1, 2, 3))
UNFOLD_FUNCTIONS = ("unfold", "fold")
FORWARD_FUNCTIONS = (
    *WEIGHTED_FUNCTIONS,
    *POOL_FUNCTIONS,
    *ADAPTIVE_FUNCTIONS,
    *UNPOOL_FUNCTIONS,
    *UNFOLD_FUNCTIONS,
)
GRADIENT_FUNCTIONS = (
    *(f"{name}_backward" for name in FORWARD_FUNCTIONS),
    *(f"{name}_{of}" for name in CONVOLUTION_FUNCTIONS for of in ("input", "weight")),
)
FUNCTIONS = (*FORWARD_FUNCTIONS, *GRADIENT_FUNCTIONS)

PASSES = ("forward", "input", "weight")
DTYPES = ("float16", "float32", "float64")
LAYOUTS = ("channels_first", "channels_last")
ALGORITHMS = ("auto", *fc.algorithms())
ISAS = tuple(name for name in runtime.built_isas() if name in runtime.available_isas())

# Around the edges of every register tile that an instruction set may have.
TILE_EDGES = sorted({1} | {tile + edge for tile in (4, 6, 8, 16, 24, 32, 48) for edge in (-1, 0, 1)})


# --- The problems


def _grid() -> list[Convolution]:
    """Return every kernel with every stride, dilation and padding; the channels, groups and batches take turns."""
    channels = itertools.cycle([(1, 3, 5, 1), (2, 4, 6, 2), (1, 5, 2, 1), (3, 6, 3, 3), (2, 1, 7, 1)])
    problems = []
    for kernel, stride, dilation in itertools.product([(1, 1), (2, 2), (3, 3), (5, 2)], [1, 2, 3], [1, 2]):
        for padding in (0, 1, (kernel[0] - 1, 3)):
            batch, in_channels, out_channels, groups = next(channels)
            name = f"k{kernel[0]}x{kernel[1]}-s{stride}-d{dilation}-p{padding}-g{groups}".replace(" ", "")
            shapes = (batch, in_channels, 11, 10), (out_channels, in_channels // groups, *kernel)
            problems.append(Convolution(name, *shapes, stride, padding, dilation, groups, bias=batch != 2))
    return problems


CONVOLUTIONS = [
    *_grid(),
    # Padding.
    Convolution("valid", (2, 3, 7, 9), (4, 3, 3, 3), padding="valid"),
    Convolution("same", (2, 3, 7, 9), (4, 3, 3, 3), padding="same"),
    Convolution("same-even-kernel", (2, 3, 7, 9), (4, 3, 4, 2), padding="same"),
    Convolution("same-even-kernel-dilated", (1, 3, 7, 9), (4, 3, 2, 4), padding="same", dilation=(3, 1)),
    Convolution("asymmetric", (2, 3, 7, 9), (4, 3, 3, 3), padding=((1, 0), (2, 3))),
    Convolution("asymmetric-strided", (2, 3, 8, 9), (4, 3, 3, 2), stride=(2, 3), padding=((0, 3), (2, 1))),
    Convolution("one-sided", (1, 2, 6, 6), (3, 2, 3, 3), padding=((2, 0), (0, 2))),
    Convolution("more-padding-than-kernel", (1, 2, 4, 5), (3, 2, 3, 3), padding=(4, 5)),
    Convolution("pointwise-padded", (2, 4, 5, 5), (6, 4, 1, 1), padding=1),
    Convolution("pointwise-padded-after", (2, 4, 5, 9), (6, 4, 1, 1), padding=((0, 2), (0, 1)), dilation=2),
    # Strides.
    Convolution("stride-beyond-kernel", (2, 3, 11, 13), (4, 3, 2, 2), stride=(3, 5)),
    Convolution("pointwise-strided", (2, 8, 9, 9), (12, 8, 1, 1), stride=2),
    Convolution("rest-at-the-border", (1, 3, 10, 12), (5, 3, 3, 3), stride=3),
    Convolution("mixed", (2, 4, 12, 11), (6, 2, 3, 2), stride=(2, 1), padding=(2, 1), dilation=(1, 3), groups=2),
    # Groups.
    Convolution("groups-3", (2, 9, 6, 7), (12, 3, 3, 3), padding=1, groups=3),
    Convolution("groups-pointwise", (2, 12, 6, 7), (8, 3, 1, 1), groups=4),
    Convolution("many-small-images", (19, 35, 4, 5), (6, 35, 3, 3), padding=1),
    Convolution("long-rows", (1, 18, 3, 600), (4, 18, 2, 3), stride=(1, 2), padding=(1, 4)),
    Convolution("large-strided", (2, 5, 37, 35), (6, 5, 19, 18), stride=2),
    Convolution("large-padded", (2, 5, 20, 26), (17, 5, 17, 15), padding=(9, 7)),
    Convolution("depthwise", (2, 7, 9, 10), (7, 1, 3, 3), padding=1, groups=7),
    Convolution("depthwise-multiplier-2", (2, 5, 9, 10), (10, 1, 3, 3), padding=1, groups=5),
    Convolution("depthwise-multiplier-3-strided", (1, 3, 9, 11), (9, 1, 5, 5), stride=2, padding=2, groups=3),
    Convolution("depthwise-strided", (2, 6, 11, 12), (6, 1, 3, 3), stride=2, padding=1, groups=6),
    Convolution("depthwise-stride-3", (2, 6, 11, 12), (6, 1, 3, 3), stride=3, padding=1, groups=6),
    Convolution("depthwise-dilated", (1, 9, 12, 13), (9, 1, 3, 3), padding=2, dilation=2, groups=9),
    Convolution("depthwise-5x5", (1, 8, 13, 17), (8, 1, 5, 5), padding=2, groups=8),
    Convolution("depthwise-even-asymmetric", (2, 4, 8, 9), (4, 1, 2, 4), padding=((1, 0), (1, 2)), groups=4),
    Convolution("depthwise-7x7", (2, 3, 15, 41), (3, 1, 7, 7), padding=3, groups=3),
    Convolution("depthwise-7x7-strided", (1, 3, 16, 75), (6, 1, 7, 7), stride=2, padding=3, groups=3),
    Convolution("depthwise-5x5-strided", (1, 3, 9, 140), (3, 1, 5, 5), stride=2, padding=2, groups=3),
    Convolution("depthwise-3x3-rows", (1, 2, 45, 66), (2, 1, 3, 3), padding=((3, 0), (0, 2)), groups=2),
    Convolution("depthwise-33x33", (1, 2, 40, 37), (2, 1, 33, 33), padding=16, groups=2),
    Convolution("depthwise-2x9-dilated", (1, 2, 9, 70), (2, 1, 2, 9), padding=(1, 20), dilation=(1, 5), groups=2),
    Convolution("depthwise-19x4", (1, 2, 60, 150), (4, 1, 19, 4), padding=(9, 2), groups=2),
    Convolution("depthwise-19x4-strided", (1, 2, 61, 150), (2, 1, 19, 4), stride=2, padding=(8, 1), groups=2),
    Convolution("depthwise-20x2-row-stride-3", (1, 2, 50, 70), (2, 1, 20, 2), stride=(3, 1), padding=(7, 1), groups=2),
    Convolution("depthwise-9x9-many-rows", (1, 2, 300, 20), (2, 1, 9, 9), padding=4, groups=2),
    Convolution("depthwise-3x3-far", (1, 1, 90, 80), (1, 1, 3, 3), padding=20, dilation=40),
    Convolution("depthwise-1x64", (1, 2, 3, 90), (2, 1, 1, 64), padding=(0, 31), groups=2),
    Convolution("short-rows-far-padding", (2, 5, 9, 5), (20, 5, 7, 1), stride=(2, 1), padding=(5, 0)),
    Convolution("every-17th-column", (1, 3, 5, 60), (18, 3, 2, 3), stride=(1, 17), padding=(0, 2)),
    Convolution("every-3rd-column", (1, 3, 5, 117), (18, 3, 2, 5), stride=(1, 3), padding=(0, 2)),
    Convolution("depthwise-7x7-narrow", (3, 3, 5, 8), (3, 1, 7, 7), padding=3, groups=3),
    Convolution("depthwise-5x5-narrow", (1, 5, 7, 7), (10, 1, 5, 5), padding=2, groups=5),
    Convolution("depthwise-3x3-narrow", (1, 5, 7, 9), (5, 1, 3, 3), padding=((3, 0), (0, 1)), groups=5),
    Convolution("depthwise-3x3-narrow-strided", (1, 5, 15, 15), (5, 1, 3, 3), stride=2, padding=1, groups=5),
    Convolution("depthwise-5x5-narrow-strided", (1, 3, 9, 12), (6, 1, 5, 5), 2, ((0, 3), (2, 1)), groups=3),
    Convolution("depthwise-7x7-narrow-strided", (3, 3, 9, 9), (3, 1, 7, 7), stride=2, padding=3, groups=3),
    Convolution("depthwise-3x3-half-strided", (1, 3, 8, 29), (3, 1, 3, 3), stride=2, padding=1, groups=3),
    Convolution("depthwise-7x7-half-strided", (1, 2, 8, 26), (2, 1, 7, 7), stride=2, padding=3, groups=2),
    Convolution("depthwise-pointwise", (2, 6, 5, 5), (6, 1, 1, 1), groups=6),
    Convolution("depthwise-wide", (1, 3, 5, 70), (3, 1, 3, 3), padding=1, groups=3),
    Convolution("depthwise-wide-strided", (1, 3, 9, 73), (3, 1, 3, 3), stride=2, padding=1, groups=3),
    Convolution("depthwise-wide-stride-3", (1, 2, 8, 70), (4, 1, 3, 5), stride=(2, 3), padding=2, groups=2),
    Convolution("depthwise-wide-blocks", (1, 2, 70, 151), (2, 1, 3, 3), padding=1, groups=2),
    Convolution("depthwise-wide-blocks-strided", (1, 2, 71, 150), (2, 1, 3, 3), stride=2, padding=1, groups=2),
    Convolution("depthwise-many-channels", (1, 67, 5, 6), (67, 1, 3, 3), padding=1, groups=67),
    Convolution("depthwise-many-strided", (2, 67, 7, 8), (67, 1, 3, 3), stride=2, padding=1, groups=67),
    Convolution("depthwise-many-stride-3", (2, 67, 7, 11), (67, 1, 2, 3), stride=3, groups=67),
    Convolution("depthwise-many-stride-beyond", (2, 67, 5, 3), (67, 1, 3, 1), stride=(7, 4), padding=1, groups=67),
    Convolution("depthwise-many-multiplier", (2, 65, 6, 5), (130, 1, 3, 3), stride=(1, 2), padding=1, groups=65),
    Convolution("depthwise-many-dilated", (1, 70, 6, 7), (70, 1, 3, 3), 1, ((2, 3), (3, 1)), dilation=2, groups=70),
    Convolution("depthwise-many-pointwise", (1, 70, 5, 5), (70, 1, 1, 1), stride=2, groups=70),
    Convolution("depthwise-many-padded", (1, 66, 3, 5), (66, 1, 3, 3), padding=(1, 300), groups=66),
    Convolution("depthwise-many-tall", (1, 64, 400, 8), (64, 1, 3, 3), padding=1, groups=64),
    # Ones, and the whole image at once.
    Convolution("one-number", (1, 1, 1, 1), (1, 1, 1, 1)),
    Convolution("one-pixel", (3, 5, 1, 1), (7, 5, 1, 1)),
    Convolution("one-pixel-in-padding", (2, 5, 1, 1), (7, 5, 3, 3), padding=1),
    Convolution("one-channel", (1, 1, 9, 9), (1, 1, 3, 3), padding=1),
    Convolution("kernel-is-input", (2, 3, 5, 6), (4, 3, 5, 6)),
    Convolution("kernel-is-padded-input", (2, 3, 3, 4), (4, 3, 5, 6), padding=1),
    # Kernels from small to larger than any tile.
    Convolution("kernel-7", (1, 3, 15, 14), (5, 3, 7, 7), stride=2, padding=3),
    Convolution("kernel-11", (1, 3, 25, 23), (6, 3, 11, 11), stride=4, padding=2),
    Convolution("kernel-17x3", (1, 2, 20, 9), (3, 2, 17, 3), padding=(8, 1)),
    Convolution("kernel-3x51", (1, 2, 6, 60), (3, 2, 3, 51), padding=(1, 4)),
    # Stride 1 with the kernels of Winograd's transforms; blocks of tiles that end within a row, an image, a batch.
    Convolution("kernel-1x3", (2, 9, 6, 15), (7, 9, 1, 3), padding=(0, 1)),
    Convolution("kernel-3x1", (2, 9, 6, 15), (7, 9, 3, 1), padding=(1, 0)),
    Convolution("kernel-3x5", (1, 9, 9, 13), (19, 9, 3, 5), padding=(1, 2)),
    Convolution("kernel-5x5", (3, 20, 9, 13), (18, 20, 5, 5), padding=2),
    Convolution("kernel-1x7", (2, 9, 6, 15), (7, 9, 1, 7), padding=(0, 3)),
    Convolution("kernel-7x1", (2, 9, 6, 15), (7, 9, 7, 1), padding=(3, 0)),
    Convolution("tiles-of-images", (9, 10, 7, 7), (50, 10, 3, 3), padding=1),
    Convolution("tiles-of-many-images", (67, 9, 3, 4), (5, 9, 3, 3), padding=1),
    Convolution("tiles-interleaved", (2, 9, 23, 31), (8, 9, 3, 3), padding=(2, 5), dilation=(2, 5)),
    Convolution("tiles-far-apart", (1, 9, 7, 31), (8, 9, 3, 3), padding=(12, 40), dilation=(12, 40)),
    Convolution("dilated-nearly-as-the-plane", (1, 9, 33, 29), (8, 9, 3, 3), padding=(24, 13), dilation=(24, 13)),
    Convolution("dilated-strided", (2, 3, 40, 45), (6, 3, 3, 3), (2, 3), padding=(25, 30), dilation=(25, 30)),
    Convolution("taps-of-padding-alone", (1, 3, 20, 21), (4, 3, 3, 3), padding=(30, 8), dilation=(30, 8)),
    Convolution("tiles-in-a-row", (1, 9, 5, 530), (4, 9, 3, 3), padding=1),
    # Padding of which no copy is made.
    Convolution("border", (4, 16, 20, 18), (32, 16, 3, 3), stride=2, padding=1),
    Convolution("border-one-sided", (8, 9, 9, 37), (20, 9, 3, 3), padding=((1, 0), (0, 2))),
    Convolution("border-kernel-5", (6, 20, 25, 24), (35, 20, 5, 5), stride=2, padding=(2, 1)),
    # Sums longer than a block of the cache, and more of each channel than one.
    Convolution("long-sum", (1, 300, 5, 5), (9, 300, 3, 3), padding=1),
    Convolution("long-pointwise-sum", (1, 1100, 4, 5), (10, 1100, 1, 1)),
    Convolution("many-outputs", (1, 6, 5, 7), (530, 6, 3, 3), padding=1),
    Convolution("many-pixels", (1, 3, 70, 75), (5, 3, 3, 3), padding=1),
    Convolution("many-pixels-stride-3", (2, 3, 70, 75), (5, 3, 3, 4), stride=(2, 3), padding=(1, 4), dilation=2),
    Convolution("many-pixels-strided", (3, 6, 40, 67), (4, 3, 3, 3), stride=2, padding=((1, 0), (3, 1)), groups=2),
    Convolution("wide-row", (1, 3, 3, 530), (4, 3, 3, 3), padding=1, stride=(1, 2)),
    Convolution("many-images", (17, 3, 5, 5), (4, 3, 3, 3), padding=1),
    # Batches of none; no batch.
    Convolution("batch-0", (0, 3, 6, 7), (4, 3, 3, 3), padding=1),
    Convolution("batch-0-pointwise", (0, 3, 6, 7), (4, 3, 1, 1)),
    Convolution("batch-0-depthwise", (0, 4, 6, 7), (4, 1, 3, 3), groups=4),
    Convolution("unbatched", (3, 6, 7), (4, 3, 3, 3), padding=1),
    Convolution("unbatched-pointwise", (3, 6, 7), (4, 3, 1, 1)),
    Convolution("unbatched-depthwise", (4, 6, 7), (4, 1, 3, 3), stride=2, groups=4),
    # One dimension.
    Convolution("plain", (2, 3, 20), (4, 3, 3)),
    Convolution("pointwise", (2, 3, 20), (4, 3, 1)),
    Convolution("strided", (2, 3, 20), (4, 3, 5), stride=3, padding=2),
    Convolution("dilated", (1, 4, 40), (6, 4, 3), padding=8, dilation=8),
    Convolution("asymmetric", (1, 4, 20), (6, 4, 2), padding=((4, 0),), dilation=4),
    Convolution("same", (2, 3, 20), (4, 3, 4), padding="same"),
    Convolution("groups", (2, 4, 20), (6, 2, 3), padding=1, groups=2),
    Convolution("depthwise", (2, 5, 40), (5, 1, 7), padding=3, groups=5),
    Convolution("depthwise-multiplier", (2, 3, 21), (6, 1, 4), stride=2, padding=1, groups=3),
    Convolution("depthwise-long", (1, 3, 9001), (6, 1, 5), stride=2, padding=3, groups=3),
    Convolution("depthwise-many", (2, 66, 15), (66, 1, 4), stride=2, padding=1, groups=66),
    Convolution("kernel-7", (3, 9, 40), (20, 9, 7), padding=3),
    Convolution("kernel-7-dilated", (1, 9, 40), (20, 9, 7), padding=3, dilation=2),
    Convolution("tiles-in-a-row", (1, 9, 3000), (5, 9, 3), padding=1),
    Convolution("long-kernel", (1, 2, 120), (3, 2, 65), padding=10),
    Convolution("batch-0", (0, 3, 20), (4, 3, 3)),
    Convolution("unbatched", (3, 20), (4, 3, 3), padding=1),
    # Three dimensions.
    Convolution("plain", (2, 3, 4, 5, 6), (4, 3, 3, 3, 3), padding=1),
    Convolution("pointwise", (2, 3, 4, 5, 6), (4, 3, 1, 1, 1)),
    Convolution("flat-kernel", (1, 3, 4, 5, 6), (4, 3, 1, 3, 3), padding=(0, 1, 1)),
    Convolution("deep-kernel", (1, 3, 6, 4, 5), (4, 3, 3, 1, 1), padding=(1, 0, 0), stride=(2, 1, 1)),
    Convolution("strided", (1, 2, 7, 8, 9), (4, 2, 3, 2, 3), stride=(1, 2, 3), padding=(2, 0, 1), dilation=(1, 3, 1)),
    Convolution("same", (1, 2, 4, 5, 6), (3, 2, 2, 3, 4), padding="same"),
    Convolution("asymmetric", (1, 2, 4, 5, 6), (3, 2, 2, 3, 3), padding=((1, 0), (0, 2), (2, 1))),
    Convolution("groups", (2, 4, 4, 5, 6), (6, 2, 3, 3, 3), padding=1, groups=2),
    Convolution("depthwise", (2, 5, 4, 5, 6), (5, 1, 3, 3, 3), padding=1, groups=5),
    Convolution("depthwise-multiplier", (1, 3, 5, 6, 7), (6, 1, 2, 3, 3), stride=2, padding=1, groups=3),
    Convolution("depthwise-many", (2, 66, 4, 5, 6), (66, 1, 3, 3, 3), padding=1, groups=66),
    Convolution("depthwise-many-strided", (3, 34, 5, 6, 7), (68, 1, 2, 3, 3), stride=2, padding=1, groups=34),
    Convolution("depthwise-many-dilated", (1, 67, 6, 9, 5), (67, 1, 3, 2, 3), (1, 3, 1), (2, 3, 0), 2, groups=67),
    Convolution("depthwise-many-large", (1, 66, 5, 36, 30), (66, 1, 5, 3, 3), padding=(2, 1, 1), groups=66),
    Convolution("far-padding", (2, 4, 5, 7, 5), (18, 4, 3, 5, 1), stride=2, padding=(2, 4, 0)),
    Convolution("far-apart", (1, 5, 5, 6, 5), (17, 5, 3, 3, 3), dilation=2),
    Convolution("deep-and-dilated", (3, 4, 13, 12, 13), (6, 2, 3, 2, 5), 1, (4, 2, 8), dilation=4, groups=2),
    Convolution("deep-and-large", (1, 3, 12, 9, 10), (20, 3, 7, 5, 5), padding=(3, 2, 2)),
    Convolution("deep-and-strided", (2, 3, 9, 10, 11), (17, 3, 5, 4, 3), stride=2, padding=(2, 3, 1)),
    Convolution("one-layer-left", (5, 6, 4, 5, 3), (8, 3, 3, 2, 2), stride=2, padding=(0, 1, 1), groups=2),
    Convolution("one-layer-padded", (4, 3, 2, 4, 3), (5, 3, 3, 2, 2), padding=((0, 1), (0, 1), (0, 0))),
    Convolution("border", (2, 16, 6, 12, 11), (32, 16, 3, 3, 3), stride=2, padding=1),
    Convolution("narrow", (2, 4, 30, 2, 3), (14, 4, 5, 7, 4), stride=2, padding=(3, 5, 3)),
    Convolution("batch-0", (0, 3, 4, 5, 6), (4, 3, 3, 3, 3)),
    Convolution("unbatched", (3, 4, 5, 6), (4, 3, 3, 3, 3), padding=1),
]


def _transposed_grid() -> list[TransposedConvolution]:
    """Return every kernel with every stride; dilation, padding, channels, groups and batches take turns."""
    turns = itertools.cycle([(1, 3, 5, 1, 0), (2, 4, 3, 2, 1), (1, 2, 5, 1, (0, 2)), (2, 6, 1, 3, ((1, 0), (0, 2)))])
    problems = []
    for kernel, stride in itertools.product([(1, 1), (2, 2), (3, 3), (5, 2)], [1, 2, 3]):
        batch, in_channels, out_channels, groups, padding = next(turns)
        dilation = 1 + len(problems) % 2
        extra = (max(stride, dilation) - 1, 0) if len(problems) % 3 else 0
        name = f"k{kernel[0]}x{kernel[1]}-s{stride}-d{dilation}-p{padding}-o{extra}-g{groups}".replace(" ", "")
        shapes = (batch, in_channels, 6, 7), (in_channels, out_channels, *kernel)
        problems.append(TransposedConvolution(name, *shapes, stride, padding, dilation, groups, True, extra))
    return problems


_T = TransposedConvolution

TRANSPOSED = [
    *_transposed_grid(),
    # As networks have them.
    _T("upsample-2", (2, 6, 5, 7), (6, 4, 2, 2), stride=2),
    _T("upsample-4-2", (2, 6, 5, 7), (6, 4, 4, 4), stride=2, padding=1),
    _T("upsample-3-2", (1, 6, 5, 7), (6, 4, 3, 3), stride=2, padding=1, output_padding=1),
    _T("from-one-pixel", (3, 9, 1, 1), (9, 5, 4, 4)),
    # Strides, kernels and what is cut off or added, in every relation.
    _T("stride-beyond-kernel", (2, 3, 5, 4), (3, 4, 2, 2), stride=(3, 5), padding=1),
    _T("stride-beyond-input", (1, 3, 2, 3), (3, 4, 3, 2), stride=(5, 7), output_padding=(4, 6)),
    _T("stride-beyond-one-pixel", (2, 3, 1, 1), (3, 4, 2, 3), stride=4, output_padding=3),
    _T("kernel-beyond-stride", (1, 2, 5, 6), (2, 3, 7, 5), stride=(3, 2), padding=(2, 1)),
    _T("kernel-beyond-input", (1, 2, 2, 3), (2, 3, 7, 9), padding=3),
    _T("asymmetric", (2, 3, 5, 6), (3, 4, 3, 3), stride=2, padding=((1, 0), (2, 3))),
    _T("all-but-one-cut-off", (1, 3, 3, 4), (3, 5, 3, 3), padding=((2, 2), (1, 4))),
    _T("first-cut-off", (1, 3, 5, 6), (3, 4, 2, 2), stride=2, padding=((4, 0), (7, 0))),
    _T("last-cut-off", (1, 3, 5, 6), (3, 4, 2, 2), stride=2, padding=((0, 4), (0, 7))),
    _T("output-padding-beyond-stride", (2, 3, 5, 4), (3, 4, 2, 3), dilation=3, output_padding=(2, 1)),
    _T("dilated-strided", (1, 3, 5, 6), (3, 4, 3, 2), stride=(2, 3), padding=(1, 2), dilation=(3, 2)),
    _T("dilation-and-stride-share", (1, 3, 4, 5), (3, 4, 3, 4), stride=4, dilation=(2, 6), output_padding=(3, 5)),
    _T("output-padding-that-padding-cuts", (1, 3, 4, 5), (3, 4, 3, 3), 3, 2, output_padding=2),
    _T("pointwise", (2, 8, 5, 6), (8, 5, 1, 1)),
    _T("kernel-5x5", (2, 9, 6, 8), (9, 20, 5, 5), padding=2),
    _T("kernel-1x7", (2, 9, 5, 16), (9, 7, 1, 7), padding=(0, 3)),
    _T("kernel-7x1-grown", (2, 9, 5, 6), (9, 7, 7, 1)),
    _T("pointwise-cut", (1, 8, 5, 6), (8, 5, 1, 1), padding=(1, 2)),
    _T("pointwise-strided", (2, 8, 3, 4), (8, 5, 1, 1), stride=2, output_padding=1),
    _T("one-number", (1, 1, 1, 1), (1, 1, 1, 1)),
    # Groups.
    _T("groups-3", (2, 9, 4, 5), (9, 2, 3, 3), stride=2, padding=1, groups=3),
    _T("groups-pointwise", (1, 12, 4, 5), (12, 2, 1, 1), groups=4),
    _T("depthwise", (2, 7, 6, 5), (7, 1, 3, 3), padding=1, groups=7),
    _T("depthwise-strided", (1, 6, 6, 7), (6, 1, 4, 4), stride=2, padding=1, groups=6),
    _T("depthwise-multiplier", (2, 5, 6, 5), (5, 2, 3, 3), stride=2, padding=1, groups=5, output_padding=1),
    _T("depthwise-many", (1, 67, 4, 5), (67, 1, 3, 3), stride=2, padding=1, groups=67, output_padding=(0, 1)),
    _T("depthwise-wide", (1, 3, 4, 70), (3, 1, 3, 3), stride=(1, 2), padding=1, groups=3),
    # Long sums, and more of everything than a block.
    _T("long-sum", (1, 300, 3, 4), (300, 7, 3, 3), stride=2, padding=1),
    _T("many-outputs", (1, 5, 3, 4), (5, 270, 2, 2), stride=2),
    _T("many-pixels", (1, 3, 35, 38), (3, 4, 4, 4), stride=2, padding=1),
    _T("many-images", (17, 3, 3, 4), (3, 4, 2, 2), stride=2, bias=False),
    # Batches of none; no batch.
    _T("batch-0", (0, 3, 5, 6), (3, 4, 3, 3), stride=2, padding=1),
    _T("batch-0-depthwise", (0, 4, 5, 6), (4, 1, 3, 3), groups=4),
    _T("unbatched", (3, 5, 6), (3, 4, 3, 3), stride=2, padding=1, output_padding=1),
    _T("unbatched-depthwise", (4, 5, 6), (4, 1, 3, 3), stride=2, groups=4, bias=False),
    # One dimension.
    _T("plain", (2, 3, 20), (3, 4, 3)),
    _T("strided", (2, 3, 20), (3, 4, 5), stride=3, padding=2, output_padding=2),
    _T("dilated", (1, 4, 20), (4, 6, 3), padding=8, dilation=8),
    _T("synthesis", (1, 3, 9), (3, 1, 1024), stride=256, padding=384),
    _T("groups-unbatched", (4, 20), (4, 3, 3), padding=1, groups=2),
    _T("batch-0", (0, 3, 20), (3, 4, 3)),
    # Three dimensions.
    _T("plain", (2, 3, 3, 4, 5), (3, 4, 3, 3, 3), padding=1),
    _T("upsample", (1, 4, 3, 4, 5), (4, 3, 2, 2, 2), stride=2),
    _T("mixed", (1, 4, 3, 2, 4), (4, 3, 3, 2, 3), (1, 2, 3), (2, 0, 1), (2, 3, 1), 2, True, (1, 0, 2)),
    _T("depthwise-unbatched", (5, 3, 4, 5), (5, 1, 3, 3, 3), stride=2, padding=1, groups=5),
    _T("asymmetric-batch-0", (0, 2, 4, 5, 6), (2, 3, 2, 3, 3), padding=((1, 0), (0, 2), (2, 1))),
]

LOCAL_CONVOLUTIONS = [
    LocalConvolution("plain", (2, 3, 7, 8), 5, (3, 3)),
    LocalConvolution("padded", (2, 3, 7, 8), 4, (3, 3), padding=1),
    LocalConvolution("strided", (2, 3, 9, 8), 5, (3, 2), stride=2, padding=(1, 0)),
    LocalConvolution("dilated", (1, 2, 9, 11), 3, (3, 2), dilation=(2, 4), padding=2),
    LocalConvolution("stride-beyond-kernel", (1, 3, 9, 11), 4, (2, 2), stride=(3, 5)),
    LocalConvolution("same", (2, 3, 5, 6), 4, (4, 4), padding="same"),
    LocalConvolution("valid", (2, 3, 5, 6), 4, (2, 3), padding="valid"),
    LocalConvolution("asymmetric", (2, 3, 5, 6), 4, (3, 3), padding=((1, 0), (2, 3))),
    LocalConvolution("more-padding-than-kernel", (1, 2, 3, 4), 3, (2, 2), padding=(3, 4)),
    LocalConvolution("flat-kernel-told-by-bias", (2, 3, 6, 6), 4, (1, 3)),
    LocalConvolution("pointwise", (2, 9, 4, 5), 7, (1, 1)),
    LocalConvolution("one-position", (3, 5, 4, 6), 9, (4, 6)),
    LocalConvolution("one-pixel", (2, 5, 1, 1), 7, (3, 3), padding=1),
    LocalConvolution("one-number", (1, 1, 1, 1), 1, (1, 1)),
    LocalConvolution("kernel-5-7", (1, 2, 9, 12), 3, (5, 7), stride=(1, 2), padding=(2, 3)),
    LocalConvolution("many-channels", (1, 67, 4, 5), 3, (3, 3), padding=1),
    LocalConvolution("many-outputs", (1, 3, 4, 5), 130, (3, 3), padding=1),
    LocalConvolution("many-images", (19, 3, 4, 5), 4, (3, 3), padding=1),
    LocalConvolution("wide", (2, 2, 3, 70), 3, (3, 3), padding=1, bias=False),
    LocalConvolution("batch-0", (0, 3, 5, 6), 4, (3, 3)),
    LocalConvolution("unbatched", (3, 5, 6), 4, (3, 3), stride=2, padding=1),
    LocalConvolution("unbatched-without-bias", (3, 5, 6), 4, (2, 2), bias=False),
]

# All that have an input, a weight and a bias, three gradients, and algorithms.
EVERY_CONVOLUTION = [*CONVOLUTIONS, *TRANSPOSED, *LOCAL_CONVOLUTIONS]


def _along(axis: str, kernel: int, size: int) -> Convolution:
    """Return a small problem with `size` channels or pixels along one axis of the tile."""
    sizes = {"in_channels": 3, "out_channels": 5, "width": 6} | {axis: size}
    shapes = (1, sizes["in_channels"], 3, sizes["width"]), (sizes["out_channels"], sizes["in_channels"], kernel, kernel)
    return Convolution(f"{axis}-{size}", *shapes, padding=kernel // 2)


def _along_depthwise(axis: str, kernel: int, size: int) -> Convolution:
    channels, width = (size, 5) if axis == "channels" else (3, size)
    shapes = (1, channels, 4, width), (channels, 1, kernel, kernel)
    return Convolution(f"depthwise-{axis}-{size}", *shapes, padding=kernel // 2, groups=channels)


def _along_transposed(axis: str, kernel: int, stride: int, size: int) -> TransposedConvolution:
    sizes = {"in_channels": 3, "out_channels": 5, "width": 6} | {axis: size}
    shapes = (1, sizes["in_channels"], 2, sizes["width"]), (sizes["in_channels"], sizes["out_channels"], kernel, kernel)
    return TransposedConvolution(f"{axis}-{size}", *shapes, stride, padding=(kernel - stride + 1) // 2)


def _along_local(axis: str, size: int) -> LocalConvolution:
    sizes = {"batch": 2, "in_channels": 3, "out_channels": 4, "width": 5} | {axis: size}
    shape = sizes["batch"], sizes["in_channels"], 2, sizes["width"]
    return LocalConvolution(f"{axis}-{size}", shape, sizes["out_channels"], (3, 3), padding=1)


# One list of problems, of all sizes around the tiles, for each axis that a kernel cuts into tiles.
TILED_CONVOLUTIONS = {
    **{
        f"{axis}-{kernel}x{kernel}": [_along(axis, kernel, size) for size in TILE_EDGES]
        for axis in ("in_channels", "out_channels", "width")
        for kernel in (1, 3)
    },
    **{f"depthwise-{axis}": [_along_depthwise(axis, 3, size) for size in TILE_EDGES] for axis in ("channels", "width")},
    **{
        f"transposed-{axis}-{kernel}-{stride}": [_along_transposed(axis, kernel, stride, size) for size in TILE_EDGES]
        for axis, kernel, stride in (
            *(("in_channels", 3, 1), ("in_channels", 2, 2), ("out_channels", 3, 1), ("out_channels", 2, 2)),
            *(("width", 3, 1), ("width", 2, 2), ("width", 4, 2)),
        )
    },
    **{
        f"local-{axis}": [_along_local(axis, size) for size in TILE_EDGES]
        for axis in ("batch", "in_channels", "out_channels", "width")
    },
}

# Layers of networks, small ones: long enough for several threads, for blocks of the cache, and for "auto" to choose.
LAYERS = [
    Convolution("stem", (1, 3, 64, 64), (32, 3, 7, 7), stride=2, padding=3),
    Convolution("dense", (1, 64, 28, 28), (64, 64, 3, 3), padding=1),
    Convolution("dense-strided", (2, 32, 29, 29), (48, 32, 3, 3), stride=2, padding=1),
    Convolution("small-image", (4, 128, 7, 7), (96, 128, 3, 3), padding=1),
    Convolution("expand", (1, 64, 28, 28), (130, 64, 1, 1)),
    Convolution("downsample", (1, 64, 28, 28), (128, 64, 1, 1), stride=2),
    Convolution("depthwise", (1, 96, 28, 28), (96, 1, 3, 3), padding=1, groups=96),
    Convolution("depthwise-strided", (1, 96, 29, 29), (96, 1, 3, 3), stride=2, padding=1, groups=96),
    Convolution("grouped", (1, 64, 20, 20), (64, 16, 3, 3), padding=1, groups=4),
    Convolution("dilated", (1, 32, 24, 24), (32, 32, 3, 3), padding=2, dilation=2),
    Convolution("signal", (4, 32, 200), (48, 32, 9), padding=4),
    Convolution("video", (1, 8, 8, 16, 16), (16, 8, 3, 3, 3), padding=1),
]
TRANSPOSED_LAYERS = [
    _T("unet", (1, 64, 14, 14), (64, 32, 2, 2), stride=2),
    _T("dcgan", (2, 64, 8, 8), (64, 32, 4, 4), stride=2, padding=1),
    _T("dense", (1, 32, 20, 20), (32, 32, 3, 3), padding=1),
    _T("odd", (1, 32, 14, 14), (32, 24, 3, 3), stride=2, padding=1, output_padding=1),
    _T("depthwise", (1, 96, 14, 14), (96, 1, 4, 4), stride=2, padding=1, groups=96),
    _T("grouped", (1, 64, 10, 10), (64, 16, 3, 3), stride=2, padding=1, groups=4),
    _T("synthesis", (1, 48, 13), (48, 1, 1024), stride=256),
    _T("video", (1, 16, 4, 8, 8), (16, 8, 2, 2, 2), stride=2),
]
LOCAL_LAYERS = [
    LocalConvolution("digits", (32, 8, 12, 12), 16, (3, 3)),
    LocalConvolution("strided", (2, 32, 15, 15), 24, (3, 3), stride=2, padding=1),
]
EVERY_LAYER = [*LAYERS, *TRANSPOSED_LAYERS, *LOCAL_LAYERS]


POOLS = [
    Pool("plain", (2, 3, 8, 10), 2),
    Pool("overlapping", (2, 3, 9, 11), 3, 2, 1),
    Pool("stride-1", (1, 5, 7, 8), 3, 1, 1),
    Pool("rectangular", (1, 3, 9, 12), (2, 5), (3, 2), (1, 2)),
    Pool("kernel-1", (2, 3, 5, 6), 1, 2),
    Pool("gaps", (2, 3, 9, 11), 2, 3),
    Pool("whole-image", (2, 3, 6, 7), (6, 7)),
    Pool("larger-than-tile", (1, 2, 21, 40), (17, 33), 2, (8, 16)),
    Pool("ceil", (2, 3, 8, 10), 3, 2, ceil_mode=True),
    Pool("ceil-padded", (2, 3, 7, 10), 3, 2, 1, ceil_mode=True),
    Pool("ceil-last-window-outside", (1, 2, 4, 5), 2, 3, 1, ceil_mode=True),
    Pool("ceil-kernel-beyond-input", (1, 2, 4, 5), 6, 3, ceil_mode=True),
    Pool("ceil-large-stride", (1, 2, 7, 9), 3, 5, 1, ceil_mode=True),
    Pool("kernel-beyond-input", (1, 2, 4, 5), 6, 1, 3),
    Pool("without-padding-in-the-count", (2, 3, 8, 9), 3, 2, 1, count_include_pad=False),
    Pool("without-padding-ceil", (2, 3, 8, 9), 3, 2, 1, ceil_mode=True, count_include_pad=False),
    Pool("divisor", (2, 3, 8, 9), 3, 2, 1, divisor_override=5),
    Pool("negative-divisor-ceil", (2, 3, 8, 9), 3, 2, 1, ceil_mode=True, divisor_override=-2),
    Pool("dilated", (2, 3, 11, 13), 3, 2, 1, 2),
    Pool("dilated-ceil", (2, 3, 10, 12), (3, 2), (2, 3), 1, (2, 3), ceil_mode=True),
    Pool("window-around-the-input", (1, 2, 2, 6), (2, 3), 1, 1, 3),
    Pool("one-pixel", (3, 2, 1, 1), 1),
    Pool("many-channels", (1, 67, 6, 7), 3, 2, 1),
    Pool("wide", (1, 2, 6, 131), 3, 2, 1),
    Pool("wide-stride-1", (1, 2, 6, 70), 3, 1, 1),
    Pool("wide-stride-3", (1, 2, 6, 131), 4, 3, 2),
    Pool("wide-dilated-stride-5", (1, 2, 6, 190), (2, 3), (1, 5), 1, 2),
    Pool("wide-stride-17", (1, 2, 3, 400), 3, (1, 17), 1),
    # Rows that are cut into stretches: two and three of the forward pass, and of the gradient.
    Pool("stretches", (1, 2, 5, 4300), 3, (2, 1), 1),
    Pool("stretches-without-padding", (1, 2, 3, 6500), (2, 5), (1, 3), (1, 2), ceil_mode=True, count_include_pad=False),
    Pool("stretches-stride-2", (1, 2, 4, 4200), 3, 2, 1, count_include_pad=False),
    Pool("batch-0", (0, 3, 8, 10), 2),
    Pool("unbatched", (3, 9, 11), 3, 2, 1, batched=False),
    Pool("plain", (2, 3, 21), 2),
    Pool("overlapping", (2, 3, 21), 3, 2, 1),
    Pool("ceil", (2, 3, 22), 3, 4, 1, ceil_mode=True),
    Pool("ceil-without-padding", (2, 3, 22), 3, 4, 1, ceil_mode=True, count_include_pad=False),
    Pool("dilated", (2, 3, 22), 4, 1, 2, 3),
    Pool("batch-0", (0, 3, 21), 2),
    Pool("unbatched", (3, 21), 3, 2, 1, batched=False),
    Pool("plain", (2, 3, 4, 6, 8), 2),
    Pool("overlapping", (2, 3, 5, 6, 7), 3, 2, 1),
    Pool("mixed", (1, 3, 5, 7, 8), (1, 2, 3), (2, 1, 3), (0, 1, 1), ceil_mode=True),
    Pool("without-padding-ceil", (1, 3, 5, 6, 7), 3, 2, 1, ceil_mode=True, count_include_pad=False),
    Pool("divisor", (1, 3, 5, 6, 7), 3, 2, 1, divisor_override=7),
    Pool("dilated", (1, 3, 7, 8, 9), 2, 1, 1, (2, 1, 3)),
    Pool("batch-0", (0, 3, 4, 6, 8), 2),
    Pool("unbatched", (3, 5, 6, 7), 3, 2, 1, batched=False),
]

ADAPTIVE_POOLS = [
    AdaptivePool("divides", (2, 3, 8, 9), (4, 3)),
    AdaptivePool("does-not-divide", (2, 3, 10, 7), (4, 3)),
    AdaptivePool("one-size-for-all", (1, 3, 7, 11), 5),
    AdaptivePool("global", (2, 5, 7, 9), 1),
    AdaptivePool("global-of-many-channels", (1, 67, 5, 6), 1),
    AdaptivePool("global-large", (1, 3, 40, 53), 1),
    AdaptivePool("rows-alone", (1, 3, 9, 10), (1, 10)),
    AdaptivePool("identity", (2, 3, 6, 7), (6, 7)),
    AdaptivePool("kept", (2, 3, 6, 7), (None, 3)),
    AdaptivePool("all-kept", (1, 3, 4, 5), (None, None)),
    AdaptivePool("larger-than-input", (2, 3, 3, 4), (7, 9)),
    AdaptivePool("larger-and-smaller", (2, 3, 3, 20), (8, 6)),
    AdaptivePool("from-one-pixel", (2, 3, 1, 1), (3, 2)),
    AdaptivePool("almost-input", (1, 2, 9, 40), (8, 39)),
    AdaptivePool("many-channels", (1, 67, 9, 7), (4, 3)),
    AdaptivePool("wide", (1, 2, 4, 131), (2, 17)),
    AdaptivePool("batch-0", (0, 3, 8, 9), 3),
    AdaptivePool("unbatched", (3, 8, 9), (3, 4), batched=False),
    AdaptivePool("plain", (2, 3, 21), 8),
    AdaptivePool("tuple", (2, 3, 21), (7,)),
    AdaptivePool("larger", (1, 3, 5), 12),
    AdaptivePool("batch-0", (0, 3, 21), 4),
    AdaptivePool("unbatched", (3, 21), 4, batched=False),
    AdaptivePool("plain", (2, 3, 5, 6, 7), (2, 3, 4)),
    AdaptivePool("global", (2, 3, 4, 5, 6), 1),
    AdaptivePool("kept", (1, 3, 4, 5, 6), [2, None, 9]),
    AdaptivePool("batch-0", (0, 3, 4, 5, 6), 2),
    AdaptivePool("unbatched", (3, 4, 5, 6), 2, batched=False),
]

UNPOOLS = [
    Unpool("plain", (2, 3, 5, 6), 2),
    Unpool("overlapping", (2, 3, 5, 6), 3, 2, 1),
    Unpool("rectangular", (1, 3, 4, 5), (2, 3), (3, 2), (1, 0)),
    Unpool("one-more", (2, 3, 5, 6), 2, output_size=(11, 13)),
    Unpool("one-less", (2, 3, 5, 6), 3, 2, 1, output_size=[8, 10]),
    Unpool("whole-shape", (2, 3, 5, 6), 2, output_size=(9, 9, 11, 12)),
    Unpool("smaller-than-input", (1, 2, 5, 6), 1, 1, output_size=(5, 6)),
    Unpool("many-channels", (1, 67, 3, 4), 2),
    Unpool("wide", (1, 2, 3, 70), 2),
    Unpool("one-pixel", (3, 2, 1, 1), 4),
    Unpool("padding-beyond-half", (1, 2, 4, 5), 2, 4, 2),
    Unpool("batch-0", (0, 3, 5, 6), 2),
    Unpool("unbatched", (3, 5, 6), 2, batched=False),
    Unpool("plain", (2, 3, 11), 2),
    Unpool("size", (2, 3, 11), 3, 2, 1, (22,)),
    Unpool("whole-shape-unbatched", (3, 11), 2, None, 0, (1, 3, 23), batched=False),
    Unpool("batch-0", (0, 3, 11), 2),
    Unpool("plain", (2, 3, 2, 3, 4), 2),
    Unpool("mixed", (1, 3, 3, 2, 4), (1, 2, 3), (2, 1, 3), (0, 1, 1), (6, 1, 12)),
    Unpool("unbatched", (3, 2, 3, 4), 2, batched=False),
]

UNFOLDINGS = [
    Unfolding("plain", (2, 3, 7, 8), 3),
    Unfolding("padded", (2, 3, 7, 8), 3, padding=1),
    Unfolding("strided", (2, 3, 9, 8), (3, 2), stride=2, padding=(1, 0)),
    Unfolding("stride-beyond-kernel", (1, 3, 11, 13), 2, stride=(3, 5)),
    Unfolding("stride-is-kernel", (2, 3, 8, 12), 4, stride=4),
    Unfolding("dilated", (1, 2, 9, 11), (3, 2), (2, 4), 2),
    Unfolding("dilated-strided", (2, 3, 10, 11), 3, 2, (3, 1), (2, 3)),
    Unfolding("pointwise", (2, 5, 4, 6), 1),
    Unfolding("pointwise-strided", (2, 5, 5, 6), 1, stride=2),
    Unfolding("one-window", (2, 3, 4, 6), (4, 6)),
    Unfolding("one-pixel", (3, 2, 1, 1), 3, padding=1),
    Unfolding("more-padding-than-kernel", (1, 2, 3, 4), 2, padding=(3, 4)),
    Unfolding("rest-at-the-border", (1, 3, 10, 12), 3, stride=4),
    Unfolding("kernel-5-17", (1, 2, 9, 30), (5, 17), padding=(2, 8)),
    Unfolding("many-channels", (1, 67, 4, 5), 3, padding=1),
    Unfolding("many-images", (9, 3, 4, 5), 2),
    Unfolding("wide", (1, 2, 3, 131), 3, padding=1),
    Unfolding("wide-strided", (1, 2, 4, 131), 3, padding=1, stride=(1, 2)),
    Unfolding("batch-0", (0, 3, 7, 8), 3),
    Unfolding("unbatched", (3, 7, 8), 3, padding=1),
]


# --- From a problem to arrays and calls


@dataclass(frozen=True, eq=False)
class Arrays:
    """The arguments of one problem, channels first."""

    input: np.ndarray
    weight: np.ndarray
    bias: np.ndarray | None
    grad_output: np.ndarray


def numbers(shape: tuple[int, ...], dtype: str, kind: str, seed: object) -> np.ndarray:
    """Return "normal" numbers or small "integers", the same at each call."""
    rng = np.random.default_rng(zlib.crc32(repr((shape, kind, seed)).encode()))
    return (rng.standard_normal(shape) if kind == "normal" else rng.integers(-2, 3, shape)).astype(dtype)


def pool_input(problem: Pool | AdaptivePool, dtype: str, kind: str) -> np.ndarray:
    """Return "normal" numbers, "ties" (few different ones), or ties with "nan" or "-inf" filling whole windows."""
    if kind == "normal":
        return numbers(problem.input_shape, dtype, kind, "pool")
    array = numbers(problem.input_shape, dtype, "integers", "pool")
    if kind != "ties":
        array[numbers(problem.input_shape, "int8", "integers", kind) >= (2 if kind == "nan" else 0)] = float(kind)
        array[..., : array.shape[-1] // 2] = float(kind)
    return array


def places(problem: Unpool, kind: str) -> np.ndarray:
    """Return indices for the input of an unpooling: all of one plane "distinct", or some of them "repeated"."""
    planes = math.prod(problem.input_shape[: -problem.dimensions])
    pixels = math.prod(problem.input_shape[-problem.dimensions :])
    rng = np.random.default_rng(zlib.crc32(repr((problem, kind)).encode()))
    most = problem.plane if kind == "distinct" else min(problem.plane, max(1, pixels // 2))
    drawn = [rng.choice(most, pixels, replace=kind != "distinct") for _ in range(planes)]
    return np.array(drawn, np.int64).reshape(problem.input_shape)


@functools.cache
def arrays(problem: Convolution, dtype: str, kind: str = "normal") -> Arrays:
    """Return the arguments of a problem, read-only, since many tests share them."""
    shapes = problem.input_shape, problem.weight_shape, problem.bias_shape, problem.output_shape
    made = [numbers(shape, dtype, kind, seed) for seed, shape in enumerate(shapes)]
    for array in made:
        array.flags.writeable = False
    return Arrays(made[0], made[1], made[2] if problem.bias else None, made[3])


def run(find: Any, problem: Convolution, which: str, a: Arrays, layout: str = "channels_first", **more: Any) -> Any:
    """Run one pass of a problem through `fast` or `slow`, in `layout`; the result comes back channels first."""
    n, options = problem.dimensions, {"layout": layout, **problem.options, **more}
    x, dy = (to_layout(array, layout, n) for array in (a.input, a.grad_output))
    if which == "forward":
        return from_layout(find(problem.function)(x, a.weight, a.bias, **options), layout, n)
    needs = (which == "input", which == "weight", which == "bias")
    gradients = find(f"{problem.function}_backward")(dy, x, a.weight, a.bias, needs=needs, **options)
    assert [gradient is not None for gradient in gradients] == [*needs]
    gradient = gradients[needs.index(True)]
    return from_layout(gradient, layout, n) if which == "input" else gradient


@functools.cache
def expected(problem: Convolution, which: str, dtype: str, kind: str = "normal", **more: Any) -> np.ndarray:
    """Return what the reference makes of the arrays of `dtype`, in float64."""
    a = arrays(problem, dtype, kind)
    wide = [None if array is None else array.astype(np.float64) for array in (a.input, a.weight, a.bias, a.grad_output)]
    return run(slow, problem, which, Arrays(*wide), **more)


def precision(dtype: str) -> np.dtype:
    """Return what fastconv computes arrays of `dtype` in."""
    return np.dtype(np.float32 if dtype == "float16" else dtype)


def largest(array: np.ndarray | None) -> float:
    return 0.0 if array is None or array.size == 0 else float(np.abs(array).max())


# How many times as much as that of a plain sum the error of an algorithm may be. Six points of Winograd's transforms
# err by up to 2.2 times as much from 8 channels up, 4.7 times with 3, and eight along one dimension as much; roots and
# fifteenths among the factors leave nothing exact, whatever it sums. A Fourier transform's error follows the values of
# its whole square, and the kernel's few terms do not make it smaller.
AMPLIFIED = {"winograd6": 6.0, "winograd8": 6.0, "fft": 4.0}


def tolerance(
    problem: Convolution, which: str, dtype: str, a: Arrays, result: np.ndarray, algorithm: str = "direct"
) -> np.ndarray | float:
    """Return how far a sum of products may be from its exact value.

    A sum of n products, added in any order with a rounding at each step, is off by at most about n eps / 2 times the
    sum of their magnitudes, which is at most n max|x| max|w|. Roundings do not all go one way, so that n instead of n
    squared is what a sound order stays under; one term more is for the bias. float16 adds its own rounding at the end:
    half a unit in the last place, which is 2**-25 below the normal numbers.
    """
    factors = {
        "forward": (a.input, a.weight),
        "input": (a.grad_output, a.weight),
        "weight": (a.grad_output, a.input),
        "bias": (a.grad_output,),
    }
    size = math.prod(largest(array) for array in factors[which])
    bound = 2 * float(np.finfo(precision(dtype)).eps) * (problem.terms(which) + 1) * max(size, largest(a.bias))
    bound *= AMPLIFIED.get(algorithm, 1.0)
    return bound if dtype != "float16" else bound + np.maximum(np.abs(result) * 2.0**-11, 2.0**-25)


def check(actual: np.ndarray, wanted: np.ndarray, dtype: str, allowed: Any, what: str) -> None:
    """Assert shape, dtype, and that no number is farther from the wanted float64 than allowed."""
    assert isinstance(actual, np.ndarray) and (actual.dtype, actual.shape) == (np.dtype(dtype), wanted.shape), what
    error = np.abs(actual.astype(np.float64) - wanted)
    assert (error <= allowed).all(), f"{what}: {np.sum(~(error <= allowed))} of {error.size} wrong, worst {error.max()}"


def identical(a: Any, b: Any) -> bool:
    """Whether two arrays, or tuples of them, are the same bit for bit, NaN included."""
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(identical, a, b))
    return (a is b is None) or (a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())

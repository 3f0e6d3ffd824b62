"""An Inception block: windows of several sizes side by side, behind 1x1 convolutions that make the large ones cheap.

C. Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, arXiv:1409.4842, block 3a of GoogLeNet: 159K parameters
and 128 M operations (table 1). It has 163,328 weights and 368 biases; the table's K is 1024.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike
from report import report

from fastconv import nn


def inception_block(
    in_channels: int,
    one: int,
    three_reduce: int,
    three: int,
    five_reduce: int,
    five: int,
    pool: int,
    *,
    rng: np.random.Generator | int | None = None,
    dtype: DTypeLike = np.float32,
) -> nn.Sequential:
    """Return the block for features [N, in_channels, H, W]; the other numbers are a row of the paper's table 1."""
    rng = np.random.default_rng(rng)

    def convolution(in_channels: int, out_channels: int, kernel_size: int) -> list[nn.Layer]:
        """Return a convolution that keeps the size, and its activation."""
        return [nn.Conv2d(in_channels, out_channels, kernel_size, padding="same", rng=rng, dtype=dtype), nn.ReLU()]

    return nn.Sequential(
        nn.Concat(
            nn.Sequential(*convolution(in_channels, one, 1)),
            nn.Sequential(*convolution(in_channels, three_reduce, 1), *convolution(three_reduce, three, 3)),
            nn.Sequential(*convolution(in_channels, five_reduce, 1), *convolution(five_reduce, five, 5)),
            nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), *convolution(in_channels, pool, 1)),
        )
    )


def main() -> None:
    block_3a = inception_block(192, 64, 96, 128, 16, 32, 32, rng=0)
    report(block_3a, (192, 28, 28), parameters=163_696, multiply_adds=128e6)


if __name__ == "__main__":
    main()

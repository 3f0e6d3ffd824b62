"""MobileNet: convolutions in two steps, a 3x3 within each channel and a 1x1 across them.

A. G. Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", 2017,
arXiv:1704.04861: 4.2 million parameters, which are 4,231,976, and 569 M multiply-adds at 224 x 224 (table 4): 8 to 9
times fewer than with plain 3x3 convolutions. `width` thins every layer: 0.75 leaves 2.6 million and 325 M, 0.5 leaves
1.3 million and 149 M, 0.25 leaves 0.5 million and 41 M (table 6).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike
from report import report

from fastconv import nn

SEPARABLE = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]


def mobilenet_v1(
    classes: int = 1000,
    *,
    width: float = 1.0,
    rng: np.random.Generator | int | None = None,
    dtype: DTypeLike = np.float32,
) -> nn.Sequential:
    """Return the network for images [N, 3, H, W], with `width` times the channels."""
    rng = np.random.default_rng(rng)

    def convolution(
        in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1
    ) -> list[nn.Layer]:
        """Return a convolution, its batch normalisation and its activation."""
        padding = kernel_size // 2
        return [
            nn.Conv2d(
                in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False, rng=rng, dtype=dtype
            ),
            nn.BatchNorm2d(out_channels, dtype=dtype),
            nn.ReLU(),
        ]

    channels = int(width * 32)
    layers = convolution(3, channels, 3, stride=2)
    for full_width, stride in SEPARABLE:
        out_channels = int(width * full_width)
        layers += convolution(channels, channels, 3, stride, groups=channels)
        layers += convolution(channels, out_channels, 1)
        channels = out_channels
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes, rng=rng, dtype=dtype)]
    return nn.Sequential(*layers, *head)


def main() -> None:
    report(mobilenet_v1(rng=0), (3, 224, 224), parameters=4_231_976, multiply_adds=569e6)


if __name__ == "__main__":
    main()

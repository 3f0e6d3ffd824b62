"""DeepLab's head: dilated convolutions of several rates, and the mean of the image, tell the class of each place.

L.-C. Chen, G. Papandreou, F. Schroff, H. Adam, "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017,
arXiv:1706.05587: rates 6, 12 and 18 on features of 33 x 33, a sixteenth of an image of 513 x 513. It is torchvision's
DeepLabHead, which has one 3x3 convolution more than the paper, and rates 12, 24 and 36 on features of 65 x 65. Of the
42,004,074 parameters of its deeplabv3_resnet50, 23,508,032 are the ResNet-50's without the linear layer, 2,365,205 the
auxiliary head's, and these 16,130,837. Of its 178.72 G multiply-adds 65.92 are these; at 33 x 33 there are 16.99 G.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike
from report import report

from fastconv import nn


def deeplab_head(
    in_channels: int = 2048,
    classes: int = 21,
    *,
    size: tuple[int, int] = (33, 33),
    rates: tuple[int, ...] = (6, 12, 18),
    rng: np.random.Generator | int | None = None,
    dtype: DTypeLike = np.float32,
) -> nn.Sequential:
    """Return the head for features [N, in_channels, *size], which gives a score a class at each place."""
    rng = np.random.default_rng(rng)

    def convolution(in_channels: int, kernel_size: int, rate: int = 1) -> list[nn.Layer]:
        """Return a convolution to 256 channels that keeps the size, its batch normalisation and its activation."""
        return [
            nn.Conv2d(in_channels, 256, kernel_size, padding="same", dilation=rate, bias=False, rng=rng, dtype=dtype),
            nn.BatchNorm2d(256, dtype=dtype),
            nn.ReLU(),
        ]

    pyramid = [
        nn.Sequential(*convolution(in_channels, 1)),
        *(nn.Sequential(*convolution(in_channels, 3, rate)) for rate in rates),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), *convolution(in_channels, 1), nn.Upsample(size)),
    ]
    return nn.Sequential(
        nn.Concat(*pyramid),
        *convolution(256 * len(pyramid), 1),
        nn.Dropout(rng=rng),
        *convolution(256, 3),
        nn.Conv2d(256, classes, 1, rng=rng, dtype=dtype),
    )


def main() -> None:
    # Every weight is used at each of the 33 x 33 places, but those behind the mean of the image once.
    everywhere = 2048 * 256 * (1 + 3 * 9) + 5 * 256 * 256 + 256 * 256 * 9 + 256 * 21
    once = 2048 * 256
    report(deeplab_head(rng=0), (2048, 33, 33), parameters=16_130_837, multiply_adds=everywhere * 33 * 33 + once)


if __name__ == "__main__":
    main()

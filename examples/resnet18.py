"""ResNet-18: eight blocks of two convolutions, each added to its own input.

K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385: 1.8 G
multiply-adds at 224 x 224 (table 1). torchvision gives 11,689,512 parameters for its resnet18, and 1.81 G. Its trained
weights load, for the state has the order of theirs::

    network.load_state_dict(dict(zip(network.state_dict(), torchvision_model.state_dict().values())))
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike
from report import report

from fastconv import nn


def resnet18(
    classes: int = 1000, *, rng: np.random.Generator | int | None = None, dtype: DTypeLike = np.float32
) -> nn.Sequential:
    """Return the network for images [N, 3, H, W]."""
    rng = np.random.default_rng(rng)

    def convolution(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> list[nn.Layer]:
        """Return a convolution and its batch normalisation."""
        padding = kernel_size // 2
        return [
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False, rng=rng, dtype=dtype),
            nn.BatchNorm2d(out_channels, dtype=dtype),
        ]

    def block(in_channels: int, out_channels: int, stride: int) -> list[nn.Layer]:
        """Return two convolutions, added to the input, which a 1x1 convolution brings to their shape if need be."""
        body = nn.Sequential(
            *convolution(in_channels, out_channels, 3, stride),
            nn.ReLU(),
            *convolution(out_channels, out_channels, 3),
        )
        shortcut = None
        if in_channels != out_channels:
            shortcut = nn.Sequential(*convolution(in_channels, out_channels, 1, stride))
        return [nn.Residual(body, shortcut), nn.ReLU()]

    return nn.Sequential(
        *convolution(3, 64, 7, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
        *block(64, 64, stride=1),
        *block(64, 64, stride=1),
        *block(64, 128, stride=2),
        *block(128, 128, stride=1),
        *block(128, 256, stride=2),
        *block(256, 256, stride=1),
        *block(256, 512, stride=2),
        *block(512, 512, stride=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(512, classes, rng=rng, dtype=dtype),
    )


def main() -> None:
    report(resnet18(rng=0), (3, 224, 224), parameters=11_689_512, multiply_adds=1.81e9)


if __name__ == "__main__":
    main()

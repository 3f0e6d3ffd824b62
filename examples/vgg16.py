"""VGG-16: thirteen 3x3 convolutions, and three linear layers that hold nine tenths of the parameters.

K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015,
arXiv:1409.1556, configuration D: 138 million parameters (table 2). torchvision gives 138,357,544 for its vgg16, and
15.47 G multiply-adds at 224 x 224. Its trained weights load, for the state has the order of theirs::

    network.load_state_dict(dict(zip(network.state_dict(), torchvision_model.state_dict().values())))
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike
from report import report

from fastconv import nn


def vgg16(
    classes: int = 1000, *, rng: np.random.Generator | int | None = None, dtype: DTypeLike = np.float32
) -> nn.Sequential:
    """Return the network for images [N, 3, 224, 224]."""
    rng = np.random.default_rng(rng)

    def convolution(in_channels: int, out_channels: int) -> list[nn.Layer]:
        """Return a 3x3 convolution and its activation, drawn to keep the variance: He et al., arXiv:1502.01852."""
        layer = nn.Conv2d(in_channels, out_channels, 3, padding=1, rng=rng, dtype=dtype)
        shape = layer.params["weight"].shape
        layer.params["weight"] = nn.init.kaiming_normal(shape, nonlinearity="relu", rng=rng, dtype=dtype)
        return [layer, nn.ReLU()]

    layers: list[nn.Layer] = []
    channels = 3
    for depth, out_channels in [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)]:
        for _ in range(depth):
            layers += convolution(channels, out_channels)
            channels = out_channels
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Linear(512 * 7 * 7, 4096, rng=rng, dtype=dtype),
        nn.ReLU(),
        nn.Dropout(rng=rng),
        nn.Linear(4096, 4096, rng=rng, dtype=dtype),
        nn.ReLU(),
        nn.Dropout(rng=rng),
        nn.Linear(4096, classes, rng=rng, dtype=dtype),
    )


def main() -> None:
    report(vgg16(rng=0), (3, 224, 224), parameters=138_357_544, multiply_adds=15.5e9)


if __name__ == "__main__":
    main()

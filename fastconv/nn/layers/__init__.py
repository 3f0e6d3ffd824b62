"""Layers: parameters and memory around the functions of `fastconv.functional` and `fastconv.grad`.

A layer is four names. `forward(x)` computes and keeps what `backward` will need; `backward(dy)` takes the gradient of
the loss by the layer's output, fills `grads`, and returns the gradient by its input; `params` and `grads` are dicts of
plain arrays. The mathematics is in the functions that the layers call.
"""

from .activation import LeakyReLU, ReLU, ReLU6, Sigmoid, SiLU, Softmax, Tanh
from .base import Layer, inference
from .convolution import Conv1d, Conv2d, Conv3d
from .dropout import Dropout
from .linear import Linear
from .locally_connected import LocallyConnected2d
from .normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d
from .pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool2d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)
from .resampling import Upsample
from .shape import Flatten, Identity
from .transposed_convolution import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Dropout",
    "Flatten",
    "Identity",
    "Layer",
    "LeakyReLU",
    "Linear",
    "LocallyConnected2d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Upsample",
    "inference",
]

"""Layers: parameters and memory around the functions of `fastconv.functional` and `fastconv.grad`.

A layer is four names. `forward(x)` computes and keeps what `backward` will need; `backward(dy)` takes the gradient of
the loss by the layer's output, fills `grads`, and returns the gradient by its input; `params` and `grads` are dicts of
plain arrays. The mathematics is in the functions that the layers call.
"""

from .activation import ReLU
from .base import Layer, recording
from .convolution import Conv2d
from .linear import Linear
from .pooling import AvgPool2d, MaxPool2d
from .shape import Flatten

__all__ = ["AvgPool2d", "Conv2d", "Flatten", "Layer", "Linear", "MaxPool2d", "ReLU", "recording"]

"""Networks, data and comparisons that the tests of networks share."""

from __future__ import annotations

import math

import numpy as np

from fastconv import nn


def small_network(dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    options = {"dtype": dtype, "rng": rng}
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, **options),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1, **options),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, 3, **options),
    )


def images_and_labels(count=30):
    """Bright squares in one of three places: easy to tell apart."""
    rng = np.random.default_rng(7)
    labels = np.arange(count) % 3
    images = rng.normal(scale=0.1, size=(count, 1, 8, 8)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        image[0, 2 * label : 2 * label + 3, 2 * label : 2 * label + 3] += 1
    return images, labels


def train(network, epochs=2, **options):
    images, labels = images_and_labels()
    settings = {"batch_size": 8, "loss": nn.CrossEntropyLoss(), "optimizer": nn.Adam(0.01), "progress": False, "rng": 3}
    return network.fit(images, labels, epochs=epochs, **settings | options)


def copies(arrays):
    return {name: array.copy() for name, array in arrays.items()}


def assert_same_bits(left, right):
    assert list(left) == list(right)
    for name in left:
        assert left[name].tobytes() == right[name].tobytes(), name


def spread(shape):
    """Values whose differences are far above a finite difference's step, so that no maximum or sign changes."""
    count = math.prod(shape)
    values = np.random.default_rng(2).permutation(count) + 0.5
    return (values - count // 2).reshape(shape) / 8


def numeric_gradient(function, array, step=1e-6):
    """Central differences of a scalar function by `array`, which is changed in place and restored."""
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        before = array[index]
        array[index] = before + step
        above = function()
        array[index] = before - step
        below = function()
        array[index] = before
        gradient[index] = (above - below) / (2 * step)
    return gradient


def torch_twin(torch, layer):
    """PyTorch's layer with the same arguments and parameters."""
    if isinstance(layer, nn.Conv2d):
        twin = torch.nn.Conv2d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.groups,
            "bias" in layer.params,
        )
    elif isinstance(layer, nn.Linear):
        twin = torch.nn.Linear(layer.in_features, layer.out_features, "bias" in layer.params)
    elif isinstance(layer, nn.MaxPool2d):
        twin = torch.nn.MaxPool2d(
            layer.kernel_size, layer.stride, layer.padding, layer.dilation, False, layer.ceil_mode
        )
    elif isinstance(layer, nn.AvgPool2d):
        twin = torch.nn.AvgPool2d(
            layer.kernel_size,
            layer.stride,
            layer.padding,
            layer.ceil_mode,
            layer.count_include_pad,
            layer.divisor_override,
        )
    elif isinstance(layer, nn.Flatten):
        twin = torch.nn.Flatten(layer.start_dim, layer.end_dim)
    elif isinstance(layer, nn.Sequential):
        return torch.nn.Sequential(*(torch_twin(torch, child) for child in layer))
    else:
        twin = getattr(torch.nn, type(layer).__name__)()
    twin = twin.double()
    assert {name: tuple(p.shape) for name, p in twin.named_parameters()} == {
        name: p.shape for name, p in layer.params.items()
    }
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            parameter.copy_(torch.from_numpy(layer.params[name]))
    return twin

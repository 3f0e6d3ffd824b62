"""THE list of layers that the tests walk, and how a case becomes a layer, a pass and what may be off in its results."""

from __future__ import annotations

import copy
import inspect
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastconv import nn


@dataclass(frozen=True)
class Case:
    """A layer by its name and arguments, and the shape of an input; `large` is one that several threads share."""

    kind: str
    shape: tuple[int, ...]
    arguments: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    large: tuple[int, ...] | None = None

    def __str__(self) -> str:
        text = ", ".join([*map(repr, self.arguments), *(f"{name}={value!r}" for name, value in self.options.items())])
        return f"{self.kind}({text})-{'x'.join(map(str, self.shape))}"

    def make(self, dtype: Any = np.float64, training: bool = True) -> nn.Layer:
        layer_class = getattr(nn, self.kind)
        taken = inspect.signature(layer_class).parameters
        own = {"dtype": dtype, "rng": 1}
        layer = layer_class(*self.arguments, **self.options, **{name: own[name] for name in own if name in taken})
        rng = np.random.default_rng(2)
        if self.kind.startswith("BatchNorm"):  # other than at the start, where much would go unnoticed
            for array in (*layer.params.values(), *layer.buffers.values()):
                array[...] = 3 if array.dtype.kind == "i" else rng.uniform(0.5, 2, array.shape)
        return layer.train(training)


def case(
    kind: str, shape: tuple[int, ...], *arguments: Any, large: tuple[int, ...] | None = None, **options: Any
) -> Case:
    return Case(kind, shape, arguments, options, large)


CASES = [
    case("Conv1d", (2, 3, 9), 3, 5, 4, large=(8, 3, 5000)),
    case("Conv1d", (1, 4, 17), 4, 6, 3, stride=2, padding=(2,), dilation=3, groups=2, bias=False),
    case("Conv1d", (3, 6), 3, 2, 3, padding="same"),
    case("Conv2d", (2, 2, 5, 6), 2, 3, 3, large=(4, 2, 70, 80)),
    case("Conv2d", (2, 4, 7, 6), 4, 6, (3, 2), (2, 1), (1, 0), (1, 2), 2, False),
    case("Conv2d", (1, 3, 3, 4), 3, 2, 2, padding=((1, 0), (0, 2))),
    case("Conv3d", (2, 2, 3, 4, 5), 2, 3, 2, large=(2, 2, 12, 30, 31)),
    case("Conv3d", (1, 2, 5, 4, 3), 2, 4, (3, 2, 1), stride=(2, 1, 1), padding=(1, 1, 0), groups=2),
    case("ConvTranspose1d", (2, 3, 5), 3, 4, 4, 3, 1, 2, large=(8, 3, 3000)),
    case("ConvTranspose1d", (4, 6), 4, 6, 3, groups=2, bias=False),
    case("ConvTranspose2d", (2, 3, 4, 5), 3, 2, 3, large=(4, 3, 60, 50)),
    case("ConvTranspose2d", (1, 4, 3, 4), 4, 6, (3, 2), (2, 3), (1, 0), (1, 2), 2, False, (2, 1)),
    case("ConvTranspose3d", (2, 2, 2, 3, 2), 2, 3, 2, stride=2, large=(2, 2, 8, 20, 21)),
    case("LocallyConnected2d", (2, 2, 4, 5), 2, 3, (4, 5), 3, large=(16, 2, 4, 5)),
    case("LocallyConnected2d", (1, 2, 4, 6), 2, 3, (4, 6), (1, 4), 2, 1, False),
    case("LocallyConnected2d", (2, 5, 5), 2, 1, 5, (4, 1), padding=(2, 0)),
    case("Linear", (3, 5), 5, 4, large=(700, 5)),
    case("Linear", (2, 4, 3), 3, 2, bias=False),
    case("Linear", (6,), 6, 1),
    case("MaxPool1d", (2, 3, 8), 2, large=(8, 8, 1001)),
    case("MaxPool1d", (3, 9), 3, 2, 1, 2, ceil_mode=True),
    case("MaxPool2d", (2, 3, 4, 6), 2, large=(4, 8, 60, 62)),
    case("MaxPool2d", (1, 2, 6, 7), (2, 3), 1, (1, 0), 2),
    case("MaxPool3d", (2, 2, 4, 5, 3), 2, ceil_mode=True, large=(2, 3, 16, 20, 22)),
    case("AvgPool1d", (2, 3, 8), 3, 2, 1, True, False, large=(8, 8, 1001)),
    case("AvgPool2d", (2, 3, 4, 6), 2, large=(4, 8, 60, 62)),
    case("AvgPool2d", (3, 6, 5), (2, 3), stride=1, divisor_override=5),
    case("AvgPool3d", (2, 2, 4, 5, 3), 2, padding=1, count_include_pad=False, large=(2, 3, 16, 20, 22)),
    case("AdaptiveAvgPool1d", (2, 3, 7), 3, large=(8, 8, 1001)),
    case("AdaptiveAvgPool2d", (2, 3, 7, 5), (3, None), large=(4, 8, 60, 62)),
    case("AdaptiveAvgPool2d", (3, 4, 6), 1),
    case("AdaptiveAvgPool3d", (2, 2, 4, 5, 3), (None, 2, 2), large=(2, 3, 16, 20, 22)),
    case("AdaptiveMaxPool2d", (2, 3, 7, 5), (3, None), large=(4, 8, 60, 62)),
    case("AdaptiveMaxPool2d", (2, 4, 6), 2),
    case("BatchNorm1d", (6, 3), 3, large=(9000, 3)),
    case("BatchNorm1d", (5, 17), 17, affine=False, large=(3000, 17)),
    case("BatchNorm1d", (7, 1), 1, momentum=None, large=(40000, 1)),
    case("BatchNorm1d", (2, 3, 9), 3, 1e-3, 0.3, large=(40, 3, 700)),
    case("BatchNorm2d", (2, 3, 4, 5), 3, large=(4, 3, 60, 61)),
    case("BatchNorm2d", (1, 2, 5, 7), 2, bias=False, large=(1, 2, 200, 201)),
    case("BatchNorm2d", (3, 16, 3, 1), 16, track_running_stats=False, large=(4, 16, 30, 31)),
    case("BatchNorm2d", (4, 9, 1, 1), 9, momentum=0.0, affine=True),
    case("BatchNorm3d", (2, 3, 2, 3, 4), 3, momentum=None, large=(2, 3, 10, 20, 30)),
    case("Dropout", (2, 3, 7), large=(70001,)),
    case("Dropout", (5, 40), 0.9),
    case("Dropout", (3, 4), 0.0),
    case("ReLU", (2, 3, 5), large=(70001,)),
    case("ReLU6", (4, 35), large=(70001,)),
    case("LeakyReLU", (2, 3, 7), large=(70001,)),
    case("LeakyReLU", (40,), 0.0),
    case("LeakyReLU", (3, 11), negative_slope=-0.5),
    case("SiLU", (2, 3, 7), large=(70001,)),
    case("Sigmoid", (2, 3, 7), large=(70001,)),
    case("Tanh", (2, 3, 7), large=(70001,)),
    case("Softmax", (3, 10), 1, large=(3000, 21)),
    case("Softmax", (2, 5, 3, 4), 1, large=(2, 21, 50, 51)),
    case("Softmax", (17, 2), dim=0, large=(17, 5000)),
    case("Softmax", (1, 35), -1),
    case("Identity", (2, 3), 64, nothing="at all"),
    case("Flatten", (2, 3, 4)),
    case("Flatten", (2, 3, 4), 0, 1),
    case("Upsample", (2, 3, 5), scale_factor=2, large=(8, 8, 1001)),
    case("Upsample", (1, 2, 4, 3), (7, 5), large=(2, 8, 60, 40)),
    case("Upsample", (2, 1, 2, 3, 2), 3, large=(2, 2, 16, 20, 22)),
    case("Upsample", (2, 3, 5), 9, mode="linear", large=(8, 8, 2001)),
    case("Upsample", (1, 2, 9), None, 0.4, "linear", False),
    case("Upsample", (1, 2, 4, 3), scale_factor=(2.0, 1.5), mode="bilinear", large=(2, 8, 60, 40)),
    case("Upsample", (2, 2, 1, 5), (3, 9), mode="bilinear", align_corners=True),
    case("Upsample", (1, 1, 3, 5), (5, 5), mode="bilinear"),
    case("Upsample", (1, 2, 4, 3), (9, 4), mode="bicubic", large=(2, 4, 60, 40)),
    case("Upsample", (1, 2, 7, 6), scale_factor=(0.5, 2.6), mode="bicubic", align_corners=True),
    case("Upsample", (1, 2, 2, 3, 4), (3, 5, 6), mode="trilinear", large=(1, 2, 16, 20, 22)),
    case("Upsample", (1, 1, 3, 2, 3), None, 1.7, "trilinear", None, True),
]  # fmt: skip

KINDS = sorted(
    name for name in nn.__all__
    if isinstance(thing := getattr(nn, name), type) and thing.__module__.startswith("fastconv.nn.layers.")
    and thing is not nn.Layer
)  # fmt: skip


def run(layer, x):
    """The layer's output; a layer that draws does it from the same place each time."""
    if hasattr(layer, "rng"):
        layer.rng = np.random.default_rng(5)
    return layer(x)


def spread(shape, dtype=np.float64):
    """Values whose differences are far above a finite difference's step, so that no maximum or sign changes."""
    count = math.prod(shape)
    values = np.random.default_rng(2).permutation(count) + 0.5
    return ((values - count // 2).reshape(shape) / 8).astype(dtype)


def normal(shape, dtype=np.float64, seed=3):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def pass_through(layer, x, dy=None):
    """Output, gradient by the input and gradients of the parameters, of one pass."""
    y = run(layer, x)
    dx = layer.backward(normal(y.shape, y.dtype) if dy is None else dy)
    return {"y": y, "dx": dx, **layer.grads}


def assert_same_bits(left, right):
    assert list(left) == list(right)
    for name in left:
        assert left[name].dtype == right[name].dtype and left[name].tobytes() == right[name].tobytes(), name


def in_double(layer):
    """A copy of the layer with its parameters and statistics in float64."""
    twin = copy.deepcopy(layer)
    for arrays in twin.params, twin.buffers:
        arrays.update({name: array.astype(np.float64) for name, array in arrays.items() if array.dtype.kind == "f"})
    if hasattr(twin, "_dtype"):
        twin._dtype = np.dtype(np.float64)
    return twin


def tolerances(layer, x, dy, expected, dtype):
    """How far each result may be from the exact one.

    2 eps (K + 1) sum |product| for sums of K products, of which the same layer on absolute values is the measure;
    elsewhere a few roundings of numbers no larger than the largest.
    """
    eps = np.finfo(dtype).eps
    if "weight" not in layer.params or isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
        largest = max(np.abs(value).max(initial=1) for value in (x, dy, *expected.values()))
        return {name: 16 * eps * largest * (64 if name == "weight" else 1) for name in expected}
    positive = copy.deepcopy(layer)
    for array in positive.params.values():
        np.abs(array, out=array)
    measure = pass_through(positive, np.abs(x), np.abs(dy))
    terms = max(layer.params["weight"].size, dy.size)
    return {name: 2 * eps * (terms + 1) * measure[name] for name in expected}


def assert_near(found, expected, tolerance):
    assert list(found) == list(expected)
    for name in found:
        assert found[name].shape == expected[name].shape, name
        excess = np.abs(found[name].astype(np.float64) - expected[name]) - tolerance[name]
        assert excess.max(initial=-1) <= 0, f"{name} is off by {excess.max()} more than it may"


def torch_twin(case, layer, torch):
    """PyTorch's layer of that name, made with the same arguments, with the same parameters and statistics."""
    twin = getattr(torch.nn, case.kind)(*case.arguments, **case.options).double().train(layer.training)
    state = {name: torch.from_numpy(array.copy()) for name, array in {**layer.params, **layer.buffers}.items()}
    twin.load_state_dict(state)  # strict: the names and shapes are those
    return twin

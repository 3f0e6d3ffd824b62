"""What one call costs where there is next to nothing to compute: validation, binding, plan and output."""

import pytest

import fastconv as fc
from fastconv.bench import Layer

TINY = [
    Layer("1x1 on 4x4", 1, in_channels=1, in_height=4, in_width=4, out_channels=1, kernel_height=1, kernel_width=1),
    Layer("3x3 on 8x8", 1, in_channels=1, in_height=8, in_width=8, out_channels=1, kernel_height=3, kernel_width=3),
    Layer("16 maps", 1, in_channels=16, in_height=7, in_width=7, out_channels=16, kernel_height=3, kernel_width=3),
]


@pytest.mark.parametrize("contender", ["fastconv", "fastconv-packed", "torch", "onnxruntime", "numpy"])
@pytest.mark.parametrize("layer", TINY, ids=lambda layer: layer.name)
def test_convolution(race, layer, contender):
    race(contender, layer)


@pytest.mark.parametrize("contender", ["fastconv", "torch"])
def test_every_option(benchmark, request, rng, contender):
    """Tuples and a bias cost more to look at than integers."""
    x, w, b = (rng.standard_normal(shape, dtype="float32") for shape in ((1, 2, 4, 4), (2, 1, 3, 3), (2,)))
    options = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 2}
    benchmark.group = "every option"
    if contender == "torch":
        torch = request.getfixturevalue("torch")
        benchmark(torch.nn.functional.conv2d, *map(torch.from_numpy, (x, w, b)), **options)
    else:
        benchmark(fc.conv2d, x, w, b, **options)


@pytest.mark.parametrize("contender", ["fastconv", "torch"])
def test_max_pool(benchmark, request, rng, contender):
    x = rng.standard_normal((1, 1, 4, 4), dtype="float32")
    benchmark.group = "max_pool2d"
    if contender == "torch":
        torch = request.getfixturevalue("torch")
        benchmark(torch.nn.functional.max_pool2d, torch.from_numpy(x), 2)
    else:
        benchmark(fc.max_pool2d, x, 2)

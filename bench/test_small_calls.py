"""What one call costs where there is next to nothing to compute: validation, binding, plan and output."""

import pytest

import fastconv as fc
from fastconv.bench import Layer

TINY = [
    Layer("1x1 on 4x4", "conv2d", (1, 1, 4, 4), (1, 1, 1, 1)),
    Layer("3x3 on 8x8", "conv2d", (1, 1, 8, 8), (1, 1, 3, 3)),
    Layer("16 maps", "conv2d", (1, 16, 7, 7), (16, 16, 3, 3)),
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

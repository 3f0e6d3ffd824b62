"""Pooling beside PyTorch, forward and backward."""

import pytest

import fastconv as fc

# name, shape of the input, kernel, stride, padding
SIZES = [
    pytest.param((1, 64, 112, 112), 3, 2, 1, id="resnet"),
    pytest.param((1, 64, 224, 224), 2, 2, 0, id="vgg"),
    pytest.param((1, 192, 71, 71), 3, 2, 0, id="inception-reduce"),
    pytest.param((1, 288, 35, 35), 3, 1, 1, id="inception-branch"),
    pytest.param((64, 32, 8, 8), 2, 2, 0, id="digits"),
]
KINDS = ["max_pool2d", "avg_pool2d"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape, kernel, stride, padding", SIZES)
@pytest.mark.parametrize("contender", ["fastconv", "torch"])
def test_forward(benchmark, request, rng, threads, contender, kind, shape, kernel, stride, padding):
    x = rng.standard_normal(shape, dtype="float32")
    benchmark.group = f"{kind} {shape} {kernel}/{stride}"
    if contender == "torch":
        torch = request.getfixturevalue("torch")
        benchmark(getattr(torch.nn.functional, kind), torch.from_numpy(x), kernel, stride, padding)
    else:
        with fc.threads(threads):
            benchmark(getattr(fc, kind), x, kernel, stride, padding)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape, kernel, stride, padding", SIZES)
@pytest.mark.parametrize("contender", ["fastconv", "torch"])
def test_backward(benchmark, request, rng, threads, contender, kind, shape, kernel, stride, padding):
    """The winners of a max pool are at hand, as they are in training."""
    x = rng.standard_normal(shape, dtype="float32")
    benchmark.group = f"{kind} backward {shape} {kernel}/{stride}"
    returns = {"return_indices": True} if kind == "max_pool2d" else {}
    if contender == "torch":
        torch = request.getfixturevalue("torch")
        operand = torch.from_numpy(x).requires_grad_()
        y = getattr(torch.nn.functional, kind)(operand, kernel, stride, padding)
        dy = torch.ones_like(y)
        benchmark(torch.autograd.grad, y, operand, dy, retain_graph=True)
    else:
        result = getattr(fc, kind)(x, kernel, stride, padding, **returns)
        y, options = (result[0], {"indices": result[1]}) if returns else (result, {})
        dy = y * 0 + 1
        with fc.threads(threads):
            benchmark(getattr(fc.grad, f"{kind}_backward"), dy, x, kernel, stride, padding, **options)

"""The specification against SciPy and PyTorch: a test that asks one is left out where it is not installed."""

import itertools

import cases
import numpy as np
import pytest
from cases import ADAPTIVE_POOLS, CONVOLUTIONS, POOLS, TRANSPOSED, UNFOLDINGS, UNPOOLS, run, slow


@pytest.mark.parametrize("size", [(9,), (7, 8), (5, 6, 7)])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
def test_scipy(size, kernel):
    signal = pytest.importorskip("scipy.signal")
    x, w = cases.numbers(size, "float64", "normal", 0), cases.numbers((kernel,) * len(size), "float64", "normal", 1)
    conv = slow(f"conv{len(size)}d")
    y = conv(x[None, None], w[None, None])[0, 0]
    assert np.allclose(y, signal.correlate(x, w, "valid", "direct"), rtol=0, atol=1e-12)
    full = conv(x[None, None], w[None, None], padding=kernel - 1)[0, 0]
    assert np.allclose(full, signal.correlate(x, w, "full", "direct"), rtol=0, atol=1e-12)
    # The gradient for the input is the true convolution of the output's gradient.
    dx = slow(f"conv{len(size)}d_input")((1, 1, *size), w[None, None], y[None, None])[0, 0]
    assert np.allclose(dx, signal.convolve(y, w, "full", "direct"), rtol=0, atol=1e-12)


def for_pytorch(torch, problem, array):
    """Return the array as a tensor, that with pairs of padding around it, and the padding left for PyTorch."""
    tensor = torch.tensor(array, requires_grad=True)
    pairs = problem.padding
    if isinstance(pairs, tuple) and isinstance(pairs[0], tuple):
        return tensor, torch.nn.functional.pad(tensor, [*itertools.chain(*reversed(pairs))]), 0
    return tensor, tensor, pairs


def check_against_pytorch(torch, problem, y, leaves):
    """Check the forward pass and the gradients against an output of PyTorch and the tensors that it depends on."""
    a = cases.arrays(problem, "float64")
    y.backward(torch.tensor(a.grad_output))
    theirs = {"forward": y.detach()} | {which: leaf.grad for which, leaf in leaves.items() if leaf is not None}
    for which, wanted in theirs.items():
        allowed = cases.tolerance(problem, which, "float64", a, wanted.numpy())
        cases.check(run(slow, problem, which, a), wanted.numpy(), "float64", allowed, which)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("problem", CONVOLUTIONS, ids=str)
def test_convolutions_and_pytorch(torch, problem):
    a = cases.arrays(problem, "float64")
    x, padded, padding = for_pytorch(torch, problem, a.input)
    w = torch.tensor(a.weight, requires_grad=True)
    b = None if a.bias is None else torch.tensor(a.bias, requires_grad=True)
    convolve = getattr(torch.nn.functional, problem.function)
    y = convolve(padded, w, b, problem.stride, padding, problem.dilation, problem.groups)
    check_against_pytorch(torch, problem, y, {"input": x, "weight": w, "bias": b})


@pytest.mark.parametrize("problem", TRANSPOSED, ids=str)
def test_transposed_convolutions_and_pytorch(torch, problem):
    a, padding, cut = cases.arrays(problem, "float64"), problem.padding, []
    if isinstance(padding, tuple) and isinstance(padding[0], tuple):  # Padding of pairs is cut off what has none.
        padding, cut = 0, [-cells for pair in reversed(padding) for cells in pair]
    x, w = torch.tensor(a.input, requires_grad=True), torch.tensor(a.weight, requires_grad=True)
    b = None if a.bias is None else torch.tensor(a.bias, requires_grad=True)
    convolve = getattr(torch.nn.functional, problem.function)
    y = convolve(x, w, b, problem.stride, padding, problem.output_padding, problem.groups, problem.dilation)
    y = torch.nn.functional.pad(y, cut) if cut else y
    check_against_pytorch(torch, problem, y, {"input": x, "weight": w, "bias": b})


TORCH_POOLS = [
    *((problem, kind) for problem in POOLS for kind in ("max", "avg") if kind == "max" or problem.has_average),
    *((problem, kind) for problem in ADAPTIVE_POOLS for kind in ("max", "avg")),
]
TORCH_POOLS = [pair for pair in TORCH_POOLS if pair[0].name != "window-around-the-input"]


@pytest.mark.parametrize(("problem", "kind"), TORCH_POOLS, ids=str)
@pytest.mark.parametrize("special", ["normal", "ties", "nan", "-inf"])
def test_pools_and_pytorch(torch, problem, kind, special):
    array = cases.pool_input(problem, "float64", special)
    x = torch.tensor(array, requires_grad=True)
    options = problem.options(kind)
    indices = {"return_indices": True} if kind == "max" else {}
    pool = getattr(torch.nn.functional, problem.function(kind))
    theirs = pool(x, **options, **indices)
    ours = slow(problem.function(kind))(array, **options, **indices)
    theirs, ours = (theirs, ours) if kind == "max" else ((theirs,), (ours,))
    for wanted, actual in zip(theirs, ours, strict=True):
        assert np.allclose(actual, wanted.detach().numpy(), rtol=1e-14, atol=1e-14, equal_nan=True)
    dy = cases.numbers(ours[0].shape, "float64", "normal", 1)
    theirs[0].backward(torch.tensor(dy))
    dx = slow(f"{problem.function(kind)}_backward")(dy, array, **options)
    assert np.allclose(dx, x.grad.numpy(), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("problem", UNPOOLS, ids=str)
def test_unpooling_and_pytorch(torch, problem):
    # Of several inputs with one index any may stay in PyTorch; without such the gradients agree too.
    array, indices = cases.numbers(problem.input_shape, "float64", "normal", 0), cases.places(problem, "distinct")
    x = torch.tensor(array, requires_grad=True)
    theirs = getattr(torch.nn.functional, problem.function)(x, torch.tensor(indices), **problem.options())
    assert np.array_equal(slow(problem.function)(array, indices, **problem.options()), theirs.detach().numpy())
    dy = cases.numbers(theirs.shape, "float64", "normal", 1)
    theirs.backward(torch.tensor(dy))
    backward = slow(f"{problem.function}_backward")
    assert np.array_equal(backward(dy, array, indices, **problem.options()), x.grad.numpy())


@pytest.mark.parametrize("problem", UNFOLDINGS, ids=str)
def test_unfold_and_fold_and_pytorch(torch, problem):
    image = cases.numbers(problem.image_shape, "float64", "integers", 0)
    columns = cases.numbers(problem.columns_shape, "float64", "integers", 1)
    x, u = torch.tensor(image, requires_grad=True), torch.tensor(columns, requires_grad=True)
    size, options = problem.image_shape[-2:], problem.options
    unfolded, folded = torch.nn.functional.unfold(x, **options), torch.nn.functional.fold(u, size, **options)
    unfolded.backward(torch.tensor(columns))
    folded.backward(torch.tensor(image))
    for ours, theirs in (
        (slow("unfold")(image, **options), unfolded.detach()),
        (slow("fold")(columns, size, **options), folded.detach()),
        (slow("unfold_backward")(columns, image, **options), x.grad),
        (slow("fold_backward")(image, columns, size, **options), u.grad),
    ):
        assert ours.dtype == np.float64 and np.array_equal(ours, theirs.numpy())

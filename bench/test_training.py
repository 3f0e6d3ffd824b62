"""One training step of a small network beside PyTorch: forward, loss, backward and Adam on 64 images of 28 x 28."""

import pytest

import fastconv as fc
from fastconv import nn


@pytest.mark.parametrize("contender", ["fastconv", "torch", "torch-nhwc"])
def test_step(benchmark, request, rng, threads, contender):
    x = rng.standard_normal((64, 1, 28, 28), dtype="float32")
    y = rng.integers(0, 10, 64)
    benchmark.group = "training step"
    if contender == "fastconv":
        with fc.threads(threads):
            benchmark(_fastconv_step(x, y, rng))
    else:
        torch = request.getfixturevalue("torch")
        benchmark(_torch_step(torch, x, y, channels_last=contender == "torch-nhwc"))


def _fastconv_step(x, y, rng):
    network = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1, rng=rng),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1, rng=rng),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, 10, rng=rng),
    )
    loss, optimizer = nn.CrossEntropyLoss(), nn.Adam(1e-3)

    def step():
        loss.forward(network.forward(x), y)
        network.backward(loss.backward(), input_gradient=False)  # as PyTorch, whose x wants none
        optimizer.step(network)

    return step


def _torch_step(torch, x, y, channels_last):
    layers = torch.nn
    network = layers.Sequential(
        layers.Conv2d(1, 32, 3, padding=1),
        layers.ReLU(),
        layers.MaxPool2d(2),
        layers.Conv2d(32, 64, 3, padding=1),
        layers.ReLU(),
        layers.MaxPool2d(2),
        layers.Flatten(),
        layers.Linear(64 * 7 * 7, 10),
    )
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    if channels_last:
        network, x = network.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    loss, optimizer = layers.CrossEntropyLoss(), torch.optim.Adam(network.parameters(), 1e-3)

    def step():
        optimizer.zero_grad()
        loss(network(x), y).backward()
        optimizer.step()

    return step

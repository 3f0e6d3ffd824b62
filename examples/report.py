"""What the examples print of a network: its summary, the counts that are expected of it, and the time of one image."""

from __future__ import annotations

import time

import numpy as np

from fastconv import nn


def report(network: nn.Sequential, input_shape: tuple[int, ...], parameters: int, multiply_adds: float) -> None:
    """Print all that, once the parameters are as many as expected, and the multiply-adds to three digits."""
    summary = network.summary(input_shape)
    print(summary)
    assert summary.parameters == parameters
    assert f"{summary.multiply_adds:.3g}" == f"{multiply_adds:.3g}"
    print(f"expected       {parameters:,} parameters, {multiply_adds:,.0f} multiply-adds")

    image = np.random.default_rng(0).random((1, *input_shape), dtype=np.float32)
    plain = milliseconds(network, image)
    frozen = milliseconds(network.freeze(), image)
    network.unfreeze()
    print(f"one image      {plain:.2f} ms, {frozen:.2f} ms after freeze()")


def milliseconds(network: nn.Sequential, image: np.ndarray) -> float:
    """Return the time of the fastest of five passes."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        network.predict(image)
        times.append(time.perf_counter() - start)
    return 1000 * min(times)

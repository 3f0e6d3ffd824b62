"""Denormal inputs cost what others cost: no trap into microcode, no flush to zero."""

import numpy as np
import pytest

import fastconv as fc


@pytest.mark.parametrize("numbers", ["normal", "denormal"])
@pytest.mark.parametrize("algorithm", ["direct", "im2col", "auto"])
def test_forward(benchmark, rng, algorithm, numbers):
    x = rng.standard_normal((1, 16, 28, 28), dtype="float32")
    w = rng.standard_normal((16, 16, 3, 3), dtype="float32")
    if numbers == "denormal":
        x *= np.finfo("float32").tiny / 16
    benchmark.group = f"{algorithm} forward"
    benchmark(fc.conv2d, x, w, algorithm=algorithm)

"""Benchmark suites of pytest-benchmark: ``python -m pytest bench``; plain ``python -m pytest`` does not collect them.

``python -m pytest bench -k resnet50 --benchmark-group-by=group --benchmark-columns=min,median,rounds`` compares the
contenders of each problem. For figures to quote use ``python -m fastconv bench``, which takes the contenders in turn,
with pauses, over several rounds; here each is measured in one go.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

import fastconv as fc
from fastconv.bench import CONTENDERS, Layer, Problem, Unsupported


@pytest.fixture
def threads():
    """The threads of every contender: those that fastconv would take."""
    return fc.get_num_threads()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def torch(threads):
    """PyTorch on as many threads, or the test is skipped."""
    module = pytest.importorskip("torch")
    module.set_num_threads(threads)
    return module


@pytest.fixture
def race(benchmark, threads):
    """Return a function that measures a contender on a layer and a pass."""

    def run(name: str, layer: Layer, direction: str = "forward", dtype: str = "float32") -> None:
        contender = CONTENDERS[name]()
        if direction not in contender.passes or not contender.does(layer):
            pytest.skip(f"{name} has no {direction} pass of {layer.function}")
        if missing := contender.missing():
            pytest.skip(f"{name} needs {', '.join(missing)}")
        benchmark.group = f"{direction} {layer.shape}"
        try:
            call = contender.prepare(Problem(layer, direction, dtype), threads)
        except Unsupported as reason:
            pytest.skip(str(reason))
        time.sleep(0.02)  # the thread pool of the contender before spins for a while
        benchmark.extra_info["gflop"] = layer.flops / 1e9
        benchmark(call)

    return run

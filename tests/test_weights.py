"""Plain weights that come again and again: what is kept of them is found outdated, bounded, and changes no bit."""

import threading

import cases
import numpy as np
import pytest
from cases import LAYOUTS, Convolution, TransposedConvolution, fast, run

import fastconv as fc
from fastconv import _core, grad

MB = 1 << 20
PROBLEMS = [
    Convolution("winograd", (1, 64, 9, 9), (64, 64, 3, 3), padding=1),
    Convolution("strided", (2, 32, 9, 9), (48, 32, 3, 3), stride=2, padding=1),
    Convolution("groups", (2, 32, 9, 9), (48, 16, 3, 3), dilation=2, groups=2),
    TransposedConvolution("upsample", (1, 32, 5, 6), (32, 24, 4, 4), stride=2, padding=1),
]
by_problem = pytest.mark.parametrize("problem", PROBLEMS, ids=str)


@pytest.fixture(autouse=True)
def empty_cache():
    """Begin with an empty cache, and leave the limit as it was."""
    limit = _core.cache_limit()
    fc.empty_cache()
    yield
    fc.set_cache_limit(limit)


def ways(problem):
    for layout in LAYOUTS:
        for which in ("forward", "input"):
            for algorithm in ("auto", *fc.algorithms()):
                if problem.refusal(algorithm, which, "float32", layout) is None:
                    yield which, layout, algorithm


@by_problem
def test_a_change_in_place_is_seen(isa, problem):
    for which, layout, algorithm in ways(problem):
        a = cases.arrays(problem, "float32")
        weight = a.weight.copy()
        a = cases.Arrays(a.input, weight, None, a.grad_output)
        for place in (None, 0, -1, weight.size // 2, None, None, 7):
            if place is not None:
                weight.flat[place] += 1
            for _ in range(3):
                y = run(fast, problem, which, a, layout, algorithm=algorithm)
            fc.empty_cache()
            assert cases.identical(y, run(fast, problem, which, a, layout, algorithm=algorithm)), (which, algorithm)
            for _ in range(12):  # Kept again, after a change too.
                assert cases.identical(y, run(fast, problem, which, a, layout, algorithm=algorithm))


@by_problem
def test_what_is_kept_changes_no_bit(problem):
    for which, layout, algorithm in ways(problem):
        a = cases.arrays(problem, "float32")
        fc.set_cache_limit(0)
        wanted = [run(fast, problem, which, a, layout, algorithm=algorithm) for _ in range(4)]
        fc.set_cache_limit(64 * MB)
        assert all(cases.identical(wanted[0], y) for y in wanted)
        for _ in range(4):
            assert cases.identical(wanted[0], run(fast, problem, which, a, layout, algorithm=algorithm))


def test_kept_from_the_second_time_on():
    x, w = np.ones((1, 64, 5, 5), np.float32), np.ones((64, 64, 3, 3), np.float32)
    sizes = []
    for _ in range(4):
        fc.conv2d(x, w, algorithm="winograd4")
        sizes.append(_core.cache_bytes())
    packed = w.nbytes * 16 // 9
    assert sizes == [0, w.nbytes + packed, w.nbytes + packed, w.nbytes + packed]
    w[0, 0, 0, 0] = 2
    fc.conv2d(x, w, algorithm="winograd4")  # What has changed is let go, and left alone for some calls.
    assert _core.cache_bytes() == 0
    for _ in range(10):
        fc.conv2d(x, w, algorithm="winograd4")
    assert _core.cache_bytes() == w.nbytes + packed
    fc.empty_cache()
    assert _core.cache_bytes() == 0


def test_packed_weights_and_new_arrays_are_not_kept():
    x, w = np.ones((1, 64, 5, 5), np.float32), np.ones((64, 64, 3, 3), np.float32)
    packed = fc.PackedWeight(w)
    arrays = [w.copy() for _ in range(5)]
    for array in arrays:
        fc.conv2d(x, packed, algorithm="winograd4")
        fc.conv2d(x, array, algorithm="winograd4")
    assert _core.cache_bytes() == 0


def test_what_is_kept_is_bounded():
    x = np.ones((1, 128, 3, 3), np.float32)
    weights = [np.full((128, 128, 3, 3), value, np.float32) for value in range(20)]
    fc.set_cache_limit(16 * MB)
    one = 5 * weights[0].nbytes  # The copy, and 36 points for 9 taps.
    for _ in range(5):
        for value, w in enumerate(weights):
            y = fc.conv2d(x, w, padding=1, algorithm="winograd6")
            assert abs(y[0, 0, 1, 1] - 1152 * value) <= 1e-3 * 1152 * value
            assert _core.cache_bytes() <= 16 * MB
    # A part of what comes round is kept, half of the limit at most.
    assert _core.cache_bytes() >= 8 * MB // one * one
    # Those that stay away make room.
    for _ in range(100):
        fc.conv2d(x, weights[-1][:, ::-1].copy(), padding=1, algorithm="direct")
    other = np.ones((128, 128, 3, 3), np.float32)
    for _ in range(200):
        fc.conv2d(x, other, padding=1, algorithm="winograd6")
    fc.set_cache_limit(4 * MB)
    assert _core.cache_bytes() <= 4 * MB


def test_more_weights_than_are_remembered():
    x = np.ones((1, 8, 3, 3), np.float32)
    weights = [np.full((8, 8, 3, 3), value, np.float32) for value in range(400)]
    for _ in range(3):
        for value, w in enumerate(weights):
            y = fc.conv2d(x, w, padding=1, algorithm="winograd4")
            assert y[0, 0, 1, 1] == 72 * value


def test_threads_that_share_a_weight_and_threads_that_change_theirs():
    x = np.ones((1, 64, 5, 5), np.float32)
    shared = np.ones((64, 64, 3, 3), np.float32)
    errors = []

    def work(index):
        own = np.ones((64, 64, 3, 3), np.float32)
        for step in range(60):
            if step % 7 == 0:
                own[:] = index + step
            if step % 20 == 19:
                fc.empty_cache()
            a, b = (fc.conv2d(x, w, algorithm="winograd4")[0, 0, 1, 1] for w in (shared, own))
            if a != 576 or b != 576 * own[0, 0, 0, 0]:
                errors.append((index, step, a, b))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_a_fork_keeps_them(python):
    script = """
import os, numpy as np, fastconv as fc
x, w = np.ones((1, 64, 5, 5), np.float32), np.ones((64, 64, 3, 3), np.float32)
for _ in range(3): fc.conv2d(x, w, algorithm="winograd4")
pid = os.fork()
w[0] = 2
y = fc.conv2d(x, w, algorithm="winograd4")
assert y[0, 0, 1, 1] == 1152 and y[0, 1, 1, 1] == 576
if pid == 0:
    os._exit(0)
print(os.waitpid(pid, 0)[1])
"""
    assert python(script).stdout.split() == ["0"]


def test_gradients_keep_theirs():
    x, w = np.ones((1, 64, 9, 9), np.float32), np.ones((64, 64, 3, 3), np.float32)
    dy = np.ones((1, 64, 7, 7), np.float32)
    for _ in range(3):
        fc.conv2d(x, w)
        grad.conv2d_input(x.shape, w, dy)
    once = _core.cache_bytes()
    assert once > 2 * w.nbytes  # One for each pass.
    w *= 2
    assert grad.conv2d_input(x.shape, w, dy)[0, 0, 4, 4] == pytest.approx(1152, rel=1e-5)

"""Threads: how many, why so many, any number of Python's at once, forked children, and the GIL."""

import itertools
import os
import random
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cases
import numpy as np
import pytest
from cases import EVERY_LAYER, LAYOUTS, PASSES, Convolution, fast, run

import fastconv as fc
from fastconv import _core, grad, runtime

needs_openmp = pytest.mark.skipif(not _core.openmp(), reason="built without OpenMP")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
needs_affinity = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="there is no affinity here")


@pytest.fixture
def process_threads(monkeypatch):
    """Let a test set the number of threads of the whole process."""
    monkeypatch.setattr(runtime, "_thread_reason", runtime._thread_reason)
    before = fc.get_num_threads()
    yield
    fc.set_num_threads(before)


def elsewhere(function):
    """Return what a function returns in another Python thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(timeout=60)


# --- How many


@needs_openmp
def test_set_num_threads_is_for_the_process(process_threads):
    for n in (3, 1, 7):
        fc.set_num_threads(n)
        assert (fc.get_num_threads(), elsewhere(fc.get_num_threads)) == (n, n)
    assert fc.show_config("dicts")["threads why"] == "set_num_threads"


@needs_openmp
def test_threads_nest_and_are_for_this_thread(process_threads):
    fc.set_num_threads(2)
    with fc.threads(3):
        with fc.threads(5):
            assert (fc.get_num_threads(), elsewhere(fc.get_num_threads)) == (5, 2)
        assert fc.get_num_threads() == 3
        fc.set_num_threads(4)
        assert (fc.get_num_threads(), elsewhere(fc.get_num_threads)) == (3, 4)
    assert fc.get_num_threads() == 4


@needs_openmp
def test_threads_are_restored_after_an_exception():
    before = fc.get_num_threads()
    with pytest.raises(KeyError), fc.threads(before + 1):
        assert fc.get_num_threads() == before + 1
        raise KeyError
    assert fc.get_num_threads() == before


@pytest.mark.parametrize(
    ("n", "error"), [(0, ValueError), (-1, ValueError), (1025, ValueError), ("2", TypeError), (2.0, TypeError)]
)
def test_wrong_numbers_are_refused_and_change_nothing(n, error):
    before = fc.get_num_threads()
    with pytest.raises(error, match="^n: "):
        fc.set_num_threads(n)
    with pytest.raises(error, match="^n: "), fc.threads(n):
        pass
    assert fc.get_num_threads() == before


@needs_openmp
def test_calls_use_them_where_there_is_work(capfd):
    small = Convolution("small", (1, 2, 5, 5), (2, 2, 3, 3))
    large = Convolution("large", (1, 64, 28, 28), (64, 64, 3, 3))
    _core.set_verbose(True)
    try:
        for threads in (1, 2, 5):
            with fc.threads(threads):
                for problem in (large, small):
                    run(fast, problem, "forward", cases.arrays(problem, "float32"))
    finally:
        _core.set_verbose(False)
    assert re.findall(r" threads (\d+) ", capfd.readouterr().err) == ["1", "1", "2", "1", "5", "1"]


# --- Why so many


@needs_openmp
@needs_affinity
@pytest.mark.parametrize(
    ("one_core", "variables", "wanted"),
    [
        (True, {}, "1 affinity"),
        (True, {"OMP_NUM_THREADS": "3"}, "1 OMP_NUM_THREADS, at most affinity"),
        (True, {"FASTCONV_NUM_THREADS": "3"}, "3 FASTCONV_NUM_THREADS"),
        (False, {"OMP_NUM_THREADS": "1"}, "1 OMP_NUM_THREADS, at most .*"),
        (False, {"FASTCONV_NUM_THREADS": "5", "OMP_NUM_THREADS": "1"}, "5 FASTCONV_NUM_THREADS"),
        (False, {"FASTCONV_NUM_THREADS": "1", "OMP_NUM_THREADS": "2"}, "1 FASTCONV_NUM_THREADS"),
        (False, {"FASTCONV_NUM_THREADS": "1024"}, "1024 FASTCONV_NUM_THREADS"),
    ],
)
def test_the_environment_counts_in_this_order(python, one_core, variables, wanted):
    script = f"""
import os
if {one_core}:
    os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
import fastconv as fc
print(fc.get_num_threads(), fc.show_config("dicts")["threads why"])
"""
    assert re.fullmatch(wanted, python(script, **variables).stdout.strip())


@needs_openmp
@needs_affinity
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="there is one processor")
def test_a_runtime_that_binds_its_threads_leaves_them_all(python):
    script = "import fastconv as fc; print(fc.get_num_threads())"
    assert python(script, OMP_PROC_BIND="true").stdout == python(script).stdout


@pytest.mark.parametrize("value", ["0", "-1", "1025", "two", "1.5", " 2", "2,2", "9" * 5000, "\u0663", "\udcff"])
def test_wrong_numbers_in_the_environment_are_refused_at_import(python, value):
    error = python("import fastconv", code=1, FASTCONV_NUM_THREADS=value).stderr.splitlines()[-1]
    assert error.startswith("ImportError: FASTCONV_NUM_THREADS: expected 1 to 1024, got ")


OWN = "/proc/self/cgroup"


def v1(name, group=""):
    return f"/sys/fs/cgroup/cpu/{group}cpu.cfs_{name}_us"


V2 = "/sys/fs/cgroup/cpu.max"


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({V2: "max 100000\n"}, None),
        ({V2: "150000 100000\n"}, 1.5),
        ({V2: "400000 100000\n", v1("quota"): "100000\n", v1("period"): "100000\n"}, 1.0),
        ({OWN: "0::/a/b\n", V2.replace("cpu.max", "a/b/cpu.max"): "300000 100000"}, 3.0),
        ({OWN: "0::/a/b\n", V2.replace("cpu.max", "a/cpu.max"): "200000 100000", V2: "300000 100000"}, 2.0),
        ({OWN: "7:memory:/m\n3:cpu,cpuacct:/a\n", v1("quota", "a/"): "50000", v1("period", "a/"): "100000"}, 0.5),
        ({OWN: "7:memory:/a\nwhat is this?\n", v1("quota", "a/"): "50000", v1("period", "a/"): "100000"}, None),
        ({v1("quota"): "-1\n", v1("period"): "100000\n"}, None),
        ({v1("quota"): "50000\n", v1("period"): "100000\n"}, 0.5),
        ({v1("quota"): "50000\n"}, None),
        ({V2: "", v1("quota"): "", v1("period"): ""}, None),
        ({V2: "what is this?"}, None),
        ({V2: "100000 0\n"}, None),
    ],
)
def test_quota_of_the_control_group(files, quota):
    def read(path):
        if path not in files:
            raise FileNotFoundError(path)
        return files[path]

    assert runtime._cgroup_quota(read) == quota


@needs_affinity
@pytest.mark.parametrize(
    ("quota", "wanted"), [(None, 8), (0.2, 1), (1.0, 1), (1.4, 1), (1.5, 2), (6.0, 6), (8.0, 8), (64.0, 8)]
)
def test_quota_limits_the_processors(monkeypatch, quota, wanted):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    monkeypatch.setattr(runtime, "_cgroup_quota", lambda: quota)
    assert runtime._processors() == (wanted, "the control group's quota" if wanted < 8 else "affinity")


# --- Many at once


def mixed_calls():
    """Return calls of all kinds of functions; each gives an array or a tuple of them."""
    calls = []
    for problem, which, layout in itertools.product(EVERY_LAYER, PASSES, LAYOUTS):
        calls.append(partial(run, fast, problem, which, cases.arrays(problem, "float32"), layout))
    x = cases.numbers((2, 33, 40, 50), "float32", "normal", 0)
    for name, layout in itertools.product(("max_pool2d", "avg_pool2d"), LAYOUTS):
        pool, backward = fast(name), fast(f"{name}_backward")
        calls.append(partial(pool, x, 3, 2, 1, layout=layout))
        calls.append(partial(backward, pool(x, 3, 2, 1, layout=layout), x, 3, 2, 1, layout=layout))
    for layout in LAYOUTS:
        image, options = cases.to_layout(x, layout, 2), {"layout": layout}
        for kind in ("max", "avg"):
            pool, backward = fast(f"adaptive_{kind}_pool2d"), fast(f"adaptive_{kind}_pool2d_backward")
            calls.append(partial(pool, image, 7, **options))
            calls.append(partial(backward, pool(image, 7, **options), image, 7, **options))
        value, index = fc.max_pool2d(image, 2, return_indices=True, **options)
        calls.append(partial(fc.max_unpool2d, value, index, 2, **options))
        calls.append(partial(grad.max_unpool2d_backward, image, value, index, 2, **options))
        calls.append(partial(fc.unfold, image, 3, 1, 1, **options))
        calls.append(partial(fc.fold, fc.unfold(image, 3, **options), (40, 50), 3, **options))
    # One packed weight for all threads, with a form for each layout that the first to come makes.
    packed = fc.PackedWeight(cases.numbers((48, 33, 3, 3), "float32", "normal", 1))
    calls.append(partial(fc.conv2d, x, packed, padding=1))
    calls.append(partial(fc.conv2d, np.moveaxis(x, 1, -1), packed, padding=1, layout="channels_last"))
    calls.append(partial(fc.conv_transpose2d, cases.numbers((1, 48, 9, 9), "float32", "normal", 3), packed, stride=2))
    # An output of more than 1 MB comes from the pool that all threads share.
    large = cases.numbers((4, 16, 80, 80), "float32", "normal", 2)
    calls.append(partial(fc.conv2d, large, np.ones((16, 1, 3, 3), np.float32), groups=16))
    calls.append(partial(grad.avg_pool2d_backward, large, np.empty((4, 16, 160, 160), np.float32), 2))
    return calls


def test_python_threads_at_once():
    wanted = [call() for call in mixed_calls()]
    calls, count = mixed_calls(), 10  # Anew, so that the packed weight is not packed yet.
    start, stop = threading.Barrier(count + 1), threading.Event()

    def compute(number):
        order = random.Random(number).sample(range(len(calls)), len(calls))
        start.wait()
        with fc.threads(number % 4 + 1):
            return [i for i in order if not cases.identical(calls[i](), wanted[i])]

    def empty():
        start.wait()
        while not stop.is_set():
            fc.empty_cache()

    with ThreadPoolExecutor(count + 1) as pool:
        emptying = pool.submit(empty)
        wrong = [pool.submit(compute, number) for number in range(count)]
        try:
            assert [future.result(timeout=120) for future in wrong] == [[]] * count
        finally:
            stop.set()
        emptying.result(timeout=60)


# --- Forked children

# What the scripts below start with: a child that hangs is ended by its alarm, and counts as wrong.
CHILD = """
import hashlib, os, signal, threading, numpy as np, fastconv as fc, test_threads
calls = test_threads.mixed_calls()

def digest():
    digest = hashlib.sha256()
    for call in calls:
        digest.update(np.ascontiguousarray(call()).tobytes())
    return digest.hexdigest()

def is_true_in_a_child(function):
    child = os.fork()
    if not child:
        signal.alarm(40)
        os._exit(0 if function() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@needs_fork
@pytest.mark.parametrize("count", [1, 4])
def test_forked_child(python, count):
    script = f"""{CHILD}
fc.set_num_threads({count})
wanted = digest()

def child():
    with fc.threads(4):
        return fc.get_num_threads() == 1 and digest() == wanted

print(fc.get_num_threads(), is_true_in_a_child(child), digest() == wanted, fc.get_num_threads())
"""
    count = count if _core.openmp() else 1
    assert python(script).stdout.split() == [str(count), "True", "True", str(count)]


@needs_fork
def test_child_forked_while_others_compute(python):
    script = f"""{CHILD}
x, stop = np.ones((1, 32, 100, 100), np.float32), threading.Event()

def disturb():
    with fc.threads(3):
        while not stop.is_set():
            fc.conv2d(x, np.ones((32, 32, 3, 3), np.float32))
            fc.empty_cache()

disturbing = [threading.Thread(target=disturb) for _ in range(2)]
for thread in disturbing:
    thread.start()
print(all([is_true_in_a_child(lambda: (fc.avg_pool2d(x, 1) == x).all()) for _ in range(30)]))
stop.set()
"""
    assert python(script).stdout.split() == ["True"]


@needs_fork
def test_pool_of_processes(python):
    script = f"""{CHILD}
import multiprocessing
wanted = digest()

def work(_):
    return fc.get_num_threads(), digest() == wanted

with multiprocessing.get_context("fork").Pool(2) as pool:
    print(set(pool.map_async(work, range(4)).get(timeout=40)))
"""
    assert python(script).stdout.strip() == "{(1, True)}"


# --- The GIL

X, PLACES = np.ones((1, 16, 96, 96), np.float32), np.zeros((1, 16, 96, 96), np.int64)
LOCAL_X, LOCAL_W = np.ones((1, 16, 32, 32), np.float32), np.ones((32 * 32, 16, 16 * 9), np.float32)
LONG = {
    "conv2d": partial(fc.conv2d, X, np.ones((16, 16, 5, 5), np.float32), padding=2, algorithm="direct"),
    "conv2d_weight": partial(grad.conv2d_weight, X, (16, 16, 5, 5), X, padding=2, algorithm="direct"),
    "max_pool2d": partial(fc.max_pool2d, X, 31, 1, 15),
    "max_pool2d_backward": partial(grad.max_pool2d_backward, X, X, 31, 1, 15),
    "avg_pool2d": partial(fc.avg_pool2d, X, 31, 1, 15),
    "avg_pool2d_backward": partial(grad.avg_pool2d_backward, X, X, 31, 1, 15),
    "conv_transpose2d": partial(fc.conv_transpose2d, X, np.ones((16, 16, 5, 5), np.float32), algorithm="direct"),
    "conv_transpose2d_backward": partial(
        grad.conv_transpose2d_backward, X, X, np.ones((16, 16, 5, 5), np.float32), padding=2, algorithm="direct"
    ),
    "adaptive_max_pool2d": partial(fc.adaptive_max_pool2d, X, 95),
    "adaptive_max_pool2d_backward": partial(grad.adaptive_max_pool2d_backward, X, X, 96),
    "adaptive_avg_pool2d": partial(fc.adaptive_avg_pool2d, X, 95),
    "adaptive_avg_pool2d_backward": partial(grad.adaptive_avg_pool2d_backward, X, X, 96),
    "max_unpool2d": partial(fc.max_unpool2d, X, PLACES, 4),
    "max_unpool2d_backward": partial(grad.max_unpool2d_backward, X, X, PLACES, 1),
    "unfold": partial(fc.unfold, X, 9, 1, 4),
    "fold": partial(fc.fold, np.ones((1, 16 * 9, 96 * 96), np.float32), 96, 3, 1, 1),
    "local_conv2d": partial(fc.local_conv2d, LOCAL_X, LOCAL_W, padding=1),
    "local_conv2d_backward": partial(grad.local_conv2d_backward, LOCAL_X, LOCAL_X, LOCAL_W, padding=1),
}


@pytest.mark.parametrize("name", LONG)
def test_other_threads_run_meanwhile(name):
    ticks, stop = [0], threading.Event()

    def counting():
        while not stop.wait(1e-4):
            ticks[0] += 1

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # Nobody takes the GIL from a thread that does not give it.
    thread = threading.Thread(target=counting)
    thread.start()
    try:
        with fc.threads(1):
            before, end = ticks[0], time.monotonic() + 5
            while ticks[0] < before + 2 and time.monotonic() < end:
                LONG[name]()
            after = ticks[0]
    finally:
        stop.set()
        sys.setswitchinterval(interval)
        thread.join()
    assert after >= before + 2

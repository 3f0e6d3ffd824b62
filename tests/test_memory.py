"""Memory: flat, bounded, given back, recycled and never shared; packed weights; references; allocations that fail."""

import copy
import gc
import itertools
import pickle
import re
import sys

import cases
import numpy as np
import pytest
from cases import (
    ALGORITHMS,
    ISAS,
    LAYERS,
    LAYOUTS,
    PASSES,
    TRANSPOSED_LAYERS,
    Convolution,
    TransposedConvolution,
    fast,
    run,
)

import fastconv as fc
from fastconv import _core, grad, runtime

MB = 1 << 20
needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.fixture(autouse=True)
def empty_cache():
    """Begin with an empty cache, and leave the limit as it was."""
    limit = _core.cache_limit()
    gc.collect()
    fc.empty_cache()
    yield
    fc.set_cache_limit(limit)


def address(array):
    return array.__array_interface__["data"][0]


def large(megabytes, value=1.0):
    """Return a new output of so many MB, all `value`."""
    return fc.avg_pool1d(np.full((1, megabytes, MB // 4), value, np.float32), 1)


# --- What is kept


@needs_linux
def test_memory_is_flat_over_a_thousand_shapes(python):
    script = """
import random, numpy as np, fastconv as fc
rng = random.Random(0)
w = np.ones((24, 2, 3, 3), np.float32)

def call():
    layout, size = rng.choice(("channels_first", "channels_last")), (rng.randint(60, 160), rng.randint(60, 160))
    x = np.ones((1, 2, *size) if layout == "channels_first" else (1, *size, 2), np.float32)
    y = fc.conv2d(x, w, padding=1, layout=layout)
    fc.max_pool2d(y, 2, layout=layout)
    if rng.random() < 0.3:
        fc.grad.conv2d_backward(y, x, w, padding=1, layout=layout)
        fc.grad.max_pool2d_backward(y, y, 1, layout=layout)

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 >> 20

fc.set_cache_limit(16 << 20)
for _ in range(200):
    call()
before = resident()
for _ in range(1000):
    call()
print(before, resident(), fc.runtime._core.cache_bytes() >> 20)
"""
    before, after, cached = map(int, python(script).stdout.split())
    assert cached <= 16
    # A thousand outputs of 1 MB would be 1 GB; workspaces that stay, hundreds of MB.
    assert after < before + 40


@needs_linux
def test_empty_cache_gives_memory_back_to_the_system(python):
    script = """
import numpy as np, fastconv as fc

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 >> 20

x = np.ones((1, 1, 12 << 18), np.float32)
before = resident()
for _ in range(3):
    outputs = [fc.avg_pool1d(x[..., : size << 18], 1) for size in (1, 2, 3, 4, 6, 8, 12, 5, 3, 3, 3, 7, 9, 1)]
    del outputs
    kept = resident()
    fc.empty_cache()
    print(kept - before, resident() - before)
"""
    for line in python(script).stdout.splitlines():
        kept, emptied = map(int, line.split())
        assert kept > 60 and emptied < 20


def test_cache_is_bounded_and_given_back():
    outputs = [large(size) for size in (2, 4, 6, 8, 10)]
    assert _core.cache_bytes() == 0
    fc.set_cache_limit(20 * MB)
    while outputs:
        outputs.pop()
        assert _core.cache_bytes() <= 20 * MB == _core.cache_limit()
    assert _core.cache_bytes() >= 10 * MB
    assert fc.show_config("dicts")["cache in use"] == f"{_core.cache_bytes() // MB} MB"
    fc.set_cache_limit(8 * MB)  # What is beyond goes at once.
    assert 0 < _core.cache_bytes() <= 8 * MB
    fc.empty_cache()
    assert _core.cache_bytes() == 0 and _core.cache_limit() == 8 * MB
    large(4)
    assert _core.cache_bytes() > 0
    fc.set_cache_limit(0)
    assert _core.cache_bytes() == 0
    large(4)
    assert _core.cache_bytes() == 0


def test_many_small_blocks_are_bounded_too():
    x = np.ones((1, 1, MB // 4), np.float32)
    outputs = [fc.avg_pool1d(x, 1) for _ in range(80)]
    outputs.clear()
    assert 0 < _core.cache_bytes() <= _core.cache_limit()


def test_workspace_is_what_explain_says():
    problems = [
        *LAYERS,
        Convolution("wide", (1, 256, 14, 14), (384, 256, 3, 3), padding=1),
        Convolution("wide-pointwise", (1, 768, 14, 14), (512, 768, 1, 1)),
        Convolution("many-images", (8, 96, 14, 14), (96, 96, 3, 3), padding=1),
        *TRANSPOSED_LAYERS,
        TransposedConvolution("wide", (1, 384, 7, 7), (384, 256, 4, 4), stride=2, padding=1),
        TransposedConvolution("wide-pointwise", (1, 512, 14, 14), (512, 768, 1, 1)),
    ]
    taken = 0
    for problem, which, layout, algorithm in itertools.product(problems, PASSES, LAYOUTS, fc.algorithms()):
        if algorithm == "direct" or problem.refusal(algorithm, which, "float32", layout):
            continue
        shape = cases.to_layout(np.empty(problem.input_shape, bool), layout, problem.dimensions).shape
        options = {"grad": None if which == "forward" else which, "layout": layout, "algorithm": algorithm}
        a, result = cases.arrays(problem, "float32"), None
        with fc.threads(5):
            plan = fc.explain(problem.function, shape, problem.weight_shape, **options, **problem.options)
            fc.empty_cache()
            result = run(fast, problem, which, a, layout, algorithm=algorithm)  # Alive, it is not in the cache.
        # Blocks of less than 1 MB are not kept; others are rounded up, by 2 MB or an eighth.
        least, kept = plan.workspace_bytes, _core.cache_bytes()
        assert least <= kept <= least * 9 // 8 + 2 * MB if least >= MB else kept == 0, (problem, which, plan)
        assert result.size
        taken += kept > 0
    assert taken > 5


# --- Outputs


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_outputs_are_aligned_and_recycled(dtype):
    x = np.ones((2, 8, 200, 200), dtype)
    w, local = np.ones((8, 8, 3, 3), dtype), np.ones((200 * 200, 8, 1), dtype)
    calls = {
        "conv": lambda: fc.conv2d(x, w, padding=1),
        "gradient": lambda: grad.conv2d_input(x.shape, w, x, padding=1),
        "pool": lambda: fc.max_pool2d(x, 3, 1, 1),
        "pool gradient": lambda: grad.avg_pool2d_backward(x, x, 3, 1, 1),
        "transposed": lambda: fc.conv_transpose2d(x, w, padding=1),
        "transposed gradient": lambda: grad.conv_transpose2d_backward(x, x, w, padding=1, needs=(True, False, False))[
            0
        ],
        "adaptive pool": lambda: fc.adaptive_avg_pool2d(x, 200),
        "adaptive gradient": lambda: grad.adaptive_max_pool2d_backward(x, x, 200),
        "unpool": lambda: fc.max_unpool2d(x, np.zeros(x.shape, np.int64), 1),
        "unfold": lambda: fc.unfold(x, 1).reshape(2, 8, 200, 200),
        "fold": lambda: fc.fold(x.reshape(2, 8, -1), 200, 1),
        "local": lambda: fc.local_conv2d(x[:, :1], local),
        "local gradient": lambda: grad.local_conv2d_backward(x, x[:, :1], local, needs=(False, True, False))[1][None],
    }
    for name, call in calls.items():
        y = call()
        first, view = address(y), y[0, :, ::2]
        assert first % 64 == 0 and y.flags.carray, name
        del y
        kept, contents = call(), view.copy()
        assert address(kept) != first, name  # The view keeps the memory.
        assert np.array_equal(view, contents), name
        del view
        assert address(call()) == first, name


def test_outputs_kept_are_never_overwritten():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 8, 200, 200)), rng.standard_normal((8, 8, 3, 3))
    kept, copies = [], []
    for number in range(12):
        y = fc.conv2d(x * number, w, padding=1)
        kept.append(y if number % 2 else y[:, 3:5])  # A view of it keeps all of it.
        copies.append(kept[-1].copy())
        if number % 3 == 0:
            kept.pop(0)
            copies.pop(0)
        grad.conv2d_backward(np.ones_like(x), x, w, padding=1)
        grad.max_pool2d_backward(x, x, 1)
    assert len(kept) == 8 and all(map(np.array_equal, kept, copies))


def test_cache_of_a_dead_output_is_not_reachable():
    # However an array passes its memory on, the memory lives as long as the last that has it.
    y = large(4, 3.0)
    holders = [memoryview(y), np.frombuffer(y, np.float32, 1000), y.reshape(-1)[5:].view("u4"), np.from_dlpack(y)]
    contents = [np.array(holder) for holder in holders]
    del y
    others = [large(4, 7.0) for _ in range(4)]
    assert all(np.array_equal(holder, content) for holder, content in zip(holders, contents, strict=True))
    assert all((other == 7).all() for other in others)


# --- Packed weights


def test_packed_weight_serves_every_problem():
    # One snapshot, whose forms for algorithms, layouts, groups and instruction sets must not be taken for each other.
    weight = cases.numbers((24, 4, 3, 3), "float32", "normal", 0)
    pointwise = cases.numbers((24, 4, 1, 1), "float32", "normal", 0)
    depthwise = cases.numbers((24, 1, 3, 3), "float32", "normal", 0)
    compared = 0
    for array, groups in ((weight, (1, 2, 6)), (pointwise, (1, 2, 6)), (depthwise, (1, 3, 24))):
        packed = fc.PackedWeight(array)
        for size, isa, group, layout, algorithm, dtype in itertools.product(
            ((9, 9), (5, 14), (3, 3)), ISAS, groups, LAYOUTS, ALGORITHMS, ("float32", "float64")
        ):
            x = cases.numbers((2, array.shape[1] * group, *size), dtype, "normal", 1)
            x, options = cases.to_layout(x, layout, 2), {"groups": group, "layout": layout, "algorithm": algorithm}
            with runtime.forced_isa(isa):
                try:
                    wanted = fc.conv2d(x, array, **options)
                except ValueError:
                    continue  # The algorithm cannot.
                compared += 1
                assert cases.identical(fc.conv2d(x, packed, **options), wanted), (isa, options)
    assert compared > 80 * len(ISAS)


def test_packed_weight_serves_convolutions_and_their_transposes():
    # The same array, packed the one way and the other, in turns; and as that of a local convolution.
    array = cases.numbers((12, 12, 3, 3), "float32", "normal", 0)
    packed = fc.PackedWeight(array)
    # An image, one of a single window, and one pixel, that becomes a window.
    images = [cases.numbers((2, 12, *size), "float32", "normal", 1) for size in ((8, 9), (3, 3), (1, 1))]
    algorithms = ("auto", "direct", "im2col")
    for isa, x, layout, algorithm, _ in itertools.product(ISAS, images, LAYOUTS, algorithms, range(2)):
        given = cases.to_layout(x, layout, 2)
        for name, stride in (("conv2d", 1), ("conv_transpose2d", 1), ("conv_transpose2d", 2), ("conv2d", 2)):
            if name == "conv2d" and x.shape[2] == 1:
                continue
            options = {"stride": stride, "layout": layout, "algorithm": algorithm}
            with runtime.forced_isa(isa):
                wanted = fast(name)(given, array, **options)
                assert cases.identical(fast(name)(given, packed, **options), wanted), (isa, name, x.shape, options)
    x, array = cases.numbers((2, 12, 4, 5), "float32", "normal", 2), cases.numbers((12, 5, 48), "float32", "normal", 3)
    assert cases.identical(fc.local_conv2d(x, fc.PackedWeight(array)), fc.local_conv2d(x, array))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", ">f4", "bool"])
@pytest.mark.parametrize("input_dtype", ["float16", "float32", "float64", "int16"])
def test_packed_weight_across_dtypes(dtype, input_dtype):
    array = cases.numbers((6, 3, 3, 3), "float64", "integers", 0).astype(dtype)
    x = cases.numbers((2, 3, 8, 9), "float64", "integers", 1).astype(input_dtype)
    packed = fc.PackedWeight(array)
    assert (packed.shape, packed.dtype) == (array.shape, array.dtype)
    for _ in range(2):
        for layout in LAYOUTS:
            given = cases.to_layout(x, layout, 2)
            assert cases.identical(fc.conv2d(given, packed, layout=layout), fc.conv2d(given, array, layout=layout))
    packed = fc.PackedWeight(array[:3])
    wanted = fc.conv_transpose2d(x, array[:3], stride=2)
    assert cases.identical(fc.conv_transpose2d(x, packed, stride=2), wanted)


def test_packed_weight_is_a_snapshot():
    array = np.ones((4, 4, 3, 3), np.float32)
    x = np.ones((1, 8, 8, 4), np.float32)
    packed = fc.PackedWeight(array)
    before = fc.conv2d(x, packed, layout="channels_last")
    array[...] = 2
    assert (fc.conv2d(x, array, layout="channels_last") == 2 * before).all()
    assert (fc.conv2d(x, packed, layout="channels_last") == before).all()
    assert (fc.conv2d(np.moveaxis(x, -1, 1), packed) == np.moveaxis(before, -1, 1)).all()  # Packed only now.
    with pytest.raises(ValueError, match="read-only"):
        packed.array[...] = 3


@pytest.mark.parametrize(
    "again",
    [
        copy.copy,
        copy.deepcopy,
        pytest.param(lambda packed: pickle.loads(pickle.dumps(packed)), id="pickle"),
    ],
)
@pytest.mark.parametrize("used", [False, True])
def test_packed_weight_is_copied(again, used):
    packed = fc.PackedWeight(cases.numbers((4, 4, 3, 3), "float32", "normal", 0))
    x = cases.numbers((1, 8, 8, 4), "float32", "normal", 1)
    if used:
        fc.conv2d(x, packed, layout="channels_last")
    other = again(packed)
    assert not other.array.flags.writeable
    assert cases.identical(fc.conv2d(x, other, layout="channels_last"), fc.conv2d(x, packed, layout="channels_last"))


# --- References


def test_references_are_given_back():
    x, dy = np.ones((1, 4, 9, 9), np.float32), np.ones((1, 4, 7, 7), np.float32)
    w, b, out = np.ones((4, 4, 3, 3), np.float32), np.ones(4, np.float32), np.empty((1, 4, 7, 7), np.float32)
    packed, wide, indices = fc.PackedWeight(w), x.astype(np.float64), np.zeros((1, 4, 3, 3), np.int64)
    half, last, objects = np.ones((1, 4, 3, 3), np.float32), np.ones((1, 9, 9, 4), np.float32), np.array([None])
    local, columns = np.ones((49, 4, 36), np.float32), np.ones((1, 36, 49), np.float32)
    watched = (x, dy, w, b, out, packed, packed.array, wide, indices, half, last, objects, local, columns)

    def calls():
        fc.conv2d(x, w, b, out=out)
        fc.conv2d(wide, w, b)
        fc.conv2d(last, packed, layout="channels_last")
        fc.conv2d(x[..., ::-1], packed, activation="silu")
        grad.conv2d_backward(dy, x, w, b)
        fc.max_pool2d(x, 3, return_indices=True)
        fc.avg_pool2d(x, 3)
        grad.max_pool2d_backward(half, x, 3, indices=indices)
        grad.avg_pool2d_backward(half, x, 3)
        fc.conv_transpose2d(dy, w, b, padding=2)
        fc.conv_transpose2d(wide, packed, b)
        grad.conv_transpose2d_backward(x, dy, w, b)
        fc.adaptive_max_pool2d(x, 3, return_indices=True)
        grad.adaptive_max_pool2d_backward(half, x, 3, indices=indices)
        fc.adaptive_avg_pool2d(wide, (None, 2))
        grad.adaptive_avg_pool2d_backward(half, x, 3)
        fc.max_unpool2d(half, indices, 3)
        grad.max_unpool2d_backward(x, half, indices, 3)
        fc.unfold(x[..., ::-1], 3)
        fc.fold(columns, 9, 3)
        fc.local_conv2d(x, local, out=out)
        grad.local_conv2d_backward(dy, x, local)
        fc.explain("conv2d", x.shape, w.shape)
        for wrong in (
            lambda: fc.conv2d(x, w, b, out=out, groups=3),
            lambda: fc.conv2d(x, w, b, out=x),
            lambda: fc.conv2d(x, w, b, algorithm="pointwise"),
            lambda: fc.conv2d(x, w, objects),
            lambda: fc.conv2d(x, packed, objects),
            lambda: grad.conv2d_backward(dy, x, w, b, out=(out, None, None)),
            lambda: grad.max_pool2d_backward(half, x, 3, indices=indices - 2),
            lambda: fc.max_pool2d(x, 3, out=(out, indices)),
            lambda: fc.conv_transpose2d(dy, packed, objects),
            lambda: fc.conv_transpose2d(dy, w, b, padding=1, out=dy),
            lambda: fc.adaptive_max_pool2d(x, 3, True, out=(out, indices)),
            lambda: fc.max_unpool2d(half, indices - 1, 3),
            lambda: fc.unfold(x, 3, out=x),
            lambda: fc.fold(columns, 8, 3),
            lambda: fc.local_conv2d(x, local, objects),
            lambda: grad.local_conv2d_backward(dy, x, local, out=(x, None, None)),
        ):
            with pytest.raises((TypeError, ValueError)):
                wrong()

    calls()
    before = [sys.getrefcount(thing) for thing in watched]
    for _ in range(50):
        calls()
    gc.collect()
    assert [sys.getrefcount(thing) for thing in watched] == before


# --- Allocations that fail

# Everything that the calls need is there before the room ends: their inputs, their threads.
SCARCE = """
import resource, numpy as np, fastconv as fc

fc.set_cache_limit(0)
MB = 1 << 20
small, w = np.ones((1, 64, 32, 32), np.float32), np.ones((64, 64, 3, 3), np.float32)
wanted = fc.conv2d(small, w)
x, long = np.ones((1, 1, 12000, 1000), np.float32), np.ones((1, 1, 4000000), np.float32)
out, deep = np.empty_like(long), np.ones((1536, 1536, 3, 3), np.float32)
patch, last = np.ones((1, 1536, 3, 3), np.float32), np.ones((1, 3, 3, 1536), np.float32)
packed, wide = fc.PackedWeight(deep), np.empty(long.shape)
patches, places = np.ones((1, 9, 1000000), np.float32), np.zeros(long.shape, np.int64)
square, local = np.ones((1, 1, 1000, 1000), np.float32), np.ones((1000000, 1, 9), np.float32)
calls = {{
    "output of a convolution": lambda: fc.conv2d(x, np.ones((1, 1, 1, 1), np.float32)),
    "output of a pool": lambda: fc.max_pool2d(x, 1),
    "indices of a pool": lambda: fc.max_pool1d(long, 1, return_indices=True),
    "gradient of a pool": lambda: fc.grad.avg_pool2d_backward(x, x, 1),
    "workspace of a forward pass": lambda: fc.conv2d(last, deep, padding=1, layout="channels_last"),
    "workspace of an input gradient": lambda: fc.grad.conv2d_input(patch.shape, deep, patch, 1, 1, algorithm="im2col"),
    "workspace of a packed weight": lambda: fc.conv2d(last, packed, padding=1, layout="channels_last"),
    "workspace of a pooling gradient": lambda: fc.grad.max_pool1d_backward(long, long, 1, out=out),
    "output of a transposed convolution": lambda: fc.conv_transpose2d(x, np.ones((1, 1, 1, 1), np.float32)),
    "workspace of a transposed convolution": lambda: fc.conv_transpose2d(patch, deep, None, 1, 1, algorithm="im2col"),
    "output of an adaptive pool": lambda: fc.adaptive_avg_pool2d(x, (None, 1000)),
    "gradient of an adaptive pool": lambda: fc.grad.adaptive_avg_pool2d_backward(x, x, (None, None)),
    "output of an unpooling": lambda: fc.max_unpool1d(long, places, 1),
    "gradient of an unpooling": lambda: fc.grad.max_unpool1d_backward(long, long, places, 1),
    "output of unfold": lambda: fc.unfold(x, 2),
    "output of fold": lambda: fc.fold(patches, 3000, 3, 1, 0, 3),
    "workspace of a local gradient": lambda: fc.grad.local_conv2d_backward(square, square, local, None, 1, 1),
    "copy of another dtype": lambda: fc.conv1d(long, np.ones((1, 1, 1)), out=wide),
}}
call = calls[{name!r}]

def used():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()

soft, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used() + 8 * MB, hard))
for _ in range(3):
    try:
        call()
        print("no error")
    except MemoryError as error:
        print("MemoryError", error)
    assert (fc.conv2d(small, w) == wanted).all()
resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
call()
"""
SCARCE_CALLS = re.findall(r'^    "(.*)": lambda', SCARCE, re.MULTILINE)


SEVERAL = {
    "conv2d": ((1, 9, 9, 8), (8, 8, 3, 3), (8,), (1, 9, 9, 8), 1),
    "conv_transpose2d": ((1, 9, 9, 8), (8, 8, 3, 3), (8,), (1, 9, 9, 8), 1),
    "local_conv2d": ((1, 64, 64, 1), (64 * 64, 64, 1), (64, 64, 64), (1, 64, 64, 64), 0),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_failed_allocation_writes_none_of_several_gradients(monkeypatch, name):
    *shapes, padding = SEVERAL[name]
    x, w, b, dy = map(np.ones, shapes)
    out = np.full(x.shape, 7.0), np.full(w.shape, 7.0), np.full(b.shape, 7.0)

    def backward():
        return fast(f"{name}_backward")(dy, x, w, b, padding=padding, layout="channels_last", out=out)

    def refuse(size):
        raise MemoryError(f"cannot allocate {size} bytes")

    with monkeypatch.context() as patch:
        patch.setattr(_core, "Block", refuse)  # in C all passes would find their memory
        with pytest.raises(MemoryError):
            backward()
    assert all((array == 7).all() for array in out)
    backward()
    assert all((array != 7).all() for array in out)


@needs_linux
@pytest.mark.parametrize("name", SCARCE_CALLS)
def test_failed_allocation(python, name):
    done = python(SCARCE.format(name=name))
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["MemoryError"] * 3, done.stdout
    assert done.stderr == ""

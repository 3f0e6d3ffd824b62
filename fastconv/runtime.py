"""The process: threads, instruction set, memory, what is chosen for a problem, and the environment's wishes."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import _convolution, _core
from . import _validate as check

__all__ = [
    "algorithms",
    "empty_cache",
    "explain",
    "get_num_threads",
    "isa",
    "set_cache_limit",
    "set_num_threads",
    "show_config",
    "threads",
]

_MOST_THREADS = 1024

# ---- the environment, read once ----


def _read_file(path: str) -> str:
    with open(path) as file:
        return file.read()


def _cgroup_folders(read: Callable[[str], str]) -> Iterator[str]:
    """Folders of this process's control groups, each with those above it, versions 2 and 1."""
    try:
        groups = [line.split(":", 2)[1:] for line in read("/proc/self/cgroup").splitlines()]
    except OSError:
        groups = []
    for controllers, group in [*(pair for pair in groups if len(pair) == 2), ["", "/"], ["cpu", "/"]]:
        if controllers and "cpu" not in controllers.split(","):
            continue
        parts = [part for part in group.split("/") if part]
        root = "/sys/fs/cgroup/cpu" if controllers else "/sys/fs/cgroup"
        yield from ("/".join([root, *parts[:depth]]) for depth in range(len(parts), -1, -1))


def _cgroup_quota(read: Callable[[str], str] = _read_file) -> float | None:
    """Processors that the control groups' smallest quota allows, None without a quota."""
    quotas = []
    for folder in _cgroup_folders(read):
        for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
            try:
                quota, period = " ".join(read(f"{folder}/{name}") for name in names).split()
                if quota not in ("max", "-1"):
                    quotas.append(float(quota) / float(period))
            except (OSError, ValueError, ZeroDivisionError):  # absent, or nothing that limits us
                continue
    return min(quotas, default=None)


def _processors() -> tuple[int, str]:
    """How many processors this process may use, and what limits them."""
    if hasattr(os, "sched_getaffinity"):
        # With OMP_PROC_BIND the OpenMP runtime has bound this thread to one place by now.
        count, why = max(len(os.sched_getaffinity(0)), _core.openmp_processors()), "affinity"
    else:
        count, why = os.cpu_count() or 1, "processors"
    quota = _cgroup_quota()
    if quota is not None and quota < count:
        return max(1, int(quota + 0.5)), "the control group's quota"
    return count, why


def _wish(name: str) -> str | None:
    """A variable of the environment; None where it is absent or empty."""
    return os.environ.get(name) or None


def _start() -> str:
    """Follow the environment; returns why there are so many threads."""
    isa_wish = _wish("FASTCONV_ISA")
    if isa_wish is not None and isa_wish not in _core.available_isas():
        raise ImportError(
            f"FASTCONV_ISA: expected one of {', '.join(_core.available_isas())} on this machine, got {isa_wish!r} "
            f"(built: {', '.join(_core.built_isas())})"
        )
    _core.use_isa(isa_wish)
    algorithm = _wish("FASTCONV_ALGORITHM")
    if algorithm is not None and algorithm != "auto":
        if algorithm not in _core.algorithms():
            raise ImportError(
                f"FASTCONV_ALGORITHM: expected auto or one of {', '.join(_core.algorithms())}, got {algorithm!r}"
            )
        _core.prefer_algorithm(algorithm)
    verbose = _wish("FASTCONV_VERBOSE")
    if verbose not in (None, "0", "1"):
        raise ImportError(f"FASTCONV_VERBOSE: expected 0 or 1, got {verbose!r}")
    _core.set_verbose(verbose == "1")
    processors, why = _processors()
    _core.set_thread_limit(processors)
    threads_wish = _wish("FASTCONV_NUM_THREADS")
    if threads_wish is None:
        if _wish("OMP_NUM_THREADS") and _core.openmp():
            return "OMP_NUM_THREADS, at most " + why
        return why if _core.openmp() else "built without OpenMP"
    if threads_wish not in map(str, range(1, _MOST_THREADS + 1)):
        raise ImportError(f"FASTCONV_NUM_THREADS: expected 1 to {_MOST_THREADS}, got {threads_wish!r}")
    _core.set_threads(int(threads_wish) if _core.openmp() else 1)
    return "FASTCONV_NUM_THREADS"


_thread_reason = _start()

# ---- threads ----


def _thread_count(n: Any) -> int:
    count = check.integer(n, "n", 1)
    if count > _MOST_THREADS:
        raise ValueError(f"n: expected at most {_MOST_THREADS} threads, got {count}")
    return count if _core.openmp() else 1


def set_num_threads(n: int) -> None:
    """Set the number of threads of every call of this process that has no `threads` of its own.

    Parameters
    ----------
    n : int
        1 to 1024. A build without OpenMP stays at one.

    Raises
    ------
    TypeError, ValueError
        Where ``n`` is not an integer, or out of range.

    Examples
    --------
    >>> import fastconv as fc
    >>> before = fc.get_num_threads()
    >>> fc.set_num_threads(1)
    >>> fc.get_num_threads()
    1
    >>> fc.set_num_threads(before)
    """
    global _thread_reason
    _core.set_threads(_thread_count(n))
    _thread_reason = "set_num_threads"


def get_num_threads() -> int:
    """The most threads that a call from this thread uses now; small work uses one.

    Returns
    -------
    int

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.get_num_threads() >= 1
    True
    """
    return _core.threads()


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Within this context calls from this thread use ``n`` threads.

    Parameters
    ----------
    n : int
        1 to 1024. A build without OpenMP stays at one.

    Raises
    ------
    TypeError, ValueError
        Where ``n`` is not an integer, or out of range.

    Examples
    --------
    >>> import fastconv as fc
    >>> with fc.threads(1):
    ...     fc.get_num_threads()
    1
    """
    before = _core.set_threads_here(_thread_count(n))
    try:
        yield
    finally:
        _core.set_threads_here(before)


# ---- memory ----


def set_cache_limit(bytes: int) -> None:
    """Set how much memory is kept for later calls; 256 MB unless set.

    Kept are blocks for outputs and workspaces, and, in at most half of it, the packed form of weights that come again
    and again, each beside a copy that every later call compares.

    Parameters
    ----------
    bytes : int
        At least 0. What is kept beyond it is freed at once.

    Raises
    ------
    TypeError, ValueError
        Where ``bytes`` is not an integer, or negative.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.set_cache_limit(256 << 20)
    """
    _core.set_cache_limit(check.integer(bytes, "bytes", 0))


def empty_cache() -> None:
    """Free the memory that is kept for later calls.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.empty_cache()
    """
    _core.empty_cache()


# ---- instruction sets and algorithms ----


def isa() -> str:
    """The instruction set in use: "generic", "avx2" or "avx512".

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.isa() in ("generic", "avx2", "avx512")
    True
    """
    return _core.isa()


def built_isas() -> tuple[str, ...]:
    """The instruction sets in this build."""
    return _core.built_isas()


def available_isas() -> tuple[str, ...]:
    """Those of them that this CPU and system can run."""
    return _core.available_isas()


@contextmanager
def forced_isa(name: str) -> Iterator[None]:
    """The whole process uses an instruction set here; for tests and benchmarks, with no call under way."""
    before = _core.isa()
    if not _core.use_isa(name):
        raise ValueError(f"name: expected one of {', '.join(_core.available_isas())}, got {name!r}")
    try:
        yield
    finally:
        _core.use_isa(before)


def algorithms() -> tuple[str, ...]:
    """The names that ``algorithm=`` takes beside "auto".

    Examples
    --------
    >>> import fastconv as fc
    >>> "im2col" in fc.algorithms()
    True
    """
    return _core.algorithms()


@dataclass(frozen=True)
class Candidate:
    """What an algorithm says of a problem: its estimated cost (ns of one thread), or its reason for refusal."""

    algorithm: str
    cost: float | None
    reason: str | None


@dataclass(frozen=True)
class Explanation:
    """What fastconv would do with a problem; printed as a table."""

    problem: str
    algorithm: str
    isa: str
    workspace_bytes: int
    candidates: list[Candidate] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{self.problem}: {self.algorithm} on {self.isa}, workspace {self.workspace_bytes / 2**20:.2f} MB"]
        for candidate in self.candidates:
            mark = "*" if candidate.algorithm == self.algorithm else " "
            cost = candidate.cost
            if cost is None:
                said = f"no: {candidate.reason}"
            elif cost == math.inf:
                said = "only by name: its error would be too large"
            else:
                said = f"about {cost / 1000:.1f} us of one thread"
            lines.append(f" {mark} {candidate.algorithm:<12} {said}")
        return "\n".join(lines)


_DIMENSIONS = {f"{function}{n}d": n for function in ("conv", "conv_transpose") for n in (1, 2, 3)}
_TRANSPOSED = {
    _convolution.FORWARD: _convolution.INPUT_GRADIENT,
    _convolution.INPUT_GRADIENT: _convolution.FORWARD,
    _convolution.WEIGHT_GRADIENT: _convolution.WEIGHT_GRADIENT,
}
_PASSES = {None: _convolution.FORWARD, "input": _convolution.INPUT_GRADIENT, "weight": _convolution.WEIGHT_GRADIENT}


def explain(
    function: str,
    input_shape: Any,
    weight_shape: Any,
    grad: str | None = None,
    dtype: Any = "float32",
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    layout: str = "channels_first",
    algorithm: str = "auto",
    output_padding: Any = None,
) -> Explanation:
    """Say which algorithm a convolution would use, with how much memory, and what the others say.

    Parameters
    ----------
    function : "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d" or "conv_transpose3d"
    input_shape, weight_shape : tuple of int
    grad : None, "input" or "weight"
        The forward pass, or a gradient.
    dtype : dtype
        float16, float32 or float64; None is float32.
    stride, padding, dilation, groups, layout, algorithm, output_padding
        As in the function; a transposed convolution alone has an output_padding.

    Returns
    -------
    Explanation
        With ``algorithm``, ``workspace_bytes`` (memory beside input, weight and output, with the threads of now) and
        ``candidates`` (each with ``algorithm``, ``cost`` and ``reason``); printed as a table.

    Raises
    ------
    TypeError, ValueError
        As the function.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.explain("conv2d", (1, 64, 56, 56), (64, 64, 1, 1)).algorithm
    'pointwise'
    """
    if not isinstance(function, str):
        raise TypeError(f"function: expected a name, got {type(function).__name__}")
    if function not in _DIMENSIONS:
        raise ValueError(f"function: expected one of {', '.join(_DIMENSIONS)}, got {function!r}")
    if grad is not None and not isinstance(grad, str):
        raise TypeError(f"grad: expected None or a string, got {type(grad).__name__}")
    if grad not in _PASSES:
        raise ValueError(f'grad: expected None, "input" or "weight", got {grad!r}')
    try:
        kind = np.dtype(np.float32 if dtype is None else dtype)  # None is float64 to NumPy
    except Exception:  # NumPy parses strings, and raises SyntaxError too
        raise TypeError(f"dtype: expected float16, float32 or float64, got {check.shown(dtype)}") from None
    if kind not in (check.FLOAT16, check.FLOAT32, check.FLOAT64):
        raise TypeError(f"dtype: expected float16, float32 or float64, got {kind}")
    channels_last, name = check.is_channels_last(layout), check.algorithm_name(algorithm)
    shapes = []
    for shape, label in ((input_shape, "input_shape"), (weight_shape, "weight_shape")):
        if isinstance(shape, (str, bytes)) or not isinstance(shape, (tuple, list)):
            raise TypeError(f"{label}: expected a tuple of sizes, got {type(shape).__name__}")
        shapes.append(tuple(check.integer(size, label, 0) for size in shape))
        check.check_size(shapes[-1], label)
    batched = check.batched(shapes[0], _DIMENSIONS[function], "input_shape", channels_last)
    batched = (max(1, batched[0]), *batched[1:])
    itemsize = 8 if kind == check.FLOAT64 else 4
    which = _PASSES[grad]
    if "transpose" in function:
        extra = 0 if output_padding is None else output_padding
        geometry, out_shape = _convolution.transposed_geometry_of(
            batched, shapes[1], stride, padding, extra, dilation, groups, channels_last, "weight_shape"
        )
        which = _TRANSPOSED[which]
        ends = out_shape, batched
    elif output_padding is None:
        geometry, out_shape = _convolution.geometry_of(
            batched, shapes[1], stride, padding, dilation, groups, channels_last, "weight_shape"
        )
        ends = batched, out_shape
    else:
        raise ValueError(f"output_padding: expected None, for {function} has none, got {output_padding!r}")
    check.check_size(out_shape, "output")
    problem = itemsize, ends[0], shapes[1], ends[1], geometry
    _convolution.check_algorithm(which, *problem[1:], name)
    said = _core.candidates(which, *problem)
    chosen, workspace = _core.chosen(which, *problem, name)
    candidates = [Candidate(*candidate) for candidate in said]
    what = {None: "", "input": ", gradient of the input", "weight": ", gradient of the weight"}[grad]
    sizes = ["x".join(map(str, shape)) for shape in shapes]
    return Explanation(f"{function} {sizes[0]} {sizes[1]} {kind}{what}", chosen, _core.isa(), workspace, candidates)


# ---- configuration ----


def show_config(mode: str = "stdout") -> Mapping[str, Any] | None:
    """Print what this build is and what it found: version, compiler, instruction sets, OpenMP, threads, memory.

    Parameters
    ----------
    mode : "stdout" or "dicts"
        Print, or return a dict instead, as ``numpy.show_config`` does.

    Returns
    -------
    dict or None

    Raises
    ------
    TypeError, ValueError
        For another mode.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.show_config("dicts")["isa"] == fc.isa()
    True
    """
    if not isinstance(mode, str):
        raise TypeError(f"mode: expected a string, got {type(mode).__name__}")
    if mode not in ("stdout", "dicts"):
        raise ValueError(f'mode: expected "stdout" or "dicts", got {mode!r}')
    from . import __version__

    config = {
        "version": __version__,
        "compiler": _core.compiler(),
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "isas built": ", ".join(_core.built_isas()),
        "isas found": ", ".join(_core.available_isas()),
        "isa": _core.isa(),
        "algorithms": ", ".join(_core.algorithms()),
        "openmp": _core.openmp() or "no: built without OpenMP, serial",
        "threads": _core.threads(),
        "threads why": _thread_reason,
        "cache limit": f"{_core.cache_limit() / 2**20:.0f} MB",
        "cache in use": f"{_core.cache_bytes() / 2**20:.0f} MB",
    }
    if mode == "dicts":
        return config
    for key, value in config.items():
        print(f"{key:<14} {value}")
    return None

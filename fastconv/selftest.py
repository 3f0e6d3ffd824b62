"""The self-test: what is installed here, on this CPU, against `fastconv.reference`.

It walks every function of `fastconv` that the reference has, and its gradients, with every algorithm, on every
instruction set that this CPU has, in every dtype and layout. The functions, algorithms and instruction sets are asked
of fastconv; a new kind of function needs one entry in `_KINDS`, which draws problems for it. It needs NumPy only.
``python -m fastconv selftest`` runs it.
"""

from __future__ import annotations

import fnmatch
import inspect
import math
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

import numpy as np

import fastconv as fc
from fastconv import grad, reference, runtime

DTYPES = ("float16", "float32", "float64")
LAYOUTS = ("channels_first", "channels_last")
PROBLEMS = 96  # of each function: about a minute on two cores in all

_EDGES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33)  # sizes around the vectors of all instruction sets
_MOST_SHOWN = 20  # failing combinations of algorithm, instruction set, dtype and layout that are written out
_AVERAGED = 16  # terms that a mean hides from the bound: its weights are not ones

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Problem:
    """The arguments of one call: arrays by parameter (float64 or int64, channels first), and options."""

    arrays: dict[str, Array | None]
    options: dict[str, Any]

    def __str__(self) -> str:
        arrays = [f"{name} {'x'.join(map(str, a.shape))}" for name, a in self.arrays.items() if a is not None]
        return ", ".join(arrays + [f"{name}={value!r}" for name, value in self.options.items()])


@dataclass(frozen=True)
class Failure:
    """What went wrong, and where."""

    function: str
    algorithm: str
    isa: str
    dtype: str
    layout: str
    problem: str
    message: str

    @property
    def place(self) -> str:
        """The combination that fails, whatever the problem is."""
        algorithm = f"algorithm {self.algorithm}, " if self.algorithm else ""
        return f"{self.function}, {algorithm}{self.isa}, {self.dtype}, {self.layout}"

    def __str__(self) -> str:
        return f"{self.place}: {self.message}; {self.problem}"


@dataclass
class Report:
    """What was found."""

    functions: list[str] = field(default_factory=list)
    checks: Counter[str] = field(default_factory=Counter)  # by instruction set
    algorithms: Counter[tuple[str, str]] = field(default_factory=Counter)  # by algorithm and instruction set
    failures: list[Failure] = field(default_factory=list)
    worst: float = 0.0
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return bool(self.checks) and not self.failures


def functions() -> list[str]:
    """Return the names of the functions that are tested, each with its gradients."""
    return [name for name in fc.__all__ if hasattr(reference, name)]


def run(pattern: str = "*", problems: int = PROBLEMS, seed: int = 0, stream: TextIO | None = None) -> Report:
    """Test the functions whose name matches a shell pattern, and write a line for each and a summary.

    Parameters
    ----------
    pattern : str
        Such as ``conv*``.
    problems : int
        Problems of each function.
    seed : int
        Draws the problems and the numbers.
    stream : text stream, optional
        Where to; standard output if not given.

    Returns
    -------
    Report
        Whether it ``passed``, and its ``failures``.

    Examples
    --------
    >>> import io
    >>> run("avg_pool1d", problems=1, stream=io.StringIO()).passed
    True
    """
    stream = stream or sys.stdout
    isas = runtime.available_isas()
    report = Report([name for name in functions() if fnmatch.fnmatchcase(name, pattern)])
    start = time.perf_counter()
    width = max(map(len, report.functions), default=0)

    def write(text: str, end: str = "\n") -> None:
        print(text, end=end, file=stream, flush=True)

    write(f"{'function':{width}}" + "".join(f"{isa:>10}" for isa in isas) + "  largest error / allowed")
    for name in report.functions:
        write(f"{name:{width}}", end="")  # first: a crash, too, is to show where it was
        known, report.worst = len(report.failures), 0.0
        rng = np.random.default_rng([seed, *name.encode()])
        checks = [check for index in range(problems) for check in _checks(name, rng, index, index == problems - 1)]
        for isa in isas:
            before = report.checks[isa]
            with runtime.forced_isa(isa):
                for check in checks:
                    check.run(isa, report)
            write(f"{report.checks[isa] - before:10}", end="")
        new = report.failures[known:]
        write(f"{report.worst:10.2f}" + (f"   {len(new)} FAILED" if new else ""))
        times = Counter(failure.place for failure in new)
        first = {failure.place: failure for failure in reversed(new)}
        for place in [*times][:_MOST_SHOWN]:
            write(f"    {times[place]} times: {first[place]}")
        if len(times) > _MOST_SHOWN:
            write(f"    and so in {len(times) - _MOST_SHOWN} more combinations")
    report.seconds = time.perf_counter() - start
    _summarize(report, isas, write)
    return report


def _summarize(report: Report, isas: Sequence[str], write: Callable[[str], None]) -> None:
    if report.algorithms:
        write("")
        write(f"{'algorithm':12}" + "".join(f"{isa:>10}" for isa in isas))
        for algorithm in ("auto", *fc.algorithms()):
            write(f"{algorithm:12}" + "".join(f"{report.algorithms[algorithm, isa]:10}" for isa in isas))
    write("")
    total = sum(report.checks.values())
    result = f"{len(report.failures)} of {total} checks failed" if report.failures else f"all {total} checks passed"
    write(f"fastconv {fc.__version__}, {fc.get_num_threads()} threads: {result} in {report.seconds:.0f} s")


# ---- one check


@dataclass(frozen=True)
class _Check:
    """One function or gradient, on the arrays of one problem in one dtype and layout, and what must come out."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    expected: tuple[Any, ...]
    allowed: tuple[Any, ...]
    dtype: str
    layout: str
    problem: Problem
    large: bool

    def run(self, isa: str, report: Report) -> None:
        """Run it with every algorithm, and write down what is wrong."""
        has_algorithms = "algorithm" in inspect.signature(self.function).parameters
        for algorithm in ("auto", *fc.algorithms()) if has_algorithms else ("",):
            chosen = {"algorithm": algorithm} if algorithm else {}
            try:
                result = _tuple(self.function(*self.arguments, **self.options, **chosen))
                message = self._compare(result, report) or self._compare_bits(result, chosen)
            except ValueError as error:
                if algorithm not in ("", "auto") and str(error).startswith("algorithm: "):
                    continue  # it cannot do this problem, and says so
                message = f"raised ValueError: {error}"
            except Exception as error:
                message = f"raised {type(error).__name__}: {error}"
            report.checks[isa] += 1
            if algorithm:
                report.algorithms[algorithm, isa] += 1
            if message:
                place = self.name, algorithm, isa, self.dtype, self.layout, str(self.problem)
                report.failures.append(Failure(*place, message))

    def _compare(self, result: tuple[Any, ...], report: Report) -> str:
        if len(result) != len(self.expected):
            return f"returned {len(result)} results, expected {len(self.expected)}"
        for index, (actual, expected, allowed) in enumerate(zip(result, self.expected, self.allowed, strict=True)):
            which = f"result {index}: " if len(result) > 1 else ""
            if expected is None or actual is None:
                if expected is not actual:
                    return f"{which}None where an array is expected, or the other way round"
                continue
            dtype = self.dtype if expected.dtype.kind == "f" else "int64"
            if (actual.shape, actual.dtype) != (expected.shape, np.dtype(dtype)):
                return f"{which}{actual.dtype} {actual.shape}, expected {dtype} {expected.shape}"
            error = np.abs(actual.astype(np.float64) - expected)
            bound = np.broadcast_to(allowed, error.shape)
            if not (error <= bound).all():
                worst = np.argmax(np.where(np.isnan(error), np.inf, error - bound))
                return f"{which}largest error {error.flat[worst]:.3g}, allowed {bound.flat[worst]:.3g}"
            if self.dtype != "float16":  # whose last rounding is all there is to see
                report.worst = max(report.worst, float(np.max(error / np.maximum(bound, 1e-300), initial=0)))
        return ""

    def _compare_bits(self, result: tuple[Any, ...], chosen: dict[str, str]) -> str:
        """Compare with other numbers of threads, where the problem is large enough for several, and a packed weight."""
        for threads in (1, 3) if self.large else ():
            with fc.threads(threads):
                again = _tuple(self.function(*self.arguments, **self.options, **chosen))
            if not all(map(_identical, result, again)):
                return f"its bits differ between {fc.get_num_threads()} and {threads} threads"
        if re.fullmatch(r"conv(_transpose)?\dd", self.name):
            input, weight, *bias = self.arguments
            again = _tuple(self.function(input, fc.PackedWeight(weight), *bias, **self.options, **chosen))
            if not all(map(_identical, result, again)):
                return "its bits differ between a weight and the packed weight"
        return ""


def _checks(name: str, rng: np.random.Generator, index: int, large: bool) -> Iterator[_Check]:
    """Draw a problem for a function, and yield the checks of it and of its gradients in every dtype and layout."""
    kind, _, dimensions = re.fullmatch(r"(.+?)((\d)d)?", name).groups()  # type: ignore[union-attr]
    problem = _KINDS[kind](_Draw(rng, int(dimensions or 2), index, large))
    gradients = [other for other in grad.__all__ if other.startswith(f"{name}_")]
    for dtype in DTYPES:
        for layout in LAYOUTS:
            arrays = {key: _in_layout(key, array, dtype, layout) for key, array in problem.arrays.items()}
            options = {"layout": layout, **problem.options}
            forward = _check(name, fc, tuple(arrays.values()), options, dtype, layout, problem, large)
            yield forward
            dy = rng.standard_normal(np.shape(forward.expected[0])).astype(dtype)
            if len(forward.expected) > 1:
                options["indices"] = forward.expected[1]
            for gradient in gradients:
                arguments = _ARGUMENTS[gradient.removeprefix(f"{name}_")](dy, arrays)
                yield _check(gradient, grad, arguments, options, dtype, layout, problem, large)


def _check(
    name: str,
    module: Any,
    arguments: tuple[Any, ...],
    options: dict[str, Any],
    dtype: str,
    layout: str,
    problem: Problem,
    large: bool,
) -> _Check:
    """Return the check of one call, with what the reference says in float64, and how far from it a result may be.

    A sum of n products that is rounded at each step, in any order, is off by at most about n eps / 2 times the sum of
    their magnitudes. Every function here but a maximum is linear in each array: of magnitudes it gives that sum, and of
    ones it gives n.
    """
    function, slow = getattr(module, name), getattr(reference, name)
    known = inspect.signature(slow).parameters
    options = {key: value for key, value in options.items() if key in known}
    selects = name.startswith(("max_pool", "adaptive_max_pool"))

    def of(change: Callable[[Array], Any], **more: Any) -> tuple[Any, ...]:
        def changed(index: int, argument: Any) -> Any:
            if not isinstance(argument, np.ndarray) or argument.dtype.kind != "f":
                return argument
            wide: Array = argument.astype(np.float64)
            return wide if selects and index > 0 else change(wide)  # which cell is selected depends on the signs

        return _tuple(slow(*(changed(i, argument) for i, argument in enumerate(arguments)), **options | more))

    expected = of(lambda array: array)
    linear = {"activation": None} if "activation" in options else {}
    sizes, counts = of(np.abs, **linear), of(np.ones_like, **linear)
    exact = selects and module is fc
    allowed = [
        0 if exact or result is None else _allowed(result, size, count, dtype)
        for result, size, count in zip(expected, sizes, counts, strict=True)
    ]
    return _Check(name, function, arguments, options, expected, tuple(allowed), dtype, layout, problem, large)


def _allowed(expected: Array, size: Any, count: Any, dtype: str) -> Any:
    eps = float(np.finfo("float64" if dtype == "float64" else "float32").eps)
    bound = 2 * eps * (float(count.max(initial=0)) + _AVERAGED) * float(size.max(initial=0))
    # float16 is computed in float32 and rounded once: to half a unit in its last place, or below its normal numbers.
    return bound if dtype != "float16" else bound + np.maximum(np.abs(expected) * 2.0**-11, 2.0**-25)


# How the arguments of a gradient are made of the gradient of the output and the arrays of the function.
_ARGUMENTS: dict[str, Callable[[Array, dict[str, Any]], tuple[Any, ...]]] = {
    "backward": lambda dy, arrays: (dy, *arrays.values()),
    "input": lambda dy, arrays: (arrays["input"].shape, arrays["weight"], dy),
    "weight": lambda dy, arrays: (arrays["input"], arrays["weight"].shape, dy),
}


def _in_layout(name: str, array: Array | None, dtype: str, layout: str) -> Array | None:
    if array is None:
        return None
    if layout == "channels_last" and name in ("input", "indices"):
        array = np.moveaxis(array, 1, -1)
    return np.ascontiguousarray(array, dtype if array.dtype.kind == "f" else array.dtype)


def _tuple(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def _identical(a: Array | None, b: Array | None) -> bool:
    return a is b is None or (a is not None and b is not None and a.tobytes() == b.tobytes())


# ---- problems


@dataclass(frozen=True)
class _Draw:
    """Draws the parts of a problem of so many spatial dimensions, small, or large enough for several threads.

    Now and then it draws what an algorithm of its own takes: a kernel of ones, of threes, or of seven along a
    row, as many groups as channels, no strides.
    """

    rng: np.random.Generator
    dimensions: int
    index: int
    large: bool

    def one(self, *choices: Any) -> Any:
        return choices[self.rng.integers(len(choices))]

    def each(self, *choices: Any) -> tuple[Any, ...]:
        """Return one of the choices for each spatial dimension; in every third problem the first one for all."""
        return tuple(choices[0] if self.index % 3 == 0 else self.one(*choices) for _ in range(self.dimensions))

    def channels(self) -> int:
        return int(self.one(16, 24)) if self.large else int(self.one(*_EDGES))

    def groups(self) -> tuple[int, int, int]:
        """Return groups, and channels of the input and of the output in each."""
        if self.index % 4 == 1:
            return self.channels(), 1, self.one(1, 1, 2)
        groups = self.one(1, 1, 1, 2, 3)
        return groups, max(1, self.channels() // groups), max(1, self.channels() // groups)

    def kernel(self) -> tuple[int, ...]:
        if self.index % 6 == 3:
            return (1,) * (self.dimensions - 1) + (7,) if self.index % 12 == 3 else (3,) * self.dimensions
        largest = 3 if self.large or self.dimensions == 3 else 5
        return tuple(1 if self.index % 4 == 0 else self.one(*range(1, largest + 1)) for _ in range(self.dimensions))

    def space(self, least: Sequence[int]) -> tuple[int, ...]:
        """Return spatial sizes of at least `least`: the last one around the vectors, the others small."""
        if self.large:
            sizes = {1: (700,), 2: (20, 24), 3: (4, 10, 12)}[self.dimensions]
        else:
            sizes = (*(int(self.rng.integers(1, 6)) for _ in range(self.dimensions - 1)), int(self.one(*_EDGES)))
        return tuple(map(max, sizes, least))

    def batch(self) -> int:
        return 2 if self.large else int(self.one(1, 1, 2, 3))

    def array(self, *shape: int) -> Array:
        return self.rng.standard_normal(shape)


def _reach(kernel: Sequence[int], dilation: Sequence[int]) -> list[int]:
    return [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]


def _convolution(draw: _Draw) -> Problem:
    groups, inside, outside = draw.groups()
    kernel, stride, dilation = draw.kernel(), draw.each(1, 1, 2, 3), draw.each(1, 1, 2)
    padding: Any = draw.one(draw.each(0, 1, 2), draw.each((0, 0), (1, 0), (0, 2), (3, 1)))
    if set(stride) == {1} and draw.one(False, False, True):
        padding = "same"
    input = draw.array(draw.batch(), groups * inside, *draw.space(_reach(kernel, dilation)))
    weight = draw.array(groups * outside, inside, *kernel)
    bias = draw.one(None, draw.array(groups * outside))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    options["activation"] = draw.one(None, None, "relu", "relu6", "silu")
    return Problem({"input": input, "weight": weight, "bias": bias}, options)


def _transposed_convolution(draw: _Draw) -> Problem:
    groups, inside, outside = draw.groups()
    kernel, stride, dilation = draw.kernel(), draw.each(1, 2, 3), draw.each(1, 1, 2)
    padding = tuple(min(draw.one(0, 1, 2), (r - 1) // 2) for r in _reach(kernel, dilation))
    output_padding = tuple(draw.one(*range(max(s, d))) for s, d in zip(stride, dilation, strict=True))
    input = draw.array(draw.batch(), groups * inside, *draw.space(kernel))
    weight = draw.array(groups * inside, outside, *kernel)
    bias = draw.one(None, draw.array(groups * outside))
    options: dict[str, Any] = {"stride": stride, "padding": padding, "output_padding": output_padding}
    options |= {"groups": groups, "dilation": dilation, "activation": draw.one(None, None, "relu", "relu6", "silu")}
    return Problem({"input": input, "weight": weight, "bias": bias}, options)


def _local_convolution(draw: _Draw) -> Problem:
    kernel = draw.kernel()[:1] * 2  # square: that of others does not always follow from the shape of the weight
    stride, dilation, padding = draw.each(1, 2), draw.each(1, 1, 2), draw.each(0, 1)
    options: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
    size = draw.space(_reach(kernel, dilation))
    places = reference.conv2d(np.zeros((1, 1, *size)), np.zeros((1, 1, *kernel)), **options).shape[2:]
    inside, outside = min(draw.channels(), 9), min(draw.channels(), 9)  # a weight for each place is much
    input = draw.array(draw.batch(), inside, *size)
    weight = draw.array(math.prod(places), outside, inside * math.prod(kernel))
    bias = draw.one(None, draw.array(outside, *places))
    options["activation"] = draw.one(None, None, "relu", "relu6", "silu")
    return Problem({"input": input, "weight": weight, "bias": bias}, options)


def _pool(draw: _Draw) -> dict[str, Any]:
    kernel = draw.kernel()
    return {
        "kernel_size": kernel,
        "stride": draw.one(None, draw.each(1, 2, 3)),
        "padding": tuple(draw.one(0, k // 2) for k in kernel),
        "ceil_mode": draw.one(False, True),
    }


def _max_pool(draw: _Draw) -> Problem:
    options = _pool(draw)
    options |= {"dilation": draw.each(1, 1, 2), "return_indices": draw.one(False, True)}
    size = draw.space(_reach(options["kernel_size"], options["dilation"]))
    return Problem({"input": draw.array(draw.batch(), draw.channels(), *size)}, options)


def _avg_pool(draw: _Draw) -> Problem:
    options = _pool(draw) | {"count_include_pad": draw.one(False, True)}
    if draw.dimensions > 1:
        options["divisor_override"] = draw.one(None, None, 3)
    size = draw.space(options["kernel_size"])
    return Problem({"input": draw.array(draw.batch(), draw.channels(), *size)}, options)


def _adaptive_avg_pool(draw: _Draw) -> Problem:
    options: dict[str, Any] = {"output_size": draw.one(1, draw.each(*range(1, 8)))}
    return Problem({"input": draw.array(draw.batch(), draw.channels(), *draw.space((1,) * draw.dimensions))}, options)


def _adaptive_max_pool(draw: _Draw) -> Problem:
    problem = _adaptive_avg_pool(draw)
    return Problem(problem.arrays, problem.options | {"return_indices": draw.one(False, True)})


def _max_unpool(draw: _Draw) -> Problem:
    kernel, stride = draw.kernel(), draw.each(1, 2, 3)
    x = draw.array(draw.batch(), draw.channels(), *draw.space(kernel))
    pool = getattr(reference, f"max_pool{draw.dimensions}d")
    y, indices = pool(x, kernel, stride, return_indices=True)
    options: dict[str, Any] = {"kernel_size": kernel, "stride": stride, "output_size": x.shape[2:]}
    return Problem({"input": y, "indices": indices}, options)


def _unfold(draw: _Draw) -> Problem:
    kernel, dilation = draw.kernel(), draw.each(1, 1, 2)
    options: dict[str, Any] = {"kernel_size": kernel, "dilation": dilation}
    options |= {"padding": draw.each(0, 1, 2), "stride": draw.each(1, 2)}
    size = draw.space(_reach(kernel, dilation))
    return Problem({"input": draw.array(draw.batch(), draw.channels(), *size)}, options)


def _fold(draw: _Draw) -> Problem:
    problem = _unfold(draw)
    x = problem.arrays["input"]
    assert x is not None
    columns = reference.unfold(x, **problem.options)
    return Problem({"input": draw.array(*columns.shape)}, {"output_size": x.shape[2:], **problem.options})


# What a function's name begins with, before its dimensions, and what draws a problem for it.
_KINDS: dict[str, Callable[[_Draw], Problem]] = {
    "conv": _convolution,
    "conv_transpose": _transposed_convolution,
    "local_conv": _local_convolution,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "adaptive_avg_pool": _adaptive_avg_pool,
    "adaptive_max_pool": _adaptive_max_pool,
    "max_unpool": _max_unpool,
    "unfold": _unfold,
    "fold": _fold,
}

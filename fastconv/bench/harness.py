"""Fair timing of the contenders on a layer table, the printed table and the worst of it, and the JSON.

The contenders run in one process, in turn, for several rounds, with a pause between them, since the threads of a pool
spin for a while after its last call. Each call is timed, and the low quantile of all rounds counts: on a shared machine
noise only ever adds. A contender that does not live well with the others (`Contender.alone`) gets a process of its own,
where fastconv runs beside it, so that its ratio comes from one and the same run.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TextIO

import numpy as np

import fastconv as fc
from fastconv.bench.peers import CONTENDERS, OURS, Array, Call, Contender, Fastconv, Problem, Unsupported
from fastconv.bench.tables import Layer

_QUANTILE = 0.1
_SAMPLE = 20e-6  # seconds: a shorter call is timed several at a time, or the clock would be part of it
_DISAGREE = {"float32": 1e-3, "float64": 1e-9}  # of the largest value: a wrong problem, not rounding
_LONG = 0.01  # milliseconds: a shorter call is mostly the way into the library and out
_SLOW = (1.0, 0.7)  # ratios to the best peer below which layers are counted


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes
    ----------
    threads : int
        Threads of every contender.
    rounds : int
        How often every contender has its turn.
    turn : float
        Seconds of one turn, about; at least three calls.
    pause : float
        Seconds between two turns: the threads of OpenBLAS spin for 2**26 cycles after their last work, 25 ms or so.
    algorithm : str
        The algorithm of fastconv's contenders.
    """

    threads: int
    rounds: int = 5
    turn: float = 0.05
    pause: float = 0.05
    algorithm: str = "auto"


@dataclass(frozen=True)
class Timing:
    """One contender on one problem: milliseconds, or the reason why there are none.

    ``ratio`` is its time over that of the fastconv contender it is compared with, measured in the same run: more than
    1 where fastconv is faster.
    """

    milliseconds: float | None = None
    ratio: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Result:
    """All contenders on one problem."""

    layer: Layer
    direction: str
    dtype: str
    algorithm: str
    timings: dict[str, Timing] = field(default_factory=dict)

    @property
    def ours(self) -> float | None:
        """fastconv's milliseconds on plain arrays."""
        return self.timings[Fastconv.name].milliseconds

    def gflops(self, name: str = Fastconv.name) -> float | None:
        """Return a contender's GFLOP/s, counted as the direct sum's; None where nothing is multiplied."""
        milliseconds = self.timings[name].milliseconds
        return self.layer.flops / milliseconds / 1e6 if milliseconds and self.layer.flops else None

    @property
    def best_ratio(self) -> float | None:
        """The ratio of the fastest peer."""
        ratios = [t.ratio for name, t in self.timings.items() if name != Fastconv.name and _is_peer(name) and t.ratio]
        return min(ratios, default=None)


def _is_peer(name: str) -> bool:
    return not issubclass(CONTENDERS[name], Fastconv)


# ---- timing


def time_in_turn(calls: Mapping[str, Call], settings: Settings) -> dict[str, float]:
    """Time functions in turn and return the low quantile of each in seconds.

    Examples
    --------
    >>> seconds = time_in_turn({"sum": lambda: sum(range(100))}, Settings(threads=1, rounds=2, turn=0.001))
    >>> seconds["sum"] > 0
    True
    """
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(settings.rounds):
        for name, call in calls.items():
            time.sleep(settings.pause)
            samples[name] += _turn(call, settings.turn)
    return {name: float(np.quantile(times, _QUANTILE)) for name, times in samples.items()}


def _turn(call: Call, seconds: float) -> list[float]:
    call()  # wakes the threads and fills the caches; what it costs depends on who was before
    once = _seconds(call, 1)
    number = max(1, math.ceil(_SAMPLE / once))
    count = min(max(3, int(seconds / (number * once))), 1000)
    return [_seconds(call, number) for _ in range(count)]


def _seconds(call: Call, number: int) -> float:
    start = time.perf_counter()
    for _ in range(number):
        call()
    return (time.perf_counter() - start) / number


def measure(problem: Problem, names: Sequence[str], settings: Settings) -> dict[str, Timing]:
    """Time contenders in this process on one problem; each first has to give the same result as the first of them."""
    calls: dict[str, Call] = {}
    timings: dict[str, Timing] = {}
    expected: Array | None = None
    with fc.threads(settings.threads):
        for name in names:
            contender = _make(name, settings)
            try:
                if not contender.does(problem.layer):
                    raise Unsupported(f"is not compared on {problem.layer.function}")
                call = contender.prepare(problem, settings.threads)
                result = contender.to_numpy(call(), problem)
                expected = np.array(result) if expected is None else expected
                _compare(result, expected, names[0], problem.dtype)
                calls[name] = call
            except Unsupported as error:
                timings[name] = Timing(reason=str(error))
            except Exception as error:  # libraries raise what they like; an error of our own must not be hidden
                if not _is_peer(name):
                    raise
                timings[name] = Timing(reason=f"{type(error).__name__}: {_first_line(error)}")
        seconds = time_in_turn(calls, settings)
    for name in seconds:
        ours = seconds.get(CONTENDERS[name].rival)
        ratio = seconds[name] / ours if ours and _is_peer(name) else None
        timings[name] = Timing(seconds[name] * 1e3, ratio)
    return {name: timings[name] for name in names}


def _make(name: str, settings: Settings) -> Contender:
    kind = CONTENDERS[name]
    return kind(settings.algorithm) if issubclass(kind, Fastconv) else kind()


def _compare(result: Array, expected: Array, first: str, dtype: str) -> None:
    if result.shape != expected.shape:
        raise Unsupported(f"its result has the shape {result.shape}, that of {first} {expected.shape}")
    difference = float(np.max(np.abs(result - expected), initial=0) / max(float(np.max(np.abs(expected))), 1e-30))
    if not difference <= _DISAGREE[dtype]:
        raise Unsupported(f"its result differs from that of {first} by {difference:.1e} of the largest value")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "")


class _Apart:
    """A child process that measures the contenders that must be alone, one problem at a time, and sleeps between."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def measure(self, problem: Problem, names: Sequence[str], settings: Settings) -> dict[str, Timing]:
        if self._pool is None:  # spawned, not forked: it must not inherit the thread pools of this process
            self._pool = ProcessPoolExecutor(
                1,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=signal.signal,  # Ctrl-C is for the parent, which then ends this process
                initargs=(signal.SIGINT, signal.SIG_IGN),
            )
        try:
            # replace() drops the arrays that the problem has made: cheaper made again than sent
            return self._pool.submit(measure, replace(problem), names, settings).result()
        except BrokenProcessPool:
            self.close()
            return {name: Timing(reason="the process that measured it died") for name in names}

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def contenders_of(direction: str, peers: Sequence[str], layers: Iterable[Layer]) -> list[str]:
    """Return the names of fastconv's contenders and of the peers that can do a pass of any of the layers, in order."""
    layers = list(layers)
    names = [*(kind.name for kind in OURS), *peers]
    able = [name for name in names if direction in CONTENDERS[name].passes]
    return [name for name in able if any(map(CONTENDERS[name].does, layers))]


def run(
    layers: Iterable[Layer],
    settings: Settings,
    direction: str = "forward",
    dtype: str = "float32",
    peers: Sequence[str] = (),
) -> Iterator[Result]:
    """Measure fastconv and peers on layers; yield a `Result` a layer as it is ready.

    Parameters
    ----------
    layers : iterable of Layer
        What to measure; layers without that pass are left out.
    settings : Settings
        Threads, rounds and times.
    direction : str
        The pass: ``forward``, ``input`` or ``weight``.
    dtype : str
        ``float32`` or ``float64``.
    peers : sequence of str
        Names of `CONTENDERS`; each takes part in the passes it can do.
    """
    layers = [layer for layer in layers if direction in layer.passes]
    names = contenders_of(direction, peers, layers)
    ours = [name for name in names if not _is_peer(name)]
    apart = _Apart()
    try:
        for layer in layers:
            problem = Problem(layer, direction, dtype)
            timings = measure(problem, [name for name in names if not CONTENDERS[name].alone], settings)
            for name in names:
                if name not in timings:
                    timings[name] = apart.measure(problem, [*ours, name], settings)[name]
            algorithm = Fastconv(settings.algorithm).chosen(problem)
            yield Result(layer, direction, dtype, algorithm, {name: timings[name] for name in names})
    finally:
        apart.close()


# ---- means


def geometric_mean(values: Iterable[float | None]) -> float | None:
    """Return the geometric mean of the values that are there.

    Examples
    --------
    >>> geometric_mean([2.0, None, 8.0])
    4.0
    """
    present = [value for value in values if value]
    return math.exp(sum(map(math.log, present)) / len(present)) if present else None


def mean_ratios(results: Sequence[Result]) -> dict[str, float | None]:
    """Return the geometric mean of each peer's ratios, and under ``"best peer"`` that of the fastest on each layer."""
    names = [name for name in results[0].timings if _is_peer(name)] if results else []
    means = {name: geometric_mean(result.timings[name].ratio for result in results) for name in names}
    if names:
        means["best peer"] = geometric_mean(result.best_ratio for result in results)
    return means


def total_milliseconds(results: Sequence[Result], name: str) -> float | None:
    """Return a contender's time for all layers with their repeats, or None if one is missing."""
    times = [result.timings[name].milliseconds for result in results]
    if None in times:
        return None
    return sum(value * result.layer.repeat for value, result in zip(times, results, strict=True) if value)


def worst_first(results: Iterable[Result]) -> list[Result]:
    """Return the results that have a ratio to the best peer, the lowest first."""
    compared = [(result.best_ratio, result) for result in results if result.best_ratio]
    return [result for _, result in sorted(compared, key=lambda pair: pair[0])]


def count_slow(results: Iterable[Result]) -> dict[str, int]:
    """Count the layers beside a peer that take more than 10 us, and those of them whose ratio is below 1 and 0.7."""
    ratios = [result.best_ratio for result in results if result.best_ratio and result.ours and result.ours > _LONG]
    return {"layers": len(ratios)} | {f"below_{bound}": sum(ratio < bound for ratio in ratios) for bound in _SLOW}


# ---- the printed tables


class LayerLines:
    """Prints lines of columns, a layer's name and shape the first two.

    Parameters
    ----------
    layers : sequence of Layer
        What will be printed: the widths of the first columns follow from it.
    stream : text stream, optional
        Where to; standard output if not given.
    """

    def __init__(self, layers: Sequence[Layer], stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._name_width = max([len(_title(layer)) for layer in layers] + [len("geometric mean")])
        self._shape_width = max([len(layer.shape) for layer in layers] + [len("shape")])

    def titles(self, *columns: str) -> None:
        """Print the titles of the columns."""
        line = self._line("layer", "shape", *columns)
        self.print_line(line)
        self.print_line("-" * len(line))

    def layer(self, layer: Layer, *columns: str) -> None:
        """Print one layer."""
        self.print_line(self._line(_title(layer), layer.shape, *columns))

    def print_line(self, line: str) -> None:
        """Print any line."""
        print(line.rstrip(), file=self._stream, flush=True)

    def _line(self, name: str, shape: str, *columns: str) -> str:
        return "  ".join([f"{name:{self._name_width}}", f"{shape:{self._shape_width}}", *columns])


class TablePrinter(LayerLines):
    """Prints a line a layer as the results come, and the means below them.

    Parameters
    ----------
    layers : sequence of Layer
        What will be printed: the widths of the first columns follow from it.
    names : sequence of str
        The contenders, in order.
    peak : float
        GFLOP/s that count as 100 %.
    stream : text stream, optional
        Where to; standard output if not given.
    """

    def __init__(
        self, layers: Sequence[Layer], names: Sequence[str], peak: float, stream: TextIO | None = None
    ) -> None:
        super().__init__(layers, stream)
        self._peak = peak
        self._packed = [name for name in names if name != Fastconv.name and not _is_peer(name)]
        self._peers = [name for name in names if _is_peer(name)]

    def print(self, results: Iterable[Result]) -> list[Result]:
        """Print the whole table, each line when its result comes, and return the results."""
        self.header()
        seen = []
        for result in results:
            self.row(result)
            seen.append(result)
        self.footer(seen)
        return seen

    def header(self) -> None:
        """Print the column titles."""
        self.titles(
            f"{'algorithm':10}",
            f"{'GFLOP':>7}",
            f"{'ms':>8}",
            f"{'GFLOP/s':>7}",
            f"{'peak':>5}",
            *(f"{'packed ms':>9}" for _ in self._packed),
            *(f"{name:>16}" for name in self._peers),
            *([f"{'best peer':>9}"] if self._peers else []),
        )

    def row(self, result: Result) -> None:
        """Print one layer."""
        rate = result.gflops()
        self.layer(
            result.layer,
            f"{result.algorithm:10}",
            f"{_number(result.layer.flops / 1e9 or None, 3):>7}",
            f"{_number(result.ours, 3):>8}",
            f"{_number(rate, 0):>7}",
            f"{_share(rate, self._peak):>5}",
            *(f"{_number(result.timings[name].milliseconds, 3):>9}" for name in self._packed),
            *(self._peer(result.timings[name].milliseconds, result.timings[name].ratio) for name in self._peers),
            *([f"{ratio_text(result.best_ratio):>9}"] if self._peers else []),
        )

    def footer(self, results: Sequence[Result]) -> None:
        """Print the geometric means, the whole network's times, and why there are dashes."""
        if not results:
            return
        means = mean_ratios(results)
        rate = geometric_mean(result.gflops() for result in results)
        gap = self._name_width + self._shape_width + 14
        self.print_line(
            "  ".join(
                [
                    f"{'geometric mean':{gap}}",
                    f"{'':7}",
                    f"{'':8}",
                    f"{_number(rate, 0):>7}",
                    f"{_share(rate, self._peak):>5}",
                    *(f"{'':9}" for _ in self._packed),
                    *(self._peer(None, means[name], "") for name in self._peers),
                    *([f"{ratio_text(means['best peer']):>9}"] if self._peers else []),
                ]
            )
        )
        totals = {name: total_milliseconds(results, name) for name in results[0].timings}
        repeats = any(result.layer.repeat > 1 for result in results)
        work = sum(result.layer.flops * result.layer.repeat for result in results)
        self.print_line(
            "  ".join(
                [
                    f"{'sum, with repeats' if repeats else 'sum':{gap}}",
                    f"{_number(work / 1e9 or None, 3):>7}",
                    f"{_number(totals[Fastconv.name], 3):>8}",
                    f"{'':7}",
                    f"{'':5}",
                    *(f"{_number(totals[name], 3):>9}" for name in self._packed),
                    *(
                        self._peer(totals[name], _quotient(totals[name], totals[CONTENDERS[name].rival]))
                        for name in self._peers
                    ),
                ]
            )
        )
        reasons: dict[tuple[str, str], int] = {}
        for result in results:
            for name, timing in result.timings.items():
                if timing.reason:
                    reasons[name, timing.reason] = reasons.get((name, timing.reason), 0) + 1
        for (name, reason), count in reasons.items():
            self.print_line(f"{name}, {count} of {len(results)} layers: {reason}")

    def _peer(self, milliseconds: float | None, ratio: float | None, absent: str = "-") -> str:
        return f"{_number(milliseconds, 3, absent):>8}{ratio_text(ratio):>8}"


def print_worst(results: Sequence[Result], count: int, stream: TextIO | None = None) -> None:
    """Print the so many layers with the lowest ratio to the best peer, the lowest first, and how many are slow."""
    worst = worst_first(results)[:count]
    lines = LayerLines([result.layer for result in worst], stream)
    lines.titles(f"{'pass':7}", f"{'algorithm':10}", f"{'ms':>8}", f"{'best peer':>9}")
    for result in worst:
        lines.layer(
            result.layer,
            f"{result.direction:7}",
            f"{result.algorithm:10}",
            f"{_number(result.ours, 3):>8}",
            f"{ratio_text(result.best_ratio):>9}",
        )
    slow = count_slow(results)
    below = ", ".join(f"{slow[f'below_{bound}']} below {ratio_text(bound)}" for bound in _SLOW)
    lines.print_line(f"of {slow['layers']} layers that take more than {_LONG * 1e3:.0f} us: {below}")


def _title(layer: Layer) -> str:
    return f"{layer.name} *{layer.repeat}" if layer.repeat > 1 else layer.name


def _number(value: float | None, digits: int, absent: str = "-") -> str:
    return absent if value is None else f"{value:.{digits}f}"


def _share(rate: float | None, peak: float) -> str:
    return "-" if rate is None else f"{rate / peak:.0%}"


def ratio_text(value: float | None) -> str:
    """Return a ratio as a table has it; a small one keeps two digits that are not 0."""
    if value is None:
        return "-"
    return f"{value:.2f}x" if value >= 0.1 else f"{value:.2g}x"


def _quotient(value: float | None, by: float | None) -> float | None:
    return value / by if value is not None and by else None


# ---- JSON


def to_json(results: Sequence[Result], settings: Settings, peak: float, worst: int | None = None) -> str:
    """Return results as a JSON document: the settings, the versions, every layer, and the means of each pass.

    Where ``worst`` is given, also so many layers with the lowest ratio to the best peer, and how many are slow.
    """
    names = dict.fromkeys(name for result in results for name in result.timings)
    passes = dict.fromkeys(result.direction for result in results)
    document = {
        **head(settings),
        "peak_gflops": round(peak, 1),
        "versions": {name: CONTENDERS[name]().version() for name in names},
        "layers": [_record(result, peak) for result in results],
        "geometric_means": {
            direction: mean_ratios([result for result in results if result.direction == direction])
            for direction in passes
        },
    }
    if worst is not None:
        document["worst"] = [_record(result, peak) for result in worst_first(results)[:worst]]
        document["above_10_us"] = count_slow(results)
    return json.dumps(document, indent=2)


def head(settings: Settings) -> dict[str, Any]:
    """Return how it was measured, as every document begins."""
    return {"fastconv": fc.__version__, "isa": fc.isa(), "settings": asdict(settings)}


def problem_record(layer: Layer, direction: str, dtype: str) -> dict[str, Any]:
    """Return what was measured, as every record begins."""
    return {
        "source": layer.source,
        "name": layer.name,
        "repeat": layer.repeat,
        "function": layer.function,
        "pass": direction,
        "dtype": dtype,
        "input_shape": layer.input_shape,
        "weight_shape": layer.weight_shape,
        **layer.options,
        "gflop": layer.flops / 1e9,
    }


def _record(result: Result, peak: float) -> dict[str, Any]:
    rate = result.gflops()
    return {
        **problem_record(result.layer, result.direction, result.dtype),
        "algorithm": result.algorithm,
        "peak_share": rate / peak if rate else None,
        "best_peer_ratio": result.best_ratio,
        "contenders": {
            name: {
                "ms": timing.milliseconds,
                "gflops": result.gflops(name),
                "ratio": timing.ratio,
                "reason": timing.reason,
            }
            for name, timing in result.timings.items()
        },
    }

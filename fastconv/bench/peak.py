"""The machine's peak: what the fused multiply-adds of the chosen instruction set reach, measured, not looked up."""

from __future__ import annotations

import time

from fastconv import _core


def measured_peak(dtype: str, threads: int, tries: int = 10) -> float:
    """Return the GFLOP/s that independent multiply-adds in registers reach on all threads.

    A convolution that multiplies less (Winograd) can show more than this: its GFLOP/s count the direct sum.

    Parameters
    ----------
    dtype : str
        ``float32`` or ``float64``.
    threads : int
        How many threads.
    tries : int
        How often to measure; the best counts, since a neighbour on the machine can only take away.
    """
    best = 0.0
    for _ in range(tries):
        time.sleep(0.02)
        best = max(best, _core.measure_peak(dtype, threads))
    return best

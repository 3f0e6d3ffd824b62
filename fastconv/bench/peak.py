"""The machine's peak: what the fused multiply-adds of the chosen instruction set reach, measured, not looked up."""

from __future__ import annotations

from fastconv import _core


def measured_peak(dtype: str, threads: int, tries: int = 3) -> float:
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
    return max(_core.measure_peak(dtype, threads) for _ in range(tries))

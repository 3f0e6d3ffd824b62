"""``selftest``: this build on this CPU against the reference."""

from __future__ import annotations

import argparse
import fnmatch
from typing import Any

from fastconv.commands import arguments

_EPILOG = """\
It needs nothing but NumPy, takes about a minute on two cores, and exits with 0 if all is well, 1 if not. Each number in
its table counts the checks of a function and of its gradients on an instruction set: sizes around the vectors, float16,
float32 and float64, channels first and last, every algorithm. The last column is the largest error found, in parts of
what rounding explains. Results must also be the same, bit for bit, on any number of threads.

examples:
  python -m fastconv selftest
  python -m fastconv selftest --functions 'conv_transpose*' --problems 100 --seed 7
"""


def add(commands: Any) -> None:
    """Describe the arguments."""
    text = "check this build on this CPU: every function, algorithm, instruction set, dtype and layout"
    test = arguments.command(commands, "selftest", run, text, _EPILOG)
    test.add_argument(
        "--functions", default="*", metavar="PATTERN", help="only functions whose name matches, such as 'max_*'"
    )
    test.add_argument(
        "--problems", type=arguments.count, metavar="N", help="problems of each function (default: a minute's worth)"
    )
    test.add_argument(
        "--seed", type=arguments.seed, default=0, metavar="N", help="draws the problems and numbers (default: 0)"
    )


def run(options: argparse.Namespace) -> int:
    """Run the self-test; return 1 if a check failed."""
    from fastconv import selftest

    if not fnmatch.filter(selftest.functions(), options.functions):
        options.parser.error(
            f"argument --functions: {options.functions!r} matches none of {', '.join(selftest.functions())}"
        )
    report = selftest.run(options.functions, options.problems or selftest.PROBLEMS, options.seed)
    return 0 if report.passed else 1

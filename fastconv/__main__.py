"""The command line: ``python -m fastconv info | explain | selftest | bench | demo``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import fastconv as fc
from fastconv.commands import bench, demo, explain, info, selftest

_EPILOG = """\
python -m fastconv COMMAND --help says more of each.

examples:
  python -m fastconv info
  python -m fastconv explain conv2d 1x64x56x56 64x64x3x3 --padding 1
  python -m fastconv selftest
  python -m fastconv bench resnet50 --peers torch
  python -m fastconv demo --output digits.png
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status.

    0 is success, 1 a failed self-test or a missing extra, 2 a wrong argument, 130 Ctrl-C.
    """
    parser = argparse.ArgumentParser(
        prog="python -m fastconv",
        description="Convolutions for NumPy arrays: look at this build, check it, measure it, see it at work.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fastconv {fc.__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)
    for command in (info, explain, selftest, bench, demo):
        command.add(commands)
    options = parser.parse_args(arguments)
    try:
        status: int = options.run(options)
        return status
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

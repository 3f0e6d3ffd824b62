"""The command line: ``python -m fastconv info | explain | selftest | bench | demo``."""

from __future__ import annotations

import argparse
import os
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

    0 is success, 1 a failed self-test, a missing extra, or memory or a file that cannot be had, 2 a wrong argument,
    130 Ctrl-C.
    """
    try:
        try:
            return _run(arguments)
        finally:
            print(end="", flush=True)  # what a closed pipe or a full disk does not take shows here, not at the end
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read the output, such as head, has read enough
        _drop_output()
    except OSError as error:
        _drop_output()
        print(f"fastconv: {error}", file=sys.stderr)
    except MemoryError as error:
        print(f"fastconv: not enough memory: {error}".removesuffix(": "), file=sys.stderr)
    except ImportError as error:  # a package that is there and does not work
        print(f"fastconv: {error}", file=sys.stderr)
    return 1


def _run(arguments: Sequence[str] | None) -> int:
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
    status: int = options.run(options)
    return status


def _drop_output() -> None:
    """Let nothing be written where nothing can be: Python writes the rest when it ends, and says that it failed."""
    try:
        print(end="", flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())

"""What the commands share: how one is described, kinds of arguments, and the answer to a missing extra."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable
from typing import Any


def command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], text: str, epilog: str = ""
) -> argparse.ArgumentParser:
    """Add a command: its name, its function, what it does in a line, and what its help ends with."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, parser=parser)
    return parser


def count(text: str) -> int:
    """A whole number of at least 1."""
    return _integer(text, 1)


def seed(text: str) -> int:
    """A whole number of at least 0."""
    return _integer(text, 0)


def _integer(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}") from None
    if value < least:
        raise argparse.ArgumentTypeError(f"must be at least {least}, got {value}")
    return value


def missing(modules: dict[str, str]) -> str:
    """Return the packages, of modules and their packages, that are not installed, or nothing."""
    return ", ".join(package for module, package in modules.items() if importlib.util.find_spec(module) is None)


def refuse(what: str, extra: str) -> int:
    """Say on stderr what is missing and in which extra it is; return the exit status."""
    print(f'fastconv: {what}: pip install "fastconv[{extra}]"', file=sys.stderr)
    return 1

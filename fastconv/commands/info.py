"""``info``: the configuration of this build."""

from __future__ import annotations

import argparse
from typing import Any

import fastconv as fc
from fastconv.commands import arguments


def add(commands: Any) -> None:
    """Describe the arguments."""
    arguments.command(commands, "info", run, "print the version, the instruction sets and the threads of this build")


def run(options: argparse.Namespace) -> int:
    """Print the configuration."""
    fc.show_config()
    return 0

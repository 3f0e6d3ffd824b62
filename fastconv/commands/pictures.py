"""Pictures in files: one that can be written, and one that is complete."""

from __future__ import annotations

import argparse
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any


def picture(text: str) -> Path:
    """The file of a figure: an argument, refused before the work where it cannot be written."""
    path = Path(text)
    folder = path.absolute().parent
    try:
        if not folder.is_dir():
            raise argparse.ArgumentTypeError(f"there is no folder {str(folder)!r}")
        if path.is_dir() or (path.exists() and not os.access(path, os.W_OK)):
            raise argparse.ArgumentTypeError(f"{text!r} cannot be written")
        tempfile.TemporaryFile(dir=_target(path).parent).close()  # what permissions say, not every file system keeps
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written: {error.strerror}") from None
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise argparse.ArgumentTypeError(f"expected a name in .png, .pdf or .svg, got {path.name!r}")
    return path


def save(figure: Any, path: Path, dpi: int) -> None:
    """Write a figure to a file, whose old contents stay until the new are complete: on a full disk, for good."""
    target = _target(path)
    temporary = target.with_name(f".{secrets.token_hex(8)}{path.suffix}")  # the suffix is matplotlib's format
    try:
        figure.savefig(temporary, dpi=dpi)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _target(path: Path) -> Path:
    """The file itself: a link stays a link."""
    return Path(os.path.realpath(path))

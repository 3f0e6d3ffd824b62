"""Pictures in files: one that can be written, and one that is complete."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

from fastconv._complete_file import complete_file


def picture(text: str) -> Path:
    """The file of a figure: an argument, refused before the work where it cannot be written."""
    path = Path(text)
    folder = path.absolute().parent
    target = Path(os.path.realpath(path))  # a link stays a link
    try:
        if not folder.is_dir():
            raise argparse.ArgumentTypeError(f"there is no folder {str(folder)!r}")
        if path.is_dir() or (path.exists() and not os.access(path, os.W_OK)):
            raise argparse.ArgumentTypeError(f"{text!r} cannot be written")
        tempfile.TemporaryFile(dir=target.parent).close()  # what permissions say, not every file system keeps
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written: {error.strerror}") from None
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise argparse.ArgumentTypeError(f"expected a name in .png, .pdf or .svg, got {path.name!r}")
    return path


def save(figure: Any, path: Path, dpi: int) -> None:
    """Write a figure to a file, whose old contents stay until the new are complete: on a full disk, for good."""
    with complete_file(str(path)) as file:
        figure.savefig(file, dpi=dpi, format=path.suffix[1:].lower())

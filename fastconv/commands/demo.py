"""``demo``: a network on handwritten digits, filters on a photograph, one figure."""

from __future__ import annotations

import argparse
from typing import Any

from fastconv.commands import arguments, pictures

_NEEDS = {"sklearn": "scikit-learn", "matplotlib": "matplotlib", "PIL": "pillow"}
_EPILOG = """\
It takes some seconds on an idle machine; where other programs keep the processors busy, OMP_WAIT_POLICY=passive in the
environment helps. All data come with scikit-learn. The figure shows the training curves, the filters of the first layer
with the maps that they make of a digit, what a unit of the second layer sees, and a photograph blurred and its edges
found.

example:
  python -m fastconv demo --output digits.pdf --epochs 30
"""


def add(commands: Any) -> None:
    """Describe the arguments."""
    text = "train a network on handwritten digits, filter a photograph, draw one figure"
    demo = arguments.command(commands, "demo", run, text, _EPILOG)
    demo.add_argument(
        "--output",
        type=pictures.picture,
        default="fastconv-demo.png",  # text, which goes through `picture` too
        metavar="FILE",
        help="the figure, in .png, .pdf or .svg (default: fastconv-demo.png)",
    )
    demo.add_argument(
        "--epochs", type=arguments.count, default=15, metavar="N", help="passes over the digits (default: 15)"
    )
    demo.add_argument(
        "--seed",
        type=arguments.seed,
        default=0,
        metavar="N",
        help="of the split, the first weights and the order of the digits (default: 0)",
    )


def run(options: argparse.Namespace) -> int:
    """Run the demo where its packages are."""
    if absent := arguments.missing(_NEEDS):
        return arguments.refuse(f"the demo needs {absent}", "demo")
    from fastconv import demo

    demo.main(options.output, epochs=options.epochs, seed=options.seed)
    return 0

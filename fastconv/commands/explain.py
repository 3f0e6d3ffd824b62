"""``explain``: what fastconv would do with a problem typed in words."""

from __future__ import annotations

import argparse
from typing import Any

import fastconv as fc
from fastconv.commands import arguments

_EPILOG = """\
Sizes are written as 1x64x56x56. An option takes one number for all dimensions, or one for each, such as 2,1; a padding
also (before:after) pairs, such as 1:2,0:0.

The first line names the algorithm that would run, the instruction set, and the memory that it takes beside its arrays.
The others are what each algorithm says: its estimated cost on one thread, or why it cannot. A * marks the chosen one.

examples:
  python -m fastconv explain conv2d 1x64x56x56 64x64x3x3 --padding 1
  python -m fastconv explain conv2d 8x96x112x112 96x1x3x3 --stride 2 --padding 0:1,0:1 --groups 96 --grad weight
  python -m fastconv explain conv_transpose1d 1x512x400 512x1x1024 --stride 256 --dtype float64
  python -m fastconv explain conv3d 1x8x8x32x32 16x8x3x3x3 --padding same --algorithm direct
"""
_POSITIONAL = ("function", "input_shape", "weight_shape")


def add(commands: Any) -> None:
    """Describe the arguments."""
    text = "say which algorithm a convolution would use, with how much memory, and what the others say"
    explain = arguments.command(commands, "explain", run, text, _EPILOG)
    explain.add_argument("function", help="conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, ...")
    explain.add_argument("input_shape", type=_shape, help="batch, channels, height, width, as in 1x64x56x56")
    explain.add_argument(
        "weight_shape",
        type=_shape,
        help="of conv: outputs, inputs of a group, kernel; of conv_transpose: inputs, outputs of a group, kernel",
    )
    explain.add_argument("--grad", choices=("input", "weight"), help="the gradient of one, instead of the forward pass")
    explain.add_argument("--dtype", help="float16, float32 or float64 (default: float32)")
    explain.add_argument("--stride", type=_numbers, metavar="N[,N]", help="default: 1")
    explain.add_argument(
        "--padding", type=_padding, metavar="N[,N]", help="numbers, pairs, 'same' or 'valid' (default: 0)"
    )
    explain.add_argument("--output-padding", type=_numbers, metavar="N[,N]", help="of conv_transpose (default: 0)")
    explain.add_argument("--dilation", type=_numbers, metavar="N[,N]", help="default: 1")
    explain.add_argument("--groups", type=int, metavar="N", help="default: 1")
    explain.add_argument("--layout", help="channels_first, or channels_last: then input_shape is 1x56x56x64")
    explain.add_argument("--algorithm", metavar="NAME", help=f"auto, {', '.join(fc.algorithms())} (default: auto)")


def run(options: argparse.Namespace) -> int:
    """Print what `fastconv.explain` says of the problem."""
    problem = {name: value for name, value in vars(options).items() if name not in ("run", "parser")}
    given = {name: value for name, value in problem.items() if value is not None}
    try:
        print(fc.explain(**given))
    except (TypeError, ValueError) as error:
        name, _, what = str(error).partition(":")
        flag = name if name in _POSITIONAL else f"--{name.replace('_', '-')}"
        options.parser.error(f"argument {flag}:{what}" if name in problem else str(error))
    return 0


def _shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(size) for size in text.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected sizes such as 1x64x56x56, got {text!r}") from None


def _numbers(text: str) -> int | tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number such as 2, or 2,1, got {text!r}") from None
    return numbers[0] if len(numbers) == 1 else numbers


def _padding(text: str) -> Any:
    if text in ("same", "valid"):
        return text
    try:
        if ":" not in text:
            return _numbers(text)
        pairs = tuple(tuple(int(part) for part in pair.split(":")) for pair in text.split(","))
        if all(len(pair) == 2 for pair in pairs):
            return pairs
    except (ValueError, argparse.ArgumentTypeError):
        pass
    raise argparse.ArgumentTypeError(f"expected numbers, pairs such as 1:2,0:0, same or valid, got {text!r}")

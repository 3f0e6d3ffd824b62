"""The command line: ``python -m fastconv info | bench | demo``."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fastconv as fc

_EPILOG = """\
examples:
  python -m fastconv info
  python -m fastconv bench                                  ResNet-50, forward, beside every peer that is installed
  python -m fastconv bench mobilenet_v2 --layers 'dw_*' --peers torch
  python -m fastconv bench resnet50 --pass all --batch 8 --json > resnet50.json
  python -m fastconv demo --output digits.png
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0, 1 (an extra is missing), 2 (wrong arguments), 130 (Ctrl-C)."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        status: int = options.run(options)
        return status
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


# ---- info


def _info(options: argparse.Namespace) -> int:
    fc.show_config()
    return 0


# ---- bench


def _bench(options: argparse.Namespace) -> int:
    from fastconv.bench import harness, peak, peers, tables

    error = options.parser.error
    try:
        chosen = {name: tables.read_table(name) for name in options.table or ["resnet50"]}
    except ValueError as problem:
        error(str(problem))
    if options.layers:
        chosen = {name: tables.select_layers(layers, options.layers) for name, layers in chosen.items()}
        if not any(chosen.values()):
            error(f"argument --layers: no layer of {', '.join(chosen)} matches {options.layers!r}")
    if options.batch:
        chosen = {name: [layer.with_batch(options.batch) for layer in layers] for name, layers in chosen.items()}
    if options.algorithm not in ("auto", *fc.algorithms()):
        error(f"argument --algorithm: {options.algorithm!r} is not one of {', '.join(('auto', *fc.algorithms()))}")

    known = [kind.name for kind in peers.PEERS]
    installed = [name for name in known if peers.CONTENDERS[name]().available()]
    wanted = installed if options.peers is None else options.peers
    if unknown := [name for name in wanted if name not in known]:
        error(f"argument --peers: {unknown[0]!r} is not one of {', '.join(known)}, none")
    for name in wanted:
        if name not in installed:
            missing = ", ".join(peers.CONTENDERS[name]().missing())
            return _missing("bench", f"the peer {name} needs {missing}")

    try:
        with fc.threads(options.threads or fc.get_num_threads()):
            threads = fc.get_num_threads()  # 1 in a build without OpenMP, whatever was asked for
    except ValueError as problem:
        error(f"argument --threads: {problem}")
    settings = harness.Settings(threads=threads, rounds=options.rounds, algorithm=options.algorithm)
    peak_gflops = peak.measured_peak(options.dtype, threads)
    passes = peers.PASSES if options.direction == "all" else (options.direction,)
    results: list[harness.Result] = []
    if not options.json:
        how = f"{fc.isa()}, {threads} threads, {options.dtype}"
        print(f"fastconv {fc.__version__}, {how}, measured peak {peak_gflops:.0f} GFLOP/s")
        print("a peer's column: its ms, and its time over that of fastconv (packed weights where the peer keeps them)")
    for direction in passes:
        for table, layers in chosen.items():
            if not layers:
                continue
            run = harness.run(layers, settings, direction, options.dtype, wanted)
            if options.json:
                results += run
                continue
            print(f"\n{table}, {direction if direction == 'forward' else direction + ' gradient'}")
            printer = harness.TablePrinter(layers, harness.contenders_of(direction, wanted), peak_gflops)
            printer.header()
            here = []
            for result in run:
                printer.row(result)
                here.append(result)
            printer.footer(here)
    if options.json:
        print(harness.to_json(results, settings, peak_gflops))
    return 0


# ---- demo


def _demo(options: argparse.Namespace) -> int:
    if not options.output.absolute().parent.is_dir():
        options.parser.error(f"argument --output: there is no folder {str(options.output.absolute().parent)!r}")
    if options.output.suffix.lower() not in (".png", ".pdf", ".svg"):
        options.parser.error(f"argument --output: expected a name in .png, .pdf or .svg, got {options.output.name!r}")
    needed = {"sklearn": "scikit-learn", "matplotlib": "matplotlib", "PIL": "pillow"}
    if absent := [package for module, package in needed.items() if importlib.util.find_spec(module) is None]:
        return _missing("demo", f"the demo needs {', '.join(absent)}")
    from fastconv import demo

    demo.main(options.output, epochs=options.epochs, seed=options.seed)
    return 0


# ---- arguments


def _missing(extra: str, what: str) -> int:
    print(f'fastconv: {what}: pip install "fastconv[{extra}]"', file=sys.stderr)
    return 1


def _count(text: str) -> int:
    return _integer(text, 1)


def _seed(text: str) -> int:
    return _integer(text, 0)


def _integer(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}") from None
    if value < least:
        raise argparse.ArgumentTypeError(f"must be at least {least}, got {value}")
    return value


def _names(text: str) -> list[str]:
    return [] if text == "none" else [name.strip() for name in text.split(",")]


def _parser() -> argparse.ArgumentParser:
    def add(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        command.set_defaults(run=run, parser=command)
        return command

    parser = argparse.ArgumentParser(
        prog="python -m fastconv",
        description="Convolutions for NumPy arrays: look at this build, measure it, see it at work.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fastconv {fc.__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)

    add("info", _info, "print the version, the instruction sets and the threads of this build")

    bench = add("bench", _bench, "measure convolution layers beside every peer that is installed")
    bench.add_argument(
        "table",
        nargs="*",
        help="layer tables: deepbench_inference, deepbench_training, inception_v3, mobilenet_v1, mobilenet_v2, "
        "resnet18, resnet50 (the default), vgg16, or your own .csv file with the same columns",
    )
    bench.add_argument(
        "--pass",
        dest="direction",
        choices=("forward", "input", "weight", "all"),
        default="forward",
        help="the pass: forward, the gradient with respect to the input or to the weight, or all three",
    )
    bench.add_argument("--batch", type=_count, metavar="N", help="images in a batch (default: what the table says)")
    bench.add_argument("--threads", type=_count, metavar="N", help="threads of every contender (default: fastconv's)")
    bench.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="default: float32")
    bench.add_argument(
        "--rounds", type=_count, default=5, metavar="N", help="turns of each contender on a layer (default: 5)"
    )
    bench.add_argument(
        "--peers",
        type=_names,
        metavar="A,B",
        help="of torch, torch-nhwc, onnxruntime, openvino, ncnn, numpy; or none (default: all that are installed)",
    )
    bench.add_argument(
        "--algorithm", default="auto", metavar="NAME", help="make fastconv use this algorithm (default: auto)"
    )
    bench.add_argument("--layers", metavar="PATTERN", help="only layers whose name matches, such as 'layer4.*'")
    bench.add_argument("--json", action="store_true", help="print one JSON document instead of tables")

    demo = add("demo", _demo, "train a network on handwritten digits, filter a photograph, draw one figure")
    demo.add_argument(
        "--output",
        type=Path,
        default=Path("fastconv-demo.png"),
        metavar="FILE",
        help="the figure (default: fastconv-demo.png)",
    )
    demo.add_argument("--epochs", type=_count, default=15, metavar="N", help="passes over the digits (default: 15)")
    demo.add_argument("--seed", type=_seed, default=0, metavar="N", help="of the split, the weights and the order")
    return parser


if __name__ == "__main__":
    sys.exit(main())

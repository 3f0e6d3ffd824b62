"""``bench``: layers beside every peer that is installed."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping
from typing import Any

import fastconv as fc
from fastconv.bench import choices, harness, peak, peers, random_table, tables
from fastconv.commands import arguments, pictures

_NAMES = (*tables.table_names(), random_table.NAME)
_PROBLEMS = 200  # about half an hour beside PyTorch, with all passes
_TABLES = textwrap.fill(
    f"Tables and suites: {', '.join(_NAMES)}. Transposed, pooling and unfold are what their names say, the others 2-D "
    "convolutions; random is drawn: convolutions, transposed ones and pools, in 1-D, 2-D and 3-D, of all parameters.",
    120,
)
_EPILOG = f"""\
{_TABLES}
A .csv file of your own has the columns {",".join(tables.COLUMNS)}, as in
  me,up1,conv_transpose2d,1x64x28x28,64x32x2x2,stride=2
or, for 2-D convolutions, {",".join(tables.CONVOLUTION_COLUMNS)}.

The contenders run in one process, in turn, over several rounds, and must agree on the result; the low quantile of each
counts. Only ncnn, which does not live well with the others, runs in a process of its own, with fastconv beside it.

The columns: the layer, its shape, the algorithm that fastconv chose; GFLOP of the direct sum, milliseconds, GFLOP/s and
their share of this machine's measured peak; milliseconds with a packed weight; then for each peer its milliseconds and
its time over fastconv's: 2.00x says that fastconv takes half the time. A peer that keeps packed weights meets
fastconv's packed weights. Below are the geometric means of the ratios and the sums of the times.

A layer of the table random is named random.seed.number, and is the same however many are drawn: --seed 7 --layers
random.7.31 measures that one again, and --json tells all of its parameters.

With --choices the contenders are the algorithms that can do the layer, those left out that are estimated at several
times the chosen one. The columns: the layer, its shape, the chosen algorithm, its milliseconds; the fastest, its
milliseconds; the first time over the second: 1.00x says that none is faster. Weights are packed before in the forward
pass. Functions that have no algorithms to choose from are left out.

examples:
  python -m fastconv bench                                       ResNet-50, forward, beside every peer installed
  python -m fastconv bench mobilenet_v2 --layers 'dw_*' --peers torch
  python -m fastconv bench --suite transposed --suite pooling --pass all --peers torch --plot ratios.png
  python -m fastconv bench resnet50 --pass all --batch 8 --json > resnet50.json
  python -m fastconv bench random --problems 200 --seed 7 --pass all --peers torch --worst 20
  python -m fastconv bench resnet50 mobilenet_v2 --choices       is the algorithm that fastconv takes the fastest?
"""
_KNOWN = [kind.name for kind in peers.PEERS]
_Work = Mapping[tuple[str, str], list[tables.Layer]]  # by table and pass


def add(commands: Any) -> None:
    """Describe the arguments."""
    text = "measure layers of networks beside every peer that is installed"
    bench = arguments.command(commands, "bench", run, text, _EPILOG)
    bench.add_argument("table", nargs="*", help="layer tables, or your own .csv files (default: resnet50)")
    bench.add_argument(
        "--suite", action="append", default=[], metavar="NAME", help="a table that ships with fastconv; may be repeated"
    )
    bench.add_argument(
        "--pass",
        dest="direction",
        choices=(*peers.PASSES, "all"),
        default="forward",
        help="the pass: forward (the default), the gradient with respect to the input or to the weight, or all three",
    )
    bench.add_argument(
        "--batch", type=arguments.count, metavar="N", help="images in a batch (default: what the table says)"
    )
    bench.add_argument(
        "--threads", type=arguments.count, metavar="N", help="threads of every contender (default: fastconv's)"
    )
    bench.add_argument("--dtype", choices=peers.DTYPES, default="float32", help="default: float32")
    bench.add_argument(
        "--rounds", type=arguments.count, default=5, metavar="N", help="turns of each contender on a layer (default: 5)"
    )
    bench.add_argument(
        "--peers",
        type=_names,
        metavar="A,B",
        help=f"of {', '.join(_KNOWN)}; or none (default: all that are installed)",
    )
    bench.add_argument(
        "--algorithm", default="auto", metavar="NAME", help="make fastconv use this algorithm (default: auto)"
    )
    bench.add_argument(
        "--choices",
        action="store_true",
        help="instead of peers, measure the algorithms that fastconv could have chosen beside the one that it chose",
    )
    bench.add_argument("--layers", metavar="PATTERN", help="only layers whose name matches, such as 'layer4.*'")
    bench.add_argument(
        "--problems",
        type=arguments.count,
        metavar="N",
        help=f"how many layers the table random draws (default: {_PROBLEMS})",
    )
    bench.add_argument(
        "--seed", type=arguments.seed, metavar="N", help="draws the layers of the table random (default: 0)"
    )
    bench.add_argument(
        "--worst",
        type=arguments.count,
        metavar="N",
        help="list the N layers with the lowest ratio to the best peer, of all tables and passes, the lowest first",
    )
    bench.add_argument(
        "--plot",
        type=pictures.picture,
        metavar="FILE",
        help="draw the ratios to the peers, a bar a layer, into a .png, .pdf or .svg file (needs matplotlib)",
    )
    bench.add_argument("--json", action="store_true", help="print one JSON document instead of tables")


def run(options: argparse.Namespace) -> int:
    """Measure, print, and draw where that is asked for."""
    error = options.parser.error
    if options.choices:
        for flag, default in {"peers": None, "algorithm": "auto", "plot": None, "worst": None}.items():
            if getattr(options, flag) != default:
                error(f"argument --choices: not allowed with argument --{flag}")
    chosen = _layers(options)
    passes = [which for which in peers.PASSES if options.direction in (which, "all")]
    work = [(name, which) for which in passes for name in chosen if any(which in x.passes for x in chosen[name])]
    if not work:
        error(f"argument --pass: no layer of {', '.join(chosen)} has a weight")
    if options.algorithm not in ("auto", *fc.algorithms()):
        error(f"argument --algorithm: {options.algorithm!r} is not one of {', '.join(('auto', *fc.algorithms()))}")
    try:
        with fc.threads(options.threads or fc.get_num_threads()):
            threads = fc.get_num_threads()  # 1 in a build without OpenMP, whatever was asked for
    except ValueError as problem:
        error(f"argument --threads: {str(problem).removeprefix('n: ')}")
    settings = harness.Settings(threads=threads, rounds=options.rounds, algorithm=options.algorithm)
    how = f"{fc.isa()}, {threads} thread{'s' * (threads > 1)}, {options.dtype}"
    layers = {(name, which): [layer for layer in chosen[name] if which in layer.passes] for name, which in work}
    if options.choices:
        return _time_choices(options, layers, settings, how)
    return _compare(options, layers, settings, how)


def _compare(options: argparse.Namespace, work: _Work, settings: harness.Settings, how: str) -> int:
    """Measure fastconv beside its peers."""
    error = options.parser.error
    installed = [name for name in _KNOWN if peers.CONTENDERS[name]().available()]
    wanted = installed if options.peers is None else options.peers
    if unknown := [name for name in wanted if name not in _KNOWN]:
        error(f"argument --peers: {unknown[0]!r} is not one of {', '.join(_KNOWN)}, none")
    for name in wanted:
        if name not in installed:
            return arguments.refuse(f"the peer {name} needs {', '.join(peers.CONTENDERS[name]().missing())}", "bench")
    able = {name for (_, which), layers in work.items() for name in harness.contenders_of(which, wanted, layers)}
    for flag in ("plot", "worst"):
        if getattr(options, flag) and not able & {*wanted}:
            given = ", ".join(wanted) or "none"
            error(f"argument --{flag}: expected a peer that can do the layers and the pass, got {given}")
    if options.plot and arguments.missing({"matplotlib": "matplotlib"}):
        return arguments.refuse("--plot needs matplotlib", "viz")

    peak_gflops = peak.measured_peak(options.dtype, settings.threads)
    if not options.json:
        print(f"fastconv {fc.__version__}, {how}, measured peak {peak_gflops:.0f} GFLOP/s")
        print("a peer's column: its ms, and its time over that of fastconv (packed weights where the peer keeps them)")
    results: dict[tuple[str, str], list[harness.Result]] = {}
    for (name, which), layers in work.items():
        run = harness.run(layers, settings, which, options.dtype, wanted)
        if options.json:
            results[name, which] = list(run)
            continue
        print(f"\n{_title(name, which)}")
        printer = harness.TablePrinter(layers, harness.contenders_of(which, wanted, layers), peak_gflops)
        results[name, which] = printer.print(run)
    together = [result for part in results.values() for result in part]
    if options.json:
        print(harness.to_json(together, settings, peak_gflops, options.worst))
    elif options.worst:
        print("\nthe lowest ratios to the best peer")
        harness.print_worst(together, options.worst)
    if options.plot:
        from fastconv.bench import plot

        pictures.save(plot.draw(results, f"fastconv {fc.__version__}: {how}"), options.plot, dpi=120)
    return 0


def _time_choices(options: argparse.Namespace, work: _Work, settings: harness.Settings, how: str) -> int:
    """Measure the algorithms that fastconv could have chosen beside those that it chose."""
    if not options.json:
        print(f"fastconv {fc.__version__}, {how}")
    together: list[choices.Choice] = []
    for (name, which), layers in work.items():
        run = choices.run(layers, settings, which, options.dtype)
        if options.json:
            together += run
            continue
        print(f"\n{_title(name, which)}")
        together += choices.print_table(run, layers)
    if options.json:
        print(choices.to_json(together, settings))
    elif len(work) > 1:
        print(f"\nin all {choices.summary(together)}")
    return 0


def _title(table: str, which: str) -> str:
    return f"{table}, {which if which == 'forward' else which + ' gradient'}"


def _layers(options: argparse.Namespace) -> dict[str, list[tables.Layer]]:
    """Return the layers of each table and suite, chosen and with the batch that is asked for."""
    error = options.parser.error
    for name in options.suite:
        if name not in _NAMES:
            error(f"argument --suite: {name!r} is not one of {', '.join(_NAMES)}")
    names = [*options.table, *options.suite] or ["resnet50"]
    for flag in ("problems", "seed"):
        if getattr(options, flag) is not None and random_table.NAME not in names:
            error(f"argument --{flag}: only allowed with the table {random_table.NAME}")
    try:
        chosen = {
            name: random_table.draw_layers(options.problems or _PROBLEMS, options.seed or 0)
            if name == random_table.NAME
            else tables.read_table(name)
            for name in names
        }
    except ValueError as problem:
        error(str(problem))
    if options.layers:
        chosen = {name: tables.select_layers(layers, options.layers) for name, layers in chosen.items()}
        if not any(chosen.values()):
            error(f"argument --layers: no layer of {', '.join(chosen)} matches {options.layers!r}")
    if options.choices:
        chosen = {name: [x for x in layers if x.function in peers.CONVOLUTIONS] for name, layers in chosen.items()}
        if not any(chosen.values()):
            error(f"argument --choices: no layer of {', '.join(chosen)} is a convolution")
    if options.batch:
        try:
            chosen = {name: [layer.with_batch(options.batch) for layer in layers] for name, layers in chosen.items()}
        except ValueError as problem:
            error(f"argument --batch: {problem}")
    return chosen


def _names(text: str) -> list[str]:
    return [] if text == "none" else [name.strip() for name in text.split(",")]

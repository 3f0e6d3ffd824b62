"""The picture of a benchmark: how many times as long each peer takes, a bar a layer. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from fastconv.bench.harness import Result, mean_ratios, ratio_text
from fastconv.bench.peers import PASSES

_COLOURS = ("tab:orange", "tab:purple", "tab:green", "tab:red", "tab:brown", "tab:gray")


def draw(results: Mapping[tuple[str, str], Sequence[Result]], title: str) -> Figure:
    """Draw the ratios of one or more runs.

    Parameters
    ----------
    results : mapping of (str, str) to sequence of Result
        The results by table and pass: each table becomes a row of panels, each pass a column.
    title : str
        What stands above them all.

    Returns
    -------
    Figure
        In each panel a group of bars for each layer, a bar a peer, on a logarithmic scale from 1 to the peer's time
        over fastconv's: to the right fastconv is faster, to the left (pale) the peer. The panels' titles have the
        geometric means.
    """
    tables = list(dict.fromkeys(table for table, _ in results))
    passes = [which for which in PASSES if any(which == run for _, run in results)]
    peers = [name for name in dict.fromkeys(name for run in results.values() for name in mean_ratios(run))]
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(p for p in peers if p != "best peer")}
    inches = max(0.26, 0.13 * len(colours))  # of a layer
    heights = [max(len(run) for (name, _), run in results.items() if name == table) * inches + 0.9 for table in tables]

    figure = Figure(figsize=(3.2 + 4.6 * len(passes), sum(heights) + 0.9), layout="constrained")
    grid = figure.subplots(len(tables), len(passes), height_ratios=heights, squeeze=False)
    for row, table in enumerate(tables):
        for column, which in enumerate(passes):
            axes = grid[row, column]
            run = results.get((table, which), ())
            if not run:
                axes.set_visible(False)
                continue
            first = results.get((table, passes[0]), ())
            same = column > 0 and [result.layer for result in run] == [result.layer for result in first]
            _draw_run(axes, run, colours, labels=not same)
            means = [
                f"{name} {ratio_text(mean)}" for name, mean in mean_ratios(run).items() if mean and name in colours
            ]
            gradient = "" if which == "forward" else " gradient"
            axes.set_title(f"{table}, {which}{gradient}\ngeometric mean: {', '.join(means) or '-'}", fontsize=10)
    figure.suptitle(f"{title}\ntime of each peer over fastconv's: right of 1x fastconv is faster", fontsize=11)
    handles = [Patch(color=colour, label=name) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def _draw_run(axes: Axes, run: Sequence[Result], colours: Mapping[str, str], labels: bool) -> None:
    thickness = 0.8 / len(colours)
    least, most = 0.7, 1.5
    for place, result in enumerate(run):
        for index, (name, colour) in enumerate(colours.items()):
            timing = result.timings.get(name)
            if timing is None or timing.ratio is None:
                continue
            least, most = min(least, timing.ratio), max(most, timing.ratio)
            y = place - 0.4 + (index + 0.5) * thickness
            faster = timing.ratio >= 1
            axes.barh(y, timing.ratio - 1, thickness, left=1, color=colour, alpha=1 if faster else 0.5)
            if len(colours) < 3:
                axes.annotate(
                    ratio_text(timing.ratio),
                    (timing.ratio, y),
                    (3 if faster else -3, 0),
                    textcoords="offset points",
                    horizontalalignment="left" if faster else "right",
                    verticalalignment="center",
                    fontsize=7,
                )
    axes.set_xscale("log")
    room = (most / least) ** 0.14  # for the numbers beside the bars
    axes.set_xlim(least / room, most * room)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if most / least < 30 else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.axvline(1, color="black", linewidth=0.8)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.set_ylim(len(run) - 0.5, -0.5)
    names = [f"{result.layer.name}   {result.layer.shape}" for result in run] if labels else [""] * len(run)
    axes.set_yticks(range(len(run)), names, fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)

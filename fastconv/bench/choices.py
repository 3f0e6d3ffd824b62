"""How good fastconv's choice of an algorithm is: the chosen one and the others on each layer, timed in turn."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import fastconv as fc
from fastconv.bench.harness import LayerLines, Settings, head, problem_record, ratio_text, time_in_turn
from fastconv.bench.peers import Fastconv, FastconvPacked, Problem
from fastconv.bench.tables import Layer

_MOST_COST = 4  # times the chosen algorithm's: estimates are seldom so wrong, and direct would take most of the time
_CLOSE = 1.05  # times the best: what one run does not tell apart from it


@dataclass(frozen=True)
class Choice:
    """What fastconv chose for a problem, and the milliseconds of all that it could well have chosen, by algorithm."""

    layer: Layer
    direction: str
    dtype: str
    chosen: str
    milliseconds: dict[str, float]

    @property
    def best(self) -> str:
        """The fastest algorithm; the chosen one may be it."""
        return min(self.milliseconds, key=self.milliseconds.__getitem__)

    @property
    def over_best(self) -> float:
        """The time of the chosen algorithm over that of the best: 1 or more."""
        return self.milliseconds[self.chosen] / self.milliseconds[self.best]


def run(
    layers: Iterable[Layer], settings: Settings, direction: str = "forward", dtype: str = "float32"
) -> Iterator[Choice]:
    """Time the algorithms that can do each layer; yield a `Choice` a layer as it is ready.

    Weights are packed before in the forward pass, which alone takes a packed weight. Algorithms are left out whose
    estimated cost is several times that of the chosen one.

    Parameters
    ----------
    layers : iterable of Layer
        What to measure: convolutions, transposed ones too, which alone have algorithms to choose from.
    settings : Settings
        Threads, rounds and times.
    direction : str
        The pass: ``forward``, ``input`` or ``weight``.
    dtype : str
        ``float32`` or ``float64``.
    """
    contender = FastconvPacked if direction in FastconvPacked.passes else Fastconv
    for layer in layers:
        problem = Problem(layer, direction, dtype)
        explanation = problem.explanation
        costs = {said.algorithm: said.cost for said in explanation.candidates if said.cost is not None}
        most = _MOST_COST * costs[explanation.algorithm]
        with fc.threads(settings.threads):
            calls = {
                name: contender(name).prepare(problem, settings.threads) for name, cost in costs.items() if cost <= most
            }
            milliseconds = {name: seconds * 1e3 for name, seconds in time_in_turn(calls, settings).items()}
        yield Choice(layer, direction, dtype, explanation.algorithm, milliseconds)


def print_table(choices: Iterable[Choice], layers: Sequence[Layer], stream: TextIO | None = None) -> list[Choice]:
    """Print a line for each choice when it comes, and how many are good; return them.

    Parameters
    ----------
    choices : iterable of Choice
        On ``layers``.
    layers : sequence of Layer
        The widths of the columns follow from them.
    stream : text stream, optional
        Where to; standard output if not given.
    """
    lines = LayerLines(layers, stream)
    lines.titles(f"{'chosen':10}", f"{'ms':>8}", f"{'best':10}", f"{'ms':>8}", "chosen/best")
    seen = []
    for choice in choices:
        milliseconds = choice.milliseconds
        lines.layer(
            choice.layer,
            f"{choice.chosen:10}",
            f"{milliseconds[choice.chosen]:8.3f}",
            f"{choice.best:10}",
            f"{milliseconds[choice.best]:8.3f}",
            f"{ratio_text(choice.over_best):>11}",
        )
        seen.append(choice)
    lines.print_line(summary(seen))
    return seen


def summary(choices: Sequence[Choice]) -> str:
    """Return in words how many of the chosen algorithms are as good as the best."""
    return f"{_count_close(choices)} of {len(choices)} layers within {_CLOSE - 1:.0%} of the best"


def _count_close(choices: Iterable[Choice]) -> int:
    return sum(choice.over_best <= _CLOSE for choice in choices)


def to_json(choices: Sequence[Choice], settings: Settings) -> str:
    """Return choices as a JSON document: the settings, every layer, and how many of the choices are good."""
    document = {
        **head(settings),
        "layers": [_record(choice) for choice in choices],
        "within_5_percent": _count_close(choices),
    }
    return json.dumps(document, indent=2)


def _record(choice: Choice) -> dict[str, Any]:
    return {
        **problem_record(choice.layer, choice.direction, choice.dtype),
        "chosen": choice.chosen,
        "best": choice.best,
        "chosen_over_best": choice.over_best,
        "ms": choice.milliseconds,
    }

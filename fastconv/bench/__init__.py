"""The benchmark harness: layer tables, contenders, fair timing and the printed table.

Shared by ``python -m fastconv bench`` and by the pytest-benchmark suites in the repository's ``bench/`` folder.
Nothing here is imported by ``import fastconv``, and every peer library is optional.
"""

from fastconv.bench.harness import Settings, run
from fastconv.bench.peers import CONTENDERS, Problem, Unsupported
from fastconv.bench.random_table import draw_layers
from fastconv.bench.tables import Layer, read_table, select_layers, table_names

__all__ = [
    "CONTENDERS",
    "Layer",
    "Problem",
    "Settings",
    "Unsupported",
    "draw_layers",
    "read_table",
    "run",
    "select_layers",
    "table_names",
]

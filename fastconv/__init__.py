"""Fast convolution, pooling and their gradients on NumPy arrays.

The names, arguments and rules are those of ``torch.nn.functional``; gradients are in `fastconv.grad`, networks in
`fastconv.nn`, and the specification, in plain NumPy, in `fastconv.reference`.

Examples
--------
>>> import numpy as np, fastconv as fc
>>> x = np.random.default_rng(0).standard_normal((1, 3, 32, 32), dtype=np.float32)
>>> w = np.zeros((8, 3, 3, 3), np.float32)
>>> fc.conv2d(x, w, stride=2, padding=1).shape
(1, 8, 16, 16)
"""

from typing import Any

__version__ = "0.1.0"

from . import grad
from .functional import (
    PackedWeight,
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    fold,
    local_conv2d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
    unfold,
)
from .runtime import (
    algorithms,
    empty_cache,
    explain,
    get_num_threads,
    isa,
    set_cache_limit,
    set_num_threads,
    show_config,
    threads,
)

__all__ = [
    "PackedWeight",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "algorithms",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "empty_cache",
    "explain",
    "fold",
    "get_num_threads",
    "grad",
    "isa",
    "local_conv2d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
    "set_cache_limit",
    "set_num_threads",
    "show_config",
    "threads",
    "unfold",
]


_LATER = ("nn", "reference", "viz")


def __getattr__(name: str) -> Any:
    """``fastconv.nn``, ``fastconv.reference`` and ``fastconv.viz`` are imported when they are first used."""
    if name in _LATER:
        from importlib import import_module

        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})

"""What _core.pyx exports; arrays are contiguous, aligned, native float32 or float64 of one dtype, and checked."""

from typing import Any

import numpy as np

_Array = np.ndarray[Any, Any]
_Sizes = tuple[int, ...]
_Geometry = tuple[_Sizes, _Sizes, _Sizes, int, bool]  # stride, padding before, dilation, groups, channels last

class Block:
    def __init__(self, size: int) -> None: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

def convolve(
    pass_: int,
    input: _Array,
    weight: _Array,
    output: _Array,
    bias: _Array | None,
    geometry: _Geometry,
    algorithm: bytes | None,
    activation: int,
    packed_forms: dict[Any, Any] | None,
) -> None: ...
def candidates(
    pass_: int, itemsize: int, input: _Sizes, weight: _Sizes, output: _Sizes, geometry: _Geometry
) -> list[tuple[str, float | None, str | None]]: ...
def chosen(
    pass_: int,
    itemsize: int,
    input: _Sizes,
    weight: _Sizes,
    output: _Sizes,
    geometry: _Geometry,
    algorithm: bytes | None,
) -> tuple[str, int]: ...
def conv_out_size(
    size: _Sizes, kernel: _Sizes, stride: _Sizes, before: _Sizes, after: _Sizes, dilation: _Sizes, largest_plane: int
) -> _Sizes | None: ...
def pool(
    kind: int,
    input: _Array,
    output: _Array,
    indices: _Array | None,
    kernel: _Sizes,
    stride: _Sizes,
    padding: _Sizes,
    dilation: _Sizes,
    channels_last: bool,
    count_padding: bool,
    divisor: int,
) -> None: ...
def pool_backward(
    kind: int,
    grad_output: _Array,
    input: _Array | None,
    indices: _Array | None,
    grad_input: _Array,
    kernel: _Sizes,
    stride: _Sizes,
    padding: _Sizes,
    dilation: _Sizes,
    channels_last: bool,
    count_padding: bool,
    divisor: int,
) -> None: ...
def activate(kind: str, x: _Array, out: _Array) -> None: ...
def activate_backward(kind: str, x: _Array, grad_output: _Array, out: _Array) -> None: ...
def softmax(x: _Array, out: _Array) -> None: ...
def cross_entropy(x: _Array, target: _Array, grad: _Array, scale: float) -> float: ...
def channel_sum(x: _Array, out: _Array) -> None: ...
def sgd_step(
    param: _Array,
    grad: _Array,
    velocity: _Array | None,
    lr: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> None: ...
def adam_step(
    param: _Array,
    grad: _Array,
    mean: _Array,
    square: _Array,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    step: int,
) -> None: ...
def compiler() -> str: ...
def has_openmp() -> bool: ...
def algorithms() -> tuple[str, ...]: ...
def prefer_algorithm(name: str | None) -> None: ...
def set_verbose(verbose: bool) -> None: ...
def built_isas() -> tuple[str, ...]: ...
def available_isas() -> tuple[str, ...]: ...
def isa() -> str: ...
def use_isa(name: str | None) -> bool: ...
def measure_peak(dtype: str, threads: int) -> float: ...
def set_threads(threads: int) -> None: ...
def set_threads_here(threads: int) -> int: ...
def set_thread_limit(threads: int) -> None: ...
def threads() -> int: ...
def set_cache_limit(size: int) -> None: ...
def cache_limit() -> int: ...
def cache_bytes() -> int: ...
def empty_cache() -> None: ...

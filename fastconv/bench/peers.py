"""The contenders: fastconv and the libraries it is measured against, each behind the same three methods.

Every contender gets NumPy arrays, prepares whatever it may keep between calls (native views of the arrays, packed
weights, a compiled model) outside the timed part, and hands back a function without arguments: that is what is timed.
A library that keeps packed weights meets ``fc.PackedWeight``; PyTorch, which packs on each call, meets plain arrays.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import fastconv as fc
from fastconv.bench.tables import Layer
from fastconv.runtime import Explanation

PASSES = ("forward", "input", "weight")
DTYPES = ("float32", "float64")
CONVOLUTIONS = tuple(f"{kind}{n}d" for kind in ("conv", "conv_transpose") for n in (1, 2, 3))

Array = npt.NDArray[Any]
Call = Callable[[], Any]


class Unsupported(Exception):
    """A contender cannot do a problem; the message says why."""


@dataclass(frozen=True)
class Problem:
    """A layer, the pass to time (``forward``, ``input`` or ``weight``: a gradient's name), a dtype, and the arrays."""

    layer: Layer
    direction: str = "forward"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.direction not in PASSES:
            raise ValueError(f"pass must be one of {', '.join(PASSES)}, got {self.direction!r}")
        if self.direction not in self.layer.passes:
            raise ValueError(f"pass must be forward or input where there is no weight, got {self.direction!r}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {self.dtype!r}")

    @cached_property
    def input(self) -> Array:
        return self._normal(self.layer.input_shape, 0)

    @cached_property
    def weight(self) -> Array | None:
        """The weight, so small that results are about as large as the input; None where the function takes none."""
        layer = self.layer
        if layer.weight_shape is None:
            return None
        weight = self._normal(layer.weight_shape, 1)
        weight /= math.sqrt(max(1.0, layer.flops / 2 / math.prod(layer.output_shape)))
        return weight

    @property
    def kernel(self) -> Array:
        """The weight of a function that takes one."""
        if self.weight is None:
            raise Unsupported(f"{self.layer.function} takes no weight")
        return self.weight

    @cached_property
    def grad_output(self) -> Array:
        return self._normal(self.layer.output_shape, 2)

    @property
    def explanation(self) -> Explanation:
        """What `fastconv.explain` says of a convolution."""
        layer, grad = self.layer, None if self.direction == "forward" else self.direction
        return fc.explain(
            layer.function, layer.input_shape, layer.weight_shape, grad=grad, dtype=self.dtype, **layer.options
        )

    def _normal(self, shape: tuple[int, ...], seed: int) -> Array:
        return np.random.default_rng(seed).standard_normal(shape, dtype=np.dtype(self.dtype).type)


class Contender:
    """One way to compute a layer.

    Attributes
    ----------
    name : str
        What the table and the command line call it.
    modules : tuple of str
        What must be installed; the first one's version is reported.
    functions : tuple of str
        The functions it can do; none are all.
    passes : tuple of str
        The passes it can do.
    rival : str
        The fastconv contender that it is fairly compared with.
    alone : bool
        Whether it must be measured in a process of its own, beside fastconv only.
    """

    name = ""
    modules: tuple[str, ...] = ()
    functions: tuple[str, ...] = ("conv2d",)
    passes: tuple[str, ...] = ("forward",)
    rival = "fastconv"
    alone = False

    @classmethod
    def does(cls, layer: Layer) -> bool:
        """Return whether it is compared on the layer's function."""
        return not cls.functions or layer.function in cls.functions

    def missing(self) -> list[str]:
        """Return the modules that it needs and that are not installed."""
        return [module for module in self.modules if importlib.util.find_spec(module) is None]

    def available(self) -> bool:
        """Return whether everything it needs is installed."""
        return not self.missing()

    def version(self) -> str:
        """Return the version of its library."""
        try:
            return importlib.metadata.version(self.modules[0])
        except importlib.metadata.PackageNotFoundError:  # a build under another name, such as onnxruntime-gpu
            return "unknown"

    def prepare(self, problem: Problem, threads: int) -> Call:
        """Return the function to time, for ``threads`` threads; raise `Unsupported` where it cannot."""
        raise NotImplementedError

    def to_numpy(self, result: Any, problem: Problem) -> Any:
        """Return what a timed call returned as an array in PyTorch's layout (not timed, to check the result).

        Of several gradients, that is the one that is measured.
        """
        if isinstance(result, tuple):
            result = result[0 if problem.direction == "input" else 1]
        return np.asarray(result)

    def _only_float32(self, problem: Problem) -> None:
        if problem.dtype != "float32":
            raise Unsupported(f"{self.name} is compared in float32 only, not {problem.dtype}")


class Fastconv(Contender):
    """fastconv on plain arrays: everything is packed on each call."""

    name = "fastconv"
    functions: tuple[str, ...] = ()
    passes: tuple[str, ...] = PASSES

    def __init__(self, algorithm: str = "auto") -> None:
        self.algorithm = algorithm

    def version(self) -> str:
        return fc.__version__

    def prepare(self, problem: Problem, threads: int) -> Call:
        layer = problem.layer
        function = getattr(fc, layer.function)
        options = dict(layer.options)
        if self.algorithm != "auto":
            if "algorithm" not in inspect.signature(function).parameters:
                raise Unsupported(f"{layer.function} has one algorithm, and no name for it")
            options["algorithm"] = self.algorithm
        arrays = [problem.input] if problem.weight is None else [problem.input, self._weight(problem)]
        if problem.direction == "forward":
            call = partial(function, *arrays, **options)
        else:
            gradient = getattr(fc.grad, f"{layer.function}_backward")
            if problem.weight is not None:
                options["needs"] = [problem.direction == wanted for wanted in ("input", "weight", "bias")]
            elif "indices" in inspect.signature(gradient).parameters:  # PyTorch, too, keeps those of the forward pass
                options["indices"] = function(*arrays, **options, return_indices=True)[1]
            call = partial(gradient, problem.grad_output, *arrays, **options)
        if self.algorithm != "auto":
            try:
                call()
            except ValueError as error:  # an algorithm that was asked for by name may refuse the problem
                raise Unsupported(str(error)) from None
        return call

    def chosen(self, problem: Problem) -> str:
        """Return the name of the algorithm that runs this problem, nothing where there is one only."""
        if problem.layer.function not in CONVOLUTIONS:
            return ""
        return problem.explanation.algorithm if self.algorithm == "auto" else self.algorithm

    def _weight(self, problem: Problem) -> Any:
        return problem.weight


class FastconvPacked(Fastconv):
    """fastconv with `fc.PackedWeight`, as a network that is run for inference keeps its weights."""

    name = "fastconv-packed"
    functions = CONVOLUTIONS
    passes = ("forward",)

    def _weight(self, problem: Problem) -> Any:
        return fc.PackedWeight(problem.weight)


class Torch(Contender):
    """PyTorch on contiguous tensors, channels first."""

    name = "torch"
    modules = ("torch",)
    functions = ()
    passes = PASSES

    def prepare(self, problem: Problem, threads: int) -> Call:
        torch = importlib.import_module("torch")
        torch.set_num_threads(threads)
        layer = problem.layer
        function = getattr(torch.nn.functional, layer.function, None)
        if function is None:
            raise Unsupported(f"PyTorch has no {layer.function}")
        x = self._tensor(torch, problem.input)
        if problem.weight is None:
            if problem.direction == "forward":
                return partial(function, x, **layer.options)
            y = function(x.requires_grad_(), **layer.options)
            x.requires_grad_(False)  # or its gradient would be made ready for a second derivative
            return self._backward(y.grad_fn, self._tensor(torch, problem.grad_output))
        w = self._tensor(torch, problem.weight)
        if problem.direction == "forward":
            return partial(function, x, w, **layer.options)
        # what autograd calls; torch.nn.grad would make extra tensors on each call
        dy, backward = self._tensor(torch, problem.grad_output), torch.ops.aten.convolution_backward
        needs = [problem.direction == "input", problem.direction == "weight", False]
        options = layer.stride, layer.padding, layer.dilation, "transpose" in layer.function, layer.output_padding
        return partial(backward, dy, x, w, None, *options, layer.groups, needs)

    def _backward(self, node: Any, dy: Any) -> Call:
        """Return the backward pass of a graph without branches: autograd's own steps, without its bookkeeping."""
        nodes = []
        while node.next_functions:
            nodes.append(node)
            ((node, _),) = node.next_functions

        # That of a mean is one number a channel, said to be many: contiguous() writes them.
        if len(nodes) == 1:
            return lambda: nodes[0](dy).contiguous()

        def call() -> Any:
            gradient = dy
            for node in nodes:
                gradient = node(gradient)
            return gradient.contiguous()

        without_graph: Call = importlib.import_module("torch").no_grad()(call)
        return without_graph

    def _tensor(self, torch: Any, array: Array) -> Any:
        return torch.from_numpy(array)


class TorchChannelsLast(Torch):
    """PyTorch on tensors that were made channels-last before the timed part."""

    name = "torch-nhwc"

    def _tensor(self, torch: Any, array: Array) -> Any:
        if array.ndim != 4:
            raise Unsupported("PyTorch has channels-last for four dimensions")
        return torch.from_numpy(array).contiguous(memory_format=torch.channels_last)


class OnnxRuntime(Contender):
    """ONNX Runtime, one node, the weight a constant, input and output bound to NumPy arrays."""

    name = "onnxruntime"
    modules = ("onnxruntime", "onnx")
    rival = "fastconv-packed"

    def prepare(self, problem: Problem, threads: int) -> Call:
        self._only_float32(problem)
        onnxruntime = importlib.import_module("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only: the table is on the same terminal
        session = onnxruntime.InferenceSession(self._model(problem), options, providers=["CPUExecutionProvider"])
        output = np.empty(problem.layer.output_shape, problem.dtype)
        binding = session.io_binding()
        binding.bind_cpu_input("x", problem.input)
        binding.bind_output("y", "cpu", 0, output.dtype.type, output.shape, output.ctypes.data)

        def call() -> Array:
            session.run_with_iobinding(binding)
            return output

        return call

    def _model(self, problem: Problem) -> Any:
        helper = importlib.import_module("onnx.helper")
        numpy_helper = importlib.import_module("onnx.numpy_helper")
        float32 = importlib.import_module("onnx").TensorProto.FLOAT
        layer = problem.layer
        node = helper.make_node(
            "Conv",
            ["x", "w"],
            ["y"],
            kernel_shape=problem.kernel.shape[2:],
            strides=layer.stride,
            pads=layer.padding * 2,  # all the beginnings, then all the ends
            dilations=layer.dilation,
            group=layer.groups,
        )
        graph = helper.make_graph(
            [node],
            "layer",
            [helper.make_tensor_value_info("x", float32, layer.input_shape)],
            [helper.make_tensor_value_info("y", float32, layer.output_shape)],
            [numpy_helper.from_array(problem.kernel, "w")],
        )
        # an old opset and file version, which every runtime of the last years reads; Conv has not changed since 11
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        return model.SerializeToString()


class OpenVino(Contender):
    """OpenVINO, one operation, the weight a constant, the input tensor shared with NumPy."""

    name = "openvino"
    modules = ("openvino",)
    rival = "fastconv-packed"

    def prepare(self, problem: Problem, threads: int) -> Call:
        self._only_float32(problem)
        openvino = importlib.import_module("openvino")
        opset = importlib.import_module("openvino.opset13")
        layer = problem.layer
        x = opset.parameter(list(layer.input_shape), np.float32)
        places = list(layer.stride), list(layer.padding), list(layer.padding), list(layer.dilation)
        weight = problem.kernel
        if layer.groups == 1:
            y = opset.convolution(x, opset.constant(weight), *places)
        else:
            y = opset.group_convolution(x, opset.constant(_by_group(weight, layer.groups)), *places)
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",  # it would take bfloat16 where the CPU has it
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }
        request = openvino.Core().compile_model(openvino.Model([y], [x]), "CPU", settings).create_infer_request()
        request.set_input_tensor(openvino.Tensor(problem.input, shared_memory=True))

        def call() -> Any:
            request.infer()
            return request

        return call

    def to_numpy(self, result: Any, problem: Problem) -> Any:
        return result.get_output_tensor().data


class Ncnn(Contender):
    """ncnn, one layer; it takes one image at a time."""

    name = "ncnn"
    modules = ("ncnn",)
    rival = "fastconv-packed"
    alone = True  # with ONNX Runtime in the process it often runs at half its speed

    def prepare(self, problem: Problem, threads: int) -> Call:
        self._only_float32(problem)
        ncnn = importlib.import_module("ncnn")
        net = ncnn.Net()
        net.opt.num_threads = threads
        for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
            setattr(net.opt, option, False)  # float32 throughout, like everyone else
        with tempfile.TemporaryDirectory() as folder:
            description, weights = Path(folder, "layer.param"), Path(folder, "layer.bin")
            description.write_text(self._description(problem.layer, problem.kernel.shape))
            weights.write_bytes(bytes(4) + problem.kernel.tobytes())  # four zero bytes: float32 follows
            if net.load_param(str(description)) or net.load_model(str(weights)):
                raise Unsupported("ncnn does not load the layer")
        images = [ncnn.Mat(image) for image in problem.input]

        def call() -> Any:
            outputs = []
            for image in images:
                extractor = net.create_extractor()
                extractor.input("x", image)
                outputs.append(extractor.extract("y")[1])
            return net, outputs  # an output must not outlive the network that made it

        return call

    def _description(self, layer: Layer, weight_shape: tuple[int, ...]) -> str:
        values = {0: weight_shape[0], 5: 0, 6: math.prod(weight_shape)}  # 5: no bias
        for key, (height, width) in {
            1: weight_shape[2:],
            2: layer.dilation,
            3: layer.stride,
            4: layer.padding,
        }.items():
            values[key], values[key + 10] = width, height
        kind = "Convolution"
        if layer.groups > 1:
            kind, values[7] = "ConvolutionDepthWise", layer.groups
        fields = " ".join(f"{key}={value}" for key, value in values.items())
        _, channels, height, width = layer.input_shape
        size = f"0={width} 1={height} 2={channels}"
        return f"7767517\n2 2\nInput x 0 1 x {size}\n{kind} layer 1 1 x y {fields}\n"

    def to_numpy(self, result: Any, problem: Problem) -> Any:
        _, outputs = result
        return np.stack([np.array(output) for output in outputs])


class NumpyIm2col(Contender):
    """What one writes without a library: the im2col matrix of each image, and NumPy's matrix product."""

    name = "numpy"
    modules = ("numpy", "threadpoolctl")  # without threadpoolctl nothing can set the threads of NumPy's BLAS
    passes = PASSES

    def prepare(self, problem: Problem, threads: int) -> Call:
        importlib.import_module("threadpoolctl").threadpool_limits(threads, user_api="blas")
        return partial(getattr(self, f"_{problem.direction}"), problem)

    def _forward(self, problem: Problem) -> Array:
        weight = self._rows(problem)
        output = np.empty(problem.layer.output_shape, problem.dtype)
        for image, result in zip(problem.input, output, strict=True):
            np.matmul(weight, self._columns(problem, image), out=result.reshape(*weight.shape[:2], -1))
        return output

    def _input(self, problem: Problem) -> Array:
        layer = problem.layer
        (sh, sw), (ph, pw), (dh, dw) = layer.stride, layer.padding, layer.dilation
        weight, kernel, (out_height, out_width) = self._rows(problem), problem.kernel.shape[2:], layer.output_shape[2:]
        batch, channels, height, width = layer.input_shape
        padded = np.zeros((batch, channels, height + 2 * ph, width + 2 * pw), problem.dtype)
        for grad, image in zip(problem.grad_output, padded, strict=True):
            columns = weight.transpose(0, 2, 1) @ grad.reshape(*weight.shape[:2], -1)
            columns = columns.reshape(channels, *kernel, out_height, out_width)
            for i, j in np.ndindex(*kernel):
                rows = slice(i * dh, i * dh + sh * out_height, sh)
                places = slice(j * dw, j * dw + sw * out_width, sw)
                image[:, rows, places] += columns[:, i, j]
        return padded[:, :, ph : ph + height, pw : pw + width]

    def _weight(self, problem: Problem) -> Array:
        total = np.zeros_like(self._rows(problem))
        for image, grad in zip(problem.input, problem.grad_output, strict=True):
            total += grad.reshape(*total.shape[:2], -1) @ self._columns(problem, image).transpose(0, 2, 1)
        return total.reshape(problem.kernel.shape)

    def _rows(self, problem: Problem) -> Array:
        """Return the weight as [groups, outputs / groups, inputs / groups * kernel]."""
        grouped = _by_group(problem.kernel, problem.layer.groups)
        return grouped.reshape(*grouped.shape[:2], -1)

    def _columns(self, problem: Problem, image: Array) -> Array:
        """Return [groups, channels / groups * kernel, out_height * out_width]."""
        layer = problem.layer
        (sh, sw), (ph, pw), dilation = layer.stride, layer.padding, layer.dilation
        padded = np.pad(image, ((0, 0), (ph, ph), (pw, pw))) if ph or pw else image
        window = [d * (k - 1) + 1 for d, k in zip(dilation, problem.kernel.shape[2:], strict=True)]
        windows = np.lib.stride_tricks.sliding_window_view(padded, window, axis=(1, 2))
        taps = windows[:, ::sh, ::sw, :: dilation[0], :: dilation[1]].transpose(0, 3, 4, 1, 2)
        return taps.reshape(layer.groups, -1, math.prod(layer.output_shape[2:]))


def _by_group(weight: Array, groups: int) -> Array:
    """Return a weight [outputs, inputs / groups, ...] as [groups, outputs / groups, inputs / groups, ...]."""
    return weight.reshape(groups, -1, *weight.shape[1:])


OURS: tuple[type[Fastconv], ...] = (Fastconv, FastconvPacked)
PEERS: tuple[type[Contender], ...] = (Torch, TorchChannelsLast, OnnxRuntime, OpenVino, Ncnn, NumpyIm2col)
CONTENDERS: dict[str, type[Contender]] = {kind.name: kind for kind in (*OURS, *PEERS)}

"""The contenders: fastconv and the libraries it is measured against, each behind the same three methods.

Every contender gets NumPy arrays, prepares whatever it may keep between calls (native views of the arrays, packed
weights, a compiled model) outside the timed part, and hands back a function without arguments: that is what is timed.
A library that keeps packed weights meets ``fc.PackedWeight``; PyTorch, which packs on each call, meets plain arrays.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
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

PASSES = ("forward", "input", "weight")
DTYPES = ("float32", "float64")

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
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {self.dtype!r}")

    @cached_property
    def input(self) -> Array:
        return self._normal(self.layer.input_shape, 0)

    @cached_property
    def weight(self) -> Array:
        taps = int(np.prod(self.layer.weight_shape[1:]))
        weight = self._normal(self.layer.weight_shape, 1)
        weight /= np.sqrt(taps)  # so that results are about as large as the input
        return weight

    @cached_property
    def grad_output(self) -> Array:
        return self._normal(self.layer.output_shape, 2)

    def _normal(self, shape: tuple[int, ...], seed: int) -> Array:
        return np.random.default_rng(seed).standard_normal(shape, dtype=np.dtype(self.dtype).type)


class Contender:
    """One way to compute a convolution.

    Attributes
    ----------
    name : str
        What the table and the command line call it.
    modules : tuple of str
        What must be installed; the first one's version is reported.
    passes : tuple of str
        The passes it can do.
    rival : str
        The fastconv contender that it is fairly compared with.
    alone : bool
        Whether it must be measured in a process of its own, beside fastconv only.
    """

    name = ""
    modules: tuple[str, ...] = ()
    passes: tuple[str, ...] = ("forward",)
    rival = "fastconv"
    alone = False

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
        """Return what a timed call returned as an array in PyTorch's layout (not timed, to check the result)."""
        return np.asarray(result)

    def _only_float32(self, problem: Problem) -> None:
        if problem.dtype != "float32":
            raise Unsupported(f"{self.name} is compared in float32 only, not {problem.dtype}")


class Fastconv(Contender):
    """fastconv on plain arrays: everything is packed on each call."""

    name = "fastconv"
    passes: tuple[str, ...] = PASSES

    def __init__(self, algorithm: str = "auto") -> None:
        self.algorithm = algorithm

    def version(self) -> str:
        return fc.__version__

    def prepare(self, problem: Problem, threads: int) -> Call:
        layer = problem.layer
        options = layer.stride, layer.padding, layer.dilation, layer.groups
        named: dict[str, Any] = {} if self.algorithm == "auto" else {"algorithm": self.algorithm}
        if problem.direction == "forward":
            call = partial(fc.conv2d, problem.input, self._weight(problem), None, *options, **named)
        elif problem.direction == "input":
            call = partial(
                fc.grad.conv2d_input, layer.input_shape, problem.weight, problem.grad_output, *options, **named
            )
        else:
            call = partial(
                fc.grad.conv2d_weight, problem.input, layer.weight_shape, problem.grad_output, *options, **named
            )
        if named:
            try:
                call()
            except ValueError as error:  # an algorithm that was asked for by name may refuse the problem
                raise Unsupported(str(error)) from None
        return call

    def chosen(self, problem: Problem) -> str:
        """Return the name of the algorithm that runs this problem."""
        if self.algorithm != "auto":
            return self.algorithm
        layer = problem.layer
        grad = None if problem.direction == "forward" else problem.direction
        return fc.explain(
            "conv2d", layer.input_shape, layer.weight_shape, grad=grad, dtype=problem.dtype, **layer.options
        ).algorithm

    def _weight(self, problem: Problem) -> Any:
        return problem.weight


class FastconvPacked(Fastconv):
    """fastconv with `fc.PackedWeight`, as a network that is run for inference keeps its weights."""

    name = "fastconv-packed"
    passes = ("forward",)

    def _weight(self, problem: Problem) -> Any:
        return fc.PackedWeight(problem.weight)


class Torch(Contender):
    """PyTorch on contiguous NCHW tensors."""

    name = "torch"
    modules = ("torch",)
    passes = PASSES

    def prepare(self, problem: Problem, threads: int) -> Call:
        torch = importlib.import_module("torch")
        torch.set_num_threads(threads)
        layer = problem.layer
        options = layer.stride, layer.padding, layer.dilation
        x, w = self._tensor(torch, problem.input), self._tensor(torch, problem.weight)
        if problem.direction == "forward":
            return partial(torch.nn.functional.conv2d, x, w, None, *options, layer.groups)
        dy = self._tensor(torch, problem.grad_output)
        needs = [problem.direction == "input", problem.direction == "weight", False]
        # what autograd calls; torch.nn.grad would make extra tensors on each call
        backward = torch.ops.aten.convolution_backward
        return partial(backward, dy, x, w, None, *options, False, [0, 0], layer.groups, needs)

    def to_numpy(self, result: Any, problem: Problem) -> Any:
        if problem.direction != "forward":
            result = result[0 if problem.direction == "input" else 1]
        return result.numpy()

    def _tensor(self, torch: Any, array: Array) -> Any:
        return torch.from_numpy(array)


class TorchChannelsLast(Torch):
    """PyTorch on tensors that were made channels-last before the timed part."""

    name = "torch-nhwc"

    def _tensor(self, torch: Any, array: Array) -> Any:
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
            kernel_shape=layer.weight_shape[2:],
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
            [numpy_helper.from_array(problem.weight, "w")],
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
        if layer.groups == 1:
            y = opset.convolution(x, opset.constant(problem.weight), *places)
        else:
            shape = layer.groups, layer.out_channels // layer.groups, *layer.weight_shape[1:]
            y = opset.group_convolution(x, opset.constant(problem.weight.reshape(shape)), *places)
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
            description.write_text(self._description(problem.layer))
            weights.write_bytes(bytes(4) + problem.weight.tobytes())  # four zero bytes: float32 follows
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

    def _description(self, layer: Layer) -> str:
        values = {
            0: layer.out_channels,
            1: layer.kernel_width,
            11: layer.kernel_height,
            2: layer.dilation_width,
            12: layer.dilation_height,
            3: layer.stride_width,
            13: layer.stride_height,
            4: layer.padding_width,
            14: layer.padding_height,
            5: 0,  # no bias
            6: int(np.prod(layer.weight_shape)),
        }
        kind = "Convolution"
        if layer.groups > 1:
            kind, values[7] = "ConvolutionDepthWise", layer.groups
        fields = " ".join(f"{key}={value}" for key, value in values.items())
        size = f"0={layer.in_width} 1={layer.in_height} 2={layer.in_channels}"
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
        layer = problem.layer
        weight = problem.weight.reshape(layer.groups, layer.out_channels // layer.groups, -1)
        output = np.empty(layer.output_shape, problem.dtype)
        for image, result in zip(problem.input, output, strict=True):
            np.matmul(weight, self._columns(layer, image), out=result.reshape(*weight.shape[:2], -1))
        return output

    def _input(self, problem: Problem) -> Array:
        layer = problem.layer
        (sh, sw), (ph, pw), (dh, dw) = layer.stride, layer.padding, layer.dilation
        weight = problem.weight.reshape(layer.groups, layer.out_channels // layer.groups, -1)
        shape = layer.in_channels, layer.kernel_height, layer.kernel_width, layer.out_height, layer.out_width
        batch, channels, height, width = layer.input_shape
        padded = np.zeros((batch, channels, height + 2 * ph, width + 2 * pw), problem.dtype)
        for grad, image in zip(problem.grad_output, padded, strict=True):
            columns = weight.transpose(0, 2, 1) @ grad.reshape(*weight.shape[:2], -1)
            columns = columns.reshape(shape)
            for i in range(layer.kernel_height):
                for j in range(layer.kernel_width):
                    rows = slice(i * dh, i * dh + sh * layer.out_height, sh)
                    places = slice(j * dw, j * dw + sw * layer.out_width, sw)
                    image[:, rows, places] += columns[:, i, j]
        return padded[:, :, ph : ph + height, pw : pw + width]

    def _weight(self, problem: Problem) -> Array:
        layer = problem.layer
        per_group = layer.out_channels // layer.groups
        total = np.zeros((layer.groups, per_group, int(np.prod(layer.weight_shape[1:]))), problem.dtype)
        for image, grad in zip(problem.input, problem.grad_output, strict=True):
            columns = self._columns(layer, image)
            total += grad.reshape(layer.groups, per_group, -1) @ columns.transpose(0, 2, 1)
        return total.reshape(layer.weight_shape)

    def _columns(self, layer: Layer, image: Array) -> Array:
        """Return [groups, channels / groups * kernel, out_height * out_width]."""
        (sh, sw), (ph, pw), (dh, dw) = layer.stride, layer.padding, layer.dilation
        padded = np.pad(image, ((0, 0), (ph, ph), (pw, pw))) if ph or pw else image
        window = dh * (layer.kernel_height - 1) + 1, dw * (layer.kernel_width - 1) + 1
        windows = np.lib.stride_tricks.sliding_window_view(padded, window, axis=(1, 2))
        taps = windows[:, ::sh, ::sw, ::dh, ::dw].transpose(0, 3, 4, 1, 2)
        return taps.reshape(layer.groups, -1, layer.out_height * layer.out_width)


OURS: tuple[type[Fastconv], ...] = (Fastconv, FastconvPacked)
PEERS: tuple[type[Contender], ...] = (Torch, TorchChannelsLast, OnnxRuntime, OpenVino, Ncnn, NumpyIm2col)
CONTENDERS: dict[str, type[Contender]] = {kind.name: kind for kind in (*OURS, *PEERS)}

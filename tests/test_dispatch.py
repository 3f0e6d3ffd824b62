"""What runs, and how fastconv says so: instruction sets, algorithms, explain, the environment, the public face."""

import doctest
import importlib
import inspect
import itertools
import json
import math
import pkgutil
import platform
import re
import sys
from pathlib import Path

import cases
import numpy as np
import pytest
from cases import (
    ALGORITHMS,
    CONVOLUTIONS,
    ISAS,
    LAYERS,
    LAYOUTS,
    PASSES,
    TRANSPOSED,
    TRANSPOSED_LAYERS,
    TransposedConvolution,
    fast,
    run,
)

import fastconv as fc
from fastconv import _core, functional, grad, runtime

by_pass = pytest.mark.parametrize("which", PASSES)
# Those that have a choice of algorithms.
CHOICES = [*LAYERS, *TRANSPOSED_LAYERS]
by_layer = pytest.mark.parametrize("problem", CHOICES, ids=str)

SMALL_CALL = "fc.conv2d(np.ones((1, 4, 9, 9)), np.ones((4, 4, 3, 3)))"
LINE = re.compile(
    r"fastconv: (?P<which>forward|input gradient|weight gradient) (?P<dtype>float32|float64) (?P<layout>channels_\w+)"
    r" input (?P<input>[\dx]+) weight (?P<weight>[\dx]+) stride [\dx]+ padding [\dx]+ dilation [\dx]+"
    r" groups (?P<groups>\d+) \| (?P<algorithm>\w+) (?P<isa>\w+) threads (?P<threads>\d+) (?P<milliseconds>\d+\.\d+) ms"
)


def explain(problem, which="forward", layout="channels_first", **options):
    """Return fastconv's plan for one pass of a problem, whose shapes are channels first."""
    shape = cases.to_layout(np.empty(problem.input_shape, bool), layout, problem.dimensions).shape
    options = {"grad": None if which == "forward" else which, "layout": layout, **problem.options, **options}
    return fc.explain(problem.function, shape, problem.weight_shape, **options)


@pytest.fixture
def spoken(capfd):
    """Return the lines that calls of this test have written on stderr, taken apart."""
    _core.set_verbose(True)
    yield lambda: [LINE.fullmatch(line).groupdict() for line in capfd.readouterr().err.splitlines()]
    _core.set_verbose(False)


# --- Instruction sets


@pytest.mark.parametrize("name", ISAS)
def test_instruction_set_of_the_environment(python, name):
    script = f"import numpy as np, fastconv as fc; {SMALL_CALL}; print(fc.isa(), fc.show_config('dicts')['isa'])"
    done = python(script, FASTCONV_ISA=name, FASTCONV_VERBOSE="1")
    assert done.stdout.split() == [name, name]
    assert LINE.fullmatch(done.stderr.strip())["isa"] == name


def test_best_instruction_set_is_the_default(python):
    if platform.machine() != "x86_64" or not sys.platform.startswith("linux"):
        pytest.skip("reads the flags of an x86 processor from Linux")
    flags = set(re.search(r"^flags\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)[1].split())
    needs = {
        "generic": set(),
        "avx2": {"avx2", "fma"},
        "avx512": {"avx512f", "avx512dq", "avx512bw", "avx512vl", "fma"},
    }
    found = tuple(name for name in runtime.built_isas() if needs[name] <= flags)
    assert runtime.available_isas() == found
    assert python("import fastconv as fc; print(fc.isa())").stdout.split() == [found[-1]]


MISSING_ISAS = [name for name in runtime.built_isas() if name not in runtime.available_isas()]


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        *(("FASTCONV_ISA", value, ISAS) for value in ("sse9", "AVX2", " generic", "auto", "\udcff", *MISSING_ISAS)),
        *(("FASTCONV_ALGORITHM", value, ALGORITHMS) for value in ("magic", "Direct", "direct,im2col", "\udcff")),
        *(("FASTCONV_VERBOSE", value, ["0", "1"]) for value in ("false", "2", " 1")),
    ],
)
def test_unknown_wishes_are_refused_at_import(python, variable, value, expected):
    error = python("import fastconv", code=1, **{variable: value}).stderr.splitlines()[-1]
    assert error.startswith(f"ImportError: {variable}: expected ") and f"got {value!r}" in error
    assert set(expected) <= set(re.findall(r"\w+", error))


@pytest.mark.parametrize("variable", ["FASTCONV_ISA", "FASTCONV_ALGORITHM", "FASTCONV_NUM_THREADS"])
def test_empty_wishes_are_none(python, variable):
    script = "import fastconv as fc; print(fc.show_config('dicts'))"
    assert python(script, **{variable: ""}).stdout == python(script).stdout


# --- Algorithms


def check_line(spoken, problem, which, layout, algorithm):
    """Check that one pass writes one line, on what was asked for and explained."""
    run(fast, problem, which, cases.arrays(problem, "float32"), layout, algorithm=algorithm)
    (line,) = spoken()
    assert line["algorithm"] == explain(problem, which, layout, algorithm=algorithm).algorithm
    assert algorithm in ("auto", line["algorithm"])
    ones, shapes = [1] * (3 - problem.dimensions), {"input": problem.input_shape, "weight": problem.weight_shape}
    passes = {"forward": "forward", "input": "input gradient", "weight": "weight gradient"}
    if isinstance(problem, TransposedConvolution):  # What runs is the convolution that leads back.
        shapes["input"], passes["forward"], passes["input"] = problem.output_shape, "input gradient", "forward"
    for name, shape in shapes.items():
        assert line[name] == "x".join(map(str, [*shape[:2], *ones, *shape[2:]]))
    assert (line["which"], line["layout"], line["isa"]) == (passes[which], layout, fc.isa())
    assert (line["dtype"], line["groups"]) == ("float32", str(problem.groups))
    assert 1 <= int(line["threads"]) <= fc.get_num_threads() and float(line["milliseconds"]) > 0


@by_layer
@by_pass
def test_auto_runs_what_is_explained(isa, spoken, problem, which):
    for layout in LAYOUTS:
        check_line(spoken, problem, which, layout, "auto")


BATCHED = [p for p in (*CONVOLUTIONS, *TRANSPOSED) if len(p.input_shape) == len(p.weight_shape)]


@pytest.mark.parametrize("problem", BATCHED, ids=str)
def test_algorithm_asked_for_runs(spoken, problem):
    for which, layout, algorithm in itertools.product(PASSES, LAYOUTS, fc.algorithms()):
        if problem.input_shape[0] and problem.refusal(algorithm, which, "float32", layout) is None:
            check_line(spoken, problem, which, layout, algorithm)


@pytest.mark.parametrize(
    ("algorithm", "input_shape", "weight_shape", "options"),
    [
        ("pointwise", (1, 64, 56, 56), (64, 64, 1, 1), {}),
        ("pointwise", (4, 256, 14, 14), (512, 256, 1, 1), {}),
        ("depthwise", (1, 96, 56, 56), (96, 1, 3, 3), {"padding": 1, "groups": 96}),
        ("depthwise", (1, 96, 57, 57), (96, 1, 3, 3), {"padding": 1, "groups": 96, "stride": 2}),
        ("depthwise", (1, 512, 14, 14), (512, 1, 3, 3), {"padding": 1, "groups": 512}),
        ("im2col", (1, 3, 224, 224), (64, 3, 7, 7), {"padding": 3, "stride": 2}),
        ("winograd", (1, 64, 56, 56), (64, 64, 3, 3), {"padding": 1}),
        ("winograd", (1, 256, 14, 14), (256, 256, 3, 3), {"padding": 1}),
        ("winograd", (1, 128, 17, 17), (128, 128, 1, 7), {"padding": (0, 3)}),
        ("im2col", (1, 64, 56, 56), (128, 64, 1, 1), {"stride": 2}),
        ("direct", (1, 1, 4, 4), (1, 1, 2, 2), {}),
        ("direct", (1, 1, 5, 5), (1, 1, 3, 3), {}),
    ],
)
@by_pass
def test_auto_picks_the_obvious(isa, algorithm, input_shape, weight_shape, options, which):
    gradient = None if which == "forward" else which
    others = {"im2col": ("indirect", "shifted"), "pointwise": ("indirect", "shifted"), "depthwise": ("stencil",)}
    either = (algorithm, *others.get(algorithm, ()))
    either = (*either, "col2im") if which == "input" and algorithm == "im2col" else either
    assert fc.explain("conv2d", input_shape, weight_shape, gradient, **options).algorithm.rstrip("468") in either


DENSE = ("im2col", "col2im", "shifted", "indirect", "tapwise")


@pytest.mark.parametrize(
    ("algorithms", "input_shape", "weight_shape", "options"),
    [
        (("pointwise", "shifted"), (1, 64, 56, 56), (64, 64, 1, 1), {}),
        (("depthwise", "stencil"), (1, 96, 56, 56), (96, 1, 3, 3), {"padding": 1, "groups": 96}),
        (DENSE, (1, 128, 28, 28), (128, 64, 2, 2), {"stride": 2}),
        (DENSE, (1, 256, 8, 8), (256, 128, 4, 4), {"stride": 2, "padding": 1}),
        (("winograd6", "im2col"), (1, 64, 56, 56), (64, 64, 3, 3), {"padding": 1}),
        (("direct",), (1, 1, 4, 4), (1, 1, 2, 2), {}),
    ],
)
@by_pass
def test_auto_picks_the_obvious_transposed(isa, algorithms, input_shape, weight_shape, options, which):
    gradient = None if which == "forward" else which
    assert fc.explain("conv_transpose2d", input_shape, weight_shape, gradient, **options).algorithm in algorithms


@pytest.mark.parametrize("algorithm", fc.algorithms())
def test_algorithm_of_the_environment_is_a_preference(python, algorithm):
    script = f"""
import json, cases, numpy as np, test_dispatch, fastconv as fc
print(json.dumps([test_dispatch.explain(p, w).algorithm for p in test_dispatch.CHOICES for w in cases.PASSES]))
print(fc.explain("conv2d", (1, 4, 9, 9), (4, 4, 3, 3), algorithm="direct").algorithm)
{SMALL_CALL}
"""
    done = python(script, FASTCONV_ALGORITHM=algorithm, FASTCONV_VERBOSE="1")
    chosen, named = done.stdout.splitlines()
    wanted = []
    for problem in CHOICES:
        for which in PASSES:
            refused = problem.refusal(algorithm, which, "float32", "channels_first") is not None
            wanted.append(explain(problem, which).algorithm if refused else algorithm)
    assert json.loads(chosen) == wanted
    assert named == "direct"
    plan = fc.explain("conv2d", (1, 4, 9, 9), (4, 4, 3, 3), dtype="float64")
    can = any(candidate.algorithm == algorithm and candidate.reason is None for candidate in plan.candidates)
    assert LINE.fullmatch(done.stderr.strip())["algorithm"] == (algorithm if can else plan.algorithm)


# --- explain


@by_layer
@by_pass
def test_explanation(isa, problem, which):
    plan = explain(problem, which)
    costs = {candidate.algorithm: candidate.cost for candidate in plan.candidates if candidate.cost is not None}
    assert tuple(candidate.algorithm for candidate in plan.candidates) == fc.algorithms()
    assert all((candidate.cost is None) != (candidate.reason is None) for candidate in plan.candidates)
    assert plan.algorithm == min(costs, key=costs.get) and min(costs.values()) > 0
    assert plan.isa == isa and plan.workspace_bytes >= 0
    assert explain(problem, which, algorithm="direct").workspace_bytes == 0
    heading, *lines = str(plan).splitlines()
    assert problem.function in heading and plan.algorithm in heading and isa in heading
    for line, candidate in zip(lines, plan.candidates, strict=True):
        assert line.split()[:2].count("*") == (candidate.algorithm == plan.algorithm)
        said = candidate.reason or ("only by name" if candidate.cost == math.inf else "about")
        assert candidate.algorithm in line and said in line


@by_layer
@by_pass
def test_plan_does_not_depend_on_the_threads(problem, which):
    plans = []
    for threads in (1, 5):
        with fc.threads(threads):
            plan = explain(problem, which)
            plans.append((plan.algorithm, plan.candidates))
    assert plans[0] == plans[1]


def test_explanation_of_a_refusal_gives_the_reason():
    with pytest.raises(ValueError, match="^algorithm: .*'pointwise', which needs a 1x1 kernel"):
        fc.explain("conv2d", (1, 4, 9, 9), (4, 4, 3, 3), algorithm="pointwise")


# --- What fastconv says of itself


@pytest.mark.parametrize("variables", [{}, {"FASTCONV_VERBOSE": ""}, {"FASTCONV_VERBOSE": "0"}])
def test_silence_is_the_default(python, variables):
    done = python(f"import numpy as np, fastconv as fc; {SMALL_CALL}", **variables)
    assert (done.stdout, done.stderr) == ("", "")


def test_verbose_is_a_line_a_call(python):
    script = f"import numpy as np, fastconv as fc\nfor _ in range(3): {SMALL_CALL}"
    done = python(script, FASTCONV_VERBOSE="1")
    assert done.stdout == ""
    assert [bool(LINE.fullmatch(line)) for line in done.stderr.splitlines()] == [True] * 3


def test_verbose_pools_have_a_line(python):
    script = """
import numpy as np, fastconv as fc
x = np.ones((1, 2, 6, 8), np.float32)
y = fc.max_pool2d(x, 2)
fc.grad.avg_pool2d_backward(y, x, 2)
"""
    first, second = python(script, FASTCONV_VERBOSE="1").stderr.splitlines()
    assert re.fullmatch(r"fastconv: max pool forward float32 .* input 1x2x1x6x8 .* threads 1 [\d.]+ ms", first)
    assert re.fullmatch(r"fastconv: average pool backward float32 .* kernel 1x2x2 .* ms", second)


def test_verbose_lines_of_other_functions(python):
    script = """
import numpy as np, fastconv as fc
x, w = np.ones((1, 2, 6, 8), np.float32), np.ones((48, 3, 2), np.float32)
y = fc.adaptive_max_pool2d(x, (2, 3))
y = fc.grad.adaptive_avg_pool2d_backward(y, x, (2, 3))
value, index = fc.max_pool2d(x, 2, return_indices=True)
y = fc.max_unpool2d(value, index, 2)
fc.grad.max_unpool2d_backward(y, value, index, 2)
fc.fold(fc.unfold(x, 3), (6, 8), 3)
y = fc.local_conv2d(x, w)
fc.grad.local_conv2d_backward(y, x, w)
fc.conv_transpose2d(x, np.ones((2, 3, 2, 2), np.float32))
"""
    begins = [
        "adaptive max pool forward",
        "adaptive average pool backward",
        "max pool forward",
        "max unpool forward",
        "max unpool backward",
        "unfold",
        "fold",
        "local forward",
        "local input gradient",
        "local weight gradient",
        "input gradient",
    ]
    lines = python(script, FASTCONV_VERBOSE="1").stderr.splitlines()
    rest = r"float32 channels_first input 1x\dx1x\dx\d .* threads 1 [\d.]+ ms"
    for line, begin in zip(lines, begins, strict=True):
        assert re.fullmatch(f"fastconv: {begin} {rest}", line)


def test_verbose_names_what_ran(python):
    script = """
import numpy as np, fastconv as fc
w = np.ones((16, 16, 3, 3), np.float32)
w[0, 0, 0, 0] = np.nan
fc.grad.conv2d_input((1, 16, 16, 16), w, np.ones((1, 16, 14, 14), np.float32))
"""
    assert "| col2im " in python(script, FASTCONV_VERBOSE="1").stderr


def test_verbose_lines_of_many_threads_stay_whole(python):
    script = f"""
import threading, numpy as np, fastconv as fc
def work():
    for _ in range(200): {SMALL_CALL}
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    lines = python(script, FASTCONV_VERBOSE="1").stderr.splitlines()
    assert len(lines) == 1600 and all(map(LINE.fullmatch, lines))


def test_configuration(capsys):
    config = fc.show_config("dicts")
    assert config["version"] == fc.__version__ and re.match(r"(gcc|clang) \d", config["compiler"])
    assert config["isas built"] == ", ".join(runtime.built_isas()) and config["isa"] == fc.isa()
    assert config["isas found"] == ", ".join(runtime.available_isas())
    assert config["algorithms"] == ", ".join(fc.algorithms())
    assert config["openmp"] in (["libgomp", "libomp"] if _core.openmp() else ["no: built without OpenMP, serial"])
    assert config["threads"] == fc.get_num_threads() and config["threads why"]
    assert config["python"] == platform.python_version() and config["numpy"] == np.__version__
    assert config["cache limit"] == f"{_core.cache_limit() >> 20} MB" and "cache in use" in config
    assert fc.show_config() is None
    printed = [re.split(r" {2,}|(?<=threads why) ", line, maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert printed == [[key, str(value)] for key, value in config.items()]


# --- The public face


def loaded(python, script):
    """Return the modules that a new process has after a script."""
    return set(json.loads(python(f"{script}\nimport json, sys\nprint(json.dumps(list(sys.modules)))").stdout))


def test_import_takes_numpy_and_nothing_else(python):
    new = loaded(python, "import fastconv") - loaded(python, "import numpy")
    others = {name for name in new if not re.match(r"fastconv\b|cython_runtime$|_cython_", name)}
    assert others <= {"__future__", "contextlib", "copy", "dataclasses"}
    assert not new & {"fastconv.nn", "fastconv.reference", "fastconv.bench", "fastconv.demo"}


@pytest.mark.parametrize("name", ["nn", "reference"])
def test_parts_are_imported_when_they_are_used(python, name):
    assert f"fastconv.{name}" in loaded(python, f"import fastconv; fastconv.{name}")


def test_unknown_attribute():
    with pytest.raises(AttributeError, match="'fastconv' has no attribute 'conv4d'"):
        fc.conv4d  # noqa: B018


# The contract: names, order and defaults of what may be passed by position; a name without "=" has no default.
_AVERAGE = "input kernel_size stride=None padding=0 ceil_mode=False count_include_pad=True"
CONTRACT = {
    "conv{n}d": "input weight bias=None stride=1 padding=0 dilation=1 groups=1",
    "conv_transpose{n}d": "input weight bias=None stride=1 padding=0 output_padding=0 groups=1 dilation=1",
    "max_pool{n}d": "input kernel_size stride=None padding=0 dilation=1 ceil_mode=False return_indices=False",
    "avg_pool{n}d": _AVERAGE + " divisor_override=None",
    "avg_pool1d": _AVERAGE,
    "adaptive_avg_pool{n}d": "input output_size",
    "adaptive_max_pool{n}d": "input output_size return_indices=False",
    "max_unpool{n}d": "input indices kernel_size stride=None padding=0 output_size=None",
    "unfold": "input kernel_size dilation=1 padding=0 stride=1",
    "fold": "input output_size kernel_size dilation=1 padding=0 stride=1",
    "local_conv2d": "input weight bias=None stride=1 padding=0 dilation=1",
    "conv{n}d_input": "input_size weight grad_output stride=1 padding=0 dilation=1 groups=1",
    "conv{n}d_weight": "input weight_size grad_output stride=1 padding=0 dilation=1 groups=1",
}
KEYWORDS = {"layout": "channels_first", "out": None, "algorithm": "auto", "activation": None}


def contract(name):
    """Return the words of the contract on a function or on its gradient."""
    forward = name.removesuffix("_backward")
    words = (CONTRACT.get(forward) or CONTRACT[re.sub(r"\dd", "{n}d", forward)]).split()
    if forward != name:
        words = ["grad_output", *(word for word in words if word != "return_indices=False")]
    return words


@pytest.mark.parametrize("name", sorted({*cases.FUNCTIONS, *functional.__all__, *grad.__all__} - {"PackedWeight"}))
def test_signature_is_that_of_the_contract(name):
    parameters = inspect.signature(fast(name)).parameters.values()
    by_position = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    words = [p.name if p.default is p.empty else f"{p.name}={p.default}" for p in by_position]
    assert words == contract(name)
    by_keyword = {p.name: p.default for p in parameters if p not in by_position}
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters if p not in by_position)
    convolution, backward = "conv" in name, name in grad.__all__
    wanted = {key: default for key, default in KEYWORDS.items() if convolution or key in ("layout", "out")}
    if backward:
        wanted.pop("activation", None)
    if convolution and name.endswith("_backward"):
        wanted["needs"] = (True, True, True)
    if "max_pool" in name and backward:
        wanted["indices"] = None
    assert by_keyword == wanted


PUBLIC = [
    *(f"fc.{name}" for name in fc.__all__ if not inspect.ismodule(getattr(fc, name))),
    *(f"fc.grad.{name}" for name in grad.__all__),
]


@pytest.mark.parametrize("name", PUBLIC)
def test_docstring(name):
    thing = getattr(grad if name.startswith("fc.grad.") else fc, name.rpartition(".")[2])
    text = inspect.getdoc(thing)
    sections = re.split(r"^(\w+)\n-+\n", text, flags=re.MULTILINE)
    sections = dict(zip(sections[1::2], sections[2::2], strict=True))
    assert text.partition("\n\n")[0].endswith(".") and ">>> " in sections["Examples"]
    for parameter in inspect.signature(thing).parameters:
        heads = re.findall(r"^\S.*", sections["Parameters"], re.MULTILINE)
        assert any(re.search(rf"\b{parameter}\b", head.partition(":")[0]) for head in heads), parameter


MODULES = ["fastconv", *(module.name for module in pkgutil.walk_packages(fc.__path__, "fastconv."))]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        pytest.skip(f"needs an extra: {error}")
    assert module.__doc__
    assert doctest.testmod(module).failed == 0

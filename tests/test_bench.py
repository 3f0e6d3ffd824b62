"""The benchmark harness: layer tables, contenders that agree with each other, timing, means and the printed table."""

import io
import json
import math
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from fastconv import reference
from fastconv.bench import (
    CONTENDERS,
    Layer,
    Problem,
    Settings,
    Unsupported,
    choices,
    draw_layers,
    harness,
    read_table,
    run,
    select_layers,
)
from fastconv.bench.peers import CONVOLUTIONS, PASSES, PEERS, Contender
from fastconv.bench.tables import table_names

QUICK = Settings(threads=1, rounds=1, turn=0.0, pause=0.0)
HEADER = "source,name,mb,groups,ic,ih,iw,oc,kh,kw,sh,sw,ph,pw,dh,dw"


def convolution(name, input_shape, weight_shape, repeat=1, **options):
    return Layer(name, "conv2d", input_shape, weight_shape, options, repeat)


DENSE = convolution("dense", (2, 3, 9, 8), (4, 3, 3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2))
GROUPED = convolution("grouped", (1, 4, 7, 6), (6, 2, 3, 3), stride=(1, 3), padding=(1, 1), groups=2)
DEPTHWISE = convolution("depthwise", (1, 4, 6, 7), (4, 1, 3, 3), repeat=3, padding=1, groups=4)
LAYERS = [DENSE, GROUPED, DEPTHWISE]
TRANSPOSED = {"stride": (2, 1), "padding": 1, "output_padding": (1, 0), "groups": 2}
OTHERS = [
    Layer("signal", "conv1d", (2, 3, 20), (4, 3, 5), {"stride": 2, "padding": 2}),
    Layer("video", "conv3d", (1, 2, 4, 5, 6), (3, 2, 2, 3, 3), {"dilation": (1, 2, 1)}),
    Layer("up", "conv_transpose2d", (2, 4, 5, 6), (4, 3, 3, 2), TRANSPOSED),
    Layer("samples", "conv_transpose1d", (1, 6, 9), (6, 1, 8), {"stride": 4}),
    Layer("local", "local_conv2d", (2, 3, 6, 5), (15, 4, 18), {"padding": (0, 1), "stride": (2, 1)}),
    Layer("max", "max_pool2d", (2, 3, 9, 8), None, {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    Layer("mean", "avg_pool2d", (2, 3, 9, 8), None, {"kernel_size": (3, 2), "count_include_pad": False}),
    Layer("global", "adaptive_avg_pool2d", (2, 3, 7, 7), None, {"output_size": 1}),
    Layer("adaptive", "adaptive_avg_pool2d", (1, 3, 13, 11), None, {"output_size": (6, 4)}),
    Layer("adaptive max", "adaptive_max_pool2d", (2, 3, 8, 8), None, {"output_size": 3}),
    Layer("pooled signal", "max_pool1d", (2, 3, 21), None, {"kernel_size": 4}),
    Layer("columns", "unfold", (2, 3, 7, 6), None, {"kernel_size": 3, "padding": 1, "stride": 2}),
    Layer("image", "fold", (2, 27, 12), None, {"output_size": (7, 6), "kernel_size": 3, "padding": 1, "stride": 2}),
]


# ---- tables


@pytest.mark.parametrize("name", table_names())
def test_every_table_is_readable(name):
    layers = read_table(name)
    assert layers
    for layer in layers:
        assert min(layer.output_shape) >= 1 and layer.source
        assert (layer.flops > 0) == (layer.weight_shape is not None) == ("weight" in layer.passes)


def test_the_published_tables_are_there():
    assert {"resnet50", "resnet18", "vgg16", "mobilenet_v1", "mobilenet_v2", "inception_v3"} <= set(table_names())


@pytest.mark.parametrize(
    "table, gigaflops",
    # multiply-adds of the convolutions, doubled: 4.09, 1.81, 15.47 and 0.30 giga in the papers and in torchvision
    [("resnet50", 8.18), ("resnet18", 3.63), ("vgg16", 30.7), ("mobilenet_v2", 0.6)],
)
def test_the_repeats_give_the_published_cost(table, gigaflops):
    total = sum(layer.flops * layer.repeat for layer in read_table(table))
    assert total / 1e9 == pytest.approx(gigaflops, rel=0.02)


def test_a_line_of_a_table():
    layer = read_table("resnet50")[6]
    assert (layer.name, layer.repeat) == ("layer2.0.conv2", 1)
    assert layer.input_shape == (1, 128, 56, 56)
    assert layer.weight_shape == (128, 128, 3, 3)
    assert layer.output_shape == (1, 128, 28, 28)
    assert layer.options == {"stride": (2, 2), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    assert layer.flops == 2 * 128 * 28 * 28 * 128 * 9
    assert layer.shape == "128->128 3x3/2 @56x56"
    assert layer.with_batch(5).input_shape == (5, 128, 56, 56)


def test_the_repeat_leaves_the_name():
    (layer,) = select_layers(read_table("resnet50"), "layer3.0.conv3")
    assert layer.repeat == 6


def test_a_table_of_ones_own(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text(f"{HEADER}\nme,first*2,1,1,3,8,8,4,3,3,1,1,1,1,1,1\n")
    options = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    assert read_table(str(file)) == [Layer("first", "conv2d", (1, 3, 8, 8), (4, 3, 3, 3), options, 2, "me")]


def test_a_table_of_other_functions(tmp_path):
    file = tmp_path / "mine.csv"
    lines = [
        "source,name,function,input,weight,options",
        "me,up*2,conv_transpose2d,1x8x5x6,8x4x3x3,stride=2 padding=1x0",
        "me,pool,max_pool2d,3x2x9x9,,kernel_size=2 ceil_mode=true",
    ]
    file.write_text("\n".join(lines))
    assert read_table(str(file)) == [
        Layer("up", "conv_transpose2d", (1, 8, 5, 6), (8, 4, 3, 3), {"stride": 2, "padding": (1, 0)}, 2, "me"),
        Layer("pool", "max_pool2d", (3, 2, 9, 9), None, {"kernel_size": 2, "ceil_mode": True}, 1, "me"),
    ]


@pytest.mark.parametrize(
    "line, message",
    [
        ("me,a,conv4d,1x1,,", "line 2: layer 'a': function: expected one of .*conv2d.*, got 'conv4d'"),
        ("me,a,max_unpool2d,1x1,,", "line 2: layer 'a': function: expected one of"),
        ("me,a,unfold,1x3xfour,,kernel_size=3", "line 2: input must be an integer, got 'four'"),
        ("me,a,unfold,1x3x8x8,,kernel_size=big", "line 2: kernel_size must be an integer, got 'big'"),
        ("me,a,unfold,1x3x8x8,,size=3", "line 2: layer 'a': .*unexpected keyword argument 'size'"),
        ("me,a,unfold,1x3x8x8,,kernel_size=9", "line 2: layer 'a': kernel_size: .*9"),
        ("me,a,unfold,0x3x8x8,,kernel_size=3", "line 2: layer 'a': sizes and repeats must be at least 1"),
        ("me,a,conv2d,1x3x8x8,,", "line 2: layer 'a': .*missing 1 required positional argument: 'weight'"),
        ("me,a,conv2d,1x3x8x8,4x2x3x3,", "line 2: layer 'a': weight: "),
        ("me,a,unfold,1x3x8x8", "line 2: layer 'a': .*missing 1 required positional argument: 'kernel_size'"),
        (
            "me,a,unfold,1x3x8x8,,kernel_size=3,stride=2",
            r"line 2: expected 6 cells, got \['stride=2'\] too; options are",
        ),
        (
            "me,a,max_pool2d,1x3x8x8,,kernel_size=2 return_indices=true",
            "'a': options: expected those of one output, got",
        ),
        (f"me,a,unfold,1x3x8x8,,{'x' * 140_000}", "line 2: field larger than field limit"),
        ("me,a,unfold,1x3x9999999999x9999999999,,kernel_size=3", "'a': input: expected a product of sizes that fits"),
        ("me,a,conv2d,1x3000000x9x9,3000000x3000000x9x9,", "line 2: layer 'a': Unable to allocate"),
    ],
)
def test_a_bad_line_of_other_functions_is_named(tmp_path, line, message):
    file = tmp_path / "mine.csv"
    file.write_text(f"source,name,function,input,weight,options\n{line}\n")
    with pytest.raises(ValueError, match=message):
        read_table(str(file))


@pytest.mark.parametrize(
    "line, message",
    [
        ("me,a,1,1,3,8,8,4,3,x,1,1,1,1,1,1", "line 2: kw must be an integer, got 'x'"),
        ("me,a,1,1,3,8,8,4,3,3,1,1,1,1,1", "line 2: dw must be an integer, got None"),
        ("me,a*b,1,1,3,8,8,4,3,3,1,1,1,1,1,1", r"line 2: name after the '\*' must be an integer, got 'b'"),
        ("me,a,1,1,3,8,8,4,3,3,0,1,1,1,1,1", "line 2: layer 'a': stride: expected at least 1, got 0"),
        ("me,a,1,2,3,8,8,4,3,3,1,1,1,1,1,1", r"line 2: layer 'a': groups must divide ic \(3\), got 2"),
        (
            "me,a,1,1,3,8,8,4,9,9,1,1,0,0,1,1",
            "line 2: layer 'a': weight: expected a kernel that fits the padded input of 8, got 9",
        ),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    file = tmp_path / "mine.csv"
    file.write_text(f"{HEADER}\n{line}\n")
    with pytest.raises(ValueError, match=message):
        read_table(str(file))


def test_bad_tables_are_named(tmp_path):
    with pytest.raises(ValueError, match="'resnet51' is unknown: expected one of .*resnet50"):
        read_table("resnet51")
    with pytest.raises(ValueError, match="absent.csv' cannot be read: No such file"):
        read_table(str(tmp_path / "absent.csv"))
    with pytest.raises(ValueError, match="' cannot be read: Is a directory"):
        (tmp_path / "folder.csv").mkdir()
        read_table(str(tmp_path / "folder.csv"))
    (tmp_path / "short.csv").write_text("source,name,mb\n")
    with pytest.raises(ValueError, match="lacks the columns groups, ic"):
        read_table(str(tmp_path / "short.csv"))
    (tmp_path / "none.csv").write_text(f"{HEADER}\n")
    with pytest.raises(ValueError, match="none.csv', line 1: expected layers after the line of the columns, got none"):
        read_table(str(tmp_path / "none.csv"))
    (tmp_path / "latin.csv").write_text("source,naïve\n", encoding="latin-1")
    with pytest.raises(ValueError, match="latin.csv' cannot be read: 'utf-8' codec"):
        read_table(str(tmp_path / "latin.csv"))


def test_a_table_that_may_not_be_read_is_named(monkeypatch):
    def refuse(self, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_text", refuse)
    with pytest.raises(ValueError, match="table 'locked.csv' cannot be read: Permission denied"):
        read_table("locked.csv")


def test_layers_are_chosen_by_a_pattern():
    layers = read_table("mobilenet_v2")
    assert all(layer.groups > 1 for layer in select_layers(layers, "dw_*"))
    assert select_layers(layers, "nothing") == []


# ---- the drawn table


DRAWN = draw_layers(300, seed=0)


def test_a_seed_and_a_number_say_which_layer_is_drawn():
    assert draw_layers(20, seed=0) == DRAWN[:20]
    assert [layer.name for layer in DRAWN] == [f"random.0.{number}" for number in range(300)]
    shapes = {layer.shape for layer in DRAWN}
    assert len(shapes) > 290 and len(shapes & {layer.shape for layer in draw_layers(300, seed=1)}) < 10


def test_drawn_layers_are_neither_tiny_nor_huge():
    for layer in DRAWN:
        assert max(map(math.prod, (layer.input_shape, layer.weight_shape or (), layer.output_shape))) <= 25e6
        cells = math.prod(layer.output_shape) * math.prod(layer.options.get("kernel_size", ()))
        assert 1e5 <= (layer.flops / 2 or cells) <= 2e9
        assert layer.input_shape[0] <= 32 and max(layer.input_shape[1], layer.output_shape[1]) <= 1024


def test_drawn_layers_have_all_parameters():
    pools = {f"{kind}_pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3)}
    assert {layer.function for layer in DRAWN} == pools | {*CONVOLUTIONS}
    several = [layer for layer in DRAWN if layer.groups > 1]
    assert any(layer.groups == layer.input_shape[1] < layer.output_shape[1] for layer in several)
    assert any(layer.groups < layer.input_shape[1] for layer in several)
    kernels = [layer.weight_shape[2:] for layer in DRAWN if layer.weight_shape]
    assert any(len({*kernel}) > 1 for kernel in kernels) and max(map(max, kernels)) == 31
    for option in ("stride", "dilation"):
        assert {n for layer in DRAWN if layer.weight_shape for n in layer.options[option]} == {1, 2, 3, 4}
    assert any(any(layer.output_padding) for layer in DRAWN)
    assert {layer.options.get("ceil_mode") for layer in DRAWN} == {None, False, True}
    channels = {layer.input_shape[1] for layer in DRAWN}
    assert any(n % 2 and n > 100 for n in channels) and {1, 16, 64} < channels
    assert json.loads(json.dumps(DRAWN[0].options))["groups"] == DRAWN[0].groups  # plain numbers, not NumPy's


def test_pytorch_takes_drawn_layers(torch):
    for layer in DRAWN:
        shapes = [layer.input_shape] if layer.weight_shape is None else [layer.input_shape, layer.weight_shape]
        arrays = [torch.empty(shape, device="meta") for shape in shapes]  # of which there is only the shape
        assert getattr(torch.nn.functional, layer.function)(*arrays, **layer.options).shape == layer.output_shape


# ---- contenders


def test_the_extra_has_what_the_peers_need():
    project = Path(__file__).parent.parent / "pyproject.toml"
    if not project.exists():
        pytest.skip("needs the tree")
    project = tomllib.loads(project.read_text())["project"]
    extra = {re.match(r"[\w-]+", package)[0] for package in project["optional-dependencies"]["bench"]}
    assert {module for kind in PEERS for module in kind.modules} - {"numpy"} <= extra


@pytest.mark.parametrize(
    "layer, flops, shape",
    [
        (OTHERS[0], 2 * 2 * 4 * 10 * 15, "conv1d 3->4 5/2 @20 n2"),
        (OTHERS[2], 2 * 2 * 4 * 5 * 6 * 18, "conv_transpose2d 4->6 3x2/2x1 g2 @5x6 n2"),
        (OTHERS[4], 2 * 2 * 15 * 4 * 18, "local_conv2d 3->4 /2x1 @6x5 n2"),
        (OTHERS[5], 0, "max_pool2d 3 3x3/2 @9x8 n2"),
        (OTHERS[8], 0, "adaptive_avg_pool2d 3 ->6x4 @13x11"),
        (OTHERS[12], 0, "fold 27 ->7x6 3x3/2 @12 n2"),
    ],
    ids=str,
)
def test_what_a_layer_is(layer, flops, shape):
    assert (layer.flops, layer.shape) == (flops, shape)


CASES = [
    pytest.param(name, direction, layer, id=f"{name}-{direction}-{layer.name}")
    for name, kind in CONTENDERS.items()
    for layer in [*LAYERS, *OTHERS]
    for direction in PASSES
    if kind.does(layer) and direction in kind.passes and direction in layer.passes
]


@pytest.mark.parametrize("name, direction, layer", CASES)
def test_contenders_compute_the_problem(name, direction, layer):
    contender = CONTENDERS[name]()
    if not contender.available():
        pytest.skip(f"{name} is not installed")
    problem = Problem(layer, direction)
    try:
        result = contender.to_numpy(contender.prepare(problem, 1)(), problem)
    except Unsupported as reason:
        pytest.skip(str(reason))
    arrays = [array for array in (problem.input, problem.weight) if array is not None]
    if direction == "forward":
        expected = getattr(reference, layer.function)(*arrays, **layer.options)
    else:
        gradients = getattr(reference, f"{layer.function}_backward")(problem.grad_output, *arrays, **layer.options)
        expected = gradients[("input", "weight").index(direction)] if isinstance(gradients, tuple) else gradients
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_wrong_problems_are_refused():
    with pytest.raises(ValueError, match="pass must be one of forward, input, weight, got 'sideways'"):
        Problem(DENSE, "sideways")
    with pytest.raises(ValueError, match="pass must be forward or input where there is no weight, got 'weight'"):
        Problem(OTHERS[5], "weight")
    with pytest.raises(ValueError, match="dtype must be one of float32, float64, got 'int8'"):
        Problem(DENSE, dtype="int8")


def test_an_algorithm_that_cannot_is_a_reason_not_an_error():
    (result,) = run([DENSE], Settings(1, 1, 0.0, 0.0, algorithm="depthwise"))
    assert result.ours is None and result.gflops() is None
    assert "depthwise" in result.timings["fastconv"].reason


# ---- timing


def test_contenders_are_timed_in_turn():
    calls = []
    settings = Settings(threads=1, rounds=3, turn=0.0, pause=0.0)
    seconds = harness.time_in_turn({name: lambda name=name: calls.append(name) for name in "ab"}, settings)
    assert seconds["a"] > 0 and seconds["b"] > 0
    turns = [name for i, name in enumerate(calls) if i == 0 or calls[i - 1] != name]
    assert turns == list("ababab")


@pytest.mark.parametrize("direction", PASSES)
def test_a_run_measures_every_layer(direction):
    results = list(run(LAYERS, QUICK, direction))
    assert [result.layer for result in results] == LAYERS
    for result in results:
        assert result.ours > 0 and result.gflops() > 0 and result.algorithm
        assert ("fastconv-packed" in result.timings) == (direction == "forward")


def test_a_peer_has_a_ratio_and_one_that_fails_a_reason(monkeypatch):
    class Broken(Contender):
        name = "broken"

        def prepare(self, problem, threads):
            raise RuntimeError("it does\nnot work")

    class Wrong(Contender):
        name = "wrong"

        def prepare(self, problem, threads):
            return lambda: np.zeros(problem.layer.output_shape)

    class Twice(Contender):
        name = "twice"
        rival = "fastconv-packed"

        def prepare(self, problem, threads):
            call = CONTENDERS["fastconv"]().prepare(problem, threads)
            return lambda: (call(), call())[0]

    for kind in (Broken, Wrong, Twice):
        monkeypatch.setitem(CONTENDERS, kind.name, kind)
    (result,) = run([DENSE], QUICK, peers=["broken", "wrong", "twice"])
    assert list(result.timings) == ["fastconv", "fastconv-packed", "broken", "wrong", "twice"]
    assert result.timings["broken"].reason == "RuntimeError: it does"
    assert "differs from that of fastconv by 1.0e+00 of the largest value" in result.timings["wrong"].reason
    twice, packed = result.timings["twice"], result.timings["fastconv-packed"]
    assert twice.ratio == pytest.approx(twice.milliseconds / packed.milliseconds)
    assert result.best_ratio == twice.ratio

    stream = io.StringIO()
    printer = harness.TablePrinter([DENSE], list(result.timings), 100.0, stream)
    printer.header()
    printer.row(result)
    printer.footer([result])
    lines = stream.getvalue().splitlines()
    assert all(word in lines[0] for word in ("ms", "GFLOP/s", "peak", "algorithm", "twice", "best peer"))
    assert "dense" in lines[2] and result.algorithm in lines[2] and " - " in lines[2]
    assert lines[3].startswith("geometric mean") and lines[4].startswith("sum")
    assert "broken, 1 of 1 layers: RuntimeError: it does" in lines


def test_an_error_of_our_own_is_not_hidden(monkeypatch):
    def fail(self, problem, threads):
        raise RuntimeError("a bug")

    monkeypatch.setattr(CONTENDERS["fastconv"], "prepare", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        list(run([DENSE], QUICK))


def test_a_contender_that_must_be_alone_runs_in_a_process_of_its_own():
    if not CONTENDERS["ncnn"]().available():
        pytest.skip("ncnn is not installed")
    (result,) = run([DEPTHWISE], QUICK, peers=["ncnn"])
    assert result.timings["ncnn"].ratio > 0


def test_means():
    assert harness.geometric_mean([2.0, None, 8.0]) == pytest.approx(4.0)
    assert harness.geometric_mean([None]) is None
    timings = {
        "fastconv": harness.Timing(2.0),
        "torch": harness.Timing(6.0, 3.0),
        "numpy": harness.Timing(None, None, "no"),
    }
    result = harness.Result(DEPTHWISE, "forward", "float32", "direct", timings)
    three = pytest.approx(3.0)
    assert harness.mean_ratios([result]) == {"torch": three, "numpy": None, "best peer": three}
    assert harness.total_milliseconds([result, result], "torch") == pytest.approx(2 * 3 * 6.0)
    assert harness.total_milliseconds([result], "numpy") is None


def test_json():
    results = list(run([DEPTHWISE], QUICK)) + list(run([DEPTHWISE], QUICK, "weight"))
    document = json.loads(harness.to_json(results, QUICK, 100.0))
    assert document["peak_gflops"] == 100.0 and document["settings"]["threads"] == 1
    first, second = document["layers"]
    assert (first["name"], first["repeat"], first["pass"], second["pass"]) == ("depthwise", 3, "forward", "weight")
    assert first["peak_share"] == pytest.approx(first["contenders"]["fastconv"]["gflops"] / 100)
    assert set(document["geometric_means"]) == {"forward", "weight"}


def beside_torch(layer, milliseconds, ratio):
    timings = {"fastconv": harness.Timing(milliseconds), "torch": harness.Timing(1.0, ratio)}
    return harness.Result(layer, "input", "float32", "direct", timings)


def test_the_worst():
    results = [
        beside_torch(DENSE, 3.0, 0.9),
        beside_torch(GROUPED, 0.5, None),  # torch could not
        beside_torch(OTHERS[5], 0.009, 0.2),  # too short to count
        beside_torch(DEPTHWISE, 2.0, 0.65),
        beside_torch(OTHERS[0], 2.0, 1.5),
    ]
    worst = harness.worst_first(results)
    assert [result.best_ratio for result in worst] == [0.2, 0.65, 0.9, 1.5]
    slow = {"layers": 3, "below_1.0": 2, "below_0.7": 1}
    assert harness.count_slow(results) == slow

    stream = io.StringIO()
    harness.print_worst(results, 2, stream)
    titles, _, *lines = stream.getvalue().splitlines()
    assert titles.split() == ["layer", "shape", "pass", "algorithm", "ms", "best", "peer"]
    assert [line.split()[0] for line in lines[:2]] == ["max", "depthwise"]
    assert lines[0].split()[-4:] == ["input", "direct", "0.009", "0.20x"]
    assert lines[2:] == ["of 3 layers that take more than 10 us: 2 below 1.00x, 1 below 0.70x"]

    document = json.loads(harness.to_json(results, QUICK, 100.0, worst=2))
    assert [record["name"] for record in document["worst"]] == ["max", "depthwise"]
    assert document["above_10_us"] == slow
    assert not {"worst", "above_10_us"} & {*json.loads(harness.to_json(results, QUICK, 100.0))}


@pytest.mark.parametrize("ratio, text", [(None, "-"), (2.0, "2.00x"), (0.25, "0.25x"), (0.0042, "0.0042x")])
def test_a_ratio_is_never_shown_as_nothing(ratio, text):
    assert harness.ratio_text(ratio) == text


# ---- the choices


@pytest.mark.parametrize("direction", PASSES)
@pytest.mark.parametrize("layer", [DENSE, DEPTHWISE, OTHERS[2]], ids=lambda layer: layer.name)
def test_the_choice_is_timed_beside_all_that_could_be_chosen(layer, direction):
    (choice,) = choices.run([layer], QUICK, direction)
    explanation = Problem(layer, direction).explanation
    costs = {said.algorithm: said.cost for said in explanation.candidates if said.cost is not None}
    assert choice.chosen == explanation.algorithm
    assert {*choice.milliseconds} == {name for name, cost in costs.items() if cost <= 4 * costs[choice.chosen]}
    assert choice.over_best >= 1 and choice.milliseconds[choice.best] == min(choice.milliseconds.values()) > 0


def test_each_algorithm_has_its_turn_once(monkeypatch):
    asked = []
    monkeypatch.setattr(choices, "time_in_turn", lambda calls, settings: asked.extend(calls) or dict.fromkeys(calls, 1))
    (choice,) = choices.run([read_table("resnet50")[2]], QUICK)
    assert len(asked) == len({*asked}) > 1 and choice.chosen in asked
    assert choice.over_best == 1


def test_the_table_of_choices():
    def choice(layer, **milliseconds):
        return choices.Choice(layer, "weight", "float32", "im2col", milliseconds)

    made = [
        choice(DENSE, im2col=2.0, shifted=1.0),
        choice(GROUPED, im2col=1.04, direct=1.0),
        choice(DEPTHWISE, im2col=3),
    ]
    stream = io.StringIO()
    assert choices.print_table(iter(made), [one.layer for one in made], stream) == made
    titles, _, *lines = stream.getvalue().splitlines()
    assert titles.split() == ["layer", "shape", "chosen", "ms", "best", "ms", "chosen/best"]
    assert [line.split()[-5:] for line in lines[:3]] == [
        ["im2col", "2.000", "shifted", "1.000", "2.00x"],
        ["im2col", "1.040", "direct", "1.000", "1.04x"],
        ["im2col", "3.000", "im2col", "3.000", "1.00x"],
    ]
    assert lines[3:] == ["2 of 3 layers within 5% of the best"]

    document = json.loads(choices.to_json(made, QUICK))
    assert document["within_5_percent"] == 2 and document["settings"]["threads"] == 1
    first = document["layers"][0]
    assert (first["name"], first["pass"], first["chosen"], first["best"]) == ("dense", "weight", "im2col", "shifted")
    assert first["chosen_over_best"] == 2 and first["ms"] == {"im2col": 2, "shifted": 1}


# ---- the picture


def test_picture():
    pytest.importorskip("matplotlib")
    from fastconv.bench import plot

    def result(layer, **ratios):
        timings = {"fastconv": harness.Timing(1.0), **{name: harness.Timing(r, r) for name, r in ratios.items() if r}}
        timings |= {name: harness.Timing(reason="no") for name, r in ratios.items() if r is None}
        return harness.Result(layer, "forward", "float32", "direct", timings)

    forward = [result(DENSE, torch=4.0, numpy=0.5), result(GROUPED, torch=1.0, numpy=None)]
    results = {
        ("mine", "forward"): forward,
        ("mine", "input"): forward[:1],
        ("pools", "forward"): [result(OTHERS[5], torch=2.0)],
    }
    figure = plot.draw(results, "how it was measured")
    assert figure.get_suptitle().startswith("how it was measured")
    first, second, third = (axes for axes in figure.axes if axes.get_visible())  # there is no input gradient of pools
    assert first.get_title() == "mine, forward\ngeometric mean: torch 2.00x, numpy 0.50x"
    assert second.get_title().startswith("mine, input gradient\n")
    assert [(bar.get_x(), bar.get_width()) for bar in first.patches] == [(1, 3), (1, -0.5), (1, 0)]
    assert first.get_xscale() == "log" and first.get_xlim()[0] < 0.5 and first.get_xlim()[1] > 4
    labels = [label.get_text() for label in first.get_yticklabels()]
    assert labels == [f"{layer.name}   {layer.shape}" for layer in (DENSE, GROUPED)]
    assert [label.get_text() for label in third.get_yticklabels()] == [f"max   {OTHERS[5].shape}"]
    assert first.yaxis_inverted()  # the first layer on top
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["torch", "numpy"]

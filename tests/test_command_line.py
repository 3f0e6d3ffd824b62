"""``python -m fastconv``: info, explain, selftest, bench and demo; wrong arguments are named, with exit status 2."""

import importlib
import json
import os
import re
import shlex
import subprocess
import sys

import pytest

import fastconv as fc
from fastconv import __main__ as command_line
from fastconv import selftest
from fastconv.bench import CONTENDERS, draw_layers
from fastconv.commands import arguments as command_arguments
from fastconv.commands import pictures

TABLE = """\
source,name,mb,groups,ic,ih,iw,oc,kh,kw,sh,sw,ph,pw,dh,dw
test,first*2,1,1,3,8,8,4,3,3,1,1,1,1,1,1
test,second,2,4,4,6,6,4,3,3,2,2,1,1,1,1
"""


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "tiny.csv"
    file.write_text(TABLE)
    return str(file)


def refused(capsys, *arguments):
    """Run with wrong arguments and return the last line on stderr."""
    with pytest.raises(SystemExit) as exit_info:
        command_line.main(arguments)
    assert exit_info.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()[-1]


# ---- the whole program


def test_info_as_a_program():
    done = subprocess.run([sys.executable, "-m", "fastconv", "info"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == ""
    assert fc.__version__ in done.stdout and fc.isa() in done.stdout


def test_wrong_arguments_as_a_program():
    done = subprocess.run([sys.executable, "-m", "fastconv", "bnech"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "bnech" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["info"], ["explain", "conv1d", "1x3x8", "4x3x3"]], ids=" ".join)
def test_output_that_nobody_reads_ends_the_program_quietly(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        command = [sys.executable, "-m", "fastconv", *arguments]
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.stderr, done.returncode) == ("", 1)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
def test_output_on_a_full_disk_is_an_error_in_a_line():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "fastconv", "info"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.stderr, done.returncode) == ("fastconv: [Errno 28] No space left on device\n", 1)


@pytest.mark.parametrize(
    "error, line",
    [
        (MemoryError("Unable to allocate 7. TiB"), "fastconv: not enough memory: Unable to allocate 7. TiB\n"),
        (MemoryError(), "fastconv: not enough memory\n"),
        (ImportError("no matplotlib._path"), "fastconv: no matplotlib._path\n"),
        (PermissionError(13, "Permission denied", "x.png"), "fastconv: [Errno 13] Permission denied: 'x.png'\n"),
    ],
)
def test_what_cannot_be_had_is_said_in_a_line(capsys, monkeypatch, error, line):
    def fail(mode="stdout"):
        raise error

    monkeypatch.setattr(fc, "show_config", fail)
    assert command_line.main(["info"]) == 1
    assert capsys.readouterr().err == line


COMMANDS = ["info", "explain", "selftest", "bench", "demo"]


def help_of(capsys, *arguments):
    with pytest.raises(SystemExit) as exit_info:
        command_line.main([*arguments, "--help"])
    assert exit_info.value.code == 0
    return capsys.readouterr().out


def test_help(capsys):
    text = help_of(capsys)
    assert "usage: python -m fastconv" in text
    assert all(re.search(rf"^    {command} ", text, re.MULTILINE) for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(capsys, command):
    text = help_of(capsys, command)
    assert f"usage: python -m fastconv {command}" in text
    assert max(map(len, text.splitlines())) <= 120
    if command != "info":  # which has nothing to choose
        assert f"  python -m fastconv {command}" in text.partition("\nexample")[2]


def test_every_example_of_the_help_is_understood(capsys, monkeypatch):
    # Parsed and checked as far as it goes without the work itself.
    examples = [
        line for command in COMMANDS for line in help_of(capsys, command).splitlines() if "-m fastconv " in line
    ]
    examples = [line.split("  ")[1] for line in examples if line.startswith("  python")]
    assert len(examples) >= 10
    for command in COMMANDS:
        module = importlib.import_module(f"fastconv.commands.{command}")
        if command != "explain":
            monkeypatch.setattr(module, "run", lambda options: 0)
    for example in examples:
        words = shlex.split(example.partition(" > ")[0])
        assert words[:3] == ["python", "-m", "fastconv"]
        assert command_line.main(words[3:]) == 0, example


@pytest.mark.parametrize("arguments", [[], ["bnech"]])
def test_no_command(capsys, arguments):
    assert "command" in refused(capsys, *arguments)


def test_version(capsys):
    with pytest.raises(SystemExit):
        command_line.main(["--version"])
    assert capsys.readouterr().out == f"fastconv {fc.__version__}\n"


# ---- explain


def explained(capsys, line):
    assert command_line.main(["explain", *line.split()]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "line, options",
    [
        ("conv2d 1x64x56x56 64x64x3x3", {}),
        ("conv2d 1x64x56x56 64x64x3x3 --padding 1 --stride 2", {"padding": 1, "stride": 2}),
        (
            "conv2d 1x64x56x56 64x64x3x3 --padding 1:2,0:0 --grad weight",
            {"padding": ((1, 2), (0, 0)), "grad": "weight"},
        ),
        ("conv2d 1x64x56x56 64x64x3x3 --padding same --dilation 2,1", {"padding": "same", "dilation": (2, 1)}),
        ("conv2d 2x56x56x64 64x32x3x3 --layout channels_last --groups 2", {"layout": "channels_last", "groups": 2}),
        ("conv1d 1x8x50 16x8x5 --padding valid --dtype float64", {"padding": "valid", "dtype": "float64"}),
        ("conv1d 1x8x50 16x8x5 --padding 1:0", {"padding": ((1, 0),)}),
        ("conv3d 1x8x5x6x7 16x8x3x3x3 --algorithm direct --grad input", {"algorithm": "direct", "grad": "input"}),
        ("conv_transpose2d 1x8x5x6 8x4x3x3 --stride 2 --output-padding 1,0", {"stride": 2, "output_padding": (1, 0)}),
    ],
)
def test_explain_prints_what_explain_says(capsys, line, options):
    function, *shapes = line.split()[:3]
    shapes = [tuple(map(int, shape.split("x"))) for shape in shapes]
    assert explained(capsys, line) == f"{fc.explain(function, *shapes, **options)}\n"


def test_explain_as_a_program():
    words = "explain conv2d 1x64x56x56 64x64x3x3 --padding 1".split()
    done = subprocess.run([sys.executable, "-m", "fastconv", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith("conv2d 1x64x56x56 64x64x3x3 float32: ")
    assert all(re.search(rf"^ [* ] {name} ", done.stdout, re.MULTILINE) for name in fc.algorithms())


@pytest.mark.parametrize(
    "line, message",
    [
        ("conv2d", "the following arguments are required: input_shape, weight_shape"),
        ("conv4d 1x3x8x8 4x3x3x3", "argument function: expected one of conv1d, .*, got 'conv4d'"),
        ("conv2d 1x3x8xa 4x3x3x3", "argument input_shape: expected sizes such as 1x64x56x56, got '1x3x8xa'"),
        ("conv2d 3x8 4x3x3x3", "argument input_shape: expected .*3, 8"),
        (
            "conv2d 99999999x9999x9999x9999 4x9999x1x1",
            "argument input_shape: expected a product of sizes that fits 63 bits",
        ),
        ("conv2d 1x3x8x8 4x2x3x3", "argument weight_shape: .*3 .*2"),
        ("conv2d 1x3x8x8 4x3x9x9", "argument weight_shape: expected a kernel that fits"),
        ("conv2d 1x3x8x8 4x3x3x3 --stride 0", "argument --stride: expected at least 1, got 0"),
        ("conv2d 1x3x8x8 4x3x3x3 --stride 1,2,3", "argument --stride: "),
        ("conv2d 1x3x8x8 4x3x3x3 --stride two", "argument --stride: expected a number such as 2, or 2,1, got 'two'"),
        ("conv2d 1x3x8x8 4x3x3x3 --padding -1", "argument --padding: expected at least 0, got -1"),
        ("conv2d 1x3x8x8 4x3x3x3 --padding 1:2", "argument --padding: expected 2 pairs"),
        (
            "conv2d 1x3x8x8 4x3x3x3 --padding 1:2:3,1:1",
            "argument --padding: expected numbers, pairs such as .*'1:2:3,1:1'",
        ),
        (
            "conv2d 1x3x8x8 4x3x3x3 --padding weird",
            "argument --padding: expected numbers, pairs such as 1:2,0:0, same or valid, got 'weird'",
        ),
        ("conv2d 1x3x8x8 4x3x3x3 --padding 1:b,1:1", "argument --padding: expected numbers, pairs .*, got '1:b,1:1'"),
        ("conv2d 1x3x8x8 4x3x3x3 --dilation 9", "argument weight_shape: expected a kernel that fits"),
        ("conv2d 1x3x8x8 4x3x3x3 --groups 2", "argument --groups: expected a divisor"),
        ("conv2d 1x3x8x8 4x3x3x3 --groups x", "argument --groups: invalid int value: 'x'"),
        ("conv2d 1x3x8x8 4x3x3x3 --layout NCHW", "argument --layout: expected .*, got 'NCHW'"),
        ("conv2d 1x3x8x8 4x3x3x3 --dtype int8", "argument --dtype: expected float16, float32 or float64, got int8"),
        ("conv2d 1x3x8x8 4x3x3x3 --dtype fp32", "argument --dtype: expected float16, float32 or float64, got 'fp32'"),
        ("conv2d 1x3x8x8 4x3x3x3 --grad bias", "argument --grad: invalid choice: 'bias'"),
        ("conv2d 1x3x8x8 4x3x3x3 --algorithm magic", "argument --algorithm: expected .*, got 'magic'"),
        ("conv2d 1x3x8x8 4x3x3x3 --algorithm depthwise", "argument --algorithm: .*'depthwise', which "),
        ("conv2d 1x3x8x8 4x3x3x3 --output-padding 1", "argument --output-padding: expected None"),
    ],
)
def test_explain_names_what_is_wrong(capsys, line, message):
    assert re.search(message, refused(capsys, "explain", *line.split()))


# ---- selftest


def test_selftest_tests(capsys):
    assert command_line.main(["selftest", "--functions", "avg_pool?d", "--problems", "1", "--seed", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["avg_pool1d", "avg_pool2d", "avg_pool3d"]
    assert re.fullmatch(r"fastconv .*: all \d+ checks passed in \d+ s", lines[-1])


def test_selftest_fails(capsys, monkeypatch):
    monkeypatch.setattr(fc, "max_pool1d", lambda input, *args, **options: input * 0)
    assert command_line.main(["selftest", "--functions", "max_pool1d", "--problems", "1"]) == 1
    assert "checks failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--functions", "deconv*"], "argument --functions: 'deconv*' matches none of adaptive_avg_pool1d, "),
        (["--problems", "0"], "argument --problems: must be at least 1, got 0"),
        (["--seed", "x"], "argument --seed: expected a whole number, got 'x'"),
    ],
)
def test_selftest_names_what_is_wrong(capsys, arguments, message):
    assert message in refused(capsys, "selftest", *arguments)


def test_selftest_takes_a_minutes_worth_by_default(monkeypatch):
    asked = []
    monkeypatch.setattr(selftest, "run", lambda *given: asked.append(given) or selftest.Report())
    assert command_line.main(["selftest"]) == 1  # a report without a check is none
    assert asked == [("*", selftest.PROBLEMS, 0)]


# ---- bench


def test_bench_prints_a_table(capsys, table):
    assert command_line.main(["bench", table, "--peers", "none", "--rounds", "1", "--threads", "1"]) == 0
    output = capsys.readouterr().out
    assert re.search(r"^first \*2 +3->4 3x3 @8x8 ", output, re.MULTILINE)
    assert re.search(r"^geometric mean", output, re.MULTILINE)


def test_bench_json(capsys, table):
    arguments = ["--peers", "none", "--rounds", "1", "--threads", "1", "--pass", "all", "--batch", "3", "--json"]
    assert command_line.main(["bench", table, *arguments]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(layer["name"], layer["pass"]) for layer in document["layers"]] == [
        (name, direction) for direction in ("forward", "input", "weight") for name in ("first", "second")
    ]
    assert all(layer["input_shape"][0] == 3 for layer in document["layers"])
    assert document["peak_gflops"] > 0
    assert document["settings"]["threads"] == 1


def test_bench_obeys_dtype_algorithm_and_pattern(capsys, table):
    arguments = ["--peers", "none", "--rounds", "1", "--layers", "sec*", "--dtype", "float64", "--algorithm", "direct"]
    assert command_line.main(["bench", table, *arguments, "--json"]) == 0
    (layer,) = json.loads(capsys.readouterr().out)["layers"]
    assert (layer["name"], layer["dtype"], layer["algorithm"]) == ("second", "float64", "direct")


def test_bench_beside_torch(capsys, table, torch):
    assert command_line.main(["bench", table, "--peers", "torch,torch-nhwc", "--rounds", "1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    for layer in document["layers"]:
        assert layer["contenders"]["torch"]["ratio"] > 0 and layer["contenders"]["torch-nhwc"]["ratio"] > 0
    assert set(document["geometric_means"]["forward"]) == {"torch", "torch-nhwc", "best peer"}


def test_bench_suites(capsys):
    suites = ["--suite", "unfold", "--suite", "pooling", "--layers", "*old.s2.n1", "--pass", "all"]
    assert command_line.main(["bench", *suites, "--peers", "none", "--rounds", "1", "--json"]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert [(layer["name"], layer["function"], layer["pass"]) for layer in layers] == [
        (name, function, direction)
        for direction in ("forward", "input")
        for name, function in (("unfold.s2.n1", "unfold"), ("fold.s2.n1", "fold"))
    ]
    assert all(layer["weight_shape"] is None and layer["stride"] == 2 and layer["gflop"] == 0 for layer in layers)


def test_bench_of_a_suite_beside_torch(capsys, torch):
    arguments = ["--suite", "transposed", "--layers", "dcgan.up4", "--pass", "all", "--peers", "torch", "--rounds", "1"]
    assert command_line.main(["bench", *arguments, "--threads", "1"]) == 0
    output = capsys.readouterr().out
    for title in ("transposed, forward", "transposed, input gradient", "transposed, weight gradient"):
        assert f"\n{title}\n" in output
    assert len(re.findall(r"^dcgan.up4 .* [\d.]+ +[\d.]+x +[\d.]+x$", output, re.MULTILINE)) == 3


def test_bench_draws(capsys, table, tmp_path, torch):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "ratios.svg"
    arguments = ["--peers", "torch", "--pass", "all", "--rounds", "1", "--threads", "1", "--plot", str(picture)]
    assert command_line.main(["bench", table, *arguments]) == 0
    assert "geometric mean" in capsys.readouterr().out
    assert picture.read_text().startswith("<?xml")


DRAWN = ["--seed", "3", "--problems", "7", "--layers", "random.3.[16]", "--rounds", "1", "--threads", "1"]


def test_bench_of_drawn_layers(capsys):
    assert command_line.main(["bench", "random", *DRAWN, "--pass", "all", "--peers", "none", "--json"]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    expected = [layer for layer in draw_layers(7, seed=3) if layer.name in ("random.3.1", "random.3.6")]
    assert [(layer["pass"], layer["name"], tuple(layer["input_shape"])) for layer in layers] == [
        (which, layer.name, layer.input_shape)
        for which in ("forward", "input", "weight")
        for layer in expected
        if which in layer.passes
    ]


def test_bench_lists_the_worst(capsys, table, torch):
    arguments = [*DRAWN, "--suite", "random", "--pass", "all", "--peers", "torch", "--worst", "3"]
    assert command_line.main(["bench", *arguments]) == 0
    _, _, lines = capsys.readouterr().out.partition("\nthe lowest ratios to the best peer\n")
    _, _, *worst, last = lines.splitlines()
    ratios = [float(line.split()[-1].removesuffix("x")) for line in worst]
    assert len(ratios) == 3 and ratios == sorted(ratios)
    assert re.fullmatch(r"of \d layers that take more than 10 us: \d below 1.00x, \d below 0.70x", last)

    arguments = ["--peers", "torch", "--worst", "1", "--rounds", "1", "--threads", "1", "--json"]
    assert command_line.main(["bench", table, *arguments]) == 0
    document = json.loads(capsys.readouterr().out)
    (worst,) = document["worst"]
    assert worst["best_peer_ratio"] == min(layer["best_peer_ratio"] for layer in document["layers"])
    assert worst in document["layers"] and document["above_10_us"]["layers"] <= 2


def test_bench_of_the_choices(capsys):
    assert command_line.main(["bench", "random", *DRAWN, "--choices", "--pass", "all"]) == 0
    output = capsys.readouterr().out
    assert len(re.findall(r"^random.3.6 .* [\d.]+  \w+ +[\d.]+ +[\d.]+x$", output, re.MULTILINE)) == 3
    assert "random.3.1 " not in output  # a pool: there is nothing to choose
    assert len(re.findall(r"^[01] of 1 layers within 5% of the best$", output, re.MULTILINE)) == 3
    assert re.search(r"^in all [0-3] of 3 layers within 5% of the best$", output, re.MULTILINE)


def test_bench_of_the_choices_obeys_batch_and_dtype(capsys, table):
    arguments = ["--choices", "--batch", "3", "--dtype", "float64", "--rounds", "1", "--threads", "1", "--json"]
    assert command_line.main(["bench", table, *arguments]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["settings"]["threads"] == 1 and document["within_5_percent"] <= 2
    for layer in document["layers"]:
        assert (layer["input_shape"][0], layer["dtype"]) == (3, "float64")
        assert layer["chosen_over_best"] == layer["ms"][layer["chosen"]] / layer["ms"][layer["best"]] >= 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["resnet51"], "table 'resnet51' is unknown: expected one of .*resnet50"),
        (["--suite", "resnet51"], "argument --suite: 'resnet51' is not one of .*resnet50"),
        (["--suite", "mine.csv"], "argument --suite: 'mine.csv' is not one of"),
        (["--suite", "pooling", "--pass", "weight"], "argument --pass: no layer of pooling has a weight"),
        (["--plot", "/no/such/folder/ratios.png"], "argument --plot: there is no folder '/no/such/folder'"),
        (["--plot", "ratios"], "argument --plot: expected a name in .png, .pdf or .svg, got 'ratios'"),
        (["--plot", "/"], "argument --plot: '/' cannot be written"),
        (
            ["--plot", "ratios.png", "--peers", "none"],
            "argument --plot: expected a peer that can do the layers and the pass, got none",
        ),
        (
            ["unfold", "--plot", "ratios.png", "--peers", "numpy"],
            "argument --plot: expected a peer that can do the layers and the pass, got numpy",
        ),
        (["--pass", "sideways"], "--pass: invalid choice: 'sideways'"),
        (["--batch", "0"], "--batch: must be at least 1, got 0"),
        (["--threads", "two"], "--threads: expected a whole number, got 'two'"),
        (["--threads", "100000"], "--threads: expected at most 1024 threads, got 100000"),
        (["--batch", "9" * 18], "--batch: layer 'conv1': input: expected a product of sizes that fits 63 bits"),
        (["--rounds", "-1"], "--rounds: must be at least 1, got -1"),
        (["--dtype", "int8"], "--dtype: invalid choice: 'int8'"),
        (["--peers", "torch,tensorflow"], "--peers: 'tensorflow' is not one of torch, .*, none"),
        (["--algorithm", "magic"], "--algorithm: 'magic' is not one of auto, .*direct"),
        (["--layers", "conv99*"], "--layers: no layer of resnet50 matches 'conv99\\*'"),
        (["--colour"], "unrecognized arguments: --colour"),
        (["--seed", "1"], "argument --seed: only allowed with the table random"),
        (["unfold", "--problems", "9"], "argument --problems: only allowed with the table random"),
        (["random", "--problems", "0"], "argument --problems: must be at least 1, got 0"),
        (["random", "--problems", "2", "--layers", "random.0.2"], "--layers: no layer of random matches 'random.0.2'"),
        (["--worst", "0"], "argument --worst: must be at least 1, got 0"),
        (["--worst", "3", "--peers", "none"], "argument --worst: expected a peer that can do .*, got none"),
        (["--choices", "--peers", "none"], "argument --choices: not allowed with argument --peers"),
        (["--choices", "--algorithm", "direct"], "argument --choices: not allowed with argument --algorithm"),
        (["--choices", "--plot", "x.png"], "argument --choices: not allowed with argument --plot"),
        (["--choices", "--worst", "3"], "argument --choices: not allowed with argument --worst"),
        (["--choices", "pooling", "unfold"], "argument --choices: no layer of pooling, unfold is a convolution"),
    ],
)
def test_bench_names_what_is_wrong(capsys, arguments, message):
    assert re.search(message, refused(capsys, "bench", *arguments))


def test_a_peer_that_is_not_installed_is_named_with_its_extra(capsys, monkeypatch):
    monkeypatch.setattr(CONTENDERS["torch"], "missing", lambda self: ["torch"])
    assert command_line.main(["bench", "--peers", "torch"]) == 1
    assert capsys.readouterr().err == 'fastconv: the peer torch needs torch: pip install "fastconv[bench]"\n'


def test_a_plot_without_matplotlib_is_refused_before_the_work(capsys, monkeypatch, table, tmp_path):
    monkeypatch.setattr(command_arguments, "missing", lambda modules: "matplotlib")
    picture = tmp_path / "ratios.png"
    assert command_line.main(["bench", table, "--peers", "numpy", "--plot", str(picture)]) == 1
    captured = capsys.readouterr()
    assert captured.err == 'fastconv: --plot needs matplotlib: pip install "fastconv[viz]"\n' and captured.out == ""
    assert not picture.exists()


# ---- demo


def test_demo_learns_and_draws(capsys, tmp_path):
    for module in ("sklearn", "matplotlib", "PIL"):
        pytest.importorskip(module)
    figure = tmp_path / "figure.png"
    assert command_line.main(["demo", "--epochs", "2", "--output", str(figure)]) == 0
    found = re.search(r"^test accuracy: (0\.\d{3})$", capsys.readouterr().out, re.MULTILINE)
    assert found and float(found[1]) > 0.9
    assert figure.read_bytes().startswith(b"\x89PNG") and figure.stat().st_size > 100_000


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--output", "/no/such/folder/figure.png"], "--output: there is no folder '/no/such/folder'"),
        pytest.param(
            ["--output", "/proc/figure.png"],
            "--output: '/proc/figure.png' cannot be written: ",
            marks=pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs a folder without files of ours"),
        ),
        (["--output", "figure.docx"], "--output: expected a name in .png, .pdf or .svg, got 'figure.docx'"),
        (["--epochs", "0"], "--epochs: must be at least 1, got 0"),
        (["--seed", "-1"], "--seed: must be at least 0, got -1"),
    ],
)
def test_demo_names_what_is_wrong(capsys, arguments, message):
    assert message in refused(capsys, "demo", *arguments)


def test_a_locked_folder_is_refused_before_the_work(capsys, monkeypatch, tmp_path):
    # Whoever runs the tests may be root, whom permissions do not stop.
    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    monkeypatch.chdir(tmp_path)
    assert "--output: 'x.png' cannot be written: Permission denied" in refused(capsys, "demo", "--output", "x.png")
    assert "--output: 'fastconv-demo.png' cannot be written: Permission denied" in refused(capsys, "demo")


def test_a_picture_takes_the_place_of_the_old_one_when_it_is_complete(tmp_path):
    class Figure:
        def savefig(self, file, dpi, format):
            file.write(b"new")
            if dpi == 0:
                raise OSError(28, "No space left on device")

    old, link = tmp_path / "old.png", tmp_path / "link.png"
    old.write_text("old")
    link.symlink_to(old)
    with pytest.raises(OSError, match="No space left"):
        pictures.save(Figure(), link, dpi=0)
    assert old.read_text() == "old" and {*tmp_path.iterdir()} == {old, link}
    pictures.save(Figure(), link, dpi=1)
    assert old.read_text() == "new" and link.is_symlink() and {*tmp_path.iterdir()} == {old, link}


def test_demo_without_its_extra(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(command_arguments.importlib.util, "find_spec", lambda name: None)
    assert command_line.main(["demo", "--output", str(tmp_path / "figure.png")]) == 1
    expected = 'fastconv: the demo needs scikit-learn, matplotlib, pillow: pip install "fastconv[demo]"\n'
    assert capsys.readouterr().err == expected

"""``python -m fastconv``: info, bench and demo; wrong arguments are named, with exit status 2."""

import json
import re
import subprocess
import sys

import pytest

import fastconv as fc
from fastconv import __main__ as command_line
from fastconv.bench import CONTENDERS

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


@pytest.mark.parametrize("arguments", [["--help"], ["info", "--help"], ["bench", "--help"], ["demo", "--help"]])
def test_help(capsys, arguments):
    with pytest.raises(SystemExit) as exit_info:
        command_line.main(arguments)
    assert exit_info.value.code == 0
    assert "usage: python -m fastconv" in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit):
        command_line.main(["--version"])
    assert capsys.readouterr().out == f"fastconv {fc.__version__}\n"


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


def test_bench_beside_torch(capsys, table):
    pytest.importorskip("torch")
    assert command_line.main(["bench", table, "--peers", "torch,torch-nhwc", "--rounds", "1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    for layer in document["layers"]:
        assert layer["contenders"]["torch"]["ratio"] > 0 and layer["contenders"]["torch-nhwc"]["ratio"] > 0
    assert set(document["geometric_means"]["forward"]) == {"torch", "torch-nhwc", "best peer"}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["resnet51"], "table 'resnet51' is unknown: expected one of .*resnet50"),
        (["--pass", "sideways"], "--pass: invalid choice: 'sideways'"),
        (["--batch", "0"], "--batch: must be at least 1, got 0"),
        (["--threads", "two"], "--threads: expected a whole number, got 'two'"),
        (["--threads", "100000"], "--threads: .*100000"),
        (["--rounds", "-1"], "--rounds: must be at least 1, got -1"),
        (["--dtype", "int8"], "--dtype: invalid choice: 'int8'"),
        (["--peers", "torch,tensorflow"], "--peers: 'tensorflow' is not one of torch, .*, none"),
        (["--algorithm", "magic"], "--algorithm: 'magic' is not one of auto, .*direct"),
        (["--layers", "conv99*"], "--layers: no layer of resnet50 matches 'conv99\\*'"),
        (["--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_bench_names_what_is_wrong(capsys, arguments, message):
    assert re.search(message, refused(capsys, "bench", *arguments))


def test_a_peer_that_is_not_installed_is_named_with_its_extra(capsys, monkeypatch):
    monkeypatch.setattr(CONTENDERS["torch"], "missing", lambda self: ["torch"])
    assert command_line.main(["bench", "--peers", "torch"]) == 1
    assert capsys.readouterr().err == 'fastconv: the peer torch needs torch: pip install "fastconv[bench]"\n'


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
        (["--output", "figure.docx"], "--output: expected a name in .png, .pdf or .svg, got 'figure.docx'"),
        (["--epochs", "0"], "--epochs: must be at least 1, got 0"),
        (["--seed", "-1"], "--seed: must be at least 0, got -1"),
    ],
)
def test_demo_names_what_is_wrong(capsys, arguments, message):
    assert message in refused(capsys, "demo", *arguments)


def test_demo_without_its_extra(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(command_line.importlib.util, "find_spec", lambda name: None)
    assert command_line.main(["demo", "--output", str(tmp_path / "figure.png")]) == 1
    expected = 'fastconv: the demo needs scikit-learn, matplotlib, pillow: pip install "fastconv[demo]"\n'
    assert capsys.readouterr().err == expected

"""What ships: types, one extension that exports one symbol, and a small wheel that works away from the tree."""

import ast
import importlib.util
import inspect
import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import fastconv
from fastconv import _core

PACKAGE = Path(fastconv.__file__).parent
TREE = Path(__file__).parents[1]


def readelf(option, file):
    """Return what readelf says of a file; without readelf, or where files are not ELF, the test is left out."""
    if not sys.platform.startswith("linux") or not shutil.which("readelf"):
        pytest.skip("needs Linux and readelf")
    return subprocess.run(["readelf", "-W", option, file], capture_output=True, text=True, check=True).stdout


# --- The package


def test_what_is_imported_later_is_offered(python):
    script = """
import sys
import fastconv
assert {"nn", "reference", "viz", "conv2d", "__version__"} <= {*dir(fastconv)}
assert "fastconv.nn" not in sys.modules
"""
    python(script)


def test_types_are_there():
    assert (PACKAGE / "py.typed").read_text() == ""
    stub = ast.parse((PACKAGE / "_core.pyi").read_text()).body
    classes = {node.name for node in stub if isinstance(node, ast.ClassDef)}
    functions = {node.name: node.args for node in stub if isinstance(node, ast.FunctionDef)}
    exported = {name for name in vars(_core) if not name.startswith("_") and callable(getattr(_core, name))}
    # An array's buffer for the time of a call is nobody else's business.
    assert exported - {"Array"} == classes | set(functions)
    for name, arguments in functions.items():
        declared = [argument.arg for argument in arguments.args]
        assert declared == list(inspect.signature(getattr(_core, name)).parameters), name


def test_extension_exports_its_module_and_nothing_else():
    symbol = r"^ +\d+: \w+ +\d+ \w+ +(?:GLOBAL|WEAK|UNIQUE) +\w+ +(?!UND)\w+ (\S+)"
    assert re.findall(symbol, readelf("--dyn-syms", _core.__file__), re.MULTILINE) == ["PyInit__core"]


def check_libraries(extension):
    """Check that an extension needs the C library and OpenMP's at most; sanitizers come with their own."""
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", readelf("-d", extension))
    assert "libc.so.6" in needed
    others = [name for name in needed if not re.match(r"(ld-linux.*|lib(c|m|pthread|gomp|omp|asan|ubsan))\.so", name)]
    assert others == []


def test_extension_needs_no_other_library():
    check_libraries(_core.__file__)


# --- The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build a wheel from a copy of the tree, with what is installed here."""
    if not (TREE / "setup.py").exists():
        pytest.skip("needs the tree")
    if not all(importlib.util.find_spec(name) for name in ("Cython", "setuptools", "pip")):
        pytest.skip("needs Cython, setuptools and pip")
    copy, folder = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(TREE / name, copy)
    for name in ("csrc", "fastconv"):
        shutil.copytree(TREE / name, copy / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(copy)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FASTCONV_")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def unpacked(wheel, tmp_path_factory):
    """Return a folder with what the wheel installs."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.slow
def test_wheel_is_small(wheel):
    assert wheel.stat().st_size < 2_000_000


@pytest.mark.slow
def test_wheel_has_what_runs_and_no_source_of_the_engine(unpacked):
    files = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    shipped = {name for name in files if not re.match(r"fastconv-[^/]*\.dist-info/", name)}
    extensions = {name for name in shipped if name.endswith(".so")}
    assert len(extensions) == 1 and all(re.fullmatch(r"fastconv/_core\.[\w-]+\.so", name) for name in extensions)
    patterns = ("*.py", "*.csv", "_core.pyi", "py.typed")
    wanted = {str(path.relative_to(TREE)) for pattern in patterns for path in (TREE / "fastconv").rglob(pattern)}
    assert shipped - extensions == wanted
    assert any(name.endswith("/LICENSE") for name in files - shipped)


@pytest.mark.slow
def test_wheel_needs_numpy_only(unpacked):
    (metadata,) = unpacked.glob("*.dist-info/METADATA")
    needs = Parser().parsestr(metadata.read_text()).get_all("Requires-Dist")
    assert [need for need in needs if "extra ==" not in need] == ["numpy>=2.0"]


@pytest.mark.slow
def test_extension_of_the_wheel_is_stripped(unpacked):
    (extension,) = unpacked.rglob("*.so")
    sections = readelf("-S", extension)
    assert ".dynsym" in sections and ".symtab" not in sections and ".debug" not in sections
    check_libraries(extension)


@pytest.mark.slow
def test_wheel_works_away_from_the_tree(python, unpacked, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    script = """
import numpy as np, fastconv as fc
from fastconv import nn, reference
print(fc.__file__, fc._core.__file__, sep="\\n")
x, w = np.arange(60.0).reshape(1, 3, 4, 5), np.arange(54.0).reshape(2, 3, 3, 3)
assert (fc.conv2d(x, w, padding=1) == reference.conv2d(x, w, padding=1)).all()
assert (fc.max_pool2d(x, 2) == reference.max_pool2d(x, 2)).all()
assert nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()).forward(x.astype(np.float32)).shape == (1, 2, 2, 3)
"""
    files = python(script, PYTHONPATH=str(unpacked)).stdout.splitlines()
    assert [Path(file).parent for file in files] == [unpacked / "fastconv"] * 2

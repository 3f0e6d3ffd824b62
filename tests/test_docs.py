"""The documentation: the code of its pages runs and prints what they say, and its reference has every public name."""

import doctest
import importlib
import re
import sys
from pathlib import Path

import pytest

import fastconv as fc

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.rst") if ">>>" in page.read_text() and "generated" not in page.parts)
MODULES = ["fastconv", "fastconv.grad", "fastconv.nn", "fastconv.nn.init", "fastconv.viz"]
needs_docs = pytest.mark.skipif(not PAGES, reason="needs the folder docs of the sources")


def packages_of(page):
    """The packages that the code of a page imports."""
    return set(re.findall(r">>> +(?:import|from) (\w+)", page.read_text()))


def page_to_run(page):
    marks = [pytest.mark.torch] if "torch" in packages_of(page) else []
    return pytest.param(page, marks=marks, id=str(page.relative_to(DOCS)))


@pytest.mark.parametrize("page", [page_to_run(page) for page in PAGES])
def test_page_runs(page, tmp_path, monkeypatch):
    for package in packages_of(page):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)  # where a page saves a network
    monkeypatch.setenv("MPLBACKEND", "agg")
    with fc.threads(1):  # the bits are the same; a busy machine takes no longer
        results = doctest.testfile(str(page), module_relative=False)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
    assert results.attempted and not results.failed


@needs_docs
@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_in_the_reference(module):
    try:
        public = set(importlib.import_module(module).__all__)
    except ImportError as error:
        pytest.skip(f"needs an extra: {error}")
    listed = set()
    for page in (DOCS / "reference").glob("*.rst"):
        current = None
        for line in page.read_text().splitlines():
            if match := re.fullmatch(r"\.\. currentmodule:: (\S+)", line):
                current = match[1]
            elif current == module and re.fullmatch(r"   \w+", line):
                listed.add(line.strip())
    modules = {name for name in public if f"{module}.{name}" in MODULES}
    assert public - modules == listed

"""What all tests share: an instruction set at a time, processes of their own, and PyTorch where it is installed."""

import os
import subprocess
import sys
from pathlib import Path

import cases
import pytest

from fastconv import runtime


@pytest.fixture(params=cases.ISAS)
def isa(request):
    """Run the test on each instruction set that was built and that this machine has."""
    with runtime.forced_isa(request.param):
        yield request.param


@pytest.fixture
def silence(capfd):
    """Check that the test writes nothing on stderr."""
    yield
    assert capfd.readouterr().err == ""


def pytest_collection_modifyitems(items):
    """Mark what needs PyTorch: ``-m torch`` runs it where it was installed beside the extra "test", which lacks it."""
    for item in items:
        if "torch" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.torch)


@pytest.fixture
def python():
    """Run a script in a new process, check its exit code, and return what it printed; a hang fails.

    Of the variables that fastconv and OpenMP read, it sees those given, and that idle threads should sleep: on a busy
    machine those that spin take several times as long.
    """

    def run(script, code=0, timeout=60, **variables):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FASTCONV_", "OMP_"))}
        paths = [str(Path(__file__).parent), *filter(None, [kept.get("PYTHONPATH")])]
        environment = kept | {"PYTHONPATH": os.pathsep.join(paths), "OMP_WAIT_POLICY": "passive"} | variables
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout)
        assert done.returncode == code, done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def torch():
    """PyTorch on one thread; a test that takes it is left out where it is not installed."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    return torch

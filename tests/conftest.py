"""What all tests share: an instruction set at a time, and PyTorch as a second opinion where it is installed."""

import cases
import pytest

from fastconv import runtime


@pytest.fixture(params=cases.ISAS)
def isa(request):
    """Run the test on each instruction set that was built and that this machine has."""
    with runtime.forced_isa(request.param):
        yield request.param


@pytest.fixture(scope="session")
def torch():
    """PyTorch on one thread; a test that takes it is left out where it is not installed."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    return torch

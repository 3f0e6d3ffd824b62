"""The examples: networks of the published counts that learn, freeze, agree with PyTorch and print what they should."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import fastconv as fc
from fastconv import nn

EXAMPLES = Path(__file__).parent.parent / "examples"
if not EXAMPLES.exists():
    pytest.skip("the examples are in the tree, and not in the package", allow_module_level=True)


@pytest.fixture
def example(monkeypatch):
    """Import examples by name, on one thread: the bits are the same, and a busy machine takes no longer."""
    monkeypatch.syspath_prepend(EXAMPLES)

    def load(name):
        if "sklearn" in (EXAMPLES / f"{name}.py").read_text():
            pytest.importorskip("sklearn")
        return import_module(name)

    with fc.threads(1):
        yield load


# ---- counts


# Example, its function and arguments, the shape of an image, and the counts that the docstrings have or lead to.
COUNTS = [
    ("lenet5", "lenet5", (), (1, 32, 32), (10,), 61_706, 416_520),
    ("resnet18", "resnet18", (), (3, 224, 224), (1000,), 11_689_512, 1_814_073_344),
    ("mobilenet_v1", "mobilenet_v1", (), (3, 224, 224), (1000,), 4_231_976, 568_740_352),
    ("deeplab_head", "deeplab_head", (), (2048, 33, 33), (21, 33, 33), 16_130_837, 16_992_130_304),
    ("locally_connected", "net3", (), (1, 16, 16), (10,), 1_226, 1_136),
    ("locally_connected", "digit_network", (True,), (1, 16, 16), (10,), 3_818, 94_720),
    ("locally_connected", "digit_network", (False,), (1, 16, 16), (10,), 97_802, 94_720),
]


@pytest.mark.parametrize(("name", "function", "arguments", "shape", "output", "parameters", "multiply_adds"), COUNTS)
def test_counts(example, name, function, arguments, shape, output, parameters, multiply_adds):
    summary = getattr(example(name), function)(*arguments, rng=0).summary(shape)
    assert summary.rows[-1].output_shape == output
    assert (summary.parameters, summary.multiply_adds) == (parameters, multiply_adds)
    assert summary.trainable_parameters == parameters and summary.parameter_bytes == 4 * parameters


def test_layers_of_lenet5_are_those_of_the_paper(example):
    rows = [row for row in example("lenet5").lenet5().summary((1, 32, 32)).rows if row.parameters]
    assert [row.parameters for row in rows] == [156, 2416, 48_120, 10_164, 850]
    assert 60_000 - (12 + 32) + (2416 - 1516) + 850 == 61_706
    assert rows[0].multiply_adds + 6 * 28 * 28 == 122_304  # the connections of C1, those of the biases included


@pytest.mark.parametrize(
    ("width", "parameters", "millions", "multiply_adds"),
    [(0.75, 2_585_560, "2.6", 325), (0.5, 1_331_592, "1.3", 149), (0.25, 470_072, "0.5", 41)],
)
def test_mobilenets_of_other_widths(example, width, parameters, millions, multiply_adds):
    summary = example("mobilenet_v1").mobilenet_v1(width=width).summary((3, 224, 224))
    assert summary.parameters == parameters and f"{parameters / 1e6:.1f}" == millions
    assert round(summary.multiply_adds / 1e6) == multiply_adds


@pytest.mark.parametrize(
    ("channels", "row", "weights", "thousands", "millions"),
    [
        (192, (64, 96, 128, 16, 32, 32), 163_328, 159, 128),
        (256, (128, 128, 192, 32, 96, 64), 388_096, 379, 304),  # 3b, which the paper rounds up to 380K
    ],
)
def test_inception_blocks_of_28x28(example, channels, row, weights, thousands, millions):
    summary = example("inception_block").inception_block(channels, *row).summary((channels, 28, 28))
    one, _, three, _, five, pool = row
    assert summary.rows[0].kind == "Concat" and summary.rows[0].output_shape == (one + three + five + pool, 28, 28)
    assert summary.parameters == weights + sum(row) and weights // 1024 == thousands
    assert summary.multiply_adds == weights * 28 * 28 and round(summary.multiply_adds / 1e6) == millions


def test_deeplab_head_is_a_part_of_what_torchvision_publishes(example):
    resnet50, auxiliary = 25_557_032 - (2048 * 1000 + 1000), 1024 * 256 * 9 + 2 * 256 + 256 * 21 + 21
    assert (resnet50, auxiliary) == (23_508_032, 2_365_205)
    network = example("deeplab_head").deeplab_head()
    assert sum(array.size for array in network.params.values()) == 42_004_074 - resnet50 - auxiliary
    fields = [row.receptive_field for row in network.summary((2048, 33, 33)).rows if row.name in ("0.1", "0.2", "0.3")]
    assert fields == [(13, 13), (25, 25), (37, 37)]
    places = 65 * 65  # where all of torchvision's network has 178.72 G
    assert round((16_992_130_304 - 2048 * 256) / 33**2 * places + 2048 * 256, -7) == 65.92e9


def test_vgg16(example):
    network = example("vgg16").vgg16(rng=0)
    summary = network.summary((3, 224, 224))
    assert summary.parameters == 138_357_544 and summary.multiply_adds == 15_470_264_320
    assert summary.rows[-1].output_shape == (1000,)
    image = np.random.default_rng(1).normal(size=(1, 3, 224, 224)).astype(np.float32)
    convolutions = network[:31]
    expected = convolutions.predict(image)
    assert 0.3 < np.sqrt(np.square(expected).mean()) < 5  # with PyTorch's first values it would be a hundredth
    assert np.allclose(convolutions.freeze().predict(image), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


# ---- what they do, at small sizes


SMALL = {
    "lenet5": (("lenet5", "lenet5"), (), {}, (1, 32, 32)),
    "resnet18": (("resnet18", "resnet18"), (10,), {}, (3, 64, 64)),
    "mobilenet_v1": (("mobilenet_v1", "mobilenet_v1"), (10,), {"width": 0.25}, (3, 64, 64)),
    "inception_block": (("inception_block", "inception_block"), (8, 4, 6, 8, 2, 4, 4), {}, (8, 7, 7)),
    "deeplab_head": (("deeplab_head", "deeplab_head"), (16, 5), {"size": (9, 8)}, (16, 9, 8)),
    "net3": (("locally_connected", "net3"), (), {}, (1, 16, 16)),
    "shared": (("locally_connected", "digit_network"), (True,), {}, (1, 16, 16)),
    "not shared": (("locally_connected", "digit_network"), (False,), {}, (1, 16, 16)),
}


def small(example, name, dtype=np.float32):
    """A small network of an example, and images for it."""
    (module, function), arguments, options, shape = SMALL[name]
    network = getattr(example(module), function)(*arguments, **options, rng=0, dtype=dtype)
    return network, np.random.default_rng(1).normal(size=(4, *shape)).astype(dtype)


def settle(network, x):
    """Give batch normalisations the statistics of `x`: with the first ones so little of it is left that all agree."""
    for _, layer in network.leaves():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    network.train()(x)
    return network.eval()


@pytest.mark.parametrize("name", SMALL)
def test_frozen_is_inference(example, name):
    network, x = small(example, name, np.float64)
    expected = settle(network, x)(x)
    assert np.abs(expected - expected[::-1]).max() > 0.01 * np.abs(expected).max()  # it tells images apart
    assert np.allclose(network.freeze()(x), expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("name", SMALL)
def test_a_step_lowers_the_loss(example, name):
    network, x = small(example, name)
    for _, layer in network.leaves():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    loss = nn.MSELoss()
    target = np.random.default_rng(2).normal(size=network(x).shape).astype(np.float32)
    before = loss.forward(network(x), target)
    network.backward(loss.backward())
    assert network.grads.keys() == network.params.keys()
    assert all(np.isfinite(grad).all() and grad.any() for grad in network.grads.values())
    nn.SGD(1e-3).step(network)
    assert loss.forward(network(x), target) < before


# ---- beside PyTorch


def same_predictions(network, twin, x, torch):
    """Load the state of the twin, settled as in `settle`, in its order, and compare."""
    for module in twin.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        twin(torch.from_numpy(x))
        network.load_state_dict(dict(zip(network.state_dict(), twin.state_dict().values(), strict=True)))
        expected = twin.eval()(torch.from_numpy(x)).numpy()
    assert np.abs(expected - expected[::-1]).max() > 0.01 * np.abs(expected).max()
    for predict in network.predict, network.freeze().predict:
        assert np.allclose(predict(x), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def joined(torch, join):
    """A module that feeds branches with one input and joins what they return."""

    class Joined(torch.nn.Sequential):
        def forward(self, x):
            return join([branch(x) for branch in self])

    return Joined


def test_lenet5_in_pytorch(example, torch):
    layers = torch.nn
    twin = layers.Sequential(
        *(layers.Conv2d(1, 6, 5), layers.Tanh(), layers.AvgPool2d(2)),
        *(layers.Conv2d(6, 16, 5), layers.Tanh(), layers.AvgPool2d(2)),
        *(layers.Conv2d(16, 120, 5), layers.Tanh(), layers.Flatten()),
        *(layers.Linear(120, 84), layers.Tanh(), layers.Linear(84, 10)),
    )
    network, x = small(example, "lenet5")
    assert list(network.state_dict()) == list(twin.state_dict())
    same_predictions(network, twin, x, torch)


def test_resnet18_in_pytorch(example, torch):
    layers = torch.nn

    class Block(layers.Module):
        def __init__(self, in_channels, out_channels, stride):
            super().__init__()
            self.conv1 = layers.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
            self.bn1 = layers.BatchNorm2d(out_channels)
            self.conv2 = layers.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
            self.bn2 = layers.BatchNorm2d(out_channels)
            self.downsample = layers.Identity()
            if stride == 2:
                convolution = layers.Conv2d(in_channels, out_channels, 1, stride, bias=False)
                self.downsample = layers.Sequential(convolution, layers.BatchNorm2d(out_channels))

        def forward(self, x):
            y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
            return (y + self.downsample(x)).relu()

    blocks = [Block(64, 64, 1), Block(64, 64, 1)]
    for channels in 64, 128, 256:
        blocks += [Block(channels, 2 * channels, 2), Block(2 * channels, 2 * channels, 1)]
    twin = layers.Sequential(
        *(layers.Conv2d(3, 64, 7, 2, 3, bias=False), layers.BatchNorm2d(64), layers.ReLU(), layers.MaxPool2d(3, 2, 1)),
        *(*blocks, layers.AdaptiveAvgPool2d(1), layers.Flatten(), layers.Linear(512, 10)),
    )
    network, x = small(example, "resnet18")
    same_predictions(network, twin, x, torch)


def test_mobilenet_v1_in_pytorch(example, torch):
    layers = torch.nn

    def convolution(in_channels, out_channels, kernel_size, stride=1, groups=1):
        padding = (kernel_size - 1) // 2
        convolution = layers.Conv2d(in_channels, out_channels, kernel_size, stride, padding, 1, groups, bias=False)
        return convolution, layers.BatchNorm2d(out_channels), layers.ReLU()

    channels = [8, 16, 32, 32, 64, 64, 128, 128, 128, 128, 128, 128, 256, 256]
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    modules = [*convolution(3, 8, 3, 2)]
    for before, after, stride in zip(channels, channels[1:], strides, strict=False):
        modules += [*convolution(before, before, 3, stride, before), *convolution(before, after, 1)]
    twin = layers.Sequential(*modules, layers.AdaptiveAvgPool2d(1), layers.Flatten(), layers.Linear(256, 10))
    network, x = small(example, "mobilenet_v1")
    assert list(network.state_dict()) == list(twin.state_dict())
    same_predictions(network, twin, x, torch)


def test_inception_block_in_pytorch(example, torch):
    layers = torch.nn
    twin = layers.Sequential(
        joined(torch, lambda outputs: torch.cat(outputs, 1))(
            layers.Sequential(layers.Conv2d(8, 4, 1), layers.ReLU()),
            layers.Sequential(
                *(layers.Conv2d(8, 6, 1), layers.ReLU(), layers.Conv2d(6, 8, 3, padding=1), layers.ReLU())
            ),
            layers.Sequential(
                *(layers.Conv2d(8, 2, 1), layers.ReLU(), layers.Conv2d(2, 4, 5, padding=2), layers.ReLU())
            ),
            layers.Sequential(layers.MaxPool2d(3, 1, 1), layers.Conv2d(8, 4, 1), layers.ReLU()),
        )
    )
    network, x = small(example, "inception_block")
    assert list(network.state_dict()) == list(twin.state_dict())
    same_predictions(network, twin, x, torch)


def test_deeplab_head_in_pytorch(example, torch):
    layers = torch.nn

    def convolution(in_channels, kernel_size=1, rate=1):
        padding = rate * (kernel_size // 2)
        convolution = layers.Conv2d(in_channels, 256, kernel_size, 1, padding, rate, bias=False)
        return convolution, layers.BatchNorm2d(256), layers.ReLU()

    class OverTheImage(layers.Module):
        def forward(self, x):
            return torch.nn.functional.interpolate(x, size=(9, 8), mode="bilinear", align_corners=False)

    twin = layers.Sequential(
        joined(torch, lambda outputs: torch.cat(outputs, 1))(
            layers.Sequential(*convolution(16)),
            *(layers.Sequential(*convolution(16, 3, rate)) for rate in (6, 12, 18)),
            layers.Sequential(layers.AdaptiveAvgPool2d(1), *convolution(16), OverTheImage()),
        ),
        *(*convolution(5 * 256), layers.Dropout(), *convolution(256, 3), layers.Conv2d(256, 5, 1)),
    )
    network, x = small(example, "deeplab_head")
    assert list(network.state_dict()) == list(twin.state_dict())
    same_predictions(network, twin, x, torch)


# ---- the programs


MAINS = {
    "inception_block": "163,696 parameters, 128,000,000 multiply-adds",
    "mobilenet_v1": "4,231,976 parameters, 569,000,000 multiply-adds",
    "resnet18": "11,689,512 parameters, 1,810,000,000 multiply-adds",
    "deeplab_head": "16,130,837 parameters, 16,992,130,304 multiply-adds",
    "vgg16": "138,357,544 parameters, 15,500,000,000 multiply-adds",
}
LONG = "deeplab_head", "vgg16"


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in MAINS])
def test_main(example, name, capsys):
    example(name).main()
    lines = capsys.readouterr().out.splitlines()
    assert re.match(r"layer  +output shape  +parameters  +multiply-adds  +memory  +receptive field", lines[0])
    assert lines[-2] == f"expected       {MAINS[name]}"
    assert re.fullmatch(r"one image      \d+\.\d\d ms, \d+\.\d\d ms after freeze\(\)", lines[-1])


def test_lenet5_learns(example, capsys):
    accuracy = example("lenet5").main(epochs=3)
    assert accuracy > 0.85
    out = capsys.readouterr().out
    assert "expected       61,706 parameters, 416,520 multiply-adds" in out
    assert out.splitlines()[-1] == f"test accuracy  {accuracy:.3f}"


@pytest.mark.parametrize("epochs", [1, pytest.param(15, marks=pytest.mark.slow)])
def test_locally_connected_learns(example, epochs, capsys):
    accuracies = example("locally_connected").main(epochs)
    out = capsys.readouterr().out
    for (weights, place), accuracy in accuracies.items():
        assert f"weights {weights:10}  digits {place:13}  accuracy {accuracy:.3f}" in out
    middle = [accuracies[weights, "in the middle"] for weights in ("shared", "not shared")]
    anywhere = [accuracies[weights, "anywhere"] for weights in ("shared", "not shared")]
    assert len(accuracies) == 4 and min(middle) > (0.95 if epochs > 1 else 0.3)
    if epochs > 1:
        assert anywhere[0] > anywhere[1] + 0.15


def test_reports_are_of_the_counts_that_are_expected(example, capsys):
    network = nn.Sequential(nn.Linear(3, 2))
    report = example("report").report
    report(network, (3,), parameters=8, multiply_adds=6)
    assert "expected       8 parameters, 6 multiply-adds" in capsys.readouterr().out
    assert network.frozen is None
    for counts in {"parameters": 9, "multiply_adds": 6}, {"parameters": 8, "multiply_adds": 7}:
        with pytest.raises(AssertionError):
            report(network, (3,), **counts)


def test_a_file_runs_from_anywhere(tmp_path):
    command = [sys.executable, EXAMPLES / "inception_block.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" and "after freeze()" in done.stdout


def test_the_table_has_every_example_and_its_counts():
    table = (EXAMPLES / "README.md").read_text()
    rows = dict(re.findall(r"^\| \[`(\w+)\.py`\]\(\w+\.py\)(.*)", table, re.MULTILINE))
    assert rows.keys() == {path.stem for path in EXAMPLES.glob("*.py")} - {"report"}
    vgg16 = "vgg16", "vgg16", (), (), (), 138_357_544, 15_470_264_320
    block = "inception_block", "inception_block", (), (), (), 163_696, 128_049_152
    for name, function, _, _, _, parameters, multiply_adds in [*COUNTS, vgg16, block]:
        assert f"{parameters:,}" in rows[name]
        assert function == "net3" or f"| {multiply_adds:,} |" in rows[name]

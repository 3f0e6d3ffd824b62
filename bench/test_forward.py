"""Forward convolution: every contender on layers of each kind."""

import pytest

from fastconv.bench import CONTENDERS, read_table, select_layers

LAYERS = [
    pytest.param(layer, id=f"{table}-{layer.name}")
    for table, pattern in (
        ("resnet50", "conv1"),
        ("resnet50", "layer[1-4].1.conv*"),
        ("resnet50", "layer*.0.conv2"),
        ("mobilenet_v2", "dw_*"),
        ("vgg16", "conv[1-3]"),
    )
    for layer in select_layers(read_table(table), pattern)
]


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("layer", LAYERS)
def test_forward(race, layer, contender):
    race(contender, layer)


@pytest.mark.parametrize("contender", ["fastconv", "torch", "numpy"])
@pytest.mark.parametrize("layer", select_layers(read_table("resnet18"), "layer?.0.conv1"), ids=lambda layer: layer.name)
def test_forward_float64(race, layer, contender):
    race(contender, layer, dtype="float64")

"""Both gradients of a convolution, at the batch size of a small training step."""

import pytest

from fastconv.bench import CONTENDERS, read_table, select_layers

LAYERS = [
    pytest.param(layer.with_batch(8), id=f"{table}-{layer.name}")
    for table, pattern in (
        ("resnet50", "conv1"),
        ("resnet50", "layer[1-4].1.conv[12]"),
        ("resnet50", "layer2.0.conv2"),
        ("mobilenet_v2", "dw_???_s?"),
    )
    for layer in select_layers(read_table(table), pattern)
]
ABLE = [name for name, kind in CONTENDERS.items() if "weight" in kind.passes]


@pytest.mark.parametrize("contender", ABLE)
@pytest.mark.parametrize("direction", ["input", "weight"])
@pytest.mark.parametrize("layer", LAYERS)
def test_backward(race, layer, direction, contender):
    race(contender, layer, direction)

"""Everything but plain convolution beside PyTorch, forward and backward: transposed, pooled, unfolded."""

import pytest

from fastconv.bench import read_table

CASES = [
    pytest.param(layer, direction, id=f"{layer.name}-{direction}")
    for suite in ("transposed", "pooling", "unfold")
    for layer in read_table(suite)
    for direction in layer.passes
]


@pytest.mark.parametrize("contender", ["fastconv", "torch"])
@pytest.mark.parametrize("layer, direction", CASES)
def test_suite(race, layer, direction, contender):
    race(contender, layer, direction)

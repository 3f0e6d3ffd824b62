"""Summaries: counts that are known from the literature, receptive fields, and that nothing changes."""

from __future__ import annotations

import numpy as np
import pytest
from networks import assert_same_bits, copies, images_and_labels, small_network, train

from fastconv import nn


def residual_block(in_channels, out_channels, stride=1):
    body = nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False),
        nn.BatchNorm2d(out_channels),
    )
    shortcut = None
    if stride != 1 or in_channels != out_channels:
        convolution = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        shortcut = nn.Sequential(convolution, nn.BatchNorm2d(out_channels))
    return nn.Sequential(nn.Residual(body, shortcut), nn.ReLU())


def resnet18():
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    sizes = [(64, 64), (64, 64), (64, 128, 2), (128, 128), (128, 256, 2), (256, 256), (256, 512, 2), (512, 512)]
    blocks = [residual_block(*size) for size in sizes]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def test_resnet18_has_the_published_counts():
    summary = resnet18().summary((3, 224, 224))
    assert summary.parameters == summary.trainable_parameters == 11_689_512
    assert summary.multiply_adds == 1_814_073_344
    assert summary.parameter_bytes == 4 * summary.parameters
    rows = {row.name: row for row in summary.rows}
    assert rows["3"].receptive_field == (11, 11) and rows["11.0.body.4"].receptive_field == (435, 435)
    assert rows["12"].receptive_field is None and rows["12"].output_shape == (512, 1, 1)
    assert rows["6.0.shortcut.0"].kind == "Conv2d" and rows["6.0.shortcut.0"].depth == 3
    assert rows["6.0.shortcut.0"].receptive_field == (43, 43)
    lines = str(summary).splitlines()
    assert len(lines) == 1 + 1 + len(summary.rows) + 1 + 4 and max(map(len, lines)) <= 100


def test_lenet5_by_hand():
    network = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Flatten(),
        nn.Linear(1600, 10),
    )
    summary = network.summary((1, 28, 28))
    assert [row.output_shape for row in summary.rows] == [
        (6, 28, 28),
        (6, 28, 28),
        (6, 14, 14),
        (16, 10, 10),
        (1600,),
        (10,),
    ]
    assert [row.parameters for row in summary.rows] == [156, 0, 0, 2416, 0, 16010]
    assert [row.multiply_adds for row in summary.rows] == [150 * 784, 0, 0, 2400 * 100, 0, 16000]
    assert [row.receptive_field for row in summary.rows] == [(5, 5), (5, 5), (6, 6), (14, 14), None, None]
    assert [row.activation_bytes for row in summary.rows] == [18816, 18816, 4704, 6400, 0, 40]  # Flatten is a view
    assert summary.parameters == 18582 and summary.parameter_bytes == 4 * 18582
    assert summary.activation_bytes == 18816 * 2 + 4704 + 6400 + 40


def test_receptive_fields_are_those_that_gradients_have():
    """Whatever the window says: the inputs that one output's gradient reaches."""
    network = nn.Sequential(
        nn.Conv2d(1, 1, (3, 2), stride=(2, 1), dilation=(1, 3), dtype=np.float64),
        nn.AvgPool2d((1, 2), stride=(1, 3)),
        nn.Concat(nn.Conv2d(1, 1, 1, dtype=np.float64), nn.Conv2d(1, 1, 3, padding=1, dilation=1, dtype=np.float64)),
        nn.Residual(nn.Conv2d(2, 2, (1, 3), padding=(0, 1), dtype=np.float64)),
        nn.Conv2d(2, 1, (2, 1), dtype=np.float64),
    )
    for _, layer in network.leaves():
        for param in layer.params.values():
            param[...] = 1
    x = np.zeros((1, 1, 25, 40))
    y = network(x)
    dy = np.zeros_like(y)
    dy[0, 0, y.shape[2] // 2, y.shape[3] // 2] = 1
    reached = np.nonzero(network.backward(dy)[0, 0])
    assert network.summary(x.shape[1:]).rows[-1].receptive_field == tuple(
        int(axis.max() - axis.min() + 1) for axis in reached
    )


def test_fields_of_one_and_three_dimensions():
    one = nn.Sequential(nn.Conv1d(2, 4, 5, stride=2, dilation=2), nn.BatchNorm1d(4), nn.MaxPool1d(3))
    assert one.summary((2, 40)).rows[-1].receptive_field == (13,)
    three = nn.Sequential(nn.Conv3d(1, 2, (1, 3, 5)), nn.SiLU())
    assert three.summary([1, 4, 6, 8]).rows[-1].receptive_field == (1, 3, 5)
    rows = nn.Sequential(nn.Linear(4, 3), nn.ReLU()).summary(4).rows
    assert [row.receptive_field for row in rows] == [None, None] and rows[0].output_shape == (3,)


def test_fields_end_where_no_window_slides():
    network = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 3))
    assert [row.receptive_field for row in network.summary((1, 6, 6)).rows] == [(3, 3), None, None]
    for mixed in nn.Linear(6, 6), nn.Softmax(2), nn.Softmax(-1):  # of the same shape
        assert nn.Sequential(mixed, nn.Conv1d(1, 1, 3)).summary((1, 6)).rows[-1].receptive_field is None
    assert nn.Sequential(nn.Softmax(1), nn.Conv1d(1, 1, 3)).summary((1, 6)).rows[-1].receptive_field == (3,)


def test_frozen_layers_are_not_trainable():
    network = small_network()
    network[:3].requires_grad = False
    summary = network.summary((1, 8, 8))
    assert summary.parameters - summary.trainable_parameters == 40
    assert "337, 297 of them trainable" in str(summary)
    network.freeze()
    assert str(network.summary((1, 8, 8))) == str(summary)


@pytest.mark.parametrize("frozen", [False, True])
def test_nothing_changes(frozen):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(rng=0), nn.Flatten(), nn.Linear(144, 3))
    train(network, epochs=1)
    state, modes = network.state_dict(), [layer.training for layer in network]
    draws = network[2].rng.bit_generator.state
    x = images_and_labels()[0]
    network(x)
    network.backward(np.ones((30, 3), np.float32))
    grads = copies(network.grads)
    draws = network[2].rng.bit_generator.state
    if frozen:
        network.freeze()
    network.summary((1, 8, 8))
    assert_same_bits(network.state_dict(), state | {name: network.state_dict()[name] for name in network.buffers})
    assert network.buffers["1.num_batches_tracked"] == state["1.num_batches_tracked"] + 1  # of the pass before
    assert network[2].rng.bit_generator.state == draws
    network.unfreeze()
    assert [layer.training for layer in network] == modes
    network.backward(np.ones((30, 3), np.float32))  # still of the pass before
    assert_same_bits(network.grads, grads)


def test_layers_and_containers_of_ones_own():
    class Twice(nn.Sequential):
        def forward(self, x):
            return super().forward(super().forward(x))

    network = nn.Sequential(Twice(nn.Conv2d(2, 2, 3, padding=1)), nn.ReLU())
    rows = network.summary((2, 5, 5)).rows
    assert [row.name for row in rows] == ["0", "1"] and rows[0].kind == "Twice" and rows[0].parameters == 38
    (row,) = network[0].summary((2, 5, 5)).rows
    assert row.kind == "Twice" and row.parameters == 38 and row.output_shape == (2, 5, 5)


def test_parameters_decide_the_dtype():
    assert nn.Sequential(nn.Linear(2, 3, dtype=np.float64)).summary(2).rows[0].activation_bytes == 24
    assert nn.Sequential(nn.ReLU()).summary(2).rows[0].activation_bytes == 8


@pytest.mark.parametrize(
    ("error", "message", "shape"),
    [
        (ValueError, r"0 Conv2d\(.*cannot take an example of the shape \(3, 8, 8\)", (3, 8, 8)),
        (ValueError, r"7 Linear\(.*cannot take an example of the shape \(54,\)", (1, 12, 12)),
        (ValueError, r"0 Conv2d\(.*takes examples of 3 dimensions, \[channels, ...\], got one of.*\(8, 8\)", (8, 8)),
        (TypeError, "input_shape", "8x8"),
        (TypeError, "input_shape", None),
        (TypeError, r"input_shape\[1\]", (1, 8.0, 8)),
        (ValueError, r"input_shape\[0\] must be at least 1, got 0", (0, 8, 8)),
        (ValueError, "input_shape must be the shape of one example", ()),
    ],
)
def test_bad_shapes(error, message, shape):
    network = small_network()
    with pytest.raises(error, match=message):
        network.summary(shape)
    assert network.training


def test_a_layer_that_returns_no_array():
    with pytest.raises(TypeError, match="0 MaxPool2d.*one array to have a row, got tuple"):
        nn.Sequential(nn.MaxPool2d(2, return_indices=True)).summary((1, 4, 4))

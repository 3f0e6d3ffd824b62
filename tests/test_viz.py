"""`fastconv.viz`: the figures hold the numbers they are to show, at the right places; wrong arguments are named."""

import numpy as np
import pytest

import fastconv as fc
from fastconv import nn

pytest.importorskip("matplotlib")
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fastconv import viz


def tile(image, row, column, height, width):
    """Return the pixels [height, width] of the tile at a row and column of a drawn image, whose unit is a tile."""
    left, right, bottom, top = image.get_extent()
    assert (left, top) == (-0.5, -0.5)
    canvas = image.get_array().filled(np.nan)
    cell_height, cell_width = round(len(canvas) / (bottom + 0.5)), round(canvas.shape[1] / (right + 0.5))
    cell = canvas[row * cell_height : (row + 1) * cell_height, column * cell_width : (column + 1) * cell_width]
    inside = cell[1:-1, 1:-1]
    rim = np.ones(cell.shape[:2], bool)
    rim[1:-1, 1:-1] = False
    assert np.isnan(cell[rim]).all() if cell.ndim == 2 else (cell[rim][:, 3] == 0).all()
    times = inside.shape[0] // height
    assert inside.shape[:2] == (height * times, width * times)
    return inside[::times, ::times]


def colour_bar(axes):
    """Return the axes of the colour bar beside an image."""
    (bar,) = axes.child_axes
    return bar


def check_nothing_leaves(figure):
    """Check that no title, label or colour bar sticks out of the figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    box, whole = figure.get_tightbbox(canvas.get_renderer()), figure.get_size_inches()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= whole[0] and box.y1 <= whole[1], box


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def network():
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, rng=0),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 5, 3, padding=1, rng=1),
        nn.Flatten(),
        nn.Linear(5 * 8 * 10, 4, rng=2),
    )


# ---- filters


@pytest.mark.parametrize("count, size", [(1, (3, 3)), (7, (3, 5)), (32, (1, 1)), (64, (20, 3))])
def test_filters_of_one_channel_are_tiles_in_rows(rng, count, size):
    weight = rng.standard_normal((count, 1, *size))
    figure = viz.plot_filters(weight)
    assert isinstance(figure, Figure)
    (axes,) = figure.axes
    (image,) = axes.images
    columns = round(image.get_extent()[1] + 0.5)
    for k in range(count):
        assert np.array_equal(tile(image, *divmod(k, columns), *size), weight[k, 0])
    most = float(np.abs(weight).max())
    assert image.get_clim() == (-most, most) and image.get_cmap().name == "RdBu_r"
    assert colour_bar(axes).get_ylabel() == "weight"
    assert axes.get_title() == f"{count} filter{'s' * (count > 1)}, {size[0]} x {size[1]}"
    first_of_rows = [label.get_text() for label in axes.get_yticklabels()]
    assert first_of_rows[:2] == ["0", str(columns)][: -(-count // columns)]
    check_nothing_leaves(figure)


def test_filters_in_as_many_columns_as_asked_for(rng):
    weight = rng.standard_normal((10, 1, 3, 3))
    (image,) = viz.plot_filters(weight, columns=4).axes[0].images
    assert image.get_extent() == [-0.5, 3.5, 2.5, -0.5]
    assert np.array_equal(tile(image, 2, 1, 3, 3), weight[9, 0])
    assert np.isnan(tile(image, 2, 2, 3, 3)).all()


def test_filters_of_three_channels_are_in_colour():
    weight = np.zeros((2, 3, 2, 2), np.float32)
    weight[0, 0, 0, 0], weight[1, 2, 1, 1] = 4, -2
    figure = viz.plot_filters(weight, columns=2)
    (image,) = figure.axes[0].images
    first, second = tile(image, 0, 0, 2, 2), tile(image, 0, 1, 2, 2)
    assert np.array_equal(first[0, 0], [1, 0.5, 0.5, 1]) and np.array_equal(first[1, 1], [0.5, 0.5, 0.5, 1])
    assert np.array_equal(second[1, 1], [0.5, 0.5, 0.25, 1])
    assert image.get_clim() == (-4, 4) and image.get_cmap().name == "gray"
    assert colour_bar(figure.axes[0]).get_ylabel() == "weight of each colour"
    check_nothing_leaves(figure)


def test_filters_of_other_channels_are_a_grid(rng):
    weight = rng.standard_normal((5, 4, 3, 3))
    figure = viz.plot_filters(weight)
    (axes,) = figure.axes
    for k in range(5):
        for channel in range(4):
            assert np.array_equal(tile(axes.images[0], k, channel, 3, 3), weight[k, channel])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("channel", "filter")
    assert [*axes.get_xticks()] == [0, 1, 2, 3] and [*axes.get_yticks()] == [0, 1, 2, 3, 4]
    check_nothing_leaves(figure)


@pytest.mark.parametrize("shape", [(2, 128, 3, 3), (128, 2, 3, 3), (1, 3, 1, 60), (64, 1, 20, 3)])
def test_filters_of_any_shape_have_labels_apart_and_a_bar_to_read(rng, shape):
    figure = viz.plot_filters(rng.standard_normal(shape))
    check_nothing_leaves(figure)
    (axes,) = figure.axes
    bar = colour_bar(axes)
    for axis in axes.xaxis, axes.yaxis, bar.yaxis:
        labels = [label.get_window_extent() for label in axis.get_ticklabels() if label.get_text()]
        assert not any(first.overlaps(second) for first, second in zip(labels, labels[1:], strict=False))
    box = bar.get_window_extent()
    assert box.width == pytest.approx(0.16 * figure.dpi) and box.height > bar.yaxis.label.get_window_extent().height


def test_one_channel_of_the_filters(rng):
    weight = rng.standard_normal((6, 3, 3, 3))
    axes = viz.plot_filters(weight, channel=-1, columns=6).axes[0]
    assert np.array_equal(tile(axes.images[0], 0, 4, 3, 3), weight[4, 2])
    assert axes.get_title() == "6 filters, 3 x 3, channel 2 of 3"


def test_filters_of_a_layer_of_integers_of_zeros_and_of_infinity():
    layer = nn.Conv2d(1, 4, 3, rng=0)
    image = viz.plot_filters(layer, columns=4).axes[0].images[0]
    assert np.array_equal(tile(image, 0, 3, 3, 3), layer.params["weight"][3, 0])
    assert viz.plot_filters(np.ones((1, 1, 2, 2), int)).axes[0].images[0].get_clim() == (-1, 1)
    assert viz.plot_filters(np.zeros((1, 1, 2, 2))).axes[0].images[0].get_clim() == (-1, 1)
    assert viz.plot_filters(np.array([[[[np.inf, np.nan, -3.0]]]])).axes[0].images[0].get_clim() == (-3, 3)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"weight": "w"}, TypeError, "weight must be an array"),
        ({"weight": np.ones((2, 1, 3))}, ValueError, r"weight must be \[filters, .*, got an array of the shape \(2, 1"),
        ({"weight": np.ones((0, 1, 3, 3))}, ValueError, r"got an array of the shape \(0, 1, 3, 3\)"),
        ({"weight": np.ones((2, 1, 3, 3), complex)}, TypeError, "weight must hold real numbers, got complex128"),
        ({"weight": nn.ReLU()}, ValueError, r"weight must be an array or a layer that has a weight, got ReLU\(\)"),
        ({"weight": nn.Linear(4, 2)}, ValueError, r"weight of Linear\(.*\) of the shape \(2, 4\)"),
        ({"channel": 2}, ValueError, "channel must be less than 2, how many there are, got 2"),
        ({"channel": -3}, ValueError, "channel must be at least -2, got -3"),
        ({"channel": 0.5}, TypeError, r"channel must be an int, got 0.5 \(float\)"),
        ({"channel": 0, "columns": 0}, ValueError, "columns must be at least 1, got 0"),
        ({"columns": 3}, ValueError, "columns must be left out where 2 channels make the columns, got 3"),
        ({"figure": "mine"}, TypeError, "figure must be a matplotlib Figure or SubFigure, got str"),
    ],
)
def test_filters_name_what_is_wrong(arguments, error, message):
    with pytest.raises(error, match=message):
        viz.plot_filters(**{"weight": np.ones((4, 2, 3, 3))} | arguments)


# ---- feature maps


def test_feature_maps_are_what_the_layer_makes(rng, network):
    x = rng.random((3, 16, 20), np.float32)
    figure = viz.plot_feature_maps(network, x, layer=1, columns=3)
    left, axes = figure.axes
    assert left.get_title() == "Input, 16 x 20"
    assert np.array_equal(left.images[0].get_array(), x.transpose(1, 2, 0))
    maps = np.maximum(fc.conv2d(x, *network[0].params.values(), padding=1), 0)
    for k in range(6):
        assert np.array_equal(tile(axes.images[0], *divmod(k, 3), 16, 20), maps[k])
    assert axes.images[0].get_clim() == (0, maps.max()) and axes.images[0].get_cmap().name == "magma"
    assert axes.get_title() == "6 maps, 16 x 20, after ReLU"
    assert colour_bar(axes).get_ylabel() == "activation"
    check_nothing_leaves(figure)


def test_feature_maps_below_zero_get_a_symmetric_scale(rng, network):
    x = rng.random((1, 3, 16, 20), np.float32)
    axes = viz.plot_feature_maps(network, x, layer=-3).axes[1]
    maps = network[:4].predict(x)[0]
    assert maps.min() < 0
    assert axes.images[0].get_clim() == pytest.approx((-np.abs(maps).max(), np.abs(maps).max()))
    assert axes.get_title() == "5 maps, 8 x 10, after Conv2d"


def test_feature_maps_of_maps_of_one_layer_and_of_many_channels(rng):
    maps = rng.random((4, 5, 6))
    for given in (maps, maps[None]):
        (axes,) = viz.plot_feature_maps(given, columns=2).axes
        assert np.array_equal(tile(axes.images[0], 1, 1, 5, 6), maps[3])
        assert axes.get_title() == "4 maps, 5 x 6"
    figure = viz.plot_feature_maps(nn.Conv2d(7, 2, 3), np.ones((7, 8, 8)))
    assert [axes.get_title() for axes in figure.axes] == ["2 maps, 6 x 6, after Conv2d"]  # no image of seven colours


def test_an_image_beyond_0_to_1_is_scaled():
    x = np.array([[[-2.0, 0.0, 6.0]]])
    image = viz.plot_feature_maps(nn.ReLU(), x).axes[0].images[0]
    assert np.array_equal(image.get_array(), [[0, 0.25, 1]]) and image.get_clim() == (0, 1)


def test_feature_maps_leave_the_network_as_it_is(rng, network):
    x = rng.random((2, 3, 16, 20), np.float32)
    network.backward(np.ones_like(network.forward(x)))
    gradients = {name: gradient.copy() for name, gradient in network.grads.items()}
    viz.plot_feature_maps(network, x[0], layer=1)
    assert network.training
    network.backward(np.ones((2, 4), np.float32))  # through the two images of before
    assert all(np.array_equal(network.grads[name], gradient) for name, gradient in gradients.items())


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"x": None}, TypeError, "x must be the image"),
        ({"x": np.ones((2, 3, 16, 20))}, ValueError, r"x must be one image .*, got the shape \(2, 3, 16, 20\)"),
        ({"x": np.ones((3, 16))}, ValueError, r"x must be one image .*, got the shape \(3, 16\)"),
        ({"x": "digit"}, TypeError, "x must be an array"),
        ({"layer": 6}, ValueError, "layer must be less than 6, how many there are, got 6"),
        ({"layer": "conv"}, TypeError, "layer must be an int, got 'conv'"),
        ({"layer": 4}, ValueError, r"the output of Flatten has the shape \[400\]; layer=4 was given"),
        ({}, ValueError, r"the output of Linear has the shape \[4\]; layer=None was given"),
        ({"network": nn.ReLU(), "layer": 0}, TypeError, "layer must be left out where network is no nn.Sequential"),
        ({"network": np.ones((2, 3, 3))}, TypeError, "x must be left out where maps are given"),
        ({"network": np.ones((2, 3)), "x": None}, ValueError, r"network must be a layer, or maps .* shape \(2, 3\)"),
        ({"layer": 0, "columns": 1.5}, TypeError, "columns must be an int, got 1.5"),
    ],
)
def test_feature_maps_name_what_is_wrong(network, arguments, error, message):
    with pytest.raises(error, match=message):
        viz.plot_feature_maps(**{"network": network, "x": np.ones((3, 16, 20))} | arguments)


# ---- history


def test_history_has_a_panel_for_loss_and_one_for_accuracy():
    history = nn.History()
    for epoch in range(1, 4):
        history.record({"loss": 1 / epoch, "accuracy": epoch / 4, "val_loss": 2 / epoch, "val_accuracy": epoch / 5})
    figure = viz.plot_history(history, loss_scale="log")
    loss, accuracy = figure.axes
    assert (loss.get_title(), accuracy.get_title()) == ("Loss", "Accuracy")
    assert (loss.get_yscale(), accuracy.get_yscale()) == ("log", "linear")
    for axes, name in (loss, "loss"), (accuracy, "accuracy"):
        training, validation = axes.lines
        assert (training.get_label(), validation.get_label()) == ("training", "validation")
        assert [*training.get_xdata()] == [*validation.get_xdata()] == [1, 2, 3]
        assert [*training.get_ydata()] == history[name] and [*validation.get_ydata()] == history[f"val_{name}"]
        assert axes.get_xlim() == (0.5, 3.5) and axes.get_xlabel() == "epoch" and axes.get_legend()
    check_nothing_leaves(figure)


def test_history_draws_what_there_is():
    figure = viz.plot_history({"loss": [1.0], "learning_rate": np.array([0.1])})
    assert [(axes.get_title(), len(axes.lines), axes.get_yscale()) for axes in figure.axes] == [
        ("Loss", 1, "linear"),
        ("Learning rate", 1, "linear"),
    ]
    assert not figure.axes[0].get_legend()
    check_nothing_leaves(figure)
    (axes,) = viz.plot_history({"val_loss": [np.nan, 2.0]}).axes
    assert np.array_equal(axes.lines[0].get_ydata(), [np.nan, 2.0], equal_nan=True)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["validation"]


@pytest.mark.parametrize("loss, scale", [([np.nan], "linear"), ([np.inf, -1.0], "linear"), ([np.nan, 1.0], "log")])
def test_history_without_a_positive_loss_is_drawn(loss, scale):
    figure = viz.plot_history({"loss": loss}, loss_scale="log")
    assert figure.axes[0].get_yscale() == scale
    check_nothing_leaves(figure)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"history": [1, 2]}, TypeError, "history must be a mapping of names to numbers, .*, got list"),
        ({"history": {}}, ValueError, "history must have one number an epoch, .* got {}"),
        ({"history": {"loss": []}}, ValueError, r"of one epoch at least, .* got {'loss': \(0,\)}"),
        ({"history": {"loss": [1], "accuracy": [1, 2]}}, ValueError, r"got {'loss': \(1,\), 'accuracy': \(2,\)}"),
        ({"history": {"loss": 1.0}}, ValueError, r"got {'loss': \(\)}"),
        ({"history": {"loss": ["a"]}}, TypeError, r"history\['loss'\] must be an array of numbers"),
        ({"loss_scale": "sqrt"}, ValueError, 'loss_scale must be "linear" or "log", got \'sqrt\''),
    ],
)
def test_history_names_what_is_wrong(arguments, error, message):
    with pytest.raises(error, match=message):
        viz.plot_history(**{"history": {"loss": [1.0]}} | arguments)


# ---- receptive field


def field(figure):
    """Return (top, left, height, width) of the rectangle, and the image."""
    (axes,) = figure.axes
    (rectangle,) = axes.patches
    left, top = (round(corner + 0.5) for corner in rectangle.get_xy())
    return (top, left, rectangle.get_height(), rectangle.get_width()), np.asarray(axes.images[0].get_array())


def smooth(*layers):
    """Return a network of these layers whose weights are all positive: no path through it cancels another."""
    network = nn.Sequential(*layers)
    for parameter in network.params.values():
        parameter[...] = np.abs(parameter) + 0.1
    return network


@pytest.mark.parametrize(
    "layers, position, expected",
    # By hand: a window of k cells, s apart, d between its taps, sees ((n - 1) s + d (k - 1) + 1) cells for n.
    [
        ([nn.Conv2d(2, 3, 3)], (0, 0), (0, 0, 3, 3)),
        ([nn.Conv2d(2, 3, (3, 5), stride=2, dilation=(2, 1))], (2, 3), (4, 6, 5, 5)),
        ([nn.Conv2d(2, 3, 3, padding=1)], (0, 0), (0, 0, 2, 2)),
        ([nn.Conv2d(2, 3, 3, padding=((2, 0), (0, 2)))], (3, 3), (1, 3, 3, 3)),
        ([nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 4, 3, padding=1)], (9, 9), (7, 7, 5, 5)),
        ([nn.Conv2d(2, 3, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(3, 4, 3, padding=1)], (5, 5), (7, 7, 8, 8)),
        ([nn.AvgPool2d(3, stride=2, padding=1), nn.Conv2d(2, 4, 3)], (8, 0), (15, 0, 7, 6)),
        ([nn.Conv2d(2, 2, 1), nn.ReLU()], None, (12, 10, 1, 1)),
        ([nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.9), nn.Softmax(1)], (5, 6), (5, 6, 3, 3)),
        ([nn.ConvTranspose2d(2, 3, 4, stride=2, padding=1)], (10, 11), (4, 5, 2, 2)),
        ([nn.Upsample(scale_factor=2), nn.Conv2d(2, 3, 3, padding=1)], (10, 11), (4, 5, 2, 2)),
        ([nn.AdaptiveAvgPool2d((4, 3))], (1, 1), (6, 6, 6, 8)),
        ([nn.LocallyConnected2d(2, 3, (24, 20), 3, stride=2)], (1, 2), (2, 4, 3, 3)),
    ],
)
def test_receptive_field_is_that_of_the_windows(layers, position, expected):
    figure = viz.plot_receptive_field(smooth(*layers), (2, 24, 20), position=position)
    (top, left, height, width), magnitude = field(figure)
    assert (top, left, height, width) == expected
    assert magnitude.shape == (24, 20) and magnitude.max() == 1
    inside = np.zeros((24, 20), bool)
    inside[top : top + height, left : left + width] = True
    assert not magnitude[~inside].any()
    assert figure.axes[0].get_title().endswith(f"receptive field {height} x {width}")
    assert colour_bar(figure.axes[0]).get_ylabel() == "gradient / largest"
    check_nothing_leaves(figure)


def test_receptive_field_does_not_depend_on_the_weights(network):
    expected, _ = field(viz.plot_receptive_field(smooth(*network.layers[:4]), (3, 16, 20)))
    for parameter in network.params.values():
        parameter[...] = 0
    found, magnitude = field(viz.plot_receptive_field(network, (3, 16, 20), layer=3))
    assert found == expected and not magnitude.any()


def test_receptive_field_of_a_linear_layer_is_everything(network):
    figure = viz.plot_receptive_field(network, (3, 16, 20))
    found, magnitude = field(figure)
    assert found == (0, 0, 16, 20) and np.count_nonzero(magnitude) > 300
    assert figure.axes[0].get_title() == "Linear: receptive field 16 x 20"
    assert np.array_equal(field(viz.plot_receptive_field(network, (7, 3, 16, 20)))[1], magnitude)


def test_receptive_field_of_padding_alone_is_none():
    figure = viz.plot_receptive_field(nn.Conv2d(1, 1, 3, padding=8), (1, 8, 8), position=(0, 0))
    (axes,) = figure.axes
    assert axes.get_title() == "Conv2d, (0, 0) of 22 x 22: receptive field 0 x 0" and not axes.patches
    assert not axes.images[0].get_array().any()


@pytest.mark.parametrize("within", [False, True])
def test_receptive_field_of_a_frozen_network(rng, network, within):
    x = rng.random((1, 3, 16, 20), np.float32)
    expected = field(viz.plot_receptive_field(network.eval(), (3, 16, 20)))
    y = network.freeze()(x)
    found = field(viz.plot_receptive_field(nn.Sequential(network) if within else network, (3, 16, 20)))
    assert found[0] == expected[0] and np.array_equal(found[1], expected[1])
    assert np.array_equal(network(x), y)
    with pytest.raises(ValueError, match="frozen"):
        network.train()


def test_effective_field_is_the_gradient():
    # Linear, with one channel in and out: the gradient is the kernel, whatever the image is.
    layer = nn.Conv2d(1, 1, 5, padding=2, rng=3)
    _, magnitude = field(viz.plot_receptive_field(layer, (1, 11, 11), position=(4, 6), samples=3, rng=7))
    kernel = np.abs(layer.params["weight"][0, 0])
    np.testing.assert_allclose(magnitude[2:7, 4:9], kernel / kernel.max(), rtol=1e-5)


def test_effective_field_is_the_root_mean_square_over_channels():
    layer = nn.Conv2d(2, 3, 3, bias=False, rng=3)
    _, magnitude = field(viz.plot_receptive_field(layer, (2, 3, 3), samples=4000))
    exact = np.sqrt(np.square(layer.params["weight"]).sum(axis=(0, 1)))
    np.testing.assert_allclose(magnitude, exact / exact.max(), atol=0.05)


def test_effective_field_is_smaller_than_the_field():
    # Luo et al.: of many convolutions the middle counts most, as in a Gaussian.
    network = smooth(*(nn.Conv2d(1 if k == 0 else 4, 4, 3, padding=1, rng=k) for k in range(8)))
    figure = viz.plot_receptive_field(network, (1, 24, 24))
    found, magnitude = field(figure)
    assert found == (4, 4, 17, 17)
    assert magnitude[12, 12] > 0.9 and magnitude[4:6].max() < 0.01
    effective = round(np.count_nonzero(magnitude > 0.0455) ** 0.5)
    assert 8 <= effective <= 13
    assert figure.axes[0].get_xlabel() == f"column; effective field about {effective} x {effective}"


def test_receptive_field_leaves_the_network_as_it_is(rng, network):
    x = rng.random((2, 3, 16, 20), np.float32)
    network.backward(np.ones_like(network.forward(x)))
    before = {name: gradient.copy() for name, gradient in network.grads.items()}
    viz.plot_receptive_field(network, (3, 16, 20), layer=3, samples=1)
    assert network.training and network.requires_grad and network.grads.keys() == before.keys()
    assert all(np.array_equal(network.grads[name], gradient) for name, gradient in before.items())
    network.backward(np.ones((2, 4), np.float32))
    assert all(np.array_equal(network.grads[name], gradient) for name, gradient in before.items())


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"network": np.ones((3, 3))}, TypeError, "network must be an nn.Layer, such as nn.Sequential, got ndarray"),
        ({"layer": -7}, ValueError, "layer must be at least -6, got -7"),
        ({"input_shape": (16, 20)}, ValueError, r"input_shape must be \(channels, height, width\), got \(16, 20\)"),
        ({"input_shape": (3, 0, 20)}, ValueError, r"input_shape\[1\] must be at least 1, got 0"),
        ({"input_shape": (4, 16, 20)}, ValueError, "channels"),
        ({"position": (2, 2)}, ValueError, r"position must be left out where .*: it is \[4\], got \(2, 2\)"),
        ({"layer": 3, "position": (8, 2)}, ValueError, r"position must lie within the 8 x 10 .*, got \(8, 2\)"),
        ({"layer": 3, "position": (-1, 2)}, ValueError, r"position\[0\] must be at least 0, got -1"),
        ({"layer": 3, "position": "centre"}, TypeError, "position must be an int or 2 ints, got 'centre'"),
        ({"samples": 0}, ValueError, "samples must be at least 1, got 0"),
        ({"rng": "seed"}, TypeError, "rng must be a numpy.random.Generator, a seed or None, got 'seed'"),
    ],
)
def test_receptive_field_names_what_is_wrong(network, arguments, error, message):
    with pytest.raises(error, match=message):
        viz.plot_receptive_field(**{"network": network, "input_shape": (3, 16, 20)} | arguments)


def test_receptive_field_of_a_network_that_is_not_finite(network):
    network[0].params["bias"][:] = np.nan
    with pytest.raises(ValueError, match="network must have a finite output, got one with NaN or infinity"):
        viz.plot_receptive_field(network, (3, 16, 20))


# ---- all of them


@pytest.mark.parametrize("kind", ["figure", "subfigure"])
def test_drawn_into_what_is_given(network, kind):
    figure = Figure()
    target = figure if kind == "figure" else figure.subfigures(1, 2)[1]
    assert viz.plot_history({"loss": [1.0]}, figure=target) is target
    assert [axes.get_title() for axes in target.axes] == ["Loss"]
    assert (figure.subfigs == []) == (kind == "figure")


def test_no_pyplot_and_no_display(python):
    script = """
import io, sys
import numpy as np
import fastconv as fc
assert "matplotlib" not in sys.modules
figure = fc.viz.plot_feature_maps(fc.nn.Conv2d(1, 2, 3), np.ones((1, 8, 8)))
figure.savefig(io.BytesIO(), format="png")
assert "matplotlib.pyplot" not in sys.modules
"""
    python(script, DISPLAY="", MPLBACKEND="TkAgg")


def test_without_matplotlib_the_extra_is_named(python):
    script = """
import sys
sys.modules["matplotlib"] = None
import fastconv as fc
fc.viz
"""
    last = python(script, code=1).stderr.splitlines()[-1]
    assert last == 'ImportError: fastconv.viz needs matplotlib: pip install "fastconv[viz]"'

"""Pictures of networks: filters, feature maps, training curves and receptive fields, drawn with matplotlib.

Each function returns a `matplotlib.figure.Figure` to save or to show; none needs a display or touches pyplot. With
``figure=`` they draw into a figure or subfigure that is there already. Needs the extra ``viz``: without matplotlib the
module raises `ImportError` when it is imported.

Examples
--------
>>> from fastconv import nn, viz
>>> figure = viz.plot_filters(nn.Conv2d(1, 8, 5, rng=0))
>>> figure.axes[0].get_title()
'8 filters, 5 x 5'
"""

from __future__ import annotations

import copy
import math
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastconv import nn
from fastconv.nn import _checks
from fastconv.nn._checks import Array

try:
    from matplotlib.figure import Figure, FigureBase, SubFigure
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import Locator, MaxNLocator
    from matplotlib.transforms import Bbox
except ImportError:
    raise ImportError('fastconv.viz needs matplotlib: pip install "fastconv[viz]"') from None

__all__ = ["plot_feature_maps", "plot_filters", "plot_history", "plot_receptive_field"]

_EFFECTIVE = 1 - 0.9545  # of the largest gradient: where Luo et al. (2016) draw the border, two standard deviations
_MOST_TICKS = 16


def plot_filters(
    weight: Any,
    *,
    channel: int | None = None,
    columns: int | None = None,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Draw the filters of a 2-D convolution, one tile each, on one scale that is symmetric around 0.

    Parameters
    ----------
    weight : array [K, C, h, w] or layer
        K filters of C channels, or a layer with such a weight. Filters of three channels are drawn in colour: grey is
        0, and each of red, green and blue has the same scale. Filters of any other number make a grid: a row a
        filter, a column a channel. (Of a transposed convolution K are the channels of the input, C of the output.)
    channel : int, optional
        Draw this channel of every filter only.
    columns : int, optional
        Filters in a row, where they do not make a grid.
    figure : Figure or SubFigure, optional
        Draw into this one, which is empty, instead of a new one.

    Returns
    -------
    Figure
        With one `Axes`; a tile is one unit wide and high, the first one at (0, 0).

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import viz
    >>> sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    >>> figure = viz.plot_filters(np.stack([sobel, sobel.T])[:, None])
    >>> figure.axes[0].images[0].get_clim()
    (-2.0, 2.0)
    """
    filters = _weight(weight)
    count, channels, height, width = filters.shape
    if channel is not None:
        channel = _index(channel, channels, "channel")
        filters = filters[:, channel : channel + 1]
    in_colour = filters.shape[1] == 3
    grid = not in_colour and filters.shape[1] > 1
    if grid and columns is not None:
        raise ValueError(f"columns must be left out where {channels} channels make the columns, got {columns!r}")
    columns = channels if grid else _columns(columns, count, height / width)
    largest = _largest(filters)
    if in_colour:
        tiles = np.clip(filters.transpose(0, 2, 3, 1) / (2 * largest) + 0.5, 0, 1)
        gap, cmap, label = "white", "gray", "weight of each colour"
    else:
        tiles = filters.reshape(-1, height, width)
        gap, cmap, label = "0.45", "RdBu_r", "weight"

    figure = _figure(figure, columns * width, -(-len(tiles) // columns) * height)
    axes = figure.subplots()
    image = _draw_tiles(axes, tiles, columns, gap, cmap=cmap, vmin=-largest, vmax=largest)
    if grid:
        axes.set(xlabel="channel", ylabel="filter")
        axes.xaxis.set_major_locator(_Counts(columns))
        axes.yaxis.set_major_locator(_Counts(count))
    else:
        _number_rows(axes, count, columns)
    which = "" if channel is None else f", channel {channel} of {channels}"
    axes.set_title(f"{_many(count, 'filter')}, {height} x {width}{which}")
    _colour_bar(axes, image, label)
    return figure


def plot_feature_maps(
    network: Any,
    x: Any = None,
    layer: int | None = None,
    *,
    columns: int | None = None,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Draw the feature maps that a layer of a network makes of one image, one tile each, on one scale.

    Parameters
    ----------
    network : layer or array [K, H, W]
        A network, or any layer; or the maps themselves.
    x : array [C, H, W] or [1, C, H, W]
        The image, drawn beside its maps where it has one channel or three. Left out with maps.
    layer : int, optional
        Draw the output of this layer of a `Sequential` (-1: the last); that of the whole network if left out.
    columns : int, optional
        Maps in a row.
    figure : Figure or SubFigure, optional
        Draw into this one, which is empty, instead of a new one.

    Returns
    -------
    Figure
        The `Axes` of the image, where it is drawn, and those of the maps; a tile is one unit wide and high, the first
        one at (0, 0). The scale starts at 0 where no map is negative, and is symmetric around 0 otherwise.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; an output that is not maps.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn, viz
    >>> network = nn.Sequential(nn.Conv2d(1, 6, 3, rng=0), nn.ReLU(), nn.Flatten(), nn.Linear(216, 10, rng=0))
    >>> figure = viz.plot_feature_maps(network, np.ones((1, 8, 8), np.float32), layer=1)
    >>> [axes.get_title() for axes in figure.axes]
    ['Input, 8 x 8', '6 maps, 6 x 6, after ReLU']
    """
    picture, after = None, ""
    if isinstance(network, nn.Layer):
        if x is None:
            raise TypeError("x must be the image [channels, height, width] to run the network on, got None")
        picture = _image(x)
        part = _up_to(network, layer)
        maps = part.predict(picture[None])[0]
        if maps.ndim != 3:
            raise ValueError(
                f"layer must be one that makes maps [channels, height, width]: the output of {_last(part)} has the "
                f"shape {list(maps.shape)}; layer={layer!r} was given"
            )
        after = f", after {_last(part)}"
    else:
        for name, value in (("x", x), ("layer", layer)):
            if value is not None:
                raise TypeError(f"{name} must be left out where maps are given and not a network, got {value!r}")
        maps = _numbers(network, "network")
        if maps.ndim == 4 and len(maps) == 1:
            maps = maps[0]
        if maps.ndim != 3 or not maps.size:
            raise ValueError(f"network must be a layer, or maps [channels, height, width]; got the shape {maps.shape}")
    count, height, width = maps.shape
    columns = _columns(columns, count, height / width)
    with_picture = picture is not None and len(picture) in (1, 3)

    rows = -(-count // columns)
    figure = _figure(figure, columns * width * (1.5 if with_picture else 1), rows * height)
    if picture is not None and with_picture:
        left, axes = figure.subplots(1, 2, width_ratios=[0.45, 1])
        _draw_image(left, picture)
    else:
        axes = figure.subplots()
    largest = _largest(maps)
    if np.nanmin(maps, initial=0) < 0:
        image = _draw_tiles(axes, maps, columns, "0.45", cmap="RdBu_r", vmin=-largest, vmax=largest)
    else:
        image = _draw_tiles(axes, maps, columns, "white", cmap="magma", vmin=0, vmax=largest)
    _number_rows(axes, count, columns)
    axes.set_title(f"{_many(count, 'map')}, {height} x {width}{after}")
    _colour_bar(axes, image, "activation")
    return figure


def plot_history(
    history: Mapping[str, Any], *, loss_scale: str = "linear", figure: Figure | SubFigure | None = None
) -> Figure | SubFigure:
    """Draw what `fit` measured, epoch by epoch: a panel for the loss, one for the accuracy, and one for all else.

    Parameters
    ----------
    history : mapping of str to numbers
        What `fit` returns: "loss" and, where there are, "accuracy", their likes of the validation data ("val_loss",
        "val_accuracy"), which are drawn beside them, and anything that a callback has recorded, one value an epoch.
    loss_scale : "linear" or "log"
        The scale of the loss; linear where no loss is a positive number, which a logarithmic one needs.
    figure : Figure or SubFigure, optional
        Draw into this one, which is empty, instead of a new one.

    Returns
    -------
    Figure
        With one `Axes` a panel: one line, or two with the validation data.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; a history without an epoch, or with lists of different lengths.

    Examples
    --------
    >>> from fastconv import viz
    >>> figure = viz.plot_history({"loss": [2.0, 1.0, 0.5], "val_loss": [1.8, 1.1, 0.9], "accuracy": [0.2, 0.5, 0.7]})
    >>> [(axes.get_title(), len(axes.lines)) for axes in figure.axes]
    [('Loss', 2), ('Accuracy', 1)]
    """
    curves = _curves(history)
    if loss_scale not in ("linear", "log"):
        raise ValueError(f'loss_scale must be "linear" or "log", got {loss_scale!r}')
    panels = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
    epochs = np.arange(1, len(next(iter(curves.values()))) + 1)

    figure = _figure(figure, 5 * len(panels), 3.5, width_inches=5 * len(panels))
    marker = "o" if len(epochs) <= 50 else None
    for axes, name in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for key, colour, label in ((name, "tab:blue", "training"), (f"val_{name}", "tab:orange", "validation")):
            if key in curves:
                axes.plot(epochs, curves[key], color=colour, marker=marker, markersize=4, label=label)
        axes.set(title=name.replace("_", " ").capitalize(), xlabel="epoch", xlim=(0.5, len(epochs) + 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if f"val_{name}" in curves:
            axes.legend(frameon=False)
        drawn = np.concatenate([line.get_ydata() for line in axes.lines])
        if name == "loss" and (np.isfinite(drawn) & (drawn > 0)).any():  # a logarithmic scale of nothing has no ends
            axes.set_yscale(loss_scale)
    return figure


def plot_receptive_field(
    network: Any,
    input_shape: tuple[int, ...],
    *,
    layer: int | None = None,
    position: tuple[int, int] | None = None,
    samples: int = 16,
    rng: Any = 0,
    figure: Figure | SubFigure | None = None,
) -> Figure | SubFigure:
    """Draw which part of the input one element of the output sees, and how much each pixel of it counts.

    The rectangle is the receptive field: outside of it no pixel changes the element. The colours are the effective
    receptive field of Luo et al. [1]_, the gradient of the element by each pixel: its root mean square over random
    images, over the channels of the input and, in random directions, over those of the output. Both are found by
    running the network (the rectangle by what not-a-number reaches), so that any layers will do. The network is left
    as it is.

    Parameters
    ----------
    network : layer
        A network, or any layer, for images [N, C, H, W].
    input_shape : (int, int, int)
        Channels, height and width of the input; a batch size in front is allowed, and does not count.
    layer : int, optional
        The layer of a `Sequential` whose output is meant (-1: the last); that of the whole network if left out.
    position : (int, int), optional
        Row and column of the element, where the output has rows and columns; the middle if left out.
    samples : int
        Random images: standard normal numbers.
    rng : numpy.random.Generator, seed or None
        Draws the images; None takes fresh entropy.
    figure : Figure or SubFigure, optional
        Draw into this one, which is empty, instead of a new one.

    Returns
    -------
    Figure
        With one `Axes` in pixels of the input: an image [H, W] with the largest gradient as 1, and a rectangle, unless
        the element sees nothing but padding.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; a network whose output is not finite.

    References
    ----------
    .. [1] W. Luo, Y. Li, R. Urtasun, R. Zemel, "Understanding the effective receptive field in deep convolutional
       neural networks", NIPS 2016.

    Examples
    --------
    >>> from fastconv import nn, viz
    >>> network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, rng=0), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1, rng=0))
    >>> figure = viz.plot_receptive_field(network, (1, 16, 16))
    >>> rectangle = figure.axes[0].patches[0]
    >>> rectangle.get_xy(), rectangle.get_width(), rectangle.get_height()
    ((5.5, 5.5), 5, 5)
    """
    part = _up_to(network, layer)
    shape = _checks.shape_of(input_shape, "input_shape", 1)
    if len(shape) not in (3, 4):
        raise ValueError(f"input_shape must be (channels, height, width), got {input_shape!r}")
    shape = shape[-3:]
    samples = _checks.integer(samples, "samples")
    rng = _checks.generator(rng)
    output = part.predict(np.zeros((1, *shape), np.float32))[0]
    place = _place(position, output.shape)
    element = (slice(None), *place)
    if not np.isfinite(output[element]).all():
        raise ValueError("network must have a finite output, got one with NaN or infinity for an image of zeros")
    top, bottom, left, right = _region(part, shape, element)
    magnitude = _gradient_magnitude(part, shape, element, samples, rng)

    figure = _figure(figure, shape[2], shape[1], width_inches=6)
    axes = figure.subplots()
    image = axes.imshow(magnitude, cmap="magma", vmin=0, vmax=1)
    rectangle = Rectangle(
        (left - 0.5, top - 0.5),
        right - left,
        bottom - top,
        fill=False,
        edgecolor="tab:cyan",
        linewidth=2,
        clip_on=False,
    )
    if bottom > top and right > left:
        axes.add_patch(rectangle)
    effective = math.sqrt(np.count_nonzero(magnitude > _EFFECTIVE))
    of = f", {place} of {_times(output.shape[1:])}" if place else ""
    axes.set_title(f"{_last(part)}{of}: receptive field {bottom - top} x {right - left}")
    axes.set(xlabel=f"column; effective field about {effective:.0f} x {effective:.0f}", ylabel="row")
    _colour_bar(axes, image, "gradient / largest")
    return figure


# ---- the receptive field


def _region(network: nn.Sequential, shape: tuple[int, ...], element: tuple[Any, ...]) -> tuple[int, int, int, int]:
    """Return the first row that an element of the output sees and the one after the last, then so for columns.

    The two are the same where it sees none.

    Whatever is added to not-a-number, multiplied by it or compared with it becomes not-a-number: so the output tells
    whether any pixel of a band of rows or columns takes part in it, whatever the weights and the layers are.
    """

    def span(axis: int) -> tuple[int, int]:
        def reached(band: slice) -> bool:
            image = np.zeros(shape, np.float32)
            image[(slice(None),) * axis + (band,)] = np.nan
            return bool(np.isnan(network.predict(image[None])[0][element]).any())

        counts = range(1, shape[axis] + 1)
        before = bisect_left(counts, True, key=lambda count: reached(slice(None, count)))
        behind = bisect_left(counts, True, key=lambda count: reached(slice(-count, None)))
        return before, max(before, shape[axis] - behind)

    return *span(1), *span(2)


def _gradient_magnitude(
    network: nn.Sequential, shape: tuple[int, ...], element: tuple[Any, ...], samples: int, rng: np.random.Generator
) -> Array:
    """Return the root mean square of the gradient of an element of the output by each pixel [H, W], largest 1."""
    network = copy.deepcopy(network)  # backward would leave its gradients in the user's
    _unfreeze(network)
    network.eval()
    network.requires_grad = False
    total = np.zeros(shape[1:])
    for _ in range(samples):
        y = network.forward(rng.standard_normal((1, *shape), np.float32))
        dy = np.zeros_like(y)
        # The square of J^T v for a normal v is in the mean the sum of the squares of the rows of J.
        dy[(0, *element)] = rng.standard_normal(dy[(0, *element)].shape)
        total += np.square(network.backward(dy)[0], dtype=np.float64).sum(axis=0)
    largest = total.max()
    return np.sqrt(total / largest) if largest > 0 else total


def _unfreeze(layer: nn.Layer) -> None:
    """Unfreeze a network and those within it, for a frozen one has no backward pass."""
    if isinstance(layer, nn.Sequential):
        layer.unfreeze()
    for child in getattr(layer, "layers", ()):
        _unfreeze(child)


def _place(position: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return row and column of an element of an output [channels, height, width]; nothing where it has other axes."""
    if len(shape) != 3:
        if position is not None:
            raise ValueError(
                f"position must be left out where the output is not [channels, height, width]: it is {list(shape)}, "
                f"got {position!r}"
            )
        return ()
    if position is None:
        return shape[1] // 2, shape[2] // 2
    row, column = _checks.integers(position, 2, "position", minimum=0)
    if row >= shape[1] or column >= shape[2]:
        raise ValueError(f"position must lie within the {shape[1]} x {shape[2]} elements of the output, got {position}")
    return row, column


# ---- arguments


def _numbers(value: Any, name: str) -> Array:
    array = _checks.array(value, name)
    if array.dtype.kind == "c":
        raise TypeError(f"{name} must hold real numbers, got {array.dtype}")
    return array.astype(np.float64)


def _weight(value: Any) -> Array:
    if isinstance(value, nn.Layer):
        if "weight" not in value.params:
            raise ValueError(f"weight must be an array or a layer that has a weight, got {value!r}")
        what, value = f"the weight of {value!r}", value.params["weight"]
    else:
        what = "an array"
    array = _numbers(value, "weight")
    if array.ndim != 4 or not array.size:
        raise ValueError(f"weight must be [filters, channels, height, width], got {what} of the shape {array.shape}")
    return array


def _image(value: Any) -> Array:
    array = _numbers(value, "x").astype(np.float32)
    if array.ndim == 4 and len(array) == 1:
        array = array[0]
    if array.ndim != 3 or not array.size:
        raise ValueError(f"x must be one image [channels, height, width], got the shape {array.shape}")
    return array


def _up_to(network: Any, layer: Any) -> nn.Sequential:
    """Return the network up to a layer, which is part of it."""
    if not isinstance(network, nn.Layer):
        raise TypeError(f"network must be an nn.Layer, such as nn.Sequential, got {type(network).__name__}")
    if layer is None:
        return network if isinstance(network, nn.Sequential) else nn.Sequential(network)
    if not isinstance(network, nn.Sequential):
        raise TypeError(f"layer must be left out where network is no nn.Sequential, but {type(network).__name__}")
    return network[: _index(layer, len(network), "layer") + 1]


def _index(value: Any, count: int, name: str) -> int:
    number = _checks.integer(value, name, minimum=-count)
    if number >= count:
        raise ValueError(f"{name} must be less than {count}, how many there are, got {number}")
    return number % count


def _curves(history: Any) -> dict[str, Array]:
    if not isinstance(history, Mapping):
        raise TypeError(f"history must be a mapping of names to numbers, as fit returns, got {type(history).__name__}")
    curves = {str(name): _numbers(values, f"history[{name!r}]") for name, values in history.items()}
    lengths = {name: len(values) if values.ndim == 1 else -1 for name, values in curves.items()}
    if len(set(lengths.values())) != 1 or min(lengths.values()) < 1:
        shapes = {name: values.shape for name, values in curves.items()}
        raise ValueError(f"history must have one number an epoch, of one epoch at least, under each name, got {shapes}")
    return curves


def _columns(value: Any, count: int, height_over_width: float) -> int:
    """Return how many tiles to put in a row: landscape, and with few holes in the last row, if it is not given."""
    if value is not None:
        return min(_checks.integer(value, "columns"), count)
    wanted = math.sqrt(1.5 * count * height_over_width)
    near = range(max(1, math.ceil(wanted / 1.5)), min(count, math.ceil(wanted * 1.5)) + 1)
    return min(near, key=lambda columns: (-count % columns, abs(columns - wanted)), default=count)


# ---- drawing


def _figure(figure: Any, width: float, height: float, width_inches: float = 8) -> Any:
    """Return the figure to draw into; a new one has about the shape of what it will hold."""
    if figure is None:
        height_inches = min(max(width_inches * 0.85 * height / width + 1, 2.5), 1.5 * width_inches)
        figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08)  # the room of labels beside a colour bar is estimated
        return figure
    if not isinstance(figure, FigureBase):
        raise TypeError(f"figure must be a matplotlib Figure or SubFigure, got {type(figure).__name__}")
    return figure


def _draw_tiles(axes: Any, tiles: Array, columns: int, gap: str, **style: Any) -> Any:
    """Draw tiles [N, h, w] or, in colours, [N, h, w, 3] row by row, a unit each, and return the one image they make.

    Each pixel is repeated until a tile has about 16, and each tile gets a rim of one, of not-a-number.
    """
    count, height, width = tiles.shape[:3]
    times = max(1, 16 // max(height, width))
    large = tiles.repeat(times, axis=1).repeat(times, axis=2)
    rows = -(-count // columns)
    canvas = np.full((rows * columns, large.shape[1] + 2, large.shape[2] + 2, *tiles.shape[3:]), np.nan)
    canvas[:count, 1:-1, 1:-1] = large
    canvas = canvas.reshape(rows, columns, *canvas.shape[1:]).swapaxes(1, 2)
    canvas = canvas.reshape(rows * canvas.shape[1], columns * canvas.shape[3], *tiles.shape[3:])
    if tiles.ndim == 4:  # colours take no colour map, and have no word for what is absent but transparency
        canvas = np.concatenate([np.nan_to_num(canvas), ~np.isnan(canvas[..., :1])], axis=-1)
    axes.set_facecolor(gap)
    cells = (-0.5, columns - 0.5, rows - 0.5, -0.5)
    aspect = (large.shape[1] + 2) / (large.shape[2] + 2)
    return axes.imshow(canvas, extent=cells, aspect=aspect, **style)


def _draw_image(axes: Any, image: Array) -> None:
    """Draw an image of one channel, or of three in colour: from 0 to 1, or else from its least to its most."""
    least, most = float(np.nanmin(image)), float(np.nanmax(image))
    if least < 0 or most > 1:
        image = (image - least) / max(most - least, 1e-30)
    if len(image) == 1:
        axes.imshow(image[0], cmap="gray", vmin=0, vmax=1)
    else:
        axes.imshow(image.transpose(1, 2, 0))
    axes.set(xticks=[], yticks=[], title=f"Input, {image.shape[1]} x {image.shape[2]}")


def _number_rows(axes: Any, count: int, columns: int) -> None:
    """Label each row of tiles with the number of its first one."""
    axes.set_xticks([])
    axes.yaxis.set_major_locator(_Counts(-(-count // columns)))
    axes.yaxis.set_major_formatter(lambda row, _: str(round(row) * columns))
    axes.tick_params(length=0)


class _Counts(Locator):
    """Ticks at 0, 1, 2, ..., or at as many of them as there is room for."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __call__(self) -> range:
        axis: Any = self.axis
        most = max(1, min(axis.get_tick_space(), _MOST_TICKS))
        return range(0, self._count, -(-self._count // most))


def _colour_bar(axes: Any, image: Any, label: str) -> None:
    """Draw a colour bar as high as the image: an own axes of the figure would be as high as the room there is.

    Its width does not follow the image's, and an image that is low has a bar that its label fits.
    """

    def beside(bar: Any, renderer: Any) -> Any:
        inch, box = axes.figure.dpi, axes.bbox
        height = max(box.height, 1.2 * bar.yaxis.label.get_window_extent(renderer).height)
        place = Bbox.from_bounds(box.x1 + 0.1 * inch, (box.y0 + box.y1 - height) / 2, 0.16 * inch, height)
        return place.transformed(axes.figure.transSubfigure.inverted())

    bar = axes.inset_axes((1, 0, 1, 1))
    bar.set_axes_locator(beside)
    axes.figure.colorbar(image, cax=bar, label=label)


def _largest(array: Array) -> float:
    """Return the largest finite magnitude; 1 where there is none but 0."""
    return float(np.abs(array[np.isfinite(array)]).max(initial=0)) or 1.0


# ---- words


def _last(network: nn.Sequential) -> str:
    return type(network.layers[-1]).__name__ if network.layers else "an empty Sequential"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("s" if count > 1 else "")


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))

"""The demo: a small convolutional network learns handwritten digits, a photograph is filtered, one figure shows it all.

All data are real and come with scikit-learn: its 1797 handwritten digits (8 x 8 pixels, from the UCI "Optical
Recognition of Handwritten Digits" data set) and its photograph ``china.jpg``. Every convolution here is fastconv's.
Needs the extra ``demo``; ``python -m fastconv demo`` runs it.
"""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import fastconv as fc
from fastconv import nn, viz
from fastconv.commands.pictures import save

Array = npt.NDArray[Any]


def main(output: Path, epochs: int = 15, seed: int = 0) -> float:
    """Run the demo, write the figure to `output` and return the accuracy on the held-out digits."""
    rng = np.random.default_rng(seed)
    images, labels = load_digits()
    order = rng.permutation(len(images))
    held_out, training = np.split(order, [len(images) // 5])
    x, y = with_shifts(images[training], labels[training])
    test = images[held_out], labels[held_out]
    print(f"{len(training)} digits to learn from ({len(x)} with copies moved by a pixel), {len(held_out)} held out")

    network = build_network(rng)
    loss = nn.CrossEntropyLoss()
    start = time.perf_counter()
    history = network.fit(
        x, y, epochs=epochs, batch_size=64, loss=loss, optimizer=nn.Adam(2e-3), validation_data=test, rng=rng
    )
    print(f"trained in {time.perf_counter() - start:.1f} s")
    accuracy = network.evaluate(*test, loss)["accuracy"]
    print(f"test accuracy: {accuracy:.3f}")

    photograph = load_photograph()
    start = time.perf_counter()
    blurred, edges = gaussian_blur(photograph, sigma=3.0), sobel_edges(photograph)
    height, width = photograph.shape[1:]
    print(f"photograph of {width} x {height} pixels blurred and its edges found in {time.perf_counter() - start:.3f} s")

    draw(output, history, network, test[0][0], accuracy, photograph, blurred, edges)
    print(f"figure: {output}")
    return accuracy


# ---- digits


def load_digits() -> tuple[Array, Array]:
    """Return the images [1797, 1, 8, 8], float32 from 0 to 1, and their digits [1797]."""
    digits = import_module("sklearn.datasets").load_digits()
    return (digits.images[:, None] / 16).astype(np.float32), digits.target


def with_shifts(images: Array, labels: Array) -> tuple[Array, Array]:
    """Return the images [N, 1, H, W] and four copies of each, moved by a pixel up, down, left and right: [5 N, ...]."""
    height, width = images.shape[2:]
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    corners = [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)]
    copies = [padded[:, :, top : top + height, left : left + width] for top, left in corners]
    return np.concatenate(copies), np.tile(labels, len(corners))


def build_network(rng: np.random.Generator) -> nn.Sequential:
    """Return a network for [N, 1, 8, 8]: two convolutions, each with a pool, and a linear layer; 21,386 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1, rng=rng),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1, rng=rng),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 2 * 2, 10, rng=rng),
    )


# ---- the photograph


def load_photograph() -> Array:
    """Return scikit-learn's photograph of a Chinese palace [3, 427, 640], float32 from 0 to 1."""
    pixels = import_module("sklearn.datasets").load_sample_image("china.jpg")
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32) / 255


def gaussian_blur(image: Array, sigma: float) -> Array:
    """Blur each colour of an image [C, H, W] with a Gaussian: one depthwise convolution."""
    reach = int(3 * sigma)
    profile = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = np.outer(profile, profile / profile.sum() ** 2).astype(image.dtype)
    channels = len(image)
    weight = np.broadcast_to(kernel, (channels, 1, *kernel.shape))
    return fc.conv2d(_extend(image, reach), weight, groups=channels)


def sobel_edges(image: Array) -> Array:
    """Return the strength of the edges [H, W] of an image [C, H, W]: both Sobel kernels in one convolution."""
    grey = np.tensordot(np.array([0.299, 0.587, 0.114], image.dtype), image, 1)
    across = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], image.dtype)
    horizontal, vertical = fc.conv2d(_extend(grey[None], 1), np.stack([across, across.T])[:, None])
    strength: Array = np.hypot(horizontal, vertical)
    return strength


def _extend(image: Array, reach: int) -> Array:
    """Repeat the pixels at the border, where a frame of zeros would show as dark rims and false edges."""
    return np.pad(image, ((0, 0), (reach, reach), (reach, reach)), mode="edge")


# ---- the figure


def draw(
    output: Path,
    history: nn.History,
    network: nn.Sequential,
    digit: Array,
    accuracy: float,
    photograph: Array,
    blurred: Array,
    edges: Array,
) -> None:
    """Draw what was learnt and filtered into one file, without a display."""
    figure = import_module("matplotlib.figure").Figure(figsize=(15, 12), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08)
    curves, inside, pictures = figure.subfigures(3, 1, height_ratios=[1.0, 0.95, 1.1])
    _draw_curves(curves, history, accuracy)
    _draw_inside(inside, network, digit)
    _draw_pictures(pictures, photograph, blurred, edges)
    save(figure, output, dpi=100)


def _draw_curves(part: Any, history: nn.History, accuracy: float) -> None:
    _heading(part, "A network learns handwritten digits")
    viz.plot_history(history, loss_scale="log", figure=part)
    part.axes[0].set_title("Cross-entropy loss")
    part.axes[1].set_title(f"Accuracy: {accuracy:.3f} on the held-out fifth")


def _draw_inside(part: Any, network: nn.Sequential, digit: Array) -> None:
    _heading(part, "Its first layer: each feature map is the digit seen through the filter at the same place")
    filters, maps, field = part.subfigures(1, 3, width_ratios=[1, 1.45, 0.75])
    viz.plot_filters(network[0], figure=filters)
    viz.plot_feature_maps(network, digit, layer=1, figure=maps)
    viz.plot_receptive_field(network, digit.shape, layer=3, figure=field)
    field.axes[0].set_title("What one unit of the second layer sees")


def _draw_pictures(part: Any, photograph: Array, blurred: Array, edges: Array) -> None:
    _heading(part, "Classical filters on a photograph")
    left, middle, right = part.subplots(1, 3)
    left.imshow(photograph.transpose(1, 2, 0))
    left.set_title("The photograph (scikit-learn's china.jpg)")
    middle.imshow(np.clip(blurred.transpose(1, 2, 0), 0, 1))
    middle.set_title("Gaussian blur, 19 x 19")
    right.imshow(edges, cmap="gray_r", vmin=0, vmax=float(np.quantile(edges, 0.995)))
    right.set_title("Edges: two Sobel kernels, 3 x 3")
    for axes in (left, middle, right):
        axes.axis("off")


def _heading(part: Any, text: str) -> None:
    part.suptitle(text, x=0.012, horizontalalignment="left", fontsize=14, fontweight="bold")

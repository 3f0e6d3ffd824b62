"""What sharing weights is worth: a network of convolutions beside one with weights of its own at each place.

Both sum as many products. Where scikit-learn's digits stand in the middle of the image, both learn them alike, one with
3,818 parameters, the other with 97,802. Where a digit may stand anywhere, what the convolutions learn of it at one
place they know at all of them, and the other network has to learn it at each. The two were first compared by Y. LeCun,
"Generalization and Network Design Strategies", 1989 (CRG-TR-89-4, Toronto), whose Net-3 has 1,226 parameters::

    pip install "fastconv[demo]" && python examples/locally_connected.py
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike
from report import report
from sklearn.datasets import load_digits

from fastconv import nn


def net3(*, rng: np.random.Generator | int | None = None, dtype: DTypeLike = np.float32) -> nn.Sequential:
    """Return LeCun's Net-3, two locally connected layers and a linear one, for images [N, 1, 16, 16]."""
    rng = np.random.default_rng(rng)
    return nn.Sequential(
        nn.LocallyConnected2d(1, 1, 16, 3, stride=2, padding=1, rng=rng, dtype=dtype),
        nn.Tanh(),
        nn.LocallyConnected2d(1, 1, 8, 5, rng=rng, dtype=dtype),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(16, 10, rng=rng, dtype=dtype),
    )


def digit_network(
    shared: bool, *, rng: np.random.Generator | int | None = None, dtype: DTypeLike = np.float32
) -> nn.Sequential:
    """Return a network for images [N, 1, 16, 16], of convolutions or of locally connected layers."""
    rng = np.random.default_rng(rng)
    first: nn.Layer
    second: nn.Layer
    if shared:
        first = nn.Conv2d(1, 8, 3, padding=1, rng=rng, dtype=dtype)
        second = nn.Conv2d(8, 16, 3, padding=1, rng=rng, dtype=dtype)
    else:
        first = nn.LocallyConnected2d(1, 8, 16, 3, padding=1, rng=rng, dtype=dtype)
        second = nn.LocallyConnected2d(8, 16, 8, 3, padding=1, rng=rng, dtype=dtype)
    return nn.Sequential(
        first,
        nn.ReLU(),
        nn.MaxPool2d(2),
        second,
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 4 * 4, 10, rng=rng, dtype=dtype),
    )


def framed(images: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return each image [8, 8] in an empty frame: [N, 1, 16, 16]."""
    frames = np.zeros((len(images), 1, 16, 16), np.float32)
    for frame, image, (top, left) in zip(frames, images, corners, strict=True):
        frame[0, top : top + 8, left : left + 8] = image
    return frames


def learn(network: nn.Sequential, x: np.ndarray, y: np.ndarray, epochs: int) -> float:
    """Train on four fifths of the digits and return the accuracy on the others."""
    rng = np.random.default_rng(0)
    test, training = np.split(rng.permutation(len(x)), [len(x) // 5])
    loss, optimizer = nn.CrossEntropyLoss(), nn.Adam(3e-3)
    network.fit(x[training], y[training], epochs=epochs, batch_size=32, loss=loss, optimizer=optimizer, rng=rng)
    return network.evaluate(x[test], y[test], loss)["accuracy"]


def main(epochs: int = 15) -> dict[tuple[str, str], float]:
    """Return the accuracies, by network and by where the digits stand."""
    biases = 8 * 8 + 4 * 4 + 10  # of no product
    report(net3(rng=0), (1, 16, 16), parameters=1_226, multiply_adds=1_226 - biases)

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8) / 16
    corners = {
        "in the middle": np.full((len(images), 2), 4),
        "anywhere": np.random.default_rng(0).integers(0, 9, (len(images), 2)),
    }
    networks = {"shared": True, "not shared": False}
    accuracies = {}
    for weights, shared in networks.items():
        print(f"\nweights {weights}:\n{digit_network(shared).summary((1, 16, 16))}")
        for place in corners:
            network = digit_network(shared, rng=0)
            accuracies[weights, place] = learn(network, framed(images, corners[place]), labels, epochs)
    for (weights, place), accuracy in accuracies.items():
        print(f"weights {weights:10}  digits {place:13}  accuracy {accuracy:.3f}")
    return accuracies


if __name__ == "__main__":
    main()

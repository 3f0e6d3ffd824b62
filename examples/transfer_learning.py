"""Transfer learning: the features that a network found in the digits 0 to 4 tell the digits 5 to 9 apart as well.

A network learns 0 to 4 and is saved. A new one loads the file, keeps the convolutions as they are and gets a new head,
the only part that learns 5 to 9. The data are scikit-learn's 1797 handwritten digits; it runs in a few seconds::

    pip install "fastconv[demo]" && python examples/transfer_learning.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from fastconv import nn


def main() -> tuple[float, float]:
    """Return the accuracies on held-out digits: 0 to 4, and 5 to 9 with the features of 0 to 4."""
    rng = np.random.default_rng(0)
    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    low, high = labels < 5, labels >= 5

    first = build_network(rng)
    accuracy = learn(first, images[low], labels[low], rng)
    print(f"digits 0 to 4: accuracy {accuracy:.3f}")

    second = build_network(rng)
    with tempfile.TemporaryDirectory() as folder:
        first.save(Path(folder, "digits.npz"))
        second.load(Path(folder, "digits.npz"))
    second[:-1].requires_grad = False  # the layers before the head keep their parameters
    second.layers[-1] = nn.Linear(128, 5, rng=rng)
    summary = second.summary((1, 8, 8))
    print(f"{summary.trainable_parameters} of {summary.parameters} parameters learn the other digits")
    transferred = learn(second, images[high], labels[high] - 5, rng)
    print(f"digits 5 to 9: accuracy {transferred:.3f}")
    return accuracy, transferred


def build_network(rng: np.random.Generator) -> nn.Sequential:
    """Return a network for [N, 1, 8, 8] and five classes."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False, rng=rng),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, bias=False, rng=rng),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 32, 3, padding=1, bias=False, rng=rng),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 5, rng=rng),
    )


def learn(network: nn.Sequential, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> float:
    """Train on four fifths of the examples and return the accuracy on the others."""
    held_out, training = np.split(rng.permutation(len(x)), [len(x) // 5])
    loss = nn.CrossEntropyLoss()
    network.fit(x[training], y[training], epochs=12, batch_size=32, loss=loss, optimizer=nn.AdamW(3e-3), rng=rng)
    return network.evaluate(x[held_out], y[held_out], loss)["accuracy"]


if __name__ == "__main__":
    main()

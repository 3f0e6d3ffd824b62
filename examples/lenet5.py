"""LeNet-5, the convolutional network that read bank cheques, learns scikit-learn's 1797 handwritten digits.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 86,
1998, for images of 32 x 32. It is the form that is common today, of 61,706 parameters: every map of C3 sees all six of
S2 (2,416 parameters instead of 1,516), the pools S2 and S4 learn nothing (0 instead of 12 and 32), and the output is
linear (850 instead of fixed). C1, C5 and F6 have the paper's 156, 48,120 and 10,164, and 60,000 in all become 61,706::

    pip install "fastconv[demo]" && python examples/lenet5.py
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike
from report import report
from sklearn.datasets import load_digits

from fastconv import nn


def lenet5(
    classes: int = 10, *, rng: np.random.Generator | int | None = None, dtype: DTypeLike = np.float32
) -> nn.Sequential:
    """Return the network for images [N, 1, 32, 32]."""
    rng = np.random.default_rng(rng)
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, rng=rng, dtype=dtype),  # C1
        nn.Tanh(),
        nn.AvgPool2d(2),  # S2
        nn.Conv2d(6, 16, 5, rng=rng, dtype=dtype),  # C3
        nn.Tanh(),
        nn.AvgPool2d(2),  # S4
        nn.Conv2d(16, 120, 5, rng=rng, dtype=dtype),  # C5
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(120, 84, rng=rng, dtype=dtype),  # F6
        nn.Tanh(),
        nn.Linear(84, classes, rng=rng, dtype=dtype),
    )


def main(epochs: int = 10) -> float:
    """Return the accuracy on the held-out fifth of the digits."""
    rng = np.random.default_rng(0)
    network = lenet5(rng=rng)
    report(network, (1, 32, 32), parameters=61_706, multiply_adds=416_520)

    images, labels = load_digits(return_X_y=True)
    images = nn.Upsample(size=28, mode="bilinear")(images.reshape(-1, 1, 8, 8) / 16)
    images = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))
    test, training = np.split(rng.permutation(len(images)), [len(images) // 5])
    loss, optimizer = nn.CrossEntropyLoss(), nn.Adam(2e-3)
    network.fit(
        images[training], labels[training], epochs=epochs, batch_size=32, loss=loss, optimizer=optimizer, rng=rng
    )
    accuracy = network.evaluate(images[test], labels[test], loss)["accuracy"]
    print(f"test accuracy  {accuracy:.3f}")
    return accuracy


if __name__ == "__main__":
    main()

"""The network as most are written: layers in a row, with all that is done with a network as a whole."""

from __future__ import annotations

from typing import Any, Self, overload

from .containers import Series
from .freeze import Frozen
from .interrupt import uninterrupted
from .layers import Layer
from .summary import Summary, summarise
from .training import Trainable

__all__ = ["Sequential"]


class Sequential(Series, Trainable):
    """Layers in a row, each fed with the output of the one before.

    Parameters
    ----------
    *layers : Layer
        In order, containers too.

    Raises
    ------
    TypeError
        An argument that is no layer.
    ValueError
        A layer in two places: it remembers one input only.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> rng = np.random.default_rng(0)
    >>> network = nn.Sequential(nn.Conv2d(1, 4, 3, rng=rng), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2, rng=rng))
    >>> images = rng.normal(size=(8, 1, 8, 8))
    >>> labels = np.arange(8) % 2
    >>> history = network.fit(images, labels, epochs=40, batch_size=4, loss=nn.CrossEntropyLoss(),
    ...                       optimizer=nn.Adam(0.01), progress=False, rng=rng)
    >>> history["accuracy"][-1]
    1.0
    >>> network.predict(images).shape
    (8, 2)
    >>> list(network.params)
    ['0.weight', '0.bias', '3.weight', '3.bias']
    """

    @overload
    def __getitem__(self, index: int) -> Layer: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Layer | Sequential:
        """Return one layer, or a `Sequential` of some, which stay the same layers."""
        return Sequential(*self.layers[index]) if isinstance(index, slice) else self.layers[index]

    def summary(self, input_shape: Any) -> Summary:
        """Return what each layer gives out and costs, for an example of `input_shape`: it prints as a table.

        One example of zeros passes through the layers in inference mode and leaves no trace. A frozen network shows its
        layers as they were.

        Parameters
        ----------
        input_shape : sequence of int
            Of one example, without the batch: (channels, height, width).

        Returns
        -------
        Summary
            Its ``rows``, and the totals ``parameters``, ``trainable_parameters``, ``multiply_adds``,
            ``parameter_bytes`` and ``activation_bytes``.

        Raises
        ------
        TypeError, ValueError
            A shape that is none, or that a layer cannot take; the message names the layer.

        Examples
        --------
        >>> from fastconv import nn
        >>> network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 10))
        >>> network.summary((1, 8, 8))
        layer        output shape  parameters  multiply-adds  memory  receptive field
        -----------------------------------------------------------------------------
        0 Conv2d     8 x 6 x 6             80          2,592  1.2 kB  3 x 3
        1 ReLU       8 x 6 x 6                                1.2 kB  3 x 3
        2 MaxPool2d  8 x 3 x 3                                 288 B  4 x 4
        3 Flatten    72
        4 Linear     10                   730            720    40 B
        -----------------------------------------------------------------------------
        input          1 x 8 x 8
        parameters     810, 810 of them trainable, 3.2 kB
        multiply-adds  3,312
        activations    2.6 kB
        """
        return summarise(self, input_shape)

    def freeze(self) -> Self:
        """Make the network as fast in inference as it can be, read-only, and return it.

        Batch normalisations are multiplied into the convolutions and linear layers before them, activations move into
        their store, the convolution at the end of a residual block's branch adds the other, and weights are packed, in
        containers too; results differ from those of ``eval()`` by rounding alone. Dropout does nothing, nothing is kept
        for `backward`, and what would change the network is an error: `train`, `backward`, `fit`, an optimiser's step,
        `load_state_dict`, and at the next forward pass a layer or a parameter that was replaced. `state_dict`, `save`
        and `summary` show the layers as they were.

        A frozen network within another is one layer of it that does not learn, once its ``requires_grad = False``.

        Raises
        ------
        ValueError
            A frozen network within this one.

        Examples
        --------
        >>> import numpy as np
        >>> from fastconv import nn
        >>> network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
        >>> x = np.ones((1, 1, 4, 4), np.float32)
        >>> expected = network.eval()(x)
        >>> np.allclose(network.freeze()(x), expected, atol=1e-6)
        True
        >>> network.params["0.weight"][...] = 0
        Traceback (most recent call last):
            ...
        ValueError: assignment destination is read-only
        """
        if self.frozen is None:
            with uninterrupted():
                self.frozen = Frozen(self)
        return self

    def unfreeze(self) -> Self:
        """Undo `freeze`, bit for bit: parameters, buffers, modes; and return the network."""
        if self.frozen is not None:
            with uninterrupted():
                self.frozen.undo()
                self.frozen = None
        return self

    def train(self, mode: bool = True) -> Self:
        """Switch to training (or back, with False) and return the network.

        Raises
        ------
        ValueError
            A frozen network, to training.
        """
        if self.frozen is not None and mode:
            raise ValueError("a frozen network does not train: unfreeze() it first")
        return super().train(mode)

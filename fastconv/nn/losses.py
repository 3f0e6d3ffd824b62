"""Losses: `forward(prediction, target)` returns a float, `backward()` the gradient by the prediction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastconv import _core

from . import _checks
from ._checks import Array

__all__ = ["CrossEntropyLoss", "Loss"]


class Loss:
    """Base class of the losses: `forward` returns the mean over the examples and leaves the gradient in `_gradient`."""

    def __init__(self) -> None:
        self._gradient: Array | None = None

    def forward(self, prediction: Any, target: Any) -> float:
        """Return the mean loss."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self) -> Array:
        """Return the gradient of the last `forward` by its prediction, of its shape."""
        if self._gradient is None:
            raise ValueError(f"{type(self).__name__}.backward needs a forward pass to go back through, got none")
        return self._gradient

    def __call__(self, prediction: Any, target: Any) -> float:
        return self.forward(prediction, target)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class CrossEntropyLoss(Loss):
    """The mean of ``-log softmax(prediction)[target]`` over examples and pixels: scores against class indices.

    The prediction holds raw scores [N, classes, ...] in float16, float32 or float64, the target ints [N, ...] from 0 to
    classes - 1. The gradient is ``(softmax(prediction) - onehot(target)) / target.size``, in float32 or float64.

    Raises
    ------
    TypeError
        A prediction that does not hold floats, a target that does not hold ints.
    ValueError
        A target of another shape or out of range; a prediction without an example.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> loss = nn.CrossEntropyLoss()
    >>> round(loss.forward(np.zeros((2, 10)), np.array([3, 7])), 4)  # log(10)
    2.3026
    >>> loss.backward().shape
    (2, 10)
    """

    def forward(self, prediction: Any, target: Any) -> float:
        """Return the mean loss of `prediction` [N, classes, ...] and `target` [N, ...]."""
        scores = np.asarray(_checks.floats(prediction, "prediction"), order="C")
        if scores.ndim < 2 or scores.size == 0:
            raise ValueError(f"prediction must be [N, classes, ...], none of them 0, got the shape {scores.shape}")
        labels = _checks.array(target, "target")
        if labels.dtype.kind not in "iu":
            raise TypeError(f"target must hold ints, the indices of the classes, got {labels.dtype}")
        _checks.same_shape(labels, scores.shape[:1] + scores.shape[2:], "target")
        classes = scores.shape[1]
        lowest, highest = int(labels.min()), int(labels.max())
        if lowest < 0 or highest >= classes:
            wrong = lowest if lowest < 0 else highest
            raise ValueError(f"target must hold class indices from 0 to {classes - 1}, got {wrong}")
        outer, inner = len(scores), math.prod(scores.shape[2:])
        gradient = np.empty_like(scores)
        total = _core.cross_entropy(
            scores.reshape(outer, classes, inner),
            labels.astype(np.int64, order="C", copy=False).reshape(outer, inner),
            gradient.reshape(outer, classes, inner),
            1 / labels.size,
        )
        self._gradient = gradient
        return float(total / labels.size)

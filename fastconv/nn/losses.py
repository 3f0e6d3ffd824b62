"""Losses: `forward(prediction, target)` returns a float, `backward()` the gradient by the prediction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastconv import _core
from fastconv._validate import empty

from . import _checks
from ._checks import Array
from .layers.base import contiguous

__all__ = ["CrossEntropyLoss", "Loss", "MSELoss"]


class Loss:
    """Base class of the losses: `forward` returns a float and leaves the gradient in `_gradient`.

    Attributes
    ----------
    reduction : {"mean", "sum"}
        What `forward` makes of the losses of a batch. Training and evaluation report the same of all batches together.
    count : float or None
        Over how much the last mean was: elements, examples and pixels, or the sum of their weights. None, as a loss of
        your own may leave it: over the examples of the batch.
    correct : (int, int) or None
        How many classes the last prediction has right, and of how many; None for a loss that knows no classes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> class MeanAbsoluteError(nn.Loss):
    ...     def forward(self, prediction, target):
    ...         difference = prediction - target
    ...         self._gradient = np.sign(difference) / difference.size
    ...         return float(np.abs(difference).mean())
    >>> loss = MeanAbsoluteError()
    >>> loss.forward(np.array([[1.0, 5.0]]), np.array([[2.0, 2.0]])), loss.backward()
    (2.0, array([[-0.5,  0.5]]))
    """

    reduction = "mean"
    count: float | None = None
    correct: tuple[int, int] | None = None
    _gradient: Array | None = None

    def __init__(self, reduction: str = "mean") -> None:
        if not isinstance(reduction, str):
            raise TypeError(f"reduction must be 'mean' or 'sum', got {reduction!r} ({type(reduction).__name__})")
        if reduction == "none":
            raise ValueError("reduction must be 'mean' or 'sum', got 'none': forward returns one float, not an array")
        if reduction not in ("mean", "sum"):
            raise ValueError(f"reduction must be 'mean' or 'sum', got {reduction!r}")
        self.reduction = reduction

    def forward(self, prediction: Any, target: Any) -> float:
        """Return the loss, a mean or a sum."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self) -> Array:
        """Return the gradient of the last `forward` by its prediction, of its shape."""
        if self._gradient is None:
            raise ValueError(f"{type(self).__name__}.backward needs a forward pass to go back through, got none")
        return self._gradient

    def __call__(self, prediction: Any, target: Any) -> float:
        return self.forward(prediction, target)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._arguments()})"

    def _arguments(self) -> str:
        return "" if self.reduction == "mean" else f"reduction={self.reduction!r}"


class CrossEntropyLoss(Loss):
    """The cross entropy of scores and classes, ``-log softmax(prediction)[target]``, as `torch.nn.CrossEntropyLoss`.

    The prediction holds raw scores [N, classes, ...], or [classes], in float16, float32 or float64. The target holds

    - the classes, ints [N, ...] from 0 to classes - 1, or `ignore_index`; or
    - their probabilities, floats [N, classes, ...].

    The mean of classes is over the weights of those that are not ignored (NaN where all are, with a gradient of
    zeros), that of probabilities over examples and pixels. The gradient is in float32 or float64.

    Parameters
    ----------
    weight : array [classes], optional
        What each class counts; ones unless given.
    ignore_index : int
        A target that counts nothing, neither in the loss nor in its mean nor in the accuracy.
    reduction : {"mean", "sum"}
        Of the losses of examples and pixels. PyTorch's "none" is refused: `forward` returns a float.
    label_smoothing : float
        From 0 to 1: the share of each target that is spread evenly over all classes.

    Raises
    ------
    TypeError
        An argument of the wrong kind; a prediction that does not hold floats; a target of the shape of classes that
        does not hold ints, or of probabilities that does not hold floats.
    ValueError
        A target of another shape, or out of range; a prediction without an example; an `ignore_index` of 0 or more
        with probabilities, which have no index.

    References
    ----------
    Label smoothing: C. Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016,
    arXiv:1512.00567.

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

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self.weight: Array | None = None
        if weight is not None:
            self.weight = self._class_weight(weight).copy()
        self.ignore_index = _checks.integer(ignore_index, "ignore_index", minimum=-(2**63))
        self.label_smoothing = _checks.real(label_smoothing, "label_smoothing", 0)
        if self.label_smoothing > 1:
            raise ValueError(f"label_smoothing must be from 0 to 1, got {self.label_smoothing}")

    def forward(self, prediction: Any, target: Any) -> float:
        """Return the loss of `prediction` [N, classes, ...] and `target` [N, ...] or [N, classes, ...]."""
        scores = contiguous(_checks.floats(prediction, "prediction"))
        if scores.ndim == 0 or scores.size == 0:
            raise ValueError(f"prediction must be [N, classes, ...], none of them 0, got the shape {scores.shape}")
        shape = scores.shape
        outer, classes = (1, shape[0]) if scores.ndim == 1 else shape[:2]
        class_weight = None if self.weight is None else self._class_weight(self.weight)
        if class_weight is not None and len(class_weight) != classes:
            raise ValueError(f"weight must have one element for each of {classes} classes, got {len(class_weight)}")
        matrices = scores.reshape(outer, classes, -1)
        target = _checks.array(target, "target")
        wanted: Array
        if target.shape == shape:
            wanted = self._probabilities(target, scores.dtype).reshape(matrices.shape)
            counted = outer * matrices.shape[2]
            weight = float(counted)
        else:
            wanted, weight, counted = self._classes(target, shape, classes, class_weight)
            wanted = wanted.reshape(outer, -1)
        mean = self.reduction == "mean"
        scale = 1 / weight if mean and weight else 1.0
        gradient = empty(shape, scores.dtype)
        total, right = _core.cross_entropy(
            matrices,
            wanted,
            class_weight,
            gradient.reshape(matrices.shape),
            self.label_smoothing,
            self.ignore_index,
            scale,
        )
        self._gradient = gradient
        self.count = weight
        self.correct = right, counted
        if not mean:
            return total
        return total / weight if weight else math.nan

    def _probabilities(self, target: Array, dtype: np.dtype[Any]) -> Array:
        if target.dtype.kind != "f":
            raise TypeError(
                f"target must hold floats, the probabilities of the classes, where it has the prediction's shape "
                f"{target.shape}, got {target.dtype}"
            )
        if self.ignore_index >= 0:
            raise ValueError(
                f"target must hold the indices of classes for ignore_index {self.ignore_index} to be among them, "
                f"got probabilities"
            )
        return contiguous(_checks.floats(target, "target", dtype))

    @staticmethod
    def _class_weight(value: Any) -> Array:
        """The weight of each class as the engine reads it, whatever was put there."""
        weight = contiguous(_checks.floats(value, "weight", np.dtype(np.float64)))
        if weight.ndim != 1 or not len(weight):
            raise ValueError(f"weight must have the shape (classes,), got {weight.shape}")
        return weight

    def _classes(
        self, target: Array, shape: tuple[int, ...], classes: int, class_weight: Array | None
    ) -> tuple[Array, float, int]:
        """The targets as the engine reads them, the sum of their weights, and how many are not ignored."""
        expected = shape[:1] + shape[2:] if len(shape) > 1 else ()
        if target.shape != expected:
            raise ValueError(
                f"target must have the shape {expected}, of classes, or {shape}, of their probabilities, "
                f"got {target.shape}"
            )
        if target.dtype.kind not in "iu":
            raise TypeError(f"target must hold ints, the indices of the classes, got {target.dtype}")
        labels = contiguous(target.astype(np.int64, copy=False))
        weight, counted, wrong = _core.sum_targets(labels, classes, self.ignore_index, class_weight)
        if target.dtype == np.uint64 and wrong < 0 and labels.min() < 0:  # 2**64 - 100 is not -100
            wrong = int(labels.argmin())
        if wrong >= 0:
            ignored = "" if self.ignore_index == -100 else f" or ignore_index {self.ignore_index}"
            raise ValueError(
                f"target must hold class indices from 0 to {classes - 1}{ignored}, got {target.flat[wrong]}"
            )
        return labels, weight, counted

    def _arguments(self) -> str:
        options = [] if self.weight is None else [f"weight={self._class_weight(self.weight).tolist()}"]
        options += [f"ignore_index={self.ignore_index}"] if self.ignore_index != -100 else []
        options += [super()._arguments()] if self.reduction != "mean" else []
        options += [f"label_smoothing={self.label_smoothing}"] if self.label_smoothing else []
        return ", ".join(options)


class MSELoss(Loss):
    """The mean square of ``prediction - target``, as `torch.nn.MSELoss`; both have the same shape [...].

    The prediction holds float16, float32 or float64, the target any numbers, which are taken in the prediction's dtype.
    The gradient ``2 (prediction - target) / prediction.size`` is in float32 or float64.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        Of the squares. PyTorch's "none" is refused: `forward` returns a float.

    Raises
    ------
    TypeError
        An argument of the wrong kind; a prediction that does not hold floats.
    ValueError
        A target of another shape (PyTorch broadcasts it, with a warning); a prediction without an element.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> loss = nn.MSELoss()
    >>> loss.forward(np.array([[1.0, 5.0]]), np.array([[2.0, 2.0]]))
    5.0
    >>> loss.backward()
    array([[-1.,  3.]])
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, prediction: Any, target: Any) -> float:
        """Return the mean, or the sum, of the squares of `prediction` [...] minus `target` [...]."""
        x = contiguous(_checks.floats(prediction, "prediction"))
        if x.size == 0:
            raise ValueError(f"prediction must hold at least one element, got the shape {x.shape}")
        wanted = contiguous(_checks.floats(target, "target", x.dtype))
        _checks.same_shape(wanted, x.shape, "target")
        divisor = x.size if self.reduction == "mean" else 1
        gradient = empty(x.shape, x.dtype)
        total = _core.squared_error(x, wanted, gradient, 2 / divisor)
        self._gradient = gradient
        self.count = x.size
        return total / divisor

"""Batch normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv import _core
from fastconv._validate import check_size, empty

from .. import _checks
from .._checks import Array
from .base import Layer, contiguous

_RUNNING = "running_mean", "running_var"


class _BatchNorm(Layer):
    """What BatchNorm1d, BatchNorm2d and BatchNorm3d share."""

    _shapes: dict[int, str]  # the inputs that are taken, by their number of dimensions

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.num_features = _checks.integer(num_features, "num_features")
        check_size((self.num_features,), "num_features")
        self.eps = _checks.real(eps, "eps", 0)
        self.momentum = None if momentum is None else _checks.real(momentum, "momentum")
        self.affine = _checks.boolean(affine, "affine")
        self.track_running_stats = _checks.boolean(track_running_stats, "track_running_stats")
        bias = _checks.boolean(bias, "bias")
        self._dtype = _checks.float_dtype(dtype)
        if self.affine:
            self.params["weight"] = np.ones(self.num_features, self._dtype)
            if bias:
                self.params["bias"] = np.zeros(self.num_features, self._dtype)
        if self.track_running_stats:
            self.buffers["running_mean"] = np.zeros(self.num_features, self._dtype)
            self.buffers["running_var"] = np.ones(self.num_features, self._dtype)
            self.buffers["num_batches_tracked"] = np.array(0, np.int64)

    def forward(self, x: Any) -> Any:
        """Return `x` normalised, computed in the parameters' dtype; in training the running statistics move."""
        dtype = self._compute_dtype()
        x = contiguous(_checks.floats(x, "x", dtype))
        if x.ndim not in self._shapes or x.shape[1] != self.num_features:
            wanted = " or ".join(self._shapes.values()).replace("C", str(self.num_features))
            raise ValueError(f"x must have the shape {wanted}, got {x.shape}")
        batch_statistics = self.training or not self.track_running_stats
        values = x.size // self.num_features
        if batch_statistics and values == 1:
            raise ValueError(f"x must have more than one value a channel in training, got the shape {x.shape}")
        running = tuple(self._vector(self.buffers, name, np.float64) for name in _RUNNING if name in self.buffers)
        mean, variance = (np.empty(self.num_features) for _ in _RUNNING) if batch_statistics else running
        weight, bias = (self._parameter(name, dtype) for name in ("weight", "bias"))
        y = empty(x.shape, dtype)
        if x.size:
            grid = len(x), self.num_features, values // len(x)
            _core.batch_norm(x.reshape(grid), weight, bias, mean, variance, y.reshape(grid), self.eps, batch_statistics)
        if self.training and self.track_running_stats:
            self._track(running, (mean, variance), values)
        self.keep(x, mean, variance, batch_statistics)
        return y

    def backward(self, dy: Any, *, input_gradient: bool = True) -> Any:
        """Overwrite `grads` and return the gradient by the input, through the batch's statistics in training."""
        x, mean, variance, batch_statistics = self.kept()
        dy = contiguous(_checks.floats(dy, "dy", x.dtype))
        _checks.same_shape(dy, x.shape, "dy")
        weight = self._parameter("weight", x.dtype)
        grads = {name: np.zeros(self.num_features, x.dtype) for name in self.params if self.requires_grad}
        dx = empty(x.shape, x.dtype) if input_gradient else None
        if x.size and (input_gradient or grads):
            grid = len(x), self.num_features, x.size // (len(x) * self.num_features)
            _core.batch_norm_backward(
                dy.reshape(grid),
                x.reshape(grid),
                weight,
                mean,
                variance,
                None if dx is None else dx.reshape(grid),
                grads.get("weight"),
                grads.get("bias"),
                self.eps,
                batch_statistics,
            )
        self.grads.clear()
        self.grads.update(grads)
        return dx

    def _compute_dtype(self) -> np.dtype[Any]:
        return _checks.float_dtype(self.params["weight"].dtype) if "weight" in self.params else self._dtype

    def _parameter(self, name: str, dtype: DTypeLike) -> Array | None:
        return self._vector(self.params, name, dtype) if name in self.params else None

    def _vector(self, arrays: dict[str, Array], name: str, dtype: DTypeLike) -> Array:
        """A number for each channel: whatever array was put in the place of the layer's own."""
        vector = contiguous(_checks.floats(arrays[name], name, np.dtype(dtype)))
        _checks.same_shape(vector, (self.num_features,), name)
        return vector

    def _track(self, running: tuple[Array, ...], batch: tuple[Array, Array], values: int) -> None:
        """Move the running statistics towards those of a batch, to the mean over all batches without a momentum."""
        batches = self.buffers["num_batches_tracked"] + 1
        share = 1 / float(batches) if self.momentum is None else self.momentum
        if values:
            unbiased = 1.0, values / (values - 1)
            with np.errstate(all="ignore"):  # a batch may be infinite
                for name, old, new, factor in zip(_RUNNING, running, batch, unbiased, strict=True):
                    self.buffers[name][...] = share * factor * new + (1 - share) * old
        self.buffers["num_batches_tracked"][...] = batches

    def _arguments(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={'bias' in self.params}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of images [N, C, H, W]: each channel to mean 0 and variance 1, then scaled and shifted.

    ``y = (x - mean) / sqrt(variance + eps) * weight + bias``. In training mean and (biased) variance are those of the
    batch, and the running statistics move towards its mean and unbiased variance; in inference they are the running
    statistics. Sums run in double precision about the mean: a large mean takes nothing from the variance.

    Parameters
    ----------
    num_features : int
        Channels C.
    eps : float
        Added to the variance, at least 0.
    momentum : float or None
        Share of a batch in the running statistics; None takes the plain mean over all batches.
    affine : bool
        Whether there are a weight and a bias.
    track_running_stats : bool
        Whether there are running statistics; without them, those of the batch are used in inference too.
    bias : bool
        Whether there is a bias beside the weight.
    dtype : dtype
        Of parameters and statistics, and so of all the layer computes: float32, which None is too, or float64. Inputs
        are converted.

    Attributes
    ----------
    params : dict
        "weight" [C], ones at first, and "bias" [C], zeros.
    buffers : dict
        "running_mean" [C], "running_var" [C], and "num_batches_tracked", an int64 of no dimension.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; an input of another shape; in training, one value a channel.

    References
    ----------
    S. Ioffe, C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate
    Shift", ICML 2015, arXiv:1502.03167.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.BatchNorm2d(3)
    >>> x = np.random.default_rng(0).normal(5, 2, size=(8, 3, 6, 6))
    >>> y = layer(x)
    >>> [round(float(y[:, c].std()), 3) for c in range(3)]
    [1.0, 1.0, 1.0]
    >>> layer.buffers["running_mean"].round(1)
    array([0.5, 0.5, 0.5], dtype=float32)
    >>> layer.eval()(x).shape
    (8, 3, 6, 6)
    """

    _shapes = {4: "[N, C, H, W]"}


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of features [N, C] or sequences [N, C, L]; all else as `BatchNorm2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.BatchNorm1d(1, eps=0)(np.array([[1.0], [3.0]]))
    array([[-1.],
           [ 1.]], dtype=float32)
    """

    _shapes = {2: "[N, C]", 3: "[N, C, L]"}


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of volumes [N, C, D, H, W]; all else as `BatchNorm2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.BatchNorm3d(4)(np.ones((2, 4, 3, 3, 3))).shape
    (2, 4, 3, 3, 3)
    """

    _shapes = {5: "[N, C, D, H, W]"}

"""The functions: ``torch.nn.functional``'s names, arguments and rules on NumPy arrays, computed by the engine.

``layout``, ``out``, ``algorithm`` and ``activation`` are fastconv's own and keyword-only.
"""

from .._convolution import PackedWeight
from .adaptive_pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
)
from .convolution import conv1d, conv2d, conv3d, local_conv2d
from .pooling import avg_pool1d, avg_pool2d, avg_pool3d, max_pool1d, max_pool2d, max_pool3d
from .transposed_convolution import conv_transpose1d, conv_transpose2d, conv_transpose3d
from .unfolding import fold, unfold
from .unpooling import max_unpool1d, max_unpool2d, max_unpool3d

__all__ = [
    "PackedWeight",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "fold",
    "local_conv2d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
    "unfold",
]

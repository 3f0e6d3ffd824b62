"""The gradients: for every function ``f`` of fastconv ``f_backward``, and ``torch.nn.grad``'s functions.

``f_backward(grad_output, input, ..., options of f)`` returns the gradients of ``f``'s floating arrays in their order.
"""

from .adaptive_pooling import (
    adaptive_avg_pool1d_backward,
    adaptive_avg_pool2d_backward,
    adaptive_avg_pool3d_backward,
    adaptive_max_pool1d_backward,
    adaptive_max_pool2d_backward,
    adaptive_max_pool3d_backward,
)
from .convolution import (
    conv1d_backward,
    conv1d_input,
    conv1d_weight,
    conv2d_backward,
    conv2d_input,
    conv2d_weight,
    conv3d_backward,
    conv3d_input,
    conv3d_weight,
    local_conv2d_backward,
)
from .pooling import (
    avg_pool1d_backward,
    avg_pool2d_backward,
    avg_pool3d_backward,
    max_pool1d_backward,
    max_pool2d_backward,
    max_pool3d_backward,
)
from .transposed_convolution import conv_transpose1d_backward, conv_transpose2d_backward, conv_transpose3d_backward
from .unfolding import fold_backward, unfold_backward
from .unpooling import max_unpool1d_backward, max_unpool2d_backward, max_unpool3d_backward

__all__ = [
    "adaptive_avg_pool1d_backward",
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool3d_backward",
    "adaptive_max_pool1d_backward",
    "adaptive_max_pool2d_backward",
    "adaptive_max_pool3d_backward",
    "avg_pool1d_backward",
    "avg_pool2d_backward",
    "avg_pool3d_backward",
    "conv1d_backward",
    "conv1d_input",
    "conv1d_weight",
    "conv2d_backward",
    "conv2d_input",
    "conv2d_weight",
    "conv3d_backward",
    "conv3d_input",
    "conv3d_weight",
    "conv_transpose1d_backward",
    "conv_transpose2d_backward",
    "conv_transpose3d_backward",
    "fold_backward",
    "local_conv2d_backward",
    "max_pool1d_backward",
    "max_pool2d_backward",
    "max_pool3d_backward",
    "max_unpool1d_backward",
    "max_unpool2d_backward",
    "max_unpool3d_backward",
    "unfold_backward",
]

"""The specification of fastconv in plain NumPy: slow, obviously right, and the same names and signatures.

One convolution, written out (one group; ``o`` a position in the output, ``t`` a tap of the kernel, both with one entry
a spatial dimension)::

    output[n, k, o] = bias[k] + sum over c and t of padded[n, c, o * stride + t * dilation] * weight[k, c, t]

A transposed convolution takes every one of these products the other way, from ``o`` to the cell; a local one has a
weight for each ``o``; a pool takes the maximum or the mean of the same windows, and unfolding copies them out. Each is
written once, for any number of dimensions: the loop runs over the taps of the kernel, and for one tap, all positions of
the output meet a strided slice of the padded input. Sums are in float64; the result has the dtype that NumPy promotes
the arguments to.

The rules are PyTorch's. Beyond it: a (before, after) pair of padding for each dimension, ``layout``, ``out`` and
``activation``. The gradients of ``fastconv.grad`` stand here too. There is no ``algorithm``: this is the one.
"""

from ._arguments import named
from ._convolution import (
    conv_transposend,
    conv_transposend_backward,
    convnd,
    convnd_backward,
    convnd_input,
    convnd_weight,
)
from ._convolution import local_conv2d as local_conv2d
from ._convolution import local_conv2d_backward as local_conv2d_backward
from ._pooling import (
    adaptive_avg_poolnd,
    adaptive_avg_poolnd_backward,
    adaptive_max_poolnd,
    adaptive_max_poolnd_backward,
    avg_poolnd,
    avg_poolnd_backward,
    max_poolnd,
    max_poolnd_backward,
    max_unpoolnd,
    max_unpoolnd_backward,
)
from ._pooling import avg_pool1d as avg_pool1d
from ._pooling import avg_pool1d_backward as avg_pool1d_backward
from ._unfold import fold as fold
from ._unfold import fold_backward as fold_backward
from ._unfold import unfold as unfold
from ._unfold import unfold_backward as unfold_backward

conv1d, conv2d, conv3d = named(convnd, 1), named(convnd, 2), named(convnd, 3)
conv1d_backward, conv2d_backward = named(convnd_backward, 1), named(convnd_backward, 2)
conv3d_backward = named(convnd_backward, 3)
conv1d_input, conv2d_input, conv3d_input = named(convnd_input, 1), named(convnd_input, 2), named(convnd_input, 3)
conv1d_weight, conv2d_weight, conv3d_weight = named(convnd_weight, 1), named(convnd_weight, 2), named(convnd_weight, 3)

conv_transpose1d, conv_transpose2d = named(conv_transposend, 1), named(conv_transposend, 2)
conv_transpose3d = named(conv_transposend, 3)
conv_transpose1d_backward = named(conv_transposend_backward, 1)
conv_transpose2d_backward = named(conv_transposend_backward, 2)
conv_transpose3d_backward = named(conv_transposend_backward, 3)

max_pool1d, max_pool2d, max_pool3d = named(max_poolnd, 1), named(max_poolnd, 2), named(max_poolnd, 3)
max_pool1d_backward, max_pool2d_backward = named(max_poolnd_backward, 1), named(max_poolnd_backward, 2)
max_pool3d_backward = named(max_poolnd_backward, 3)

avg_pool2d, avg_pool3d = named(avg_poolnd, 2), named(avg_poolnd, 3)
avg_pool2d_backward, avg_pool3d_backward = named(avg_poolnd_backward, 2), named(avg_poolnd_backward, 3)

adaptive_max_pool1d, adaptive_max_pool2d = named(adaptive_max_poolnd, 1), named(adaptive_max_poolnd, 2)
adaptive_max_pool3d = named(adaptive_max_poolnd, 3)
adaptive_max_pool1d_backward = named(adaptive_max_poolnd_backward, 1)
adaptive_max_pool2d_backward = named(adaptive_max_poolnd_backward, 2)
adaptive_max_pool3d_backward = named(adaptive_max_poolnd_backward, 3)

adaptive_avg_pool1d, adaptive_avg_pool2d = named(adaptive_avg_poolnd, 1), named(adaptive_avg_poolnd, 2)
adaptive_avg_pool3d = named(adaptive_avg_poolnd, 3)
adaptive_avg_pool1d_backward = named(adaptive_avg_poolnd_backward, 1)
adaptive_avg_pool2d_backward = named(adaptive_avg_poolnd_backward, 2)
adaptive_avg_pool3d_backward = named(adaptive_avg_poolnd_backward, 3)

max_unpool1d, max_unpool2d, max_unpool3d = named(max_unpoolnd, 1), named(max_unpoolnd, 2), named(max_unpoolnd, 3)
max_unpool1d_backward, max_unpool2d_backward = named(max_unpoolnd_backward, 1), named(max_unpoolnd_backward, 2)
max_unpool3d_backward = named(max_unpoolnd_backward, 3)

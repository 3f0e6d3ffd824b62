# What layers run that is neither a convolution nor a pool: csrc/elementwise.c, norm.c and resample.c.

def leaky_relu(sign, x, out, double slope):
    """out = x where sign > 0, slope * x elsewhere; out may be either."""
    cdef Array signs = Array(sign), from_ = Array(x), to = Array(out, True)
    cdef int threads = fc_threads()
    with nogil:
        fc_leaky_relu(to.dtype(), slope, to.count(), signs.view.buf, from_.view.buf, to.view.buf, threads)


def dropout(x, out, uint64_t key, uint64_t limit, double scale):
    """out = x times 0 with a probability of limit / 2**32, times scale otherwise; the key makes the choice."""
    cdef Array from_ = Array(x), to = Array(out, True)
    cdef int threads = fc_threads()
    with nogil:
        fc_dropout(to.dtype(), key, limit, scale, to.count(), from_.view.buf, to.view.buf, threads)


def softmax_backward(y, grad_output, out):
    """The gradient of softmax by its input, from its output y [outer, classes, inner]."""
    cdef Array from_ = Array(y), dy = Array(grad_output), to = Array(out, True)
    cdef Py_ssize_t *shape = from_.view.shape
    cdef int threads = fc_threads()
    with nogil:
        fc_softmax_backward(to.dtype(), shape[0], shape[1], shape[2], from_.view.buf, dy.view.buf, to.view.buf, threads)


cdef void fill_norm(fc_norm *norm, Array x, Array weight, Array bias, Array mean, Array variance, double eps, bint training):
    norm.dtype = x.dtype()
    norm.outer = x.view.shape[0]
    norm.channels = x.view.shape[1]
    norm.inner = x.view.shape[2]
    norm.epsilon = eps
    norm.weight = weight.view.buf
    norm.bias = bias.view.buf
    norm.mean = <double *>mean.view.buf
    norm.variance = <double *>variance.view.buf
    norm.training = training


def batch_norm(x, weight, bias, mean, variance, out, double eps, bint training):
    """out = (x - mean) / sqrt(variance + eps) * weight + bias, for each channel of x [outer, channels, inner].

    mean, variance: float64; in training they are written, with those of the batch.  weight, bias: None for ones and zeros.
    """
    cdef Array from_ = Array(x), w = Array(weight), b = Array(bias), m = Array(mean, training), v = Array(variance, training)
    cdef Array to = Array(out, True)
    cdef fc_norm norm
    fill_norm(&norm, from_, w, b, m, v, eps, training)
    cdef int threads = fc_threads()
    cdef fc_status status
    with nogil:
        status = fc_norm_forward(&norm, from_.view.buf, to.view.buf, threads)
    if status == FC_NO_MEMORY:
        raise MemoryError("no memory for the moments of a batch")


def batch_norm_backward(grad_output, x, weight, mean, variance, grad_input, grad_weight, grad_bias, double eps, bint training):
    """The gradients of batch_norm; those that are None are not computed."""
    cdef Array dy = Array(grad_output), from_ = Array(x), w = Array(weight), m = Array(mean), v = Array(variance)
    cdef Array dx = Array(grad_input, True), dw = Array(grad_weight, True), db = Array(grad_bias, True), none = Array(None)
    cdef fc_norm norm
    fill_norm(&norm, from_, w, none, m, v, eps, training)
    cdef int threads = fc_threads()
    cdef fc_status status
    with nogil:
        status = fc_norm_backward(&norm, dy.view.buf, from_.view.buf, dx.view.buf, dw.view.buf, db.view.buf, threads)
    if status == FC_NO_MEMORY:
        raise MemoryError("no memory for the sums of a batch")


def resample(x, out, tuple tables):
    """out [planes, depth, height, width]: along each of the three axes of x, sums by that axis's (count, index, weight).

    count int64 [size], index int64 and weight [taps, size]: output o is the sum of its first count[o] taps' weight[t, o] *
    x[index[t, o]].
    """
    cdef Array from_ = Array(x), to = Array(out, True), count, index, weight
    cdef list held = []
    cdef fc_resample problem
    cdef int d
    problem.dtype = to.dtype()
    problem.planes = from_.view.shape[0]
    for d in range(3):
        count, index, weight = (Array(table) for table in tables[d])
        held.append((count, index, weight))
        problem.in_size[d] = from_.view.shape[d + 1]
        problem.out_size[d] = to.view.shape[d + 1]
        problem.count[d] = <const int64_t *>count.view.buf
        problem.index[d] = <const int64_t *>index.view.buf
        problem.weight[d] = weight.view.buf
        problem.taps[d] = index.view.shape[0]
    cdef int threads = fc_threads()
    cdef fc_status status
    with nogil:
        status = fc_resample_planes(&problem, from_.view.buf, to.view.buf, threads)
    if status == FC_NO_MEMORY:
        raise MemoryError("no memory for the rows of a resampling")

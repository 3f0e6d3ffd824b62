# What networks run beside convolutions: csrc/elementwise.c.  All arrays of a call have one dtype.

cdef dict ACTIVATIONS = {"relu": FC_RELU, "relu6": FC_RELU6, "silu": FC_SILU, "sigmoid": FC_SIGMOID, "tanh": FC_TANH}


def activate(str kind, x, out):
    """out = f(x); out may be x."""
    cdef Array from_ = Array(x), to = Array(out, True)
    cdef fc_activation code = ACTIVATIONS[kind]
    cdef int threads = fc_threads()
    with nogil:
        fc_activate(to.dtype(), code, to.count(), from_.view.buf, to.view.buf, threads)


def activate_backward(str kind, x, grad_output, out):
    """out = f'(x) * grad_output; out may be either."""
    cdef Array from_ = Array(x), dy = Array(grad_output), to = Array(out, True)
    cdef fc_activation code = ACTIVATIONS[kind]
    cdef int threads = fc_threads()
    with nogil:
        fc_activate_backward(to.dtype(), code, to.count(), from_.view.buf, dy.view.buf, to.view.buf, threads)


def softmax(x, out):
    """Over the middle axis of [outer, classes, inner]."""
    cdef Array from_ = Array(x), to = Array(out, True)
    cdef Py_ssize_t *shape = from_.view.shape
    cdef int threads = fc_threads()
    with nogil:
        fc_softmax(to.dtype(), shape[0], shape[1], shape[2], from_.view.buf, to.view.buf, threads)


def channel_sum(x, out):
    """Over the outer and inner axes of [outer, channels, inner]."""
    cdef Array from_ = Array(x), to = Array(out, True)
    cdef Py_ssize_t *shape = from_.view.shape
    cdef int threads = fc_threads()
    with nogil:
        fc_channel_sum(to.dtype(), shape[0], shape[1], shape[2], from_.view.buf, to.view.buf, threads)


def sgd_step(param, grad, velocity, double lr, double momentum, bint nesterov, double weight_decay):
    """One step of stochastic gradient descent in place; velocity: None without momentum."""
    cdef Array p = Array(param, True), g = Array(grad), v = Array(velocity, True)
    cdef fc_sgd rule = fc_sgd(lr, momentum, weight_decay, nesterov)
    cdef int threads = fc_threads()
    with nogil:
        fc_sgd_step(p.dtype(), &rule, p.count(), p.view.buf, g.view.buf, v.view.buf, threads)


def adam_step(param, grad, mean, square, double lr, double beta1, double beta2, double eps, double weight_decay,
              bint decoupled, int64_t step):
    """One step of Adam (decoupled: AdamW) in place; step counts from 1."""
    cdef Array p = Array(param, True), g = Array(grad), m = Array(mean, True), s = Array(square, True)
    cdef fc_adam rule = fc_adam(lr, beta1, beta2, eps, weight_decay, decoupled, step)
    cdef int threads = fc_threads()
    with nogil:
        fc_adam_step(p.dtype(), &rule, p.count(), p.view.buf, g.view.buf, m.view.buf, s.view.buf, threads)

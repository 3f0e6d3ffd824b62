# Where branches meet, and losses: csrc/branches.c and csrc/loss.c.  The floats of a call have one dtype.

from libc.stdlib cimport free, malloc


def sum_arrays(list parts, out, str activation=None):
    """out = f(parts[0] + parts[1] + ...); out may be one of them."""
    cdef list arrays = [Array(part) for part in parts]
    cdef Array to = Array(out, True)
    cdef int64_t i, count = len(arrays)
    cdef fc_activation code = FC_IDENTITY if activation is None else ACTIVATIONS[activation]
    cdef int threads = fc_threads()
    cdef const void **pointers = <const void **>malloc(count * sizeof(void *))
    if pointers == NULL:
        raise MemoryError("no memory for the pointers of a sum")
    for i in range(count):
        pointers[i] = (<Array>arrays[i]).view.buf
    with nogil:
        fc_sum_arrays(to.dtype(), code, count, pointers, to.count(), to.view.buf, threads)
    free(pointers)


def copy_columns(source, int64_t source_first, target, int64_t target_first, int64_t columns):
    """target[:, target_first : target_first + columns] = source[:, source_first : source_first + columns]"""
    cdef Array from_ = Array(source), to = Array(target, True)
    cdef int64_t element = from_.view.itemsize
    cdef int64_t source_pitch = from_.view.shape[1] * element, target_pitch = to.view.shape[1] * element
    cdef int threads = fc_threads()
    with nogil:
        fc_copy_rows(from_.view.shape[0], columns * element, <const char *>from_.view.buf + source_first * element,
                     source_pitch, <char *>to.view.buf + target_first * element, target_pitch, threads)


def cross_entropy(x, target, weight, grad, double label_smoothing, int64_t ignore_index, double scale):
    """(The sum of the losses of the items, how many have their class right); grad is that of the sum times scale.

    x, grad [outer, classes, inner]; target int64 [outer, inner] in range or ignored, or probabilities as x; weight: None
    or float64 [classes].
    """
    cdef Array from_ = Array(x), wanted = Array(target), weights = Array(weight), to = Array(grad, True)
    cdef Py_ssize_t *shape = from_.view.shape
    cdef int threads = fc_threads()
    cdef fc_cross_entropy loss
    cdef fc_loss_sum sum_
    cdef fc_status status
    loss.classes = shape[1]
    loss.scores = from_.view.buf
    loss.targets = <const int64_t *>wanted.view.buf if wanted.view.ndim == 2 else NULL
    loss.probabilities = wanted.view.buf if wanted.view.ndim == 3 else NULL
    loss.weights = <const double *>weights.view.buf
    loss.smoothing = label_smoothing
    loss.scale = scale
    loss.ignored = ignore_index
    loss.gradient = to.view.buf
    with nogil:
        status = fc_cross_entropy_run(to.dtype(), shape[0], shape[2], &loss, &sum_, threads)
    if status == FC_NO_MEMORY:
        raise MemoryError("no memory for the losses of a batch")
    return sum_.loss, sum_.right


def sum_targets(target, int64_t classes, int64_t ignore_index, weight):
    """(Sum of the weights of the int64 targets that are not ignored, their number, where the first lies that is no class or -1)."""
    cdef Array wanted = Array(target), weights = Array(weight)
    cdef int threads = fc_threads()
    cdef fc_target_sum sum_
    cdef fc_status status
    with nogil:
        status = fc_sum_targets(wanted.view.len // 8, <const int64_t *>wanted.view.buf, classes, ignore_index,
                                <const double *>weights.view.buf, &sum_, threads)
    if status == FC_NO_MEMORY:
        raise MemoryError("no memory for the targets of a batch")
    return sum_.weight, sum_.count, sum_.wrong


def squared_error(x, target, grad, double scale):
    """The sum of (x - target)^2; grad = (x - target) * scale."""
    cdef Array from_ = Array(x), wanted = Array(target), to = Array(grad, True)
    cdef int threads = fc_threads()
    cdef double total
    cdef fc_status status
    with nogil:
        status = fc_squared_error(to.dtype(), to.count(), from_.view.buf, wanted.view.buf, to.view.buf, scale, &total, threads)
    if status == FC_NO_MEMORY:
        raise MemoryError("no memory for the losses of a batch")
    return total

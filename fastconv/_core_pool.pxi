# Pools: csrc/pool.c.

cdef void fill_pool(fc_pool *problem, int kind, Array input, Array output, tuple options):
    cdef tuple kernel = <tuple>options[0]
    cdef bint channels_last = options[4]
    cdef int dimensions = len(kernel)
    problem.dtype = output.dtype()
    problem.layout = FC_CHANNELS_LAST if channels_last else FC_CHANNELS_FIRST
    problem.kind = <fc_pooling>kind
    problem.batch = input.view.shape[0]
    problem.channels = input.view.shape[dimensions + 1 if channels_last else 1]
    spatial(problem.in_size, input.view.shape + (1 if channels_last else 2), dimensions)
    spatial(problem.out_size, output.view.shape + (1 if channels_last else 2), dimensions)
    option(problem.kernel, kernel, 1)
    option(problem.stride, <tuple>options[1], 1)
    option(problem.padding, <tuple>options[2], 0)
    option(problem.dilation, <tuple>options[3], 1)
    problem.adaptive = options[5]
    problem.count_padding = options[6]
    problem.divisor = options[7]


cdef int check_room(fc_status status) except -1:
    if status == FC_NO_MEMORY:
        raise MemoryError("no memory for the workspace of a pool")
    return 0


def pool(int kind, input, output, indices, tuple options):
    """Pool; kind 0 is the maximum, 1 the average.  indices: None or int64 of the output's shape.

    options: kernel, stride, padding, dilation, channels last, adaptive, count padding, divisor (0: none).
    """
    cdef Array x = Array(input), y = Array(output, True), winners = Array(indices, True)
    cdef fc_pool problem
    fill_pool(&problem, kind, x, y, options)
    cdef int threads = fc_threads()
    cdef fc_status status
    with nogil:
        status = fc_pool_forward(&problem, x.view.buf, y.view.buf, <int64_t *>winners.view.buf, threads)
    check_room(status)


def pool_backward(int kind, grad_output, input, indices, grad_input, tuple options):
    """The gradient of pool.  input and indices: None where they are not needed.

    Returns whether all indices were in the plane, or -1.
    """
    cdef Array dy = Array(grad_output), x = Array(input), winners = Array(indices), dx = Array(grad_input, True)
    cdef fc_pool problem
    fill_pool(&problem, kind, dx, dy, options)
    cdef int threads = fc_threads()
    cdef fc_status status
    with nogil:
        status = fc_pool_backward(&problem, dy.view.buf, x.view.buf, <const int64_t *>winners.view.buf, dx.view.buf, threads)
    check_room(status)
    return status != FC_OUTSIDE


def indices_inside(indices, int64_t least, int64_t end):
    """Whether least <= index < end for every index; int64."""
    cdef Array places = Array(indices)
    cdef int threads = fc_threads()
    cdef int inside
    with nogil:
        inside = fc_indices_inside(places.view.len // 8, <const int64_t *>places.view.buf, least, end, threads)
    return bool(inside)


def unpool(bint backward, input, indices, output, tuple options):
    """Every element of the input at its index in the output, or, backward, from there.

    Returns whether all indices were in the output's plane.
    """
    cdef Array x = Array(input, backward), places = Array(indices), y = Array(output, not backward)
    cdef fc_pool problem
    fill_pool(&problem, 0, x, y, options)
    cdef int threads = fc_threads()
    cdef fc_status status
    with nogil:
        status = fc_unpool(&problem, backward, x.view.buf, <const int64_t *>places.view.buf, y.view.buf, threads)
    return status != FC_OUTSIDE

# Windows made whole, and layers whose weights belong to the position: csrc/unfold.c and csrc/local.c.

cdef void fill_windows(fc_conv *problem, Array image, tuple kernel, tuple out_size, int64_t out_channels, tuple geometry):
    cdef int d, dimensions = len(kernel)
    cdef bint channels_last = geometry[4]
    problem.dtype = image.dtype()
    problem.layout = FC_CHANNELS_LAST if channels_last else FC_CHANNELS_FIRST
    problem.batch = image.view.shape[0]
    problem.groups = 1
    problem.in_channels = image.view.shape[dimensions + 1 if channels_last else 1]
    problem.out_channels = out_channels
    spatial(problem.in_size, image.view.shape + (1 if channels_last else 2), dimensions)
    option(problem.kernel, kernel, 1)
    option(problem.out_size, out_size, 1)
    option(problem.stride, <tuple>geometry[0], 1)
    option(problem.padding, <tuple>geometry[1], 0)
    option(problem.dilation, <tuple>geometry[2], 1)


def unfold(image, columns, tuple kernel, tuple out_size, tuple geometry):
    """columns = the windows of image; geometry as of convolve."""
    cdef Array x = Array(image), y = Array(columns, True)
    cdef fc_conv problem
    fill_windows(&problem, x, kernel, out_size, 1, geometry)
    cdef int threads = fc_threads()
    with nogil:
        fc_unfold(&problem, x.view.buf, y.view.buf, threads)


def fold(columns, image, tuple kernel, tuple out_size, tuple geometry):
    """image = the sum of its windows; geometry as of convolve."""
    cdef Array x = Array(columns), y = Array(image, True)
    cdef fc_conv problem
    fill_windows(&problem, y, kernel, out_size, 1, geometry)
    cdef int threads = fc_threads()
    with nogil:
        fc_fold(&problem, x.view.buf, y.view.buf, threads)


def local(int pass_, input, weight, output, bias, tuple kernel, tuple out_size, tuple geometry, int activation):
    """Run one pass of a locally connected layer; the array of that pass's result is written."""
    cdef Array x = Array(input, pass_ == FC_INPUT_GRADIENT), w = Array(weight, pass_ == FC_WEIGHT_GRADIENT)
    cdef Array y = Array(output, pass_ == FC_FORWARD), b = Array(bias)
    cdef fc_conv problem
    cdef fc_operands operands
    fill_windows(&problem, x, kernel, out_size, w.view.shape[1], geometry)
    operands.input = x.view.buf
    operands.weight = w.view.buf
    operands.output = y.view.buf
    operands.bias = b.view.buf
    operands.addend = NULL
    operands.packed = NULL
    operands.activation = <fc_activation>activation
    cdef int threads = fc_threads()
    cdef fc_status status
    with nogil:
        status = fc_local_run(&problem, <fc_pass>pass_, &operands, threads)
    if status == FC_NO_MEMORY:
        raise MemoryError("no memory for the windows of a locally connected layer")


def local_workspace(int pass_, input, weight, tuple kernel, tuple out_size, tuple geometry):
    """Bytes that the pass of a locally connected layer takes beside its arrays."""
    cdef Array x = Array(input), w = Array(weight)
    cdef fc_conv problem
    fill_windows(&problem, x, kernel, out_size, w.view.shape[1], geometry)
    return fc_local_workspace(&problem, <fc_pass>pass_, fc_threads())

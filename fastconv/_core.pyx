# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""The only binding: NumPy arrays, already checked, to the structs of csrc/fastconv.h, one call each without the GIL.

Arrays come as C-contiguous, aligned, native float32 or float64 of the same dtype; what can fail by the user's fault has been
refused by then.  A status becomes an exception.
"""
from libc.stdint cimport int64_t, uint64_t
from cpython.bytes cimport PyBytes_AS_STRING
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer)

cdef extern from *:
    """
    #if defined(__clang__)
    #define FC_COMPILER "clang " __clang_version__
    #elif defined(__GNUC__)
    #define FC_COMPILER "gcc " __VERSION__
    #else
    #define FC_COMPILER "unknown"
    #endif
    typedef __int128 wide;
    """
    const char *FC_COMPILER
    ctypedef long long wide  # 128 bits


cdef class Block:
    """Memory from the recycling pool, given back when the last array over it is gone."""

    cdef void *memory
    cdef size_t size

    def __cinit__(self, size_t size):
        self.size = size
        self.memory = fc_acquire(size)
        if self.memory == NULL:
            raise MemoryError(f"cannot allocate {size} bytes")

    def __dealloc__(self):
        fc_release(self.memory, self.size)

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.memory, <Py_ssize_t>self.size, 0, flags)


cdef class Array:
    """The buffer of one array for the time of a call; of None, NULL."""

    cdef Py_buffer view
    cdef bint held

    def __cinit__(self, array, bint writeable=False):
        self.view.buf = NULL
        if array is not None:
            PyObject_GetBuffer(array, &self.view, PyBUF_C_CONTIGUOUS | (PyBUF_WRITABLE if writeable else 0))
            self.held = True

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)

    cdef inline fc_dtype dtype(self) noexcept nogil:
        return FC_FLOAT32 if self.view.itemsize == 4 else FC_FLOAT64

    cdef inline int64_t count(self) noexcept nogil:
        return self.view.len // (4 if self.view.itemsize == 4 else 8)


cdef inline const char *text(bytes value) noexcept:
    """Of the object, which must live on; NULL for None."""
    return NULL if value is None else PyBytes_AS_STRING(value)


cdef inline void spatial(int64_t *target, const Py_ssize_t *sizes, int dimensions) noexcept:
    """Three sizes from one to three, ones in front."""
    cdef int d
    for d in range(3):
        target[d] = sizes[d - 3 + dimensions] if d >= 3 - dimensions else 1


cdef inline void option(int64_t *target, tuple values, int64_t missing):
    cdef int d, dimensions = len(values)
    for d in range(3):
        target[d] = values[d - 3 + dimensions] if d >= 3 - dimensions else missing


cdef void fill_conv(fc_conv *problem, fc_dtype dtype, const Py_ssize_t *input, const Py_ssize_t *weight,
                    const Py_ssize_t *output, tuple geometry):
    cdef tuple stride = <tuple>geometry[0]
    cdef bint channels_last = geometry[4]
    cdef int dimensions = len(stride)
    problem.dtype = dtype
    problem.layout = FC_CHANNELS_LAST if channels_last else FC_CHANNELS_FIRST
    problem.batch = input[0]
    problem.groups = geometry[3]
    problem.in_channels = input[dimensions + 1 if channels_last else 1]
    problem.out_channels = weight[0]
    spatial(problem.in_size, input + (1 if channels_last else 2), dimensions)
    spatial(problem.kernel, weight + 2, dimensions)
    spatial(problem.out_size, output + (1 if channels_last else 2), dimensions)
    option(problem.stride, stride, 1)
    option(problem.dilation, <tuple>geometry[2], 1)
    option(problem.padding, <tuple>geometry[1], 0)


def convolve(int pass_, input, weight, output, bias, tuple geometry, bytes algorithm, int activation, dict packed_forms,
             addend=None):
    """Run one pass of a convolution; the array of that pass's result is written.

    geometry: stride, padding before, dilation, groups, channels last.  algorithm: None to choose.  packed_forms: the packed forms of the weight by algorithm, kept by PackedWeight.
    addend: None, or of a forward pass, as the output: added before the activation.
    The algorithm has been asked before whether it can.
    """
    cdef Array x = Array(input, pass_ == FC_INPUT_GRADIENT), w = Array(weight, pass_ == FC_WEIGHT_GRADIENT)
    cdef Array y = Array(output, pass_ == FC_FORWARD), b = Array(bias), more = Array(addend), form
    cdef fc_conv problem
    cdef fc_plan plan
    cdef fc_operands operands
    cdef const char *name = text(algorithm)
    cdef const char *reason
    cdef fc_status status
    cdef int threads = fc_threads()
    fill_conv(&problem, x.dtype(), x.view.shape, w.view.shape, y.view.shape, geometry)
    if fc_plan_make(&plan, &problem, <fc_pass>pass_, name, &reason) != FC_OK:
        raise ValueError(reason.decode())
    operands.input = x.view.buf
    operands.weight = w.view.buf
    operands.output = y.view.buf
    operands.bias = b.view.buf
    operands.addend = more.view.buf
    operands.packed = NULL
    operands.activation = <fc_activation>activation
    if packed_forms is not None and plan.packed_bytes:
        key = (pass_, fc_plan_algorithm(&plan), fc_isa_current(), problem.groups, problem.layout, x.view.itemsize,
               plan.problem.layout, plan.problem.in_channels,  # of the problem's simplest form
               None if pass_ == FC_FORWARD else (geometry[0], geometry[2]))  # stride and dilation: see algorithm.h
        block = packed_forms.get(key)
        if block is None:
            block = Block(plan.packed_bytes)
            form = Array(block, True)
            with nogil:
                fc_plan_pack(&plan, operands.weight, form.view.buf, threads)
            packed_forms[key] = block
        form = Array(block)
        operands.packed = form.view.buf
    with nogil:
        status = fc_plan_run(&plan, &operands, threads)
    if status == FC_NO_MEMORY:
        raise MemoryError("no memory for the workspace of a convolution")


def conv_out_size(tuple size, tuple kernel, tuple stride, tuple before, tuple after, tuple dilation, int64_t largest_plane):
    """The output's spatial sizes; None where a kernel does not fit or the padded input has more than largest_plane elements.

    Sizes are any of 63 bits, options of 31.
    """
    cdef Py_ssize_t d, dimensions = len(size)
    cdef wide padded, room, plane = 1
    cdef tuple result = ()
    for d in range(dimensions):
        padded = <wide><int64_t>size[d] + <int64_t>before[d] + <int64_t>after[d]
        room = padded - <wide><int64_t>dilation[d] * (<int64_t>kernel[d] - 1) - 1
        plane *= padded
        if room < 0 or plane > largest_plane:
            return None
        result += (<int64_t>room // <int64_t>stride[d] + 1,)
    return result


cdef void fill_shapes(fc_conv *problem, int itemsize, tuple input, tuple weight, tuple output, tuple geometry):
    cdef Py_ssize_t shapes[15]
    cdef int i, length = len(input)
    for i in range(length):
        shapes[i] = input[i]
        shapes[5 + i] = weight[i]
        shapes[10 + i] = output[i]
    fill_conv(problem, FC_FLOAT32 if itemsize == 4 else FC_FLOAT64, shapes, shapes + 5, shapes + 10, geometry)


def candidates(int pass_, int itemsize, tuple input, tuple weight, tuple output, tuple geometry):
    """[(name, cost in ns or None, reason or None), ...] of shapes with a batch."""
    cdef fc_conv problem
    cdef const char *reason
    cdef double cost
    cdef int i
    fill_shapes(&problem, itemsize, input, weight, output, geometry)
    said = []
    for i in range(fc_algorithm_count()):
        reason = fc_algorithm_candidate(i, &problem, <fc_pass>pass_, &cost)
        said.append((fc_algorithm_name(i).decode(), None if reason else cost, reason.decode() if reason else None))
    return said


def chosen(int pass_, int itemsize, tuple input, tuple weight, tuple output, tuple geometry, bytes algorithm):
    """(algorithm, workspace bytes) of shapes with a batch; the algorithm has been asked before whether it can."""
    cdef fc_conv problem
    cdef fc_plan plan
    cdef const char *reason
    fill_shapes(&problem, itemsize, input, weight, output, geometry)
    if fc_plan_make(&plan, &problem, <fc_pass>pass_, text(algorithm), &reason) != FC_OK:
        raise ValueError(reason.decode())
    return fc_plan_algorithm(&plan).decode(), fc_plan_workspace(&plan, fc_threads()) + plan.packed_bytes


include "_core_pool.pxi"
include "_core_windows.pxi"
include "_core_elementwise.pxi"
include "_core_layers.pxi"
include "_core_losses.pxi"
include "_core_runtime.pxi"

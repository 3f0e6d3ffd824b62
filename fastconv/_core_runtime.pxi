# The process: instruction sets, algorithms, threads, memory.

cdef bytes preferred_algorithm  # kept alive for C


def compiler():
    return FC_COMPILER.decode().strip()


def openmp():
    cdef const char *name = fc_openmp()
    return None if name == NULL else name.decode()


def openmp_processors():
    return fc_openmp_processors()


def algorithms():
    return tuple(fc_algorithm_name(i).decode() for i in range(fc_algorithm_count()))


def prefer_algorithm(str name):
    global preferred_algorithm
    preferred_algorithm = None if name is None else name.encode()
    fc_prefer_algorithm(text(preferred_algorithm))


def set_verbose(bint verbose):
    fc_set_verbose(verbose)


def built_isas():
    return tuple(fc_isa_name(i).decode() for i in range(fc_isa_count()))


def available_isas():
    return tuple(fc_isa_name(i).decode() for i in range(fc_isa_count()) if fc_isa_available(i))


def isa():
    return fc_isa_current().decode()


def use_isa(str name):
    """Use an instruction set, the best one for None.  Returns whether this build and this CPU have it."""
    cdef bytes encoded = None if name is None else name.encode()
    return fc_isa_use(text(encoded)) == FC_OK


def measure_peak(str dtype, int threads):
    """Fused multiply-adds out of registers, in GFLOP/s."""
    cdef fc_dtype kind = FC_FLOAT32 if dtype == "float32" else FC_FLOAT64
    cdef double peak
    with nogil:
        peak = fc_measure_peak(kind, threads)
    return peak


def set_threads(int threads):
    fc_set_threads(threads)


def set_threads_here(int threads):
    """Of calls from this thread; 0: those of the process.  Returns what it was."""
    cdef int before = fc_threads_here()
    fc_set_threads_here(threads)
    return before


def set_thread_limit(int threads):
    fc_set_thread_limit(threads)


def threads():
    return fc_threads()


def set_cache_limit(size_t size):
    fc_set_cache_limit(size)


def cache_limit():
    return fc_cache_limit()


def cache_bytes():
    return fc_cache_bytes()


def empty_cache():
    fc_empty_cache()

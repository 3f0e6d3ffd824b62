# The C interface, csrc/fastconv.h, as far as _core.pyx uses it.

from libc.stdint cimport int64_t, uint64_t

cdef extern from "fastconv.h" nogil:
    ctypedef enum fc_status: FC_OK, FC_NO_MEMORY, FC_UNSUPPORTED, FC_OUTSIDE
    ctypedef enum fc_dtype: FC_FLOAT32, FC_FLOAT64
    ctypedef enum fc_layout: FC_CHANNELS_FIRST, FC_CHANNELS_LAST
    ctypedef enum fc_pass: FC_FORWARD, FC_INPUT_GRADIENT, FC_WEIGHT_GRADIENT
    ctypedef enum fc_activation: FC_IDENTITY, FC_RELU, FC_RELU6, FC_SILU, FC_SIGMOID, FC_TANH
    ctypedef enum fc_pooling: FC_MAX_POOL, FC_AVERAGE_POOL
    ctypedef struct fc_conv:
        fc_dtype dtype
        fc_layout layout
        int64_t batch, groups, in_channels, out_channels
        int64_t in_size[3]
        int64_t kernel[3]
        int64_t out_size[3]
        int64_t stride[3]
        int64_t dilation[3]
        int64_t padding[3]
    ctypedef struct fc_pool:
        fc_dtype dtype
        fc_layout layout
        fc_pooling kind
        int64_t batch, channels
        int64_t in_size[3]
        int64_t kernel[3]
        int64_t out_size[3]
        int64_t stride[3]
        int64_t dilation[3]
        int64_t padding[3]
        int adaptive
        int count_padding
        int64_t divisor
    ctypedef struct fc_operands:
        void *input
        void *weight
        void *output
        const void *bias
        const void *addend
        const void *packed
        fc_activation activation
    ctypedef struct fc_plan:
        fc_conv problem
        size_t packed_bytes
    ctypedef struct fc_sgd:
        double learning_rate, momentum, weight_decay
        int nesterov
    ctypedef struct fc_adam:
        double learning_rate, beta1, beta2, epsilon, weight_decay
        int decoupled
        int64_t step
    ctypedef struct fc_norm:
        fc_dtype dtype
        int64_t outer, channels, inner
        double epsilon
        const void *weight
        const void *bias
        double *mean
        double *variance
        int training
    ctypedef struct fc_resample:
        fc_dtype dtype
        int64_t planes
        int64_t in_size[3]
        int64_t out_size[3]
        const int64_t *count[3]
        const int64_t *index[3]
        const void *weight[3]
        int64_t taps[3]
    ctypedef struct fc_cross_entropy:
        int64_t classes
        const void *scores
        const void *probabilities
        const int64_t *targets
        const double *weights
        double smoothing, scale
        int64_t ignored
        void *gradient
    ctypedef struct fc_loss_sum:
        double loss
        int64_t right
    ctypedef struct fc_target_sum:
        double weight
        int64_t count, wrong
    fc_status fc_plan_make(fc_plan *, const fc_conv *, fc_pass, const char *algorithm, const char **reason)
    fc_status fc_plan_run(const fc_plan *, const fc_operands *, int threads)
    fc_status fc_plan_pack(const fc_plan *, const void *weight, void *packed, int threads)
    size_t fc_plan_workspace(const fc_plan *, int threads)
    const char *fc_plan_algorithm(const fc_plan *)
    int fc_algorithm_count()
    const char *fc_algorithm_name(int)
    const char *fc_algorithm_candidate(int, const fc_conv *, fc_pass, double *cost)
    void fc_prefer_algorithm(const char *)
    void fc_set_verbose(int)
    fc_status fc_pool_forward(const fc_pool *, const void *, void *, int64_t *, int threads)
    fc_status fc_pool_backward(const fc_pool *, const void *, const void *, const int64_t *, void *, int threads)
    int fc_indices_inside(int64_t count, const int64_t *, int64_t least, int64_t end, int threads)
    fc_status fc_unpool(const fc_pool *, int backward, void *, const int64_t *, void *, int threads)
    void fc_unfold(const fc_conv *, const void *image, void *columns, int threads)
    void fc_fold(const fc_conv *, const void *columns, void *image, int threads)
    size_t fc_local_workspace(const fc_conv *, fc_pass, int threads)
    fc_status fc_local_run(const fc_conv *, fc_pass, const fc_operands *, int threads)
    void fc_activate(fc_dtype, fc_activation, int64_t count, const void *, void *, int threads)
    void fc_activate_backward(fc_dtype, fc_activation, int64_t count, const void *, const void *, void *, int threads)
    void fc_leaky_relu(fc_dtype, double slope, int64_t count, const void *, const void *, void *, int threads)
    void fc_dropout(fc_dtype, uint64_t key, uint64_t limit, double scale, int64_t count, const void *, void *, int threads)
    void fc_softmax(fc_dtype, int64_t, int64_t, int64_t, const void *, void *, int threads)
    void fc_softmax_backward(fc_dtype, int64_t, int64_t, int64_t, const void *, const void *, void *, int threads)
    fc_status fc_norm_forward(const fc_norm *, const void *, void *, int threads)
    fc_status fc_norm_backward(const fc_norm *, const void *, const void *, void *, void *, void *, int threads)
    fc_status fc_resample_planes(const fc_resample *, const void *, void *, int threads)
    void fc_channel_sum(fc_dtype, int64_t, int64_t, int64_t, const void *, void *, int threads)
    void fc_sgd_step(fc_dtype, const fc_sgd *, int64_t, void *, const void *, void *, int threads)
    void fc_adam_step(fc_dtype, const fc_adam *, int64_t, void *, const void *, void *, void *, int threads)
    void fc_sum_arrays(fc_dtype, fc_activation, int64_t parts, const void *const *, int64_t count, void *, int threads)
    void fc_copy_rows(int64_t rows, int64_t bytes, const void *, int64_t, void *, int64_t, int threads)
    fc_status fc_cross_entropy_run(fc_dtype, int64_t outer, int64_t inner, fc_cross_entropy *, fc_loss_sum *, int threads)
    fc_status fc_sum_targets(int64_t count, const int64_t *, int64_t classes, int64_t ignored, const double *weights,
                             fc_target_sum *, int threads)
    fc_status fc_squared_error(fc_dtype, int64_t count, const void *, const void *, void *, double scale, double *sum,
                               int threads)
    int fc_isa_count()
    const char *fc_isa_name(int)
    int fc_isa_available(int)
    const char *fc_isa_current()
    fc_status fc_isa_use(const char *)
    double fc_measure_peak(fc_dtype, int threads)
    const char *fc_openmp()
    int fc_openmp_processors()
    void fc_set_threads(int)
    void fc_set_threads_here(int)
    int fc_threads_here()
    void fc_set_thread_limit(int)
    int fc_threads()
    void *fc_acquire(size_t)
    void fc_release(void *, size_t)
    void fc_set_cache_limit(size_t)
    size_t fc_cache_limit()
    size_t fc_cache_bytes()
    void fc_empty_cache()

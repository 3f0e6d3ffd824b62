/* fastconv: convolution and pooling on plain memory, the C interface (usable without Python).
 *
 * A problem (fc_conv, fc_pool) is pure numbers.  fc_plan_make turns a problem and a pass into a plan: an algorithm, an
 * instruction set and a workspace size.  fc_plan_run carries it out.  Every problem has three spatial dimensions, depth,
 * height and width; 1-D and 2-D problems have ones in front.
 *
 * Tensors are contiguous and aligned to their element:
 *   channels first   input [batch, in_channels, depth, height, width]   output [batch, out_channels, ...]
 *   channels last    input [batch, depth, height, width, in_channels]   output [batch, ..., out_channels]
 *   either           weight [out_channels, in_channels / groups, depth, height, width]   bias [out_channels]
 *
 * The caller guarantees valid problems: every size at least 1 (a batch of 0 never arrives here), groups dividing both
 * channel counts, and no product of sizes that overflows.  Functions that can fail say so by their fc_status. */
#ifndef FASTCONV_H
#define FASTCONV_H

#include <stddef.h>
#include <stdint.h>

typedef enum { FC_OK, FC_NO_MEMORY, FC_UNSUPPORTED, FC_OUTSIDE } fc_status;
typedef enum { FC_FLOAT32, FC_FLOAT64 } fc_dtype;
typedef enum { FC_CHANNELS_FIRST, FC_CHANNELS_LAST } fc_layout;
typedef enum { FC_FORWARD, FC_INPUT_GRADIENT, FC_WEIGHT_GRADIENT } fc_pass;
typedef enum { FC_IDENTITY, FC_RELU, FC_RELU6, FC_SILU, FC_SIGMOID, FC_TANH } fc_activation;
typedef enum { FC_MAX_POOL, FC_AVERAGE_POOL } fc_pooling;

/* A convolution: output[o] = sum over taps t of input[o * stride + t * dilation - padding] * weight[t]. */
typedef struct {
    fc_dtype dtype;
    fc_layout layout;
    int64_t batch, groups, in_channels, out_channels;
    int64_t in_size[3], kernel[3], out_size[3];
    int64_t stride[3], dilation[3];
    int64_t padding[3]; /* before; what lies after follows from out_size */
} fc_conv;

/* A pooling; each of `planes` = batch * channels is pooled by itself.  An adaptive one has the windows that its sizes give,
 * [floor(o * in / out), ceil((o + 1) * in / out)), and no kernel, stride, dilation or padding. */
typedef struct {
    fc_dtype dtype;
    fc_layout layout;
    fc_pooling kind;
    int64_t batch, channels;
    int64_t in_size[3], kernel[3], out_size[3];
    int64_t stride[3], dilation[3], padding[3];
    int adaptive;
    int count_padding; /* average: padding counts in the divisor */
    int64_t divisor;   /* average: 0, or the divisor to use throughout */
} fc_pool;

/* The tensors of a call.  The pass decides which of input, weight and output is written.  A transposed convolution is an input
 * gradient with a bias and an activation. */
typedef struct {
    void *input, *weight, *output;
    const void *bias;   /* NULL, or of the channels that are written: forward, input gradient */
    const void *addend; /* NULL, or laid out as the output, apart from it: added before the activation: forward */
    const void *packed; /* NULL, or what fc_plan_pack made of the weight: forward, input gradient */
    fc_activation activation;
} fc_operands;

struct fc_algo;
struct fc_isa;

typedef struct {
    fc_conv given, problem; /* what was asked for, and the same in its simplest form */
    fc_pass pass;
    const struct fc_algo *algorithm;
    const struct fc_isa *isa;
    double cost;         /* estimated nanoseconds of one thread */
    size_t packed_bytes; /* of the weight in the algorithm's own form; 0: read as it is */
} fc_plan;

/* ---- convolution: plan.c ---- */

/* Chooses the cheapest algorithm, or takes the one named.  On FC_UNSUPPORTED *reason says why (a static string). */
fc_status fc_plan_make(fc_plan *plan, const fc_conv *problem, fc_pass pass, const char *algorithm, const char **reason);
fc_status fc_plan_run(const fc_plan *plan, const fc_operands *operands, int threads);
size_t fc_plan_workspace(const fc_plan *plan, int threads);
fc_status fc_plan_pack(const fc_plan *plan, const void *weight, void *packed, int threads);
const char *fc_plan_algorithm(const fc_plan *plan);

/* Taken by plans that name no algorithm, where it can do the problem; NULL: none. */
void fc_prefer_algorithm(const char *algorithm);

int fc_algorithm_count(void);
const char *fc_algorithm_name(int index);
/* NULL and the estimated nanoseconds of one thread in *cost, or the reason for a no. */
const char *fc_algorithm_candidate(int index, const fc_conv *problem, fc_pass pass, double *cost);

/* ---- pooling: pool.c ---- */

/* indices: NULL or int64 of the output's shape, flat within the input plane; -1 for a window without an element. */
fc_status fc_pool_forward(const fc_pool *problem, const void *input, void *output, int64_t *indices, int threads);
/* input (max without indices), indices: as they are needed.  FC_OUTSIDE: some indices are neither in the plane nor -1, and were
 * passed over. */
fc_status fc_pool_backward(const fc_pool *problem, const void *grad_output, const void *input, const int64_t *indices,
                           void *grad_input, int threads);

/* Whether every index is at least `least` and below `end`. */
int fc_indices_inside(int64_t count, const int64_t *indices, int64_t least, int64_t end, int threads);
/* Max unpooling: each element of the input at its index in the output's plane, zeros elsewhere; of several the last.  Only the
 * sizes of the problem count.  `backward`: from the output to the input, the gradient.  FC_OUTSIDE: some indices are not in the
 * plane, and were passed over. */
fc_status fc_unpool(const fc_pool *problem, int backward, void *input, const int64_t *indices, void *output, int threads);

/* ---- windows: unfold.c, local.c ---- */

/* image [batch, in_channels, in_size...], columns [batch, in_channels * kernel, outputs] or, channels last,
 * [batch, outputs, in_channels * kernel].  Of the problem, groups and out_channels do not count. */
void fc_unfold(const fc_conv *problem, const void *image, void *columns, int threads);
void fc_fold(const fc_conv *problem, const void *columns, void *image, int threads);
/* A locally connected layer: weight [outputs, out_channels, in_channels * kernel], bias [out_channels, outputs]; groups 1. */
size_t fc_local_workspace(const fc_conv *problem, fc_pass pass, int threads);
fc_status fc_local_run(const fc_conv *problem, fc_pass pass, const fc_operands *operands, int threads);

/* ---- report.c ---- */

/* A line a call of a convolution, a pooling or another function of this page on stderr. */
void fc_set_verbose(int verbose);

/* ---- what networks run: elementwise.c ---- */

void fc_activate(fc_dtype dtype, fc_activation kind, int64_t count, const void *x, void *y, int threads);
/* grad_input = f'(x) * grad_output */
void fc_activate_backward(fc_dtype dtype, fc_activation kind, int64_t count, const void *x, const void *grad_output,
                          void *grad_input, int threads);
/* y = x where sign > 0, slope * x elsewhere: forward sign is x, backward x is the output's gradient. */
void fc_leaky_relu(fc_dtype dtype, double slope, int64_t count, const void *sign, const void *x, void *y, int threads);
/* Each x times 0 with a probability of limit / 2^32, times scale otherwise; the choice is a function of key and place. */
void fc_dropout(fc_dtype dtype, uint64_t key, uint64_t limit, double scale, int64_t count, const void *x, void *y, int threads);
/* x, y [outer, classes, inner] */
void fc_softmax(fc_dtype dtype, int64_t outer, int64_t classes, int64_t inner, const void *x, void *y, int threads);
/* y: of fc_softmax */
void fc_softmax_backward(fc_dtype dtype, int64_t outer, int64_t classes, int64_t inner, const void *y, const void *grad_output,
                         void *grad_input, int threads);
/* x [outer, channels, inner] summed over outer and inner */
void fc_channel_sum(fc_dtype dtype, int64_t outer, int64_t channels, int64_t inner, const void *x, void *sum, int threads);

typedef struct {
    double learning_rate, momentum, weight_decay;
    int nesterov;
} fc_sgd;
typedef struct {
    double learning_rate, beta1, beta2, epsilon, weight_decay;
    int decoupled;   /* AdamW */
    int64_t step;    /* from 1 */
} fc_adam;
void fc_sgd_step(fc_dtype dtype, const fc_sgd *rule, int64_t count, void *parameter, const void *gradient, void *velocity,
                 int threads);
void fc_adam_step(fc_dtype dtype, const fc_adam *rule, int64_t count, void *parameter, const void *gradient, void *mean,
                  void *square, int threads);

/* ---- batch normalisation: norm.c ---- */

/* x [outer, channels, inner], more than one value a channel in training */
typedef struct {
    fc_dtype dtype;
    int64_t outer, channels, inner;
    double epsilon;
    const void *weight, *bias; /* [channels]; NULL: ones, zeros */
    double *mean, *variance;   /* [channels] of the batch, biased: forward in training writes them; of inference: given */
    int training;
} fc_norm;

/* y = (x - mean) / sqrt(variance + epsilon) * weight + bias */
fc_status fc_norm_forward(const fc_norm *norm, const void *x, void *y, int threads);
/* Each gradient may be NULL; x is read where it is needed: in training, or for the weight. */
fc_status fc_norm_backward(const fc_norm *norm, const void *grad_output, const void *x, void *grad_input, void *grad_weight,
                           void *grad_bias, int threads);

/* ---- resampling: resample.c ---- */

/* Output o of dimension d is the sum of weight[d][t][o] * x[index[d][t][o]] over t < count[d][o], for each dimension in turn;
 * planes [depth, height, width]. */
typedef struct {
    fc_dtype dtype;
    int64_t planes, in_size[3], out_size[3];
    const int64_t *count[3]; /* [out_size] */
    const int64_t *index[3]; /* [taps][out_size], all of them within in_size */
    const void *weight[3];   /* [taps][out_size] */
    int64_t taps[3];         /* the largest count */
} fc_resample;

fc_status fc_resample_planes(const fc_resample *problem, const void *x, void *y, int threads);

/* ---- where branches meet: branches.c ---- */

/* y = f(x[0] + x[1] + ...), in this order; y may be one of them. */
void fc_sum_arrays(fc_dtype dtype, fc_activation kind, int64_t parts, const void *const *x, int64_t count, void *y, int threads);
/* Rows of `bytes`, which lie `pitch` bytes apart. */
void fc_copy_rows(int64_t rows, int64_t bytes, const void *source, int64_t source_pitch, void *target, int64_t target_pitch,
                  int threads);

/* ---- losses: loss.c ---- */

/* The softmax cross entropy of items: their target is a class, or a distribution over classes.  The distribution q of an item
 * is (1 - smoothing) of its target and `smoothing` of the even one, each class times its weight. */
typedef struct {
    int64_t classes;
    int64_t item_stride, class_stride; /* of scores, probabilities and gradient; set by fc_cross_entropy_run */
    const void *scores, *probabilities; /* probabilities: NULL, or as the scores */
    const int64_t *targets;             /* NULL, or from 0 to classes - 1, or `ignored`: no loss */
    const double *weights;              /* NULL: ones, or [classes] */
    double smoothing, scale;
    int64_t ignored;
    void *gradient; /* of the loss times scale, by the scores */
} fc_cross_entropy;
typedef struct {
    double loss;
    int64_t right; /* items whose target's class has the highest score, the first of equals */
} fc_loss_sum;
typedef struct {
    double weight; /* of the targets that are not ignored */
    int64_t count;
    int64_t wrong; /* where the first lies that is no class, or -1 */
} fc_target_sum;
/* scores [outer, classes, inner], targets [outer, inner] */
fc_status fc_cross_entropy_run(fc_dtype dtype, int64_t outer, int64_t inner, fc_cross_entropy *loss, fc_loss_sum *sum, int threads);
fc_status fc_sum_targets(int64_t count, const int64_t *targets, int64_t classes, int64_t ignored, const double *weights,
                         fc_target_sum *sum, int threads);
/* *sum = the sum of (x - target)^2;  gradient = (x - target) * scale */
fc_status fc_squared_error(fc_dtype dtype, int64_t count, const void *x, const void *target, void *gradient, double scale,
                           double *sum, int threads);

/* ---- instruction sets: isa/isa.c ---- */

int fc_isa_count(void); /* built */
const char *fc_isa_name(int index);
int fc_isa_available(int index); /* this CPU and system can run it */
const char *fc_isa_current(void);
fc_status fc_isa_use(const char *name); /* NULL: the best available */
double fc_measure_peak(fc_dtype dtype, int threads); /* fused multiply-adds out of registers, GFLOP/s */

/* ---- threads: parallel.c ---- */

const char *fc_openmp(void);           /* the runtime; NULL: built without */
int fc_openmp_processors(void);        /* that it may use: more than this thread may where it bound it to its place */
void fc_set_threads(int threads);      /* of the process; 0: OpenMP's maximum, up to the limit */
void fc_set_threads_here(int threads); /* of calls from this thread; 0: those of the process */
int fc_threads_here(void);
void fc_set_thread_limit(int threads); /* processors that this process may use */
int fc_threads(void);

/* ---- memory: memory.c ---- */

/* Aligned memory; blocks of 1 MB and more are recycled through a bounded pool.  NULL when there is none. */
void *fc_acquire(size_t bytes);
void fc_release(void *block, size_t bytes);
/* Counts what others keep, up to half of the limit; bytes may be negative.  Returns whether there is room. */
int fc_reserve(int64_t bytes);
void fc_set_cache_limit(size_t bytes);
size_t fc_cache_limit(void);
size_t fc_cache_bytes(void);
void fc_empty_cache(void);

#endif

/* What a network runs beside its convolutions: the kernels of isa/elementwise.inc over blocks of elements, in parallel.
 * Blocks are fixed and results do not cross them, so the bits do not depend on the threads. */
#include "geometry.h"
#include "isa/isa.h"
#include "parallel.h"

enum { BLOCK = 16384 }; /* elements of a task: 64 KB of float32 */

typedef struct {
    const fc_kernels *kernels;
    int64_t element, count;
    fc_activation kind;
    const void *rule;
    const char *x, *gradient;
    char *y, *mean, *square;
    int64_t classes, inner, channels, columns;
    double scale;
    uint64_t key, limit;
} elementwise_job;

static elementwise_job make_job(fc_dtype dtype, int64_t count)
{
    return (elementwise_job){.kernels = fc_isa_chosen()->kernels[dtype], .element = (int64_t)fc_element_bytes(dtype),
                             .count = count};
}

static void run_blocks(elementwise_job *job, fc_task task, int threads)
{
    fc_parallel_for(fc_divide_up(job->count, BLOCK), threads, task, job);
}

static int64_t block_count(const elementwise_job *job, int64_t task) { return fc_smaller(BLOCK, job->count - task * BLOCK); }

static void activate_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const elementwise_job *job = context;
    const int64_t offset = task * BLOCK * job->element;
    job->kernels->activate(job->kind, block_count(job, task), job->x + offset, job->y + offset);
}

void fc_activate(fc_dtype dtype, fc_activation kind, int64_t count, const void *x, void *y, int threads)
{
    elementwise_job job = make_job(dtype, count);
    job.kind = kind;
    job.x = x;
    job.y = y;
    run_blocks(&job, activate_task, threads);
}

static void activate_backward_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const elementwise_job *job = context;
    const int64_t offset = task * BLOCK * job->element;
    job->kernels->activate_backward(job->kind, block_count(job, task), job->x + offset, job->gradient + offset,
                                    job->y + offset);
}

void fc_activate_backward(fc_dtype dtype, fc_activation kind, int64_t count, const void *x, const void *grad_output,
                          void *grad_input, int threads)
{
    elementwise_job job = make_job(dtype, count);
    job.kind = kind;
    job.x = x;
    job.gradient = grad_output;
    job.y = grad_input;
    run_blocks(&job, activate_backward_task, threads);
}

static void leaky_relu_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const elementwise_job *job = context;
    const int64_t offset = task * BLOCK * job->element;
    job->kernels->leaky_relu(job->scale, block_count(job, task), job->x + offset, job->gradient + offset, job->y + offset);
}

void fc_leaky_relu(fc_dtype dtype, double slope, int64_t count, const void *sign, const void *x, void *y, int threads)
{
    elementwise_job job = make_job(dtype, count);
    job.scale = slope;
    job.x = sign;
    job.gradient = x;
    job.y = y;
    run_blocks(&job, leaky_relu_task, threads);
}

static void dropout_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const elementwise_job *job = context;
    const int64_t offset = task * BLOCK * job->element;
    job->kernels->dropout(job->key, job->limit, job->scale, task * BLOCK, block_count(job, task), job->x + offset,
                          job->y + offset);
}

void fc_dropout(fc_dtype dtype, uint64_t key, uint64_t limit, double scale, int64_t count, const void *x, void *y, int threads)
{
    elementwise_job job = make_job(dtype, count);
    job.key = key;
    job.limit = limit;
    job.scale = scale;
    job.x = x;
    job.y = y;
    run_blocks(&job, dropout_task, threads);
}

/* Of an item [classes, inner], a block of columns: whole lines of memory, about as many elements as any block. */
static void run_columns(elementwise_job *job, fc_task task, int threads)
{
    job->columns = fc_round_up(BLOCK / job->classes + 1, 64);
    const int64_t tasks = job->count / (job->classes * job->inner) * fc_divide_up(job->inner, job->columns);
    fc_parallel_for(tasks, job->count < BLOCK ? 1 : threads, task, job);
}

static int64_t first_column(const elementwise_job *job, int64_t task, int64_t *columns)
{
    const int64_t blocks = fc_divide_up(job->inner, job->columns), column = task % blocks * job->columns;
    *columns = fc_smaller(job->columns, job->inner - column);
    return (task / blocks * job->classes * job->inner + column) * job->element;
}

static void softmax_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const elementwise_job *job = context;
    int64_t columns;
    const int64_t offset = first_column(job, task, &columns);
    job->kernels->softmax(job->classes, job->inner, columns, job->x + offset, job->y + offset);
}

void fc_softmax(fc_dtype dtype, int64_t outer, int64_t classes, int64_t inner, const void *x, void *y, int threads)
{
    elementwise_job job = make_job(dtype, outer * classes * inner);
    job.classes = classes;
    job.inner = inner;
    job.x = x;
    job.y = y;
    run_columns(&job, softmax_task, threads);
}

static void softmax_backward_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const elementwise_job *job = context;
    int64_t columns;
    const int64_t offset = first_column(job, task, &columns);
    job->kernels->softmax_backward(job->classes, job->inner, columns, job->x + offset, job->gradient + offset, job->y + offset);
}

void fc_softmax_backward(fc_dtype dtype, int64_t outer, int64_t classes, int64_t inner, const void *y, const void *grad_output,
                         void *grad_input, int threads)
{
    elementwise_job job = make_job(dtype, outer * classes * inner);
    job.classes = classes;
    job.inner = inner;
    job.x = y;
    job.gradient = grad_output;
    job.y = grad_input;
    run_columns(&job, softmax_backward_task, threads);
}

/* A block of channels: over each image's rows, or down the columns of channels last. */
enum { CHANNEL_BLOCK = 16 };

static void channel_sum_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const elementwise_job *job = context;
    const int64_t first = task * CHANNEL_BLOCK, channels = fc_smaller(CHANNEL_BLOCK, job->channels - first);
    const int64_t outer = job->count / (job->channels * job->inner);
    if (job->inner == 1) {
        job->kernels->sum_columns(outer, job->channels, channels, job->x + first * job->element, job->y + first * job->element);
        return;
    }
    for (int64_t c = first; c < first + channels; c++)
        job->kernels->sum_planes(outer, job->channels * job->inner, job->inner, job->x + c * job->inner * job->element,
                                 job->y + c * job->element);
}

void fc_channel_sum(fc_dtype dtype, int64_t outer, int64_t channels, int64_t inner, const void *x, void *sum, int threads)
{
    elementwise_job job = make_job(dtype, outer * channels * inner);
    job.channels = channels;
    job.inner = inner;
    job.x = x;
    job.y = sum;
    fc_parallel_for(fc_divide_up(channels, CHANNEL_BLOCK), job.count < BLOCK ? 1 : threads,
                    channel_sum_task, &job);
}

static void sgd_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const elementwise_job *job = context;
    const int64_t offset = task * BLOCK * job->element;
    job->kernels->sgd(job->rule, block_count(job, task), job->y + offset, job->gradient + offset,
                      job->mean ? job->mean + offset : NULL);
}

void fc_sgd_step(fc_dtype dtype, const fc_sgd *rule, int64_t count, void *parameter, const void *gradient, void *velocity,
                 int threads)
{
    elementwise_job job = make_job(dtype, count);
    job.rule = rule;
    job.y = parameter;
    job.gradient = gradient;
    job.mean = velocity;
    run_blocks(&job, sgd_task, threads);
}

static void adam_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const elementwise_job *job = context;
    const int64_t offset = task * BLOCK * job->element;
    job->kernels->adam(job->rule, block_count(job, task), job->y + offset, job->gradient + offset, job->mean + offset,
                       job->square + offset);
}

void fc_adam_step(fc_dtype dtype, const fc_adam *rule, int64_t count, void *parameter, const void *gradient, void *mean,
                  void *square, int threads)
{
    elementwise_job job = make_job(dtype, count);
    job.rule = rule;
    job.y = parameter;
    job.gradient = gradient;
    job.mean = mean;
    job.square = square;
    run_blocks(&job, adam_task, threads);
}

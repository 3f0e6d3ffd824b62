/* Losses over whole batches: the kernels of isa/loss.inc over blocks of items, in parallel.  Blocks are cut by the problem, and
 * their sums are added in order, so the bits do not depend on the threads. */
#include "geometry.h"
#include "isa/isa.h"
#include "parallel.h"

enum { BLOCK = 16384 }; /* elements of a task: 64 KB of float32 */

typedef struct {
    const fc_kernels *kernels;
    int64_t element, items, block, blocks; /* items of an outer one, of a task; tasks of an outer one */
    const fc_cross_entropy *loss;
    fc_loss_sum *sums;
} cross_entropy_job;

/* An outer item is a matrix of scores, [classes, inner], whose columns are the items; where inner is 1 all of them are one
 * matrix [outer, classes], whose rows are the items. */
static void cross_entropy_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const cross_entropy_job *job = context;
    const int64_t outer = task / job->blocks, begin = task % job->blocks * job->block;
    const int64_t offset = outer * job->items * job->loss->classes * job->element;
    fc_cross_entropy part = *job->loss;
    part.scores = (const char *)part.scores + offset;
    part.gradient = (char *)part.gradient + offset;
    if (part.targets)
        part.targets += outer * job->items;
    else
        part.probabilities = (const char *)part.probabilities + offset;
    job->sums[task] = (fc_loss_sum){0, 0};
    job->kernels->cross_entropy(&part, begin, fc_smaller(begin + job->block, job->items), &job->sums[task]);
}

fc_status fc_cross_entropy_run(fc_dtype dtype, int64_t outer, int64_t inner, fc_cross_entropy *loss, fc_loss_sum *sum, int threads)
{
    const int in_rows = inner == 1;
    const int64_t items = in_rows ? outer : inner, matrices = in_rows ? 1 : outer;
    const int64_t block = BLOCK / loss->classes / 16 * 16 + 16; /* whole vectors */
    cross_entropy_job job = {.kernels = fc_isa_chosen()->kernels[dtype], .element = (int64_t)fc_element_bytes(dtype),
                             .items = items, .block = block, .blocks = fc_divide_up(items, block), .loss = loss};
    const int64_t tasks = matrices * job.blocks;
    const size_t bytes = (size_t)tasks * sizeof(fc_loss_sum);
    loss->item_stride = in_rows ? loss->classes : 1;
    loss->class_stride = in_rows ? 1 : inner;
    if (!(job.sums = fc_acquire(bytes)))
        return FC_NO_MEMORY;
    fc_parallel_for(tasks, threads, cross_entropy_task, &job);
    *sum = (fc_loss_sum){0, 0};
    for (int64_t i = 0; i < tasks; i++) {
        sum->loss += job.sums[i].loss;
        sum->right += job.sums[i].right;
    }
    fc_release(job.sums, bytes);
    return FC_OK;
}

typedef struct {
    int64_t count, classes, ignored;
    const int64_t *targets;
    const double *weights;
    fc_target_sum *sums;
} targets_job;

static void targets_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const targets_job *job = context;
    const int64_t begin = task * BLOCK, end = fc_smaller(begin + BLOCK, job->count);
    fc_target_sum sum = {0, 0, -1};
    for (int64_t i = begin; i < end; i++) {
        const int64_t target = job->targets[i];
        if (target == job->ignored)
            continue;
        if (target < 0 || target >= job->classes) {
            sum.wrong = i;
            break;
        }
        sum.count++;
        sum.weight += job->weights ? job->weights[target] : 1;
    }
    job->sums[task] = sum;
}

fc_status fc_sum_targets(int64_t count, const int64_t *targets, int64_t classes, int64_t ignored, const double *weights,
                         fc_target_sum *sum, int threads)
{
    const int64_t tasks = fc_divide_up(count, BLOCK);
    const size_t bytes = (size_t)tasks * sizeof(fc_target_sum);
    targets_job job = {.count = count, .classes = classes, .ignored = ignored, .targets = targets, .weights = weights};
    if (!(job.sums = fc_acquire(bytes)))
        return FC_NO_MEMORY;
    fc_parallel_for(tasks, threads, targets_task, &job);
    *sum = (fc_target_sum){0, 0, -1};
    for (int64_t i = 0; i < tasks; i++) {
        sum->weight += job.sums[i].weight;
        sum->count += job.sums[i].count;
        if (sum->wrong < 0)
            sum->wrong = job.sums[i].wrong;
    }
    fc_release(job.sums, bytes);
    return FC_OK;
}

typedef struct {
    const fc_kernels *kernels;
    int64_t element, count;
    const char *x, *target;
    char *gradient;
    double scale, *sums;
} squared_error_job;

static void squared_error_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const squared_error_job *job = context;
    const int64_t offset = task * BLOCK * job->element;
    job->sums[task] = job->kernels->squared_error(fc_smaller(BLOCK, job->count - task * BLOCK), job->x + offset,
                                                  job->target + offset, job->gradient + offset, job->scale);
}

fc_status fc_squared_error(fc_dtype dtype, int64_t count, const void *x, const void *target, void *gradient, double scale,
                           double *sum, int threads)
{
    const int64_t tasks = fc_divide_up(count, BLOCK);
    const size_t bytes = (size_t)tasks * sizeof(double);
    squared_error_job job = {.kernels = fc_isa_chosen()->kernels[dtype], .element = (int64_t)fc_element_bytes(dtype),
                             .count = count, .x = x, .target = target, .gradient = gradient, .scale = scale};
    if (!(job.sums = fc_acquire(bytes)))
        return FC_NO_MEMORY;
    fc_parallel_for(tasks, threads, squared_error_task, &job);
    *sum = 0;
    for (int64_t i = 0; i < tasks; i++)
        *sum += job.sums[i];
    fc_release(job.sums, bytes);
    return FC_OK;
}

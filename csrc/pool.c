/* Pooling: images and blocks of channels in parallel, each by the row kernels of isa/pool.inc. */
#include "geometry.h"
#include "isa/isa.h"
#include "parallel.h"
#include "report.h"

enum { CHANNEL_BLOCK = 32, SERIAL_ELEMENTS = 20000 };

typedef struct {
    const fc_pool *problem;
    const fc_kernels *kernels;
    const void *grad_output, *input;
    const int64_t *indices;
    int64_t *winners;
    void *target;
    int64_t blocks;
    char *rows; /* of values and of indices, for each thread */
    size_t row_bytes;
} pool_job;

static int useful_threads(const fc_pool *p, int threads)
{
    const int64_t elements = p->batch * p->channels * (fc_volume(p->in_size) + fc_volume(p->out_size));
    return elements < SERIAL_ELEMENTS || fc_after_fork() ? 1 : threads;
}

/* A plane each in channels first; in channels last whole lines of memory. */
static pool_job make_job(const fc_pool *p)
{
    pool_job job = {.problem = p, .kernels = fc_isa_chosen()->kernels[p->dtype]};
    job.blocks = p->layout == FC_CHANNELS_FIRST ? p->channels : fc_divide_up(p->channels, CHANNEL_BLOCK);
    const int64_t cells = p->out_size[2] * fc_cell_pitch(p->layout, p->channels) + (p->adaptive ? p->in_size[2] : 0);
    job.row_bytes = 2 * (size_t)fc_round_up(cells * 8, 128); /* values, then indices of 8 bytes */
    return job;
}

static void forward_task(void *context, int64_t task, int thread)
{
    const pool_job *job = context;
    const int64_t block = task % job->blocks, channels = job->problem->channels;
    char *row = job->rows + (size_t)thread * job->row_bytes;
    job->kernels->pool_forward(job->problem, job->input, job->target, job->winners, task / job->blocks,
                               channels * block / job->blocks, channels * (block + 1) / job->blocks, row,
                               (int64_t *)(row + job->row_bytes / 2));
}

fc_status fc_pool_forward(const fc_pool *problem, const void *input, void *output, int64_t *indices, int threads)
{
    const double begin = fc_report_begin();
    threads = useful_threads(problem, threads);
    pool_job job = make_job(problem);
    job.input = input;
    job.target = output;
    job.winners = indices;
    const size_t bytes = problem->adaptive ? job.row_bytes * (size_t)threads : 0; /* others need no row */
    if (bytes && !(job.rows = fc_acquire(bytes)))
        return FC_NO_MEMORY;
    fc_parallel_for(problem->batch * job.blocks, threads, forward_task, &job);
    fc_release(job.rows, bytes);
    fc_report_pool(problem, "forward", threads, begin);
    return FC_OK;
}

static void backward_task(void *context, int64_t task, int thread)
{
    const pool_job *job = context;
    const int64_t block = task % job->blocks, channels = job->problem->channels;
    char *row = job->rows + (size_t)thread * job->row_bytes;
    job->kernels->pool_backward(job->problem, job->grad_output, job->input, job->indices, job->target, task / job->blocks,
                                channels * block / job->blocks, channels * (block + 1) / job->blocks, row,
                                (int64_t *)(row + job->row_bytes / 2));
}

fc_status fc_pool_backward(const fc_pool *problem, const void *grad_output, const void *input, const int64_t *indices,
                           void *grad_input, int threads)
{
    const double begin = fc_report_begin();
    threads = useful_threads(problem, threads);
    pool_job job = make_job(problem);
    job.grad_output = grad_output;
    job.input = input;
    job.indices = indices;
    job.target = grad_input;
    const size_t bytes = job.row_bytes * (size_t)threads;
    if (!(job.rows = fc_acquire(bytes)))
        return FC_NO_MEMORY;
    fc_parallel_for(problem->batch * job.blocks, threads, backward_task, &job);
    fc_release(job.rows, bytes);
    fc_report_pool(problem, "backward", threads, begin);
    return FC_OK;
}

static void unpool_forward_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const pool_job *job = context;
    const int64_t block = task % job->blocks, channels = job->problem->channels;
    job->kernels->unpool_forward(job->problem, job->input, job->indices, job->target, task / job->blocks,
                                 channels * block / job->blocks, channels * (block + 1) / job->blocks);
}

void fc_unpool_forward(const fc_pool *problem, const void *input, const int64_t *indices, void *output, int threads)
{
    const double begin = fc_report_begin();
    threads = useful_threads(problem, threads);
    pool_job job = make_job(problem);
    job.input = input;
    job.indices = indices;
    job.target = output;
    fc_parallel_for(problem->batch * job.blocks, threads, unpool_forward_task, &job);
    fc_report_unpool(problem, "forward", threads, begin);
}

static void unpool_backward_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const pool_job *job = context;
    const int64_t block = task % job->blocks, channels = job->problem->channels;
    job->kernels->unpool_backward(job->problem, job->grad_output, job->indices, job->target, task / job->blocks,
                                  channels * block / job->blocks, channels * (block + 1) / job->blocks);
}

void fc_unpool_backward(const fc_pool *problem, const void *grad_output, const int64_t *indices, void *grad_input,
                        int threads)
{
    const double begin = fc_report_begin();
    threads = useful_threads(problem, threads);
    pool_job job = make_job(problem);
    job.grad_output = grad_output;
    job.indices = indices;
    job.target = grad_input;
    fc_parallel_for(problem->batch * job.blocks, threads, unpool_backward_task, &job);
    fc_report_unpool(problem, "backward", threads, begin);
}

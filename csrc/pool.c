/* Pooling: images and blocks of channels in parallel, by the kernels of isa/max_pool.inc and isa/average_pool.inc. */
#include "geometry.h"
#include "isa/isa.h"
#include "parallel.h"
#include "report.h"

enum {
    CHANNEL_BLOCK = 32,      /* channels last: whole lines of memory */
    TASK_ELEMENTS = 1 << 13, /* channels first: planes of a task, for a task costs as much as a plane of 7x7 */
    SERIAL_ELEMENTS = 20000,
    VECTOR = 64,             /* elements of a vector, at most */
};

typedef struct {
    const fc_pool *problem;
    const fc_kernels *kernels;
    fc_pool_windows windows;
    const void *grad_output, *input;
    const int64_t *indices;
    int64_t *winners;
    void *target;
    int64_t blocks;
    char *memory, *rooms; /* the tables of the windows; a room for each thread */
    size_t table_bytes, room_bytes;
} pool_job;

static int useful_threads(const fc_pool *p, int threads)
{
    const int64_t elements = p->batch * p->channels * (fc_volume(p->in_size) + fc_volume(p->out_size));
    return elements < SERIAL_ELEMENTS || fc_after_fork() ? 1 : threads;
}

/* The window of an output along a dimension, and what it counts in the divisor: PyTorch's rules. */
static void find_window(const fc_pool *p, int d, int64_t o, int64_t *first, int64_t *last, double *count)
{
    const int64_t size = p->in_size[d], begin = o * p->stride[d] - p->padding[d], end = begin + p->kernel[d];
    if (p->adaptive) {
        *first = o * size / p->out_size[d];
        *last = fc_divide_up((o + 1) * size, p->out_size[d]);
    } else {
        *first = fc_smaller(fc_larger(begin, 0), size);
        *last = fc_larger(*first, fc_smaller(end, size));
    }
    if (p->divisor)
        *count = d == 0 ? (double)p->divisor : 1;
    else
        *count = (double)(p->count_padding ? fc_smaller(end, size + p->padding[d]) - begin : *last - *first);
}

static int64_t outputs_along_all(const fc_pool *p) { return p->out_size[0] + p->out_size[1] + p->out_size[2]; }

static pool_job make_job(const fc_pool *p)
{
    pool_job job = {.problem = p, .kernels = fc_isa_chosen()->kernels[p->dtype]};
    const int64_t plane = fc_volume(p->in_size) + fc_volume(p->out_size), width = p->out_size[2], in_width = p->in_size[2];
    const int64_t together = p->layout == FC_CHANNELS_FIRST ? fc_larger(1, TASK_ELEMENTS / plane) : CHANNEL_BLOCK;
    job.blocks = fc_divide_up(p->channels, together);
    fc_pool_windows *w = &job.windows;
    w->problem = p;
    if (p->kind == FC_AVERAGE_POOL) {
        w->sliding = !p->adaptive && p->stride[2] <= 2 && p->kernel[2] <= in_width;
        w->padding = w->sliding ? p->padding[2] : 0;
        w->line = fc_round_up(fc_larger(w->padding + in_width, 2 * width + (w->sliding ? p->kernel[2] : 0)), VECTOR) + 2 * VECTOR;
        w->row = fc_round_up(width, VECTOR) + VECTOR;
        w->margin = w->sliding ? p->kernel[2] - 1 : 0;
        w->span = fc_round_up(fc_larger(fc_larger(width, CHANNEL_BLOCK), w->padding + in_width), VECTOR) + 2 * VECTOR;
        job.room_bytes = (size_t)fc_round_up((w->line + w->row + w->margin + w->span) * 8, 128);
    } else {
        const int64_t cells = width * fc_cell_pitch(p->layout, p->channels) + (p->adaptive ? in_width : 0);
        job.room_bytes = 2 * (size_t)fc_round_up(cells * 8, 128); /* values, then places of 8 bytes */
    }
    if (p->kind == FC_AVERAGE_POOL || p->adaptive)
        job.table_bytes = (size_t)fc_round_up(3 * outputs_along_all(p) * 8, 128);
    return job;
}

static fc_status prepare(pool_job *job, int threads)
{
    const fc_pool *p = job->problem;
    if (!(job->memory = fc_acquire(job->table_bytes + job->room_bytes * (size_t)threads)))
        return FC_NO_MEMORY;
    job->rooms = job->memory + job->table_bytes;
    int64_t *table = (int64_t *)job->memory;
    for (int d = 0; job->table_bytes && d < 3; d++) {
        int64_t *first = table, *last = first + p->out_size[d];
        double *count = (double *)(last + p->out_size[d]);
        for (int64_t o = 0; o < p->out_size[d]; o++)
            find_window(p, d, o, &first[o], &last[o], &count[o]);
        job->windows.first[d] = first;
        job->windows.last[d] = last;
        job->windows.count[d] = count;
        table += 3 * p->out_size[d];
    }
    return FC_OK;
}

static void finish(const pool_job *job, int threads)
{
    fc_release(job->memory, job->table_bytes + job->room_bytes * (size_t)threads);
}

static void forward_task(void *context, int64_t task, int thread)
{
    const pool_job *job = context;
    const int64_t block = task % job->blocks, channels = job->problem->channels, image = task / job->blocks;
    const int64_t first = channels * block / job->blocks, last = channels * (block + 1) / job->blocks;
    char *room = job->rooms + (size_t)thread * job->room_bytes;
    if (job->problem->kind == FC_MAX_POOL)
        job->kernels->max_pool(&job->windows, job->input, job->target, job->winners, image, first, last, room,
                               (int64_t *)(room + job->room_bytes / 2));
    else
        job->kernels->average_pool(&job->windows, job->input, job->target, image, first, last, room);
}

fc_status fc_pool_forward(const fc_pool *problem, const void *input, void *output, int64_t *indices, int threads)
{
    const double begin = fc_report_begin();
    threads = useful_threads(problem, threads);
    pool_job job = make_job(problem);
    job.input = input;
    job.target = output;
    job.winners = indices;
    if (prepare(&job, threads) != FC_OK)
        return FC_NO_MEMORY;
    fc_parallel_for(problem->batch * job.blocks, threads, forward_task, &job);
    finish(&job, threads);
    fc_report_pool(problem, "forward", threads, begin);
    return FC_OK;
}

static void backward_task(void *context, int64_t task, int thread)
{
    const pool_job *job = context;
    const int64_t block = task % job->blocks, channels = job->problem->channels, image = task / job->blocks;
    const int64_t first = channels * block / job->blocks, last = channels * (block + 1) / job->blocks;
    char *room = job->rooms + (size_t)thread * job->room_bytes;
    if (job->problem->kind == FC_MAX_POOL)
        job->kernels->max_pool_backward(&job->windows, job->grad_output, job->input, job->indices, job->target, image, first,
                                        last, room, (int64_t *)(room + job->room_bytes / 2));
    else
        job->kernels->average_pool_backward(&job->windows, job->grad_output, job->target, image, first, last, room);
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
    if (prepare(&job, threads) != FC_OK)
        return FC_NO_MEMORY;
    fc_parallel_for(problem->batch * job.blocks, threads, backward_task, &job);
    finish(&job, threads);
    fc_report_pool(problem, "backward", threads, begin);
    return FC_OK;
}

/* ---- places ---- */

typedef struct {
    const fc_kernels *kernels;
    const int64_t *indices;
    int64_t count, least, end;
    int inside;
} inside_job;

enum { INSIDE_COUNT = 1 << 14 };

static void inside_task(void *context, int64_t task, int thread)
{
    (void)thread;
    inside_job *job = context;
    const int64_t first = task * INSIDE_COUNT, count = fc_smaller(INSIDE_COUNT, job->count - first);
    if (!job->kernels->all_inside(count, job->indices + first, job->least, job->end))
        __atomic_store_n(&job->inside, 0, __ATOMIC_RELAXED);
}

int fc_indices_inside(int64_t count, const int64_t *indices, int64_t least, int64_t end, int threads)
{
    inside_job job = {fc_isa_chosen()->kernels[FC_FLOAT32], indices, count, least, end, 1};
    threads = count < SERIAL_ELEMENTS || fc_after_fork() ? 1 : threads;
    fc_parallel_for(fc_divide_up(count, INSIDE_COUNT), threads, inside_task, &job);
    return job.inside;
}

/* ---- unpooling ---- */

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

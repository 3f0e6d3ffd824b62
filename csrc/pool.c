/* Pooling: images and blocks of channels in parallel, by the kernels of isa/max_pool.inc and isa/average_pool.inc. */
#include "geometry.h"
#include "isa/isa.h"
#include "parallel.h"
#include "report.h"

enum {
    CHANNEL_BLOCK = 32,      /* channels last: whole lines of memory */
    TASK_ELEMENTS = 1 << 13, /* channels first: planes of a task, for a task costs as much as a plane of 7x7 */
    SERIAL_ELEMENTS = 20000,
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
    int outside; /* an index was */
    char *memory, *rooms; /* the tables of the windows; a room for each thread */
    size_t table_bytes, room_bytes;
} pool_job;

static int useful_threads(const fc_pool *p, int threads)
{
    const int64_t elements = p->batch * p->channels * (fc_volume(p->in_size) + fc_volume(p->out_size));
    return elements < SERIAL_ELEMENTS ? 1 : threads;
}

/* How the averages of a row are made, and the room that it takes. */
static void plan_averages(pool_job *job, int backward)
{
    enum { STRETCH = 1024, WIDE = 64 };
    const fc_pool *p = job->problem;
    fc_pool_windows *w = &job->windows;
    if (fc_is_separable(p) && p->kernel[2] < WIDE && p->stride[2] <= 2 * p->kernel[2]) {
        const fc_pool_lines lines = backward ? fc_share_lines_of(p) : fc_lines_of(p);
        w->way = FC_SEPARABLE;
        job->room_bytes = (size_t)fc_round_up((lines.elements + lines.pitch + FC_POOL_VECTOR) * 8, 128);
        return;
    }
    const int64_t width = p->out_size[2], step = p->adaptive ? fc_divide_up(p->in_size[2], width) : p->stride[2];
    const int64_t window = p->adaptive ? step + 1 : fc_smaller(p->kernel[2], p->in_size[2]);
    w->way = window < WIDE && step <= 2 * window ? FC_CLOSE : FC_APART;
    w->stretch = fc_round_up(fc_smaller(width, STRETCH), FC_POOL_VECTOR);
    w->line = w->way == FC_APART ? 0 : (w->stretch + FC_POOL_VECTOR) * step + window + FC_POOL_VECTOR;
    /* windows and divisors; the line; shares */
    const int64_t cells = 2 * w->stretch + (w->stretch + FC_POOL_VECTOR) + w->line + w->stretch + FC_POOL_VECTOR;
    job->room_bytes = (size_t)fc_round_up(fc_larger(cells, CHANNEL_BLOCK) * 8, 128);
}

static pool_job make_job(const fc_pool *p)
{
    pool_job job = {.problem = p, .kernels = fc_isa_chosen()->kernels[p->dtype], .windows = {.problem = p}};
    const int64_t plane = fc_volume(p->in_size) + fc_volume(p->out_size);
    const int64_t together = p->layout == FC_CHANNELS_FIRST ? fc_larger(1, TASK_ELEMENTS / plane) : CHANNEL_BLOCK;
    job.blocks = fc_divide_up(p->channels, together);
    return job;
}

/* A maximum's: a row of inputs, where rows are folded, and of outputs, where the winners are looked for again; values, then
 * places, of 8 bytes each; of values alone no places. */
static size_t maxima_bytes(const fc_pool *p, int again, int alone)
{
    const int64_t outputs = again ? p->out_size[2] * fc_cell_pitch(p->layout, p->channels) : 0;
    int64_t inputs = p->adaptive && p->in_size[0] * p->in_size[1] > 1 ? p->in_size[2] : 0;
    if (alone && fc_is_separable(p))
        inputs = fc_divide_up(fc_lines_of(p).elements, 2);
    return 2 * (size_t)fc_round_up((outputs + inputs) * 8, 128);
}

/* A table for each dimension whose windows are asked for again and again. */
static int has_table(const fc_pool *p, int d)
{
    if (p->kind == FC_MAX_POOL)
        return p->adaptive;
    return d < 2 || p->layout == FC_CHANNELS_LAST || p->out_size[d] == 1;
}

static fc_status prepare(pool_job *job, int threads)
{
    const fc_pool *p = job->problem;
    for (int d = 0; d < 3; d++)
        job->table_bytes += has_table(p, d) ? (size_t)(3 * p->out_size[d]) * 8 : 0;
    job->table_bytes = (size_t)fc_round_up((int64_t)job->table_bytes, 128);
    const size_t bytes = job->table_bytes + job->room_bytes * (size_t)threads;
    if (bytes && !(job->memory = fc_acquire(bytes)))
        return FC_NO_MEMORY;
    job->rooms = job->memory + job->table_bytes;
    int64_t *table = (int64_t *)job->memory;
    for (int d = 0; d < 3; d++) {
        int64_t *first = table, *last = first + p->out_size[d];
        double *count = (double *)(last + p->out_size[d]);
        if (!has_table(p, d))
            continue;
        for (int64_t o = 0; o < p->out_size[d]; o++)
            fc_pool_window(p, d, o, &first[o], &last[o], &count[o]);
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
    if (problem->kind == FC_MAX_POOL)
        job.room_bytes = maxima_bytes(problem, 0, !indices);
    else
        plan_averages(&job, 0);
    if (prepare(&job, threads) != FC_OK)
        return FC_NO_MEMORY;
    fc_parallel_for(problem->batch * job.blocks, threads, forward_task, &job);
    finish(&job, threads);
    fc_report_pool(problem, "forward", threads, begin);
    return FC_OK;
}

/* A kernel's verdict on its indices. */
static void note(pool_job *job, int inside)
{
    if (!inside)
        __atomic_store_n(&job->outside, 1, __ATOMIC_RELAXED);
}

static void backward_task(void *context, int64_t task, int thread)
{
    pool_job *job = context;
    const int64_t block = task % job->blocks, channels = job->problem->channels, image = task / job->blocks;
    const int64_t first = channels * block / job->blocks, last = channels * (block + 1) / job->blocks;
    char *room = job->rooms + (size_t)thread * job->room_bytes;
    if (job->problem->kind == FC_MAX_POOL)
        note(job, job->kernels->max_pool_backward(&job->windows, job->grad_output, job->input, job->indices, job->target, image,
                                                  first, last, room, (int64_t *)(room + job->room_bytes / 2)));
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
    if (problem->kind == FC_AVERAGE_POOL)
        plan_averages(&job, 1);
    else if (!indices)
        job.room_bytes = maxima_bytes(problem, 1, 0);
    if (prepare(&job, threads) != FC_OK)
        return FC_NO_MEMORY;
    fc_parallel_for(problem->batch * job.blocks, threads, backward_task, &job);
    finish(&job, threads);
    fc_report_pool(problem, "backward", threads, begin);
    return job.outside ? FC_OUTSIDE : FC_OK;
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
    threads = count < SERIAL_ELEMENTS ? 1 : threads;
    fc_parallel_for(fc_divide_up(count, INSIDE_COUNT), threads, inside_task, &job);
    return job.inside;
}

/* ---- unpooling ---- */

typedef struct {
    pool_job pool;
    int backward;
    void *input, *output;
} unpool_job;

static void unpool_task(void *context, int64_t task, int thread)
{
    (void)thread;
    unpool_job *job = context;
    const fc_pool *p = job->pool.problem;
    const int64_t blocks = job->pool.blocks, block = task % blocks;
    note(&job->pool, job->pool.kernels->unpool(p, job->backward, job->input, job->pool.indices, job->output, task / blocks,
                                               p->channels * block / blocks, p->channels * (block + 1) / blocks));
}

fc_status fc_unpool(const fc_pool *problem, int backward, void *input, const int64_t *indices, void *output, int threads)
{
    const double begin = fc_report_begin();
    threads = useful_threads(problem, threads);
    unpool_job job = {make_job(problem), backward, input, output};
    job.pool.indices = indices;
    fc_parallel_for(problem->batch * job.pool.blocks, threads, unpool_task, &job);
    fc_report_unpool(problem, backward ? "backward" : "forward", threads, begin);
    return job.pool.outside ? FC_OUTSIDE : FC_OK;
}

/* Pooling: images and blocks of channels in parallel, by the kernels of isa/max_pool.inc and isa/average_pool.inc.
 *
 * Short rows of channels first would leave most lanes of their vectors empty, and what each begins with would be most of the work.
 * Their planes go as many at a time as there are lanes, turned to channels last and back. */
#include "geometry.h"
#include "isa/isa.h"
#include "parallel.h"
#include "report.h"

enum {
    CHANNEL_BLOCK = 32,      /* channels last: whole lines of memory */
    TASK_ELEMENTS = 1 << 13, /* channels first: planes of a task, for a task costs as much as a plane of 7x7 */
    SERIAL_ELEMENTS = 20000,
    SHORT_ROW = 8,           /* elements of a row, at most, of planes that are turned */
    TURNED_BYTES = 1 << 18,  /* of a vector of them, at most */
    SMALL_PLANE = 64,        /* elements of one whose maxima alone are worth it */
};

typedef struct {
    const void *grad_output, *input;
    const int64_t *indices;
    int64_t *winners;
    void *target;
} pool_operands;

typedef struct {
    const fc_pool *problem;
    const fc_kernels *kernels;
    fc_pool_windows windows;
    pool_operands operands;
    int backward;
    int64_t blocks;
    int outside; /* an index was */
    char *memory, *rooms; /* the tables of the windows; a room for each thread */
    size_t table_bytes, room_bytes;
    fc_pool turned;  /* a vector of planes, as the channels of an image */
    int64_t planes;  /* that are turned, or 0 */
    size_t turned_bytes; /* of a room, behind the rest of it */
} pool_job;

static int useful_threads(const fc_pool *p, int threads)
{
    const int64_t elements = p->batch * p->channels * (fc_volume(p->in_size) + fc_volume(p->out_size));
    return elements < SERIAL_ELEMENTS ? 1 : threads;
}

/* How the averages of a row are made, and the room that it takes. */
static void plan_averages(pool_job *job, int backward)
{
    enum { STRETCH = 1024, WIDE = 64, APART = 8 /* elements: windows so wide and far from each other are summed one by one */ };
    const fc_pool *p = job->problem;
    fc_pool_windows *w = &job->windows;
    if (fc_is_separable(p) && p->kernel[2] < WIDE && p->stride[2] <= 2 * p->kernel[2] &&
        (backward || fc_smaller(p->stride[2], p->kernel[2]) < APART)) {
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

/* Planes of short rows, turned: the job's problem is then a vector of them. */
static void turn_planes(pool_job *job)
{
    const fc_pool *p = job->problem;
    const pool_operands *o = &job->operands;
    const int64_t lanes = job->kernels->lanes, inputs = fc_volume(p->in_size), outputs = fc_volume(p->out_size);
    const int64_t element = (int64_t)fc_element_bytes(p->dtype), bytes = lanes * fc_larger(inputs, outputs) * element;
    if (p->layout != FC_CHANNELS_FIRST || p->in_size[2] > SHORT_ROW || bytes > TURNED_BYTES || p->batch * p->channels < lanes)
        return;
    /* these are faster as they lie: a single average, maxima of many rows, gradients that go to places one by one */
    if (p->kind == FC_AVERAGE_POOL ? outputs == 1 : o->indices || (o->input && !o->winners && inputs > SMALL_PLANE))
        return;
    job->planes = p->batch * p->channels;
    job->turned = *p;
    job->turned.layout = FC_CHANNELS_LAST;
    job->turned.batch = 1;
    job->turned.channels = lanes;
    job->problem = job->windows.problem = &job->turned;
    job->blocks = fc_divide_up(job->planes, lanes * fc_larger(1, TASK_ELEMENTS / (lanes * (inputs + outputs))));
    const int64_t places = (o->indices || o->winners) ? outputs : 0; /* 8 bytes each */
    const int64_t values = (job->backward ? inputs : outputs) + (o->input ? inputs : 0) + (o->grad_output ? outputs : 0);
    job->turned_bytes = (size_t)fc_round_up(lanes * (places * 8 + values * element), 128);
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
    const size_t bytes = job->table_bytes + (job->room_bytes + job->turned_bytes) * (size_t)threads;
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
    fc_release(job->memory, job->table_bytes + (job->room_bytes + job->turned_bytes) * (size_t)threads);
}

/* A kernel's verdict on its indices. */
static void note(pool_job *job, int inside)
{
    if (!inside)
        __atomic_store_n(&job->outside, 1, __ATOMIC_RELAXED);
}

/* Channels [first, last) of an image. */
static void pool_channels(pool_job *job, const pool_operands *o, int64_t image, int64_t first, int64_t last, char *room)
{
    const fc_kernels *kernels = job->kernels;
    int64_t *places = (int64_t *)(room + job->room_bytes / 2);
    const int is_maximum = job->problem->kind == FC_MAX_POOL;
    if (is_maximum && job->backward)
        note(job, kernels->max_pool_backward(&job->windows, o->grad_output, o->input, o->indices, o->target, image, first, last,
                                             room, places));
    else if (is_maximum)
        kernels->max_pool(&job->windows, o->input, o->target, o->winners, image, first, last, room, places);
    else if (job->backward)
        kernels->average_pool_backward(&job->windows, o->grad_output, o->target, image, first, last, room);
    else
        kernels->average_pool(&job->windows, o->input, o->target, image, first, last, room);
}

/* Planes [first, first + count) of an array, turned, in a room that is used up by as much; NULL stays NULL. */
static void *turned_planes(const pool_job *job, fc_dtype dtype, const void *array, int64_t elements, int64_t first, int64_t count,
                           char **room)
{
    const int64_t lanes = job->kernels->lanes, element = (int64_t)fc_element_bytes(dtype);
    void *target = *room;
    if (!array)
        return NULL;
    *room += elements * lanes * element;
    fc_isa_chosen()->kernels[dtype]->transpose(count, elements, (const char *)array + first * elements * element, elements, target,
                                               lanes);
    return target;
}

static void turn_back(const pool_job *job, fc_dtype dtype, const void *planes, int64_t elements, int64_t first, int64_t count,
                      void *array)
{
    fc_isa_chosen()->kernels[dtype]->transpose(elements, count, planes, job->kernels->lanes,
                                               (char *)array + first * elements * (int64_t)fc_element_bytes(dtype), elements);
}

static void pool_turned(pool_job *job, int64_t first, int64_t count, char *room)
{
    const fc_pool *p = job->problem;
    const pool_operands *all = &job->operands;
    const int64_t inputs = fc_volume(p->in_size), outputs = fc_volume(p->out_size), results = job->backward ? inputs : outputs;
    char *at = room + job->room_bytes; /* places first: they are the larger elements */
    pool_operands o = {.indices = turned_planes(job, FC_FLOAT64, all->indices, outputs, first, count, &at)};
    if (all->winners) {
        o.winners = (int64_t *)at;
        at += outputs * job->kernels->lanes * 8;
    }
    o.input = turned_planes(job, p->dtype, all->input, inputs, first, count, &at);
    o.grad_output = turned_planes(job, p->dtype, all->grad_output, outputs, first, count, &at);
    o.target = at;
    pool_channels(job, &o, 0, 0, count, room);
    turn_back(job, p->dtype, o.target, results, first, count, all->target);
    if (all->winners)
        turn_back(job, FC_FLOAT64, o.winners, outputs, first, count, all->winners);
}

static void pool_task(void *context, int64_t task, int thread)
{
    pool_job *job = context;
    const int64_t block = task % job->blocks, channels = job->problem->channels, lanes = job->kernels->lanes;
    char *room = job->rooms + (size_t)thread * (job->room_bytes + job->turned_bytes);
    if (!job->planes) {
        pool_channels(job, &job->operands, task / job->blocks, channels * block / job->blocks, channels * (block + 1) / job->blocks,
                      room);
        return;
    }
    const int64_t vectors = fc_divide_up(job->planes, lanes);
    for (int64_t i = vectors * block / job->blocks; i < vectors * (block + 1) / job->blocks; i++)
        pool_turned(job, i * lanes, fc_smaller(lanes, job->planes - i * lanes), room);
}

static fc_status pool(const fc_pool *problem, int backward, const pool_operands *operands, int threads)
{
    const double begin = fc_report_begin();
    threads = useful_threads(problem, threads);
    pool_job job = make_job(problem);
    job.operands = *operands;
    job.backward = backward;
    turn_planes(&job);
    if (problem->kind == FC_AVERAGE_POOL)
        plan_averages(&job, backward);
    else if (!backward)
        job.room_bytes = maxima_bytes(job.problem, 0, !operands->winners);
    else if (!operands->indices)
        job.room_bytes = maxima_bytes(job.problem, 1, 0);
    if (prepare(&job, threads) != FC_OK)
        return FC_NO_MEMORY;
    fc_parallel_for(job.problem->batch * job.blocks, threads, pool_task, &job);
    finish(&job, threads);
    fc_report_pool(problem, backward ? "backward" : "forward", threads, begin);
    return job.outside ? FC_OUTSIDE : FC_OK;
}

fc_status fc_pool_forward(const fc_pool *problem, const void *input, void *output, int64_t *indices, int threads)
{
    const pool_operands operands = {.input = input, .target = output, .winners = indices};
    return pool(problem, 0, &operands, threads);
}

fc_status fc_pool_backward(const fc_pool *problem, const void *grad_output, const void *input, const int64_t *indices,
                           void *grad_input, int threads)
{
    const pool_operands operands = {.grad_output = grad_output, .input = input, .indices = indices, .target = grad_input};
    return pool(problem, 1, &operands, threads);
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
    note(&job->pool, job->pool.kernels->unpool(p, job->backward, job->input, job->pool.operands.indices, job->output, task / blocks,
                                               p->channels * block / blocks, p->channels * (block + 1) / blocks));
}

fc_status fc_unpool(const fc_pool *problem, int backward, void *input, const int64_t *indices, void *output, int threads)
{
    const double begin = fc_report_begin();
    threads = useful_threads(problem, threads);
    unpool_job job = {make_job(problem), backward, input, output};
    job.pool.operands.indices = indices;
    fc_parallel_for(problem->batch * job.pool.blocks, threads, unpool_task, &job);
    fc_report_unpool(problem, backward ? "backward" : "forward", threads, begin);
    return job.pool.outside ? FC_OUTSIDE : FC_OK;
}

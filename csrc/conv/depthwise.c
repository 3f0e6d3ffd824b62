/* Depthwise: every input channel by itself, groups = in_channels, with any multiplier of output channels.
 *
 * A block of rows of one plane is packed (planes.h), so that every tap of every output is a contiguous stretch of it.
 *
 * A cell of the plane is one element, and vectors run along a wide row; or it is a vector of channels, as in channels last,
 * where a row may be as narrow as it likes.  Narrow planes of channels first are brought to that form, a block of channels
 * at a time, by a transpose each way: 16 shuffles for 16 elements, against nine multiply-adds with half-empty vectors.  Images of
 * three dimensions are then packed as a whole, for the layers of their outputs see most of the same.
 *
 * The same planes carry the gradients: the input's is the correlation of grad_output with the kernel reversed, phase by phase
 * (algorithm.h) over one plane, the weight's the product of the plane with grad_output at each tap's offset. */
#include "../parallel.h"
#include "planes.h"

#include <math.h>
#include <string.h>

enum {
    PLANE_BYTES = 32 << 10,        /* of a packed block: it stays in L1 */
    LANES_PLANE_BYTES = 256 << 10, /* of cells of a vector: in L2, or the rows that blocks share would cost too much */
    DEEP_BYTES = 5 << 18,          /* of a whole image of three dimensions: 3x3x3, 2 x 96 of 16x28x28 1.8 ms for 1.0 */
    NARROW_VECTORS = 2,            /* rows of at most so many vectors are narrow: at 28 wide both ways take as long */
    LANES_TASKS = 4,               /* blocks of channels that make a transpose worth it */
    WEIGHT_TASKS = 16,             /* parts of a weight gradient, at least, where there is so much work */
};

static const char *supports(const fc_conv *problem, fc_pass pass)
{
    return problem->groups != problem->in_channels ? "needs groups equal to in_channels" : fc_planes_refuse(problem, pass);
}

static int64_t lanes_of(const fc_plan *plan) { return plan->isa->kernels[plan->problem.dtype]->lanes; }
static int64_t element_of(const fc_plan *plan) { return (int64_t)fc_element_bytes(plan->problem.dtype); }
static int64_t multiplier_of(const fc_conv *problem) { return problem->out_channels / problem->in_channels; }

/* The share of vectors that `count` elements fill. */
static double filled(int64_t count, int64_t lanes) { return (double)count / (double)fc_round_up(count, lanes); }

static int is_deep(const fc_conv *p) { return p->in_size[0] > 1 || p->out_size[0] > 1; }

/* Channels first whose planes are worth a transpose: channels fill vectors better than rows do. */
static int is_narrow(const fc_conv *p, fc_pass pass, const fc_isa *isa)
{
    const int64_t lanes = isa->kernels[p->dtype]->lanes, element = (int64_t)fc_element_bytes(p->dtype);
    const int64_t row = fc_larger(p->in_size[2], p->out_size[2]), most = fc_larger(fc_volume(p->in_size), fc_volume(p->out_size));
    const int deep = is_deep(p);
    const int64_t plane = deep ? fc_larger(most * element, fc_plane_bytes(p, pass, isa)) : most * element;
    if (deep && pass == FC_INPUT_GRADIENT && multiplier_of(p) > 1) /* of which each would be packed again for each block */
        return 0;
    return p->layout == FC_CHANNELS_FIRST && row <= NARROW_VECTORS * lanes &&
           plane * lanes <= (deep ? DEEP_BYTES : LANES_PLANE_BYTES) &&
           filled(p->in_channels, lanes) >= filled(row, lanes) && p->batch * p->in_channels >= LANES_TASKS * lanes;
}

static fc_plane make_plane(const fc_plan *plan, int transposed)
{
    const int64_t lanes = lanes_of(plan), cell = plan->problem.layout == FC_CHANNELS_FIRST && !transposed ? 1 : lanes;
    fc_plane plane = fc_plane_make(plan, cell, cell == 1 ? PLANE_BYTES : LANES_PLANE_BYTES);
    for (int d = 0; d < 3 && transposed; d++)
        plane.window.stride[d] *= lanes;
    return plane;
}

/* The workspace: the sums and their taps, shared; then for each thread the cells of the weight and the bias, the plane, a
 * block of rows of results for each sum, and the tensors' planes where they are transposed. */
typedef struct {
    size_t taps, shared;
    size_t weights, bias, plane, results, in, out, total;
    int64_t sum_cells; /* of results, from a sum to the next */
} fc_room;

static fc_room make_room(const fc_plan *plan, const fc_plane *plane, const fc_plane *packed, int transposed)
{
    const fc_conv *p = &plan->problem;
    const int64_t element = element_of(plan), lanes = lanes_of(plan), sums = fc_plane_sums(plan);
    const int64_t pixel = transposed ? lanes * element : 0;
    fc_room room = {.sum_cells = plane->rows * packed->length[2] + (plane->cell == 1 ? lanes : 0)};
    room.taps = fc_whole_lines(sums * (int64_t)sizeof(fc_plane_sum));
    room.shared = room.taps + fc_whole_lines(2 * fc_taps(p) * (int64_t)sizeof(int64_t));
    room.bias = room.weights + fc_whole_lines(fc_taps(p) * lanes * element);
    room.plane = room.bias + fc_whole_lines(lanes * element);
    room.results = room.plane + fc_whole_lines(packed->elements * element);
    /* a weight gradient sums by tap and lane instead */
    room.in = room.results + (plan->pass == FC_WEIGHT_GRADIENT
                                  ? fc_whole_lines((multiplier_of(p) * fc_taps(p) + plane->length[2]) * lanes * element)
                                  : fc_whole_lines(sums * room.sum_cells * plane->cell * element));
    room.out = room.in + fc_whole_lines(fc_volume(p->in_size) * pixel);
    room.total = room.out + fc_whole_lines(fc_volume(p->out_size) * pixel);
    return room;
}

typedef struct {
    const fc_plan *plan;
    const fc_operands *operands;
    const fc_kernels *kernels;
    fc_plane plane, packed; /* packed: of a block, or of a whole image */
    int transposed; /* channels first in cells of vectors */
    int64_t together; /* blocks of a task: those of a plane that is packed as a whole, or one */
    fc_room room;
    int64_t in[5], out[5]; /* strides of the tensors */
    int64_t multiplier, channel_blocks, slices;
    const fc_plane_sum *sums; /* shared */
    char *workspace;     /* of the threads */
    char *parts;         /* weight gradient */
} depthwise_job;

/* Where a task is: its image, the channels of its cells, its block of their plane. */
typedef struct {
    int64_t image, channel, channels;
    fc_plane_block block;
    char *room;
} depthwise_task;

static char *at(const void *base, int64_t offset, fc_dtype dtype)
{
    return (char *)base + offset * (int64_t)fc_element_bytes(dtype);
}

/* Packs the block's rows, or the whole, of the planes that start at `source`, `channel_stride` apart. */
static void pack(const depthwise_job *job, const depthwise_task *it, int64_t channel_stride, const char *source,
                 size_t scratch)
{
    const fc_plane *plane = &job->packed;
    const int whole = job->together > 1;
    const int64_t first[3] = {whole ? 0 : it->block.z, whole ? 0 : it->block.y0, whole ? 0 : it->block.x0};
    fc_window window = plane->window;
    window.channels = it->channels;
    window.channel_stride = channel_stride;
    if (job->transposed) {
        job->kernels->transpose(it->channels, fc_volume(window.in), source, channel_stride, it->room + scratch, plane->cell);
        source = it->room + scratch;
        window.channels = plane->cell;
        window.channel_stride = 1;
    }
    (plane->cell == 1 ? job->kernels->pack_plane : job->kernels->pack_plane_lanes)(
        &window, first, plane->length, plane->phase_cells, source, it->room + job->room.plane);
}

/* Where the block's taps begin, and `rows` further. */
static const char *packed_rows(const depthwise_job *job, const depthwise_task *it, int64_t rows)
{
    const int64_t place = job->together > 1 ? fc_plane_place(&job->packed, &it->block) : 0;
    return at(it->room + job->room.plane, (place + rows * job->packed.length[2]) * job->packed.cell, job->plan->problem.dtype);
}

/* The weight of output channels k, k + multiplier, ... as cells. */
static const char *weight_cells(const depthwise_job *job, const depthwise_task *it, int64_t k)
{
    const int64_t taps = fc_taps(&job->plan->problem);
    const char *weight = at(job->operands->weight, k * taps, job->plan->problem.dtype);
    if (job->plane.cell == 1)
        return weight;
    job->kernels->transpose(it->channels, taps, weight, job->multiplier * taps, it->room + job->room.weights, job->plane.cell);
    return it->room + job->room.weights;
}

/* The bias of channels k, k + step, ... as a cell. */
static const char *bias_cell(const depthwise_job *job, const depthwise_task *it, int64_t k, int64_t step)
{
    if (!job->operands->bias)
        return NULL;
    const char *bias = at(job->operands->bias, k, job->plan->problem.dtype);
    if (job->plane.cell == 1)
        return bias;
    job->kernels->transpose(it->channels, 1, bias, step, it->room + job->room.bias, job->plane.cell);
    return it->room + job->room.bias;
}

/* One sum over the plane, to its block of results, or row by row to `direct`: added to what is there, and given its bias
 * and activation, as the caller says. */
static void correlate(const depthwise_job *job, const depthwise_task *it, const fc_plane_sum *sum, const char *weights,
                      int accumulate, const char *bias, fc_activation activation, char *results, char *direct,
                      int64_t row_stride)
{
    const fc_plane *plane = &job->plane;
    const fc_dtype dtype = job->plan->problem.dtype;
    const int64_t width = it->block.x1 - it->block.x0, rows = it->block.y1 - it->block.y0;
    const fc_correlation correlation = {
        .taps = sum->taps, .count = direct ? width : (rows - 1) * job->packed.length[2] + width, .offsets = sum->offsets,
        .places = sum->places, .weights = weights, .bias = bias, .accumulate = accumulate,
        .low = activation == FC_RELU || activation == FC_RELU6 ? 0 : -INFINITY,
        .high = activation == FC_RELU6 ? 6 : INFINITY};
    for (int64_t y = 0; y < (direct ? rows : 1); y++) {
        char *target = direct ? at(direct, y * row_stride, dtype) : results;
        const char *from = packed_rows(job, it, y);
        (plane->cell == 1 ? job->kernels->correlate : job->kernels->correlate_lanes)(&correlation, from, target);
        if (activation == FC_SILU)
            job->kernels->activate(FC_SILU, correlation.count * plane->cell, target, target);
    }
}

/* Block by block of each plane, plane after plane of cells, image after image. */
static depthwise_task locate(const depthwise_job *job, int64_t item, int64_t block, int thread)
{
    const fc_plane *plane = &job->plane;
    depthwise_task it = {.image = item / job->channel_blocks, .channel = item % job->channel_blocks * plane->cell,
                         .block = fc_plane_block_at(plane, block),
                         .room = job->workspace + (size_t)thread * job->room.total};
    it.channels = fc_smaller(plane->cell, job->plan->problem.in_channels - it.channel);
    return it;
}

/* ---- forward ---- */

static void forward_block(const depthwise_job *job, const depthwise_task *it)
{
    const fc_kernels *kernels = job->kernels;
    const fc_plane *plane = &job->plane;
    const fc_dtype dtype = job->plan->problem.dtype;
    const fc_plane_block *block = &it->block;
    const int64_t width = block->x1 - block->x0, rows = block->y1 - block->y0, pitch = job->packed.length[2];
    char *results = it->room + job->room.results, *pixels = it->room + job->room.out;
    for (int64_t j = 0; j < job->multiplier; j++) {
        const int64_t k = it->channel * job->multiplier + j, *out = job->out;
        char *target = at(job->operands->output,
                          it->image * out[0] + k * out[1] + block->z * out[2] + block->y0 * out[3] + block->x0 * out[4], dtype);
        correlate(job, it, job->sums, weight_cells(job, it, k), 0, bias_cell(job, it, k, job->multiplier),
                  job->operands->activation, results, plane->cell == 1 ? target : NULL, out[3]);
        if (job->transposed) {
            kernels->unpack_plane_lanes(rows, width, 1, 0, pitch, results, pixels, width * plane->cell, plane->cell,
                                        plane->cell, 1);
            kernels->transpose(rows * width, it->channels, pixels, plane->cell, target, job->multiplier * out[1]);
        } else if (plane->cell > 1) {
            kernels->unpack_plane_lanes(rows, width, 1, 0, pitch, results, target, out[3], out[4], it->channels,
                                        job->multiplier);
        }
    }
}

static void forward_task(void *context, int64_t task, int thread)
{
    const depthwise_job *job = context;
    const int64_t first = task * job->together, blocks = fc_plane_blocks(&job->plane), item = first / blocks;
    for (int64_t i = first; i < first + job->together; i++) {
        const depthwise_task it = locate(job, item, i % blocks, thread);
        if (i == first)
            pack(job, &it, job->in[1],
                 at(job->operands->input, it.image * job->in[0] + it.channel * job->in[1], job->plan->problem.dtype), job->room.in);
        forward_block(job, &it);
    }
}

/* ---- input gradient: every phase of the stride from one plane of grad_output ---- */

static void input_block(const depthwise_job *job, const depthwise_task *it, int packs)
{
    const fc_conv *p = &job->plan->problem;
    const fc_kernels *kernels = job->kernels;
    const fc_plane *plane = &job->plane;
    const fc_plane_block *block = &it->block;
    const int64_t sums = fc_plane_sums(job->plan), pitch = job->packed.length[2], cells = job->room.sum_cells, *in = job->in;
    const int64_t phases_z = fc_smaller(p->stride[0], p->in_size[0] - block->z * p->stride[0]);
    const int64_t phases_y = fc_smaller(p->stride[1], p->in_size[1]), phases_x = fc_smaller(p->stride[2], p->in_size[2]);
    const int64_t y0 = block->y0 * p->stride[1], y1 = fc_smaller(block->y1 * p->stride[1], p->in_size[1]);
    const int64_t x0 = block->x0 * p->stride[2], width = fc_smaller(block->x1 * p->stride[2], p->in_size[2]) - x0;
    char *results = it->room + job->room.results, *pixels = it->room + job->room.in;
    char *target = at(job->operands->input,
                      it->image * in[0] + it->channel * in[1] + block->z * p->stride[0] * in[2] + y0 * in[3] + x0 * in[4],
                      p->dtype);
    const int direct = plane->cell == 1 && sums == 1 && job->multiplier == 1;
    const char *bias = bias_cell(job, it, it->channel, 1);
    for (int64_t j = 0; j < job->multiplier; j++) {
        const int64_t k = it->channel * job->multiplier + j;
        if (packs || job->multiplier > 1)
            pack(job, it, job->multiplier * job->out[1],
                 at(job->operands->output, it->image * job->out[0] + k * job->out[1], p->dtype), job->room.out);
        const char *weights = weight_cells(job, it, k);
        const int last = j == job->multiplier - 1;
        for (int64_t i = 0; i < sums; i++)
            correlate(job, it, job->sums + i, weights, j > 0, last ? bias : NULL,
                      last ? job->operands->activation : FC_IDENTITY, at(results, i * cells * plane->cell, p->dtype),
                      direct ? target : NULL, in[3]);
    }
    if (direct)
        return;
    for (int64_t z = 0; z < phases_z; z++, target = at(target, in[2], p->dtype)) {
        for (int64_t y = 0; y < phases_y; y++) {
            const int64_t rows = fc_divide_up(y1 - y0 - y, p->stride[1]); /* of this phase */
            const char *from = at(results, (z * phases_y + y) * phases_x * cells * plane->cell, p->dtype);
            if (plane->cell == 1)
                kernels->unpack_plane(rows, width, phases_x, cells, pitch, from, at(target, y * in[3], p->dtype),
                                      p->stride[1] * in[3]);
            else if (job->transposed)
                kernels->unpack_plane_lanes(rows, width, phases_x, cells, pitch, from,
                                            at(pixels, y * width * plane->cell, p->dtype), p->stride[1] * width * plane->cell,
                                            plane->cell, plane->cell, 1);
            else
                kernels->unpack_plane_lanes(rows, width, phases_x, cells, pitch, from, at(target, y * in[3], p->dtype),
                                            p->stride[1] * in[3], in[4], it->channels, 1);
        }
        if (job->transposed)
            kernels->transpose((y1 - y0) * width, it->channels, pixels, plane->cell, target, in[1]);
    }
}

static void input_task(void *context, int64_t task, int thread)
{
    const depthwise_job *job = context;
    const int64_t first = task * job->together, blocks = fc_plane_blocks(&job->plane), item = first / blocks;
    for (int64_t i = first; i < first + job->together; i++) {
        const depthwise_task it = locate(job, item, i % blocks, thread);
        input_block(job, &it, i == first);
    }
}

/* ---- weight gradient: a part of the images of a block of channels ---- */

static void weight_task(void *context, int64_t task, int thread)
{
    const depthwise_job *job = context;
    const fc_conv *p = &job->plan->problem;
    const fc_kernels *kernels = job->kernels;
    const fc_plane *plane = &job->plane;
    const int64_t cell = plane->cell, lanes = kernels->lanes;
    const int64_t taps = fc_taps(p), slice = task % job->slices, *offsets = job->sums->offsets, *out = job->out;
    const depthwise_task begin = locate(job, task / job->slices, 0, thread); /* of the first image */
    char *sums = begin.room + job->room.results, *row = at(sums, job->multiplier * taps * lanes, p->dtype);
    memset(sums, 0, (size_t)(row - sums));
    /* grad_output as it is: one tap, no padding */
    fc_window rows = {.taps = {1, 1, 1}, .step = {1, 1, 1}, .tap_step = {1, 1, 1}, .channels = begin.channels,
                      .channel_stride = job->multiplier};
    for (int d = 0; d < 3; d++) {
        rows.out[d] = rows.in[d] = p->out_size[d];
        rows.stride[d] = out[2 + d];
    }

    const int64_t blocks = fc_plane_blocks(plane), units = p->batch * blocks, first_unit = units * slice / job->slices; /* of blocks */
    for (int64_t unit = first_unit; unit < units * (slice + 1) / job->slices; unit++) {
        const int64_t item = unit / blocks * job->channel_blocks + task / job->slices;
        const depthwise_task it = locate(job, item, unit % blocks, thread);
        const int packs = unit == first_unit || unit % blocks % job->together == 0;
        const fc_plane_block *block = &it.block;
        const int64_t width = block->x1 - block->x0;
        if (packs)
            pack(job, &it, job->in[1], at(job->operands->input, it.image * job->in[0] + it.channel * job->in[1], p->dtype),
                 job->room.in);
        for (int64_t j = 0; j < job->multiplier; j++) {
            const char *dy = at(job->operands->output, it.image * out[0] + (it.channel * job->multiplier + j) * out[1],
                                p->dtype);
            char *sum = at(sums, j * taps * lanes, p->dtype);
            if (job->transposed && (packs || job->multiplier > 1))
                kernels->transpose(it.channels, fc_volume(p->out_size), dy, job->multiplier * out[1],
                                   it.room + job->room.out, cell);
            for (int64_t y = block->y0; y < block->y1; y++) {
                const char *from = packed_rows(job, &it, y - block->y0);
                if (cell == 1) {
                    const char *gradient = at(dy, block->z * out[2] + y * out[3] + block->x0, p->dtype);
                    kernels->correlate_weights(taps, offsets, width, from, gradient, sum);
                } else if (job->transposed) {
                    const int64_t row = block->z * p->out_size[1] + y;
                    const char *gradient = at(it.room + job->room.out, (row * p->out_size[2] + block->x0) * cell, p->dtype);
                    kernels->correlate_weights_lanes(taps, offsets, width, from, gradient, sum);
                } else {
                    kernels->pack_plane_lanes(&rows, (int64_t[3]){block->z, y, block->x0}, (int64_t[3]){1, 1, width}, 0, dy, row);
                    kernels->correlate_weights_lanes(taps, offsets, width, from, row, sum);
                }
            }
        }
    }
    char *target = job->slices > 1 ? at(job->parts, slice * p->out_channels * taps, p->dtype) : job->operands->weight;
    for (int64_t j = 0; j < job->multiplier; j++) {
        const char *sum = at(sums, j * taps * lanes, p->dtype);
        char *to = at(target, (begin.channel * job->multiplier + j) * taps, p->dtype);
        if (cell == 1)
            kernels->sum_rows(taps, lanes, lanes, sum, to);
        else
            kernels->transpose(taps, begin.channels, sum, lanes, to, job->multiplier * taps);
    }
}

/* ---- the algorithm ---- */

static depthwise_job make_job(const fc_plan *plan, const fc_operands *operands)
{
    const fc_conv *p = &plan->problem;
    depthwise_job job = {.plan = plan, .operands = operands, .kernels = plan->isa->kernels[p->dtype],
                         .transposed = is_narrow(p, plan->pass, plan->isa), .multiplier = multiplier_of(p), .slices = 1};
    job.plane = make_plane(plan, job.transposed);
    job.together = job.transposed && is_deep(p) ? fc_plane_blocks(&job.plane) : 1;
    job.packed = job.together > 1 ? fc_plane_whole(&job.plane) : job.plane;
    job.room = make_room(plan, &job.plane, &job.packed, job.transposed);
    job.channel_blocks = fc_divide_up(p->in_channels, job.plane.cell);
    fc_tensor_strides(p->layout, p->in_channels, p->in_size, job.in);
    fc_tensor_strides(p->layout, p->out_channels, p->out_size, job.out);
    if (plan->pass == FC_WEIGHT_GRADIENT) {
        const int64_t units = p->batch * fc_plane_blocks(&job.plane);
        job.slices = fc_larger(1, fc_smaller(units, WEIGHT_TASKS / job.channel_blocks));
    }
    return job;
}

static size_t parts_bytes(const depthwise_job *job)
{
    const fc_conv *p = &job->plan->problem;
    return job->slices == 1 ? 0 : fc_whole_lines(job->slices * p->out_channels * fc_taps(p) * element_of(job->plan));
}

static size_t workspace(const fc_plan *plan, int threads)
{
    const depthwise_job job = make_job(plan, NULL);
    return parts_bytes(&job) + job.room.shared + job.room.total * (size_t)threads;
}

static void run(const fc_plan *plan, const fc_operands *operands, void *workspace, int threads)
{
    const fc_conv *p = &plan->problem;
    depthwise_job job = make_job(plan, operands);
    job.parts = workspace;
    char *shared = (char *)workspace + parts_bytes(&job);
    fc_plane_list(plan, &job.packed, (fc_plane_sum *)shared, (int64_t *)(shared + job.room.taps));
    job.sums = (const fc_plane_sum *)shared;
    job.workspace = shared + job.room.shared;
    if (plan->pass == FC_WEIGHT_GRADIENT) {
        const int64_t count = p->out_channels * fc_taps(p);
        fc_parallel_for(job.channel_blocks * job.slices, threads, weight_task, &job);
        if (job.slices > 1)
            job.kernels->reduce(job.slices, count, job.parts, count, 1, 0, operands->weight);
        return;
    }
    const int64_t tasks = p->batch * job.channel_blocks * fc_plane_blocks(&job.plane) / job.together;
    fc_parallel_for(tasks, threads, plan->pass == FC_FORWARD ? forward_task : input_task, &job);
}

/* Two loads for a multiply-add where the dense kernel has half of one, vectors that are filled to the row's width in channels
 * first, and a pass over the planes to pack them.  Fitted on mobilenet_v2. */
static double cost(const fc_conv *problem, fc_pass pass, const fc_isa *isa)
{
    const fc_kernels *kernels = isa->kernels[problem->dtype];
    const int narrow = is_narrow(problem, pass, isa);
    const double rate = fc_multiply_adds_per_ns(isa, problem->dtype) * (pass != FC_WEIGHT_GRADIENT ? 0.35 : narrow ? 0.32 : 0.2);
    const double ins = (double)problem->batch * (double)problem->in_channels;
    const double outs = (double)problem->batch * (double)problem->out_channels;
    const int64_t row = pass == FC_INPUT_GRADIENT ? problem->in_size[2] : problem->out_size[2];
    const int by_rows = problem->layout == FC_CHANNELS_FIRST && !narrow;
    const double share = filled(by_rows ? row : problem->in_channels, kernels->lanes);
    const double packed = pass == FC_INPUT_GRADIENT ? outs : ins;
    const double cells = (double)fc_plane_bytes(problem, pass, isa) / (double)fc_element_bytes(problem->dtype);
    const double packing = by_rows ? fc_plane_packing(problem, pass, 0) : 0.35 * cells;
    const int64_t sums = pass == FC_INPUT_GRADIENT ? fc_phase_count(problem) : 1; /* of each layer of a plane */
    const int64_t layers = pass == FC_INPUT_GRADIENT ? fc_divide_up(problem->in_size[0], problem->stride[0]) : problem->out_size[0];
    const double phases = (pass == FC_INPUT_GRADIENT ? 1000 * (double)sums : 0) + (narrow ? 0 : outs * (double)(layers * sums - 1) * 15);
    /* of which those that are narrow go by vectors of channels */
    const double planes = (ins + outs) * (narrow ? 150.0 * (double)sums / kernels->lanes : 60);
    /* element by element */
    const double spread = pass == FC_INPUT_GRADIENT && problem->stride[2] > 2 ? ins * (double)fc_volume(problem->in_size) * 0.6 : 0;
    return 1000 + fc_multiply_adds(problem) / share / rate + planes + phases + spread +
           packed * packing + outs * (double)fc_volume(problem->out_size) * 0.2;
}

const fc_algo fc_algo_depthwise = {.name = "depthwise", .supports = supports, .cost = cost, .workspace = workspace, .run = run};

/* Shifted: a dense product whose right operand is the same few planes, shifted by each tap, in channels first.
 *
 *     forward           y[k][o]  = w[k][c,t]   x[c][o + off(t)]
 *     input gradient    dx[c][i] = w'[c][k,t] dy[k][i + off(t)]      phase by phase (algorithm.h), all from the same planes
 *     weight gradient   see shifted_weight.c
 *
 * A block of rows of each channel is packed once, padded and split by stride (planes.h): each tap's row of B is then a stretch of
 * it, which the micro-kernel finds by a table of offsets.  im2col packs every element once for each tap instead, which is most of
 * its work where few channels are written for each that is read: first layers, groups of a few channels.
 *
 *     a task: a block of rows, some channels to write       for each chunk of the depth, a few channels:
 *       the planes, a chunk at a time                           pack their planes
 *       C [phase][channel][the block's grid, flat]              multiply, panel by panel of the grid
 *                                                           C, row by row, to its place
 *
 * The grid is flat: a row's end, as wide as the kernel reaches, is computed and dropped. */
#include "../gemm.h"
#include "../parallel.h"
#include "classes.h"
#include "planes.h"
#include "shifted.h"

#include <math.h>

enum {
    DEPTH = 256,            /* of a chunk of one sum, about */
    ROOM_BYTES = 256 << 10, /* of planes and C: they stay in L2; twice as many for C of several phases */
    OUTS_TILES = 2,         /* tiles of channels written at a time, so that C goes out in long rows */
    MANY_OUTS_TILES = 8,    /* where the depth is several chunks, and the planes are packed again for each; of phases half */
    TASKS = 4,              /* for each thread, about */
    EVEN_TASKS = 16,        /* of fewer for each thread one more counts: they are as many for each */
};

typedef struct {
    const fc_plan *plan;
    const fc_operands *operands;
    const fc_kernels *kernels;
    fc_plane plane, packed;         /* a block's, and as it is packed: by itself, or with all of its image */
    int at_once;
    int64_t images, first_image;    /* of which planes are packed at once */
    int64_t ins, outs;              /* channels read and written, of a group */
    int64_t sums, taps;             /* taps: of all sums */
    int64_t together;               /* channels of a chunk */
    int64_t out_blocks, outs_together; /* ranges of channels written, of tasks; and so many at a time */
    int64_t source[5], target[5];   /* strides of the tensors */
    int in_place, streams;          /* C is the output, row by row; stored once, past the caches */
    int64_t c_row, c_sum;           /* elements of C from a channel to the next, and from a phase */
    size_t sums_bytes, places_bytes, images_bytes, planes_bytes, thread_bytes;
    const fc_plane_sum *taps_of;    /* [sums] */
    const int64_t *depths;          /* [sums][together * taps of the sum] */
    char *image_planes, *workspace; /* workspace: of the threads */
} job;

static const double MOST_WASTE = 1.08; /* of lanes at the ends of rows, against a copy of C */

static const char *supports(const fc_conv *problem, fc_pass pass)
{
    return problem->layout != FC_CHANNELS_FIRST ? "needs channels first" : fc_planes_refuse(problem, pass);
}

static int64_t outs_tiles(int64_t sums, int64_t chunks)
{
    return chunks == 1 ? OUTS_TILES : sums > 1 ? MANY_OUTS_TILES / 2 : MANY_OUTS_TILES;
}

/* Products, with rows as wide as the kernel reaches beyond, or whole vectors; the planes, packed; and C, moved to its place, of a
 * gradient element by element for a stride of 3 and more. */
static double cost(const fc_conv *problem, fc_pass pass, const fc_isa *isa)
{
    if (pass == FC_WEIGHT_GRADIENT)
        return fc_shifted_weight_cost(problem, isa);
    const fc_kernels *kernels = isa->kernels[problem->dtype];
    const int forward = pass == FC_FORWARD;
    const int64_t outs = (forward ? problem->out_channels : problem->in_channels) / problem->groups;
    const int64_t ins = (forward ? problem->in_channels : problem->out_channels) / problem->groups;
    const int64_t *to = forward ? problem->out_size : problem->in_size;
    const int64_t phases = pass == FC_INPUT_GRADIENT ? fc_phase_count(problem) : 1;
    const double images = (double)problem->batch * (double)problem->groups, vectors = 16.0 / kernels->lanes;
    const double reach = (double)((problem->kernel[2] - 1) * problem->dilation[2]) / (double)problem->stride[2];
    const double row = (double)(forward ? to[2] : fc_divide_up(to[2], problem->stride[2]));
    const double rows = (double)to[0] * (double)to[1] * row / (double)to[2] / (double)(phases > 1 ? problem->stride[1] : 1);
    const double in_place = (double)fc_round_up((int64_t)row, kernels->lanes) / row, flat = 1 + reach / row;
    const double grid = fmax(1, rows * row), wide = (double)fc_round_up((int64_t)(grid * flat), kernels->lanes) / grid;
    const int stays = forward && in_place < MOST_WASTE * flat;
    const double waste = (stays ? in_place : wide) * ((double)outs + 1.5) / (double)outs;
    const double moved = stays ? 0 : rows * 5 + (double)fc_volume(to) * 0.08 * vectors; /* C, row by row */
    const double chunks = ceil((double)(ins * fc_taps(problem)) / (double)(phases * DEPTH));
    const int at_once = fc_plane_at_once(problem, pass, isa);
    const double packings = chunks > 1 && !at_once ? (double)fc_divide_up(outs, outs_tiles(phases, 2) * kernels->tile_rows) : 1;
    const double gather = problem->stride[2] > 2 ? 1.0 : 0.3 * vectors;
    return 2000 + images * (600.0 * (double)phases + packings * 60.0 * (double)ins) +
           fc_dense_multiply_adds(problem, pass) / fc_multiply_adds_per_ns(isa, problem->dtype) * waste * (chunks > 2 ? 1.18 : 1.08) +
           images * (double)ins * fc_plane_packing(problem, pass, at_once) * packings * 1.5 * vectors +
           images * (double)outs * ((double)fc_volume(to) * (0.12 * vectors * chunks + (forward ? 0 : gather)) + moved) +
           images * rows * 10;
}

static size_t packed(const fc_plan *plan) { return plan->pass == FC_INPUT_GRADIENT ? fc_classes_bytes(plan) : 0; }

static int64_t element_of(const fc_plan *plan) { return (int64_t)fc_element_bytes(plan->problem.dtype); }
static job make_job(const fc_plan *plan, const fc_operands *operands, int threads)
{
    const fc_conv *p = &plan->problem;
    const int forward = plan->pass == FC_FORWARD;
    const int64_t element = element_of(plan);
    job j = {.plan = plan, .operands = operands, .kernels = plan->isa->kernels[p->dtype], .sums = fc_plane_sums(plan),
             .taps = fc_taps(p), .ins = (forward ? p->in_channels : p->out_channels) / p->groups,
             .outs = (forward ? p->out_channels : p->in_channels) / p->groups};
    fc_tensor_strides(p->layout, p->in_channels, p->in_size, forward ? j.source : j.target);
    fc_tensor_strides(p->layout, p->out_channels, p->out_size, forward ? j.target : j.source);
    const int64_t chunks = fc_divide_up(j.ins, fc_larger(1, DEPTH * j.sums / j.taps));
    j.together = fc_divide_up(j.ins, chunks);
    /* bytes of one plane, where all and C take this room */
    const int64_t room = j.sums > 1 ? 2 * ROOM_BYTES : ROOM_BYTES;
    const fc_window *window = &j.plane.window;
    j.plane = fc_plane_make(plan, 1, room / j.together);
    const int64_t phases = fc_window_phases(window, 0) * fc_window_phases(window, 1) * fc_window_phases(window, 2);
    j.outs_together = fc_smaller(j.outs, outs_tiles(j.sums, chunks) * j.kernels->tile_rows);
    j.plane = fc_plane_make(plan, 1, room * phases / (j.together * phases + j.outs_together * j.sums));
    const int64_t blocks = j.plane.down, others = p->batch * p->groups * fc_plane_blocks(&j.plane) / blocks;
    while (blocks * others < EVEN_TASKS * threads && j.plane.down < fc_smaller(blocks + threads, window->out[1]) &&
           j.plane.down * others % threads)
        fc_plane_cut(&j.plane, j.plane.down + 1);
    const int64_t tasks = others * j.plane.down, wanted = (int64_t)threads * TASKS;
    j.out_blocks = fc_smaller(fc_divide_up(wanted, tasks), fc_divide_up(j.outs, 2 * j.kernels->tile_rows));
    if (tasks >= threads * 2)
        j.out_blocks = 1;
    j.outs_together = fc_smaller(j.outs_together, fc_divide_up(j.outs, j.out_blocks));
    j.at_once = j.plane.across == 1 && fc_plane_at_once(p, plan->pass, plan->isa);
    j.packed = j.at_once ? fc_plane_whole(&j.plane) : j.plane;
    const int64_t lanes = j.kernels->lanes, columns = j.plane.columns, pitch = j.packed.length[2];
    j.in_place = forward && (double)fc_round_up(columns, lanes) < MOST_WASTE * (double)pitch;
    j.c_row = j.in_place ? j.target[1] : fc_round_up(j.plane.rows * pitch, lanes);
    const int64_t results = p->batch * j.target[0] * element;
    j.streams = j.in_place && chunks == 1 && j.plane.across == 1 && operands && operands->activation != FC_SILU &&
                fc_streams(operands->output, results, j.target[3] * element);
    j.c_sum = j.in_place ? 0 : j.outs_together * j.c_row;
    j.sums_bytes = fc_whole_lines(j.sums * (int64_t)sizeof(fc_plane_sum));
    j.places_bytes = fc_whole_lines((2 + j.together) * j.taps * (int64_t)sizeof(int64_t));
    j.images = p->batch;
    if (j.at_once) {
        const int64_t image = j.ins * p->groups * j.packed.elements * element;
        j.images = fc_smaller(p->batch, fc_larger(1, FC_COPY_BYTES / image));
        j.images_bytes = fc_whole_lines(j.images * image);
    } else {
        j.planes_bytes = fc_whole_lines(j.together * j.plane.elements * element);
    }
    j.thread_bytes = j.planes_bytes + fc_whole_lines((j.sums * j.c_sum + lanes) * element); /* whole vectors are read */
    return j;
}

/* Multiplies a chunk of the depth, in the planes, to the C of one sum. */
static void multiply(const job *j, int64_t group, const fc_plane_block *block, int64_t sum, int64_t first_out, int64_t outs,
                     int64_t channel, int64_t last_channel, const int64_t *depths, const char *planes, char *c)
{
    const fc_conv *p = &j->plan->problem;
    const fc_operands *operands = j->operands;
    const int64_t element = element_of(j->plan), taps = j->taps_of[sum].taps, lanes = j->kernels->lanes;
    const int64_t first_row = group * j->outs + first_out;
    const char *weight = operands->weight;
    int64_t row = j->ins * taps, start = first_row * row;
    if (j->plan->pass == FC_INPUT_GRADIENT && taps) {
        fc_phase phase;
        fc_phase_make(p, sum, &phase);
        weight = fc_class_of(j->plan, operands->packed, phase.first_tap);
        row = fc_class_pitch(p, taps);
        start = first_row * row;
    }
    fc_panel panel = {.rows = outs, .depth = (last_channel - channel) * taps, .a = weight + (start + channel * taps) * element,
                      .a_row = row, .a_depth = 1, .b_depths = depths, .c_row = j->c_row, .accumulate = channel > 0, .streams = j->streams,
                      .low = -INFINITY, .high = INFINITY};
    if (last_channel == j->ins && operands->bias)
        panel.row_bias = (const char *)operands->bias + first_row * element;
    if (last_channel == j->ins && (operands->activation == FC_RELU || operands->activation == FC_RELU6)) {
        panel.low = 0;
        panel.high = operands->activation == FC_RELU6 ? 6 : INFINITY;
    }
    const int64_t width = block->x1 - block->x0, pitch = j->packed.length[2];
    const int64_t lines = j->in_place ? block->y1 - block->y0 : 1;
    const int64_t count = j->in_place ? width : fc_round_up((block->y1 - block->y0 - 1) * pitch + width, lanes);
    const int64_t panels = fc_panel_count(j->kernels, count);
    for (int64_t y = 0; y < lines; y++)
        for (int64_t i = 0, first = 0; i < panels; i++, first += panel.columns) {
            panel.columns = fc_panel_first(j->kernels, count, i + 1) - first;
            panel.b = planes + (y * pitch + first) * element;
            panel.c = c + (y * j->target[3] + first) * element;
            j->kernels->gemm(&panel);
        }
}

/* C of a channel, activated, to its place: rows of the output, or of every phase of the input. */
static void finish(const job *j, const fc_plane_block *block, char *c, char *target)
{
    const fc_conv *p = &j->plan->problem;
    const int64_t element = element_of(j->plan), *to = j->target, pitch = j->packed.length[2];
    const int64_t rows = block->y1 - block->y0, width = block->x1 - block->x0;
    if (j->operands->activation == FC_SILU && j->in_place)
        for (int64_t y = 0; y < rows; y++)
            j->kernels->activate(FC_SILU, width, c + y * to[3] * element, c + y * to[3] * element);
    else if (j->operands->activation == FC_SILU)
        for (int64_t sum = 0; sum < j->sums; sum++)
            j->kernels->activate(FC_SILU, rows * pitch, c + sum * j->c_sum * element, c + sum * j->c_sum * element);
    if (j->in_place)
        return;
    if (j->plan->pass == FC_FORWARD) {
        target += (block->z * to[2] + block->y0 * to[3] + block->x0) * element;
        j->kernels->unpack_plane(rows, width, 1, 0, pitch, c, target, to[3]);
        return;
    }
    const int64_t phases_y = fc_smaller(p->stride[1], p->in_size[1]), phases_x = fc_smaller(p->stride[2], p->in_size[2]);
    const int64_t y0 = block->y0 * p->stride[1], y1 = fc_smaller(block->y1 * p->stride[1], p->in_size[1]);
    const int64_t x0 = block->x0 * p->stride[2], x1 = fc_smaller(block->x1 * p->stride[2], p->in_size[2]);
    for (int64_t sum = 0; sum < j->sums; sum += phases_x) {
        const int64_t z = block->z * p->stride[0] + sum / (phases_x * phases_y), y = sum / phases_x % phases_y;
        if (z < p->in_size[0])
            j->kernels->unpack_plane(fc_divide_up(y1 - y0 - y, p->stride[1]), x1 - x0, phases_x, j->c_sum, pitch,
                                     c + sum * j->c_sum * element, target + (z * to[2] + (y0 + y) * to[3] + x0) * element,
                                     p->stride[1] * to[3]);
    }
}

static void task(void *context, int64_t task, int thread)
{
    const job *j = context;
    const fc_conv *p = &j->plan->problem;
    const int forward = j->plan->pass == FC_FORWARD;
    const int64_t element = element_of(j->plan), blocks = fc_plane_blocks(&j->plane), part = task % j->out_blocks;
    const fc_plane_block block = fc_plane_block_at(&j->plane, task / j->out_blocks % blocks);
    const int64_t product = task / (j->out_blocks * blocks), group = product % p->groups;
    const int64_t image = j->first_image + product / p->groups;
    const int64_t end = j->outs * (part + 1) / j->out_blocks;
    char *planes = j->workspace + (size_t)thread * j->thread_bytes, *c = planes + j->planes_bytes;
    const char *source = (const char *)(forward ? j->operands->input : j->operands->output) +
                         (image * j->source[0] + group * j->ins * j->source[1]) * element;
    char *target = (char *)(forward ? j->operands->output : j->operands->input) +
                   (image * j->target[0] + group * j->outs * j->target[1]) * element;
    const int64_t first[3] = {block.z, block.y0, block.x0};
    int64_t packed_channel = -1;
    for (int64_t out = j->outs * part / j->out_blocks, outs; out < end; out += outs) {
        outs = fc_smaller(j->outs_together, end - out);
        char *results = target + out * j->target[1] * element;
        char *to = j->in_place ? results + (block.z * j->target[2] + block.y0 * j->target[3] + block.x0) * element : c;
        for (int64_t channel = 0; channel < j->ins; channel += j->together) {
            const int64_t last = fc_smaller(j->ins, channel + j->together), *depths = j->depths;
            if (j->at_once)
                planes = j->image_planes +
                         ((product * j->ins + channel) * j->packed.elements + fc_plane_place(&j->packed, &block)) * element;
            for (int64_t i = channel; i < last && packed_channel != channel && !j->at_once; i++)
                j->kernels->pack_plane(&j->plane.window, first, j->plane.length, j->plane.phase_cells,
                                       source + i * j->source[1] * element, planes + (i - channel) * j->plane.elements * element);
            packed_channel = channel;
            for (int64_t sum = 0; sum < j->sums; depths += j->together * j->taps_of[sum++].taps)
                multiply(j, group, &block, sum, out, outs, channel, last, depths, planes, to + sum * j->c_sum * element);
        }
        for (int64_t i = 0; i < outs; i++)
            finish(j, &block, to + i * j->c_row * element, results + i * j->target[1] * element);
    }
}

static size_t workspace(const fc_plan *plan, int threads)
{
    if (plan->pass == FC_WEIGHT_GRADIENT)
        return fc_shifted_weight_workspace(plan, threads);
    const job j = make_job(plan, NULL, threads);
    return j.sums_bytes + j.places_bytes + j.images_bytes + j.thread_bytes * (size_t)threads;
}

static void run(const fc_plan *plan, const fc_operands *operands, void *workspace, int threads)
{
    if (plan->pass == FC_WEIGHT_GRADIENT) {
        fc_shifted_weight_run(plan, operands, workspace, threads);
        return;
    }
    const fc_conv *p = &plan->problem;
    job j = make_job(plan, operands, threads);
    fc_plane_sum *sums = workspace;
    int64_t *places = (int64_t *)((char *)workspace + j.sums_bytes), *depths = places + 2 * j.taps;
    fc_plane_list(plan, &j.packed, sums, places);
    j.taps_of = sums;
    j.depths = depths;
    for (int64_t sum = 0; sum < j.sums; sum++)
        for (int64_t c = 0; c < j.together; c++)
            for (int64_t tap = 0; tap < sums[sum].taps; tap++)
                *depths++ = c * j.packed.elements + sums[sum].offsets[tap];
    j.image_planes = (char *)workspace + j.sums_bytes + j.places_bytes;
    j.workspace = j.image_planes + j.images_bytes;
    const char *source = plan->pass == FC_FORWARD ? operands->input : operands->output;
    for (; j.first_image < p->batch; j.first_image += j.images) {
        const int64_t products = fc_smaller(j.images, p->batch - j.first_image) * p->groups;
        if (j.at_once)
            fc_plane_pack_all(plan, &j.packed, source + j.first_image * j.source[0] * element_of(plan), j.source[1],
                              products * j.ins, j.image_planes, threads);
        fc_parallel_for(products * fc_plane_blocks(&j.plane) * j.out_blocks, threads, task, &j);
    }
}

const fc_algo fc_algo_shifted = {.name = "shifted", .supports = supports, .cost = cost, .packed = packed, .pack = fc_classes_pack,
                                 .workspace = workspace, .run = run};

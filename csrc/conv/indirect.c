/* Indirect: a dense product that reads its windows where they lie (Dukhan, The Indirect Convolution Algorithm, 2019).
 *
 *     forward           y[o][k]   =  x[at(o) + off(c,t)]   w[c,t][k]         o: output pixels; k, c: channels; t: taps
 *     input gradient    dx[i][c]  = dy[at(i) + off(k,t)]   w[k,t][c]         of stride 1
 *
 * The micro-kernel broadcasts one element of a window at a time, so that a window need not be packed: its element is at the
 * place of its pixel plus an offset of its channel and tap, two short tables.  The lanes are the channels that are written,
 * whatever the layout and however small the map; the weight is packed, [in channel, tap][panel of out channels].
 *
 *     a task: a block of pixels, some panels       for each chunk of the depth, a few channels:
 *       the block's part of the source, zeros          copy them, rows of pixels (nothing to copy without padding);
 *       around it, a chunk at a time                   multiply with each panel
 *       C [pixel][channel]                          channels first: transpose C into the output */
#include "../algorithm.h"
#include "../gemm.h"
#include "../parallel.h"

#include <math.h>

enum {
    PIXELS = 112,          /* of a block, at most: read each panel of the weight for so many */
    DEPTH = 256,           /* of a chunk: a panel of it is 48 KB */
    BLOCK_BYTES = 1 << 18, /* of C */
    LEAST_RUN = 10,         /* pixels of a row of the map that are multiplied by themselves */
    PANEL_PIXELS = 4,      /* reading a panel costs as much as multiplying it with so many pixels */
};

typedef struct {
    const fc_plan *plan;
    const fc_operands *operands;
    const fc_kernels *kernels;
    fc_window window;         /* on the source, of one group */
    int64_t outs;             /* channels written, of a group */
    int64_t source_image, source_group;
    int64_t target[5];        /* its strides */
    int64_t rows, columns;    /* of the grid in a block */
    int64_t row_blocks, column_blocks, panels, panel_blocks;
    int64_t taps, channels_together;
    int in_place;
    int64_t room_channel, room_stride[3]; /* of the copy of a chunk, or of the source */
    int64_t c_pitch;
    size_t room_bytes, c_bytes, thread_bytes;
    const int64_t *depths;    /* [channels_together * taps] */
    char *workspace;
} job;

static const char *supports(const fc_conv *problem, fc_pass pass)
{
    if (pass == FC_WEIGHT_GRADIENT)
        return "computes convolutions and the gradient of their input only";
    return pass == FC_INPUT_GRADIENT && fc_volume(problem->stride) > 1 ? "needs stride 1 for the gradient of the input" : NULL;
}

/* Products, which begin and end for each tile and chunk of the depth; the copy of the source, whose rows blocks share; C,
 * transposed; and the weight, which is new at each step where gradients are. */
static double cost(const fc_conv *problem, fc_pass pass, const fc_isa *isa)
{
    const fc_kernels *kernels = isa->kernels[problem->dtype];
    const int forward = pass == FC_FORWARD, channels_first = problem->layout == FC_CHANNELS_FIRST;
    const int64_t outs = (forward ? problem->out_channels : problem->in_channels) / problem->groups;
    const int64_t ins = (forward ? problem->in_channels : problem->out_channels) / problem->groups;
    const int64_t *to = forward ? problem->out_size : problem->in_size, *from = forward ? problem->in_size : problem->out_size;
    const double images = (double)problem->batch * (double)problem->groups, taps = (double)fc_taps(problem);
    const double pixels = images * (double)fc_volume(to), lanes = (double)fc_round_up(outs, kernels->lanes);
    const double vectors = 16.0 / kernels->lanes, panels = (double)fc_panel_count(kernels, outs);
    const double depth = (double)ins * taps, chunks = ceil(depth / DEPTH);
    const double shared = (double)(problem->kernel[1] - 1) * (double)problem->dilation[1] / (double)(PIXELS / to[2] + 1);
    const double copied = images * (double)ins * (double)fc_volume(from) * (1 + shared / (double)problem->stride[1]);
    const double narrow = lanes / kernels->lanes / panels; /* vectors of a panel: few of them wait for what is broadcast */
    const double loss = 0.95 + 0.2 / (narrow * narrow) + (taps > 1 ? channels_first ? 0.05 : 0.12 : 0);
    return 3000 + images * 500 + pixels * lanes * depth / fc_multiply_adds_per_ns(isa, problem->dtype) * loss +
           pixels * panels * chunks * 4 + copied * (taps > 1 ? 0.3 : 0) + (channels_first ? pixels * lanes * 0.3 * vectors : 0) +
           (double)problem->groups * lanes * depth * (forward ? 0.05 : 0.4) * vectors;
}

/* ---- the weight ---- */

static size_t packed(const fc_plan *plan)
{
    return (size_t)(plan->problem.groups * fc_panels_elements(plan, fc_taps(&plan->problem))) *
           fc_element_bytes(plan->problem.dtype);
}

static void pack(const fc_plan *plan, const void *weight, void *packed, int threads)
{
    fc_pack_panels(plan, weight, NULL, fc_taps(&plan->problem), packed, threads);
}

/* ---- blocks ---- */

/* The box of the grid around a block's outputs: rows, of one plane or of all, and a range of columns. */
typedef struct {
    int64_t first[3], last[3];
    int64_t row, rows; /* of the grid, flat */
} box;

static box block_box(const job *j, int64_t row_block, int64_t column_block)
{
    const int64_t *out = j->window.out, all = out[0] * out[1];
    const int64_t row = all * row_block / j->row_blocks, end = all * (row_block + 1) / j->row_blocks;
    const int one_plane = row / out[1] == (end - 1) / out[1];
    return (box){{row / out[1], one_plane ? row % out[1] : 0, out[2] * column_block / j->column_blocks},
                 {(end - 1) / out[1] + 1, one_plane ? (end - 1) % out[1] + 1 : out[1],
                  out[2] * (column_block + 1) / j->column_blocks},
                 row, end - row};
}

/* What outputs [first, last) along dimension d see of the source: so many coordinates, from *begin on. */
static int64_t seen(const fc_window *window, int d, int64_t first, int64_t last, int64_t *begin)
{
    *begin = first * window->step[d] + window->origin[d] + fc_smaller(0, (window->taps[d] - 1) * window->tap_step[d]);
    return (last - 1 - first) * window->step[d] + fc_window_reach(window, d) + 1;
}

static int within_source(const fc_window *window)
{
    for (int d = 0; d < 3; d++) {
        int64_t begin;
        const int64_t count = seen(window, d, 0, window->out[d], &begin);
        if (begin < 0 || begin + count > window->in[d])
            return 0;
    }
    return 1;
}

/* Blocks of about PIXELS pixels, whole rows where they are short, and ranges of panels, so that every thread is busy. */
static void cut(job *j, int threads)
{
    const fc_conv *p = &j->plan->problem;
    const int64_t *out = j->window.out, lanes = j->kernels->lanes, panel = j->kernels->tile_vectors * lanes;
    const int64_t element = (int64_t)fc_element_bytes(p->dtype);
    j->column_blocks = fc_divide_up(out[2], PIXELS);
    j->columns = fc_divide_up(out[2], j->column_blocks);
    const int64_t fewest = fc_divide_up(out[0] * out[1], j->column_blocks > 1 ? 1 : fc_larger(1, PIXELS / out[2]));
    double best = INFINITY;
    for (int64_t row_blocks = fewest; row_blocks < fc_smaller(out[0] * out[1] + 1, fewest + threads); row_blocks++) {
        const int64_t rows = fc_divide_up(out[0] * out[1], row_blocks);
        const double pixels = (double)(out[0] * out[1] * j->columns) / (double)row_blocks;
        const int64_t least = fc_divide_up(j->panels * panel * rows * j->columns * element, BLOCK_BYTES);
        for (int64_t blocks = fc_smaller(least, j->panels); blocks <= fc_smaller(j->panels, least + 2 * threads); blocks++) {
            const int64_t tasks = p->batch * p->groups * row_blocks * j->column_blocks * blocks;
            const double work = (pixels + PANEL_PIXELS) * ((double)(j->panels * panel) / (double)blocks + 2);
            const double time = (double)fc_divide_up(tasks, threads) * work;
            if (time < best) {
                best = time;
                j->row_blocks = row_blocks;
                j->rows = rows;
                j->panel_blocks = blocks;
            }
        }
    }
    j->c_pitch = fc_divide_up(j->panels, j->panel_blocks) * panel;
}

static job make_job(const fc_plan *plan, const fc_operands *operands, int threads)
{
    const fc_conv *p = &plan->problem;
    const int forward = plan->pass == FC_FORWARD;
    const int64_t element = (int64_t)fc_element_bytes(p->dtype), lanes = plan->isa->kernels[p->dtype]->lanes;
    const int64_t channels = forward ? p->in_channels : p->out_channels;
    int64_t from[5];
    job j = {.plan = plan, .operands = operands, .kernels = plan->isa->kernels[p->dtype], .taps = fc_taps(p)};
    if (forward) {
        j.window = fc_forward_window(p);
    } else {
        fc_phase phase;
        fc_phase_make(p, 0, &phase); /* the only one, of stride 1 */
        j.window = phase.window;
    }
    j.outs = (forward ? p->out_channels : p->in_channels) / p->groups;
    j.panels = fc_panel_count(j.kernels, j.outs);
    fc_tensor_strides(p->layout, channels, forward ? p->in_size : p->out_size, from);
    fc_tensor_strides(p->layout, forward ? p->out_channels : p->in_channels, forward ? p->out_size : p->in_size, j.target);
    j.source_image = from[0];
    j.source_group = channels / p->groups * from[1];
    j.channels_together = fc_larger(1, DEPTH / j.taps);
    j.channels_together = fc_divide_up(j.window.channels, fc_divide_up(j.window.channels, j.channels_together));
    cut(&j, threads);
    j.in_place = within_source(&j.window);
    j.room_channel = from[1];
    for (int d = 0; d < 3; d++)
        j.room_stride[d] = from[2 + d];
    if (!j.in_place) {
        /* the largest box: of several planes a block may see the end of one and the beginning of the next */
        const int64_t *out = j.window.out, planes = fc_smaller(out[0], fc_divide_up(j.rows - 1, out[1]) + 1);
        const int64_t box_size[3] = {planes, planes > 1 ? out[1] : j.rows, j.columns};
        int64_t most[3], begin;
        for (int d = 0; d < 3; d++)
            most[d] = seen(&j.window, d, 0, box_size[d], &begin);
        const int channels_last = p->layout == FC_CHANNELS_LAST;
        j.room_channel = channels_last ? 1 : fc_volume(most);
        j.room_stride[2] = channels_last ? j.channels_together : 1;
        j.room_stride[1] = most[2] * j.room_stride[2];
        j.room_stride[0] = most[1] * j.room_stride[1];
        j.room_bytes = (size_t)fc_round_up((fc_volume(most) * j.channels_together + lanes) * element, 128);
    }
    if (p->layout == FC_CHANNELS_FIRST)
        j.c_bytes = (size_t)fc_round_up(j.rows * j.columns * j.c_pitch * element, 128);
    const size_t rows_bytes = (size_t)fc_round_up(j.rows * j.columns * (int64_t)sizeof(int64_t), 128);
    j.thread_bytes = j.room_bytes + j.c_bytes + rows_bytes;
    return j;
}

static size_t depths_bytes(const job *j)
{
    return (size_t)fc_round_up(j->channels_together * j->taps * (int64_t)sizeof(int64_t), 128);
}

static void list_depths(const job *j, int64_t *depths)
{
    const fc_window *window = &j->window;
    for (int64_t c = 0; c < j->channels_together; c++)
        for (int64_t t = 0; t < j->taps; t++) {
            const int64_t tap[3] = {t / (window->taps[1] * window->taps[2]), t / window->taps[2] % window->taps[1],
                                    t % window->taps[2]};
            int64_t offset = c * j->room_channel;
            for (int d = 0; d < 3; d++) {
                const int64_t behind = window->tap_step[d] < 0 ? window->taps[d] - 1 : 0; /* the tap that sees the first */
                offset += (tap[d] - behind) * window->tap_step[d] * j->room_stride[d];
            }
            *depths++ = offset;
        }
}

/* ---- a task ---- */

/* Channels [first, last) of what the box sees, with zeros around the source. */
static void copy_source(const job *j, const box *b, const char *source, int64_t first, int64_t last, char *room)
{
    const int64_t element = (int64_t)fc_element_bytes(j->plan->problem.dtype);
    int64_t begin[3], length[3];
    fc_window window = j->window;
    for (int d = 0; d < 3; d++) {
        length[d] = seen(&j->window, d, b->first[d], b->last[d], &begin[d]);
        window.step[d] = window.taps[d] = window.tap_step[d] = 1;
        window.origin[d] = 0;
    }
    length[1] = j->room_stride[0] / j->room_stride[1]; /* rows and planes as far apart as in the largest block */
    length[2] = j->room_stride[1] / j->room_stride[2];
    if (j->plan->problem.layout == FC_CHANNELS_LAST) {
        for (int d = 0; d < 3; d++) {
            window.out[d] = length[d];
            window.origin[d] = begin[d];
        }
        j->kernels->pack_rows(&window, source, 0, fc_volume(length), first, last, room, j->room_stride[2]);
        return;
    }
    for (int64_t c = first; c < last; c++)
        j->kernels->pack_plane(&window, begin, length, 0, source + c * window.channel_stride * element,
                               room + (c - first) * j->room_channel * element);
}

/* Pixels of a block that lie one or two elements apart, as the kernel likes them best: a row of the map, or all, where the rows
 * follow each other.  0: rows of other strides, or too short for as many sums as the units need. */
static int64_t run_of(const job *j, int64_t columns)
{
    const int64_t apart = j->room_stride[2] * j->window.step[2];
    if (apart > 2)
        return 0;
    const int64_t row = j->room_stride[1] * j->window.step[1], plane = j->room_stride[0] * j->window.step[0];
    const int one_run = row == columns * apart && (j->window.out[0] == 1 || plane == row * j->window.out[1]);
    return one_run ? j->rows * columns : columns < LEAST_RUN ? 0 : columns;
}

static void task(void *context, int64_t task, int thread)
{
    const job *j = context;
    const fc_conv *p = &j->plan->problem;
    const fc_window *window = &j->window;
    const int64_t element = (int64_t)fc_element_bytes(p->dtype), lanes = j->kernels->lanes;
    const int channels_first = p->layout == FC_CHANNELS_FIRST, forward = j->plan->pass == FC_FORWARD;
    const int64_t part = task % j->panel_blocks, column_block = task / j->panel_blocks % j->column_blocks;
    const int64_t row_block = task / (j->panel_blocks * j->column_blocks) % j->row_blocks;
    const int64_t product = task / (j->panel_blocks * j->column_blocks * j->row_blocks);
    const int64_t group = product % p->groups, image = product / p->groups;
    const int64_t p0 = j->panels * part / j->panel_blocks, p1 = j->panels * (part + 1) / j->panel_blocks;
    const int64_t out0 = fc_panel_first(j->kernels, j->outs, p0), out1 = fc_panel_first(j->kernels, j->outs, p1);
    const box b = block_box(j, row_block, column_block);
    const int64_t columns = b.last[2] - b.first[2], pixels = b.rows * columns;

    char *room = j->workspace + (size_t)thread * j->thread_bytes, *room_c = room + j->room_bytes;
    int64_t *rows = (int64_t *)(room_c + j->c_bytes), begin[3];
    for (int64_t row = 0, n = 0; row < b.rows; row++) {
        const int64_t z = (b.row + row) / window->out[1] - b.first[0], y = (b.row + row) % window->out[1] - b.first[1];
        const int64_t first = z * window->step[0] * j->room_stride[0] + y * window->step[1] * j->room_stride[1];
        for (int64_t x = 0; x < columns; x++)
            rows[n++] = first + x * window->step[2] * j->room_stride[2];
    }
    const char *source = (const char *)(forward ? j->operands->input : j->operands->output) +
                         (image * j->source_image + group * j->source_group) * element;
    int64_t corner = 0;
    for (int d = 0; d < 3; d++) {
        seen(window, d, b.first[d], b.last[d], &begin[d]);
        corner += begin[d] * window->stride[d];
    }
    char *target = (char *)(forward ? j->operands->output : j->operands->input) +
                   (image * j->target[0] + (group * j->outs + out0) * j->target[1] +
                    (b.row * window->out[2] + b.first[2]) * j->target[4]) * element;
    char *c = channels_first ? room_c : target;
    const int64_t c_row = channels_first ? j->c_pitch : j->target[4];
    const char *weight = (const char *)j->operands->packed + group * fc_panels_elements(j->plan, j->taps) * element;
    const char *bias = j->operands->bias ? (const char *)j->operands->bias + (group * j->outs + out0) * element : NULL;

    const int64_t depth = window->channels * j->taps, run = run_of(j, columns);
    for (int64_t k = 0; k < depth;) {
        const int64_t channel = k / j->taps, last_channel = fc_smaller(window->channels, channel + j->channels_together);
        const char *from = source + (channel * window->channel_stride + corner) * element;
        if (!j->in_place) {
            from = room;
            if (k % j->taps == 0)
                copy_source(j, &b, source, channel, last_channel, room);
        }
        const int64_t end = j->channels_together > 1 ? last_channel * j->taps : fc_smaller(k + DEPTH, last_channel * j->taps);
        fc_panel panel = {.depth = end - k, .a_rows = run ? NULL : rows, .a_row = j->room_stride[2] * window->step[2],
                          .a_depths = j->depths + k % j->taps, .c_row = c_row, .accumulate = k > 0, .low = -INFINITY, .high = INFINITY};
        if (end == depth && (j->operands->activation == FC_RELU || j->operands->activation == FC_RELU6)) {
            panel.low = 0;
            panel.high = j->operands->activation == FC_RELU6 ? 6 : INFINITY;
        }
        for (int64_t q = p0; q < p1; q++) {
            const int64_t n0 = fc_panel_first(j->kernels, j->outs, q), n1 = fc_panel_first(j->kernels, j->outs, q + 1);
            panel.columns = n1 - n0;
            panel.b_depth = fc_round_up(n1 - n0, lanes);
            panel.b = weight + (n0 * depth + k * panel.b_depth) * element;
            panel.next = (const char *)panel.b + (q + 1 < p1 ? depth : panel.depth) * panel.b_depth * element;
            panel.column_bias = bias && end == depth ? bias + (n0 - out0) * element : NULL;
            for (int64_t n = 0; n < pixels; n += panel.rows) {
                panel.rows = run ? fc_smaller(run, pixels - n) : pixels;
                panel.a = run ? from + rows[n] * element : from;
                panel.c = c + (n * c_row + n0 - out0) * element;
                j->kernels->gemm(&panel);
            }
        }
        k = end;
    }
    for (int64_t n = 0; j->operands->activation == FC_SILU && n < pixels; n++)
        j->kernels->activate(FC_SILU, out1 - out0, c + n * c_row * element, c + n * c_row * element);
    if (channels_first)
        j->kernels->transpose(pixels, out1 - out0, c, c_row, target, j->target[1]);
}

static size_t workspace(const fc_plan *plan, int threads)
{
    const job j = make_job(plan, NULL, threads);
    return depths_bytes(&j) + j.thread_bytes * (size_t)threads;
}

static void run(const fc_plan *plan, const fc_operands *operands, void *workspace, int threads)
{
    job j = make_job(plan, operands, threads);
    j.depths = workspace;
    j.workspace = (char *)workspace + depths_bytes(&j);
    list_depths(&j, workspace);
    fc_parallel_for(plan->problem.batch * plan->problem.groups * j.row_blocks * j.column_blocks * j.panel_blocks, threads, task,
                    &j);
}

const fc_algo fc_algo_indirect = {.name = "indirect", .supports = supports, .cost = cost, .packed = packed, .pack = pack,
                                  .workspace = workspace, .run = run};

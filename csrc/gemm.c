/* Cuts a product into tasks, and each task into panels.
 *
 *                     columns                     A task is a block of rows by a block of columns of one product.
 *              +------+------+----+               It walks the depth in chunks; in each chunk a panel of B, a few
 *              |panel |panel |    |  block        vectors wide, is packed (or read in place) once and multiplied with
 *        rows  +------+------+----+  of rows      every row of the block.
 *              |      |      |    |
 *              +------+------+----+               Channels first: rows are channels, all of them in a block, and B, the
 *                                                 input's window, is one panel at a time: packed once, in L1, read by
 * every tile of rows.  Channels last: rows are pixels, a block of them is packed into L2, and B, the weight, is packed
 * beforehand.  How rows and columns are cut may follow the threads; the chunks of the depth follow the problem alone, so
 * that the bits do too. */
#include "gemm.h"
#include "algorithm.h"
#include "parallel.h"

#include <math.h>
#include <string.h>

enum {
    DEPTH_BYTES = 1024, /* of a row of A in a chunk: a panel of B is 256 x 32 floats, 32 KB, and stays in L1 */
    ROW_BLOCK = 64,     /* rows of A packed at once: 64 KB */
    TASKS = 16,         /* for each thread, of many panels each, at most */
    PACKING_ROWS = 8,   /* packing a panel costs as much as multiplying so many rows by it */
    LINES = 16,         /* of memory, of a row of B, that are fetched one behind the other: the machine then runs ahead */
};

typedef struct {
    int64_t chunk, chunks;     /* of the depth of a segment */
    int64_t panels;
    int64_t row_blocks, column_blocks;
    int64_t rows, columns;     /* the largest of a block */
    size_t a_bytes, b_bytes, c_bytes, rows_bytes, thread_bytes;
} fc_blocks;

typedef struct {
    const fc_gemm *gemm;
    const fc_kernels *kernels;
    fc_blocks blocks;
    char *workspace, *target; /* of the sum of slices */
    int streams;
} fc_gemm_job;

fc_window fc_matrix_window(int64_t channels, int64_t columns, int64_t pitch)
{
    return (fc_window){.out = {1, 1, columns}, .taps = {1, 1, 1}, .in = {1, 1, columns}, .step = {1, 1, 1},
                       .tap_step = {1, 1, 1}, .channels = channels, .channel_stride = pitch, .stride = {0, 0, 1}};
}

int64_t fc_panel_count(const fc_kernels *kernels, int64_t columns)
{
    return fc_divide_up(fc_divide_up(columns, kernels->lanes), kernels->tile_vectors);
}

int64_t fc_panel_first(const fc_kernels *kernels, int64_t columns, int64_t panel)
{
    const int64_t vectors = fc_divide_up(columns, kernels->lanes);
    return fc_smaller(columns, vectors * panel / fc_panel_count(kernels, columns) * kernels->lanes);
}

static int64_t depth_chunks(const fc_gemm *gemm)
{
    return fc_divide_up(gemm->depth, DEPTH_BYTES / (int64_t)fc_element_bytes(gemm->dtype));
}

int64_t fc_gemm_slices(const fc_gemm *gemm)
{
    enum { LEAST_TASKS = 16, LEAST_CHUNKS = 4 };
    const fc_kernels *kernels = gemm->isa->kernels[gemm->dtype];
    const int64_t tasks = gemm->images * gemm->groups * fc_panel_count(kernels, gemm->columns) *
                          fc_divide_up(gemm->rows, 4 * kernels->tile_rows);
    const int64_t most = gemm->segments * depth_chunks(gemm) / LEAST_CHUNKS;
    return fc_larger(1, fc_smaller(most, LEAST_TASKS / tasks));
}

/* The cut that keeps the busiest thread busy for the shortest time. */
static fc_blocks cut(const fc_gemm *gemm, int threads)
{
    const fc_kernels *kernels = gemm->isa->kernels[gemm->dtype];
    const int64_t products = gemm->images * gemm->groups * gemm->slices;
    const int packs_b = gemm->b.source == FC_WINDOW || gemm->b.source == FC_WINDOW_GRADIENT;
    const int row_panels = gemm->layout == FC_CHANNELS_FIRST || packs_b; /* all rows by one panel */
    fc_blocks blocks = {.chunks = depth_chunks(gemm), .panels = fc_panel_count(kernels, gemm->columns)};
    blocks.chunk = fc_divide_up(gemm->depth, blocks.chunks);
    const int64_t least = row_panels ? 1 : fc_divide_up(gemm->rows, ROW_BLOCK);
    /* Panels that take all rows are tasks of their own where the depth is summed in several steps: C then stays in cache.  Else those
     * that a thread takes at a time go together: where products are short, finding a task costs as much as a fourth of one. */
    const int64_t most_tasks = gemm->segments * blocks.chunks > 1 ? blocks.panels : fc_larger(1, (TASKS * threads - 1) / products);
    const int64_t most = row_panels ? fc_smaller(blocks.panels, most_tasks) : fc_smaller(4, blocks.panels);
    const int64_t fewest = !row_panels ? 1 : most < blocks.panels ? fc_divide_up(most, 2) : most;
    double best = INFINITY;
    for (int64_t row_blocks = least; row_blocks < least + 8; row_blocks++) {
        if (row_blocks > least && gemm->rows / row_blocks < kernels->tile_rows)
            break;
        for (int64_t column_blocks = fewest; column_blocks <= most; column_blocks++) {
            const int64_t rows = fc_divide_up(gemm->rows, row_blocks);
            const int64_t panels = fc_divide_up(blocks.panels, column_blocks);
            const double turns = (double)fc_divide_up(products * row_blocks * column_blocks, threads);
            const double time = turns * (double)((rows + (packs_b ? PACKING_ROWS : 1)) * (panels + (row_panels ? 0 : 1)));
            if (time < best) {
                best = time;
                blocks.row_blocks = row_blocks;
                blocks.column_blocks = column_blocks;
                blocks.rows = rows;
                blocks.columns = panels * kernels->tile_vectors * kernels->lanes;
            }
        }
    }
    const size_t element = fc_element_bytes(gemm->dtype);
    const int64_t panel = kernels->tile_vectors * kernels->lanes, chunk = fc_round_up(blocks.chunk, kernels->lanes);
    blocks.a_bytes = gemm->a.source == FC_IN_PLACE ? 0 : (size_t)(blocks.rows * chunk) * element;
    blocks.b_bytes = gemm->b.source == FC_PANELS ? 0 : (size_t)(panel * chunk) * element;
    blocks.rows_bytes = gemm->b.source == FC_WINDOW_GRADIENT ? blocks.b_bytes : 0;
    blocks.c_bytes = gemm->scattered ? (size_t)(blocks.rows * blocks.columns) * element : 0;
    blocks.thread_bytes = (size_t)fc_round_up(
        (int64_t)(blocks.a_bytes + blocks.b_bytes + blocks.rows_bytes + blocks.c_bytes), 128);
    return blocks;
}

/* Whether a window is a plain matrix: see fc_matrix_window. */
static int is_matrix(const fc_window *window)
{
    const int64_t *out = window->out;
    return fc_volume(window->taps) == 1 && out[0] * out[1] == 1 && out[2] == window->in[2] && window->step[2] == 1 &&
           window->origin[2] == 0;
}

/* Columns [n0, n1) of rows [k0, k1) of B: where they start, and *pitch, the stride of the depth. */
static const char *panel_of_b(const fc_gemm_job *job, const char *data, int64_t k0, int64_t k1, int64_t n0, int64_t n1,
                              char *room, char *rows_room, int64_t *pitch)
{
    const fc_gemm *gemm = job->gemm;
    const fc_kernels *kernels = job->kernels;
    const int64_t element = (int64_t)fc_element_bytes(gemm->dtype), lanes = kernels->lanes;
    const int64_t width = fc_round_up(n1 - n0, lanes);
    *pitch = width;
    switch (gemm->b.source) {
    case FC_PANELS:
        return data + (n0 * gemm->depth + k0 * width) * element;
    case FC_IN_PLACE:
        if (n1 - n0 == width) {
            *pitch = gemm->b.depth;
            return data + (k0 * gemm->b.depth + n0) * element;
        }
        kernels->pack_lanes(&gemm->b.window, data, k0, k1, n0, n1, room, width);
        return room;
    case FC_WINDOW:
        kernels->pack_lanes(&gemm->b.window, data, k0, k1, n0, n1, room, width);
        return room;
    case FC_WINDOW_GRADIENT:
        if (gemm->layout == FC_CHANNELS_LAST) {
            kernels->pack_rows(&gemm->b.window, data, k0, k1, n0, n1, room, width);
            return room;
        }
        if (is_matrix(&gemm->b.window)) {
            if (n1 - n0 < width)
                memset(room, 0, (size_t)((k1 - k0) * width * element));
            kernels->transpose(n1 - n0, k1 - k0, data + (n0 * gemm->b.window.channel_stride + k0) * element,
                               gemm->b.window.channel_stride, room, width);
            return room;
        }
        if (fc_goes_by_taps(gemm->b.window.out, gemm->b.window.taps)) {
            kernels->pack_taps(&gemm->b.window, data, k0, k1, n0, n1, room, width);
            return room;
        }
        const int64_t rows_pitch = fc_round_up(k1 - k0, lanes);
        kernels->pack_lanes(&gemm->b.window, data, n0, n1, k0, k1, rows_room, rows_pitch);
        memset(rows_room + (n1 - n0) * rows_pitch * element, 0, (size_t)((width - (n1 - n0)) * rows_pitch * element));
        kernels->transpose(width, k1 - k0, rows_room, rows_pitch, room, width);
        return room;
    }
    return NULL;
}

/* What the micro-kernel cannot clamp is done on the block while it is in cache. */
static void activate_block(const fc_gemm_job *job, char *c, int64_t rows, int64_t columns, int64_t row_stride)
{
    const int64_t element = (int64_t)fc_element_bytes(job->gemm->dtype);
    for (int64_t row = 0; row < rows; row++, c += row_stride * element)
        job->kernels->activate(job->gemm->activation, columns, c, c);
}

/* What is fetched with panel p of a B in place: a part of the panels that fill the lines to come, or, where tiles are few, their parts
 * would leave some out, or no such lines are left, the next panel. */
static void fetch_ahead(const fc_gemm_job *job, fc_panel *panel, const char *data, int64_t k0, int64_t p)
{
    const fc_gemm *gemm = job->gemm;
    const int64_t element = (int64_t)fc_element_bytes(gemm->dtype), width = job->kernels->tile_vectors * job->kernels->lanes * element;
    const int64_t panels = LINES * FC_LINE / width, part = panel->depth / LINES * width / FC_LINE;
    const int64_t coming = (p / panels + 1) * panels;
    const int in_lines = fc_divide_up(panel->rows, job->kernels->tile_rows) >= width / FC_LINE && panel->depth % LINES == 0 && part &&
                         coming < job->blocks.panels;
    const int64_t k = in_lines ? k0 + p % panels * part : k0;
    panel->next_lines = in_lines ? LINES : 0;
    panel->next_depth = gemm->b.depth;
    panel->next = data + (k * gemm->b.depth + fc_panel_first(job->kernels, gemm->columns, in_lines ? coming : p + 1)) * element;
}

static void gemm_task(void *context, int64_t task, int thread)
{
    const fc_gemm_job *job = context;
    const fc_gemm *gemm = job->gemm;
    const fc_blocks *blocks = &job->blocks;
    const int64_t element = (int64_t)fc_element_bytes(gemm->dtype);
    /* row blocks innermost: the same panel of B again, while its source is in cache */
    const int64_t row_block = task % blocks->row_blocks, column_block = task / blocks->row_blocks % blocks->column_blocks;
    const int64_t product = task / (blocks->row_blocks * blocks->column_blocks);
    const int64_t slice = product % gemm->slices, group = product / gemm->slices % gemm->groups;
    const int64_t image = product / (gemm->slices * gemm->groups);
    const int64_t r0 = gemm->rows * row_block / blocks->row_blocks, r1 = gemm->rows * (row_block + 1) / blocks->row_blocks;
    const int64_t p0 = blocks->panels * column_block / blocks->column_blocks;
    const int64_t p1 = blocks->panels * (column_block + 1) / blocks->column_blocks;
    const int64_t first_column = fc_panel_first(job->kernels, gemm->columns, p0);
    const int64_t last_column = fc_panel_first(job->kernels, gemm->columns, p1);

    char *room_a = job->workspace + (size_t)thread * blocks->thread_bytes, *room_b = room_a + blocks->a_bytes;
    char *room_rows = room_b + blocks->b_bytes, *room_c = room_rows + blocks->rows_bytes;
    const char *a = (const char *)gemm->a.data + (image * gemm->a.image + group * gemm->a.group) * element;
    const char *b = (const char *)gemm->b.data + (image * gemm->b.image + group * gemm->b.group) * element;
    char *c = (char *)gemm->c + (image * gemm->c_image + group * gemm->c_group + slice * gemm->c_slice) * element;
    char *block_c = gemm->scattered ? room_c : c + (r0 * gemm->c_row + first_column) * element;
    const int64_t c_row = gemm->scattered ? fc_round_up(last_column - first_column, job->kernels->lanes) : gemm->c_row;

    const int64_t steps = gemm->segments * blocks->chunks;
    const int64_t first_step = steps * slice / gemm->slices, last_step = steps * (slice + 1) / gemm->slices;
    for (int64_t step = first_step; step < last_step; step++) {
        const int64_t segment = step / blocks->chunks, chunk = step % blocks->chunks;
        const int64_t k0 = chunk * blocks->chunk, k1 = fc_smaller(gemm->depth, k0 + blocks->chunk);
        const char *segment_a = a + segment * gemm->a.segment * element;
        const char *segment_b = b + segment * gemm->b.segment * element;
        const int last = step == last_step - 1;
        fc_panel panel = {.rows = r1 - r0, .depth = k1 - k0, .c_row = c_row, .accumulate = step > first_step, .streams = job->streams,
                          .low = -INFINITY, .high = INFINITY};
        if (gemm->a.source == FC_IN_PLACE) {
            panel.a = segment_a + (r0 * gemm->a.row + k0 * gemm->a.depth) * element;
            panel.a_row = gemm->a.row;
            panel.a_depth = gemm->a.depth;
        } else {
            panel.a_row = fc_round_up(k1 - k0, job->kernels->lanes);
            panel.a_depth = 1;
            panel.a = room_a;
            job->kernels->pack_rows(&gemm->a.window, segment_a, r0, r1, k0, k1, room_a, panel.a_row);
        }
        if (last && (gemm->activation == FC_RELU || gemm->activation == FC_RELU6)) {
            panel.low = 0;
            panel.high = gemm->activation == FC_RELU6 ? 6 : INFINITY;
        }
        for (int64_t p = p0; p < p1; p++) {
            const int64_t n0 = fc_panel_first(job->kernels, gemm->columns, p);
            const int64_t n1 = fc_panel_first(job->kernels, gemm->columns, p + 1);
            panel.columns = n1 - n0;
            panel.b = panel_of_b(job, segment_b, k0, k1, n0, n1, room_b, room_rows, &panel.b_depth);
            panel.c = block_c + (n0 - first_column) * element;
            if (gemm->b.source == FC_IN_PLACE && n1 < gemm->columns)
                fetch_ahead(job, &panel, segment_b, k0, p);
            if (last && gemm->bias) {
                const int channels_first = gemm->layout == FC_CHANNELS_FIRST;
                const int64_t channel = channels_first ? group * gemm->rows + r0 : group * gemm->columns + n0;
                const char *bias = (const char *)gemm->bias + channel * element;
                panel.row_bias = channels_first ? bias : NULL;
                panel.column_bias = channels_first ? NULL : bias;
            }
            job->kernels->gemm(&panel);
        }
    }
    if (gemm->activation == FC_SILU)
        activate_block(job, block_c, r1 - r0, last_column - first_column, c_row);
    if (!gemm->scattered)
        return;
    if (gemm->layout == FC_CHANNELS_FIRST)
        job->kernels->scatter(gemm->grid_size, gemm->grid_stride, first_column, last_column, r1 - r0, gemm->c_row,
                              c + r0 * gemm->c_row * element, room_c, c_row, 1);
    else
        job->kernels->scatter(gemm->grid_size, gemm->grid_stride, r0, r1, last_column - first_column, 1,
                              c + first_column * element, room_c, 1, c_row);
}

/* Slices, and the order [tap, channel] of channels last, are made good at the end, a row of C at a time. */
static size_t parts_bytes(const fc_gemm *gemm)
{
    if (gemm->slices == 1 && gemm->reordered_taps <= 1)
        return 0;
    return (size_t)fc_round_up(gemm->slices * gemm->c_slice * (int64_t)fc_element_bytes(gemm->dtype), 128);
}

static void reduce_task(void *context, int64_t row, int thread)
{
    (void)thread;
    const fc_gemm_job *job = context;
    const fc_gemm *gemm = job->gemm;
    const int64_t offset = row * gemm->columns * (int64_t)fc_element_bytes(gemm->dtype), taps = fc_larger(1, gemm->reordered_taps);
    job->kernels->reduce(gemm->slices, gemm->c_slice, (const char *)gemm->c + offset, gemm->columns / taps, taps, taps > 1,
                         job->target + offset);
}

size_t fc_gemm_workspace(const fc_gemm *gemm, int threads)
{
    return parts_bytes(gemm) + cut(gemm, threads).thread_bytes * (size_t)threads;
}

/* C is stored once, where it belongs. */
static int streams(const fc_gemm *gemm, const fc_blocks *blocks)
{
    const int64_t element = (int64_t)fc_element_bytes(gemm->dtype), products = gemm->images * gemm->groups;
    return gemm->segments * blocks->chunks == 1 && !gemm->scattered && !gemm->read_again && gemm->activation != FC_SILU &&
           fc_streams(gemm->c, products * gemm->rows * gemm->columns * element, gemm->c_row * element) &&
           gemm->c_group * element % FC_LINE == 0;
}

void fc_gemm_run(const fc_gemm *given, void *workspace, int threads)
{
    fc_gemm gemm = *given;
    const size_t parts = parts_bytes(&gemm);
    const fc_blocks blocks = cut(&gemm, threads);
    fc_gemm_job job = {&gemm, gemm.isa->kernels[gemm.dtype], blocks, (char *)workspace + parts, gemm.c,
                       !parts && streams(&gemm, &blocks)};
    const int64_t tasks = gemm.images * gemm.groups * gemm.slices * job.blocks.row_blocks * job.blocks.column_blocks;
    gemm.c = parts ? workspace : gemm.c;
    fc_parallel_for(tasks, threads, gemm_task, &job);
    if (parts)
        fc_parallel_for(gemm.groups * gemm.rows, threads, reduce_task, &job);
}

/* ---- a weight as B ---- */

typedef struct {
    const fc_plan *plan;
    const int64_t *taps;
    int64_t tap_count;
    const char *weight;
    char *packed;
} weight_job;

static void pack_panel_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const weight_job *job = context;
    const fc_conv *p = &job->plan->problem;
    const fc_kernels *kernels = job->plan->isa->kernels[p->dtype];
    const int backward = job->plan->pass == FC_INPUT_GRADIENT;
    const int64_t element = (int64_t)fc_element_bytes(p->dtype), taps = fc_taps(p);
    const int64_t outs = p->out_channels / p->groups, ins = p->in_channels / p->groups;
    const int64_t columns = backward ? ins : outs, depth = backward ? outs : ins;
    const int64_t panels = fc_panel_count(kernels, columns), group = task / panels;
    const int64_t first = fc_panel_first(kernels, columns, task % panels);
    const int64_t last = fc_panel_first(kernels, columns, task % panels + 1);
    const int64_t offset = group * fc_panels_elements(job->plan, job->tap_count) + first * depth * job->tap_count;
    const int64_t width = fc_round_up(last - first, kernels->lanes), all = 0;
    const char *weight = job->weight + group * outs * ins * taps * element;
    if (!job->taps) {
        /* a channel at a time where it lies apart from the next */
        const int64_t run = backward ? taps : depth * taps, lane = backward ? taps : depth * taps;
        for (int64_t k = 0; k < depth * taps; k += run) {
            const char *from = weight + (backward ? k / taps * ins * taps : 0) * element;
            kernels->pack_weight_lanes(from, lane, run, 1, &all, 1, first, last, job->packed + (offset + k * width) * element,
                                       width);
        }
        return;
    }
    kernels->pack_weight_lanes(weight, backward ? taps : ins * taps, depth,
                               backward ? ins * taps : taps, job->taps, job->tap_count, first, last,
                               job->packed + offset * element, width);
}

int64_t fc_panels_elements(const fc_plan *plan, int64_t tap_count)
{
    const fc_conv *p = &plan->problem;
    const int64_t outs = p->out_channels / p->groups, ins = p->in_channels / p->groups;
    const int64_t lanes = plan->isa->kernels[p->dtype]->lanes;
    return (plan->pass == FC_INPUT_GRADIENT ? fc_round_up(ins, lanes) * outs : fc_round_up(outs, lanes) * ins) * tap_count;
}

void fc_pack_panels(const fc_plan *plan, const void *weight, const int64_t *taps, int64_t tap_count, void *packed, int threads)
{
    const fc_conv *p = &plan->problem;
    weight_job job = {plan, taps, tap_count, weight, packed};
    const int64_t columns = (plan->pass == FC_INPUT_GRADIENT ? p->in_channels : p->out_channels) / p->groups;
    fc_parallel_for(p->groups * fc_panel_count(plan->isa->kernels[p->dtype], columns), threads, pack_panel_task, &job);
}

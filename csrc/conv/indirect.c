/* Indirect: a dense product that reads its windows where they lie (Dukhan, The Indirect Convolution Algorithm, 2019).
 *
 *     forward           y[o][k]   =  x[at(o) + off(c,t)]   w[c,t][k]         o: output pixels; k, c: channels; t: taps
 *     input gradient    dx[i][c]  = dy[at(i) + off(k,t)]   w[k,t][c]         strand by strand (strands.h)
 *
 * The micro-kernel broadcasts one element of a window at a time, so that a window need not be packed: its element is at the
 * place of its pixel plus an offset of its channel and tap, two short tables.  The lanes are the channels that are written,
 * whatever the layout and however small the map; the weight is packed, [in channel, tap][panel of out channels].
 *
 *     a task: a block of pixels, some panels       for each chunk of the depth, a few channels:
 *       the block's part of the source, zeros          copy them, rows of pixels (nothing to copy where none see padding);
 *       around it, a chunk at a time                   multiply with each panel
 *       C [pixel][channel]                          channels first: transpose C into the output
 *
 * Where blocks share most of what they see, as with kernels that reach over many planes, images are copied as a whole before.
 *
 * Pixels that take the same taps, a strand a dimension, are multiplied together; where they are not all of a block, tables say
 * which rows of the panel they take and where their rows of C lie. */
#include "../gemm.h"
#include "../parallel.h"
#include "strands.h"

#include <math.h>
#include <string.h>

enum {
    DEPTH = 256,           /* of a chunk: a panel of it is 32 KB */
    BLOCK_BYTES = 1 << 18, /* of C */
    LEAST_RUN = 10,        /* pixels of a row of the map that are multiplied by themselves */
    PANEL_PIXELS = 4,      /* reading a panel costs as much as multiplying it with so many pixels */
    HEAD_BYTES = 128,      /* before the packed weight: whether it is finite */
};

/* The pixels of one strand in each dimension, and the tables of their products, [channels_together * taps]. */
typedef struct {
    const fc_strand *along[3];
    int64_t taps;
    const int64_t *depths, *panel_rows;
} piece;

typedef struct {
    const fc_plan *plan;
    const fc_operands *operands;
    const fc_kernels *kernels;
    fc_strands strands;
    int64_t ins, outs;        /* channels read and written, of a group */
    int64_t source[5], target[5]; /* strides of the tensors */
    const int64_t *in, *out;  /* their sizes */
    int64_t rows, columns;    /* of the target in a block */
    int64_t row_blocks, column_blocks, panels, panel_blocks;
    int64_t pieces, taps, channels_together; /* taps: of all pieces */
    int in_place, at_once;    /* the source is read where it lies; or its images are copied as a whole, so many at a time */
    int64_t images, first_image;
    int64_t begin[3], length[3]; /* of the copy of an image: coordinates of its first element, and its size */
    int64_t room_channel, room_stride[3]; /* of the source, of the copy of an image, or of that of a chunk */
    int64_t c_pitch;
    size_t pieces_bytes, tables_bytes, copy_bytes, room_bytes, c_bytes, thread_bytes;
    const piece *piece;
    char *copy, *workspace;
} job;

/* The outputs [*first, *last) of a strand that lie in [begin, end) of its dimension. */
static void outputs_within(const fc_strand *strand, int64_t begin, int64_t end, int64_t *first, int64_t *last)
{
    *first = fc_divide_up(fc_larger(0, begin - strand->first), strand->step);
    *last = fc_smaller(strand->count, fc_divide_up(fc_larger(0, end - strand->first), strand->step));
}

/* What pixels [first, last) along dimension d see of the source: so many coordinates, from *begin on. */
static int64_t seen(const fc_strands *strands, int d, int64_t first, int64_t last, int64_t *begin)
{
    int64_t least = INT64_MAX, most = INT64_MIN;
    for (int64_t s = 0; s < strands->count[d]; s++) {
        const fc_strand *strand = &strands->of[d][s];
        const int64_t reach = (strand->taps - 1) * strand->source_tap;
        int64_t i0, i1;
        outputs_within(strand, first, last, &i0, &i1);
        if (!strand->taps || i0 >= i1)
            continue;
        least = fc_smaller(least, strand->source + i0 * strand->source_step + fc_smaller(0, reach));
        most = fc_larger(most, strand->source + (i1 - 1) * strand->source_step + fc_larger(0, reach));
    }
    *begin = least > most ? 0 : least;
    return least > most ? 1 : most - least + 1;
}

/* The most that so many pixels see, wherever they lie. */
static int64_t most_seen(const fc_strands *strands, int d, int64_t pixels)
{
    int64_t least = INT64_MAX, most = INT64_MIN;
    const int64_t step = strands->of[d][0].step, source_step = strands->of[d][0].source_step;
    for (int64_t s = 0; s < strands->count[d]; s++) {
        const fc_strand *strand = &strands->of[d][s];
        const int64_t reach = (strand->taps - 1) * strand->source_tap;
        if (!strand->taps)
            continue;
        least = fc_smaller(least, strand->source + fc_smaller(0, reach));
        most = fc_larger(most, strand->source + fc_larger(0, reach));
    }
    const int64_t outputs = step == 1 ? pixels : fc_divide_up(pixels, step) + 1;
    return least > most ? 1 : (outputs - 1) * source_step + most - least + 1;
}

/* What blocks of so many rows and columns see of the source: of each dimension, the most that one does, and all of them together. */
typedef struct {
    int64_t most[3], all[3], begin[3];
    int within; /* the source */
} sight;

static sight sight_of(const fc_strands *strands, const int64_t in[3], const int64_t out[3], int64_t rows, int64_t columns)
{
    /* of several planes a block may see the end of one and the beginning of the next */
    const int64_t planes = fc_smaller(out[0], fc_divide_up(rows - 1, out[1]) + 1);
    const int64_t box_size[3] = {planes, planes > 1 ? out[1] : rows, columns};
    sight s = {.within = 1};
    for (int d = 0; d < 3; d++) {
        s.most[d] = most_seen(strands, d, box_size[d]);
        s.all[d] = seen(strands, d, 0, out[d], &s.begin[d]);
        s.within = s.within && s.begin[d] >= 0 && s.begin[d] + s.all[d] <= in[d];
    }
    return s;
}

/* The same of blocks as large as they may be; their rows. */
static sight sight_of_blocks(const fc_conv *problem, fc_pass pass, const fc_strands *strands, int64_t *rows)
{
    const int forward = pass == FC_FORWARD;
    const int64_t *to = forward ? problem->out_size : problem->in_size, *from = forward ? problem->in_size : problem->out_size;
    *rows = fc_smaller(to[0] * to[1], fc_larger(1, FC_BLOCK_PIXELS / to[2]));
    return sight_of(strands, from, to, *rows, fc_smaller(to[2], FC_BLOCK_PIXELS));
}

/* What a block sees of a channel, with all padding, for a weight that is not finite. */
static int reaches_too_far(const fc_conv *problem, fc_pass pass)
{
    enum { MOST = 1 << 21 /* elements */ };
    const fc_strands strands = fc_strands_make(problem, pass, 0);
    int64_t rows;
    const sight sight = sight_of_blocks(problem, pass, &strands, &rows);
    double elements = 1;
    for (int d = 0; d < 3; d++)
        elements *= (double)sight.most[d];
    return elements > MOST;
}

static const char *supports(const fc_conv *problem, fc_pass pass)
{
    if (pass == FC_WEIGHT_GRADIENT)
        return "computes convolutions and the gradient of their input only";
    if (fc_too_many_strands(problem, pass))
        return "needs a smaller stride for the gradient of the input";
    return reaches_too_far(problem, pass) ? "needs a kernel that reaches over fewer elements" : NULL;
}

/* Whether to copy images as a whole, rather than what each of some blocks sees. */
static int copies_images(const fc_conv *problem, const sight *sight, int64_t channels, int64_t blocks)
{
    const int64_t all = fc_volume(sight->all);
    return problem->layout == FC_CHANNELS_FIRST && blocks * fc_volume(sight->most) > 2 * all &&
           all * channels * (int64_t)fc_element_bytes(problem->dtype) <= FC_COPY_BYTES;
}

/* Products, which begin and end for each tile and chunk of the depth; the copy of the source, whose rows blocks share; C,
 * transposed; and the weight, which is new at each step where gradients are. */
static double cost(const fc_conv *problem, fc_pass pass, const fc_isa *isa)
{
    const fc_kernels *kernels = isa->kernels[problem->dtype];
    const int forward = pass == FC_FORWARD, channels_first = problem->layout == FC_CHANNELS_FIRST;
    const int64_t outs = (forward ? problem->out_channels : problem->in_channels) / problem->groups;
    const int64_t ins = (forward ? problem->in_channels : problem->out_channels) / problem->groups;
    const int64_t *to = forward ? problem->out_size : problem->in_size;
    const double images = (double)problem->batch * (double)problem->groups, taps = (double)fc_taps(problem);
    const double pixels = images * (double)fc_volume(to), lanes = (double)fc_round_up(outs, kernels->lanes);
    const double vectors = 16.0 / kernels->lanes, panels = (double)fc_panel_count(kernels, outs);
    const double strided = pass == FC_INPUT_GRADIENT ? (double)fc_volume(problem->stride) : 1;
    const fc_strands strands = fc_strands_make(problem, pass, 1);
    const double share = strands.share, depth = (double)ins * taps, chunks = ceil(depth * share / strided / DEPTH);
    /* of a block: rows, and the pieces that they are of */
    int64_t rows;
    const sight sight = sight_of_blocks(problem, pass, &strands, &rows);
    const int64_t planes = fc_divide_up(rows, to[1]), columns = strands.count[2] * fc_divide_up(to[2], FC_BLOCK_PIXELS);
    const int64_t pieces = columns * fc_smaller(rows, strands.count[1] * fc_smaller(planes, strands.count[0]));
    const int64_t blocks = fc_divide_up(to[0] * to[1], rows);
    const double products_begun = images * (double)(blocks * pieces), tile = (double)(rows * to[2]) / (double)pieces;
    const int at_once = copies_images(problem, &sight, ins * problem->groups, blocks);
    const double copied = sight.within ? 0 : at_once ? (double)fc_volume(sight.all) : (double)(blocks * fc_volume(sight.most));
    const double copied_rows = copied / (double)(at_once ? sight.all[2] : sight.most[2]);
    const double narrow = lanes / kernels->lanes / panels; /* vectors of a panel: few of them wait for what is broadcast */
    const int borders = strands.effort != 1;               /* of which most blocks have a few small pieces, beside a large one */
    const double tables = strands.whole || borders ? 0.2 : 0.5; /* what tells where each row lies */
    const double loss = 0.95 + tables / (narrow * narrow) + (taps > 1 ? channels_first ? 0.05 : 0.12 : 0) + (strided > 1 ? 0.1 : 0);
    const double short_tiles = strands.whole || borders ? 1 : (tile + 3) / (tile + 3.0 * (double)pieces / FC_BLOCK_PIXELS);
    const double products = fc_dense_multiply_adds(problem, pass) * lanes / (double)outs * (borders ? strands.effort : share);
    return 3000 + images * 500 + products / fc_multiply_adds_per_ns(isa, problem->dtype) * loss * short_tiles +
           pixels * panels * chunks * 4 + products_begun * panels * chunks * (strands.whole || borders ? 60 : 200) +
           images * (double)ins * (copied * (at_once ? 0.4 : 0.3) + copied_rows * 2) +
           (channels_first ? pixels * lanes * 0.3 * vectors : 0) +
           (double)fc_volume(strands.count) * 4 * (double)fc_smaller(ins * fc_taps(problem), DEPTH) +
           (double)problem->groups * lanes * depth * (forward ? 0.05 : 0.4) * vectors;
}

/* ---- the weight ---- */

static size_t packed(const fc_plan *plan)
{
    return HEAD_BYTES + (size_t)(plan->problem.groups * fc_panels_elements(plan, fc_taps(&plan->problem))) *
                            fc_element_bytes(plan->problem.dtype);
}

static void pack(const fc_plan *plan, const void *weight, void *packed, int threads)
{
    const fc_conv *p = &plan->problem;
    *(int *)packed = fc_all_finite(plan, weight, p->out_channels * (p->in_channels / p->groups) * fc_taps(p), threads);
    fc_pack_panels(plan, weight, NULL, fc_taps(p), (char *)packed + HEAD_BYTES, threads);
}

/* A weight that is not finite shows where it meets padding. */
static int may_cut(const fc_plan *plan, const fc_operands *operands)
{
    return plan->pass == FC_INPUT_GRADIENT || *(const int *)operands->packed;
}

/* ---- blocks ---- */

/* The box of the target around a block's pixels: rows, of one plane or of all, and a range of columns. */
typedef struct {
    int64_t first[3], last[3];
    int64_t row, rows; /* of the target, flat */
} box;

static box block_box(const job *j, int64_t row_block, int64_t column_block)
{
    const int64_t *out = j->out, all = out[0] * out[1];
    const int64_t row = all * row_block / j->row_blocks, end = all * (row_block + 1) / j->row_blocks;
    const int one_plane = row / out[1] == (end - 1) / out[1];
    return (box){{row / out[1], one_plane ? row % out[1] : 0, out[2] * column_block / j->column_blocks},
                 {(end - 1) / out[1] + 1, one_plane ? (end - 1) % out[1] + 1 : out[1],
                  out[2] * (column_block + 1) / j->column_blocks},
                 row, end - row};
}

/* Blocks of about FC_BLOCK_PIXELS pixels, whole rows where they are short, and ranges of panels, so that every thread is busy. */
static void cut(job *j, int threads)
{
    const fc_conv *p = &j->plan->problem;
    const int64_t *out = j->out, lanes = j->kernels->lanes, panel = j->kernels->tile_vectors * lanes;
    const int64_t element = (int64_t)fc_element_bytes(p->dtype);
    j->column_blocks = fc_divide_up(out[2], FC_BLOCK_PIXELS);
    j->columns = fc_divide_up(out[2], j->column_blocks);
    const int64_t fewest = fc_divide_up(out[0] * out[1], j->column_blocks > 1 ? 1 : fc_larger(1, FC_BLOCK_PIXELS / out[2]));
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

static int64_t piece_taps(const fc_strands *strands, int64_t index, piece *to)
{
    int64_t taps = 1;
    for (int d = 2; d >= 0; index /= strands->count[d--]) {
        const fc_strand *strand = &strands->of[d][index % strands->count[d]];
        taps *= strand->taps;
        if (to)
            to->along[d] = strand;
    }
    return taps;
}

static job make_job(const fc_plan *plan, const fc_operands *operands, int cuts, int threads)
{
    const fc_conv *p = &plan->problem;
    const int forward = plan->pass == FC_FORWARD, channels_last = p->layout == FC_CHANNELS_LAST;
    const int64_t element = (int64_t)fc_element_bytes(p->dtype), lanes = plan->isa->kernels[p->dtype]->lanes;
    job j = {.plan = plan, .operands = operands, .kernels = plan->isa->kernels[p->dtype],
             .strands = fc_strands_make(p, plan->pass, cuts),
             .ins = (forward ? p->in_channels : p->out_channels) / p->groups,
             .outs = (forward ? p->out_channels : p->in_channels) / p->groups,
             .in = forward ? p->in_size : p->out_size, .out = forward ? p->out_size : p->in_size};
    fc_tensor_strides(p->layout, p->in_channels, p->in_size, forward ? j.source : j.target);
    fc_tensor_strides(p->layout, p->out_channels, p->out_size, forward ? j.target : j.source);
    int64_t most_taps = 1;
    j.pieces = fc_volume(j.strands.count);
    for (int64_t i = 0; i < j.pieces; i++) {
        const int64_t taps = piece_taps(&j.strands, i, NULL);
        most_taps = fc_larger(most_taps, taps);
        j.taps += taps;
    }
    j.channels_together = fc_larger(1, (j.strands.whole ? DEPTH : 2 * DEPTH) / most_taps);
    j.channels_together = fc_divide_up(j.ins, fc_divide_up(j.ins, j.channels_together));
    j.panels = fc_panel_count(j.kernels, j.outs);
    cut(&j, threads);
    const sight sight = sight_of(&j.strands, j.in, j.out, j.rows, j.columns);
    const int64_t channels = j.ins * p->groups;
    j.in_place = sight.within;
    j.at_once = !j.in_place && copies_images(p, &sight, channels, j.row_blocks * j.column_blocks);
    j.images = p->batch;
    j.room_channel = j.source[1];
    for (int d = 0; d < 3; d++)
        j.room_stride[d] = j.source[2 + d];
    if (!j.in_place) {
        const int64_t *size = j.at_once ? sight.all : sight.most;
        j.room_channel = channels_last ? 1 : j.at_once ? fc_round_up(fc_volume(size) + lanes, lanes) : fc_volume(size);
        j.room_stride[2] = channels_last ? j.channels_together : 1;
        j.room_stride[1] = size[2] * j.room_stride[2];
        j.room_stride[0] = size[1] * j.room_stride[1];
        if (j.at_once) {
            const int64_t image = channels * j.room_channel * element;
            memcpy(j.begin, sight.begin, sizeof j.begin);
            memcpy(j.length, sight.all, sizeof j.length);
            j.images = fc_smaller(p->batch, fc_larger(1, FC_COPY_BYTES / image));
            j.copy_bytes = fc_whole_lines(j.images * image);
        } else {
            j.room_bytes = fc_whole_lines((fc_volume(size) * j.channels_together + lanes) * element);
        }
    }
    if (!channels_last)
        j.c_bytes = fc_whole_lines(j.rows * j.columns * j.c_pitch * element);
    j.pieces_bytes = fc_whole_lines(j.pieces * (int64_t)sizeof(piece));
    j.tables_bytes = fc_whole_lines((2 * j.channels_together * j.taps + FC_AHEAD) * (int64_t)sizeof(int64_t));
    j.thread_bytes = j.room_bytes + j.c_bytes + fc_whole_lines((2 * j.rows * j.columns + j.pieces) * (int64_t)sizeof(int64_t));
    return j;
}

static void list_pieces(const job *j, piece *pieces, int64_t *tables)
{
    const int64_t *kernel = j->plan->problem.kernel, all = fc_volume(kernel);
    for (int64_t i = 0; i < j->pieces; i++) {
        const int64_t taps = piece_taps(&j->strands, i, &pieces[i]), count = j->channels_together * taps;
        const fc_strand *const *along = pieces[i].along;
        int64_t *depths = tables, *panel_rows = tables + count;
        pieces[i].taps = taps;
        pieces[i].depths = depths;
        pieces[i].panel_rows = panel_rows;
        tables += 2 * count;
        for (int64_t c = 0; c < j->channels_together; c++)
            for (int64_t t = 0; t < taps; t++) {
                const int64_t tap[3] = {t / (along[1]->taps * along[2]->taps), t / along[2]->taps % along[1]->taps,
                                        t % along[2]->taps};
                int64_t offset = c * j->room_channel, place = 0;
                for (int d = 0; d < 3; d++) {
                    offset += tap[d] * along[d]->source_tap * j->room_stride[d];
                    place = place * kernel[d] + along[d]->first_tap + tap[d] * along[d]->tap_step;
                }
                *depths++ = offset;
                *panel_rows++ = c * all + place;
            }
    }
}

/* ---- a task ---- */

/* Channels [first, last) of what the box sees, from coordinates `begin` on, with zeros around the source. */
static void copy_source(const job *j, const int64_t begin[3], const int64_t length[3], const char *source, int64_t first,
                        int64_t last, char *room)
{
    const int64_t element = (int64_t)fc_element_bytes(j->plan->problem.dtype);
    const int channels_last = j->plan->problem.layout == FC_CHANNELS_LAST;
    fc_window window = {.channels = j->ins, .channel_stride = j->source[1], .taps = {1, 1, 1}, .step = {1, 1, 1},
                        .tap_step = {1, 1, 1}};
    for (int d = 0; d < 3; d++) {
        window.out[d] = length[d];
        window.in[d] = j->in[d];
        window.stride[d] = j->source[2 + d];
        window.origin[d] = channels_last ? begin[d] : 0;
    }
    if (channels_last) {
        j->kernels->pack_rows(&window, source, 0, fc_volume(length), first, last, room, j->room_stride[2]);
        return;
    }
    for (int64_t c = first; c < last; c++)
        j->kernels->pack_plane(&window, begin, length, 0, source + c * window.channel_stride * element,
                               room + (c - first) * j->room_channel * element);
}

/* A channel of an image, where images are copied as a whole. */
static void copy_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const job *j = context;
    const fc_conv *p = &j->plan->problem;
    const int64_t element = (int64_t)fc_element_bytes(p->dtype), channels = j->ins * p->groups, channel = task % channels;
    const char *source = j->plan->pass == FC_FORWARD ? j->operands->input : j->operands->output;
    copy_source(j, j->begin, j->length, source + (j->first_image + task / channels) * j->source[0] * element, channel, channel + 1,
                j->copy + task * j->room_channel * element);
}

/* What to bring into the cache: rows and columns [from, to) of channels [first, last). */
typedef struct {
    const char *source;
    int64_t from[3], to[3], first, last;
} fetch;

static fetch fetch_of(const job *j, const box *b, const char *source, int64_t first, int64_t last)
{
    fetch f = {.source = source, .first = first, .last = last};
    for (int d = 0; d < 3; d++) {
        const int64_t count = seen(&j->strands, d, b->first[d], b->last[d], &f.from[d]);
        f.to[d] = fc_smaller(j->in[d], f.from[d] + count);
        f.from[d] = fc_larger(0, f.from[d]);
    }
    return f;
}

/* While another chunk is multiplied, a part with each product: rows of this length are too short for the machine to foresee, and it
 * fetches only so many lines at once. */
static void fetch_channels(const job *j, const fetch *f, int64_t first, int64_t last)
{
    const int64_t element = (int64_t)fc_element_bytes(j->plan->problem.dtype);
    const int64_t step = j->strands.whole && j->strands.of[1][0].taps == 1 ? j->strands.of[1][0].source_step : 1;
    const int64_t lines = f->to[1] - f->from[1];
    const int one_run = step == 1 && j->source[3] == f->to[2] - f->from[2]; /* whole rows, one behind the other */
    const int64_t rows = one_run ? 1 : fc_divide_up(lines, step), row = (f->to[2] - f->from[2]) * (one_run ? lines : 1);
    for (int64_t c = first; c < last; c++)
        for (int64_t z = f->from[0]; z < f->to[0]; z++)
            for (int64_t y = 0; y < rows; y++) {
                const int64_t place = c * j->source[1] + z * j->source[2] + (f->from[1] + y * step) * j->source[3] + f->from[2];
                for (int64_t x = 0; x < row * element; x += FC_LINE)
                    __builtin_prefetch(f->source + place * element + x, 0, 2);
            }
}

/* Pixels of a block that lie one or two elements apart, as the kernel likes them best: a row of the map, or all, where the rows
 * follow each other.  0: rows of other strides, or too short for as many sums as the units need; or not all take the same taps. */
static int64_t run_of(const job *j, int64_t columns)
{
    const fc_strand *along[3] = {&j->strands.of[0][0], &j->strands.of[1][0], &j->strands.of[2][0]};
    const int64_t apart = j->room_stride[2] * along[2]->source_step;
    if (apart > 2 || !j->strands.whole)
        return 0;
    const int64_t row = j->room_stride[1] * along[1]->source_step, plane = j->room_stride[0] * along[0]->source_step;
    const int one_run = row == columns * apart && (j->out[0] == 1 || plane == row * j->out[1]);
    return one_run ? j->rows * columns : columns < LEAST_RUN ? 0 : columns;
}

/* The outputs of a strand within a box, [first, last) of it. */
typedef struct {
    int64_t first, last;
} stretch;

/* A piece's pixels within the box, which holds these of its strands: where they lie in the source, seen from `begin`, and in C, whose
 * rows are c_row apart. */
static int64_t list_pixels(const job *j, const piece *piece, const box *b, const stretch within[3], const int64_t begin[3],
                           int64_t c_row, int64_t *places, int64_t *c_places)
{
    const int64_t height = j->out[1], row_pixels = j->plan->problem.layout == FC_CHANNELS_LAST ? j->out[2] : b->last[2] - b->first[2];
    const fc_strand *const *along = piece->along;
    int64_t count = 0;
    for (int64_t z = within[0].first; z < within[0].last; z++)
        for (int64_t y = within[1].first; y < within[1].last; y++) {
            const int64_t row = (along[0]->first + z * along[0]->step) * height + along[1]->first + y * along[1]->step - b->row;
            int64_t place = (along[0]->source + z * along[0]->source_step - begin[0]) * j->room_stride[0] +
                            (along[1]->source + y * along[1]->source_step - begin[1]) * j->room_stride[1] +
                            (along[2]->source + within[2].first * along[2]->source_step - begin[2]) * j->room_stride[2];
            int64_t c_place = (row * row_pixels + along[2]->first + within[2].first * along[2]->step - b->first[2]) * c_row;
            if (row < 0 || row >= b->rows)
                continue;
            for (int64_t x = within[2].first; x < within[2].last; x++) {
                places[count] = place;
                c_places[count++] = c_place;
                place += along[2]->source_step * j->room_stride[2];
                c_place += along[2]->step * c_row;
            }
        }
    return count;
}

/* The pixels of all pieces, one behind the other; how many each has. */
static void list_all_pixels(const job *j, const box *b, const int64_t begin[3], int64_t c_row, int64_t *places, int64_t *c_places,
                            int64_t *counts)
{
    stretch within[3][FC_MOST_STRANDS];
    for (int d = 0; d < 3; d++)
        for (int64_t s = 0; s < j->strands.count[d]; s++)
            outputs_within(&j->strands.of[d][s], b->first[d], b->last[d], &within[d][s].first, &within[d][s].last);
    int64_t before = 0;
    for (int64_t z = 0, i = 0; z < j->strands.count[0]; z++)
        for (int64_t y = 0; y < j->strands.count[1]; y++)
            for (int64_t x = 0; x < j->strands.count[2]; x++, i++) {
                const stretch of[3] = {within[0][z], within[1][y], within[2][x]};
                const int some = of[0].first < of[0].last && of[1].first < of[1].last && of[2].first < of[2].last;
                counts[i] = some ? list_pixels(j, &j->piece[i], b, of, begin, c_row, places + before, c_places + before) : 0;
                before += counts[i];
            }
}

/* Multiplies a piece's pixels with some panels, channels [channel, last) of the depth; a part of what to fetch with each. */
static void multiply(const job *j, const piece *piece, int64_t group, int64_t p0, int64_t p1, int64_t channel, int64_t last,
                     const char *from, const int64_t *places, const int64_t *c_places, int64_t pixels, int64_t run, char *c,
                     int64_t c_row, const fetch *next)
{
    const fc_operands *operands = j->operands;
    const int64_t element = (int64_t)fc_element_bytes(j->plan->problem.dtype), lanes = j->kernels->lanes;
    const int64_t all = fc_taps(&j->plan->problem), out0 = fc_panel_first(j->kernels, j->outs, p0);
    const int64_t depth = (last - channel) * piece->taps, panel_depth = j->ins * all;
    const char *weight = (const char *)operands->packed + HEAD_BYTES + group * fc_panels_elements(j->plan, all) * element;
    const char *bias = operands->bias ? (const char *)operands->bias + group * j->outs * element : NULL;
    int64_t k = 0, end;
    do { /* once without taps: C is the bias */
        end = j->channels_together > 1 ? depth : fc_smaller(depth, k + DEPTH);
        const int ends = last == j->ins && end == depth;
        fc_panel panel = {.depth = end - k, .a_depths = piece->depths + k, .c_row = c_row, .accumulate = channel + k > 0,
                          .low = -INFINITY, .high = INFINITY};
        if (ends && (operands->activation == FC_RELU || operands->activation == FC_RELU6)) {
            panel.low = 0;
            panel.high = operands->activation == FC_RELU6 ? 6 : INFINITY;
        }
        if (run)
            panel.a_row = j->room_stride[2] * piece->along[2]->source_step;
        else
            panel.a_rows = places;
        if (!j->strands.whole) {
            panel.b_depths = piece->panel_rows + k;
            panel.c_rows = c_places;
        }
        const int64_t first_row = channel * all + (j->strands.whole ? k : 0);
        for (int64_t q = p0; q < p1; q++) {
            const int64_t n0 = fc_panel_first(j->kernels, j->outs, q), n1 = fc_panel_first(j->kernels, j->outs, q + 1);
            panel.columns = n1 - n0;
            panel.b_depth = fc_round_up(n1 - n0, lanes);
            panel.b = weight + (n0 * panel_depth + first_row * panel.b_depth) * element;
            panel.next = (const char *)panel.b + (q + 1 < p1 ? panel_depth : panel.depth) * panel.b_depth * element;
            panel.column_bias = bias && ends ? bias + n0 * element : NULL;
            for (int64_t n = 0; n < pixels; n += panel.rows) {
                panel.rows = run ? fc_smaller(run, pixels - n) : pixels;
                panel.a = run ? from + places[n] * element : from;
                panel.c = c + (n * c_row + n0 - out0) * element;
                const int64_t done = (q - p0) * pixels + n, count = k == 0 ? next->last - next->first : 0;
                fetch_channels(j, next, next->first + count * done / ((p1 - p0) * pixels),
                               next->first + count * (done + panel.rows) / ((p1 - p0) * pixels));
                j->kernels->gemm(&panel);
            }
        }
        k = end;
    } while (k < depth);
}

static void task(void *context, int64_t task, int thread)
{
    const job *j = context;
    const fc_conv *p = &j->plan->problem;
    const int64_t element = (int64_t)fc_element_bytes(p->dtype);
    const int channels_first = p->layout == FC_CHANNELS_FIRST, forward = j->plan->pass == FC_FORWARD;
    const int64_t part = task % j->panel_blocks, column_block = task / j->panel_blocks % j->column_blocks;
    const int64_t row_block = task / (j->panel_blocks * j->column_blocks) % j->row_blocks;
    const int64_t product = task / (j->panel_blocks * j->column_blocks * j->row_blocks);
    const int64_t group = product % p->groups, image = j->first_image + product / p->groups;
    const int64_t p0 = j->panels * part / j->panel_blocks, p1 = j->panels * (part + 1) / j->panel_blocks;
    const int64_t out0 = fc_panel_first(j->kernels, j->outs, p0), out1 = fc_panel_first(j->kernels, j->outs, p1);
    const box b = block_box(j, row_block, column_block);
    const int64_t columns = b.last[2] - b.first[2], pixels = b.rows * columns;

    char *room = j->workspace + (size_t)thread * j->thread_bytes, *room_c = room + j->room_bytes;
    int64_t *places = (int64_t *)(room_c + j->c_bytes), *c_places = places + j->rows * j->columns;
    int64_t *counts = c_places + j->rows * j->columns; /* pixels of each piece */
    int64_t begin[3] = {j->begin[0], j->begin[1], j->begin[2]}, length[3] = {1, 1, 1};
    const int copies = !j->in_place && !j->at_once;
    if (copies) {
        for (int d = 0; d < 3; d++)
            length[d] = seen(&j->strands, d, b.first[d], b.last[d], &begin[d]);
        length[1] = j->room_stride[0] / j->room_stride[1]; /* rows and planes as far apart as in the largest block */
        length[2] = j->room_stride[1] / j->room_stride[2];
    }
    const char *source = (const char *)(forward ? j->operands->input : j->operands->output) +
                         (image * j->source[0] + group * j->ins * j->source[1]) * element;
    if (j->at_once)
        source = j->copy + product * j->ins * j->room_channel * element;
    char *target = (char *)(forward ? j->operands->output : j->operands->input) +
                   (image * j->target[0] + (group * j->outs + out0) * j->target[1] +
                    (b.row * j->out[2] + b.first[2]) * j->target[4]) * element;
    char *c = channels_first ? room_c : target;
    const int64_t c_row = channels_first ? j->c_pitch : j->target[4], run = run_of(j, columns);

    list_all_pixels(j, &b, begin, c_row, places, c_places, counts);
    for (int64_t channel = 0; channel < j->ins; channel += j->channels_together) {
        const int64_t last = fc_smaller(j->ins, channel + j->channels_together);
        const char *from = copies ? room : source + channel * j->room_channel * element;
        if (copies)
            copy_source(j, begin, length, source, channel, last, room);
        const int ends = last == j->ins;
        const box after = ends && row_block + 1 < j->row_blocks ? block_box(j, row_block + 1, column_block) : b;
        const int64_t next_channel = ends ? 0 : last;
        fetch next = fetch_of(j, &after, source, next_channel, fc_smaller(j->ins, next_channel + j->channels_together));
        if (!channels_first || j->at_once || (ends && row_block + 1 == j->row_blocks))
            next.last = next.first; /* nothing */
        for (int64_t i = 0, before = 0; i < j->pieces; before += counts[i++])
            if (counts[i]) {
                multiply(j, &j->piece[i], group, p0, p1, channel, last, from, places + before, c_places + before, counts[i], run,
                         c, c_row, &next);
                next.last = next.first; /* once */
            }
    }
    for (int64_t n = 0; j->operands->activation == FC_SILU && n < pixels; n++)
        j->kernels->activate(FC_SILU, out1 - out0, c + n * c_row * element, c + n * c_row * element);
    if (channels_first) {
        const int64_t bytes = p->batch * j->target[0] * element;
        const int streams = fc_streams(target, bytes, j->target[1] * element);
        (streams ? j->kernels->transpose_stream : j->kernels->transpose)(pixels, out1 - out0, c, c_row, target, j->target[1]);
    }
}

static size_t workspace(const fc_plan *plan, int threads)
{
    size_t bytes[2];
    for (int cuts = 0; cuts < 2; cuts++) {
        const job j = make_job(plan, NULL, cuts, threads);
        bytes[cuts] = j.pieces_bytes + j.tables_bytes + j.copy_bytes + j.thread_bytes * (size_t)threads;
        if (j.strands.whole && cuts == 0 && fc_strands_share(&plan->problem, plan->pass) == 1)
            return bytes[0];
    }
    return bytes[0] > bytes[1] ? bytes[0] : bytes[1];
}

static void run(const fc_plan *plan, const fc_operands *operands, void *workspace, int threads)
{
    job j = make_job(plan, operands, may_cut(plan, operands), threads);
    char *tables = (char *)workspace + j.pieces_bytes;
    j.piece = workspace;
    j.copy = tables + j.tables_bytes;
    j.workspace = j.copy + j.copy_bytes;
    list_pieces(&j, workspace, (int64_t *)tables);
    for (; j.first_image < plan->problem.batch; j.first_image += j.images) {
        const int64_t products = fc_smaller(j.images, plan->problem.batch - j.first_image) * plan->problem.groups;
        if (j.at_once)
            fc_parallel_for(products * j.ins, threads, copy_task, &j);
        fc_parallel_for(products * j.row_blocks * j.column_blocks * j.panel_blocks, threads, task, &j);
    }
}

const fc_algo fc_algo_indirect = {.name = "indirect", .supports = supports, .cost = cost, .packed = packed, .pack = pack,
                                  .workspace = workspace, .run = run};
